"""Integer probability tables: made once when a model is frozen, data ever after.

    probabilities of the integers low .. low + n - 1, and of everything else  ->  counts that sum to 2^24

A table's last symbol is the *escape*: a value outside the table is coded as the escape followed by an Elias-gamma tail
(see `coder`). Every count is at least 1, so that any value can be coded. Nothing here runs when a file is coded: no
exp, no erf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ModelError

__all__ = [
    "TABLE_BITS",
    "TOTAL",
    "TableSet",
    "quantise_probabilities",
    "scale_levels",
]

TABLE_BITS = 24
TOTAL = 1 << TABLE_BITS
"""The counts of every table sum to TOTAL."""
MAX_SYMBOLS = 1 << 14
"""The longest table, escape included."""


def scale_levels(count: int, low: float, high: float) -> np.ndarray:
    """Log-spaced scales: [count] float64 from low to high."""
    return np.exp(np.linspace(np.log(low), np.log(high), count))


def quantise_probabilities(p: np.ndarray) -> np.ndarray:
    """p: [n] non-negative -> [n] int64 counts, each at least 1, that sum to TOTAL.

    Rounded down with the remainder given to the largest: an error of at most n / TOTAL of the largest probability.
    """
    p = np.asarray(p, np.float64)
    if p.ndim != 1 or not 2 <= len(p) <= MAX_SYMBOLS or not np.isfinite(p).all() or p.min() < 0 or p.sum() <= 0:
        raise ModelError("a probability table must hold 2 or more finite, non-negative numbers")
    counts = 1 + np.floor(p / p.sum() * (TOTAL - len(p))).astype(np.int64)
    counts[np.argmax(counts)] += TOTAL - counts.sum()
    return counts


@dataclass(frozen=True)
class TableSet:
    """Tables of different lengths, end to end.

    counts: [sum of lengths] uint32, the escape last in each table; start: [n + 1] int64, where each begins; low: [n]
    int32, the value of each first symbol. Immutable. Raises ModelError when a table is not a table.
    """

    counts: np.ndarray
    start: np.ndarray
    low: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.low)
        if self.counts.ndim != 1 or self.low.ndim != 1 or self.start.shape != (n + 1,) or n == 0:
            raise ModelError("the arrays of a table set do not fit together")
        lengths = np.diff(self.start)
        if self.start[0] != 0 or self.start[-1] != len(self.counts) or lengths.min() < 2 or lengths.max() > MAX_SYMBOLS:
            raise ModelError("a table set's boundaries are out of order or out of range")
        if self.counts.min() < 1 or (np.add.reduceat(self.counts.astype(np.int64), self.start[:-1]) != TOTAL).any():
            raise ModelError(f"a table's counts are not positive integers that sum to {TOTAL}")
        if np.abs(self.low.astype(np.int64)).max() > MAX_SYMBOLS:
            raise ModelError("a table begins outside its range")

    @classmethod
    def from_probabilities(cls, tables: list[tuple[int, np.ndarray]]) -> TableSet:
        """tables: (low, probabilities with that of the escape last) each."""
        counts = [quantise_probabilities(p) for _, p in tables]
        start = np.concatenate([[0], np.cumsum([len(c) for c in counts])])
        low = np.array([low for low, _ in tables], np.int32)
        return cls(np.concatenate(counts).astype(np.uint32), start.astype(np.int64), low)

    def __len__(self) -> int:
        return len(self.low)

    def table(self, index: int) -> np.ndarray:
        """The counts of one table, escape last: [n] uint32."""
        return self.counts[self.start[index] : self.start[index + 1]]

    def symbols(self, values: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """values and their table numbers, [n] each -> their symbols (the escape for values outside), and by how much a
        value is below (negative) or above (positive) its table, 0 inside. int64.
        """
        escape = np.diff(self.start)[index] - 1
        position = values.astype(np.int64) - self.low[index]
        beyond = np.minimum(position, 0) + np.maximum(position - escape + 1, 0)
        return np.where(beyond == 0, position, escape), beyond

    def bits(self, values: np.ndarray, index: np.ndarray) -> np.ndarray:
        """The model's estimate: bits for each value under its table, escapes with their tails. Same shapes; float64."""
        symbol, beyond = self.symbols(values, index)
        cost = TABLE_BITS - np.log2(self.counts[self.start[index] + symbol].astype(np.float64))
        tail = 2 * np.floor(np.log2(np.maximum(np.abs(beyond), 1))) + 2  # Elias gamma and a sign
        return cost + np.where(beyond != 0, tail, 0.0)
