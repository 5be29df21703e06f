"""The `.lec` container: which chunks a file has, in which order, and how long they may be.

    codec -> Header, Metadata, (digest, bytes) of each tile -> pack -> file -> parse -> the same -> codec

    file = signature LHDR [LSET] {ancillary} data {data} {ancillary} [iNDX] LEND
    data = LDAT [LALP]                    one for each tile; LALP is there if the header says that there is alpha

Of a set of samples LSET says what it holds, and there is an LDAT for each block of items. The code says tiles for both.

`chunks` frames, this module orders, `random_access` reads single tiles. FORMAT.md is the specification.

Guarantees:
- Any bytes at all give a result or a `CodecError`, never a wrong result: the arithmetic coder does not notice damage,
  so every byte of a file is under the signature, a CRC or an equality check, and nothing is given out unchecked.
- Memory follows what the source holds, not what it claims: lengths are compared with their limits, and with the bytes
  that remain where that is known; streams are read in small pieces. Only metadata grows, to at most `MAX_ANCILLARY`.
- Reading is sequential and never seeks, so pipes work. `read_header` takes 60 bytes from its source, of a set
  LSET too, and no more.
- Messages name the byte offset, what was expected and what was found; the caller puts the file's name in front.
"""

from __future__ import annotations

import dataclasses
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NoReturn

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
from .fields import DIGEST_BYTES, METHODS, SET, VERSION, Header
from .layouts.set import ItemSet
from .limits import (
    MAX_ANCILLARY,
    MAX_ANCILLARY_CHUNKS,
    MAX_CHUNK,
    MAX_HEADER,
    MAX_SET,
    max_alpha_bytes,
    max_data_bytes,
    max_lossless_bytes,
)
from .metadata import METADATA_TYPES, Metadata

__all__ = [
    "DataChunk",
    "Parsed",
    "data_chunk",
    "pack",
    "parse",
    "read_ancillary",
    "read_data",
    "read_first",
    "read_header",
    "walk",
]

HEADER: Final = b"LHDR"
ITEMS: Final = b"LSET"
DATA: Final = b"LDAT"
ALPHA: Final = b"LALP"
INDEX: Final = b"iNDX"
END: Final = b"LEND"
_KNOWN: Final = frozenset((HEADER, ITEMS, DATA, ALPHA, INDEX, END))


@dataclass(frozen=True, slots=True)
class DataChunk:
    """A data chunk of a tile.

    digest: 8 bytes, BLAKE2b-64 of what the payload decodes to; carried here, computed and compared by the codec.
    payload: the arithmetic coder's bytes, a method and what it made of samples without loss, or the rows of the alpha
    plane. offset: of the payload's first byte in the file, for messages.
    """

    digest: bytes
    payload: bytes = field(repr=False)
    offset: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """A whole file. data: one for each tile; alpha: one for each tile, or none. size: bytes of the file.

    ancillary: (type, payload) of the ancillary chunks that this version does not know, in the order of the file.
    """

    header: Header
    data: tuple[DataChunk, ...]
    alpha: tuple[DataChunk, ...]
    metadata: Metadata
    ancillary: tuple[tuple[bytes, bytes], ...]
    size: int

    def methods(self) -> dict[str, int] | None:
        """Without loss: how many data chunks were coded by which method. With loss None."""
        if not self.header.lossless:
            return None
        return dict(Counter(METHODS.get(chunk.payload[0], str(chunk.payload[0])) for chunk in self.data))


# -- writing


def pack(
    header: Header,
    data: Sequence[tuple[bytes, bytes]],
    alpha: Sequence[tuple[bytes, bytes]] = (),
    metadata: Metadata | None = None,
) -> bytes:
    """A whole `.lec` file of the newest version; 92 bytes more than the coder's bytes for one tile and nothing else.

    data: (digest of 8 bytes, the coder's bytes) for each tile, in the order of `header.tile_box`. alpha: (digest, rows
    or nothing) for each tile if `header.alpha`, otherwise none. metadata: goes before the data so that a reader of a
    stream has it first; its code points must be the header's. A file of several tiles gets an index. Raises InputError
    for arguments that would not make a valid file, LimitExceeded for a payload beyond its limit.
    """
    for name, given, expected in (("data", data, header.tiles), ("alpha", alpha, header.tiles * header.alpha)):
        if len(given) != expected:
            raise InputError(f"{len(given)} {name} chunks, expected {expected} ({header.tiles} {header.part}s)")
    parts = [SIGNATURE, frame(HEADER, dataclasses.replace(header, version=VERSION).pack())]
    if header.items is not None:
        parts.append(frame(ITEMS, header.items.pack()))
    if metadata is not None:
        if (metadata.primaries, metadata.transfer) != (header.colour_primaries, header.transfer):
            raise InputError(
                f"code points {metadata.primaries}/{metadata.transfer} in the metadata, "
                f"{header.colour_primaries}/{header.transfer} in the header, expected the same"
            )
        ancillary = metadata.chunks()
        if (total := sum(len(payload) for _, payload in ancillary)) > MAX_ANCILLARY:
            raise LimitExceeded(f"metadata of {total} bytes: the limit is {MAX_ANCILLARY}")
        parts += [frame(type, payload) for type, payload in ancillary]
    ordered = [chunk for tile in zip(data, alpha, strict=True) for chunk in tile] if header.alpha else data
    for number, (digest, payload) in enumerate(ordered):
        type, least, limit = _data_rule(header, number)
        if len(digest) != DIGEST_BYTES:
            raise InputError(f"a data digest of {len(digest)} bytes, expected {DIGEST_BYTES}")
        if DIGEST_BYTES + len(payload) < least:
            raise InputError(f"{type.decode()} of {DIGEST_BYTES + len(payload)} bytes, expected at least {least}")
        if DIGEST_BYTES + len(payload) > limit:
            raise LimitExceeded(f"{type.decode()} of {DIGEST_BYTES + len(payload)} bytes: the limit is {limit}")
        parts.append(frame(type, digest + payload))
    if header.tiles > 1:
        lengths = (DIGEST_BYTES + len(payload) for _, payload in ordered)
        parts.append(frame(INDEX, struct.pack(f"<{len(ordered)}I", *lengths)))
    parts.append(frame(END, b""))
    return b"".join(parts)


