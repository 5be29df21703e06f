"""Which distortion metric predicts what a network will still see.

Sampled -> means of a metric, means of accuracy, at all points -> Spearman's rank correlation, 95% interval
"""

from __future__ import annotations

import numpy as np

from ..codecs.codec import IDENTITY
from ..quality.metrics import lower_is_better
from .grid import Sampled
from .rows import Correlation
from .statistics import interval, spearman, spread

__all__ = ["correlate"]


def correlate(sampled: Sampled, metric: str) -> Correlation:
    """The row of one of the grid's metrics, or of the rate (any other name)."""
    grid = sampled.grid
    if metric in grid.metrics:
        means, accuracies = sampled.metrics[metric]
        items = int((~np.isnan(grid.metrics[metric])).any(axis=1).sum())
    else:
        means, accuracies, items = sampled.rates, sampled.accuracies, len(grid.items)
    signed = -means if lower_is_better(metric) else means
    columns = [p for p, (codec, _) in enumerate(grid.points) if codec != IDENTITY and not np.isnan(means[0, p])]
    overall = spearman(signed[:, columns], accuracies[:, columns])
    singles = []
    for codec in grid.codecs:
        own = [p for p in grid.points_of(codec) if p in columns]
        single = spearman(signed[:, own], accuracies[:, own])
        if not np.isnan(single[0]):
            singles.append(single)
    within = np.full_like(overall, np.nan)
    if singles:
        # In a resample a codec may be constant; its mean is then over the others.
        known = ~np.isnan(singles)
        np.divide(np.nansum(singles, axis=0), known.sum(0), out=within, where=known.any(0))
    ends = [interval(figure, items) for figure in (overall, within)]
    note = ""
    if np.isnan(overall[0]):
        note = "fewer than 3 points" if len(columns) < 3 else "metric or accuracy is the same at all points"
    figures = spread("over_points", overall[0], ends[0]) | spread("within_codecs", within[0], ends[1])
    head = grid.head | {"items": items}
    return Correlation(**head, metric=metric, points=len(columns), codecs=len(singles), **figures, note=note)
