"""The figures of a summary as tables for people, the same ones in Markdown and on the page.

    Summary -> Table (columns, cells with the text and what to sort by) -> tables.md, page.html

Brackets hold 95% intervals throughout. A figure that does not exist is an empty cell; why, its row's note says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .figures import AtRate, Comparison, Correlation, Pair, Point, Summary
from .task import IDENTITY

__all__ = [
    "BITS_A_PIXEL",
    "KBITS_A_SECOND",
    "Cell",
    "Table",
    "Unit",
    "against_anchor",
    "at_equal_rate",
    "correlations",
    "markdown",
    "overview",
    "pairs_apart",
    "points_table",
]


@dataclass(frozen=True)
class Unit:
    """How rates are told: label and short form; scale: of the rows' bits a pixel (or a second)."""

    label: str
    short: str
    scale: float

    def of(self, rate: float) -> str:
        """A rate of the rows, three digits."""
        return f"{rate * self.scale:.3g}"


BITS_A_PIXEL = Unit("bits a pixel", "bpp", 1.0)
KBITS_A_SECOND = Unit("kbit a second", "kbit/s", 1e-3)


@dataclass(frozen=True)
class Cell:
    """text: as shown; key: to sort by, None last; strong: the best of its kind."""

    text: str
    key: float | str | None = None
    strong: bool = False

    @property
    def number(self) -> bool:
        """Whether it is aligned as a number."""
        return not isinstance(self.key, str)


@dataclass(frozen=True)
class Table:
    """title, caption: how to read it, a few sentences; columns: their heads; rows: as many cells each."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def overview(summary: Summary) -> Table:
    """BD-accuracy of every codec in every task: the whole run at one look."""
    rows = summary.comparisons
    tasks = list(dict.fromkeys((row.source, row.task) for row in rows))
    several = len({source for source, _ in tasks}) > 1
    by_place = {(row.codec, row.source, row.task): row for row in rows}
    lines = []
    for codec in dict.fromkeys(row.codec for row in rows):
        found = (by_place.get((codec, *task)) for task in tasks)
        lines.append((_name(codec), *(_bd_points(row) if row else Cell("") for row in found)))
    return Table(
        "Overview",
        f"Accuracy against {_names({row.anchor for row in rows})} at equal bytes: the mean difference over all rates "
        "that both codecs have, in percent points (BD-accuracy). Positive is better; where the interval in brackets "
        "contains 0, these items do not tell the two apart.",
        ("codec", *(f"{task} ({source})" if several else task for source, task in tasks)),
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
        text = _interval(100 * row.accuracy, 100 * row.accuracy_low, 100 * row.accuracy_high)
        mark = "≈ " if (rate, codec) in close else ""
        return Cell(mark + text, row.accuracy, strong=best[rate] == codec)

    return Table(
        "At equal rate",
        f"Accuracy in percent, read off each codec's curve at the same {unit.label}. Bold is the highest; ≈ marks "
        "those that these items cannot tell from it (the paired interval of the difference contains 0). Empty: the "
        "codec's files are all smaller or all larger. Nothing is extrapolated.",
        ("codec", *(f"{unit.of(rate)} {unit.short}" for rate in rates)),
        tuple(
            (_name(codec), *(cell(codec, rate) for rate in rates)) for codec in dict.fromkeys(row.codec for row in rows)
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
                _name(row.codec),
                _bd_points(row),
                _range(row.rate_low * unit.scale, row.rate_high * unit.scale, "{:.3g}"),
                Cell(_interval(row.bd_rate, row.bd_rate_low, row.bd_rate_high, 0, signed=True), _key(row.bd_rate)),
                _range(100 * row.accuracy_low, 100 * row.accuracy_high, "{:.1f}"),
                _name(row.note),
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
                _name(row.codec),
                _name(row.other),
                Cell(
                    _interval(
                        row.difference_points, row.difference_points_low, row.difference_points_high, signed=True
                    ),
                    _key(row.difference_points),
                ),
                _name(verdict(row)),
                Cell(_number(row.smallest_points), _key(row.smallest_points)),
            )
            for row in rows
        ),
    )


def points_table(rows: Sequence[Point], unit: Unit) -> Table:
    """Everything that is told of one task's codecs and settings."""
    scored = any(row.kind == "score" for row in rows)
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))

    def cells(row: Point) -> Iterable[Cell]:
        yield _name(row.codec)
        yield Cell(f"{row.setting:g}" if row.codec != IDENTITY else "", row.setting)
        yield Cell(f"{row.bytes:,.0f}", row.bytes)
        yield Cell(unit.of(row.rate), row.rate)
        if scored:
            yield _percent(row.score, row.score_low, row.score_high)
        yield _percent(row.agreement, row.agreement_low, row.agreement_high)
        yield _percent(row.drop, row.drop_low, row.drop_high)
        if scored:
            yield Cell(_number(row.lost, 0), _key(row.lost))
            yield Cell(_number(row.gained, 0), _key(row.gained))
            yield Cell("" if math.isnan(row.p_holm) else f"{row.p_holm:.2g}", _key(row.p_holm))
        for name in metrics:
            value = row.metrics.get(name, math.nan)
            yield Cell("" if math.isnan(value) else f"{value:.4g}", _key(value))

    score, tests = (("score, %",), ("lost", "gained", "p")) if scored else ((), ())
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
        ("codec", "setting", "bytes", unit.label, *score, "agreement, %", "drop, %", *tests, *metrics),
        tuple(tuple(cells(row)) for row in rows),
    )


