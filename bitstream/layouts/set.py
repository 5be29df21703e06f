"""The layout of a set of equal-shaped samples: media 1. Its units are blocks of items.

    LHDR (an item as rows x columns x channels) + LSET (shape of an item, how many, items a block) -> SetLayout -> codec

An item is a numpy array of 0 to 8 dimensions. `geometry` looks at it as a picture, so that the header's size, the
limits and PNG's filters have a meaning for any shape.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ...errors import CorruptFile, InputError, LimitExceeded
from ..limits import MAX_SET, MAX_SIDE, check_picture_size, check_set_size, check_tile_size
from .raster import Raster

__all__ = ["MAX_DIMENSIONS", "SetLayout", "geometry"]

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


@dataclass(frozen=True, kw_only=True)
class SetLayout(Raster):
    """shape: of an item. count: items in the set, at least 1. block: items in each data chunk but the last, at most
    `count`. width, height, channels: of an item as a picture; `of` finds them. See `Raster` for what is raised.
    """

    media: ClassVar[int] = 1
    name: ClassVar[str] = "set"
    noun: ClassVar[str] = "block"
    chunk: ClassVar[bytes | None] = b"LSET"
    chunk_limit: ClassVar[int] = MAX_SET
    lossless_only: ClassVar[bool] = True

    shape: tuple[int, ...]
    count: int
    block: int

    def __post_init__(self) -> None:
        if (wrong := _wrong(self.shape, self.count, self.block)) is not None:
            raise InputError(f"a set {wrong}")
        super().__post_init__()
        if geometry(self.shape) != (self.width, self.height, self.channels):
            raise InputError(f"header: {_other_shape(self.shape, vars(self))}")
        check_set_size(self.width, self.height, self.count, self.block)

    @classmethod
    def of(cls, shape: tuple[int, ...], count: int, block: int, **fields: int) -> SetLayout:
        """The layout of `count` items of a shape; fields: those of `Raster` that do not follow from it."""
        if (wrong := _wrong(shape, count, block)) is not None:
            raise InputError(f"a set {wrong}")
        _check_sides(shape)
        width, height, channels = geometry(shape)
        return cls(shape=shape, count=count, block=block, width=width, height=height, channels=channels, **fields)

    @property
    def units(self) -> int:
        return -(-self.count // self.block)

    def unit(self, number: int) -> tuple[slice]:
        """The items of a block."""
        self.check_number(number)
        return (slice(number * self.block, min((number + 1) * self.block, self.count)),)

    @property
    def pixels(self) -> int:
        return self.width * self.height * self.count

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (self.count, *self.shape)

    def extent(self, number: int) -> tuple[int, int]:
        return min(self.block, self.count - number * self.block) * self.height, self.width

    def facts(self, size: int) -> dict[str, Any]:
        """bpp, bpd: see `Raster`. items: in the set; item_shape: of each; block_items: in a block."""
        of_set = {"items": self.count, "item_shape": list(self.shape), "block_items": self.block}
        return {**of_set, **self._rates(size)}

    @classmethod
    def amount(cls, facts: Mapping[str, Any]) -> int:
        return facts["width"] * facts["height"] * facts["items"]

    @classmethod
    def extent_text(cls, facts: Mapping[str, Any]) -> str:
        """`10000 items of [28, 28]`"""
        return f"{facts['items']} items of {facts['item_shape']}"

    @classmethod
    def rate_text(cls, facts: Mapping[str, Any]) -> str:
        """`1.131 bits a sample`"""
        return f"{facts['bpd']:.3f} bits a sample"

    def pack(self) -> bytes:
        return struct.pack(f"<B{len(self.shape) + 2}I", len(self.shape), *self.shape, self.count, self.block)

    @classmethod
    def unpack(cls, values: Mapping[str, Any], payload: bytes, offset: int) -> SetLayout:
        where = f"byte {offset}: LSET"
        dimensions = payload[0] if payload else 0
        if dimensions > MAX_DIMENSIONS:
            raise CorruptFile(f"{where}: items of {dimensions} dimensions, expected at most {MAX_DIMENSIONS}")
        if len(payload) != 9 + 4 * dimensions:
            raise CorruptFile(f"{where} of {len(payload)} bytes, expected {9 + 4 * dimensions}")
        *sides, count, block = struct.unpack_from(f"<{dimensions + 2}I", payload, 1)
        shape = tuple(sides)
        if (wrong := _wrong(shape, count, block)) is not None:
            raise CorruptFile(f"{where}: a set {wrong}")
        _check_sides(shape)
        if geometry(shape) != (values["width"], values["height"], values["channels"]):
            raise CorruptFile(f"byte {offset}: {_other_shape(shape, values)}")
        check_picture_size(values["width"], values["height"])
        check_tile_size(values["width"], values["height"])
        return cls(**values, shape=shape, count=count, block=block)

    @classmethod
    def contradictions(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().contradictions(values)
        for name in ("alpha", "tile_width"):
            if values[name]:
                yield name, f"{name} is {values[name]} and media is {cls.media} ({cls.name}), expected 0"


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


def _check_sides(shape: tuple[int, ...]) -> None:
    width, height, _ = geometry(shape)
    if max(width, height) > MAX_SIDE:
        raise LimitExceeded(
            f"items of the shape {list(shape)}: as a picture of {width} x {height} samples they have a side "
            f"longer than {MAX_SIDE}"
        )


def _other_shape(shape: tuple[int, ...], values: Mapping[str, Any]) -> str:
    found = " x ".join(str(n) for n in geometry(shape))
    return (
        f"items of the shape {list(shape)}, that is {found}, and a header of {values['width']} x {values['height']} x "
        f"{values['channels']} (width, height, channels)"
    )
