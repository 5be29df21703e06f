"""The analysis and synthesis transforms of the image codec, g_a and g_s.

    x [B, C, H, W] --g_a--> y [B, M, H/16, W/16]        y_hat --g_s--> x_hat [B, C, H, W]

All work is done at 1/8 and 1/16 of the resolution, after a pixel-unshuffle, by gated depthwise blocks

    u = x + W_o ( DW3x3(a) * silu(b) ),   [a, b] = W_i x

which cost 3 N^2 + 9 N multiplications a position: an order of magnitude fewer for a pixel than the ladders of
stride-2 5x5 convolutions with GDN (Ballé et al. 2018). There is no global operator, so that a region of the picture
depends on a bounded neighbourhood only. The shape follows ConvNeXt (Liu et al. 2022) and the gated blocks of NAFNet
(Chen et al. 2022) and DCVC-RT (Jia et al. 2025).

One model serves all rates: a quality index in [0, 63], fractional values allowed, selects per-channel gains inside both
transforms and on the latent (Cui et al. 2021; DCVC-FM, Li et al. 2024).

These networks are ordinary floats: what they compute never reaches the arithmetic coder except through round(y - mu) in
the encoder, and pixels in the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.hyperprior import GAIN_LINE, IndexTable

__all__ = ["Analysis", "Pointwise", "Synthesis", "TransformConfig"]


@dataclass(frozen=True)
class TransformConfig:
    """Sizes of g_a and g_s. Both are symmetric, but for the number of blocks."""

    channels: int = 3
    """Colour channels of the picture: 3 (RGB; grey pictures are coded as RGB with equal channels)."""
    width8: int = 160
    """Channels at 1/8 resolution."""
    width16: int = 320
    """Channels at 1/16 resolution."""
    latent: int = 192
    """M, channels of the latent y at 1/16 resolution."""
    analysis8: int = 3
    """Blocks of g_a at 1/8 resolution."""
    analysis16: int = 3
    """Blocks of g_a at 1/16 resolution."""
    synthesis8: int = 4
    """Blocks of g_s at 1/8 resolution."""
    synthesis16: int = 3
    """Blocks of g_s at 1/16 resolution."""


def _gained(x: Tensor, log_gain: Tensor) -> Tensor:
    """x [B, C, H, W] times exp(log_gain [B, C])."""
    return x * log_gain.exp()[:, :, None, None].to(x.dtype)


class Pointwise(nn.Module):
    """A 1x1 convolution, [B, cin, H, W] -> [B, cout, H, W]. Its weight is a matrix, which is what Muon trains.

    full: stay in float32 under autocast, for layers next to the latent, whose values exceed what bfloat16 resolves.
    """

    def __init__(self, cin: int, cout: int, *, std: float | None = None, full: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(cout, cin) * (cin**-0.5 if std is None else std))
        self.bias = nn.Parameter(torch.zeros(cout))
        self.full = full

    def forward(self, x: Tensor) -> Tensor:
        if not self.full:
            return F.conv2d(x, self.weight[:, :, None, None], self.bias)
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), self.weight[:, :, None, None], self.bias)


class GatedBlock(nn.Module):
    """x [B, N, H, W] -> x + W_o(DW3x3(a) * silu(b)), with a and b two pointwise projections of x."""

    def __init__(self, width: int):
        super().__init__()
        self.project_in = Pointwise(width, 2 * width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.project_out = Pointwise(width, width, std=0.005)
        with torch.no_grad():
            self.depthwise.weight[:, :, 1, 1] += 0.5

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.project_in(x).chunk(2, 1)
        return x + self.project_out(self.depthwise(a) * F.silu(b))


def _blocks(count: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(GatedBlock(width) for _ in range(count)))


class Analysis(nn.Module):
    """g_a: x [B, C, H, W] in [0, 1], H and W multiples of 16; index [B] -> y [B, M, H/16, W/16], scaled for index."""

    def __init__(self, config: TransformConfig):
        super().__init__()
        c = config
        self.stem = Pointwise(64 * c.channels, c.width8)
        self.blocks8 = _blocks(c.analysis8, c.width8)
        self.gain8 = IndexTable(c.width8)
        self.down = Pointwise(4 * c.width8, c.width16)
        self.blocks16 = _blocks(c.analysis16, c.width16)
        self.head = Pointwise(c.width16, c.latent, full=True)
        self.gain_y = IndexTable(c.latent, GAIN_LINE)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        h = self.stem(F.pixel_unshuffle(x - 0.5, 8))  # [B, N8, H/8, W/8]
        h = _gained(self.blocks8(h), self.gain8(index))
        h = self.down(F.pixel_unshuffle(h, 2))  # [B, N16, H/16, W/16]
        return _gained(self.head(self.blocks16(h)), self.gain_y(index))


class Synthesis(nn.Module):
    """g_s: y_hat [B, M, h, w], index [B] -> x_hat [B, C, 16 h, 16 w], nominally in [0, 1] but not clamped."""

    def __init__(self, config: TransformConfig):
        super().__init__()
        c = config
        self.gain_y = IndexTable(c.latent, (-GAIN_LINE[0], -GAIN_LINE[1]))
        self.stem = Pointwise(c.latent, c.width16, full=True)
        self.blocks16 = _blocks(c.synthesis16, c.width16)
        self.up = Pointwise(c.width16, 4 * c.width8)
        self.gain8 = IndexTable(c.width8)
        self.blocks8 = _blocks(c.synthesis8, c.width8)
        self.head = Pointwise(c.width8, 64 * c.channels)

    def forward(self, y_hat: Tensor, index: Tensor) -> Tensor:
        h = self.blocks16(self.stem(_gained(y_hat, self.gain_y(index))))  # [B, N16, h, w]
        h = _gained(F.pixel_shuffle(self.up(h), 2), self.gain8(index))  # [B, N8, 2h, 2w]
        return F.pixel_shuffle(self.head(self.blocks8(h)).float(), 8) + 0.5
