"""The alpha channel of a picture, one tile at a time, without loss.

    plane [h, w] -> PNG datastream -> LALP chunk -> PNG datastream -> plane

The chunk holds a PNG datastream: its filters and deflate do well on alpha, and everybody can read it. Of a tile that is
opaque everywhere the datastream is empty.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

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
        try:
            with Image.open(io.BytesIO(chunk.payload), formats=["PNG"]) as image:
                if image.size != (width, height) or image.mode != ("L" if dtype.itemsize == 1 else "I;16"):
                    raise CorruptFile(f"{where} is {image.mode} of {image.size}, not that of its tile")
                plane = np.asarray(image).astype(dtype, copy=False)
        except CorruptFile:
            raise
        except Exception as error:  # Pillow's decoders raise nearly every class on damaged files
            raise CorruptFile(f"{where} is not a PNG datastream: {error}") from None
    if plane.shape != (height, width) or alpha_digest(plane) != chunk.digest:
        raise CorruptFile(f"{where} does not decode to what was encoded")
    return plane
