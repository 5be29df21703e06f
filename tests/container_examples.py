"""Files of the container for its tests: small ones by hand, and any at all as hypothesis draws them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from lecodec.bitstream import (
    LOSSLESS,
    NO_DIGEST,
    QUALITY_MAX,
    SIGNATURE,
    Header,
    Metadata,
    PictureLayout,
    SetLayout,
    frame,
    pack,
)
from lecodec.bitstream.limits import MAX_TILE_PIXELS

DIGEST = hashlib.blake2b(struct.pack("<3i", 0, -1, 2), digest_size=8).digest()
PARSE, SYNTHESIS = bytes.fromhex("0123456789abcdef"), bytes.fromhex("fedcba9876543210")
HEADER = Header(
    layout=PictureLayout(width=7, height=5, channels=3),
    parse_digest=PARSE,
    synthesis_digest=SYNTHESIS,
    quality=11392,
)


def changed(header: Header, **changes: Any) -> Header:
    """The header with some fields changed, its own or those of its layout; media 1: that of a set of one item."""
    shared = {name: changes.pop(name) for name in [*changes] if name in vars(header.layout)}
    layout = dataclasses.replace(header.layout, **shared)
    if changes.get("media") == 1:
        del changes["media"]
        layout = SetLayout.of((5, 7, 3), 1, 1, **shared)
    return dataclasses.replace(header, layout=layout, **changes)


def box_of(header: Header, number: int) -> tuple[int, int, int, int]:
    """Where a tile of a picture lies: (x, y, width, height)."""
    rows, columns = header.layout.unit(number)
    return columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start


LHDR, LDAT, LEND = frame(b"LHDR", HEADER.pack()), frame(b"LDAT", DIGEST + b"coder bytes"), frame(b"LEND", b"")
EXAMPLE = SIGNATURE + LHDR + frame(b"exMp", b"hi") + frame(b"LDAT", DIGEST + bytes.fromhex("00a1b2c3")) + LEND

TILED = changed(HEADER, width=70, channels=1, alpha=1, tile_width=64, tile_height=64)
"""Two tiles of one row, 64 and 6 pixels wide, with alpha."""
CODED = [(DIGEST, bytes.fromhex("00a1b2c3")), (DIGEST, b"\xd4")]
OPAQUE = [(hashlib.blake2b(b"\xff" * n, digest_size=8).digest(), b"") for n in (5 * 64, 5 * 6)]
EXAMPLE_2 = pack(TILED, CODED, OPAQUE)


def blake(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


LOSSLESS_HEADER = changed(HEADER, codec=LOSSLESS, parse_digest=NO_DIGEST, synthesis_digest=NO_DIGEST, quality=0)


def set_header(shape: tuple[int, ...], count: int, block: int, **fields: int | bytes) -> Header:
    header = dataclasses.replace(LOSSLESS_HEADER, layout=SetLayout.of(shape, count, block))
    return changed(header, **fields)


SCALARS = set_header((), 3, 2, bit_depth=16, colour_primaries=2, transfer=2)
"""Three numbers of 16 bits in two blocks."""
STORED = [(blake(raw), b"\0" + raw) for raw in (struct.pack("<2H", 1, 2), struct.pack("<H", 3))]
EXAMPLE_3 = pack(SCALARS, STORED)

digests = st.binary(min_size=8, max_size=8)
sides = st.integers(1, 2**14)
code_points = st.integers(0, 255)
tile_sizes = st.just((0, 0)) | st.tuples(st.integers(1, 1023), st.integers(1, 1023)).map(
    lambda s: (64 * s[0], 64 * s[1])
)


@st.composite
def headers(draw: st.DrawFn, sides: st.SearchStrategy[int] = sides) -> Header:
    width, height, (tile_width, tile_height) = draw(sides), draw(sides), draw(tile_sizes)
    assume(min(width, tile_width or width) * min(height, tile_height or height) <= MAX_TILE_PIXELS)
    layout = PictureLayout(
        width=width,
        height=height,
        channels=draw(st.sampled_from([1, 3])),
        bit_depth=draw(st.sampled_from([8, 16])),
        colour_primaries=draw(code_points),
        transfer=draw(code_points),
        alpha=draw(st.sampled_from([0, 1])),
        tile_width=tile_width,
        tile_height=tile_height,
    )
    return Header(
        layout=layout,
        parse_digest=draw(digests),
        synthesis_digest=draw(digests),
        quality=draw(st.integers(0, QUALITY_MAX)),
    )


@st.composite
def set_headers(draw: st.DrawFn) -> Header:
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=8)))
    count = draw(st.integers(1, 60))
    header = set_header(shape, count, draw(st.integers(1, count)), bit_depth=draw(st.sampled_from([8, 16])))
    return dataclasses.replace(header, parse_digest=draw(digests))


@st.composite
def lossless_headers(draw: st.DrawFn) -> Header:
    lossy = draw(headers(st.integers(1, 200)))
    return dataclasses.replace(lossy, codec=LOSSLESS, synthesis_digest=NO_DIGEST, quality=0)


@dataclasses.dataclass(frozen=True)
class Contents:
    """What goes into a file of up to 20 tiles, or 60 blocks."""

    header: Header
    data: list[tuple[bytes, bytes]]
    alpha: list[tuple[bytes, bytes]]
    metadata: Metadata
    before: list[tuple[bytes, bytes]]
    after: list[tuple[bytes, bytes]]

    @property
    def bytes(self) -> bytes:
        packed = pack(self.header, self.data, self.alpha, self.metadata)
        end = len(packed) - 12 - (12 + 4 * len(self.data + self.alpha) if self.header.layout.units > 1 else 0)
        before, after = (b"".join(frame(*chunk) for chunk in part) for part in (self.before, self.after))
        begin = 60 + (0 if self.header.layout.chunk is None else 12 + len(self.header.layout.pack()))
        return packed[:begin] + before + packed[begin:end] + after + packed[end:]


ancillary_types = st.from_regex(rb"\A[a-z][A-Za-z][A-Z][A-Za-z]\Z").filter(
    lambda type: type not in (b"iCCP", b"eXIf", b"xMPd", b"iNDX")
)
ancillaries = st.lists(st.tuples(ancillary_types, st.binary(max_size=40)), max_size=3)


@st.composite
def contents(draw: st.DrawFn) -> Contents:
    header = draw(st.one_of(headers(st.integers(1, 200)), lossless_headers(), set_headers()))
    payloads = st.binary(min_size=int(header.lossless), max_size=60)
    layout = header.layout
    chunks = st.lists(st.tuples(digests, payloads), min_size=layout.units, max_size=layout.units)
    metadata = Metadata(*(draw(st.binary(max_size=80)) for _ in range(3)), *layout.code_points)
    return Contents(
        header, draw(chunks), draw(chunks) if layout.alpha else [], metadata, draw(ancillaries), draw(ancillaries)
    )


class Trickle(io.RawIOBase):
    """A pipe: delivers a few bytes at a time, cannot seek, counts what was taken."""

    def __init__(self, data: bytes, at_once: int = 3) -> None:
        self.data, self.at_once, self.taken = data, at_once, 0

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        count = min(count, self.at_once) if count >= 0 else self.at_once
        piece = self.data[self.taken : self.taken + count]
        self.taken += len(piece)
        return piece

    def seek(self, *args: object) -> int:
        raise AssertionError("the container must not seek")


chunk_types = st.sampled_from([b"LHDR", b"LSET", b"LDAT", b"LEND", b"LNEW", b"exMp", b"exmp", b"\0\0\0\0"]) | st.binary(
    min_size=4, max_size=4
)
any_chunks = st.tuples(chunk_types, st.just(HEADER.pack()) | st.binary(max_size=30)).map(lambda c: frame(*c))


def chunks_of(data: bytes) -> list[bytes]:
    """A file cut into its signature and its chunks."""
    parts, at = [data[:8]], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "little")
        parts.append(data[at:end])
        at = end
    return parts


def contents_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Type and payload of each chunk of a file."""
    return [(part[4:8], part[8:-4]) for part in chunks_of(data)[1:]]


def index_of(*lengths: int) -> bytes:
    return frame(b"iNDX", struct.pack(f"<{len(lengths)}I", *lengths))
