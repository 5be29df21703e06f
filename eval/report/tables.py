"""The figures of a summary as tables for people, the same ones in Markdown and on the page.

    Summary -> Table of all tasks, or of one task's rows -> tables.md, page.html

Each table's caption says in plain words how to read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ..codecs.codec import IDENTITY
from ..figures.classes import enough
from ..figures.rows import AtRate, ByClass, Comparison, Confusion, Correlation, Pair, Point, Summary
from .cells import Cell, Table, Unit, interval, number, words

__all__ = [
    "against_anchor",
    "at_equal_rate",
    "by_class",
    "confused",
    "correlations",
    "enough_table",
    "overview",
    "pairs_apart",
    "points_table",
]

_MOST_CLASSES = 20
"""Lines of the tables of classes."""


def overview(summary: Summary) -> Table:
    """BD-accuracy of every codec in every task: the whole run at one look."""
    rows = summary.comparisons
    tasks = list(dict.fromkeys((row.source, row.task) for row in rows))
    by_place = {(row.codec, row.source, row.task): row for row in rows}
    lines = []
    for codec in dict.fromkeys(row.codec for row in rows):
        found = (by_place.get((codec, *task)) for task in tasks)
        lines.append((words(codec), *(_bd_points(row) if row else Cell("") for row in found)))
    return Table(
        "Overview",
        f"Accuracy against {_names({row.anchor for row in rows})} at equal bytes: the mean difference over all rates "
        "that both codecs have, in percent points (BD-accuracy). Positive is better; where the interval in brackets "
        "contains 0, these items do not tell the two apart.",
        ("codec", *_heads(tasks)),
        tuple(lines),
    )


def at_equal_rate(rows: Sequence[AtRate], pairs: Sequence[Pair], unit: Unit) -> Table:
    """One task's codecs at the same rates. rows, pairs: of this task."""
    rates = sorted({row.rate for row in rows})
    by_place = {(row.codec, row.rate): row for row in rows}
    best = {}
    for rate in rates:
        known = [row for row in rows if row.rate == rate and not math.isnan(row.accuracy)]
        if known:
            best[rate] = max(known, key=lambda row: row.accuracy).codec
    close = {
        (pair.rate, name)
        for pair in pairs
        if not pair.separated and not math.isnan(pair.difference_points_low) and pair.rate in best
        for name, other in ((pair.codec, pair.other), (pair.other, pair.codec))
        if other == best[pair.rate]
    }

    def cell(codec: str, rate: float) -> Cell:
        row = by_place.get((codec, rate))
        if row is None or math.isnan(row.accuracy):
            return Cell("")
        mark = "≈ " if (rate, codec) in close else ""
        figures = (row.accuracy, row.accuracy_low, row.accuracy_high)
        return interval(*figures, scale=100, before=mark, strong=best[rate] == codec)

    return Table(
        "At equal rate",
        f"Accuracy in percent, read off each codec's curve at the same {unit.label}. Bold is the highest; ≈ marks "
        "those that these items cannot tell from it (the paired interval of the difference contains 0). Empty: the "
        "codec's files are all smaller or all larger; nothing is extrapolated. No interval: too near to the end of the "
        "codec's rates, or too few items.",
        ("codec", *(f"{unit.of(rate)} {unit.short}" for rate in rates)),
        tuple(
            (words(codec), *(cell(codec, rate) for rate in rates)) for codec in dict.fromkeys(row.codec for row in rows)
        ),
    )


def against_anchor(rows: Sequence[Comparison], unit: Unit) -> Table:
    """BD figures of one task."""
    return Table(
        f"Over all rates, against {_names({row.anchor for row in rows})}",
        "Points: the mean difference in accuracy over the rates that both codecs have, in percent points "
        "(BD-accuracy). Bytes: the mean difference in rate over the accuracies that both reach, in percent (BD-rate); "
        "negative is fewer bytes for the same accuracy.",
        ("codec", "points", f"over {unit.label}", "bytes, %", "over accuracies, %", "note"),
        tuple(
            (
                words(row.codec),
                _bd_points(row),
                _range(row.rate_low * unit.scale, row.rate_high * unit.scale, "#.3g"),
                interval(row.bd_rate, row.bd_rate_low, row.bd_rate_high, digits=0, signed=True),
                _range(100 * row.accuracy_low, 100 * row.accuracy_high, ".1f"),
                words(row.note),
            )
            for row in rows
        ),
    )


