"""Latents, and what every entropy model of them shares: the protocol, rounding, coders that write nothing.

    levels, coarsest first --traverse of an entropy model--> coder      coder --the same traverse--> levels

An entropy model owns the way from integers to bytes. It codes one level or more; a hyperprior codes its own level given
the one above it, and leaves that and all further ones to the model `above`, so that any number of levels is a nest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import CorruptFile, ModelError
from .coder import MAX_DISTANCE, Coder
from .tables import TableSet

__all__ = [
    "MEAN_BITS",
    "NEAREST",
    "ONE",
    "Y_LIMIT",
    "Choice",
    "EntropyModel",
    "Latents",
    "Meter",
    "NullCoder",
    "Size",
    "deadzone_of",
    "refuse_given",
    "rounded",
]

Size = tuple[int, ...]
"""Positions of a level along each of its axes: (h, w) of a picture, (t,) of sound."""

MEAN_BITS = 6
"""Fractional bits of mu, of y_hat and of the real-valued table number before it is rounded."""
ONE = 1 << MEAN_BITS
Y_LIMIT = MAX_DISTANCE // 2
"""No coded integer is further from 0: every value can be coded, and y_hat fits 32 bits with room to spare."""


@dataclass(frozen=True)
class Latents:
    """What a data chunk decodes to. levels: coarsest first, each [C, *size] int32. The last one is what the synthesis
    sees, y_hat [M, h, w] in units of 2^-MEAN_BITS.
    """

    levels: tuple[np.ndarray, ...]

    @property
    def y_hat(self) -> np.ndarray:
        """The last level."""
        return self.levels[-1]

    @property
    def z(self) -> np.ndarray:
        """The level above y_hat: of a hyperprior, [Z, h/4, w/4]."""
        return self.levels[-2]

    def digest(self) -> bytes:
        """8 bytes that tell whether two machines decoded the same latents: BLAKE2b-64 over the levels, coarsest first,
        as int32 little-endian integers in C order.
        """
        h = hashlib.blake2b(digest_size=8)
        for level in self.levels:
            h.update(np.ascontiguousarray(level, "<i4").data)
        return h.digest()


@dataclass(frozen=True)
class Choice:
    """What only an encoder decides, of the finest level. deadzone: how it is rounded, see `deadzone_of`; None: to the
    nearest integer. kept: a dictionary, empty at first, that keeps what depends on the levels above alone, for other
    values of the finest level below the same ones; None: nothing is kept.
    """

    deadzone: np.ndarray | None = None
    kept: dict[str, Any] | None = None

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, kept under this name."""
        if self.kept is None:
            return make()
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]


NEAREST = Choice()
"""Rounds to the nearest integer."""


class EntropyModel(Protocol):
    """Integers to bytes and back. Immutable, and all of it is integers: threads may share one."""

    @property
    def latent(self) -> int:
        """Channels of the last level."""
        ...

    @property
    def fraction(self) -> int:
        """Fractional bits of the last level: it is in units of 2^-fraction."""
        ...

    @property
    def y_tables(self) -> TableSet:
        """The tables of the last level."""
        ...

    def digest(self) -> bytes:
        """The parse digest: 8 bytes over everything integer that decoding latents depends on."""
        ...

    def least_bits(self, size: Size, rate: int) -> float:
        """Latents whose last level has this size are never coded in fewer bits.

        Lets a decoder refuse a small file that claims to be huge before it takes memory for the latents.
        """
        ...

    def traverse(
        self,
        coders: Sequence[Coder],
        size: Size,
        rates: Sequence[int],
        source: Sequence[np.ndarray] | None = None,
        *,
        given: Sequence[Sequence[Latents]] = (),
        device: Any = "cpu",
        choice: Choice = NEAREST,
    ) -> list[Latents]:
        """Code the latents of B signals of one size, each with its own coder.

        size: of the last level; rates: B fixed-point indices. source: when the coders write, the levels, coarsest
        first, each [B, C, *size] real or integer, the last one float32: what is to be rounded. None when they read.
        given: for each signal what both sides have already, integers; empty: nothing. A model that has no use for it
        raises ModelError. device: where networks run, see `runtime_of`. Returns the latents, the same in both
        directions.
        """
        ...


def refuse_given(given: Sequence[Sequence[Latents]]) -> None:
    """For models that take nothing given. Raises ModelError."""
    if any(len(of_one) for of_one in given):
        raise ModelError("the entropy model codes latents alone, and has no use for what is given beside them")


class NullCoder:
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

    def code_parts(self, tables: TableSet, index: np.ndarray, values: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """See `coder.code_parts`."""
        return self.code(tables, index, values)


def deadzone_of(tables: TableSet, curvature: float, share: float) -> np.ndarray:
    """How far beyond 1/2 rounding goes towards zero: [2, tables] float32, between 0 and 1 and between further integers.

    Where an error e costs curvature / 2 e^2 bits, the smaller of two symbols is the better choice up to 1/2 plus the
    bits that it saves over the curvature. share: of that.
    """
    numbers = np.arange(len(tables))
    zero, one, three = (tables.bits(np.full(len(tables), s, np.int32), numbers) for s in (0, 1, 3))
    saved = np.stack([one - zero, (three - one) / 2])
    return (share / curvature * saved).clip(0, 0.5).astype(np.float32)


def rounded(residual: np.ndarray, t: np.ndarray, deadzone: np.ndarray | None) -> np.ndarray:
    """y - mu, table numbers of the same shape -> s int32: rounded, by `deadzone` (see `deadzone_of`) towards zero."""
    if deadzone is None:
        s = np.rint(residual)
    else:
        size = np.abs(residual)
        s = np.maximum(np.floor(size + (np.float32(0.5) - deadzone[1][t])), 1)
        s = np.copysign(np.where(size < np.float32(0.5) + deadzone[0][t], 0, s), residual)
    return s.clip(-Y_LIMIT, Y_LIMIT).astype(np.int32)
