"""Codecs against each other: BD figures, accuracy at equal rate, and which pairs of codecs differ.

    Sampled -> Curves of each codec -> Comparison (with the anchor), AtRate, Pair

Guarantees: nothing is extrapolated; a figure that does not exist is `nan` with a note that says why. All intervals of
differences are paired.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import InputError
from .bd import MIN_POINTS
from .curves import BD, Curves, bd_accuracy, bd_rate
from .grid import Grid, Sampled
from .rows import AtRate, Comparison, Pair
from .statistics import interval, spread

__all__ = ["at_rates", "compare", "curves_of", "pairs", "rates_of"]

_SERIES = ("1", "1.5", "2", "3", "5", "7")  # in every decade


def curves_of(sampled: Sampled, codec: str) -> Curves:
    """Accuracy over rate of one codec, in all resamples."""
    columns = sampled.grid.points_of(codec)
    return Curves.of(sampled.rates[:, columns], sampled.accuracies[:, columns])


def compare(grid: Grid, curves: Mapping[str, Curves], codec: str, anchor: str) -> Comparison:
    """BD figures of `codec` against `anchor`."""
    count, notes = len(grid.items), []
    few = [name for name in (anchor, codec) if len(grid.points_of(name)) < MIN_POINTS]
    if few:
        settings = len(grid.points_of(few[0]))
        notes.append(f"BD figures need {MIN_POINTS} settings, {few[0]} has {settings}")
        nothing = np.full(len(curves[codec].log_rates), np.nan)
        accuracy, rate = (BD(nothing, nothing, nothing) for _ in range(2))
    else:
        accuracy, rate = (figure(curves[anchor], curves[codec]) for figure in (bd_accuracy, bd_rate))
    ends = []
    for name, figure, shared in (("BD-accuracy", accuracy, "rate"), ("BD-rate", rate, "accuracy")):
        ends.append(interval(figure.values, count))
        if few:
            continue
        if np.isnan(figure.values[0]):
            notes.append(f"no {name}: the curves share no range of {shared}")
        elif ends[-1].missing:
            notes.append(f"{name} does not exist in {ends[-1].missing} of {len(figure.values) - 1} resamples")
    return Comparison(
        **grid.head,
        codec=codec,
        anchor=anchor,
        **spread("bd_points", accuracy.values[0], ends[0]),
        rate_low=float(accuracy.low[0]),
        rate_high=float(accuracy.high[0]),
        **spread("bd_rate", rate.values[0], ends[1]),
        accuracy_low=float(rate.low[0]),
        accuracy_high=float(rate.high[0]),
        note="; ".join(notes),
    )


def rates_of(
    grid: Grid, curves: Mapping[str, Curves], rates: Sequence[float] | Mapping[str, Sequence[float]] | None
) -> np.ndarray:
    """The rates [Q] at which the codecs of a grid are compared: those given, or round ones that two codecs cover."""
    given = rates.get(grid.source) if isinstance(rates, Mapping) else rates
    if given is not None:
        at = np.asarray(given, np.float64)
        if at.ndim != 1 or not (np.isfinite(at).all() and (at > 0).all()):
            raise InputError(f"rates to compare at are numbers above 0, found {given}")
        return at
    spans = [np.exp(of_codec.log_rates[0, [0, -1]]) for of_codec in curves.values()]
    lowest, highest = min(low for low, _ in spans), max(high for _, high in spans)
    decades = range(int(np.floor(np.log10(lowest))), int(np.ceil(np.log10(highest))) + 1)
    series = [float(f"{mantissa}e{decade}") for decade in decades for mantissa in _SERIES]
    return np.array([rate for rate in series if sum(low <= rate <= high for low, high in spans) >= min(2, len(spans))])


def at_rates(
    sampled: Sampled, curves: Mapping[str, Curves], at: np.ndarray, accuracies: Mapping[str, np.ndarray]
) -> list[AtRate]:
    """Every codec at every rate; `nan` with a note where it does not reach. accuracies: [R, rates] of each codec."""
    grid, rows = sampled.grid, []
    for q, rate in enumerate(at):
        for codec, values in accuracies.items():
            drops = sampled.accuracies[:, grid.identity] - values[:, q]
            accuracy, drop = interval(values[:, q], len(grid.items)), interval(drops, len(grid.items))
            note = ""
            if np.isnan(values[0, q]):
                low, high = np.exp(curves[codec].log_rates[0, [0, -1]])
                note = f"the settings of {codec} reach from {low:.4g} to {high:.4g}"
            elif accuracy.missing:
                note = f"out of reach in {accuracy.missing} of {len(values) - 1} resamples"
            figures = spread("accuracy", values[0, q], accuracy) | spread("drop", drops[0], drop)
            rows.append(AtRate(**grid.head, codec=codec, rate=float(rate), **figures, note=note))
    return rows


def pairs(grid: Grid, at: np.ndarray, accuracies: Mapping[str, np.ndarray]) -> list[Pair]:
    """All pairs that both have an accuracy at a rate."""
    rows = []
    for (q, rate), (codec, other) in itertools.product(enumerate(at), itertools.combinations(accuracies, 2)):
        differences = 100 * (accuracies[codec][:, q] - accuracies[other][:, q])
        if np.isnan(differences[0]):
            continue
        ends = interval(differences, len(grid.items))
        rows.append(
            Pair(
                **grid.head,
                rate=float(rate),
                codec=codec,
                other=other,
                **spread("difference_points", differences[0], ends),
                separated=ends.excludes_zero,
                smallest_points=(ends.high - ends.low) / 2,
            )
        )
    return rows
