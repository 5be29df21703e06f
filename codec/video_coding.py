"""Frames of a group, given each other: what lies between y and the bytes of the arithmetic coder.

    y of a frame, latents of its references -> entropy models, writing -> CodedFrame, latents
    CodedFrame, latents of its references -> entropy models, reading -> latents

A frame is coded alone (the image model), given two others, or given two others and with z, and the others may be moved
by vectors, which come first: whichever is smallest, so that it is never dearer than alone (with effort, before its
latents are improved). Encoding and decoding are
one traversal of the same models.

Guarantee: latents that are read are those that were written, or a CorruptFile names the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..bitstream.groups import ALONE, FRAME_DIGEST, GIVEN, GIVEN_WITH_Z, VECTORS, CodedFrame, Step
from ..entropy.coder import Coder, Reader, Writer
from ..entropy.latents import NEAREST, Choice, EntropyModel, Latents, Size
from ..entropy.spatiotemporal_coding import Reference, SpatiotemporalCoding
from ..entropy.vectors import code_vectors
from ..errors import CorruptFile
from .video_moving import Mover, grid_of
from .video_refine import Run

__all__ = ["Better", "Decoded", "FrameCoding"]

SPARE_BITS = 64
"""Bits by which data may be shorter than the least that holds its symbols: what the coder's last words leave out."""
Z_SHARE = 0.15
"""A frame that takes less than this share of its bits alone is not tried with z."""


Better = Callable[[np.ndarray, EntropyModel, Run], np.ndarray]
"""y [M, h, w], the model that codes it, and how -> y of which plain rounding gives better latents, or the same y."""


@dataclass(frozen=True)
class Decoded:
    """Latents of a frame, and the rate at which they are coded. number: of the frame in its group."""

    latents: Latents
    rate: int
    number: int


class FrameCoding:
    """image: the entropy model of frames that are coded alone; temporal: that of the others. Holds no state."""

    def __init__(self, image: EntropyModel, temporal: SpatiotemporalCoding, device: Any = "cpu"):
        self.image, self.temporal, self.device = image, temporal, device
        self._bare = temporal.without_z()

    def encode(
        self,
        y: np.ndarray,
        above: Callable[[], np.ndarray],
        rate: int,
        step: Step,
        references: tuple[Decoded, Decoded] | None,
        choice: Choice = NEAREST,
        mover: Mover | None = None,
        vectors: list[np.ndarray] | None = None,
        better: Better | None = None,
    ) -> tuple[CodedFrame, Decoded]:
        """y [M, h, w] float32 as coded at `rate`; above: gives z [1, Z, h', w']; references: of a frame that is not
        coded alone; vectors: for each of them, or one for both that are one frame; without any, they are not moved;
        better: finds better latents than y for the way that takes the fewest bytes -> that way, and what it decodes to.
        """
        size: Size = y.shape[1:]
        z = above()
        ways = [_Way(ALONE, self.image, size, rate, (z,), (), NEAREST, None, self.device)]
        tried = [ways[0].coded(y)]
        if references is not None:
            given = [self._given(rate, step, references)]

            def attempt(mode: int, given: list[list[Reference]], moves: list[np.ndarray] | None) -> int:
                """Bytes."""
                with_z = mode & ~VECTORS == GIVEN_WITH_Z
                model, above = (self.temporal, (z,)) if with_z else (self._bare, ())
                ways.append(_Way(mode, model, size, rate, above, given, choice, moves, self.device))
                tried.append(ways[-1].coded(y))
                return len(tried[-1][0].payload)

            least, moves = attempt(GIVEN, given, None), None
            if mover is not None and vectors is not None and any(v.any() for v in vectors):
                others = [self._moved(rate, step, references, mover, vectors)]
                taken = attempt(GIVEN + VECTORS, others, vectors)
                if taken < least:
                    least, given, moves = taken, others, vectors
            if least > Z_SHARE * len(tried[0][0].payload):
                attempt(GIVEN_WITH_Z + VECTORS * (moves is not None), given, moves)
        best = min(range(len(tried)), key=lambda n: len(tried[n][0].payload))
        frame, latents = tried[best]
        if better is not None:
            found = better(y, ways[best].model, ways[best].run)
            if not np.array_equal(found, y):
                frame, latents = replace(ways[best], choice=NEAREST).coded(found)
        return frame, Decoded(latents, rate, step.frame)

    def decode(
        self,
        frame: CodedFrame,
        size: Size,
        rate: int,
        step: Step,
        references: tuple[Decoded, Decoded] | None,
        mover: Mover | None = None,
    ) -> Decoded:
        """The other way. mover: of the group, if its frames may have vectors. Raises CorruptFile."""
        model = {ALONE: self.image, GIVEN: self._bare, GIVEN_WITH_Z: self.temporal}[frame.mode & ~VECTORS]
        if 8 * len(frame.payload) + SPARE_BITS < model.least_bits(size, rate):
            raise CorruptFile(f"{len(frame.payload)} bytes cannot hold a frame of {size[1]} x {size[0]} latents")
        given, reader = [], Reader(frame.payload)
        if frame.mode != ALONE:
            assert references is not None, "the order of a group gives every such frame its references"
            if frame.mode & VECTORS:
                assert mover is not None
                vectors = code_vectors(reader, _fields(step), grid_of(size), None)
                given = [self._moved(rate, step, references, mover, vectors)]
            else:
                given = [self._given(rate, step, references)]
        (latents,) = model.traverse([reader], size, [rate], given=given, device=self.device)
        if latents.digest()[:FRAME_DIGEST] != frame.digest or not reader.exhausted():
            raise CorruptFile(f"frame {step.frame} of the group does not decode to what was encoded")
        return Decoded(latents, rate, step.frame)

    def _given(self, rate: int, step: Step, references: tuple[Decoded, Decoded]) -> list[Reference]:
        return [self.temporal.at_rate(r.latents.y_hat, r.rate, rate, r.number - step.frame) for r in references]

    def _moved(
        self, rate: int, step: Step, references: tuple[Decoded, Decoded], mover: Mover, vectors: list[np.ndarray]
    ) -> list[Reference]:
        found = [
            mover.reference(r.latents, (r.rate, rate), r.number - step.frame, v)
            for r, v in zip(references, vectors, strict=False)
        ]
        return found if len(found) == 2 else 2 * found


@dataclass(frozen=True)
class _Way:
    """A way to code a frame. mode: as in a file; above: levels above y, [1, C, *size] each; given, vectors: as it goes
    into the model and in front of it.
    """

    mode: int
    model: EntropyModel
    size: Size
    rate: int
    above: tuple[np.ndarray, ...]
    given: Any
    choice: Choice
    vectors: list[np.ndarray] | None
    device: Any

    def run(self, y: np.ndarray, coder: Coder, choice: Choice) -> Latents:
        """y [M, h, w] -> its latents, without the vectors."""
        source = *self.above, y[None]
        given, device = self.given, self.device
        (latents,) = self.model.traverse(
            [coder], self.size, [self.rate], source, given=given, device=device, choice=choice
        )
        return latents

    def coded(self, y: np.ndarray) -> tuple[CodedFrame, Latents]:
        writer = Writer()
        if self.vectors is not None:
            code_vectors(writer, len(self.vectors), grid_of(self.size), self.vectors)
        latents = self.run(y, writer, self.choice)
        return CodedFrame(self.mode, latents.digest()[:FRAME_DIGEST], writer.finish()), latents


def _fields(step: Step) -> int:
    """How many fields of vectors a frame has: one for each frame that it refers to."""
    return 1 if step.left == step.right else 2
