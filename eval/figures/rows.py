"""The rows of the summary's tables: what is reported of a point, a codec, a pair of codecs and a metric.

    Summary -> points.tsv, comparisons.tsv, at-rate.tsv, pairs.tsv, correlations.tsv, classes.tsv, confusions.tsv

Every figure over items has a 95% bootstrap interval (see `statistics`), `nan` where there is none. Fields ending in
`_points` are percent points, those called `bd_rate` percent; scores, agreements and drops are shares, 0 to 1. `kind`
says what "accuracy" is: "score" (against the truth), or "agreement" (with the network's own answer to the original)
for tasks that have no truth. Rates are bits a unit: a pixel, or a second of sound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..measure.tsv import write_tsv

__all__ = ["TABLES", "AtRate", "ByClass", "Comparison", "Confusion", "Correlation", "Pair", "Point", "Summary"]

TABLES = ("points", "comparisons", "at-rate", "pairs", "correlations", "classes", "confusions")


@dataclass(frozen=True)
class Point:
    """One codec at one setting, means over a task's items.

    items: how many; bytes: mean; rate: mean of 8 * bytes / units; drop: identity's score less this one (its agreement
    less this one without truth), paired; lost, gained: items wholly right before and not after, and the reverse, `nan`
    without truth; p: McNemar's exact p, p_holm: adjusted for all points of the task; metrics: means over the items that
    have the metric at all points; top5: the share of items whose right class is among the five most likely.
    """

    source: str
    task: str
    codec: str
    setting: float
    items: int
    bytes: float
    rate: float
    kind: str
    score: float
    score_low: float
    score_high: float
    drop: float
    drop_low: float
    drop_high: float
    agreement: float
    agreement_low: float
    agreement_high: float
    lost: float
    gained: float
    p: float
    p_holm: float
    metrics: Mapping[str, float]
    top5: float = math.nan
    top5_low: float = math.nan
    top5_high: float = math.nan

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """(value, low, high) of the score, or of the agreement for a task without truth."""
        if self.kind == "score":
            return self.score, self.score_low, self.score_high
        return self.agreement, self.agreement_low, self.agreement_high


@dataclass(frozen=True)
class Comparison:
    """One codec against the anchor over all rates that both have.

    bd_points: BD-accuracy, percent points, over rates rate_low..rate_high; bd_rate: percent, negative for fewer bytes,
    over accuracies accuracy_low..accuracy_high (0 to 1); note: why a figure or its interval is `nan`, and how often it
    does not exist in a resample.
    """

    source: str
    task: str
    codec: str
    anchor: str
    kind: str
    items: int
    bd_points: float
    bd_points_low: float
    bd_points_high: float
    rate_low: float
    rate_high: float
    bd_rate: float
    bd_rate_low: float
    bd_rate_high: float
    accuracy_low: float
    accuracy_high: float
    note: str


@dataclass(frozen=True)
class AtRate:
    """One codec's interpolated accuracy at a rate, 0 to 1; drop: identity's less this one, paired."""

    source: str
    task: str
    codec: str
    rate: float
    kind: str
    items: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    drop: float
    drop_low: float
    drop_high: float
    note: str


@dataclass(frozen=True)
class Pair:
    """Two codecs at the same rate.

    difference_points: accuracy of `codec` less that of `other`, percent points, paired; separated: its interval
    excludes 0 (each pair by itself: of twenty pairs that do not differ one is expected to be called separated);
    smallest_points: half the width of that interval, about the smallest difference that so many items can tell.
    """

    source: str
    task: str
    rate: float
    codec: str
    other: str
    kind: str
    items: int
    difference_points: float
    difference_points_low: float
    difference_points_high: float
    separated: bool
    smallest_points: float


@dataclass(frozen=True)
class Correlation:
    """How well a distortion metric predicts a task's accuracy: Spearman's rank correlation of means over points.

    Distances (lower is better) are negated, so that +1 is a metric that ranks all points as the task does. over_points:
    over all codecs' settings, identity not among them; within_codecs: mean over codecs of the correlation over one
    codec's settings. The metric `rate` is the rate itself: what a metric adds is what it is better than that.
    Resampling blurs ranks, so these intervals reach further down than up.
    """

    source: str
    task: str
    metric: str
    kind: str
    items: int
    points: int
    over_points: float
    over_points_low: float
    over_points_high: float
    codecs: int
    within_codecs: float
    within_codecs_low: float
    within_codecs_high: float
    note: str


@dataclass(frozen=True)
class ByClass:
    """One class at one codec's setting. items: of that class; accuracy: the share of them that was recognised as it;
    uncompressed: that of the uncompressed items.
    """

    source: str
    task: str
    codec: str
    setting: float
    name: str
    items: int
    accuracy: float
    uncompressed: float


@dataclass(frozen=True)
class Confusion:
    """How many items of the class `truth` were answered with the class `found`."""

    source: str
    task: str
    codec: str
    setting: float
    truth: str
    found: str
    items: int


@dataclass(frozen=True)
class Summary:
    """All tables of a run. notes: what was left out and what looks wrong, a sentence each."""

    points: tuple[Point, ...]
    comparisons: tuple[Comparison, ...]
    at_rates: tuple[AtRate, ...]
    pairs: tuple[Pair, ...]
    correlations: tuple[Correlation, ...]
    notes: tuple[str, ...]
    resamples: int
    classes: tuple[ByClass, ...] = ()
    confusions: tuple[Confusion, ...] = ()

    def table(self, name: str) -> tuple[list[str], list[dict[str, Any]]]:
        """(columns, rows) of one of `TABLES`, for `write_tsv`; a point's metrics become columns `m.NAME`."""
        kind, rows = {
            "points": (Point, self.points),
            "comparisons": (Comparison, self.comparisons),
            "at-rate": (AtRate, self.at_rates),
            "pairs": (Pair, self.pairs),
            "correlations": (Correlation, self.correlations),
            "classes": (ByClass, self.classes),
            "confusions": (Confusion, self.confusions),
        }[name]
        columns = [field.name for field in fields(kind) if field.name != "metrics"]
        metrics = list(dict.fromkeys(f"m.{metric}" for row in rows if isinstance(row, Point) for metric in row.metrics))
        return columns + metrics, [dict.fromkeys(metrics, "") | _cells(row) for row in rows]

    def write(self, directory: Path, comments: Iterable[str], only: Mapping[str, str] | None = None) -> list[Path]:
        """Write the tables, with the notes at their heads, as TABLE.tsv; the paths, in the order of `TABLES`. only:
        tables to write, with the names of their files. Raises `OSError`.
        """
        there = {"classes": self.classes, "confusions": self.confusions}  # of tasks with classes only
        names = {name: name for name in TABLES if there.get(name, True)} if only is None else only
        head: Sequence[str] = [*comments, f"intervals: 95%, {self.resamples} bootstrap resamples of items", *self.notes]
        paths = [Path(directory) / f"{name}.tsv" for name in names.values()]
        for name, path in zip(names, paths, strict=True):
            columns, rows = self.table(name)
            write_tsv(path, head, rows, columns)
        return paths


def _cells(row: Any) -> dict[str, Any]:
    cells = asdict(row)
    return cells | {f"m.{name}": value for name, value in cells.pop("metrics", {}).items()}
