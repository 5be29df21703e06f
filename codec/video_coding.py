"""Frames of a group, given each other: what lies between y and the bytes of the arithmetic coder.

    y of a frame, latents of its references -> entropy models, writing -> CodedFrame, latents
    CodedFrame, latents of its references -> entropy models, reading -> latents

A frame is coded alone (the image model), given two others, or given two others and with z: whichever is smallest, so
that it is never dearer than alone. Encoding and decoding are one traversal of the same models.

Guarantee: latents that are read are those that were written, or a CorruptFile names the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bitstream.groups import ALONE, FRAME_DIGEST, GIVEN, GIVEN_WITH_Z, CodedFrame, Step
from ..entropy.coder import Reader, Writer
from ..entropy.latents import NEAREST, Choice, EntropyModel, Latents, Size
from ..entropy.spatiotemporal_coding import Reference, SpatiotemporalCoding
from ..errors import CorruptFile

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
    ) -> tuple[CodedFrame, Decoded]:
        """y [M, h, w] float32 as coded at `rate`; above: gives z [1, Z, h', w']; references: of a frame that is not
        coded alone -> the smallest way, and what it decodes to.
        """
        size: Size = y.shape[1:]
        z = above()
        tried = [self._tried(ALONE, self.image, size, rate, (z, y[None]), (), NEAREST)]
        if references is not None:
            given = [self._given(rate, step, references)]
            tried.append(self._tried(GIVEN, self._bare, size, rate, (y[None],), given, choice))
            if len(tried[1][0].payload) > Z_SHARE * len(tried[0][0].payload):
                tried.append(self._tried(GIVEN_WITH_Z, self.temporal, size, rate, (z, y[None]), given, choice))
        frame, latents = min(tried, key=lambda way: len(way[0].payload))
        return frame, Decoded(latents, rate, step.frame)

    def decode(
        self, frame: CodedFrame, size: Size, rate: int, step: Step, references: tuple[Decoded, Decoded] | None
    ) -> Decoded:
        """The other way. Raises CorruptFile."""
        model = {ALONE: self.image, GIVEN: self._bare, GIVEN_WITH_Z: self.temporal}[frame.mode]
        if 8 * len(frame.payload) + SPARE_BITS < model.least_bits(size, rate):
            raise CorruptFile(f"{len(frame.payload)} bytes cannot hold a frame of {size[1]} x {size[0]} latents")
        given = []
        if frame.mode != ALONE:
            assert references is not None, "the order of a group gives every such frame its references"
            given = [self._given(rate, step, references)]
        reader = Reader(frame.payload)
        (latents,) = model.traverse([reader], size, [rate], given=given, device=self.device)
        if latents.digest()[:FRAME_DIGEST] != frame.digest or not reader.exhausted():
            raise CorruptFile(f"frame {step.frame} of the group does not decode to what was encoded")
        return Decoded(latents, rate, step.frame)

    def _given(self, rate: int, step: Step, references: tuple[Decoded, Decoded]) -> list[Reference]:
        return [self.temporal.at_rate(r.latents.y_hat, r.rate, rate, r.number - step.frame) for r in references]

    def _tried(
        self,
        mode: int,
        model: EntropyModel,
        size: Size,
        rate: int,
        source: tuple[np.ndarray, ...],
        given: Any,
        choice: Choice,
    ) -> tuple[CodedFrame, Latents]:
        writer = Writer()
        (latents,) = model.traverse([writer], size, [rate], source, given=given, device=self.device, choice=choice)
        return CodedFrame(mode, latents.digest()[:FRAME_DIGEST], writer.finish()), latents
