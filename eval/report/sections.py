"""What the page shows of each task: curves as data, tables, and what the table of items says it was measured with.

comments -> Provenance      Summary -> Section of each task, of each source's metrics -> page.html, plots, tables.md
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..codecs.codec import IDENTITY
from ..figures.rows import Point, Summary
from ..tasks.task import ItemRow
from . import tables
from .cells import Table, Unit
from .plots import metric_label

__all__ = ["Section", "Provenance", "metric_sections", "task_sections", "told_by"]

_FIXED = {"overview", "curves", "metrics", "compare", "measured", "left-out", "data"}
"""Places of page.html."""


@dataclass(frozen=True)
class Provenance:
    """What the comments of items.tsv say: (name, description) of each, and lines."""

    sources: list[tuple[str, str]]
    tasks: list[tuple[str, str]]
    codecs: list[tuple[str, str]]
    left_out: list[str]
    environment: list[str]


@dataclass(frozen=True)
class Section:
    """One task, or the metrics of a source. id: names files and places on the page; measure: what the score is called;
    figures: curves for page.js; tables: those that are shown, folded: those behind a click.
    """

    id: str
    title: str
    about: str
    measure: str
    points: list[Point]
    figures: list[dict[str, Any]]
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()


def told_by(comments: Sequence[str], rows: Sequence[ItemRow]) -> Provenance:
    """Sort the comments that a run writes; those of another origin count as its environment."""

    def described(kind: str, names: Sequence[str]) -> list[tuple[str, str]]:
        found = {}
        for name in names:
            head = f"{kind} {name}: "
            found[name] = next((line[len(head) :] for line in comments if line.startswith(head)), "")
        return list(found.items())

    return Provenance(
        sources=described("source", [row.source for row in rows]),
        tasks=described("task", [name for row in rows for name in row.answers]),
        codecs=described("codec", [row.codec for row in rows]),
        left_out=[line.removeprefix("left out ") for line in comments if line.startswith("left out ")],
        environment=[line for line in comments if not re.match("(source|task|codec|left out) ", line)],
    )


def task_sections(summary: Summary, told: Provenance, unit: Unit) -> list[Section]:
    """A section for each task, in the order of the points."""
    taken = set(_FIXED)
    sections = []
    for source, task in dict.fromkeys((point.source, point.task) for point in summary.points):

        def own(rows: Sequence[Any], place: tuple[str, str] = (source, task)) -> list[Any]:
            return [row for row in rows if (row.source, row.task) == place]

        points = own(summary.points)
        name = _unused(f"{source}-{task}", taken)
        measure, _, about = dict(told.tasks).get(task, "").partition("; ")
        measure = measure or "accuracy"
        scored = points[0].kind == "score"
        label = measure if scored else f"agreement with the uncompressed ({measure})"
        figures = [_figure(f"{name}-accuracy", f"{label}, %", points, lambda p: p.accuracy)]
        if scored:
            label = "agreement with the uncompressed, %"
            figures.append(_figure(f"{name}-agreement", label, points, _agreement))
        sections.append(
            Section(
                name,
                task,
                f"{about}{'. ' if about else ''}{points[0].items} items of {source}.",
                measure,
                points,
                figures,
                (
                    tables.at_equal_rate(own(summary.at_rates), own(summary.pairs), unit),
                    tables.against_anchor(own(summary.comparisons), unit),
                    tables.enough_table(points, unit),
                ),
                (
                    tables.pairs_apart(own(summary.pairs), unit),
                    *([tables.by_class(own(summary.classes))] if own(summary.classes) else []),
                    *([tables.confused(own(summary.confusions))] if own(summary.confusions) else []),
                    tables.points_table(points, unit),
                ),
            )
        )
    return sections


def metric_sections(summary: Summary, sections: Sequence[Section]) -> list[Section]:
    """The metrics of each source's items, where there are any: those of the task that asked about most of them.

    sections: of the tasks, whose names are taken.
    """
    taken = _FIXED | {section.id for section in sections}
    found = []
    for source in dict.fromkeys(point.source for point in summary.points):
        most = max((point for point in summary.points if point.source == source), key=lambda point: point.items)
        points = [point for point in summary.points if (point.source, point.task) == (source, most.task)]
        name = _unused(f"{source}-metrics", taken)
        figures = [
            _figure(f"{name}-{metric}", metric_label(metric), points, _metric(metric), percent=False)
            for metric in dict.fromkeys(metric for point in points for metric in point.metrics)
        ]
        if figures:
            about = f"Means over {most.items} items of {source}."
            found.append(Section(name, f"metrics, {source}", about, "", points, figures))
    return found


def _agreement(point: Point) -> tuple[float, float, float]:
    return point.agreement, point.agreement_low, point.agreement_high


def _metric(name: str) -> Callable[[Point], tuple[float, float, float]]:
    return lambda point: (point.metrics.get(name, math.nan), math.nan, math.nan)


def _unused(name: str, taken: set[str]) -> str:
    """A name for a file and for a place on the page, unlike those that are taken."""
    plain = re.sub("[^A-Za-z0-9_-]+", "-", name).strip("-") or "task"
    unused, number = plain, 1
    while unused.lower() in taken:
        number += 1
        unused = f"{plain}-{number}"
    taken.add(unused.lower())  # some file systems do not tell upper from lower case
    return unused


def _figure(
    name: str,
    label: str,
    points: Sequence[Point],
    of: Callable[[Point], tuple[float, float, float]],
    percent: bool = True,
) -> dict[str, Any]:
    """id, label, percent, flat (the uncompressed items: [value, low, high]), series: codec -> [rate, value, low, high,
    setting] by rate; None where not a number.
    """
    scale = 100 if percent else 1
    flat = None
    series: dict[str, list[list[Any]]] = {point.codec: [] for point in points if point.codec != IDENTITY}
    for point in sorted(points, key=lambda point: point.rate):
        values = [float(scale * value) if math.isfinite(value) else None for value in of(point)]
        if point.codec == IDENTITY:
            flat = values if percent else None
        elif values[0] is not None and point.rate > 0:
            series[point.codec].append([point.rate, *values, point.setting])
    shown = {codec: own for codec, own in series.items() if own}
    return {"id": name, "label": label, "percent": percent, "flat": flat, "series": shown}
