"""Declared fields: a record of fixed length as a list of fields, each declared once in a dataclass.

    dataclass with `declare`d fields -> `declared` -> pack, unpack, check -> LHDR, or the chunk of a layout

Each field says its type on disk, its sentence of documentation, the values it may have. Packing, parsing, checking and
printing all follow from the declarations, so they cannot disagree, and the tables in FORMAT.md are compared with them
by a test. The idea of declaring a codec's header this way is Cool-Chic's.

Guarantees: everything on disk is little-endian and without padding. Any bytes give values that every field allows, or a
`CodecError`.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ..errors import CodecError, CorruptFile, InputError, UnsupportedFile

__all__ = ["DIGEST_BYTES", "Field", "check_values", "declare", "declared", "pack_values", "placed", "unpack_values"]

DIGEST_BYTES: Final = 8

_STRUCT_CODES: Final = {"u8": "B", "u16": "H", "u32": "I", "digest": f"{DIGEST_BYTES}s"}


@dataclass(frozen=True)
class Field:
    """One field of a record: where it is, what it means, which values it may have."""

    name: str
    kind: str
    """Type on disk: u8, u16, u32 (unsigned, little-endian) or digest (8 bytes)."""
    offset: int
    """Bytes from the start of the record."""
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


def declare(kind: str, doc: str, *, default: Any = dataclasses.MISSING, init: bool = True, **rules: Any) -> Any:
    """Declare a field of a dataclass; `rules` are the remaining attributes of `Field`."""
    return dataclasses.field(default=default, init=init, metadata={"kind": kind, "doc": doc, **rules})


@lru_cache
def declared(record: type) -> tuple[Field, ...]:
    """The declared fields of a dataclass, in order, as they lie in a record that holds nothing else."""
    return placed(
        Field(name=field.name, offset=0, **field.metadata)
        for field in dataclasses.fields(record)
        if field.metadata  # others are not on disk
    )


def placed(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Fields one after the other, each with the offset that follows from this order."""
    found: list[Field] = []
    offset = 0
    for field in fields:
        found.append(dataclasses.replace(field, offset=offset))
        offset += field.size
    return tuple(found)


def check_values(fields: Iterable[Field], values: Mapping[str, Any]) -> None:
    """Raise InputError unless each value has its field's type and is allowed; LimitExceeded beyond a limit."""
    for field in fields:
        value = values[field.name]
        expected = bytes if field.kind == "digest" else int
        if type(value) is not expected:
            raise InputError(f"header: {field.name} is a {type(value).__name__}, expected {expected.__name__}")
        if isinstance(value, bytes) and len(value) != DIGEST_BYTES:
            raise InputError(f"header: {field.name} has {len(value)} bytes, expected {DIGEST_BYTES}")
        try:
            field.check(value)
        except (CorruptFile, UnsupportedFile) as error:
            raise InputError(f"header: {error}") from None


def pack_values(fields: Iterable[Field], values: Mapping[str, Any]) -> bytes:
    """The record that holds these values, by field name."""
    ordered = tuple(fields)
    return struct.pack(_struct(ordered), *(values[field.name] for field in ordered))


def unpack_values(fields: tuple[Field, ...], payload: bytes, offset: int, what: str) -> dict[str, Any]:
    """The values of a record, by field name.

    offset: of the record in its file, for messages. what: it is, for messages, such as "a header". Raises
    CorruptFile (also for another length), UnsupportedFile, LimitExceeded.
    """
    size = sum(field.size for field in fields)
    if len(payload) != size:
        raise CorruptFile(f"byte {offset}: {what} of {len(payload)} bytes, expected {size}")
    values = struct.unpack(_struct(fields), payload)
    for field, value in zip(fields, values, strict=True):
        field.check(value, f"byte {offset + field.offset}: ")
    return {field.name: value for field, value in zip(fields, values, strict=True)}


def _struct(fields: Iterable[Field]) -> str:
    return "<" + "".join(_STRUCT_CODES[field.kind] for field in fields)
