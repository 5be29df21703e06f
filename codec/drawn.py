"""Pictures in which something is drawn: what there is beside the model, for whoever encodes with loss.

    signal -> many repeats, few colours? -> its tiles that are drawn, coded exactly; the file without loss -> Drawn

A page of text is best coded without loss as a whole; of a page with a photograph in it the text is, in tiles of 256
pixels, where that pays. Photographs lose no time by it: that nothing is drawn is seen from a few rows. Small pictures
are tried without loss whatever they show.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..bitstream import PictureLayout
from .codec import Target
from .exact_tiles import drawn_tiles, exact_chunks, is_drawn
from .lossless import LosslessCodec
from .media.samples import split
from .media.signal import Signal, picture_signal

__all__ = ["Drawn", "drawn_of"]

SIDE = 256
"""Of the tiles that a page is cut into. WebP's streams of pages of text are two thirds longer in them than whole, so
they serve for pages that are not all drawn."""
CUT = 24
"""Bytes that each tile adds. Drawn tiles that take no more are flat: the model needs as little for them, and the
picture is not cut."""
SMALL = 2**12
"""Pixels up to which the file without loss is always made: it takes 2 ms, and of icons it is often smaller."""


@dataclass(frozen=True)
class Drawn:
    """whole: the file without loss, empty where that was not tried; signal: the picture, cut so that what is drawn is
    in tiles of its own, None where there is nothing else, or nothing to cut; exact: digest and payload of those tiles.
    """

    whole: bytes
    signal: Signal | None
    exact: dict[int, tuple[bytes, bytes]]


def drawn_of(signal: Signal, effort: int) -> Drawn | None:
    """What there is for a picture; None: nothing is drawn. effort: of WebP."""
    assert isinstance(signal.layout, PictureLayout)
    small = signal.layout.pixels <= SMALL
    colour, _ = split(signal.samples)
    cut = signal if signal.cut else picture_signal(signal.samples, signal.metadata, SIDE)
    layout = cut.layout
    assert isinstance(layout, PictureLayout)
    tiles, whole = drawn_tiles(colour, layout), b""
    if small or len(tiles) == layout.units or is_drawn(colour):
        (whole,) = LosslessCodec(adaptive=False).encode_signals([signal], Target("lossless", effort=effort))
    if not 0 < len(tiles) < layout.units:
        return Drawn(whole, None, {}) if whole else None
    exact = exact_chunks(colour, layout, tiles, effort)
    if not signal.cut and sum(len(payload) for _, payload in exact.values()) < CUT * layout.units:
        return Drawn(whole, None, {}) if whole else None
    return Drawn(whole, cut, exact)
