"""Content that photographs rarely hold and a codec meets all the same: noise, patterns of single pixels, dither, text.

    crop uint8 -> one of these over it or over a part of it -> crop uint8

A network that has seen photographs alone extrapolates wildly on them: what it decodes to is not a blurred picture but
another one. A few such crops in training are enough for it to fail gracefully.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["harden"]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:-+()    "


def harden(crop: np.ndarray, rng: random.Random) -> np.ndarray:
    """crop: uint8 [S, S, 3] -> the same shape, with one kind of hard content over all of it or over a rectangle."""
    size = len(crop)
    made = rng.choice(_KINDS)(crop, rng)
    if rng.random() < 0.5:
        return made
    out = crop.copy()
    height, width = (rng.randint(4, size) for _ in range(2))
    top, left = rng.randint(0, size - height), rng.randint(0, size - width)
    out[top : top + height, left : left + width] = made[top : top + height, left : left + width]
    return out


def _colour(rng: random.Random) -> np.ndarray:
    """Black or white as often as any other."""
    return np.array(rng.choice(((0, 0, 0), (255, 255, 255), [rng.randint(0, 255) for _ in range(3)])), np.uint8)


def _two_colours(mask: np.ndarray, rng: random.Random) -> np.ndarray:
    """mask: bool [S, S]."""
    return np.where(mask[:, :, None], _colour(rng), _colour(rng)).astype(np.uint8)


def _noise(crop: np.ndarray, rng: random.Random) -> np.ndarray:
    """Gaussian, of one grey value or of three; at the largest deviation little of the crop is left."""
    generator = np.random.default_rng(rng.getrandbits(32))
    shape = crop.shape if rng.random() < 0.7 else (*crop.shape[:2], 1)
    return (crop + generator.normal(0, 2 ** rng.uniform(3, 7.5), shape)).clip(0, 255).astype(np.uint8)


def _pattern(crop: np.ndarray, rng: random.Random) -> np.ndarray:
    """Stripes or a chequerboard with periods from 2 pixels up."""
    y, x = np.indices(crop.shape[:2])
    across, down = (rng.randint(1, 4), rng.randint(0, 4)) if rng.random() < 0.7 else (0, rng.randint(1, 4))
    cells = (x // across if across else 0) + (y // down if down else 0)
    return _two_colours(np.broadcast_to(cells % 2 == 0, crop.shape[:2]), rng)


def _dither(crop: np.ndarray, rng: random.Random) -> np.ndarray:
    """Two colours, by Floyd and Steinberg's error diffusion or a random threshold; or a small palette."""
    image = Image.fromarray(crop)
    kind = rng.randrange(3)
    if kind == 0:
        return np.asarray(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=rng.randint(2, 32)).convert("RGB"))
    if kind == 1:
        return _two_colours(np.asarray(image.convert("1")), rng)
    threshold = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, crop.shape[:2])
    return _two_colours(np.asarray(image.convert("L")) > threshold, rng)


def _text(crop: np.ndarray, rng: random.Random) -> np.ndarray:
    """Lines of small letters, on the crop or on one colour."""
    plain = np.broadcast_to(_colour(rng), crop.shape)
    image = Image.fromarray(crop if rng.random() < 0.3 else np.ascontiguousarray(plain))
    draw, ink = ImageDraw.Draw(image), tuple(_colour(rng).tolist())
    for y in range(rng.randint(-8, 4), len(crop), rng.randint(10, 20)):
        draw.text((rng.randint(-8, 8), y), "".join(rng.choices(_LETTERS, k=len(crop) // 5)), fill=ink)
    return np.asarray(image)


_KINDS: tuple[Callable[[np.ndarray, random.Random], np.ndarray], ...] = (_noise, _pattern, _dither, _text)