def pairs_apart(rows: Sequence[Pair], unit: Unit) -> Table:
    """One task's pairs of codecs at the same rates."""

    def verdict(row: Pair) -> str:
        if math.isnan(row.difference_points_low):
            return "unknown"
        return "yes" if row.separated else "no"

    def difference(row: Pair) -> tuple[float, float, float]:
        return row.difference_points, row.difference_points_low, row.difference_points_high

    rows = [row for row in rows if not math.isnan(row.difference_points)]
    return Table(
        "Which codecs differ",
        "The accuracy of the first codec less that of the second at the same rate, in percent points, with the paired "
        "interval. They are told apart if it does not contain 0; each pair is judged by itself, so of twenty pairs "
        "that do not differ one is expected to be told apart. The last column is about the smallest difference that "
        "so many items can tell there.",
        (unit.label, "codec", "less", "difference, points", "told apart", "smallest, points"),
        tuple(
            (
                Cell(unit.of(row.rate), row.rate),
                words(row.codec),
                words(row.other),
                interval(*difference(row), signed=True),
                words(verdict(row)),
                number(row.smallest_points),
            )
            for row in rows
        ),
    )


def points_table(rows: Sequence[Point], unit: Unit) -> Table:
    """Everything that is reported of one task's codecs and settings."""
    scored = any(row.kind == "score" for row in rows)
    ranked = any(not math.isnan(row.top5) for row in rows)
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))

    def cells(row: Point) -> Iterable[Cell]:
        yield words(row.codec)
        yield Cell(f"{row.setting:g}" if row.codec != IDENTITY else "", row.setting)
        yield number(row.bytes, ",.0f")
        yield number(row.rate, "#.3g", unit.scale)
        if scored:
            yield interval(row.score, row.score_low, row.score_high, scale=100)
        if ranked:
            yield interval(row.top5, row.top5_low, row.top5_high, scale=100)
        yield interval(row.agreement, row.agreement_low, row.agreement_high, scale=100)
        yield interval(row.drop, row.drop_low, row.drop_high, scale=100)
        if scored:
            yield from (number(row.lost, ".0f"), number(row.gained, ".0f"), number(row.p_holm, ".2g"))
        for name in metrics:
            yield number(row.metrics.get(name, math.nan), "#.4g")

    score, tests = (("score, %",), ("lost", "gained", "p")) if scored else ((), ())
    top5 = ("top-5, %",) if ranked else ()
    told = (
        " Lost and gained: items that were wholly right before compression and are not after it, and the reverse; p: "
        "McNemar's exact test of the two, adjusted for all rows of the table (Holm)."
        if scored
        else ""
    )
    return Table(
        "All points",
        f"Means over {rows[0].items if rows else 0} items. Agreement: with the network's own answer to the "
        f"uncompressed item. Drop: what was lost against uncompressed items, paired.{told}",
        ("codec", "setting", "bytes", unit.label, *score, *top5, "agreement, %", "drop, %", *tests, *metrics),
        tuple(tuple(cells(row)) for row in rows),
    )


def enough_table(points: Sequence[Point], unit: Unit) -> Table:
    """What a user asks first: how small files may be. points: of one task."""
    return Table(
        "Enough for one point",
        "The smallest files of each codec that lose at most one percent point against uncompressed items, as do all "
        "its larger ones. A codec that loses more at its largest files is not among them.",
        ("codec", "setting", "bytes", unit.label, "drop, points"),
        tuple(
            (
                words(point.codec),
                number(point.setting, "g"),
                number(point.bytes, ",.0f"),
                number(point.rate, "#.3g", unit.scale),
                interval(point.drop, point.drop_low, point.drop_high, scale=100),
            )
            for point in sorted(enough(points), key=lambda point: point.rate)
        ),
    )


