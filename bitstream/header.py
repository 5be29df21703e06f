"""The header of a `.lec` file: which codec and model made it, and the layout of what it holds.

    container: LHDR payload [and the layout's chunk] <-> Header -> codec (which model, which quality), `lecodec info`

A header is an identity, declared here, and a layout (see `layout`). LHDR of version 1, 40 bytes, holds both, mixed, and
what is left over of a set is in LSET. LHDR of version 2, 21 bytes, holds the identity; the layout's chunk follows.

Guarantees:
- A `Header` that exists is valid: the constructor checks every field, and `Header.unpack(h.pack(), …) == h`.
- Any bytes give a `Header` or a `CodecError`.
- Checks come before use: a size beyond the limits is refused while nothing but the header is in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from ..errors import CorruptFile, InputError
from .fields import DIGEST_BYTES, Field, check_values, declare, declared, pack_values, placed, unpack_values
from .layout import Layout
from .layouts import LAYOUTS
from .layouts.raster import Raster

__all__ = [
    "FIELDS",
    "HEADER_BYTES",
    "HYPERPRIOR",
    "LOSSLESS",
    "METHODS",
    "NO_DIGEST",
    "QUALITY_MAX",
    "QUALITY_ONE",
    "VERSION",
    "Header",
]

VERSION: Final = 1
"""The version of pictures and sets. Version 0 has the same layout and is read like it: its files use less of it."""
_VERSIONS: Final = {0: "experimental", 1: "stable", 2: "layout in a chunk"}
QUALITY_ONE: Final = 256
"""One quality index in the fixed point of the quality field (8 fractional bits)."""
QUALITY_MAX: Final = 63 * QUALITY_ONE
HYPERPRIOR, LOSSLESS = 0, 1
"""Values of the codec field."""
CODECS: Final = {HYPERPRIOR: "latents of a model", LOSSLESS: "lossless blocks"}
METHODS: Final = {0: "stored", 1: "deflated", 2: "model", 4: "webp", 5: "lzma", 6: "flac", 7: "adaptive"}
"""How a block without loss may be coded: values of the first byte behind its digest."""
NO_DIGEST: Final = bytes(DIGEST_BYTES)
"""The digest of a model that is not there, or not needed."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What stands in front of the data of every `.lec` file. Numbers are plain `int`s, digests are 8 `bytes`; media is
    the layout's. The constructor raises InputError for a value that no file may have.
    """

    version: int = declare("u8", "Version of the format.", names={0: _VERSIONS[0], 1: _VERSIONS[1]}, default=VERSION)
    media: int = declare("u8", "Kind of medium.", names={n: LAYOUTS[n].name for n in (0, 1)}, init=False)
    codec: int = declare("u8", "Codec that wrote the data chunks.", names=CODECS, default=HYPERPRIOR)
    parse_digest: bytes = declare("digest", "Digest of the model's integer part: needed to read the data chunks.")
    synthesis_digest: bytes = declare(
        "digest", "Digest of the model's synthesis: any that fits the parse digest will do."
    )
    quality: int = declare(
        "u16", "Quality index, 0 to 63 with 8 fractional bits.", low=0, high=QUALITY_MAX, one=QUALITY_ONE
    )
    layout: Layout

    def __post_init__(self) -> None:
        object.__setattr__(self, "media", self.layout.media)
        check_values(_checked(type(self.layout)), vars(self))
        layout, values = type(self.layout), self._values
        for _, wrong in chain(_contradictions(layout, values), layout.contradictions(values)):
            raise InputError(f"header: {wrong}")

    @property
    def lossless(self) -> bool:
        """Whether every sample comes back as it was."""
        return self.codec == LOSSLESS

    @property
    def user_quality(self) -> float:
        """The quality as users give it, 1 to 100, to two decimals: steps of the field are 0.006."""
        return round(1 + 99 * self.quality / QUALITY_MAX, 2)

    def facts(self, size: int) -> dict[str, Any]:
        """What follows from the fields, for a file of `size` bytes, ready for JSON. None: means nothing here."""
        return {
            "user_quality": None if self.lossless else self.user_quality,
            "lossless": self.lossless,
            **self.layout.facts(size),
        }

    def pack(self) -> bytes:
        """The LHDR payload; that of the layout's chunk is `layout.pack()`."""
        return pack_values(_fields_of(self.version), self._values)

    @classmethod
    def unpack(
        cls, payload: bytes, offset: int = 0, more: Callable[[bytes, int], tuple[bytes, int]] | None = None
    ) -> Header:
        """The header that an LHDR payload begins.

        offset: of the payload in its file, for messages. more(type, limit): the payload of the chunk that
        follows, which must have this type and at most `limit` bytes, and its offset; needed if the layout has a chunk.
        Raises UnsupportedFile (a reserved value, another version), CorruptFile (an impossible value, a wrong length),
        LimitExceeded.
        """
        version = payload[0] if payload else VERSION
        later = {number: layout.name for number, layout in LAYOUTS.items() if layout.versions[-1] > VERSION}
        known = _VERSIONS if later else {0: _VERSIONS[0], 1: _VERSIONS[1]}
        # The version first: a newer header may have another length.
        dataclasses.replace(FIELDS[0], names=known).check(version, f"byte {offset}: ")
        fields = _fields_of(version, later)
        values = unpack_values(fields, payload, offset, "a header")
        layout = LAYOUTS[values["media"]]
        wrongs = chain(_contradictions(layout, values), layout.contradictions(values) if version <= VERSION else ())
        for name, wrong in wrongs:
            at = next(field.offset for field in fields if field.name == name)
            raise CorruptFile(f"byte {offset + at}: {wrong}")
        identity = {name: value for name, value in values.items() if name in _IDENTITY and name != "media"}
        rest = {name: value for name, value in values.items() if name not in _IDENTITY}
        rest |= {"codec": values["codec"]} if version > VERSION else {}
        found = b"", 0
        if layout.chunk is not None:
            assert more is not None, f"{layout.chunk.decode()} is needed"
            found = more(layout.chunk, layout.chunk_limit)
        return cls(**identity, layout=layout.unpack(rest, *found))

    def as_dict(self) -> dict[str, int | float | str]:
        """Every declared field by name, ready for JSON: digests in hexadecimal, quality as the index 0 to 63."""
        values = self._values
        return {field.name: field.plain(values[field.name]) for field in self._fields}

    def describe(self) -> dict[str, str]:
        """Every declared field by name, as text for people: `{"channels": "3 (RGB)", …}`."""
        values = self._values
        return {field.name: field.text(values[field.name]) for field in self._fields}

    @property
    def _values(self) -> dict[str, Any]:
        return {**vars(self.layout), **vars(self)}

    @property
    def _fields(self) -> tuple[Field, ...]:
        """The fields of the header and of its layout, in the order of the file."""
        if self.version <= VERSION:
            return FIELDS
        return *_fields_of(self.version, {self.media: self.layout.name}), *declared(type(self.layout))


