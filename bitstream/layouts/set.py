"""A set of equal-shaped samples: what the LSET chunk says of it, beside the header.

    header (media 1: one item as rows x columns x channels) + LSET (shape of an item, how many, items a block) -> codec

An item is a numpy array of 0 to 8 dimensions. `geometry` looks at it as a picture, so that the header's size, the
limits and PNG's filters have a meaning for any shape.

Guarantees: an `ItemSet` that exists is valid and within the limits of its parts; `ItemSet.unpack(s.pack()) == s`; any
payload gives an `ItemSet` or a `CodecError`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

from ...errors import CorruptFile, InputError, LimitExceeded
from ..limits import MAX_SIDE

__all__ = ["MAX_DIMENSIONS", "ItemSet", "geometry"]

MAX_DIMENSIONS: Final = 8
"""Dimensions of an item."""
_MAX_COUNT: Final = 2**32 - 1


def geometry(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """An item's shape -> (width, height, channels) of the header. Their product is the number of samples.

    [H, W] is a grey picture, [H, W, 3] an RGB one; [H, W, 1 to 4] otherwise a grey one whose rows are the samples of
    its pixels. Of anything else the last dimension is the width.
    """
    if len(shape) == 3 and shape[2] <= 4:
        height, width, channels = shape
        return (width, height, 3) if channels == 3 else (width * channels, height, 1)
    return (shape[-1] if shape else 1), math.prod(shape[:-1]), 1


@dataclass(frozen=True)
class ItemSet:
    """shape: of an item. count: items in the set, at least 1. block: items in each data chunk but the last, at most
    `count`. Raises InputError for what no file may have, LimitExceeded for an item whose sides are beyond the limits.
    """

    shape: tuple[int, ...]
    count: int
    block: int

    def __post_init__(self) -> None:
        if (wrong := _wrong(self.shape, self.count, self.block)) is not None:
            raise InputError(f"a set {wrong}")
        width, height, _ = geometry(self.shape)
        if max(width, height) > MAX_SIDE:
            raise LimitExceeded(
                f"items of the shape {list(self.shape)}: as a picture of {width} x {height} samples they have a side "
                f"longer than {MAX_SIDE}"
            )

    @property
    def blocks(self) -> int:
        """The number of blocks, and of data chunks."""
        return -(-self.count // self.block)

    def span(self, number: int) -> tuple[int, int]:
        """The items of a block: (first, one after the last)."""
        return number * self.block, min((number + 1) * self.block, self.count)

    def pack(self) -> bytes:
        """The LSET payload."""
        return struct.pack(f"<B{len(self.shape) + 2}I", len(self.shape), *self.shape, self.count, self.block)

    @classmethod
    def unpack(cls, payload: bytes, offset: int = 0) -> ItemSet:
        """The set that an LSET payload describes. offset: of the payload in its file. Raises CorruptFile,
        LimitExceeded.
        """
        where = f"byte {offset}: LSET"
        dimensions = payload[0] if payload else 0
        if dimensions > MAX_DIMENSIONS:
            raise CorruptFile(f"{where}: items of {dimensions} dimensions, expected at most {MAX_DIMENSIONS}")
        if len(payload) != 9 + 4 * dimensions:
            raise CorruptFile(f"{where} of {len(payload)} bytes, expected {9 + 4 * dimensions}")
        *shape, count, block = struct.unpack_from(f"<{dimensions + 2}I", payload, 1)
        if (wrong := _wrong(tuple(shape), count, block)) is not None:
            raise CorruptFile(f"{where}: a set {wrong}")
        return cls(tuple(shape), count, block)


def _wrong(shape: tuple[int, ...], count: int, block: int) -> str | None:
    """What is impossible about a set, after "a set "; None if nothing is."""
    if len(shape) > MAX_DIMENSIONS:
        return f"whose items have {len(shape)} dimensions, expected at most {MAX_DIMENSIONS}"
    if 0 in shape:
        return f"of items of the shape {list(shape)}, expected sides of at least 1"
    if not 1 <= count <= _MAX_COUNT:
        return f"of {count} items, expected 1 to {_MAX_COUNT}"
    if not 1 <= block <= count:
        return f"of {count} items with {block} items a block, expected 1 to {count}"
    return None
