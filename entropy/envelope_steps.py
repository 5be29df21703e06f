"""The context networks of `envelope_coding` for a reader: what is known before y is, at once; the rest frame by frame.

    envelope, features, y of the other channel --known--> sums of the hidden layer, of many frames at once
    |y| of the two frames before and of lower groups, those sums --step--> tables of a group in one frame

The first layer is one sum of products, cut in two: the integers are those of the whole.

A step is so little arithmetic that its cost is the number of its calls, so it is a few of numpy's: what requantising
multiplies by is in the weights, powers of two among it, and what it adds is in the sums.

    hidden = clamp(floor(W gain 2^-s seen + known))        t = clamp(floor(V 2^-r hidden + begin))

Guarantee. All of these are float64 whose unit is 2^-s or 2^-r: whole numbers of units, below 2^51 by the program of the
whole network (see `EnvelopeCoding`), and below 2^53 with offsets and halves, so that every sum is exact in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .bands import BANDS, BINS, GROUPS, LOWER, PAST
from .coder import Coder
from .parallel import products_alone
from .place import NUMPY
from .program import Builder, Program
from .runtime import Runtime, verified
from .tables import TableSet

__all__ = ["FLOAT64_INTEGERS", "ContextSteps", "GroupSteps", "Requantised", "known_program", "split_inputs"]

FLOAT64_INTEGERS = 2**53
"""Below it every integer is a float64."""
AHEAD = 64
"""Frames whose known sums are made at a time."""
FEW = 6
"""Up to so many segments a product for each takes less time than one for all."""


@dataclass(frozen=True)
class Requantised:
    """A layer whose sums are shifted: weight [out, in], bias [out] integers; bits: dropped after the gain."""

    weight: np.ndarray
    bias: np.ndarray
    bits: int

    def most(self, a: int) -> int:
        """The largest size of a sum, and of each part of it, for inputs up to this size."""
        return int((np.abs(self.weight).sum(1) * a + np.abs(self.bias)).max())


@dataclass(frozen=True)
class GroupSteps:
    """The networks of a group of bins. known: the sums of what is known; hidden, out: the two layers, the first one for
    what is read as it comes; most: of the hidden layer.
    """

    known: Program
    hidden: Requantised
    out: Requantised
    most: int


def split_inputs(group: int) -> int:
    """How many of the inputs of a group's context are known from what is read already: those of a step come first."""
    (a, b), (c, d) = PAST[group], LOWER[group]
    return 2 * (b - a) + (d - c)


def known_program(
    weight: np.ndarray, group: int, features: int, seen: int, levels: tuple[int, int], most: int
) -> Program:
    """weight: of the context's first layer. seen: the largest of what contexts see; levels: the range of the envelope;
    most: of the features.
    """
    b, first = Builder(), split_inputs(group)
    other = b.input("other", GROUPS[group + 1] - GROUPS[group] + 1, 0, seen)
    envelope = b.input("envelope", BANDS, *levels)
    more = b.input("features", features, 0, most)
    part = weight[:, first:]
    return b.program(sums=b.matmul(b.join(other, envelope, more), part, np.zeros(len(part), np.int64)))


@dataclass(frozen=True)
class ContextSteps:
    """groups: the networks of each; seen: what contexts see of |y| up to its last entry; bits: fractional ones of table
    numbers; limit: of |y|.
    """

    groups: Sequence[GroupSteps]
    seen: np.ndarray
    tables: TableSet
    bits: int
    limit: int

    @products_alone()  # products that are so small take far longer in several threads, above all on a busy machine
    def read(
        self,
        coders: Sequence[Coder],
        bins: int,
        inputs: dict[str, np.ndarray],
        rows: Sequence[Sequence[np.ndarray]],
        start: np.ndarray,
        runtime: Runtime,
    ) -> np.ndarray:
        """Read y of a channel. coders: one for each of B segments; inputs: of `known`, [B, C, 1, t], `other` with all
        bins and its flag as the last; rows: gain and offset [C] of each group; start: table numbers without context,
        [B, BINS, 1, t]; runtime: for what is known -> [B, bins, t] int32.
        """
        verified(NUMPY)
        frames, used = start.shape[-1], sum(first < bins for first in GROUPS[:-1])
        steps = [_Step(self, g, len(coders), bins, *rows[g]) for g in range(used)]
        shown = self.seen.astype(np.float64)
        seen = np.zeros((3, len(coders), BINS))  # of a frame and of the two before it, in turn
        y = np.empty((frames, len(coders), bins), np.int32)
        for j in range(frames):
            if j % AHEAD == 0:
                part = slice(j, j + AHEAD)
                for step in steps:
                    step.prepare({name: a[..., part] for name, a in inputs.items()}, start[..., part], runtime)
            here = seen[j % 3]
            for step in steps:
                found = step.table_numbers(j % AHEAD, here, seen[j % 3 - 1], seen[j % 3 - 2])
                values = y[j, :, step.bins]
                for own, coder, column in zip(values, coders, found, strict=True):
                    own[:] = coder.code(self.tables, column, None)
                shown.take(np.abs(values), out=here[:, step.bins], mode="clip")
        np.maximum(np.minimum(y, self.limit, out=y), -self.limit, out=y)
        return np.ascontiguousarray(y.transpose(1, 2, 0))


