"""YCoCg-R: colour to luma and two chroma planes and back, in integers, without loss.

    R, G, B -> co = R - B;  t = B + (co >> 1);  cg = G - t;  y = t + (cg >> 1)      and the same backwards

The lifting form of Malvar and Sullivan, "YCoCg-R: A Color Space with RGB Reversibility and Low Dynamic Range"
(JVT-I014, 2003). Of b-bit samples y has b bits, co and cg have b + 1 with a sign.
"""

from __future__ import annotations

import numpy as np

__all__ = ["from_ycocg", "to_ycocg"]


def to_ycocg(rgb: np.ndarray) -> np.ndarray:
    """rgb: uint8 or uint16 [..., 3] -> int32 [..., 3]: y in [0, 2^b), co and cg in (-2^b, 2^b)."""
    red, green, blue = (rgb[..., c].astype(np.int32) for c in range(3))
    co = red - blue
    t = blue + (co >> 1)
    cg = green - t
    return np.stack([t + (cg >> 1), co, cg], -1)


def from_ycocg(ycocg: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """The inverse: int32 [..., 3] -> dtype [..., 3]. What no colour becomes is cut off: digests tell."""
    y, co, cg = (ycocg[..., c].astype(np.int32) for c in range(3))
    t = y - (cg >> 1)
    green = cg + t
    blue = t - (co >> 1)
    return np.stack([blue + co, green, blue], -1).astype(dtype)
