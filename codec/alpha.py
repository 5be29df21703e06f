"""The alpha channel of a picture, one tile at a time, without loss.

    plane [h, w] -> rows filtered as in PNG -> deflate -> LALP chunk -> inflate -> undo the filters -> plane

What the chunk holds is the inside of a PNG file (ISO/IEC 15948, sections 9 and 10): PNG's filters and deflate do well
on alpha, and any PNG library does the work once it is given a frame. The frame itself is not in the file: it could only
contradict the header. Of a tile that is opaque everywhere nothing is stored.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from ..bitstream import DataChunk
from ..errors import CorruptFile

__all__ = ["alpha_digest", "decode_alpha", "encode_alpha"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIECE = 2**20


def alpha_digest(plane: np.ndarray) -> bytes:
    """8 bytes over the samples of a plane, little-endian in C order."""
    samples = np.ascontiguousarray(plane, plane.dtype.newbyteorder("<"))
    return hashlib.blake2b(samples.data, digest_size=8).digest()


def encode_alpha(plane: np.ndarray) -> tuple[bytes, bytes]:
    """plane: uint8 or uint16 [h, w] -> (digest, deflated rows)."""
    if plane.min() == np.iinfo(plane.dtype).max:
        return alpha_digest(plane), b""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(file, "PNG")
    png, rows, at = file.getvalue(), [], len(_SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        if kind == b"IDAT":
            rows.append(png[at + 8 : at + 8 + length])
        at += length + 12
    return alpha_digest(plane), b"".join(rows)


def decode_alpha(chunk: DataChunk, width: int, height: int, dtype: np.dtype) -> np.ndarray:
    """The plane, `dtype` (uint8 or uint16) [height, width]. Raises CorruptFile."""
    where = f"byte {chunk.offset}: the alpha channel"
    if not chunk.payload:
        plane = np.full((height, width), np.iinfo(dtype).max, dtype)
    else:
        expected = height * (1 + width * dtype.itemsize)
        if _inflated_size(chunk.payload, expected) != expected:
            raise CorruptFile(f"{where} does not inflate to the {expected} bytes of its rows")
        kind = struct.pack(">IIBBBBB", width, height, 8 * dtype.itemsize, 0, 0, 0, 0)  # grey, not interlaced
        png = b"".join((_SIGNATURE, _frame(b"IHDR", kind), _frame(b"IDAT", chunk.payload), _frame(b"IEND", b"")))
        try:
            # Not Image.open, which refuses large pictures by a limit of its own: ours has been held to already.
            with PngImageFile(io.BytesIO(png)) as image:
                plane = np.asarray(image).astype(dtype, copy=False)
        except Exception as error:  # Pillow's decoders raise nearly every class on damaged files
            raise CorruptFile(f"{where} does not decode: {error}") from None
    if plane.shape != (height, width) or alpha_digest(plane) != chunk.digest:
        raise CorruptFile(f"{where} does not decode to what was encoded")
    return plane


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
