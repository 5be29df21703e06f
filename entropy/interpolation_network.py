"""The networks of the interpolation model: what a sample is likely to be, given what it sees.

    seen, context -> first -> second -> third -> for each channel: hidden -> logits, means, scales of a mixture
    seen ------------------------------------------------------- skip ----------> + means

Hidden activations are integers 0 to 255, what is seen integers -255 to 255, weights integers with a power of two for
each row, chosen so that every sum is exact in float32, in any order (see `exact`). `ShiftLayer` is the trainable form:
real weights, multiplied in bfloat16 at first, then (`exact`) rounded as they will be frozen, with straight-through
gradients. `FrozenLayer` takes its place for coding: training and coding run the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError
from .interpolation import (
    CHANNELS,
    MARGIN,
    PHASES,
    SPAN,
    View,
    chroma_inputs,
    differences,
    luma_inputs,
    own_inputs,
    padded,
    power_of_half,
    split_phases,
)
from .mixture import LOGIT_MAX, MEAN_MAX, SCALES, mixture_bits
from .program import FLOAT32_BOUND

__all__ = ["FrozenLayer", "InterpolationConfig", "InterpolationNetwork", "ShiftLayer", "frozen_weights", "rows_of"]

HIDDEN_BITS = 6
"""Fractional bits of hidden activations: they reach from 0 to 4."""
MAX_BITS = 14
MIN_BITS = -8


@dataclass(frozen=True)
class InterpolationConfig:
    """context: features of the context network; width, middle: units of a trunk's layers; head: of each channel's
    hidden layer; components: K; groups: networks for levels 0, 1, ..., the last one for all further levels.
    """

    context: int = 32
    width: int = 160
    middle: int = 96
    head: int = 64
    components: int = 5
    groups: int = 3


def row_bits(weight: Tensor, bias: Tensor) -> Tensor:
    """weight [out, in], bias [out] in units of the output's integers -> [out] fractional bits for each row: the most,
    up to MAX_BITS, for which sum |w| SPAN + |b| stays below FLOAT32_BOUND however the weights are rounded.
    """
    reach = (weight.abs().sum(1) * SPAN + bias.abs()).double()
    room = FLOAT32_BOUND - 2 - SPAN * (weight.shape[1] + 1) / 2
    return torch.floor(torch.log2(room / reach.clamp_min(1e-9))).clamp(MIN_BITS, MAX_BITS)


class ShiftLayer(nn.Module):
    """The trainable form of a layer of integer sums and shifts. a [..., in] integers (as floats) -> [..., out]
    integers:

        out = clamp(floor((sum_i w_oi a_i + b_o) / 2^bits_o + 1/2), low, high)
    """

    def __init__(self, inputs: int, outputs: int, low: int = 0, high: int = SPAN, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * gain * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.low, self.high = low, high

    def real(self) -> tuple[Tensor, Tensor]:
        """Weight and bias in units of the output's integers."""
        return self.weight, self.bias * 2.0**HIDDEN_BITS

    def forward(self, a: Tensor, exact: bool, wide: bool = False) -> Tensor:
        """exact: round as the frozen layer does; wide: multiply in float32 even if not."""
        weight, bias = self.real()
        if not exact and not wide:
            out = F.linear(a.bfloat16(), weight.bfloat16(), bias.bfloat16())
            return F.hardtanh(out, self.low, self.high)  # its gradient is many times faster than clamp's
        if exact:
            with torch.no_grad():
                w, b, bits = frozen_weights(self)
                unit = torch.ldexp(torch.ones_like(bits), -bits.int())
                rounded = w * unit[:, None], b * unit
            weight = weight + (rounded[0] - weight).detach()
            bias = bias + (rounded[1] - bias).detach()
        out = F.linear(a.float(), weight, bias)
        if exact:
            out = out + (torch.floor(out.detach() + 0.5) - out.detach())
        return F.hardtanh(out, self.low, self.high)


@torch.no_grad()
def frozen_weights(layer: ShiftLayer) -> tuple[Tensor, Tensor, Tensor]:
    """-> integer weights [out, in], integer biases [out], bits [out], float32."""
    weight, bias = layer.real()
    bits = row_bits(weight, bias)
    one = torch.ldexp(torch.ones_like(bits), bits.int())
    return (weight * one[:, None]).round().float(), (bias * one).round().float(), bits.float()


