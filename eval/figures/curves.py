"""Accuracy over rate as a curve, of the sample and of all its resamples at once; BD-accuracy and BD-rate.

    mean rates, mean accuracies [R, K] -> monotone fit -> PCHIP over ln rate -> accuracy at a rate, areas between curves

    BD-accuracy = 100 * mean over ln r in [low, high]  of  A_test(r) - A_anchor(r)                     (percent points)
    BD-rate     = 100 * (exp( mean over a in [low, high] of  ln r_test(a) - ln r_anchor(a) ) - 1)      (percent)

Each row of a matrix is one resample, row 0 the sample itself. Accuracy, unlike PSNR, may fall from one setting to the
next larger file by chance; the fit is the non-decreasing one with least squares (isotonic regression, all settings
alike), through which monotone cubic polynomials go (PCHIP, Fritsch and Butland 1984), integrated exactly.

The fit has plateaus, so rate as a function of accuracy needs a choice: an accuracy costs the *lowest* rate at which the
fit reaches it. That is `bd.Curve.staircase` on the fitted points, and row 0 is what `bd.bd_rate` says of them.

Guarantees: nothing is extrapolated. A figure outside of what the curves cover is `nan`, each row judged by itself.
PCHIP is written out here because scipy's takes one row of x a call, a hundred times slower; tests hold it to scipy's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..quality._extras import extra

__all__ = ["BD", "Curves", "Pchip", "bd_accuracy", "bd_rate", "isotonic"]

# Two mean rates of a resample may coincide, and a polynomial needs them apart; in ln rate.
_APART = 1e-9
# Steps of the fit below this are rounding, not accuracy.
_STEP = 1e-9


@dataclass(frozen=True, eq=False)
class Pchip:
    """Monotone cubic interpolation of R rows: x, y, slopes [R, K], x increasing along a row, K at least 2."""

    x: np.ndarray
    y: np.ndarray
    slopes: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> Pchip:
        step, rise = np.diff(x), np.diff(y) / np.diff(x)
        if x.shape[1] == 2:
            return cls(x, y, np.repeat(rise, 2, axis=1))
        slopes = np.zeros_like(y)
        before, after = rise[:, :-1], rise[:, 1:]
        a, b = step[:, :-1] + 2 * step[:, 1:], 2 * step[:, :-1] + step[:, 1:]
        turns = before * after <= 0
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes[:, 1:-1] = np.where(turns, 0.0, 3 * (step[:, :-1] + step[:, 1:]) / (a / before + b / after))
        slopes[:, 0] = _end(step[:, 0], step[:, 1], rise[:, 0], rise[:, 1])
        slopes[:, -1] = _end(step[:, -1], step[:, -2], rise[:, -1], rise[:, -2])
        return cls(x, y, slopes)

    def __call__(self, at: np.ndarray) -> np.ndarray:
        """Values at `at` [Q] or [R, Q] -> [R, Q]; `nan` outside of the row's x."""
        at = np.broadcast_to(at, (len(self.x), np.shape(at)[-1]))
        (x, y, s), (x1, y1, s1) = self._segments(at)
        h = x1 - x
        t = (at - x) / h
        u = 1 - t
        values = u * u * ((1 + 2 * t) * y + t * h * s) + t * t * ((1 + 2 * u) * y1 - u * h * s1)
        return np.where((at >= self.x[:, :1]) & (at <= self.x[:, -1:]), values, np.nan)

    def mean(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Mean over low..high, each [R] -> [R]; `nan` unless low < high and both lie within the row's x."""
        inside = (low < high) & (low >= self.x[:, 0]) & (high <= self.x[:, -1])
        area = self._area(np.stack([low, high], axis=1))
        return np.divide(area[:, 1] - area[:, 0], high - low, out=np.full(len(low), np.nan), where=inside)

    def _area(self, at: np.ndarray) -> np.ndarray:
        """Integral from the row's first x to `at` [R, Q]."""
        h = np.diff(self.x)
        wholes = h * (self.y[:, :-1] + self.y[:, 1:]) / 2 + h * h * (self.slopes[:, :-1] - self.slopes[:, 1:]) / 12
        before = np.concatenate([np.zeros((len(h), 1)), np.cumsum(wholes, axis=1)], axis=1)
        (x, y, s), (x1, y1, s1) = self._segments(at)
        h = x1 - x
        t = (at - x) / h
        t2, t3, t4 = t**2, t**3, t**4
        part = y * (t - t3 + t4 / 2) + y1 * (t3 - t4 / 2)
        part += h * (s * (t2 / 2 - 2 * t3 / 3 + t4 / 4) + s1 * (t4 / 4 - t3 / 3))
        return np.take_along_axis(before, self._index(at), axis=1) + h * part

    def _index(self, at: np.ndarray) -> np.ndarray:
        """The segment that each `at` is in, the first or last for those outside."""
        return (at[:, :, None] >= self.x[:, None, 1:-1]).sum(-1)

    def _segments(self, at: np.ndarray) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """x, y and slope at the beginning and at the end of the segments."""
        index = self._index(at)
        sides = [[np.take_along_axis(v, i, axis=1) for v in (self.x, self.y, self.slopes)] for i in (index, index + 1)]
        return tuple(sides[0]), tuple(sides[1])


@dataclass(frozen=True, eq=False)
class Curves:
    """One codec's accuracy over rate in R resamples: log_rates and accuracies [R, K], both non-decreasing along K.

    log_rates: of mean rates, strictly increasing; accuracies: the monotone fit, 0 to 1.
    """

    log_rates: np.ndarray
    accuracies: np.ndarray

    @classmethod
    def of(cls, rates: np.ndarray, accuracies: np.ndarray) -> Curves:
        """rates: mean rates > 0, accuracies: 0 to 1, both [R, K], settings in any order.

        Settings that have the same rate in row 0 count as one, with their mean accuracy. Raises `InputError` for other
        shapes and for what is not finite.
        """
        rates, accuracies = np.asarray(rates, np.float64), np.asarray(accuracies, np.float64)
        if rates.shape != accuracies.shape or rates.ndim != 2 or not rates.size:
            raise InputError(f"curves need rates and accuracies [R, K], found {rates.shape} and {accuracies.shape}")
        if not (np.isfinite(rates).all() and (rates > 0).all() and np.isfinite(accuracies).all()):
            raise InputError("curves need rates above 0 and accuracies that are numbers")
        _, group = np.unique(rates[0], return_inverse=True)
        share = (group[:, None] == np.arange(group.max() + 1)) / np.bincount(group)  # [settings, K]
        x, y = np.log(rates @ share), accuracies @ share
        order = np.argsort(x, axis=1, kind="stable")
        x, y = np.take_along_axis(x, order, axis=1), np.take_along_axis(y, order, axis=1)
        ramp = _APART * np.arange(x.shape[1])
        return cls(np.maximum.accumulate(x - ramp, axis=1) + ramp, isotonic(y))

    def accuracy_at(self, rates: np.ndarray) -> np.ndarray:
        """Accuracy at rates [Q] -> [R, Q]; `nan` outside of what a row covers, and for a single setting."""
        rates = np.asarray(rates, np.float64)
        if self.log_rates.shape[1] < 2:
            return np.full((len(self.log_rates), len(rates)), np.nan)
        at, x = np.log(rates)[None, :], self.log_rates
        ends = np.clip(at, x[:, :1], x[:, -1:])
        return Pchip.of(x, self.accuracies)(np.where(np.abs(at - ends) < _APART, ends, at))


@dataclass(frozen=True, eq=False)
class BD:
    """A BD figure of R rows, and the range that each holds for (rates, or accuracies 0 to 1), or `nan`.

    values, low, high: [R].
    """

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bd_accuracy(anchor: Curves, test: Curves, low: float = 0.0, high: float = np.inf) -> BD:
    """Mean difference in accuracy, in percent points, over the rates in low..high that both curves cover."""
    start, end = np.log(low) if low > 0 else -np.inf, np.log(high)
    first, last = _shared(anchor.log_rates, test.log_rates, start, end)
    means = []
    for curves in (test, anchor):
        if curves.log_rates.shape[1] < 2:
            return BD(*np.full((3, len(first)), np.nan))
        means.append(Pchip.of(curves.log_rates, curves.accuracies).mean(first, last))
    return _bd(100 * (means[0] - means[1]), np.exp(first), np.exp(last))


def bd_rate(anchor: Curves, test: Curves, low: float = 0.0, high: float = 1.0) -> BD:
    """How many percent more bytes `test` needs for the same accuracy, over the accuracies in low..high that both reach.

    Negative: fewer.
    """
    first, last = _shared(anchor.accuracies, test.accuracies, low, high)
    logs = [_mean_log_rate(curves, first, last) for curves in (test, anchor)]
    return _bd(100 * np.expm1(logs[0] - logs[1]), first, last)


def isotonic(y: np.ndarray) -> np.ndarray:
    """The non-decreasing row that is closest to each row of y [R, K] in least squares."""
    fit = extra("scipy.optimize").isotonic_regression
    return np.array([fit(row).x for row in y])


def _end(h0: np.ndarray, h1: np.ndarray, rise0: np.ndarray, rise1: np.ndarray) -> np.ndarray:
    """Slope at an end: that of a parabola through three points, bent so that the curve stays monotone."""
    slope = ((2 * h0 + h1) * rise0 - h0 * rise1) / (h0 + h1)
    slope = np.where(np.sign(slope) != np.sign(rise0), 0.0, slope)
    steep = (np.sign(rise0) != np.sign(rise1)) & (np.abs(slope) > 3 * np.abs(rise0))
    return np.where(steep, 3 * rise0, slope)


def _shared(a: np.ndarray, b: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """The part of low..high that rows of both a and b (non-decreasing) cover; empty if not first < last."""
    return np.maximum(np.maximum(a[:, 0], b[:, 0]), low), np.minimum(np.minimum(a[:, -1], b[:, -1]), high)


def _bd(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> BD:
    missing = np.isnan(values)
    return BD(values, np.where(missing, np.nan, low), np.where(missing, np.nan, high))


def _mean_log_rate(curves: Curves, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Mean of ln rate over accuracies low..high, each [R] -> [R]; `nan` where a row does not cover them."""
    y = curves.accuracies
    rises = np.concatenate([np.ones((len(y), 1), bool), np.diff(y) > _STEP], axis=1)  # the first point of each plateau
    order = np.argsort(~rises, axis=1, kind="stable")  # they come first
    x, y = np.take_along_axis(curves.log_rates, order, axis=1), np.take_along_axis(y, order, axis=1)
    counts = rises.sum(1)
    means = np.full(len(y), np.nan)
    for count in np.unique(counts[counts > 1]):  # rows with equally many points make one batch
        rows = counts == count
        knots = y[rows, :count]
        means[rows] = Pchip.of(knots, x[rows, :count]).mean(low[rows], np.minimum(high[rows], knots[:, -1]))
    return means
