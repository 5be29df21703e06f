"""The networks of sound in numpy, where torch is not needed: what `sound` has in torch, for coding alone.

    samples --MDCT--> spectrum --levels--> h_a --> z        y, envelope, features, noise --post-net, MDCT--> samples

Arrays are [B, channels, t] float32. Convolutions are products of matrices, one for each place of their kernels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from ...entropy.bands import BINS, COARSER, FINEST, interpolation, means
from ...entropy.rate import QUALITY_LEVELS
from .sound_sizes import (
    FLOOR,
    LEAST_LEVEL,
    MOMENTS,
    MOST_SHAPE,
    NOISE_CEILING,
    NOISE_START,
    REFERENCE,
    SHAPED,
    SoundConfig,
    basis_of,
    between,
    middle_names,
    moments,
    stripes_of,
)

__all__ = ["PlainSoundNetworks"]

_basis = lru_cache(maxsize=8)(basis_of)


class PlainSoundNetworks:
    """weights: of h_a and g_s, float32 by name; config: sizes. See `torch_sound.TorchSoundNetworks`, whose calls these
    are too.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], config: SoundConfig):
        self._w, self._config = weights, config

    def analyse(self, x: np.ndarray, hop: int, bins: int, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x [B, (t + 1) N], N samples before the signal first; index [B] -> spectrum [B, bins, t] and z [B, Z, t'] to
        be rounded, t' = t / 2 rounded up.
        """
        with np.errstate(all="ignore"):  # whatever the program around has set
            parts = x.reshape(len(x), -1, hop)
            matrix = _basis(hop, bins) * np.float32(math.sqrt(2 * REFERENCE) / hop)
            frames = parts[:, :-1] @ matrix[:hop] + parts[:, 1:] @ matrix[hop:]
            spectrum = np.ascontiguousarray(frames.swapaxes(1, 2))
            return spectrum, self._z(_levels(spectrum), index)

    def _z(self, levels: np.ndarray, index: np.ndarray) -> np.ndarray:
        """h_a; see `sound.SoundAnalysis`."""
        if levels.shape[2] % 2:
            levels = np.concatenate([levels, levels[..., -1:]], 2)
        centred = levels + np.float32(8)
        h = np.concatenate([centred / np.float32(4), _rate_plane(index, levels.shape[2])], 1)
        h = _relu(self._layer("h_a.enter", h, 2))
        h = _relu(self._layer("h_a.down", h, 1, stride=2))
        halves = (centred[..., ::2] + centred[..., 1::2]) * np.float32(0.5)
        linear = self._w["h_a.linear"]
        whole = self._layer("h_a.head", h, 0) + np.matmul(linear.T, halves)
        low, high = math.log2(self._config.coarse / 100), math.log2(FINEST)
        unit = np.exp2(np.float32(low) + np.float32((high - low) / (QUALITY_LEVELS - 1)) * index)
        count = whole.shape[1]
        coarser = np.where(np.arange(count) < count // 2, 1, COARSER).astype(np.float32)
        return whole / (unit[:, None] * coarser)[:, :, None]

    def synthesise(
        self,
        y: np.ndarray,
        log_step: np.ndarray,
        envelope: np.ndarray,
        features: np.ndarray,
        index: np.ndarray,
        noise: np.ndarray,
        hop: int,
    ) -> np.ndarray:
        """The arguments of `sound.PostNet`, and the hop -> samples [B, (t - 1) N]."""
        with np.errstate(all="ignore"):
            matrix = _basis(hop, y.shape[1]).T * np.float32(math.sqrt(2 / REFERENCE))
            decoded, filled, h = self._shown(y, log_step, envelope, features, index, noise)
            if not self._config.shaper:
                return _blocks(decoded + filled, matrix, hop).reshape(len(y), -1)
            stripes = stripes_of(y.shape[1])
            parts = [_blocks(a[:, s], matrix[s], hop) for a in (decoded, filled) for s in stripes]
            gains, out = self._gains(parts, h, hop), np.zeros_like(parts[0])
            for part, gain in zip(parts, gains.swapaxes(0, 1), strict=True):
                before = np.concatenate([gain[:, :1, :1], gain[:, :-1, -1:]], 1)
                behind = np.concatenate([gain[:, 1:, :1], gain[:, -1:, -1:]], 1)
                part *= np.concatenate([before, gain, behind], 2) @ between(hop)
                out += part
            return out.reshape(len(y), -1)

    def _gains(self, parts: list[np.ndarray], h: np.ndarray, hop: int) -> np.ndarray:
        """Of stripes in time, [B, t - 1, N] each, and of h: see `sound.Shaper` -> [B, S, t - 1, MOMENTS]."""
        power = np.stack([np.square(part) @ moments(hop) for part in parts], 1)
        seen = np.maximum(np.float32(0.5) * np.log2(power + np.float32(FLOOR)), np.float32(LEAST_LEVEL))
        batch, count, blocks, _ = seen.shape
        seen = (seen.swapaxes(2, 3).reshape(batch, -1, blocks) + np.float32(8)) / np.float32(4)
        own, w = count * MOMENTS // 2, self._w
        rows = np.r_[:own, SHAPED // 2 : SHAPED // 2 + own]
        a = _convolution(seen, w["g_s.shaper.enter.weight"][:, rows], w["g_s.shaper.enter.bias"], 0)
        a = _relu(a + self._layer("g_s.shaper.given", h, 0))
        a = a + _relu(self._layer("g_s.shaper.middle", a, 1))
        gains = np.matmul(w["g_s.shaper.head.weight"][rows, :, 0], a) + w["g_s.shaper.head.bias"][rows, None]
        gains = np.exp2(np.float32(MOST_SHAPE) * np.tanh(gains / np.float32(MOST_SHAPE)))
        return gains.reshape(batch, count, MOMENTS, blocks).swapaxes(2, 3)

    def _shown(
        self,
        y: np.ndarray,
        log_step: np.ndarray,
        envelope: np.ndarray,
        features: np.ndarray,
        index: np.ndarray,
        noise: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """g_s; see `sound.PostNet`."""
        bins, w = y.shape[1], self._w
        by_bins = np.ascontiguousarray(interpolation()[:, :bins].T, np.float32)
        step, level = (np.exp2(np.matmul(by_bins, a)) for a in (log_step, envelope))
        decoded = y * step
        seen = np.log2(1 + 4 * np.abs(decoded / level)) / np.float32(2)
        side = [log_step - envelope, (envelope + 8) / np.float32(4), features, _rate_plane(index, y.shape[2])]
        # Of the weights for all bins those that this signal has.
        weight = np.concatenate([w["g_s.enter.weight"][:, :bins], w["g_s.enter.weight"][:, BINS:]], 1)
        h = _relu(_convolution(np.concatenate([seen, *side], 1), weight, w["g_s.enter.bias"], 1))
        for n, name in enumerate(middle_names(self._config.blocks), 1):
            h = h + _relu(self._layer(f"g_s.{name}", h, n, dilation=n))
        head, bias = w["g_s.head.weight"][:, :, 0], w["g_s.head.bias"][:, None]
        gain, loudness = (np.matmul(head[first : first + bins], h) + bias[first : first + bins] for first in (0, BINS))
        gain = np.float32(1.5) / (1 + np.exp(-(gain + np.float32(math.log(2)))))  # 0 to 1.5, 1 at the start
        loudness = np.exp2((2 * loudness).clip(-12, 2) + np.float32(NOISE_START))
        filled = loudness * np.minimum(level, np.float32(NOISE_CEILING) * step) * noise
        return decoded * gain, np.where(y == 0, filled, np.float32(0)), h

    def _layer(self, name: str, x: np.ndarray, padding: int, stride: int = 1, dilation: int = 1) -> np.ndarray:
        return _convolution(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"], padding, stride, dilation)


def _convolution(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, padding: int, stride: int = 1, dilation: int = 1
) -> np.ndarray:
    """x [B, i, t] by weight [o, i, k] -> [B, o, t']."""
    kernel = weight.shape[2]
    ready = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    count = (ready.shape[2] - dilation * (kernel - 1) - 1) // stride + 1
    out = np.repeat(np.repeat(bias[None, :, None], count, 2), len(x), 0)
    for n in range(kernel):
        part = ready[:, :, dilation * n : dilation * n + stride * (count - 1) + 1 : stride]
        out += np.matmul(np.ascontiguousarray(weight[:, :, n]), part)
    return out


def _blocks(spectrum: np.ndarray, matrix: np.ndarray, hop: int) -> np.ndarray:
    """Bins [B, k, t] by the rows of the basis that are theirs -> [B, t - 1, N]; see `sound.Mdct.blocks`."""
    frames = np.ascontiguousarray(spectrum.swapaxes(1, 2))
    return frames[:, :-1] @ matrix[:, hop:] + frames[:, 1:] @ matrix[:, :hop]


def _levels(spectrum: np.ndarray) -> np.ndarray:
    """[B, bins, t] -> levels of bands in octaves, [B, BANDS, t]; see `sound.levels`."""
    power = np.matmul(np.ascontiguousarray(means(spectrum.shape[1]).T, np.float32), np.square(spectrum))
    return np.maximum(np.float32(0.5) * np.log2(power + np.float32(FLOOR)), np.float32(LEAST_LEVEL))


def _rate_plane(index: np.ndarray, frames: int) -> np.ndarray:
    """[B, 1, t]: the index, from -1/2 to 1/2."""
    value = index / np.float32(QUALITY_LEVELS - 1) - np.float32(0.5)
    return np.repeat(value[:, None, None], frames, 2)


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0, out=x)
