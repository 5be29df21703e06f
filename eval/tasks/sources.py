"""Photographs that networks are asked about.

    picture file -> upright RGB, 8 bits -> downscaled to a short side of 256 -> Item

The photographs that a folder holds are mostly JPEG files, whose artefacts JPEG itself reproduces most cheaply; half or
a quarter of the size hides them, and brings the pictures to the size at which classifiers are used. The filter is
Pillow's LANCZOS over all samples (no decoding at reduced size, which only JPEG files have). Nothing is ever enlarged:
a picture that is smaller is refused, and the run reports it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import CodecError, InputError
from .labels import Labelled, LabelledFolder, read_folder
from .pictures import read_rgb
from .task import Item

__all__ = ["Photographs", "shrink"]


@dataclass(frozen=True)
class Photographs(Labelled):
    """The pictures of a folder, by name; a `Source`.

    short_side: pixels, None: as they are. labels: see labels.py; texts: whether they are texts; a truth is a class
    number, a text, or None.
    Raises InputError: no folder, no files, a wrong table of labels, a wrong size.
    """

    folder: Path
    name: str = "photos"
    short_side: int | None = 256
    labels: str | Path = "auto"
    texts: bool = False
    media: str = field(default="image", init=False)
    sample_rate: int = field(default=0, init=False)
    _found: LabelledFolder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.short_side is not None and self.short_side < 1:
            raise InputError(f"the short side must be at least 1 pixel, found {self.short_side}")
        object.__setattr__(self, "folder", Path(self.folder))
        object.__setattr__(self, "_found", read_folder(self.folder, self.labels, texts=self.texts))

    @property
    def description(self) -> str:
        """How the pictures were made, and where their classes come from."""
        size = f"short side {self.short_side} (Pillow LANCZOS)" if self.short_side else "as they are"
        return f"RGB pictures, {size}, {self._found.where}"

    def item(self, name: str) -> Item:
        """A picture, uint8 [H, W, 3], and its class. Raises CodecError of one sentence for a file that is none, one
        that is too small, and one that should have a class and has none.
        """
        truth = self.truth(name)
        try:
            samples = read_rgb(self.folder / name)
            samples = samples if self.short_side is None else shrink(samples, self.short_side)
        except CodecError as error:
            raise InputError(f"{name}: {error}") from error
        return Item(name, samples, truth)


def shrink(samples: np.ndarray, short_side: int) -> np.ndarray:
    """A picture, uint8 [H, W, 3], whose short side becomes `short_side`, the long one to the nearest pixel.

    Raises InputError when it is smaller.
    """
    height, width = samples.shape[:2]
    least = min(height, width)
    if least < short_side:
        raise InputError(f"is {width} x {height} pixels, and a short side of {short_side} would enlarge it")
    if least == short_side:
        return samples
    size = (round(width * short_side / least), round(height * short_side / least))
    return np.array(Image.fromarray(samples).resize(size, Image.Resampling.LANCZOS))
