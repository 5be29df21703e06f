"""Integer tables that compress well, as xz streams in a model file. Nothing is unpacked beyond the size expected."""

from __future__ import annotations

import lzma
from typing import Any

import numpy as np

from ..errors import ModelError

__all__ = ["pack", "unpack"]

_FILTERS: list[dict[str, Any]] = [{"id": lzma.FILTER_LZMA2, "preset": 6}]


def pack(array: np.ndarray) -> np.ndarray:
    """Any integer array -> uint8 [n], its little-endian bytes in C order as one xz stream."""
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return np.frombuffer(lzma.compress(data, lzma.FORMAT_XZ, filters=_FILTERS), np.uint8)


def unpack(packed: np.ndarray, shape: tuple[int, ...], dtype: type | np.dtype) -> np.ndarray:
    """The inverse. Raises ModelError unless it has just this shape."""
    kind = np.dtype(dtype).newbyteorder("<")
    size = int(np.prod(shape)) * kind.itemsize
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2**27)
        data = reader.decompress(packed.tobytes(), max_length=size + 1)
    except lzma.LZMAError as e:
        raise ModelError(f"the model's parameters are damaged: {e}") from None
    if len(data) != size or not reader.eof or reader.unused_data:
        raise ModelError(f"the model's parameters are {len(data)} bytes or more, expected {size}")
    return np.frombuffer(data, kind).reshape(shape).astype(dtype, copy=False)
