"""A picture with its blocks moved, in integers: what a frame is predicted from where things move.

    samples [H, W, C], vectors of blocks of 32 x 32 pixels -> samples

A vector (down, right) in half pixels says where in the picture a block comes from; between pixels a filter of six taps
along each axis finds samples; beyond the border its samples are repeated. Everything is integers.
"""

from __future__ import annotations

import numpy as np

__all__ = ["BLOCK", "UNIT", "moved"]

BLOCK = 32
"""Pixels a side."""
UNIT = 2
"""Vectors are in units of 1 / UNIT pixels."""
TAPS = 1, -5, 20, 20, -5, 1
"""Between two pixels, in 32nds."""


def moved(samples: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """samples uint8 [H, W, C]; vectors [rows, columns, 2] int32 in half pixels, a block each, those of the
    last row and column cut -> the same shape.
    """
    h, w = samples.shape[:2]
    out = samples.copy()
    still = (vectors == 0).all(-1)
    for row, column in zip(*np.nonzero(~still), strict=True):
        top, left = BLOCK * row, BLOCK * column
        down, right = vectors[row, column].tolist()
        height, width = min(BLOCK, h - top), min(BLOCK, w - left)
        y, x = top + (down >> 1), left + (right >> 1)
        rows = np.arange(y - 2, y + height + 3).clip(0, h - 1)
        columns = np.arange(x - 2, x + width + 3).clip(0, w - 1)
        part = samples[rows[:, None], columns]
        part = _between(part, 0) if down & 1 else part[2:-3]
        part = _between(part, 1) if right & 1 else part[:, 2:-3]
        out[top : top + height, left : left + width] = part
    return out


def _between(part: np.ndarray, axis: int) -> np.ndarray:
    """Halfway between the samples, five fewer along an axis."""
    wide = np.moveaxis(part, axis, 0).astype(np.int32)
    count = len(wide) - 5
    sums = np.full_like(wide[:count], 16)
    for n, tap in enumerate(TAPS):
        sums += tap * wide[n : n + count]
    return np.moveaxis((sums >> 5).clip(0, 255).astype(np.uint8), 0, axis)
