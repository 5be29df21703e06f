"""ColorVideoVDP: a second judge of pictures that took no part in training any model here.

    uint8 original, decoded -> a display and its distance -> visible differences by channel and scale -> JOD

Mantiuk et al., "ColorVideoVDP" (SIGGRAPH 2024), the package cvvdp. The score is in just-objectionable differences: 10
is the same picture, and where two versions are one apart, three people in four prefer the better one. The display is
the package's `standard_4k`: 30 inches, 3840 pixels wide, 200 candelas a square metre, seen from 0.75 m, so that a
degree has 75 pixels.

The package is in no extra of this one: it asks for a dozen others, of which single pictures need none. `pip install
cvvdp` brings all. It runs in torch on the CPU, in 1.6 s a megapixel.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import metadata
from typing import Any

import numpy as np

from ...errors import InputError
from .metrics import check_pictures

__all__ = ["MIN_SIDE", "cvvdp", "describe"]

MIN_SIDE = 8
"""Pixels: the pyramid of a smaller picture has no scale that the score was fitted to."""
_DISPLAY = "standard_4k"


def describe() -> str:
    """Measure, package and version, display: one line. Raises InputError where the package is missing."""
    _metric()
    return f"ColorVideoVDP in JOD, cvvdp {metadata.version('cvvdp')}, {_DISPLAY}"


def cvvdp(original: np.ndarray, decoded: np.ndarray) -> float:
    """The score of two uint8 pictures [H, W, 3]: 10 of equal ones, else less; `nan` when a side is below 8 pixels.

    Raises InputError for other shapes or types and where the package is missing.
    """
    check_pictures(original, decoded)
    metric = _metric()
    if min(original.shape[:2]) < MIN_SIDE:
        return math.nan
    found, _ = metric.predict(np.ascontiguousarray(decoded), np.ascontiguousarray(original), dim_order="HWC")
    return float(found)


@lru_cache(1)
def _metric() -> Any:
    try:
        import pycvvdp  # pyright: ignore[reportMissingImports]
        import torch
    except ImportError as error:
        raise InputError(f"this needs the package cvvdp: pip install cvvdp ({error})") from error
    return pycvvdp.cvvdp(display_name=_DISPLAY, heatmap=None, device=torch.device("cpu"))
