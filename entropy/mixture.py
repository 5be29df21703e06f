"""Mixtures of logistics: one sum node for each sample, whose weights and leaves a network chooses.

    p(x) = sum_k w_k [ F((x + 1/2 - mu_k) / s_k) - F((x - 1/2 - mu_k) / s_k) ],   F the logistic function

as in Salimans et al., "PixelCNN++" (ICLR 2017); the outermost values take the tails. A network gives integers: logits
in 1/16, means in 1/16 of a step, scales as one of SCALES sizes. In training this is ordinary float arithmetic
(`mixture_bits`). For coding it is integer tables (`Leaves`): F at every 1/16 step and for every scale, the weights
exp(-n / 16), all made once when a model is frozen.

A value is coded as one of 16 buckets around the middle of its mixture (the inner 14 of a power of two wide enough to
hold nearly everything), or one of 18 octaves beyond them, then by its place there. So a decoder needs 17 sums for most,
not hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError
from .coder import RowCoder
from .counts import counts_of
from .packing import pack, unpack
from .tables import TOTAL

__all__ = ["LEAF_TABLES", "LOGIT_MAX", "MEAN_MAX", "SCALES", "Leaves", "leaf_tables", "mixture_bits", "uniform"]

LOGIT_BITS = 4
LOGIT_MAX = 127
MEAN_BITS = 4
MEAN_MAX = 2**13 - 1
SCALES = 64
"""Scales of the leaves, from SCALE_LOW to SCALE_HIGH in equal ratios."""
SCALE_LOW, SCALE_HIGH = 0.06, 60.0
OCTAVES = 18
"""Intervals beyond the buckets, each twice as long as the one before: enough for values 2^18 apart."""
FAR = 2.0**20
"""Beyond every sample."""
BUCKETS = 16
LEAF_BITS = 22
"""F is in units of 2^-LEAF_BITS."""
LEAF_REACH = 4096
"""F is tabulated to +-LEAF_REACH / 16 steps from the mean; it is 0 or 1 beyond."""
WEIGHT_BITS = 12


def scale_of(index: Tensor) -> Tensor:
    """Scale index in [0, SCALES - 1], fractions allowed -> s of the logistic, in steps of a sample."""
    return SCALE_LOW * torch.exp(index * (math.log(SCALE_HIGH / SCALE_LOW) / (SCALES - 1)))


def mixture_bits(x: Tensor, logit: Tensor, mean: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """x [N] integers; logit, mean, scale [N, K] in integer units; low, high [N]: the least and largest x -> bits
    [N].
    """
    weight = (logit * 2.0**-LOGIT_BITS).softmax(-1)
    inverse = 1 / scale_of(scale)
    mean = mean * 2.0**-MEAN_BITS
    above = torch.sigmoid((torch.where(x >= high, FAR, x + 0.5)[:, None] - mean) * inverse)
    below = torch.sigmoid((torch.where(x <= low, -FAR, x - 0.5)[:, None] - mean) * inverse)
    return -torch.log2((weight * (above - below)).sum(-1) + 2.0**-22)


LEAF_TABLES = ("leaves", "weights", "spans")
"""Names of the tensors that `leaf_tables` makes."""


def leaf_tables() -> dict[str, np.ndarray]:
    """What freezing makes, once: tensors for `Leaves`, by `LEAF_TABLES`.

    leaves: uint8, packed differences of int32 [SCALES, LEAF_REACH + 1], F at n / 16 steps above the mean; weights:
    int32 [2 * LOGIT_MAX + 1], exp(-n / 16); spans: int32 [SCALES], steps to the mean within which most of a leaf lies.
    """
    scale = scale_of(torch.arange(SCALES, dtype=torch.float64))
    steps = torch.arange(LEAF_REACH + 1, dtype=torch.float64) / 2**MEAN_BITS
    leaves = (torch.sigmoid(steps / scale[:, None]) * 2**LEAF_BITS).round()
    lost = torch.arange(2 * LOGIT_MAX + 1, dtype=torch.float64) / 2**LOGIT_BITS
    weights = (torch.exp(-lost) * 2**WEIGHT_BITS).round()
    return {
        "leaves": pack(np.diff(leaves.numpy().astype(np.int32), axis=1, prepend=np.int32(0))),
        "weights": weights.numpy().astype(np.int32),
        "spans": torch.ceil(6 * scale).numpy().astype(np.int32),
    }


class Leaves:
    """tensors: those of `leaf_tables`. Raises ModelError when they are not of that form. Threads may share one."""

    def __init__(self, tensors: Mapping[str, np.ndarray], device: torch.device):
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
        whole = np.concatenate([2**LEAF_BITS - leaves[:, :0:-1], leaves], 1)
        whole[:, 0], whole[:, -1] = 0, 2**LEAF_BITS
        self._leaves = torch.from_numpy(whole.astype(np.float32)).flatten().to(device)  # integers below 2^24
        self._weights = torch.from_numpy(weights.astype(np.int32)).to(device)
        self._spans = torch.from_numpy(spans.astype(np.int32)).to(device)

    def code(
        self,
        coder: RowCoder,
        logit: Tensor,
        mean: Tensor,
        scale: Tensor,
        low: Tensor,
        high: Tensor,
        x: Tensor | None,
    ) -> Tensor:
        """Code n values. logit, mean, scale: [n, K] integers as floats; low, high: [n] the least and the largest value,
        up to 2^18 apart; x: [n], or None when the coder reads -> the values, [n] int64.
        """
        mixture = _Mixture(self, logit, mean, scale, low, high)
        given = None if x is None else x.long()
        # The middle bucket's edges, and which of the 16 it is.
        width, middle = mixture.width, mixture.middle
        first = middle - (BUCKETS // 2 - 1) * width  # where bucket 1 begins
        edges = first[:, None] + torch.arange(BUCKETS - 1, device=width.device) * width[:, None]
        counts = mixture.counts(torch.cat([mixture.low[:, None], edges, mixture.high[:, None] + 1], 1))
        bucket = None
        if given is not None:
            bucket = torch.div(given - first, width, rounding_mode="floor").clamp(-1, BUCKETS - 2) + 1
        bucket = _coded(coder, counts, bucket, width.device)
        start, size = first + (bucket - 1) * width, width.clone()
        for side, tail in ((-1, bucket == 0), (1, bucket == BUCKETS - 1)):
            chosen = torch.nonzero(tail).flatten()
            if len(chosen):
                origin = first[chosen] if side < 0 else start[chosen]
                beyond = None if given is None else side * (given[chosen] - origin) - int(side < 0)
                octave = None if beyond is None else _octave(beyond, width[chosen])
                start[chosen], size[chosen] = mixture.part(chosen).octave(coder, origin, width[chosen], side, octave)
        value = start.clone()
        for n in torch.unique(size).tolist():
            if n > 1:
                chosen = torch.nonzero(size == n).flatten()
                offset = None if given is None else (given - start)[chosen]
                value[chosen] += mixture.part(chosen).place(coder, start[chosen], n, offset)
        return value


def _octave(distance: Tensor, width: Tensor) -> Tensor:
    """The j with width (2^j - 1) <= distance < width (2^(j+1) - 1)."""
    ratio = torch.div(distance, width, rounding_mode="floor") + 1
    return (torch.frexp(ratio.double()).exponent - 1).clamp(max=OCTAVES - 1)


class _Mixture:
    """The mixtures of n values, in integers."""

    def __init__(self, leaves: Leaves, logit: Tensor, mean: Tensor, scale: Tensor, low: Tensor, high: Tensor):
        self.leaves = leaves
        logit, self.mean, self.scale = logit.int(), mean.int(), scale.int()
        self.weight = leaves._weights[(logit.amax(1, keepdim=True) - logit).long()]
        self.low, self.high = low.long(), high.long()
        # The middle: the weighted mean of the means, rounded; the width: 7 buckets on either side hold every leaf that
        # weighs
        # a 32nd of all or more.
        total = self.weight.long().sum(1)
        sixteenths = torch.div((self.weight.long() * self.mean).sum(1), total, rounding_mode="floor")
        self.middle = torch.minimum(torch.maximum((sixteenths + 8) >> MEAN_BITS, self.low), self.high)
        away = (self.mean - (self.middle[:, None] << MEAN_BITS)).abs() >> MEAN_BITS
        reach = torch.where(32 * self.weight >= total[:, None], away + leaves._spans[self.scale.long()], 0).amax(1)
        need = (reach + BUCKETS // 2 - 2) // (BUCKETS // 2 - 1)
        self.width = torch.ones_like(need)
        while bool((short := self.width < need).any()):
            self.width = torch.where(short, 2 * self.width, self.width)

    def part(self, chosen: Tensor) -> _Mixture:
        """The mixtures of some of the values; without middles and widths."""
        part = object.__new__(_Mixture)
        part.leaves = self.leaves
        for name in ("mean", "scale", "weight", "low", "high"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def counts(self, edges: Tensor) -> np.ndarray:
        """edges: [n, m + 1] values, not decreasing -> counts [n, m] of the intervals between them."""
        return counts_of(self._below(edges).diff(dim=1))

    def octave(
        self, coder: RowCoder, origin: Tensor, width: Tensor, side: int, octave: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Code which of the octaves holds a value. origin: [n] where they begin, going up (side 1) or down (-1) -> [n]
        the first value and the length of the interval.
        """
        steps = width[:, None] * ((1 << torch.arange(OCTAVES + 1, device=width.device)) - 1)
        if side > 0:
            edges = torch.cat([origin[:, None] + steps[:, :-1], self.high[:, None] + 1], 1)
        else:
            edges = torch.cat([self.low[:, None], origin[:, None] - steps[:, :-1].flip(1)], 1)
        given = None if octave is None else octave if side > 0 else OCTAVES - 1 - octave
        found = _coded(coder, self.counts(edges), given, width.device)
        found = found if side > 0 else OCTAVES - 1 - found
        near, far = (steps.gather(1, (found + n)[:, None])[:, 0] for n in (0, 1))
        return origin + near if side > 0 else origin - far, far - near

    def place(self, coder: RowCoder, start: Tensor, width: int, offset: Tensor | None) -> Tensor:
        """Code where in start ... start + width - 1 values lie: [n] offsets."""
        part = min(width, BUCKETS)
        step = width // part
        edges = start[:, None] + torch.arange(part + 1, device=start.device) * step
        given = None if offset is None else torch.div(offset, step, rounding_mode="floor")
        found = step * _coded(coder, self.counts(edges), given, start.device)
        if step > 1:
            rest = None if offset is None else offset - found
            found = found + self.place(coder, start + found, step, rest)
        return found

    def _below(self, edges: Tensor) -> Tensor:
        """The mass below each edge, in units of 2^-LEAF_BITS of the weights' sum: [n, m] float64 integers."""
        out = torch.zeros(edges.shape, dtype=torch.float64, device=edges.device)
        # The edge of the value e lies at e - 1/2.
        at = edges.int().mul_(2**MEAN_BITS).add_(LEAF_REACH - 2 ** (MEAN_BITS - 1))
        weight = self.weight.double()
        for k in range(self.mean.shape[1]):
            place = (at - self.mean[:, k : k + 1]).clamp_(0, 2 * LEAF_REACH)
            place += self.scale[:, k : k + 1] * (2 * LEAF_REACH + 1)
            leaf = torch.index_select(self.leaves._leaves, 0, place.flatten()).view_as(place)
            out += leaf.double().mul_(weight[:, k : k + 1])
        out.masked_fill_(edges <= self.low[:, None], 0)
        return torch.where(edges > self.high[:, None], weight.sum(1, keepdim=True) * 2.0**LEAF_BITS, out)


def _coded(coder: RowCoder, counts: np.ndarray, symbols: Tensor | None, device: torch.device) -> Tensor:
    given = None if symbols is None else symbols.cpu().numpy().astype(np.int32)
    return torch.from_numpy(coder.code_rows(counts, given)).to(device).long()


def uniform(coder: RowCoder, value: Tensor | None, bits: int, count: int, device: torch.device) -> Tensor:
    """Code numbers of `bits` bits that are all equally likely: [count], the high bits first, four at a time."""
    out = torch.zeros(count, dtype=torch.int64, device=device)
    for low in range((bits - 1) // 4 * 4, -1, -4) if bits else ():
        some = min(4, bits - low)
        given = None if value is None else (value >> low) & ((1 << some) - 1)
        rows = np.full((count, 1 << some), TOTAL / (1 << some))
        out += _coded(coder, rows, given, device) << low
    return out
