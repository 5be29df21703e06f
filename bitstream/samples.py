"""`sAMP`: the digest of the samples of a picture with loss, whose pixels are then the same on every machine.

    file, digest of its samples -> with_samples -> file          chunks in front of the data -> samples_digest -> digest

A reader that does not know the chunk shows the same picture, but for roundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import CorruptFile
from .chunks import SIGNATURE, Chunk, frame
from .fields import DIGEST_BYTES
from .header import HEADER_BYTES, LOSSLESS, Header

__all__ = ["SAMPLES", "SAMPLES_BYTES", "samples_digest", "with_samples"]

SAMPLES: Final = b"sAMP"
SAMPLES_BYTES: Final = len(frame(SAMPLES, bytes(DIGEST_BYTES)))
"""What the chunk adds to a file."""


def with_samples(data: bytes, digest: bytes) -> bytes:
    """A file of a picture with loss, with the digest of its samples."""
    end = len(SIGNATURE) + len(frame(b"LHDR", bytes(HEADER_BYTES)))
    return data[:end] + frame(SAMPLES, digest) + data[end:]


def samples_digest(chunks: Sequence[Chunk], header: Header) -> bytes:
    """The digest that stands in front of the data, empty if there is none. Raises CorruptFile for one that says
    nothing: of another length, or in a file that is not a picture with loss.
    """
    for chunk in chunks:
        if chunk.type == SAMPLES:
            if header.codec == LOSSLESS or not header.layout.exact_units:
                raise CorruptFile(f"byte {chunk.offset}: sAMP, expected it in pictures with loss alone")
            if len(chunk.payload) != DIGEST_BYTES:
                found = len(chunk.payload)
                raise CorruptFile(f"byte {chunk.offset}: sAMP of {found} bytes, expected {DIGEST_BYTES}")
            return chunk.payload
    return b""
