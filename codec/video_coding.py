"""Frames of a group, given each other: what lies between y and the bytes of the arithmetic coder.

    y of a frame, latents of its references -> entropy models, writing -> CodedFrame, latents
    CodedFrame, latents of its references -> entropy models, reading -> latents

A frame is coded alone (the image model), given two others, or given two others and with z, and the others may be moved
by vectors, which come first: whichever is smallest, so that it is never dearer than alone. Encoding and decoding are
one traversal of the same models.

Guarantee: latents that are read are those that were written, or a CorruptFile names the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bitstream.groups import ALONE, FRAME_DIGEST, GIVEN, GIVEN_WITH_Z, VECTORS, CodedFrame, Step
from ..entropy.coder import Reader, Writer
from ..entropy.latents import NEAREST, Choice, EntropyModel, Latents, Size
from ..entropy.spatiotemporal_coding import Reference, SpatiotemporalCoding
from ..entropy.vectors import code_vectors
from ..errors import CorruptFile
from .video_moving import Mover, grid_of

__all__ = ["Decoded", "FrameCoding"]

SPARE_BITS = 64
"""Bits by which data may be shorter than the least that holds its symbols: what the coder's last words leave out."""
Z_SHARE = 0.15
"""A frame that takes less than this share of its bits alone is not tried with z."""


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
    ) -> tuple[CodedFrame, Decoded]:
        """y [M, h, w] float32 as coded at `rate`; above: gives z [1, Z, h', w']; references: of a frame that is not
        coded alone; vectors: for each of them, or one for both that are one frame; without any, they are not moved
        -> the smallest way, and what it decodes to.
        """
        size: Size = y.shape[1:]
        z = above()
        tried = [self._tried(ALONE, self.image, size, rate, (z, y[None]), (), NEAREST)]
        if references is not None:
            given = [self._given(rate, step, references)]
            tried.append(self._tried(GIVEN, self._bare, size, rate, (y[None],), given, choice))
            best, moves = tried[1], None
            if mover is not None and vectors is not None and any(v.any() for v in vectors):
                others = [self._moved(rate, step, references, mover, vectors)]
                way = self._tried(GIVEN + VECTORS, self._bare, size, rate, (y[None],), others, choice, vectors)
                tried.append(way)
                if len(way[0].payload) < len(best[0].payload):
                    best, given, moves = way, others, vectors
            if len(best[0].payload) > Z_SHARE * len(tried[0][0].payload):
                mode = GIVEN_WITH_Z + VECTORS * (moves is not None)
                tried.append(self._tried(mode, self.temporal, size, rate, (z, y[None]), given, choice, moves))
        frame, latents = min(tried, key=lambda way: len(way[0].payload))
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

    def _tried(
        self,
        mode: int,
        model: EntropyModel,
        size: Size,
        rate: int,
        source: tuple[np.ndarray, ...],
        given: Any,
        choice: Choice,
        vectors: list[np.ndarray] | None = None,
    ) -> tuple[CodedFrame, Latents]:
        writer = Writer()
        if vectors is not None:
            code_vectors(writer, len(vectors), grid_of(size), vectors)
        (latents,) = model.traverse([writer], size, [rate], source, given=given, device=self.device, choice=choice)
        return CodedFrame(mode, latents.digest()[:FRAME_DIGEST], writer.finish()), latents


def _fields(step: Step) -> int:
    """How many fields of vectors a frame has: one for each frame that it refers to."""
    return 1 if step.left == step.right else 2
