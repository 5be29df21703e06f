"""How an encoder cuts a video into groups: at cuts, and otherwise after so many frames.

    thumbnails of neighbouring frames -> is_cut          frames at hand -> next_group

A long group has fewer frames that are coded alone. It never takes many more bytes, as no frame is dearer than alone.
An encoder holds all frames of a group, so a group has at most GROUP_PIXELS pixels, or one frame: 64 frames of
1920 x 1080, 16 of 3840 x 2160.
"""

from __future__ import annotations

import numpy as np

__all__ = ["GROUP_PIXELS", "LONGEST", "is_cut", "longest_group", "next_group", "thumbnail"]

LONGEST = 64
"""Frames of a group, but for what is left at the end of a shot."""
GROUP_PIXELS = 2**27
"""Of all frames of a group, but for one frame more at the end of a shot: the encoder holds four bytes of each."""
JUMP, TIMES = 18.0, 2.5
"""A cut changes thumbnails by more than JUMP grey levels, and by more than TIMES what the frames around it do."""
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


def longest_group(width: int, height: int, wanted: int) -> int:
    """How many frames a group should have. width, height: pixels of a frame; wanted: frames, if they are small."""
    return max(1, min(LONGEST, GROUP_PIXELS // (width * height), wanted))


def next_group(left: int, size: int, whole: bool) -> tuple[int, bool]:
    """How many frames the next group shows, and whether it is closed. left: frames at hand; size: that a group should
    have; whole: whether a cut, or the end, is behind them. All that is left of a shot is one group, if it is at most
    one frame more.
    """
    if whole and left <= size + 1:
        return left, True
    return min(size, left - 1), False
