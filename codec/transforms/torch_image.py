"""The transform of this package's own image models in torch.

    samples -> planes of 8 x 8 blocks -> g_a -> y -> h_a -> z        y_hat -> g_s -> planes -> samples

The networks take and give planes, one for each place in a block (see `Analysis.of_planes`): in channels-last memory
they are the picture's own samples, in runs of 8 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ...entropy.hyper_config import HyperConfig
from ...entropy.hyperprior import HyperAnalysis
from .image import Analysis, Synthesis
from .sizes import TransformConfig
from .torch_transform import TorchTransform, centred, filled

__all__ = ["ImageTransform", "planes_of"]


class ImageTransform(TorchTransform):
    """weights: of g_a, h_a and g_s, float32 by name; config, hyper: their sizes. The other arguments are those of
    `WindowedTransform`.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        config: TransformConfig,
        hyper: HyperConfig | None,
        *,
        reach_a: int,
        reach_s: int,
        window: Mapping[str, int],
        place: str,
    ):
        # Not on the meta device: random numbers there import torch's compiler, which costs more than they do.
        super().__init__(
            filled(Analysis(config), "g_a", weights, place),
            None if hyper is None else filled(HyperAnalysis(hyper), "h_a", weights, place),
            filled(Synthesis(config), "g_s", weights, place),
            reach_a=reach_a,
            reach_s=reach_s,
            window=window,
            place=place,
        )
        self.depth = 0 if hyper is None else hyper.levels

    @torch.inference_mode()
    def log_gains(self, index: np.ndarray) -> np.ndarray:
        return self.g_a.gain_y(self._here(index)).cpu().numpy()

    def _analysed(self, samples: Tensor, index: Tensor) -> Tensor:
        return self.g_a.of_planes(planes_of(samples), index)

    def _shown(self, y_hat: Tensor, index: Tensor) -> Tensor:
        planes = self.g_s.planes(y_hat.contiguous(memory_format=torch.channels_last), index).float()
        return planes.permute(0, 2, 3, 1).unflatten(3, (64, 3))  # [B, 2h, 2w, 64, 3]

    def _arranged(self, samples: Tensor) -> Tensor:
        rows = samples.unflatten(3, (8, 8)).transpose(2, 3)  # [B, 2h, 8, 2w, 8, C]
        return rows.flatten(3, 4).flatten(1, 2)


def planes_of(x: Tensor) -> Tensor:
    """uint8 or uint16 [B, 16 h, 16 w, 1 or 3] -> x - 1/2 as the planes that `Analysis.of_planes` takes."""
    x = x.unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).transpose(2, 3)  # [B, h8, w8, 8, 8, C]
    x = x.expand(-1, -1, -1, -1, -1, 3).flatten(3)  # [B, h8, w8, 192]
    return centred(x).permute(0, 3, 1, 2)
