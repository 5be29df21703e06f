"""The layout of a picture: media 0. Its units are tiles, numbered row by row from the top left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..layout import ALPHA, DATA
from ..limits import check_tile_size
from .raster import Raster

__all__ = ["PictureLayout"]


@dataclass(frozen=True, kw_only=True)
class PictureLayout(Raster):
    """A picture of width x height pixels, whole or cut into tiles. See `Raster`; LimitExceeded for a large tile too."""

    media: ClassVar[int] = 0
    name: ClassVar[str] = "image"
    noun: ClassVar[str] = "tile"
    chunk: ClassVar[bytes | None] = None
    exact_units: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tile_size(
            min(self.tile_width or self.width, self.width), min(self.tile_height or self.height, self.height)
        )

    @classmethod
    def unpack(cls, values: Mapping[str, Any], payload: bytes, offset: int) -> PictureLayout:
        return cls(**values)

    @property
    def parts(self) -> tuple[bytes, ...]:
        return (DATA, ALPHA) if self.alpha else (DATA,)

    @property
    def grid(self) -> tuple[int, int]:
        """How many tiles lie side by side and one below the other: (columns, rows); (1, 1) if untiled."""
        if not self.tile_width:
            return 1, 1
        return -(-self.width // self.tile_width), -(-self.height // self.tile_height)

    @property
    def units(self) -> int:
        columns, rows = self.grid
        return columns * rows

    def unit(self, number: int) -> tuple[slice, slice]:
        """Rows and columns of a tile; the last ones of a row and of a column of tiles are cut at the border."""
        self.check_number(number)
        return self._box(number)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)

    def extent(self, number: int) -> tuple[int, int]:
        rows, columns = self._box(number)
        return rows.stop - rows.start, columns.stop - columns.start

    def facts(self, size: int) -> dict[str, Any]:
        """bpp, bpd: see `Raster`. items, item_shape, block_items: a picture has none."""
        none = {"items": None, "item_shape": None, "block_items": None}
        return {**none, **self._rates(size)}

    @classmethod
    def amount(cls, facts: Mapping[str, Any]) -> int:
        return facts["width"] * facts["height"]

    @classmethod
    def extent_text(cls, facts: Mapping[str, Any]) -> str:
        """`768 x 512`"""
        return f"{facts['width']} x {facts['height']}"

    def _box(self, number: int) -> tuple[slice, slice]:
        if not self.tile_width:
            return slice(0, self.height), slice(0, self.width)
        row, column = divmod(number, self.grid[0])
        y, x = row * self.tile_height, column * self.tile_width
        return slice(y, min(y + self.tile_height, self.height)), slice(x, min(x + self.tile_width, self.width))
