"""What goes with the samples: colour profile, EXIF, XMP, sound's description, and the code points of the colour space.

    picture file -> Metadata -> header fields and ancillary chunks -> .lec -> Metadata -> picture file

ICC, EXIF, XMP and the description of a video's other streams are carried as they are, deflated (zlib, RFC 1950), in
ancillary chunks before the data; the colour space as CICP code points (ITU-T H.273) in the header.

Guarantee: a small chunk that inflates to more than its limit is refused before the memory is taken.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ..errors import CorruptFile, LimitExceeded
from .chunks import Chunk
from .limits import MAX_ANCILLARY

__all__ = ["METADATA_TYPES", "Metadata"]

METADATA_TYPES: Final = {
    "icc": b"iCCP",
    "exif": b"eXIf",
    "xmp": b"xMPd",
    "streams": b"sTRM",
    "tags": b"tAGs",
    "cover": b"cOVr",
}
"""Field of `Metadata` -> the type of the chunk that carries it. By its fourth letter a colour profile belongs to the
samples; the others may be copied into a file with other ones."""


@dataclass(frozen=True)
class Metadata:
    """icc: an ICC profile; exif: a TIFF structure without the "Exif" prefix; xmp: a UTF-8 packet; empty where there is
    none. primaries, transfer: CICP code points, 0 to 255; 1 and 13 are sRGB, 2 is "unspecified: see the ICC profile".
    streams: of a video, what goes with its pictures: a Matroska file without packets, whose tracks are the sound and
    the subtitles, with chapters and tags. tags: of a sound, NAME=text in UTF-8, each ended by a zero byte. cover: of a
    sound, a PNG or JPEG file.
    """

    icc: bytes = field(default=b"", repr=False)
    exif: bytes = field(default=b"", repr=False)
    xmp: bytes = field(default=b"", repr=False)
    primaries: int = 1
    transfer: int = 13
    streams: bytes = field(default=b"", repr=False)
    tags: bytes = field(default=b"", repr=False)
    cover: bytes = field(default=b"", repr=False)

    def chunks(self) -> list[tuple[bytes, bytes]]:
        """The ancillary chunks, (type, payload) each; none for what is empty. Raises LimitExceeded."""
        contents = {type: getattr(self, name) for name, type in METADATA_TYPES.items()}
        if (total := sum(map(len, contents.values()))) > MAX_ANCILLARY:
            raise LimitExceeded(f"metadata of {total} bytes: the limit is {MAX_ANCILLARY}")
        return [(type, zlib.compress(content, 9)) for type, content in contents.items() if content]

    @classmethod
    def of_chunks(cls, chunks: Iterable[Chunk], primaries: int, transfer: int) -> Metadata:
        """What chunks of `METADATA_TYPES`, at most one of each, carry. primaries, transfer: from the header.

        Raises CorruptFile for a payload that does not inflate, LimitExceeded.
        """
        names = {type: name for name, type in METADATA_TYPES.items()}
        found: dict[str, bytes] = {}
        left = MAX_ANCILLARY
        for chunk in chunks:
            found[names[chunk.type]] = content = _inflate(chunk, left)
            left -= len(content)
        return cls(**found, primaries=primaries, transfer=transfer)


def _inflate(chunk: Chunk, limit: int) -> bytes:
    where = f"byte {chunk.offset}: {chunk.type.decode()}"
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(chunk.payload, limit + 1)
    except zlib.error:
        raise CorruptFile(f"{where} does not inflate: damaged") from None
    if len(content) > limit:
        raise LimitExceeded(f"{where} inflates to more than {limit} bytes")
    if not inflater.eof or inflater.unused_data:
        raise CorruptFile(f"{where} does not inflate to its end: damaged")
    return content
