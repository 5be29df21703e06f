"""The spatiotemporal entropy model in training: y of a frame given two others. See `spatiotemporal_coding`.

    r_0, r_1, mu_i, facts --temporal network--> features, (mu_0, t_0)     four passes as those of `context` -> bits

`Spatiotemporal` is trained on latents of a frozen image model, on rate alone; what its `frozen` returns makes, together
with the tensors of that image model, a `SpatiotemporalCoding`. It starts as the image model: gates closed, no change,
and passes that do not see the new features. So a frame with z costs at first what the image model takes for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .context import ContextStep, in_passes
from .context_coding import PASSES, SIGNED, SPREADS
from .exact import TrainableExact, clamp_inward, straight_through
from .hyperprior import HyperConfig, IndexTable, Likelihood, gain_table, is_coded, residual_bits
from .hyperprior_coding import USUAL_REACH, layer_tensors
from .latents import MEAN_BITS
from .layers import ACTIVATION_BITS, ACTIVATION_MAX, GAIN_BITS, WEIGHT_BITS
from .rate import QUALITY_LEVELS
from .spatiotemporal_coding import (
    CHANGE_BITS,
    CHANGE_RANGE,
    DEPTH,
    FACTS,
    GAP_BITS,
    GATE_BITS,
    NARROW_BITS,
    TABLES,
)

__all__ = ["Spatiotemporal", "SpatiotemporalConfig", "magnitude_tables"]

GATE_SCALE = 4.0
"""Of the gates' weights against the parameters: they open within a few hundred steps."""
LEAST_DEVIATION = 0.02
MAGNITUDE_BITS = 12


