"""The analysis and synthesis transforms of the image codec, g_a and g_s.

    x [B, C, H, W] --g_a--> y [B, M, H/16, W/16]        y_hat --g_s--> x_hat [B, C, H, W]

All work is done at 1/8 and 1/16 of the resolution, after a pixel-unshuffle, by gated depthwise blocks

    u = clamp(x + W_o ( DW3x3(a) * silu(b) )),   [a, b] = W_i x

which cost 3 N^2 + 9 N multiplications a position: an order of magnitude fewer for a pixel than the ladders of
stride-2 5x5 convolutions with GDN (Ballé et al. 2018). There is no global operator, so that a region of the picture
depends on a bounded neighbourhood only. The shape follows ConvNeXt (Liu et al. 2022) and the gated blocks of NAFNet
(Chen et al. 2022) and DCVC-RT (Jia et al. 2025). Other blocks of about the same cost can be chosen
(`TransformConfig.block`; compared in eval/results/ablations.tsv).

One model serves all rates: a quality index in [0, 63], fractional values allowed, selects per-channel gains inside both
transforms and on the latent (Cui et al. 2021; DCVC-FM, Li et al. 2024).

These networks are ordinary floats: what they compute never reaches the arithmetic coder except through round(y - mu) in
the encoder, and pixels in the decoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...entropy.exact import clamp_inward
from ...entropy.hyperprior import GAIN_LINE, IndexTable
from .sizes import LIMIT, REACH, STRIP, TransformConfig, middle_of

__all__ = ["BLOCKS", "Analysis", "Pointwise", "Synthesis", "TransformConfig"]


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
            return _pointwise(x, self.weight, self.bias)
        with torch.autocast(x.device.type, enabled=False):
            return _pointwise(x.float(), self.weight, self.bias)


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1x1 convolution. With gradients it is a product of matrices, whose gradients take less than a convolution's."""
    if torch.is_grad_enabled():
        return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)
    return F.conv2d(x, weight[:, :, None, None], bias)


