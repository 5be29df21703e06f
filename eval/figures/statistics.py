"""What n items can tell: bootstrap intervals, McNemar's test, rank correlation, and whether labels fit their pictures.

    values [items, columns] -> means [1 + resamples, columns] -> any figure, row by row -> 95% interval

The bootstrap (Efron 1979) draws as many items as there are, with replacement, again and again, and recomputes the
figure each time; the interval lies between the 2.5% and the 97.5% point of what comes out (the percentile method). One
draw serves all columns, so differences between codecs are *paired*: an item that is hard for one codec is in both
means or in neither. Row 0 of all such matrices is the sample itself.

Guarantees: the same rows and the same number of resamples give the same intervals (the seed is fixed). Nothing is
told that cannot be known: below 6 items there are no intervals (six items that all agree are the first that a sign
test takes for more than chance), and a figure that does not exist in more than 5% of the resamples has none either. An
interval without width is one too: n items that are all right only say that fewer than about 3 in n are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ..quality._extras import extra

__all__ = [
    "LEVEL",
    "MIN_ITEMS",
    "MIN_RESAMPLES",
    "SEED",
    "Interval",
    "holm",
    "interval",
    "label_check",
    "mcnemar",
    "resampled_means",
    "spearman",
    "spread",
]

SEED = 2401
LEVEL = 0.95
MIN_ITEMS = 6  # 2 * 0.5^6 < 0.05 < 2 * 0.5^5
MIN_RESAMPLES = 40  # below, not one of them lies outside of the interval on either side
_MAX_MISSING = 0.05
_ROUNDING = 1e-9
_BLOCK = 1 << 21  # weights drawn at a time, so that memory does not grow with items times resamples
_CHANCE = 0.01
_FEW_CLASSES = 10


@dataclass(frozen=True)
class Interval:
    """A 95% interval; both ends `nan` where there is none. missing: resamples in which the figure does not exist."""

    low: float
    high: float
    missing: int = 0

    @property
    def excludes_zero(self) -> bool:
        """Whether the figure differs from 0, rounding apart."""
        return self.low > _ROUNDING or self.high < -_ROUNDING


def spread(name: str, value: float, ends: Interval) -> dict[str, Any]:
    """A figure with its interval, as the cells of a table's row: NAME, NAME_low, NAME_high."""
    return {name: float(value), f"{name}_low": ends.low, f"{name}_high": ends.high}


