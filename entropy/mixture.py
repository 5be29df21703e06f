"""Mixtures of logistics: one sum node for each sample, whose weights and leaves a network chooses.

    p(x) = sum_k w_k [ F((x + 1/2 - mu_k) / s_k) - F((x - 1/2 - mu_k) / s_k) ],   F the logistic function

as in Salimans et al., "PixelCNN++" (ICLR 2017); the outermost values take the tails. A network gives integers: logits
in 1/16, means in 1/16 of a step, scales as one of SCALES sizes. In training this is ordinary float arithmetic
(`mixture_tables.mixture_bits`). For coding it is integer tables (`Leaves`): F at every 1/16 step and for every scale,
the weights exp(-n / 16), all made once when a model is frozen. Coding is written for arrays of numpy and of torch.

A value is coded as one of 16 buckets around the middle of its mixture (the inner 14 of a power of two wide enough to
hold nearly everything), or one of 18 octaves beyond them, then by its place there. So a decoder needs 17 sums for most,
not hundreds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError
from .arrays import (
    Array,
    beside,
    different,
    doubled,
    either,
    exponent,
    indices,
    joined,
    largest,
    placed,
    plain,
    short,
    taken,
    whole,
    zeros,
)
from .coder import RowCoder
from .counts import counts_of
from .packing import unpack
from .tables import TOTAL

__all__ = [
    "LEAF_BITS",
    "LEAF_REACH",
    "LEAF_TABLES",
    "LOGIT_BITS",
    "LOGIT_MAX",
    "MEAN_BITS",
    "MEAN_MAX",
    "SCALES",
    "WEIGHT_BITS",
    "Leaves",
    "uniform",
]

LOGIT_BITS = 4
LOGIT_MAX = 127
MEAN_BITS = 4
MEAN_MAX = 2**13 - 1
SCALES = 64
"""Scales of the leaves."""
OCTAVES = 18
"""Intervals beyond the buckets, each twice as long as the one before: enough for values 2^18 apart."""
BUCKETS = 16
LEAF_BITS = 22
"""F is in units of 2^-LEAF_BITS."""
LEAF_REACH = 4096
"""F is tabulated to +-LEAF_REACH / 16 steps from the mean; it is 0 or 1 beyond."""
WEIGHT_BITS = 12


LEAF_TABLES = ("leaves", "weights", "spans")
"""Names of the tensors that `mixture_tables.leaf_tables` makes."""


class Leaves:
    """tensors: those of `mixture_tables.leaf_tables`; device: see `arrays.placed`. Raises ModelError when they are not
    of that form. Threads may share one.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], device: Any):
        for name, shape in {"weights": (2 * LOGIT_MAX + 1,), "spans": (SCALES,)}.items():
            array = tensors.get(name)
            if array is None or array.shape != shape or array.dtype != np.int32:
                raise ModelError(f"the model's {name} are not int32 {list(shape)}")
        packed = tensors.get("leaves")
        if packed is None or packed.dtype != np.uint8 or packed.ndim != 1:
            raise ModelError("the model's leaves are not uint8 [n]")
        self.table = np.cumsum(unpack(packed, (SCALES, LEAF_REACH + 1), np.int32), axis=1, dtype=np.int32)
        """int32 [SCALES, LEAF_REACH + 1]."""
        leaves, weights, spans = (a.astype(np.int64) for a in (self.table, tensors["weights"], tensors["spans"]))
        if leaves.min() < 0 or leaves.max() > 2**LEAF_BITS or (np.diff(leaves, axis=1) < 0).any():
            raise ModelError("the model's leaves are not distribution functions")
        if weights.min() < 0 or weights[0] < 1 or weights.max() > 2**WEIGHT_BITS:
            raise ModelError("the model's weights are out of range")
        if spans.min() < 0 or spans.max() > 2**12:
            raise ModelError("the model's spans are out of range")
        # Both halves, F(-d) = 1 - F(d), and at either end what lies beyond: 0 and 1.
        both = np.concatenate([2**LEAF_BITS - leaves[:, :0:-1], leaves], 1)
        both[:, 0], both[:, -1] = 0, 2**LEAF_BITS
        arrays = both.astype(np.float32).reshape(-1), weights.astype(np.int32), spans.astype(np.int32)
        self._leaves, self._weights, self._spans = (placed(array, str(device)) for array in arrays)  # below 2^24

    def code(
        self,
        coder: RowCoder,
        logit: Array,
        mean: Array,
        scale: Array,
        low: Array,
        high: Array,
        x: Array | None,
    ) -> Array:
        """Code n values. logit, mean, scale: [n, K] integers as floats; low, high: [n] the least and the largest value,
        up to 2^18 apart; x: [n], or None when the coder reads -> the values, [n] int64.
        """
        mixture = _Mixture(self, logit, mean, scale, low, high)
        given = None if x is None else whole(x)
        # The middle bucket's edges, and which of the 16 it is.
        width, middle = mixture.width, mixture.middle
        first = middle - (BUCKETS // 2 - 1) * width  # where bucket 1 begins
        edges = first[:, None] + beside(np.arange(BUCKETS - 1), width) * width[:, None]
        counts = mixture.counts(joined([mixture.low[:, None], edges, mixture.high[:, None] + 1], 1))
        bucket = None
        if given is not None:
            bucket = ((given - first) // width).clip(-1, BUCKETS - 2) + 1
        bucket = _coded(coder, counts, bucket, width)
        start, size = first + (bucket - 1) * width, 1 * width
        for side, tail in ((-1, bucket == 0), (1, bucket == BUCKETS - 1)):
            chosen = indices(tail)
            if len(chosen):
                origin = first[chosen] if side < 0 else start[chosen]
                beyond = None if given is None else side * (given[chosen] - origin) - int(side < 0)
                octave = None if beyond is None else _octave(beyond, width[chosen])
                start[chosen], size[chosen] = mixture.part(chosen).octave(coder, origin, width[chosen], side, octave)
        value = 1 * start
        for n in different(size):
            if n > 1:
                chosen = indices(size == n)
                offset = None if given is None else (given - start)[chosen]
                value[chosen] += mixture.part(chosen).place(coder, start[chosen], n, offset)
        return value


def _octave(distance: Array, width: Array) -> Array:
    """The j with width (2^j - 1) <= distance < width (2^(j+1) - 1)."""
    ratio = distance // width + 1
    return whole(exponent(doubled(ratio)) - 1).clip(0, OCTAVES - 1)


class _Mixture:
    """The mixtures of n values, in integers."""

    def __init__(self, leaves: Leaves, logit: Array, mean: Array, scale: Array, low: Array, high: Array):
        self.leaves = leaves
        logit, self.mean, self.scale = short(logit), short(mean), short(scale)
        self.weight = leaves._weights[whole(largest(logit) - logit)]
        self.low, self.high = whole(low), whole(high)
        # The middle: the weighted mean of the means, rounded; the width: 7 buckets on either side hold every leaf that
        # weighs a 32nd of all or more.
        weight = whole(self.weight)
        total = weight.sum(1)
        sixteenths = (weight * self.mean).sum(1) // total
        self.middle = ((sixteenths + 8) >> MEAN_BITS).clip(self.low, self.high)
        away = abs(self.mean - (self.middle[:, None] << MEAN_BITS)) >> MEAN_BITS
        reach = largest(either(32 * weight >= total[:, None], away + leaves._spans[whole(self.scale)], 0))[:, 0]
        need = (reach + BUCKETS // 2 - 2) // (BUCKETS // 2 - 1)
        self.width = 0 * need + 1
        while bool((narrow := self.width < need).any()):
            self.width = either(narrow, 2 * self.width, self.width)

    def part(self, chosen: Array) -> _Mixture:
        """The mixtures of some of the values; without middles and widths."""
        part = object.__new__(_Mixture)
        part.leaves = self.leaves
        for name in ("mean", "scale", "weight", "low", "high"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def counts(self, edges: Array) -> np.ndarray:
        """edges: [n, m + 1] values, not decreasing -> counts [n, m] of the intervals between them."""
        below = self._below(edges)
        return counts_of(below[:, 1:] - below[:, :-1])

    def octave(
        self, coder: RowCoder, origin: Array, width: Array, side: int, octave: Array | None
    ) -> tuple[Array, Array]:
        """Code which of the octaves holds a value. origin: [n] where they begin, going up (side 1) or down (-1) -> [n]
        the first value and the length of the interval.
        """
        steps = width[:, None] * beside((1 << np.arange(OCTAVES + 1)) - 1, width)
        if side > 0:
            edges = joined([origin[:, None] + steps[:, :-1], self.high[:, None] + 1], 1)
        else:
            edges = joined([self.low[:, None], origin[:, None] - steps[:, list(range(OCTAVES))[::-1]]], 1)
        given = None if octave is None else octave if side > 0 else OCTAVES - 1 - octave
        found = _coded(coder, self.counts(edges), given, width)
        found = found if side > 0 else OCTAVES - 1 - found
        row = beside(np.arange(len(width)), width)
        near, far = steps[row, found], steps[row, found + 1]
        return origin + near if side > 0 else origin - far, far - near

    def place(self, coder: RowCoder, start: Array, width: int, offset: Array | None) -> Array:
        """Code where in start ... start + width - 1 values lie: [n] offsets."""
        part = min(width, BUCKETS)
        step = width // part
        edges = start[:, None] + beside(np.arange(part + 1), start) * step
        given = None if offset is None else offset // step
        found = step * _coded(coder, self.counts(edges), given, start)
        if step > 1:
            rest = None if offset is None else offset - found
            found = found + self.place(coder, start + found, step, rest)
        return found

    def _below(self, edges: Array) -> Array:
        """The mass below each edge, in units of 2^-LEAF_BITS of the weights' sum: [n, m] float64 integers."""
        weight = doubled(self.weight)
        out = zeros(edges.shape, weight)
        # The edge of the value e lies at e - 1/2.
        at = short(edges)
        at *= 2**MEAN_BITS
        at += LEAF_REACH - 2 ** (MEAN_BITS - 1)
        for k in range(self.mean.shape[1]):
            place = (at - self.mean[:, k : k + 1]).clip(0, 2 * LEAF_REACH)
            place += self.scale[:, k : k + 1] * (2 * LEAF_REACH + 1)
            leaf = doubled(taken(self.leaves._leaves, place))
            leaf *= weight[:, k : k + 1]
            out += leaf
        out[edges <= self.low[:, None]] = 0
        return either(edges > self.high[:, None], weight.sum(1)[:, None] * 2.0**LEAF_BITS, out)


def _coded(coder: RowCoder, counts: np.ndarray, symbols: Array | None, other: Array) -> Array:
    """Symbols, int64 [n], as an array where `other` is."""
    given = None if symbols is None else plain(symbols).astype(np.int32)
    return whole(beside(coder.code_rows(counts, given), other))


def uniform(coder: RowCoder, value: Array | None, bits: int, count: int, device: str) -> Array:
    """Code numbers of `bits` bits that are all equally likely: [count], the high bits first, four at a time."""
    out = placed(np.zeros(count, np.int64), device)
    for low in range((bits - 1) // 4 * 4, -1, -4) if bits else ():
        some = min(4, bits - low)
        given = None if value is None else (value >> low) & ((1 << some) - 1)
        rows = np.full((count, 1 << some), TOTAL / (1 << some))
        out += _coded(coder, rows, given, out) << low
    return out