def correlations(rows: Sequence[Correlation]) -> Table:
    """Which metric ranks codecs and settings as a task does."""
    tasks = list(dict.fromkeys((row.source, row.task) for row in rows))
    several = len({source for source, _ in tasks}) > 1
    by_place = {(row.metric, row.source, row.task): row for row in rows}

    def cell(row: Correlation | None) -> Cell:
        if row is None or math.isnan(row.over_points):
            return Cell("")
        text = _interval(row.over_points, row.over_points_low, row.over_points_high, 2)
        inside = "" if math.isnan(row.within_codecs) else f"; within codecs {_number(row.within_codecs, 2)}"
        return Cell(text + inside, row.over_points)

    return Table(
        "Which metric predicts accuracy",
        "Spearman's rank correlation between a metric's mean and the accuracy, over all codecs and settings; within "
        "codecs: over one codec's settings, the mean of all codecs. 1 is a metric that ranks as the network does; "
        "distances (d_…, lpips, dists) are negated. The row rate is the file size alone: only what is better than "
        "that tells more than how many bits were spent.",
        ("metric", *(f"{task} ({source})" if several else task for source, task in tasks)),
        tuple(
            (_name(metric), *(cell(by_place.get((metric, *task))) for task in tasks))
            for metric in dict.fromkeys(row.metric for row in rows)
        ),
    )


def markdown(table: Table, level: int = 3) -> str:
    """A heading, the caption and a table with pipes, as GitHub shows them."""
    lines = [f"{'#' * level} {table.title}\n", f"{table.caption}\n"]
    if not table.rows:
        return "\n".join([*lines, "(nothing)\n"])
    numbers = [all(row[place].number for row in table.rows) for place in range(len(table.columns))]
    lines.append(_line(map(_escape, table.columns)))
    lines.append(_line("---:" if number else "---" for number in numbers))
    for row in table.rows:
        lines.append(_line(f"**{_escape(cell.text)}**" if cell.strong else _escape(cell.text) for cell in row))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """What Markdown or HTML would take for markup, as plain text."""
    for mark in "\\`*_|[]<>":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _names(names: Iterable[str]) -> str:
    return " or ".join(sorted(names)) or "nothing"


def _name(text: str) -> Cell:
    return Cell(text, text)


def _bd_points(row: Comparison) -> Cell:
    text = _interval(row.bd_points, row.bd_points_low, row.bd_points_high, signed=True)
    return Cell(text, _key(row.bd_points))


def _percent(value: float, low: float, high: float) -> Cell:
    return Cell(_interval(100 * value, 100 * low, 100 * high), _key(value))


def _range(low: float, high: float, form: str) -> Cell:
    return Cell("" if math.isnan(low) else f"{form} to {form}".format(low, high), _key(low))


def _interval(value: float, low: float, high: float, digits: int = 1, signed: bool = False) -> str:
    """The value with its interval in brackets, both only where they exist."""
    if math.isnan(value):
        return ""
    text = _number(value, digits, signed)
    if math.isnan(low):
        return text
    return f"{text} ({_number(low, digits, signed)} to {_number(high, digits, signed)})"


def _number(value: float, digits: int = 1, signed: bool = False) -> str:
    if math.isnan(value):
        return ""
    text = f"{value + 0.0:{'+' if signed else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")  # a zero has no sign
    return text.replace("-", "−")


def _key(value: float) -> float | None:
    return None if math.isnan(value) else value
