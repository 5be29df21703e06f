"""What comes through a pipe: a stream whose first bytes say of which medium it is.

    standard input -> Pipe -> start -> medium_of_start -> Medium -> read(Pipe) -> Signal

A file is known by its name, and only what its format then says counts; what comes without a name is known by how it
begins. This is the one place that looks.
"""

from __future__ import annotations

from typing import BinaryIO

from .medium import PICTURE, SOUND, VIDEO, Medium

__all__ = ["START", "Pipe", "medium_of_start"]

START = 512
"""Bytes that say of which medium a stream is."""
_PACKET = 188
"""Bytes of a packet of an MPEG transport stream, each of which begins with the letter G."""


class Pipe:
    """A binary stream that is read once, from front to back; it does not seek, even if its source does. again: whether
    what it brings will be needed more than once, so that somebody has to keep it.
    """

    def __init__(self, source: BinaryIO, again: bool = False) -> None:
        self._source, self._ahead, self.again = source, b"", again

    def start(self, count: int = START) -> bytes:
        """The first bytes of what is left, which stay to be read; fewer than asked for only at the end."""
        while len(self._ahead) < count and (more := self._source.read(count - len(self._ahead))):
            self._ahead += more
        return self._ahead[:count]

    def read(self, count: int = -1) -> bytes:
        """At most `count` bytes (below 0: all that there are), as many as have come; none at the end."""
        if not self._ahead:
            now = getattr(self._source, "read1", None)
            return self._source.read(count) if count < 0 or now is None else now(count)
        if count < 0:
            found, self._ahead = self._ahead + self._source.read(), b""
        else:
            found, self._ahead = self._ahead[:count], self._ahead[count:]
        return found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def medium_of_start(start: bytes) -> Medium:
    """The medium of a stream that begins so; what is not known is taken for a picture. A Matroska or MP4 file is taken
    for a video, but for an MP4 file that says that it is a sound or a picture.
    """
    if start.startswith((b"YUV4MPEG2 ", b"\x1a\x45\xdf\xa3", b"FLV\1", b"\0\0\1\xba", b"\0\0\1\xb3")):
        return VIDEO  # y4m, Matroska and WebM, Flash, MPEG
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        brand = start[8:12] if start[4:8] == b"ftyp" else b""
        if brand in (b"M4A ", b"M4B ", b"M4P "):
            return SOUND
        return PICTURE if brand in (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix") else VIDEO
    if start.startswith((b"RIFF", b"RF64", b"BW64")):
        return {b"WAVE": SOUND, b"AVI ": VIDEO}.get(start[8:12], PICTURE)
    if start.startswith(b"OggS"):
        return VIDEO if b"theora" in start[:64] else SOUND
    if start.startswith(b"FORM"):
        return SOUND if start[8:12] in (b"AIFF", b"AIFC") else PICTURE
    if start.startswith((b"fLaC", b"ID3", b".snd", b"#!AMR", b"wvpk")):
        return SOUND
    if len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0:  # frames of MPEG audio, AAC in ADTS
        return SOUND
    packets = [start[n : n + 1] for n in range(0, len(start), _PACKET)]
    return VIDEO if len(packets) > 1 and set(packets) == {b"G"} else PICTURE
