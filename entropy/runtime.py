"""What an exact network (see `program`) is run by on this machine.

    device -> runtime_of -> Runtime, whose arithmetic has been verified        tall planes: run_in_bands

numpy or torch: see `place`. Before a runtime is used it computes a program that goes to the edges of all bounds, and
the result is compared with that of Python's integers. Float32 that fails is replaced by float64; if that fails, this
machine cannot code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import isqrt
from typing import Any, Protocol

import numpy as np

from ..errors import ModelError
from .interpreter import Interpreter
from .parallel import pooled
from .place import NUMPY, place_of
from .program import FLOAT32_BOUND, FLOAT64_BOUND, Builder, Program
from .run_numpy import IntegerRuntime, NumpyRuntime

__all__ = ["Runtime", "run_in_bands", "runtime_of", "verified"]


class Runtime(Protocol):
    """What runs programs. Threads may share one."""

    def run(self, program: Program, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """inputs: integers by name, [B, C, H, W], rows [B, C] or [B, C, 1, 1] -> the outputs by name, [B, C, H, W], of
        `program.dtype`.
        """
        ...


def run_in_bands(
    runtime: Runtime,
    program: Program,
    inputs: Mapping[str, np.ndarray],
    positions: int,
    columns: int | None = None,
    into: Mapping[str, np.ndarray] | None = None,
    pool: bool = False,
) -> dict[str, np.ndarray]:
    """As `run`, a large plane in parts that see `program.reach` beyond themselves: the same integers, less memory.

    positions: of the inputs that are worked on at a time, about; columns: of them, the most (None: all). into: arrays
    for some of the outputs, [B, C, <= H, <= W]: what is beyond them is left out. pool: in several threads, where the
    caller is in one.
    """
    planes = {name for name, r in program.inputs.items() if program.facts[r].scale}
    batch, (height, width) = len(inputs[min(planes)]), inputs[min(planes)].shape[2:]
    columns = min(columns or width, width)
    reach = program.reach
    rows = max(positions // max(batch * columns, 1), 2 * reach, 1)
    out = dict(into or {})
    for name, r in program.outputs.items():
        if name not in out:
            n, facts = program.scale(name), program.facts[r]
            out[name] = np.empty((batch, facts.channels, n * height, n * width), program.dtype(name))

    def work(at: tuple[int, int]) -> None:
        top, left = at
        first, before = max(top - reach, 0), max(left - reach, 0)
        seen = slice(first, top + rows + reach), slice(before, left + columns + reach)
        parts = runtime.run(program, {k: v[:, :, *seen] if k in planes else v for k, v in inputs.items()})
        for name, whole in out.items():
            n = program.scale(name)
            own = whole[:, :, n * top : n * (top + rows), n * left : n * (left + columns)]
            y, x = n * (top - first), n * (left - before)
            own[:] = parts[name][:, :, y : y + own.shape[2], x : x + own.shape[3]]

    bands = [(top, left) for top in range(0, height, rows) for left in range(0, width, columns)]
    with pooled(len(bands) if pool else 1) as mapped:
        mapped(work, bands)
    return out


# -- which one


def runtime_of(device: Any = "cpu") -> Runtime:
    """The runtime for a device, see `place.place_of`; a runtime stands for itself. Raises ModelError where sums are not
    exact.
    """
    if hasattr(device, "run"):
        return device
    return verified(place_of(device))


@cache
def verified(name: str) -> Runtime:
    """A runtime whose arithmetic has passed the known-answer test, once in each process and device."""
    for wide in (False, True):
        runtime = _made(name, wide)
        if all(_answers(runtime, bound) for bound in ((FLOAT64_BOUND,) if wide else (FLOAT32_BOUND, FLOAT64_BOUND))):
            return runtime
    raise ModelError(f"sums of integers in float64 are not exact on {name}: this device cannot code")


def _made(name: str, wide: bool) -> Interpreter:
    if name == NUMPY:
        return NumpyRuntime(wide)
    from .run_torch import TorchRuntime

    return TorchRuntime(name, wide)


def _answers(runtime: Runtime, bound: int) -> bool:
    """Whether a runtime gives what integers give, at the edge of a bound."""
    for batch in (1, 17):
        for kernel in (1, 3):
            program, inputs = _known_answer(bound, batch, kernel)
            found, expected = runtime.run(program, inputs), IntegerRuntime().run(program, inputs)
            if any(not np.array_equal(found[name], expected[name]) for name in expected):
                return False
    return True


def _known_answer(bound: int, batch: int, kernel: int) -> tuple[Program, dict[str, np.ndarray]]:
    """A program whose sums stay just below a bound, every operation after them, and its inputs."""
    cin, cout, size = 24, 8, 5
    k = cin * kernel * kernel
    top = isqrt(bound // k) - 1
    values = _fixed(cin * size * size + cout * k, 2 * top + 1) - top
    b = Builder()
    a = b.input("a", cin, -top, top)
    sums = b.matmul(b.window(a, kernel, kernel, edge=True), values[cin * size * size :].reshape(cout, k), [0] * cout)
    shifted = b.shift(sums, bound.bit_length() - 8)
    scaled = b.multiply(shifted, b.input("gain", cout, 0, 9, row=True))
    index = b.clamp(b.absolute(b.add(scaled, b.constant(range(cout)))), 0, 99)
    apart = b.depthwise(a, np.ones((cin, kernel, kernel), np.int64), np.arange(cin))
    quotient = b.divide(sums, b.add(b.table(index, [n * n for n in range(100)]), b.constant([1])))
    folded = b.fold(b.spread(b.join(index, b.select(index, [3, 1, 2, 0])), 2), 2)
    outputs = {"sums": sums, "scaled": scaled, "quotient": quotient, "folded": folded, "apart": apart}
    plane = values[: cin * size * size].reshape(1, cin, size, size)
    return b.program(**outputs), {
        "a": np.broadcast_to(plane, (batch, *plane.shape[1:])),
        "gain": np.arange(batch * cout).reshape(batch, cout) % 10,
    }


def _fixed(count: int, most: int) -> np.ndarray:
    """count integers in [0, most): a linear congruential sequence, the same everywhere."""
    state, out = 1, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append((state >> 20) % most)
    return np.array(out, np.int64)