def resampled_means(values: np.ndarray, resamples: int, seed: int = SEED) -> np.ndarray:
    """Means of each column over the items [1 + resamples, C]; row 0: of all items, the others: of resampled ones.

    values: [items, C]; `nan` is left out of its column's means (`nan` where nothing is left), an infinite value makes
    a mean infinite. Raises `InputError` without items and for fewer than 40 resamples.
    """
    values = np.asarray(values, np.float64)
    count = len(values)
    if count == 0:
        raise InputError("no items, so there is nothing to resample")
    if resamples < MIN_RESAMPLES:
        raise InputError(f"a 95% interval needs at least {MIN_RESAMPLES} resamples, found {resamples}")
    known, infinite = ~np.isnan(values), np.isinf(values)
    finite = np.where(known & ~infinite, values, 0.0)
    random = np.random.default_rng(seed)
    means = np.empty((1 + resamples, values.shape[1]))
    means[0] = _means(np.ones((1, count)), values, finite, known, infinite)[0]
    rows = max(1, _BLOCK // count)
    for start in range(1, 1 + resamples, rows):
        block = means[start : start + rows]
        weights = random.multinomial(count, np.full(count, 1 / count), len(block)).astype(np.float64)
        block[:] = _means(weights, values, finite, known, infinite)
    return means


def _means(
    weights: np.ndarray, values: np.ndarray, finite: np.ndarray, known: np.ndarray, infinite: np.ndarray
) -> np.ndarray:
    """weights [R, items] of how often each item was drawn -> weighted means [R, C]."""
    if known.all():
        means = (weights @ finite) / weights.sum(1, keepdims=True)
    else:
        drawn = weights @ known.astype(np.float64)
        means = np.divide(weights @ finite, drawn, out=np.full(drawn.shape, np.nan), where=drawn > 0)
    if infinite.any():
        means[weights @ (values == np.inf) > 0] = np.inf
        means[weights @ (values == -np.inf) > 0] = -np.inf
    return means


def interval(figures: np.ndarray, items: int) -> Interval:
    """The 95% interval of a figure: figures [1 + resamples], row 0 (the figure itself) does not count.

    No interval (`nan`) where the figure itself does not exist, for fewer than 6 items, or where more than 5% of the
    resamples lack the figure.
    """
    resampled = figures[1:][~np.isnan(figures[1:])]
    missing = len(figures) - 1 - len(resampled)
    if np.isnan(figures[0]) or items < MIN_ITEMS or missing > _MAX_MISSING * (len(figures) - 1):
        return Interval(np.nan, np.nan, missing)
    ends = np.percentile(resampled, (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
    return Interval(float(ends[0]), float(ends[1]), missing)


def mcnemar(before: np.ndarray, after: np.ndarray) -> tuple[int, int, float]:
    """(lost, gained, p): items right before and wrong after, the reverse, and how likely a split at least as uneven is
    if compression turns answers both ways alike (exact, two-sided: McNemar 1947 with the binomial distribution).

    before, after: bool [items].
    """
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    if lost + gained == 0:
        return 0, 0, 1.0
    return lost, gained, float(extra("scipy.stats").binomtest(lost, lost + gained, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for their number (Holm 1979): below 0.05 still means one false alarm in twenty *tables*."""
    order = np.argsort(p_values)
    factors = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.asarray(p_values, float)[order]))
    return adjusted.tolist()


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each row [R], ties ranked by their mean; a, b: [R, points].

    `nan` for rows with a `nan`, with fewer than 3 points, or in which one side is constant.
    """
    if a.shape[1] < 3:
        return np.full(len(a), np.nan)
    rank = extra("scipy.stats").rankdata
    # In float32: means that differ by a rounding of float64 are ties.
    ranks = [rank(side.astype(np.float32), axis=1) - (side.shape[1] + 1) / 2 for side in (a, b)]
    spread = np.sqrt(np.square(ranks[0]).sum(1) * np.square(ranks[1]).sum(1))
    product = (ranks[0] * ranks[1]).sum(1)
    usable = (spread > 0) & ~np.isnan(a).any(1) & ~np.isnan(b).any(1)
    return np.divide(product, spread, out=np.full(len(a), np.nan), where=usable)


def label_check(scores: np.ndarray, classes: int | None = None, agreement: float = np.nan) -> str:
    """A sentence if a network is no better than chance on the *originals*, else "": labels that were shuffled, or that
    belong to other pictures, are noticed here, while agreement would look as good as ever.

    scores: of the originals [items], only 0 and 1; classes: how many there are (unknown: 10 are assumed, so that a
    network of few classes is not accused); agreement: the network's highest mean agreement with itself on compressed
    items, 0 to 1. Chance: one-sided binomial test, p > 0.01.
    """
    if classes is not None and classes < 2:
        raise InputError(f"a classifier needs at least 2 classes, found {classes}")
    scores = np.asarray(scores, np.float64)
    if not len(scores) or not np.isin(scores, (0.0, 1.0)).all():
        return ""
    right, count = int(scores.sum()), len(scores)
    chance = 1 / (classes or _FEW_CLASSES)
    if extra("scipy.stats").binomtest(right, count, chance, alternative="greater").pvalue <= _CHANCE:
        return ""
    note = f"the network is right on {right} of {count} originals, which is what chance gives"
    if agreement >= 0.5:
        note += f", although it agrees with itself on {100 * agreement:.0f}% of the compressed ones"
    return f"{note}: are the labels those of these items?"
