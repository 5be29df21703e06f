"""References whose blocks are moved: y_hat of a frame -> what it would be if things were elsewhere. Integers only.

    y_hat of a reference, brought to the group's quality -> replica of g_s -> samples -> blocks moved by their vectors
    -> replica of g_a -> y, brought to the rate of the frame that is coded

A block whose vector is zero takes y_hat of the reference itself, so that what stands still costs nothing and gets no
worse. Both transforms are the integer replica of the image model's (see `transforms.replica`), so that encoder and
decoder, on any machines, have the same references.
"""

from __future__ import annotations

import numpy as np

from ..bitstream import PictureLayout
from ..entropy.latents import MEAN_BITS, Latents, Size
from ..entropy.spatiotemporal_coding import Reference, SpatiotemporalCoding, ratio_of, rescaled
from .moved import BLOCK, moved
from .transforms import DOWN
from .transforms.transform import WindowedTransform

__all__ = ["Mover", "grid_of"]

SIDE = BLOCK // DOWN
"""Positions of y a side of a block."""


def grid_of(size: Size) -> tuple[int, int]:
    """Rows and columns of blocks of a frame whose y has this size."""
    return -(-size[0] // SIDE), -(-size[1] // SIDE)


class Mover:
    """Of one group. replica: of the image model (training alone takes what is not exact); quality: the fixed-point
    index of the group. Keeps the pictures of references, 768 bytes a position of y each, until
    it is told to forget them.
    """

    def __init__(self, replica: WindowedTransform, temporal: SpatiotemporalCoding, quality: int):
        self._replica, self._temporal, self._quality = replica, temporal, quality
        self._pictures: dict[int, tuple[Latents, np.ndarray]] = {}

    def reference(self, latents: Latents, rates: tuple[int, int], distance: int, vectors: np.ndarray) -> Reference:
        """latents: of the reference; rates: at which it and the frame are coded; vectors: [rows, columns, 2] int32, see
        `grid_of` and `moved` -> the reference, at the rate of the frame.
        """
        plain = self._temporal.at_rate(latents.y_hat, *rates, distance)
        moves = (vectors != 0).any(-1).repeat(SIDE, 0).repeat(SIDE, 1)[: plain.y_hat.shape[1], : plain.y_hat.shape[2]]
        if not moves.any():
            return plain
        box = tuple(slice(int(n.min()), int(n.max()) + 1) for n in np.nonzero(moves))
        y = self._analysed(moved(self._picture(latents, rates[0]), vectors), box)
        y = rescaled(y, ratio_of(self._temporal.magnitude, [self._quality], [rates[1]])[0])
        out = plain.y_hat.copy()
        np.copyto(out[:, *box], y, where=moves[box])
        return Reference((out,), rates[0], distance)

    def forget(self, latents: Latents) -> None:
        """Let go of the picture of a reference."""
        self._pictures.pop(id(latents), None)

    def _picture(self, latents: Latents, rate: int) -> np.ndarray:
        """What a reference shows, of all of its y_hat: uint8 [16 h, 16 w, 3]."""
        if id(latents) not in self._pictures:
            y_hat = latents.y_hat
            fine = rescaled(y_hat, ratio_of(self._temporal.magnitude, [rate], [self._quality])[0])
            layout = PictureLayout(width=DOWN * y_hat.shape[2], height=DOWN * y_hat.shape[1], channels=3)
            samples = self._replica.synthesise(fine[None], [self._quality], layout)[0]
            self._pictures[id(latents)] = latents, samples
        return self._pictures[id(latents)][1]

    def _analysed(self, picture: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
        """y of a part of a picture, [M, *box] int32, as it is in the whole."""
        reach = self._replica.reach_a
        first = [max(0, s.start - reach) for s in box]
        seen = picture[tuple(slice(DOWN * at, DOWN * (s.stop + reach)) for at, s in zip(first, box, strict=True))]
        y = self._replica.analyse([seen], [self._quality])[0]
        inside = (slice(s.start - at, s.stop - at) for at, s in zip(first, box, strict=True))
        return np.rint(y[:, *inside] * 2.0**MEAN_BITS).astype(np.int32)
