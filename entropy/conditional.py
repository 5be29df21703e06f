"""The hyperprior with context and a memory, trainable form: a dictionary, one of real pictures, both, or the control.

    q_k = ask_k(a_k, b_k, s_(k-1))     s_k = answer_k(q_k)     (d, dt) of c_k += tell_k(s_k)          k = 1, 2, 3

See `conditional_coding` and `retrieved_coding` for the kinds and where they come from. It starts as a model without a
memory: what it tells is near 0, so training can begin with that model's weights and at its rate. What the `frozen` of
`ConditionalHyperprior` returns makes a coding of its kind, see `retrieved_coding.conditional_model`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conditional_coding import EXPONENTIALS, GATE_BITS, KEY_BITS, LOGIT_BITS, LOGITS, MAX_ENTRIES, QUERY_MAX
from .context import ContextConfig, ContextHyperprior, ContextStep
from .context_coding import PASSES, SIGNED
from .exact import TrainableExact, clamp_inward, straight_through
from .hyperprior import HyperConfig, Likelihood
from .hyperprior_coding import layer_tensors
from .latents import MEAN_BITS
from .layers import ACTIVATION_BITS, ACTIVATION_MAX
from .rate import QUALITY_LEVELS
from .retrieved_coding import CHOSEN, KEY_RANGE, MAX_REFERENCES, likeness

__all__ = ["PLACES", "ConditionalConfig", "ConditionalHyperprior", "references_of"]

PLACES = 8, 8
"""Of a crop of 256 x 256 pixels, each a block of 2 x 2 latents."""
_TOP = ACTIVATION_MAX * 2.0**-ACTIVATION_BITS


@dataclass(frozen=True)
class ConditionalConfig:
    """What is asked, and its sizes. Raises ValueError for what there is not."""

    kind: str = "dictionary"
    """`dictionary`; `control`: a gated layer in its place, of as many multiplications if entries = heads * size;
    `retrieved`: a dictionary of places in real pictures, those of `references`, of which each tile names two; or
    `both`: these places and learned entries in one dictionary.
    """
    entries: int = 64
    """Of each head, at most 256; of real pictures as many as 30 crops."""
    heads: int = 4
    """How many answers are looked up side by side."""
    size: int = 16
    """Numbers of a key, and of a value."""
    learned: int = 64
    """Of `both`: the learned entries, with the places of two crops at most 256."""

    def __post_init__(self) -> None:
        if self.kind not in _ANSWERS:
            raise ValueError(f"kind is {', '.join(_ANSWERS)}, not {self.kind!r}")
        for name, value in asdict(self).items():
            if name != "kind" and (type(value) is not int or value < 1):
                raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
        if self.entries > MAX_ENTRIES:
            raise ValueError(f"entries are at most {MAX_ENTRIES}, not {self.entries}")
        if self.of_pictures and self.entries > MAX_REFERENCES:
            raise ValueError(f"entries are at most {MAX_REFERENCES} pictures, not {self.entries}")
        if self.kind == "both" and self.learned > (most := MAX_ENTRIES - CHOSEN * math.prod(PLACES)):
            raise ValueError(f"learned entries are at most {most} beside crops, not {self.learned}")

    @property
    def of_pictures(self) -> bool:
        """Whether it needs real pictures."""
        return self.kind in ("retrieved", "both")


class Answer(nn.Module):
    """forward: queries [B, heads * size, h, w] -> answers of that shape, multiples of 2^-ACTIVATION_BITS."""

    def frozen(self) -> dict[str, np.ndarray]:
        """Its tensors in a model file, by their names there without `context.K.`"""
        raise NotImplementedError


class DictionaryAnswer(Answer):
    """Attention to constants: heads of `entries` keys of length 1, and values."""

    def __init__(self, c: ConditionalConfig):
        super().__init__()
        shape = c.heads, c.entries, c.size
        self.keys = nn.Parameter(F.normalize(torch.randn(shape), dim=2))
        self.values = nn.Parameter(torch.randn(shape))

    def forward(self, q: Tensor) -> Tensor:
        with torch.autocast(q.device.type, enabled=False):
            return self._soft(q.float()) if self.training else self._exact(q)

    def _entries(self) -> tuple[Tensor, Tensor]:
        """Keys and values as training sees them: [heads, entries, size], or [B, heads, entries, size]."""
        keys, one = F.normalize(self.keys, dim=2), 2.0**ACTIVATION_BITS
        keys = straight_through(keys, (keys * 2**KEY_BITS).round() * 2.0**-KEY_BITS)
        return keys, straight_through(self.values, (self.values * one).round() / one)

    def _integers(self) -> tuple[Tensor, Tensor]:
        """The same as integers, float64."""
        keys, values = (torch.from_numpy(a.astype(np.float64)) for a in self.frozen().values())
        return keys.to(self.keys.device), values.to(self.keys.device)

    def _soft(self, q: Tensor) -> Tensor:
        """The integers' values but for a last bit, with the gradient of the softmax."""
        keys, values = self._entries()
        heads, size = keys.shape[-3], keys.shape[-1]
        asked = q.unflatten(1, (heads, size)).permute(0, 1, 3, 4, 2).flatten(2, 3)  # [B, heads, h w, size]
        logits = asked @ keys.transpose(-1, -2)
        half = LOGITS / 2 * 2.0**-LOGIT_BITS
        logits = straight_through(logits, (logits * 2**LOGIT_BITS + 0.5).floor() * 2.0**-LOGIT_BITS)
        weights = clamp_inward(logits, -half, half - 2.0**-LOGIT_BITS).softmax(3)
        out, one = weights @ values, 2.0**ACTIVATION_BITS
        out = clamp_inward(straight_through(out, (out * one).floor() / one), -_TOP, _TOP)
        return out.unflatten(2, q.shape[2:]).permute(0, 1, 4, 2, 3).flatten(1, 2)

    @torch.no_grad()
    def _exact(self, q: Tensor) -> Tensor:
        """What the frozen dictionary answers: sums below 2^51 in float64."""
        keys, values = self._integers()
        heads, size = keys.shape[-3], keys.shape[-1]
        asked = (q.double() * 2**ACTIVATION_BITS).round().unflatten(1, (heads, size)).permute(0, 1, 3, 4, 2)
        logits = asked.flatten(2, 3) @ keys.transpose(-1, -2)
        logits = (logits * 2.0 ** (LOGIT_BITS - ACTIVATION_BITS - KEY_BITS) + 0.5).floor()
        index = logits.clamp(-LOGITS // 2, LOGITS // 2 - 1).long() + LOGITS // 2
        weights = torch.from_numpy(EXPONENTIALS).to(q.device).double()[index]
        out = (weights @ values / weights.sum(3, keepdim=True)).floor().clamp(*SIGNED)
        return (out * 2.0**-ACTIVATION_BITS).float().unflatten(2, q.shape[2:]).permute(0, 1, 4, 2, 3).flatten(1, 2)

    @torch.no_grad()
    def frozen(self) -> dict[str, np.ndarray]:
        keys = F.normalize(self.keys.detach().cpu().float(), dim=2) * 2**KEY_BITS
        values = (self.values.detach().cpu().float() * 2**ACTIVATION_BITS).clamp(*SIGNED)
        return {name: a.round().numpy().astype(np.int16) for name, a in (("keys", keys), ("values", values))}


class RetrievedAnswer(DictionaryAnswer):
    """The same with places of real pictures. seen: what is set before each forward(), the latents of the crops of each
    sample, [B, 4 M, crops, places].
    """

    seen: Tensor

    def __init__(self, c: ConditionalConfig, latent: int):
        Answer.__init__(self)
        size, self.heads = c.heads * c.size, c.heads
        self.key = TrainableExact(
            4 * latent, size, input_range=SIGNED, output_bits=KEY_BITS, output_range=KEY_RANGE, relu=False
        )
        self.value = TrainableExact(4 * latent, size, input_range=SIGNED, output_range=SIGNED, relu=False)
        with torch.no_grad():
            self.key.weight.mul_(0.3)

    def _places(self) -> tuple[Tensor, Tensor]:
        """Of each sample, [B, heads, places, size]."""
        keys, values = (layer(self.seen).flatten(2) for layer in (self.key, self.value))
        split = (a.unflatten(1, (self.heads, -1)).transpose(2, 3) for a in (keys, values))
        keys, values = split
        return keys, values

    def _entries(self) -> tuple[Tensor, Tensor]:
        return self._places()

    def _integers(self) -> tuple[Tensor, Tensor]:
        keys, values = self._places()
        return (keys.double() * 2**KEY_BITS).round(), (values.double() * 2**ACTIVATION_BITS).round()

    def frozen(self) -> dict[str, np.ndarray]:
        return layer_tensors("key", self.key.freeze()) | layer_tensors("value", self.value.freeze())


class BothAnswer(RetrievedAnswer):
    """Learned entries, then the places of the crops."""

    def __init__(self, c: ConditionalConfig, latent: int):
        super().__init__(c, latent)
        self.own = DictionaryAnswer(replace(c, kind="dictionary", entries=c.learned))

    def _entries(self) -> tuple[Tensor, Tensor]:
        return self._beside(self.own._entries(), super()._entries())

    def _integers(self) -> tuple[Tensor, Tensor]:
        return self._beside(self.own._integers(), super()._integers())

    @staticmethod
    def _beside(own: tuple[Tensor, Tensor], places: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The same of each sample, and its own."""
        keys, values = (torch.cat([a.expand(len(b), *a.shape), b], 2) for a, b in zip(own, places, strict=True))
        return keys, values

    def frozen(self) -> dict[str, np.ndarray]:
        return self.own.frozen() | super().frozen()


class ControlAnswer(Answer):
    """A gated layer of 1 x 1, which knows nothing but its weights either."""

    def __init__(self, c: ConditionalConfig):
        super().__init__()
        size, signed = c.heads * c.size, {"input_range": (-QUERY_MAX, QUERY_MAX), "relu": False}
        self.value = TrainableExact(size, size, output_range=SIGNED, **signed)
        gate = {"output_bits": GATE_BITS, "output_range": (0, 1 << GATE_BITS)}
        self.gate = TrainableExact(size, size, **gate, **signed)
        with torch.no_grad():
            self.gate.weight.mul_(0.3)
            self.gate.bias.fill_(0.5)

    def forward(self, q: Tensor) -> Tensor:
        out, one = self.value(q) * self.gate(q), 2.0**ACTIVATION_BITS
        if not self.training:
            out = out.double()
        return straight_through(out, (out * one + 0.5).floor() / one).float()

    def frozen(self) -> dict[str, np.ndarray]:
        return layer_tensors("value", self.value.freeze()) | layer_tensors("gate", self.gate.freeze())


_ANSWERS: dict[str, Callable[[ConditionalConfig, int], Answer]] = {
    "dictionary": lambda c, _: DictionaryAnswer(c),
    "control": lambda c, _: ControlAnswer(c),
    "retrieved": RetrievedAnswer,
    "both": BothAnswer,
}


class ConditionalStep(ContextStep):
    """c_k with a memory. forward: as that of `ContextStep`, and state: s_(k-1) [B, heads * size, h/2, w/2], of the
    first pass None -> d, dt, s_k.
    """

    def __init__(self, k: int, c: HyperConfig, width: int, memory: ConditionalConfig):
        super().__init__(2 * k * c.latent, c, width)
        size = memory.heads * memory.size
        queries = {"input_range": SIGNED, "output_range": (-QUERY_MAX, QUERY_MAX)}
        self.ask = TrainableExact(2 * width + (size if k > 1 else 0), size, relu=False, **queries)
        self.answer = _ANSWERS[memory.kind](memory, c.latent)
        told = {"output_bits": MEAN_BITS, "output_range": c.mean_range, "scale": 2.0}
        self.tell = TrainableExact(size, 2 * c.latent, input_range=SIGNED, relu=False, **told)
        with torch.no_grad():
            self.tell.weight.mul_(0.01)

    def forward(
        self, features: Tensor, r: Tensor, index: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        if not self.layers[0].weight.requires_grad:  # y_hat is y but for a rounding: there is no gradient to speak of
            r = r.detach()
        return super().forward(features, r, index, state)

    def changes(self, a: Tensor, b: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        change, _ = super().changes(a, b, state)
        q = self.ask(torch.cat([a, b] if state is None else [a, b, state], 1))
        state = self.answer(q)
        low, high = (end * 2.0**-MEAN_BITS for end in self.tell.output_range)
        return clamp_inward(change + self.tell(state), low, high), state


class ConditionalHyperprior(ContextHyperprior):
    """forward: as that of `ContextHyperprior`."""

    def __init__(self, config: HyperConfig, context: ContextConfig, memory: ConditionalConfig):
        super().__init__(config, context)
        self.memory = memory
        self.context = nn.ModuleList([ConditionalStep(k, config, context.width, memory) for k in range(1, PASSES)])
        if memory.of_pictures:
            shape = memory.entries, 4 * config.latent, *PLACES
            self.references = nn.Parameter(torch.zeros(shape), requires_grad=False)
            """Latents of the crops over the deviations of their channels, see `references_of`."""
            self.unit = nn.Parameter(torch.ones(QUALITY_LEVELS, config.latent), requires_grad=False)
            """These deviations at each rate."""

    def forward(self, y: Tensor, index: Tensor, rounded: bool = False) -> Likelihood:
        if self.memory.of_pictures:
            chosen = self._named(y.detach(), index)
            seen = (self.references[chosen] * 2**ACTIVATION_BITS).round() * 2.0**-ACTIVATION_BITS
            for step in self.context:
                step.answer.seen = seen.flatten(3).transpose(1, 2)  # pyright: ignore[reportAttributeAccessIssue]
        return super().forward(y, index, rounded)

    def _named(self, y: Tensor, index: Tensor) -> Tensor:
        """The crops that an encoder names for each sample: [B, CHOSEN]."""
        last = index.long().clamp(0, QUALITY_LEVELS - 1)
        units = (y.float() / self.unit[last][:, :, None, None]).cpu().numpy()
        energies = self.references.square().unflatten(1, (-1, 4)).mean((2, 3, 4)).cpu().numpy()
        return torch.from_numpy(np.stack([likeness(a, energies) for a in units])).long().to(y.device)

    @torch.no_grad()
    def frozen(self) -> dict[str, np.ndarray]:
        """The tensors of a coding of its kind, with the tables that training fitted."""
        out = super().frozen()
        for k, step in enumerate(self.context, 1):
            assert isinstance(step, ConditionalStep)
            for name, layer in (("ask", step.ask), ("tell", step.tell)):
                out |= layer_tensors(f"context.{k}.{name}", layer.freeze())
            out |= {f"context.{k}.{name}": a for name, a in step.answer.frozen().items()}
        if self.memory.kind != "control":
            out["context.exponentials"] = EXPONENTIALS
        if self.memory.of_pictures:
            references = (self.references.detach().cpu().double() * 2**ACTIVATION_BITS).round().clamp(*SIGNED)
            out["references"], out["heads"] = (
                references.numpy().astype(np.int16),
                np.array([self.memory.heads], np.int32),
            )
            out["unit"] = (
                (self.unit.detach().cpu().double() * 2**MEAN_BITS).round().clamp_min(1).numpy().astype(np.int32)
            )
        return out


def references_of(y: Tensor, unit: Tensor) -> Tensor:
    """y [N, M, h, w] of crops, rounded, over its channels' deviations unit [M] -> the `references` of a
    `ConditionalHyperprior`, [N, 4 M, h/2, w/2].
    """
    return F.pixel_unshuffle((y.round() / unit[:, None, None]).clamp(-_TOP, _TOP), 2)
