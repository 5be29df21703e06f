"""Tiles: where they lie in the latent y, and which of them a region of the picture needs.

    header: size, tile size -> boxes in y -> groups of one size -> entropy model -> pasted into the picture's y_hat

y is at 1/DOWN of the resolution. Tile sides are multiples of 64 pixels, so boxes fit together without a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..bitstream import Header, PictureLayout
from ..errors import InputError
from .transforms import DOWN

__all__ = [
    "Box",
    "boxes_of",
    "equal_boxes",
    "latent_size",
    "layout_of",
    "meet",
    "paste",
    "reach",
]


@dataclass(frozen=True)
class Box:
    """A tile of one picture of a batch. picture, tile: their numbers; rows, columns: its place in y."""

    picture: int
    tile: int
    rows: slice
    columns: slice

    @property
    def size(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def layout_of(header: Header) -> PictureLayout:
    """The layout of a picture. Raises InputError for a file that holds something else."""
    if not isinstance(header.layout, PictureLayout):
        raise InputError(f"the file holds a {header.layout.name}, not a picture")
    return header.layout


def latent_size(header: Header) -> tuple[int, int]:
    """Rows and columns of y."""
    layout = layout_of(header)
    return -(-layout.height // DOWN), -(-layout.width // DOWN)


def boxes_of(header: Header, picture: int) -> Iterator[Box]:
    """Where the tiles lie in y."""
    layout = layout_of(header)
    for tile in range(layout.units):
        rows, columns = (slice(s.start // DOWN, -(-s.stop // DOWN)) for s in layout.unit(tile))
        yield Box(picture, tile, rows, columns)


def equal_boxes(boxes: Iterable[Box], most: int) -> Iterator[list[Box]]:
    """Tiles of one size together, at most `most` positions at a time (but at least one tile)."""
    by_size: dict[tuple[int, int], list[Box]] = {}
    for box in boxes:
        by_size.setdefault(box.size, []).append(box)
    for (h, w), group in by_size.items():
        count = max(1, most // (h * w))
        yield from (group[n : n + count] for n in range(0, len(group), count))


def reach(start: int, length: int, end: int, margin: int) -> slice:
    """Pixels start ... start + length -> the positions of y, of which there are `end`, that they depend on."""
    return slice(max(start // DOWN - margin, 0), min(-(-(start + length) // DOWN) + margin, end))


def meet(a: slice, b: slice) -> bool:
    return a.start < b.stop and b.start < a.stop


def paste(part: np.ndarray, box: Box, plane: np.ndarray, top: int, left: int) -> None:
    """Put a tile's y_hat [M, h, w] where it belongs in a plane that begins at row `top`, column `left` of y; what lies
    outside is cut off.
    """
    r0, r1 = max(box.rows.start, top), min(box.rows.stop, top + plane.shape[1])
    c0, c1 = max(box.columns.start, left), min(box.columns.stop, left + plane.shape[2])
    rows, columns = (
        slice(r0 - box.rows.start, r1 - box.rows.start),
        slice(c0 - box.columns.start, c1 - box.columns.start),
    )
    plane[:, r0 - top : r1 - top, c0 - left : c1 - left] = part[:, rows, columns]
