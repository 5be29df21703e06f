"""Groups of frames: what the data chunk of a unit of a video holds, and in which order its frames are coded.

    frames of a group -> coding_order -> steps (frame, its references) -> codec -> Group -> pack_group -> LDAT payload

The first frame of a group is coded alone (I). In an open group the next group's first frame is the right end, and the
others are coded between two coded ones, the middle first (B); so a group needs the next one's first frame, and nothing
else. A group that is closed ends with its own last frame, which is coded from the first one. Frames whose nearer
reference is d frames away have the rate of level floor(log2 d) + 1.

A chain, which is closed too, looks back only. Every fourth frame (level 1) is coded from the fourth and the second
before it, the frame amid two of these (level 2) from the former, odd ones (level 3) from the last fourth one and the
one before; nothing depends on odd frames.

Guarantees: any payload gives a `Group` whose frames are all there, or CorruptFile.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from ..errors import CorruptFile
from .header import QUALITY_MAX
from .limits import MAX_GROUP

__all__ = [
    "ALONE",
    "FRAME_DIGEST",
    "GIVEN",
    "GIVEN_WITH_Z",
    "MODES",
    "VECTORS",
    "CodedFrame",
    "Group",
    "Step",
    "coding_order",
    "depth_first",
    "last_uses",
    "pack_group",
    "unpack_group",
]

ALONE, GIVEN, GIVEN_WITH_Z, VECTORS = 0, 1, 2, 4
"""VECTORS is added to GIVEN and GIVEN_WITH_Z."""
MODES: Final = {
    ALONE: "alone",
    GIVEN: "given two frames",
    GIVEN_WITH_Z: "given two frames and z",
    GIVEN + VECTORS: "given two moved frames",
    GIVEN_WITH_Z + VECTORS: "given two moved frames and z",
}
CLOSED, CHAIN, MOVED = 1, 2, 4
"""Flags of a group; MOVED: frames may have vectors."""
LEVELS: Final = 1 + (MAX_GROUP - 1).bit_length()
"""Rates that a group may have: of its first frame, and of each level."""
FRAME_DIGEST: Final = 4
"""Bytes of a frame's digest."""


class Step(NamedTuple):
    """frame: its number in the group; left, right: those of its references, None for a frame that is coded alone, the
    same twice where there is one; level: which of the group's rates it has.
    """

    frame: int
    left: int | None
    right: int | None
    level: int


@dataclass(frozen=True)
class CodedFrame:
    """mode: one of MODES; digest: the first 4 bytes of its latents' digest; payload: the arithmetic coder's bytes."""

    mode: int
    digest: bytes
    payload: bytes = field(repr=False)


@dataclass(frozen=True)
class Group:
    """quality: the fixed-point index that the transforms run at; rates: of the first frame, then by level; frames: in
    coding order; durations: ticks of each frame in the order in which they are shown, if not all of the video are
    equal.
    """

    quality: int
    rates: tuple[int, ...]
    frames: tuple[CodedFrame, ...]
    closed: bool
    chain: bool = False
    durations: tuple[int, ...] = ()

    @property
    def order(self) -> tuple[Step, ...]:
        """The steps that `frames` are coded by."""
        return coding_order(len(self.frames), self.closed, self.chain)


@lru_cache(maxsize=512)
def coding_order(frames: int, closed: bool, chain: bool = False) -> tuple[Step, ...]:
    """The steps in which a group that shows `frames` frames is coded. Of an open group that is no chain, `frames` is
    the number of its right end, the next group's first frame.
    """
    steps = [Step(0, None, None, 0)]
    if chain:
        return (*steps, *(_link(n) for n in range(1, frames)))
    end = frames - 1 if closed else frames
    if closed and frames > 1:
        steps.append(Step(end, 0, 0, 0))
    spans = [(0, end)]
    while spans:  # all of a level before the next one
        below = []
        for left, right in spans:
            if right - left > 1:
                middle = (left + right) // 2
                distance = min(middle - left, right - middle)
                steps.append(Step(middle, left, right, distance.bit_length()))
                below += [(left, middle), (middle, right)]
        spans = below
    return tuple(steps)


def _link(n: int) -> Step:
    """Frame n of a chain, n > 0."""
    last = (n - 1) // 4 * 4
    return Step(n, last, n - 1, 3) if n % 2 else Step(n, last, n - 2, 2 if n % 4 else 1)


