"""What every entropy model of latents shares: the latents, how they are rounded, and coders that write nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CorruptFile
from .coder import MAX_DISTANCE
from .tables import TableSet

__all__ = ["MEAN_BITS", "ONE", "Y_LIMIT", "Latents", "Meter", "Pass", "lean_of", "once", "rounded"]

MEAN_BITS = 6
"""Fractional bits of mu, of y_hat and of the real-valued table number before it is rounded."""
ONE = 1 << MEAN_BITS
Y_LIMIT = MAX_DISTANCE // 2
"""|s| and |z| never exceed this: every value can be coded, and y_hat fits 32 bits with room to spare."""


@dataclass(frozen=True)
class Latents:
    """What a data chunk decodes to. z: [Z, h/4, w/4] int32; y_hat: [M, h, w] int32 in units of 2^-MEAN_BITS."""

    z: np.ndarray
    y_hat: np.ndarray

    def digest(self) -> bytes:
        """8 bytes that tell whether two machines decoded the same latents: BLAKE2b-64 over z, then y_hat, as int32
        little-endian integers in C order.
        """
        h = hashlib.blake2b(digest_size=8)
        for part in (self.z, self.y_hat):
            h.update(np.ascontiguousarray(part, "<i4").data)
        return h.digest()


class Pass:
    """A coder that writes nothing: for the latents alone."""

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        if values is None:
            raise CorruptFile("nothing was written")
        return values


class Meter:
    """A coder that writes nothing and adds up the model's estimate, in bits."""

    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        if values is None:
            raise CorruptFile("a meter cannot read")
        self.bits += float(tables.bits(values, index).sum())
        return values


def lean_of(tables: TableSet, curvature: float, share: float) -> np.ndarray:
    """How far beyond 1/2 rounding goes towards zero: [2, tables] float32, between 0 and 1 and between further integers.

    Where an error e costs curvature / 2 e^2 bits, the smaller of two symbols is the better choice up to 1/2 plus the
    bits that it saves over the curvature. share: of that.
    """
    numbers = np.arange(len(tables))
    zero, one, three = (tables.bits(np.full(len(tables), s, np.int32), numbers) for s in (0, 1, 3))
    saved = np.stack([one - zero, (three - one) / 2])
    return (share / curvature * saved).clip(0, 0.5).astype(np.float32)


def once(memo: list[Any] | None, make: Callable[[], Any]) -> Any:
    """What `make` gives, from the memo if it is there."""
    if memo is None:
        return make()
    if not memo:
        memo.append(make())
    return memo[0]


def rounded(residual: np.ndarray, t: np.ndarray, lean: np.ndarray | None) -> np.ndarray:
    """y - mu float32, table numbers of the same shape -> s int32: rounded, by `lean` (see `lean_of`) towards zero."""
    if lean is None:
        s = np.rint(residual)
    else:
        size = np.abs(residual)
        s = np.maximum(np.floor(size + (np.float32(0.5) - lean[1][t])), 1)
        s = np.copysign(np.where(size < np.float32(0.5) + lean[0][t], 0, s), residual)
    return s.clip(-Y_LIMIT, Y_LIMIT).astype(np.int32)
