"""The hyperprior with context: y in four passes, each of which looks at everything decoded before it. Trainable form.

    z_hat --h_s--> features, (mu_0, t_0)                       pass 0:  (mu, t) = (mu_0, t_0)
    features, y_hat of passes 0 .. k-1  --c_k--> (dmu, dt)     pass k:  (mu, t) = (mu_0 + dmu, t_0 + dt)
    in each pass                                               s = round(y - mu),  y_hat = s + mu,  s ~ Laplace(b_t)

Channel c of y is in group c mod 4, so that each group has its share of large and small channels; positions are in
blocks of 2 x 2. Pass k codes group g at the position PHASES[k][g] of every block, so that each pass codes a quarter of
y, all positions are busy in each pass, and whatever is left to code at a position can look at other channels there and
at all its neighbours. The passes are those of Li, Li, Lu, "Neural Video Compression with Diverse Contexts" (CVPR 2023).
Folded to one position a block, a pass is M of 4 M channels at half the resolution of y, and c_k is three plain layers:

    a = e_k(features, r, |r|)  1 x 1      b = l_k(a)  3 x 3      (d, dt) = o_k(a, b)  1 x 1
    r = (y_hat - mu_0) / spread(t_0), of what has been decoded      dmu = d * spread(t_0)

spread(t) is the scale b_t of table t, but at least LEAST_SPREAD: c_k sees and gives means in units of what the
hyperprior expects, so that large and small channels, at low and high rates, are one task. |r| says how much happens
around a position, more than ReLUs of sums of r could. All of it is integer arithmetic (see `exact`): y_hat is fixed
point, so the context is identical on every machine. c_k corrects what the hyperprior says, so training can start from a
trained hyperprior and from its rate.

`ContextHyperprior` is trained; `ContextCoding.from_trained` (in `context_coding`) freezes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .context_coding import (
    NARROW_BITS,
    NARROW_SHIFT,
    PASSES,
    RESIDUAL_MAX,
    SIGNED,
    WIDEN_BITS,
    pass_channels,
)
from .exact import TrainableExact, clamp_inward
from .hyperprior import HyperConfig, Hyperprior, IndexTable, Likelihood, residual_bits
from .hyperprior_coding import MEAN_BITS, MEAN_RANGE, SCALE_HIGH, SCALE_LOW, SCALES
from .layers import ACTIVATION_BITS, ACTIVATION_MAX
from .tables import scale_levels

__all__ = ["ContextConfig", "ContextHyperprior"]

LEAST_SPREAD = 0.25


@dataclass(frozen=True)
class ContextConfig:
    """Sizes of the context networks."""

    width: int = 128
    """Channels between their layers."""


class _Step(nn.Module):
    """c_k. features [B, F, h/2, w/2], r and |r| of k passes [B, 2 k M, h/2, w/2], index [B]
    -> d, dt [B, M, h/2, w/2].
    """

    def __init__(self, decoded: int, latent: int, features: int, width: int):
        super().__init__()
        leave = TrainableExact(
            2 * width, 2 * latent, output_bits=MEAN_BITS, output_range=MEAN_RANGE, relu=False, scale=2.0
        )
        with torch.no_grad():
            leave.weight.mul_(0.01)
        self.layers = nn.ModuleList(
            [TrainableExact(features + decoded, width, input_range=SIGNED), TrainableExact(width, width, 3), leave]
        )
        self.gain = IndexTable(width)
        """log gain after the first layer."""

    def forward(self, features: Tensor, r: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        enter, look, leave = self.layers
        a = enter(torch.cat([features, r], 1), self.gain(index).exp())
        d, dt = leave(torch.cat([a, look(a)], 1)).chunk(2, 1)
        return d, dt


class ContextHyperprior(Hyperprior):
    """forward: y [B, M, h, w] (h, w multiples of 4), index [B] -> Likelihood. M is a multiple of GROUPS."""

    def __init__(self, config: HyperConfig, context: ContextConfig):
        super().__init__(config)
        self.context = nn.ModuleList(
            [_Step(2 * k * config.latent, config.latent, config.middle, context.width) for k in range(1, PASSES)]
        )

    def forward(self, y: Tensor, index: Tensor, rounded: bool = False) -> Likelihood:
        z_hat, bits_z = self.hyper_latent(y, index)
        features, mu_0, t_0 = self.h_s.stages(z_hat, index)
        mu_0, t_0, y = (F.pixel_unshuffle(a, 2) for a in (mu_0, t_0, y.float()))
        narrow, widen = (a.to(y.device)[table_of(t_0.detach())] for a in spread_tables())
        y_hat, decoded = torch.empty_like(y), []
        bits_y = torch.zeros_like(bits_z)
        for k in range(PASSES):
            own = pass_channels(self.config.latent, k)
            mu, t = mu_0[:, own], t_0[:, own]
            if k:
                d, dt = self.context[k - 1](features, torch.cat(decoded, 1), index)
                mu = _mean(mu, d, widen[:, own])
                t = clamp_inward(t + dt, 0, SCALES - 1)
            residual = y[:, own] - mu
            seen, change = self.quantise(residual)
            bits_y = bits_y + residual_bits(residual, t, self.training, rounded, seen)
            part = mu + residual + change
            y_hat = y_hat.index_copy(1, torch.tensor(own, device=y.device), part)
            residual = part - mu_0[:, own]
            r = _context(residual, narrow[:, own])
            decoded += [r, r.abs()]
        return Likelihood(F.pixel_shuffle(y_hat, 2), bits_y, bits_z)


def spread_tables() -> tuple[Tensor, Tensor]:
    """1 / spread and spread of the tables: [SCALES] integers in float64, in units of 2^-NARROW_BITS and 2^-WIDEN_BITS.
    A frozen model holds them as data.
    """
    spread = torch.from_numpy(scale_levels(SCALES, SCALE_LOW, SCALE_HIGH)).clamp_min(LEAST_SPREAD)
    return (2**NARROW_BITS / spread).round(), (2**WIDEN_BITS * spread).round()


def table_of(t: Tensor) -> Tensor:
    """Real-valued table numbers -> integers in [0, SCALES - 1], int64, as coding rounds them."""
    return ((t * 2**MEAN_BITS).round() * 2.0**-MEAN_BITS + 0.5).floor().clamp(0, SCALES - 1).long()


def narrowed(residual: Tensor, narrow: Tensor) -> Tensor:
    """r: y_hat - mu_0 in units of 2^-MEAN_BITS, and 1 / spread of the same shape, integers in float64 -> in units of
    2^-ACTIVATION_BITS, integers in [-ACTIVATION_MAX, ACTIVATION_MAX].
    """
    out = residual.clamp(-RESIDUAL_MAX, RESIDUAL_MAX).mul_(narrow)
    out.add_(2.0 ** (NARROW_SHIFT - 1)).mul_(2.0**-NARROW_SHIFT).floor_()
    return out.clamp_(*SIGNED)


def widened(d: Tensor, widen: Tensor) -> Tensor:
    """dmu: d and spread of the same shape, integers in float64 -> integers; d and dmu in units of 2^-MEAN_BITS."""
    return (d * widen).add_(2.0 ** (WIDEN_BITS - 1)).mul_(2.0**-WIDEN_BITS).floor_()


# -- the same with gradients: real numbers in and out, the values those of the integers


def _context(residual: Tensor, narrow: Tensor) -> Tensor:
    with torch.autocast(residual.device.type, enabled=False):
        top = ACTIVATION_MAX / 2**ACTIVATION_BITS
        real = clamp_inward(residual * (narrow * 2.0**-NARROW_BITS).float(), -top, top)
        exact = narrowed((residual.detach().double() * 2**MEAN_BITS).round(), narrow) * 2.0**-ACTIVATION_BITS
        return real + (exact.float() - real).detach()


def _mean(mu_0: Tensor, d: Tensor, widen: Tensor) -> Tensor:
    with torch.autocast(d.device.type, enabled=False):
        low, high = (end / 2**MEAN_BITS for end in MEAN_RANGE)
        real = clamp_inward(mu_0 + d * (widen * 2.0**-WIDEN_BITS).float(), low, high)
        start, change = ((a.detach().double() * 2**MEAN_BITS).round() for a in (mu_0, d))
        exact = (start + widened(change, widen)).clamp_(*MEAN_RANGE) * 2.0**-MEAN_BITS
        return real + (exact.float() - real).detach()
