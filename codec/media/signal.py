"""Signals: samples, what a file says of them, and what came with them. What codecs take and give.

    media file, or samples -> picture_signal, set_signal -> Signal -> codec -> Signal -> media file

A layout cuts the samples into units (tiles of a picture, blocks of a set), each of which can be decoded alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ...bitstream import Layout, Metadata, SetLayout
from ...bitstream.layout import UNSPECIFIED
from ...errors import InputError
from .part import whole
from .samples import picture_layout, plain, split

__all__ = ["BLOCK", "Signal", "checked_set", "cut_into", "picture_signal", "set_signal"]

BLOCK = 512
"""Items a block of a set, unless they are tiny or large."""
BLOCK_SAMPLES = 2**16, 2**22
"""Samples that a block has at least and at most if nothing is said: so that blocks of tiny items do not consist of
their framing, and that one item can be had without decoding many large ones."""


@dataclass(frozen=True)
class Signal:
    """Samples of any medium. What is encoded has the layout and the metadata of the file to be written.

    samples: uint8 or uint16; of a picture [H, W], [H, W, 2] (grey and alpha), [H, W, 3] or [H, W, 4]; of a set
    [N, ...]. cut: whether the units are as somebody wished, and not those that suit most signals. file_bytes: of the
    media file it came from (0: none). notes: what was changed or left behind there, as clauses for the user.
    """

    samples: np.ndarray
    layout: Layout
    metadata: Metadata = Metadata()
    cut: bool = False
    file_bytes: int = 0
    notes: tuple[str, ...] = ()


def picture_signal(
    samples: np.ndarray,
    metadata: Metadata | None = None,
    tile: int | None = None,
    *,
    file_bytes: int = 0,
    notes: tuple[str, ...] = (),
) -> Signal:
    """The signal of a picture. tile: side of the tiles in pixels, a multiple of 64; 0: none; None: none up to 4
    megapixels, else 1024. Raises InputError, LimitExceeded.
    """
    samples = plain(samples)
    colour, alpha = split(samples)
    metadata = metadata or Metadata()
    layout = picture_layout(colour, alpha, metadata, tile)
    return Signal(samples, layout, metadata, tile is not None, file_bytes, notes)


def set_signal(
    samples: np.ndarray, items: int | None = None, *, file_bytes: int = 0, notes: tuple[str, ...] = ()
) -> Signal:
    """The signal of a set, [N, ...]. items: in a block; 512 by default, or as many as have 2^16 to 2^22 samples.

    Raises InputError, LimitExceeded.
    """
    samples = checked_set(samples)
    cut = items is not None
    if items is None:
        least, most = (limit // math.prod(samples.shape[1:]) for limit in BLOCK_SAMPLES)
        items = max(1, min(max(BLOCK, least), most))
    elif (items := whole(items, "items a block:")) < 1:
        raise InputError(f"{items} items a block, expected at least 1")
    layout = SetLayout.of(
        samples.shape[1:],
        len(samples),
        min(items, len(samples)),
        bit_depth=8 * samples.itemsize,
        colour_primaries=UNSPECIFIED,
        transfer=UNSPECIFIED,
    )
    return Signal(samples, layout, Metadata(primaries=UNSPECIFIED, transfer=UNSPECIFIED), cut, file_bytes, notes)


def cut_into(signal: Signal, unit: int) -> Signal:
    """The signal, cut as somebody wishes. unit: side of a picture's tiles, or items in a block of a set. Raises
    InputError, LimitExceeded.
    """
    if isinstance(signal.layout, SetLayout):
        layout = set_signal(signal.samples, unit).layout
    else:
        layout = picture_signal(signal.samples, signal.metadata, unit).layout
    return replace(signal, layout=layout, cut=True)


def checked_set(samples: np.ndarray) -> np.ndarray:
    """A set, in this machine's byte order. Raises InputError."""
    samples = plain(samples)
    if not isinstance(samples, np.ndarray):
        raise InputError(f"a set must be a numpy array of uint8 or uint16, not {type(samples).__name__}")
    if samples.dtype == np.bool_:
        raise InputError("a set must be of uint8 or uint16, not bool: .astype(np.uint8) makes it so")
    if samples.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise InputError(f"a set must be of uint8 or uint16, not {samples.dtype}")
    if not samples.ndim or not samples.size:
        raise InputError(f"a set must have the shape [N, ...] and at least one sample, not {list(samples.shape)}")
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)
