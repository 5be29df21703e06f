"""Chroma of a JPEG file of quarter size, from what libjpeg's "fancy" interpolation made of it.

    interpolated chroma of the pixels where it is sure -> chroma, int32 [2, rows, columns]

Each pixel is floor((9 c + 3 c' + 3 c'' + c''' + 7 or 8) / 16) of the four places around it, so between two bounds lies
a sum of whole numbers. First numbers are found that keep as many bounds as possible without being whole (accelerated
descent, Beck and Teboulle 2009); rounded, five places in six are right. Then small patterns of +1 and -1 are added
wherever fewer pixels break their bounds with them: smoothing hides what alternates, so most of what is wrong does.
"""

from __future__ import annotations

import numpy as np

from .quarter_chroma import smoothed

__all__ = ["unsmoothed"]

DESCENT = 50
"""Steps."""
FREE = 7.0
"""How far a sum may be from the middle of its bounds for nothing, in 1/16."""
STEEPNESS = 32.0**2
"""The largest gain of the interpolation and its transpose, in 1/16."""
PATTERNS = (
    [[1]],
    [[1, -1]],
    [[1], [-1]],
    [[1, -1], [-1, 1]],
    [[1, 1]],
    [[1], [1]],
    [[1, -1, 1]],
    [[1], [-1], [1]],
    [[1, 0], [0, -1]],
    [[0, 1], [-1, 0]],
    [[1, -1, 1], [-1, 1, -1]],
    [[1, -1], [-1, 1], [1, -1]],
    [[1, -1], [-1, 0]],
    [[1, -1], [0, 1]],
    [[0, 1], [1, -1]],
    [[-1, 0], [1, -1]],
)
MOST = 64
"""What a sum may be beyond its bounds for more, in 1/32."""


def unsmoothed(wanted: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """wanted: int32 [2, 2 rows, 2 columns], where sure [2 rows, 2 columns] what interpolation gave, elsewhere about
    that -> [2, rows, columns].
    """
    middle = (16 * wanted).astype(np.float32)
    middle[..., ::2] -= 0.5
    middle[..., 1::2] += 0.5
    found = _descended(middle, sure.astype(np.float32))
    return _patterned(np.rint(found).astype(np.int32), wanted, sure)


def _down(values: np.ndarray) -> np.ndarray:
    """The transpose of `smoothed`."""
    for axis in (2, 1):
        values = np.moveaxis(values, axis, 0)
        first, second = values[::2], values[1::2]
        out = 3 * (first + second)
        out[:-1] += first[1:]
        out[1:] += second[:-1]
        out[0] += first[0]
        out[-1] += second[-1]
        values = np.moveaxis(out, 0, axis)
    return values


def _descended(middle: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Numbers whose sums are near the middles: float32 [2, rows, columns]."""
    found = (middle[:, ::2, ::2] + middle[:, ::2, 1::2] + middle[:, 1::2, ::2] + middle[:, 1::2, 1::2]) / 64
    ahead, pace = found, 1.0
    for _ in range(DESCENT):
        away = (smoothed(ahead) - middle) * sure
        away -= away.clip(-FREE, FREE)
        new = ahead - _down(away) / np.float32(STEEPNESS)
        faster = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead = new + np.float32((pace - 1) / faster) * (new - found)
        found, pace = new, faster
    return found


def _patterned(chroma: np.ndarray, wanted: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Add patterns to whole numbers [2, rows, columns] where fewer bounds are broken with them."""
    rows, columns = chroma.shape[1:]
    # Twice the distance from the middle of the bounds, which are 15 away; a pixel more before, some more behind.
    margin = (0, 0), (1, 9), (1, 9)
    known = np.pad(np.broadcast_to(sure, wanted.shape), margin).astype(np.int16)
    for pattern in PATTERNS:
        away = 2 * smoothed(chroma) - 32 * wanted
        away[..., ::2] += 1
        away[..., 1::2] -= 1
        _add(chroma, np.array(pattern, np.int16), np.pad(away, margin).astype(np.int16) * known, known)
    return chroma


def _add(chroma: np.ndarray, pattern: np.ndarray, away: np.ndarray, known: np.ndarray) -> None:
    """Add one pattern, or its opposite, in all places. away, known: of the pixels, is changed alike."""
    high, wide = pattern.shape
    one = np.array([1, 3, 3, 1], np.int16)
    weights = np.zeros((2 * high + 2, 2 * wide + 2), np.int16)
    for i, j in np.ndindex(high, wide):
        weights[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += 2 * pattern[i, j] * np.outer(one, one)
    for p, q in np.ndindex(high + 1, wide + 1):
        # The last tile may lack its last row or column, which the pattern does not have.
        tiles = (chroma.shape[1] - p + 1) // (high + 1), (chroma.shape[2] - q + 1) // (wide + 1)
        if not all(tiles):
            continue
        ends = 2 * p + tiles[0] * len(weights), 2 * q + tiles[1] * weights.shape[1]
        area = slice(None), slice(2 * p, ends[0]), slice(2 * q, ends[1])
        cost = _cost(away[area], weights.shape)
        broken = cost > 0
        blocks, sure = (
            all_of[area].reshape(2, tiles[0], len(weights), tiles[1], -1).transpose(0, 1, 3, 2, 4)
            for all_of in (away, known)
        )
        before, effect = blocks[broken], weights * sure[broken]
        costs = [cost[broken], *(_beyond(before + sign * effect).sum((1, 2)) for sign in (1, -1))]
        chosen = np.array([0, 1, -1], np.int16)[np.argmin(costs, 0)]
        blocks[broken] = before + effect * chosen[:, None, None]
        step = np.zeros(cost.shape, np.int16)
        step[broken] = chosen
        for i, j in zip(*np.nonzero(pattern), strict=True):
            part = chroma[:, p + i :: high + 1, q + j :: wide + 1][:, : tiles[0], : tiles[1]]
            part += step * pattern[i, j]


def _beyond(away: np.ndarray) -> np.ndarray:
    """How far pixels are beyond their bounds."""
    beyond = np.abs(away)
    beyond -= 15
    return np.clip(beyond, 0, MOST, out=beyond)


def _cost(away: np.ndarray, tile: tuple[int, ...]) -> np.ndarray:
    """The same of the pixels of each tile together: [2, tiles, tiles]."""
    lines = _beyond(away).reshape(2, -1, tile[0], away.shape[2]).sum(2, dtype=np.int16)
    return lines.reshape(2, lines.shape[1], -1, tile[1]).sum(3)
