"""Layouts: what a `.lec` file says of its samples, and the units in which they are coded.

    medium of samples -> Layout -> units, each decoded alone -> container (order, limits) -> codec (where a unit is)

A *unit* is what is decoded alone: a tile of a picture, a block of items of a set. What lists, checks, limits, indexes,
tests and reads units is written once, in these terms. A medium has one layout, a frozen dataclass whose fields are
declared with `fields.declare` and not named as those of `Header`; `layouts` lists them by number.

On disk the media 0 and 1 are version 1: their fields lie in LHDR. Every later medium is version 2: LHDR has the fields
of `Header` alone, and the layout has a critical chunk of its own behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Protocol, Self

from ..errors import CorruptFile, InputError
from .fields import declared, pack_values, unpack_values

__all__ = ["ALPHA", "DATA", "EXACT", "GROUP", "UNSPECIFIED", "Layout"]

DATA: Final = b"LDAT"
EXACT: Final = b"LEXT"
"""Stands in the place of DATA where a unit of a file with loss is coded without."""
ALPHA: Final = b"LALP"
GROUP: Final = b"LGRP"
"""Stands before the data of a group of a video that announces itself."""
UNSPECIFIED: Final = 2
"""The CICP code point of what is not known to be a colour."""


class Layout(Protocol):
    """What codecs and the container need of a medium. A layout that exists is valid and within the limits.

    What is written here suits a layout whose chunk holds its declared fields, and whose units have one data chunk each.
    """

    media: ClassVar[int]
    """Its number in the header."""
    name: ClassVar[str]
    """The medium's name: "image"."""
    noun: ClassVar[str]
    """What messages call a unit: "tile"."""
    versions: ClassVar[tuple[int, ...]] = (2,)
    """The versions of the format that have it, the newest last: that is written."""
    chunk: ClassVar[bytes | None]
    """Type of its chunk behind LHDR; None: it has none."""
    chunk_limit: ClassVar[int] = 4096
    """Bytes that the payload of that chunk may have."""
    lossless_only: ClassVar[bool] = False
    exact_units: ClassVar[bool] = False
    """Whether single units of a file with loss may be coded without."""

    @property
    def parts(self) -> tuple[bytes, ...]:
        """Types of the data chunks of each unit, in the order of the file."""
        return (DATA,)

    @property
    def units(self) -> int:
        """The number of units: at least 1."""
        ...

    @property
    def pixels(self) -> int:
        """What rates are per, and how much work it is: pixels, or what stands for them."""
        ...

    def unit(self, number: int) -> tuple[slice, ...]:
        """Where a unit is among the samples: one slice for each axis that is cut. Raises InputError for a number
        outside 0 to `units` - 1.
        """
        ...

    def limit(self, number: int, part: bytes, lossless: bool) -> int:
        """Bytes, digest included, that the payload of a data chunk of the type `part` of a unit may have."""
        ...

    def facts(self, size: int) -> dict[str, Any]:
        """What there is to say of the samples, and of their rate in a file of `size` bytes, ready for JSON: `bpp`, bits
        for each of `pixels`, and what the texts below need.
        """
        ...

    @classmethod
    def amount(cls, facts: Mapping[str, Any]) -> int:
        """The `pixels` of what facts are of: of a whole file, or of a part of it that was written."""
        ...

    @classmethod
    def extent_text(cls, facts: Mapping[str, Any]) -> str:
        """How much facts are of, for people: `768 x 512`."""
        ...

    @classmethod
    def rate_text(cls, facts: Mapping[str, Any]) -> str:
        """The rate in facts, in the unit that is usual for the medium: `0.420 bpp`."""
        return f"{facts['bpp']:.3f} bpp"

    @property
    def code_points(self) -> tuple[int, int]:
        """CICP colour primaries and transfer characteristics; 2: unspecified."""
        return UNSPECIFIED, UNSPECIFIED

    def check_number(self, number: int) -> None:
        """Raise InputError unless there is a unit with this number."""
        if not 0 <= number < self.units:
            raise InputError(f"{self.noun} {number}, expected 0 to {self.units - 1}")

    def pack(self) -> bytes:
        """The payload of its chunk."""
        return pack_values(declared(type(self)), vars(self))

    @classmethod
    def unpack(cls, values: Mapping[str, Any], payload: bytes, offset: int) -> Self:
        """The layout that a file's header describes.

        values: of its fields in LHDR (version 1), or the header's `codec` (version 2). payload: of its chunk, at
        `offset` in the file. Raises CorruptFile, UnsupportedFile, LimitExceeded.
        """
        assert cls.chunk is not None
        fields = declared(cls)
        found = unpack_values(fields, payload, offset, cls.chunk.decode())
        for name, wrong in cls.contradictions({**values, **found}):
            at = next(field.offset for field in fields if field.name == name)
            raise CorruptFile(f"byte {offset + at}: {wrong}")
        return cls(**found)

    @classmethod
    def contradictions(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What fields, each allowed by itself, may not say together, nor with the header's `codec`: the name of one of
        them, and a clause.
        """
        return iter(())