@lru_cache(maxsize=512)
def depth_first(frames: int, closed: bool, chain: bool = False) -> tuple[Step, ...]:
    """The steps of `coding_order`, and one for the right end of an open group, in the order in which least is held:
    behind the middle of two frames come all before it, then all after it. References still come first, and of N frames
    no more than 2 + log2 N are wanted by later steps.
    """
    steps = coding_order(frames, closed, chain)
    if chain:
        return steps
    between = {(step.left, step.right): step for step in steps[1:]}
    end = frames - closed
    found, spans = [steps[0]], [(0, end)]
    if not closed:
        found.append(Step(end, None, None, 0))
    elif end:
        found.append(between[0, 0])
    while spans:
        left, right = spans.pop()
        if (step := between.get((left, right))) is not None:
            found.append(step)
            spans += [(step.frame, right), (left, step.frame)]
    return tuple(found)


def last_uses(steps: Sequence[Step]) -> list[frozenset[int]]:
    """Of each step the frames that no later one codes or refers to."""
    last = {n: at for at, step in enumerate(steps) for n in (step.frame, step.left, step.right) if n is not None}
    return [frozenset(n for n, use in last.items() if use == at) for at in range(len(steps))]


def levels_of(steps: Sequence[Step]) -> int:
    """Rates that a group with these steps has."""
    return 1 + max(step.level for step in steps)


def pack_group(group: Group) -> bytes:
    """The payload of a group's data chunk, its digest left out."""
    moves = any(frame.mode & VECTORS for frame in group.frames)
    flags, bits = CLOSED * group.closed | CHAIN * group.chain | MOVED * moves, 2 + moves
    out = [struct.pack(f"<BHB{len(group.rates)}H", flags, group.quality, len(group.rates), *group.rates)]
    out += [pack_number(ticks) for ticks in group.durations]
    for frame in group.frames:
        out += [pack_number(len(frame.payload) << bits | frame.mode), frame.digest, frame.payload]
    return b"".join(out)


def unpack_group(payload: bytes, offset: int, frames: int, durations: bool, last: bool) -> Group:
    """payload: of a data chunk behind its digest, at `offset` in the file; frames: that the group shows; durations:
    whether it says those of its frames; last: whether it is the last group. Raises CorruptFile.
    """
    where = f"byte {offset}: a group"
    if len(payload) < 4:
        raise CorruptFile(f"{where} of {len(payload)} bytes")
    flags, quality, count = struct.unpack_from("<BHB", payload)
    closed, chain, at = bool(flags & CLOSED), bool(flags & CHAIN), 4 + 2 * count
    if (
        flags & ~MOVED not in (0, CLOSED, CLOSED | CHAIN)
        or not 1 <= count <= LEVELS
        or len(payload) < at
        or last > closed
    ):
        raise CorruptFile(f"{where} with the flags {flags} and {count} rates{', the last one' if last else ''}")
    rates = struct.unpack_from(f"<{count}H", payload, 4)
    if max(quality, *rates) > QUALITY_MAX:
        raise CorruptFile(f"{where} with a rate of {max(quality, *rates)}, expected 0 to {QUALITY_MAX}")
    order = coding_order(frames, closed, chain)
    if levels_of(order) > count:
        raise CorruptFile(f"{where} of {levels_of(order)} levels with {count} rates")
    ticks: list[int] = []
    for _ in range(frames if durations else 0):
        value, at = unpack_number(payload, at, offset)
        ticks.append(value)
    coded, bits = [], 3 if flags & MOVED else 2
    for step in order:
        head, at = unpack_number(payload, at, offset)
        mode, length = head & ((1 << bits) - 1), head >> bits
        end = at + FRAME_DIGEST + length
        if mode not in MODES or (step.left is None and mode != ALONE):
            raise CorruptFile(f"byte {offset + at}: frame {step.frame} of a group has the mode {mode}")
        if end > len(payload):
            raise CorruptFile(f"byte {offset + at}: frame {step.frame} of a group ends beyond it")
        coded.append(CodedFrame(mode, payload[at : at + FRAME_DIGEST], payload[at + FRAME_DIGEST : end]))
        at = end
    if at != len(payload):
        raise CorruptFile(f"byte {offset + at}: more bytes, expected the end of a group")
    return Group(quality, rates, tuple(coded), closed, chain, tuple(ticks))


def pack_number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def unpack_number(payload: bytes, at: int, offset: int) -> tuple[int, int]:
    """The number that begins at `at`, of at most five bytes, and where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(payload):
            raise CorruptFile(f"byte {offset + at}: a group ends in the middle of a number")
        byte, at = payload[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            if shift and not byte:
                raise CorruptFile(f"byte {offset + at - 1}: a number of a group has a zero too many")
            return value, at
    raise CorruptFile(f"byte {offset + at}: a number of a group has more than five bytes")