class Block(nn.Module):
    """x [B, N, H, W] -> clamp(x + W_o f(x)). What differs between blocks is f, `inner`, which looks at REACH rows and
    columns on each side.
    """

    project_out: Pointwise

    def inner(self, x: Tensor, rows: slice = slice(None)) -> Tensor:
        """f(x) [B, K, H, W], or some rows of it."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return clamp_inward(x + self.project_out(self.inner(x)), -LIMIT, LIMIT)

    def run_(self, x: Tensor) -> Tensor:
        """forward() for coding, written over x: a few rows at a time, so that intermediate values stay in the cache.

        On whole planes the intermediate tensors of a 24-megapixel picture pass through memory that the system hands out
        and takes back for each of them: 3 megapixels/s on two cores, against 9 by strips (g_s alone, measured).
        """
        b, _, height, width = x.shape
        rows = max(4, STRIP // (b * width))
        above = x[:, :, :0]  # the rows above the strip, as they were before this block changed them
        for top in range(0, height, rows):
            end = min(top + rows, height)
            first = above.shape[2]
            strip = torch.cat([above, x[:, :, top : end + REACH]], 2)
            above = strip[:, :, max(0, first + end - top - REACH) : first + end - top]
            own = x[:, :, top:end]
            inner = self.inner(strip, slice(first, first + end - top))
            own.add_(self.project_out(inner)).clamp_(-LIMIT, LIMIT)
        return x


class GatedBlock(Block):
    """f(x) = DW(a) * silu(b), with a and b two pointwise projections of x."""

    def __init__(self, width: int):
        super().__init__()
        self.project_in = Pointwise(width, 2 * width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.project_out = Pointwise(width, width, std=0.005)
        with torch.no_grad():
            self.depthwise.weight[:, :, 1, 1] += 0.5

    def inner(self, x: Tensor, rows: slice = slice(None)) -> Tensor:
        a, b = self.project_in(x).chunk(2, 1)
        return self.depthwise(a)[:, :, rows] * F.silu(b[:, :, rows])


class ResidualBlock(Block):
    """f(x) = silu(conv(silu(W_i x))) with 19/40 N channels: the residual bottleneck block of ELIC (He et al. 2022), as
    narrow as costs with 3x3 what a gated one does.
    """

    def __init__(self, width: int):
        super().__init__()
        middle = middle_of(width)
        self.project_in = Pointwise(width, middle)
        self.spatial = nn.Conv2d(middle, middle, 3, padding=1)
        self.project_out = Pointwise(middle, width, std=0.005)

    def inner(self, x: Tensor, rows: slice = slice(None)) -> Tensor:
        return F.silu(self.spatial(F.silu(self.project_in(x)))[:, :, rows])


BLOCKS: dict[str, type[Block]] = {"gated": GatedBlock, "residual": ResidualBlock}


class _Blocks(nn.Sequential):
    """A chain of blocks, x [B, N, H, W] -> the same shape. Without gradients x itself is overwritten."""

    def __init__(self, count: int, width: int, config: TransformConfig):
        block = BLOCKS[config.block]
        super().__init__(*(block(width) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return super().forward(clamp_inward(x, -LIMIT, LIMIT))
        x = x.clamp_(-LIMIT, LIMIT)
        for block in self:
            x = block.run_(x)  # pyright: ignore[reportCallIssue]
        return x


def _interleaved(planes: int) -> Tensor:
    """For each plane in the order of `Analysis.of_planes`, its number in the order of pixel_unshuffle."""
    return torch.arange(planes, device="cpu").view(-1, 64).t().reshape(-1)


class Analysis(nn.Module):
    """g_a: x [B, C, H, W] in [0, 1], H and W multiples of 16; index [B] -> y [B, M, H/16, W/16], scaled for index."""

    def __init__(self, config: TransformConfig):
        super().__init__()
        c = config
        self.stem = Pointwise(64 * c.channels, c.width8)
        self.blocks8 = _Blocks(c.analysis8, c.width8, c)
        self.gain8 = IndexTable(c.width8, knots=c.knots)
        self.down = Pointwise(4 * c.width8, c.width16)
        self.blocks16 = _Blocks(c.analysis16, c.width16, c)
        self.head = Pointwise(c.width16, c.latent, full=True)
        self.gain_y = IndexTable(c.latent, GAIN_LINE, knots=c.knots)
        self.linear = Pointwise(256 * c.channels, c.latent, std=0.0, full=True) if c.linear else None

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        x = F.pixel_unshuffle(x - 0.5, 8)
        return self._from(self.stem(x), None if self.linear is None else self.linear(F.pixel_unshuffle(x, 2)), index)

    def of_planes(self, x: Tensor, index: Tensor) -> Tensor:
        """The same for x - 1/2 as planes [B, 64 C, H/8, W/8]: plane (8 i + j) C + c is colour c at (8 row + i, 8 column
        + j). In channels-last memory they are the picture's own samples, in runs of 8 pixels: cheap to come by.
        """
        order = _interleaved(x.shape[1])
        h, beside = F.conv2d(x, self.stem.weight[:, order][:, :, None, None], self.stem.bias), None
        if self.linear is not None:
            weight = self.linear.weight.unflatten(1, (-1, 2, 2))[:, order]  # a convolution with kernel 2
            beside = F.conv2d(x, weight, self.linear.bias, stride=2)
        return self._from(h, beside, index)

    def _from(self, h: Tensor, beside: Tensor | None, index: Tensor) -> Tensor:
        """h: [B, N8, H/8, W/8], from the stem; beside: [B, M, H/16, W/16], from the linear path."""
        h = _gained(self.blocks8(h), self.gain8(index))
        h = self.down(F.pixel_unshuffle(h, 2))  # [B, N16, H/16, W/16]
        y = self.head(self.blocks16(h))
        return _gained(y if beside is None else y + beside, self.gain_y(index))


class Synthesis(nn.Module):
    """g_s: y_hat [B, M, h, w], index [B] -> x_hat [B, C, 16 h, 16 w], nominally in [0, 1] but not clamped."""

    def __init__(self, config: TransformConfig):
        super().__init__()
        c = config
        self.gain_y = IndexTable(c.latent, (-GAIN_LINE[0], -GAIN_LINE[1]), knots=c.knots)
        self.stem = Pointwise(c.latent, c.width16, full=True)
        self.blocks16 = _Blocks(c.synthesis16, c.width16, c)
        self.up = Pointwise(c.width16, 4 * c.width8)
        self.gain8 = IndexTable(c.width8, knots=c.knots)
        self.blocks8 = _Blocks(c.synthesis8, c.width8, c)
        self.head = Pointwise(c.width8, 64 * c.channels)
        self.linear = Pointwise(c.latent, 256 * c.channels, std=0.0, full=True) if c.linear else None

    def forward(self, y_hat: Tensor, index: Tensor) -> Tensor:
        y_hat = _gained(y_hat, self.gain_y(index))
        out = self.head(self._before_head(y_hat, index)).float()
        if self.linear is not None:
            out = out + F.pixel_shuffle(self.linear(y_hat), 2)
        return F.pixel_shuffle(out, 8) + 0.5

    def planes(self, y_hat: Tensor, index: Tensor) -> Tensor:
        """x_hat - 1/2 as planes [B, 64 C, 2h, 2w], in the order of `Analysis.of_planes`."""
        y_hat = _gained(y_hat, self.gain_y(index))
        h, order = self._before_head(y_hat, index), _interleaved(self.head.weight.shape[0])
        out = F.conv2d(h, self.head.weight[order][:, :, None, None], self.head.bias[order])
        if self.linear is not None:
            weight, bias = (
                p.unflatten(0, (-1, 4))[order].flatten(0, 1) for p in (self.linear.weight, self.linear.bias)
            )
            out += F.pixel_shuffle(F.conv2d(y_hat, weight[:, :, None, None], bias), 2)
        return out

    def _before_head(self, y_hat: Tensor, index: Tensor) -> Tensor:
        """y_hat without the rate's gain -> what the head sees, [B, N8, 2h, 2w]."""
        h = self.blocks16(self.stem(y_hat))  # [B, N16, h, w]
        h = _gained(F.pixel_shuffle(self.up(h), 2), self.gain8(index))  # [B, N8, 2h, 2w]
        return self.blocks8(h)
