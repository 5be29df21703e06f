"""Chunks: the signature and the framing of a `.lec` file, below any order or meaning.

    bytes or stream -> Reader -> read_head (length, type) -> [a judgement of the caller] -> read_rest (payload, CRC)

    chunk = length u32 | type, 4 letters | payload, length bytes | CRC-32 of type and payload u32     (little-endian)

The layout follows PNG (ISO/IEC 15948): the signature breaks visibly under a text-mode transfer, and the case of a
type's letters says whether a reader that does not know the chunk may skip it. A chunk is read in two steps, so that
its caller can compare the length with a limit before anything is taken for it.

Guarantees:
- A `Chunk` that exists has a right CRC.
- Memory follows what the source holds, not what it claims: payloads are read in small pieces.
- Nothing here seeks unless `Reader.seek` is called. Messages name the byte offset, what was expected and found.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO, Final, NamedTuple, NoReturn

from ..errors import CorruptFile, LimitExceeded, NotLecFile, TruncatedFile, UnsupportedFile

__all__ = [
    "FRAME_BYTES",
    "SIGNATURE",
    "Chunk",
    "Head",
    "Reader",
    "check_length",
    "check_signature",
    "frame",
    "read_head",
    "read_rest",
]

SIGNATURE: Final = b"\x8cLEC\r\n\x1a\n"
"""0x8C cannot begin UTF-8 text and loses its high bit on a 7-bit path; CR LF and LF show newline translation; ^Z ends
a listing on systems where it ends text."""

FRAME_BYTES: Final = 12
"""Bytes of a chunk besides its payload."""

_PIECE: Final = 2**20
"""Bytes asked from a stream at once."""
_CASE: Final = 0x20
"""The bit that makes an ASCII letter lower case: set in letter 1 = ancillary, in letter 3 = reserved."""


class Head(NamedTuple):  # there may be millions: made in a third of the time that a dataclass takes
    """What a chunk claims of itself. offset: of its first byte (the length) in the file; length: of its payload."""

    type: bytes
    length: int
    offset: int

    @property
    def ancillary(self) -> bool:
        """Whether a reader that does not know the type may skip the chunk."""
        return bool(self.type[0] & _CASE)

    @property
    def reserved(self) -> bool:
        """Whether the third letter is small, which is kept for later versions."""
        return bool(self.type[2] & _CASE)

    @property
    def end(self) -> int:
        """Offset of the byte after the chunk."""
        return self.offset + FRAME_BYTES + self.length


class Chunk(NamedTuple):
    """A chunk whose CRC is right. offset: of its first byte (the length) in the file."""

    type: bytes
    payload: bytes
    offset: int


class Reader:
    """Sequential reading with a count of the bytes taken. size: bytes of the source, None where only its end tells."""

    def __init__(self, source: bytes | BinaryIO) -> None:
        if isinstance(source, bytes | bytearray | memoryview):
            self.size: int | None = memoryview(source).nbytes
            self._stream: BinaryIO = io.BytesIO(source)
        else:
            self.size = None
            self._stream = source
        self.offset = 0
        self._start = self._stream.tell() if self.seekable() else 0
        """Where the file begins in the source."""
        self._ahead = b""

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end of the source. Pipes may deliver less than asked for."""
        if self._ahead:
            found, self._ahead = self._ahead[:count], self._ahead[count:]
        else:
            found = self._stream.read(count)
        while len(found) < count and (more := self._stream.read(count - len(found))):
            found += more
        self.offset += len(found)
        return found

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, to be taken again."""
        self._ahead = self.take(count) + self._ahead
        self.offset -= min(count, len(self._ahead))
        return self._ahead[:count]

    def seekable(self) -> bool:
        """Whether `seek` works: not on a pipe."""
        seekable = getattr(self._stream, "seekable", None)
        return seekable is not None and seekable()

    def seek(self, offset: int) -> None:
        """Go on at another place of the file, which may be beyond its end. The source may have been moved meanwhile."""
        self._stream.seek(self._start + offset)
        self._ahead = b""
        self.offset = offset

    def measure(self) -> int:
        """Bytes of the whole file, of a source that seeks; the place is kept."""
        at = self._stream.tell()
        size = self._stream.seek(0, io.SEEK_END) - self._start
        self._stream.seek(at)
        return size


def frame(type: bytes, payload: bytes) -> bytes:
    """The bytes of one chunk: length, type, payload, CRC-32."""
    crc = zlib.crc32(payload, zlib.crc32(type))
    return b"".join((struct.pack("<I", len(payload)), type, payload, struct.pack("<I", crc)))


def check_signature(found: bytes) -> None:
    """Compare the first eight bytes of a source. Raises NotLecFile, TruncatedFile."""
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


def check_length(head: Head, limit: int) -> None:
    """Refuse a payload longer than its limit. Raises LimitExceeded."""
    if head.length > limit:
        raise LimitExceeded(
            f"byte {head.offset}: {head.type.decode()} of {head.length} bytes, expected at most {limit}"
        )


def read_head(reader: Reader, *, peek: bool = False) -> Head:
    """Length and type; with `peek` they stay to be read again. The type is four letters; whether they are right is not
    known before the CRC. Raises TruncatedFile, CorruptFile.
    """
    start = reader.offset
    found = reader.peek(8) if peek else reader.take(8)
    if len(found) < 8:
        raise TruncatedFile(f"byte {start + len(found)}: the file ends, expected a chunk at byte {start}")
    type = found[4:]
    if not type.isalpha():
        raise CorruptFile(f"byte {start + 4}: chunk type {type.hex(' ')}, expected four letters")
    return Head(type, int.from_bytes(found[:4], "little"), start)


def read_rest(reader: Reader, head: Head, *, keep: bool = True) -> Chunk:
    """Payload (empty unless it is to be kept) and CRC of the chunk whose head was just taken.

    Raises TruncatedFile, CorruptFile, or UnsupportedFile if the reserved letter is small.
    """
    if reader.size is not None and head.length + 4 > reader.size - reader.offset:
        raise TruncatedFile(
            f"byte {reader.offset}: {head.type.decode()} needs {head.length + 4} more bytes, CRC included, only "
            f"{max(0, reader.size - reader.offset)} remain"
        )
    crc = zlib.crc32(head.type)
    kept = bytearray()
    left = head.length
    while left > _PIECE:
        piece = reader.take(_PIECE)
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
        if keep:
            kept += piece
        if len(piece) < _PIECE:
            _ends(reader, head, left)
    last = reader.take(left + 4)
    if len(last) < left + 4:
        _ends(reader, head, left - len(last))
    payload = last[:left]
    crc = zlib.crc32(payload, crc)
    found = int.from_bytes(last[left:], "little")
    if found != crc:
        raise CorruptFile(
            f"byte {reader.offset - 4}: CRC of {head.type.decode()} is {found:08x}, expected {crc:08x}: damaged"
        )
    if head.reserved:
        raise UnsupportedFile(
            f"byte {head.offset + 6}: reserved letter of chunk type {head.type.decode()} is small, expected a capital: "
            "a newer version of lecodec may know it"
        )
    if not keep:
        payload = b""
    elif kept:
        kept += payload
        payload = bytes(kept)
    return Chunk(head.type, payload, head.offset)


def _ends(reader: Reader, head: Head, left: int) -> NoReturn:
    """Raise for a source that ends inside a chunk. left: bytes of its payload that are missing, if above 0."""
    missing = f"{left} more bytes of" if left > 0 else "the CRC of"
    raise TruncatedFile(f"byte {reader.offset}: the file ends, expected {missing} {head.type.decode()}")
