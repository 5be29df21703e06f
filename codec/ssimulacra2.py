"""SSIMULACRA2: how much of a picture's quality an eye will miss, as one number.

    uint8 original, decoded -> linear RGB at 6 scales -> XYB -> maps of structure and edges -> their means -> score

Sneyers, "SSIMULACRA 2" (Cloudinary, 2022). 100 is the same picture, 90 cannot be told from it by flipping between the
two, 70 is high, 50 medium, 30 low quality; very bad pictures have scores below 0. The maps and their weights are those
of the package `ssimulacra2`. It is asked strip by strip: whole pictures would take it half a kilobyte a pixel, strips
take a few hundred megabytes at any size, in the same time (2.5 s a megapixel), and the score is the same (a test).

Samples are taken as sRGB, whatever the metadata say. Grey is three equal channels; 16 bits are rounded to 8, because
the scale was fitted to 8-bit pictures. Both the evaluator and the rate target `ssimulacra2` measure with this module.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from ..errors import InputError

__all__ = ["CROP", "MIN_SIDE", "crop_of", "installed_version", "ssimulacra2"]

MIN_SIDE = 8
"""Pixels: a smaller picture has not even one scale, and no score."""
CROP = 1024
"""Side in pixels of the crop that stands for a large picture while its quality is searched."""
_LARGE = 2**22
"""Pixels above which it does."""
_STRIP = 2**18
"""Pixels of a strip, about."""
_HALO = 5
"""Rows that a strip sees beyond its own: the reach of the package's blur."""


def installed_version() -> str:
    """The package's version. Raises InputError where it is missing."""
    _library()
    return importlib.import_module("ssimulacra2").__version__


def ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float:
    """The score of two pictures of one shape, uint8 or uint16, [H, W] or [H, W, 3]; 100 when they are the same, `nan`
    when a side is shorter than 8 pixels. Raises InputError where the package is missing.
    """
    library = _library()
    a, b = _rgb(original), _rgb(decoded)
    if min(a.shape[:2]) < MIN_SIDE:
        return math.nan
    found = library.Msssim()
    for _ in range(library.kNumScales):
        if min(a.shape[:2]) < MIN_SIDE:
            break
        found.scales.append(_scale(library, a, b))
        a, b = _halved(library, a), _halved(library, b)
    return float(found.score())


def crop_of(samples: np.ndarray) -> np.ndarray:
    """What stands for a picture [H, W, ...] while a quality is searched: its middle, 1024 x 1024 pixels at most, of a
    picture of more than 4 megapixels; else all of it.
    """
    height, width = samples.shape[:2]
    if height * width <= _LARGE:
        return samples
    top, left = (max(side - CROP, 0) // 2 for side in (height, width))
    return np.ascontiguousarray(samples[top : top + CROP, left : left + CROP])


def _library() -> Any:
    try:
        return importlib.import_module("ssimulacra2.ssimulacra2")
    except ImportError as error:
        raise InputError(f"this needs the package ssimulacra2: pip install 'lecodec[eval]' ({error})") from error


def _rgb(samples: np.ndarray) -> np.ndarray:
    """As uint8 [H, W, 3]."""
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return samples if samples.ndim == 3 else np.repeat(samples[:, :, None], 3, axis=2)


def _linear(library: Any, rows: np.ndarray) -> np.ndarray:
    """Linear RGB, float64: the first scale comes as uint8, the others are linear already."""
    return library.srgb_to_linear(rows) if rows.dtype == np.uint8 else rows


def _strips(picture: np.ndarray) -> range:
    """The first rows of the strips, all even: a strip is halved without its neighbours. They are of `step` rows."""
    height, width = picture.shape[:2]
    return range(0, height, max(_STRIP // width // 2 * 2, 16))


def _halved(library: Any, picture: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] -> linear RGB at half its resolution."""
    strips = _strips(picture)
    return np.concatenate(
        [library.downsample(_linear(library, picture[top : top + strips.step]), 2, 2) for top in strips]
    )


def _scale(library: Any, a: np.ndarray, b: np.ndarray) -> Any:
    """The means of all maps at one scale: plain ones, and of the fourth power, of each channel."""
    height, strips = len(a), _strips(a)
    sums = {"avg_ssim": np.zeros(6), "avg_edgediff": np.zeros(12)}  # plain mean and fourth power take turns
    for top in strips:
        bottom = min(top + strips.step, height)
        first, last = max(top - _HALO, 0), min(bottom + _HALO, height)
        # The package lays pictures out as [W, H, 3] from here on.
        x, y = (library.make_positive_xyb(library.linear_rgb_to_xyb(_linear(library, p[first:last]))) for p in (a, b))
        own = np.s_[:, top - first : bottom - first]
        xx, yy, xy, mean_x, mean_y = (library.blur_image(p)[own] for p in (x * x, y * y, x * y, x, y))
        share = (bottom - top) / height
        for name, values in (
            ("avg_ssim", library.ssim_map(mean_x, mean_y, xx, yy, xy)),
            ("avg_edgediff", library.edge_diff_map(x[own], mean_x, y[own], mean_y)),
        ):
            values[1::2] **= 4
            sums[name] += share * values
    result = library.MsssimScale()
    for name, values in sums.items():
        values[1::2] **= 0.25
        setattr(result, name, values)
    return result
