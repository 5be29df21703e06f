"""Passes with a memory of real pictures: a dictionary of crops, of which an encoder names two for each tile. Integers.

    entries of the tile --coder-->     latents of these crops --keys_k, values_k--> dictionary of pass k (`conditional`)

The model holds the latents of crops of real pictures, quantised at one rate. A place of a crop, a block of 2 x 2
latents, is an entry of the dictionary: its key and its value are two layers of 1 x 1 of what is there. So a place is
found by what is decoded so far, never by what is still to come, and nothing but the crops' numbers is sent: their
level is the first of a file. After "Conditional Latent Coding with Learnable Synthesized Reference for Deep Image
Compression" (AAAI 2025), whose references condition as these do.

An encoder may name any crops. It names those whose channels vary most like those of the tile.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import CorruptFile, ModelError
from .coder import Coder
from .conditional_coding import KEY_BITS, ControlCoding, DictionaryCoding
from .context_coding import PASSES, SIGNED, ContextCoding
from .latents import NEAREST, ONE, Choice, EntropyModel, Latents, Size, refuse_given
from .layers import ACTIVATION_BITS
from .program import Builder
from .rate import QUALITY_LEVELS, rows_at
from .run_numpy import IntegerRuntime
from .tables import TABLE_BITS, TOTAL, TableSet

__all__ = ["CHOSEN", "KEY_RANGE", "MAX_REFERENCES", "BothCoding", "RetrievedCoding", "conditional_model", "likeness"]

CHOSEN = 2
"""Crops that an encoder names."""
KEY_RANGE = -(2**KEY_BITS) + 1, 2**KEY_BITS - 1
MAX_REFERENCES = 30
KEPT = 32
"""Choices whose programs are kept."""


class RetrievedCoding(DictionaryCoding):
    """tensors: those of a `DictionaryCoding`, but `context.K.key.*` and `context.K.value.*`, layers of 1 x 1, for its
    keys and values; `references` int16 [N, 4 M, h, w], the crops' latents over the deviations of their channels,
    folded, in units of 2^-ACTIVATION_BITS; `unit` int32 [64, M], these deviations at each rate in units of
    2^-MEAN_BITS, which only an encoder needs; `heads` int32 [1].
    """

    answer = "retrieved"
    parts = ("key.weight", "key.bias", "value.weight", "value.bias")
    tables = ("context.exponentials", "references", "unit", "heads")

    def __init__(self, tensors: Mapping[str, np.ndarray], above: EntropyModel | None = None):
        self._chosen = (0,) * CHOSEN
        self._memories: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._ready: dict[tuple[int, ...], RetrievedCoding] = {}
        super().__init__(tensors, above)
        count = len(self._tensors["references"])
        counts = (TOTAL - 1) // count + (np.arange(count) < (TOTAL - 1) % count)
        ends = np.array([0, count + 1])
        self._numbers = TableSet(np.append(counts, 1).astype(np.uint32), ends, np.zeros(1, np.int32))
        self._unit = self._tensors["unit"].astype(np.int64)

    def _context_shapes(self) -> None:
        t = self._tensors
        references, unit = t["references"], t["unit"]
        if references.ndim != 4 or references.shape[1] != 4 * self.latent or not references.size:
            raise ModelError(f"the model's references have shape {references.shape}")
        if len(references) > MAX_REFERENCES or np.abs(references.astype(np.int64)).max() > SIGNED[1]:
            raise ModelError("the model's references are too many, or out of range")
        if unit.shape != (QUALITY_LEVELS, self.latent) or unit.min() < 1:
            raise ModelError("the model's units do not fit its latents")
        super()._context_shapes()

    def _memory(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        if k not in self._memories:
            self._memories[k] = self._of_references(k)
        heads, places, size = self._memories[k][0].shape[1:]
        keys, values = (a[list(self._chosen)].swapaxes(0, 1).reshape(heads, -1, size) for a in self._memories[k])
        return keys, values

    def _of_references(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and values of all places of all crops, [N, heads, h w, size] each."""
        references, numbers = self._tensors["references"], self._tensors["heads"]
        heads = int(numbers[0]) if numbers.shape == (1,) else 0
        size = len(self._tensors[f"context.{k}.key.weight"])
        for part in ("key", "value"):
            self._demand(f"context.{k}.{part}.weight", (size, references.shape[1]))
            self._demand(f"context.{k}.{part}.bias", (size,))
        if heads < 1 or size % heads:
            raise ModelError("the model's heads do not fit its keys")
        b = Builder()
        seen = b.input("seen", references.shape[1], *SIGNED)
        key = self._layer_in(k, "key", KEY_BITS, KEY_RANGE).steps(b, seen)
        value = self._layer_in(k, "value", ACTIVATION_BITS, SIGNED).steps(b, seen)
        found = IntegerRuntime().run(b.program(key=key, value=value), {"seen": references})
        split = (found[name].reshape(len(references), heads, size // heads, -1) for name in ("key", "value"))
        keys, values = (np.ascontiguousarray(a.swapaxes(2, 3)).astype(np.int16) for a in split)
        return keys, values

    def _with(self, chosen: tuple[int, ...]) -> RetrievedCoding:
        """This model with the dictionary that a choice of crops makes."""
        found = self._ready.get(chosen)
        if found is None:
            found = copy.copy(self)
            found._chosen = chosen
            found._corrections = [found._correction(k) for k in range(1, PASSES)]
            if len(self._ready) >= KEPT:
                self._ready.clear()
            self._ready[chosen] = found
        return found

    def least_bits(self, size: Size, rate: int) -> float:
        numbers = CHOSEN * (TABLE_BITS - np.log2(float(self._numbers.counts[:-1].max())))
        return super().least_bits(size, rate) + float(numbers)

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
        """As that of `HyperpriorCoding`, signal by signal. The first level is the numbers of crops, [CHOSEN, 1, 1]."""
        refuse_given(given)
        latents = []
        for b, (coder, rate) in enumerate(zip(coders, rates, strict=True)):
            values, own = None, choice
            if source is not None:
                values = likeness(
                    source[-1][b] / (rows_at(self._unit, [rate])[0][:, None, None] / ONE), self._energies()
                )
            found = coder.code(self._numbers, np.zeros(CHOSEN, np.int64), values)
            if found.min() < 0 or found.max() >= len(self._tensors["references"]):
                raise CorruptFile("the model has no crop of this number")
            if choice.kept is not None:
                own = Choice(choice.deadzone, choice.kept.setdefault(f"signal {b}", {}))
            part = None if source is None else [level[b : b + 1] for level in source]
            coding = self._with(tuple(found.tolist()))
            (whole,) = ContextCoding.traverse(coding, [coder], size, [rate], part, device=device, choice=own)
            latents.append(Latents((found.reshape(CHOSEN, 1, 1), *whole.levels)))
        return latents

    def _energies(self) -> np.ndarray:
        """What `likeness` compares a tile with: [N, M]."""
        a = self._tensors["references"].astype(np.float64) * 2.0**-ACTIVATION_BITS
        return np.square(a).reshape(len(a), self.latent, -1).mean(2)


class BothCoding(RetrievedCoding):
    """The same with entries of its own before the places of the crops: `context.K.keys` and `context.K.values`, int16
    [heads, entries, size] each.
    """

    answer = "both"
    parts = (*DictionaryCoding.parts, *RetrievedCoding.parts)

    def _memory(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        own, places = DictionaryCoding._memory(self, k), super()._memory(k)
        for name, a, b in zip(("keys", "values"), own, places, strict=True):
            if a.ndim != 3 or (a.shape[0], a.shape[2]) != (b.shape[0], b.shape[2]):
                raise ModelError(f"the model's {name} {a.shape} do not fit those of its crops")
        keys, values = (np.concatenate(pair, 1) for pair in zip(own, places, strict=True))
        return keys, values


def likeness(y: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """y [M, h, w] over the deviations of its channels, mean squares of crops [N, M] -> the numbers of the CHOSEN crops
    whose channels vary most like those of y, ascending, [CHOSEN] int32.
    """
    own, others = np.log(np.square(y).mean((1, 2)) + 0.05), np.log(energies + 0.05)
    far = np.square(others - own).sum(1)
    nearest = np.argsort(far, kind="stable")[:CHOSEN]
    return np.sort(np.resize(nearest, CHOSEN)).astype(np.int32)


_MODELS: dict[str, type[ContextCoding]] = {
    model.answer: model for model in (DictionaryCoding, ControlCoding, RetrievedCoding, BothCoding)
}


def conditional_model(kind: Any) -> type[ContextCoding]:
    """The entropy model whose memory is of a kind: "dictionary", "control", "retrieved", "both". Raises ModelError."""
    if not isinstance(kind, str) or kind not in _MODELS:
        raise ModelError(f"the model's card asks for a memory of the kind {kind!r}; there are {', '.join(_MODELS)}")
    return _MODELS[kind]
