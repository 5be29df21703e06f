"""Decoding a group of a video: its frames in the order in which they are shown, each as soon as it can be.

    ReadGroup, numbers of the wanted frames -> the steps that they depend on, depth first -> FrameCoding -> Decoded

Only what the wanted frames depend on is decoded: one of 64 needs two frames that are coded alone and six at most
between them. Depth first, frames come in about the order in which they are shown, so latents are held of one path
through the group: 2 + log2 of its frames. Of a chain three are held, and every other frame before a wanted one is
decoded.

Guarantee: latents that are given out are those that were written, by the digest of each frame. That of the group is
compared before its last frame is given out, if all of them are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..bitstream.groups import VECTORS, CodedFrame, Step, depth_first, last_uses
from ..entropy.guard import guarded
from ..entropy.latents import Size
from ..entropy.spatiotemporal_coding import SpatiotemporalCoding
from ..errors import CorruptFile
from .transforms.replica import Replica
from .video_coding import Decoded, FrameCoding
from .video_encoder import group_digest
from .video_groups_read import Place, ReadGroup
from .video_moving import Mover

__all__ = ["GroupDecoder"]


class GroupDecoder:
    """Of one video. size: of y of a frame; replica: gives that of the image model, which moves references."""

    def __init__(
        self, coding: FrameCoding, temporal: SpatiotemporalCoding, size: Size, replica: Callable[[], Replica]
    ) -> None:
        self._coding, self._temporal, self._size, self._replica = coding, temporal, size, replica

    def frames(
        self, place: Place, wanted: range, first: Decoded | None, following: Callable[[], ReadGroup | None]
    ) -> Iterator[Decoded]:
        """The wanted frames of a group, and then the next group's first one, if it was needed. first: the group's first
        frame, if it is decoded already; following: reads the next group, and is not called before the first frame has
        been given out. Raises CorruptFile, which names the group.
        """
        group, count = place.read.group, place.read.chunks.frames
        coded = {step.frame: frame for step, frame in zip(group.order, group.frames, strict=True)}
        steps = _needed(depth_first(count, group.closed, group.chain), wanted)
        moves = any(frame.mode & VECTORS for frame in group.frames)
        mover = Mover(self._replica(), self._temporal, group.quality) if moves else None
        held: dict[int, Decoded] = {}
        unseen: dict[int, Decoded] = {}
        digests: dict[int, bytes] = {}
        left, after = list(reversed(wanted)), None
        for step, done in zip(steps, last_uses(steps), strict=True):
            n, rate = step.frame, group.rates[step.level]
            if n == count:
                if (read := following()) is None:
                    raise CorruptFile(f"group {place.number} needs the next one, and is the last")
                found = after = self._decode(place, read.group.frames[0], read.group.rates[0], step, held, mover)
            else:
                found = first if first and not n else self._decode(place, coded[n], rate, step, held, mover)
                digests[n] = found.latents.digest()
                if len(digests) == count:
                    _check(place, digests)
            held[n] = found
            if n in wanted:
                unseen[n] = found
            while left and left[-1] in unseen:
                yield unseen.pop(left.pop())
            for gone in done:
                latents = held.pop(gone).latents
                if mover is not None:
                    mover.forget(latents)
        if after is not None:
            yield after

    @guarded
    def _decode(
        self, place: Place, frame: CodedFrame, rate: int, step: Step, held: dict[int, Decoded], mover: Mover | None
    ) -> Decoded:
        references = None if step.left is None or step.right is None else (held[step.left], held[step.right])
        try:
            return self._coding.decode(frame, self._size, rate, step, references, mover)
        except CorruptFile as error:
            raise CorruptFile(f"group {place.number}: {error}") from None


def _check(place: Place, digests: dict[int, bytes]) -> None:
    """Raise CorruptFile if the latents of a group, by their numbers, are not those that its digest is of."""
    if group_digest([digests[step.frame] for step in place.read.group.order]) != place.read.chunks.data.digest:
        raise CorruptFile(f"group {place.number}: it does not decode to what was encoded")


def _needed(steps: Sequence[Step], wanted: range) -> list[Step]:
    """The steps of the frames that are wanted, and of those that they depend on."""
    needed = set(wanted)
    for step in reversed(steps):
        if step.frame in needed and step.left is not None and step.right is not None:
            needed |= {step.left, step.right}
    return [step for step in steps if step.frame in needed]
