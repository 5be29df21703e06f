"""What the published table says: docs/machine-perception.md, sentences and tables computed from a summary.

    Summary -> answers (a sentence each) and tables in Markdown, with the row that each figure stands in

No figure is written by hand: the sentences choose their codecs and metrics by what the tables hold.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable

from .figures import AtRate, Comparison, Correlation, Pair, Summary
from .task import IDENTITY

__all__ = ["MACHINE", "PLAIN", "page"]

PLAIN, MACHINE = "lecodec", "lecodec:machine-1"
TITLES = {
    "imagenet-mobilenetv2": "ImageNet class, MobileNetV2",
    "imagenet-efficientnet-lite0": "ImageNet class, EfficientNet-lite0",
    "text": "text recognition",
    "mask": "foreground mask",
    "embedding": "embedding, EfficientNet-lite0",
}


def page(summary: Summary, machine: Summary, comments: Iterable[str]) -> str:
    """The text of docs/machine-perception.md. machine: the summary with the plain model as the anchor."""
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
        "\n## Over all rates\n\n" + _OVER_ALL,
        _comparison_table(summary, "machine/comparisons.tsv"),
        "\n## A codec for machines\n\n" + _FOR_MACHINES,
        _comparison_table(machine, "machine/machine-1.tsv"),
        "\n## Which metric predicts accuracy\n\n" + _METRICS,
        _correlation_table(summary),
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
    lost = f"{_signed(-100 * best.drop)} points against the originals, {_signed(-100 * best.drop_high)} to "
    text = f"**{TITLES.get(task, task)}**, {rate:g} bits a pixel: `{best.codec}` keeps most, {_share(best)} "
    text += f"({lost}{_signed(-100 * best.drop_low)})."
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
        parts = [f"{TITLES.get(r.task, r.task)}: {_points(r)} points, {_bytes(r)} bytes" for r in rows]
        yield (
            f"**`{MACHINE}` against `{PLAIN}`**, accuracy over the rates that both have and bytes at equal accuracy "
            f"(only MobileNetV2 took part in its training): {'; '.join(parts)}. (machine-1.tsv)"
        )


# -- the tables


def _at_rate_table(summary: Summary, task: str) -> str:
    rows = [row for row in summary.at_rates if row.task == task]
    rates = sorted({row.rate for row in rows})
    identity = next(p for p in summary.points if p.task == task and p.codec == IDENTITY)
    value, low, high = identity.accuracy
    head = f"**{TITLES.get(task, task)}** ({identity.items} items; originals {100 * value:.1f}%, {100 * low:.1f} to "
    lines = [f"{head}{100 * high:.1f}; {'agreement with the original' if identity.kind == 'agreement' else 'score'})\n"]
    lines += ["| bits a pixel |" + "".join(f" {rate:g} |" for rate in rates), "|---|" + "---|" * len(rates)]
    for codec in dict.fromkeys(row.codec for row in rows):
        found = {row.rate: row for row in rows if row.codec == codec}
        cells = [_share(found[rate]) if rate in found else "" for rate in rates]
        lines.append(f"| `{codec}` |" + "".join(f" {cell} |" for cell in cells))
    return "\n".join(lines) + f"\n\n(eval/results/machine/at-rate.tsv, `{task}`)\n\n"


def _comparison_table(summary: Summary, table: str) -> str:
    lines = [
        "| task | codec | against | points | bytes at equal accuracy | bits a pixel |",
        "|---|---|---|---|---|---|",
    ]
    for r in (row for task in _tasks(summary) for row in summary.comparisons if row.task == task):
        rates = f"{r.rate_low:.2f} to {r.rate_high:.2f}" if not math.isnan(r.rate_low) else ""
        title = TITLES.get(r.task, r.task)
        lines.append(f"| {title} | `{r.codec}` | `{r.anchor}` | {_points(r)} | {_bytes(r)} | {rates} |")
    return "\n".join(lines) + f"\n\n(eval/results/{table})\n"


def _correlation_table(summary: Summary) -> str:
    tasks = _tasks(summary)
    by_place = {(row.metric, row.task): row for row in summary.correlations}
    lines = ["| metric |" + "".join(f" {TITLES.get(t, t)} |" for t in tasks), "|---|" + "---|" * len(tasks)]
    for metric in sorted({row.metric for row in summary.correlations}, key=lambda name: (name.startswith("d_"), name)):
        cells = [_correlation(by_place[metric, t]) if (metric, t) in by_place else "" for t in tasks]
        lines.append(f"| `{metric}` |" + "".join(f" {cell} |" for cell in cells))
    return "\n".join(lines) + "\n\n(eval/results/machine/correlations.tsv)\n"


def _pair_table(summary: Summary) -> str:
    lines = ["| task | bits a pixel | not separated (points, 95% interval) |", "|---|---|---|"]
    groups: dict[tuple[str, float], list[Pair]] = {}
    for pair in summary.pairs:
        if not pair.separated and not math.isnan(pair.difference_points_low):
            groups.setdefault((pair.task, pair.rate), []).append(pair)
    for task, rate in sorted(groups, key=lambda place: (_tasks(summary).index(place[0]), place[1])):
        pairs = groups[task, rate]
        text = "; ".join(
            f"`{p.codec}` and `{p.other}` ({_signed(p.difference_points_low)} to {_signed(p.difference_points_high)})"
            for p in pairs
        )
        lines.append(f"| {TITLES.get(task, task)} | {rate:g} | {text} |")
    return "\n".join(lines) + "\n\n(eval/results/machine/pairs.tsv)\n"


def _share(row: AtRate) -> str:
    if math.isnan(row.accuracy):
        return ""
    return f"{100 * row.accuracy:.1f}% ({100 * row.accuracy_low:.1f} to {100 * row.accuracy_high:.1f})"


def _points(row: Comparison) -> str:
    return _with_interval(row.bd_points, row.bd_points_low, row.bd_points_high)


def _bytes(row: Comparison) -> str:
    text = _with_interval(row.bd_rate, row.bd_rate_low, row.bd_rate_high, digits=0)
    return f"{text} %" if text else ""


def _with_interval(value: float, low: float, high: float, digits: int = 1) -> str:
    if math.isnan(value):
        return ""
    interval = "no interval" if math.isnan(low) else f"{_signed(low, digits)} to {_signed(high, digits)}"
    return f"{_signed(value, digits)} ({interval})"


def _correlation(row: Correlation) -> str:
    if math.isnan(row.over_points):
        return ""
    return f"{row.over_points:.2f}, {row.over_points_low:.2f} to {row.over_points_high:.2f}"


def _signed(value: float, digits: int = 1) -> str:
    return f"{value:+.{digits}f}"


def _names(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


_INTRODUCTION = """# What machines see in compressed pictures

