"""Which frames of a video are wanted, group by group, also of one whose length is not known yet.

    Part, groups as they come -> Wanted -> numbers of frames in each group

Frames are asked for by their numbers or by the seconds at which they are shown; they need not all last as long.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Final

from ..bitstream import VideoLayout
from ..errors import InputError
from .media.part import Frames

__all__ = ["MICROSECONDS", "Wanted", "check_part"]

MICROSECONDS: Final = 10**6
_NEAR: Final = Fraction(1, MICROSECONDS)
"""Seconds by which a time that is asked for may miss a frame's: decimal fractions are not exact."""


class Wanted:
    """The frames of a part. clock: seconds of a tick."""

    def __init__(self, part: Frames | None, layout: VideoLayout) -> None:
        self.part = part or Frames()
        self.clock = Fraction(layout.clock_step, layout.clock)

    @property
    def everything(self) -> bool:
        return self.part.first == 0 and self.part.stop is None

    def begins(self, groups: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
        """The group in which the first wanted frame may be, its first frame's number, and its first tick. groups: all
        of the video, frames and ticks each; none where they are not known, and then it is the first group.
        """
        if not groups:
            return 0, 0, 0
        frames, ticks = (list(accumulate(column, initial=0)) for column in zip(*groups, strict=True))
        if self.part.in_seconds:
            number = bisect_right(ticks, (Fraction(self.part.first) + _NEAR) / self.clock) - 1
        else:
            number = bisect_right(frames, self.part.first) - 1
        number = min(number, len(groups) - 1)
        return number, frames[number], ticks[number]

    def of_group(self, start: int, tick: int, durations: Sequence[int]) -> range:
        """The wanted frames of a group by their numbers in it. start, tick: its first frame's number, and when that is
        shown; durations: ticks of its frames.
        """
        count, first, stop = len(durations), self.part.first, self.part.stop
        if not self.part.in_seconds:
            return range(max(0, int(first) - start), count if stop is None else max(0, min(count, int(stop) - start)))
        shown = [n for n, (at, end) in enumerate(self._times(tick, durations)) if self._shown(at, end)]
        return range(shown[0], shown[-1] + 1) if shown else range(0)

    def _times(self, tick: int, durations: Sequence[int]) -> list[tuple[Fraction, Fraction]]:
        edges = [at * self.clock for at in accumulate(durations, initial=tick)]
        return list(zip(edges, edges[1:], strict=False))

    def _shown(self, at: Fraction, end: Fraction) -> bool:
        first, stop = Fraction(self.part.first), self.part.stop
        begun = end > first + _NEAR or at >= first - _NEAR
        return begun and (stop is None or at < Fraction(stop) - _NEAR)

    def passed(self, start: int, tick: int) -> bool:
        """Whether no frame from this one on is wanted."""
        stop = self.part.stop
        if stop is None:
            return False
        return tick * self.clock >= Fraction(stop) - _NEAR if self.part.in_seconds else start >= stop


def check_part(part: Frames | None, layout: VideoLayout) -> None:
    """Raise InputError for a part that a video does not have, whose groups are all known."""
    if part is None:
        return
    end = float(layout.seconds) if part.in_seconds else layout.frames
    stop = end if part.stop is None or part.in_seconds else part.stop
    inside = 0 <= part.first < end and part.first < stop <= end
    if part.in_seconds and part.stop is not None:
        inside = inside and part.first < part.stop
    if not inside:
        has = f"the video has frames 0 to {layout.frames - 1}, {float(layout.seconds):.3f} seconds"
        raise InputError(f"{part.asked('frames')}: {has}")
