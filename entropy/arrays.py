"""What numpy and torch call differently, for models whose steps depend on the data: arrays in, arrays of that kind out.

The walk of a circuit and of the interpolation model are no fixed programs (see `program`): which rows are worked on,
and with what, follows from the symbols. They are written once, for arrays of either library, with operators and the
functions below. All of it is exact: sums below 2^24 in float32 or 2^53 in float64, powers of two, single correctly
rounded quotients.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from .place import NUMPY

__all__ = [
    "Array",
    "affine",
    "alike",
    "beside",
    "bounded",
    "different",
    "doubled",
    "either",
    "emptied",
    "exponent",
    "filled",
    "floor",
    "floored",
    "indices",
    "joined",
    "largest",
    "placed",
    "plain",
    "power",
    "short",
    "single",
    "stacked",
    "taken",
    "unrecorded",
    "where_true",
    "whole",
    "zeros",
]

Array = Any
"""A numpy array, or a tensor of torch."""


def placed(array: np.ndarray, place: str) -> Array:
    """A numpy array at a place, see `place.place_of`."""
    if place == NUMPY:
        return array
    import torch

    return torch.from_numpy(array).to(place)


def beside(numbers: np.ndarray, other: Array) -> Array:
    """A numpy array as one of the kind of `other`, where that is."""
    return numbers if isinstance(other, np.ndarray) else placed(numbers, str(other.device))


def unrecorded() -> AbstractContextManager[Any]:
    """A context in which torch, where it is loaded, keeps nothing for gradients."""
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.inference_mode()


def emptied(a: Array, columns: int) -> Array:
    """[n, m] -> memory for [n, columns] of the same kind."""
    return np.empty((len(a), columns), a.dtype) if isinstance(a, np.ndarray) else a.new_empty(len(a), columns)


def zeros(shape: Sequence[int], other: Array) -> Array:
    """The same numbers in the type and kind of `other`."""
    return np.zeros(shape, other.dtype) if isinstance(other, np.ndarray) else other.new_zeros(shape)


# -- types


def short(a: Array) -> Array:
    """As int32, a copy."""
    if isinstance(a, np.ndarray):
        return a.astype(np.int32)
    import torch

    return a.to(torch.int32, copy=True)


def whole(a: Array) -> Array:
    """As int64."""
    return a.astype(np.int64, copy=False) if isinstance(a, np.ndarray) else a.long()


def single(a: Array) -> Array:
    """As float32."""
    return a.astype(np.float32, copy=False) if isinstance(a, np.ndarray) else a.float()


def doubled(a: Array) -> Array:
    """As float64."""
    return a.astype(np.float64) if isinstance(a, np.ndarray) else a.double()


def alike(a: Array, other: Array) -> Array:
    """In the type of `other`."""
    return a.astype(other.dtype, copy=False) if isinstance(a, np.ndarray) else a.to(other.dtype)


def plain(a: Array) -> np.ndarray:
    """As a numpy array."""
    return a if isinstance(a, np.ndarray) else a.cpu().numpy()


# -- parts


def joined(parts: Sequence[Array], axis: int) -> Array:
    """One after the other along an axis."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis)
    import torch

    return torch.cat(list(parts), axis)


def stacked(parts: Sequence[Array], axis: int) -> Array:
    """Side by side along a new axis."""
    if isinstance(parts[0], np.ndarray):
        return np.stack(parts, axis)
    import torch

    return torch.stack(list(parts), axis)


def indices(mask: Array) -> Array:
    """mask [n] -> where it is true, in ascending order."""
    return np.flatnonzero(mask) if isinstance(mask, np.ndarray) else mask.nonzero()[:, 0]


def different(a: Array) -> list[int]:
    """The values of integers, each once, in ascending order."""
    return np.unique(a).tolist() if isinstance(a, np.ndarray) else a.unique().tolist()


def taken(values: Array, places: Array) -> Array:
    """values [n], places of any shape -> values of that shape."""
    if isinstance(values, np.ndarray):
        return values.take(places)
    return values.index_select(0, places.reshape(-1)).view_as(places)


# -- arithmetic


def affine(a: Array, weight: Array, bias: Array) -> Array:
    """a [n, i], weight [o, i], bias [o] -> [n, o]: plain sums."""
    if isinstance(a, np.ndarray):
        out = a @ weight.T
        out += bias
        return out
    import torch

    return torch.nn.functional.linear(a, weight, bias)


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


def floor(a: Array) -> Array:
    """Rounded down."""
    return np.floor(a) if isinstance(a, np.ndarray) else a.floor()


def floored(a: Array) -> Array:
    """Rounded down, in place."""
    return np.floor(a, a) if isinstance(a, np.ndarray) else a.floor_()


def bounded(a: Array, low: float, high: float) -> Array:
    """Between low and high. Of a tensor by hardtanh, whose gradient is many times faster than that of clamp."""
    if isinstance(a, np.ndarray):
        return a.clip(low, high)
    import torch

    return torch.nn.functional.hardtanh(a, low, high)


def filled(a: Array, mask: Array, value: float) -> Array:
    """a [n, m] with the rows of a mask [n, 1] set to a value, in place."""
    if isinstance(a, np.ndarray):
        a[mask[:, 0]] = value
        return a
    return a.masked_fill_(mask, value)


def where_true(mask: Array, row: np.ndarray, a: Array) -> Array:
    """row [m] where mask [n, 1] is true, a [n, m] elsewhere."""
    return either(mask, beside(row, a), a)


def either(mask: Array, a: Any, b: Any) -> Array:
    """a where a mask is true, b elsewhere; both arrays that fit the mask, or numbers."""
    if isinstance(mask, np.ndarray):
        return np.where(mask, a, b)
    import torch

    return torch.where(mask, a, b)
