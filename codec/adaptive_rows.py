"""Rows of pictures coded by `entropy.adaptive`: the body of method 7 (FORMAT.md, section 36). No model is needed.

    rows -> values that occur, numbered -> colour transform -> planes -> AdaptiveCoding -> body
    body -> rows

The transform is chosen for each block: as it is, YCoCg-R, differences from green, the YCbCr of a JPEG file, or what
had a quarter of the chroma's samples, as JPEG files and Photo CDs have. Values that no sample of a channel has, as
after a change of contrast, are left out: the others are numbered.
"""

from __future__ import annotations

import zlib

import numpy as np

from ..entropy.adaptive import AdaptiveCoding
from ..entropy.slots import SlotReader, SlotWriter
from ..errors import CorruptFile
from .colour import from_ycocg, to_ycocg
from .jpeg_colour import from_jpeg, to_jpeg
from .quarter_chroma import JPEG_420, PHOTO_CD, QuarterChroma, packed, unpacked
from .quarter_search import to_quarter_chroma

__all__ = ["adaptive_body", "adaptive_samples", "codes"]

PLAIN, LUMA, GREEN, JPEG = 0, 1, 2, 3
"""Ways to make planes of colours."""
TURNED, NUMBERED = 4, 8
"""Flags: columns were coded as rows; values were numbered."""
QUARTER, DOWN, RIGHT = 16, 32, 64
"""Flags: chroma has a quarter of the samples, see `quarter_chroma`; its `down` and `right`."""
KINDS = {PLAIN: PHOTO_CD, JPEG: JPEG_420}
"""What had so few, by the way that it goes with."""
GAPS = 0.9
"""Values are numbered if at most this share of those between the least and the largest occurs ..."""
EACH = 6
"""... and there are so many pixels for each that does: in small pictures values are missing by chance."""
SAMPLED = 2**16
"""Samples by which ways are compared, about."""


def codes(shape: tuple[int, ...]) -> bool:
    """Whether rows of this shape, [h, w] or [h, w, 3], can be coded: there are two rows or columns."""
    return max(shape[:2]) > 1


def adaptive_body(rows: np.ndarray, adapt: bool = True) -> bytes:
    """uint8 or uint16 [h, w] or [h, w, 3], of which `codes` is true -> the body. adapt: see `AdaptiveCoding`."""
    turned = rows.shape[1] < rows.shape[0]
    way, table = TURNED * turned, b""
    quarter = to_quarter_chroma(rows) if rows.dtype == np.uint8 and rows.ndim == 3 else None
    if quarter is not None:
        way |= next(colour for colour, kind in KINDS.items() if kind is quarter.kind)
        way |= QUARTER | DOWN * quarter.down | RIGHT * quarter.right
        table = packed(quarter.listed, quarter.changes)
        table = len(table).to_bytes(4, "little") + table
        parts = [part.swapaxes(1, 2) if turned else part for part in (quarter.luma[None], quarter.chroma)]
    else:
        rows = rows.swapaxes(0, 1) if turned else rows
        numbered = _numbered(rows)
        if numbered is not None:
            rows, table = numbered
            way |= NUMBERED
        found, planes = _best(rows, jpeg=rows.dtype == np.uint8 and rows.ndim == 3 and numbered is None)
        way, parts = way | found, [planes]
    low, high = (np.concatenate([end(planes, (1, 2)) for planes in parts]).astype("<i4") for end in (np.min, np.max))
    writer, at = SlotWriter(), 0
    for planes in parts:
        least, most = (end[at : at + len(planes)].tolist() for end in (low, high))
        AdaptiveCoding(writer, least, most, adapt=adapt).traverse(planes.shape[1], planes.shape[2], planes)
        at += len(planes)
    return bytes([way]) + table + low.tobytes() + high.tobytes() + writer.finish()


