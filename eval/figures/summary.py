"""From coded files to figures: everything that the tables of a run say, computed from its rows alone.

    rows -> Grid [items, points] -> means [1 + resamples, points] -> points, BD figures, accuracy at equal rate,
                                                                     pairs of codecs, metrics that predict accuracy

The resamples are drawn once for a task, and every figure is computed in each of them from the means up: mean rates,
mean accuracies, curves, areas, differences. So an interval contains all that the choice of items moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import InputError
from ..tasks.task import ItemRow
from .classes import by_class
from .comparison import at_rates, compare, curves_of, pairs, rates_of
from .correlation import correlate
from .grid import Grid, Sampled, grids_of, sample
from .rows import Point, Summary
from .statistics import MIN_ITEMS, holm, interval, label_check, mcnemar, spread

__all__ = ["summarise"]


def summarise(
    rows: Sequence[ItemRow],
    anchor: str | None = None,
    rates: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    resamples: int = 2000,
    classes: Mapping[str, int] | None = None,
) -> Summary:
    """All figures of a run.

    rows: with those of the codec `identity`; anchor: what BD figures refer to, by default jpeg or opus where it takes
    part, else the first codec of a source; rates: where codecs are compared at equal rate, bits a unit, for all sources
    or for each by name, by default round numbers that at least two codecs cover; classes: how many a task has, by its
    name, for the check of its labels.

    Raises `InputError` for rows that cannot be summarised (see `grid`), an anchor that no source has, rates that are
    not positive, and fewer than 40 resamples.
    """
    grids, notes = grids_of(rows)
    if anchor is not None and not any(anchor in grid.codecs for grid in grids):
        known = ", ".join(dict.fromkeys(codec for grid in grids for codec in grid.codecs))
        raise InputError(f"the anchor {anchor!r} is not among the codecs: {known or 'only identity'}")
    points, comparisons, equal, different, correlations, classes_of, confusions = [], [], [], [], [], [], []
    for grid in grids:
        what = f"{grid.source}, {grid.task}"
        if len(grid.items) < MIN_ITEMS:
            notes.append(f"{what}: intervals need at least {MIN_ITEMS} items, found {len(grid.items)}")
        label_note = _check_labels(grid, (classes or {}).get(grid.task))
        if label_note:
            notes.append(f"{what}: {label_note}")
        sampled = sample(grid, resamples)
        points += _points(sampled)
        shares, taken = by_class(grid, rows)
        classes_of += shares
        confusions += taken
        correlations += [correlate(sampled, metric) for metric in dict.fromkeys(("rate", *grid.metrics))]
        if not grid.codecs:
            continue
        curves = {codec: curves_of(sampled, codec) for codec in grid.codecs}
        usual = [codec for codec in ("jpeg", "opus") if codec in curves]
        reference = anchor if anchor in curves else [*usual, *grid.codecs][0]
        comparisons += [compare(grid, curves, codec, reference) for codec in curves if codec != reference]
        at = rates_of(grid, curves, rates)
        accuracies = {codec: of_codec.accuracy_at(at) for codec, of_codec in curves.items()}
        equal += at_rates(sampled, curves, at, accuracies)
        different += pairs(grid, at, accuracies)
    return Summary(
        points=tuple(points),
        comparisons=tuple(comparisons),
        at_rates=tuple(equal),
        pairs=tuple(different),
        correlations=tuple(correlations),
        notes=tuple(notes),
        resamples=resamples,
        classes=tuple(classes_of),
        confusions=tuple(confusions),
    )


def _points(sampled: Sampled) -> list[Point]:
    grid, count = sampled.grid, len(sampled.grid.items)
    right = grid.scores == 1.0
    tests = {}
    if grid.kind == "score":
        others = [p for p in range(len(grid.points)) if p != grid.identity]
        plain = [mcnemar(right[:, grid.identity], right[:, p]) for p in others]
        adjusted = holm([p_value for *_, p_value in plain])
        tests = {p: (*test, p_holm) for p, test, p_holm in zip(others, plain, adjusted, strict=True)}
    rows = []
    for p, (codec, setting) in enumerate(grid.points):
        drops = sampled.accuracies[:, grid.identity] - sampled.accuracies[:, p]
        columns = {"score": sampled.scores[:, p], "drop": drops, "agreement": sampled.agreements[:, p]}
        columns["top5"] = sampled.top5[:, p]
        figures = [spread(name, values[0], interval(values, count)) for name, values in columns.items()]
        lost, gained, p_value, p_holm = tests.get(p, (np.nan,) * 4)
        metrics = {name: float(means[0, p]) for name, (means, _) in sampled.metrics.items()}
        rows.append(
            Point(
                **grid.head,
                codec=codec,
                setting=setting,
                bytes=float(grid.bytes[:, p].mean()),
                rate=float(sampled.rates[0, p]),
                **figures[0],
                **figures[1],
                **figures[2],
                **figures[3],
                lost=float(lost),
                gained=float(gained),
                p=p_value,
                p_holm=p_holm,
                metrics={name: value for name, value in metrics.items() if not np.isnan(value)},
            )
        )
    return rows


def _check_labels(grid: Grid, classes: int | None) -> str:
    if grid.kind != "score":
        return ""
    others = np.delete(grid.agreements, grid.identity, axis=1)
    return label_check(grid.scores[:, grid.identity], classes, float(others.mean(0).max()) if others.size else np.nan)
