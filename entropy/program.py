"""Exact networks as data: a short list of operations on integers, with the bounds that make them exact anywhere.

    inputs -> step -> step -> ... -> outputs        each register: integers [B, C, H, W], or a row [B or 1, C, 1, 1]

    input       clamped to [low, high]: hostile files can hold any value
    constant    a row [1, C, 1, 1]
    matmul      y_o = sum_i w_oi a_i + b_o at each position
    depthwise   each channel by itself, sum_ij w_cij a_c(y + i - kh // 2, x + j - kw // 2) + b_c, beyond the border 0
    add         a + b          multiply  a b          absolute  |a|
    divide      floor(a / b), b >= 1
    shift       floor(a / 2^n), or floor(a / 2^n + 1/2) if it rounds; n for each channel, below 0: a product
    clamp       a between low and high
    table       values[a]
    select      some channels, by number              join      channels of several registers, one after the other
    window      the neighbours: [B, C kh kw, H, W], channel c kh kw + i kw + j is a of channel c at (y + i - kh // 2,
                x + j - kw // 2); beyond the border zeros, or the border's values (edge)
    spread      [B, n n C, H, W] -> [B, C, n H, n W], channel c n n + i n + j to (i, j) of each n x n block
    fold        the inverse of spread
    move        a at (y + dy, x + dx), dy and dx registers of one channel; beyond the border the border's values

A layer of k x k is a window and a matmul, a leaky ReLU two clamps, a product and a shift, a softmax a table and a
division, a moved reference `move`. Programs are run by `run_numpy` and `run_torch`, which give the same integers.

Guarantee. Integers are carried in floats. While sum |w| |a| + |b| stays below 2^21 in float32, or 2^51 in float64,
every partial sum is representable, so the sum is exact *in any order*: on any thread count, BLAS or GPU. The other
operations are single correctly rounded ones on numbers below 2^24 or 2^51. `Program` recomputes the range of every
register from its own data when it is made, takes the narrowest carrier for each step and raises ModelError where there
is none. The idea is Ballé, Johnston, Minnen, "Integer Networks for Data Compression with Latent-Variable Models" (ICLR
2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import ModelError

__all__ = ["FLOAT32_BOUND", "FLOAT64_BOUND", "Builder", "Facts", "Program", "Step"]

FLOAT32_BOUND = 2**21
FLOAT64_BOUND = 2**51
FLOAT32_INTEGERS = 2**24
"""Below it every integer is a float32, and so is every half."""


@dataclass(frozen=True)
class Step:
    """One operation. of: the registers that it reads; numbers, arrays (integers): what the module's text gives it
    beside them, in the order of `Builder`'s arguments. The n-th step writes register n.
    """

    op: str
    of: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    arrays: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What follows for a register. channels: C; low, high: its range; carrier: the float type that holds it and in
    which its step computes; scale: its positions for each of the inputs', along one side, 0 for a row; reach: how far
    it looks, in positions of the inputs.
    """

    channels: int
    low: int
    high: int
    carrier: type[np.floating]
    scale: Fraction
    reach: Fraction

    @property
    def most(self) -> int:
        """The largest size of a number."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True, eq=False)
class Program:
    """steps: in order; inputs, outputs: register numbers by name. Immutable; threads may share one.

    facts: of each register; last: the last step that reads it, len(steps) for outputs. Raises ModelError for steps that
    do not fit together, or that could leave what floats hold exactly.
    """

    steps: tuple[Step, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]
    facts: tuple[Facts, ...] = field(init=False, repr=False)
    last: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        facts: list[Facts] = []
        for n, step in enumerate(self.steps):
            if any(not 0 <= r < n for r in step.of):
                raise ModelError(f"step {n} of a program reads what is not computed yet")
            facts.append(_facts_of(step, [facts[r] for r in step.of]))
        last = list(range(len(self.steps)))
        for n, step in enumerate(self.steps):
            for r in step.of:
                last[r] = n
        for r in self.outputs.values():
            last[r] = len(self.steps)
        # A window that only float32 sums look at is taken in float32.
        for n, step in enumerate(self.steps):
            if step.op == "window":
                users = [facts[m].carrier for m, s in enumerate(self.steps) if n in s.of]
                if users and all(c is np.float32 for c in users) and facts[n].most < FLOAT32_INTEGERS:
                    facts[n] = Facts(**{**facts[n].__dict__, "carrier": np.float32})
        object.__setattr__(self, "facts", tuple(facts))
        object.__setattr__(self, "last", tuple(last))

    @property
    def reach(self) -> int:
        """How many positions of the inputs, on each side, an output looks at beyond its own."""
        return max(-(-self.facts[r].reach.numerator // self.facts[r].reach.denominator) for r in self.outputs.values())

    def scale(self, output: str) -> int:
        """Positions of an output for each of the inputs', along one side."""
        scale = self.facts[self.outputs[output]].scale
        assert scale.denominator == 1, "an output coarser than the inputs"
        return scale.numerator

    def dtype(self, output: str) -> type[np.integer]:
        """What an output is given as: uint8 where that holds its range, otherwise int32 or int64."""
        facts = self.facts[self.outputs[output]]
        if 0 <= facts.low and facts.high <= 255:
            return np.uint8
        return np.int32 if facts.most < 2**31 else np.int64


