"""Encoding a video: frames to groups, one after the other, with y and luma of one group in memory.

    frames -> g_a -> y, thumbnails -> cuts, group size -> depth first -> FrameCoding -> groups

The next group's first frame is coded before a group's frames between the two, since they are coded from it. Frames are
coded depth first and written in coding order, so that latents and pictures of few references are held at a time. y of
a frame is let go as soon as it is coded. What is held is thus about four bytes a pixel of a group, or seven with
effort, and groups of large frames are shorter (see `video_groups`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..bitstream.groups import CodedFrame, Group, Step, coding_order, depth_first, last_uses, levels_of
from ..bitstream.packets import Packet
from ..entropy.latents import NEAREST, Choice
from ..errors import InputError
from .media.video_signal import VideoFrame, VideoSignal, microseconds
from .motion import luma, search
from .transforms.replica import Replica
from .video_coding import Better, Decoded, FrameCoding
from .video_frames import FrameTransform
from .video_groups import LONGEST, difference, is_cut, longest_group, next_group, thumbnail
from .video_moving import Mover, grid_of
from .video_refine import Refiner
from .video_steps import shares_of, steps_of

__all__ = ["CodedGroup", "Encoder", "choice_beyond", "group_digest", "indices_of"]

CHAIN_STEPS = (1.0, 1.1, 1.5, 2.1)
"""By how much coarser than its first frame the frames of each level of a chain are coded."""
LONGEST_CHAIN = 32
"""Frames of a chain, if no other number is asked for."""
DEAD = (0.0, 0.06, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0)
"""How far beyond 1/2 residuals of each level are rounded to 0."""
LEAST_BLOCKS = 4
"""A frame of fewer has no vectors."""
_NONE = np.empty((0, 0, 3), np.uint8)
_NOTHING = np.empty((0, 0, 0), np.float32)
_Way = tuple[CodedFrame, Decoded]
LEAST_RATE = 256
"""The coarsest fixed-point index that frames are coded at."""


@dataclass(frozen=True)
class CodedGroup:
    """group: with the ticks of every frame; digest: of its latents; packets: that come with its frames, their times
    from its first frame's; error: if it was measured, the sum of the squared errors of all samples.
    """

    group: Group
    digest: bytes
    packets: tuple[Packet, ...] = ()
    error: float = 0.0

    @property
    def ticks(self) -> int:
        """How long it is shown."""
        return sum(self.group.durations)


@dataclass(frozen=True)
class _Entry:
    """A frame on its way. luma: for the search of vectors; samples: if errors are measured, or with effort; begins:
    whether it follows on a cut.
    """

    y: np.ndarray
    luma: np.ndarray | None
    samples: np.ndarray | None
    ticks: int
    packets: tuple[Packet, ...]
    begins: bool


def group_digest(digests: list[bytes]) -> bytes:
    """8 bytes over the digests of a group's latents, in coding order."""
    return hashlib.blake2b(b"".join(digests), digest_size=8).digest()


