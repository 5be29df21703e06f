"""The hyperprior with context frozen for coding: integers only, immutable.

    z_hat --tables--> coder     z_hat --h_s--> features, (mu_0, t_0)
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
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ModelError
from .coder import Coder
from .context import (
    NARROW_BITS,
    PASSES,
    PHASES,
    WIDEN_BITS,
    ContextHyperprior,
    narrowed,
    pass_channels,
    spread_tables,
    widened,
)
from .exact import ACTIVATION_BITS, ACTIVATION_MAX, GAIN_BITS, GAIN_MAX, WEIGHT_BITS, ExactLayer, verify_arithmetic
from .hyperprior import MEAN_BITS, QUALITY_LEVELS, Hyperprior
from .hyperprior_coding import ONE, HyperpriorCoding, Latents, gain_table, layer_tensors, once, rounded

__all__ = ["ContextCoding"]

_KERNELS = (1, 3, 1)
_SPREADS = ("narrow", "widen")
SPREAD_MAX = 2**24
"""Products with spreads, of numbers below 2^16, stay far below 2^53."""
BAND = 2**10
"""Blocks of y that c_k works on at a time: unfolded, that many take 9 MB with 128 channels."""


class ContextCoding(HyperpriorCoding):
    """tensors: what `from_trained` returns and a model file holds: those of a `HyperpriorCoding` and those of c_1 to
    c_3. Raises ModelError when they do not make a model. Threads may share one object.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        super().__init__(tensors)
        t = self._tensors
        self._context_shapes()
        self._steps = tuple(tuple(self._context_layer(k, n) for n in range(3)) for k in range(1, PASSES))
        self._step_gains = [t[f"context.{k}.gain"].astype(np.int64) for k in range(1, PASSES)]
        self._narrow, self._widen = (torch.from_numpy(t[f"context.{n}"].astype(np.float64)) for n in _SPREADS)
        self._steps_on: dict[str, tuple[tuple[ExactLayer, ...], ...]] = {}
        self._own = [np.array(pass_channels(self.latent, k)) for k in range(PASSES)]

    # -- making one

    @staticmethod
    @torch.no_grad()
    def from_trained(model: Hyperprior) -> dict[str, np.ndarray]:
        """The tensors of a trained hyperprior with context, with the tables that training fitted."""
        assert isinstance(model, ContextHyperprior)
        out = HyperpriorCoding.from_trained(model)
        for k, step in enumerate(model.context, 1):
            for n, layer in enumerate(step.layers):  # pyright: ignore[reportArgumentType]
                out |= layer_tensors(f"context.{k}.{n}", layer.freeze())
            out[f"context.{k}.gain"] = gain_table(step.gain)  # pyright: ignore[reportArgumentType]
        spreads = (a.numpy().astype(np.int32) for a in spread_tables(model.config.tables))
        return out | {f"context.{name}": a for name, a in zip(_SPREADS, spreads, strict=True)}

    def _constants(self) -> dict[str, Any]:
        spread = [2**self.reach - 1, NARROW_BITS, WIDEN_BITS]
        return {**super()._constants(), "model": "context hyperprior 0", "context": [_KERNELS, PHASES, spread]}

    @staticmethod
    def _names() -> list[str]:
        steps = [f"context.{k}" for k in range(1, PASSES)]
        layers = [f"{step}.{n}.{part}" for step in steps for n in range(3) for part in ("weight", "bias")]
        names = [*layers, *(f"{step}.gain" for step in steps), *(f"context.{name}" for name in _SPREADS)]
        return [*HyperpriorCoding._names(), *names]

    def _context_shapes(self) -> None:
        """Raises ModelError when the context networks do not fit the hyperprior."""
        t, m = self._tensors, self.latent
        if m % PASSES:
            raise ModelError(f"the model's {m} channels do not make {PASSES} groups")
        wanted: dict[str, tuple[int, ...]] = {f"context.{name}": (self.top + 1,) for name in _SPREADS}
        for k in range(1, PASSES):
            width = t[f"context.{k}.0.weight"].shape[0]
            sizes = (width, t["h_s.2.weight"].shape[0] + 2 * k * m), (width, 9 * width), (2 * m, 2 * width)
            for n, size in enumerate(sizes):
                wanted |= {f"context.{k}.{n}.weight": size, f"context.{k}.{n}.bias": size[:1]}
            wanted[f"context.{k}.gain"] = QUALITY_LEVELS, width
        for name, shape in wanted.items():
            if t[name].shape != shape or 0 in shape:
                raise ModelError(f"the model's {name} has shape {t[name].shape}, not {shape}")
            if ".gain" in name and (t[name].min() < 0 or t[name].max() > GAIN_MAX):
                raise ModelError("the model's integer gains are out of range")
        if any(t[f"context.{name}"].min() < 0 or t[f"context.{name}"].max() > SPREAD_MAX for name in _SPREADS):
            raise ModelError("the model's spreads are out of range")

    def _context_layer(self, k: int, n: int) -> ExactLayer:
        return ExactLayer.build(
            torch.from_numpy(self._tensors[f"context.{k}.{n}.weight"].astype(np.float64)),
            torch.from_numpy(self._tensors[f"context.{k}.{n}.bias"].astype(np.float64)),
            kernel=_KERNELS[n],
            shift=WEIGHT_BITS + ACTIVATION_BITS - (MEAN_BITS if n == 2 else ACTIVATION_BITS) + GAIN_BITS,
            input_range=(0 if n else -ACTIVATION_MAX, ACTIVATION_MAX),
            output_range=self.mean_range if n == 2 else (0, ACTIVATION_MAX),
        )

    def context_layers(self, device: torch.device | str) -> tuple[tuple[ExactLayer, ...], ...]:
        """c_1 to c_3 on a device, after its arithmetic has passed the known-answer test; float64 where float32 failed
        it.
        """
        key = str(device)
        if key not in self._steps_on:
            exact = verify_arithmetic(key)
            self._steps_on[key] = tuple(
                tuple(e.to(device, e.carrier if e.carrier in exact else torch.float64) for e in step)
                for step in self._steps
            )
        return self._steps_on[key]

    # -- the integer networks

    def _start(
        self, z: np.ndarray, quality: Sequence[int], blocks: tuple[int, int], device: torch.device | str
    ) -> tuple[Tensor, Tensor]:
        """h_s -> what c_k sees [B, F + 6 M, *blocks] float64, its features filled in; (mu_0, t_0) folded to blocks, [B,
        2, 4 M, *blocks] float64, both in units of 2^-MEAN_BITS.
        """
        features = self._tensors["h_s.2.weight"].shape[0]
        seen = torch.empty(
            len(z), features + 2 * (PASSES - 1) * self.latent, *blocks, dtype=torch.float64, device=device
        )
        start = torch.empty(len(z), 2, 4 * self.latent, *blocks, dtype=torch.float64, device=device)
        for rows, band, out in self.bands(z, quality, device):
            own = slice(2 * rows.start, min(2 * rows.stop, blocks[0]))
            keep = own.stop - own.start
            seen[:, :features, own] = band[:, :, :keep, : blocks[1]]
            folded = F.pixel_unshuffle(out, 2)[:, :, :keep, : blocks[1]]
            start[:, :, :, own] = folded.unflatten(1, (2, 4 * self.latent))
        return seen, start

    def _correction(self, k: int, seen: Tensor, quality: Sequence[int], device: torch.device | str) -> Tensor:
        """c_k: seen [B, F + 2 k M, *blocks] -> (d, dt) [B, 2, M, *blocks] float64; a tall plane in bands."""
        enter, look, leave = self.context_layers(device)[k - 1]
        gain = self._rows(self._step_gains[k - 1], quality, device)
        batch, height, width = len(seen), seen.shape[2], seen.shape[3]
        out = torch.empty(batch, 2, self.latent, height, width, dtype=torch.float64, device=device)
        rows = max(BAND // (batch * width), 4)
        for top in range(0, height, rows):
            first, end = max(top - 1, 0), min(top + rows, height)
            a = enter(seen[:, :, first : end + 1], gain)
            b = look(a)
            own = slice(top - first, end - first)
            part = leave(torch.cat([a[:, :, own], b[:, :, own]], 1))
            out[:, :, :, top:end] = part.unflatten(1, (2, self.latent))
        return out

    # -- the traversal, one for both directions

    @torch.inference_mode()
    def traverse(
        self,
        coders: Sequence[Coder],
        quality: Sequence[int],
        size: tuple[int, int],
        source: tuple[np.ndarray, np.ndarray] | None = None,
        device: torch.device | str = "cpu",
        lean: np.ndarray | None = None,
        memo: list[Any] | None = None,
    ) -> list[Latents]:
        """Code the latents of B pictures of one size, each with its own coder. Arguments and result are those of
        `HyperpriorCoding.traverse`.
        """
        z = self.code_z(coders, quality, size, source)
        blocks = -(-size[0] // 2), -(-size[1] // 2)
        seen, start = once(memo, lambda: self._start(z, quality, blocks, device))
        inside = _inside(size)
        y = None if source is None else _folded(source[0], blocks)
        y_hat = np.empty((len(z), 4 * self.latent, *blocks), np.int32)
        narrow, widen = self._narrow.to(device), self._widen.to(device)
        filled = seen.shape[1] - 2 * (PASSES - 1) * self.latent
        for k, own in enumerate(self._own):
            mu_0, t_0 = start[:, :, torch.from_numpy(own).to(device)].unbind(1)
            mu, t, table_0 = mu_0, t_0, _tables_of(t_0, self.top)
            if k:
                d, dt = self._correction(k, seen[:, :filled], quality, device).unbind(1)
                mu, t = (mu_0 + widened(d, widen[table_0])).clamp_(*self.mean_range), t_0 + dt
            index = _tables_of(t, self.top).to(torch.uint8).cpu().numpy() * inside[own % 4]
            decoded = mu.to(torch.int32).cpu().numpy()
            if y is not None:
                s = rounded(y[:, own] - decoded * np.float32(1 / ONE), index, lean)
            for b, coder in enumerate(coders):
                coded = np.flatnonzero(index[b])  # table 0 stands for s = 0, as beyond the edge: nothing is coded
                values = None if y is None else s[b].reshape(-1)[coded]
                values = coder.code(self.y_tables, index[b].reshape(-1)[coded], values)
                decoded[b].reshape(-1)[coded] += values * ONE
            y_hat[:, own] = decoded
            if k + 1 < PASSES:
                residual = torch.from_numpy(decoded).to(device, torch.float64) - mu_0
                r = seen[:, filled : filled + self.latent]
                r[:] = narrowed(residual, narrow[table_0], self.reach)
                torch.abs(r, out=seen[:, filled + self.latent : filled + 2 * self.latent])
                filled += 2 * self.latent
        whole = _unfolded(y_hat)[:, :, : size[0], : size[1]]
        return [Latents(z[b], np.ascontiguousarray(whole[b])) for b in range(len(z))]


def _tables_of(t: Tensor, top: int) -> Tensor:
    """Table numbers in units of 2^-MEAN_BITS, integers in float64 -> int64 in [0, top]."""
    return t.add(ONE // 2).mul_(1 / ONE).floor_().clamp_(0, top).long()


def _folded(y: np.ndarray, blocks: tuple[int, int]) -> np.ndarray:
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
    return _folded(np.ones((1, 1, *size), np.uint8), (-(-size[0] // 2), -(-size[1] // 2)))[0]
