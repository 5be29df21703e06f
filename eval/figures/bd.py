"""BD-rate: how many percent more (or fewer) bytes one codec needs than another at equal quality.

    two rate-quality curves -> one percentage, with the range of quality over which it holds

    BD = exp( mean over q in [low, high] of  ln R_test(q) - ln R_anchor(q) ) - 1

Bjontegaard, VCEG-M33 (2001), with the interpolation that later practice settled on: ln R as a function of quality
through piecewise cubic Hermite polynomials that keep monotone data monotone (PCHIP; Fritsch and Carlson 1980),
integrated exactly. A cubic fitted through all points, as in the original paper, overshoots between uneven points.

Guarantees: nothing is extrapolated. The integral runs over the part of the range asked for that *both* curves cover,
and the result says which part that was: a number over 28-34 dB is not the number over 26-36 dB.

Which points count: points with a rate that is not positive, or with a quality that is not finite, are left out.
(Identical pictures have infinite PSNR; `rates` counts them as 60 dB, so that their points stay.) Of the rest only the
upper-left staircase stays: a point that costs at least as much as another and is no better is one that no user would
choose, and it would make rate a many-valued function of quality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..quality._extras import extra

__all__ = ["BD", "MIN_POINTS", "Curve", "bd_rate"]

# With two points PCHIP is a straight line: a slope, not a curve.
MIN_POINTS = 3


@dataclass(frozen=True)
class Curve:
    """One codec's operating points on one picture, or the mean over many: rates in bpp (> 0), qualities in dB."""

    rates: tuple[float, ...]
    qualities: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.qualities):
            raise InputError(f"a curve of {len(self.rates)} rates cannot have {len(self.qualities)} qualities")

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]]) -> Curve:
        """The curve through (rate, quality) pairs, in any order."""
        return cls(tuple(float(rate) for rate, _ in points), tuple(float(quality) for _, quality in points))

    def staircase(self) -> Curve:
        """The usable points: finite, by rising rate, each strictly better than every cheaper one. May be empty."""
        kept: list[tuple[float, float]] = []
        for rate, quality in sorted(zip(self.rates, self.qualities, strict=True), key=lambda p: (p[0], -p[1])):
            usable = math.isfinite(rate) and rate > 0 and math.isfinite(quality)
            if usable and (not kept or quality > kept[-1][1]):
                kept.append((rate, quality))
        return Curve.of(kept)


@dataclass(frozen=True)
class BD:
    """A BD-rate and the range of quality that it holds for.

    percent: negative means that the test curve needs fewer bytes than the anchor; low_used, high_used: the integrated
    range of quality; coverage: the share, 0..1, of the range asked for that it makes up.
    """

    percent: float
    low_used: float
    high_used: float
    coverage: float


def bd_rate(anchor: Curve, test: Curve, low: float = 26.0, high: float = 36.0) -> BD:
    """BD-rate of `test` against `anchor` over qualities low..high (dB), where both have them.

    Raises `InputError` when low >= high, when a curve has fewer than 3 usable points, or when the two curves share no
    quality within low..high.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"a range of quality needs low < high, found {low:g}..{high:g}")
    curves = {"anchor": anchor.staircase(), "test": test.staircase()}
    for role, curve in curves.items():
        if len(curve.rates) < MIN_POINTS:
            raise InputError(f"the {role} curve has {len(curve.rates)} usable points, a BD-rate needs {MIN_POINTS}")
    low_used = max(low, *(curve.qualities[0] for curve in curves.values()))
    high_used = min(high, *(curve.qualities[-1] for curve in curves.values()))
    if not low_used < high_used:
        spans = ", ".join(f"{role} {c.qualities[0]:.2f}..{c.qualities[-1]:.2f}" for role, c in curves.items())
        raise InputError(f"the curves share no quality within {low:g}..{high:g} ({spans})")
    integrals = [_integral(curve, low_used, high_used) for curve in (curves["test"], curves["anchor"])]
    mean_log_ratio = (integrals[0] - integrals[1]) / (high_used - low_used)
    return BD(100.0 * math.expm1(mean_log_ratio), low_used, high_used, (high_used - low_used) / (high - low))


def _integral(curve: Curve, low: float, high: float) -> float:
    """Integral of ln R over quality, from low to high."""
    interpolate = extra("scipy.interpolate")
    return float(interpolate.PchipInterpolator(curve.qualities, np.log(curve.rates)).integrate(low, high))
