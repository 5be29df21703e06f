"""The networks of the interpolation model as they code: integer layers made from the tensors of a model file.

    seen, context -> first -> second -> third -> for each channel: hidden -> logits, means, scales of a mixture
    seen ------------------------------------------------------- skip ----------> + means

`interpolation_network` trains the same steps (`TrunkSteps`) with real weights. Hidden activations are integers 0 to
255, what is seen integers -255 to 255, weights integers with a power of two for each row, chosen so that every sum is
exact in float32, in any order (see `program`). They are written for arrays of numpy and of torch (see `arrays`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..errors import ModelError
from .arrays import Array, affine, alike, beside, bounded, floored, joined, placed, single
from .interpolation import CHANNELS, MARGIN, PHASES, SPAN, chroma_inputs, luma_inputs, own_inputs, padded
from .mixture import LOGIT_MAX, MEAN_MAX, SCALES
from .program import FLOAT32_BOUND

__all__ = [
    "MAX_BITS",
    "MIN_BITS",
    "FrozenLayer",
    "FrozenNetwork",
    "InterpolationConfig",
    "Layer",
    "TrunkSteps",
    "config_of",
    "context_layers",
    "layers_of",
    "neighbourhood",
    "rows_of",
    "trunk_layers",
]

MAX_BITS = 14
MIN_BITS = -8


@dataclass(frozen=True)
class InterpolationConfig:
    """context: features of the context network; width, middle: units of a trunk's layers; head: of each channel's
    hidden layer; components: K; groups: networks for levels 0, 1, ..., the last one for all further levels.
    """

    context: int = 32
    width: int = 160
    middle: int = 96
    head: int = 64
    components: int = 5
    groups: int = 3


@dataclass(frozen=True)
class Layer:
    """What a layer is: units that it reads and gives, and the range that its output is clamped to."""

    inputs: int
    outputs: int
    low: int = 0
    high: int = SPAN


def context_layers(config: InterpolationConfig) -> list[Layer]:
    """Those of a context network."""
    widths = [2 * CHANNELS, config.context, config.context, config.context]
    return [Layer(9 * i, o) for i, o in zip(widths, widths[1:], strict=False)]


def trunk_layers(inputs: int, channels: Sequence[int], config: InterpolationConfig) -> dict[str, Layer]:
    """Those of a trunk that sees so much and codes these channels, by name."""
    k, own = config.components, [own_inputs(c) for c in channels]
    return {
        "first": Layer(inputs + config.context, config.width),
        "second": Layer(config.width, config.middle),
        "third": Layer(config.middle, config.middle),
        **{f"hidden.{n}": Layer(config.middle + more, config.head) for n, more in enumerate(own)},
        **{f"out.{n}": Layer(config.head, 3 * k, -MEAN_MAX, MEAN_MAX) for n in range(len(own))},
        **{f"skip.{n}": Layer(inputs + more, k, -MEAN_MAX, MEAN_MAX) for n, more in enumerate(own)},
    }


def layers_of(config: InterpolationConfig) -> dict[str, Layer]:
    """All layers of a model, by the names that they have in its file."""
    layers: dict[str, Layer] = {}
    for group in range(config.groups):
        layers |= {f"context.{group}.layers.{n}": layer for n, layer in enumerate(context_layers(config))}
        for n, phase in enumerate(PHASES):
            for name, inputs, channels in (("luma", luma_inputs(phase), [0]), ("chroma", chroma_inputs(phase), [1, 2])):
                trunk = trunk_layers(inputs, channels, config)
                layers |= {f"{name}.{group}.{n}.{part}": layer for part, layer in trunk.items()}
    return layers


class TrunkSteps:
    """Three layers over what is seen, and for each of some channels a head. What has these steps has the layers."""

    first: Any
    second: Any
    third: Any
    hidden: Any
    out: Any
    skip: Any

    def features(self, seen: Array, context: Array, exact: bool) -> Array:
        """seen [N, inputs], context [N, context] -> [N, middle]."""
        return self.third(self.second(self.first(_columns(seen, context), exact), exact), exact)

    def head(self, n: int, features: Array, seen: Array, own: Array | None, exact: bool) -> tuple[Array, Array, Array]:
        """The mixture of channel number n; own: [N, own_inputs] or None -> logits, means from the
        reference, scale indices, [N, K].
        """
        if own is not None:
            features, seen = _columns(features, alike(own, features)), _columns(seen, own)
        out = single(self.out[n](self.hidden[n](features, exact), exact))
        skip = single(self.skip[n](seen, exact, wide=True))
        k = skip.shape[-1]
        logit, mean, scale = out[:, :k], out[:, k : 2 * k], out[:, 2 * k :]
        return bounded(logit, -LOGIT_MAX, LOGIT_MAX), mean + skip, bounded(scale, 0, SCALES - 1)


def _columns(*parts: Array) -> Array:
    """[N, n] each -> [N, sum of n]. What `rows_of` gives is in memory feature by feature, so it is put together."""
    return joined([part.T for part in parts], 0).T


def rows_of(seen: Array) -> Array:
    """[B, n, h, w] -> [B h w, n]."""
    return seen.reshape(*seen.shape[:2], -1).swapaxes(1, 2).reshape(-1, seen.shape[1])


def neighbourhood(ready: Array, top: int, end: int) -> Array:
    """ready: `padded` -> [B, end - top, w, 9 C]: each position of these rows with its eight neighbours."""
    w = ready.shape[2] - 2 * MARGIN - 1
    return joined([ready[:, r + top : r + end, c : c + w] for r in range(1, 4) for c in range(1, 4)], -1)


class FrozenLayer:
    """A layer for coding. a [..., in] integers (as floats) -> [..., out] integers:

        out = clamp(floor((sum_i w_oi a_i + b_o) / 2^bits_o + 1/2), low, high)

    weight: int16 [out, in], bias: int32 [out], bits: int8 [out]; low, high: the output's clamp; device: see
    `arrays.placed`. Raises ModelError unless sum |w| SPAN + |b| stays below FLOAT32_BOUND in every row.
    """

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray, bits: np.ndarray, low: int, high: int, device: str = "cpu"
    ):
        reach = np.abs(weight.astype(np.int64)).sum(1) * SPAN + np.abs(bias.astype(np.int64))
        if reach.max() >= FLOAT32_BOUND or bits.min() < MIN_BITS or bits.max() > MAX_BITS:
            raise ModelError(f"an exact layer can reach {reach.max()}: beyond what float32 sums exactly")
        self._low, self._high = float(low), float(high)
        unit = np.ldexp(np.float32(1), -bits.astype(np.int32))  # scaled by powers of two, sums stay as exact
        self.weight = placed(weight.astype(np.float32) * unit[:, None], device)
        self.bias = placed(bias.astype(np.float32) * unit + np.float32(0.5), device)

    def __call__(self, a: Array, exact: bool = True, wide: bool = False) -> Array:
        sums = floored(affine(a.reshape(-1, a.shape[-1]), self.weight, self.bias))
        if isinstance(sums, np.ndarray):
            np.clip(sums, self._low, self._high, out=sums)
        else:
            sums.clamp_(self._low, self._high)
        return sums.reshape(*a.shape[:-1], -1)


class FrozenTrunk(TrunkSteps):
    """layers: by the names of `trunk_layers`."""

    def __init__(self, layers: Mapping[str, FrozenLayer]):
        self.first, self.second, self.third = layers["first"], layers["second"], layers["third"]
        heads = range(sum(name.startswith("out.") for name in layers))
        self.hidden, self.out, self.skip = (
            [layers[f"{part}.{n}"] for n in heads] for part in ("hidden", "out", "skip")
        )


class FrozenNetwork:
    """All networks of a model. tensors: weight (int16), bias (int32), bits (int8) of each of `layers_of`, by name.

    Raises ModelError when they are of other types or shapes, or reach beyond what float32 sums exactly.
    """

    def __init__(self, config: InterpolationConfig, tensors: Mapping[str, np.ndarray], device: str = "cpu"):
        self.config = config
        self.layers = {name: _frozen(name, layer, tensors, device) for name, layer in layers_of(config).items()}
        trunks: dict[str, dict[str, FrozenLayer]] = {}
        for name, layer in self.layers.items():
            kind, group, number, part = name.split(".", 3)
            if kind != "context":
                trunks.setdefault(f"{kind}.{group}.{number}", {})[part] = layer
        self._trunks = {name: FrozenTrunk(layers) for name, layers in trunks.items()}

    def trunk(self, chroma: bool, group: int, phase: int) -> FrozenTrunk:
        """The layers of luma or of both chroma channels."""
        return self._trunks[f"{'chroma' if chroma else 'luma'}.{group}.{phase}"]

    def context(self, group: int, steps: Array, rows: int) -> Array:
        """steps: `differences` [B, h, w, 2 C] -> [B, h, w, context], uint8; some rows at a time: what layers look at is
        nine times what they hold.
        """
        height, width = steps.shape[1:3]
        for n in range(len(context_layers(self.config))):
            layer = self.layers[f"context.{group}.layers.{n}"]
            ready = padded(steps, height, width)
            out = beside(np.empty((len(steps), height, width, self.config.context), np.uint8), steps)
            for top in range(0, height, rows):
                end = min(top + rows, height)
                out[:, top:end] = layer(single(neighbourhood(ready, top, end)))
            steps = out
        return steps


def config_of(numbers: Any) -> InterpolationConfig:
    """The config that a model file holds, int32 [fields]. Raises ModelError."""
    try:
        sizes = [int(n) for n in numbers[: len(fields(InterpolationConfig)) + 1]]
        config = InterpolationConfig(*sizes)
    except (TypeError, ValueError, OverflowError, IndexError):
        raise ModelError("the model's config is damaged") from None
    if len(sizes) != len(fields(config)) or not all(1 <= n <= 1024 for n in sizes) or config.groups > 16:
        raise ModelError(f"the model's config {sizes} is out of range")
    return config


def _frozen(name: str, layer: Layer, tensors: Mapping[str, np.ndarray], device: str) -> FrozenLayer:
    weight, bias, bits = (tensors[f"{name}.{part}"] for part in ("weight", "bias", "bits"))
    if (
        weight.shape != (layer.outputs, layer.inputs)
        or bias.shape != (layer.outputs,)
        or bits.shape != (layer.outputs,)
        or (weight.dtype, bias.dtype, bits.dtype) != (np.int16, np.int32, np.int8)
    ):
        raise ModelError(f"the model's layer {name} has {weight.dtype} {list(weight.shape)}, which its config does not")
    return FrozenLayer(weight, bias, bits, layer.low, layer.high, device)
