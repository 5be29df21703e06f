"""Rasters: what pictures and sets have in common, the fields of their samples in LHDR of version 1.

rows x columns x channels -> width, height, channels, bit depth, colour -> bounds on what they may be coded in
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ...errors import InputError, LimitExceeded
from ..fields import check_values, declare, declared
from ..layout import ALPHA, Layout
from ..limits import (
    MAX_SIDE,
    MAX_TILE,
    TILE_STEP,
    check_picture_size,
    max_alpha_bytes,
    max_data_bytes,
    max_lossless_bytes,
)

__all__ = ["Raster"]

_PRIMARIES: Final = {1: "BT.709, sRGB", 2: "unspecified", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS: Final = {1: "BT.709", 2: "unspecified", 8: "linear", 13: "sRGB", 16: "PQ", 18: "HLG"}
"""Code points that pictures are likely to have, by name; every other value means what ITU-T H.273 says."""


@dataclass(frozen=True, kw_only=True)
class Raster(Layout):
    """Samples in rows and columns. Numbers are plain `int`s. The constructor raises InputError for a value that no file
    may have, and LimitExceeded for one beyond the limits.
    """

    versions: ClassVar[tuple[int, ...]] = (0, 1)

    width: int = declare("u32", "Width in pixels.", low=1, high=MAX_SIDE, too_high=LimitExceeded)
    height: int = declare("u32", "Height in pixels.", low=1, high=MAX_SIDE, too_high=LimitExceeded)
    channels: int = declare("u8", "Colour channels, alpha not counted.", names={1: "grey", 3: "RGB"})
    bit_depth: int = declare(
        "u8", "Bits of a sample.", names={8: "samples 0 to 255", 16: "samples 0 to 65535"}, default=8
    )
    colour_primaries: int = declare(
        "u8", "CICP colour primaries (ITU-T H.273).", names=_PRIMARIES, open=True, high=255, default=1
    )
    transfer: int = declare("u8", "CICP transfer characteristics.", names=_TRANSFERS, open=True, high=255, default=13)
    matrix: int = declare("u8", "CICP matrix coefficients.", names={0: "identity, RGB or grey"}, default=0)
    full_range: int = declare("u8", "CICP full-range flag.", names={1: "full range"}, default=1)
    alpha: int = declare("u8", "Kind of alpha channel.", names={0: "none", 1: "straight"}, default=0)
    tile_width: int = declare(
        "u16", "Width of a tile in pixels, 0 for untiled.", high=MAX_TILE, step=TILE_STEP, default=0
    )
    tile_height: int = declare(
        "u16", "Height of a tile in pixels, 0 for untiled.", high=MAX_TILE, step=TILE_STEP, default=0
    )

    def __post_init__(self) -> None:
        check_values(declared(type(self)), vars(self))
        for _, wrong in self.contradictions(vars(self)):
            raise InputError(f"header: {wrong}")
        check_picture_size(self.width, self.height)

    @property
    def code_points(self) -> tuple[int, int]:
        return self.colour_primaries, self.transfer

    def pack(self) -> bytes:
        return b""  # all of it is in LHDR

    @classmethod
    def contradictions(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        width, height = values["tile_width"], values["tile_height"]
        if bool(width) != bool(height):
            yield "tile_width", f"tile_width is {width} and tile_height is {height}, expected both 0 or neither"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of all samples, alpha left out, as an array; `unit` cuts its first axes."""
        raise NotImplementedError

    def extent(self, number: int) -> tuple[int, int]:
        """Rows and columns of a unit as a picture: items of a set one below the other."""
        raise NotImplementedError

    def limit(self, number: int, part: bytes, lossless: bool) -> int:
        height, width = self.extent(number)
        if part == ALPHA:
            return max_alpha_bytes(width, height, self.bit_depth)
        if lossless:
            return max_lossless_bytes(width * height * self.channels * self.bit_depth // 8)
        return max_data_bytes(width, height)

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def _rates(self, size: int) -> dict[str, float]:
        """bpp: bits a pixel; bpd: bits a sample, alpha counted."""
        return {"bpp": 8 * size / self.pixels, "bpd": 8 * size / (self.pixels * (self.channels + self.alpha))}
