"""The factorised prior frozen for coding: integers only, immutable. The bottom of every nest of entropy models.

    s --table of its channel, in the bank of the rate--> coder        level = s, or s + mean

`FactorizedPrior` (in `factorized`) is trained and gives the tables. The level may have any number of axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from .coder import Coder
from .digest import parse_digest
from .latents import MEAN_BITS, NEAREST, ONE, Choice, Latents, Size, refuse_given, rounded
from .rate import QUALITY_ONE, bank_of
from .tables import TOTAL, TableSet

__all__ = ["FactorizedCoding"]


class FactorizedCoding:
    """An entropy model of one level (see `EntropyModel`).

    tables: bank by bank and channel by channel; banks: how many, spread evenly over the rates; mean: [C] int32 in units
    of 2^-MEAN_BITS, which the level is in then; None: the level is whole numbers.

    Raises ModelError when they do not fit together.
    """

    def __init__(self, tables: TableSet, banks: int = 1, mean: np.ndarray | None = None):
        self.latent = len(tables) // banks
        if len(tables) != banks * self.latent or (mean is not None and mean.shape != (self.latent,)):
            raise ModelError("the model's number of probability tables does not fit its channels")
        self.y_tables, self._banks, self._mean = tables, banks, mean
        self.fraction = 0 if mean is None else MEAN_BITS

    def digest(self) -> bytes:
        tables = self.y_tables
        tensors = {"counts": tables.counts, "start": tables.start, "low": tables.low}
        if self._mean is not None:
            tensors["mean"] = self._mean
        return parse_digest({"banks": self._banks, "mean": self.fraction, "model": "factorised prior 0"}, tensors)

    def _first(self, rate: int) -> int:
        """The table of the first channel."""
        return bank_of(rate // QUALITY_ONE, self._banks) * self.latent

    def least_bits(self, size: Size, rate: int) -> float:
        """Each channel at its table's cheapest symbol."""
        tables, first = self.y_tables, self._first(rate)
        most = np.maximum.reduceat(tables.counts, tables.start[:-1])[first : first + self.latent]
        return float(-np.log2(most / TOTAL).sum()) * math.prod(size)

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
        """See `EntropyModel.traverse`. There is no network, so nothing runs on the device."""
        refuse_given(given)
        mean = None if self._mean is None else self._mean.reshape(-1, *(1 for _ in size))
        latents = []
        for b, coder in enumerate(coders):
            index = np.repeat(np.arange(self.latent) + self._first(rates[b]), math.prod(size))
            values = None
            if source is not None:
                residual = source[-1][b] if mean is None else source[-1][b] - mean * np.float32(1 / ONE)
                values = rounded(residual.reshape(-1), index, choice.deadzone)
            s = coder.code(self.y_tables, index, values).reshape(self.latent, *size)
            latents.append(Latents((s if mean is None else mean + s * np.int32(ONE),)))
        return latents
