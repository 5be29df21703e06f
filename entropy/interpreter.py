"""The walk over the steps of an exact network (see `program`), whatever library does the arithmetic.

    program, integers by name -> run -> integers by name

`Interpreter` holds the walk; a library adds the operations (`run_numpy`, `run_torch`). Results are written over an
operand that nothing needs any more: a pass over fresh memory costs more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .program import Program, Step

__all__ = ["Interpreter", "clamped", "place"]


_SHARED = ("input", "constant")
"""What makes registers that are not the walk's own: they are not written to."""


class Interpreter:
    """wide: whether sums are made in float64 only."""

    def __init__(self, wide: bool = False):
        self.wide = wide
        self._ready: WeakKeyDictionary[Program, list[tuple[Any, ...]]] = WeakKeyDictionary()

    def run(self, program: Program, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Runtime`."""
        ready = self._ready.get(program)
        if ready is None:
            carriers = (self._carrier(f.carrier) for f in program.facts)
            pairs = zip(program.steps, carriers, strict=True)
            ready = self._ready[program] = [(c, self.constants(step, c)) for step, c in pairs]
        registers: list[Any] = [None] * len(program.steps)
        for name, r in program.inputs.items():
            registers[r] = self.input(inputs[name], ready[r][0], *program.steps[r].numbers)
        for n, (step, (carrier, constants)) in enumerate(zip(program.steps, ready, strict=True)):
            if step.op == "input":
                continue
            of, mine = [], []
            for r in step.of:
                a = self.carried(registers[r], carrier)
                of.append(a)
                mine.append(a is not registers[r] or (program.last[r] == n and program.steps[r].op not in _SHARED))
            registers[n] = getattr(self, step.op)(of, mine, step.numbers, constants)
            for r in step.of:
                if program.last[r] == n:
                    registers[r] = None
        return {name: self.output(registers[r], program.dtype(name)) for name, r in program.outputs.items()}

    def _carrier(self, wanted: type) -> type:
        return np.float64 if self.wide else wanted

    def constants(self, step: Step, carrier: type) -> tuple[Any, ...]:
        """The arrays of a step as its operation wants them."""
        raise NotImplementedError

    def input(self, array: np.ndarray, carrier: type, channels: int, low: int, high: int, row: int) -> Any:
        """An input as a register."""
        raise NotImplementedError

    def carried(self, register: Any, carrier: type) -> Any:
        """A register in another carrier, or itself."""
        raise NotImplementedError

    def output(self, register: Any, dtype: type[np.integer]) -> np.ndarray:
        """A register as an array."""
        raise NotImplementedError


def place(of: list, mine: list) -> Any:
    """The operand that may hold the result of an operation place by place, if one has its size: the others have the
    same or are rows.
    """
    for n, a in enumerate(of):
        if mine[n] and all(b is a or all(j in (1, i) for i, j in zip(a.shape, b.shape, strict=True)) for b in of):
            return a
    return None


def clamped(array: np.ndarray, low: int, high: int) -> bool:
    """Whether any array of this type is within [low, high]."""
    return array.dtype.kind in "iu" and low <= np.iinfo(array.dtype).min and np.iinfo(array.dtype).max <= high