class FrozenLayer(nn.Module):
    """A layer for coding. weight: int16 [out, in], bias: int32 [out], bits: int8 [out]; low, high: the output's clamp.

    Raises ModelError unless sum |w| SPAN + |b| stays below FLOAT32_BOUND in every row.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: np.ndarray, bias: np.ndarray, bits: np.ndarray, low: int, high: int):
        super().__init__()
        reach = np.abs(weight.astype(np.int64)).sum(1) * SPAN + np.abs(bias.astype(np.int64))
        if reach.max() >= FLOAT32_BOUND or bits.min() < MIN_BITS or bits.max() > MAX_BITS:
            raise ModelError(f"an exact layer can reach {reach.max()}: beyond what float32 sums exactly")
        self._low, self._high = float(low), float(high)
        unit = np.ldexp(np.float32(1), -bits.astype(np.int32))
        self.register_buffer("weight", torch.from_numpy(weight.astype(np.float32) * unit[:, None]))
        self.register_buffer("bias", torch.from_numpy(bias.astype(np.float32) * unit + np.float32(0.5)))

    def forward(self, a: Tensor, exact: bool = True, wide: bool = False) -> Tensor:
        """As `ShiftLayer` with `exact`: scaled by powers of two, sums are as exact as sums of the integers."""
        return F.linear(a, self.weight, self.bias).floor_().clamp_(self._low, self._high)


class Trunk(nn.Module):
    """Three layers over what is seen, and for each of `channels` a head."""

    def __init__(self, inputs: int, channels: Sequence[int], config: InterpolationConfig):
        super().__init__()
        k, own = config.components, [own_inputs(c) for c in channels]
        self.first = ShiftLayer(inputs + config.context, config.width)
        self.second = ShiftLayer(config.width, config.middle)
        self.third = ShiftLayer(config.middle, config.middle)
        self.hidden = nn.ModuleList(ShiftLayer(config.middle + n, config.head) for n in own)
        outs = [ShiftLayer(config.head, 3 * k, -MEAN_MAX, MEAN_MAX, 0.3) for _ in own]
        skips = [ShiftLayer(inputs + n, k, -MEAN_MAX, MEAN_MAX) for n in own]
        self.out, self.skip = nn.ModuleList(outs), nn.ModuleList(skips)
        with torch.no_grad():
            for out, skip in zip(outs, skips, strict=True):
                skip.weight.zero_()
                out.bias[2 * k :] = torch.linspace(20, 44, k) / 2**HIDDEN_BITS  # scale indices

    def features(self, seen: Tensor, context: Tensor, exact: bool) -> Tensor:
        """seen [N, inputs], context [N, context] -> [N, middle]."""
        return self.third(self.second(self.first(beside(seen, context), exact), exact), exact)

    def head(
        self, n: int, features: Tensor, seen: Tensor, own: Tensor | None, exact: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of channel number n; own: [N, own_inputs] or None -> logits, means from the reference, scale indices, [N,
        K].
        """
        if own is not None:
            features, seen = beside(features, own.to(features.dtype)), beside(seen, own)
        out = self.out[n](self.hidden[n](features, exact), exact).float()
        skip = self.skip[n](seen, exact, wide=True).float()
        logit, mean, scale = out.chunk(3, -1)
        return F.hardtanh(logit, -LOGIT_MAX, LOGIT_MAX), mean + skip, F.hardtanh(scale, 0, SCALES - 1)


class ContextNetwork(nn.Module):
    """Three layers of 3 x 3 over the steps between the samples of plane 00: how rough it is around here."""

    def __init__(self, config: InterpolationConfig):
        super().__init__()
        widths = [2 * CHANNELS, config.context, config.context, config.context]
        self.layers = nn.ModuleList(ShiftLayer(9 * i, o) for i, o in zip(widths, widths[1:], strict=False))
        self.features = config.context

    def forward(self, steps: Tensor, exact: bool) -> Tensor:
        """steps: `differences` [B, h, w, 2 C] -> [B, h, w, context] integers."""
        for layer in self.layers:
            steps = layer(_neighbourhood(padded(steps, *steps.shape[1:3]), 0, steps.shape[1]), exact)
        return steps

    def in_strips(self, steps: Tensor, rows: int) -> Tensor:
        """The same for coding, uint8, some rows at a time: what layers look at is nine times what they hold."""
        height, width = steps.shape[1:3]
        for layer in self.layers:
            ready = padded(steps, height, width)
            out = torch.empty((len(steps), height, width, self.features), dtype=torch.uint8, device=steps.device)
            for top in range(0, height, rows):
                end = min(top + rows, height)
                out[:, top:end] = layer(_neighbourhood(ready, top, end).float(), True)
            steps = out
        return steps


