"""Videos as plain samples, written where FFmpeg is not installed: .y4m, .yuv and .rgb.

    RGB [H, W, 3] -> Y, Cb, Cr by the matrix that the file says -> planes of the source, one after the other

    Y = kr R + (1 - kr - kb) G + kb B     Cb = (B - Y) / (2 - 2 kb)     Cr = (R - Y) / (2 - 2 kr)       (ITU-T H.273)

in 8 bits, of the full range or of 219 and 224 steps. Chroma of fewer samples is the mean of the pixels that it covers.
FFmpeg, where it is, writes the same formats with filters of its own: values may differ by some steps at edges.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

__all__ = ["head_of", "planes_bytes"]

_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087)}
"""CICP matrix coefficients -> kr and kb; others are those of BT.601."""
_USUAL = 0.299, 0.114
_CHROMA = {"yuv444p": "444", "yuv422p": "422", "yuv420p": "420jpeg"}


def head_of(width: int, height: int, rate: Fraction, planes: str, full: bool) -> bytes:
    """The first line of a y4m file. planes: as FFmpeg names them."""
    spread = "FULL" if full else "LIMITED"
    told = f"W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A1:1 C{_CHROMA[planes]} XCOLORRANGE={spread}"
    return f"YUV4MPEG2 {told}\n".encode()


def planes_bytes(planes: str, matrix: int, full: bool) -> Callable[[np.ndarray], bytes]:
    """What turns a frame uint8 [H, W, 3] into the bytes of its planes; "rgb24": its own."""
    if planes == "rgb24":
        return lambda samples: np.ascontiguousarray(samples).tobytes()
    kr, kb = _WEIGHTS.get(matrix, _USUAL)
    luma = np.array([kr, 1 - kr - kb, kb], np.float32)
    offset, step, swing = (0.0, 1.0, 1.0) if full else (16.0, 219 / 255, 224 / 255)
    across, down = 1 if planes == "yuv444p" else 2, 2 if planes == "yuv420p" else 1

    def rounded(plane: np.ndarray) -> bytes:
        return np.rint(plane).clip(0, 255).astype(np.uint8).tobytes()

    def converted(samples: np.ndarray) -> bytes:
        rgb = samples.astype(np.float32)
        y = rgb @ luma
        chroma = (rgb[..., 2] - y) / (2 - 2 * kb), (rgb[..., 0] - y) / (2 - 2 * kr)
        h, w = y.shape
        small = (c.reshape(h // down, down, w // across, across).mean((1, 3)) for c in chroma)
        return b"".join([rounded(offset + step * y), *(rounded(128 + swing * c) for c in small)])

    return converted
