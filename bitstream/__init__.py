"""Bytes: the `.lec` container, its header, its limits, and files that appear whole or not at all.

    codec -> bitstream -> file -> bitstream -> codec

Standard library only, imported in milliseconds, so that `lecodec info` is quick. Knows nothing of probabilities or
pictures: the arithmetic coder's bytes and the digests pass through as they are. The specification is FORMAT.md.
"""

from __future__ import annotations

from .atomic import atomic_write, check_writable
from .container import SIGNATURE, Chunk, DataChunk, Parsed, frame, pack, parse, read_header, walk
from .fields import DIGEST_BYTES, FIELDS, HEADER_BYTES, QUALITY_MAX, QUALITY_ONE, Field, Header
from .limits import MAX_PIXELS, MAX_SIDE, check_picture_size, max_data_bytes, max_pixels

__all__ = [
    "DIGEST_BYTES",
    "FIELDS",
    "HEADER_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "QUALITY_MAX",
    "QUALITY_ONE",
    "SIGNATURE",
    "Chunk",
    "DataChunk",
    "Field",
    "Header",
    "Parsed",
    "atomic_write",
    "check_picture_size",
    "check_writable",
    "frame",
    "max_data_bytes",
    "max_pixels",
    "pack",
    "parse",
    "read_header",
    "walk",
]
