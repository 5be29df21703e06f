"""The `.lec` container: a signature, then chunks that can each be checked alone.

    codec -> (Header, digest and coder bytes) -> pack -> file -> parse -> (Header, digest and coder bytes) -> codec

    file  = signature LHDR {ancillary} LDAT {ancillary} LEND
    chunk = length u32 | type, 4 letters | payload, length bytes | CRC-32 of type and payload u32     (little-endian)

The layout follows PNG (ISO/IEC 15948): the signature breaks visibly under a text-mode transfer, and the case of a
type's letters says whether a reader that does not know the chunk may skip it. FORMAT.md is the specification.

Guarantees:
- Any bytes at all give a result or a `CodecError`, never a wrong result: the arithmetic coder does not notice damage,
  so every byte of a file is under the signature, a CRC or an equality check, and nothing is given out unchecked.
- Memory follows what the source holds, not what it claims: lengths are compared with their limits, and with the bytes
  that remain where that is known; streams are read in small pieces.
- Reading is sequential and never seeks, so pipes work. `read_header` takes 60 bytes from its source and no more.
- Messages name the byte offset, what was expected and what was found; the caller puts the file's name in front.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from ..errors import CodecError, CorruptFile, InputError, LimitExceeded, NotLecFile, TruncatedFile, UnsupportedFile
from .fields import DIGEST_BYTES, Header
from .limits import MAX_ANCILLARY, MAX_ANCILLARY_CHUNKS, MAX_CHUNK, MAX_HEADER, max_data_bytes

__all__ = ["SIGNATURE", "Chunk", "DataChunk", "Parsed", "frame", "pack", "parse", "read_header", "walk"]

SIGNATURE: Final = b"\x8cLEC\r\n\x1a\n"
"""0x8C cannot begin UTF-8 text and loses its high bit on a 7-bit path; CR LF and LF show newline translation; ^Z ends
a listing on systems where it ends text."""

_HEADER: Final = b"LHDR"
_DATA: Final = b"LDAT"
_END: Final = b"LEND"
_PIECE: Final = 2**20
"""Bytes asked from a stream at once."""
_CASE: Final = 0x20
"""The bit that makes an ASCII letter lower case: set in letter 1 = ancillary, in letter 3 = reserved."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk whose CRC is right. offset: of its first byte (the length) in the file."""

    type: bytes
    payload: bytes = field(repr=False)
    offset: int

    @property
    def ancillary(self) -> bool:
        """Whether a reader that does not know the type may skip the chunk."""
        return bool(self.type[0] & _CASE)


@dataclass(frozen=True, slots=True)
class DataChunk:
    """A data chunk.

    digest: 8 bytes, BLAKE2b-64 of what the payload decodes to; carried here, computed and compared by the codec.
    payload: the arithmetic coder's bytes. offset: of the payload's first byte in the file, for messages.
    """

    digest: bytes
    payload: bytes = field(repr=False)
    offset: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """A whole file. data: one for each data chunk, now exactly one. size: bytes of the file.

    ancillary: (type, payload) in the order of the file, in the shape that `pack` takes.
    """

    header: Header
    data: tuple[DataChunk, ...]
    ancillary: tuple[tuple[bytes, bytes], ...]
    size: int


def frame(type: bytes, payload: bytes) -> bytes:
    """The bytes of one chunk: length, type, payload, CRC-32."""
    crc = zlib.crc32(payload, zlib.crc32(type))
    return b"".join((struct.pack("<I", len(payload)), type, payload, struct.pack("<I", crc)))


