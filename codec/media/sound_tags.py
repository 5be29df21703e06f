"""Tags of sounds: names and texts, as FFmpeg gives and takes them, and chapters among them.

    container, stream -> tags_of -> bytes of a tAGs chunk -> parse_tags -> container, or LIST INFO of a WAV file

A chapter is a pair of tags, as Vorbis comments have it: CHAPTER001=00:01:02.500 and CHAPTER001NAME=its title.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["info_chunk", "pack_tags", "parse_tags", "tags_of"]

TECHNICAL = {"encoder", "encoded_by", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id"}
TECHNICAL |= {"language", "creation_time"}
"""Tags that FFmpeg makes of what is no tag, or that say nothing of the sound."""
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
    found = {name.lower(): text for name, text in {**container.metadata, **stream.metadata}.items()}
    tags = {name: text for name, text in found.items() if name not in TECHNICAL and not name.startswith("chapter")}
    for number, chapter in enumerate(container.chapters(), 1):
        seconds = float(chapter["start"] * chapter["time_base"])
        hours, minutes = divmod(int(seconds) // 60, 60)
        name = f"CHAPTER{number:03}"
        tags[name] = f"{hours:02}:{minutes:02}:{seconds % 60:06.3f}"
        if title := chapter["metadata"].get("title"):
            tags[f"{name}NAME"] = title
    return tags


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
