"""Whether a file of a sound or a video holds a second one behind the first, of which FFmpeg would say nothing.

    file -> where its container ends -> does another of its kind begin there? -> InputError

`cat a.wav b.wav` gives a stream that readers take for its first sound; of two FLAC files a frame where they meet is
lost. The end is found in RIFF, AIFF, Ogg, MP4 (and MOV) and Matroska (and WebM) files, a second head anywhere in FLAC
files; several streams of MP3 or AAC are one.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ...errors import InputError

__all__ = ["check_single"]

PIECE = 1 << 20
"""Bytes that are searched at a time."""
_EBML = b"\x1a\x45\xdf\xa3"
_FLAC = re.compile(rb"fLaC[\0\x80]\0\0\x22", re.DOTALL)
"""A FLAC file's head: its first block has 34 bytes."""


def check_single(source: Any, noun: str) -> None:
    """source: a path or a file that seeks; noun: "sound" or "video". Raises InputError, OSError."""
    if isinstance(source, str):
        with open(source, "rb") as file:
            return check_single(file, noun)
    source.seek(0)
    if _several(source):
        raise InputError(f"holds several {noun}s, one behind the other; one is carried")
    source.seek(0)
    return None


def _several(file: BinaryIO) -> bool:
    head = file.read(12)
    if head[:4] in (b"RIFF", b"FORM"):
        size = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
        file.seek(8 + size + size % 2)
        again = file.read(12)
        return again[:4] == head[:4] and again[8:] == head[8:]
    file.seek(0)
    if head[4:8] == b"ftyp":
        return _boxes(file)
    if head[:4] == b"OggS":
        return _pages(file)
    if head[:4] == b"fLaC":
        return _second_flac(file)
    return head[:4] == _EBML and _elements(file)


def _boxes(file: BinaryIO) -> bool:
    """Whether a second list of boxes begins: each begins with its type of file."""
    at, end = 0, file.seek(0, 2)
    while at < end:  # sizes may lead far behind it, where no file can seek to
        file.seek(at)
        if len(head := file.read(16)) < 8:
            return False
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if head[4:8] == b"ftyp" and at:
            return True
        if size < 8:  # 0: up to the end
            return False
        at += size
    return False


def _pages(file: BinaryIO) -> bool:
    """Whether streams begin where others are under way already."""
    under_way = False
    while (head := file.read(27))[:4] == b"OggS" and len(head) == 27:
        begins = bool(head[5] & 2)
        if begins and under_way:
            return True
        under_way = under_way or not begins
        file.seek(sum(file.read(head[26])), 1)
    return False


def _elements(file: BinaryIO) -> bool:
    """Whether a second EBML header is at the top; a segment of unknown size goes up to the end."""
    at, seen, end = 0, 0, file.seek(0, 2)
    while at < end:
        file.seek(at)
        seen += file.read(4) == _EBML
        if seen > 1:
            return True
        first = file.read(1)
        if not first or not first[0]:
            return False
        more = 8 - first[0].bit_length()
        size = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
        if size == (1 << 7 * (more + 1)) - 1:
            return False
        at += 5 + more + size
    return False


def _second_flac(file: BinaryIO) -> bool:
    kept = b"\0" * 7  # of the piece before: less than a head
    file.seek(8)
    while piece := file.read(PIECE):
        if _FLAC.search(kept + piece):
            return True
        kept = (kept + piece)[-7:]
    return False
