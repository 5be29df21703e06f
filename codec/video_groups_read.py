"""The groups of a video file, one after the other, as they are needed: in order from a pipe, at random elsewhere.

LecFile -> GroupSource.get(number) -> Group (frames in coding order) and its chunks
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..bitstream import LecFile, VideoLayout
from ..bitstream.announced import GroupChunks
from ..bitstream.groups import Group, unpack_group
from ..bitstream.packets import Packet, unpack_packets
from ..errors import CorruptFile
from .media.video_signal import microseconds

__all__ = ["GroupSource", "Place", "ReadGroup"]


@dataclass(frozen=True)
class ReadGroup:
    """group: what the data chunk says; chunks: of the group; durations: ticks of its frames as they are shown."""

    group: Group
    chunks: GroupChunks
    durations: tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where a group is in its video. number: its own; start, tick: its first frame's number, and when that is shown."""

    number: int
    start: int
    tick: int
    read: ReadGroup

    def times(self, layout: VideoLayout) -> list[int]:
        """When each of its frames begins to be shown, and when the last one ends, in microseconds."""
        ticks = accumulate(self.read.durations, initial=self.tick)
        return [microseconds(layout, tick) for tick in ticks]

    def packets(self, times: Sequence[int], wanted: range, began: int, cut: bool) -> tuple[Packet, ...]:
        """The packets of the group, or those of its wanted frames alone (cut). times: from above; began: where the
        times of the result count from.
        """
        found = (p._replace(time=p.time + times[0] - began) for p in unpack_packets(self.read.chunks.packets))
        if not cut:
            return tuple(found)
        first, stop = times[wanted.start] - began, times[wanted.stop] - began
        return tuple(packet for packet in found if first <= packet.time < stop)


class GroupSource:
    """in_order: every group is asked for from the first one on, so that the file is read once, to its end, and all of
    it is checked. Groups must be asked for by growing numbers; the latest ones may be asked for again until `forget`.
    """

    def __init__(self, file: LecFile, in_order: bool) -> None:
        layout = file.layout
        assert isinstance(layout, VideoLayout)
        self._file, self._layout = file, layout
        self._walk: Iterator[GroupChunks] | None = file.groups() if in_order or not file.seeks else None
        self._next = 0
        self._held: dict[int, ReadGroup] = {}

    def get(self, number: int) -> ReadGroup | None:
        """A group; None behind the last one. Raises a CodecError."""
        if number not in self._held:
            chunks = self._random(number) if self._walk is None else self._walked(number)
            if chunks is None:
                return None
            self._held[number] = self._read(number, chunks)
        return self._held[number]

    def forget(self, number: int) -> None:
        """Let go of the groups up to this one."""
        self._held = {n: group for n, group in self._held.items() if n > number}

    def finish(self) -> None:
        """Read and check what is left of a pipe, and keep nothing of it."""
        if self._walk is not None:
            self._held = {}
            for _ in self._walk:
                pass

    def _random(self, number: int) -> GroupChunks | None:
        return self._file.group(number) if number < self._layout.units else None

    def _walked(self, number: int) -> GroupChunks | None:
        assert self._walk is not None and number >= self._next, "groups are asked for in order"
        found = None
        while self._next <= number:
            found = next(self._walk, None)
            if found is None:
                return None
            self._next += 1
        return found

    def _read(self, number: int, chunks: GroupChunks) -> ReadGroup:
        layout, data = self._layout, chunks.data
        last = not layout.announced and number == layout.units - 1
        try:
            group = unpack_group(data.payload, data.offset, chunks.frames, not layout.duration, last)
        except CorruptFile as error:
            raise CorruptFile(f"group {number}: {error}") from None
        if group.durations and sum(group.durations) != chunks.ticks:
            raise CorruptFile(f"group {number}: its frames do not last as long as it")
        return ReadGroup(group, chunks, group.durations or (layout.duration,) * chunks.frames)
