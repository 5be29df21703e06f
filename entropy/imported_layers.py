"""Integer layers for hyper-decoders that were trained as ordinary floats: quantised once, when a model is imported.

    a (integers) -> clamp -> 3 x 3 sums, zeros beyond the borders -> + b -> floor((… + half) / 2^shift) -> clamp

`exact` trains its layers as the integers that they will be; a foreign network was not, so here weights have 15 bits and
a sign, with a power of two of its own for each output, and activations ACTIVATION_BITS fractional bits: enough that the
integers follow the floats to about a thousandth. Sums are made in float64 by `exact.exact_sums`, and the bound that
makes them exact is recomputed from the weights whenever a layer is made.

A transposed convolution of 5 x 5 with stride 2 is four convolutions, one for each parity of row and column, all of
which fit into 3 x 3 (`phases`); a pixel shuffle puts their outputs in place. A leaky ReLU is x from 0 on and
floor(slope x / 2^16) below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ModelError
from .exact import FLOAT64_BOUND, exact_sums

__all__ = ["ACTIVATION_BITS", "LIMIT", "SLOPE_BITS", "ImportedLayer", "integers_of", "leaky", "phases"]

ACTIVATION_BITS = 12
"""Fractional bits of what goes into a layer and comes out of it."""
LIMIT = 2**23
"""Inputs and outputs are integers in [-LIMIT, LIMIT], so +-2048 in real numbers."""
SLOPE_BITS = 16
SHIFT_MAX = 24
KERNEL = 3


@dataclass(frozen=True)
class ImportedLayer:
    """weight: [cout, cin * 9] integers, |w| < 2^15; bias: [cout] integers; half, step: [cout, 1, 1], 2^(shift - 1) and
    2^-shift. Float64, immutable.
    """

    weight: Tensor
    bias: Tensor
    half: Tensor
    step: Tensor

    @classmethod
    def build(cls, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> ImportedLayer:
        """weight: int16 [cout, cin * 9]; bias: int64 [cout]; shift: int16 [cout]. Raises ModelError when the sums could
        leave what float64 adds exactly, or a shift is out of range.
        """
        if shift.min() < 0 or shift.max() > SHIFT_MAX:
            raise ModelError("the model's shifts are out of range")
        bound = np.abs(weight.astype(np.float64)).sum(1) * LIMIT + np.abs(bias.astype(np.float64))
        if float(bound.max()) + 2.0**SHIFT_MAX >= FLOAT64_BOUND:
            raise ModelError(f"an exact layer can reach {bound.max():.4g}: beyond what float64 sums exactly")
        power = torch.from_numpy(np.ldexp(1.0, -shift.astype(np.int64)))[:, None, None]
        w, b = torch.from_numpy(weight.astype(np.float64)), torch.from_numpy(bias.astype(np.float64))
        return cls(w, b, 0.5 / power, power)

    def to(self, device: torch.device | str) -> ImportedLayer:
        """The same layer on another device."""
        return ImportedLayer(*(tensor.to(device) for tensor in (self.weight, self.bias, self.half, self.step)))

    def __call__(self, a: Tensor) -> Tensor:
        """a: [B, cin, H, W] integers in float64 -> [B, cout, H, W] integers in float64."""
        with torch.autocast(a.device.type, enabled=False):
            a = F.pad(a.clamp(-LIMIT, LIMIT), (1, 1, 1, 1))
            size = a.shape[2] - 2, a.shape[3] - 2
            out = exact_sums(F.unfold(a, KERNEL).unflatten(2, size), self.weight, self.bias, 1)
            return out.add_(self.half).mul_(self.step).floor_().clamp_(-LIMIT, LIMIT)


def leaky(x: Tensor, slope: int) -> Tensor:
    """x: integers in float64 -> x where it is at least 0, floor(slope x / 2^SLOPE_BITS) elsewhere. Slope 0: ReLU."""
    return torch.where(x < 0, torch.floor(x * (slope * 2.0**-SLOPE_BITS)), x)


def integers_of(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real weights [cout, cin, 3, 3] and biases [cout] -> weight, bias, shift as `ImportedLayer.build` takes them.

    Each output has the largest shift, so the finest weights, that 16 bits and the bound allow. Raises ModelError when
    there is none.
    """
    cout = len(weight)
    flat, bias = weight.astype(np.float64).reshape(cout, -1), bias.astype(np.float64)
    integers, biases, shifts = np.empty(flat.shape, np.int16), np.empty(cout, np.int64), np.empty(cout, np.int16)
    for o in range(cout):
        for shift in range(SHIFT_MAX, -1, -1):
            w, b = np.rint(np.ldexp(flat[o], shift)), float(np.rint(math.ldexp(bias[o], shift + ACTIVATION_BITS)))
            # Three quarters of the bound: room for the half that is added.
            if np.abs(w).max() < 2**15 and np.abs(w).sum() * LIMIT + abs(b) < FLOAT64_BOUND / 4 * 3:
                integers[o], biases[o], shifts[o] = w, b, shift
                break
        else:
            raise ModelError(f"weights up to {np.abs(flat[o]).max():.4g} are too large for exact integer sums")
    return integers, biases, shifts


def phases(weight: np.ndarray) -> np.ndarray:
    """Weights [cin, cout, 5, 5] of a transposed convolution with stride 2, padding 2 and output padding 1 -> weights
    [4 cout, cin, 3, 3] of a convolution whose outputs 4 c + 2 di + dj are its outputs c at (2 i + di, 2 j + dj).

    Output 2 i + di takes input i + t through the tap di + 2 - 2 t of 0 to 4, for t = -1, 0, 1: three taps for even
    outputs, two for odd ones.
    """
    cin, cout = weight.shape[:2]
    out = np.zeros((cout, 2, 2, cin, KERNEL, KERNEL), weight.dtype)
    taps = [(d, t, d + 2 - 2 * t) for d in (0, 1) for t in (-1, 0, 1) if d + 2 - 2 * t < 5]
    for di, ti, ki in taps:
        for dj, tj, kj in taps:
            out[:, di, dj, :, ti + 1, tj + 1] = weight[:, :, ki, kj].T
    return out.reshape(4 * cout, cin, KERNEL, KERNEL)