class _Step:
    """A group in one read, of a batch of segments. gain, offset: [C]."""

    def __init__(
        self, model: ContextSteps, group: int, batch: int, bins: int, gain: np.ndarray, offset: np.ndarray
    ) -> None:
        networks, (self._own, stop) = model.groups[group], GROUPS[group : group + 2]
        hidden, out = networks.hidden, networks.out
        self.bins = slice(self._own, min(stop, bins))
        self._group, self._networks = group, networks
        count = self.bins.stop - self._own
        self._scale = gain * 2.0**-hidden.bits
        self._offset = hidden.bias * self._scale + offset + 0.5
        # Table numbers are requantised twice, and clamped in between where both ends are beyond those of the tables.
        self._fraction = 2.0**-model.bits
        self._most, self._last = float(networks.most), float(len(model.tables) - 1)
        self._begin = (out.bias[:count] * 2.0**-out.bits + 0.5) * self._fraction + 0.5
        self._seen = np.empty((batch, hidden.weight.shape[1]))
        self._hidden, self._t = np.empty((batch, len(hidden.weight))), np.empty((batch, count))
        self._first = _product(hidden.weight * self._scale[:, None], self._seen, self._hidden)
        self._second = _product(out.weight[:count] * (self._fraction * 2.0**-out.bits), self._hidden, self._t)
        self._known = self._start = np.empty(0)

    def prepare(self, inputs: dict[str, np.ndarray], start: np.ndarray, runtime: Runtime) -> None:
        """Take what is known of frames [B, C, 1, t]."""
        stop = GROUPS[self._group + 1]
        other = inputs["other"][:, [*range(self._own, stop), BINS]]
        sums = runtime.run(self._networks.known, {**inputs, "other": other})["sums"]
        self._known = sums[:, :, 0].transpose(2, 0, 1) * self._scale + self._offset
        self._start = start[:, self.bins, 0].transpose(2, 0, 1) * self._fraction + self._begin

    def table_numbers(self, frame: int, here: np.ndarray, before: np.ndarray, further: np.ndarray) -> np.ndarray:
        """frame: of those that were prepared; here, before, further: what is seen of it and of the two before it,
        [B, BINS] -> [B, bins] uint8.
        """
        (a, b), (c, d), hidden, t = PAST[self._group], LOWER[self._group], self._hidden, self._t
        np.concatenate([before[:, a:b], further[:, a:b], here[:, c:d]], 1, out=self._seen)
        self._first()
        np.add(hidden, self._known[frame], hidden)
        np.floor(hidden, hidden)
        np.minimum(np.maximum(hidden, 0.0, hidden), self._most, hidden)
        self._second()
        np.add(t, self._start[frame], t)
        np.minimum(np.maximum(t, 0.0, t), self._last, t)
        return t.astype(np.uint8)  # which rounds down


def _product(weight: np.ndarray, a: np.ndarray, out: np.ndarray) -> Callable[[], object]:
    """What writes weight [o, i] times each row of a [B, i] to the rows of out [B, o]."""
    if len(a) <= FEW:
        each, sums = a[:, :, None], out[:, :, None]
        return lambda: np.matmul(weight, each, sums)
    turned = weight.T
    return lambda: np.dot(a, turned, out)