def pack(header: Header, data: Sequence[tuple[bytes, bytes]], ancillary: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """A whole `.lec` file; 92 bytes more than the coder's bytes if there are no ancillary chunks.

    data: (digest of 8 bytes, the coder's bytes) for each data chunk, now exactly one. ancillary: (type, payload), put
    before the data so that a reader of a stream has them first. Raises InputError for arguments that would not make a
    valid file, LimitExceeded for a payload beyond its limit.
    """
    if len(data) != 1:
        raise InputError(f"{len(data)} data chunks, expected 1: the picture is not tiled")
    _check_ancillary_to_write(ancillary)
    limit = max_data_bytes(header.width, header.height)
    for digest, payload in data:
        if len(digest) != DIGEST_BYTES:
            raise InputError(f"a data digest of {len(digest)} bytes, expected {DIGEST_BYTES}")
        if DIGEST_BYTES + len(payload) > limit:
            raise LimitExceeded(f"a data chunk of {DIGEST_BYTES + len(payload)} bytes: the limit is {limit}")
    parts = [SIGNATURE, frame(_HEADER, header.pack())]
    parts += [frame(type, payload) for type, payload in ancillary]
    parts += [frame(_DATA, digest + payload) for digest, payload in data]
    parts.append(frame(_END, b""))
    return b"".join(parts)


def _check_ancillary_to_write(ancillary: Sequence[tuple[bytes, bytes]]) -> None:
    for type, _ in ancillary:
        if len(type) != 4 or not type.isalpha() or not type[0] & _CASE or type[2] & _CASE:
            raise InputError(f"ancillary type {type!r}: expected 4 letters, the first small, the third capital")
    total = sum(len(payload) for _, payload in ancillary)
    if total > MAX_ANCILLARY:
        raise LimitExceeded(f"ancillary chunks of {total} bytes: the limit is {MAX_ANCILLARY}")
    if len(ancillary) > MAX_ANCILLARY_CHUNKS:
        raise LimitExceeded(f"{len(ancillary)} ancillary chunks: the limit is {MAX_ANCILLARY_CHUNKS}")


def parse(source: bytes | BinaryIO, name: str = "") -> Parsed:
    """Read and check a whole file.

    source: the bytes, or a binary stream that is read to its end. name: put in front of error messages if given.
    Raises NotLecFile, TruncatedFile, CorruptFile, UnsupportedFile, LimitExceeded.
    """
    try:
        chunks = list(walk(source))
    except CodecError as error:
        if name:
            raise type(error)(f"{name}: {error}") from None
        raise
    first, last = chunks[0], chunks[-1]
    return Parsed(
        header=Header.unpack(first.payload, first.offset + 8),
        data=tuple(
            DataChunk(c.payload[:DIGEST_BYTES], c.payload[DIGEST_BYTES:], c.offset + 8 + DIGEST_BYTES)
            for c in chunks
            if c.type == _DATA
        ),
        ancillary=tuple((c.type, c.payload) for c in chunks if c.ancillary),
        size=last.offset + 12,
    )


def read_header(source: bytes | BinaryIO) -> Header:
    """The header alone, from the first 60 bytes: what follows is neither read nor checked. Raises as `parse` does."""
    first = next(walk(source))
    return Header.unpack(first.payload, first.offset + 8)


def walk(source: bytes | BinaryIO) -> Iterator[Chunk]:
    """The chunks of a file one after the other, each checked before it is given out: LHDR first, LEND last.

    Bytes are taken from the source only as far as needed for the next chunk. After LEND the source has been read to
    its end. Raises as `parse` does, at the first thing that is wrong.
    """
    reader = _Reader(source)
    _check_signature(reader.take(len(SIGNATURE)))

    first = _read_chunk(reader, MAX_HEADER, expected=_HEADER)
    header = Header.unpack(first.payload, first.offset + 8)
    yield first

    data_limit = max_data_bytes(header.width, header.height)
    data_left, ancillary_left, ancillary_bytes_left = 1, MAX_ANCILLARY_CHUNKS, MAX_ANCILLARY
    while True:
        start = reader.offset
        length, type = _read_chunk_head(reader)
        if type == _END:
            if data_left:
                raise CorruptFile(f"byte {start}: LEND, expected {data_left} more LDAT chunk before it")
            if length:
                raise CorruptFile(f"byte {start}: LEND of {length} bytes, expected 0")
            yield _read_chunk_rest(reader, start, length, type)
            break
        if type == _DATA:
            if not data_left:
                raise CorruptFile(f"byte {start}: another LDAT chunk, expected 1 in all")
            if length < DIGEST_BYTES:
                raise CorruptFile(f"byte {start}: LDAT of {length} bytes, expected at least {DIGEST_BYTES}")
            _check_length(start, length, type, data_limit)
            data_left -= 1
            yield _read_chunk_rest(reader, start, length, type)
        elif type[0] & _CASE:
            if not ancillary_left:
                raise LimitExceeded(f"byte {start}: more than {MAX_ANCILLARY_CHUNKS} ancillary chunks")
            _check_length(start, length, type, ancillary_bytes_left)
            ancillary_left -= 1
            ancillary_bytes_left -= length
            yield _read_chunk_rest(reader, start, length, type)
        elif type == _HEADER:
            raise CorruptFile(f"byte {start}: another LHDR chunk, expected 1 in all")
        else:
            _check_length(start, length, type, MAX_CHUNK)
            # Only a right CRC tells an unknown type from a damaged one; the payload is of no use, so it is not kept.
            _read_chunk_rest(reader, start, length, type, keep=False)
            raise UnsupportedFile(
                f"byte {start}: critical chunk {type.decode()}, expected LDAT or LEND: a newer version of lecodec may "
                "know it"
            )
    if reader.take(1):
        raise CorruptFile(f"byte {reader.offset - 1}: more bytes, expected the end of the file after LEND")


def _check_signature(found: bytes) -> None:
    if found == SIGNATURE:
        return
    if not found:
        raise TruncatedFile("byte 0: the file is empty, expected a .lec signature")
    if SIGNATURE.startswith(found):
        raise TruncatedFile(f"byte {len(found)}: the file ends inside its signature")
    damage = None
    if found.startswith(b"\x0cLEC"):
        damage = "its high bits are lost"
    elif found.startswith((b"\xc2\x8cLEC", b"\xef\xbf\xbdLEC")):
        damage = "it was converted to UTF-8"
    elif found.startswith(b"\x8cLEC") and not found[4:7].strip(b"\r\n\x1a"):
        damage = "its line ends were changed"
    if damage:
        raise NotLecFile(
            f"byte 0: a .lec file damaged by a text-mode transfer: {damage} (expected {SIGNATURE.hex(' ')}, found "
            f"{found.hex(' ')}). Transfer it again as binary"
        )
    raise NotLecFile(f"byte 0: not a .lec file: expected {SIGNATURE.hex(' ')}, found {found.hex(' ')}")


def _check_length(start: int, length: int, type: bytes, limit: int) -> None:
    if length > limit:
        raise LimitExceeded(f"byte {start}: {type.decode()} of {length} bytes, expected at most {limit}")


def _read_chunk(reader: _Reader, limit: int, *, expected: bytes) -> Chunk:
    """The next chunk, which must be of the type expected and of at most `limit` payload bytes."""
    start = reader.offset
    length, type = _read_chunk_head(reader)
    if type != expected:
        raise CorruptFile(f"byte {start + 4}: chunk type {type.decode()}, expected {expected.decode()}")
    _check_length(start, length, type, limit)
    return _read_chunk_rest(reader, start, length, type)


def _read_chunk_head(reader: _Reader) -> tuple[int, bytes]:
    """Length and type. The type is four letters; nothing is known yet about whether they are right."""
    start = reader.offset
    head = reader.take(8)
    if len(head) < 8:
        raise TruncatedFile(f"byte {reader.offset}: the file ends, expected a chunk at byte {start}")
    type = head[4:]
    if not type.isalpha():
        raise CorruptFile(f"byte {start + 4}: chunk type {type.hex(' ')}, expected four letters")
    return int.from_bytes(head[:4], "little"), type


def _read_chunk_rest(reader: _Reader, start: int, length: int, type: bytes, *, keep: bool = True) -> Chunk:
    """Payload and CRC. Raises TruncatedFile, CorruptFile, or UnsupportedFile if the reserved letter is small."""
    label = type.decode()
    if reader.size is not None and length + 4 > reader.size - reader.offset:
        raise TruncatedFile(
            f"byte {reader.offset}: {label} needs {length + 4} more bytes, CRC included, only "
            f"{reader.size - reader.offset} remain"
        )
    crc = zlib.crc32(type)
    kept = bytearray()
    left = length
    while left:
        piece = reader.take(min(left, _PIECE))
        if not piece:
            raise TruncatedFile(f"byte {reader.offset}: the file ends, expected {left} more bytes of {label}")
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
        if keep:
            kept += piece
    stored = reader.take(4)
    if len(stored) < 4:
        raise TruncatedFile(f"byte {reader.offset}: the file ends, expected the CRC of {label}")
    found = int.from_bytes(stored, "little")
    if found != crc:
        raise CorruptFile(f"byte {reader.offset - 4}: CRC of {label} is {found:08x}, expected {crc:08x}: damaged")
    if type[2] & _CASE:
        raise UnsupportedFile(
            f"byte {start + 6}: reserved letter of chunk type {label} is small, expected a capital: a newer version of "
            "lecodec may know it"
        )
    return Chunk(type, bytes(kept), start)


class _Reader:
    """Sequential reading with a count of the bytes taken. size: bytes of the source, None where only its end tells."""

    def __init__(self, source: bytes | BinaryIO) -> None:
        if isinstance(source, bytes | bytearray | memoryview):
            self.size: int | None = memoryview(source).nbytes
            self._stream: BinaryIO = io.BytesIO(source)
        else:
            self.size = None
            self._stream = source
        self.offset = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end of the source. Pipes may deliver less than asked for."""
        found = self._stream.read(count) or b""
        while 0 < len(found) < count and (more := self._stream.read(count - len(found))):
            found += more
        self.offset += len(found)
        return found
