"""The hyperprior with context frozen for coding: integers only, immutable.

    z_hat --model above--> coder     z_hat --h_s--> features, (mu_0, t_0)
    four times:   features, y_hat so far --c_k--> (mu, t)     s --table t--> coder     y_hat = s + mu

See `context` for the passes and `hyperprior_coding` for what the two have in common. `traverse` walks z and the four
passes of y once for both directions. Each pass works on all pictures of a batch at once, and then each picture's coder
takes its symbols. What is decoded is the same on every machine, thread count, batch size and device: c_k sees integers
that are already decoded, clamped to the range that its bound assumes, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from .coder import Coder
from .hyperprior_coding import HyperpriorCoding, table_steps
from .latents import MEAN_BITS, NEAREST, ONE, Choice, EntropyModel, Latents, Size, refuse_given, rounded
from .layers import ACTIVATION_BITS, ACTIVATION_MAX, GAIN_BITS, GAIN_MAX, WEIGHT_BITS, ExactLayer
from .program import Builder, Program
from .rate import QUALITY_LEVELS, rows_at
from .runtime import Runtime, run_in_bands, runtime_of

__all__ = ["GROUPS", "PASSES", "PHASES", "ContextCoding", "blocks_of", "folded", "pass_channels"]

GROUPS = PASSES = 4
PHASES = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))
"""PHASES[k][g]: where in its 2 x 2 block (0 1 / 2 3) pass k codes channel group g."""
NARROW_BITS, WIDEN_BITS = 14, 10
"""Fractional bits of the integer tables of 1 / spread and of spread."""
NARROW_SHIFT = NARROW_BITS + MEAN_BITS - ACTIVATION_BITS
SIGNED = (-ACTIVATION_MAX, ACTIVATION_MAX)
_KERNELS = (1, 3, 1)
SPREADS = ("narrow", "widen")
SPREAD_MAX = 2**24
"""Products with spreads, of numbers below 2^16, stay far below 2^51."""
Y_HAT_MAX = 2**24
"""y_hat is clamped to +-Y_HAT_MAX where it becomes context: far beyond what remains of y_hat - mu_0."""
BAND = 2**10
"""Blocks of y that c_k works on at a time: unfolded, that many take 9 MB with 128 channels."""


def pass_channels(latent: int, step: int) -> list[int]:
    """The channels of y folded by pixel_unshuffle that pass `step` codes: M of 4 M, in the order of y's channels."""
    return [4 * c + PHASES[step][c % GROUPS] for c in range(latent)]


