"""items.tsv: every coded file as one row of one table, from which all other tables are computed.

    ItemRow rows -> items.tsv (`#` comments, column names, a line a file) -> the same ItemRow rows

Columns: source, item, codec, setting, bytes, units; then `m.NAME` for each metric; then for each task `t.TASK.score`,
`t.TASK.agreement` and `t.TASK.text`, of a task with classes `.found`, `.truth` and `.top5` as well. An empty cell was
not measured (a task of another source, a metric that does not apply); `nan` was measured and is not a number. Columns
come in the order in which rows first need them.

Guarantees: what is read is what was written, numbers to 7 significant digits, whole numbers and texts exactly. Control
characters, line separators and backslashes inside a text are escaped (`\\t`, `\\n`, `\\r`, `\\\\`, `\\uXXXX`), so a row
is always one line of always as many cells. A damaged table is an `InputError` that names line and column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..tasks.task import Answer, ItemRow
from .tsv import write_tsv

__all__ = ["read_items", "write_items"]

_FIXED = ("source", "item", "codec", "setting", "bytes", "units")
_PARTS = ("score", "agreement", "text")
_OF_CLASSES = ("found", "truth", "top5")
_HIDDEN = re.compile("[\\\\\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff]")
_SHORT = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_LONG = {escape: character for character, escape in _SHORT.items()}
_NAME = re.compile(r"[!-~]+")  # of a metric or a task: printable, no spaces


def write_items(path: Path, comments: Iterable[str], rows: Sequence[ItemRow]) -> None:
    """Write the table, replacing an older file, whole or not at all.

    Raises `InputError` for rows that `read_items` would refuse, `OSError` when the file cannot be written.
    """
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    tasks = list(dict.fromkeys(name for row in rows for name in row.answers))
    for name in (*metrics, *tasks):
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} cannot head a column: names of metrics and tasks have no spaces")
    columns = [*_FIXED, *(f"m.{name}" for name in metrics)]
    for task in tasks:
        classes = any(row.answers[task].found for row in rows if task in row.answers)
        columns += [f"t.{task}.{part}" for part in (*_PARTS, *(_OF_CLASSES if classes else ()))]
    seen: set[tuple[str, str, str, float]] = set()
    table = []
    for row in rows:
        where = f"{row.source}, {row.item}, {row.codec} at {row.setting:g}"
        _once(row, seen, where)
        table.append(dict.fromkeys(columns, "") | _cells(row, where))
    write_tsv(path, comments, table, columns)


def read_items(path: Path) -> tuple[list[str], list[ItemRow]]:
    """The comments (without `# `) and the rows, in the order of the file. Raises `InputError`."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is no UTF-8, so this is no table of items") from error
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines.pop():  # every line ends, the last one too: a number that was cut off may look like a number
        raise InputError(f"{path}, line {len(lines) + 1}: the line does not end, the file was cut off")
    head = next((number for number, line in enumerate(lines) if not line.startswith("#")), None)
    if head is None:
        raise InputError(f"{path}: no line of column names, so this is no table of items")
    columns = lines[head].split("\t")
    tasks = _check_columns(columns, f"{path}, line {head + 1}")
    seen: set[tuple[str, str, str, float]] = set()
    rows = []
    for number, line in enumerate(lines[head + 1 :], head + 2):
        where = f"{path}, line {number}"
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise InputError(f"{where}: {len(cells)} cells, but {len(columns)} columns")
        row = _row(dict(zip(columns, cells, strict=True)), tasks, where)
        _once(row, seen, where)
        rows.append(row)
    return [line[1:].removeprefix(" ") for line in lines[:head]], rows


def _cells(row: ItemRow, where: str) -> dict[str, Any]:
    """The cells that a row fills."""
    if not (math.isfinite(row.setting) and math.isfinite(row.units) and row.units >= 0 and row.bytes >= 0):
        raise InputError(f"{where}: setting, bytes and units are finite, the last two not negative")
    units = float(row.units)
    cells: dict[str, Any] = {
        "source": _escape(row.source),
        "item": _escape(row.item),
        "codec": _escape(row.codec),
        "setting": float(row.setting),
        "bytes": int(row.bytes),
        "units": int(units) if units.is_integer() else units,  # pixels are counted exactly, however many
    }
    cells |= {f"m.{name}": float(value) for name, value in row.metrics.items()}
    for task, answer in row.answers.items():
        for part, value in (("score", answer.score), ("agreement", answer.agreement), ("top5", answer.top5)):
            share = "" if value is None else _check_share(float(value), f"{where}: {part} of {task}")
            cells[f"t.{task}.{part}"] = share
        cells |= {f"t.{task}.{part}": _escape(getattr(answer, part)) for part in ("text", "found", "truth")}
    return cells


