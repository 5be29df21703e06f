"""The cover of a sound: a picture file that goes with it, carried as it is and never looked into.

    file -> cover_of -> bytes of a cOVr chunk -> attached, picture_block -> file

FFmpeg shows a cover as a stream of pictures with one packet, whatever the format. FLAC, MP3 and M4A take it back as
such; Ogg has it in a comment, as a block of FLAC in base 64 (RFC 9639, section 8.8). WAV has no place for it.
"""

from __future__ import annotations

import base64
import struct
from io import BytesIO
from typing import Any

from .ffmpeg import ffmpeg

__all__ = ["MOST_COVER", "attached", "cover_of", "picture_block"]

_KINDS = {b"\x89PNG\r\n\x1a\n": ("png_pipe", "image/png"), b"\xff\xd8\xff": ("jpeg_pipe", "image/jpeg")}
"""How a picture file begins -> FFmpeg's name of the format, and the MIME type."""
MOST_COVER = 16 * 2**20
"""Bytes of a cover that is kept."""
_FRONT = 3
"""The type of the picture in a block of FLAC: the front cover."""


def _kind(cover: bytes) -> tuple[str, str] | None:
    return next((kind for start, kind in _KINDS.items() if cover.startswith(start)), None)


def cover_of(container: Any) -> tuple[bytes, Any]:
    """The first cover of an open file of PyAV that is a PNG or JPEG of at most MOST_COVER bytes, and its stream;
    b"" and None where there is none. It comes before what is decoded: the file is read no further.
    """
    av = ffmpeg("reading a cover", "sound")
    pictures = [s for s in container.streams.video if av.stream.Disposition.attached_pic in s.disposition]
    for stream in pictures:
        try:
            packet = next(container.demux(stream), None)
        except (av.FFmpegError, ValueError):
            continue
        if packet is not None and 0 < packet.size <= MOST_COVER and _kind(found := bytes(packet)) is not None:
            return found, stream
    return b"", None


def attached(container: Any, cover: bytes) -> Any:
    """Add a cover to a file of PyAV that is written: the packet that is to be muxed once all streams are there. None
    for what FFmpeg cannot take for a picture.
    """
    av = ffmpeg("writing a cover", "sound")
    kind = _kind(cover)
    if kind is None:
        return None
    try:
        with av.open(BytesIO(cover), format=kind[0]) as source:
            picture = source.streams.video[0]
            if not (picture.width and picture.height):
                return None
            packet = next(source.demux(picture))
            stream = container.add_stream_from_template(picture)
    except (av.FFmpegError, ValueError, IndexError, StopIteration):
        return None
    stream.disposition = av.stream.Disposition.attached_pic.value
    packet.stream, packet.pts, packet.dts = stream, 0, 0
    return packet


def picture_block(cover: bytes) -> str:
    """A cover as comments of Ogg have it, METADATA_BLOCK_PICTURE; its size in pixels is not said. Empty for what is no
    picture.
    """
    kind = _kind(cover)
    if kind is None:
        return ""
    mime = kind[1].encode()
    head = struct.pack(">II", _FRONT, len(mime)) + mime + bytes(4 + 16) + struct.pack(">I", len(cover))
    return base64.b64encode(head + cover).decode()