class Encoder:
    """One video. quality: the fixed-point index of the transforms, and of frames that are coded alone; measured:
    whether every frame is displayed and compared, too; replica: gives that of the image model, if references are to be
    moved; refiner: with effort.
    """

    def __init__(
        self,
        coding: FrameCoding,
        transform: FrameTransform,
        signal: VideoSignal,
        quality: int,
        measured: bool = False,
        replica: Callable[[], Replica] | None = None,
        refiner: Refiner | None = None,
    ):
        self._replica = replica if signal.moves else None
        self._coding, self._transform, self._signal, self._quality = coding, transform, signal, quality
        self._measured, self._refiner = measured, refiner
        layout = signal.video_layout
        usual = LONGEST_CHAIN if signal.chain else LONGEST
        self._longest = longest_group(layout.width, layout.height, signal.group or usual)
        tables = len(coding.temporal.y_tables)
        dead = (0.0,) * len(DEAD) if signal.chain else DEAD
        self._choices = [choice_beyond(share, tables) for share in dead]

    def groups(self) -> Iterator[CodedGroup]:
        """All groups, in order. Raises InputError for a video without frames, and what its frames raise."""
        coming, ahead, first = self._entries(), [], None
        ended, tick = False, 0
        while True:
            while not ended and len(ahead) <= self._longest and not any(e.begins for e in ahead[1:]):
                entry = next(coming, None)
                ended = entry is None
                ahead += [] if entry is None else [entry]
            if not ahead:
                return
            shot = next((n for n, e in enumerate(ahead) if n and e.begins), len(ahead))
            whole = ended or shot < len(ahead)
            frames, closed = self._cut(ahead[:shot], whole)
            began = microseconds(self._signal.video_layout, tick)
            packets = tuple(p._replace(time=p.time - began) for entry in ahead[:frames] for p in entry.packets)
            entries = dict(enumerate(ahead[: frames + (not closed)]))
            del ahead[:frames]
            group, first = self._group(entries, frames, closed, first)
            tick += group.ticks
            yield replace(group, packets=packets)

    def _cut(self, shot: list[_Entry], whole: bool) -> tuple[int, bool]:
        """How many frames the next group shows, and whether it is closed. shot: the frames at hand up to a cut; whole:
        whether the cut, or the end, has been seen.
        """
        if self._signal.chain:
            return min(len(shot), self._longest), True
        return next_group(len(shot), self._longest, whole)

    def _group(
        self, entries: dict[int, _Entry], frames: int, closed: bool, first: _Way | None
    ) -> tuple[CodedGroup, _Way | None]:
        """Code a group. entries: of its frames, and of the next one's first if it is open, each taken out when nothing
        needs it any more; first: its first frame, if it is coded already -> the group, and the next one's first frame.
        """
        ticks = tuple(entries[n].ticks for n in range(frames))
        steps = depth_first(frames, closed, self._signal.chain)
        rates = self._rates(entries, steps)
        coded: dict[int, CodedFrame] = {}
        digests: dict[int, bytes] = {}
        decoded: dict[int, Decoded] = {}
        error, after = 0.0, None
        mover = None if self._replica is None else Mover(self._replica(), self._coding.temporal, self._quality)
        for step, done in zip(steps, last_uses(steps), strict=True):
            n = step.frame
            if step.left is None or step.right is None:
                way = first if first and not n else self._alone(entries[n])
                after = way if n == frames else after
            else:
                vectors = self._vectors(entries, step)
                pair = decoded[step.left], decoded[step.right]
                way = self._given(entries[step.frame], step, rates[step.level], pair, mover, vectors)
            coded[n], decoded[n] = way[0], replace(way[1], number=n)
            digests[n] = decoded[n].latents.digest()
            error += self._error(entries[n], decoded[n]) if self._measured and n < frames else 0.0
            entries[n] = replace(entries[n], y=_NOTHING, samples=None)
            for gone in done:
                del entries[gone]
                latents = decoded.pop(gone).latents
                if mover is not None:
                    mover.forget(latents)
        order = coding_order(frames, closed, self._signal.chain)
        ways = tuple(coded[step.frame] for step in order)
        group = Group(self._quality, rates, ways, closed, self._signal.chain, ticks)
        return CodedGroup(group, group_digest([digests[step.frame] for step in order]), error=error), after

    def _rates(self, entries: dict[int, _Entry], steps: Sequence[Step]) -> tuple[int, ...]:
        """The rates of a group, by level."""
        if self._signal.chain:
            factors = CHAIN_STEPS
        else:
            factors = steps_of(shares_of({n: entry.y for n, entry in entries.items()}, steps))
        least, magnitude = min(LEAST_RATE, self._quality), self._coding.temporal.magnitude
        return tuple(max(least, self._quality - indices_of(magnitude, f)) for f in factors[: levels_of(steps)])

    def _given(
        self,
        entry: _Entry,
        step: Step,
        rate: int,
        references: tuple[Decoded, Decoded],
        mover: Mover | None,
        vectors: list[np.ndarray] | None,
    ) -> _Way:
        """Code a frame given two others."""
        y = self._transform.at_rate(entry.y, self._quality, rate)
        above = partial(self._transform.above, y, rate)
        better = self._better(entry, rate)
        return self._coding.encode(y, above, rate, step, references, self._choices[step.level], mover, vectors, better)

    def _better(self, entry: _Entry, rate: int) -> Better | None:
        """What finds better latents of a frame, if there is to be effort."""
        refiner, samples = self._refiner, entry.samples
        if refiner is None or samples is None:
            return None
        ratio, rates = self._transform.ratio(rate, self._quality), (rate, self._quality)
        return lambda y, model, run: refiner.refined(y, samples, rates, ratio, model, run)

    def _vectors(self, entries: dict[int, _Entry], step: Step) -> list[np.ndarray] | None:
        """From where in its references a frame's blocks come; None where there are too few to tell."""
        rows, columns = grid_of(self._transform.size)
        if self._replica is None or rows * columns < LEAST_BLOCKS:
            return None
        own, places = entries[step.frame].luma, dict.fromkeys((step.left, step.right))
        found = []
        for n in places:
            other = None if n is None else entries[n].luma
            assert own is not None and other is not None
            found.append(search(own.astype(np.float32), other.astype(np.float32))[:rows, :columns])
        return found

    def _error(self, entry: _Entry, decoded: Decoded) -> float:
        """The sum of squared errors of a frame."""
        assert entry.samples is not None
        shown = self._transform.synthesise(decoded.latents.y_hat, decoded.rate, self._quality)
        return float(np.square(shown.astype(np.int32) - entry.samples).sum())

    @property
    def _keeps(self) -> bool:
        """Whether samples are kept until a frame is coded."""
        return self._measured or self._refiner is not None

    def _alone(self, entry: _Entry) -> _Way:
        rate, y = self._quality, entry.y
        step = coding_order(1, True)[0]
        above = partial(self._transform.above, y, rate)
        return self._coding.encode(y, above, rate, step, None, better=self._better(entry, rate))

    def _entries(self) -> Iterator[_Entry]:
        """Latents of the frames, each given out when its successor has been seen: a cut shows there."""
        layout = self._signal.video_layout
        waiting: tuple[np.ndarray, VideoFrame, np.ndarray, np.ndarray | None] | None = None
        before: np.ndarray | None = None
        last = 0.0
        for number, frame in enumerate(self._signal.frames()):
            if frame.samples.shape != (layout.height, layout.width, 3):
                found = "x".join(map(str, frame.samples.shape))
                raise InputError(f"frame {number} is {found}, the first one {layout.height}x{layout.width}x3")
            small = thumbnail(frame.samples)
            y = self._transform.analyse(frame.samples, self._quality)
            if waiting is not None:
                begins = before is not None and is_cut(before, waiting[2], small, last)
                yield self._entry(waiting, begins)
                last = 0.0 if before is None or begins else difference(before, waiting[2])
                before = waiting[2]
            grey = None if self._replica is None else np.rint(luma(frame.samples)).astype(np.uint8)
            waiting = y, frame if self._keeps else frame._replace(samples=_NONE), small, grey
        if waiting is None:
            raise InputError("the video has no frames")
        begins = before is not None and is_cut(before, waiting[2], None, last)
        yield self._entry(waiting, begins)

    def _entry(self, of: tuple[np.ndarray, VideoFrame, np.ndarray, np.ndarray | None], begins: bool) -> _Entry:
        y, frame, _, grey = of
        return _Entry(y, grey, frame.samples if self._keeps else None, frame.ticks, frame.packets, begins)


def indices_of(magnitude: np.ndarray, step: float) -> int:
    """By how many fixed-point indices a frame is coarser whose steps are `step` times as large. magnitude: how large y
    is at each index, [QUALITY_LEVELS, M].
    """
    real = magnitude.astype(np.float64)
    each = np.median(np.log(real[-1] / real[8])) / (len(real) - 9)
    return round(256 * math.log(step) / each)


def choice_beyond(beyond: float, tables: int) -> Choice:
    """Rounding to 0 up to 1/2 + `beyond`."""
    if not beyond:
        return NEAREST
    return Choice(np.stack([np.full(tables, beyond, np.float32), np.zeros(tables, np.float32)]))
