"""The quality index: one model serves all rates.

Indices run from 0 to QUALITY_LEVELS - 1. Files hold them in fixed point, QUALITY_ONE standing for 1; gains and offsets
between two whole indices are interpolated in integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["BANKS", "QUALITY_LEVELS", "QUALITY_ONE", "bank_of", "rows_at"]

QUALITY_LEVELS = 64
"""Quality indices run from 0 to QUALITY_LEVELS - 1."""
QUALITY_ONE = 256
"""Quality indices are fixed point in coding: QUALITY_ONE stands for 1."""
BANKS = 8
"""Banks of tables, spread evenly over the 64 quality indices."""


def bank_of(index: int, banks: int = BANKS) -> int:
    """Quality index, rounded down -> bank number. banks: how many there are."""
    return index * banks // QUALITY_LEVELS


def rows_at(table: np.ndarray, quality: Sequence[int]) -> np.ndarray:
    """table: integers [QUALITY_LEVELS, C]; quality: B fixed-point indices -> its rows there, [B, C] int64."""
    q = np.asarray(quality, np.int64)
    below = np.minimum(q // QUALITY_ONE, QUALITY_LEVELS - 2)
    fraction = (q - below * QUALITY_ONE)[:, None]
    return (table[below] * (QUALITY_ONE - fraction) + table[below + 1] * fraction + QUALITY_ONE // 2) // QUALITY_ONE
