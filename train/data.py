"""Training crops: every picture of some folders decoded to memory once, then random crops of it.

    picture file -> codec.media -> uint8 RGB -> shrink by a random factor -> crop -> flip
                 -> batch [B, 3, S, S] float32 in [0, 1]

Pictures are read as `lecodec encode` reads them: the same files count, upright, 16 bits are rounded to 8, grey becomes
three equal channels. What is transparent is laid over white. What cannot be read is passed over and named.

Shrinking removes the traces that lossy sources carry. Crops are cut and resized by threads, ahead of the training step.
"""

from __future__ import annotations

import random
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..codec.media.picture import read_picture
from ..codec.media.picture_files import PICTURES, walk
from ..codec.media.samples import split
from ..errors import CodecError, InputError
from .synthetic import harden

__all__ = ["CropStream", "eight_bit_rgb", "load_pictures"]

WHITE = 255
"""What is behind transparent pixels."""
NAMED = 10
"""Files that are named when they are passed over; of others the number is given."""


def eight_bit_rgb(samples: np.ndarray) -> np.ndarray:
    """Samples as `read_picture` gives them -> uint8 [H, W, 3]."""
    colour, alpha = split(samples)
    most = np.iinfo(samples.dtype).max
    if alpha is not None:
        opaque = alpha.astype(np.float32)[..., None] / most
        colour = np.atleast_3d(colour) / np.float32(most)
        colour = np.round(WHITE * (1 - opaque + opaque * colour)).astype(np.uint8)
    elif most > 255:
        colour = ((colour.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(np.atleast_3d(colour), (*colour.shape[:2], 3)))


def load_pictures(
    folders: Iterable[Path], *, smallest: int = 64, say: Callable[[str], None] | None = None
) -> list[np.ndarray]:
    """All readable pictures below the folders with both sides >= smallest: list of uint8 [H, W, 3], in path order.

    say: gets one sentence on what was passed over, if anything was. Raises InputError when there is none.
    """
    found = [path for folder in folders for path in walk(folder, PICTURES)]
    passed = {str(error.filename): error.strerror or str(error) for error in found if isinstance(error, OSError)}
    paths = sorted({Path(path) for path in found if isinstance(path, str)})

    def load(path: Path) -> np.ndarray | str:
        try:
            picture = eight_bit_rgb(read_picture(path))
        except CodecError as error:
            return str(error)
        return picture if min(picture.shape[:2]) >= smallest else f"smaller than {smallest} pixels a side"

    with warnings.catch_warnings(), ThreadPoolExecutor(2) as pool:
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files
        loaded = dict(zip(paths, pool.map(load, paths), strict=True))
    pictures = [picture for picture in loaded.values() if not isinstance(picture, str)]
    passed |= {str(path): reason for path, reason in loaded.items() if isinstance(reason, str)}
    if passed and say:
        names = [f"{name} ({reason})" for name, reason in list(passed.items())[:NAMED]]
        more = f" and {len(passed) - NAMED} more" if len(passed) > NAMED else ""
        say(f"{len(passed)} passed over: {', '.join(names)}{more}")
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
