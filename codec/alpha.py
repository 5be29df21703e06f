"""The alpha channel of a picture, one tile at a time, without loss.

    plane [h, w] -> rows filtered as in PNG -> deflate -> LALP chunk -> inflate -> undo the filters -> plane

What the chunk holds is the inside of a PNG file (see `png_rows`): PNG's filters and deflate do well on alpha. The frame
of the file is not there: it could only contradict the header. Of a tile that is opaque everywhere nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..bitstream import DataChunk, PictureLayout
from ..errors import CorruptFile
from .blocks import samples_digest
from .media.png_rows import best_rows, inflate_rows
from .media.samples import paste_samples

__all__ = ["alpha_chunks", "alpha_of", "decode_alpha", "encode_alpha"]


def encode_alpha(plane: np.ndarray) -> tuple[bytes, bytes]:
    """plane: uint8 or uint16 [h, w] -> (digest, deflated rows)."""
    if plane.min() == np.iinfo(plane.dtype).max:
        return samples_digest(plane), b""
    return samples_digest(plane), best_rows(plane)


def decode_alpha(chunk: DataChunk, width: int, height: int, dtype: np.dtype) -> np.ndarray:
    """The plane, `dtype` (uint8 or uint16) [height, width]. Raises CorruptFile."""
    where = f"byte {chunk.offset}: the alpha channel"
    if not chunk.payload:
        plane = np.full((height, width), np.iinfo(dtype).max, dtype)
    else:
        plane = inflate_rows(chunk.payload, (height, width), dtype, where)
    if samples_digest(plane) != chunk.digest:
        raise CorruptFile(f"{where} does not decode to what was encoded")
    return plane


def alpha_chunks(alpha: np.ndarray | None, layout: PictureLayout) -> list[tuple[bytes, bytes]]:
    """A whole plane, or None if there is none -> what `encode_alpha` makes of each tile."""
    if alpha is None:
        return []
    return [encode_alpha(alpha[layout.unit(n)]) for n in range(layout.units)]


def alpha_of(
    layout: PictureLayout, chunks: Mapping[int, DataChunk], region: tuple[int, int, int, int] | None = None
) -> np.ndarray | None:
    """The alpha plane, or a region (x, y, width, height) of it, from the chunks of its tiles by number; None if there
    is none. Raises CorruptFile.
    """
    if not layout.alpha:
        return None
    left, top, width, height = region or (0, 0, layout.width, layout.height)
    dtype = np.dtype(f"u{layout.bit_depth // 8}")
    out = np.empty((height, width), dtype)
    for tile, chunk in chunks.items():
        rows, columns = layout.unit(tile)
        height, width = layout.extent(tile)
        paste_samples(decode_alpha(chunk, width, height, dtype), out, columns.start - left, rows.start - top)
    return out
