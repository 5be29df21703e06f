"""The hyperprior with context and a memory, frozen for coding: each pass asks it, and passes its answer on. Integers.

    q_k = ask_k(a_k, b_k, s_(k-1))     s_k = answer_k(q_k)     (d, dt) of c_k += tell_k(s_k)          k = 1, 2, 3

a_k and b_k are what c_k makes of the features of the hyperprior and of what is decoded (see `context_coding`), s_(k-1)
is the answer of the pass before. What answers is one of two:

    dictionary   of each head: w_j = EXP[(key_j q) / 32], s = floor(sum_j w_j value_j / sum_j w_j)
    control      gate (V q + v), gate = G q + g within [0, 1]: as many multiplications, and no memory

The dictionary is attention to constants that were learned: Lu et al., "Learned Image Compression with Dictionary-based
Entropy Model" (CVPR 2025), with a softmax in integers. Logits are clamped, so that no exponential is 0: nothing is
subtracted first, and nothing is ever divided by 0. The control is what tells whether that is worth more than the same
work done otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ModelError
from .context_coding import PASSES, SIGNED, ContextCoding
from .layers import ACTIVATION_BITS, GAIN_BITS, WEIGHT_BITS, ExactLayer
from .program import Builder

__all__ = ["EXPONENTIALS", "KEY_BITS", "ConditionalCoding", "ControlCoding", "DictionaryCoding"]

QUERY_MAX = 2**11 - 1
"""Queries are integers in [-QUERY_MAX, QUERY_MAX], in units of 2^-ACTIVATION_BITS."""
KEY_BITS = 7
"""A key's length is 1 in units of 2^-KEY_BITS: entries that nobody asks for would grow shorter, and be lost."""
LOGIT_BITS = 5
"""Fractional bits of logits, which are clamped to [-LOGITS / 2, LOGITS / 2 - 1]."""
LOGITS = 384
EXPONENTIALS = np.rint(np.exp(np.arange(LOGITS) * 2.0**-LOGIT_BITS)).astype(np.int32)
"""What training uses and a model file then holds: e^0 to e^11.97. The smallest is 1."""
EXPONENTIALS_MAX = 2**18
GATE_BITS = 10
MAX_ENTRIES = 256


class ConditionalCoding(ContextCoding):
    """What models with a memory have in common. tensors: those of a `ContextCoding` and `context.K.ask.*`,
    `context.K.tell.*`; above: as there. Raises ModelError when they do not make a model. Threads may share one object.
    """

    answer: str
    """Its name."""
    parts: tuple[str, ...]
    """The tensors `context.K.*` that answer."""
    tables: tuple[str, ...] = ()
    """Further tensors, of all passes."""

    def _constants(self) -> dict[str, Any]:
        limits = [QUERY_MAX, KEY_BITS, LOGIT_BITS, LOGITS, GATE_BITS]
        return {**super()._constants(), "model": "conditional context 0", "answer": [self.answer, limits]}

    @classmethod
    def _names(cls) -> list[str]:
        asked = [f"{part}.{what}" for part in ("ask", "tell") for what in ("weight", "bias")]
        own = [f"context.{k}.{part}" for k in range(1, PASSES) for part in (*asked, *cls.parts)]
        return [*ContextCoding._names(), *own, *cls.tables]

    def _context_shapes(self) -> None:
        super()._context_shapes()
        for k in range(1, PASSES):
            width, size = len(self._tensors[f"context.{k}.0.weight"]), self._answer_size(k)
            seen = 2 * width + (self._answer_size(k - 1) if k > 1 else 0)
            for part, shape in (("ask", (size, seen)), ("tell", (2 * self.latent, size))):
                self._demand(f"context.{k}.{part}.weight", shape)
                self._demand(f"context.{k}.{part}.bias", shape[:1])

    def _demand(self, name: str, shape: tuple[int, ...]) -> None:
        if (found := self._tensors[name].shape) != shape or 0 in shape:
            raise ModelError(f"the model's {name} has shape {found}, not {shape}")

    def _answer_size(self, k: int) -> int:
        """Channels of what is asked and answered in pass k, its tensors checked. Raises ModelError."""
        raise NotImplementedError

    def _answer(self, b: Builder, k: int, q: int) -> int:
        """q_k -> s_k, within SIGNED, in units of 2^-ACTIVATION_BITS."""
        raise NotImplementedError

    def _layer_in(self, k: int, part: str, output_bits: int, output_range: tuple[int, int]) -> ExactLayer:
        weight, bias = (self._tensors[f"context.{k}.{part}.{what}"] for what in ("weight", "bias"))
        shift = WEIGHT_BITS + ACTIVATION_BITS - output_bits + GAIN_BITS
        return ExactLayer(weight, bias, kernel=1, shift=shift, output_range=output_range)

    def _asked(self, b: Builder, k: int, seen: tuple[int, int], change: int) -> tuple[int, dict[str, int]]:
        """See `ContextCoding._asked`."""
        before = [b.input("state", self._answer_size(k - 1), *SIGNED)] if k > 1 else []
        ask = self._layer_in(k, "ask", ACTIVATION_BITS, (-QUERY_MAX, QUERY_MAX))
        state = self._answer(b, k, ask.steps(b, b.join(*seen, *before)))
        tell = self._layer_in(k, "tell", self.fraction, self.mean_range)
        changed = b.clamp(b.add(change, tell.steps(b, state)), *self.mean_range)
        return changed, {"state": state} if k + 1 < PASSES else {}


