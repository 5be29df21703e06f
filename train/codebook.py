"""Training codebooks for the latents of an image model: `lecodec train codebook`.

    crops -> frozen g_a at random rates -> y / gain -> k-means, stage by stage -> words, how many stages a rate has
    the same crops -> what the encoder chooses -> counts, twice -> tables

There is no gradient: each step learns the cascade of one group by Lloyd's algorithm, and the last two count. A rate has
as many stages of a group as make bits and errors cost least together, as they were when each word was the nearest.
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
from .video import log_gains

__all__ = ["CodebookExperiment", "means_of", "nearest_of"]

COUNTED = 2
"""Rounds of counting: the first one's choices follow tables that say nothing."""
PRIOR = 0.3
"""What every word is counted more than it is found."""
LEAN = 20
"""Words that a context counts more than it found, in the shares that all contexts of its stage have."""
HELD_OUT = 8
"""Of so many crops one is not learned from."""


class CodebookExperiment(Experiment[CodebookRecipe]):
    """The latents, and the tensors of a `CodebookCoding` as far as they are known."""

    noun = "codebooks"

    def __init__(self, recipe: CodebookRecipe, say: Callable[[str], None], accelerator: str, resumes: bool) -> None:
        super().__init__(recipe, say, accelerator, resumes)
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
        units = [v.reshape(len(v), -1).T / self.gain[rate] for v, rate in learned]
        self.units = np.concatenate(units).astype(np.float32)
        """[places, M]: y over the gain of its rate."""
        self.found: dict[str, np.ndarray] = {}
        self.bits = np.zeros((len(recipe.channels()), recipe.stages))
        self.errors = np.zeros((len(recipe.channels()), recipe.stages + 1))
        say(f"{len(self.units)} vectors, in {len(recipe.channels())} groups")

    def state(self) -> dict[str, Any]:
        import torch

        arrays = {**self.found, "bits": self.bits, "errors": self.errors}
        return {"found": {name: torch.from_numpy(a.copy()) for name, a in arrays.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        self.found = {name: a.numpy() for name, a in state["found"].items()}
        self.bits, self.errors = self.found.pop("bits"), self.found.pop("errors")

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
        words, sizes = [], []
        self.errors[g, 0] = float((x**2).sum(1).mean())
        for s in range(recipe.stages):
            own = means_of(x, recipe.words, recipe.rounds, rng)
            whole = np.rint(own * 2**WORD_BITS).clip(-(2**20), 2**20).astype(np.int32)
            k = nearest_of(x, own)
            x = x - (whole * np.float32(2.0**-WORD_BITS))[k]
            self.errors[g, s + 1] = float((x**2).sum(1).mean())
            share = np.bincount(k, minlength=len(own)) / len(k)
            self.bits[g, s] = float(-(share[share > 0] * np.log2(share[share > 0])).sum())
            words.append(whole)
            sizes.append(_classes(np.square(whole.astype(np.float64)).sum(1)))
        self.found[f"words.{g}"], self.found[f"size.{g}"] = np.stack(words), np.stack(sizes)
        return {"group": float(g), "bits": float(self.bits[g].sum()), "error": self.errors[g, -1] / self.errors[g, 0]}

    def _decide(self) -> None:
        """How many stages each rate has of each group, and the gains as integers."""
        sizes = self.recipe.channels()
        ends = np.cumsum(sizes)
        bits = np.concatenate([np.zeros((len(sizes), 1)), self.bits.cumsum(1)], 1)
        stages = np.empty((QUALITY_LEVELS, len(sizes)), np.int16)
        for rate, gain in enumerate(self.gain):
            square = np.array([(gain[end - size : end] ** 2).mean() for size, end in zip(sizes, ends, strict=True)])
            stages[rate] = (bits + 0.5 * CURVATURE * square[:, None] * self.errors).argmin(1)
        self.found["stages"] = stages
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


def nearest_of(x: np.ndarray, words: np.ndarray) -> np.ndarray:
    """x [n, D], words [K, D] -> the number of the nearest word, [n]."""
    half, out = (words**2).sum(1) / 2, []
    for part in np.array_split(x, max(1, len(x) // 8192)):
        out.append((half - part @ words.T).argmin(1))
    return np.concatenate(out)


def means_of(x: np.ndarray, count: int, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Lloyd's k-means of x [n, D] -> [count, D], the first of them nothing. A word that nothing is near to is put
    beside the one that the most is near to.
    """
    words = x[rng.choice(len(x), count, replace=len(x) < count)].copy()
    for _ in range(rounds):
        words[0] = 0
        k = nearest_of(x, words)
        met = np.bincount(k, minlength=count)
        sums = np.stack([np.bincount(k, x[:, d], count) for d in range(x.shape[1])], 1)
        words = np.where(met[:, None] > 0, sums / np.maximum(met, 1)[:, None], words).astype(np.float32)
        empty = np.flatnonzero(met[1:] == 0) + 1
        crowded = np.argsort(-met)[: len(empty)]
        words[empty[: len(crowded)]] = words[crowded] * np.float32(1.01) + np.float32(1e-3)
    words[0] = 0
    return words


def _classes(lengths: np.ndarray) -> np.ndarray:
    """Squared lengths [K] of words -> classes [K] int16: 0 for the first word, thirds of the others by rank."""
    rank = np.empty(len(lengths), np.int64)
    rank[np.argsort(lengths[1:], kind="stable") + 1] = np.arange(len(lengths) - 1)
    out = 1 + rank * (SIZES - 1) // max(1, len(lengths) - 1)
    out[0] = 0
    return out.astype(np.int16)
