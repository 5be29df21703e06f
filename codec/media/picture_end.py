"""Where a picture ends within its file, and what is behind it: another picture, or something else.

    picture file -> [here] -> a note, or InputError for a second picture

`cat a.ppm b.ppm` gives a stream that readers take for its first picture. netpbm calls such streams files of several
pictures, which are refused as animations are. Behind a JPEG cameras and phones put previews and clips: there, and where
what follows is no picture, a note says how much is left out. Zero bytes and white space are padding.

The end is found in PNG, JPEG, netpbm, WebP, AVIF, JPEG 2000 (in boxes), BMP and GIF files. TIFF may keep its parts
anywhere: its end is that of the last part that its directories name, private tags may name more behind it, and so only
another TIFF there is taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Literal

from ...errors import InputError

__all__ = ["behind_picture"]

TIFFS = (b"II*\0", b"MM\0*")
STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", *TIFFS)
"""How pictures begin, where no more than that need be looked at; see `_begins` for the others."""
MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
"""In the data of a JPEG scan: a marker that is neither a stuffed byte nor one of the restart markers."""
NETPBM = re.compile(rb"P([1-6])(?:\s*#[^\r\n]*[\r\n])*\s")
BOX = re.compile(rb"\0\0\0.(ftyp|jP  )", re.DOTALL)
"""What AVIF and JPEG 2000 files begin with: the size and the name of a box."""
SPACE = rb"(?:#[^\r\n]*[\r\n]|\s)"
PIECE = 1 << 16
MAX_DIRECTORIES = 100
TIFF_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value, by the number of its type."""
TIFF_PARTS = (273, 279, 324, 325)
"""Offsets and lengths of strips, and of tiles."""


def behind_picture(file: BinaryIO, kind: str) -> list[str]:
    """Notes on what is behind the one picture in a file of a kind that Pillow names ("PNG", "PPM", …).

    Raises InputError if that begins as another picture does, unless the first is a JPEG. The position of the file
    stays.
    """
    position = file.tell()
    try:
        return _behind(file, kind)
    finally:
        file.seek(position)


def _behind(file: BinaryIO, kind: str) -> list[str]:
    end = _end(file, kind)
    size = file.seek(0, 2)
    if end is None or end >= size:
        return []
    if kind == "TIFF":
        file.seek(end)
        if file.read(PIECE).lstrip(b"\0 \t\r\n").startswith(TIFFS):
            raise InputError("holds several pictures, one TIFF file behind the other; one is carried")
        return []
    file.seek(end)
    while padding := file.read(PIECE):
        rest = padding.lstrip(b"\0 \t\r\n")
        if rest:
            break
    else:
        return []
    skipped = len(padding) - len(rest)
    if (box := BOX.search(padding, max(0, skipped - 4), skipped + 5)) is not None:
        skipped = box.start()  # its size looked like padding
    start = file.tell() - len(padding) + skipped
    if kind != "JPEG" and (box or _begins(rest)):
        raise InputError(f"holds several pictures, one behind the other (at byte {start}); one is carried")
    return [f"{size - start} bytes behind the picture are not kept"]


def _begins(data: bytes) -> bool:
    """Whether data begins as a picture does, one in boxes excepted."""
    return data.startswith(STARTS) or NETPBM.match(data) is not None or (data[:4] + data[8:12] == b"RIFFWEBP")


def _end(file: BinaryIO, kind: str) -> int | None:
    """The offset behind the first picture; None where that is not known."""
    file.seek(0)
    if kind == "PNG":
        return _png_end(file)
    if kind == "JPEG":
        return _jpeg_end(file.read())
    if kind == "PPM":
        return _netpbm_end(file)
    head = file.read(16)
    if kind == "WEBP":
        size = int.from_bytes(head[4:8], "little")
        return 8 + size + size % 2
    if kind == "BMP":
        size = int.from_bytes(head[2:6], "little")
        file.seek(size)
        return size if size > 54 and file.read(2) == b"BM" else None  # writers often give a wrong size
    if kind in ("AVIF", "JPEG2000"):
        return next((at for number, at in enumerate(_boxes(file)) if number), None)
    return _gif_end(file) if kind == "GIF" else _tiff_end(file) if kind == "TIFF" else None