class DictionaryCoding(ConditionalCoding):
    """answers with a dictionary: `context.K.keys` and `context.K.values`, int16 [heads, entries, size] each, and
    `context.exponentials`, int32 [LOGITS].
    """

    answer = "dictionary"
    parts = ("keys", "values")
    tables = ("context.exponentials",)

    def _memory(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and values of pass k."""
        return self._tensors[f"context.{k}.keys"], self._tensors[f"context.{k}.values"]

    def _answer_size(self, k: int) -> int:
        (keys, values), table = self._memory(k), self._tensors["context.exponentials"]
        if keys.ndim != 3 or keys.shape != values.shape or not keys.size or keys.shape[1] > MAX_ENTRIES:
            raise ModelError(f"the model's dictionary has keys {keys.shape} and values {values.shape}")
        if table.shape != (LOGITS,) or table.min() < 1 or table.max() > EXPONENTIALS_MAX:
            raise ModelError(f"the model's exponentials are not {LOGITS} from 1 to {EXPONENTIALS_MAX}")
        return keys.shape[0] * keys.shape[2]

    def _answer(self, b: Builder, k: int, q: int) -> int:
        keys, values = self._memory(k)
        heads, entries, size = keys.shape
        nothing = np.zeros(entries, np.int64)
        own = [b.select(q, range(h * size, (h + 1) * size)) for h in range(heads)]
        logits = b.join(*(b.matmul(a, keys[h], nothing) for h, a in enumerate(own)))
        logits = b.clamp(b.shift(logits, ACTIVATION_BITS + KEY_BITS - LOGIT_BITS), -LOGITS // 2, LOGITS // 2 - 1)
        weights = b.table(b.add(logits, b.constant([LOGITS // 2])), self._tensors["context.exponentials"])
        sums = []
        for h in range(heads):
            w = b.select(weights, range(h * entries, (h + 1) * entries))
            above = b.matmul(w, values[h].T, nothing[:1].repeat(size))
            below = b.clamp(b.matmul(w, np.ones((1, entries), np.int16), nothing[:1]), 1, EXPONENTIALS_MAX * entries)
            sums.append(b.divide(above, below))
        return b.clamp(b.join(*sums), *SIGNED)


class ControlCoding(ConditionalCoding):
    """answers with `context.K.value.*` and `context.K.gate.*`, layers of 1 x 1."""

    answer = "control"
    parts = ("value.weight", "value.bias", "gate.weight", "gate.bias")

    def _answer_size(self, k: int) -> int:
        size = len(self._tensors[f"context.{k}.value.weight"])
        for part in ("value", "gate"):
            self._demand(f"context.{k}.{part}.weight", (size, size))
            self._demand(f"context.{k}.{part}.bias", (size,))
        return size

    def _answer(self, b: Builder, k: int, q: int) -> int:
        value = self._layer_in(k, "value", ACTIVATION_BITS, SIGNED).steps(b, q)
        gate = self._layer_in(k, "gate", GATE_BITS, (0, 1 << GATE_BITS)).steps(b, q)
        return b.shift(b.multiply(value, gate), GATE_BITS)
