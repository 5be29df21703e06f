"""Rows as matrices: for each task, the same items at every codec's every setting.

    ItemRow rows -> complete items of a source -> items that a task has answered -> Grid [items, points]
                                                                        -> Sampled [1 + resamples, points]

Guarantees: a figure of one codec is over the same items as that of another. An item that some codec lacks at some
setting is left out of its source; an item that a task has not answered everywhere (no label, no foreground to mark) is
left out of that task; both are counted and reported. One that lacks a metric at some of the points that have it (a
picture too small for MS-SSIM) is left out of all that is said of that metric.

Decibels count as at most `metrics.MOST_DB` at all points but those of identity, so that an item which comes back
exactly does not make a mean infinite; a note says so where it happens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ..codecs.codec import IDENTITY
from ..quality.metrics import MOST_DB, capped
from ..tasks.task import Answer, ItemRow
from .statistics import resampled_means

__all__ = ["Grid", "Sampled", "grids_of", "sample"]

Key = tuple[str, float]


@dataclass(frozen=True, eq=False)
class Grid:
    """One task's items at all points.

    points: (codec, setting), in the order of the rows; bytes, rates (bits a unit), scores, agreements and top5 (0 to
    1): [items, points]; a task without truth has only `nan` scores, agreements and top5 likewise; metrics: [items,
    points] by name, whole columns are `nan` where not measured, whole rows for items left out.
    """

    source: str
    task: str
    items: tuple[str, ...]
    points: tuple[Key, ...]
    bytes: np.ndarray
    rates: np.ndarray
    scores: np.ndarray
    agreements: np.ndarray
    top5: np.ndarray
    metrics: dict[str, np.ndarray]

    @property
    def kind(self) -> str:
        """What this task's accuracy is: "score" (against the truth), or "agreement" where there is no truth."""
        return "agreement" if np.isnan(self.scores).any() else "score"

    @property
    def accuracies(self) -> np.ndarray:
        """[items, points], 0 to 1, no `nan`."""
        return self.agreements if self.kind == "agreement" else self.scores

    @property
    def identity(self) -> int:
        """The point of the codec that changes nothing."""
        return self.points_of(IDENTITY)[0]

    @property
    def codecs(self) -> list[str]:
        """All but identity."""
        return [codec for codec in dict.fromkeys(codec for codec, _ in self.points) if codec != IDENTITY]

    @property
    def head(self) -> dict[str, Any]:
        """What every row of a table says first."""
        return {"source": self.source, "task": self.task, "kind": self.kind, "items": len(self.items)}

    def points_of(self, codec: str) -> list[int]:
        return [index for index, (name, _) in enumerate(self.points) if name == codec]


@dataclass(frozen=True, eq=False)
class Sampled:
    """A grid's means [1 + resamples, points], row 0 those of all items.

    metrics: by name, (means of the metric, means of accuracy over the items that have the metric).
    """

    grid: Grid
    rates: np.ndarray
    scores: np.ndarray
    agreements: np.ndarray
    top5: np.ndarray
    metrics: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def accuracies(self) -> np.ndarray:
        return self.agreements if self.grid.kind == "agreement" else self.scores


def sample(grid: Grid, resamples: int) -> Sampled:
    """One draw of items for everything that a grid holds. Raises `InputError` for fewer than 40 resamples."""
    blocks = [grid.rates, grid.scores, grid.agreements, grid.top5]
    for values in grid.metrics.values():
        lacking = np.isnan(values).all(axis=1)
        blocks += [values, np.where(lacking[:, None], np.nan, grid.accuracies)]
    means = np.split(resampled_means(np.concatenate(blocks, axis=1), resamples), len(blocks), axis=1)
    metrics = dict(zip(grid.metrics, zip(means[4::2], means[5::2], strict=True), strict=True))
    return Sampled(grid, means[0], means[1], means[2], means[3], metrics)


def grids_of(rows: Sequence[ItemRow]) -> tuple[list[Grid], list[str]]:
    """A grid for each source and task, and notes on what was left out.

    Raises `InputError` when there are no rows or no answers, when a source has no identity rows or no item that every
    codec has coded at every setting, and for rows that are there twice or have no units.
    """
    if not rows:
        raise InputError("no coded items, so there is nothing to summarise")
    if not any(row.answers for row in rows):
        raise InputError("no task has answered anything about these items, so there is no accuracy to summarise")
    grids: list[Grid] = []
    notes: list[str] = []
    for source in dict.fromkeys(row.source for row in rows):
        table = _complete([row for row in rows if row.source == source], source, notes)
        for task in dict.fromkeys(task for row in rows if row.source == source for task in row.answers):
            grid = _grid(source, task, table, notes)
            if grid is not None:
                grids.append(grid)
    return grids, notes


