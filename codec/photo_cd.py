"""The colours of pictures that a Photo CD held: luma of each pixel, chroma of every second one in every second row.

    Y, C1, C2 of 8 bits -> chroma between -> R, G, B, clamped to 8 bits -> listed pixels put in

Kodak PhotoYCC: R = L + 1.8215 c2, B = L + 2.2179 c1, G = L - .194 (B - L) - .509 (R - L) with L = 1.3584 Y, c1 = C1 -
156, c2 = C2 - 137, here with 16 binary digits and rounded down. Two in eleven colours have a Y, C1, C2. Chroma between
two or four known ones is their mean, rounded. All of it together gives the pictures that Kodak released as PNG files
exactly. `photo_cd_search` finds Y, C1, C2.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from ..errors import CorruptFile

__all__ = ["C_HIGH", "C_LOW", "LISTED", "LUMA", "PhotoCd", "between", "offsets", "packed", "unpacked"]

LUMA, BLUE, RED = 89024, 145352, 119374
"""1.3584, 2.2179 and 1.8215, in 2^-16."""
GREEN = 12714, 33358
""".194 and .509, in 2^-16."""
C_LOW, C_HIGH = (-156, -137), (99, 118)
"""Between these lie c1 and c2."""
LISTED = 16
"""One in so many pixels, at most, is listed."""


@dataclass
class PhotoCd:
    """luma: int32 [h, w], 0 to 255; chroma: int32 [2, ceil((h + down) / 2), ceil((w + right) / 2)], c1 and c2; down,
    right: 0 or 1, whether the first row, the first column lies between those that have chroma; listed: int64 [n],
    numbers of pixels, rising, whose colour is another one; changes: uint8 [n, 3], by how much, modulo 256.
    """

    luma: np.ndarray
    chroma: np.ndarray
    down: int
    right: int
    listed: np.ndarray
    changes: np.ndarray

    def rgb(self) -> np.ndarray:
        """uint8 [h, w, 3]."""
        height, width = self.luma.shape
        chroma = between(self.chroma, height + self.down, width + self.right)[:, self.down :, self.right :]
        found = (LUMA * self.luma[..., None] + offsets(chroma) >> 16).clip(0, 255).astype(np.uint8)
        found.reshape(-1, 3)[self.listed] += self.changes
        return found


def between(chroma: np.ndarray, height: int, width: int) -> np.ndarray:
    """[2, rows, columns] -> that of all pixels, [2, height, width]; beyond the last row and column as there."""
    ahead = np.pad(chroma, ((0, 0), (0, 1), (0, 1)), "edge")
    here, right, below = ahead[:, :-1, :-1], ahead[:, :-1, 1:], ahead[:, 1:, :-1]
    out = np.empty((2, 2 * chroma.shape[1], 2 * chroma.shape[2]), np.int32)
    out[:, ::2, ::2] = here
    out[:, ::2, 1::2] = here + right + 1 >> 1
    out[:, 1::2, ::2] = here + below + 1 >> 1
    out[:, 1::2, 1::2] = here + right + below + ahead[:, 1:, 1:] + 2 >> 2
    return out[:, :height, :width]


def offsets(chroma: np.ndarray) -> np.ndarray:
    """int32 [2, ...] -> what is added to the luma for R, G and B, in 2^-16: [..., 3]."""
    blue, red = BLUE * chroma[0], RED * chroma[1]
    return np.stack([red, -GREEN[0] * (blue >> 16) - GREEN[1] * (red >> 16), blue], -1)


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
