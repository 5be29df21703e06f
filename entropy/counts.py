"""Tables made while coding, of integers: what circuits and mixtures hand to the coder, a row for each symbol."""

from __future__ import annotations

import numpy as np

from .arrays import Array, exponent, floored, plain, power, where_true
from .tables import TOTAL

__all__ = ["COUNT_BITS", "counts_of"]

COUNT_BITS = 29
"""Weights are cut to this many bits before they become counts: their product with 2^24 is exact in float64."""


def counts_of(weights: Array) -> np.ndarray:
    """weights [n, m] float64, non-negative integers with sums below 2^53 -> counts [n, m] float64: integers of at least
    1, rows that sum to TOTAL. With w the weights divided by the power of two that leaves their sum COUNT_BITS bits,
    rounded down, and W(j) the sum of the first j:  count(j) = 1 + floor(W(j+1) (TOTAL - m) / W(m)) - floor(W(j) (TOTAL
    - m) / W(m)).

    Products stay below 2^53, and a correctly rounded quotient of a number below 2^53 and one below 2^29 has the right
    floor, so float64 gives what integers would. Rows of zeros become uniform.
    """
    m = weights.shape[1]
    scale = power(COUNT_BITS - exponent(weights.sum(1)[:, None]))
    running = floored(weights * scale).cumsum(1)
    empty = running[:, -1:] == 0
    if bool(empty.any()):
        running = where_true(empty, np.arange(1.0, m + 1), running)
    edge = plain(floored(running * float(TOTAL - m) / running[:, -1:]))
    return np.diff(edge, axis=1, prepend=0.0) + 1.0