def _complete(rows: list[ItemRow], source: str, notes: list[str]) -> dict[str, dict[Key, ItemRow]]:
    """The items that have all points, with their rows."""
    table: dict[str, dict[Key, ItemRow]] = {}
    for row in rows:
        of_item, key = table.setdefault(row.item, {}), (row.codec, row.setting)
        if key in of_item:
            raise InputError(f"{source}: {row.item!r} is there twice for {row.codec} at {row.setting:g}")
        if not (row.units > 0 and row.bytes > 0):
            raise InputError(f"{source}: {row.item!r} has {row.bytes} bytes and {row.units:g} units: no rate")
        of_item[key] = row
    points = list(dict.fromkeys((row.codec, row.setting) for row in rows))
    if not any(codec == IDENTITY for codec, _ in points):
        raise InputError(f"{source}: no rows of the codec {IDENTITY!r}, with which all others are compared")
    complete = {
        item: {key: of_item[key] for key in points} for item, of_item in table.items() if len(of_item) == len(points)
    }
    if not complete:
        counts = {key: sum(key in of_item for of_item in table.values()) for key in points}
        (codec, setting), fewest = min(counts.items(), key=lambda pair: pair[1])
        raise InputError(
            f"{source}: none of {len(table)} items was coded by every codec at every setting"
            f" (fewest, {fewest}, by {codec} at {setting:g})"
        )
    _tell_missing(notes, source, list(table), complete, "were not coded by every codec at every setting")
    return complete


def _grid(source: str, task: str, table: dict[str, dict[Key, ItemRow]], notes: list[str]) -> Grid | None:
    points = next(iter(table.values())).keys()
    unknown = Answer(math.nan, math.nan, "")
    answers = [[row.answers.get(task, unknown) for row in of_item.values()] for of_item in table.values()]
    scores = np.array([[answer.score for answer in of_item] for of_item in answers], np.float64)
    agreements = np.array([[answer.agreement for answer in of_item] for of_item in answers], np.float64)
    kept = np.ones(len(table), bool)
    known = [~np.isnan(values).any(axis=1) for values in (scores, agreements)]
    for of_items in known:
        if of_items.any():  # what no item has, the task does not measure
            kept &= of_items
    if not (known[0].any() or known[1].any()) or not kept.any():
        notes.append(
            f"{source}, {task}: none of {len(table)} items was answered at every point, so there are no figures"
        )
        return None
    items = [item for item, keep in zip(table, kept, strict=True) if keep]
    _tell_missing(notes, f"{source}, {task}", list(table), items, "have no answer to be compared with")
    rows = [list(table[item].values()) for item in items]

    def matrix(value) -> np.ndarray:
        return np.array([[value(row) for row in of_item] for of_item in rows], np.float64)

    names = dict.fromkeys(name for of_item in rows for row in of_item for name in row.metrics)

    def quality(row: ItemRow, name: str) -> float:
        value = row.metrics.get(name, math.nan)
        return value if row.codec == IDENTITY else capped(name, value)

    coded = [row for of_item in rows for row in of_item if row.codec != IDENTITY]
    for name in names:
        over = sum(abs(row.metrics.get(name, 0)) > MOST_DB.get(name, math.inf) for row in coded)
        if over:
            notes.append(
                f"{source}, {task}: {over} of {len(coded)} files have more than {MOST_DB[name]:g} dB of {name}, as "
                "those that come back exactly; in means they count as that much"
            )
    return Grid(
        source=source,
        task=task,
        items=tuple(items),
        points=tuple(points),
        bytes=matrix(lambda row: row.bytes),
        rates=matrix(lambda row: row.rate),
        scores=scores[kept] if known[0].any() else np.full((len(items), len(points)), np.nan),
        agreements=agreements[kept] if known[1].any() else np.full((len(items), len(points)), np.nan),
        top5=matrix(lambda row: math.nan if row.answers[task].top5 is None else row.answers[task].top5),
        metrics={name: _even(matrix(lambda row, name=name: quality(row, name))) for name in names},
    )


def _even(values: np.ndarray) -> np.ndarray:
    """[items, points] without the items that lack some of what is measured at all, as rows of `nan`."""
    measured = ~np.isnan(values).all(axis=0)
    partly = np.isnan(values[:, measured]).any(axis=1)
    return np.where(partly[:, None], np.nan, values)


def _tell_missing(notes: list[str], what: str, every, kept, why: str) -> None:
    missing = [item for item in every if item not in set(kept)]
    if missing:
        notes.append(f"{what}: {len(missing)} of {len(every)} items {why} and are left out (first: {missing[0]})")
