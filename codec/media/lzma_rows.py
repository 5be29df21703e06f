"""Samples as one LZMA2 stream, the inside of an xz file: for sets whose items resemble what came long before them.

    samples -> little-endian bytes in C order -> LZMA2 -> samples

The stream is that of xz's filter of this name (liblzma, in Python's standard library), without the file around it: it
says itself where it ends, and has no checksum of its own. Deflate finds repeats within 32 KiB, this within 16 MiB.

Guarantees: `lzma_samples(lzma_body(x)) == x`; any bytes give samples of the shape asked for or a CorruptFile; no more
memory is taken than the dictionary and the samples.
"""

from __future__ import annotations

import lzma
from typing import Any

import numpy as np

from ...errors import CorruptFile

__all__ = ["lzma_body", "lzma_samples"]

DICTIONARY = 2**24
"""How far back a repeat may be, in bytes: part of the format."""
PRESET = 6
"""xz's own default."""


def lzma_body(samples: np.ndarray) -> bytes:
    """uint8 or uint16 of any shape -> a stream."""
    wide = int(samples.itemsize > 1)  # 16-bit samples: literals and matches know which byte of a sample they are
    settings: dict[str, Any] = {
        "lc": 3,
        "lp": wide,
        "pb": wide,
        "dict_size": max(4096, min(DICTIONARY, samples.nbytes)),
    }
    filters = [{"id": lzma.FILTER_LZMA2, "preset": PRESET, **settings}]
    plain = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    return lzma.compress(plain.tobytes(), lzma.FORMAT_RAW, filters=filters)


def lzma_samples(body: bytes, shape: tuple[int, ...], dtype: np.dtype, where: str) -> np.ndarray:
    """The samples, `dtype` (uint8 or uint16) of `shape`. where: for messages. Raises CorruptFile."""
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": DICTIONARY}]
    stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    try:
        plain = stream.decompress(body, expected + 1)
        if len(plain) == expected and not stream.eof:  # what is left is the mark of the end
            plain += stream.decompress(b"", 1)
    except (lzma.LZMAError, EOFError) as error:
        raise CorruptFile(f"{where} does not decode: {error}") from None
    if len(plain) != expected or not stream.eof or stream.unused_data:
        raise CorruptFile(f"{where} is an LZMA2 stream of other than {expected} bytes, or goes on behind them")
    return np.frombuffer(plain, dtype.newbyteorder("<")).reshape(shape).astype(dtype)
