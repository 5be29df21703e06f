"""Vectors of blocks: where each 32 x 32 pixels of a frame come from in another. Only encoders search.

    luma of the frame, luma of its reference -> pyramid -> search -> vectors [rows, columns, 2] in half pixels

Sums of absolute differences, plus what a vector costs against its neighbours'; from an eighth of the resolution, where
everything within +-64 pixels is tried, down to half pixels. Floats: nothing here is decoded.
"""

from __future__ import annotations

import numpy as np

from .moved import BLOCK, TAPS, UNIT

__all__ = ["luma", "search"]

REACH = 64
"""Pixels that a vector may be long, along each axis."""
LEVELS = 3
"""Of the pyramid, each half as large as the one before."""
PRICE = 0.35
"""Of a bit, in grey levels a pixel of a row of a block."""


def luma(frame: np.ndarray) -> np.ndarray:
    """RGB [H, W, 3] -> [H', W'] float32, sides continued to multiples of BLOCK."""
    y = frame.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.pad(y, [(0, -side % BLOCK) for side in y.shape], "edge")


def search(frame: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Two planes of `luma` -> for each block of the frame its vector (down, right) to the reference, int32 in units of
    1 / UNIT pixels.
    """
    pyramid = [(frame, reference)]
    for _ in range(LEVELS):
        pyramid.append((_halved(pyramid[-1][0]), _halved(pyramid[-1][1])))
    v = _everywhere(*pyramid[LEVELS], BLOCK >> LEVELS, REACH >> LEVELS)
    for level in reversed(range(LEVELS)):
        v = _refined(*pyramid[level], BLOCK >> level, 2 * v, REACH >> level)
        if level:  # what neighbours have found
            v = _refined(*pyramid[level], BLOCK >> level, v, REACH >> level)
    return _halves(frame, reference, v * UNIT)


def _halved(plane: np.ndarray) -> np.ndarray:
    h, w = plane.shape
    return plane.reshape(h // 2, 2, w // 2, 2).mean((1, 3))


def _sums(difference: np.ndarray, block: int) -> np.ndarray:
    """[H, W] -> of each block, absolute."""
    h, w = difference.shape
    return np.abs(difference).reshape(h // block, block, w // block, block).sum((1, 3))


def _price(v: np.ndarray, predicted: np.ndarray, block: int) -> np.ndarray:
    apart = np.abs(v - predicted).sum(-1)
    return PRICE * block * (np.log2(1.0 + apart) * 2 + (np.abs(v).sum(-1) > 0))


def _everywhere(frame: np.ndarray, reference: np.ndarray, block: int, reach: int) -> np.ndarray:
    """The best of all vectors within a reach."""
    h, w = frame.shape
    wide = np.pad(reference, reach, "edge")
    best = np.full((h // block, w // block), np.inf)
    v = np.zeros((*best.shape, 2), np.int32)
    for dy, dx in sorted(np.ndindex(2 * reach + 1, 2 * reach + 1), key=lambda n: abs(n[0] - reach) + abs(n[1] - reach)):
        cost = _sums(frame - wide[dy : dy + h, dx : dx + w], block)
        at = np.array([dy - reach, dx - reach], np.int32)
        cost += _price(at, np.zeros(2), block)
        better = cost < best
        best[better], v[better] = cost[better], at
    return v


def _refined(frame: np.ndarray, reference: np.ndarray, block: int, v: np.ndarray, reach: int) -> np.ndarray:
    """Of a vector, those one pixel around it, those of its neighbours and none, the best."""
    predicted = _medians(v)
    padded = np.pad(v, ((1, 1), (1, 1), (0, 0)), "edge")
    rows, columns = v.shape[:2]
    near = [padded[i : i + rows, j : j + columns] for i, j in ((0, 1), (1, 0), (1, 2), (2, 1))]
    around = [v + np.array([i, j], np.int32) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    best, out = np.full(v.shape[:2], np.inf), v
    others = () if block == BLOCK else (*near, predicted.astype(np.int32))
    for candidate in (np.zeros_like(v), *around, *others):
        candidate = candidate.clip(-reach, reach)
        cost = _sums(frame - _shifted(reference, candidate, block), block) + _price(candidate, predicted, block)
        better = (cost < best)[..., None]
        best, out = np.minimum(best, cost), np.where(better, candidate, out)
    return out


def _halves(frame: np.ndarray, reference: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The best of a vector and those half a pixel around it."""
    predicted = _medians(v)
    best, out, planes = np.full(v.shape[:2], np.inf), v, _between(reference)
    for i, j in sorted(np.ndindex(3, 3), key=lambda n: n != (1, 1)):
        candidate = (v + np.array([i - 1, j - 1], np.int32)).clip(-REACH * UNIT, REACH * UNIT)
        candidate = np.where((v == 0).all(-1, keepdims=True), v, candidate)
        cost = _sums(frame - _shifted(planes, candidate >> 1, BLOCK, candidate & 1), BLOCK) + _price(
            candidate / UNIT, predicted / UNIT, BLOCK
        )
        better = (cost < best)[..., None]
        best, out = np.minimum(best, cost), np.where(better, candidate, out)
    return out


def _medians(v: np.ndarray) -> np.ndarray:
    padded = np.pad(v, ((1, 1), (1, 1), (0, 0)), "edge")
    rows, columns = v.shape[:2]
    return np.median([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], axis=0)


def _shifted(reference: np.ndarray, v: np.ndarray, block: int, plane: np.ndarray | None = None) -> np.ndarray:
    """Each block from where its vector, in whole pixels, says. plane: in which of several planes that is."""
    h, w = reference.shape[-2:]
    dy, dx = (np.repeat(np.repeat(v[..., n], block, 0), block, 1) for n in range(2))
    place = (np.arange(h)[:, None] + dy).clip(0, h - 1) * w + (np.arange(w) + dx).clip(0, w - 1)
    if plane is not None:
        place += np.repeat(np.repeat((2 * plane[..., 0] + plane[..., 1]) * h * w, block, 0), block, 1)
    return reference.reshape(-1)[place]


def _between(reference: np.ndarray) -> np.ndarray:
    """A plane, the places half a pixel to the right of its own, below, and both: [4, H, W], see `moved`."""
    right, down, both = (_filtered(reference, axes) for axes in ((1,), (0,), (0, 1)))
    return np.stack([reference, right, down, both])


def _filtered(plane: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    for axis in axes:
        wide = np.pad(plane, [(2, 3) if n == axis else (0, 0) for n in range(2)], "edge")
        count = plane.shape[axis]
        plane = np.zeros_like(plane)
        for n, tap in enumerate(TAPS):
            plane += np.float32(tap / 32) * wide.take(range(n, n + count), axis)
    return plane