class ContextCoding(HyperpriorCoding):
    """tensors: what `ContextHyperprior.frozen` returns and a model file holds: those of a `HyperpriorCoding` and those
    of c_1 to c_3; above: as there. Raises ModelError when they do not make a model. Threads may share one object.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], above: EntropyModel | None = None):
        super().__init__(tensors, above)
        t = self._tensors
        self._context_shapes()
        self._own = [np.array(pass_channels(self.latent, k)) for k in range(PASSES)]
        self._step_gains = [t[f"context.{k}.gain"].astype(np.int64) for k in range(1, PASSES)]
        self._corrections = [self._correction(k) for k in range(1, PASSES)]
        self._as_context = self._residual()

    def _constants(self) -> dict[str, Any]:
        spread = [self.mean_range[1], NARROW_BITS, WIDEN_BITS]
        return {**super()._constants(), "model": "context hyperprior 0", "context": [_KERNELS, PHASES, spread]}

    @staticmethod
    def _names() -> list[str]:
        steps = [f"context.{k}" for k in range(1, PASSES)]
        layers = [f"{step}.{n}.{part}" for step in steps for n in range(3) for part in ("weight", "bias")]
        names = [*layers, *(f"{step}.gain" for step in steps), *(f"context.{name}" for name in SPREADS)]
        return [*HyperpriorCoding._names(), *names]

    @property
    def features(self) -> int:
        """F, the channels that c_k sees besides what has been decoded."""
        return len(self._tensors["h_s.2.weight"])

    def _context_shapes(self) -> None:
        """Raises ModelError when the context networks do not fit the hyperprior."""
        t, m = self._tensors, self.latent
        if m % PASSES:
            raise ModelError(f"the model's {m} channels do not make {PASSES} groups")
        wanted: dict[str, tuple[int, ...]] = {f"context.{name}": (self.top + 1,) for name in SPREADS}
        for k in range(1, PASSES):
            width = t[f"context.{k}.0.weight"].shape[0]
            sizes = (width, self.features + 2 * k * m), (width, 9 * width), (2 * m, 2 * width)
            for n, size in enumerate(sizes):
                wanted |= {f"context.{k}.{n}.weight": size, f"context.{k}.{n}.bias": size[:1]}
            wanted[f"context.{k}.gain"] = QUALITY_LEVELS, width
        for name, shape in wanted.items():
            if t[name].shape != shape or 0 in shape:
                raise ModelError(f"the model's {name} has shape {t[name].shape}, not {shape}")
            if ".gain" in name and (t[name].min() < 0 or t[name].max() > GAIN_MAX):
                raise ModelError("the model's integer gains are out of range")
        if any(t[f"context.{name}"].min() < 0 or t[f"context.{name}"].max() > SPREAD_MAX for name in SPREADS):
            raise ModelError("the model's spreads are out of range")

    # -- the integer networks

    def _make_program(self) -> Program:
        """h_s: features, and mu_0 and t_0 folded to blocks [4 M], in units of 2^-MEAN_BITS."""
        b = Builder()
        features, out = self._hyper_steps(b)
        folded, m = b.fold(out, 2), 4 * self.latent
        return b.program(features=features, mu=b.select(folded, range(m)), t=b.select(folded, range(m, 2 * m)))

    def _context_layer(self, k: int, n: int) -> ExactLayer:
        return ExactLayer(
            self._tensors[f"context.{k}.{n}.weight"],
            self._tensors[f"context.{k}.{n}.bias"],
            kernel=_KERNELS[n],
            shift=WEIGHT_BITS + ACTIVATION_BITS - (MEAN_BITS if n == 2 else ACTIVATION_BITS) + GAIN_BITS,
            output_range=self.mean_range if n == 2 else (0, ACTIVATION_MAX),
        )

    def _correction(self, k: int) -> Program:
        """c_k and what it corrects: seen [F + 2 k M], mu_0, t_0 [M] -> mu [M], t [M] table numbers."""
        b, m = Builder(), self.latent
        enter, look, leave = (self._context_layer(k, n) for n in range(3))
        seen = b.input("seen", enter.weight.shape[1], *SIGNED)
        mu_0, t_0 = (b.input(name, m, *self.mean_range) for name in ("mu", "t"))
        a = enter.steps(b, seen, b.input("gain", len(enter.weight), 0, GAIN_MAX, row=True))
        near = look.steps(b, a)
        change, states = self._asked(b, k, (a, near), leave.steps(b, b.join(a, near)))
        d, dt = b.select(change, range(m)), b.select(change, range(m, 2 * m))
        widen = b.table(table_steps(b, t_0, self.top), self._tensors["context.widen"])
        mu = b.clamp(b.add(mu_0, b.shift(b.multiply(d, widen), WIDEN_BITS)), *self.mean_range)
        return b.program(mu=mu, t=table_steps(b, b.add(t_0, dt), self.top), **states)

    def _asked(self, b: Builder, k: int, seen: tuple[int, int], change: int) -> tuple[int, dict[str, int]]:
        """What a memory adds to the change of pass k, for models that have one. seen: the first two layers of c_k;
        change: d and dt -> d and dt, and what is handed on to the next pass, by name.
        """
        return change, {}

    def _residual(self) -> Program:
        """What c_k sees of a pass: y_hat, mu_0, t_0 [M] -> r [M] in units of 2^-ACTIVATION_BITS."""
        b, m = Builder(), self.latent
        y_hat = b.input("y_hat", m, -Y_HAT_MAX, Y_HAT_MAX)
        mu_0, t_0 = (b.input(name, m, *self.mean_range) for name in ("mu", "t"))
        most = self.mean_range[1]
        residual = b.clamp(b.add(y_hat, b.multiply(mu_0, b.constant([-1]))), -most, most)
        narrow = b.table(table_steps(b, t_0, self.top), self._tensors["context.narrow"])
        return b.program(r=b.clamp(b.shift(b.multiply(residual, narrow), NARROW_SHIFT), *SIGNED))

    def start(
        self, z: np.ndarray | None, quality: Sequence[int], blocks: tuple[int, int], runtime: Runtime
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """h_s -> what c_k sees [B, F + 6 M, *blocks] int16, its features filled in; mu_0 and t_0 folded to blocks, [B,
        4 M, *blocks] int32, both in units of 2^-MEAN_BITS. z None: what a single z of zeros gives, repeated.
        """
        if z is None:
            z = np.zeros((len(quality), self.hyper, 1, 1), np.int32)
            one = self.start(z, quality, (2, 2), runtime)
            rows, columns = (np.arange(n) % 2 for n in blocks)
            seen, mu, t = (np.ascontiguousarray(a[:, :, rows[:, None], columns]) for a in one)
            return seen, mu, t
        features = len(self._tensors["h_s.2.weight"])
        seen = np.empty((len(z), self.features + 2 * (PASSES - 1) * self.latent, *blocks), np.int16)
        mu, t = (np.empty((len(z), 4 * self.latent, *blocks), np.int32) for _ in range(2))
        self._run_hyper(z, quality, runtime, features=seen[:, :features], mu=mu, t=t)
        return seen, mu, t

    # -- the traversal, one for both directions

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
        """As that of `HyperpriorCoding`."""
        refuse_given(given)
        runtime = runtime_of(device)
        above, z = self.code_above(coders, size, rates, source, runtime)
        start = choice.once("seen, mu, t", lambda: self.start(z, rates, blocks_of(size), runtime))
        y = None if source is None else source[-1]
        whole = self._pass_by_pass(coders, size, rates, start, y, runtime, choice)
        return [Latents((*a.levels, np.ascontiguousarray(y))) for a, y in zip(above, whole, strict=True)]

    def _pass_by_pass(
        self,
        coders: Sequence[Coder],
        size: Size,
        rates: Sequence[int],
        start: tuple[np.ndarray, np.ndarray, np.ndarray],
        y: np.ndarray | None,
        runtime: Runtime,
        choice: Choice,
    ) -> np.ndarray:
        """The four passes. start: what `start` gives, of which `seen` is filled here; y [B, M, h, w] float32, None to
        read -> y_hat [B, M, h, w] int32.
        """
        (seen, mu_0, t_0), (height, width), blocks = start, size, blocks_of(size)
        inside = _inside((height, width))
        y = None if y is None else folded(y, blocks)
        y_hat = np.empty((len(mu_0), 4 * self.latent, *blocks), np.int32)
        filled, states = self.features, {}
        for k, own in enumerate(self._own):
            first = {"mu": mu_0[:, own], "t": t_0[:, own]}
            if k:
                inputs = {**first, "seen": seen[:, :filled], "gain": rows_at(self._step_gains[k - 1], rates)}
                states = run_in_bands(runtime, self._corrections[k - 1], inputs | states, BAND)
                decoded, index = states.pop("mu"), states.pop("t")
            else:
                decoded, index = first["mu"].copy(), _tables_of(first["t"], self.top)
            index *= inside[own % 4]
            if y is not None:
                s = rounded(y[:, own] - decoded * np.float32(1 / ONE), index, choice.deadzone)
            for b, coder in enumerate(coders):
                coded = np.flatnonzero(index[b])  # table 0 stands for s = 0, as beyond the edge: nothing is coded
                values = None if y is None else s[b].reshape(-1)[coded]
                values = coder.code(self.y_tables, index[b].reshape(-1)[coded], values)
                decoded[b].reshape(-1)[coded] += values * ONE
            y_hat[:, own] = decoded
            if k + 1 < PASSES:
                r = seen[:, filled : filled + self.latent]
                run_in_bands(runtime, self._as_context, {"y_hat": decoded, **first}, BAND, into={"r": r})
                np.abs(r, out=seen[:, filled + self.latent : filled + 2 * self.latent])
                filled += 2 * self.latent
        return _unfolded(y_hat)[:, :, :height, :width]


def _tables_of(t: np.ndarray, top: int) -> np.ndarray:
    """Table numbers in units of 2^-MEAN_BITS -> uint8 in [0, top], as `table_steps`."""
    return ((t + ONE // 2) >> MEAN_BITS).clip(0, top).astype(np.uint8)


def blocks_of(size: Size) -> tuple[int, int]:
    """Size of y -> blocks of 2 x 2 of it."""
    height, width = size
    return -(-height // 2), -(-width // 2)


def folded(y: np.ndarray, blocks: tuple[int, int]) -> np.ndarray:
    """y [B, M, h, w] -> [B, 4 M, *blocks]: channel 4 c + 2 i + j is place (i, j) of each 2 x 2 block, 0 beyond y."""
    batch, channels, h, w = y.shape
    even = np.zeros((batch, channels, 2 * blocks[0], 2 * blocks[1]), y.dtype)
    even[:, :, :h, :w] = y
    split = even.reshape(batch, channels, blocks[0], 2, blocks[1], 2)
    return split.transpose(0, 1, 3, 5, 2, 4).reshape(batch, 4 * channels, *blocks)


def _unfolded(y: np.ndarray) -> np.ndarray:
    """[B, 4 M, h, w] -> [B, M, 2 h, 2 w]."""
    batch, channels, h, w = y.shape
    split = y.reshape(batch, channels // 4, 2, 2, h, w)
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(batch, channels // 4, 2 * h, 2 * w)


def _inside(size: tuple[int, int]) -> np.ndarray:
    """[4, blocks] uint8: which places of the blocks are positions of y (1) and which lie beyond an odd edge (0)."""
    return folded(np.ones((1, 1, *size), np.uint8), (-(-size[0] // 2), -(-size[1] // 2)))[0]
