"""Clips for training: real ones, and photographs under synthetic motion.

    video file -> PyAV -> frames, shrunk -> uint8 [N, H, W, 3]
    two photographs -> a camera that pans, zooms and turns, and a patch that moves -> uint8 [N, H, W, 3]

Synthetic clips carry the motion that a few real ones do not have, and noise, which real ones have when they have not
been compressed before.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..codec.media.ffmpeg import opened, reading
from ..errors import InputError

__all__ = ["VIDEOS", "moving", "read_frames", "video_files"]

VIDEOS = frozenset(".avi .gif .m4v .mkv .mov .mp4 .mpg .ogv .ts .webm .y4m".split())
"""Suffixes of what is taken for a video in a folder."""
SPEEDS = (0.0, 0.0, 0.3, 1.0, 2.0, 4.0, 8.0)
"""Pixels a frame that a synthetic camera moves."""


def video_files(places: Sequence[Path]) -> list[Path]:
    """The videos among files and below folders, in path order. Raises InputError when there is none."""
    found = [
        path
        for place in places
        for path in (sorted(place.rglob("*")) if place.is_dir() else [place])
        if place.is_file() or (path.is_file() and path.suffix.lower() in VIDEOS)
    ]
    if not found:
        raise InputError(f"no video in {', '.join(map(str, places)) or 'no folder'}")
    return found


def read_frames(path: Path, most: int, side: int) -> Iterator[np.ndarray]:
    """The first `most` frames of a video, uint8 [H, W, 3], the longer side at most `side` pixels. Raises InputError."""
    try:
        with opened(str(path), "video") as container, reading("not a video that can be read"):
            for number, frame in enumerate(container.decode(video=0)):
                if number == most:
                    return
                scale = min(1.0, side / max(frame.width, frame.height))
                width, height = round(frame.width * scale), round(frame.height * scale)
                kind = "AREA" if scale < 1 else "BICUBIC"
                yield frame.reformat(width, height, "rgb24", interpolation=kind).to_ndarray()
    except InputError as e:
        raise InputError(f"{path}: {e}") from None


def moving(pictures: Sequence[np.ndarray], rng: random.Random, frames: int, height: int, width: int) -> np.ndarray:
    """A clip of a photograph seen by a moving camera, with a patch of another one that moves by itself, often, and
    noise, at times: uint8 [frames, height, width, 3].
    """
    scene, patch = (_plane(rng.choice(pictures), rng, 1.2 * max(height, width)) for _ in range(2))
    rows, columns = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    speed, heading = rng.choice(SPEEDS), rng.uniform(0, 2 * math.pi)
    zoom, turn = (rng.gauss(0, spread) * (speed > 0) for spread in (0.006, 0.004))
    centre = [rng.uniform(0.35, 0.65) * n for n in scene.shape[2:]]
    has_patch, radius = rng.random() < 0.6, rng.uniform(0.1, 0.35) * min(height, width)
    at = [rng.uniform(-0.4, 0.4) * n for n in (height, width)]
    own_speed, own_heading = rng.choice(SPEEDS), rng.uniform(0, 2 * math.pi)
    noise = rng.choice((0.0, 0.0, 1.0, 2.5))
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    out = []
    for t in range(frames):
        size, angle = 1 + zoom * t, turn * t
        y = centre[0] + speed * t * math.sin(heading) + size * (math.sin(angle) * columns + math.cos(angle) * rows)
        x = centre[1] + speed * t * math.cos(heading) + size * (math.cos(angle) * columns - math.sin(angle) * rows)
        picture = _sampled(scene, y, x)
        if has_patch:
            y = rows - at[0] - own_speed * t * math.sin(own_heading)
            x = columns - at[1] - own_speed * t * math.cos(own_heading)
            inside = torch.sigmoid(1.5 * (radius - (x * x + 1.5 * y * y).sqrt()))
            middle = [n / 2 for n in patch.shape[2:]]
            picture = torch.lerp(picture, _sampled(patch, y + middle[0], x + middle[1]), inside)
        if noise:
            picture = picture + noise * torch.randn(picture.shape, generator=generator)
        out.append(picture[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy())
    return np.stack(out)


def _plane(picture: np.ndarray, rng: random.Random, least: float) -> Tensor:
    """A photograph [1, 3, H, W] float32, shrunk at random, but not below `least` pixels a side if it has them."""
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
    shortest = min(x.shape[2:])
    scale = max(min(1.0, least / shortest), rng.uniform(0.5, 1.0))
    if scale >= 1:
        return x
    return F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True, align_corners=False)


def _sampled(picture: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """picture [1, 3, H, W] at places [h, w] in pixels -> [1, 3, h, w]; mirrored beyond its border."""
    height, width = picture.shape[2:]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)[None]
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="reflection", align_corners=True)
