"""Limits: what a `.lec` file may claim before any memory is taken.

    source -> container (lengths, checked here) -> header (sizes, checked here) -> entropy -> codec

A file is a list of claims: so many pixels, so many bytes in this chunk. Each claim is compared with a limit from this
module first and believed afterwards, so that a file of a hundred bytes cannot make a reader allocate gigabytes.
Writers obey the same limits, so that nothing is written that cannot be read back.

One limit may be moved by the user: the environment variable `LECODEC_MAX_PIXELS` (a whole number of pixels) replaces
`MAX_PIXELS`, upwards for gigapixel scans or downwards for a service that takes files from strangers.
"""

from __future__ import annotations

import os

from ..errors import InputError, LimitExceeded

__all__ = [
    "MAX_ANCILLARY",
    "MAX_ANCILLARY_CHUNKS",
    "MAX_CHUNK",
    "MAX_GROUP",
    "MAX_GROUPS",
    "MAX_HEADER",
    "MAX_PACKETS",
    "MAX_PACKET_CHUNKS",
    "MAX_PIXELS",
    "MAX_SEGMENT",
    "MAX_SEGMENT_SAMPLES",
    "MAX_SIDE",
    "MAX_TILE",
    "TILE_STEP",
    "check_group_size",
    "check_picture_size",
    "check_set_size",
    "check_tile_size",
    "max_alpha_bytes",
    "max_data_bytes",
    "max_lossless_bytes",
    "max_pixels",
]

MAX_PIXELS = 2**28
"""Pixels in a picture, or in all items of a set: 268 million, three times Pillow's warning level, 0.8 GB as 8-bit
RGB."""

MAX_SIDE = 2**20
"""Pixels along one side. A codec pads sides to multiples of 64; with this limit even a picture of 1 x MAX_SIDE is at
most 2**26 pixels after padding, so bounding the pixels bounds the padded pixels too."""

MAX_CHUNK = 2**31 - 1
"""Bytes in the payload of any chunk, as in PNG: a length always fits a signed 32-bit integer."""

MAX_HEADER = 4096
"""Bytes in the LHDR payload that a reader takes in order to say which version a longer, newer header has."""

MAX_SET = 41
"""Bytes in the LSET payload: that of items with 8 dimensions."""

MAX_ANCILLARY = 64 * 2**20
"""Bytes in all ancillary payloads of a file together, and in what its metadata inflates to: room for colour profiles
and metadata, not for a second file. The index is not counted: its length follows from the header."""

MAX_ANCILLARY_CHUNKS = 1024
"""Ancillary chunks in a file: empty ones cost memory as well."""

MAX_GROUP = 128
"""Frames of a group of a video."""

MAX_GROUPS = 2**20
"""Groups of a video: a week of 60 frames a second in groups of 32."""

MAX_GROUP_PIXELS = 2**29
"""Pixels of all frames of a group and of one more: a reader may hold all of their latents, 3 bytes a pixel."""

MAX_PACKETS = 2**24
"""Bytes in the payload of a chunk of packets of sound and subtitles."""

MAX_PACKET_CHUNKS = 1024
"""Such chunks of a group."""

MAX_SEGMENT = 3000
"""Frames of 20 ms in a segment of a sound: a minute."""

MAX_SEGMENT_SAMPLES = 2**26
"""Samples of all channels of a segment: they are in memory at once."""

TILE_STEP = 64
"""Sides of tiles are multiples of this many pixels, so that latents and hyper-latents of tiles fit together; tiles are
padded to it for the bound on a data chunk."""

MAX_TILE = 2**16 - TILE_STEP
"""Pixels along one side of a tile: the largest multiple of `TILE_STEP` that the header can hold."""

MAX_TILE_PIXELS = 2**26
"""Pixels of a tile, of a picture that is not cut, or of a block of a set: decoding one takes
some 40 bytes a pixel at once, 2.7 GB here."""

DATA_BYTES_PER_PIXEL = 64
"""Bytes that a data chunk may take for each padded pixel: twenty times raw RGB, out of reach of any sane encoder."""

DATA_BYTES_EXTRA = 4096
"""Bytes that a data chunk or an alpha chunk may take beyond what its pixels may."""