def adaptive_samples(
    body: bytes, shape: tuple[int, ...], dtype: np.dtype, where: str, adapt: bool = True
) -> np.ndarray:
    """The samples, `dtype` (uint8 or uint16) of `shape`. where: for messages. Raises CorruptFile."""
    channels, at = 1 if len(shape) == 2 else 3, 1
    way = body[0] if body else 255
    colour = way & 3
    height, width = shape[1::-1] if way & TURNED else shape[:2]
    former = dtype == np.uint8 and channels == 3 and not way & NUMBERED
    kind = KINDS.get(colour) if way & QUARTER else None
    if (
        way > 127
        or width < 2
        or (colour and channels == 1)
        or (colour == JPEG and not former)
        or (way & (QUARTER | DOWN | RIGHT) and (kind is None or not former or min(height, width) < 4))
    ):
        raise CorruptFile(f"{where}: a way {way} to make planes that its samples do not have")
    values: list[np.ndarray] | None = None
    if way & NUMBERED:
        values, at = _values(body, channels, dtype, where)
    if kind is not None:
        listed, changes, at = _listed(body, height * width, where)
    most = np.iinfo(dtype).max
    ends = np.frombuffer(body[at : at + 8 * channels].ljust(8 * channels, b"\xff"), "<i4")  # cut short: -1
    low, high = ends[:channels].tolist(), ends[channels:].tolist()
    bound = [(0 if not colour or colour == JPEG or c == 0 else -most, most) for c in range(channels)]
    if kind is not None:
        bound = [(0, most), *zip(kind.low, kind.high, strict=True)]
    if any(not least <= a <= b <= largest for a, b, (least, largest) in zip(low, high, bound, strict=True)):
        raise CorruptFile(f"{where}: ranges of planes that its samples do not have")
    try:
        reader = SlotReader(body[at + 8 * channels :])
        if kind is not None:
            begin = int(bool(way & DOWN)), int(bool(way & RIGHT))
            size = tuple(-(-(side + first) // 2) for side, first in zip(shape[:2], begin, strict=True))
            size = size[::-1] if way & TURNED else size
            parts = [
                AdaptiveCoding(reader, low[:1], high[:1], adapt=adapt).traverse(height, width, None),
                AdaptiveCoding(reader, low[1:], high[1:], adapt=adapt).traverse(size[0], size[1], None),
            ]
            (luma,), chroma = (part.swapaxes(1, 2) for part in parts) if way & TURNED else parts
            rows = QuarterChroma(kind, luma, chroma, *begin, listed, changes).rgb()
        else:
            rows = _rows(AdaptiveCoding(reader, low, high, adapt=adapt).traverse(height, width, None), colour, dtype)
        reader.check_exhausted()
    except CorruptFile as error:
        raise CorruptFile(f"{where}: {error}") from None
    if way & TURNED and kind is None:
        rows = rows.swapaxes(0, 1)
    if values is not None:
        parts = [rows] if channels == 1 else [rows[..., c] for c in range(3)]
        taken = [known[np.minimum(part, len(known) - 1)] for known, part in zip(values, parts, strict=True)]
        rows = taken[0] if channels == 1 else np.stack(taken, -1)
    return np.ascontiguousarray(rows.reshape(shape))


def _numbered(rows: np.ndarray) -> tuple[np.ndarray, bytes] | None:
    """The rows with numbers instead of values, and which values there are; None: they have too few gaps."""
    parts = rows.reshape(*rows.shape[:2], -1)
    most = int(np.iinfo(rows.dtype).max)
    used = np.stack([np.bincount(parts[..., c].ravel(), minlength=most + 1) > 0 for c in range(parts.shape[2])])
    between = [int(np.ptp(np.flatnonzero(some))) + 1 for some in used]
    if used.sum() >= GAPS * sum(between) or parts[..., 0].size < EACH * used.sum(1).max():
        return None
    table = zlib.compress(np.packbits(used).tobytes(), 9)
    number = np.cumsum(used, 1) - 1
    numbers = np.stack([number[c][parts[..., c]] for c in range(len(used))], -1)
    return numbers.astype(rows.dtype).reshape(rows.shape), len(table).to_bytes(4, "little") + table


def _values(body: bytes, channels: int, dtype: np.dtype, where: str) -> tuple[list[np.ndarray], int]:
    """The values of each channel, and where the body goes on."""
    end = 5 + int.from_bytes(body[1:5], "little")
    size = channels * (int(np.iinfo(dtype).max) + 1) // 8
    stream = zlib.decompressobj()
    try:
        bits = stream.decompress(body[5:end], size + 1)
    except zlib.error:
        bits = b""
    if end > len(body) or len(bits) != size or not stream.eof or stream.unused_data:
        raise CorruptFile(f"{where}: values that occur are not a zlib datastream of {size} bytes")
    used = np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(channels, -1)
    if not used.any(1).all():
        raise CorruptFile(f"{where}: no value occurs")
    return [np.flatnonzero(some).astype(dtype) for some in used], end


def _listed(body: bytes, pixels: int, where: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Pixels that are listed, their changes, and where the body goes on."""
    end = 5 + int.from_bytes(body[1:5], "little")
    if end > len(body):
        raise CorruptFile(f"{where}: listed pixels are cut off")
    try:
        return *unpacked(body[5:end], pixels), end
    except CorruptFile as error:
        raise CorruptFile(f"{where}: {error}") from None


def _best(rows: np.ndarray, jpeg: bool) -> tuple[int, np.ndarray]:
    """A way and its planes, int32 [C, h, w]: the one whose samples are nearest to the mean of left and above."""
    if rows.ndim == 2:
        return PLAIN, rows.astype(np.int32)[None]
    found = to_jpeg(rows) if jpeg else None
    if found is not None:
        return JPEG, found
    every = max(1, rows.size // SAMPLED)
    cost = {}
    for way in (PLAIN, LUMA, GREEN):
        planes = _planes(rows[: rows.shape[0] // every * every or 1], way)
        away = np.abs(2 * planes[:, 1:, 1:] - planes[:, :-1, 1:] - planes[:, 1:, :-1])[:, ::every]
        cost[way] = float(np.log2(away + 2.0).sum())
    way = min(cost, key=lambda way: cost[way])
    return way, _planes(rows, way)


def _planes(rows: np.ndarray, way: int) -> np.ndarray:
    if way == LUMA:
        return to_ycocg(rows).transpose(2, 0, 1)
    red, green, blue = (rows[..., c].astype(np.int32) for c in range(3))
    return np.stack([green, red, blue] if way == PLAIN else [green, red - green, blue - green])


def _rows(planes: np.ndarray, way: int, dtype: np.dtype) -> np.ndarray:
    """The inverse. What no colour becomes is cut off: digests tell."""
    if len(planes) == 1:
        return planes[0].astype(dtype)
    if way == JPEG:
        return from_jpeg(planes)
    if way == LUMA:
        return from_ycocg(planes.transpose(1, 2, 0), dtype)
    green, red, blue = planes
    if way == GREEN:
        red, blue = red + green, blue + green
    return np.stack([red, green, blue], -1).astype(dtype)
