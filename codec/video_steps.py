"""How much coarser the frames of each level are coded: by what others take over from them.

    y of frames and of the two that each lies between -> shares_of -> steps_of

A frame that others are coded from is worth more than its own error: what they inherit of it, they inherit with its
error. Where a frame inherits the share f of what it would take alone, half of it from each of two others, the errors
of frames of the next level, which lie beside it, count 1 + f times as much as its own. Bits and errors are in balance
where that, times the square of the step, is the same for all frames. The first frame of a still scene is finer than its
neighbours by up to 8, that of a restless one by 2. After macroblock-tree rate control (Garrett-Glaser, "A novel
macroblock-tree algorithm for high-performance optimization of dependent video coding in H.264/AVC", 2009), with levels
of frames in the place of blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..bitstream.groups import Step, levels_of

__all__ = ["shares_of", "steps_of"]

LEAST = (0.41, 0.42, 0.38, 0.32, 0.15, 0.14, 0.0)
"""Shares of level 1, 2, ... that are taken for granted: what moves is inherited, too, and is not seen here."""
SAMPLES = 4
"""Frames of each level that are looked at, evenly spread."""


def shares_of(y: Mapping[int, np.ndarray], steps: Sequence[Step]) -> list[float]:
    """y: of each frame of a group, in steps of its first one; steps: in which it is coded -> what frames of level 1, 2,
    ... inherit from those that they lie between, 0 to 1 each.
    """
    shares = []
    for level in range(1, levels_of(steps)):
        frames = [step for step in steps if step.level == level]
        count = min(SAMPLES, len(frames))
        alone = given = 0.0
        for step in (frames[(2 * n + 1) * len(frames) // (2 * count)] for n in range(count)):
            assert step.left is not None and step.right is not None
            own, between = y[step.frame], (y[step.left] + y[step.right]) / 2
            takes = _cost(own)
            alone, given = alone + takes, given + min(takes, _cost(own - between))
        shares.append(1 - given / alone if alone else 1.0)
    return shares


def steps_of(shares: Sequence[float]) -> tuple[float, ...]:
    """shares: of level 1, 2, ... -> by how much coarser than its group's first frame the frames of level 0, 1, 2, ...
    are coded. The first number is 1.
    """
    finer = np.sqrt(1 + np.maximum(np.asarray(shares, np.float64), LEAST[: len(shares)]))
    return 1.0, *(float(finer[n:].prod()) for n in range(len(finer)))


def _cost(y: np.ndarray) -> float:
    """About the bits that y takes: none where it is rounded to 0."""
    return float(np.log2(1 + np.maximum(np.abs(y) - np.float32(0.5), 0)).sum())
