"""Bytes: the `.lec` container, its header, its limits, and files that appear whole or not at all.

    codec -> bitstream -> file -> bitstream -> codec

`chunks` frames, `fields` declares the header, `sets` what is said of a set beside it, `container` puts all in order,
`random_access` finds single tiles.
Standard library only, imported in milliseconds, so that `lecodec info` is quick. Knows nothing of probabilities or
pictures: the arithmetic coder's bytes and the digests pass through as they are. The specification is FORMAT.md.
"""

from __future__ import annotations

from .atomic import atomic_write, check_writable, discard_temporaries
from .chunks import SIGNATURE, Chunk, frame
from .container import DataChunk, Parsed, pack, parse, read_checked, read_header, walk
from .fields import (
    DIGEST_BYTES,
    FIELDS,
    HEADER_BYTES,
    LOSSLESS,
    METHODS,
    NO_DIGEST,
    QUALITY_MAX,
    QUALITY_ONE,
    SET,
    Field,
    Header,
)
from .layouts.set import ItemSet, geometry
from .limits import (
    MAX_PIXELS,
    MAX_SIDE,
    MAX_TILE,
    TILE_STEP,
    check_picture_size,
    check_set_size,
    max_alpha_bytes,
    max_data_bytes,
    max_lossless_bytes,
    max_pixels,
)
from .metadata import Metadata
from .random_access import TileReader

__all__ = [
    "DIGEST_BYTES",
    "FIELDS",
    "HEADER_BYTES",
    "LOSSLESS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "MAX_TILE",
    "METHODS",
    "NO_DIGEST",
    "QUALITY_MAX",
    "QUALITY_ONE",
    "SET",
    "SIGNATURE",
    "TILE_STEP",
    "Chunk",
    "DataChunk",
    "Field",
    "Header",
    "ItemSet",
    "Metadata",
    "Parsed",
    "TileReader",
    "atomic_write",
    "check_picture_size",
    "check_set_size",
    "check_writable",
    "discard_temporaries",
    "frame",
    "geometry",
    "max_alpha_bytes",
    "max_data_bytes",
    "max_lossless_bytes",
    "max_pixels",
    "pack",
    "parse",
    "read_checked",
    "read_header",
    "walk",
]
