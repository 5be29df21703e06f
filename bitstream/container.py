"""The `.lec` container: which chunks a file has, in which order, and how long they may be.

    codec -> Header, Metadata, (digest, bytes) of each unit -> pack -> file -> LecFile -> the same -> codec

    file = signature LHDR [the layout's chunk] {ancillary} data {data} {ancillary} [iNDX] LEND
    data = LDAT [LALP]                    one for each unit; LALP is there if the layout says that there is alpha
                                          LEXT for LDAT where a tile of a picture with loss is exact
         | LGRP {sPKT} LDAT               of a video whose groups announce themselves: see `announced`

A unit (see `layout`) is a tile of a picture or a block of items of a set. `chunks` frames, this module orders,
`lecfile` reads whole files and `random_access` single units. FORMAT.md is the specification.

Guarantees:
- Any bytes at all give a result or a `CodecError`, never a wrong result: the arithmetic coder does not notice damage,
  so every byte of a file is under the signature, a CRC or an equality check, and nothing is given out unchecked.
- Memory follows what the source holds, not what it claims: lengths are compared with their limits, and with the bytes
  that remain where that is known; streams are read in small pieces. Only metadata grows, to at most `MAX_ANCILLARY`.
- Reading is sequential and never seeks, so pipes work.
- Messages name the byte offset, what was expected and what was found; the caller puts the file's name in front.
"""

from __future__ import annotations

import dataclasses
import struct
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from ..errors import CorruptFile, InputError, LimitExceeded, UnsupportedFile
from .chunks import (
    SIGNATURE,
    Chunk,
    Head,
    Reader,
    check_length,
    check_signature,
    frame,
    read_head,
    read_rest,
)
from .fields import DIGEST_BYTES
from .header import LOSSLESS, Header
from .layout import ALPHA, DATA, EXACT, GROUP, Layout
from .layouts import LAYOUTS
from .limits import MAX_ANCILLARY, MAX_ANCILLARY_CHUNKS, MAX_CHUNK, MAX_HEADER
from .metadata import METADATA_TYPES, Metadata
from .samples import SAMPLES

__all__ = [
    "DataChunk",
    "data_chunk",
    "data_chunks",
    "pack",
    "pack_front",
    "read_ancillary",
    "read_data",
    "read_data_head",
    "read_first",
    "read_from_data",
    "read_tail",
    "refuse",
]

HEADER: Final = b"LHDR"
INDEX: Final = b"iNDX"
END: Final = b"LEND"


@dataclass(frozen=True, slots=True)
class DataChunk:
    """A data chunk of a unit.

    digest: 8 bytes, BLAKE2b-64 of what the payload decodes to; carried here, computed and compared by the codec.
    payload: the arithmetic coder's bytes, a method and what it made of samples without loss, or the rows of the alpha
    plane. offset: of the payload's first byte in the file, for messages. exact: whether it is of a unit without loss in
    a file with loss.
    """

    digest: bytes
    payload: bytes = field(repr=False)
    offset: int
    exact: bool = False


# -- writing


def pack(
    header: Header,
    data: Sequence[tuple[bytes, bytes]],
    alpha: Sequence[tuple[bytes, bytes]] = (),
    metadata: Metadata | None = None,
    exact: Collection[int] = (),
) -> bytes:
    """A whole `.lec` file of the newest version; 92 bytes more than the coder's bytes for one tile and nothing else.

    data: (digest of 8 bytes, the coder's bytes) for each unit, in order. alpha: (digest, rows or nothing) for each unit
    if the layout has alpha, otherwise none. metadata: goes before the data so that a reader of a stream has it first;
    its code points must be the layout's. exact: the units of a file with loss whose data is a method and what it made
    of the samples. A file of several units gets an index. Raises InputError for arguments that would not make a valid
    file, LimitExceeded for a payload beyond its limit.
    """
    layout = header.layout
    expected = {"data": layout.units, "alpha": layout.units * (ALPHA in layout.parts)}
    for name, given in (("data", data), ("alpha", alpha)):
        if len(given) != expected[name]:
            raise InputError(f"{len(given)} {name} chunks, expected {expected[name]} ({layout.units} {layout.noun}s)")
    parts = [pack_front(header, metadata)]
    ordered = [chunk for unit in zip(data, alpha, strict=True) for chunk in unit] if alpha else data
    for number, (digest, payload) in enumerate(ordered):
        unit, part = divmod(number, len(layout.parts))
        type = EXACT if unit in exact and part == 0 else layout.parts[part]
        rules = _data_rules(header, number)
        if type not in rules:
            raise InputError(f"an exact {layout.noun}, expected them in pictures with loss alone")
        least, limit = rules[type]
        if len(digest) != DIGEST_BYTES:
            raise InputError(f"a data digest of {len(digest)} bytes, expected {DIGEST_BYTES}")
        if DIGEST_BYTES + len(payload) < least:
            raise InputError(f"{type.decode()} of {DIGEST_BYTES + len(payload)} bytes, expected at least {least}")
        if DIGEST_BYTES + len(payload) > limit:
            raise LimitExceeded(f"{type.decode()} of {DIGEST_BYTES + len(payload)} bytes: the limit is {limit}")
        parts.append(frame(type, digest + payload))
    if layout.units > 1:
        lengths = (DIGEST_BYTES + len(payload) for _, payload in ordered)
        parts.append(frame(INDEX, struct.pack(f"<{len(ordered)}I", *lengths)))
    parts.append(frame(END, b""))
    return b"".join(parts)


