"""The image transforms in integers: a fixed-point replica of g_s and g_a, exact on every machine.

    y_hat at a rate -> programs of g_s -> samples          samples of 8 bits -> programs of g_a -> y in units of y_hat

The networks are those of `image` with the same weights, rounded. Every activation is an integer in a stated range:

    x between blocks     units of 2^-11, within +-16      y and the linear path     2^-14, +-128
    a and b in a block   2^-11, +-32 and +-16             weights                   2^-14
    DW(a) silu(b)        2^-11, +-64                      gains                     2^-16; of y in g_s 2^-24

silu is a table (`fixed_point`). What is computed is a `program`, whose bounds are checked from the weights and which
numpy and torch run with the same result; it is run on a strip of rows at a time, so memory stays bounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from ...bitstream import PictureLayout
from ...entropy.latents import MEAN_BITS
from ...entropy.program import Builder, Program
from ...entropy.rate import QUALITY_ONE
from ...entropy.runtime import run_in_bands, runtime_of
from .fixed_point import gains_at, rounded, silu_table
from .sizes import LIMIT, TransformConfig
from .transform import WindowedTransform, dtype_of

__all__ = ["Replica"]

BITS = 11
"""Fractional bits of activations."""
TOP = int(LIMIT) << BITS
INNER, PRODUCT = 2 * TOP, 4 * TOP
WEIGHT_BITS = 14
GAIN_BITS = 16
LATENT_GAIN_BITS = 24
GAIN_TOP = 2**26
Y_BITS = 14
Y_TOP = 2**21
Y_HAT_TOP = 2**22
"""Of y_hat that comes in and of y that goes out, in units of 2^-MEAN_BITS."""
STRIP = {"cpu": 2**11, "cuda": 2**16}
"""Positions that are worked on at a time."""


class _Layer:
    """A 1x1 layer in fixed point. bits: of its input; scale: what the weights are multiplied by before they are
    rounded.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray, bits: int, scale: float = 1.0):
        self.bits = WEIGHT_BITS + bits
        self.weight = rounded(weight.reshape(len(weight), -1), scale * 2.0**WEIGHT_BITS)
        self.bias = rounded(bias.reshape(-1), scale * 2.0**self.bits)

    def sums(self, b: Builder, a: int, bits: int, offset: int = 0) -> int:
        """The output in units of 2^-bits, rounded, plus an offset."""
        shift = self.bits - bits
        bias = self.bias + (offset << shift) + (1 << shift >> 1)
        return b.shift(b.matmul(a, self.weight, bias), shift, rounds=False)


