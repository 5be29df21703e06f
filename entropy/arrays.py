"""What numpy and torch call differently, for models whose steps depend on the data: arrays in, arrays of that kind out.

A circuit's walk is no fixed program (see `program`): which rows are products, and of what, follows from the symbols.
It is written once, for arrays of either library, with operators and the functions below. All of it is exact: sums
below 2^53, powers of two, single correctly rounded quotients.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = [
    "Array",
    "beside",
    "doubled",
    "emptied",
    "exponent",
    "filled",
    "floored",
    "largest",
    "placed",
    "plain",
    "power",
    "where_true",
]

Array = Any
"""A numpy array, or a tensor of torch."""


def placed(array: np.ndarray, device: str) -> Array:
    """A numpy array where a device has it: "numpy", or one of torch's; "cpu" is torch's where torch is loaded."""
    if device == "numpy" or (device == "cpu" and sys.modules.get("torch") is None):
        return array
    import torch

    return torch.from_numpy(array).to(device)


def beside(numbers: np.ndarray, other: Array) -> Array:
    """Integers as an array where `other` is, to index it with."""
    return numbers if isinstance(other, np.ndarray) else placed(numbers, str(other.device))


def emptied(a: Array, columns: int) -> Array:
    """[n, m] -> memory for [n, columns] of the same kind."""
    return np.empty((len(a), columns), a.dtype) if isinstance(a, np.ndarray) else a.new_empty(len(a), columns)


def doubled(a: Array) -> Array:
    """As float64."""
    return a.astype(np.float64) if isinstance(a, np.ndarray) else a.double()


def plain(a: Array) -> np.ndarray:
    """As a numpy array."""
    return a if isinstance(a, np.ndarray) else a.cpu().numpy()


def largest(a: Array) -> Array:
    """[n, m] -> the largest of each row, [n, 1]."""
    return a.max(1, keepdims=True) if isinstance(a, np.ndarray) else a.amax(1, keepdim=True)


def exponent(a: Array) -> Array:
    """The e with 2^(e - 1) <= |a| < 2^e, 0 for 0."""
    if isinstance(a, np.ndarray):
        return np.frexp(a)[1]
    import torch

    return torch.frexp(a).exponent


def power(n: Array) -> Array:
    """2^n in float64 for integers n from -64 to 64: exact, which exp2 and pow do not promise everywhere."""
    powers = np.ldexp(1.0, np.arange(-64, 65))
    return powers[n + 64] if isinstance(n, np.ndarray) else placed(powers, str(n.device))[(n + 64).long()]


def floored(a: Array) -> Array:
    """Rounded down, in place."""
    return np.floor(a, a) if isinstance(a, np.ndarray) else a.floor_()


def filled(a: Array, mask: Array, value: float) -> Array:
    """a [n, m] with the rows of a mask [n, 1] set to a value, in place."""
    if isinstance(a, np.ndarray):
        a[mask[:, 0]] = value
        return a
    return a.masked_fill_(mask, value)


def where_true(mask: Array, row: np.ndarray, a: Array) -> Array:
    """row [m] where mask [n, 1] is true, a [n, m] elsewhere."""
    if isinstance(a, np.ndarray):
        return np.where(mask, row, a)
    import torch

    return torch.where(mask, placed(row, str(a.device)), a)
