"""Codebooks as an entropy model: y in cascades of vectors, whose numbers are coded with tables. No network at all.

    group by group, stage by stage:   context --table--> number k --coder-->   v += word k     y_hat = gain v

Channels of y are in groups, one after the other. y over the gain of its rate is what the words of a group come near to,
each stage of the cascade to what the stages before have left (multi-codebook, cascaded: Zhu et al., "Unified
Multivariate Gaussian Mixture for Efficient Neural Image Compression", CVPR 2022). `stages` says how many of them a rate
has. The table of a number follows from what is decoded:

    first stage, positions where row + column is even    the size of the first word of the group before
    first stage, the others                              that, and the mean size of its neighbours' first words
    further stages                                       the size of the word before

A word's size is a class of its length, `size`; word 0 is nothing and has size 0. All of it is integer arithmetic. An
encoder may choose any words: it takes those whose bits and squared error, in the units of a quantisation step, cost
least.

Latents have two levels: the numbers [groups * stages, h, w], -1 where there is none, and y_hat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import CorruptFile, ModelError
from .coder import Coder
from .digest import parse_digest
from .latents import MEAN_BITS, NEAREST, Choice, Latents, Size, refuse_given
from .rate import QUALITY_LEVELS, QUALITY_ONE, rows_at
from .tables import TABLE_BITS, TableSet

__all__ = ["SIZES", "CodebookCoding", "contexts"]

WORD_BITS, GAIN_BITS = 10, 10
"""Fractional bits of words and of gains."""
WORD_MAX, GAIN_MAX, MAX_WORDS, MAX_STAGES = 2**20, 2**20, 2**12, 8
Y_HAT_MAX = 2**24
SIZES = 4
"""Classes of the length of words."""
CURVATURE = 15.5
"""Bits that an error costs, over half of its square in quantisation steps: that of `codec.refine`."""


def contexts(stage: int) -> int:
    """Tables of each group at a stage."""
    return SIZES if stage else SIZES + SIZES * SIZES


class CodebookCoding:
    """An entropy model (see `EntropyModel`). tensors: `words.G` int32 [stages, K, channels of the group] and `size.G`
    int16 [stages, K] for each group G, `stages` int16 [64, groups], `gain` int32 [64, M], and the tables `y.*`: of each
    group, of each stage, of each context (`contexts`), K counts and an escape that is never coded.

    Raises ModelError when they do not make one. Threads may share one object.
    """

    fraction = MEAN_BITS

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        groups = sum(name.startswith("words.") for name in tensors)
        names = [f"{part}.{g}" for g in range(groups) for part in ("words", "size")]
        names += ["stages", "gain", "y.counts", "y.length", "y.low"]
        try:
            self._tensors = t = {name: np.ascontiguousarray(tensors[name]) for name in names}
        except KeyError as e:
            raise ModelError(f"the model lacks {e.args[0]}") from None
        for name, array in t.items():
            wanted = np.int16 if name.startswith(("size", "stages")) else np.int32
            if array.dtype != wanted:
                raise ModelError(f"the model's {name} is {array.dtype}, not {np.dtype(wanted)}")
        self._words = [t[f"words.{g}"].astype(np.int64) for g in range(groups)]
        self._sizes = [t[f"size.{g}"].astype(np.int64) for g in range(groups)]
        self._check(groups)
        start = np.concatenate([[0], np.cumsum(t["y.length"].astype(np.int64))])
        self.y_tables = TableSet(t["y.counts"], start, t["y.low"])
        self._deepest, self._count = self._words[0].shape[:2]
        each = sum(map(contexts, range(self._deepest)))
        if len(self.y_tables) != groups * each or (t["y.length"] != self._count + 1).any() or t["y.low"].any():
            raise ModelError("the model's tables do not fit its codebooks")
        self._first = [[g * each + sum(map(contexts, range(s))) for s in range(self._deepest)] for g in range(groups)]
        self._gain, self._stages = t["gain"].astype(np.int64), t["stages"].astype(np.int64)
        ends = np.cumsum([words.shape[2] for words in self._words])
        self._own = [slice(int(end) - words.shape[2], int(end)) for end, words in zip(ends, self._words, strict=True)]
        self.latent = int(ends[-1])
        self._bits = (TABLE_BITS - np.log2(self.y_tables.counts)).reshape(-1, self._count + 1)[:, :-1]

    def _check(self, groups: int) -> None:
        if not groups:
            raise ModelError("the model has no codebooks")
        for words, size in zip(self._words, self._sizes, strict=True):
            fits = words.ndim == 3 and words.size and size.shape == words.shape[:2] == self._words[0].shape[:2]
            if not fits or not 2 <= words.shape[1] <= MAX_WORDS or words.shape[0] > MAX_STAGES:
                raise ModelError("the model's codebooks do not fit together")
            if np.abs(words).max() > WORD_MAX or size.min() < 0 or size.max() >= SIZES:
                raise ModelError("the model's words are out of range")
        stages, gain = self._tensors["stages"], self._tensors["gain"]
        latent = sum(words.shape[2] for words in self._words)
        if stages.shape != (QUALITY_LEVELS, groups) or gain.shape != (QUALITY_LEVELS, latent):
            raise ModelError("the model's stages or gains do not fit its codebooks")
        if stages.min() < 0 or stages.max() > len(self._words[0]) or gain.min() < 1 or gain.max() > GAIN_MAX:
            raise ModelError("the model's stages or gains are out of range")

    def digest(self) -> bytes:
        constants = {"bits": [WORD_BITS, GAIN_BITS, MEAN_BITS], "model": "codebooks 0", "sizes": SIZES}
        return parse_digest(constants, self._tensors)

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """What it was made of, by name."""
        return dict(self._tensors)

    def _depths(self, rate: int) -> np.ndarray:
        """Stages of each group."""
        return self._stages[min(rate // QUALITY_ONE, QUALITY_LEVELS - 1)]

    def least_bits(self, size: Size, rate: int) -> float:
        """Each number at the cheapest that any of its tables has."""
        counts = self.y_tables.counts.reshape(-1, self._count + 1)[:, :-1].max(1)
        least, bits = TABLE_BITS - np.log2(counts.astype(np.float64)), 0.0
        for g, depth in enumerate(self._depths(rate)):
            bits += sum(least[self._first[g][s] :][: contexts(s)].min() for s in range(depth))
        return bits * int(np.prod(size))

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
        """See `EntropyModel.traverse`. source: y alone. Nothing runs on the device, and nothing is rounded."""
        refuse_given(given)
        y = [None] * len(coders) if source is None else list(source[-1])
        return [self._coded(*one) for one in zip(coders, [size] * len(coders), rates, y, strict=True)]

    def _coded(self, coder: Coder, size: Size, rate: int, y: np.ndarray | None) -> Latents:
        """One signal: y [M, h, w] float32, None to read."""
        places = int(np.prod(size))
        gain = rows_at(self._gain, [rate])[0][:, None]
        numbers = np.full((len(self._words), self._deepest, places), -1, np.int32)
        found = np.zeros((self.latent, places), np.int64)
        even, odd = (np.flatnonzero(np.indices(size).sum(0).reshape(-1) % 2 == side) for side in (0, 1))
        before = np.zeros(places, np.int64)
        wanted = None if y is None else y.reshape(self.latent, -1) / (gain * 2.0**-GAIN_BITS)
        for g, depth in enumerate(self._depths(rate)):
            own, first = self._own[g], np.zeros(places, np.int64)
            pick = None
            if wanted is not None:
                price = 0.5 * CURVATURE * (gain[own] * 2.0**-GAIN_BITS) ** 2
                pick = _Picker(wanted[own], price, found[own])
            sizes = first
            for s in range(depth):
                for where in (even, odd) if s == 0 else (np.arange(places),):
                    if s:
                        context = sizes[where]
                    elif where is even:
                        context = before[where]
                    else:
                        context = SIZES + SIZES * before[where] + _near(first, size)[where]
                    index = self._first[g][s] + context
                    values = None if pick is None else pick(self._words[g][s], self._bits[index], where)
                    k = coder.code(self.y_tables, index, values)
                    if len(k) and (k.min() < 0 or k.max() >= self._count):
                        raise CorruptFile("a codebook has no word of this number")
                    numbers[g, s, where] = k
                    found[own, where] += self._words[g][s][k].T
                    if s == 0:
                        first[where] = self._sizes[g][0][k]
                sizes = self._sizes[g][s][numbers[g, s]]
            before = first
        y_hat = (found * gain + (1 << (WORD_BITS + GAIN_BITS - MEAN_BITS - 1))) >> (WORD_BITS + GAIN_BITS - MEAN_BITS)
        y_hat = y_hat.clip(-Y_HAT_MAX, Y_HAT_MAX).astype(np.int32).reshape(self.latent, *size)
        return Latents((numbers.reshape(-1, *size), y_hat))


def _near(first: np.ndarray, size: Size) -> np.ndarray:
    """The mean of the four neighbours, of those that there are, rounded; sizes of positions [h w]."""
    planes = np.pad(np.stack([first.reshape(size), np.ones(size, np.int64)]), ((0, 0), (1, 1), (1, 1)))
    total, count = planes[:, :-2, 1:-1] + planes[:, 2:, 1:-1] + planes[:, 1:-1, :-2] + planes[:, 1:-1, 2:]
    return ((2 * total + count) // np.maximum(2 * count, 1)).reshape(-1)


class _Picker:
    """What an encoder chooses. wanted: [D, n] float; price: of squared errors, [D, 1]; found: [D, n] words so far,
    which grow while it is used.
    """

    def __init__(self, wanted: np.ndarray, price: np.ndarray, found: np.ndarray):
        self._wanted, self._price, self._found = wanted, price, found

    def __call__(self, words: np.ndarray, bits: np.ndarray, where: np.ndarray) -> np.ndarray:
        """words [K, D], bits [n, K] of each at the positions `where` [n] -> numbers [n] int32."""
        real = words * 2.0**-WORD_BITS
        left = (self._wanted[:, where] - self._found[:, where] * 2.0**-WORD_BITS) * self._price
        cost = bits - 2 * (left.T @ real.T) + (real**2 @ self._price)[:, 0]
        return cost.argmin(1).astype(np.int32)
