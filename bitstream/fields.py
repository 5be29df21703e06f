"""The header of a `.lec` file as a declared list of fields.

    container: LHDR payload, 40 bytes <-> Header -> codec (which model, which size, which quality), `lecodec info`
    container: LSET payload of a set <-> ItemSet, which the Header holds

Each field of `Header` is declared once: its type on disk, its sentence of documentation, the values it may have.
Packing, parsing, checking and printing all follow from the declarations, so they cannot disagree, and the table in
FORMAT.md is compared with them by a test. The idea of declaring a codec's header this way is Cool-Chic's.

Guarantees:
- A `Header` that exists is valid: the constructor checks every field, and `Header.unpack(h.pack()) == h`.
- Everything on disk is little-endian and without padding. Any 40 bytes give a `Header` or a `CodecError`.
- Checks come before use: a size beyond the limits is refused while nothing but these 40 bytes is in memory.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import CodecError, CorruptFile, InputError, LimitExceeded, UnsupportedFile
from .layouts.set import ItemSet, geometry
from .limits import MAX_SIDE, MAX_TILE, TILE_STEP, check_picture_size, check_set_size, check_tile_size

__all__ = [
    "DIGEST_BYTES",
    "FIELDS",
    "HEADER_BYTES",
    "HYPERPRIOR",
    "IMAGE",
    "LOSSLESS",
    "METHODS",
    "NO_DIGEST",
    "QUALITY_MAX",
    "QUALITY_ONE",
    "SET",
    "VERSION",
    "Field",
    "Header",
]

VERSION: Final = 1
"""The version that is written. Older ones have the same layout and are read like it: their files use less of it."""

DIGEST_BYTES: Final = 8
QUALITY_ONE: Final = 256
"""One quality index in the fixed point of the quality field (8 fractional bits)."""
QUALITY_MAX: Final = 63 * QUALITY_ONE
IMAGE, SET = 0, 1
"""Values of the media field."""
HYPERPRIOR, LOSSLESS = 0, 1
"""Values of the codec field."""
METHODS: Final = {0: "stored", 1: "deflated", 2: "model"}
"""How a block without loss may be coded: values of the first byte behind its digest."""
NO_DIGEST: Final = bytes(DIGEST_BYTES)
"""The digest of a model that is not there, or not needed."""

_PRIMARIES: Final = {1: "BT.709, sRGB", 2: "unspecified", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS: Final = {1: "BT.709", 2: "unspecified", 8: "linear", 13: "sRGB", 16: "PQ", 18: "HLG"}
"""Code points that pictures are likely to have, by name; every other value means what ITU-T H.273 says."""

_STRUCT_CODES: Final = {"u8": "B", "u16": "H", "u32": "I", "digest": f"{DIGEST_BYTES}s"}


@dataclass(frozen=True)
class Field:
    """One field of the header: where it lies, what it means, which values it may have."""

    name: str
    kind: str
    """Type on disk: u8, u16, u32 (unsigned, little-endian) or digest (8 bytes)."""
    offset: int
    """Bytes from the start of the LHDR payload."""
    doc: str
    names: Mapping[int, str] | None = None
    """The values this version knows, each with its name. None: a range, or free bytes."""
    open: bool = False
    """Whether values without a name are allowed; otherwise they are reserved."""
    low: int = 0
    high: int = 0
    step: int = 1
    """What the value must be a multiple of."""
    too_high: type[CodecError] = CorruptFile
    """The error for a value above `high`."""
    one: int = 1
    """The stored value that stands for 1 (256 for eight fractional bits)."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return struct.calcsize("<" + _STRUCT_CODES[self.kind])

    def check(self, value: int | bytes, where: str = "") -> None:
        """Raise unless the value is allowed: UnsupportedFile (reserved), CorruptFile (impossible), LimitExceeded.

        where: put in front of the message, such as "byte 18: ".
        """
        if self.kind == "digest":
            return
        assert isinstance(value, int)
        found = f"{where}{self.name} is {value}"
        if self.names is not None:
            if value not in self.names and not self.open:
                known = " or ".join(f"{v} ({name})" for v, name in self.names.items())
                raise UnsupportedFile(f"{found}, expected {known}: a newer version of lecodec may know it")
        elif value < self.low:
            raise CorruptFile(f"{found}, expected {self.low} to {self.high}")
        elif value > self.high:
            raise self.too_high(f"{found}, expected {self.low} to {self.high}")
        elif value % self.step:
            raise CorruptFile(f"{found}, expected a multiple of {self.step}")

    def plain(self, value: int | bytes) -> int | float | str:
        """The value as JSON has it: digests in hexadecimal, fixed point as a float."""
        if isinstance(value, bytes):
            return value.hex()
        return value if self.one == 1 else value / self.one

    def text(self, value: int | bytes) -> str:
        """The value for people, with its name if it has one: `3 (RGB)`."""
        plain = str(self.plain(value))
        if self.names is not None and isinstance(value, int) and value in self.names:
            return f"{plain} ({self.names[value]})"
        return plain


