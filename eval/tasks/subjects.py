"""What is coded without loss: a folder of pictures, or a set of samples in the forms that suit a codec.

    PATH, or NAME=PATH -> signals -> Subject -> signals as they are, their bare bytes, or pictures

A set of small items can be given to a picture codec in several forms: all items side by side in one picture (`mosaic`),
one below the other (`column`), each item a row of one picture (`rows`), each item a file (`each`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...codec.media.medium import PICTURE, SET, medium_of
from ...codec.media.picture import read_picture
from ...codec.media.signal import Signal, picture_signal
from .pictures import picture_paths

__all__ = ["Subject", "pictures_of", "read_subject"]


@dataclass(frozen=True)
class Subject:
    """What is coded. form: what it is called as it is, "files" of a folder of pictures, otherwise its medium's name."""

    name: str
    form: str
    signals: tuple[Signal, ...]

    def forms(self, takes: str) -> dict[str, list[Any]]:
        """What a codec gets that takes that (see `codecs.lossless`), in all the forms that make sense."""
        if takes == "signals":
            return {self.form: list(self.signals)}
        arrays = [signal.samples for signal in self.signals]
        if takes == "bytes":
            little = (array.astype(array.dtype.newbyteorder("<"), copy=False) for array in arrays)
            return {self.form: [np.frombuffer(array.tobytes(), np.uint8) for array in little]}
        alone = all(signal.layout.name == PICTURE.name for signal in self.signals)
        forms = {self.form: arrays} if alone else pictures_of(arrays[0])
        if takes == "colour":
            forms = {form: [np.dstack([a] * 3) if a.ndim == 2 else a for a in own] for form, own in forms.items()}
        return forms


def read_subject(source: str) -> Subject:
    """PATH, or NAME=PATH to call it something else: a set (.npy, .npz, idx), or a folder of pictures, whose alpha is
    left out. Raises InputError, and as the medium's reader.
    """
    name, found, path = source.partition("=")
    if not found:
        name, path = Path(source).name, source
    if not Path(path).is_dir():
        medium = medium_of(path)
        if medium is PICTURE:  # what no other medium claims: a picture alone is given as a folder of one
            medium = SET
        signal = medium.read(path)
        return Subject(name, signal.layout.name, (signal,))
    pictures = []
    for file in picture_paths(Path(path)):
        samples = read_picture(file)
        if samples.ndim == 3 and samples.shape[2] in (2, 4):
            samples = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
        pictures.append(picture_signal(np.ascontiguousarray(samples)))
    return Subject(name, "files", tuple(pictures))


def pictures_of(items: np.ndarray) -> dict[str, list[np.ndarray]]:
    """A set as pictures, in all the ways that make sense of its items' shape."""
    count = len(items)
    forms = {"rows": [items.reshape(count, -1)]}
    if items.ndim != 3 and not (items.ndim == 4 and items.shape[3] == 3):
        return forms
    height, width = items.shape[1:3]
    columns = math.ceil(math.sqrt(count))
    padded = np.zeros((-(-count // columns) * columns, *items.shape[1:]), items.dtype)
    padded[:count] = items
    side_by_side = padded.reshape(-1, columns, *items.shape[1:]).swapaxes(1, 2)
    forms["mosaic"] = [np.ascontiguousarray(side_by_side.reshape(-1, columns * width, *items.shape[3:]))]
    forms["column"] = [items.reshape(count * height, width, *items.shape[3:])]
    forms["each"] = list(items)
    return forms
