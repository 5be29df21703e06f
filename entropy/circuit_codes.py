"""Probabilities of circuits as codes of one byte, which a model file holds, and as integers, which are coded with.

rows of probabilities -> codes: logarithms in steps of 20 / 254 octaves -> integers, rows that sum to ONE
"""

from __future__ import annotations

import numpy as np

__all__ = ["KEPT", "ONE", "PARAMETER_BITS", "ZERO", "codes_of", "parameters_of"]

PARAMETER_BITS = 20
ONE = 1 << PARAMETER_BITS
"""Rows of parameters sum to ONE."""
ZERO = 255
"""The code of a parameter that is exactly zero."""
KEPT = 241
"""The code of 2^-19: the least for emissions, so that rounding down leaves more than nothing."""
_STEP = PARAMETER_BITS / 254
VALUES = np.append(np.round(ONE * 2.0 ** (-_STEP * np.arange(ZERO))), 0.0)
"""Code -> weight: steps of 0.079 octaves, so that a row is known to 1.6%, which costs 0.0002 bits a variable."""


def codes_of(p: np.ndarray, keep: bool) -> np.ndarray:
    """Non-negative [..., n] -> uint8 codes of p divided by its row's sum. keep: the smallest stay above zero, when rows
    have become integers too.
    """
    total = p.sum(-1, keepdims=True)
    p = np.where(total > 0, p / np.where(total > 0, total, 1), 1 / p.shape[-1])
    with np.errstate(divide="ignore"):
        codes = np.round(-np.log2(p) / _STEP)
    codes = np.where(codes > (KEPT if keep else ZERO - 1), KEPT if keep else ZERO, codes).astype(np.uint8)
    empty = (codes == ZERO).all(-1, keepdims=True)
    return np.where(empty, np.uint8(ZERO - 1), codes)


def parameters_of(codes: np.ndarray) -> np.ndarray:
    """uint8 codes [rows, n] -> parameters [rows, n], float64 integers, rows that sum to ONE: VALUES in proportion,
    rounded down, with what is left over given to the first of the largest. No row is all zero.

    A product is below 2^40 and a sum below 2^36, so a quotient that is rounded to the nearest has the right floor.
    """
    values = VALUES[codes]
    total = values.sum(-1, keepdims=True)
    values = np.floor(values * ONE / total)
    largest = codes.argmin(-1)[:, None]  # the first of the largest: codes count downwards
    rest = ONE - values.sum(-1, keepdims=True)
    np.put_along_axis(values, largest, np.take_along_axis(values, largest, -1) + rest, -1)
    return values
