"""What the published table says: docs/machine-perception.md, sentences and tables computed from a summary.

    Summary -> answers (a sentence each) and tables in Markdown, with the row that each figure stands in

No figure is written by hand: the sentences choose their codecs and metrics by what the tables hold.
"""

from __future__ import annotations

from collections.abc import Iterable

from page_parts import Parts, bullet, bytes_cell, points_text

from lecodec.eval.figures.rows import Summary
from lecodec.eval.report.cells import BITS_A_PIXEL, markdown
from lecodec.eval.report.tables import correlations

__all__ = ["MACHINE", "PARENT", "page"]

PARENT, MACHINE = "lecodec:image-3", "lecodec:machine-2"
"""The model for machines, and the one whose weights its training began with."""
TITLES = {
    "imagenet-mobilenetv2": "ImageNet class, MobileNetV2",
    "imagenet-efficientnet-lite0": "ImageNet class, EfficientNet-lite0",
    "text": "text recognition",
    "mask": "foreground mask",
    "embedding": "embedding, EfficientNet-lite0",
    "detection": "detection, CenterNet",
}
_PARTS = Parts(TITLES, BITS_A_PIXEL)


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
        *(bullet(sentence) for sentence in _answers(summary, machine)),
        "\n## Accuracy at equal bytes\n\n" + _AT_RATE,
        *(_PARTS.at_rate_table(summary, task) for task in _PARTS.tasks(summary)),
        "## Over all rates\n\n" + _OVER_ALL,
        _PARTS.comparison_table(summary, "Against JPEG", "comparisons.tsv"),
        "\n## A codec for machines\n\n" + _FOR_MACHINES,
        _PARTS.comparison_table(machine, "Against the model that it comes from", "machine-2.tsv"),
        "\n" + markdown(correlations(_PARTS.sorted_correlations(summary)), 2),
        "\n(correlations.tsv)\n",
        "\n## What these items cannot separate\n\n" + _PAIRS,
        _PARTS.pair_table(summary),
        "\n## What was measured with\n\n",
        *(bullet(line) for line in (*described, *summary.notes)),
    ]
    return "".join(parts)


# -- the answers, in sentences


def _answers(summary: Summary, machine: Summary) -> Iterable[str]:
    for task in _PARTS.tasks(summary):
        yield from _PARTS.least_hurt(summary, task, 0.35)
    yield _PARTS.best_metric(summary)
    yield _PARTS.not_separated(summary)
    yield from _for_machines(machine)


def _for_machines(machine: Summary) -> Iterable[str]:
    rows = [r for task in _PARTS.tasks(machine) for r in machine.comparisons if (r.codec, r.task) == (MACHINE, task)]
    if rows:
        parts = [f"{_PARTS.title(r.task)}: {points_text(r)} points, {bytes_cell(r).text} percent bytes" for r in rows]
        yield (
            f"**`{MACHINE}` against `{PARENT}`**, accuracy over the rates that both have and bytes at equal accuracy "
            f"(only MobileNetV2 took part in its training): {'; '.join(parts)}. (machine-2.tsv)"
        )


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
_FOR_MACHINES = """`machine-2` is `image-3`, trained on with a feature term: the frozen MobileNetV2 shall see in the
reconstruction what it saw in the picture (train/recipes/image-machine.yaml). EfficientNet-lite0, the text recogniser
and the mask network took no part in that: their rows say whether it carries over. The two differ in nothing else.
`lecodec` above is the default model, for the eye; `lecodec:psnr` the one for least squared error, which at these rates
is mostly `image-3`. What it costs in PSNR stands in items.tsv.

"""
_PAIRS = """Pairs of codecs at the same rate whose difference in accuracy has an interval around 0. Every pair is judged
by itself: of twenty pairs that do not differ, one is expected among the separated.

"""
