"""The networks of the interpolation model in training: what a sample is likely to be, given what it sees.

Their steps and sizes are those of `interpolation_layers`, which code. `ShiftLayer` is the trainable form of a layer:
real weights, multiplied in bfloat16 at first, then (`exact`) rounded as they will be frozen, with straight-through
gradients. Its frozen form takes its place for coding: training and coding run the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .interpolation import (
    CHANNELS,
    PHASES,
    SPAN,
    View,
    chroma_inputs,
    differences,
    luma_inputs,
    padded,
    power_of_half,
    split_phases,
)
from .interpolation_layers import (
    MAX_BITS,
    MIN_BITS,
    InterpolationConfig,
    Layer,
    TrunkSteps,
    context_layers,
    neighbourhood,
    rows_of,
    trunk_layers,
)
from .mixture_tables import mixture_bits
from .program import FLOAT32_BOUND

__all__ = ["InterpolationNetwork", "ShiftLayer", "frozen_weights"]

HIDDEN_BITS = 6
"""Fractional bits of hidden activations: they reach from 0 to 4."""


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


class Trunk(nn.Module, TrunkSteps):
    """Three layers over what is seen, and for each of `channels` a head."""

    def __init__(self, inputs: int, channels: Sequence[int], config: InterpolationConfig):
        super().__init__()
        k, heads = config.components, range(len(channels))
        made = {
            name: _trained(layer, 0.3 if name.startswith("out.") else 1.0)
            for name, layer in trunk_layers(inputs, channels, config).items()
        }
        self.first, self.second, self.third = made["first"], made["second"], made["third"]
        self.hidden, self.out, self.skip = (
            nn.ModuleList(made[f"{part}.{n}"] for n in heads) for part in ("hidden", "out", "skip")
        )
        with torch.no_grad():
            for n in heads:
                made[f"skip.{n}"].weight.zero_()
                made[f"out.{n}"].bias[2 * k :] = torch.linspace(20, 44, k) / 2**HIDDEN_BITS  # scale indices


def _trained(layer: Layer, gain: float = 1.0) -> ShiftLayer:
    return ShiftLayer(layer.inputs, layer.outputs, layer.low, layer.high, gain)


class ContextNetwork(nn.Module):
    """Three layers of 3 x 3 over the steps between the samples of plane 00: how rough it is around here."""

    def __init__(self, config: InterpolationConfig):
        super().__init__()
        self.layers = nn.ModuleList(_trained(layer) for layer in context_layers(config))

    def forward(self, steps: Tensor, exact: bool) -> Tensor:
        """steps: `differences` [B, h, w, 2 C] -> [B, h, w, context] integers."""
        for layer in self.layers:
            steps = layer(neighbourhood(padded(steps, *steps.shape[1:3]), 0, steps.shape[1]), exact)
        return steps


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
