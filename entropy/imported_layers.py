"""Integer layers for hyper-decoders that were trained as ordinary floats: quantised once, when a model is imported.

    a (integers) -> clamp -> 3 x 3 sums, zeros beyond the borders -> + b -> floor((… + half) / 2^shift) -> clamp

`exact` trains its layers as the integers that they will be; a foreign network was not, so here weights have 15 bits and
a sign, with a power of two of its own for each output, and activations ACTIVATION_BITS fractional bits: enough that the
integers follow the floats to about a thousandth. The bound that makes sums exact is
recomputed from the weights whenever a program is made of them (see `program`).

A transposed convolution of 5 x 5 with stride 2 is four convolutions, one for each parity of row and column, all of
which fit into 3 x 3 (`phases`); a pixel shuffle puts their outputs in place. A leaky ReLU is x from 0 on and
floor(slope x / 2^16) below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from .program import FLOAT64_BOUND, Builder

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
    """weight: int16 [cout, cin * 9]; bias: int64 [cout]; shift: int16 [cout]. Immutable."""

    weight: np.ndarray
    bias: np.ndarray
    shift: np.ndarray

    def __post_init__(self) -> None:
        """Raises ModelError when a shift is out of range."""
        if self.shift.min() < 0 or self.shift.max() > SHIFT_MAX:
            raise ModelError("the model's shifts are out of range")

    def steps(self, b: Builder, a: int) -> int:
        """Add the layer to a program: its input, [cin] in [-LIMIT, LIMIT], -> its output, [cout] in the same range."""
        a = b.matmul(b.window(a, KERNEL, KERNEL, edge=False), self.weight, self.bias)
        return b.clamp(b.shift(a, self.shift), -LIMIT, LIMIT)


def leaky(b: Builder, x: int, slope: int) -> int:
    """x, in [-LIMIT, LIMIT] -> x where it is at least 0, floor(slope x / 2^SLOPE_BITS) elsewhere. Slope 0: ReLU."""
    above = b.clamp(x, 0, LIMIT)
    if not slope:
        return above
    below = b.multiply(b.clamp(x, -LIMIT, 0), b.constant([slope]))
    return b.add(above, b.shift(below, SLOPE_BITS, rounds=False))


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
