"""Pillow images to samples: the way in of pictures that a program has opened with Pillow.

    Image.open(path), still as it was opened -> its file, read as media.py reads it -> Signal
    any other image -> pixels and `info` as they lie in memory -> Signal

Rules for files are so applied once, whichever way a picture comes in. Of an image whose pixels Pillow has loaded some
things cannot be seen any more (16 bits a channel, colour code points, what the file's depth was): where samples would
depend on that, the image is refused.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image

from ...errors import InputError
from . import deep
from .picture import READABLE, identified, one_sentence, picture_in, samples_of, several
from .picture_metadata import info_of, metadata_of, upright
from .signal import Signal, picture_signal

__all__ = ["picture_of", "shown_samples"]


def picture_of(image: Image.Image) -> Signal:
    """The picture in a Pillow image, upright, with the metadata of its `info`.

    An image that is as `Image.open` gave it, its pixels not yet loaded, is read from its file as `load_picture` reads
    it, and stays unloaded. Of any other the pixels are loaded.

    Raises:
        InputError: see `load_picture` and `shown_samples`; or an image of which something was changed before its pixels
            were loaded, of a file that Pillow would reduce to 8 bits; or one of several pictures in a file.
    """
    with one_sentence():
        file = getattr(image, "fp", None) if getattr(image, "_im", None) is None else None
        if file is not None and not getattr(file, "closed", False) and image.format in (*READABLE, "MPO"):
            position = file.tell()
            try:
                if _as_opened(image, file):
                    return picture_in(file)
            finally:
                file.seek(position)
        if (frames := _frames(image)) > 1:
            raise InputError(f"{several(frames)}: copy() of the image gives the one that it shows")
        depth = _depth_to_load(image)
        if depth > 8 and not image.mode.startswith("I"):
            raise InputError(f"Pillow would reduce its {depth} bits a channel to 8: give the path of the file instead")
        image.load()
        samples, notes = shown_samples(image)
        orientation = 1 if image.format == "TIFF" else None
        metadata, orientation, more = metadata_of(info_of(image), samples, orientation=orientation)
        return picture_signal(upright(samples, orientation), metadata, notes=(*notes, *more))


def shown_samples(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    """As `samples_of`, of an image that Pillow has loaded, perhaps from a PNG of 2 or 4 bits: then its samples have
    become 8 bits, and the grey that is transparent has not.

    Raises:
        InputError: see `samples_of`; or a transparent grey that may be one of 8 bits, or of 2 or 4.
    """
    value = image.info.get("transparency")
    if image.mode == "L" and isinstance(value, int) and 1 <= value <= 15:
        used = np.flatnonzero(image.histogram())
        for step in (17, 85):  # from one of 16 or of 4 greys to the next
            if value * step in used and not (used % step).any():
                raise InputError(
                    f"its transparent grey is {value} or, if the file had fewer than 8 bits, {value * step}: Pillow "
                    "keeps no record of that once it has loaded it; give the path of the file instead"
                )
    return samples_of(image)


def _as_opened(image: Image.Image, file: BinaryIO) -> bool:
    """Whether nothing was changed of an image since it was opened: mode, size, `info`, frame, what is to be loaded."""
    with identified(file) as fresh:
        names = ("format", "mode", "size", "tile", "info")
        same = all(getattr(image, name, None) == getattr(fresh, name) for name in names)
        return same and image.tell() == fresh.tell()


def _frames(image: Image.Image) -> int:
    """How many pictures the file of an image holds. Of an MPO one counts; of a closed file what was loaded."""
    try:
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except (EOFError, OSError, ValueError):
        return 1


def _depth_to_load(image: Image.Image) -> int:
    """Bits a channel of the file that an image is still to be loaded from; 8 if there is none."""
    tiles, file = getattr(image, "tile", ()), getattr(image, "fp", None)
    if not tiles or file is None:
        return 8
    if any(";16" in str(tile[3]) for tile in tiles):
        return 16
    return deep.bit_depth(image, deep.start_of(file, 64), file)
