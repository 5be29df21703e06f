"""A `.lec` file that is opened once and travels: its header at once, everything else when it is asked for.

    bytes, path or stream -> LecFile.open -> header, layout, metadata -> units (read), or all of them (load) -> codec

Guarantees: the header is read and parsed once, and no chunk is checked twice for `metadata`, `check` and `load`. What
is given out was checked: see `container` and, for single units, `random_access`.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

from ..errors import CorruptFile, InputError
from .announced import PACKETS, Announced, GroupChunks, group_of, read_announced, said_by
from .chunks import Chunk, Reader
from .container import (
    END,
    INDEX,
    DataChunk,
    data_chunk,
    read_ancillary,
    read_first,
    read_from_data,
    read_tail,
)
from .fields import DIGEST_BYTES
from .header import METHODS, Header
from .layout import ALPHA, DATA, EXACT, GROUP, Layout
from .layouts.sound import SoundLayout
from .layouts.video import VideoLayout
from .limits import MAX_ANCILLARY, MAX_ANCILLARY_CHUNKS
from .metadata import METADATA_TYPES, Metadata
from .random_access import UnitReader
from .samples import SAMPLES, samples_digest
from .streamed import LENGTH, length_of, read_streamed, walk_streamed

__all__ = ["LecFile", "Parsed", "parse", "read_header"]

Source = bytes | str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class Parsed:
    """A whole file. data: one for each unit; alpha: one for each unit, or none. size: bytes of the file.

    ancillary: (type, payload) of the ancillary chunks that this version does not know, in the order of the file.
    packets: of a video whose groups announce themselves, the payloads of each group's chunks of packets. samples: the
    digest of a picture's samples, empty where the file has none.
    """

    header: Header
    data: tuple[DataChunk, ...]
    alpha: tuple[DataChunk, ...]
    metadata: Metadata
    ancillary: tuple[tuple[bytes, bytes], ...]
    size: int
    packets: tuple[tuple[bytes, ...], ...] = ()
    samples: bytes = b""


@dataclass(frozen=True, slots=True)
class _Front:
    """What stands between the header and the data. unknown: ancillary chunks. end: offset of the first data chunk.
    bytes_left, chunks_left: what ancillary chunks behind the data may have. samples: a digest, or nothing.
    """

    metadata: Metadata
    unknown: tuple[tuple[bytes, bytes], ...]
    end: int
    bytes_left: int
    chunks_left: int
    samples: bytes


class LecFile:
    """Made by `open`. header: as read; of a video whose groups announce themselves, which comes through a pipe, its
    layout knows the groups when all have been read. Everything else raises TruncatedFile, CorruptFile, UnsupportedFile,
    LimitExceeded, and InputError for what has gone by on a pipe. Not for several threads at once.
    """

    def __init__(
        self,
        reader: Reader,
        path: str | os.PathLike[str] | None = None,
        was: tuple[int, ...] = (),
        pipe: BinaryIO | None = None,
    ) -> None:
        self.header: Header = read_first(reader)
        self._path, self._was = path, was
        """A regular file, which is opened again whenever more of it is needed, and what it was at first; pipe: to be
        closed when it has been read."""
        self._reader, self._pipe = (reader if path is None else None), pipe
        self._after = reader.offset
        self._front_read: _Front | None = None
        self._units: UnitReader | None = None
        self._begun = False
        self._whole: Parsed | None = None
        self._checked: tuple[int, Counter[int]] | None = None
        self._announced: Announced | None = None
        if isinstance(self.header.layout, VideoLayout) and self.header.layout.announced and self.seeks:
            front = self._front
            with self._open() as again:
                self._announced = Announced(again, self.header.layout, front.end)
            self._know(self._announced.groups)
        if isinstance(self.header.layout, SoundLayout) and self.header.layout.streamed and self.seeks:
            end = self._front.end
            with self._open() as again:
                again.seek(end)
                layout, starts = walk_streamed(again, self.header)
            self.header = replace(self.header, layout=layout)
            self._units = UnitReader(self.header, end, starts)

    @classmethod
    def open(cls, source: Source | LecFile) -> LecFile:
        """Read the header, of a video in a source that seeks what its groups say of themselves, of a streamed sound its
        length, and no more.

        source: the bytes; a path; a binary stream at its present place, a file that seeks or a pipe, which stays open
        and must not be read by others; an opened file is given back. A file at a path is not held open. Raises
        NotLecFile, TruncatedFile, CorruptFile, UnsupportedFile, LimitExceeded, OSError.
        """
        if isinstance(source, LecFile):
            return source
        if not isinstance(source, str | os.PathLike):
            if not isinstance(source, bytes | bytearray | memoryview) and not hasattr(source, "read"):
                raise InputError(f"expected bytes, a path or a binary stream, not {type(source).__name__}")
            return cls(Reader(source))
        if "\0" in os.fsdecode(source):
            raise InputError("a path with a null byte in it")
        stream = open(source, "rb")  # noqa: SIM115 - a pipe stays open: what is read from it does not come again
        try:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                return cls(Reader(stream), pipe=stream)
            with stream:
                return cls(Reader(stream), source, _identity(found))
        except BaseException:
            stream.close()
            raise

    @property
    def layout(self) -> Layout:
        return self.header.layout

    @property
    def metadata(self) -> Metadata:
        """What stands before the data."""
        return self._front.metadata

    @property
    def samples(self) -> bytes:
        """The digest of a picture's samples, if they are to be the same on every machine; otherwise nothing."""
        return self._front.samples

    @property
    def seeks(self) -> bool:
        """Whether units may be read in any order."""
        return self._whole is not None or self._reader is None or self._reader.seekable()

    @property
    def size(self) -> int:
        """Bytes of the file; of a pipe all of it is read."""
        if self._checked is not None:
            return self._checked[0]
        if self._reader is None:
            return self._was[0]
        return self._reader.measure() if self._reader.seekable() else self.load().size

    def load(self) -> Parsed:
        """Everything, checked to the end of the source, and kept."""
        if self._whole is None:
            self._whole = self._read_all(keep=True)
        return self._whole

    def check(self) -> None:
        """Read and check everything to the end of the source, and keep nothing of the data."""
        if self._checked is None:
            self._read_all(keep=False)

    def methods(self) -> dict[str, int] | None:
        """How many data chunks without loss were coded by which method. With loss only exact tiles are; None if there
        are none.
        """
        self.check()
        assert self._checked is not None
        if not self.header.lossless and not self._checked[1]:
            return None
        return {METHODS.get(method, str(method)): count for method, count in self._checked[1].items()}

    def read(self, numbers: Sequence[int]) -> list[tuple[DataChunk, DataChunk | None]]:
        """The data chunk and the alpha chunk (None without alpha) of each unit asked for, in that order. Only what is
        needed is read and checked.

        numbers: of units, 0 to `layout.units` - 1. On a pipe each call goes on where the last one ended. Raises
        InputError for another number.
        """
        if self._whole is not None:
            for number in numbers:
                self.layout.check_number(number)
            alpha = self._whole.alpha or (None,) * self.layout.units
            return [(self._whole.data[number], alpha[number]) for number in numbers]
        if isinstance(self.layout, VideoLayout) and self.layout.announced:
            return [(self.group(number).data, None) for number in numbers]
        front = self._front
        if self._units is None:
            self._units = UnitReader(self.header, front.end)
        with self._open() as reader:
            return self._units.read(reader, numbers)

    def group(self, number: int) -> GroupChunks:
        """A group of a video, of a source that seeks or has been loaded. Raises InputError for another number."""
        layout = self.layout
        assert isinstance(layout, VideoLayout)
        layout.check_number(number)
        if self._announced is not None and self._whole is None:
            with self._open() as reader:
                return self._announced.read(reader, number)
        ((data, _),) = self.read([number])
        packets = self._whole.packets[number] if self._whole is not None and self._whole.packets else ()
        return GroupChunks(*layout.groups[number], data, packets)

    def groups(self) -> Iterator[GroupChunks]:
        """All groups of a video in order, one at a time, each checked; at the end all of the file has been. A pipe is
        read no further than each group needs.
        """
        layout = self.layout
        assert isinstance(layout, VideoLayout)
        if self._whole is not None:
            yield from (self.group(number) for number in range(layout.units))
            return
        group: list[Chunk] = []
        number = 0
        for chunk in self._walk():
            if chunk.type in (GROUP, PACKETS, DATA):
                group.append(chunk)
            if chunk.type == DATA:
                yield group_of(group) if layout.announced else GroupChunks(*layout.groups[number], data_chunk(chunk))
                group, number = [], number + 1

    def segments(self) -> Iterator[tuple[int, DataChunk]]:
        """All segments of a sound in order with their numbers, one at a time, each checked; at the end all of the file
        has been. A pipe is read no further than each segment needs; `layout` knows the length of a streamed sound when
        the last one is given out.
        """
        assert isinstance(self.layout, SoundLayout)
        if self._whole is not None:
            yield from enumerate(self._whole.data)
            return
        number = 0
        for chunk in self._walk():
            if chunk.type == DATA:
                yield number, data_chunk(chunk)
                number += 1

    @property
    def _front(self) -> _Front:
        if self._front_read is None:
            with self._open(self._after) as reader:
                chunks = list(read_ancillary(reader, MAX_ANCILLARY, MAX_ANCILLARY_CHUNKS, before_data=True))
                end = reader.offset
            known = [chunk for chunk in chunks if chunk.type in METADATA_TYPES.values()]
            self._front_read = _Front(
                Metadata.of_chunks(known, *self.layout.code_points),
                tuple((c.type, c.payload) for c in chunks if c.type not in (SAMPLES, *METADATA_TYPES.values())),
                end,
                MAX_ANCILLARY - sum(len(chunk.payload) for chunk in chunks),
                MAX_ANCILLARY_CHUNKS - len(chunks),
                samples_digest(chunks, self.header),
            )
        return self._front_read

    def _read_all(self, *, keep: bool) -> Parsed:
        """Check everything behind the front. keep: the data; without it the result has none."""
        front = self._front
        kept: dict[bytes, list[DataChunk]] = {part: [] for part in self.layout.parts}
        unknown, packets = list(front.unknown), list[tuple[bytes, ...]]()
        of_group: list[bytes] = []
        for chunk in self._walk():
            part = DATA if chunk.type == EXACT else chunk.type
            if chunk.type == PACKETS:
                of_group += [chunk.payload] * keep
            elif part in kept:
                if keep:
                    kept[part].append(data_chunk(chunk))
                    packets.append(tuple(of_group))
                    of_group = []
            elif chunk.type not in (INDEX, END, GROUP, LENGTH):
                unknown.append((chunk.type, chunk.payload))
        assert self._checked is not None
        data, alpha = tuple(kept[DATA]), tuple(kept.get(ALPHA, ()))
        sides = tuple(packets) if any(packets) else ()
        return Parsed(self.header, data, alpha, front.metadata, tuple(unknown), self._checked[0], sides, front.samples)

    def _walk(self) -> Iterator[Chunk]:
        """Everything behind the front, chunk by chunk and checked, to the end of the source. What is learned of the
        whole file on the way is kept.
        """
        front, layout = self._front, self.layout
        methods, lossless = Counter[int](), self.header.lossless
        gone = self._checked or self._begun or (self._units is not None and self._units.passed)
        if gone and self._reader is not None and not self._reader.seekable():
            raise InputError("data chunk 0 has gone by: a pipe cannot be read twice")
        self._begun, size, segments, groups = True, 0, 0, list[tuple[int, int]]()
        with self._open(front.end) as reader:
            for chunk in self._chunks(reader, front):
                if chunk.type == EXACT or (lossless and chunk.type == DATA):
                    methods[chunk.payload[DIGEST_BYTES]] += 1
                elif chunk.type == GROUP:
                    groups.append(said_by(chunk))
                elif chunk.type == LENGTH and isinstance(layout, SoundLayout):
                    known = length_of(chunk, replace(self.header, layout=layout), segments)
                    self.header = replace(self.header, layout=known)
                elif chunk.type == END:
                    size = chunk.offset + 12
                segments += chunk.type == DATA
                yield chunk
        self._checked = size, methods
        if isinstance(layout, VideoLayout) and layout.announced:
            self._know(tuple(groups))
        if self._pipe is not None:
            self._pipe.close()

    def _chunks(self, reader: Reader, front: _Front) -> Iterator[Chunk]:
        layout = self.layout
        if isinstance(layout, SoundLayout) and layout.streamed:
            yield from read_streamed(reader, self.header)
            yield from read_tail(reader, front.bytes_left, front.chunks_left)
            return
        if not (isinstance(layout, VideoLayout) and layout.announced):
            yield from read_from_data(reader, self.header, front.bytes_left, front.chunks_left)
            return
        number = 0
        while chunks := list(read_announced(reader, layout, number)):
            yield from chunks
            number += 1
        yield from read_tail(reader, front.bytes_left, front.chunks_left)

    def _know(self, groups: tuple[tuple[int, int], ...]) -> None:
        """Complete the layout of a video by its groups."""
        layout = self.layout
        assert isinstance(layout, VideoLayout)
        self.header = replace(self.header, layout=replace(layout, groups=groups))

    @contextmanager
    def _open(self, offset: int | None = None) -> Iterator[Reader]:
        """A reader of the file, at this place if it is given."""
        if self._reader is not None:
            if offset is not None and self._reader.seekable():
                self._reader.seek(offset)
            yield self._reader
            return
        assert self._path is not None
        with open(self._path, "rb") as stream:
            if _identity(os.fstat(stream.fileno())) != self._was:
                raise CorruptFile("the file has been changed since its header was read")
            reader = Reader(stream)
            if offset is not None:
                reader.seek(offset)
            yield reader


def parse(source: Source) -> Parsed:
    """Read and check a whole file. source, and what is raised: see `LecFile.open`."""
    return LecFile.open(source).load()


def read_header(source: Source) -> Header:
    """The header alone, from the first 60 bytes (and the chunk of its layout): what follows is neither read nor
    checked. source, and what is raised: see `LecFile.open`.
    """
    return LecFile.open(source).header


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev
