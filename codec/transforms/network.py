"""The trainable image model: g_a, the hyperprior and g_s in one module.

    x -> g_a -> y -> hyperprior, with context or without (bits, y_hat) -> g_s -> x_hat

Training runs `ImageNetwork.forward`; coding runs the frozen pieces (see `image`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...entropy.conditional import ConditionalConfig, ConditionalHyperprior
from ...entropy.context import ContextConfig, ContextHyperprior
from ...entropy.hyper_config import MAX_LEVELS
from ...entropy.hyperprior import HyperConfig, Hyperprior
from .image import Analysis, Pointwise, Synthesis, TransformConfig

__all__ = ["ImageNetwork", "NetworkConfig", "decoding_macs", "principal_components", "start_from_statistics"]


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that fixes the shapes of an ImageNetwork."""

    transform: TransformConfig = field(default_factory=TransformConfig)
    hyper: HyperConfig = field(default_factory=HyperConfig)
    context: ContextConfig | None = None
    """Sizes of the passes with context; None: a hyperprior without."""
    conditional: ConditionalConfig | None = None
    """What these passes ask besides; None: nothing."""


class ImageNetwork(nn.Module):
    """forward: x [B, 3, H, W] float32 in [0, 1], H and W multiples of 64; index [B] in [0, 63]
    -> x_hat [B, 3, H, W], bits [B] (of y and z together).
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.g_a = Analysis(config.transform)
        self.hyperprior = _hyperprior(config)
        self.g_s = Synthesis(config.transform)

    def forward(self, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        likelihood = self.hyperprior(self.g_a(x, index), index)
        return self.g_s(likelihood.y_hat, index), likelihood.bits_y + likelihood.bits_z


def _hyperprior(config: NetworkConfig) -> Hyperprior:
    hyper, context, memory = config.hyper, config.context, config.conditional
    if context is None:
        return Hyperprior(hyper)
    return ContextHyperprior(hyper, context) if memory is None else ConditionalHyperprior(hyper, context, memory)


_SIDE = {
    **{
        f"hyperprior.{'above.' * above}h_s.layers.{n}.": side * 4**above
        for above in range(MAX_LEVELS)
        for n, side in enumerate((64, 64, 32, 32, 16))
    },
    "hyperprior.context.": 32,
    **dict.fromkeys(("g_s.stem.", "g_s.blocks16.", "g_s.up.", "g_s.linear."), 16),
    **dict.fromkeys(("g_s.blocks8.", "g_s.head."), 8),
}
"""Pixels that a position of each decoder layer covers, along one side."""


def decoding_macs(network: ImageNetwork) -> float:
    """Multiplications a pixel to decode: h_s, the passes with context and g_s. Every weight counts once a position."""
    return sum(
        p.numel() / side**2
        for name, p in network.named_parameters()
        for prefix, side in _SIDE.items()
        if name.startswith(prefix) and name.endswith((".weight", ".keys", ".values"))
    )


@torch.no_grad()
def start_from_statistics(network: ImageNetwork, x: Tensor) -> None:
    """Set the linear path of g_a and g_s to the principal components of pictures x [N, 3, H, W] in [0, 1].

    The residual blocks start near zero, so the network starts as a Karhunen-Loève transform of 16 x 16 blocks with
    fitted scales, and training improves on that instead of on noise. Features between the two stages are divided by the
    square root of their deviation, a compromise between the transform's own units and whitened ones.
    """
    g_a, g_s, c = network.g_a, network.g_s, network.config.transform
    basis, deviation = principal_components(F.pixel_unshuffle(x - 0.5, 8), c.width8)
    half = deviation.sqrt()[:, None]
    _fill(g_a.stem, basis / half)
    _fill(g_s.head, (basis * half).t())
    h = F.conv2d(F.pixel_unshuffle(x - 0.5, 8), basis[:, :, None, None])
    h, spread = F.pixel_unshuffle(h, 2), half.repeat_interleave(4, 0).t()  # [1, 4 * width8]
    basis, deviation = principal_components(h, c.width16)
    half = deviation.sqrt()[:, None]
    # What is wider than there are components starts from nothing between the stages, from noise at the pictures.
    for layer in (g_a.down, g_s.up, g_a.head, g_s.stem):
        layer.weight.zero_()
    _fill(g_a.down, basis * spread / half)
    _fill(g_s.up, (basis * half / spread).t())
    _fill(g_a.head, torch.eye(c.latent, len(basis)) * half.t())
    _fill(g_s.stem, torch.eye(len(basis), c.latent) / half)
    network.hyperprior.h_s.set_scales(0.5 * deviation[: c.latent])


def _fill(layer: Pointwise, weight: Tensor) -> None:
    """Set the first rows and columns of a layer's weight."""
    layer.weight[: weight.shape[0], : weight.shape[1]] = weight


def principal_components(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """x [N, C, H, W] -> the first `count` principal directions [count, C] and deviations [count], largest first."""
    flat = x.transpose(0, 1).flatten(1).double()
    variance, basis = torch.linalg.eigh(flat @ flat.t() / flat.shape[1])
    return basis.t().flip(0)[:count].float(), variance.flip(0)[:count].clamp_min(1e-6).sqrt().float()