def by_class(rows: Sequence[ByClass]) -> Table:
    """One task's classes, those first that lose most."""
    codecs = list(dict.fromkeys(row.codec for row in rows if row.codec != IDENTITY))
    shares: dict[str, dict[str, list[ByClass]]] = {}
    for row in rows:
        shares.setdefault(row.name, {}).setdefault(row.codec, []).append(row)

    def mean(own: Sequence[ByClass]) -> float:
        return sum(row.accuracy for row in own) / len(own) if own else math.nan

    def loss(name: str) -> float:
        return max((shares[name][IDENTITY][0].uncompressed - mean(shares[name][codec]) for codec in codecs), default=0)

    names = sorted(shares, key=lambda name: (-loss(name), name))
    return Table(
        "By class",
        "How often items of a class are recognised as it, in percent, as means over all settings of a codec: the "
        f"{min(_MOST_CLASSES, len(names))} classes of {len(names)} that lose most. classes.tsv has all, setting by "
        "setting.",
        ("class", "items", "uncompressed, %", *(f"{codec}, %" for codec in codecs)),
        tuple(
            (
                words(name),
                number(shares[name][IDENTITY][0].items, ".0f"),
                number(shares[name][IDENTITY][0].accuracy, scale=100),
                *(number(mean(shares[name][codec]), scale=100) for codec in codecs),
            )
            for name in names[:_MOST_CLASSES]
        ),
    )


def confused(rows: Sequence[Confusion]) -> Table:
    """What one task's classes are taken for, those pairs first that compression adds most to."""
    codecs = list(dict.fromkeys(row.codec for row in rows))
    settings = {codec: len({row.setting for row in rows if row.codec == codec}) for codec in codecs}
    counts: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row.truth != row.found:
            of_pair = counts.setdefault((row.truth, row.found), dict.fromkeys(codecs, 0.0))
            of_pair[row.codec] += row.items / settings[row.codec]

    def added(pair: tuple[str, str]) -> float:
        return sum(counts[pair].values()) - len(codecs) * counts[pair].get(IDENTITY, 0.0)

    pairs = sorted(counts, key=lambda pair: (-added(pair), pair))
    return Table(
        "Taken for another class",
        "How many items of a class are taken for another one, as means over all settings of a codec: the "
        f"{min(_MOST_CLASSES, len(pairs))} pairs of {len(pairs)} that compression adds most to. confusions.tsv has "
        "all, setting by setting.",
        ("class", "taken for", *("uncompressed" if codec == IDENTITY else codec for codec in codecs)),
        tuple(
            (words(truth), words(found), *(number(counts[truth, found][codec]) for codec in codecs))
            for truth, found in pairs[:_MOST_CLASSES]
        ),
    )


def correlations(rows: Sequence[Correlation], within: bool = False) -> Table:
    """Which metric ranks codecs and settings as a task does. within: over one codec's settings instead of over all."""
    tasks = list(dict.fromkeys((row.source, row.task) for row in rows))
    by_place = {(row.metric, row.source, row.task): row for row in rows}

    def cell(row: Correlation | None) -> Cell:
        if row is None:
            return Cell("")
        figures = (row.over_points, row.over_points_low, row.over_points_high)
        if within:
            figures = (row.within_codecs, row.within_codecs_low, row.within_codecs_high)
        return interval(*figures, digits=2)

    title = "Within a codec" if within else "Which metric predicts accuracy"
    caption = (
        "Spearman's rank correlation between a metric's mean and the accuracy, over all codecs and settings. 1 is a "
        "metric that ranks them as the network does; distances (d_…, log_…, lpips, dists) are negated. The row rate is "
        "the file size alone: only what is above it tells more than how many bits were spent. Resampling blurs ranks: "
        "the intervals reach further down than up, and a figure may lie above its own."
    )
    if within:
        caption = (
            "The same over the settings of one codec, the mean of all codecs: whether the metric tells which of a "
            "codec's own files a network will read better."
        )
    return Table(
        title,
        caption,
        ("metric", *_heads(tasks)),
        tuple(
            (words(metric), *(cell(by_place.get((metric, *task))) for task in tasks))
            for metric in dict.fromkeys(row.metric for row in rows)
        ),
    )


def _names(names: Iterable[str]) -> str:
    return " or ".join(sorted(names)) or "nothing"


def _heads(tasks: Sequence[tuple[str, str]]) -> list[str]:
    """Names of tasks, with their source where two have the same."""
    names = [task for _, task in tasks]
    return [task if names.count(task) == 1 else f"{task} ({source})" for source, task in tasks]


def _bd_points(row: Comparison) -> Cell:
    return interval(row.bd_points, row.bd_points_low, row.bd_points_high, signed=True)


def _range(low: float, high: float, form: str) -> Cell:
    return Cell(f"{low:{form}} to {high:{form}}", low) if not math.isnan(low) else Cell("")
