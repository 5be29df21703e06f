"""Integer tables of how far a sample is from its prediction: a heavy-tailed distribution in many sizes.

    p(x) = sum_k w_k [ F((x + 1/2 - m) / s_k) - F((x - 1/2 - m) / s_k) ],   F the logistic function

for sizes s in steps of an eighth of an octave and m in [0, 1) in steps of an eighth. They are computed when they are
first needed, in integers alone (FORMAT.md, section 36), so they are the same everywhere. x beyond a table's reach is
coded as an escape, on either side, and a tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import CorruptFile
from .slots import SLOTS, SlotReader, SlotWriter

__all__ = ["ROOTS", "SIZES", "STEPS", "ResidualCoder", "Tables", "tables"]

STEPS = 8
"""Sizes an octave."""
SIZES = 64
"""Tables of different sizes: table i serves mean distances of 2^(i / STEPS) / 16 and somewhat more. Larger ones are
coded coarsely: by the tables of the last octave, with the lowest bits as they are."""
FRACTIONS = 8
ROOTS = (1048576, 1143480, 1246974, 1359835, 1482910, 1617125, 1763488, 1923097)
"""2^20 2^(k / 8), rounded."""
_DECAY = 280377609773054
"""2^48 exp(-1 / 256), rounded."""
TAIL_BITS = 20
"""A tail is the number of bits of a distance beyond the reach, and these."""
LEAVES = ((3, 640), (1, 1100))
"""Weights, in quarters, and sizes, in thousandths of the mean distance."""


@dataclass(frozen=True)
class Tables:
    """sums: [n] int32, of each table how many slots come before each symbol, and SLOTS; keys: [n] int64, these sums,
    to each SLOTS + 1 times the number of its table added; first: where each table begins; reach: of each. A table's
    number is size * FRACTIONS + fraction. Symbols: 0 an escape below, then the distances -reach to reach, then an
    escape above.
    """

    sums: np.ndarray
    keys: np.ndarray
    first: np.ndarray
    reach: np.ndarray


def _even(sums: np.ndarray, middle: int) -> np.ndarray:
    """Move sums a little, so that wide symbols, from the middle one outwards, have widths by which 2^24 can be divided
    with hardly a rest: what `SlotReader.rest` puts back is worth less otherwise.
    """
    found = sums.tolist()
    for j in range(middle, len(found) - 2):
        found[j + 1] = found[j] + _evened(found[j + 1] - found[j])
    for j in range(middle - 1, 0, -1):
        found[j] = found[j + 1] - _evened(found[j + 1] - found[j])
    return np.array(found)


def _evened(width: int) -> int:
    return 2**24 // -(-(2**24) // width) if 2**11 <= width < 65500 else width


@cache
def tables() -> Tables:
    powers = [1 << 48]
    while powers[-1] >> 16:
        powers.append(powers[-1] * _DECAY >> 48)
    above = [(1 << 78) // ((1 << 48) + power) for power in powers]  # F(n / 256) 2^30 for n >= 0
    half = np.array(above, np.int64)
    parts, keys, first, reaches = [], [], [], []
    at = 0
    for size in range(SIZES):
        scale = ROOTS[size % STEPS] << size // STEPS
        reach = (10 * scale >> 24) + 5
        count = 2 * reach + 3
        for fraction in range(FRACTIONS):
            edges = 8 * np.arange(-reach, reach + 2, dtype=np.int64) - 4 - fraction  # eighths
            mass = np.zeros(len(edges), np.int64)
            for weight, part in LEAVES:
                step = np.minimum((np.abs(edges) * (1000 << 29)) // (part * scale), len(half) - 1)
                mass += weight * np.where(edges < 0, (1 << 30) - half[step], half[step])
            inner = (mass * (SLOTS - 2 * count) >> 32) + 2 * np.arange(1, count)
            sums = _even(np.concatenate([[0], inner, [SLOTS]]), reach + 1)
            parts.append(sums)
            keys.append(sums + (size * FRACTIONS + fraction) * (SLOTS + 1))
            first.append(at)
            reaches.append(reach)
            at += len(sums)
    sums = np.concatenate(parts).astype(np.int32)
    return Tables(sums, np.concatenate(keys), np.array(first, np.int32), np.array(reaches, np.int32))


class ResidualCoder:
    """Samples with their predictions and sizes, for a coder that writes or reads."""

    def __init__(self, coder: SlotWriter | SlotReader):
        self._coder, self._tables = coder, tables()

    def code(
        self, middle: np.ndarray, size: np.ndarray, low: np.ndarray, high: np.ndarray, given: np.ndarray | None
    ) -> np.ndarray:
        """middle: [n] predictions in 1/16, within low and high; size: [n], of distances, may be beyond SIZES; given:
        [n] the samples, None when the coder reads -> the samples. Raises CorruptFile for samples out of range.
        """
        coder = self._coder
        shift = np.maximum(size - (SIZES - STEPS), 0) // STEPS
        coarse = bool(shift.any())
        if coarse:
            size = size - shift * STEPS
            middle = (middle - (((1 << shift) - 1) << 3)) >> shift
            low, high = low >> shift, high >> shift
        value = None if given is None else given >> shift if coarse else given
        value = self._coarse(middle, size, low, high, value)
        if not coarse:
            return value
        some = np.flatnonzero(shift)
        states = (1 << shift[some]).astype(np.int32)
        if isinstance(coder, SlotWriter):
            assert given is not None
            coder.put_plain((given[some] & (states - 1)).astype(np.int32), states)
            return given
        value = value << shift
        value[some] += coder.plain(states)
        return value

    def _coarse(
        self, middle: np.ndarray, size: np.ndarray, low: np.ndarray, high: np.ndarray, given: np.ndarray | None
    ) -> np.ndarray:
        coder, made = self._coder, self._tables
        table = size * FRACTIONS + ((middle >> 1) & (FRACTIONS - 1))
        first, last = made.first[table], 2 * made.reach[table] + 2
        zero = (middle >> 4) - made.reach[table] - 1  # what symbol 0 would stand for
        least, most = np.maximum(low - zero, 0), np.minimum(high - zero, last)
        slot = np.zeros(0, np.int32)
        if isinstance(coder, SlotReader):
            slot = coder.slots(len(middle))
            symbol = np.searchsorted(made.keys, slot + table * (SLOTS + 1), "right") - 1 - first
            symbol = np.minimum(np.maximum(symbol, least), most)
        else:
            assert given is not None
            symbol = np.minimum(np.maximum(given - zero, 0), last)
        start, end = made.sums[first + symbol], made.sums[first + symbol + 1]
        start[symbol == least] = 0
        end[symbol == most] = SLOTS
        escaped = np.flatnonzero((symbol == 0) | (symbol == last))
        if isinstance(coder, SlotWriter):
            assert given is not None
            coder.put(start, end - start)
            if len(escaped):
                _put_tails(coder, np.abs(given - zero - symbol)[escaped])
            return given
        coder.rest(slot - start, end - start)
        value = zero + symbol
        if len(escaped):
            away = _tails(coder, len(escaped))
            value[escaped] += np.where(symbol[escaped] == 0, -away, away)
        if bool(((value < low) | (value > high)).any()):
            raise CorruptFile("coded data does not decode: a sample out of range")
        return value


def _put_tails(coder: SlotWriter, away: np.ndarray) -> None:
    """away: [n] how far values lie beyond the escape, 0 or more: the number of bits of this and 1, and the bits but the
    first.
    """
    bits = np.frexp(away + 1.0)[1] - 1
    coder.put_plain(bits.astype(np.int32), np.full(len(away), 32, np.int32))
    some = np.flatnonzero(bits)
    states = (1 << bits[some]).astype(np.int32)
    if len(some):
        coder.put_plain((away[some] + 1 - states).astype(np.int32), states)


def _tails(coder: SlotReader, count: int) -> np.ndarray:
    """What `_put_tails` wrote: [count] int64."""
    bits = np.minimum(coder.plain(np.full(count, 32, np.int32)), TAIL_BITS)
    some = np.flatnonzero(bits)
    found = np.zeros(count, np.int64)
    if len(some):
        states = (1 << bits[some]).astype(np.int32)
        found[some] = coder.plain(states) + states - 1
    return found
