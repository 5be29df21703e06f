"""Single tiles of a file: the right ones, by three ways, and nothing read or checked that is not needed."""

from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lecodec.bitstream import Header, LecFile, Metadata, frame, pack, parse
from lecodec.errors import CodecError, CorruptFile, InputError, TruncatedFile

from ..container_examples import (
    EXAMPLE_2,
    HEADER,
    Contents,
    Trickle,
    any_chunks,
    changed,
    chunks_of,
    contents,
    index_of,
)


class Counted(io.BytesIO):
    """A file that counts the bytes read from it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.taken = 0

    def read(self, count: int | None = -1) -> bytes:
        found = super().read(count)
        self.taken += len(found)
        return found


@settings(max_examples=150, deadline=None)
@given(contents(), st.data())
def test_lec_file_gives_what_parse_gives(given: Contents, draw: st.DataObject) -> None:
    data = given.bytes
    whole = parse(data)
    numbers = draw.draw(st.lists(st.integers(0, given.header.layout.units - 1), max_size=6))
    alpha = whole.alpha or (None,) * given.header.layout.units
    expected = [(whole.data[n], alpha[n]) for n in numbers]
    shifted = io.BytesIO(b"before" + data)
    shifted.seek(6)
    for source in (data, io.BytesIO(data), Trickle(data, 20), shifted):
        reader = LecFile.open(source)
        assert reader.header == given.header
        assert reader.metadata == given.metadata
        assert reader.read(numbers) == expected
        if not isinstance(source, Trickle):
            assert reader.read(numbers) == expected
            assert reader.read([given.header.layout.units - 1])[0][0] == whole.data[-1]


def big_file() -> tuple[bytes, Header]:
    """64 tiles of 1,000 bytes each with alpha of 100, metadata, and ancillary chunks behind the data."""
    header = changed(HEADER, width=512, height=512, alpha=1, tile_width=64, tile_height=64)
    data = [(bytes([n] * 8), bytes([n]) * 992) for n in range(64)]
    packed = pack(header, data, [(bytes([n] * 8), bytes([n]) * 92) for n in range(64)], Metadata(xmp=b"text"))
    end = len(packed) - 24 - 4 * 128
    return packed[:end] + frame(b"exMp", bytes(5000)) + packed[end:], header


def test_lec_file_reads_only_what_it_needs() -> None:
    data, header = big_file()
    front, index = 60 + 12 + len(zlib.compress(b"text", 9)), 12 + 4 * 128
    tile = 12 + 1000 + 12 + 100
    source = Counted(data)
    reader = LecFile.open(source)
    assert source.taken == 60
    assert reader.read([]) == []
    # The head of the first data chunk, the end chunk, and the head of the chunk behind the data.
    assert source.taken == front + 8 + index + 12 + 8
    ((coded, alpha),) = reader.read([37])
    assert coded.payload == bytes([37]) * 992 and alpha is not None and alpha.payload == bytes([37]) * 92
    assert source.taken == front + 8 + index + 12 + 8 + tile
    reader.read([63, 0, 63])
    assert source.taken == front + 8 + index + 12 + 8 + 3 * tile

    source = Counted(data[: -index - 12 - 5012] + data[-12:])  # no index: heads only
    LecFile.open(source).read([37])
    assert source.taken <= front + 8 + index + 12 + 8 * 2 * 38 + tile

    pipe = Trickle(data, 100)  # a pipe: up to the end of the tile
    LecFile.open(pipe).read([37])
    assert pipe.taken == front + 38 * tile


def test_lec_file_checks_what_it_uses_and_nothing_else() -> None:
    data, header = big_file()
    at = parse(data).data[37].offset
    damaged = data[:at] + b"x" + data[at + 1 :]
    with pytest.raises(CorruptFile, match="CRC of LDAT"):
        LecFile.open(damaged).read([37])
    assert LecFile.open(damaged).read([36, 38]) == LecFile.open(data).read([36, 38])
    with pytest.raises(CorruptFile, match="CRC of LDAT"):
        LecFile.open(Trickle(damaged, 100)).read([38])  # a pipe is checked as it passes
    cut = data[: at + 100]
    assert LecFile.open(cut).read([36]) == LecFile.open(data).read([36])
    with pytest.raises(TruncatedFile):
        LecFile.open(cut).read([37])
    with pytest.raises(TruncatedFile):
        LecFile.open(cut).read([60])


def test_lec_file_refuses_numbers_and_a_second_look_at_a_pipe() -> None:
    for number in (-1, 2):
        with pytest.raises(InputError, match=f"tile {number}, expected 0 to 1"):
            LecFile.open(EXAMPLE_2).read([0, number])
    pipe = LecFile.open(Trickle(EXAMPLE_2))
    assert pipe.read([]) == []
    assert pipe.read([0]) == LecFile.open(EXAMPLE_2).read([0])
    assert pipe.read([1]) == LecFile.open(EXAMPLE_2).read([1])
    with pytest.raises(InputError, match="gone by"):
        pipe.read([1])


@pytest.mark.parametrize("lengths", [(8, 12, 9, 8), (12, 8, 9, 9), (0, 0, 0, 0), (2**32 - 1,) * 4, (12, 8, 8, 9)])
@pytest.mark.parametrize("ancillary", [b"", frame(b"exMp", bytes(20))])
def test_lec_file_refuses_an_index_that_leads_elsewhere(lengths: tuple[int, ...], ancillary: bytes) -> None:
    parts = chunks_of(EXAMPLE_2)
    data = b"".join([*parts[:6], ancillary, index_of(*lengths), parts[7]])
    with pytest.raises(CorruptFile, match="iNDX"):
        LecFile.open(data).read([0, 1])
    with pytest.raises(CorruptFile, match="iNDX"):
        parse(data)


def test_lec_file_refuses_a_damaged_index() -> None:
    at = len(EXAMPLE_2) - 28
    with pytest.raises(CorruptFile, match="CRC of iNDX"):
        LecFile.open(EXAMPLE_2[:at] + b"\x0d" + EXAMPLE_2[at + 1 :]).read([0])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(any_chunks | st.sampled_from([*chunks_of(EXAMPLE_2), index_of(12, 8, 9, 8)]), max_size=8), st.booleans()
)
def test_any_chunks_with_right_crcs_give_tiles_or_error(parts: list[bytes], begin: bool) -> None:
    data = b"".join([*chunks_of(EXAMPLE_2)[: 4 if begin else 1], *parts])
    for source in (data, io.BytesIO(data), Trickle(data, 20)):
        try:
            reader = LecFile.open(source)
            assert len(reader.read(range(reader.layout.units))) == reader.layout.units
        except CodecError as error:
            assert str(error)
    try:
        whole = parse(data)
    except CodecError:
        return
    assert [coded for coded, _ in LecFile.open(data).read(range(whole.header.layout.units))] == list(whole.data)