def _declare(kind: str, doc: str, *, default: Any = dataclasses.MISSING, **rules: Any) -> Any:
    """Declare a field of `Header`; `rules` are the remaining attributes of `Field`."""
    return dataclasses.field(default=default, metadata={"kind": kind, "doc": doc, **rules})


@dataclass(frozen=True, kw_only=True)
class Header:
    """What stands in front of the data of every `.lec` file: 40 bytes in the order of declaration.

    Numbers are plain `int`s, digests are 8 `bytes`. items: of a set, what LSET says of it; None of a picture, and of
    the header of a set as long as LSET is not read. The constructor raises InputError for a value that no file may
    have, and LimitExceeded for a picture or a set beyond the limits.
    """

    version: int = _declare("u8", "Version of the format.", names={0: "experimental", 1: "stable"}, default=VERSION)
    media: int = _declare("u8", "Kind of medium.", names={IMAGE: "image", SET: "set"}, default=IMAGE)
    width: int = _declare("u32", "Width in pixels.", low=1, high=MAX_SIDE, too_high=LimitExceeded)
    height: int = _declare("u32", "Height in pixels.", low=1, high=MAX_SIDE, too_high=LimitExceeded)
    channels: int = _declare("u8", "Colour channels, alpha not counted.", names={1: "grey", 3: "RGB"})
    bit_depth: int = _declare(
        "u8", "Bits of a sample.", names={8: "samples 0 to 255", 16: "samples 0 to 65535"}, default=8
    )
    colour_primaries: int = _declare(
        "u8", "CICP colour primaries (ITU-T H.273).", names=_PRIMARIES, open=True, high=255, default=1
    )
    transfer: int = _declare("u8", "CICP transfer characteristics.", names=_TRANSFERS, open=True, high=255, default=13)
    matrix: int = _declare("u8", "CICP matrix coefficients.", names={0: "identity, RGB or grey"}, default=0)
    full_range: int = _declare("u8", "CICP full-range flag.", names={1: "full range"}, default=1)
    alpha: int = _declare("u8", "Kind of alpha channel.", names={0: "none", 1: "straight"}, default=0)
    codec: int = _declare(
        "u8",
        "Codec that wrote the data chunks.",
        names={HYPERPRIOR: "hyperprior image codec", LOSSLESS: "lossless blocks"},
        default=HYPERPRIOR,
    )
    parse_digest: bytes = _declare("digest", "Digest of the model's integer part: needed to read the data chunks.")
    synthesis_digest: bytes = _declare(
        "digest", "Digest of the model's synthesis: any that fits the parse digest will do."
    )
    quality: int = _declare(
        "u16", "Quality index, 0 to 63 with 8 fractional bits.", low=0, high=QUALITY_MAX, one=QUALITY_ONE
    )
    tile_width: int = _declare(
        "u16", "Width of a tile in pixels, 0 for untiled.", high=MAX_TILE, step=TILE_STEP, default=0
    )
    tile_height: int = _declare(
        "u16", "Height of a tile in pixels, 0 for untiled.", high=MAX_TILE, step=TILE_STEP, default=0
    )
    items: ItemSet | None = None

    def __post_init__(self) -> None:
        for field in FIELDS:
            value = getattr(self, field.name)
            expected = bytes if field.kind == "digest" else int
            if type(value) is not expected:
                raise InputError(f"header: {field.name} is a {type(value).__name__}, expected {expected.__name__}")
            if isinstance(value, bytes) and len(value) != DIGEST_BYTES:
                raise InputError(f"header: {field.name} has {len(value)} bytes, expected {DIGEST_BYTES}")
            try:
                field.check(value)
            except (CorruptFile, UnsupportedFile) as error:
                raise InputError(f"header: {error}") from None
        for _, wrong in _contradictions(vars(self)):
            raise InputError(f"header: {wrong}")
        check_picture_size(self.width, self.height)
        if self.items is None:
            check_tile_size(*self._box(0)[2:])
            return
        if self.media != SET or geometry(self.items.shape) != (self.width, self.height, self.channels):
            raise InputError(f"header: {_other_shape(self, self.items)}")
        check_set_size(self.width, self.height, self.items.count, self.items.block)

    @property
    def lossless(self) -> bool:
        """Whether every sample comes back as it was."""
        return self.codec == LOSSLESS

    @property
    def pixels(self) -> int:
        """Pixels of a picture, or of all items of a set."""
        return self.width * self.height * (1 if self.items is None else self.items.count)

    def facts(self, size: int) -> dict[str, Any]:
        """What follows from the fields, for a file of `size` bytes, ready for JSON. None: means nothing here.

        bpp: bits a pixel; bpd: bits a sample, alpha counted. items, item_shape, block_items: of a set.
        """
        items = self.items
        return {
            "user_quality": None if self.lossless else self.user_quality,
            "lossless": self.lossless,
            "items": None if items is None else items.count,
            "item_shape": None if items is None else list(items.shape),
            "block_items": None if items is None else items.block,
            "bpp": 8 * size / self.pixels,
            "bpd": 8 * size / (self.pixels * (self.channels + self.alpha)),
        }

    @property
    def user_quality(self) -> float:
        """The quality as users give it, 1 to 100, to two decimals: steps of the field are 0.006."""
        return round(1 + 99 * self.quality / QUALITY_MAX, 2)

    @property
    def grid(self) -> tuple[int, int]:
        """How many tiles lie side by side and one below the other: (columns, rows); (1, 1) if untiled."""
        if not self.tile_width:
            return 1, 1
        return -(-self.width // self.tile_width), -(-self.height // self.tile_height)

    @property
    def tiles(self) -> int:
        """The number of tiles of a picture, or of blocks of a set: at least 1."""
        if self.media == SET:
            assert self.items is not None, "LSET was not read"
            return self.items.blocks
        columns, rows = self.grid
        return columns * rows

    def tile_box(self, number: int) -> tuple[int, int, int, int]:
        """Where a tile lies: (x, y, width, height) in pixels. Tiles are numbered row by row from the top left; the last
        ones of a row and of a column are cut at the border. Of a set it is a block as one picture, its items one below
        the other. Raises InputError for a number outside 0 to `tiles` - 1.
        """
        if not 0 <= number < self.tiles:
            raise InputError(f"{self.part} {number}, expected 0 to {self.tiles - 1}")
        return self._box(number)

    def _box(self, number: int) -> tuple[int, int, int, int]:
        if self.items is not None:
            first, end = self.items.span(number)
            return 0, first * self.height, self.width, (end - first) * self.height
        if not self.tile_width:
            return 0, 0, self.width, self.height
        row, column = divmod(number, self.grid[0])
        x, y = column * self.tile_width, row * self.tile_height
        return x, y, min(self.tile_width, self.width - x), min(self.tile_height, self.height - y)

    @property
    def part(self) -> str:
        """What a data chunk holds, for messages: "tile" or "block"."""
        return "block" if self.media == SET else "tile"

    def with_items(self, items: ItemSet, offset: int) -> Header:
        """The header of a set together with its LSET, whose payload lies at `offset`. Raises CorruptFile if they
        contradict each other, LimitExceeded.
        """
        if geometry(items.shape) != (self.width, self.height, self.channels):
            raise CorruptFile(f"byte {offset}: {_other_shape(self, items)}")
        return dataclasses.replace(self, items=items)

    def pack(self) -> bytes:
        """The LHDR payload: `HEADER_BYTES` bytes."""
        return struct.pack(_LAYOUT, *(getattr(self, field.name) for field in FIELDS))

    @classmethod
    def unpack(cls, payload: bytes, offset: int = 0) -> Header:
        """The header that an LHDR payload holds.

        offset: where the payload lies in its file, for messages. Raises UnsupportedFile (a reserved value, another
        version), CorruptFile (an impossible value, a wrong length), LimitExceeded (a picture beyond the limits).
        """
        if payload:  # the version first: a newer header may have another length
            FIELDS[0].check(payload[0], f"byte {offset}: ")
        if len(payload) != HEADER_BYTES:
            raise CorruptFile(f"byte {offset}: a header of {len(payload)} bytes, expected {HEADER_BYTES}")
        values = struct.unpack(_LAYOUT, payload)
        for field, value in zip(FIELDS, values, strict=True):
            field.check(value, f"byte {offset + field.offset}: ")
        named = {field.name: value for field, value in zip(FIELDS, values, strict=True)}
        for name, wrong in _contradictions(named):
            at = next(field.offset for field in FIELDS if field.name == name)
            raise CorruptFile(f"byte {offset + at}: {wrong}")
        return cls(**named)

    def as_dict(self) -> dict[str, int | float | str]:
        """Every field by name, ready for JSON: digests in hexadecimal, quality as the index 0 to 63."""
        return {field.name: field.plain(getattr(self, field.name)) for field in FIELDS}

    def describe(self) -> dict[str, str]:
        """Every field by name, as text for people: `{"channels": "3 (RGB)", …}`."""
        return {field.name: field.text(getattr(self, field.name)) for field in FIELDS}


def _contradictions(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What fields, each allowed by itself, may not say together: the name of one of them, and a clause."""
    width, height = values["tile_width"], values["tile_height"]
    if bool(width) != bool(height):
        yield "tile_width", f"tile_width is {width} and tile_height is {height}, expected both 0 or neither"
    if values["media"] == SET:
        if values["codec"] != LOSSLESS:
            yield "codec", f"codec is {values['codec']} and media is {SET} (set), expected {LOSSLESS} (lossless blocks)"
        for name in ("alpha", "tile_width"):
            if values[name]:
                yield name, f"{name} is {values[name]} and media is {SET} (set), expected 0"
    if values["codec"] == LOSSLESS:
        if values["synthesis_digest"] != NO_DIGEST:
            yield "synthesis_digest", f"synthesis_digest is {values['synthesis_digest'].hex()} without loss, expected 0"
        if values["quality"]:
            yield "quality", f"quality is {values['quality']} without loss, expected 0"


def _other_shape(header: Header, items: ItemSet) -> str:
    found = " x ".join(str(n) for n in geometry(items.shape))
    return (
        f"items of the shape {list(items.shape)}, that is {found}, and a header of {header.width} x {header.height} x "
        f"{header.channels} (width, height, channels)"
    )


def _collect_fields() -> tuple[Field, ...]:
    """The declarations of `Header` with the offsets that follow from their order."""
    collected: list[Field] = []
    offset = 0
    for declared in dataclasses.fields(Header):
        if not declared.metadata:  # not in LHDR
            continue
        field = Field(name=declared.name, offset=offset, **declared.metadata)
        collected.append(field)
        offset += field.size
    return tuple(collected)


FIELDS: Final = _collect_fields()
"""The fields in the order in which they lie in the file."""
HEADER_BYTES: Final = sum(field.size for field in FIELDS)
"""Bytes of the LHDR payload: 40."""
_LAYOUT: Final = "<" + "".join(_STRUCT_CODES[field.kind] for field in FIELDS)