def max_pixels() -> int:
    """The limit on the pixels of a picture in force now: `LECODEC_MAX_PIXELS` if set, otherwise `MAX_PIXELS`.

    Raises InputError if the variable is not a whole number above zero.
    """
    text = os.environ.get("LECODEC_MAX_PIXELS")
    if not text:
        return MAX_PIXELS
    try:
        limit = int(text)
    except ValueError:
        limit = 0
    if limit < 1:
        raise InputError(f"LECODEC_MAX_PIXELS: expected a whole number of pixels above 0, found {text[:40]!r}")
    return limit


def check_picture_size(width: int, height: int) -> None:
    """Refuse a picture of more pixels than `max_pixels()` or a side longer than `MAX_SIDE`.

    width, height: pixels, at least 0. Raises LimitExceeded, InputError (see `max_pixels`).
    """
    if max(width, height) > MAX_SIDE:
        raise LimitExceeded(f"a picture of {width} x {height} pixels: a side may have at most {MAX_SIDE}")
    limit = max_pixels()
    if width * height > limit:
        raise LimitExceeded(
            f"a picture of {width} x {height} = {width * height} pixels: the limit is {limit} "
            "(LECODEC_MAX_PIXELS moves it)"
        )


def check_set_size(width: int, height: int, count: int, block: int) -> None:
    """Refuse a set of more pixels than `max_pixels()` in all, or of more than `MAX_TILE_PIXELS` in a block.

    width, height: of an item as the header has it. count, block: items of the set and of a block. Raises
    LimitExceeded, InputError (see `max_pixels`).
    """
    limit = max_pixels()
    if count * width * height > limit:
        raise LimitExceeded(
            f"a set of {_said(count)} items of {_said(width)} x {_said(height)} = {_said(count * width * height)} "
            f"pixels: the limit is {limit} (LECODEC_MAX_PIXELS moves it)"
        )
    if block * width * height > MAX_TILE_PIXELS:
        raise LimitExceeded(
            f"a block of {block} items of {width} x {height} = {block * width * height} pixels: the limit is "
            f"{MAX_TILE_PIXELS}, blocks may have fewer items"
        )


def _said(count: int) -> str:
    """A number that a file of samples claims, which may have thousands of digits."""
    return str(count) if count < 10**18 else f"about 10^{count.bit_length() * 0.30103:.0f}"


def check_group_size(width: int, height: int, frames: int) -> None:
    """Refuse a group of more pixels than `MAX_GROUP_PIXELS`. width, height: pixels of a frame. Raises LimitExceeded."""
    check_tile_size(width, height)
    if width * height * (frames + 1) > MAX_GROUP_PIXELS:
        raise LimitExceeded(
            f"a group of {frames} frames of {width} x {height}: with one more they may have {MAX_GROUP_PIXELS} pixels"
        )


def check_tile_size(width: int, height: int) -> None:
    """Refuse a tile of more than `MAX_TILE_PIXELS`. width, height: pixels. Raises LimitExceeded."""
    if width * height > MAX_TILE_PIXELS:
        raise LimitExceeded(
            f"a tile of {width} x {height} = {width * height} pixels: the limit is {MAX_TILE_PIXELS}, "
            "larger pictures are cut into smaller tiles"
        )


def max_data_bytes(width: int, height: int) -> int:
    """Bytes that the payload (digest included) of the data chunk of a tile of width x height pixels may have.

    The bound follows the padded size, because a codec codes padded latents: a 1 x 1 picture is coded as 64 x 64.
    """
    padded = (-(-width // TILE_STEP) * TILE_STEP) * (-(-height // TILE_STEP) * TILE_STEP)
    return min(MAX_CHUNK, DATA_BYTES_PER_PIXEL * padded + DATA_BYTES_EXTRA)


def max_alpha_bytes(width: int, height: int, bit_depth: int) -> int:
    """Bytes that the payload (digest included) of the alpha chunk of a tile of width x height pixels may have.

    Deflated are a filter byte and the samples of each row. What cannot be compressed is stored with five bytes for each
    block; an eighth is ample for that.
    """
    raw = height * (1 + width * bit_depth // 8)
    return min(MAX_CHUNK, raw + raw // 8 + DATA_BYTES_EXTRA)


def max_lossless_bytes(raw: int) -> int:
    """Bytes that the payload (digest and method included) of a data chunk without loss may have; raw: of its samples.

    No writer needs more than the samples themselves; the rest leaves room for methods to come.
    """
    return min(MAX_CHUNK, raw + raw // 8 + DATA_BYTES_EXTRA)
