"""Bytes: the `.lec` container, its header, its limits, and files that appear whole or not at all.

    codec -> bitstream -> file -> bitstream -> codec

`chunks` frames, `fields` declares records, `header` says which model made a file, `layouts` what it holds and in which
units, `container` puts all in order, `lecfile` opens, `random_access` finds single units.
Standard library only, imported in milliseconds, so that `lecodec info` is quick. Knows nothing of probabilities or
pictures: the arithmetic coder's bytes and the digests pass through as they are. The specification is FORMAT.md.
"""

from __future__ import annotations

from .atomic import atomic_write, attributes_of, check_writable, discard_temporaries
from .chunks import SIGNATURE, Chunk, frame
from .container import DataChunk, pack
from .fields import DIGEST_BYTES, Field
from .header import (
    FIELDS,
    HEADER_BYTES,
    LOSSLESS,
    METHODS,
    NO_DIGEST,
    QUALITY_MAX,
    QUALITY_ONE,
    Header,
)
from .layout import Layout
from .layouts.picture import PictureLayout
from .layouts.set import SetLayout, geometry
from .layouts.sound import SoundLayout
from .layouts.video import VideoLayout
from .lecfile import LecFile, Parsed, parse, read_header
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
    "SIGNATURE",
    "TILE_STEP",
    "Chunk",
    "DataChunk",
    "Field",
    "Header",
    "Layout",
    "LecFile",
    "PictureLayout",
    "SetLayout",
    "SoundLayout",
    "Metadata",
    "Parsed",
    "VideoLayout",
    "atomic_write",
    "attributes_of",
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
    "read_header",
]
