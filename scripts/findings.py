"""What the published table says: docs/machine-perception.md, sentences and tables computed from a summary.

    Summary -> answers (a sentence each) and tables in Markdown, with the row that each figure stands in

No figure is written by hand: the sentences choose their codecs and metrics by what the tables hold.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import replace

from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.figures.rows import Comparison, Correlation, Summary
from lecodec.eval.report.cells import BITS_A_PIXEL, Cell, Table, interval, markdown, words
from lecodec.eval.report.tables import at_equal_rate, correlations

__all__ = ["MACHINE", "PARENT", "page"]

PARENT, MACHINE = "lecodec:image-2", "lecodec:machine-1"
"""The model for machines, and the one whose weights its training began with."""
TITLES = {
    "imagenet-mobilenetv2": "ImageNet class, MobileNetV2",
    "imagenet-efficientnet-lite0": "ImageNet class, EfficientNet-lite0",
    "text": "text recognition",
    "mask": "foreground mask",
    "embedding": "embedding, EfficientNet-lite0",
}


def page(summary: Summary, machine: Summary, comments: Iterable[str]) -> str:
    """The text of docs/machine-perception.md. summary: without the model for machines' parent; machine: of
    these two, the parent as the anchor."""
    comments = list(comments)
    described = [line for line in comments if line.startswith(("source", "task", "codec", "versions"))]
    left_out = [line for line in comments if line.startswith("left out")]
    if left_out:
        described.append(f"{len(left_out)} items were left out, as the heads of the tables say one by one")
    parts = [
        _INTRODUCTION,
        "## In short\n\n",
        *(_bullet(sentence) for sentence in _answers(summary, machine)),
        "\n## Accuracy at equal bytes\n\n" + _AT_RATE,
        *(_at_rate_table(summary, task) for task in _tasks(summary)),
        "## Over all rates\n\n" + _OVER_ALL,
        _comparison_table(summary, "Against JPEG", "comparisons.tsv"),
        "\n## A codec for machines\n\n" + _FOR_MACHINES,
        _comparison_table(machine, "Against the model that it comes from", "machine-1.tsv"),
        "\n" + markdown(correlations(_sorted(summary)), 2),
        "\n(correlations.tsv)\n",
        "\n## What these items cannot separate\n\n" + _PAIRS,
        _pair_table(summary),
        "\n## What was measured with\n\n",
        *(_bullet(line) for line in (*described, *summary.notes)),
    ]
    return "".join(parts)


def _tasks(summary: Summary) -> list[str]:
    known = list(TITLES)
    tasks = dict.fromkeys(row.task for row in summary.at_rates)
    return sorted(tasks, key=lambda task: known.index(task) if task in known else len(known))


def _sorted(summary: Summary) -> list[Correlation]:
    """By task, and by metric with the distances last."""
    tasks = _tasks(summary)
    return sorted(
        summary.correlations, key=lambda row: (tasks.index(row.task), row.metric.startswith("d_"), row.metric)
    )


def _bullet(text: str) -> str:
    lines = textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False)
    return "- " + "\n  ".join(lines) + "\n"


# -- the answers, in sentences


def _answers(summary: Summary, machine: Summary) -> Iterable[str]:
    for task in _tasks(summary):
        yield from _least_hurt(summary, task)
    yield _best_metric(summary)
    yield _not_separated(summary)
    yield from _for_machines(machine)


def _least_hurt(summary: Summary, task: str, rate: float = 0.35) -> Iterable[str]:
    """Which codec keeps most of a task's accuracy at a rate, and from which others that cannot be told."""
    rows = [r for r in summary.at_rates if r.task == task and r.rate == rate and not math.isnan(r.accuracy)]
    if not rows:
        return
    best = max(rows, key=lambda r: r.accuracy)
    others = {
        other: pair
        for pair in summary.pairs
        if pair.task == task and pair.rate == rate and best.codec in (pair.codec, pair.other)
        for other in [pair.other if pair.codec == best.codec else pair.codec]
    }
    unclear = [name for name, pair in others.items() if not pair.separated]
    clear = [name for name, pair in others.items() if pair.separated]
    kept = interval(best.accuracy, best.accuracy_low, best.accuracy_high, scale=100).text
    lost = interval(best.drop, best.drop_low, best.drop_high, scale=100).text
    text = f"**{TITLES.get(task, task)}**, {rate:g} bits a pixel: `{best.codec}` keeps most, {kept} percent, "
    text += f"{lost} points less than the originals."
    if clear:
        text += f" It is separated from {_names(clear)}"
        text += f", not from {_names(unclear)}." if unclear else "."
    elif unclear:
        text += f" It is not separated from {_names(unclear)}."
    yield f"{text} (at-rate.tsv and pairs.tsv, `{task}`, rate {rate:g})"


def _best_metric(summary: Summary) -> str:
    parts = []
    for task in _tasks(summary):
        rows = [
            r for r in summary.correlations if r.task == task and r.metric != "rate" and not math.isnan(r.over_points)
        ]
        if rows:
            best = max(rows, key=lambda r: r.over_points)
            psnr = next((r for r in rows if r.metric == "psnr"), None)
            text = f"{TITLES.get(task, task)}: `{best.metric}` ({_correlation(best)}"
            parts.append(text + (f"; PSNR {_correlation(psnr)})" if psnr and psnr is not best else ")"))
    title = "**Which metric predicts accuracy best** (rank correlation over all points)"
    return f"{title}: {'; '.join(parts)}. (correlations.tsv)"


