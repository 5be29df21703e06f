"""Tables for people: cells with what they say and what they are sorted by, and how figures are written.

    figures -> Cell -> Table -> tables.md, page.html

Brackets hold 95% intervals throughout. A figure that does not exist is an empty cell, infinity comes after all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "BITS_A_PIXEL",
    "KBITS_A_SECOND",
    "Cell",
    "Table",
    "Unit",
    "escaped",
    "interval",
    "markdown",
    "number",
    "words",
]

_MOST = 1e300
"""What infinity is sorted as: a browser reads no `inf`."""


@dataclass(frozen=True)
class Unit:
    """How rates are shown: label and short form; scale: of the rows' bits a pixel (or a second)."""

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


def markdown(table: Table, level: int = 3) -> str:
    """A heading, the caption and a table with pipes, as GitHub shows them."""
    lines = [f"{'#' * level} {escaped(table.title)}\n", f"{escaped(table.caption)}\n"]
    if not table.rows:
        return "\n".join([*lines, "(nothing)\n"])
    numbers = [all(row[place].number for row in table.rows) for place in range(len(table.columns))]
    lines.append(_line(map(escaped, table.columns)))
    lines.append(_line("---:" if number else "---" for number in numbers))
    for row in table.rows:
        lines.append(_line(f"**{escaped(cell.text)}**" if cell.strong else escaped(cell.text) for cell in row))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """What Markdown or HTML would take for markup, as plain text."""
    for mark in "\\`*_|[]<>":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def words(text: str) -> Cell:
    """A cell that is no number."""
    return Cell(text, text)


def number(value: float, form: str = ".1f", scale: float = 1.0) -> Cell:
    """A figure, empty for `nan`. form: of Python's format."""
    return Cell(_written(scale * value, form), _key(value))


def interval(
    value: float,
    low: float,
    high: float,
    *,
    scale: float = 1.0,
    digits: int = 1,
    signed: bool = False,
    before: str = "",
    strong: bool = False,
) -> Cell:
    """A figure with its interval in brackets. before: what the text begins with."""
    if math.isnan(value):
        return Cell("")
    form = f"{'+' if signed else ''}.{digits}f"
    text = "no interval"
    if not math.isnan(low):
        text = f"{_written(scale * low, form)} to {_written(scale * high, form)}"
    return Cell(f"{before}{_written(scale * value, form)} ({text})", _key(value), strong)


def _written(value: float, form: str) -> str:
    if math.isnan(value):
        return ""
    text = format(value, form)
    if not text.strip("+-0."):
        text = text.lstrip("+-")  # a zero has no sign
    return text.replace("-", "−")


def _key(value: float) -> float | None:
    return None if math.isnan(value) else max(-_MOST, min(value, _MOST))
