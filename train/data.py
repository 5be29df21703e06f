"""Training crops: every picture of some folders decoded to memory once, then random crops of it.

    picture uint8 -> shrink by a random factor -> crop -> flip -> batch [B, 3, S, S] float32 in [0, 1]

Shrinking removes the traces that lossy sources carry. Crops are cut and resized by threads, ahead of the training step.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import InputError
from .synthetic import harden

__all__ = ["CropStream", "load_pictures"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".ppm", ".bmp", ".tif", ".tiff"}


def _load(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None


def load_pictures(folders: list[Path], *, smallest: int = 64) -> list[np.ndarray]:
    """All readable pictures below the folders with both sides >= smallest: list of uint8 [H, W, 3], in path order.

    Raises InputError when there is none.
    """
    paths = sorted({p for f in folders for p in Path(f).rglob("*") if p.suffix.lower() in SUFFIXES})
    with ThreadPoolExecutor(2) as pool:
        pictures = [p for p in pool.map(_load, paths) if p is not None and min(p.shape[:2]) >= smallest]
    if not pictures:
        where = ", ".join(map(str, folders)) or "no folder"
        raise InputError(f"no picture of at least {smallest} pixels a side in {where}")
    return pictures


class CropStream:
    """An endless stream of batches. Pictures are drawn in proportion to the square root of their area; a share
    `synthetic` of the crops gets hard content (see `synthetic`).

    Iterating yields [batch, 3, crop, crop] float32 in [0, 1]. Set `crop` and `batch` between batches.
    """

    def __init__(
        self,
        pictures: list[np.ndarray],
        downscale: tuple[float, float],
        seed: int,
        workers: int = 1,
        synthetic: float = 0.0,
    ):
        self.pictures, self.downscale, self.synthetic = pictures, downscale, synthetic
        self.crop, self.batch = 128, 4
        self._random = random.Random(seed)
        self._weights = np.cumsum([float(p.shape[0] * p.shape[1]) ** 0.5 for p in pictures]).tolist()
        self._pool = ThreadPoolExecutor(max(1, workers))
        self._ahead = 2 * max(1, workers) + 2

    def _one(self, number: int, crop: int, seed: int) -> np.ndarray:
        rng = random.Random(seed)
        picture = self.pictures[number]
        h, w = picture.shape[:2]
        factor = min(rng.uniform(*self.downscale), min(h, w) / crop)  # below 1 only for a picture smaller than a crop
        side = min(round(crop * factor), h, w)
        top, left = rng.randint(0, h - side), rng.randint(0, w - side)
        cut = picture[top : top + side, left : left + side]
        if side != crop:
            kind = rng.choice((Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX))
            cut = np.asarray(Image.fromarray(cut).resize((crop, crop), kind))
        if rng.random() < self.synthetic:
            cut = harden(cut, rng)
        return cut[:, ::-1] if rng.random() < 0.5 else cut

    def _make(self, jobs: list[tuple[int, int, int]]) -> Tensor:
        crops = np.stack([self._one(*job) for job in jobs])
        return torch.from_numpy(crops).permute(0, 3, 1, 2)

    def take(self, count: int, crop: int) -> Iterator[np.ndarray]:
        """`count` single crops, uint8 [S, S, 3], S being `crop` or a picture's smaller side."""
        for _ in range(count):
            (number,) = self._random.choices(range(len(self.pictures)), cum_weights=self._weights)
            side = min(crop, *self.pictures[number].shape[:2])
            yield self._one(number, side, self._random.getrandbits(63))

    def __iter__(self) -> Iterator[Tensor]:
        queue: deque = deque()
        shape = (self.crop, self.batch)
        while True:
            if shape != (self.crop, self.batch):
                queue.clear()
                shape = (self.crop, self.batch)
            while len(queue) < self._ahead:
                numbers = self._random.choices(range(len(self.pictures)), cum_weights=self._weights, k=shape[1])
                jobs = [(n, shape[0], self._random.getrandbits(63)) for n in numbers]
                queue.append(self._pool.submit(self._make, jobs))
            yield queue.popleft().result().float().div_(255).contiguous(memory_format=torch.channels_last)