def _png_end(file: BinaryIO) -> int | None:
    file.seek(8)
    while len(start := file.read(8)) == 8:
        file.seek(int.from_bytes(start[:4], "big") + 4, 1)
        if start[4:] == b"IEND":
            return file.tell()
    return None


def _jpeg_end(data: bytes) -> int | None:
    at = 2
    while (found := MARKER.search(data, at)) is not None:
        code, at = found[1][0], found.end()
        if code == 0xD9:
            return at
        if code not in (0x01, 0xD8):
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def _netpbm_end(file: BinaryIO) -> int | None:
    start = file.read(PIECE)
    values = 2 if start[:2] in (b"P1", b"P4") else 3
    head = re.match(rb"P([1-6])" + (SPACE + rb"+(\d{1,9})") * values + SPACE, start)
    if head is None:
        return None
    number, width, height = int(head[1]), int(head[2]), int(head[3])
    if number <= 3:  # in words: digits and comments
        file.seek(0)
        plain = re.sub(rb"#[^\r\n]*", lambda comment: b" " * len(comment[0]), file.read())
        second = re.search(rb"P[1-6]\s", plain[head.end() :])
        return None if second is None else head.end() + second.start()
    row = (width + 7) // 8 if number == 4 else width * (3 if number == 6 else 1) * (1 if int(head[4]) < 256 else 2)
    return head.end() + height * row


def _boxes(file: BinaryIO) -> Iterator[int]:
    """The offsets of the boxes that files begin with, of the kind that this one begins with."""
    at, end, first = 0, file.seek(0, 2), b""
    while at + 8 <= end:
        file.seek(at)
        start = file.read(16)
        first = first or start[4:8]
        if start[4:8] == first:
            yield at
        size = int.from_bytes(start[:4], "big")
        size = int.from_bytes(start[8:16], "big") if size == 1 else size
        if size < 8:  # to the end
            return
        at += size


def _tiff_end(file: BinaryIO) -> int | None:
    """The end of the last part that the first directories of a TIFF name; None for a BigTIFF."""
    file.seek(0)
    head = file.read(8)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"

    def number(data: bytes) -> int:
        return int.from_bytes(data, order)

    if number(head[2:4]) != 42:
        return None
    at, end, seen = number(head[4:8]), 8, set[int]()
    while at and at not in seen and len(seen) < MAX_DIRECTORIES:
        seen.add(at)
        file.seek(at)
        entries = file.read(12 * number(file.read(2)))
        end, at = max(end, file.tell() + 4), number(file.read(4))
        parts: dict[int, list[int]] = {}
        for entry in (entries[n : n + 12] for n in range(0, len(entries) - 11, 12)):
            tag, width, count = number(entry[:2]), TIFF_TYPES.get(number(entry[2:4]), 1), number(entry[4:8])
            data = entry[8 : 8 + width * count]
            if width * count > 4:
                start = number(entry[8:])
                end = max(end, start + width * count)
                if tag in TIFF_PARTS:
                    file.seek(start)
                    data = file.read(width * count)
            if tag in TIFF_PARTS:
                parts[tag] = [number(data[n : n + width]) for n in range(0, len(data), width)]
        for offsets, lengths in ((273, 279), (324, 325)):
            spans = zip(parts.get(offsets, ()), parts.get(lengths, ()), strict=False)
            end = max([end, *(start + length for start, length in spans)])
    return end


def _gif_end(file: BinaryIO) -> int | None:
    file.seek(10)
    file.seek(_colours((file.read(3) or b"\0")[0]), 1)
    while kind := file.read(1):
        if kind == b";":
            return file.tell()
        if kind == b",":
            flags = (file.read(9) or b"\0")[-1]
            file.seek(_colours(flags) + 1, 1)  # and the size of LZW's codes
        elif kind == b"!":
            file.seek(1, 1)
        else:
            return None
        while (length := file.read(1)) not in (b"", b"\0"):
            file.seek(length[0], 1)
    return None


def _colours(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
