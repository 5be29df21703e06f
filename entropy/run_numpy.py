"""Exact networks in numpy: where there is no torch, and in integers, which is their definition.

Arrays are [B, C, H, W] in C order, rows [B, C, 1, 1]. Products of float matrices are those of numpy's BLAS: plain sums
in some order, which is all that the bounds of `program` ask for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .interpreter import Interpreter, clamped, place
from .program import Step

__all__ = ["IntegerRuntime", "NumpyRuntime"]

CACHED = 2**14
"""Numbers of a plane that sums of neighbours are made of at a time."""


class NumpyRuntime(Interpreter):
    """See `Interpreter`. Threads may share one."""

    def constants(self, step: Step, carrier: type) -> tuple[Any, ...]:
        if step.op == "matmul":
            weight, bias = step.arrays
            return weight.astype(carrier), bias.astype(carrier)[:, None]
        if step.op == "depthwise":
            weight, bias = step.arrays
            return weight.astype(carrier), bias.astype(carrier)
        if step.op == "shift":
            return self._shifts(step.arrays[0].astype(np.int64), bool(step.numbers[0]), carrier)
        if step.op == "constant":
            return (step.arrays[0].astype(carrier)[None, :, None, None],)
        return (step.arrays[0].astype(carrier if step.op == "table" else np.int64),) if step.arrays else ()

    def _shifts(self, bits: np.ndarray, rounds: bool, carrier: type) -> tuple[Any, ...]:
        step = np.ldexp(1.0, -bits).astype(carrier)[None, :, None, None]
        half = np.where(rounds & (bits > 0), 0.5, 0).astype(carrier)[None, :, None, None]
        return step, half if half.any() else None

    def input(self, array: np.ndarray, carrier: type, channels: int, low: int, high: int, row: int) -> np.ndarray:
        array = array.reshape(*array.shape[:2], 1, 1) if row else array
        if array.ndim != 4 or array.shape[1] != channels:
            raise ValueError(f"an input of {array.shape}, expected {channels} channels")
        if not clamped(array.dtype, low, high):
            array = np.clip(array, low, high)
        return array.astype(carrier)

    def carried(self, register: np.ndarray, carrier: type) -> np.ndarray:
        return register.astype(carrier, copy=False)

    def output(self, register: np.ndarray, dtype: type[np.integer]) -> np.ndarray:
        return register.astype(dtype)

    # -- the operations: of (registers), mine (which of them may be overwritten), numbers, constants

    def constant(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        return constants[0]

    def matmul(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        weight, bias = constants
        flat = of[0].reshape(*of[0].shape[:2], -1)
        out = np.matmul(weight, flat)
        out += bias
        return np.rint(out, out).reshape(len(flat), len(weight), *of[0].shape[2:])

    def depthwise(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        a, (weight, bias) = of[0], constants
        batch, channels, h, w = a.shape
        height, width = weight.shape[1:]
        r, c = height // 2, width // 2
        # Rows one after the other with a border between them: a neighbour is a fixed number of places away.
        pitch = w + c
        ready = np.zeros((batch, channels, (h + 2 * r) * pitch + 2 * c), a.dtype)
        ready[:, :, c : c + (h + 2 * r) * pitch].reshape(batch, channels, h + 2 * r, pitch)[:, :, r : r + h, :w] = a
        count = h * pitch
        out = np.empty((batch, channels, count), a.dtype)
        together = max(1, CACHED // count)
        product = np.empty((batch, together, count), a.dtype)
        for first in range(0, channels, together):
            some = slice(first, min(first + together, channels))
            sums, each = out[:, some], product[:, : some.stop - first]
            sums[...] = bias[some, None]
            for n in range(height * width):
                i, j = divmod(n, width)
                place = i * pitch + j
                seen = ready[:, some, place : place + count]
                sums += np.multiply(seen, weight[some, i, j, None], out=each)
        return out.reshape(batch, channels, h, pitch)[:, :, :, :w]

    def add(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        return np.add(*of, out=place(of, mine))

    def multiply(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        return np.multiply(*of, out=place(of, mine))

    def divide(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        out = np.divide(*of, out=place(of, mine))
        return np.floor(out, out)

    def absolute(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        return np.abs(of[0], out=place(of, mine))

    def shift(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        step, half = constants
        out = np.multiply(of[0], step, out=place(of, mine))
        if half is not None:
            out += half
        return np.floor(out, out)

    def clamp(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        low, high = numbers  # two passes, which take a third of the time of np.clip on few numbers
        out = np.maximum(of[0], low, out=place(of, mine))
        return np.minimum(out, high, out=out)

    def table(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        return np.take(constants[0], of[0].astype(np.intp))

    def select(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        return of[0][:, constants[0]]

    def join(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        return np.concatenate(of, 1)

    def window(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        a, (height, width, edge) = of[0], numbers
        if height == width == 1:
            return a if mine[0] else a.copy()
        batch, channels, h, w = a.shape
        r, c = height // 2, width // 2
        if edge:
            rows, columns = np.arange(-r, h + r).clip(0, h - 1), np.arange(-c, w + c).clip(0, w - 1)
            ready = a[:, :, rows[:, None], columns]
        else:
            ready = np.zeros((batch, channels, h + 2 * r, w + 2 * c), a.dtype)
            ready[:, :, r : r + h, c : c + w] = a
        out = np.empty((batch, channels, height * width, h, w), a.dtype)
        for n in range(height * width):
            i, j = divmod(n, width)
            out[:, :, n] = ready[:, :, i : i + h, j : j + w]
        return out.reshape(batch, -1, h, w)

    def spread(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        (batch, channels, h, w), (n,) = of[0].shape, numbers
        split = of[0].reshape(batch, channels // (n * n), n, n, h, w).transpose(0, 1, 4, 2, 5, 3)
        return split.reshape(batch, -1, n * h, n * w)

    def fold(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        (batch, channels, h, w), (n,) = of[0].shape, numbers
        split = of[0].reshape(batch, channels, h // n, n, w // n, n).transpose(0, 1, 3, 5, 2, 4)
        return split.reshape(batch, -1, h // n, w // n)

    def move(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        a, (dy, dx) = of[0], (v.astype(np.intp)[:, 0] for v in of[1:])
        h, w = a.shape[2:]
        rows = (np.arange(h)[:, None] + dy).clip(0, h - 1)
        columns = (np.arange(w) + dx).clip(0, w - 1)
        place = np.broadcast_to((rows * w + columns).reshape(len(dy), 1, -1), (*a.shape[:2], h * w))
        return np.take_along_axis(a.reshape(*a.shape[:2], -1), place, 2).reshape(a.shape)


class IntegerRuntime(NumpyRuntime):
    """In int64, whose sums no order and no library changes: slow, and what the others are compared with."""

    def _carrier(self, wanted: type) -> type:
        return np.int64

    def _shifts(self, bits: np.ndarray, rounds: bool, carrier: type) -> tuple[Any, ...]:
        down, up = bits.clip(0)[None, :, None, None], (-bits).clip(0)[None, :, None, None]
        return down, up, np.where(rounds, (1 << down) >> 1, 0)

    def matmul(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        weight, bias = constants
        flat = of[0].reshape(*of[0].shape[:2], -1)
        return (np.matmul(weight, flat) + bias).reshape(len(flat), len(weight), *of[0].shape[2:])

    def divide(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        return of[0] // of[1]

    def shift(self, of: list, mine: list, numbers: tuple, constants: tuple) -> np.ndarray:
        down, up, half = constants
        return ((of[0] << up) + half) >> down
