"""Training codebooks for the latents of an image model: `lecodec train codebook`.

    crops -> frozen g_a at random rates -> y / gain -> k-means, stage by stage -> words, how many stages a rate has
    the same crops -> what the encoder chooses -> counts, twice -> tables

There is no gradient: each step learns the cascade of one group by Lloyd's algorithm, and the last two count. A vector
goes to the word whose bits and squared error, at the price of its own rate, cost least together (entropy-constrained
vector quantisation: Chou, Lookabaugh, Gray, IEEE Trans. ASSP 1989). A rate has the stages of a group before which the
error that is left costs more than WORTH bits a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..codec.image import ImageCodec
from ..codec.registry import load
from ..entropy.codebook_coding import CURVATURE, GAIN_BITS, SIZES, WORD_BITS, CodebookCoding, contexts
from ..entropy.latents import Meter
from ..entropy.rate import QUALITY_LEVELS, QUALITY_ONE
from ..entropy.tables import TableSet
from ..errors import InputError
from .codebook_recipe import CodebookRecipe
from .data import CropStream, load_pictures
from .run import Experiment, Place
from .team import Team
from .video import log_gains

__all__ = ["CodebookExperiment", "means_of", "nearest_of"]

COUNTED = 2
"""Rounds of counting: the first one's choices follow tables that say nothing."""
PRIOR = 0.3
"""What every word is counted more than it is found."""
LEAN = 20
"""Words that a context counts more than it found, in the shares that all contexts of its stage have."""
WORTH = 0.5
SMOOTH = 6
"""Rates on each side over which what is left is averaged."""
HELD_OUT = 8
"""Of so many crops one is not learned from."""