def _neighbourhood(ready: Tensor, top: int, end: int) -> Tensor:
    """ready: `padded` -> [B, end - top, w, 9 C]: each position of these rows with its eight neighbours."""
    w = ready.shape[2] - 2 * MARGIN - 1
    return torch.cat([ready[:, r + top : r + end, c : c + w] for r in range(1, 4) for c in range(1, 4)], -1)


def beside(*parts: Tensor) -> Tensor:
    """[N, n] each -> [N, sum of n]. What `rows_of` gives lies in memory feature by feature: so it is put together."""
    return torch.cat([part.t() for part in parts]).t()


def rows_of(seen: Tensor) -> Tensor:
    """[B, n, h, w] -> [B h w, n]."""
    return seen.flatten(2).transpose(1, 2).flatten(0, 1)


class InterpolationNetwork(nn.Module):
    """forward: pictures [B, H, W, 3] (YCoCg-R, integers as floats), levels, deep -> bits [levels, 3 channels]: sums
    over the batch for all samples of the finest levels. deep: the samples have 16 bits, not 8; bits that are shifted
    out, and coded as they are, are not counted.
    """

    def __init__(self, config: InterpolationConfig):
        super().__init__()
        self.config, self.exact = config, False
        groups = range(config.groups)
        self.context = nn.ModuleList(ContextNetwork(config) for _ in groups)
        self.luma = nn.ModuleList(nn.ModuleList(Trunk(luma_inputs(p), [0], config) for p in PHASES) for _ in groups)
        self.chroma = nn.ModuleList(
            nn.ModuleList(Trunk(chroma_inputs(p), [1, 2], config) for p in PHASES) for _ in groups
        )

    def context_of(self, group: int) -> ContextNetwork:
        network = self.context[group]
        assert isinstance(network, ContextNetwork)
        return network

    def trunk(self, chroma: bool, group: int, phase: int) -> Trunk:
        phases = (self.chroma if chroma else self.luma)[group]
        assert isinstance(phases, nn.ModuleList)
        trunk = phases[phase]
        assert isinstance(trunk, Trunk)
        return trunk

    def forward(self, picture: Tensor, levels: int = 4, deep: bool = False) -> Tensor:
        channels = list(picture.unbind(-1))
        rows = []
        for level in range(levels):
            if min(channels[0].shape[1:]) < 2:
                break
            planes = [split_phases(c) for c in channels]
            group = min(level, self.config.groups - 1)
            context = self.context[group](differences([p[0, 0] for p in planes], deep), self.exact)
            bits = [torch.zeros((), device=picture.device) for _ in range(CHANNELS)]
            for n, phase in enumerate(PHASES):
                y, co, cg = (p[phase.target] for p in planes)
                _, h, w = y.shape
                view, near, rows_all = View(phase, planes, h, w, deep), context[:, :h, :w].flatten(0, 2), slice(0, h)
                seen, mean, shift = view.luma(rows_all)
                seen, trunk = rows_of(seen), self.trunk(False, group, n)
                features = trunk.features(seen, near, self.exact)
                parts = trunk.head(0, features, seen, None, self.exact)
                bits[0] = bits[0] + _bits(y, mean, shift, parts, 0)

                seen, means, shifts, windows = view.chroma(rows_all)
                seen, trunk = rows_of(seen), self.trunk(True, group, n)
                features = trunk.features(seen, near, self.exact)
                parts = trunk.head(0, features, seen, None, self.exact)
                bits[1] = bits[1] + _bits(co, means[0], shifts[0], parts, 1)
                own = rows_of(view.own(co - means[0], shifts[0], windows))
                parts = trunk.head(1, features, seen, own, self.exact)
                bits[2] = bits[2] + _bits(cg, means[1], shifts[1], parts, 2)
            rows.append(torch.stack(bits))
            channels = [p[0, 0] for p in planes]
        return torch.stack(rows)


def _bits(
    target: Tensor, mean: Tensor, shift: Tensor | None, parts: tuple[Tensor, Tensor, Tensor], channel: int
) -> Tensor:
    most = 255.0 if shift is None else 65535.0
    unit = None if shift is None else power_of_half(shift)
    x, low, high = (
        (v if unit is None else torch.floor(v * unit)).flatten()
        for v in (target - mean, (-most if channel else 0.0) - mean, most - mean)
    )
    return mixture_bits(x, *parts, low, high).sum()
