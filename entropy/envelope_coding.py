"""The entropy model of sound, frozen for coding: an envelope as hyperprior, and context from what was coded before.

    z[j - 1], z[j - 2], z[j] of the other channel --prior--> (mean, t)         z[j] --table t--> coder
    z[j - 1], z[j], z[j + 1] --envelope network--> envelope and features of the frames 2 j and 2 j + 1
    envelope --> steps (see `bands`)        envelope - step, by bins --> t_0
    six groups of bins, low to high:  |y| of the two frames before, of lower groups, of the other channel; envelope,
    features --context network--> t_0 + dt = t        y --table t--> coder

z is 24 integers for two frames of 20 ms, y one integer for each bin of a frame; both are coded with Laplacians of 64
scales, z around a predicted mean, y around 0. A stereo sound is coded as its mean and its difference, the second one
given the first. No frame sees anything beyond its signal: a segment of a sound is a signal of its own.

Scalar quantisation with explicit probabilities for sound: arXiv 2606.11631 and 2405.08417; the envelope as hyperprior
takes the place of bands of scale factors. Everything here is integer arithmetic on integers that are decoded already.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import ModelError
from .bands import BANDS, BINS, GROUPS, LOWER, OCTAVE, PAST, StepRule, interpolation, offset_of
from .coder import Coder, code_parts
from .digest import parse_digest
from .envelope_steps import FLOAT64_INTEGERS, ContextSteps, GroupSteps, Requantised, known_program, split_inputs
from .hyperprior_coding import SCALE_LOW, SCALE_STEP, SCALES
from .latents import NEAREST, Choice, Latents, Size, refuse_given
from .layers import ACTIVATION_BITS, ACTIVATION_MAX, GAIN_BITS, GAIN_MAX, WEIGHT_BITS, ExactLayer
from .program import Builder, Program
from .rate import QUALITY_LEVELS, rows_at
from .runtime import Runtime, runtime_of
from .tables import TOTAL, TableSet

__all__ = [
    "COMPRESSED",
    "ENVELOPE_RANGE",
    "EnvelopeCoding",
    "FIRST_STEPS",
    "STEPS",
    "SoundLatents",
    "Z_LIMIT",
    "context_channels",
    "shifted",
    "table_line",
]

Z_LIMIT = 127
Y_LIMIT = 2**15 - 1
TABLE_BITS = 6
"""Fractional bits of table numbers, and of the mean of z, before they are rounded."""
WIDE = -(2**15), 2**15 - 1
"""The range of such outputs."""
FLAG = 16
"""What stands for "yes" among the inputs of the prior and, as 1, among those of contexts."""
ENVELOPE_RANGE = -16 * OCTAVE, 8 * OCTAVE
EXCESS = 8 * OCTAVE
"""Envelope minus step, in log2, is clamped to +-EXCESS."""
SCALE_SHIFT = 9
"""Fractional bits of the weights that bring it to table numbers."""
COMPRESSED = np.rint(OCTAVE / 2 * np.log2(1 + np.arange(256))).astype(np.int16)
"""What contexts see of |y|, up to 255: half of log2(1 + |y|), 256 standing for 1."""
STEPS = "steps"
"""The tensor that holds a model's rule of the steps: its slope, then the floor of each band."""
FIRST_STEPS = StepRule.of(166, 10, 70)
"""The rule of models that have none of their own."""
_LAYERS = ("prior.0", "prior.1", "direct", "envelope.0", "envelope.1", "envelope.2")
_RATED = ("prior.0", "direct", "envelope.0", *(f"context.{g}.0" for g in range(len(GROUPS) - 1)))
"""Layers that have a gain and an offset of their own at each index."""
OFFSET_MAX = 2**20


@dataclass(frozen=True)
class SoundLatents(Latents):
    """levels: z [channels * Z, ceil(t / 2)] and y [channels * bins, t]. envelope: [channels, BANDS, t], 256 an octave;
    features: [channels, F, t]: both follow from z.
    """

    envelope: np.ndarray
    features: np.ndarray


