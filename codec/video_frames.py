"""Frames of a video and their latents: the transforms of an image model, frame by frame.

    RGB [H, W, 3] -> g_a at the index of the group -> y [M, h, w]      y_hat -> g_s at that index -> RGB

All frames are made at one fine index; what is coded coarser is divided by a step for each channel (see
`entropy.spatiotemporal_coding`) and multiplied by it again here. Only the display is float: nothing that is decoded
later depends on it.
"""

from __future__ import annotations

import numpy as np

from ..bitstream import PictureLayout
from ..entropy.latents import Size
from ..entropy.spatiotemporal_coding import RATIO_BITS, SpatiotemporalCoding, ratio_of, rescaled
from .transforms import DOWN
from .transforms.transform import Transform

__all__ = ["FrameTransform"]


class FrameTransform:
    """transform: of the image model; temporal: knows how large y is at each rate; width, height: of frames."""

    def __init__(self, transform: Transform, temporal: SpatiotemporalCoding, width: int, height: int):
        self._transform, self._temporal = transform, temporal
        self.size: Size = -(-height // DOWN), -(-width // DOWN)
        self._layout = PictureLayout(width=width, height=height, channels=3)

    def analyse(self, frame: np.ndarray, quality: int) -> np.ndarray:
        """frame uint8 [H, W, 3] -> y [M, h, w] float32 at the fixed-point index `quality`."""
        return self._transform.analyse([frame], [quality])[0]

    def at_rate(self, y: np.ndarray, quality: int, rate: int) -> np.ndarray:
        """y made at `quality` -> what is coded at `rate`, [M, h, w] float32."""
        return y * self.ratio(quality, rate)[:, None, None]

    def ratio(self, rate: int, wanted: int) -> np.ndarray:
        """What brings y from one fixed-point index to another, [M] float32."""
        found = ratio_of(self._temporal.magnitude, [rate], [wanted])[0] * 2.0**-RATIO_BITS
        return found.astype(np.float32)

    def above(self, y: np.ndarray, rate: int) -> np.ndarray:
        """y as it is coded at `rate` -> z [1, Z, h', w'] float32."""
        return self._transform.above(y[None], [rate])[0]

    def synthesise(self, y_hat: np.ndarray, rate: int, quality: int) -> np.ndarray:
        """y_hat [M, h, w] int32 coded at `rate`, in a group of `quality` -> uint8 [H, W, 3]."""
        fine = rescaled(y_hat, ratio_of(self._temporal.magnitude, [rate], [quality])[0])
        found = self._transform.synthesise(fine[None], [quality], self._layout)
        return found[0, : self._layout.height, : self._layout.width]
