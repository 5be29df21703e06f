"""Samples coded from what has been decoded of the same picture: no model, integers, one traversal for both directions.

    planes -> diagonals -> least squares over the samples around -> prediction, expected distance -> table -> coder

A *lane* is a row of a plane, that of channel c moved down by c. At step t all samples are coded that lie in column
t - 2 lane of their lane: what is to the left, above, and above to the right of each is known by then, and of the
channels before it the sample at the same place. Where a lane has no sample at a step, the nearest lane that has one
stands for it. Everything is done for all lanes at once.

- *Prediction*: the mean of left and above, and a sum of the differences of nine samples from it, whose weights are
  fitted anew at every second step, in each lane by itself, to the samples around. Their squares are summed with weights
  that fade away to the left and upwards (`_Squares`), as in Meyer and Tischer, "Glicbawls: Grey Level Image Compression
  By Adaptive Weighted Least Squares" (DCC 2001), and divided by what is expected of their own errors. The three nearest
  alone count for a quarter.
- *Expected distance*: a sum of how far predictions around were off, in `LEVELS` classes, three for each by how the
  channel before fared at this place. What each class meant so far is kept, and says which table codes (`_Classes`).

The weights are solved for in double precision, of which every step is one operation that IEEE 754 rounds alike
everywhere, and rounded to integers. All else is integers. FORMAT.md, section 36.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .residual_tables import ROOTS, STEPS, ResidualCoder
from .slots import SlotReader, SlotWriter

__all__ = ["LARGEST", "AdaptiveCoding"]

LARGEST = 2**17
"""Samples lie between -LARGEST and LARGEST."""
TAPS = 9
"""Differences that a prediction is made from."""
NEAREST = 3
"""Those that count for a quarter alone."""
WEIGHT_MAX = 2**15 - 1
"""Weights are in units of 2^-12."""
EVERY = 2
"""Steps from one fit to the next."""
RING = 8
"""Steps that are kept."""
PAD = 3
"""Lanes beyond the first and the last that stand for these."""
REFRESH = 8
"""Steps from one look at the classes to the next."""
LEVELS = 96
FARES = 3
FULL = 512
"""Samples of a class beyond which the older ones count half."""
RIDGE = 2**8
SPAN = 2**11 - 1
"""Differences divided by the expected error are in units of 1/16, up to here."""


def _levels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where levels end, 2^(5 + i / 4); at the beginning of each 4 times a distance, and what to divide by, in 2^-24."""
    ends = np.array([ROOTS[2 * (i % 4)] << i // 4 for i in range(LEVELS - 1)], np.int64) >> 15
    begin = np.concatenate([[16], ends])
    return ends.astype(np.int32), 4 * (begin // 56 + 1), (1 << 24) // (begin // 48 + 16)


_ENDS, _FIRST, _INVERSE = _levels()
_SIZES = np.array([ROOTS[i % STEPS] << i // STEPS for i in range(1, 22 * STEPS)], np.int64) >> 12
"""Where sizes of distances end: 2^(8 + i / 8), of 1/256 of 1/16."""


class AdaptiveCoding:
    """A picture's planes for a coder that writes or reads. low, high: of each channel the least and the largest sample,
    within +-LARGEST. adapt: False leaves out what is learned while decoding (to show what it is worth): the weights
    stay those of no samples, and classes mean what they do at first.
    """

    def __init__(self, coder: SlotWriter | SlotReader, low: list[int], high: list[int], adapt: bool = True):
        self._coder, self._low, self._high, self._adapt = ResidualCoder(coder), low, high, adapt

    def traverse(self, height: int, width: int, planes: np.ndarray | None) -> np.ndarray:
        """planes: int32 [C, height, width], or None when the coder reads -> the planes. width: 2 or more. Raises
        CorruptFile for data that no encoder writes.
        """
        channels = len(self._low)
        out = np.zeros((channels, height, width + 2), np.int32)
        if planes is not None:
            out[:, :, :width] = planes
        # With two columns more, lane + 1 at the same step lies `width` further on.
        flat = out.reshape(channels, -1)
        state = _State(self._low, self._high, height + channels - 1, self._adapt)
        lanes, channel = np.arange(height + channels - 1), np.arange(channels)[:, None]
        exists = (lanes >= channel) & (lanes < height + channel)
        for step in range(width + 2 * (height + channels - 2)):
            first, last = max(0, (step - width + 2) // 2), min(len(lanes), step // 2 + 1)
            there = exists[:, first:last]
            places = [
                slice(step - 2 * a + (a - c) * (width + 2), None, width) if (a := max(first, c)) < b else None
                for c in range(channels)
                for b in [min(last, height + c)]
            ]
            given = None
            if planes is not None:
                given = np.concatenate([flat[c, p][: there[c].sum()] for c, p in enumerate(places) if p is not None])
            found = state.step(step, first, last, there, self._coder, given)
            if planes is None:
                at = 0
                for c, place in enumerate(places):
                    if place is not None:
                        count = int(there[c].sum())
                        flat[c, place][:count] = found[at : at + count]
                        at += count
        return out[:, :, :width]


class _State:
    """What is known at a step."""

    def __init__(self, low: list[int], high: list[int], lanes: int, adapt: bool):
        channels = len(low)
        self._type: Any = np.int64 if max(b - a for a, b in zip(low, high, strict=True)) > 511 else np.int32
        self._low, self._high = (np.array(ends, self._type)[:, None] for ends in (low, high))
        shape = RING, channels, lanes + 2 * PAD
        self._samples = np.empty(shape, self._type)
        """Doubled."""
        self._samples[:] = self._low + self._high
        self._steps = np.zeros(shape, self._type)
        """From the mean of left and above, doubled."""
        self._errors = np.full(shape, 16, np.int32)
        """Distances from predictions, in 1/16."""
        self._fares = np.zeros(shape, np.int16)
        self._squares = _Squares(channels, lanes, self._type, adapt)
        self._classes = _Classes(channels, adapt)

    def step(
        self, step: int, first: int, last: int, there: np.ndarray, coder: ResidualCoder, given: np.ndarray | None
    ) -> np.ndarray:
        """Code the samples of one step in the lanes first ... last - 1, those of one channel after the other. there:
        bool [C, lanes], where there are any; given: [n], or None when the coder reads -> [n].
        """
        lo, hi = first + PAD, last + PAD
        complete = bool(there.all())

        def back(kept: np.ndarray, by: int, above: int = 0) -> np.ndarray:
            return kept[(step - by) % RING][:, lo - above : hi - above]

        mean: Any = (back(self._samples, 1) + back(self._samples, 2, 1)) >> 1
        seen = self._squares.room(there.shape)
        for n, (by, above) in enumerate(((1, 0), (3, 1), (1, 1), (2, 0), (4, 2), (3, 2), (4, 1), (5, 2))):
            np.subtract(back(self._samples, by, above), mean, out=seen[n])
        np.subtract(back(self._samples, 2, 2)[0], mean[0], out=seen[8, 0])
        seen[8, 1:] = back(self._steps, 2, 1)[:-1]
        energy = self._energy(back, seen)
        level = np.searchsorted(_ENDS, energy, "right")
        weights = self._squares.weights(lo, hi, step % EVERY == 0)
        middle: Any = np.add.reduce(weights * seen[:TAPS], 0, dtype=self._type) >> 9
        middle += mean << 3
        np.clip(middle, 16 * self._low, 16 * self._high, out=middle)
        fare = back(self._fares, 2, 1)
        kind = level * FARES
        kind[1:] += fare[:-1]
        kind += np.arange(len(kind))[:, None] * (LEVELS * FARES)

        def picked(a: np.ndarray) -> np.ndarray:
            return a.reshape(-1) if complete else np.broadcast_to(a, there.shape)[there]

        counts = there.shape[1] if complete else np.count_nonzero(there, 1)
        low, high = (np.repeat(end[:, 0], counts) for end in (self._low, self._high))
        found = coder.code(picked(middle), self._classes.size[picked(kind)], low, high, given)
        samples: Any
        if complete:
            samples = found.reshape(there.shape).astype(self._type, copy=False)
        else:
            samples = np.zeros(there.shape, self._type)
            samples[there] = found
        error = np.abs((samples << 4) - middle)
        half, doubled = energy >> 7, energy >> 5
        fared = (error > half).astype(np.int16) + (error > doubled)
        seen[TAPS] = 2 * samples - mean
        for kept, new in (
            (self._samples, 2 * samples),
            (self._steps, seen[TAPS]),
            (self._errors, error),
            (self._fares, fared),
        ):
            here = kept[step % RING]
            if complete:
                here[:, lo:hi] = new
            else:
                here[:, lo:hi][there] = new[there]
        self._extend(step, lo, hi, there, complete)
        self._classes.learn(step, picked(kind), picked(error))
        self._squares.learn(lo, hi, _INVERSE[level] if complete else _INVERSE[level] * there)
        return found

    def _energy(self, back: Callable[..., np.ndarray], seen: np.ndarray) -> np.ndarray:
        """About 64 times what to expect of the error, in 1/16: int32 [C, lanes]."""
        errors = self._errors
        near = back(errors, 1) + back(errors, 2, 1)
        near *= 2
        for by, above in ((1, 1), (2, 0), (4, 2)):
            near += back(errors, by, above)
        near *= 5
        far = back(errors, 3) + back(errors, 3, 1)
        for by, above in ((4, 1), (3, 2), (6, 3)):
            far += back(errors, by, above)
        far *= 3
        near += far
        edge = np.maximum(np.abs(seen[0]), np.abs(seen[1]))
        near += (40 * edge).astype(np.int32, copy=False)
        return near

    def _extend(self, step: int, lo: int, hi: int, there: np.ndarray, complete: bool) -> None:
        """Let the first and the last lane stand for those beyond."""
        for kept in (self._samples, self._errors):
            here = kept[step % RING]
            if complete:
                here[:, lo - PAD : lo] = here[:, lo : lo + 1]
                here[:, hi : hi + PAD] = here[:, hi - 1 : hi]
                continue
            for c, some in enumerate(there):
                if some.any():
                    a, b = lo + int(some.argmax()), hi - int(some[::-1].argmax())
                    here[c, max(a - PAD, 0) : a] = here[c, a]
                    here[c, b : b + PAD] = here[c, b - 1]


_ROWS = [slice(i * (i + 1) // 2, (i + 1) * (i + 2) // 2) for i in range(TAPS + 1)]
"""Where the products of difference i with those before it and itself stand; the last is what was to be predicted."""


_PLACES = np.array([[_ROWS[max(i, j)].start + min(i, j) for j in range(TAPS + 1)] for i in range(TAPS)])
"""Where the product of differences i and j stands."""
_FIRSTS, _SECONDS = np.array([(j, i) for i, row in enumerate(_ROWS) for j in range(row.stop - row.start)]).T[:, :-1]
"""The two differences of each product."""


class _Squares:
    """Sums of products of differences, and the weights that they lead to: of each lane the sum of its own, which fades
    by 1/16 from sample to sample, and that of the lanes above, which fades by 1/4 from lane to lane.
    """

    def __init__(self, channels: int, lanes: int, dtype: Any, adapt: bool):
        self._adapt = adapt
        wide, products = lanes + 2 * PAD, _ROWS[TAPS].stop - 1
        self._own = np.zeros((products, channels, wide), np.int32)
        self._above = np.zeros((products, channels, wide), np.int32)
        self._weights = np.zeros((TAPS, channels, wide), dtype)
        most = channels * lanes
        self._seen = np.empty((TAPS + 1) * most, dtype)
        self._matrix = np.empty(TAPS * (TAPS + 1) * most)
        self._product = np.empty((TAPS - 1) * TAPS * most)
        self._room = self._seen

    def room(self, shape: tuple[int, ...]) -> np.ndarray:
        """[TAPS + 1, *shape], where the differences of a step are put before `learn`."""
        count = (TAPS + 1) * shape[0] * shape[1]
        self._room = self._seen[:count].reshape(TAPS + 1, *shape)
        return self._room

    def weights(self, lo: int, hi: int, anew: bool) -> np.ndarray:
        """[TAPS, C, lanes]; anew: solve for them."""
        weights = self._weights[:, :, lo:hi]
        if anew and self._adapt:
            weights[:] = self._solved(self._own[:, :, lo:hi] + self._above[:, :, lo - 1 : hi - 1])
        return weights

    def _solved(self, sums: np.ndarray) -> np.ndarray:
        """Elimination without a choice of pivots. Every step is one operation in double precision."""
        shape, size = sums.shape[1:], sums[0].size
        rows = self._matrix[: TAPS * (TAPS + 1) * size].reshape(TAPS, TAPS + 1, size)
        rows[:] = sums.reshape(len(sums), size)[_PLACES]
        rows.reshape(-1, size)[:: TAPS + 2] += RIDGE
        for k in range(TAPS - 1):
            left = TAPS - 1 - k
            share = rows[k + 1 :, k] / rows[k, k]
            product = self._product[: left * (left + 1) * size].reshape(left, left + 1, size)
            np.multiply(share[:, None], rows[k, k + 1 :], out=product)
            rows[k + 1 :, k + 1 :] -= product
        three, nine = (_back_substituted(rows, n) for n in (NEAREST, TAPS))
        nine *= 3072.0
        np.rint(nine, out=nine)
        three *= 1024.0
        nine[:NEAREST] += np.rint(three)
        return nine.clip(-WEIGHT_MAX, WEIGHT_MAX).reshape(TAPS, *shape)

    def learn(self, lo: int, hi: int, inverse: np.ndarray) -> None:
        """Add the differences in `room` and what was to be predicted. inverse: [C, lanes], 0: nothing is there."""
        if not self._adapt:
            return
        seen: Any = self._room
        seen *= inverse.astype(seen.dtype, copy=False)
        seen >>= 17
        seen = seen.clip(-SPAN, SPAN).astype(np.int32, copy=False)
        own = self._own[:, :, lo:hi]
        own -= own >> 4
        own += seen[_FIRSTS] * seen[_SECONDS]
        above = self._above[:, :, lo - 1 : hi - 1] + own
        above -= above >> 2
        self._above[:, :, lo:hi] = above


def _back_substituted(rows: np.ndarray, count: int) -> np.ndarray:
    """The weights of the first `count` differences if there were only these: [count, n]."""
    found = rows[:count, TAPS].copy()
    for k in reversed(range(count)):
        found[k] /= rows[k, k]
        if k:
            found[:k] -= rows[:k, k] * found[k]
    return found


class _Classes:
    """How far predictions were off so far, by class; size: of the table for each class."""

    def __init__(self, channels: int, adapt: bool):
        self._adapt = adapt
        self._total = np.tile(np.repeat(_FIRST, FARES), channels).astype(np.int64)
        self._count = np.full(channels * LEVELS * FARES, 4, np.int64)
        self._recent: list[tuple[np.ndarray, np.ndarray]] = []
        self.size = self._sizes()

    def learn(self, step: int, kind: np.ndarray, error: np.ndarray) -> None:
        """kind, error: [n]."""
        self._recent.append((kind, error))
        if (step + 1) % REFRESH or not self._adapt:
            return
        kinds, errors = (np.concatenate(parts) for parts in zip(*self._recent, strict=True))
        self._recent.clear()
        count = len(self._count)
        self._total += np.bincount(kinds, errors, count).astype(np.int64)  # sums below 2^53
        self._count += np.bincount(kinds, minlength=count)
        much = self._count > FULL
        self._total[much] >>= 1
        self._count[much] >>= 1
        self.size = self._sizes()

    def _sizes(self) -> np.ndarray:
        return np.searchsorted(_SIZES, (self._total << 8) // self._count, "right")
