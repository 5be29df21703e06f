"""Frames as files have them: coded by a model, given references that were coded before, and moved where things move.

    neighbouring frames -> g_a -> y -> order and rates of a group -> each frame: vectors, references, what it becomes
                        -> y, references as they are and moved, at the rate of the frame

Everything is done as `codec.video_encoder` does it, but for the replica, in whose place the float transforms move
references: they differ from it by two grey levels at most, and take half the time. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..bitstream.groups import coding_order
from ..codec.image import ImageCodec
from ..codec.motion import luma, search
from ..codec.transforms.transform import WindowedTransform
from ..codec.video_coding import Decoded
from ..codec.video_encoder import DEAD, choice_beyond, indices_of
from ..codec.video_moving import Mover, grid_of
from ..codec.video_steps import shares_of, steps_of
from ..entropy.latents import ONE, Latents, NullCoder
from ..entropy.rate import QUALITY_ONE
from ..entropy.spatiotemporal_coding import RATIO_BITS, Reference, SpatiotemporalCoding, ratio_of

__all__ = ["CodedFrame", "coded_frames"]


@dataclass(frozen=True)
class CodedFrame:
    """y [M, h, w], references, and the same moved (None: nothing moves), all float16 in units of the whole index
    `index`; finer: the indices at which the references were coded; distances: as `Reference` has them.
    """

    y: Tensor
    references: tuple[Tensor, Tensor]
    moved: tuple[Tensor, Tensor] | None
    index: int
    finer: tuple[int, int]
    distances: tuple[int, int]


def coded_frames(
    frames: Sequence[np.ndarray],
    y: np.ndarray,
    index: int,
    codec: ImageCodec,
    temporal: SpatiotemporalCoding,
    closed: bool,
    steepness: float,
) -> list[CodedFrame]:
    """frames: uint8 [H, W, 3], sides multiples of 32; y: of them at `index` [N, M, h, w] float32; codec: the image
    model; temporal: what codes; closed: whether the last frame is coded from the first one, or alone as the first one
    is; steepness: power of the steps of the levels -> all frames of the group that are coded from others.
    """
    transform, quality = codec.transform, index * QUALITY_ONE
    assert isinstance(transform, WindowedTransform)
    mover, bare = Mover(transform, temporal, quality), temporal.without_z()
    order = coding_order(len(frames) - (not closed), closed)
    factors = steps_of(shares_of(dict(enumerate(y)), order))
    down = [round(indices_of(temporal.magnitude, step**steepness) / QUALITY_ONE) for step in factors]
    ends = {0} if closed else {0, len(frames) - 1}
    decoded = {n: _decoded(np.rint(y[n]) * ONE, quality, n) for n in ends}
    planes = [np.rint(luma(frame)) for frame in frames]
    rows, columns = grid_of(y.shape[2:])
    needed = {n for step in order for n in (step.left, step.right)}
    out = []
    for step in order:
        if step.left is None or step.right is None:
            continue
        at = max(1, index - down[step.level])
        rate, pair = at * QUALITY_ONE, (decoded[step.left], decoded[step.right])
        ratio = ratio_of(temporal.magnitude, [quality], [rate])[0] * 2.0**-RATIO_BITS
        own = y[step.frame] * ratio.astype(np.float32)[:, None, None]
        plain = [temporal.at_rate(r.latents.y_hat, r.rate, rate, r.number - step.frame) for r in pair]
        vectors = [search(planes[step.frame], planes[r.number])[:rows, :columns] for r in pair]
        moves = any(v.any() for v in vectors)
        given = plain
        if moves:
            both = zip(pair, vectors, strict=True)
            given = [mover.reference(r.latents, (r.rate, rate), r.number - step.frame, v) for r, v in both]
        if step.frame in needed:
            choice = choice_beyond(DEAD[step.level], len(temporal.y_tables))
            source = (own[None],)
            (latents,) = bare.traverse([NullCoder()], own.shape[1:], [rate], source, given=[given], choice=choice)
            decoded[step.frame] = Decoded(latents, rate, step.frame)
        finer = pair[0].rate // QUALITY_ONE, pair[1].rate // QUALITY_ONE
        distances = pair[0].number - step.frame, pair[1].number - step.frame
        moved = _halves(given) if moves else None
        out.append(CodedFrame(torch.from_numpy(own).half(), _halves(plain), moved, at, finer, distances))
    return out


def _decoded(y_hat: np.ndarray, rate: int, number: int) -> Decoded:
    return Decoded(Latents((y_hat.astype(np.int32),)), rate, number)


def _halves(references: Sequence[Reference]) -> tuple[Tensor, Tensor]:
    first, second = (torch.from_numpy(r.y_hat.astype(np.float32) / ONE).half() for r in references)
    return first, second