def table_line() -> tuple[np.ndarray, int]:
    """What brings envelope minus step [BANDS] to table numbers of bins: integer weights [BINS, BANDS], to be shifted by
    SCALE_SHIFT, and what is added then. A Laplacian's scale starts 2^-1/2 below the level of its band.
    """
    octaves = SCALE_STEP / math.log(2)
    weight = interpolation().T * (2**SCALE_SHIFT * 2**TABLE_BITS / OCTAVE / octaves)
    start = (-0.5 - math.log2(SCALE_LOW)) / octaves * 2**TABLE_BITS
    return np.rint(weight).astype(np.int64), round(start)


def context_channels(group: int, features: int) -> int:
    """Inputs of a group's context network."""
    (a, b), (c, d) = PAST[group], LOWER[group]
    return 2 * (b - a) + (d - c) + (GROUPS[group + 1] - GROUPS[group]) + BANDS + features + 1


def shifted(a: np.ndarray, by: int) -> np.ndarray:
    """a [..., t] seen `by` positions later (below 0: earlier); zeros come in."""
    out = np.zeros_like(a)
    if by >= 0:
        out[..., by:] = a[..., : a.shape[-1] - by]
    else:
        out[..., :by] = a[..., -by:]
    return out


class EnvelopeCoding:
    """tensors: what `Envelope.frozen` returns and a model file holds. It codes sounds of `bins` bins and `channels`
    channels: `of` gives the same model for others. Raises ModelError when the tensors do not make a model. Threads may
    share one object.
    """

    fraction = 0

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        self.bins, self.channels = BINS, 1
        try:
            names = [*self._names(), *({STEPS} & tensors.keys())]
            self._tensors = {name: np.ascontiguousarray(tensors[name]) for name in names}
        except KeyError as e:
            raise ModelError(f"the model lacks {e.args[0]}") from None
        t = self._tensors
        for name, array in t.items():
            wanted = np.dtype(np.int16 if name.endswith((".weight", ".gain")) else np.int32)
            if array.dtype != wanted:
                raise ModelError(f"the model's {name} is {array.dtype}, not {wanted}")
        lengths = np.concatenate([[0], np.cumsum(t["y.length"].astype(np.int64))])
        self.y_tables = TableSet(t["y.counts"].astype(np.uint32), lengths, t["y.low"])
        self.hyper = len(t["prior.1.weight"]) // 2
        """Z, integers of z at each of its positions."""
        self.features = len(t["envelope.2.weight"]) // 2 - BANDS
        self._check_shapes()
        self.steps = self._step_rule()
        self._rates = {name: t[f"{name}.gain"].astype(np.int64) for name in _RATED}
        self._offsets = {name: t[f"{name}.offset"].astype(np.int64) for name in _RATED}
        self._prior = self._prior_program()
        self._envelope = self._envelope_program()
        self._start = self._start_program()
        self._check_start()
        self._contexts = [self._context_program(g) for g in range(len(GROUPS) - 1)]
        steps = [self._context_steps(g) for g in range(len(GROUPS) - 1)]
        self._steps = ContextSteps(steps, COMPRESSED, self.y_tables, TABLE_BITS, Y_LIMIT)

    def of(self, bins: int, channels: int) -> Self:
        """The same model for sounds of so many bins, 1 to BINS, and 1 or 2 channels."""
        assert 1 <= bins <= BINS and channels in (1, 2)
        other = copy.copy(self)
        other.bins, other.channels = bins, channels
        return other

    @property
    def latent(self) -> int:
        """Channels of y."""
        return self.bins * self.channels

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """What it was made of: what the parse digest is over."""
        return dict(self._tensors)

    def digest(self) -> bytes:
        """See `EntropyModel.digest`."""
        constants = {
            "activation": [ACTIVATION_BITS, ACTIVATION_MAX],
            "bands": [BANDS, self.steps.slope, offset_of(0), offset_of(2**14), *self.steps.floor],
            "envelope": [*ENVELOPE_RANGE, EXCESS],
            "gain": [GAIN_BITS, GAIN_MAX],
            "groups": [GROUPS, PAST, LOWER],
            "model": "envelope 0",
            "weight": WEIGHT_BITS,
            "z": [Z_LIMIT, FLAG, TABLE_BITS],
        }
        return parse_digest(constants, self._tensors)

    @staticmethod
    def _names() -> list[str]:
        layers = [*_LAYERS, *(f"context.{g}.{n}" for g in range(len(GROUPS) - 1) for n in (0, 1))]
        parts = [f"{name}.{part}" for name in layers for part in ("weight", "bias")]
        rated = [f"{name}.{part}" for name in _RATED for part in ("gain", "offset")]
        return [*parts, *rated, "line.weight", "line.bias", "y.counts", "y.length", "y.low"]

    def _check_shapes(self) -> None:
        t, z, f = self._tensors, self.hyper, self.features
        prior, width = len(t["prior.0.weight"]), len(t["envelope.0.weight"])
        wanted = {
            "prior.0.weight": (prior, 3 * z + 1),
            "prior.1.weight": (2 * z, prior),
            "direct.weight": (2 * BANDS, 3 * z),
            "envelope.0.weight": (width, 3 * z),
            "envelope.1.weight": (width, width),
            "envelope.2.weight": (2 * (BANDS + f), width),
            "line.weight": (BINS, BANDS),
            "line.bias": (1,),
        }
        for g in range(len(GROUPS) - 1):
            hidden = len(t[f"context.{g}.0.weight"])
            wanted[f"context.{g}.0.weight"] = hidden, context_channels(g, f)
            wanted[f"context.{g}.1.weight"] = GROUPS[g + 1] - GROUPS[g], hidden
        layers = [name for name in wanted if name.endswith("weight") and name != "line.weight"]
        wanted |= {f"{name[:-6]}bias": (wanted[name][0],) for name in layers}
        wanted |= {
            f"{name}.{part}": (QUALITY_LEVELS, wanted[f"{name}.weight"][0])
            for name in _RATED
            for part in ("gain", "offset")
        }
        for name, shape in wanted.items():
            if t[name].shape != shape or 0 in shape:
                raise ModelError(f"the model's {name} has shape {t[name].shape}, not {shape}")
        if len(self.y_tables) != SCALES:
            raise ModelError(f"the model has {len(self.y_tables)} probability tables, not {SCALES}")
        for name in _RATED:
            if t[f"{name}.gain"].min() < 0 or t[f"{name}.gain"].max() > GAIN_MAX:
                raise ModelError("the model's integer gains are out of range")
            if np.abs(t[f"{name}.offset"].astype(np.int64)).max() > OFFSET_MAX:
                raise ModelError("the model's offsets are out of range")

    def _step_rule(self) -> StepRule:
        """The model's own, or that of models which have none."""
        if STEPS not in self._tensors:
            return FIRST_STEPS
        slope, *floor = self._tensors[STEPS].ravel().tolist() or [0]
        try:
            return StepRule(slope, tuple(floor))
        except ValueError as e:
            raise ModelError(f"the model's {e}") from None

    # -- the networks

    def _layer(self, name: str, input_bits: int, output_bits: int, output_range: tuple[int, int]) -> ExactLayer:
        return ExactLayer(
            self._tensors[f"{name}.weight"],
            self._tensors[f"{name}.bias"],
            kernel=1,
            shift=WEIGHT_BITS + input_bits - output_bits + GAIN_BITS,
            output_range=output_range,
        )

    def _rated(self, b: Builder, a: int, name: str, input_bits: int, output_range: tuple[int, int]) -> int:
        """A layer with gain and offset of the rate, whose output has ACTIVATION_BITS."""
        channels = len(self._tensors[f"{name}.weight"])
        gain = b.input(f"{name}.gain", channels, 0, GAIN_MAX, row=True)
        offset = b.input(f"{name}.offset", channels, -OFFSET_MAX, OFFSET_MAX, row=True)
        return self._layer(name, input_bits, ACTIVATION_BITS, output_range).steps(b, a, gain, offset)

    def _prior_program(self) -> Program:
        b, z = Builder(), self.hyper
        seen = b.input("seen", 3 * z + 1, -Z_LIMIT, Z_LIMIT)
        a = self._rated(b, seen, "prior.0", 0, (0, ACTIVATION_MAX))
        out = self._layer("prior.1", ACTIVATION_BITS, TABLE_BITS, WIDE).steps(b, a)
        mean = b.clamp(b.shift(b.select(out, range(z)), TABLE_BITS), -Z_LIMIT, Z_LIMIT)
        return b.program(mean=mean, t=self._table(b, b.select(out, range(z, 2 * z))))

    def _table(self, b: Builder, t: int) -> int:
        return b.clamp(b.shift(t, TABLE_BITS), 0, SCALES - 1)

    def _envelope_program(self) -> Program:
        b, n = Builder(), 2 * BANDS
        seen = b.input("seen", 3 * self.hyper, -Z_LIMIT, Z_LIMIT)
        direct = self._rated(b, seen, "direct", 0, WIDE)
        a = self._rated(b, seen, "envelope.0", 0, (0, ACTIVATION_MAX))
        a = self._layer("envelope.1", ACTIVATION_BITS, ACTIVATION_BITS, (0, ACTIVATION_MAX)).steps(b, a)
        out = self._layer("envelope.2", ACTIVATION_BITS, ACTIVATION_BITS, WIDE).steps(b, a)
        envelope = b.clamp(b.add(direct, b.select(out, range(n))), *ENVELOPE_RANGE)
        features = b.clamp(b.select(out, range(n, n + 2 * self.features)), 0, ACTIVATION_MAX)
        return b.program(envelope=envelope, features=features)

    def _start_program(self) -> Program:
        """Envelope -> table numbers of all bins [BINS] as they are without context, TABLE_BITS fractional bits."""
        b = Builder()
        envelope = b.input("envelope", BANDS, *ENVELOPE_RANGE)
        offset = b.input("step", 1, offset_of(2**14), offset_of(0), row=True)
        # Envelope minus step, in log2: see `StepRule.log_step`.
        step = b.shift(b.multiply(envelope, b.constant([self.steps.slope])), 8)
        step = b.add(b.add(step, b.constant(self.steps.floor)), offset)
        excess = b.clamp(b.add(envelope, b.multiply(step, b.constant([-1]))), -EXCESS, EXCESS)
        t = b.shift(b.matmul(excess, self._tensors["line.weight"], np.zeros(BINS, np.int64)), SCALE_SHIFT)
        return b.program(t=b.add(t, b.constant(self._tensors["line.bias"])))

    def _check_start(self) -> None:
        """Where a context's change is clamped, the table is the first or the last one, whatever it starts from: a step
        clamps once.
        """
        start = self._start.facts[self._start.outputs["t"]]
        lowest, highest = WIDE[0] + start.high, WIDE[1] + start.low
        half = 1 << TABLE_BITS - 1
        if lowest + half >> TABLE_BITS > 0 or highest + half >> TABLE_BITS < SCALES - 1:
            raise ModelError("the model's line leads far beyond its tables")

    def _context_program(self, group: int) -> Program:
        b, low, high = Builder(), GROUPS[group], GROUPS[group + 1]
        own = context_channels(group, self.features) - BANDS - self.features
        seen = b.input("seen", own, 0, int(COMPRESSED[-1]))
        envelope = b.input("envelope", BANDS, *ENVELOPE_RANGE)
        features = b.input("features", self.features, 0, ACTIVATION_MAX)
        start = self._start.facts[self._start.outputs["t"]]
        t = b.input("t", high - low, start.low, start.high)
        a = self._rated(b, b.join(seen, envelope, features), f"context.{group}.0", ACTIVATION_BITS, (0, ACTIVATION_MAX))
        change = self._layer(f"context.{group}.1", ACTIVATION_BITS, TABLE_BITS, WIDE).steps(b, a)
        return b.program(t=self._table(b, b.add(t, change)))

    def _context_steps(self, group: int) -> GroupSteps:
        """The same network, cut in two: see `envelope_steps`."""
        t, first = self._tensors, split_inputs(group)
        weight, bias, out_weight, out_bias = (
            t[f"context.{group}.{n}.{part}"].astype(np.int64) for n in (0, 1) for part in ("weight", "bias")
        )
        known = known_program(weight, group, self.features, int(COMPRESSED[-1]), ENVELOPE_RANGE, ACTIVATION_MAX)
        hidden = Requantised(weight[:, :first], bias, WEIGHT_BITS + GAIN_BITS)
        # Follows from the bound of the whole network's program, which has passed.
        sums = hidden.most(int(COMPRESSED[-1])) + known.facts[known.outputs["sums"]].most
        assert sums * GAIN_MAX + (OFFSET_MAX + 1 << hidden.bits) < FLOAT64_INTEGERS
        out = Requantised(out_weight, out_bias, WEIGHT_BITS + ACTIVATION_BITS - TABLE_BITS)
        assert out.most(ACTIVATION_MAX) + (-2 * WIDE[0] << out.bits) < FLOAT64_INTEGERS
        return GroupSteps(known, hidden, out, ACTIVATION_MAX)

    def _rows(self, name: str, rates: Sequence[int]) -> dict[str, np.ndarray]:
        return {
            f"{name}.gain": rows_at(self._rates[name], rates),
            f"{name}.offset": rows_at(self._offsets[name], rates),
        }

    def envelope_of(self, z: np.ndarray, rates: Sequence[int], frames: int, device: Any = "cpu") -> tuple[Any, Any]:
        """z [B, Z, ceil(frames / 2)] of one channel -> envelope [B, BANDS, frames] int32, 256 an octave, and features
        [B, F, frames] int32.
        """
        seen = np.concatenate([shifted(z, 1), z, shifted(z, -1)], 1)[:, :, None]
        inputs = {"seen": seen, **self._rows("direct", rates), **self._rows("envelope.0", rates)}
        found = runtime_of(device).run(self._envelope, inputs)

        def by_frames(a: np.ndarray) -> np.ndarray:
            halves = a[:, :, 0].reshape(len(z), 2, -1, z.shape[-1]).transpose(0, 2, 3, 1)
            return np.ascontiguousarray(halves.reshape(len(z), -1, 2 * z.shape[-1])[:, :, :frames].astype(np.int32))

        return by_frames(found["envelope"]), by_frames(found["features"])

    # -- the traversal, one for both directions

    def least_bits(self, size: Size, rate: int) -> float:
        """See `EntropyModel.least_bits`: every symbol the likeliest of the narrowest table."""
        cheapest = -math.log2(int(self.y_tables.counts.max()) / TOTAL)
        return cheapest * self.channels * (self.bins * size[0] + self.hyper * -(-size[0] // 2))

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
    ) -> list[Any]:
        """See `EntropyModel.traverse`; the latents are `SoundLatents`. size: (t,), frames; source: z and y, whole
        numbers within +-Z_LIMIT and Y_LIMIT.

        Where nothing is read, all frames run together; where something is, one after the other, those of all signals
        together. The integers are the same.
        """
        refuse_given(given)
        if source is None and len(set(rates)) > 1:
            alone = zip(coders, rates, strict=True)
            return [self.traverse([coder], size, [rate], device=device)[0] for coder, rate in alone]
        runtime, frames = runtime_of(device), size[0]
        batch, positions = len(coders), -(-frames // 2)
        z = np.zeros((batch, self.channels, self.hyper, positions), np.int32)
        y = np.zeros((batch, self.channels, self.bins, frames), np.int32)
        writes = source is not None
        if writes:
            z[:] = np.rint(source[0]).clip(-Z_LIMIT, Z_LIMIT).reshape(z.shape)
            y[:] = np.rint(source[1]).clip(-Y_LIMIT, Y_LIMIT).reshape(y.shape)
        for channel in range(self.channels):
            self._code_z(coders, rates, z, channel, writes, runtime)
        found = [self.envelope_of(z[:, c], rates, frames, runtime) for c in range(self.channels)]
        # What contexts see of |y|, as far as it is known; two empty frames in front.
        seen = np.zeros((batch, self.channels, BINS, frames + 2), np.int16)
        for channel, (envelope, features) in enumerate(found):
            code = self._write_y if writes else self._read_y
            code(coders, rates, y, seen, channel, envelope, features, runtime)
        envelope, features = (np.stack([pair[n] for pair in found], 1) for n in (0, 1))
        return [
            SoundLatents(
                (z[b].reshape(-1, positions), y[b].reshape(-1, frames)),
                envelope[b],
                features[b],
            )
            for b in range(batch)
        ]

    def _code_z(
        self, coders: Sequence[Coder], rates: Sequence[int], z: np.ndarray, channel: int, writes: bool, runtime: Runtime
    ) -> None:
        """Code z [B, channels, Z, t'] of a channel, into the array when reading."""
        own, positions = z[:, channel], z.shape[-1]
        other = z[:, 0] if channel else np.zeros_like(own)
        flag = np.full((len(z), 1, positions), FLAG * bool(channel), np.int32)
        rows = self._rows("prior.0", rates)

        def run(part: slice, before: np.ndarray, further: np.ndarray) -> dict[str, np.ndarray]:
            seen = np.concatenate([before, further, other[:, :, part], flag[:, :, part]], 1)
            return runtime.run(self._prior, {"seen": seen[:, :, None], **rows})

        whole = run(slice(0, positions), shifted(own, 1), shifted(own, 2)) if writes else {}
        nothing = np.zeros_like(own[:, :, :1])
        for j in range(positions):
            if not writes:
                before, further = (own[:, :, j - n : j - n + 1] if j >= n else nothing for n in (1, 2))
                whole = run(slice(j, j + 1), before, further)
            at = j if writes else 0
            mean, t = whole["mean"][:, :, 0, at].astype(np.int32), whole["t"][:, :, 0, at]
            for b, coder in enumerate(coders):
                values = own[b, :, j] - mean[b] if writes else None
                own[b, :, j] = (coder.code(self.y_tables, t[b], values) + mean[b]).clip(-Z_LIMIT, Z_LIMIT)

    def _start_of(self, rates: Sequence[int], envelope: np.ndarray, runtime: Runtime) -> np.ndarray:
        """Table numbers of all bins without context, [B, BINS, 1, t]."""
        steps = np.array([[offset_of(rate)] for rate in rates])
        return runtime.run(self._start, {"envelope": envelope[:, :, None], "step": steps})["t"]

    def _flag(self, batch: int, channel: int, frames: int) -> np.ndarray:
        return np.full((batch, 1, frames), bool(channel) << ACTIVATION_BITS, np.int16)

    def _write_y(
        self,
        coders: Sequence[Coder],
        rates: Sequence[int],
        y: np.ndarray,
        seen: np.ndarray,
        channel: int,
        envelope: np.ndarray,
        features: np.ndarray,
        runtime: Runtime,
    ) -> None:
        """Code y [B, channels, bins, t] of a channel, all of it known. seen: see `traverse`; it is written to."""
        batch, frames, bins = len(y), y.shape[-1], self.bins
        own = seen[:, channel]
        other = seen[:, 0] if channel else np.zeros_like(own)
        own[:, :bins, 2:] = COMPRESSED[np.abs(y[:, channel]).clip(max=255)]
        start, flag = self._start_of(rates, envelope, runtime), self._flag(batch, channel, frames)
        used = [g for g in range(len(GROUPS) - 1) if GROUPS[g] < bins]
        tables = []
        for g in used:
            (a, b), (c, d), at = PAST[g], LOWER[g], slice(GROUPS[g], GROUPS[g + 1])
            parts = [own[:, a:b, 1:-1], own[:, a:b, :-2], own[:, c:d, 2:], other[:, at, 2:], flag]
            inputs = {
                "seen": np.concatenate(parts, 1)[:, :, None],
                "envelope": envelope[:, :, None],
                "features": features[:, :, None],
                "t": start[:, at],
                **self._rows(f"context.{g}.0", rates),
            }
            tables.append(runtime.run(self._contexts[g], inputs)["t"][:, :, 0])
        found = np.concatenate(tables, 1)[:, :bins]  # groups end where others begin
        group = np.repeat(np.arange(len(used)), np.diff([*(GROUPS[g] for g in used), bins]))
        parts = (np.arange(frames)[:, None] * len(used) + group).ravel()
        for b, coder in enumerate(coders):
            code_parts(coder, self.y_tables, found[b].T.ravel(), y[b, channel].T.ravel(), parts)

    def _read_y(
        self,
        coders: Sequence[Coder],
        rates: Sequence[int],
        y: np.ndarray,
        seen: np.ndarray,
        channel: int,
        envelope: np.ndarray,
        features: np.ndarray,
        runtime: Runtime,
    ) -> None:
        """Read y [B, channels, bins, t] of a channel into the array; rates: all the same."""
        batch, frames, bins = len(y), y.shape[-1], self.bins
        other = seen[:, 0, :, 2:] if channel else np.zeros((batch, BINS, frames), np.int16)
        inputs = {
            "other": np.concatenate([other, self._flag(batch, channel, frames)], 1)[:, :, None],
            "envelope": envelope[:, :, None],
            "features": features[:, :, None],
        }
        rows = [[row[0] for row in self._rows(f"context.{g}.0", rates[:1]).values()] for g in range(len(GROUPS) - 1)]
        start = self._start_of(rates, envelope, runtime)
        y[:, channel] = self._steps.read(coders, bins, inputs, rows, start, runtime)
        if self.channels > 1:
            seen[:, channel, :bins, 2:] = COMPRESSED[np.abs(y[:, channel]).clip(max=255)]
