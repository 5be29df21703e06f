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

`ContextHyperprior` is trained; what its `frozen` returns makes a `ContextCoding` (in `context_coding`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .context_coding import GROUPS, NARROW_BITS, NARROW_SHIFT, PASSES, PHASES, SIGNED, SPREADS, WIDEN_BITS
from .exact import TrainableExact, clamp_inward, straight_through
from .hyperprior import HyperConfig, Hyperprior, IndexTable, Likelihood, gain_table
from .hyperprior_coding import SCALE_LOW, SCALE_STEP, layer_tensors
from .latents import MEAN_BITS
from .layers import ACTIVATION_BITS, ACTIVATION_MAX

__all__ = ["ContextConfig", "ContextHyperprior", "ContextStep", "in_passes"]

LEAST_SPREAD = 0.25


@dataclass(frozen=True)
class ContextConfig:
    """Sizes of the context networks."""

    width: int = 128
    """Channels between their layers."""


class ContextStep(nn.Module):
    """c_k. features [B, F, h/2, w/2], r and |r| of k passes [B, 2 k M, h/2, w/2], index [B], state: what the pass
    before hands on, of models with a memory -> d, dt [B, M, h/2, w/2], state of this pass.
    """

    def __init__(self, decoded: int, c: HyperConfig, width: int):
        super().__init__()
        leave = TrainableExact(
            2 * width, 2 * c.latent, output_bits=MEAN_BITS, output_range=c.mean_range, relu=False, scale=2.0
        )
        with torch.no_grad():
            leave.weight.mul_(0.01)
        self.layers = nn.ModuleList(
            [TrainableExact(c.middle + decoded, width, input_range=SIGNED), TrainableExact(width, width, 3), leave]
        )
        self.gain = IndexTable(width, knots=c.knots)
        """log gain after the first layer."""

    def forward(
        self, features: Tensor, r: Tensor, index: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        enter, look, _ = self.layers
        a = enter(torch.cat([features, r], 1), self.gain(index).exp())
        change, state = self.changes(a, look(a), state)
        d, dt = change.chunk(2, 1)
        return d, dt, state

    def changes(self, a: Tensor, b: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """a, b of c_k -> d and dt [B, 2 M, h/2, w/2], state."""
        return self.layers[2](torch.cat([a, b], 1)), None


class ContextHyperprior(Hyperprior):
    """forward: y [B, M, h, w] (h, w multiples of 4), index [B] -> Likelihood. M is a multiple of GROUPS."""

    def __init__(self, config: HyperConfig, context: ContextConfig):
        super().__init__(config)
        self.context = nn.ModuleList(
            [ContextStep(2 * k * config.latent, config, context.width) for k in range(1, PASSES)]
        )
        self.narrow: Tensor
        self.widen: Tensor
        for name, table in zip(("narrow", "widen"), spread_tables(config.tables), strict=True):
            self.register_buffer(name, table, persistent=False)

    def forward(self, y: Tensor, index: Tensor, rounded: bool = False) -> Likelihood:
        z_hat, bits_z = self.hyper_latent(y, index)
        features, mu_0, t_0 = self.h_s.stages(z_hat, index)

        def code(y: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            return self.code(y, mu, t, rounded)

        start, spreads = (features, mu_0, t_0), (self.narrow, self.widen)
        y_hat, bits_y = in_passes(self.context, y, start, index, code, spreads, self.config.reach)
        return Likelihood(y_hat, bits_y, bits_z)

    @torch.no_grad()
    def frozen(self) -> dict[str, np.ndarray]:
        """The tensors of a `ContextCoding`, with the tables that training fitted."""
        out = super().frozen()
        for k, step in enumerate(self.context, 1):
            for n, layer in enumerate(step.layers):  # pyright: ignore[reportArgumentType]
                out |= layer_tensors(f"context.{k}.{n}", layer.freeze())
            out[f"context.{k}.gain"] = gain_table(step.gain)  # pyright: ignore[reportArgumentType]
        spreads = (self.narrow.cpu().numpy(), self.widen.cpu().numpy())
        return out | {f"context.{name}": a.astype(np.int32) for name, a in zip(SPREADS, spreads, strict=True)}


def in_passes(
    steps: nn.ModuleList,
    y: Tensor,
    start: tuple[Tensor, Tensor, Tensor],
    index: Tensor,
    code: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
    spreads: tuple[Tensor, Tensor],
    reach: int,
) -> tuple[Tensor, Tensor]:
    """The four passes. steps: c_1 to c_3; y [B, M, h, w]; start: features [B, F, h/2, w/2], mu_0 and t_0 [B, M, h, w];
    code: values, means and table numbers -> y_hat and bits [B]; spreads: see `spread_tables`; means are within
    +-2^reach in units of 2^-MEAN_BITS -> y_hat [B, M, h, w], bits [B].
    """
    features, (narrow, widen), training = start[0], spreads, steps.training
    mu_0, t_0, y = (F.pixel_unshuffle(a, 2) for a in (*start[1:], y.float()))
    top = len(narrow) - 1
    table_0 = table_of(t_0.detach(), top)
    parts, decoded, state = [], [], None
    total = torch.zeros(len(y), device=y.device)
    for k in range(PASSES):
        first, t, spread = (_of_pass(a, k) for a in (mu_0, t_0, table_0))
        mu = first
        if k:
            d, dt, state = steps[k - 1](features, torch.cat(decoded, 1), index, state)
            mu = _mean(first, d, widen[spread], (-(2**reach), 2**reach - 1), training)
            t = clamp_inward(t + dt, 0, top)
        part, bits = code(_of_pass(y, k), mu, t)
        parts.append(part)
        total = total + bits
        r = _context(part - first, narrow[spread], reach, training)
        decoded += [r, r.abs()]
    return F.pixel_shuffle(_of_all_passes(parts), 2), total


def _of_pass(folded: Tensor, k: int) -> Tensor:
    """[B, 4 M, h, w] -> [B, M, h, w]: the channels that `pass_channels` names, taken as views."""
    places = folded.unflatten(1, (-1, GROUPS, PASSES))
    return torch.stack([places[:, :, g, PHASES[k][g]] for g in range(GROUPS)], 2).flatten(1, 2)


def _of_all_passes(parts: list[Tensor]) -> Tensor:
    """What `_of_pass` took of each pass [B, M, h, w] -> [B, 4 M, h, w]."""
    own = [part.unflatten(1, (-1, GROUPS)) for part in parts]
    where = [[PHASES[k][g] for k in range(PASSES)] for g in range(GROUPS)]  # a group's place in each pass
    places = [torch.stack([own[where[g].index(p)][:, :, g] for p in range(PASSES)], 2) for g in range(GROUPS)]
    return torch.stack(places, 2).flatten(1, 3)


def spread_tables(tables: int) -> tuple[Tensor, Tensor]:
    """1 / spread and spread of the tables: [tables] integers in float64, in units of 2^-NARROW_BITS and 2^-WIDEN_BITS.
    A frozen model holds them as data.
    """
    spread = (SCALE_LOW * torch.exp(torch.arange(tables, dtype=torch.float64) * SCALE_STEP)).clamp_min(LEAST_SPREAD)
    return (2**NARROW_BITS / spread).round(), (2**WIDEN_BITS * spread).round()


def table_of(t: Tensor, top: int) -> Tensor:
    """Real-valued table numbers -> integers in [0, top], int64, as coding rounds them."""
    return ((t * 2**MEAN_BITS).round() * 2.0**-MEAN_BITS + 0.5).floor().clamp(0, top).long()


def narrowed(residual: Tensor, narrow: Tensor, reach: int) -> Tensor:
    """r: y_hat - mu_0 in units of 2^-MEAN_BITS, clamped to less than +-2^reach, and 1 / spread of the same shape,
    integers in float64 -> in units of 2^-ACTIVATION_BITS, integers in [-ACTIVATION_MAX, ACTIVATION_MAX].
    """
    most = 2.0**reach - 1
    out = residual.clamp(-most, most).mul_(narrow)
    out.add_(2.0 ** (NARROW_SHIFT - 1)).mul_(2.0**-NARROW_SHIFT).floor_()
    return out.clamp_(*SIGNED)


def widened(d: Tensor, widen: Tensor) -> Tensor:
    """dmu: d and spread of the same shape, integers in float64 -> integers; d and dmu in units of 2^-MEAN_BITS."""
    return (d * widen).add_(2.0 ** (WIDEN_BITS - 1)).mul_(2.0**-WIDEN_BITS).floor_()


# -- the same with gradients, on real numbers; in training in float32: the integers' values but for a rare last bit


def _context(residual: Tensor, narrow: Tensor, reach: int, training: bool) -> Tensor:
    if not training:
        units = (residual.double() * 2**MEAN_BITS).round()
        return (narrowed(units, narrow, reach) * 2.0**-ACTIVATION_BITS).float()
    one = 2.0**ACTIVATION_BITS
    real = residual * (narrow * 2.0**-NARROW_BITS).float()
    top = ACTIVATION_MAX / one
    return clamp_inward(straight_through(real, (real * one + 0.5).floor() * (1 / one)), -top, top)


def _mean(mu_0: Tensor, d: Tensor, widen: Tensor, within: tuple[int, int], training: bool) -> Tensor:
    one = 2.0**MEAN_BITS
    if not training:
        start, change = ((a.double() * one).round() for a in (mu_0, d))
        return ((start + widened(change, widen)).clamp_(*within) * (1 / one)).float()
    low, high = (end / one for end in within)
    change = d * (widen * 2.0**-WIDEN_BITS).float()
    return clamp_inward(mu_0 + straight_through(change, (change * one + 0.5).floor() * (1 / one)), low, high)