@dataclass(frozen=True)
class SpatiotemporalConfig:
    """Sizes of the temporal network. Raises ValueError for sizes below 1."""

    width: int = 160
    """Channels between its layers."""
    features: int = 64
    """Channels that it adds to what the passes see."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")


def magnitude_tables(log_gain: np.ndarray, deviation: np.ndarray, index: int) -> dict[str, np.ndarray]:
    """log_gain: of y at each index, [QUALITY_LEVELS, M]; deviation: of y [M] at the index `index`
    -> the integer tables of a model, by name: [QUALITY_LEVELS, M] int32 each.
    """
    at = np.maximum(deviation * np.exp(log_gain - log_gain[index]), LEAST_DEVIATION)
    real = {
        "magnitude": 2.0**MAGNITUDE_BITS * np.exp(log_gain),
        "unit": 2.0**MEAN_BITS * at,
        "narrow": 2.0**NARROW_BITS / at,
    }
    return {name: np.maximum(np.rint(values), 1).astype(np.int32) for name, values in real.items()}


class Spatiotemporal(nn.Module):
    """coding: the tensors of the image model's `ContextCoding`; tables: those of `magnitude_tables`.

    forward: y [B, M, h, w] (even h, w); references r_0, r_1 of that shape and in y's units; what the image model says:
    features [B, F, h/2, w/2], mu_i and t_i [B, M, h, w]; facts [B, FACTS] reals (see `facts_of`); index [B], whole
    numbers -> Likelihood with bits_z 0: z is the image model's.
    """

    def __init__(
        self, config: SpatiotemporalConfig, coding: Mapping[str, np.ndarray], tables: Mapping[str, np.ndarray]
    ):
        super().__init__()
        m, width = len(coding["h_s.4.weight"]) // 2, config.width
        self.config, self.latent, self.top = config, m, len(coding["y.length"]) - 1
        self.reach = int(coding["reach"].item()) if "reach" in coding else USUAL_REACH
        within = -(2**self.reach), 2**self.reach - 1
        self.within = tuple(end * 2.0**-MEAN_BITS for end in within)
        self.tables = dict(tables)
        self.spread_tensors = {name: coding[f"context.{name}"] for name in SPREADS}
        self.enter = TrainableExact(4 * m + FACTS, width, input_range=SIGNED)
        self.gain = IndexTable(width)
        self.look = nn.ModuleList(
            [TrainableExact(width, width, 3, output_range=SIGNED, relu=False) for _ in range(DEPTH)]
        )
        gates = {"output_bits": GATE_BITS, "output_range": (0, 1 << GATE_BITS), "scale": GATE_SCALE}
        self.gates = TrainableExact(width, 2 * m, relu=False, **gates)
        self.change = TrainableExact(width, m, output_bits=CHANGE_BITS, output_range=CHANGE_RANGE, relu=False)
        self.scale = TrainableExact(width, m, output_bits=MEAN_BITS, output_range=within, relu=False, scale=4.0)
        self.more = TrainableExact(4 * width, config.features)
        features = len(coding["h_s.2.weight"])
        sizes = HyperConfig(latent=m, middle=features + config.features, tables=self.top + 1, reach=self.reach)
        self.passes = nn.ModuleList(
            [ContextStep(2 * k * m, sizes, len(coding[f"context.{k}.0.weight"])) for k in range(1, PASSES)]
        )
        with torch.no_grad():
            for layer in (self.gates, self.change, self.scale):
                layer.weight.zero_()
            self.gates.bias[:m] = 0.5 / GATE_SCALE
            for layer in self.look:
                layer.weight.mul_(0.3)  # pyright: ignore[reportCallIssue]
            for k, step in enumerate(self.passes, 1):
                _start_pass(step, coding, k, features)  # pyright: ignore[reportArgumentType]
        self.narrow: Tensor
        self.unit: Tensor
        for name, bits in (("narrow", NARROW_BITS), ("unit", MEAN_BITS)):
            real = torch.from_numpy(tables[name].astype(np.float64) * 2.0**-bits)
            self.register_buffer(name, real, persistent=False)
        for name, table in self.spread_tensors.items():
            self.register_buffer(f"{name}_spread", torch.from_numpy(table.astype(np.float64)), persistent=False)

    def forward(
        self,
        y: Tensor,
        references: tuple[Tensor, Tensor],
        said: tuple[Tensor, Tensor, Tensor],
        facts: Tensor,
        index: Tensor,
    ) -> Likelihood:
        start = self.start(references, said, facts, index)
        spreads = self.get_buffer("narrow_spread"), self.get_buffer("widen_spread")
        y_hat, bits = in_passes(self.passes, y, start, index, self._code, spreads, self.reach)
        return Likelihood(y_hat, bits, torch.zeros_like(bits))

    def start(
        self,
        references: tuple[Tensor, Tensor],
        said: tuple[Tensor, Tensor, Tensor],
        facts: Tensor,
        index: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The temporal network -> features [B, F', h/2, w/2], mu_0 and t_0 [B, M, h, w], as the passes take them.

        In evaluation all products are of multiples of powers of two in float64: exact.
        """
        dtype = torch.float32 if self.training else torch.float64
        features, mu, t = (a.to(dtype) for a in said)
        r0, r1 = (r.to(dtype) for r in references)
        narrow, unit = (table[index.long()][:, :, None, None].to(dtype) for table in (self.narrow, self.unit))
        top = ACTIVATION_MAX * 2.0**-ACTIVATION_BITS
        difference = r0 - r1
        planes = [r0 * narrow, r1 * narrow, difference.abs() * narrow * 2**GAP_BITS, mu * narrow]
        seen = torch.cat([_rounded(p, ACTIVATION_BITS).clamp(-top, top) for p in planes], 1)
        facts = facts.to(dtype)[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        a = self.enter(torch.cat([seen, facts], 1), self.gain(index).exp())
        for layer in self.look:
            a = clamp_inward(a + layer(a), 0, top)
        g, k = self.gates(a).to(dtype).chunk(2, 1)
        blend = r1 + _rounded(g * difference, MEAN_BITS)
        kept = _rounded(k * (blend - mu), MEAN_BITS)
        change = _rounded(self.change(a).to(dtype) * unit, MEAN_BITS)
        mu_0 = clamp_inward(mu + kept + change, *self.within)
        t_0 = clamp_inward(t + self.scale(a).to(dtype), *self.within)
        more = self.more(F.pixel_unshuffle(a, 2))
        return torch.cat([features.float(), more.float()], 1), mu_0.float(), t_0.float()

    def _code(self, y: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        residual = y - mu
        change = (residual.round() - residual).detach()
        y_hat = torch.where(is_coded(t), mu + residual + change, mu)
        return y_hat, residual_bits(residual, t, self.top, self.training, rounded=True)

    @torch.no_grad()
    def frozen(self) -> dict[str, np.ndarray]:
        """The tensors of a `SpatiotemporalCoding` that are not those of its image model."""
        enter, inputs = self.enter.freeze(), 4 * self.latent
        out = {
            "temporal.enter.weight": enter.weight[:, :inputs].astype(np.int16),
            "temporal.facts.weight": enter.weight[:, inputs:].astype(np.int16),
            "temporal.enter.bias": enter.bias.astype(np.int32),
            "temporal.enter.gain": gain_table(self.gain),
        }
        for n, layer in enumerate(self.look):
            out |= layer_tensors(f"temporal.look.{n}", layer.freeze())  # pyright: ignore[reportCallIssue]
        layers = {"gates": self.gates, "change": self.change, "scale": self.scale, "features": self.more}
        for name, layer in layers.items():
            out |= layer_tensors(f"temporal.{name}", layer.freeze())
        for k, step in enumerate(self.passes, 1):
            for n, layer in enumerate(step.layers):  # pyright: ignore[reportArgumentType]
                out |= layer_tensors(f"context.{k}.{n}", layer.freeze())
            out[f"context.{k}.gain"] = gain_table(step.gain)  # pyright: ignore[reportArgumentType]
        out |= {f"context.{name}": table for name, table in self.spread_tensors.items()}
        return out | {f"temporal.{name}": self.tables[name] for name in TABLES}


def _rounded(real: Tensor, bits: int) -> Tensor:
    """To multiples of 2^-bits, as a program's shift rounds; the gradient is that of the real number."""
    return straight_through(real, (real * 2.0**bits + 0.5).floor() * 2.0**-bits)


def _start_pass(step: ContextStep, coding: Mapping[str, np.ndarray], k: int, features: int) -> None:
    """Give c_k the image model's weights; nothing comes from the features beyond its own."""
    for n, layer in enumerate(step.layers):
        assert isinstance(layer, TrainableExact)
        weight, bias = (coding[f"context.{k}.{n}.{part}"].astype(np.float64) for part in ("weight", "bias"))
        weight = torch.from_numpy(weight / (layer.scale * 2**WEIGHT_BITS)).float()
        if n == 0:
            own = weight.shape[1] - features
            layer.weight.zero_()
            layer.weight[:, :features] = weight[:, :features]
            layer.weight[:, -own:] = weight[:, features:]
        else:
            layer.weight.copy_(weight)
        layer.bias.copy_(torch.from_numpy(bias / (layer.scale * 2 ** (WEIGHT_BITS + layer.input_bits))))
    # Knots whose lines pass the frozen rows, by least squares.
    value, rows = step.gain.value, coding[f"context.{k}.gain"].astype(np.float64)
    wanted = np.log(np.maximum(rows, 1) * 2.0**-GAIN_BITS)
    position = np.arange(QUALITY_LEVELS) * ((len(value) - 1) / (QUALITY_LEVELS - 1))
    hats = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(len(value))))
    value.copy_(torch.from_numpy(np.linalg.lstsq(hats, wanted, rcond=None)[0]))
