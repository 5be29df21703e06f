"""Random access: the chunks of some tiles (or blocks of a set) of a file, without reading the others.

    region -> tile numbers -> TileReader.read -> data chunks of those tiles -> codec

Three ways, by what the source can do:
- It seeks and the file ends with an index: the front of the file, the index, and the chunks asked for are read.
- It seeks, without an index (one tile, a stream that was cut short): the heads of chunks are read, eight bytes each,
  and their payloads seeked over.
- It is a pipe: everything up to the last chunk asked for is read and checked, the rest is dropped as it passes.

Guarantees: every chunk given out was checked by its own CRC, as was the header, and stands where the specification
puts it. What is not used is not checked: `parse` checks whole files. Any bytes at all give chunks or a `CodecError`.
An index that does not lead to where the chunks are is a CorruptFile, never a wrong tile.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

from ..errors import CorruptFile, InputError
from .chunks import FRAME_BYTES, Reader, frame, read_head, read_rest
from .container import (
    END,
    INDEX,
    DataChunk,
    data_chunk,
    data_chunks,
    read_ancillary,
    read_data,
    read_data_head,
    read_first,
)
from .limits import MAX_ANCILLARY, MAX_ANCILLARY_CHUNKS
from .metadata import METADATA_TYPES, Metadata

__all__ = ["TileReader"]


class TileReader:
    """Opens a file at the source's present place and reads what stands before the data.

    source: the bytes, a binary file that seeks, or a pipe; it stays open and must not be moved meanwhile. header,
    metadata: as in `Parsed`. Raises NotLecFile, TruncatedFile, CorruptFile, UnsupportedFile, LimitExceeded.
    """

    def __init__(self, source: bytes | BinaryIO) -> None:
        self._reader = Reader(source)
        self.header = read_first(self._reader)[0]
        chunks = read_ancillary(self._reader, MAX_ANCILLARY, MAX_ANCILLARY_CHUNKS, before_data=True)
        known = [chunk for chunk in chunks if chunk.type in METADATA_TYPES.values()]
        self.metadata = Metadata.of_chunks(known, self.header.colour_primaries, self.header.transfer)
        self._seeks = self._reader.seekable()
        self._passed = 0
        """Data chunks that have gone by, on a pipe."""
        self._starts = array("Q", [self._reader.offset])
        """Offsets of the data chunks found so far, and of what follows the last of them."""
        if self._seeks and self.header.tiles > 1:
            self._starts = self._indexed() or self._starts

    def read(self, numbers: Sequence[int]) -> list[tuple[DataChunk, DataChunk | None]]:
        """The data chunk and the alpha chunk (None without alpha) of each tile asked for, in that order.

        numbers: of tiles, 0 to `header.tiles` - 1. On a pipe each call goes on where the last one ended. Raises
        InputError for another number and for a tile that has gone by, otherwise as the constructor.
        """
        each = 1 + self.header.alpha
        found: dict[int, tuple[DataChunk, DataChunk | None]] = {}
        for number in sorted(set(numbers)):
            if not 0 <= number < self.header.tiles:
                raise InputError(f"{self.header.part} {number}, expected 0 to {self.header.tiles - 1}")
            chunks = [self._chunk(number * each + part) for part in range(each)]
            found[number] = chunks[0], chunks[1] if self.header.alpha else None
        return [found[number] for number in numbers]

    def _chunk(self, number: int) -> DataChunk:
        """Data chunk `number`, LDAT and LALP counted together in the order of the file."""
        if not self._seeks:
            if number < self._passed:
                raise InputError(f"data chunk {number} has gone by: a pipe cannot be read twice")
            while self._passed < number:
                self._next(keep=False)
            return self._next(keep=True)
        while len(self._starts) <= number:
            self._reader.seek(self._starts[-1])
            self._starts.append(read_data_head(self._reader, self.header, len(self._starts) - 1).end)
        self._reader.seek(self._starts[number])
        head = read_data_head(self._reader, self.header, number)
        if len(self._starts) > number + 1 and head.end != self._starts[number + 1]:
            raise CorruptFile(
                f"byte {head.offset}: {head.type.decode()} of {head.length} bytes, iNDX says "
                f"{self._starts[number + 1] - head.offset - FRAME_BYTES}"
            )
        return data_chunk(read_rest(self._reader, head))

    def _next(self, *, keep: bool) -> DataChunk:
        chunk = read_data(self._reader, self.header, self._passed, keep=keep)
        self._passed += 1
        return data_chunk(chunk)

    def _indexed(self) -> array[int] | None:
        """The starts of all data chunks and the end of the last one, from the index; None if the file has none.

        An index is where it must be if there is one: its length follows from the header. Raises CorruptFile.
        """
        count = data_chunks(self.header)
        end = frame(END, b"")
        start = self._reader.measure() - len(end) - FRAME_BYTES - 4 * count
        if start < self._starts[0]:
            return None
        self._reader.seek(start)
        found = self._reader.peek(FRAME_BYTES + 4 * count + len(end))
        if not found.startswith(struct.pack("<I", 4 * count) + INDEX) or not found.endswith(end):
            return None
        chunk = read_rest(self._reader, read_head(self._reader))
        lengths = (length for (length,) in struct.iter_unpack("<I", chunk.payload))
        starts = array("Q", accumulate((FRAME_BYTES + length for length in lengths), initial=self._starts[0]))
        if not self._leads(starts[-1], start):
            raise CorruptFile(f"byte {start}: iNDX does not lead to the data chunks")
        return starts

    def _leads(self, at: int, to: int) -> bool:
        """Whether ancillary chunks alone lead from one place to another: from the end of the data to the index."""
        try:
            for _ in range(MAX_ANCILLARY_CHUNKS):
                if at >= to:
                    break
                self._reader.seek(at)
                head = read_head(self._reader)
                if not head.ancillary:
                    return False
                at = head.end
        except CorruptFile:  # not a chunk at all
            return False
        return at == to
