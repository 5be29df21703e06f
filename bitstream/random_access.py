"""Random access: the chunks of some units (tiles, blocks of a set) of a file, without reading the others.

    region -> numbers of units -> LecFile.read -> UnitReader.read -> data chunks of those units -> codec

Three ways, by what the source can do:
- It seeks and the file ends with an index: the front of the file, the index, and the chunks asked for are read.
- It seeks, without an index (one unit, a stream that was cut short): the heads of chunks are read, eight bytes each,
  and their payloads seeked over.
- It is a pipe: everything up to the last chunk asked for is read and checked, the rest is dropped as it passes.

Guarantees: every chunk given out was checked by its own CRC, and stands where the specification puts it. What is not
used is not checked. Any bytes at all give chunks or a `CodecError`. An index that does not lead to where the chunks are
is a CorruptFile, never a wrong unit.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate

from ..errors import CorruptFile, InputError
from .chunks import FRAME_BYTES, Reader, frame, read_head, read_rest
from .container import END, INDEX, DataChunk, data_chunk, data_chunks, read_data, read_data_head
from .header import Header
from .layout import ALPHA
from .limits import MAX_ANCILLARY_CHUNKS

__all__ = ["UnitReader"]

_END = frame(END, b"")


class UnitReader:
    """Where the units of a file are, as far as that is known. start: offset of the first data chunk; starts: of all of
    them and of what follows, where that is known.
    """

    def __init__(self, header: Header, start: int, starts: array[int] | None = None) -> None:
        self.header = header
        self.passed = 0
        """Data chunks that have gone by, on a pipe."""
        self._starts = starts or array("Q", [start])
        """Offsets of the data chunks found so far, and of what follows the last of them."""
        self._given = starts is not None
        self._looked = self._given or header.layout.units == 1
        """Whether an index was looked for."""

    def read(self, reader: Reader, numbers: Sequence[int]) -> list[tuple[DataChunk, DataChunk | None]]:
        """The data chunk and the alpha chunk (None without alpha) of each unit asked for, in that order.

        reader: of the file, always the same one if it is a pipe; each call goes on where the last one ended then.
        numbers: of units. Raises InputError for a number that there is not and for a unit that has gone by, otherwise
        TruncatedFile, CorruptFile, UnsupportedFile, LimitExceeded.
        """
        layout = self.header.layout
        seeks = reader.seekable()
        if seeks and not self._looked:
            self._starts = self._indexed(reader) or self._starts
            self._looked = True
        found: dict[int, tuple[DataChunk, DataChunk | None]] = {}
        each = len(layout.parts)
        for number in sorted(set(numbers)):
            layout.check_number(number)
            chunks = [
                (self._seek if seeks else self._pass)(reader, n) for n in range(number * each, (number + 1) * each)
            ]
            found[number] = chunks[0], chunks[1] if ALPHA in layout.parts else None
        return [found[number] for number in numbers]

    def _pass(self, reader: Reader, number: int) -> DataChunk:
        """Data chunk `number`, all parts of units counted together in the order of the file, of a pipe."""
        if number < self.passed:
            raise InputError(f"data chunk {number} has gone by: a pipe cannot be read twice")
        while self.passed < number:
            self._next(reader, keep=False)
        return self._next(reader, keep=True)

    def _next(self, reader: Reader, *, keep: bool) -> DataChunk:
        chunk = read_data(reader, self.header, self.passed, keep=keep)
        self.passed += 1
        return data_chunk(chunk)

    def _seek(self, reader: Reader, number: int) -> DataChunk:
        """The same of a source that seeks."""
        while len(self._starts) <= number:
            reader.seek(self._starts[-1])
            self._starts.append(read_data_head(reader, self.header, len(self._starts) - 1).end)
        reader.seek(self._starts[number])
        head = read_data_head(reader, self.header, number)
        if not self._given and len(self._starts) > number + 1 and head.end != self._starts[number + 1]:
            raise CorruptFile(
                f"byte {head.offset}: {head.type.decode()} of {head.length} bytes, iNDX says "
                f"{self._starts[number + 1] - head.offset - FRAME_BYTES}"
            )
        return data_chunk(read_rest(reader, head))

    def _indexed(self, reader: Reader) -> array[int] | None:
        """The starts of all data chunks and the end of the last one, from the index; None if the file has none.

        An index is where it must be if there is one: its length follows from the header. Raises CorruptFile.
        """
        count = data_chunks(self.header.layout)
        start = reader.measure() - len(_END) - FRAME_BYTES - 4 * count
        if start < self._starts[0]:
            return None
        reader.seek(start)
        found = reader.peek(FRAME_BYTES + 4 * count + len(_END))
        if not found.startswith(struct.pack("<I", 4 * count) + INDEX) or not found.endswith(_END):
            return None
        chunk = read_rest(reader, read_head(reader))
        lengths = (length for (length,) in struct.iter_unpack("<I", chunk.payload))
        starts = array("Q", accumulate((FRAME_BYTES + length for length in lengths), initial=self._starts[0]))
        if not _leads(reader, starts[-1], start):
            raise CorruptFile(f"byte {start}: iNDX does not lead to the data chunks")
        return starts


def _leads(reader: Reader, at: int, to: int) -> bool:
    """Whether ancillary chunks alone lead from one place to another: from the end of the data to the index."""
    try:
        for _ in range(MAX_ANCILLARY_CHUNKS):
            if at >= to:
                break
            reader.seek(at)
            head = read_head(reader)
            if not head.ancillary:
                return False
            at = head.end
    except CorruptFile:  # not a chunk at all
        return False
    return at == to
