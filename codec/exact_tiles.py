"""Exact tiles: parts of a picture with loss that are coded without, where that takes fewer bytes.

    tile of text, lines, flat areas -> repeats? -> methods of `blocks` -> LEXT chunk -> samples, put over the picture

What is drawn costs the model much and looks worse for it. An exact tile has no latents. What its neighbours' synthesis
sees in its place are the latents nearest to it, so that the picture seems to go on there (`fill_latents`, FORMAT.md,
section 5).

Guarantees: the samples of an exact tile are those that were encoded, or a CorruptFile says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from ..bitstream import DataChunk, Header, PictureLayout
from ..errors import CorruptFile
from .blocks import MODEL, WEBP, check_block, decode_plain, encode_block
from .media.webp_rows import webp_body
from .tiles import boxes_of

__all__ = [
    "drawn_tiles",
    "exact_chunks",
    "exact_samples",
    "fill_latents",
    "fitting",
    "is_drawn",
    "neighbours",
    "put",
    "without_exact",
]

REPEATS = 0.3
"""Share of pixels equal to the one on their left from which something is drawn: 0.45 or more in the tests' drawings."""
PAIRS = 0.05
"""Different pairs of neighbours that differ, for each pair, up to which it is. Text and lines are made of few: at most
0.035 in the tests' drawings but scans (0.08 to 0.12), at least 0.062 in those photographs in colour of 700 of the
training and validation sets that have the repeats, for their backgrounds."""
FEW = 2**10
"""Such pairs up to which it is drawn whatever repeats: gradients. One in 364 of those photographs has so few as grey,
none in colour."""
STEPS = 2**6
"""Different steps from a pixel to the next up to which it is, too: gradients down and across, of which there are many
pairs. In 184 photographs in colour there are 2,600 or more, in two grey ones with three channels 245 and 422."""
SAMPLED = 2**16
"""Pixels that are looked at, about."""
EVERY = 8
"""Of so many rows one is looked at for the repeats of tiles."""
CLEARLY = 0.5
"""What the squared misfit of a filling has to fall to. At the edge of a photograph that ends with its tile it falls to
0.05 to 0.35, and 16 pixels around gain 5 dB; where text goes on from tile to tile it is 0.7 to 1.1, and they would lose
1 dB (drawn pages with a photograph in them)."""
SEEN = 2
"""Positions of y from a tile up to which what stands beside it matters to its samples."""
_AROUND = (0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)
"""Rows and columns to the neighbours of a tile, in the order in which they are preferred: left, right, above, below,
and the corners."""


