"""The integer layer of networks that were trained as such: a few steps of a program (see `program`).

    a (integers in their range) -> sum_k w_k a_k + b -> * gain -> floor(/ 2^shift + 1/2) -> + offset -> clamp

Gains and offsets are rows, those of a quality. `exact.TrainableExact` is trained and gives an `ExactLayer`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .program import Builder

__all__ = ["ACTIVATION_BITS", "ACTIVATION_MAX", "GAIN_BITS", "GAIN_MAX", "WEIGHT_BITS", "ExactLayer"]

ACTIVATION_BITS = 8
"""Fractional bits of hidden activations."""
ACTIVATION_MAX = 2**13 - 1
"""Hidden activations are integers in [0, ACTIVATION_MAX]."""
WEIGHT_BITS = 12
"""Fractional bits of weights, which are stored as int16."""
GAIN_BITS = 10
"""Fractional bits of the integer multipliers."""
GAIN_MAX = 2**14 - 1


@dataclass(frozen=True)
class ExactLayer:
    """weight: [cout, cin * k * k] integers, |w| < 2^15; bias: [cout] integers; kernel: k (odd; borders are
    replicated); shift: bits dropped after the gain, in which 2^GAIN_BITS stands for 1; output_range: the clamp.
    """

    weight: np.ndarray
    bias: np.ndarray
    kernel: int
    shift: int
    output_range: tuple[int, int]

    def steps(self, b: Builder, a: int, gain: int | None = None, offset: int | None = None) -> int:
        """Add the layer to a program: registers of its input, gain in [0, GAIN_MAX] (None: 1) and offset (None: 0) ->
        that of its output.
        """
        a = b.matmul(b.window(a, self.kernel, self.kernel, edge=True), self.weight, self.bias)
        a = b.shift(a, self.shift - GAIN_BITS) if gain is None else b.shift(b.multiply(a, gain), self.shift)
        return b.clamp(a if offset is None else b.add(a, offset), *self.output_range)
