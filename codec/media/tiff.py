"""TIFF at every depth: the writing of 8 and 16 bits, and the reading of 16 bits, which Pillow has for grey only.

    samples -> write_tiff -> strips, directory          tags, file -> read_tiff -> uint16 samples

Reading hands the strips or tiles, as they are compressed, to Pillow under another directory, which says that they are
16-bit grey of `channels` times the width: what comes back is exactly what is in them. Differences along the rows
("predictor 2") are then summed up here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from ...errors import InputError

__all__ = ["give_memory", "read_tiff", "tiff_tags", "write_tiff"]

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, ORIENTATION = 256, 257, 258, 259, 262, 266, 274
STRIPS, CHANNELS, ROWS_PER_STRIP, STRIP_SIZES, PLANAR, PREDICTOR = 273, 277, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, EXTRA, FORMAT, XMP, ICC = 322, 323, 324, 325, 338, 339, 700, 34675
DEFLATE = 8
LOSSLESS = {1: "none", 5: "LZW", DEFLATE: "deflate", 32773: "PackBits", 32946: "deflate", 50000: "Zstandard"}
"""Compressions that work on bytes, and so do not care what the bytes are said to be."""
MOST_TILE = 1 << 22
"""Pixels in a tile that are believed of any picture, however small: memory is taken for whole tiles."""

Tags = Sequence[tuple[int, str, Sequence[int]]]
"""(tag, struct code of its values, values) in ascending order."""


def write_tiff(samples: np.ndarray, icc: bytes, xmp: bytes, level: int) -> list[bytes]:
    """The parts of a TIFF of `uint8` or `uint16` samples, `[H, W]` or `[H, W, 2 to 4]`, in deflated strips.

    Raises struct.error beyond 4 GiB. Differences along the rows make it smaller than Pillow's own, and faster.
    """
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    rows = min(height, max(1, (1 << 20) // samples[0].nbytes))
    strips = []
    for top in range(0, height, rows):
        strip = samples[top : top + rows].astype(samples.dtype.newbyteorder("<"))
        strip[:, 1:] -= samples[top : top + rows, :-1]
        strips.append(zlib.compress(strip.tobytes(), level))
    tags = [
        (WIDTH, "I", [width]),
        (HEIGHT, "I", [height]),
        (BITS, "H", [8 * samples.itemsize] * channels),
        (COMPRESSION, "H", [DEFLATE]),
        (PHOTOMETRIC, "H", [2 if channels >= 3 else 1]),  # RGB, or grey with black as 0
        (STRIPS, "I", _starts(strips)),
        (CHANNELS, "H", [channels]),
        (ROWS_PER_STRIP, "I", [rows]),
        (STRIP_SIZES, "I", [len(strip) for strip in strips]),
        (PLANAR, "H", [1]),  # channels side by side
        (PREDICTOR, "H", [2]),
        *([(EXTRA, "H", [2])] if channels in (2, 4) else []),  # straight alpha
        *([(XMP, "B", xmp)] if xmp else []),
        *([(ICC, "B", icc)] if icc else []),
    ]
    return _assemble("<", strips, tags)


def tiff_tags(file: BinaryIO) -> Mapping[int, Any]:
    """The tags of the first picture in a TIFF, by number, also where Pillow knows no mode for it."""
    file.seek(0)
    start = file.read(8)
    if start[2:4] in (b"+\0", b"\0+"):  # BigTIFF: a longer offset
        start += file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(start)
    file.seek(tags.next)
    tags.load(file)
    return tags


def give_memory(image: Image.Image) -> None:
    """The memory for a TIFF about to be loaded, which Pillow takes only below a limit on the pixels of its own.

    The caller has looked at the size. Without this, several channels put side by side meet that limit early.
    """
    image.im = Image.new(image.mode, getattr(image, "_tile_size", image.size), None).im  # _tile_size: before turning


def read_tiff(file: BinaryIO, tags: Mapping[int, Any]) -> np.ndarray:
    """The samples of a TIFF of 16 bits a channel, `uint16`, not turned by its orientation.

    Raises InputError for kinds that would not be read exactly, and whatever Pillow raises for damaged ones.
    """
    bits, form = _one(tags, BITS), _one(tags, FORMAT)
    if bits != 16 or form != 1:
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(form, "unknown")
        raise InputError(f"has {kind} samples of {bits} bits, expected 8 or 16 bits, unsigned")
    channels, photometric = _one(tags, CHANNELS), _one(tags, PHOTOMETRIC)
    if (channels, photometric) not in ((1, 0), (1, 1), (2, 1), (3, 2), (4, 2)):
        raise InputError("is a 16-bit TIFF that is neither grey nor RGB; convert it to a 16-bit PNG first")
    if channels in (2, 4) and tags.get(EXTRA, (2,)) not in ((2,), 2):
        raise InputError("is a 16-bit TIFF whose extra channel is not straight alpha; convert it to a 16-bit PNG first")
    compression, predictor = _one(tags, COMPRESSION), _one(tags, PREDICTOR)
    if compression not in LOSSLESS or predictor not in (1, 2) or _one(tags, FILL_ORDER) != 1:
        names = ", ".join(sorted(set(LOSSLESS.values())))
        raise InputError(f"is a 16-bit TIFF with compression {compression}, predictor {predictor}; read are {names}")
    if _one(tags, PLANAR) != 1 and channels > 1:
        raise InputError("is a 16-bit TIFF with its channels in separate planes; convert it to a 16-bit PNG first")
    width, height, tiled = int(tags[WIDTH]), int(tags[HEIGHT]), TILE_WIDTH in tags
    if tiled and (area := int(tags[TILE_WIDTH]) * int(tags[TILE_HEIGHT])) > max(MOST_TILE, 4 * width * height):
        raise InputError(f"the picture is damaged: tiles of {area} pixels for {width} x {height}")
    parts = _parts(file, tags[TILES if tiled else STRIPS], tags[TILE_SIZES if tiled else STRIP_SIZES])
    step = int(tags[TILE_WIDTH]) if tiled else width  # differences start anew in each tile
    layout = (
        [(TILE_WIDTH, "I", [step * channels]), (TILE_HEIGHT, "I", [int(tags[TILE_HEIGHT])])]
        + [(TILES, "I", _starts(parts)), (TILE_SIZES, "I", [len(part) for part in parts])]
        if tiled
        else [
            (STRIPS, "I", _starts(parts)),
            (ROWS_PER_STRIP, "I", [min(height, int(tags.get(ROWS_PER_STRIP, height)))]),
        ]
        + [(STRIP_SIZES, "I", [len(part) for part in parts])]
    )
    plain = [(WIDTH, "I", [width * channels]), (HEIGHT, "I", [height]), (BITS, "H", [16])]
    plain += [(COMPRESSION, "H", [compression]), (PHOTOMETRIC, "H", [1]), *layout]
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    with TiffImagePlugin.TiffImageFile(io.BytesIO(b"".join(_assemble(order, parts, plain)))) as image:
        give_memory(image)
        image.load()
        samples = np.array(image, dtype=np.uint16).reshape(height, width, channels)
    if predictor == 2:
        for left in range(0, width, step):
            np.cumsum(samples[:, left : left + step], axis=1, dtype=np.uint16, out=samples[:, left : left + step])
    if photometric == 0:  # white is 0
        samples = ~samples
    return samples[:, :, 0] if channels == 1 else samples


def _parts(file: BinaryIO, offsets: Any, sizes: Any) -> list[bytes]:
    """The strips or tiles, compressed. Together they cannot be larger than the file."""
    offsets, sizes = (value if isinstance(value, tuple) else (value,) for value in (offsets, sizes))
    end = file.seek(0, 2)
    if sum(sizes) > end or any(offset + size > end for offset, size in zip(offsets, sizes, strict=True)):
        raise InputError("the picture is damaged or cut short: its strips go beyond the end of the file")
    parts = []
    for offset, size in zip(offsets, sizes, strict=True):
        file.seek(offset)
        parts.append(file.read(size))
    return parts


def _one(tags: Mapping[int, Any], number: int) -> int:
    """The one value that a tag has, or has for every channel; 1 is the default of all that are asked for here."""
    value = tags.get(number, 1)
    values = set(value) if isinstance(value, tuple) else {value}
    if len(values) != 1:
        raise InputError(f"is a TIFF whose channels differ: tag {number} is {value}")
    return int(values.pop())


def _starts(parts: Sequence[bytes]) -> list[int]:
    """Offsets of parts that follow an 8-byte header, one behind the other."""
    ends = np.cumsum([8, *(len(part) for part in parts)])
    return [int(end) for end in ends[:-1]]


def _assemble(order: str, parts: list[bytes], tags: Tags) -> list[bytes]:
    """Header, parts, values that are too long for their entry, directory."""
    free = 8 + sum(len(part) for part in parts)
    pad = bytes(free % 2)  # the directory, and what is in front of it, start at even offsets
    values, entries = pad, b""
    for tag, code, items in tags:
        data = bytes(items) if code == "B" else struct.pack(f"{order}{len(items)}{code}", *items)
        entries += struct.pack(order + "HHI", tag, {"B": 1, "H": 3, "I": 4}[code], len(items))
        entries += data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", free + len(values))
        values += data + bytes(len(data) % 2) if len(data) > 4 else b""
    signature = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, free + len(values))
    return [signature, *parts, values, struct.pack(order + "H", len(tags)) + entries + bytes(4)]