class Builder:
    """Makes a program, a step at a time; methods take and return register numbers."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._inputs: dict[str, int] = {}

    def program(self, **outputs: int) -> Program:
        """What has been built. Raises ModelError, see `Program`."""
        return Program(tuple(self._steps), dict(self._inputs), outputs)

    def _add(self, op: str, *of: int, numbers: Sequence[int] = (), arrays: Sequence[Any] = ()) -> int:
        data = tuple(np.asarray(a) for a in arrays)
        data = tuple(np.ascontiguousarray(a if a.dtype.kind in "iu" else a.astype(np.int64)) for a in data)
        self._steps.append(Step(op, of, tuple(int(n) for n in numbers), data))
        return len(self._steps) - 1

    def input(self, name: str, channels: int, low: int, high: int, row: bool = False) -> int:
        """row: [B, C, 1, 1], the same at all positions of a sample."""
        self._inputs[name] = self._add("input", numbers=(channels, low, high, row))
        return self._inputs[name]

    def constant(self, values: Any) -> int:
        return self._add("constant", arrays=[values])

    def matmul(self, a: int, weight: Any, bias: Any) -> int:
        """weight [out, in], bias [out]."""
        return self._add("matmul", a, arrays=[weight, bias])

    def depthwise(self, a: int, weight: Any, bias: Any) -> int:
        """weight [channels, kh, kw], kh and kw odd; bias [channels]."""
        return self._add("depthwise", a, arrays=[weight, bias])

    def add(self, a: int, b: int) -> int:
        return self._add("add", a, b)

    def multiply(self, a: int, b: int) -> int:
        return self._add("multiply", a, b)

    def divide(self, a: int, b: int) -> int:
        return self._add("divide", a, b)

    def absolute(self, a: int) -> int:
        return self._add("absolute", a)

    def shift(self, a: int, bits: Any, rounds: bool = True) -> int:
        """bits: one number, or one for each channel."""
        return self._add("shift", a, numbers=[rounds], arrays=[np.atleast_1d(bits)])

    def clamp(self, a: int, low: int, high: int) -> int:
        return self._add("clamp", a, numbers=(low, high))

    def table(self, a: int, values: Any) -> int:
        """a within 0 .. len(values) - 1, which the program's ranges have to show."""
        return self._add("table", a, arrays=[values])

    def select(self, a: int, channels: Any) -> int:
        return self._add("select", a, arrays=[channels])

    def join(self, *of: int) -> int:
        return self._add("join", *of)

    def window(self, a: int, height: int, width: int, edge: bool) -> int:
        """height, width: odd."""
        return self._add("window", a, numbers=(height, width, edge))

    def spread(self, a: int, n: int) -> int:
        return self._add("spread", a, numbers=[n])

    def fold(self, a: int, n: int) -> int:
        return self._add("fold", a, numbers=[n])

    def move(self, a: int, dy: int, dx: int) -> int:
        return self._add("move", a, dy, dx)


# -- what follows from the data of a program: channels, ranges, carriers


def _facts_of(step: Step, of: list[Facts]) -> Facts:
    """The facts of what a step writes. Raises ModelError."""
    try:
        channels, low, high, most = _RULES[step.op](step, *of)
    except (KeyError, TypeError, ValueError, IndexError):
        raise ModelError(f"a program's {step.op} does not fit what it reads") from None
    scale = max((f.scale for f in of), default=Fraction(step.op == "input" and not step.numbers[3]))
    if any(f.scale not in (0, scale) for f in of):
        raise ModelError(f"a program's {step.op} reads registers of different sizes")
    reach = max((f.reach for f in of), default=Fraction(0))
    if step.op in ("window", "depthwise") and scale:
        kernel = step.numbers[:2] if step.op == "window" else step.arrays[0].shape[1:]
        reach += max(kernel) // 2 / scale
    elif step.op == "move":
        reach += max(of[1].most, of[2].most) / scale
    elif step.op in ("spread", "fold"):
        scale = scale * step.numbers[0] if step.op == "spread" else scale / step.numbers[0]
    most = max([most, abs(low), abs(high), *(f.most for f in of)])
    if most >= FLOAT64_BOUND:
        raise ModelError(f"an exact layer can reach {most:.4g}: beyond what float64 sums exactly")
    if step.op in ("matmul", "depthwise"):
        narrow = most < FLOAT32_BOUND
    else:
        narrow = most < FLOAT32_INTEGERS and all(f.carrier is np.float32 for f in of)
    return Facts(channels, low, high, np.float32 if narrow else np.float64, scale, reach)


Rule = tuple[int, int, int, int]
"""Channels, the range, and the largest size of any number on the way."""


def _input(step: Step) -> Rule:
    channels, low, high, _ = step.numbers
    if channels < 0 or low > high:
        raise ValueError
    return channels, low, high, 0


