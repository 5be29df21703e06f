"""Rows of samples as PNG has them: filtered and deflated, without loss and without the file around them.

    samples [h, w] or [h, w, C] -> a filter for each row -> zlib datastream -> inflate -> undo the filters -> samples

What comes out is the inside of a PNG file (ISO/IEC 15948, sections 9 and 10), of the colour type that C says: any PNG
library reads it once it is given a frame, and here Pillow does. Alpha, blocks without loss and 16-bit PNG files are
written with it.

Guarantees: `inflate_rows(deflate_rows(x)) == x`; no memory is taken for a datastream that inflates to more than its
rows; any bytes give samples or a CorruptFile.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL.PngImagePlugin import PngImageFile

from ...errors import CorruptFile

__all__ = ["best_rows", "deflate_rows", "hopeless", "inflate_rows", "unfiltered"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SMALL = 2**20
"""Bytes up to which rows are deflated as well as can be. 512 pictures of 28 x 28 are 0.4 MB."""
LEVEL, BEST_LEVEL = 6, 9
"""Deflate levels. Of those pictures from MNIST, without filters, level 6 makes 1.650 bits a sample in 6 ms, 9 makes
1.616 in 82 ms (measured on one core)."""
FAR = 1.25
"""How much longer than its rival a datastream may be at `LEVEL` so that `BEST_LEVEL` is tried."""
PROBED, STRIPES = 2**17, 4
"""Bytes by which deflate is judged, from so many places of a picture."""
DISTANT = 1.5
"""How much longer than its rival's share their datastream may be."""
_PIECE = 2**20
_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> PNG's colour type."""


