"""The mean-scale hyperprior with a wholly integer hyper-decoder, trainable form.

    y --h_a--> z --round--> z_hat --h_s--> (mu, t)        s = round(y - mu),  y_hat = s + mu,  s ~ Laplace(b_t)

z_hat is coded with the factorised prior; h_s, an integer network (see `exact`), turns it into a mean mu in fixed point
and a table number t among 64 log-spaced scales; s is coded with table t. All of mu, t and y_hat are integers (y_hat and
mu in units of 2^-6), identical on every machine. Method: Minnen, Ballé, Toderici, "Joint Autoregressive and
Hierarchical Priors" (NeurIPS 2018), without the autoregression; integer hyper-decoder after Ballé et al. (ICLR 2019).
Laplacians take the place of their Gaussians: what the trained transform really leaves, given its scale, is Laplacian
(measured: 0.1% above the empirical entropy, against 3.5% for Gaussians).

`Hyperprior` is trained; what `Hyperprior.frozen` returns makes a `HyperpriorCoding` (in `hyperprior_coding`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .exact import TrainableExact, clamp_inward, integer_gain, straight_through
from .factorized import FactorizedPrior, fixed_bits, fixed_prior
from .hyper_config import KNOTS, HyperConfig
from .hyperprior_coding import (
    SCALE_LOW,
    SCALE_STEP,
    SCALES,
    USUAL_REACH,
    Z_RANGE,
    laplace_tables,
    layer_tensors,
    table_tensors,
)
from .latents import MEAN_BITS
from .rate import QUALITY_LEVELS

__all__ = [
    "GAIN_LINE",
    "HyperAnalysis",
    "IndexTable",
    "HyperConfig",
    "Hyperprior",
    "Likelihood",
    "residual_bits",
]


@dataclass(frozen=True)
class Likelihood:
    """What training needs: y_hat [B, M, h, w] with straight-through gradient; bits_y, bits_z [B]."""

    y_hat: Tensor
    bits_y: Tensor
    bits_z: Tensor


GAIN_LINE = (-0.13, 2.86)
"""Log gain on y at index 0 and 63 when training starts: from the step size 5.1 / sqrt(lambda) that is optimal for an
orthonormal transform at lambda = 20 and 8000."""
LINE_ABOVE = (-0.3, 0.7)
"""That on z."""


class IndexTable(nn.Module):
    """Values that depend on the quality index: index [B] -> [B, C], linear between `knots` learned rows.

    Fewer rows than the 64 indices train faster, since every sample moves two of them. `scale`: of the values against
    the parameters, so that one learning rate suits values of any size. start: the values at index 0 and 63.
    """

    def __init__(self, channels: int, start: tuple[float, float] = (0.0, 0.0), scale: float = 1.0, knots: int = KNOTS):
        super().__init__()
        line = torch.linspace(*start, knots)[:, None] / scale
        self.value = nn.Parameter(line.expand(knots, channels).clone())
        self.scale = scale

    def forward(self, index: Tensor) -> Tensor:
        last = self.value.shape[0] - 1
        position = index.float().clamp(0, QUALITY_LEVELS - 1) * (last / (QUALITY_LEVELS - 1))
        below = position.floor().clamp(max=last - 1)
        rows = torch.lerp(self.value[below.long()], self.value[below.long() + 1], (position - below)[:, None])
        return rows * self.scale


class HyperAnalysis(nn.Module):
    """h_a: y [B, M, h, w], h and w multiples of 4; index [B] -> z [B, Z, h/4, w/4]. Float: only the encoder runs it.

    line: log gain on y, see GAIN_LINE. above: the same for z, of a nest.
    """

    def __init__(self, c: HyperConfig, line: tuple[float, float] = GAIN_LINE):
        super().__init__()
        self.gain_y = IndexTable(c.latent, (-line[0], -line[1]), knots=c.knots)
        self.stem = nn.Conv2d(4 * c.latent, c.width, 1)
        self.mix2 = nn.Conv2d(c.width, c.width, 3, padding=1, groups=c.width)
        self.wide2 = nn.Conv2d(c.width, c.width, 1)
        self.down = nn.Conv2d(4 * c.width, c.width, 1)
        self.mix4 = nn.Conv2d(c.width, c.width, 3, padding=1, groups=c.width)
        self.wide4 = nn.Conv2d(c.width, c.width, 1)
        self.head = nn.Conv2d(c.width, c.hyper, 1)
        self.gain_z = IndexTable(c.hyper, LINE_ABOVE, knots=c.knots)
        self.above = None if c.above is None else HyperAnalysis(c.above, LINE_ABOVE)

    def forward(self, y: Tensor, index: Tensor) -> Tensor:
        # Undo the gain of the rate, then compress: the channels of y span three orders of magnitude.
        h = y * self.gain_y(index).exp()[:, :, None, None]
        h = torch.sign(h) * torch.log1p(8 * h.abs())
        h = F.silu(self.stem(F.pixel_unshuffle(h, 2)))
        h = h + F.silu(self.wide2(self.mix2(h)))
        h = F.silu(self.down(F.pixel_unshuffle(h, 2)))
        h = h + F.silu(self.wide4(self.mix4(h)))
        return self.head(h).float() * self.gain_z(index).exp()[:, :, None, None]


class _HyperSynthesis(nn.Module):
    """h_s: z_hat [B, Z, h/4, w/4] integers, index [B] -> mu, t [B, M, h, w]; integer arithmetic throughout.

    The gains of the first layer undo the rate's gain on z, those of the last one give mu the rate's gain on y, and t
    its offset: what lies between is the same task at every rate.
    """

    def __init__(self, c: HyperConfig, line: tuple[float, float] = GAIN_LINE):
        super().__init__()
        self.line = line
        bits = 0 if c.above is None else MEAN_BITS
        z_range = Z_RANGE[0] << bits, Z_RANGE[1] << bits
        first = TrainableExact(c.hyper, c.width, 3, input_bits=bits, input_range=z_range)
        last = TrainableExact(
            c.width, 2 * c.latent, output_bits=MEAN_BITS, output_range=c.mean_range, relu=False, scale=4.0
        )
        with torch.no_grad():
            first.weight.mul_(0.5)
            last.weight.mul_(0.1)
        self.layers = nn.ModuleList(
            [
                first,
                TrainableExact(c.width, 4 * c.width),
                TrainableExact(c.width, c.middle, 3),
                TrainableExact(c.middle, 4 * c.width),
                last,
            ]
        )
        mean = IndexTable(2 * c.latent, knots=c.knots)
        first = IndexTable(c.width, (0.3, -0.7), knots=c.knots)
        self.gains = nn.ModuleList([first, IndexTable(c.middle, knots=c.knots), mean])
        """log gains after the two 3 x 3 layers and the last one."""
        self.offset = IndexTable(2 * c.latent, scale=10.0, knots=c.knots)
        self.top, self.channels = c.tables - 1, c.hyper
        with torch.no_grad():
            knots = self.offset.value.shape[0]
            middle = sum(line) / 2
            rise = torch.linspace(line[0] - middle, line[1] - middle, knots)
            mean.value[:, : c.latent] = rise[:, None]
        self.set_scales(torch.full((c.latent,), 0.3))

    @torch.no_grad()
    def set_scales(self, deviation: Tensor) -> None:
        """Start from scales that fit channels of y with these standard deviations [M], before the rate's gain."""
        log_gain = torch.linspace(*self.line, self.offset.value.shape[0])[:, None]
        t = (deviation.clamp_min(1e-3).log() + log_gain - math.log(SCALE_LOW)) / SCALE_STEP
        self.offset.value[:, len(deviation) :] = t.clamp(1, self.top - 1) / self.offset.scale

    def stages(self, z_hat: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a context model builds on: features [B, middle, h/2, w/2], mu, t."""
        e1, e2, e3, e4, e5 = self.layers
        g1, g3, g5 = (gain(index).exp() for gain in self.gains)
        h = F.pixel_shuffle(e2(e1(z_hat, g1)), 2)
        features = e3(h, g3)
        h = F.pixel_shuffle(e4(features), 2)
        mu, t = e5(h, g5, self.offset(index)).chunk(2, 1)
        return features, mu, t

    def forward(self, z_hat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.stages(z_hat, index)[1:]


class _Above(nn.Module):
    """The entropy model of z in a nest: a hyperprior over the level above it, whose tables are those of `fixed_prior`,
    or again a nest. forward: z [B, Z, h, w], index [B], the analysis of z -> z_hat with straight-through gradient, bits
    [B] of it and of all above.
    """

    def __init__(self, c: HyperConfig):
        super().__init__()
        self.h_s = _HyperSynthesis(c, LINE_ABOVE)
        self.above = None if c.above is None else _Above(c.above)
        with torch.no_grad():
            self.h_s.set_scales(torch.full((c.latent,), 2.0))

    def forward(self, z: Tensor, index: Tensor, analysis: HyperAnalysis) -> tuple[Tensor, Tensor]:
        size = z.shape[2:]
        top = analysis(F.pad(z, (0, -size[1] % 4, 0, -size[0] % 4), mode="replicate"), index)
        if self.above is None:
            noisy = top + torch.rand_like(top) - 0.5 if self.training else top.round()
            top_hat, bits = top + (top.round() - top).detach(), fixed_bits(noisy)
        else:
            assert analysis.above is not None
            top_hat, bits = self.above(top, index, analysis.above)
        mu, t = (a[:, :, : size[0], : size[1]] for a in self.h_s(top_hat, index))
        residual = z - mu
        z_hat = torch.where(is_coded(t), mu + straight_through(residual, residual.round()), mu)
        return z_hat, bits + residual_bits(residual, t, self.h_s.top, self.training, rounded=True)

    @torch.no_grad()
    def frozen(self) -> dict[str, np.ndarray]:
        """The tensors of a `HyperpriorCoding` of z, of a nest with those of the level above it as `above.*`."""
        y, layers = laplace_tables(self.h_s.top + 1), self.h_s
        if self.above is None:
            return table_tensors(fixed_prior(layers.channels), y) | synthesis_tensors(layers)
        tables = {name: a for name, a in table_tensors(y, y).items() if name.startswith("y.")}
        above = {f"above.{name}": a for name, a in self.above.frozen().items()}
        return tables | synthesis_tensors(layers) | above


class Hyperprior(nn.Module):
    """forward: y [B, M, h, w] (h, w multiples of 4), index [B] -> Likelihood.

    rounded: bits_y in training is that of the rounded residuals, which is what coding costs, not of residuals with
    noise. For training with y given: a gradient to y needs the noise.
    """

    def __init__(self, config: HyperConfig):
        super().__init__()
        self.config = config
        self.h_a = HyperAnalysis(config)
        self.h_s = _HyperSynthesis(config)
        if config.above is None:
            self.prior = FactorizedPrior(config.hyper)
        else:
            self.above = _Above(config.above)

    def hyper_latent(self, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """z_hat [B, Z, h/4, w/4] with straight-through gradient, bits_z [B]."""
        z = self.h_a(y, index)
        if self.h_a.above is not None:
            return self.above(z, index, self.h_a.above)
        bits_z = self.prior(z + torch.rand_like(z) - 0.5 if self.training else z.round(), index)
        return z + (z.round() - z).detach(), bits_z

    def forward(self, y: Tensor, index: Tensor, rounded: bool = False) -> Likelihood:
        z_hat, bits_z = self.hyper_latent(y, index)
        mu, t = self.h_s(z_hat, index)
        y_hat, bits_y = self.code(y.float(), mu, t, rounded)
        return Likelihood(y_hat, bits_y, bits_z)

    @torch.no_grad()
    def frozen(self) -> dict[str, np.ndarray]:
        """The tensors of a `HyperpriorCoding`, with the tables that training fitted."""
        y = laplace_tables(self.config.tables)
        if self.config.above is None:
            out = table_tensors(self.prior.freeze(), y)
        else:
            out = {name: a for name, a in table_tensors(y, y).items() if name.startswith("y.")}
            out |= {f"above.{name}": a for name, a in self.above.frozen().items()}
        if self.config.reach != USUAL_REACH:
            out["reach"] = np.array([self.config.reach], np.int32)
        return out | synthesis_tensors(self.h_s)

    def code(self, y: Tensor, mu: Tensor, t: Tensor, rounded: bool) -> tuple[Tensor, Tensor]:
        """y, means and table numbers of one shape [B, C, h, w] -> y_hat of that shape, bits [B]."""
        residual = y - mu
        change = (residual.round() - residual).detach()
        y_hat = torch.where(is_coded(t), mu + residual + change, mu)
        return y_hat, residual_bits(residual, t, self.h_s.top, self.training, rounded)


def synthesis_tensors(h_s: _HyperSynthesis) -> dict[str, np.ndarray]:
    """Those of h_s in a model file."""
    out = {}
    for n, layer in enumerate(h_s.layers):
        out |= layer_tensors(f"h_s.{n}", layer.freeze())  # pyright: ignore[reportCallIssue]
    for n, gain in enumerate(h_s.gains):
        out[f"gain.{n}"] = gain_table(gain)  # pyright: ignore[reportArgumentType]
    out["offset"] = offset_table(h_s.offset)
    return out


def is_coded(t: Tensor) -> Tensor:
    """Which elements, by their table numbers, are coded at all: what rounds to table 0 is not, y_hat is the mean."""
    return t.detach() >= 0.5


def _at_all_indices(values: IndexTable) -> Tensor:
    """What training learned: [QUALITY_LEVELS, C]."""
    return values.cpu()(torch.arange(QUALITY_LEVELS, dtype=torch.float32)).detach()


def gain_table(log_gain: IndexTable) -> np.ndarray:
    """[QUALITY_LEVELS, C] int16: the gains of all indices as integers."""
    return integer_gain(_at_all_indices(log_gain).exp()).numpy().astype(np.int16)


def offset_table(offset: IndexTable) -> np.ndarray:
    """[QUALITY_LEVELS, C] int32: the offsets of all indices in units of 2^-MEAN_BITS."""
    return (_at_all_indices(offset).double() * 2**MEAN_BITS).round().numpy().astype(np.int32)


LEAST_SCALE = 18.0
"""Means are trained as if no table number were below this (b = 0.44): where all residuals round to 0, moving the mean
saves nothing, but a narrow Laplacian on noise would pull at it hardest."""


def residual_bits(residual: Tensor, t: Tensor, top: int, training: bool, rounded: bool) -> Tensor:
    """Bits [B] of residuals y - mu [B, M, h, w] with table numbers t in [0, top]: of the rounded ones if not in
    training; else with noise in place of rounding, or (`rounded`) of the rounded ones with the
    gradient to t, the gradient to mu being that of the noisy ones. What is not coded has no bits; its gradient is as if
    it were coded, so that a table number can leave 0.
    """
    noisy = residual + torch.rand_like(residual) - 0.5 if training else residual
    if not training or rounded:
        bits = laplace_bits(residual.detach().round(), clamp_inward(t, 0, top), top)
        if training:
            smooth = laplace_bits(noisy, t.detach().clamp_min(LEAST_SCALE), top)
            bits = bits + (smooth - smooth.detach())
    else:
        bits = laplace_bits(noisy, t, top)
    bits = straight_through(bits, bits * is_coded(t))
    return bits.flatten(1).sum(1)


def laplace_bits(s: Tensor, t: Tensor, top: int = SCALES - 1) -> Tensor:
    """Bits of s under the discretised zero-mean Laplacian with (real-valued) table number t in [0, top], gradient to
    both.

    -log2 of the mass of [|s| - 1/2, |s| + 1/2]; the tail is taken in the logarithm, so that no outlier is too far off
    to pull its scale up.
    """
    b = SCALE_LOW * torch.exp(t.clamp(0, top) * SCALE_STEP)
    x = s.abs()
    tail = (x.clamp_min(0.5) - 0.5) / b - torch.log(-0.5 * torch.expm1(-1 / b))
    x = x.clamp_max(0.5)
    middle = -torch.log(1 - 0.5 * (torch.exp((x - 0.5) / b) + torch.exp((-x - 0.5) / b)))
    return torch.where(s.abs() > 0.5, tail, middle) / math.log(2)