def data_chunks(header: Header) -> int:
    """Number of data chunks, LDAT and LALP, in a file."""
    return header.tiles * (1 + header.alpha)


def _data_rule(header: Header, number: int) -> tuple[bytes, int, int]:
    """Type, smallest and largest payload of data chunk `number`, counted from 0 in the order of the file."""
    tile, is_alpha = divmod(number, 1 + header.alpha)
    _, _, width, height = header.tile_box(tile)
    if is_alpha:
        return ALPHA, DIGEST_BYTES, max_alpha_bytes(width, height, header.bit_depth)
    if header.lossless:
        raw = width * height * header.channels * header.bit_depth // 8
        return DATA, DIGEST_BYTES + 1, max_lossless_bytes(raw)
    return DATA, DIGEST_BYTES, max_data_bytes(width, height)


# -- reading


def parse(source: bytes | BinaryIO) -> Parsed:
    """Read and check a whole file.

    source: the bytes, or a binary stream that is read to its end. Raises NotLecFile, TruncatedFile, CorruptFile,
    UnsupportedFile, LimitExceeded.
    """
    reader = Reader(source)
    header, _ = read_first(reader)
    data: dict[bytes, list[DataChunk]] = {DATA: [], ALPHA: []}
    known: list[Chunk] = []
    unknown: list[tuple[bytes, bytes]] = []
    size = 0
    for chunk in _walk_on(reader, header):
        if chunk.type in data:
            data[chunk.type].append(data_chunk(chunk))
        elif chunk.type in METADATA_TYPES.values():
            known.append(chunk)
        elif chunk.type == END:
            size = chunk.offset + 12
        elif chunk.type != INDEX:
            unknown.append((chunk.type, chunk.payload))
    metadata = Metadata.of_chunks(known, header.colour_primaries, header.transfer)
    return Parsed(header, tuple(data[DATA]), tuple(data[ALPHA]), metadata, tuple(unknown), size)


def data_chunk(chunk: Chunk) -> DataChunk:
    """An LDAT or LALP chunk taken apart."""
    return DataChunk(chunk.payload[:DIGEST_BYTES], chunk.payload[DIGEST_BYTES:], chunk.offset + 8 + DIGEST_BYTES)


def read_checked(source: BinaryIO) -> bytes:
    """The bytes of a whole file, each chunk checked before the next one is taken into memory: reading ends at the first
    byte that is wrong, however long the source goes on. Raises as `parse` does.
    """
    # Chunks that are right leave no byte open, so that framing them again gives the file as it was.
    return b"".join((SIGNATURE, *(frame(chunk.type, chunk.payload) for chunk in walk(source))))


def read_header(source: bytes | BinaryIO) -> Header:
    """The header alone, from the first 60 bytes (and the LSET chunk of a set): what follows is neither read nor
    checked. Raises as `parse` does.
    """
    return read_first(Reader(source))[0]


def walk(source: bytes | BinaryIO) -> Iterator[Chunk]:
    """The chunks of a file one after the other, each checked before it is given out: LHDR first, LEND last.

    Bytes are taken from the source only as far as needed for the next chunk. After LEND the source has been read to
    its end. Raises as `parse` does, at the first thing that is wrong; only that metadata inflates is not tried.
    """
    reader = Reader(source)
    header, first = read_first(reader)
    yield from first
    yield from _walk_on(reader, header)


