"""Tags of sounds: names and texts, as FFmpeg gives and takes them, and chapters among them.

    container, stream -> tags_of -> bytes of a tAGs chunk -> parse_tags -> container, or chunks of a WAV file

A chapter is a pair of tags, as Vorbis comments have it: CHAPTER001=00:01:02.500 and CHAPTER001NAME=its title. The cue
points of WAV files are chapters too, told to the microsecond: to the sample at every rate that is coded.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from .ffmpeg import texts

__all__ = ["cue_chunks", "info_chunk", "pack_tags", "parse_tags", "tags_of"]

TECHNICAL = {"encoder", "encoded_by", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id"}
TECHNICAL |= {"language", "creation_time"}
"""Tags that FFmpeg makes of what is no tag, or that say nothing of the sound."""
_TIME = re.compile(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)
INFO = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "genre": b"IGNR",
    "comment": b"ICMT",
    "copyright": b"ICOP",
    "track": b"IPRT",
}
"""What LIST INFO of a WAV file has for them."""


def tags_of(container: Any, stream: Any) -> dict[str, str]:
    """The tags of an open file of PyAV, names in small letters but for chapters."""
    found = {name.lower(): text for name, text in texts({**container.metadata, **stream.metadata}).items()}
    tags = {name: text for name, text in found.items() if name not in TECHNICAL and not name.startswith("chapter")}
    chapters = sorted(container.chapters(), key=lambda chapter: chapter["start"] * chapter["time_base"])
    for number, chapter in enumerate(chapters, 1):
        name = f"CHAPTER{number:03}"
        tags[name] = _time(round(10**6 * chapter["start"] * chapter["time_base"]))
        if title := texts(chapter["metadata"]).get("title"):
            tags[f"{name}NAME"] = title
    return tags


def _time(microseconds: int) -> str:
    """HH:MM:SS.mmm, with microseconds where they are needed."""
    minutes, rest = divmod(microseconds, 60 * 10**6)
    text = f"{minutes // 60:02}:{minutes % 60:02}:{rest // 10**6:02}.{rest % 10**6:06}"
    return text.removesuffix("000")


def pack_tags(tags: dict[str, str]) -> bytes:
    """NAME=text, each ended by a zero byte, UTF-8."""
    return b"".join(f"{name}={text}".replace("\0", " ").encode() + b"\0" for name, text in tags.items())


def parse_tags(data: bytes) -> dict[str, str]:
    """The inverse; what is no tag is passed over."""
    parts = (part.partition("=") for part in data.decode("utf-8", "replace").split("\0"))
    return {name: text for name, sign, text in parts if name and sign}


def info_chunk(tags: dict[str, str]) -> bytes:
    """LIST INFO with the tags that WAV files have names for; nothing if there are none of them."""
    found = b""
    for name, kind in INFO.items():
        if text := tags.get(name):
            body = text.encode() + b"\0"
            found += struct.pack("<4sI", kind, len(body)) + body + bytes(len(body) % 2)
    return struct.pack("<4sI4s", b"LIST", 4 + len(found), b"INFO") + found if found else b""


def cue_chunks(tags: dict[str, str], rate: int, length: int) -> bytes:
    """The cue points of a WAV file, with their names, for the chapters among tags; nothing if there are none. rate: Hz;
    length: samples of the sound, beyond which there is no point.
    """
    points, labels = b"", b""
    for number in range(1, 1000):
        found = _TIME.fullmatch(tags.get(f"CHAPTER{number:03}", ""))
        place = round((3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])) * rate) if found else length
        if place >= length:
            continue
        points += struct.pack("<II4sIII", number, place, b"data", 0, 0, place)
        if name := tags.get(f"CHAPTER{number:03}NAME"):
            text = struct.pack("<I", number) + name.encode() + b"\0"
            labels += struct.pack("<4sI", b"labl", len(text)) + text + bytes(len(text) % 2)
    if not points:
        return b""
    chunks = struct.pack("<4sII", b"cue ", 4 + len(points), len(points) // 24) + points
    return chunks + (struct.pack("<4sI4s", b"LIST", 4 + len(labels), b"adtl") + labels if labels else b"")