def pack_front(header: Header, metadata: Metadata | None = None) -> bytes:
    """The beginning of a file of the newest version, up to its data. Raises as `pack`."""
    layout = header.layout
    parts = [SIGNATURE, frame(HEADER, dataclasses.replace(header, version=layout.versions[-1]).pack())]
    if layout.chunk is not None:
        parts.append(frame(layout.chunk, layout.pack()))
    if metadata is not None:
        primaries, transfer = layout.code_points
        if (metadata.primaries, metadata.transfer) != (primaries, transfer):
            raise InputError(
                f"code points {metadata.primaries}/{metadata.transfer} in the metadata, "
                f"{primaries}/{transfer} in the header, expected the same"
            )
        ancillary = metadata.chunks()
        if (total := sum(len(payload) for _, payload in ancillary)) > MAX_ANCILLARY:
            raise LimitExceeded(f"metadata of {total} bytes: the limit is {MAX_ANCILLARY}")
        parts += [frame(type, payload) for type, payload in ancillary]
    return b"".join(parts)


def data_chunks(layout: Layout) -> int:
    """Number of data chunks, LDAT or LEXT and LALP, in a file."""
    return layout.units * len(layout.parts)


def _data_rules(header: Header, number: int) -> dict[bytes, tuple[int, int]]:
    """What data chunk `number`, counted from 0 in the order of the file, may be: smallest and largest payload by type,
    the usual type first.
    """
    layout, lossless = header.layout, header.codec == LOSSLESS
    unit, part = divmod(number, len(layout.parts))
    type = layout.parts[part]
    rules = {type: (DIGEST_BYTES + (lossless and type == DATA), layout.limit(unit, type, lossless))}
    if type == DATA and layout.exact_units and not lossless:
        rules[EXACT] = DIGEST_BYTES + 1, layout.limit(unit, type, True)
    return rules


# -- reading


def data_chunk(chunk: Chunk) -> DataChunk:
    """An LDAT, LEXT or LALP chunk taken apart."""
    digest, payload = chunk.payload[:DIGEST_BYTES], chunk.payload[DIGEST_BYTES:]
    return DataChunk(digest, payload, chunk.offset + 8 + DIGEST_BYTES, chunk.type == EXACT)


def read_first(reader: Reader) -> Header:
    """Signature, LHDR and the layout's chunk: 60 bytes of a picture. Raises NotLecFile, TruncatedFile, CorruptFile,
    UnsupportedFile, LimitExceeded.
    """

    def more(type: bytes, limit: int) -> tuple[bytes, int]:
        head = read_head(reader)
        if head.type != type:
            refuse(reader, head, type.decode())
        check_length(head, limit)
        return read_rest(reader, head).payload, head.offset + 8

    check_signature(reader.take(len(SIGNATURE)))
    head = read_head(reader)
    if head.type != HEADER:
        raise CorruptFile(f"byte {head.offset + 4}: chunk type {head.type.decode()}, expected LHDR")
    check_length(head, MAX_HEADER)
    return Header.unpack(read_rest(reader, head).payload, head.offset + 8, more)


def read_from_data(reader: Reader, header: Header, bytes_left: int, chunks_left: int) -> Iterator[Chunk]:
    """The chunks from the first data chunk to LEND one after the other, each checked before it is given out. Bytes are
    taken only as far as needed for the next chunk. After LEND the source has been read to its end.

    bytes_left, chunks_left: see `read_ancillary`. Raises as `read_first` does, at the first thing that is wrong.
    """
    lengths = array("I")
    for number in range(data_chunks(header.layout)):
        chunk = read_data(reader, header, number)
        lengths.append(len(chunk.payload))
        yield chunk
    yield from read_tail(reader, bytes_left, chunks_left, lengths)