class Replica(WindowedTransform):
    """weights: of g_a and g_s, float32 by name; config: their sizes. The other arguments are those of
    `WindowedTransform`; windows meet without a rounding here. What it analyses are samples of 8 bits in three colours;
    y are multiples of 2^-MEAN_BITS. There is no level above y, and there are no gradients.

    Raises ModelError for weights that fixed point does not hold.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        config: TransformConfig,
        *,
        reach_a: int,
        reach_s: int,
        window: Mapping[str, int],
        place: str,
    ):
        super().__init__(reach_a=reach_a, reach_s=reach_s, window=window, place=place)
        self._runtime = runtime_of(place)
        self._config, self._w = config, {n: a for n, a in weights.items() if n.startswith(("g_a.", "g_s."))}
        self._silu = silu_table(BITS, TOP)
        c = config
        self._s16, self._s8, self._a16, self._a8 = (
            [self._block(f"{name}.{n}") for n in range(count)]
            for name, count in (
                ("g_s.blocks16", c.synthesis16),
                ("g_s.blocks8", c.synthesis8),
                ("g_a.blocks16", c.analysis16),
                ("g_a.blocks8", c.analysis8),
            )
        )
        self._enter_s, self._up, self._leave_s = self._entering_s(), self._going_up(), lru_cache(self._leaving_s)
        self._enter_a, self._down, self._leave_a = self._entering_a(), self._going_down(), self._leaving_a()

    def digest(self) -> bytes:
        """8 bytes over all weights that the replica is made of."""
        found = hashlib.blake2b(digest_size=8)
        for name in sorted(self._w):
            found.update(name.encode() + b"\0" + self._w[name].astype("<f4").tobytes())
        return found.digest()

    def _samples(self, y_hat: np.ndarray, index: np.ndarray, layout: PictureLayout) -> np.ndarray:
        return np.stack([self._synthesised(*one, layout) for one in zip(y_hat, _rates(index), strict=True)])

    def _synthesised(self, y_hat: np.ndarray, rate: int, layout: PictureLayout) -> np.ndarray:
        """y_hat [M, h, w] int32 -> samples [16 h, 16 w, C]. At the borders it sees zeros between layers, as the float
        transform does.
        """
        started = self._run(self._enter_s, y_hat=y_hat, gain=self._gain("g_s.gain_y", rate, LATENT_GAIN_BITS))
        x = started["x"]
        for block in self._s16:
            x = self._run(block, x=x)["x"]
        x = self._run(self._up, x=x, gain=self._gain("g_s.gain8", rate))["x"]
        for block in self._s8:
            x = self._run(block, x=x)["x"]
        beside = {"beside": started["beside"]} if self._config.linear else {}
        peak, colours = 2**layout.bit_depth - 1, layout.channels
        blocks = self._run(self._leave_s(peak, colours), x=x, **beside)["samples"].astype(dtype_of(layout))
        _, h, w = blocks.shape
        return blocks.reshape(colours, 8, 8, h, w).transpose(3, 1, 4, 2, 0).reshape(8 * h, 8 * w, colours)

    def _y(self, samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        y = [self._analysed(*one) for one in zip(samples, _rates(index), strict=True)]
        return np.stack(y).astype(np.float32) * np.float32(2.0**-MEAN_BITS)

    def _analysed(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """samples uint8 [16 h, 16 w, 3] -> y [M, h, w] int32."""
        rows, columns, colours = samples.shape
        blocks = samples.reshape(rows // 8, 8, columns // 8, 8, colours).transpose(4, 1, 3, 0, 2)
        blocks = blocks.reshape(64 * colours, rows // 8, columns // 8)
        x = self._run(self._enter_a, samples=blocks)["x"]
        for block in self._a8:
            x = self._run(block, x=x)["x"]
        x = self._run(self._down, x=_folded(x), gain=self._gain("g_a.gain8", rate).repeat(4))["x"]
        for block in self._a16:
            x = self._run(block, x=x)["x"]
        beside = {"samples": _folded(blocks)} if self._config.linear else {}
        return self._run(self._leave_a, x=x, gain=self._gain("g_a.gain_y", rate), **beside)["y"]

    def _run(self, program: Program, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """inputs: planes [C, h, w] and rows [C] -> outputs [C, h, w]."""
        kind = self.device.partition(":")[0]
        planes = {name: a[None] for name, a in inputs.items()}
        strip = STRIP.get(kind, STRIP["cpu"])
        found = run_in_bands(self._runtime, program, planes, strip, pool=kind == "cpu")
        return {name: a[0] for name, a in found.items()}

    def _gain(self, name: str, rate: int, bits: int = GAIN_BITS) -> np.ndarray:
        return gains_at(self._w[f"{name}.value"], rate, bits).clip(0, GAIN_TOP)

    # -- the networks as programs

    def _layer(self, name: str, bits: int = BITS, scale: float = 1.0, rows: slice = slice(None)) -> _Layer:
        return _Layer(self._w[f"{name}.weight"][rows], self._w[f"{name}.bias"][rows], bits, scale)

    def _block(self, name: str) -> Program:
        """x -> clamp(x + W_o f(x)), see `image.Block`."""
        b, width = Builder(), len(self._w[f"{name}.project_out.bias"])
        x = b.input("x", width, -TOP, TOP)
        found = self._gated(b, x, name, width) if self._config.block == "gated" else self._residual(b, x, name)
        leave = self._layer(f"{name}.project_out")
        return b.program(x=b.clamp(b.add(x, leave.sums(b, found, BITS)), -TOP, TOP))

    def _gated(self, b: Builder, x: int, name: str, width: int) -> int:
        """DW(a) silu(b)."""
        first, second = (self._layer(f"{name}.project_in", rows=r) for r in (slice(width), slice(width, None)))
        a = b.clamp(first.sums(b, x, BITS), -INNER, INNER)
        kernel = rounded(self._w[f"{name}.depthwise.weight"][:, 0], 2.0**WEIGHT_BITS)
        bias = rounded(self._w[f"{name}.depthwise.bias"], 2.0 ** (WEIGHT_BITS + BITS)) + (1 << WEIGHT_BITS >> 1)
        seen = b.shift(b.depthwise(a, kernel, bias), WEIGHT_BITS, rounds=False)
        product = b.multiply(seen, self._activated(b, second, x))
        return b.clamp(b.shift(product, BITS), -PRODUCT, PRODUCT)

    def _residual(self, b: Builder, x: int, name: str) -> int:
        """silu(conv(silu(W_i x)))."""
        entered = self._activated(b, self._layer(f"{name}.project_in"), x)
        return self._activated(b, self._layer(f"{name}.spatial"), b.window(entered, 3, 3, edge=False))

    def _activated(self, b: Builder, layer: _Layer, x: int) -> int:
        """silu of a layer's output, which is clamped to +-16 before."""
        return b.table(b.clamp(layer.sums(b, x, BITS, TOP), 0, 2 * TOP - 1), self._silu)

    def _entering_s(self) -> Program:
        """y_hat -> x at 1/16, and what the linear path adds at 1/8."""
        b, m = Builder(), self._config.latent
        gained = b.multiply(b.input("y_hat", m, -Y_HAT_TOP, Y_HAT_TOP), b.input("gain", m, 0, GAIN_TOP, row=True))
        y = b.clamp(b.shift(gained, MEAN_BITS + LATENT_GAIN_BITS - Y_BITS), -Y_TOP, Y_TOP)
        out = {"x": b.clamp(self._layer("g_s.stem", Y_BITS).sums(b, y, BITS), -TOP, TOP)}
        if self._config.linear:
            beside = self._layer("g_s.linear", Y_BITS).sums(b, y, Y_BITS)
            out["beside"] = b.clamp(b.spread(beside, 2), -Y_TOP, Y_TOP)
        return b.program(**out)

    def _going_up(self) -> Program:
        """x at 1/16 -> x at 1/8."""
        b, c = Builder(), self._config
        up = b.clamp(self._layer("g_s.up").sums(b, b.input("x", c.width16, -TOP, TOP), BITS), -PRODUCT, PRODUCT)
        gained = b.multiply(b.spread(up, 2), b.input("gain", c.width8, 0, GAIN_TOP, row=True))
        return b.program(x=b.clamp(b.shift(gained, GAIN_BITS), -TOP, TOP))

    def _leaving_s(self, peak: int, colours: int) -> Program:
        """x at 1/8 -> samples, [64 colours] of each block. Grey is the mean of the three colours."""
        b, c = Builder(), self._config
        head, means = self._layer("g_s.head", BITS, peak), colours < c.channels
        weight, bias = head.weight, head.bias + (peak << head.bits - 1)
        beside = b.input("beside", 64 * c.channels, -Y_TOP, Y_TOP) if c.linear else None
        if means:
            weight, bias = (p.reshape(c.channels, 64, *p.shape[1:]).sum(0) for p in (weight, bias))
            if beside is not None:
                beside = b.matmul(beside, np.tile(np.eye(64, dtype=np.int64), (1, c.channels)), [0] * 64)
        count = c.channels if means else 1
        sums = b.matmul(b.input("x", c.width8, -TOP, TOP), weight, bias + (count << head.bits - 1))
        if beside is not None:
            sums = b.add(sums, b.multiply(beside, b.constant([peak << head.bits - Y_BITS])))
        if means:
            sums = b.divide(sums, b.constant([count]))
        return b.program(samples=b.clamp(b.shift(sums, head.bits, rounds=False), 0, peak))

    def _entering_a(self) -> Program:
        """Samples, [192] of each block of 8 x 8 -> x at 1/8."""
        b, c = Builder(), self._config
        stem = self._centred("g_a.stem")
        return b.program(x=b.clamp(stem.sums(b, b.input("samples", 64 * c.channels, 0, 255), BITS), -TOP, TOP))

    def _centred(self, name: str) -> _Layer:
        """A layer of s / 255 - 1/2, for s."""
        layer = self._layer(name)
        weight = self._w[f"{name}.weight"]
        layer.weight = rounded(weight, 2.0**layer.bits / 255)
        layer.bias -= 255 * layer.weight.sum(1) // 2
        return layer

    def _going_down(self) -> Program:
        """x at 1/8, folded -> x at 1/16."""
        b, c = Builder(), self._config
        gained = b.multiply(b.input("x", 4 * c.width8, -TOP, TOP), b.input("gain", 4 * c.width8, 0, GAIN_TOP, row=True))
        seen = b.clamp(b.shift(gained, GAIN_BITS), -PRODUCT, PRODUCT)
        return b.program(x=b.clamp(self._layer("g_a.down").sums(b, seen, BITS), -TOP, TOP))

    def _leaving_a(self) -> Program:
        """x at 1/16, and for the linear path the samples of each block of 16 x 16 -> y."""
        b, c = Builder(), self._config
        y = self._layer("g_a.head").sums(b, b.input("x", c.width16, -TOP, TOP), Y_BITS)
        if c.linear:
            samples = b.input("samples", 256 * c.channels, 0, 255)
            y = b.add(y, self._centred("g_a.linear").sums(b, samples, Y_BITS))
        gained = b.multiply(b.clamp(y, -Y_TOP, Y_TOP), b.input("gain", c.latent, 0, GAIN_TOP, row=True))
        return b.program(y=b.clamp(b.shift(gained, Y_BITS + GAIN_BITS - MEAN_BITS), -Y_HAT_TOP, Y_HAT_TOP))


def _rates(index: np.ndarray) -> list[int]:
    """Fixed-point indices again."""
    return [round(float(i) * QUALITY_ONE) for i in index]


def _folded(x: np.ndarray) -> np.ndarray:
    """[C, 2h, 2w] -> [4 C, h, w]."""
    c, h, w = x.shape
    return x.reshape(c, h // 2, 2, w // 2, 2).transpose(0, 2, 4, 1, 3).reshape(4 * c, h // 2, w // 2)
