"""Windows: a large plane is worked through in parts that fit into memory, and comes out as if it had been one.

    plane [h, w] -> windows, each with a margin -> network -> the cores of the results, side by side

A network whose output depends on at most `margin` positions around it gives the same core, to a rounding, whether it
sees the window or the whole plane. At the plane's own borders a window has no margin: there the network sees what it
would see in the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Window", "windows"]


@dataclass(frozen=True)
class Window:
    """Slices (rows, columns): `take`, what the network gets; `core`, where the result belongs; `keep`, its place in
    what the network returns.
    """

    take: tuple[slice, slice]
    core: tuple[slice, slice]
    keep: tuple[slice, slice]


def windows(height: int, width: int, margin: int, most: int) -> Iterator[Window]:
    """Windows whose cores cover a plane of height x width once. most: positions in a window, margins included; it is
    exceeded only where margins alone would fill it.
    """
    rows, columns = _split(height, width, margin, max(most, (4 * margin) ** 2, 1))
    for top, bottom in _runs(height, rows):
        for left, right in _runs(width, columns):
            t, b = max(top - margin, 0), min(bottom + margin, height)
            l, r = max(left - margin, 0), min(right + margin, width)  # noqa: E741
            yield Window(
                (slice(t, b), slice(l, r)),
                (slice(top, bottom), slice(left, right)),
                (slice(top - t, bottom - t), slice(left - l, right - l)),
            )


def _split(height: int, width: int, margin: int, most: int) -> tuple[int, int]:
    """How many rows and columns of windows are the least work."""

    def side(length: int, parts: int) -> int:
        core = -(-length // parts)
        return min(length, core + (2 * margin if parts > 2 else margin if parts == 2 else 0))

    best, least = (height, width), None
    for rows in range(1, height + 1):
        for columns in range(1, width + 1):
            area = side(height, rows) * side(width, columns)
            if area <= most:
                if least is None or rows * columns * area < least:
                    best, least = (rows, columns), rows * columns * area
                break  # more columns are only more margins
        if side(height, rows) <= 4 * margin:
            break
    return best


def _runs(length: int, parts: int) -> Iterator[tuple[int, int]]:
    """`parts` runs of nearly equal length, fewer if there are not so many positions."""
    step = -(-length // parts)
    for begin in range(0, length, step):
        yield begin, min(begin + step, length)
