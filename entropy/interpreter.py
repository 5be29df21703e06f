"""The walk over the steps of an exact network (see `program`), whatever library does the arithmetic.

    program, integers by name -> run -> integers by name

`Interpreter` holds the walk; a library adds the operations (`run_numpy`, `run_torch`). Results are written over an
operand that nothing needs any more: a pass over fresh memory costs more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .program import Program, Step

__all__ = ["Interpreter", "clamped", "place"]


_SHARED = ("input", "constant")
"""What makes registers that are not the walk's own: they are not written to."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A step, ready to be taken. of: the registers that it reads, and whether they are in another carrier; mine: which
    of these it may write to; done: those that nothing needs any more.
    """

    register: int
    operation: Callable[..., Any]
    of: tuple[tuple[int, bool], ...]
    mine: list[bool]
    numbers: tuple[int, ...]
    constants: tuple[Any, ...]
    carrier: type
    done: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A program, ready to be run. inputs: name, register, carrier and numbers; outputs: name, register, type."""

    inputs: list[tuple[str, int, type, tuple[int, ...]]]
    calls: list[_Call]
    outputs: list[tuple[str, int, type]]


class Interpreter:
    """wide: whether sums are made in float64 only."""

    def __init__(self, wide: bool = False):
        self.wide = wide
        self._ready: WeakKeyDictionary[Program, _Ready] = WeakKeyDictionary()

    def run(self, program: Program, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Runtime`."""
        ready = self._ready.get(program)
        if ready is None:
            ready = self._ready[program] = self._prepared(program)
        registers: list[Any] = [None] * len(program.steps)
        for name, r, carrier, numbers in ready.inputs:
            registers[r] = self.input(inputs[name], carrier, *numbers)
        for call in ready.calls:
            carrier = call.carrier
            of = [self.carried(registers[r], carrier) if other else registers[r] for r, other in call.of]
            registers[call.register] = call.operation(of, call.mine, call.numbers, call.constants)
            for r in call.done:
                registers[r] = None
        return {name: self.output(registers[r], dtype) for name, r, dtype in ready.outputs}

    def _prepared(self, program: Program) -> _Ready:
        """All that is known of a run before there are numbers."""
        carriers = [self._carrier(f.carrier) for f in program.facts]
        calls, steps = [], program.steps
        for n, step in enumerate(steps):
            if step.op == "input":
                continue
            ends = [program.last[r] == n for r in step.of]
            others = [carriers[r] is not carriers[n] for r in step.of]
            mine = [
                other or (end and steps[r].op not in _SHARED)
                for r, end, other in zip(step.of, ends, others, strict=True)
            ]
            calls.append(
                _Call(
                    n,
                    getattr(self, step.op),
                    tuple(zip(step.of, others, strict=True)),
                    mine,
                    step.numbers,
                    self.constants(step, carriers[n]),
                    carriers[n],
                    tuple(r for r, end in zip(step.of, ends, strict=True) if end),
                )
            )
        inputs = [(name, r, carriers[r], steps[r].numbers) for name, r in program.inputs.items()]
        return _Ready(inputs, calls, [(name, r, program.dtype(name)) for name, r in program.outputs.items()])

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
    if len(of) == 1 or len(of) == 2 and of[0].shape == of[1].shape:
        return next((a for a, own in zip(of, mine, strict=True) if own), None)
    for a, own in zip(of, mine, strict=True):
        if own and all(
            b is a or b.shape == a.shape or all(j in (1, i) for i, j in zip(a.shape, b.shape, strict=True)) for b in of
        ):
            return a
    return None


@lru_cache
def clamped(dtype: np.dtype, low: int, high: int) -> bool:
    """Whether any array of this type is within [low, high]."""
    return dtype.kind in "iu" and low <= np.iinfo(dtype).min and np.iinfo(dtype).max <= high
