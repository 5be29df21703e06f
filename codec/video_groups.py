"""How an encoder cuts a video into groups: at cuts, and otherwise into 8, 16 or 32 frames by what they may cost.

    thumbnails of neighbouring frames -> is_cut          latents of the next frames -> group_size

Both look at what is at hand already; nothing is encoded to find out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["LONGEST", "SIZES", "STEPS", "group_size", "is_cut", "thumbnail"]

SIZES = (8, 16, 32)
LONGEST = SIZES[-1]
JUMP, TIMES = 18.0, 2.5
"""A cut changes thumbnails by more than JUMP grey levels, and by more than TIMES what the frames around it do."""
STEPS = (1.0, 1.75, 1.55, 1.37, 1.22, 1.1, 1.0, 1.0)
"""By how much coarser than its group's first frame the frames of each level are coded; between two others, each at a
distance of 2^n frames, a frame is on level n + 1 (see `bitstream.groups`).
"""
SIDE = 8
"""Rows and columns of a thumbnail."""


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> the means of SIDE x SIDE parts, [SIDE, SIDE, 3] float32."""
    rows, columns = (np.linspace(0, n, SIDE + 1).astype(int) for n in frame.shape[:2])
    parts = np.add.reduceat(np.add.reduceat(frame.astype(np.float32), rows[:-1], 0), columns[:-1], 1)
    area = np.maximum(np.diff(rows), 1)[:, None] * np.maximum(np.diff(columns), 1)
    return parts / area[..., None]


def is_cut(before: np.ndarray, frame: np.ndarray, after: np.ndarray | None, last: float) -> bool:
    """Whether a frame begins something new. Thumbnails of it and of its neighbours (None: it is the last one); last: by
    how much the one before differs from its own predecessor.
    """
    jump = difference(before, frame)
    around = max(last, 0.0 if after is None else difference(frame, after))
    return jump > JUMP and jump > TIMES * around


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Grey levels by which two thumbnails differ, on average."""
    return float(np.abs(a - b).mean())


def group_size(y: Sequence[np.ndarray]) -> int:
    """Of 8, 16 and 32, the size with which the frames are likely to take the fewest bits. y: latents [M, h, w] of the
    next frames and of the one after them, LONGEST + 1 at most.
    """
    count = len(y) - 1
    sizes = [size for size in SIZES if size <= count] or [max(1, count)]
    alone = _bits(y[0], 1.0)
    between = {
        distance: sum(
            _bits(y[n] - 0.5 * (y[n - distance] + y[n + distance]), step)
            for n in range(distance, count, 2 * distance)
            if n + distance <= count
        )
        for distance, step in zip((1, 2, 4, 8, 16), STEPS[1:], strict=False)
    }

    def cost(size: int) -> float:
        return alone * (count // size) + sum(bits for distance, bits in between.items() if distance < size)

    return min(sizes, key=cost)


def _bits(residual: np.ndarray, step: float) -> float:
    """About what a residual costs: half the logarithm of 1 + twice its energy in steps."""
    return float(np.log2(1 + 2 * np.square(residual / step)).sum()) / 2