def _check_columns(columns: list[str], where: str) -> list[str]:
    """The tasks. Raises `InputError` unless the columns are those of a table of items."""
    for place, name in enumerate(_FIXED):
        if columns[place : place + 1] != [name]:
            found = repr(columns[place]) if place < len(columns) else "nothing"
            raise InputError(f"{where}: column {place + 1} of a table of items is {name!r}, found {found}")
    tasks: dict[str, set[str]] = {}
    for column in columns[len(_FIXED) :]:
        task, _, part = column.removeprefix("t.").rpartition(".")
        if columns.count(column) > 1:
            raise InputError(f"{where}: there are two columns {column!r}")
        if column.startswith("t.") and task and part in (*_PARTS, *_OF_CLASSES):
            tasks.setdefault(task, set()).add(part)
        elif not (column.startswith("m.") and len(column) > 2):
            raise InputError(f"{where}: {column!r} is neither m.METRIC nor t.TASK.score, .agreement or .text")
    for task, parts in tasks.items():
        for part in (*_PARTS, *(_OF_CLASSES if parts.intersection(_OF_CLASSES) else ())):
            if part not in parts:
                raise InputError(f"{where}: there is no column 't.{task}.{part}'")
    return list(tasks)


def _row(cells: dict[str, str], tasks: list[str], where: str) -> ItemRow:
    def number(column: str) -> float:
        try:
            return float(cells[column])
        except ValueError:
            raise InputError(f"{where}, column {column!r}: expected a number, found {cells[column]!r}") from None

    def share(column: str) -> float:
        return _check_share(number(column), f"{where}, column {column!r}")

    def finite(column: str) -> float:
        value = number(column)
        if not math.isfinite(value) or (value < 0 and column != "setting"):
            raise InputError(f"{where}, column {column!r}: {cells[column]!r} is not possible")
        return value

    def text(column: str) -> str:
        return _unescape(cells[column], f"{where}, column {column!r}")

    if not re.fullmatch("[0-9]{1,18}", cells["bytes"]):
        raise InputError(f"{where}, column 'bytes': expected a whole number, found {cells['bytes']!r}")
    answers = {}
    for task in tasks:
        score, agreement, words = (f"t.{task}.{part}" for part in _PARTS)
        if cells[score] or cells[agreement] or cells[words]:
            answers[task] = Answer(share(score), share(agreement), text(words))
            if f"t.{task}.found" in cells:
                found, truth = text(f"t.{task}.found"), text(f"t.{task}.truth")
                top5 = share(f"t.{task}.top5") if cells[f"t.{task}.top5"] else None
                answers[task] = replace(answers[task], found=found, truth=truth, top5=top5)
    return ItemRow(
        source=text("source"),
        item=text("item"),
        codec=text("codec"),
        setting=finite("setting"),
        bytes=int(cells["bytes"]),
        units=finite("units"),
        metrics={column[2:]: number(column) for column, cell in cells.items() if column.startswith("m.") and cell},
        answers=answers,
    )


def _once(row: ItemRow, seen: set[tuple[str, str, str, float]], where: str) -> None:
    key = (row.source, row.item, row.codec, row.setting)
    if key in seen:
        raise InputError(f"{where}: {row.item!r} has already been coded by {row.codec} at {row.setting:g}")
    seen.add(key)


def _check_share(value: float, where: str) -> float:
    if not (math.isnan(value) or 0.0 <= value <= 1.0):
        raise InputError(f"{where}: expected 0 to 1 or nan, found {value:g}")
    return value


def _escape(text: str) -> str:
    return _HIDDEN.sub(lambda found: _SHORT.get(found[0], f"\\u{ord(found[0]):04x}"), text)


def _unescape(text: str, where: str) -> str:
    def character(found: re.Match[str]) -> str:
        if found[0] in _LONG:
            return _LONG[found[0]]
        if len(found[0]) == 6:
            return chr(int(found[0][2:], 16))
        raise InputError(f"{where}: a backslash that escapes nothing in {text!r}")

    return re.sub(r"\\(?:u[0-9a-f]{4}|[\\tnr])?", character, text)
