"""Pictures to measure on: those of a folder, or the three photographs that scikit-image brings.

    folder -> paths by name -> uint8 [H, W, 3]

Everything in `eval` is measured on 8-bit RGB, because that is what all the codecs compared here take. Other pictures
are refused with the reason, never changed: 16 bits are not cut to 8, and an alpha channel is not dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...codec.media.picture import read_picture
from ...errors import CodecError, InputError

__all__ = ["BUNDLED", "bundled", "mirrored", "picture_paths", "pixels_of", "read_rgb", "readable"]

BUNDLED = ("astronaut.png", "chelsea.png", "coffee.png")
"""Photographs inside scikit-image's wheel: 512 x 512, 451 x 300 and 600 x 400 pixels; CC0 or in the public domain."""


def bundled(name: str) -> Path:
    """The path of a photograph of scikit-image. Raises InputError when that is not installed."""
    spec = find_spec("skimage")
    path = Path(spec.origin).parent / "data" / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputError(f"the photograph {name} comes with scikit-image: pip install 'lecodec[eval]'")
    return path


def picture_paths(directory: Path | None, limit: int | None = None) -> list[Path]:
    """The files of a directory to try, by name; hidden ones are left out. None: the photographs of BUNDLED.

    limit: only the first of them. Raises InputError when there are none, or for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"the limit must be at least 1, found {limit}")
    if directory is None:
        return [bundled(name) for name in BUNDLED][:limit]
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: not a directory")
    paths = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise InputError(f"{directory}: holds no files")
    return paths[:limit]


def read_rgb(path: Path) -> np.ndarray:
    """A picture as uint8 [H, W, 3]; grey becomes three equal channels. Raises `CodecError` of one sentence."""
    samples = read_picture(path)
    if samples.dtype != np.uint8:
        raise InputError("has 16 bits a channel; codecs are compared on 8-bit pictures")
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        raise InputError("has an alpha channel; codecs are compared on pictures without one")
    return samples if samples.ndim == 3 else np.repeat(samples[:, :, None], 3, axis=2)


def pixels_of(samples: np.ndarray) -> float:
    """Pixels of a picture [H, W, ...]."""
    return float(math.prod(samples.shape[:2]))


def readable(paths: Sequence[Path], skipped: list[tuple[str, str]]) -> list[np.ndarray]:
    """The pictures that can be measured on, uint8 [H, W, 3]. Raises InputError when there are none."""
    pictures = []
    for path in paths:
        try:
            pictures.append(read_rgb(path))
        except CodecError as error:
            skipped.append((path.name, str(error)))
    if not pictures:
        raise InputError(f"no picture could be read ({skipped[0][0]}: {skipped[0][1]})")
    return pictures


def mirrored(pictures: Sequence[np.ndarray], pixels: int) -> np.ndarray:
    """About so many pixels, in the proportions of the largest picture: mirrored copies of it, cut at the border."""
    source = max(pictures, key=pixels_of)
    scale = math.sqrt(pixels / pixels_of(source))
    height, width = (max(1, round(scale * side)) for side in source.shape[:2])
    more = max(0, height - source.shape[0]), max(0, width - source.shape[1])
    return np.ascontiguousarray(np.pad(source, ((0, more[0]), (0, more[1]), (0, 0)), "symmetric")[:height, :width])