def read_tail(
    reader: Reader, bytes_left: int, chunks_left: int, lengths: Sequence[int] | None = None
) -> Iterator[Chunk]:
    """The chunks behind the data, up to the end of the source. lengths: of the data chunks' payloads, which an index
    names; None: there is no index.
    """
    yield from read_ancillary(reader, bytes_left, chunks_left, before_data=False)
    head = read_head(reader)
    if head.type == INDEX and lengths is not None:
        yield read_index(reader, head, lengths)
        head = read_head(reader)
    if head.type != END:
        refuse(reader, head, "LEND")
    if head.length:
        raise CorruptFile(f"byte {head.offset}: LEND of {head.length} bytes, expected 0")
    yield read_rest(reader, head)
    if reader.take(1):
        raise CorruptFile(f"byte {reader.offset - 1}: more bytes, expected the end of the file after LEND")


def read_ancillary(reader: Reader, bytes_left: int, chunks_left: int, *, before_data: bool) -> Iterator[Chunk]:
    """The ancillary chunks that come next, up to anything else, whose head is left to be read.

    bytes_left, chunks_left: what their payloads together and their number may be. Raises as `read_first` does.
    """
    seen: set[bytes] = set()
    while (head := read_head(reader, peek=True)).ancillary and head.type != INDEX:
        if not chunks_left:
            raise LimitExceeded(f"byte {head.offset}: more than {MAX_ANCILLARY_CHUNKS} ancillary chunks")
        check_length(head, bytes_left)
        if head.type == SAMPLES or head.type in METADATA_TYPES.values():
            if not before_data:
                raise CorruptFile(f"byte {head.offset}: {head.type.decode()} after the data, expected before it")
            if head.type in seen:
                raise CorruptFile(f"byte {head.offset}: another {head.type.decode()} chunk, expected at most 1")
            seen.add(head.type)
        yield read_rest(reader, read_head(reader))
        chunks_left -= 1
        bytes_left -= head.length


def read_data(reader: Reader, header: Header, number: int, *, keep: bool = True) -> Chunk:
    """Data chunk `number` of a file, counted from 0, which must come next. Raises as `read_first` does."""
    head = read_data_head(reader, header, number)
    return read_rest(reader, head, keep=keep)


def read_data_head(reader: Reader, header: Header, number: int) -> Head:
    """The head of data chunk `number`, which must come next, its length being within the limits."""
    head = read_head(reader)
    rules = _data_rules(header, number)
    if head.type not in rules:
        layout = header.layout
        unit = f"{layout.noun} {number // len(layout.parts)} of {layout.units}"
        refuse(reader, head, f"{next(iter(rules)).decode()} of {unit}")
    least, limit = rules[head.type]
    if head.length < least:
        raise CorruptFile(f"byte {head.offset}: {head.type.decode()} of {head.length} bytes, expected at least {least}")
    check_length(head, limit)
    return head


def read_index(reader: Reader, head: Head, lengths: Sequence[int]) -> Chunk:
    """The rest of iNDX, which must name just these payload lengths. Raises CorruptFile, TruncatedFile."""
    if head.length != 4 * len(lengths):
        raise CorruptFile(f"byte {head.offset}: iNDX of {head.length} bytes, expected {4 * len(lengths)}")
    chunk = read_rest(reader, head)
    if chunk.payload == struct.pack(f"<{len(lengths)}I", *lengths):
        return chunk
    for number, (found, expected) in enumerate(zip(struct.iter_unpack("<I", chunk.payload), lengths, strict=True)):
        if found[0] != expected:
            raise CorruptFile(
                f"byte {head.offset + 8 + 4 * number}: iNDX says that data chunk {number} has {found[0]} bytes, "
                f"it has {expected}"
            )
    return chunk


def refuse(reader: Reader, head: Head, expected: str) -> NoReturn:
    """Raise for a chunk that may not stand where it does: CorruptFile, or UnsupportedFile if it is of a newer version.

    Only a right CRC tells an unknown type from a damaged one; the payload is of no use, so it is not kept.
    """
    name = head.type.decode()
    layouts = (layout.chunk for layout in LAYOUTS.values())
    known = head.type in (HEADER, DATA, EXACT, ALPHA, GROUP, INDEX, END, *layouts)
    if known or (head.ancillary and not head.reserved):
        raise CorruptFile(f"byte {head.offset}: {name}, expected {expected}")
    check_length(head, MAX_CHUNK)
    read_rest(reader, head, keep=False)
    raise UnsupportedFile(
        f"byte {head.offset}: critical chunk {name}, expected {expected}: a newer version of lecodec may know it"
    )
