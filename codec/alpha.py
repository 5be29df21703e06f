"""The alpha channel of a picture, one tile at a time, without loss.

    plane [h, w] -> PNG datastream -> LALP chunk -> PNG datastream -> plane

The chunk holds a PNG datastream: its filters and deflate do well on alpha, and everybody can read it. Of a tile that is
opaque everywhere the datastream is empty.
"""

from __future__ import annotations

import hashlib
import io
import struct

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from ..bitstream import DataChunk
from ..errors import CorruptFile

__all__ = ["alpha_digest", "decode_alpha", "encode_alpha"]


def alpha_digest(plane: np.ndarray) -> bytes:
    """8 bytes over the samples of a plane, little-endian in C order."""
    samples = np.ascontiguousarray(plane, plane.dtype.newbyteorder("<"))
    return hashlib.blake2b(samples.data, digest_size=8).digest()


def encode_alpha(plane: np.ndarray) -> tuple[bytes, bytes]:
    """plane: uint8 or uint16 [h, w] -> (digest, datastream)."""
    if plane.min() == np.iinfo(plane.dtype).max:
        return alpha_digest(plane), b""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(file, "PNG")
    return alpha_digest(plane), file.getvalue()


def decode_alpha(chunk: DataChunk, width: int, height: int, dtype: np.dtype) -> np.ndarray:
    """The plane, `dtype` (uint8 or uint16) [height, width]. Raises CorruptFile."""
    where = f"byte {chunk.offset}: the alpha channel"
    if not chunk.payload:
        plane = np.full((height, width), np.iinfo(dtype).max, dtype)
    else:
        # Signature, then IHDR: its size, type and 13 bytes, which leave no choice but width and height.
        expected = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(
            ">IIBBBBB", width, height, 8 * dtype.itemsize, 0, 0, 0, 0
        )
        if not chunk.payload.startswith(expected):
            raise CorruptFile(f"{where} is not a grey PNG of {width} x {height} pixels and {8 * dtype.itemsize} bits")
        try:
            # Not Image.open, which refuses large pictures by a limit of its own: ours has been held to already.
            with PngImageFile(io.BytesIO(chunk.payload)) as image:
                plane = np.asarray(image).astype(dtype, copy=False)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise nearly every class on damaged files
            raise CorruptFile(f"{where} is not a PNG datastream: {error}") from None
    if plane.shape != (height, width) or alpha_digest(plane) != chunk.digest:
        raise CorruptFile(f"{where} does not decode to what was encoded")
    return plane
