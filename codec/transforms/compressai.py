"""The float networks of CompressAI's models of 2018, in the place of this package's own transforms.

    x [B, 3, H, W] --g_a--> y [B, M, H/16, W/16] --h_a--> z [B, N, H/64, W/64]        y_hat --g_s--> x_hat [B, 3, H, W]

Four convolutions of 5 x 5 with stride 2 with three nonlinearities between them, and the mirror image with transposed
ones (Ballé et al. 2018). The nonlinearity is generalised divisive normalisation, x_i / sqrt(beta_i + sum_j gamma_ij
x_j^2), in g_s its approximate inverse, a product instead of the quotient (Ballé, Laparra, Simoncelli 2016); or ReLU.
h_a has a convolution of 3 x 3 and two of 5 x 5 with stride 2. Beyond the borders are zeros.

Weights have CompressAI's names, so `g_a.0.weight`; only gamma and beta are not those that it trains but the ones that
the formula has. What these networks compute reaches the arithmetic coder only through a rounding in the encoder.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...entropy.imported_layers import ACTIVATION_BITS
from ...errors import ModelError

__all__ = ["REACH", "HyperAnalysis", "ImportedAnalysis", "ImportedSynthesis", "TransformSizes"]

REACH = 2
"""Latents on each side that a latent's pixels depend on, and that look at a pixel: 2 + 4 + 8 + 16 = 30 pixels for g_a,
1 + 1/2 + 1/4 + 1/8 latents for g_s."""


@dataclass(frozen=True)
class TransformSizes:
    """features: N, channels between the layers; latent: M, of y; activation: "gdn" or "relu"."""

    features: int
    latent: int
    activation: str

    def __post_init__(self) -> None:
        counts = self.features, self.latent
        if not all(type(n) is int and n > 0 for n in counts) or self.activation not in ("gdn", "relu"):
            raise ModelError("the model's card does not give the sizes of its networks")

    def shapes(self, hyper: bool) -> dict[str, dict[str, tuple[int, ...]]]:
        """By network, the shape of each tensor of its state: computed, so that no memory is taken for networks of sizes
        that a file only claims. hyper: whether there is an h_a with layers.
        """
        n, m = self.features, self.latent
        g_a, g_s, h_a = {}, {}, {}
        for up, state in ((False, g_a), (True, g_s)):
            for layer, (cin, cout) in enumerate(_steps(self, up)):
                state[f"{2 * layer}.weight"] = (cin, cout, 5, 5) if up else (cout, cin, 5, 5)
                state[f"{2 * layer}.bias"] = (cout,)
                if layer and self.activation == "gdn":
                    state |= {f"{2 * layer - 1}.gamma": (cin, cin), f"{2 * layer - 1}.beta": (cin,)}
        for layer, weight in enumerate(((n, m, 3, 3), (n, n, 5, 5), (n, n, 5, 5)) if hyper else ()):
            h_a |= {f"{2 * layer}.weight": weight, f"{2 * layer}.bias": (n,)}
        return {"g_a": g_a, "h_a": h_a, "g_s": g_s}

    def as_dict(self) -> dict[str, Any]:
        """For the card."""
        return asdict(self)


class _Normalisation(nn.Module):
    """GDN, or its approximate inverse: x [B, C, H, W] -> the same shape."""

    def __init__(self, channels: int, inverse: bool):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels, channels))
        self.beta = nn.Parameter(torch.ones(channels))
        self.inverse = inverse

    def forward(self, x: Tensor) -> Tensor:
        norm = F.conv2d(x.square(), self.gamma[:, :, None, None], self.beta)
        norm = norm.sqrt_() if self.inverse else norm.rsqrt_()
        return norm * x if norm.requires_grad else norm.mul_(x)


def _steps(sizes: TransformSizes, up: bool) -> list[tuple[int, int]]:
    """Channels in and out of each convolution of g_a, or (up) of g_s."""
    widths = [3, sizes.features, sizes.features, sizes.features, sizes.latent]
    return list(pairwise(widths[::-1] if up else widths))


def _ladder(sizes: TransformSizes, up: bool) -> list[nn.Module]:
    """The layers of g_a, or (up) of g_s."""
    layers: list[nn.Module] = []
    for n, (cin, cout) in enumerate(_steps(sizes, up)):
        if n:
            layers.append(_Normalisation(cin, up) if sizes.activation == "gdn" else nn.ReLU(inplace=True))
        if up:
            layers.append(nn.ConvTranspose2d(cin, cout, 5, stride=2, padding=2, output_padding=1))
        else:
            layers.append(nn.Conv2d(cin, cout, 5, stride=2, padding=2))
    return layers


class ImportedAnalysis(nn.Sequential):
    """g_a: forward: x [B, 3, H, W] in [0, 1], H and W multiples of 16 -> y [B, M, H/16, W/16]."""

    def __init__(self, sizes: TransformSizes):
        super().__init__(*_ladder(sizes, up=False))


class ImportedSynthesis(nn.Sequential):
    """g_s: forward: y_hat [B, M, h, w] -> x_hat [B, 3, 16 h, 16 w], nominally in [0, 1] but not clamped."""

    def __init__(self, sizes: TransformSizes):
        super().__init__(*_ladder(sizes, up=True))


class HyperAnalysis(nn.Sequential):
    """h_a: y [B, M, h, w], h and w multiples of 4 -> z less its medians, [B, Z, h/4, w/4].

    sizes: N and M; median: int32 [Z] in units of 2^-ACTIVATION_BITS; has_means: whether the entropy model has means:
    then h_a sees y and is leaky, otherwise it sees |y|.
    """

    median: Tensor

    def __init__(self, sizes: TransformSizes, median: np.ndarray, has_means: bool, device: torch.device | str):
        n = sizes.features
        convolutions = [
            nn.Conv2d(sizes.latent, n, 3, padding=1),
            nn.Conv2d(n, n, 5, stride=2, padding=2),
            nn.Conv2d(n, n, 5, stride=2, padding=2),
        ]
        activation = nn.LeakyReLU(inplace=True) if has_means else nn.ReLU(inplace=True)
        super().__init__(convolutions[0], activation, convolutions[1], activation, convolutions[2])
        self.has_means = has_means
        value = torch.from_numpy(median.astype(np.float32)) * 2.0**-ACTIVATION_BITS
        self.register_buffer("median", value[:, None, None].to(device), persistent=False)

    def forward(self, y: Tensor, index: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(y if self.has_means else y.abs()) - self.median