def _walk_on(reader: Reader, header: Header) -> Iterator[Chunk]:
    """The chunks behind those of `read_first`."""
    bytes_left, chunks_left = MAX_ANCILLARY, MAX_ANCILLARY_CHUNKS
    for chunk in read_ancillary(reader, bytes_left, chunks_left, before_data=True):
        bytes_left -= len(chunk.payload)
        chunks_left -= 1
        yield chunk

    lengths: list[int] = []
    for number in range(data_chunks(header)):
        chunk = read_data(reader, header, number)
        lengths.append(len(chunk.payload))
        yield chunk

    yield from read_ancillary(reader, bytes_left, chunks_left, before_data=False)
    head = read_head(reader)
    if head.type == INDEX:
        yield read_index(reader, head, lengths)
        head = read_head(reader)
    if head.type != END:
        _refuse(reader, head, "LEND")
    if head.length:
        raise CorruptFile(f"byte {head.offset}: LEND of {head.length} bytes, expected 0")
    yield read_rest(reader, head)
    if reader.take(1):
        raise CorruptFile(f"byte {reader.offset - 1}: more bytes, expected the end of the file after LEND")


def read_first(reader: Reader) -> tuple[Header, list[Chunk]]:
    """Signature and LHDR, 60 bytes, and LSET of a set. Raises as `parse` does."""
    check_signature(reader.take(len(SIGNATURE)))
    head = read_head(reader)
    if head.type != HEADER:
        raise CorruptFile(f"byte {head.offset + 4}: chunk type {head.type.decode()}, expected LHDR")
    check_length(head, MAX_HEADER)
    first = read_rest(reader, head)
    header = Header.unpack(first.payload, head.offset + 8)
    if header.media != SET:
        return header, [first]
    head = read_head(reader)
    if head.type != ITEMS:
        _refuse(reader, head, "LSET")
    check_length(head, MAX_SET)
    second = read_rest(reader, head)
    return header.with_items(ItemSet.unpack(second.payload, head.offset + 8), head.offset + 8), [first, second]


def read_ancillary(reader: Reader, bytes_left: int, chunks_left: int, *, before_data: bool) -> Iterator[Chunk]:
    """The ancillary chunks that come next, up to anything else, whose head is left to be read.

    bytes_left, chunks_left: what their payloads together and their number may be. Raises as `parse` does.
    """
    seen: set[bytes] = set()
    while (head := read_head(reader, peek=True)).ancillary and head.type != INDEX:
        if not chunks_left:
            raise LimitExceeded(f"byte {head.offset}: more than {MAX_ANCILLARY_CHUNKS} ancillary chunks")
        check_length(head, bytes_left)
        if head.type in METADATA_TYPES.values():
            if not before_data:
                raise CorruptFile(f"byte {head.offset}: {head.type.decode()} after the data, expected before it")
            if head.type in seen:
                raise CorruptFile(f"byte {head.offset}: another {head.type.decode()} chunk, expected at most 1")
            seen.add(head.type)
        yield read_rest(reader, read_head(reader))
        chunks_left -= 1
        bytes_left -= head.length


def read_data(reader: Reader, header: Header, number: int, *, keep: bool = True) -> Chunk:
    """Data chunk `number` of a file, counted from 0, which must come next. Raises as `parse` does."""
    head = read_data_head(reader, header, number)
    return read_rest(reader, head, keep=keep)


def read_data_head(reader: Reader, header: Header, number: int) -> Head:
    """The head of data chunk `number`, which must come next, its length being within the limits."""
    head = read_head(reader)
    type, least, limit = _data_rule(header, number)
    if head.type != type:
        _refuse(reader, head, f"{type.decode()} of {header.part} {number // (1 + header.alpha)} of {header.tiles}")
    if head.length < least:
        raise CorruptFile(f"byte {head.offset}: {type.decode()} of {head.length} bytes, expected at least {least}")
    check_length(head, limit)
    return head


def read_index(reader: Reader, head: Head, lengths: Sequence[int]) -> Chunk:
    """The rest of iNDX, which must name just these payload lengths. Raises CorruptFile, TruncatedFile."""
    if head.length != 4 * len(lengths):
        raise CorruptFile(f"byte {head.offset}: iNDX of {head.length} bytes, expected {4 * len(lengths)}")
    chunk = read_rest(reader, head)
    for number, (found, expected) in enumerate(zip(struct.iter_unpack("<I", chunk.payload), lengths, strict=True)):
        if found[0] != expected:
            raise CorruptFile(
                f"byte {head.offset + 8 + 4 * number}: iNDX says that data chunk {number} has {found[0]} bytes, "
                f"it has {expected}"
            )
    return chunk


def _refuse(reader: Reader, head: Head, expected: str) -> NoReturn:
    """Raise for a chunk that may not stand where it does: CorruptFile, or UnsupportedFile if it is of a newer version.

    Only a right CRC tells an unknown type from a damaged one; the payload is of no use, so it is not kept.
    """
    name = head.type.decode()
    if head.type in _KNOWN or (head.ancillary and not head.reserved):
        raise CorruptFile(f"byte {head.offset}: {name}, expected {expected}")
    check_length(head, MAX_CHUNK)
    read_rest(reader, head, keep=False)
    raise UnsupportedFile(
        f"byte {head.offset}: critical chunk {name}, expected {expected}: a newer version of lecodec may know it"
    )
