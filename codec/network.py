"""The trainable image model: g_a, the hyperprior and g_s in one module.

    x -> g_a -> y -> hyperprior (bits, y_hat) -> g_s -> x_hat

Training runs `ImageNetwork.forward`; coding runs the frozen pieces (see `image`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.hyperprior import HyperConfig, Hyperprior
from .transforms import Analysis, Synthesis, TransformConfig

__all__ = ["ImageNetwork", "NetworkConfig", "pad_to_multiple"]


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that fixes the shapes of an ImageNetwork."""

    transform: TransformConfig = field(default_factory=TransformConfig)
    hyper: HyperConfig = field(default_factory=HyperConfig)


class ImageNetwork(nn.Module):
    """forward: x [B, 3, H, W] float32 in [0, 1], H and W multiples of 64; index [B] in [0, 63]
    -> x_hat [B, 3, H, W], bits [B] (of y and z together).
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.g_a = Analysis(config.transform)
        self.hyperprior = Hyperprior(config.hyper)
        self.g_s = Synthesis(config.transform)

    def forward(self, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        likelihood = self.hyperprior(self.g_a(x, index), index)
        return self.g_s(likelihood.y_hat, index), likelihood.bits_y + likelihood.bits_z


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """x [B, C, H, W] with its right and bottom borders replicated up to a multiple of `multiple`."""
    h, w = x.shape[-2:]
    return F.pad(x, (0, -w % multiple, 0, -h % multiple), mode="replicate")