Networks look at pictures that somebody compressed. This page says what that costs them: accuracy against bytes, for the
codecs that people use and for this one, with 95% intervals. `make machine-table` measures it all again and writes this
page; every figure stands in a row of a table under [eval/results](../eval/results), named beside it.

Photographs with ImageNet labels, shrunk to a short side of 256 pixels before anything is compressed: they were JPEG
files, whose artefacts JPEG keeps most cheaply. Smaller ones are left out: nothing is enlarged. Known words, rendered
onto the same photographs, for a text recogniser. Rates are bytes of whole files, all headers included: on pictures of
about 256 x 341 pixels those weigh more than on large ones. The photographs may be among those that the networks were
trained on: what a codec costs counts here, not how good a network is. No codec's settings, and no model of this
package, were chosen by what the networks said here.

"""
_AT_RATE = """Each codec's curve (accuracy over the logarithm of the rate, made monotone, PCHIP) is read at five rates;
an empty cell is outside the codec's rates. In brackets the 95% interval, from resampling items.

"""
_OVER_ALL = """Points: the mean difference in accuracy over the rates that both codecs have, in percent points
(BD-accuracy). Bytes at equal accuracy: the mean difference in rate over the accuracies that both reach (BD-rate);
negative is fewer.

"""
_FOR_MACHINES = """`machine-1` is `image-2`, trained on with a feature term: the frozen MobileNetV2 shall see in the
reconstruction what it saw in the picture (train/recipes/image-machine.yaml). EfficientNet-lite0, the text recogniser
and the mask network took no part in that: their rows say whether it carries over. What it costs in PSNR stands in
machine.tsv.

"""
_METRICS = """Spearman's rank correlation between a metric's mean and the accuracy over all points (codecs and
settings). Distances in features (`d_…`) and other distances are negated, so that 1 is a metric that ranks the points as
the task does. A metric that only follows the rate predicts as well as the row `rate`. Resampling blurs ranks, so that
the intervals lean low.

"""
_PAIRS = """Pairs of codecs at the same rate whose difference in accuracy has an interval around 0. Every pair is judged
by itself: of twenty pairs that do not differ, one is expected among the separated.

"""