def is_drawn(samples: np.ndarray) -> bool:
    """Whether uint8 or uint16 [h, w] or [h, w, 3] is worth a try against a model with loss: many repeats and few kinds
    of edges, or hardly any kinds, or hardly any steps, in rows spread evenly over it. Stricter than
    `webp_rows.looks_drawn`: the rival is smaller.
    """
    if samples.shape[1] < 2:
        return False
    rows = samples[:: max(samples.shape[0] * samples.shape[1] // SAMPLED, 1)]
    weights = [1, 2**8, 2**16] if samples.dtype == np.uint8 else [1, 0x9E3779B1, 0x85EBCA6B]
    pixels = rows.astype(np.uint32) if rows.ndim == 2 else rows @ np.array(weights, np.uint32)
    left, right = pixels[:, :-1].ravel(), pixels[:, 1:].ravel()
    edges = np.flatnonzero(left != right)
    repeat = left.size - edges.size >= REPEATS * left.size
    if _kinds(left[edges], right[edges]) <= (max(PAIRS * left.size, FEW) if repeat else FEW):
        return True
    if rows.ndim == 2 and samples.dtype == np.uint8:  # there are 510 steps at most, also in photographs
        return False
    steps = right[edges] - left[edges]
    return _kinds(steps, steps) <= STEPS


def _kinds(left: np.ndarray, right: np.ndarray) -> int:
    """How many different pairs there are, of uint32 [n] each. Pairs that fall together count as one: a few do."""
    mixed = left * np.uint32(0x9E3779B1) ^ right * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ mixed >> np.uint32(15)) * np.uint32(0x2C1B3C6D)
    seen = np.zeros(2**17, bool)
    seen[mixed >> np.uint32(15)] = True
    return int(np.count_nonzero(seen))


def drawn_tiles(colour: np.ndarray, layout: PictureLayout) -> list[int]:
    """The tiles worth a try. colour: uint8 or uint16 [H, W] or [H, W, 3]; of 16 bits none are."""
    if colour.dtype != np.uint8 or colour.shape[1] < 2:
        return []
    rows = colour[::EVERY].reshape(-1, colour.shape[1], layout.channels)
    equal = rows[:, 1:, 0] == rows[:, :-1, 0]
    for channel in range(1, layout.channels):
        equal &= rows[:, 1:, channel] == rows[:, :-1, channel]
    found = []
    for n in range(layout.units):
        down, across = layout.unit(n)
        part = equal[-(-down.start // EVERY) : -(-down.stop // EVERY), across.start : across.stop - 1]
        if part.size and np.count_nonzero(part) >= REPEATS * part.size and is_drawn(colour[down, across]):
            found.append(n)
    return found


def exact_chunks(
    colour: np.ndarray, layout: PictureLayout, tiles: Iterable[int], effort: int
) -> dict[int, tuple[bytes, bytes]]:
    """Digest and payload of tiles. effort: of WebP."""
    found = {}
    for n in tiles:
        rows = colour[layout.unit(n)]
        body = webp_body(rows, effort)
        found[n] = encode_block(rows, {} if body is None else {WEBP: body})
    return found


def exact_samples(layout: PictureLayout, chunks: Mapping[int, DataChunk]) -> dict[int, np.ndarray]:
    """The samples of the exact tiles among the chunks of a file, [h, w] or [h, w, 3] each. Raises CorruptFile,
    UnsupportedFile.
    """
    found = {}
    dtype = np.dtype(f"u{layout.bit_depth // 8}")
    for n, chunk in chunks.items():
        if not chunk.exact:
            continue
        samples = decode_plain(chunk, (*layout.extent(n), *layout.sample_shape[2:]), dtype)
        if samples is None:
            raise CorruptFile(f"byte {chunk.offset}: coding method {MODEL} (model) in an exact tile, which has none")
        check_block(samples, chunk)
        found[n] = samples
    return found


def put(samples: np.ndarray, colour: np.ndarray, rows: slice, columns: slice) -> None:
    """Put the samples of a tile, [h, w] or [h, w, C], where they belong in colour samples [H, W, C]; what lies outside
    is cut off.
    """
    inside = [slice(max(s.start, 0), min(s.stop, side)) for s, side in zip((rows, columns), colour.shape, strict=False)]
    if all(s.start < s.stop for s in inside):
        part = samples.reshape(*samples.shape[:2], -1)[
            inside[0].start - rows.start : inside[0].stop - rows.start,
            inside[1].start - columns.start : inside[1].stop - columns.start,
        ]
        colour[inside[0], inside[1]] = part


def neighbours(layout: PictureLayout, tile: int) -> list[int]:
    """The tiles around a tile, those that it shares a side with first."""
    columns, rows = layout.grid
    row, column = divmod(tile, columns)
    around = ((row + down, column + right) for down, right in _AROUND)
    return [r * columns + c for r, c in around if 0 <= r < rows and 0 <= c < columns]


def fill_latents(
    y_hat: np.ndarray, header: Header, tiles: Iterable[int], exact: Collection[int], top: int = 0, left: int = 0
) -> None:
    """Set the latents of exact tiles to those of the nearest position in a neighbour that is not exact, distances down
    and across added up; of equals the first in the order of `neighbours`; 0 where there is none.

    y_hat: [M, h, w], which begins at row `top`, column `left` of y and holds the tiles and their neighbours; exact: all
    exact tiles among those.
    """
    boxes = {box.tile: (box.rows, box.columns) for box in boxes_of(header, 0)}
    layout = header.layout
    assert isinstance(layout, PictureLayout)
    for tile in tiles:
        _fill(y_hat, boxes, tile, [n for n in neighbours(layout, tile) if n not in exact], top, left)


def without_exact(colour: np.ndarray, layout: PictureLayout, exact: Collection[int]) -> np.ndarray:
    """A copy of colour samples [H, W] or [H, W, 3], exact tiles filled in the same way, with samples: what an encoder
    analyses, so that the latents of the others are made for what the decoder will see beside them.
    """
    planes = np.array(colour.reshape(*colour.shape[:2], -1).transpose(2, 0, 1))
    boxes = {n: layout.unit(n) for n in range(layout.units)}
    for tile in exact:
        _fill(planes, boxes, tile, [n for n in neighbours(layout, tile) if n not in exact])
    return np.ascontiguousarray(planes.transpose(1, 2, 0)).reshape(colour.shape)


def fitting(y: np.ndarray, other: np.ndarray, header: Header, exact: Collection[int]) -> set[int]:
    """Of two analyses of a picture, y [M, h, w] of itself and another of `without_exact`, the better one for each tile
    that is not exact: the other one where what the decoder fills in is clearly nearer to what was analysed, within
    `SEEN` positions around the tile. There y gets it; exact tiles of y are filled. Returns the tiles that changed.
    """
    boxes = {box.tile: box for box in boxes_of(header, 0)}
    both = y, other
    filled = [found.copy() for found in both]
    for found in filled:
        fill_latents(found, header, exact, exact)
    off = [np.square(a - b).sum(0) for a, b in zip(both, filled, strict=True)]  # 0 where tiles are not exact
    better = set()
    for n, box in boxes.items():
        rows, columns = (slice(max(s.start - SEEN, 0), s.stop + SEEN) for s in (box.rows, box.columns))
        if n not in exact and off[1][rows, columns].sum() < CLEARLY * off[0][rows, columns].sum():
            y[:, box.rows, box.columns] = other[:, box.rows, box.columns]
            better.add(n)
    fill_latents(y, header, exact, exact)
    return better


def _fill(
    plane: np.ndarray,
    boxes: Mapping[int, tuple[slice, slice]],
    tile: int,
    others: Iterable[int],
    top: int = 0,
    left: int = 0,
) -> None:
    """plane: [C, h, w]; a tile of it is filled from others; boxes: rows and columns of tiles."""
    rows, columns = (np.arange(s.start, s.stop) for s in boxes[tile])
    nearest, least = None, None
    for other in others:
        down, across = (np.clip(n, s.start, s.stop - 1) for n, s in zip((rows, columns), boxes[other], strict=True))
        distance = np.abs(rows - down)[:, None] + np.abs(columns - across)
        place = np.stack(np.broadcast_arrays(down[:, None] - top, across - left))
        if least is None or nearest is None:
            nearest, least = place, distance
        else:
            nearest = np.where(distance < least, place, nearest)
            least = np.minimum(distance, least)
    part = plane[:, rows[0] - top : rows[-1] + 1 - top, columns[0] - left : columns[-1] + 1 - left]
    part[...] = 0 if nearest is None else plane[:, nearest[0], nearest[1]]
