"""Sounds that are written and read as they come, whose length nobody knows at first.

    segment -> pack_segment -> LDAT        last segment -> pack_last -> LSND LDAT LEND        -> read_streamed -> chunks

LSND says 0 samples in the front of such a file, and stands once more before the last segment, with the length. So every
other segment is known to be whole as soon as it is there, and can be decoded. A source that seeks is walked once, from
head to head.

Guarantees: as those of `container`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ..errors import CorruptFile, InputError, LimitExceeded
from .chunks import Chunk, Reader, frame, read_head, read_rest
from .container import END, read_data, read_data_head, refuse
from .fields import DIGEST_BYTES
from .header import Header
from .layout import DATA
from .layouts.sound import SoundLayout

__all__ = ["LENGTH", "PACKED_END", "length_of", "pack_last", "pack_segment", "read_streamed", "walk_streamed"]

LENGTH: Final = b"LSND"
PACKED_END: Final = frame(END, b"")


def pack_segment(header: Header, digest: bytes, payload: bytes) -> bytes:
    """The chunk of a whole segment. Raises LimitExceeded."""
    assert isinstance(header.layout, SoundLayout) and len(digest) == DIGEST_BYTES
    limit = header.layout.endless.limit(0, DATA, header.lossless)
    if DIGEST_BYTES + len(payload) > limit:
        raise LimitExceeded(f"LDAT of {DIGEST_BYTES + len(payload)} bytes: the limit is {limit}")
    return frame(DATA, digest + payload)


def pack_last(header: Header, samples: int, digest: bytes, payload: bytes) -> bytes:
    """The last segment, and what tells that it is. samples: of the whole sound, of each channel."""
    assert isinstance(header.layout, SoundLayout)
    length = replace(header.layout, samples=samples, streamed=False).pack()
    return frame(LENGTH, length) + pack_segment(header, digest, payload) + PACKED_END


def length_of(chunk: Chunk, header: Header, segments: int) -> SoundLayout:
    """The layout with the length that the second LSND says. segments: that came before it. Raises CorruptFile."""
    layout = header.layout
    assert isinstance(layout, SoundLayout)
    where = f"byte {chunk.offset}: LSND"
    try:
        found = SoundLayout.unpack({"codec": header.codec}, chunk.payload, chunk.offset + 8)
    except InputError as error:
        raise CorruptFile(f"{where}: {error}") from None
    known = replace(layout, samples=found.samples)
    if found.streamed or replace(found, streamed=True) != known:
        raise CorruptFile(f"{where} says something else than at the beginning")
    if known.units != segments + 1:
        raise CorruptFile(f"{where}: {found.samples} samples are {known.units} segments, not {segments + 1}")
    return known


def read_streamed(reader: Reader, header: Header, *, keep: bool = True) -> Iterator[Chunk]:
    """The segments' chunks, and the second LSND before the last of them, each checked before it is given out; nothing
    is read ahead. keep: payloads too. Raises as `container.read_first` does.
    """
    layout, number = header.layout, 0
    assert isinstance(layout, SoundLayout)
    endless = replace(header, layout=layout.endless)
    while read_head(reader, peek=True).type != LENGTH:
        yield read_data(reader, endless, number, keep=keep)
        number += 1
    chunk = _length(reader)
    known = replace(header, layout=length_of(chunk, header, number))
    yield chunk
    yield read_data(reader, known, number, keep=keep)


def walk_streamed(reader: Reader, header: Header) -> tuple[SoundLayout, array[int]]:
    """The layout with its length, and where each segment's chunk is, of a source that seeks: heads alone are read, but
    for LSND. Raises as `read_streamed`.
    """
    layout, starts = header.layout, array("Q")
    assert isinstance(layout, SoundLayout)
    endless = replace(header, layout=layout.endless)
    while read_head(reader, peek=True).type != LENGTH:
        starts.append(reader.offset)
        reader.seek(read_data_head(reader, endless, len(starts) - 1).end)
    known = length_of(_length(reader), header, len(starts))
    starts.append(reader.offset)
    starts.append(read_data_head(reader, replace(header, layout=known), len(starts) - 1).end)
    return known, starts


def _length(reader: Reader) -> Chunk:
    head = read_head(reader)
    if head.type != LENGTH:
        refuse(reader, head, "LSND or LDAT")
    if head.length > SoundLayout.chunk_limit:
        raise CorruptFile(f"byte {head.offset}: LSND of {head.length} bytes")
    return read_rest(reader, head)
