"""Groups that announce themselves: videos that are written and read as they come, whose length nobody knows at first.

    group of frames -> pack_announced -> LGRP {sPKT} LDAT -> read_announced, Announced -> chunks

LGRP says how many frames a group shows and how long. Packets of sound and of subtitles that belong to its span come
before its data, so that whoever reads a pipe need not wait for the next group to have all of one. A source that seeks
is walked once, from head to head, and every group is known then; nothing else is read for it.

Guarantees: as those of `container`. The announcements of groups that are passed over are checked too: they say which
frames the others show.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..errors import CorruptFile, InputError, LimitExceeded
from .chunks import Chunk, Head, Reader, check_length, frame, read_head, read_rest
from .container import END, DataChunk, data_chunk, pack_front, refuse
from .fields import DIGEST_BYTES
from .header import Header
from .layout import DATA, GROUP
from .layouts.video import VideoLayout
from .limits import MAX_GROUP, MAX_GROUPS, MAX_PACKET_CHUNKS, MAX_PACKETS, check_group_size
from .metadata import Metadata

__all__ = [
    "PACKED_END",
    "PACKETS",
    "Announced",
    "GroupChunks",
    "group_of",
    "pack_announced",
    "pack_video",
    "read_announced",
    "said_by",
]

PACKETS: Final = b"sPKT"
_GROUP: Final = struct.Struct("<BI")


@dataclass(frozen=True, slots=True)
class GroupChunks:
    """A group of a video as it lies in a file, announced or not. frames: that it shows; ticks: that they last; packets:
    payloads of its sPKT chunks.
    """

    frames: int
    ticks: int
    data: DataChunk
    packets: tuple[bytes, ...] = field(default=(), repr=False)


def group_of(chunks: Sequence[Chunk]) -> GroupChunks:
    """The chunks of a group that announces itself, LGRP first and LDAT last, taken apart."""
    first, *packets, data = chunks
    return GroupChunks(*said_by(first), data_chunk(data), tuple(each.payload for each in packets))


def pack_announced(
    layout: VideoLayout, group: tuple[int, int], digest: bytes, payload: bytes, packets: Sequence[bytes] = ()
) -> bytes:
    """The chunks of a group. group: its frames and ticks; payload: of its LDAT behind the digest; packets: payloads of
    sPKT chunks. Raises InputError, LimitExceeded.
    """
    _check_group(layout, *group)
    if len(digest) != DIGEST_BYTES:
        raise InputError(f"a data digest of {len(digest)} bytes, expected {DIGEST_BYTES}")
    if DIGEST_BYTES + len(payload) > (limit := layout.group_limit(group[0])):
        raise LimitExceeded(f"LDAT of {DIGEST_BYTES + len(payload)} bytes: the limit is {limit}")
    if len(packets) > MAX_PACKET_CHUNKS or max(map(len, packets), default=0) > MAX_PACKETS:
        raise LimitExceeded(f"packets of a group: the limits are {MAX_PACKET_CHUNKS} chunks of {MAX_PACKETS} bytes")
    sides = b"".join(frame(PACKETS, each) for each in packets)
    return frame(GROUP, _GROUP.pack(*group)) + sides + frame(DATA, digest + payload)


PACKED_END: Final = frame(END, b"")
"""What follows the last group."""


def pack_video(header: Header, groups: Iterable[GroupChunks], metadata: Metadata | None = None) -> bytes:
    """A whole file of groups that announce themselves. Raises as `pack_announced` and `container.pack`."""
    layout = header.layout
    assert isinstance(layout, VideoLayout) and layout.announced
    packed = (pack_announced(layout, (g.frames, g.ticks), g.data.digest, g.data.payload, g.packets) for g in groups)
    return pack_front(header, metadata) + b"".join(packed) + PACKED_END


def said_by(chunk: Chunk) -> tuple[int, int]:
    """The frames and the ticks of the group that an LGRP chunk announces."""
    frames, ticks = _GROUP.unpack(chunk.payload)
    return frames, ticks


def read_announced(reader: Reader, layout: VideoLayout, number: int, *, keep: bool = True) -> Iterator[Chunk]:
    """The chunks of group `number`, each checked before it is given out, if there is one more: LGRP first, LDAT last,
    whose payloads are empty unless they are to be kept. Raises as `container.read_first` does.
    """
    announced = _next(reader, layout, number)
    if announced is None:
        return
    yield announced
    for head in _heads(reader, layout, said_by(announced)[0], number):
        yield read_rest(reader, head, keep=keep)


def _next(reader: Reader, layout: VideoLayout, number: int) -> Chunk | None:
    """The LGRP chunk that comes next; None if something else does, which is right behind the last group."""
    if read_head(reader, peek=True).type != GROUP and number:
        return None
    head = read_head(reader)
    if head.type != GROUP:
        refuse(reader, head, "LGRP of group 0")
    if head.length != _GROUP.size:
        raise CorruptFile(f"byte {head.offset}: LGRP of {head.length} bytes, expected {_GROUP.size}")
    chunk = read_rest(reader, head)
    if number >= MAX_GROUPS:
        raise LimitExceeded(f"byte {head.offset}: a video of more than {MAX_GROUPS} groups")
    try:
        _check_group(layout, *said_by(chunk))
    except InputError as error:
        raise CorruptFile(f"byte {head.offset + 8}: group {number}: {error}") from None
    return chunk


def _heads(reader: Reader, layout: VideoLayout, frames: int, number: int) -> Iterator[Head]:
    """The heads of the chunks behind LGRP; after each one the reader must be at its end."""
    for _ in range(MAX_PACKET_CHUNKS + 1):
        head = read_head(reader)
        if head.type != PACKETS:
            break
        check_length(head, MAX_PACKETS)
        yield head
    else:
        raise LimitExceeded(f"byte {head.offset}: group {number} has more than {MAX_PACKET_CHUNKS} sPKT chunks")
    if head.type != DATA:
        refuse(reader, head, f"LDAT of group {number}")
    if head.length < DIGEST_BYTES:
        raise CorruptFile(f"byte {head.offset}: LDAT of {head.length} bytes, expected at least {DIGEST_BYTES}")
    check_length(head, layout.group_limit(frames))
    yield head


def _check_group(layout: VideoLayout, frames: int, ticks: int) -> None:
    """Raise InputError, LimitExceeded for what no group of a video may be."""
    if not 1 <= frames <= MAX_GROUP or not 0 <= ticks < 2**32:
        raise InputError(f"{frames} frames and {ticks} ticks, expected 1 to {MAX_GROUP} frames")
    if layout.duration and ticks != frames * layout.duration:
        raise InputError(f"{frames} frames last {ticks} ticks, expected {frames * layout.duration}")
    check_group_size(layout.width, layout.height, frames)


class Announced:
    """The groups of a source that seeks, found by one walk over the heads. start: offset of the first LGRP. groups:
    frames and ticks of each. Raises as `read_announced`.
    """

    def __init__(self, reader: Reader, layout: VideoLayout, start: int) -> None:
        self._starts = array("Q")
        self._layout = layout
        groups: list[tuple[int, int]] = []
        reader.seek(start)
        while True:
            at = reader.offset
            chunk = _next(reader, layout, len(groups))
            if chunk is None:
                break
            for head in _heads(reader, layout, said_by(chunk)[0], len(groups)):
                reader.seek(head.end)
            self._starts.append(at)
            groups.append(said_by(chunk))
        self.groups = tuple(groups)
        self.end = reader.offset
        """Offset of what follows the last group."""

    def read(self, reader: Reader, number: int) -> GroupChunks:
        """A group by its number."""
        reader.seek(self._starts[number])
        return group_of(list(read_announced(reader, self._layout, number)))
