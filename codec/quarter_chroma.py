"""Pictures that were made from luma of each pixel and chroma of every second one in every second row: Photo CDs, JPEG.

    Y, C1, C2 of 8 bits -> chroma of all pixels -> R, G, B, clamped to 8 bits -> listed pixels put in

*Photo CD*: Kodak PhotoYCC, R = L + 1.8215 c2, B = L + 2.2179 c1, G = L - .194 (B - L) - .509 (R - L) with L = 1.3584
Y, c1 = C1 - 156, c2 = C2 - 137, here with 16 binary digits and rounded down. Two in eleven colours have a Y, C1, C2.
Chroma between two or four known ones is their mean, rounded. All of it together gives Kodak's 24 test pictures
exactly, wherever nothing was clamped. *JPEG*: what libjpeg makes of files with chroma of half the size both ways
(4:2:0), its "fancy" interpolation. `quarter_search` finds Y, C1, C2.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import CorruptFile
from .jpeg_colour import offsets

__all__ = ["JPEG_420", "LISTED", "PHOTO_CD", "Kind", "QuarterChroma", "packed", "smoothed", "unpacked"]

LISTED = 16
"""One in so many pixels, at most, is listed."""


@dataclass(frozen=True)
class Kind:
    """luma: what one step of it adds to R, G, B, in 2^-16; offsets: chroma, int32 [2, ...] -> what it adds to each, in
    2^-16: [..., 3]; between: [2, rows, columns] -> chroma of all pixels, [2, 2 rows, 2 columns]; low, high: of chroma.
    """

    luma: int
    offsets: Callable[[np.ndarray], np.ndarray]
    between: Callable[[np.ndarray], np.ndarray]
    low: tuple[int, int]
    high: tuple[int, int]


def _photo_cd_offsets(chroma: np.ndarray) -> np.ndarray:
    blue, red = 145352 * chroma[0], 119374 * chroma[1]
    return np.stack([red, -12714 * (blue >> 16) - 33358 * (red >> 16), blue], -1)


def _photo_cd_between(chroma: np.ndarray) -> np.ndarray:
    """Means of two or four; beyond the last row and column as there."""
    ahead = np.pad(chroma, ((0, 0), (0, 1), (0, 1)), "edge")
    here, right, below = ahead[:, :-1, :-1], ahead[:, :-1, 1:], ahead[:, 1:, :-1]
    out = np.empty((2, 2 * chroma.shape[1], 2 * chroma.shape[2]), np.int32)
    out[:, ::2, ::2] = here
    out[:, ::2, 1::2] = here + right + 1 >> 1
    out[:, 1::2, ::2] = here + below + 1 >> 1
    out[:, 1::2, 1::2] = here + right + below + ahead[:, 1:, 1:] + 2 >> 2
    return out


def smoothed(chroma: np.ndarray) -> np.ndarray:
    """[2, rows, columns] -> [2, 2 rows, 2 columns], of its type: 16 times three quarters of the nearest and one of the
    next, both ways; beyond the edges as there.
    """
    wide = np.pad(chroma, ((0, 0), (1, 1), (1, 1)), "edge")
    rows = np.empty((2, 2 * chroma.shape[1], wide.shape[2]), chroma.dtype)
    rows[:, ::2] = 3 * wide[:, 1:-1] + wide[:, :-2]
    rows[:, 1::2] = 3 * wide[:, 1:-1] + wide[:, 2:]
    out = np.empty((2, rows.shape[1], 2 * chroma.shape[2]), chroma.dtype)
    out[..., ::2] = 3 * rows[..., 1:-1] + rows[..., :-2]
    out[..., 1::2] = 3 * rows[..., 1:-1] + rows[..., 2:]
    return out


def _jpeg_between(chroma: np.ndarray) -> np.ndarray:
    sums = smoothed(chroma)
    sums[..., ::2] += 8
    sums[..., 1::2] += 7
    return sums >> 4


PHOTO_CD = Kind(89024, _photo_cd_offsets, _photo_cd_between, (-156, -137), (99, 118))
"""1.3584; 2.2179 and 1.8215; .194 and .509, in 2^-16."""
JPEG_420 = Kind(65536, offsets, _jpeg_between, (-128, -128), (127, 127))


@dataclass
class QuarterChroma:
    """luma: int32 [h, w], 0 to 255; chroma: int32 [2, ceil((h + down) / 2), ceil((w + right) / 2)], without their
    middles; down, right: 0 or 1, whether the picture begins with the second row, the second column of a pair; listed:
    int64 [n], numbers of pixels, rising, whose colour is another one; changes: uint8 [n, 3], by how much, modulo 256.
    """

    kind: Kind
    luma: np.ndarray
    chroma: np.ndarray
    down: int
    right: int
    listed: np.ndarray
    changes: np.ndarray

    def rgb(self) -> np.ndarray:
        """uint8 [h, w, 3]."""
        height, width = self.luma.shape
        chroma = self.kind.between(self.chroma)[:, self.down : self.down + height, self.right : self.right + width]
        found = self.kind.luma * self.luma[..., None] + self.kind.offsets(chroma) >> 16
        found = found.clip(0, 255).astype(np.uint8)
        found.reshape(-1, 3)[self.listed] += self.changes
        return found


def packed(listed: np.ndarray, changes: np.ndarray) -> bytes:
    """A zlib datastream of the distances from each listed pixel to the next, their lowest bytes first, and changes."""
    ahead = np.diff(listed, prepend=0).astype("<u4")
    return zlib.compress(ahead.view(np.uint8).reshape(-1, 4).T.tobytes() + changes.T.tobytes(), 9)


def unpacked(data: bytes, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """The inverse, for a picture of so many pixels. Raises CorruptFile."""
    most, stream = 7 * (pixels // LISTED), zlib.decompressobj()
    try:
        content = stream.decompress(data, most + 1)
    except zlib.error:
        content = b"\0"
    if len(content) > most or len(content) % 7 or not stream.eof or stream.unused_data:
        raise CorruptFile("listed pixels are not a zlib datastream of 7 bytes each")
    columns = np.frombuffer(content, np.uint8).reshape(7, -1)
    ahead = np.ascontiguousarray(columns[:4].T).view("<u4").reshape(-1).astype(np.int64)
    listed = ahead.cumsum()
    if len(listed) and (listed[-1] >= pixels or not ahead[1:].all()):
        raise CorruptFile("listed pixels are not in rising order within the picture")
    return listed, np.ascontiguousarray(columns[4:].T)