def _constant(step: Step) -> Rule:
    (values,) = step.arrays
    return len(values), int(values.min()), int(values.max()), 0


def _matmul(step: Step, a: Facts) -> Rule:
    weight, bias = step.arrays
    if weight.ndim != 2 or weight.shape[1] != a.channels or bias.shape != weight.shape[:1] or not weight.size:
        raise ValueError
    size = np.abs(weight.astype(np.float64)).sum(1) * a.most + np.abs(bias.astype(np.float64))
    most = int(size.max())  # an estimate beyond 2^53, where it is refused in any case
    return len(weight), -most, most, most


def _depthwise(step: Step, a: Facts) -> Rule:
    weight, bias = step.arrays
    if (
        weight.ndim != 3
        or len(weight) != a.channels
        or bias.shape != weight.shape[:1]
        or not weight.size
        or not a.scale
    ):
        raise ValueError
    if not weight.shape[1] % 2 or not weight.shape[2] % 2:
        raise ValueError
    size = np.abs(weight.astype(np.float64)).sum((1, 2)) * a.most + np.abs(bias.astype(np.float64))
    most = int(size.max())
    return a.channels, -most, most, most


def _same_channels(a: Facts, b: Facts) -> int:
    if a.channels != b.channels and 1 not in (a.channels, b.channels):
        raise ValueError
    return max(a.channels, b.channels)


def _sum(step: Step, a: Facts, b: Facts) -> Rule:
    return _same_channels(a, b), a.low + b.low, a.high + b.high, 0


def _product(step: Step, a: Facts, b: Facts) -> Rule:
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return _same_channels(a, b), min(corners), max(corners), 0


def _quotient(step: Step, a: Facts, b: Facts) -> Rule:
    if b.low < 1:
        raise ModelError("a program divides by what may be zero")
    corners = [x // y for x in (a.low, a.high) for y in (b.low, b.high)]
    return _same_channels(a, b), min(corners), max(corners), FLOAT32_INTEGERS  # quotients are taken in float64


def _absolute(step: Step, a: Facts) -> Rule:
    return a.channels, 0 if a.low <= 0 <= a.high else min(abs(a.low), abs(a.high)), a.most, 0


def _shift(step: Step, a: Facts) -> Rule:
    (bits,), rounds = step.arrays, step.numbers[0]
    if bits.shape not in ((1,), (a.channels,)) or bits.min() < -32 or bits.max() > 50:
        raise ValueError
    ends, halves = [], []
    for n in {int(bits.min()), int(bits.max())}:
        half = 1 << n >> 1 if rounds and n > 0 else 0
        halves.append(a.most + half)
        ends += [(x + half) >> n if n > 0 else x << -n for x in (a.low, a.high)]
    return a.channels, min(ends), max(ends), max(halves)


def _clamp(step: Step, a: Facts) -> Rule:
    low, high = step.numbers
    if low > high:
        raise ValueError
    return a.channels, min(max(a.low, low), high), min(max(a.high, low), high), 0


def _table(step: Step, a: Facts) -> Rule:
    (values,) = step.arrays
    if a.low < 0 or a.high >= len(values):
        raise ModelError(f"a program looks up {a.low} to {a.high} in a table of {len(values)}")
    return a.channels, int(values.min()), int(values.max()), 0


def _select(step: Step, a: Facts) -> Rule:
    (channels,) = step.arrays
    if channels.ndim != 1 or (channels < 0).any() or (channels >= a.channels).any():
        raise ValueError
    return len(channels), a.low, a.high, 0


def _join(step: Step, *of: Facts) -> Rule:
    return sum(f.channels for f in of), min(f.low for f in of), max(f.high for f in of), 0


def _window(step: Step, a: Facts) -> Rule:
    height, width, edge = step.numbers
    if height < 1 or width < 1 or not height % 2 or not width % 2:
        raise ValueError
    return a.channels * height * width, a.low if edge else min(a.low, 0), a.high if edge else max(a.high, 0), 0


def _spread(step: Step, a: Facts) -> Rule:
    (n,) = step.numbers
    if n < 1 or a.channels % (n * n) or not a.scale:
        raise ValueError
    return a.channels // (n * n), a.low, a.high, 0


def _fold(step: Step, a: Facts) -> Rule:
    (n,) = step.numbers
    if n < 1 or not a.scale:
        raise ValueError
    return a.channels * n * n, a.low, a.high, 0


def _move(step: Step, a: Facts, dy: Facts, dx: Facts) -> Rule:
    if (dy.channels, dx.channels) != (1, 1) or not a.scale:
        raise ValueError
    return a.channels, a.low, a.high, 0


_RULES: dict[str, Any] = {
    "input": _input,
    "constant": _constant,
    "matmul": _matmul,
    "depthwise": _depthwise,
    "add": _sum,
    "multiply": _product,
    "divide": _quotient,
    "absolute": _absolute,
    "shift": _shift,
    "clamp": _clamp,
    "table": _table,
    "select": _select,
    "join": _join,
    "window": _window,
    "spread": _spread,
    "fold": _fold,
    "move": _move,
}
