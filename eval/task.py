"""The folder of a run, written and read: what the commands `eval task` and `eval report` do around a run.

    run_tasks -> items.tsv, run.json -> summarise -> TABLES, and a few lines for the terminal
    items.tsv, run.json, files/ -> report (HTML page, plots, Markdown)

run.json says how the codecs were called, so that their files can be decoded again for the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CodecError, InputError
from .codecs.peers import codec_by_name
from .figures.classes import enough
from .figures.rows import Summary
from .figures.summary import summarise
from .measure.run import ITEMS, RUN, TaskRun
from .tasks.catalogue import SOUND_TASKS

__all__ = ["codecs_for", "decoder_of", "report_of", "template_of_tasks", "terminal_tables", "write_summary"]


def codecs_for(tasks: Sequence[str]) -> list[str]:
    """What is compared if nobody says: for built-in tasks on sounds codecs of sounds, else of pictures."""
    return ["lecodec", "opus", "mp3"] if set(tasks) & set(SOUND_TASKS) else ["lecodec", "jpeg", "webp", "avif"]


def write_summary(
    out: Path, run: TaskRun, *, anchor: str | None = None, rates: Sequence[float] | None = None, resamples: int = 2000
) -> Summary:
    """Compute all figures of a run and write their tables into its folder. Raises InputError, OSError."""
    summary = summarise(run.rows, anchor, rates, resamples, run.classes)
    summary.write(out, run.comments)
    return summary


def template_of_tasks() -> str:
    """A YAML task to begin with."""
    from .tasks.custom import TEMPLATE

    return TEMPLATE


def terminal_tables(summary: Summary) -> list[list[dict[str, Any]]]:
    """For people at a terminal: each codec's accuracy at equal rates, a table a task; the smallest files that lose at
    most one point; the BD figures.
    """
    tables: list[list[dict[str, Any]]] = []
    for task in dict.fromkeys(row.task for row in summary.at_rates):
        rows = [row for row in summary.at_rates if row.task == task]
        rates = sorted({row.rate for row in rows})
        table = []
        for codec in dict.fromkeys(row.codec for row in rows):
            found = {row.rate: row for row in rows if row.codec == codec}
            cells = {f"at {rate:g}": _percent(found[rate]) if rate in found else "" for rate in rates}
            table.append({"task": task, "codec": codec, **cells})
        tables.append(table)
    small = [
        {"task": task, "codec": p.codec, "setting": p.setting, "bytes": round(p.bytes), "drop": f"{100 * p.drop:.1f}"}
        for task in dict.fromkeys(point.task for point in summary.points)
        for p in enough([point for point in summary.points if point.task == task])
    ]
    compared = []
    for row in summary.comparisons:
        points = f"{row.bd_points:+.1f}{_ends(row.bd_points_low, row.bd_points_high, '+.1f')}"
        rate = f"{row.bd_rate:+.0f}%{_ends(row.bd_rate_low, row.bd_rate_high, '+.0f')}"
        compared.append(
            {"task": row.task, "codec": row.codec, f"points on {row.anchor}": points, "bytes at equal accuracy": rate}
        )
    return [*tables, *(table for table in (small, compared) if table)]


def _percent(row: Any) -> str:
    if np.isnan(row.accuracy):
        return ""
    return f"{100 * row.accuracy:.1f}{_ends(100 * row.accuracy_low, 100 * row.accuracy_high, '.1f')}"


def _ends(low: float, high: float, form: str) -> str:
    """The interval behind a figure; nothing where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f" ({low:{form}} to {high:{form}})"


def report_of(
    results: Path,
    out: Path,
    *,
    pictures: int = 24,
    anchor: str | None = None,
    resamples: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the report of a run's folder; the page's path. pictures: to compare on the page, 0 for all.

    Raises InputError when the folder is not that of a run, OSError when `out` cannot be written.
    """
    from .report.page import write_report

    results = Path(results)
    if not (results / ITEMS).is_file():
        raise InputError(f"{results} holds no {ITEMS}: name the folder that lecodec eval task wrote")
    return write_report(
        results,
        Path(out),
        decode=decoder_of(results),
        pictures=pictures,
        anchor=anchor,
        resamples=resamples,
        progress=progress,
    )


def decoder_of(results: Path) -> Callable[[str, bytes], np.ndarray]:
    """decode(codec, data) -> uint8 [H, W, 3] for the codecs of a run, by their names in its tables; each is made when
    first needed. It raises CodecError for a codec that cannot be made again.
    """
    try:
        specs = json.loads((results / RUN).read_text(encoding="utf-8"))["codecs"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{results / RUN} is missing or damaged: run lecodec eval task with this folder again"
        ) from None

    @cache
    def codec(name: str):
        if not specs.get(name):
            raise CodecError(f"the codec {name} was an object of the calling program: its files cannot be shown")
        return codec_by_name(specs[name])

    return lambda name, data: codec(name).decode(data)
