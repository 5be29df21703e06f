"""Exponentials in integers, the same on every machine: what the float transforms take from a library.

    logarithms of gains at a rate -> exponential -> gains in fixed point          silu -> a table

Nothing here is float but the weights that are read, and these are rounded once by operations that IEEE 754 fixes.
"""

from __future__ import annotations

import numpy as np

from ...entropy.rate import QUALITY_LEVELS, QUALITY_ONE
from ...errors import ModelError

__all__ = ["exponential", "gains_at", "rounded", "silu_table"]

LOG_BITS = 20
"""Fractional bits of logarithms."""
ONE_BITS = 30
LN_2 = 2977044472
"""In units of 2^-32."""
TERMS = 12
MOST = 2**40
"""Weights in fixed point stay below it."""


def rounded(weight: np.ndarray, scale: float) -> np.ndarray:
    """float32 weights times a scale, to the nearest integer, ties to even: int64. Raises ModelError for numbers that
    are not finite or far too large.
    """
    wide = weight.astype(np.float64) * scale
    if not np.isfinite(wide).all() or (np.abs(wide) >= MOST).any():
        raise ModelError("the model's transforms have weights that are not finite, or too large for fixed point")
    return np.rint(wide).astype(np.int64)


def exponential(x: np.ndarray, bits: int) -> np.ndarray:
    """x: int64 in units of 2^-LOG_BITS, within +-32 -> e^x in units of 2^-bits, int64 below 2^48.

    x = k ln 2 + r, and e^r by Horner's rule on the series up to r^12 / 12!, each step rounded down.
    """
    fine = np.clip(x, -(32 << LOG_BITS), 32 << LOG_BITS) << (32 - LOG_BITS)
    k, r = np.divmod(fine, LN_2)
    one = 1 << ONE_BITS
    t = np.full_like(r, one)
    for n in range(TERMS, 0, -1):
        t = one + ((t * r) >> 32) // n
    shift = np.clip(ONE_BITS - bits - k, -17, 62)
    down = np.maximum(shift, 0)
    return ((t << np.maximum(-shift, 0)) + ((np.int64(1) << down) >> 1)) >> down


def gains_at(table: np.ndarray, rate: int, bits: int) -> np.ndarray:
    """An `IndexTable`'s logarithms [knots, C] float32, linear between knots, at a fixed-point index -> its gains [C] in
    units of 2^-bits. Raises ModelError.
    """
    knots, whole = rounded(table, 2.0**LOG_BITS), (QUALITY_LEVELS - 1) * QUALITY_ONE
    if len(knots) == 1:
        return exponential(knots[0], bits)
    below = min(rate * (len(knots) - 1) // whole, len(knots) - 2)
    beyond = rate * (len(knots) - 1) - below * whole
    low, high = knots[below], knots[below + 1]
    return exponential(low + ((high - low) * beyond + whole // 2) // whole, bits)


def silu_table(bits: int, most: int) -> np.ndarray:
    """x / (1 + e^-x) at -most, …, most - 1, all in units of 2^-bits: [2 most] int64."""
    x = np.arange(most + 1, dtype=np.int64)
    one = 1 << ONE_BITS
    sigma = (one << ONE_BITS) // (one + exponential(-(x << (LOG_BITS - bits)), ONE_BITS))
    above = (x * sigma + (one >> 1)) >> ONE_BITS
    return np.concatenate([(above - x)[:0:-1], above[:-1]])