def _fields_of(version: int, media: Mapping[int, str] | None = None) -> tuple[Field, ...]:
    """The fields of LHDR of a version in the order in which they lie in the file. media: names of those of version 2,
    if they matter.
    """
    if version <= VERSION:
        return FIELDS
    names = {"version": {2: _VERSIONS[2]}, "media": media}
    return tuple(dataclasses.replace(f, names=names.get(f.name, f.names)) for f in declared(Header))


def _checked(layout: type[Layout]) -> Iterator[Field]:
    """The fields of a header with such a layout, but for the medium, which is the layout's."""
    for field in declared(Header):
        if field.name == "version":
            yield dataclasses.replace(field, names={version: _VERSIONS[version] for version in layout.versions})
        elif field.name != "media":
            yield field


def _contradictions(layout: type[Layout], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What fields, each allowed by itself, may not say together: the name of one of them, and a clause."""
    if layout.lossless_only and values["codec"] != LOSSLESS:
        found = f"codec is {values['codec']} and media is {layout.media} ({layout.name})"
        yield "codec", f"{found}, expected {LOSSLESS} ({CODECS[LOSSLESS]})"
    if values["codec"] == LOSSLESS:
        if values["synthesis_digest"] != NO_DIGEST:
            yield "synthesis_digest", f"synthesis_digest is {values['synthesis_digest'].hex()} without loss, expected 0"
        if values["quality"]:
            yield "quality", f"quality is {values['quality']} without loss, expected 0"


def _version_1() -> tuple[Field, ...]:
    """The identity around the fields of a raster, its tiles last."""
    identity, raster = declared(Header), declared(Raster)
    return placed((*identity[:2], *raster[:-2], *identity[2:], *raster[-2:]))


_IDENTITY: Final = frozenset(field.name for field in declared(Header))
FIELDS: Final = _version_1()
"""The fields of LHDR of version 1 in the order in which they lie in the file."""
HEADER_BYTES: Final = sum(field.size for field in FIELDS)
"""Bytes of the LHDR payload of version 1: 40."""