def _not_separated(summary: Summary) -> str:
    parts = []
    for task in _tasks(summary):
        pairs = [p for p in summary.pairs if p.task == task and not math.isnan(p.smallest_points)]
        if pairs:
            told = sum(p.separated for p in pairs)
            widths = sorted(p.smallest_points for p in pairs)
            parts.append(
                f"{TITLES.get(task, task)}: {told} of {len(pairs)} pairs are separated, {pairs[0].items} items tell "
                f"differences of about {widths[len(widths) // 2]:.1f} points (median)"
            )
    return f"**What so few items can tell**, over all pairs and rates: {'; '.join(parts)}. (pairs.tsv)"


def _for_machines(machine: Summary) -> Iterable[str]:
    rows = [r for task in _tasks(machine) for r in machine.comparisons if (r.codec, r.task) == (MACHINE, task)]
    if rows:
        parts = [f"{TITLES.get(r.task, r.task)}: {_points(r)} points, {_bytes(r).text} percent bytes" for r in rows]
        yield (
            f"**`{MACHINE}` against `{PARENT}`**, accuracy over the rates that both have and bytes at equal accuracy "
            f"(only MobileNetV2 took part in its training): {'; '.join(parts)}. (machine-1.tsv)"
        )


# -- the tables


def _at_rate_table(summary: Summary, task: str) -> str:
    rows = [row for row in summary.at_rates if row.task == task]
    identity = next(p for p in summary.points if p.task == task and p.codec == IDENTITY)
    kind = "agreement with the original" if identity.kind == "agreement" else "score"
    originals = interval(*identity.accuracy, scale=100).text
    caption = f"{identity.items} items; {kind}, originals {originals}; at-rate.tsv, {task}"
    table = at_equal_rate(rows, [pair for pair in summary.pairs if pair.task == task], BITS_A_PIXEL)
    return markdown(replace(table, title=TITLES.get(task, task), caption=caption)) + "\n"


def _comparison_table(summary: Summary, title: str, file: str) -> str:
    return markdown(
        Table(
            title,
            file,
            ("task", "codec", "against", "points", "bytes, %", "bits a pixel"),
            tuple(
                (
                    *map(words, (TITLES.get(row.task, row.task), row.codec, row.anchor)),
                    interval(row.bd_points, row.bd_points_low, row.bd_points_high, signed=True),
                    _bytes(row),
                    words("" if math.isnan(row.rate_low) else f"{row.rate_low:.2f} to {row.rate_high:.2f}"),
                )
                for task in _tasks(summary)
                for row in summary.comparisons
                if row.task == task
            ),
        )
    )


def _pair_table(summary: Summary) -> str:
    groups: dict[tuple[str, float], list[str]] = {}
    for pair in summary.pairs:
        if not pair.separated and not math.isnan(pair.difference_points_low):
            found = interval(
                pair.difference_points, pair.difference_points_low, pair.difference_points_high, signed=True
            )
            groups.setdefault((pair.task, pair.rate), []).append(f"{pair.codec} less {pair.other} {found.text}")
    order = sorted(groups, key=lambda place: (_tasks(summary).index(place[0]), place[1]))
    return markdown(
        Table(
            "Pairs that are not separated",
            "Differences in points; pairs.tsv.",
            ("task", "bits a pixel", "pairs"),
            tuple(
                (words(TITLES.get(task, task)), words(f"{rate:g}"), words("; ".join(groups[task, rate])))
                for task, rate in order
            ),
        )
    )


def _points(row: Comparison) -> str:
    return interval(row.bd_points, row.bd_points_low, row.bd_points_high, signed=True).text


def _bytes(row: Comparison) -> Cell:
    return interval(row.bd_rate, row.bd_rate_low, row.bd_rate_high, digits=0, signed=True)


def _correlation(row: Correlation) -> str:
    return interval(row.over_points, row.over_points_low, row.over_points_high, digits=2).text


def _names(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


_INTRODUCTION = """# What machines see in compressed pictures

Networks look at pictures that somebody compressed. This page says what that costs them: accuracy against bytes, for the
codecs that people use and for this one, with 95% intervals. `make machine-table` measures it all again and writes this
page; every figure stands in a row of a table under [eval/results](../eval/results), named next to it.

Photographs with ImageNet labels, shrunk to a short side of 256 pixels before anything is compressed: they were JPEG
files, whose artefacts JPEG keeps most cheaply. Smaller ones are left out: nothing is enlarged. Known words, rendered
onto the same photographs, for a text recogniser. Rates are bytes of whole files, all headers included: on pictures of
about 256 x 341 pixels those weigh more than on large ones. The photographs may be among those that the networks were
trained on: what a codec costs counts here, not how good a network is. No codec's settings, and no model of this
package, were chosen by what the networks said here.

"""
_AT_RATE = """Each codec's curve (accuracy over the logarithm of the rate, made monotone, PCHIP) is read at five rates;
an empty cell is outside the codec's rates. In percent; in brackets the 95% interval, from resampling items. Bold is the
highest; ≈ marks those that these items cannot tell from it.

"""
_OVER_ALL = """Points: the mean difference in accuracy over the rates that both codecs have, in percent points
(BD-accuracy). Bytes at equal accuracy: the mean difference in rate over the accuracies that both reach (BD-rate);
negative is fewer.

"""
_FOR_MACHINES = """`machine-1` is `image-2`, trained on with a feature term: the frozen MobileNetV2 shall see in the
reconstruction what it saw in the picture (train/recipes/image-machine.yaml). EfficientNet-lite0, the text recogniser
and the mask network took no part in that: their rows say whether it carries over. The two differ in nothing else;
`lecodec` above is a later model, whose entropy model has a context. What it costs in PSNR stands in items.tsv.

"""
_PAIRS = """Pairs of codecs at the same rate whose difference in accuracy has an interval around 0. Every pair is judged
by itself: of twenty pairs that do not differ, one is expected among the separated.

"""
