"""PSNR of videos: 8-bit 4:2:0 frames against the originals, in the originals' own format.

    [F, 3 H / 2, W] twice -> PSNR of Y' of each frame -> mean, least; PSNR of RGB after both have been converted

A frame is laid out as PyAV has yuv420p: H rows of Y', then Cb and Cr. An error below 0.001 counts as that much, so
equal frames have 78.1 dB.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["CLIP_METRICS", "to_rgb"]

_EVERY = 4
"""Of RGB, each fourth frame is measured."""


def to_rgb(frame: np.ndarray) -> np.ndarray:
    """yuv420p, BT.601 over the limited range -> uint8 [H, W, 3]."""
    import av

    return av.VideoFrame.from_ndarray(frame, "yuv420p").reformat(format="rgb24", interpolation="BICUBIC").to_ndarray()


def _of_luma(a: np.ndarray, b: np.ndarray) -> list[float]:
    rows = a.shape[1] * 2 // 3
    return [_psnr(x[:rows], y[:rows]) for x, y in zip(a, b, strict=True)]


def _of_rgb(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([_psnr(to_rgb(x), to_rgb(y)) for x, y in zip(a[::_EVERY], b[::_EVERY], strict=True)]))


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(np.mean((a.astype(np.float32) - b) ** 2))
    return 10 * math.log10(255**2 / max(error, 1e-3))


CLIP_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "psnr_y": lambda a, b: float(np.mean(_of_luma(a, b))),
    "worst_psnr_y": lambda a, b: min(_of_luma(a, b)),
    "psnr_rgb": _of_rgb,
}
"""Measures of two clips, uint8 [F, 3 H / 2, W], the original first; dB."""
