"""The entropy model of sound in training. See `envelope_coding`, whose integers its forward pass computes.

    z (real) --round--> z_hat --envelope network--> envelope, features --> steps --> y = round(spectrum / step)
    z_hat before --prior--> bits of z        |y| before, envelope, features --contexts--> bits of y

Steps follow from the envelope by a fixed rule and pass no gradient on: with one, rounding straight through would let
them run away, and the envelope would learn to lie for their sake. So nothing here has a gradient to the spectrum: what
is trained is rate, and how well the envelope says the levels of the bands.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .bands import (
    BANDS,
    COARSE,
    COARSER,
    DEADZONE,
    FINEST,
    GROUPS,
    LOWER,
    OCTAVE,
    PAST,
    StepRule,
    interpolation,
    offset_of,
)
from .envelope_coding import (
    COMPRESSED,
    ENVELOPE_RANGE,
    EXCESS,
    FIRST_STEPS,
    FLAG,
    SCALE_SHIFT,
    STEPS,
    TABLE_BITS,
    WIDE,
    Y_LIMIT,
    Z_LIMIT,
    context_channels,
    table_line,
)
from .exact import TrainableExact, clamp_inward, straight_through
from .hyperprior import IndexTable, gain_table, laplace_bits
from .hyperprior_coding import SCALES, laplace_tables, layer_tensors
from .layers import ACTIVATION_BITS, ACTIVATION_MAX
from .rate import QUALITY_LEVELS, QUALITY_ONE

__all__ = ["DEADZONE", "Envelope", "EnvelopeConfig", "SoundLikelihood", "levels_basis", "z_unit"]

MEAN_LEVEL = -8.0


@dataclass(frozen=True)
class EnvelopeConfig:
    """Sizes of the networks, and the rule of the steps. Raises ValueError for sizes below 1, for more integers of z
    than there are bands, and for a rule that cannot be.
    """

    hyper: int = 24
    """Integers of z for two frames."""
    features: int = 32
    """Channels that contexts get beside the envelope, for each frame."""
    prior: int = 96
    """Width of the network that predicts z."""
    width: int = 160
    """Width of the envelope network."""
    context: int = 128
    """Width of each group's context network."""
    slope: int = 166
    """By how many 256ths of an octave the step grows with an octave of the envelope."""
    floor: int = 10
    """What the step of the lowest band has beyond that, in hundredths of an octave."""
    tilt: int = 70
    """What that of the highest band has beyond the lowest one's, in hundredths of an octave."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or (value < 1 and name not in ("slope", "floor", "tilt")):
                raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
        if self.hyper > BANDS:
            raise ValueError(f"hyper is at most {BANDS}, not {self.hyper}")
        StepRule.of(self.slope, self.floor, self.tilt)

    @property
    def steps(self) -> StepRule:
        """How the steps follow from the envelope."""
        return StepRule.of(self.slope, self.floor, self.tilt)


@dataclass(frozen=True)
class SoundLikelihood:
    """bits_z, bits_y: [B]; envelope [B, BANDS, t], with gradient, and features [B, F, t]: reals; y [B, bins, t] whole
    numbers; log_step [B, BANDS, t]: log2 of the steps.
    """

    bits_z: Tensor
    bits_y: Tensor
    envelope: Tensor
    features: Tensor
    y: Tensor
    log_step: Tensor


def levels_basis(count: int) -> Tensor:
    """[BANDS, count]: the first cosines of the type-II transform of the levels of the bands, orthonormal."""
    n, k = torch.arange(BANDS, dtype=torch.float64), torch.arange(count, dtype=torch.float64)
    basis = torch.cos(math.pi / BANDS * (n[:, None] + 0.5) * k) * math.sqrt(2 / BANDS)
    basis[:, 0] /= math.sqrt(2)
    return basis.float()


def z_unit(index: Tensor, count: int, coarse: int) -> Tensor:
    """index [B] -> what a step of each of the `count` integers of z is worth, [B, count]. A rule that is not trained:
    rounding straight through gives a step's size no gradient for what it does to the envelope. coarse: what it is worth
    at index 0, in hundredths of an octave.
    """
    low, high = math.log2(coarse / 100), math.log2(FINEST)
    unit = torch.exp2(low + (high - low) * index.float() / (QUALITY_LEVELS - 1))
    return unit[:, None] * _coarseness(count).to(index.device)


def _coarseness(count: int) -> Tensor:
    return torch.tensor([1.0 if n < count // 2 else COARSER for n in range(count)], dtype=torch.float32)


class _Rated(nn.Module):
    """A layer with a gain and an offset of its own at each index."""

    def __init__(self, layer: TrainableExact, start: tuple[float, float] = (0.0, 0.0)):
        super().__init__()
        self.layer = layer
        channels = len(layer.bias)
        self.gain, self.offset = IndexTable(channels, start), IndexTable(channels, scale=4.0)

    def forward(self, a: Tensor, index: Tensor) -> Tensor:
        return self.layer(a, self.gain(index).exp(), self.offset(index))

    def frozen(self, name: str) -> dict[str, np.ndarray]:
        at = self.offset.cpu()(torch.arange(QUALITY_LEVELS, dtype=torch.float32)).detach().double()
        offset = (at * 2**ACTIVATION_BITS).round().numpy().astype(np.int32)
        return {
            **layer_tensors(name, self.layer.freeze()),
            f"{name}.gain": gain_table(self.gain),
            f"{name}.offset": offset,
        }


class Envelope(nn.Module):
    """forward: z [B, Z, t'] reals; spectrum [B, bins, t], t = 2 t'; index [B], whole numbers; partner [B]: the item of
    the batch that is the other channel, decoded before this one, or -1; coded: whether bits of y are wanted (else 0).
    coarse: see `z_unit`; what the networks start with.
    """

    def __init__(self, config: EnvelopeConfig, coarse: int = COARSE):
        super().__init__()
        z, f, width = config.hyper, config.features, config.width
        self.config, self.steps = config, config.steps
        whole = {"input_bits": 0, "input_range": (-Z_LIMIT, Z_LIMIT)}
        wide = {"output_range": WIDE, "relu": False}
        self.prior_in = _Rated(TrainableExact(3 * z + 1, config.prior, **whole), (0.0, -0.5))
        self.prior_out = TrainableExact(config.prior, 2 * z, output_bits=TABLE_BITS, scale=4.0, **wide)
        low, high = math.log(coarse / 100), math.log(FINEST)
        self.direct = _Rated(TrainableExact(3 * z, 2 * BANDS, **whole, **wide), (low, high))
        self.envelope_in = _Rated(TrainableExact(3 * z, width, **whole), (low, high))
        self.envelope_middle = TrainableExact(width, width)
        self.envelope_out = TrainableExact(width, 2 * (BANDS + f), **wide)
        signed = -ACTIVATION_MAX, ACTIVATION_MAX
        groups = range(len(GROUPS) - 1)
        self.context_in = nn.ModuleList(
            [_Rated(TrainableExact(context_channels(g, f), config.context, input_range=signed)) for g in groups]
        )
        self.context_out = nn.ModuleList(
            [
                TrainableExact(config.context, GROUPS[g + 1] - GROUPS[g], output_bits=TABLE_BITS, scale=8.0, **wide)
                for g in groups
            ]
        )
        with torch.no_grad():
            basis = levels_basis(z) * _coarseness(z)
            self.direct.layer.weight.zero_()
            for half in (0, 1):  # of the window of three positions the middle one, for both of its frames
                self.direct.layer.weight[half * BANDS : (half + 1) * BANDS, z : 2 * z] = basis
            self.direct.offset.value.fill_(MEAN_LEVEL / self.direct.offset.scale)
            self.envelope_in.layer.weight.mul_(0.3)
            self.prior_in.layer.weight.mul_(0.3)
            for layer in (self.prior_out, self.envelope_out, *self.context_out):
                layer.weight.mul_(0.1)  # pyright: ignore[reportCallIssue]
            self.prior_out.bias[z:] = (math.log2(1 / 0.05) / 0.174) / 4.0  # scales of about 1
        line, bias = table_line()
        self.line: Tensor
        self.table: Tensor
        self.register_buffer("line", torch.from_numpy(line.astype(np.float32)) * 2.0**-SCALE_SHIFT, persistent=False)
        self.register_buffer("table", torch.from_numpy(COMPRESSED.astype(np.float32)) / OCTAVE, persistent=False)
        self.register_buffer("bins", torch.from_numpy(interpolation().astype(np.float32)), persistent=False)
        self.line_bias = bias

    def forward(
        self, z: Tensor, spectrum: Tensor, index: Tensor, partner: Tensor, coded: bool = True
    ) -> SoundLikelihood:
        z_hat = straight_through(z, z.round()).clamp(-Z_LIMIT, Z_LIMIT)
        bits_z = self._bits_z(z_hat, index, partner)
        envelope, features = self.envelope(z_hat, index)
        envelope, features = envelope[..., : spectrum.shape[-1]], features[..., : spectrum.shape[-1]]
        log_step = self.log_step(envelope.detach(), index)
        y = self.quantised(spectrum, log_step)
        bits_y = torch.zeros_like(bits_z)
        if coded:
            bits_y = self._bits_y(y, envelope, features, log_step, index, partner)
        return SoundLikelihood(bits_z, bits_y, envelope, features, y, log_step)

    # -- z and what follows from it

    def _bits_z(self, z: Tensor, index: Tensor, partner: Tensor) -> Tensor:
        mean, t = self.prior(z, index, partner)
        return laplace_bits(z - mean, clamp_inward(t, 0, SCALES - 1)).flatten(1).sum(1)

    def prior(self, z: Tensor, index: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
        """z [B, Z, t'] -> its mean, whole numbers, and table numbers, whole in evaluation; of this shape."""
        has, other = _other(z, partner)
        flag = (FLAG * has)[:, None, None].expand(-1, 1, z.shape[-1])
        out = self.prior_out(self.prior_in(_plane(_later(z, 1), _later(z, 2), other, flag), index))[:, :, 0]
        mean, t = out.chunk(2, 1)
        mean = straight_through(mean, (mean + 0.5).floor()).clamp(-Z_LIMIT, Z_LIMIT)
        return mean, t

    def envelope(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """z_hat [B, Z, t'] -> envelope [B, BANDS, 2 t'] in octaves and features [B, F, 2 t']."""
        seen = _plane(_later(z, 1), z, _later(z, -1))
        direct = self.direct(seen, index)[:, :, 0]
        out = self.envelope_out(self.envelope_middle(self.envelope_in(seen, index)))[:, :, 0]
        low, high = (end / OCTAVE for end in ENVELOPE_RANGE)
        envelope = clamp_inward(direct + out[:, : 2 * BANDS], low, high)
        features = clamp_inward(out[:, 2 * BANDS :], 0.0, ACTIVATION_MAX * 2.0**-ACTIVATION_BITS)
        return _by_frames(envelope), _by_frames(features)

    def log_step(self, envelope: Tensor, index: Tensor) -> Tensor:
        """See `StepRule.log_step`; in octaves."""
        slope = ((envelope * OCTAVE * self.steps.slope + 128) / 256).floor()
        floor = torch.tensor(self.steps.floor, dtype=torch.float32, device=envelope.device)[:, None]
        offset = torch.tensor([offset_of(int(q) * QUALITY_ONE) for q in index], device=envelope.device)
        return (slope + floor + offset[:, None, None]) / OCTAVE

    def quantised(self, spectrum: Tensor, log_step: Tensor) -> Tensor:
        """spectrum [B, bins, t] by the steps of its bins, rounded."""
        y = spectrum.detach() * torch.exp2(-self.by_bins(log_step, spectrum.shape[1]))
        return (torch.sign(y) * (y.abs() + (0.5 - DEADZONE)).floor()).clamp(-Y_LIMIT, Y_LIMIT)

    def by_bins(self, values: Tensor, bins: int) -> Tensor:
        """Values of bands [B, BANDS, t] -> of bins [B, bins, t]."""
        return torch.einsum("bnt,nk->bkt", values, self.get_buffer("bins")[:, :bins])

    # -- y

    def _bits_y(
        self, y: Tensor, envelope: Tensor, features: Tensor, log_step: Tensor, index: Tensor, partner: Tensor
    ) -> Tensor:
        bits = torch.zeros(len(y), device=y.device)
        for group, t in self.scales(y, envelope, features, log_step, index, partner):
            own = y[:, GROUPS[group] : GROUPS[group + 1]]
            bits = bits + laplace_bits(own, clamp_inward(t[:, : own.shape[1]], 0, SCALES - 1)).flatten(1).sum(1)
        return bits

    def scales(
        self, y: Tensor, envelope: Tensor, features: Tensor, log_step: Tensor, index: Tensor, partner: Tensor
    ) -> list[tuple[int, Tensor]]:
        """Of each group that y [B, bins, t] has, its number and table numbers [B, bins of the group, t]; whole numbers
        in evaluation, as the frozen model has them before they are clamped.
        """
        bins, frames = y.shape[1:]
        seen = torch.zeros(len(y), GROUPS[-1], frames, device=y.device)
        seen[:, :bins] = self.table[y.abs().clamp(max=len(self.table) - 1).long()]
        has, other = _other(seen, partner)
        flag = has[:, None, None].float().expand(-1, 1, frames)
        excess = clamp_inward(envelope - log_step, -EXCESS / OCTAVE, EXCESS / OCTAVE) * OCTAVE
        before, further = _later(seen, 1), _later(seen, 2)
        found = []
        for group, (first, last) in enumerate(zip(self.context_in, self.context_out, strict=True)):
            at = slice(GROUPS[group], GROUPS[group + 1])
            if at.start >= bins:
                break
            (a, b), (c, d) = PAST[group], LOWER[group]
            parts = before[:, a:b], further[:, a:b], seen[:, c:d], other[:, at], flag, envelope, features
            change = last(first(_plane(*parts), index))[:, :, 0]
            start = torch.einsum("bnt,kn->bkt", excess, self.line[at])
            start = straight_through(start, (start + 0.5).floor()) + self.line_bias
            t = start * 2.0**-TABLE_BITS + change
            found.append((group, t if self.training else (t + 0.5).floor()))
        return found

    @torch.no_grad()
    def frozen(self) -> dict[str, np.ndarray]:
        """The tensors of an `EnvelopeCoding`."""
        out = {**self.prior_in.frozen("prior.0"), **layer_tensors("prior.1", self.prior_out.freeze())}
        out |= self.direct.frozen("direct") | self.envelope_in.frozen("envelope.0")
        out |= layer_tensors("envelope.1", self.envelope_middle.freeze())
        out |= layer_tensors("envelope.2", self.envelope_out.freeze())
        for group, (first, last) in enumerate(zip(self.context_in, self.context_out, strict=True)):
            out |= first.frozen(f"context.{group}.0")  # pyright: ignore[reportCallIssue]
            out |= layer_tensors(f"context.{group}.1", last.freeze())  # pyright: ignore[reportCallIssue]
        line, bias = table_line()
        if self.steps != FIRST_STEPS:
            out[STEPS] = np.array([self.steps.slope, *self.steps.floor], np.int32)
        out["line.weight"], out["line.bias"] = line.astype(np.int16), np.array([bias], np.int32)
        tables = laplace_tables()
        out["y.counts"] = tables.counts.astype(np.int32)
        out["y.length"] = np.diff(tables.start).astype(np.int32)
        out["y.low"] = tables.low
        return out


def _later(a: Tensor, by: int) -> Tensor:
    """a [..., t] seen `by` positions later; zeros come in."""
    edge = torch.zeros_like(a[..., : abs(by)])
    return torch.cat([edge, a[..., :-by]] if by > 0 else [a[..., -by:], edge], -1)


def _other(a: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Which items have a partner [B], and what that has of a [B, ...]; zeros where there is none."""
    has = partner >= 0
    return has, torch.where(has[:, None, None], a[partner.clamp_min(0)], 0)


def _plane(*parts: Tensor) -> Tensor:
    """Parts [B, C, t] -> [B, all of C, 1, t], laid out as exact layers read it."""
    return torch.cat(parts, 1).transpose(1, 2).contiguous()[:, None].permute(0, 3, 1, 2)


def _by_frames(a: Tensor) -> Tensor:
    """[B, 2 C, t'], the first of two frames and then the second -> [B, C, 2 t']."""
    first, second = a.chunk(2, 1)
    return torch.stack([first, second], -1).flatten(2)
