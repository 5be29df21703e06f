"""The colours of pictures that once were JPEG files: back to the very Y, Cb, Cr that their RGB was made from.

    Y, Cb, Cr of 8 bits each -> R, G, B, clamped to 8 bits         (as libjpeg does, in integers)
    R, G, B -> the Y, Cb, Cr that give them, if all pixels have such

Only two in five colours have one, and chroma that was interpolated is smooth only there. Clamped colours have many: the
one is taken whose chroma is nearest to that of the pixel before.
"""

from __future__ import annotations

import numpy as np

__all__ = ["from_jpeg", "offsets", "to_jpeg"]

SAMPLED = 2**12
"""Pixels that are tried first."""
CLAMPED = 0.25
"""Share of clamped pixels up to which their colours are searched for."""
REACH = 64
"""How far the chroma of a clamped pixel may be from that of the one before."""


def from_jpeg(planes: np.ndarray) -> np.ndarray:
    """int32 [3, ...], Y, Cb and Cr from 0 to 255 -> uint8 [..., 3]."""
    return _unclamped(planes).clip(0, 255).astype(np.uint8)


def to_jpeg(rgb: np.ndarray) -> np.ndarray | None:
    """uint8 [h, w, 3] -> int32 [3, h, w]; None: there is no such picture."""
    colours = rgb.reshape(-1, 3)
    if _search(colours[:: max(1, len(colours) // SAMPLED)]) is None:
        return None
    searched = _search(colours)
    if searched is None or not _unclamp(colours, *searched):
        return None
    return searched[0].reshape(3, *rgb.shape[:2])


def _search(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """uint8 [n, 3] -> int32 [3, n], and the numbers of clamped pixels that have none of the nearest colours; None:
    others have none either.
    """
    red, green, blue = (rgb[:, c].astype(np.int32) for c in range(3))
    middle = np.stack(
        [
            (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16,
            ((-11059 * red - 21709 * green + 32768 * blue + 32767) >> 16) + 128,
            ((32768 * red - 27439 * green - 5329 * blue + 32767) >> 16) + 128,
        ]
    )
    found, left = middle.clip(0, 255), np.arange(len(rgb))
    for step in np.ndindex(3, 3, 3):
        tried = (middle[:, left] + np.array([0, 1, -1])[list(step)][:, None]).clip(0, 255)
        right = (from_jpeg(tried) == rgb[left]).all(-1)
        found[:, left[right]] = tried[:, right]
        left = left[~right]
        if not len(left):
            break
    clamped = ((rgb[left] == 0) | (rgb[left] == 255)).any(-1)
    return (found, left) if clamped.all() and len(left) <= CLAMPED * len(rgb) else None


def _unclamp(rgb: np.ndarray, found: np.ndarray, left: np.ndarray) -> bool:
    """Find colours for the pixels in `left`; whether all have one."""
    if not len(left):
        return True
    known = np.ones(len(rgb), bool)
    known[left] = False
    if not known.any():
        return False
    before = np.maximum.accumulate(np.where(known, np.arange(len(rgb)), -1))
    near = found[1:, np.where(before < 0, known.argmax(), before)]
    steps = np.stack(np.meshgrid(*[np.arange(-REACH, REACH + 1)] * 2, indexing="ij")).reshape(2, -1)
    for blue_step, red_step in steps[:, np.abs(steps).sum(0).argsort(kind="stable")].T:
        tried = np.stack([found[0, left], near[0, left] + blue_step, near[1, left] + red_step])
        tried[1:] = tried[1:].clip(0, 255)
        # A colour that is not clamped says which Y it is.
        colours = rgb[left].astype(np.int32)
        free = (colours > 0) & (colours < 255)
        pixel, one = np.arange(len(left)), free.argmax(-1)
        luma = tried[0] + colours[pixel, one] - _unclamped(tried)[pixel, one]
        tried[0] = np.where(free.any(-1), luma, tried[0]).clip(0, 255)
        right = (from_jpeg(tried) == rgb[left]).all(-1)
        found[:, left[right]] = tried[:, right]
        left = left[~right]
        if not len(left):
            return True
    return False


def offsets(chroma: np.ndarray) -> np.ndarray:
    """int32 [2, ...], Cb - 128 and Cr - 128 -> what they add to R, G and B, in 2^-16, and a half: [..., 3]."""
    blue, red = chroma
    return np.stack([91881 * red, -22554 * blue - 46802 * red, 116130 * blue], -1) + 32768


def _unclamped(planes: np.ndarray) -> np.ndarray:
    """int32 [3, ...] -> int32 [..., 3]."""
    return planes[0][..., None] + (offsets(planes[1:] - 128) >> 16)
