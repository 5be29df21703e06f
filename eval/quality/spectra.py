"""Distances of short-time spectra of sounds, as measures and as losses.

    sound, estimate -> power spectra over windows of about 16, 32 and 64 ms -> mean difference of their logarithms

Of the magnitudes themselves and of their sums over mel bands, as in Parallel WaveGAN (arXiv 1910.11480), with a floor
60 dB below the sound's mean: without one, silence would count like speech.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["log_distances", "log_spectral", "mel_bands"]

RELATIVE_FLOOR = 1e-6
WINDOWS = 0.016, 0.032, 0.064


@lru_cache(maxsize=16)
def _window(size: int, device: torch.device) -> Tensor:
    return torch.hann_window(size, device=device)


def _power(x: Tensor, size: int) -> Tensor:
    s = torch.stft(x, size, size // 4, window=_window(size, x.device), return_complex=True)
    return s.real**2 + s.imag**2


@lru_cache(maxsize=16)
def mel_bands(size: int, count: int, rate: int, device: torch.device) -> Tensor:
    """Triangles of equal width on the mel scale, from 60 Hz: [size / 2 + 1, count]."""

    def mel(f: float) -> float:
        return 2595 * math.log10(1 + f / 700)

    edges = 700 * (10 ** (np.linspace(mel(60), mel(rate / 2), count + 2) / 2595) - 1)
    f = np.arange(size // 2 + 1)[:, None] * rate / size
    rising, falling = (f - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - f) / np.diff(edges)[1:]
    return torch.from_numpy(np.minimum(rising, falling).clip(0).astype(np.float32)).to(device)


def log_distances(
    wanted: Tensor, found: Tensor, rate: int, windows: Sequence[float] = WINDOWS
) -> tuple[Tensor, Tensor]:
    """Mean differences of logarithms of short-time and of mel magnitudes, over windows of about so many seconds.

    wanted, found: [B, samples] at a rate in Hz.
    """
    sizes = [2 ** round(math.log2(rate * seconds)) for seconds in windows]
    linear, mel = 0.0, 0.0
    for number, size in enumerate(sizes):
        a, b = _power(wanted, size), _power(found, size)
        floor = 1e-6 * size / 512 + RELATIVE_FLOOR * a.mean((1, 2), keepdim=True)
        linear = linear + 0.5 * (torch.log(a + floor) - torch.log(b + floor)).abs().mean() / len(sizes)
        if number:
            bands = mel_bands(size, 40 if number == 1 else 64, rate, a.device)
            p, q = (torch.log(s.transpose(1, 2) @ bands + 4 * floor) for s in (a, b))
            mel = mel + 0.5 * (p - q).abs().mean() / (len(sizes) - 1)
    assert isinstance(linear, Tensor) and isinstance(mel, Tensor)
    return linear, mel


def log_spectral(sound: np.ndarray, decoded: np.ndarray, rate: int) -> tuple[float, float]:
    """The two of `log_distances` for sounds float [T] at a rate in Hz; `nan` for less than 64 ms."""
    if len(sound) < 0.07 * rate:
        return math.nan, math.nan
    with torch.inference_mode():
        a, b = (torch.from_numpy(np.ascontiguousarray(x, np.float32))[None] for x in (sound, decoded))
        linear, mel = log_distances(a, b, rate)
        return float(linear), float(mel)