class CodebookExperiment(Experiment[CodebookRecipe]):
    """The latents, and the tensors of a `CodebookCoding` as far as they are known."""

    noun = "codebooks"
    alone = True

    def __init__(self, recipe: CodebookRecipe, say: Callable[[str], None], team: Team, resumes: bool) -> None:
        super().__init__(recipe, say, team, resumes)
        self.codec = load(model=recipe.base, of=ImageCodec)
        transform, entropy = self.codec.transform, self.codec.entropy
        if sum(recipe.channels()) != entropy.latent:
            raise InputError(f"the groups have {sum(recipe.channels())} channels, {recipe.base} has {entropy.latent}")
        self.gain = np.broadcast_to(np.exp(log_gains(self.codec)), (QUALITY_LEVELS, entropy.latent))
        stream = CropStream(load_pictures(recipe.train, say=say), recipe.downscale, recipe.seed)
        rng = np.random.default_rng(recipe.seed)
        self.rates = rng.integers(0, QUALITY_LEVELS, recipe.crops).tolist()
        y = [
            transform.analyse([crop], [rate * QUALITY_ONE])[0]
            for crop, rate in zip(stream.take(recipe.crops, recipe.crop), self.rates, strict=True)
        ]
        self.y = y
        learned = [(v, rate) for n, (v, rate) in enumerate(zip(y, self.rates, strict=True)) if n % HELD_OUT]
        self.at = np.concatenate([np.full(v[0].size, rate) for v, rate in learned])
        """[places]: the rate of each."""
        units = [v.reshape(len(v), -1).T / self.gain[rate] for v, rate in learned]
        self.units = np.concatenate(units).astype(np.float32)
        """[places, M]: y over the gain of its rate."""
        self.found: dict[str, np.ndarray] = {}
        self.left = np.zeros((len(recipe.channels()), recipe.stages, QUALITY_LEVELS))
        """What the error before a stage costs at each rate, bits a vector."""
        say(f"{len(self.units)} vectors, in {len(recipe.channels())} groups")

    def state(self) -> dict[str, Any]:
        import torch

        arrays = {**self.found, "left": self.left}
        return {"found": {name: torch.from_numpy(a.copy()) for name, a in arrays.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        self.found = {name: a.numpy() for name, a in state["found"].items()}
        self.left = self.found.pop("left")

    def done(self, step: int) -> float:
        return step / (len(self.recipe.channels()) + COUNTED)

    def step(self, at: Place) -> dict[str, float]:
        sizes = self.recipe.channels()
        if at.step < len(sizes):
            end = sum(sizes[: at.step + 1])
            return self._learn(at.step, self.units[:, end - sizes[at.step] : end])
        if at.step == len(sizes):
            self._decide()
        return self._count()

    def line(self, figures: Mapping[str, float]) -> str:
        return "  ".join(f"{name} {value:.3f}" for name, value in figures.items() if name != "steps_per_s")

    def validate(self, at: Place) -> dict[str, float]:
        if "y.counts" not in self.found:
            return {}
        coding, pixels, bits = CodebookCoding(self.found), 0, 0.0
        for n in range(0, len(self.y), HELD_OUT):
            meter, y = Meter(), self.y[n]
            coding.traverse([meter], y.shape[1:], [self.rates[n] * QUALITY_ONE], [y[None]])
            bits, pixels = bits + meter.bits, pixels + 256 * y[0].size
        return {"held out bpp": bits / max(pixels, 1)}

    # -- words

    def _learn(self, g: int, x: np.ndarray) -> dict[str, float]:
        """The cascade of one group: x [places, D]."""
        recipe, rng = self.recipe, np.random.default_rng(self.recipe.seed + g)
        price, words, sizes, bits = self._price(g)[self.at], [], [], 0.0
        for s in range(recipe.stages):
            self.left[g, s] = self._by_rate(price * np.square(x).sum(1))
            own, lengths = means_of(x, recipe.words, recipe.rounds, rng, price)
            whole = np.rint(own * 2**WORD_BITS).clip(-(2**20), 2**20).astype(np.int32)
            k = nearest_of(x, own, price, lengths)
            x = x - (whole * np.float32(2.0**-WORD_BITS))[k]
            bits += float(lengths[k].mean())
            words.append(whole)
            sizes.append(_classes(np.square(whole.astype(np.float64)).sum(1)))
        self.found[f"words.{g}"], self.found[f"size.{g}"] = np.stack(words), np.stack(sizes)
        return {"group": float(g), "bits": bits, "left": float((price * np.square(x).sum(1)).mean())}

    def _price(self, g: int) -> np.ndarray:
        """What a squared error of a group costs at each rate, in bits, over the gain: [QUALITY_LEVELS] float32."""
        sizes = self.recipe.channels()
        own = slice(sum(sizes[:g]), sum(sizes[: g + 1]))
        return (0.5 * CURVATURE * np.square(self.gain[:, own]).mean(1)).astype(np.float32)

    def _by_rate(self, values: np.ndarray) -> np.ndarray:
        """The mean of values [places] at each rate and its neighbours: [QUALITY_LEVELS]."""
        near = np.ones(2 * SMOOTH + 1)
        total, count = (np.bincount(self.at, weights, QUALITY_LEVELS) for weights in (values, None))
        return np.convolve(total, near, "same") / np.maximum(np.convolve(count, near, "same"), 1)

    def _decide(self) -> None:
        """How many stages each rate has of each group, and the gains as integers."""
        sizes = self.recipe.channels()
        self.found["stages"] = (self.left > WORTH).cumprod(1).sum(1).T.astype(np.int16)
        self.found["gain"] = np.rint(self.gain * 2**GAIN_BITS).clip(1, 2**20).astype(np.int32)
        tables = len(sizes) * sum(map(contexts, range(self.recipe.stages)))
        self._set_tables(np.ones((tables, self.recipe.words)))

    def _set_tables(self, counts: np.ndarray) -> None:
        p = counts / counts.sum(1, keepdims=True)
        tables = TableSet.from_probabilities([(0, np.append(row, 2.0**-24)) for row in p])
        self.found["y.counts"] = tables.counts.astype(np.int32)
        self.found["y.length"] = np.diff(tables.start).astype(np.int32)
        self.found["y.low"] = tables.low

    def _count(self) -> dict[str, float]:
        coding = CodebookCoding(self.found)
        recorder = _Counts(len(coding.y_tables), self.recipe.words)
        for n, (y, rate) in enumerate(zip(self.y, self.rates, strict=True)):
            if n % HELD_OUT:
                coding.traverse([recorder], y.shape[1:], [rate * QUALITY_ONE], [y[None]])
        counts, first = recorder.counts, 0
        for _ in self.recipe.channels():
            for s in range(self.recipe.stages):
                rows = counts[first : first + contexts(s)]
                shared = rows.sum(0) + PRIOR
                counts[first : first + contexts(s)] = rows + LEAN * shared / shared.sum()
                first += contexts(s)
        self._set_tables(counts)
        return {"bits": float(recorder.bits / max(1, len(self.units)))}


class _Counts:
    """A coder that writes nothing and counts."""

    def __init__(self, tables: int, words: int) -> None:
        self.counts, self.bits = np.zeros((tables, words)), 0.0

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        assert values is not None, "counts are of what is written"
        np.add.at(self.counts, (index, values), 1)
        self.bits += float(tables.bits(values, index).sum())
        return values


def nearest_of(x: np.ndarray, words: np.ndarray, price: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """x [n, D], words [K, D], price [n] of a squared error in bits, lengths [K] of the words in bits -> the number of
    the word that costs least, [n].
    """
    half, out = (words**2).sum(1) / 2, []
    for part, own in zip(*(np.array_split(a, max(1, len(x) // 8192)) for a in (x, price)), strict=True):
        out.append((2 * own[:, None] * (half - part @ words.T) + lengths).argmin(1))
    return np.concatenate(out)


def means_of(
    x: np.ndarray, count: int, rounds: int, rng: np.random.Generator, price: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's algorithm on x [n, D] -> words [count, D], the first of them nothing, and their lengths [count] in bits.
    A word that nothing goes to is put beside the one that the most goes to. price: see `nearest_of`; None: each x goes
    to the nearest word, as in k-means.
    """
    words = x[rng.choice(len(x), count, replace=len(x) < count)].copy()
    weights = np.ones(len(x), np.float32) if price is None else price
    lengths = np.zeros(count, np.float32)
    for _ in range(rounds):
        words[0] = 0
        k = nearest_of(x, words, weights, lengths)
        met, total = np.bincount(k, minlength=count), np.bincount(k, weights, count)
        sums = np.stack([np.bincount(k, weights * x[:, d], count) for d in range(x.shape[1])], 1)
        means = sums / np.maximum(total, 1e-9)[:, None]
        words = np.where(met[:, None] > 0, means, words).astype(np.float32)
        if price is not None:
            lengths = -np.log2((met + 0.5) / (met + 0.5).sum()).astype(np.float32)
        empty = np.flatnonzero(met[1:] == 0) + 1
        crowded = np.argsort(-met)[: len(empty)]
        words[empty[: len(crowded)]] = words[crowded] * np.float32(1.01) + np.float32(1e-3)
    words[0] = 0
    return words, lengths


def _classes(lengths: np.ndarray) -> np.ndarray:
    """Squared lengths [K] of words -> classes [K] int16: 0 for the first word, thirds of the others by rank."""
    rank = np.empty(len(lengths), np.int64)
    rank[np.argsort(lengths[1:], kind="stable") + 1] = np.arange(len(lengths) - 1)
    out = 1 + rank * (SIZES - 1) // max(1, len(lengths) - 1)
    out[0] = 0
    return out.astype(np.int16)