def best_rows(samples: np.ndarray, rival: int | None = None) -> bytes:
    """uint8 or uint16 [h, w] or [h, w, C] -> the smaller datastream of two: without filters, or with a filter for each
    row. Of large samples the two are compared on rows from the middle. rival: bytes that another method takes: where
    deflate is far from them it does not try its best.
    """
    small = samples.nbytes <= SMALL
    count = max(1, SMALL * len(samples) // samples.nbytes)
    top = max(0, len(samples) - count) // 2
    both = [b"".join(deflate_rows(samples[top : top + count], LEVEL, filtered)) for filtered in (False, True)]
    filtered = len(both[1]) < len(both[0])
    if small and rival is not None and len(both[filtered]) > FAR * rival:
        return both[filtered]
    return b"".join(deflate_rows(samples, BEST_LEVEL if small else LEVEL, filtered))


def hopeless(samples: np.ndarray, rival: int) -> bool:
    """Whether deflate, by a few stripes of samples as `best_rows` takes them, is far from the bytes that a rival
    method takes.
    """
    height = max(1, PROBED // STRIPES * len(samples) // samples.nbytes)
    if height * STRIPES > len(samples) // 2:
        return False
    tops = [(2 * n + 1) * len(samples) // (2 * STRIPES) - height // 2 for n in range(STRIPES)]
    probed = np.concatenate([samples[top : top + height] for top in tops])
    least = min(len(b"".join(deflate_rows(probed, LEVEL, filtered))) for filtered in (False, True))
    return least * len(samples) > DISTANT * rival * len(probed)


def deflate_rows(samples: np.ndarray, level: int, filtered: bool = True) -> Iterator[bytes]:
    """The datastream in pieces. level: of deflate. filtered: each row gets the filter with the smallest sum of
    magnitudes, as the PNG specification advises; otherwise none.
    """
    rows = samples.reshape(len(samples), -1)
    pixel = samples.itemsize * (samples.shape[2] if samples.ndim == 3 else 1)
    deflate = zlib.compressobj(level)
    above = np.zeros((1, rows.shape[1] * samples.itemsize), np.uint8)
    count = max(1, _PIECE // above.size)
    for top in range(0, len(rows), count):
        raw = rows[top : top + count].astype(f">u{samples.itemsize}", order="C").view(np.uint8)
        kinds, chosen = _filter(raw, above, pixel) if filtered else (np.zeros(len(raw), np.uint8), raw)
        above = raw[-1:]
        if data := deflate.compress(np.column_stack([kinds, chosen]).tobytes()):
            yield data
    yield deflate.flush()


def _filter(raw: np.ndarray, above: np.ndarray, pixel: int) -> tuple[np.ndarray, np.ndarray]:
    """raw: bytes of rows, uint8 [h, n]; above: of the row before them [1, n]; pixel: bytes of a pixel -> the filter
    types [h] and the filtered bytes [h, n].
    """
    up = np.concatenate([above, raw[:-1]])
    left, corner = (np.pad(x[:, :-pixel], ((0, 0), (pixel, 0)))[:, : raw.shape[1]] for x in (raw, up))
    average = ((left.astype(np.uint16) + up) >> 1).astype(np.uint8)
    filtered = np.stack([raw, raw - left, raw - up, raw - average, raw - _paeth(left, up, corner)])
    kinds = np.abs(filtered.view(np.int8)).view(np.uint8).sum(axis=2, dtype=np.int64).argmin(axis=0)
    return kinds.astype(np.uint8), np.take_along_axis(filtered, kinds[None, :, None], axis=0)[0]


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The one of three neighbours that is nearest to left + up - corner; of equals the first of them in this order."""
    a, b, c = (x.astype(np.int16) for x in (left, up, corner))
    to_left, to_up, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    other = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, other)


def inflate_rows(data: bytes, shape: tuple[int, ...], dtype: np.dtype, where: str) -> np.ndarray:
    """The samples, `dtype` (uint8 or uint16) of `shape` [h, w] or [h, w, 3]. where: for messages, such as "byte 90: the
    alpha channel". Raises CorruptFile.
    """
    height, width = shape[:2]
    bits, channels = 8 * dtype.itemsize, 1 if len(shape) == 2 else shape[2]
    length = 1 + width * channels * dtype.itemsize
    if _inflated_size(data, height * length) != height * length:
        raise CorruptFile(f"{where} does not inflate to the {height * length} bytes of its rows")
    try:
        if bits == 8 or channels == 1:
            return _decoded(data, width, height, bits, channels).astype(dtype, copy=False)
        return unfiltered(np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, length), shape)
    except Exception as error:  # Pillow's decoders raise nearly every class on damaged files
        raise CorruptFile(f"{where} does not decode: {error}") from None


def unfiltered(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows of 16-bit samples, uint8 [h, 1 + n] with the filter of each first -> uint16 of `shape`, [h, w] or [h, w, C].

    Pillow reduces 16-bit colour to 8 bits. Filters work on each byte of a pixel by itself, and so do we: on the high
    bytes and on the low ones, as two pictures.
    """
    height, width = shape[:2]
    samples = np.zeros(shape, np.uint16)
    for part in (0, 1):
        half = np.column_stack([rows[:, 0], rows[:, 1 + part :: 2]])
        data = zlib.compress(half.tobytes(), 0)
        found = _decoded(data, width, height, 8, 1 if len(shape) == 2 else shape[2])
        samples = samples << 8 | found.reshape(shape)
    return samples


def _decoded(data: bytes, width: int, height: int, bits: int, channels: int) -> np.ndarray:
    """A datastream as Pillow reads it once it has a frame."""
    kind = struct.pack(">IIBBBBB", width, height, bits, _COLOURS[channels], 0, 0, 0)  # not interlaced
    png = b"".join((SIGNATURE, _frame(b"IHDR", kind), _frame(b"IDAT", data), _frame(b"IEND", b"")))
    # Not Image.open, which refuses large pictures by a limit of its own: ours has been held to already.
    with PngImageFile(io.BytesIO(png)) as image:
        return np.array(image)


def _frame(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload), kind) + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _inflated_size(data: bytes, most: int) -> int:
    """Bytes that a zlib datastream inflates to; -1 if it is damaged, has something behind it, or exceeds `most`."""
    inflater, size = zlib.decompressobj(), 0
    try:
        while not inflater.eof and size <= most:
            piece = inflater.decompress(data, _PIECE)
            data, size = inflater.unconsumed_tail, size + len(piece)
            if not piece and not data and not inflater.eof:
                return -1  # cut short
    except zlib.error:
        return -1
    return size if inflater.eof and not inflater.unused_data and not data else -1
