"""The container: round trips, the specification's example, and every kind of damage that a file can meet."""

from __future__ import annotations

import io
import math
import re
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lecodec
from lecodec.bitstream import (
    FIELDS,
    HEADER_BYTES,
    METHODS,
    QUALITY_MAX,
    SIGNATURE,
    Header,
    LecFile,
    Metadata,
    SetLayout,
    frame,
    geometry,
    max_alpha_bytes,
    max_data_bytes,
    max_lossless_bytes,
    pack,
    parse,
    read_header,
)
from lecodec.bitstream.layouts.set import MAX_DIMENSIONS
from lecodec.bitstream.limits import (
    MAX_ANCILLARY,
    MAX_ANCILLARY_CHUNKS,
    MAX_CHUNK,
    MAX_HEADER,
    MAX_PIXELS,
    MAX_SET,
    MAX_SIDE,
    MAX_TILE,
    MAX_TILE_PIXELS,
)
from lecodec.errors import (
    CodecError,
    CorruptFile,
    InputError,
    LimitExceeded,
    NotLecFile,
    TruncatedFile,
    UnsupportedFile,
)

from ..container_examples import (
    CODED,
    DIGEST,
    EXAMPLE,
    EXAMPLE_2,
    EXAMPLE_3,
    HEADER,
    LDAT,
    LEND,
    LHDR,
    LOSSLESS_HEADER,
    OPAQUE,
    SCALARS,
    STORED,
    TILED,
    Contents,
    Trickle,
    any_chunks,
    changed,
    chunks_of,
    contents,
    contents_of,
    headers,
    index_of,
    set_header,
    set_headers,
)

FORMAT = (Path(lecodec.__file__).parent / "bitstream" / "FORMAT.md").read_text(encoding="utf-8")

GOLDEN_BYTES = (
    "8c4c45430d0a1a0a280000004c484452010007000000050000000308010d000100000123456789abcdef"
    "fedcba9876543210802c000000007b5046e10200000065784d706869a7449c840c0000004c444154b09a"
    "ce2aa7b955fd00a1b2c32b7cbcfb000000004c454e44b0909c99"
)


@pytest.fixture(autouse=True)
def default_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LECODEC_MAX_PIXELS", raising=False)


def header_bytes(**changes: int | bytes) -> bytes:
    """The LHDR payload of HEADER with some fields changed, valid or not."""
    payload = bytearray(HEADER.pack())
    for field in FIELDS:
        if field.name in changes:
            value = changes[field.name]
            raw = value if isinstance(value, bytes) else value.to_bytes(field.size, "little")
            payload[field.offset : field.offset + field.size] = raw
    return bytes(payload)


def file_with_header(payload: bytes) -> bytes:
    return SIGNATURE + frame(b"LHDR", payload) + LDAT + LEND


def metadata_of(source: bytes) -> Metadata:
    return LecFile.open(source).metadata


def long_chunk(type: bytes, length: int) -> bytes:
    """A file whose last chunk claims a length and ends there."""
    return SIGNATURE + LHDR + struct.pack("<I", length) + type


# --- what is written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "example"), [("## 8 Example", EXAMPLE), ("### Tiles", EXAMPLE_2), ("### A set", EXAMPLE_3)]
)
def test_examples_of_the_specification_are_what_the_code_writes(title: str, example: bytes) -> None:
    section = FORMAT[FORMAT.index(title) :]
    dump = re.search(r"```\n(00000000 .*?)```", section, re.S)
    assert dump
    assert bytes.fromhex("".join(line[10:57] for line in dump[1].splitlines())) == example
    text = "".join(line.split("  |", 1)[1][:-1] for line in dump[1].splitlines())
    assert text == "".join(chr(b) if 32 <= b < 127 else "." for b in example)

    section = section[: section.index("\n#", 5)]  # the annotations cover it
    at = 0
    for offset, raw in re.findall(r"^\| (\d+) +\| `([0-9a-f ]+)` +\|", section, re.M):
        assert int(offset) == at
        assert bytes.fromhex(raw) == example[at : at + len(bytes.fromhex(raw))]
        at += len(bytes.fromhex(raw))
    assert at == len(example)


def test_table_of_the_specification_agrees_with_the_declared_fields() -> None:
    section = FORMAT[FORMAT.index("## 4 ") : FORMAT.index("## 5 ")]
    rows = re.findall(r"^\| (\d+) +\| `(\w+)` +\| `(\w+)` +\| ([^|]+?) +\|", section, re.M)
    assert [(int(offset), kind, name) for offset, kind, name, _ in rows] == [(f.offset, f.kind, f.name) for f in FIELDS]
    for (*_, values), field in zip(rows, FIELDS, strict=True):
        numbers = [int(n) for n in re.findall(r"\d+", values)]
        if field.kind == "digest":
            assert values == "any"
        elif field.names is not None and not field.open:
            assert numbers == list(field.names)
        else:
            assert numbers == [field.low, field.high] + [field.step] * (field.step > 1)


def test_limits_of_the_specification() -> None:
    for limit in (MAX_SIDE, MAX_PIXELS, MAX_ANCILLARY, MAX_HEADER, MAX_ANCILLARY_CHUNKS):
        assert f"{limit:,}" in FORMAT
    assert MAX_CHUNK == 2**31 - 1
    assert MAX_TILE == 65472
    assert max_data_bytes(65, 1) == 4096 + 64 * 128 * 64
    assert max_alpha_bytes(65, 3, 8) == 4096 + 3 * 66 + 3 * 66 // 8
    assert max_alpha_bytes(65, 3, 16) == 4096 + 3 * 131 + 3 * 131 // 8
    assert max_alpha_bytes(2**16, 2**15, 16) == MAX_CHUNK


def test_the_table_of_what_the_limits_let_through() -> None:
    """That of the README: what a service has to reckon with."""
    table = (Path(__file__).parents[2] / "README.md").read_text().partition("### Files from strangers")[2]
    rows = {cells[1].strip(): cells[2:4] for cells in (line.split("|") for line in table.splitlines() if "|" in line)}

    def row(start: str) -> tuple[str, str]:
        (found,) = [cells for name, cells in rows.items() if name.startswith(start)]
        return found[0].strip(), found[1].strip()

    assert row("pixels of a picture") == ("2^28", "0.8 GB of 8-bit RGB, 2.1 GB of 16-bit RGBA")
    assert (MAX_PIXELS, f"{3 * MAX_PIXELS / 1e9:.1f}", f"{8 * MAX_PIXELS / 1e9:.1f}") == (2**28, "0.8", "2.1")
    assert row("pixels along a side")[0] == "2^20" and MAX_SIDE == 2**20
    assert row("pixels decoded at once")[0] == "2^26" and MAX_TILE_PIXELS == 2**26
    assert "2.7 GB" in row("pixels decoded at once")[1] and f"{40 * MAX_TILE_PIXELS / 1e9:.1f}" == "2.7"
    assert row("EXIF")[0] == f"{MAX_ANCILLARY >> 20} MiB, {MAX_ANCILLARY_CHUNKS:,} chunks"
    assert row("bytes of a chunk")[0] == "2^31 - 1"


def test_methods_of_the_specification() -> None:
    section = FORMAT[FORMAT.index("## 5 ") : FORMAT.index("## 6 ")]
    assert dict(re.findall(r"^\| (\d) +\| \*(\w+)\*:", section, re.M)) == {str(n): name for n, name in METHODS.items()}
    assert len(SetLayout.of((1,) * MAX_DIMENSIONS, 1, 1).pack()) == MAX_SET == 41


def test_golden_bytes() -> None:
    assert EXAMPLE.hex() == GOLDEN_BYTES


def test_overhead_is_92_bytes_without_an_index() -> None:
    assert HEADER_BYTES == 40
    assert len(pack(HEADER, [(DIGEST, b"")])) == 92
    assert len(pack(HEADER, [(DIGEST, bytes(1000))], metadata=Metadata())) == 1092
    assert len(pack(changed(HEADER, tile_width=64, tile_height=64), [(DIGEST, b"")])) == 92
    assert len(pack(changed(HEADER, alpha=1), [(DIGEST, b"")], [OPAQUE[0]])) == 112


def test_version_1_is_written_whatever_was_read() -> None:
    old = Header.unpack(header_bytes(version=0))
    assert old.version == 0 and changed(old, version=1) == HEADER
    assert parse(pack(old, [(DIGEST, b"")])).header == HEADER


def test_imports_the_standard_library_alone() -> None:
    """By itself, that is: the root of the package, which is put aside here, imports Pillow for its plug-in."""
    code = (
        "import sys, types; root = sys.modules['lecodec'] = types.ModuleType('lecodec'); root.__path__ = sys.argv[1:]; "
        "before = set(sys.modules); import lecodec.bitstream; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    root = Path(lecodec.__file__).parent
    done = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["lecodec"]


# --- round trips -------------------------------------------------------------------------------------------------


@given(headers())
def test_header_round_trip(header: Header) -> None:
    payload = header.pack()
    assert len(payload) == HEADER_BYTES
    assert Header.unpack(payload) == header
    assert set(header.as_dict()) == set(header.describe()) == {f.name for f in FIELDS}


@settings(max_examples=150, deadline=None)
@given(contents(), st.integers(1, 50))
def test_file_round_trip(given: Contents, at_once: int) -> None:
    packed = given.bytes
    parsed = parse(packed)
    assert parsed.header == given.header
    assert [(d.digest, d.payload) for d in parsed.data] == given.data
    assert [(d.digest, d.payload) for d in parsed.alpha] == given.alpha
    assert parsed.metadata == given.metadata
    assert parsed.ancillary == (*given.before, *given.after)
    assert parsed.size == len(packed)
    for chunk in (*parsed.data, *parsed.alpha):
        assert packed[chunk.offset :].startswith(chunk.payload)
    assert parse(io.BytesIO(packed)) == parse(Trickle(packed, at_once)) == parsed


def test_payloads_larger_than_a_piece() -> None:
    header = changed(HEADER, width=1000, height=1000)
    payload = bytes(range(256)) * 10_000
    packed = pack(header, [(DIGEST, payload)])
    assert parse(packed).data[0].payload == parse(io.BytesIO(packed)).data[0].payload == payload


def test_header_for_people_and_for_programs() -> None:
    assert HEADER.describe()["channels"] == "3 (RGB)"
    assert HEADER.describe()["quality"] == "44.5"
    assert HEADER.as_dict()["quality"] == 44.5
    assert HEADER.as_dict()["parse_digest"] == "0123456789abcdef"
    assert all(field.doc.endswith(".") for field in FIELDS)


@pytest.mark.parametrize("quality", [1, 12.34, 60, 99.99, 100])
def test_quality_comes_back_to_two_decimals(quality: float) -> None:
    index = round((quality - 1) / 99 * QUALITY_MAX)
    assert changed(HEADER, quality=index).user_quality == quality


def test_read_header_takes_60_bytes() -> None:
    source = Trickle(EXAMPLE, at_once=1000)
    assert read_header(source) == HEADER
    assert source.taken == 60
    assert read_header(EXAMPLE[:60]) == HEADER
    with pytest.raises(TruncatedFile):
        read_header(EXAMPLE[:59])


def test_a_stream_is_read_only_as_far_as_needed() -> None:
    source = Trickle(EXAMPLE, at_once=1000)
    file = LecFile.open(source)
    assert source.taken == 60
    assert file.metadata == Metadata()
    assert source.taken == 74 + 8  # the head of the first data chunk ends the front
    file.read([0])
    assert source.taken == 98
    with pytest.raises(InputError, match="gone by"):
        file.load()


# --- damage ------------------------------------------------------------------------------------------------------


def test_every_bit_flip_is_an_error() -> None:
    for bit in range(8 * len(EXAMPLE)):
        damaged = bytearray(EXAMPLE)
        damaged[bit // 8] ^= 1 << bit % 8
        for source in (bytes(damaged), io.BytesIO(damaged)):
            with pytest.raises(CodecError):
                parse(source)


def test_every_truncation_is_a_truncated_file() -> None:
    for end in range(len(EXAMPLE)):
        for source in (EXAMPLE[:end], io.BytesIO(EXAMPLE[:end]), Trickle(EXAMPLE[:end])):
            with pytest.raises(TruncatedFile, match=r"^byte \d+: "):
                parse(source)


def test_every_removed_or_doubled_byte_is_an_error() -> None:
    for at in range(len(EXAMPLE)):
        with pytest.raises(CodecError):
            parse(EXAMPLE[:at] + EXAMPLE[at + 1 :])
        with pytest.raises(CodecError):
            parse(EXAMPLE[:at] + EXAMPLE[at : at + 1] + EXAMPLE[at:])


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        (EXAMPLE.replace(b"\r\n", b"\n"), "line ends"),
        (EXAMPLE.replace(b"\n", b"\r\n"), "line ends"),
        (EXAMPLE.replace(b"\n", b"\r"), "line ends"),
        (EXAMPLE.replace(b"\r\n", b"\r"), "line ends"),
        (EXAMPLE.replace(b"\r", b"\n"), "line ends"),
        (bytes(b & 0x7F for b in EXAMPLE), "high bits"),
        (EXAMPLE.decode("latin-1").encode("utf-8"), "UTF-8"),
        (EXAMPLE.decode("utf-8", "replace").encode("utf-8"), "UTF-8"),
    ],
)
def test_text_mode_damage_is_recognised(damaged: bytes, says: str) -> None:
    with pytest.raises(NotLecFile, match=f"text-mode transfer: .*{says}.*as binary"):
        parse(damaged)


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n" + bytes(50), b"GIF89a", b"LEC", bytes(100), b"\x8cLEX\r\n\x1a\n"]
)
def test_other_files_are_not_lec_files(data: bytes) -> None:
    with pytest.raises(NotLecFile, match="byte 0: not a .lec file: expected 8c 4c 45 43 .* found "):
        parse(data)


def test_empty_file() -> None:
    with pytest.raises(TruncatedFile, match="the file is empty"):
        parse(b"")


def test_trailing_bytes() -> None:
    for source in (EXAMPLE + b"x", io.BytesIO(EXAMPLE + b"x"), EXAMPLE + EXAMPLE):
        with pytest.raises(CorruptFile, match="byte 110: .*end of the file after LEND"):
            parse(source)


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        (LDAT + LEND, "byte 12: chunk type LDAT, expected LHDR"),
        (LEND, "byte 12: chunk type LEND, expected LHDR"),
        (frame(b"exMp", b"") + LHDR + LDAT + LEND, "byte 12: chunk type exMp, expected LHDR"),
        (LHDR + LEND, "byte 60: LEND, expected LDAT of tile 0 of 1"),
        (LHDR + LHDR + LDAT + LEND, "byte 60: LHDR, expected LDAT"),
        (LHDR + LDAT + LDAT + LEND, "byte 91: LDAT, expected LEND"),
        (LHDR + frame(b"LALP", DIGEST) + LDAT + LEND, "byte 60: LALP, expected LDAT"),
        (LHDR + LDAT + frame(b"LALP", DIGEST) + LEND, "byte 91: LALP, expected LEND"),
        (LHDR + LDAT + frame(b"LEND", b"x"), "byte 91: LEND of 1 bytes, expected 0"),
        (LHDR + frame(b"LDAT", b"1234567") + LEND, "byte 60: LDAT of 7 bytes, expected at least 8"),
        (LHDR + frame(b"L-AT", b"") + LEND, "byte 64: chunk type 4c 2d 41 54, expected four letters"),
        (frame(b"LHDR", b"") + LDAT + LEND, "byte 16: a header of 0 bytes, expected 40"),
        (frame(b"LHDR", HEADER.pack() + b"\0") + LDAT + LEND, "byte 16: a header of 41 bytes, expected 40"),
    ],
)
def test_wrong_order_and_wrong_lengths(chunks: bytes, says: str) -> None:
    with pytest.raises(CorruptFile, match=says):
        parse(SIGNATURE + chunks)


def test_crc_message_names_place_and_values() -> None:
    damaged = EXAMPLE[:-1] + b"\x98"
    with pytest.raises(CorruptFile, match="byte 106: CRC of LEND is 989c90b0, expected 999c90b0"):
        parse(damaged)


def test_unknown_critical_chunk_is_named() -> None:
    data = SIGNATURE + LHDR + frame(b"LNEW", b"12345") + LDAT + LEND
    with pytest.raises(UnsupportedFile, match="byte 60: critical chunk LNEW"):
        parse(data)
    damaged = data.replace(b"12345", b"12344")
    with pytest.raises(CorruptFile, match="CRC of LNEW"):
        parse(damaged)


def test_unknown_ancillary_chunk_is_skipped() -> None:
    data = SIGNATURE + LHDR + frame(b"neWs", b"12345") + LDAT + LEND
    assert parse(data).header == HEADER
    assert [d.payload for d in parse(data).data] == [b"coder bytes"]
    assert parse(data).ancillary == ((b"neWs", b"12345"),)
    with pytest.raises(CorruptFile, match="CRC of neWs"):
        parse(data.replace(b"12345", b"12344"))


@pytest.mark.parametrize("type", [b"exmp", b"LDaX"])
def test_reserved_letter(type: bytes) -> None:
    with pytest.raises(UnsupportedFile, match=f"byte 66: reserved letter of chunk type {type.decode()}"):
        parse(SIGNATURE + LHDR + frame(type, b"") + LDAT + LEND)


# --- header values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"version": 3}, UnsupportedFile, r"byte 16: version is 3, expected 0 .* 1 .* or 2"),
        ({"media": 2}, UnsupportedFile, "byte 17: media is 2, expected 0 .image."),
        ({"width": 0}, CorruptFile, "byte 18: width is 0, expected 1 to 1048576"),
        ({"height": 0}, CorruptFile, "byte 22: height is 0"),
        ({"width": MAX_SIDE + 1}, LimitExceeded, "byte 18: width is 1048577"),
        ({"channels": 2}, UnsupportedFile, r"byte 26: channels is 2, expected 1 \(grey\) or 3 \(RGB\)"),
        ({"bit_depth": 12}, UnsupportedFile, "byte 27: bit_depth is 12"),
        ({"matrix": 1}, UnsupportedFile, "byte 30: matrix is 1"),
        ({"full_range": 0}, UnsupportedFile, "byte 31: full_range is 0"),
        ({"alpha": 2}, UnsupportedFile, "byte 32: alpha is 2"),
        ({"codec": 255}, UnsupportedFile, "byte 33: codec is 255"),
        ({"quality": QUALITY_MAX + 1}, CorruptFile, "byte 50: quality is 16129, expected 0 to 16128"),
        ({"tile_width": 64}, CorruptFile, "byte 52: tile_width is 64 and tile_height is 0, expected both 0 or neither"),
        ({"tile_height": 64}, CorruptFile, "byte 52: tile_width is 0 and tile_height is 64"),
        ({"tile_width": 100, "tile_height": 64}, CorruptFile, "byte 52: tile_width is 100, expected a multiple of 64"),
        ({"tile_width": 64, "tile_height": 1}, CorruptFile, "byte 54: tile_height is 1, expected a multiple of 64"),
        ({"tile_width": 65535, "tile_height": 64}, CorruptFile, "byte 52: tile_width is 65535, expected 0 to 65472"),
    ],
)
def test_reserved_and_impossible_values(changes: dict[str, int], error: type[CodecError], says: str) -> None:
    data = file_with_header(header_bytes(**changes))
    for read in (parse, read_header):
        with pytest.raises(error, match=says):
            read(data)
    if "media" not in changes:  # that follows from the layout
        with pytest.raises(LimitExceeded if error is LimitExceeded else InputError):
            changed(HEADER, **changes)


def test_a_newer_version_is_named_whatever_the_length_of_its_header() -> None:
    for rest in (b"", bytes(39), bytes(100)):
        with pytest.raises(UnsupportedFile, match="version is 7"):
            parse(file_with_header(b"\x07" + rest))


@pytest.mark.parametrize(
    "changes",
    [{"width": 7.0}, {"width": True}, {"parse_digest": b"short"}, {"parse_digest": "01234567"}, {"quality": -1}],
)
def test_header_of_wrong_types_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"header: {next(iter(changes))} "):
        changed(HEADER, **changes)


@given(st.integers(0, len(FIELDS) - 1), st.binary(min_size=8, max_size=8))
def test_fuzzed_field_with_right_crc_gives_header_or_error(index: int, raw: bytes) -> None:
    field = FIELDS[index]
    payload = header_bytes(**{field.name: raw[: field.size]})
    try:
        header = read_header(file_with_header(payload))
    except CodecError as error:
        assert str(error)
    else:
        assert header.pack() == payload


@given(st.binary(max_size=64))
def test_any_header_payload_with_right_crc_gives_header_or_error(payload: bytes) -> None:
    try:
        header = read_header(file_with_header(payload))
    except CodecError:
        return
    assert header.pack() == payload


@settings(max_examples=300)
@given(st.lists(any_chunks | st.sampled_from([LHDR, LDAT, LEND]), max_size=6), st.binary(max_size=3), st.booleans())
def test_any_chunks_with_right_crcs_give_file_or_error(parts: list[bytes], tail: bytes, begin: bool) -> None:
    data = SIGNATURE + (LHDR if begin else b"") + b"".join(parts) + tail
    outcomes = []
    for source in (data, Trickle(data, 20)):
        try:
            outcomes.append(parse(source))
        except CodecError as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


@given(st.binary(max_size=200))
def test_any_bytes_give_file_or_error(data: bytes) -> None:
    for source in (data, SIGNATURE + data, SIGNATURE + LHDR + data):
        with pytest.raises(CodecError):
            parse(source)


# --- limits ------------------------------------------------------------------------------------------------------


def peak_memory(source: bytes | io.BytesIO, error: type[CodecError], says: str) -> int:
    """Bytes taken at most while the source is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=says):
            parse(source)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_2_to_the_40_pixels_are_refused_before_memory_is_taken() -> None:
    data = file_with_header(header_bytes(width=2**20, height=2**20))
    assert peak_memory(data, LimitExceeded, f"{2**40} pixels: the limit is {2**28}") < 500_000


@pytest.mark.parametrize("type", [b"LDAT", b"LNEW", b"exMp", b"LEND", b"LHDR"])
@pytest.mark.parametrize("length", [2**31, 2**32 - 1])
def test_huge_length_is_refused_before_memory_is_taken(type: bytes, length: int) -> None:
    says = f"(LHDR|LEND), expected LDAT|{type.decode()} of {length} bytes, expected at most"
    for source in (long_chunk(type, length), io.BytesIO(long_chunk(type, length))):
        assert peak_memory(source, CodecError, says) < 500_000


@pytest.mark.parametrize("type", [b"LDAT", b"LNEW", b"exMp"])
def test_length_beyond_the_source_is_truncated_before_memory_is_taken(type: bytes) -> None:
    length = {b"LDAT": max_data_bytes(7, 5), b"LNEW": MAX_CHUNK, b"exMp": MAX_ANCILLARY}[type]
    data = long_chunk(type, length) + bytes(100)
    assert peak_memory(data, TruncatedFile, f"needs {length + 4} more bytes") < 500_000
    # A stream cannot say what remains: a piece at a time is asked for.
    assert peak_memory(io.BytesIO(data), TruncatedFile, "the file ends") < 3_000_000


def test_data_chunk_is_bounded_by_the_pixels() -> None:
    limit = max_data_bytes(7, 5)
    assert limit == 4096 + 64 * 64 * 64
    payload = bytes(limit - 8)
    assert parse(pack(HEADER, [(DIGEST, payload)])).data[0].payload == payload
    with pytest.raises(LimitExceeded, match=f"LDAT of {limit + 1} bytes"):
        pack(HEADER, [(DIGEST, payload + b"x")])
    with pytest.raises(LimitExceeded, match=f"LDAT of {limit + 1} bytes, expected at most {limit}"):
        parse(SIGNATURE + LHDR + frame(b"LDAT", bytes(limit + 1)) + LEND)
    assert max_data_bytes(2**14, 2**14) == MAX_CHUNK


def test_ancillary_chunks_are_bounded_together() -> None:
    many = [frame(b"exMp", b"")] * MAX_ANCILLARY_CHUNKS
    for before in (0, 10, MAX_ANCILLARY_CHUNKS):
        parts = [SIGNATURE, LHDR, *many[:before], LDAT, *many[before:], LEND]
        assert len(parse(b"".join(parts)).ancillary) == MAX_ANCILLARY_CHUNKS
        for place in (2, -1):
            with pytest.raises(LimitExceeded, match="more than 1024 ancillary chunks"):
                parse(b"".join([*parts[:place], many[0], *parts[place:]]))
    for middle in (b"", LDAT):
        with pytest.raises(LimitExceeded, match=f"exMp of {MAX_ANCILLARY} bytes, expected at most {MAX_ANCILLARY - 1}"):
            long = struct.pack("<I", MAX_ANCILLARY) + b"exMp"
            parse(SIGNATURE + LHDR + frame(b"exMp", b"x") + middle + long)


def test_long_header_of_a_newer_version_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="LHDR of 4097 bytes, expected at most 4096"):
        parse(file_with_header(b"\x02" + bytes(MAX_HEADER)))


def test_environment_moves_the_limit_on_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_with_header(header_bytes(width=2**15, height=2**14, tile_width=1024, tile_height=1024))
    with pytest.raises(LimitExceeded, match="LECODEC_MAX_PIXELS"):
        read_header(data)
    monkeypatch.setenv("LECODEC_MAX_PIXELS", str(2**29))
    assert read_header(data).layout.width == 2**15
    untiled = file_with_header(header_bytes(width=2**14, height=2**13))
    with pytest.raises(LimitExceeded, match="a tile of 16384 x 8192"):
        read_header(untiled)
    monkeypatch.setenv("LECODEC_MAX_PIXELS", "34")
    with pytest.raises(LimitExceeded, match="7 x 5 = 35 pixels: the limit is 34"):
        read_header(EXAMPLE)
    for nonsense in ("many", "0", "-5", "9" * 5000):
        monkeypatch.setenv("LECODEC_MAX_PIXELS", nonsense)
        with pytest.raises(InputError, match="LECODEC_MAX_PIXELS"):
            read_header(EXAMPLE)


# --- what may be packed ------------------------------------------------------------------------------------------


def test_pack_wants_a_chunk_for_each_tile_and_whole_digests() -> None:
    for header, data, alpha, says in (
        (HEADER, [], [], "0 data chunks, expected 1"),
        (HEADER, CODED, [], "2 data chunks, expected 1"),
        (HEADER, CODED[:1], OPAQUE[:1], "1 alpha chunks, expected 0"),
        (TILED, CODED, OPAQUE[:1], "1 alpha chunks, expected 2 .2 tiles"),
        (TILED, CODED[:1], OPAQUE, "1 data chunks, expected 2 .2 tiles"),
        (HEADER, [(DIGEST[:7], b"")], [], "digest of 7 bytes"),
        (TILED, CODED, [(b"", b"")] * 2, "digest of 0 bytes"),
    ):
        with pytest.raises(InputError, match=says):
            pack(header, data, alpha)


def test_pack_wants_one_truth_about_the_code_points() -> None:
    with pytest.raises(InputError, match="code points 9/16 in the metadata, 1/13 in the header"):
        pack(HEADER, CODED[:1], metadata=Metadata(primaries=9, transfer=16))
    header = changed(HEADER, colour_primaries=9, transfer=16)
    metadata = parse(pack(header, CODED[:1])).metadata
    assert metadata == Metadata(primaries=9, transfer=16)
    assert pack(header, CODED[:1], metadata=metadata) == pack(header, CODED[:1])


# --- tiles, alpha, index -----------------------------------------------------------------------------------------


def test_chunks_of_a_tiled_file() -> None:
    types = [type for type, _ in contents_of(EXAMPLE_2)]
    assert types == [b"LHDR", b"LDAT", b"LALP", b"LDAT", b"LALP", b"iNDX", b"LEND"]
    assert struct.unpack("<4I", EXAMPLE_2[-32:-16]) == (12, 8, 9, 8)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda c: c[:3] + c[4:], CorruptFile, "LDAT, expected LALP of tile 0 of 2"),
        (lambda c: c[:5] + c[6:], CorruptFile, "iNDX, expected LALP of tile 1 of 2"),
        (lambda c: c[:4] + c[6:], CorruptFile, "iNDX, expected LDAT of tile 1 of 2"),
        (lambda c: c[:2] + [c[3], c[2]] + c[4:], CorruptFile, "LALP, expected LDAT of tile 0 of 2"),
        (lambda c: c[:6] + c[2:4] + c[6:], CorruptFile, "LDAT, expected LEND"),
        (lambda c: c[:4] + [frame(b"exMp", b"")] + c[4:], CorruptFile, "exMp, expected LDAT of tile 1"),
        (lambda c: c[:4] + [frame(b"LNEW", b"")] + c[4:], UnsupportedFile, "critical chunk LNEW, expected LDAT of"),
        (lambda c: c[:6] + [frame(b"LNEW", b"")] + c[6:], UnsupportedFile, "critical chunk LNEW, expected LEND"),
        (lambda c: c[:7] + [frame(b"exMp", b"")] + c[7:], CorruptFile, "exMp, expected LEND"),
        (lambda c: c[:7] + [c[6]] + c[7:], CorruptFile, "iNDX, expected LEND"),
        (lambda c: [*c[:2], c[6], *c[2:]], CorruptFile, "iNDX, expected LDAT of tile 0 of 2"),
        (lambda c: c[:6] + [index_of(12, 8, 9)] + c[7:], CorruptFile, "iNDX of 12 bytes, expected 16"),
        (lambda c: c[:6] + [index_of(12, 8, 9, 8, 8)] + c[7:], CorruptFile, "iNDX of 20 bytes, expected 16"),
        (lambda c: c[:6] + [index_of(12, 8, 9, 7)] + c[7:], CorruptFile, "data chunk 3 has 7 bytes, it has 8"),
        (lambda c: c[:6] + [index_of(8, 12, 9, 8)] + c[7:], CorruptFile, "data chunk 0 has 8 bytes, it has 12"),
        (lambda c: c[:3] + [frame(b"LALP", b"1234567")] + c[4:], CorruptFile, "LALP of 7 bytes, expected at least 8"),
        (lambda c: c[:6] + [struct.pack("<I", 2**32 - 1) + b"iNDX"], CorruptFile, "iNDX of 4294967295 bytes"),
    ],
)
def test_wrong_order_of_a_tiled_file(change, error: type[CodecError], says: str) -> None:
    damaged = b"".join(change(chunks_of(EXAMPLE_2)))
    for source in (damaged, io.BytesIO(damaged), Trickle(damaged)):
        with pytest.raises(error, match=says):
            parse(source)


def test_a_file_of_several_tiles_needs_no_index() -> None:
    parts = chunks_of(EXAMPLE_2)
    assert parse(b"".join(parts[:6] + parts[7:])).data == parse(EXAMPLE_2).data


def test_every_bit_flip_and_truncation_of_a_tiled_file_is_an_error() -> None:
    for bit in range(8 * len(EXAMPLE_2)):
        damaged = bytearray(EXAMPLE_2)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            parse(bytes(damaged))
    for end in range(len(EXAMPLE_2)):
        with pytest.raises(TruncatedFile):
            parse(EXAMPLE_2[:end])


def test_chunks_are_bounded_by_the_pixels_of_their_tile() -> None:
    for type, limits in (
        (b"LDAT", [max_data_bytes(64, 5), max_data_bytes(6, 5)]),
        (b"LALP", [max_alpha_bytes(64, 5, 8), max_alpha_bytes(6, 5, 8)]),
    ):
        for tile, limit in enumerate(limits):
            parts = chunks_of(EXAMPLE_2)
            at = 2 + 2 * tile + (type == b"LALP")
            with pytest.raises(LimitExceeded, match=f"{type.decode()} of {limit + 1} bytes, expected at most {limit}"):
                parse(b"".join([*parts[:at], struct.pack("<I", limit + 1) + type]))
            with pytest.raises(LimitExceeded, match=f"{type.decode()} of {limit + 1} bytes: the limit is {limit}"):
                long = [(DIGEST, bytes(limit - 7 if n == tile else 0)) for n in range(2)]
                pack(TILED, *((long, OPAQUE) if type == b"LDAT" else (CODED, long)))


def test_many_tiles_that_are_not_there_take_no_memory() -> None:
    data = file_with_header(header_bytes(width=2**14, height=2**14, tile_width=64, tile_height=64))
    assert peak_memory(data, CorruptFile, "LEND, expected LDAT of tile 1 of 65536") < 500_000


# --- metadata ----------------------------------------------------------------------------------------------------

FULL = Metadata(icc=b"profile" * 100, exif=b"II*\0" + bytes(200), xmp=b"<x:xmpmeta/>", primaries=9, transfer=16)
WIDE = changed(HEADER, colour_primaries=9, transfer=16)


def test_metadata_is_carried_before_the_data() -> None:
    packed = pack(WIDE, CODED[:1], metadata=FULL)
    assert [type for type, _ in contents_of(packed)] == [b"LHDR", b"iCCP", b"eXIf", b"xMPd", b"LDAT", b"LEND"]
    assert parse(packed).metadata == LecFile.open(packed).metadata == FULL
    assert parse(packed).ancillary == ()
    assert len(packed) < 92 + 3 * 12 + 150
    for type in (b"iCCP", b"eXIf", b"xMPd", b"iNDX"):  # ancillary, public, not reserved
        assert type[:1].islower() and type[1:3].isupper()


@pytest.mark.parametrize(
    ("chunks", "error", "says"),
    [
        (frame(b"iCCP", b"not deflated"), CorruptFile, "byte 60: iCCP does not inflate"),
        (frame(b"eXIf", b""), CorruptFile, "byte 60: eXIf does not inflate to its end"),
        (frame(b"xMPd", zlib.compress(b"text")[:-2]), CorruptFile, "byte 60: xMPd does not inflate to its end"),
        (frame(b"xMPd", zlib.compress(b"text") + b"x"), CorruptFile, "byte 60: xMPd does not inflate to its end"),
        (frame(b"iCCP", zlib.compress(b"1")) * 2, CorruptFile, "byte 81: another iCCP chunk, expected at most 1"),
    ],
)
def test_damaged_metadata(chunks: bytes, error: type[CodecError], says: str) -> None:
    for read in (parse, metadata_of):
        with pytest.raises(error, match=says):
            read(SIGNATURE + LHDR + chunks + LDAT + LEND)


def test_metadata_after_the_data_is_refused() -> None:
    with pytest.raises(CorruptFile, match="eXIf after the data, expected before it"):
        parse(SIGNATURE + LHDR + LDAT + frame(b"eXIf", zlib.compress(b"1")) + LEND)


def test_metadata_that_inflates_beyond_its_limit() -> None:
    bomb = zlib.compress(bytes(MAX_ANCILLARY), 9)
    assert len(parse(SIGNATURE + LHDR + frame(b"iCCP", bomb) + LDAT + LEND).metadata.icc) == MAX_ANCILLARY
    for chunks in (
        frame(b"iCCP", zlib.compress(bytes(MAX_ANCILLARY + 1), 9)),
        frame(b"iCCP", bomb) + frame(b"eXIf", zlib.compress(b"1")),
    ):
        with pytest.raises(LimitExceeded, match="inflates to more than"):
            parse(SIGNATURE + LHDR + chunks + LDAT + LEND)
    with pytest.raises(LimitExceeded, match=f"metadata of {MAX_ANCILLARY + 1} bytes: the limit is {MAX_ANCILLARY}"):
        pack(HEADER, CODED[:1], metadata=Metadata(icc=bytes(MAX_ANCILLARY), xmp=b"1"))


# --- sets and lossless files -------------------------------------------------------------------------------------

LOSSLESS_FILE = pack(LOSSLESS_HEADER, [(DIGEST, b"\0" + bytes(105))])


@given(set_headers())
def test_set_round_trip(header: Header) -> None:
    layout = header.layout
    assert isinstance(layout, SetLayout)
    asked = []

    def more(type: bytes, limit: int) -> tuple[bytes, int]:
        asked.append((type, limit))
        return layout.pack(), 0

    assert Header.unpack(header.pack(), more=more) == header
    assert asked == [(b"LSET", MAX_SET)]
    assert math.prod(layout.shape) == layout.width * layout.height * layout.channels
    blocks = [layout.unit(n)[0] for n in range(layout.units)]
    assert [n for block in blocks for n in range(layout.count)[block]] == list(range(layout.count))
    assert all(layout.extent(n) == ((b.stop - b.start) * layout.height, layout.width) for n, b in enumerate(blocks))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (1, 1, 1)),
        ((7,), (7, 1, 1)),
        ((28, 20), (20, 28, 1)),
        ((8, 9, 3), (9, 8, 3)),
        ((8, 9, 1), (9, 8, 1)),
        ((8, 9, 2), (18, 8, 1)),
        ((8, 9, 4), (36, 8, 1)),
        ((3, 32, 30), (30, 96, 1)),
        ((2, 3, 4, 3), (3, 24, 1)),
    ],
)
def test_items_as_pictures(shape: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    assert geometry(shape) == expected


def test_read_header_of_a_set_takes_lset_too() -> None:
    source = Trickle(EXAMPLE_3, at_once=1000)
    assert read_header(source) == SCALARS
    assert source.taken == 81
    assert [type for type, _ in contents_of(EXAMPLE_3)] == [b"LHDR", b"LSET", b"LDAT", b"LDAT", b"iNDX", b"LEND"]


def test_every_bit_flip_and_truncation_of_a_set_is_an_error() -> None:
    for bit in range(8 * len(EXAMPLE_3)):
        damaged = bytearray(EXAMPLE_3)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            parse(bytes(damaged))
    for end in range(len(EXAMPLE_3)):
        for source in (EXAMPLE_3[:end], Trickle(EXAMPLE_3[:end])):
            with pytest.raises(TruncatedFile):
                parse(source)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"media": 1}, r"byte 33: codec is 0 and media is 1 \(set\), expected 1"),
        ({"codec": 1}, "byte 42: synthesis_digest is fedcba9876543210 without loss, expected 0"),
        ({"codec": 1, "synthesis_digest": bytes(8)}, "byte 50: quality is 11392 without loss, expected 0"),
        (
            {"codec": 1, "synthesis_digest": bytes(8), "quality": 0, "media": 1, "alpha": 1},
            r"byte 32: alpha is 1 and media is 1 \(set\), expected 0",
        ),
        (
            {
                "codec": 1,
                "synthesis_digest": bytes(8),
                "quality": 0,
                "media": 1,
                "tile_width": 64,
                "tile_height": 64,
            },
            r"byte 52: tile_width is 64 and media is 1 \(set\), expected 0",
        ),
    ],
)
def test_fields_that_contradict_each_other(changes: dict[str, int | bytes], says: str) -> None:
    with pytest.raises(CorruptFile, match=says):
        read_header(file_with_header(header_bytes(**changes)))
    with pytest.raises(InputError, match=says.partition(": ")[2]):
        changed(HEADER, **changes)


def lset(*dimensions: int, count: int = 3, block: int = 2, claim: int | None = None) -> bytes:
    number = len(dimensions) if claim is None else claim
    return struct.pack(f"<B{len(dimensions) + 2}I", number, *dimensions, count, block)


@pytest.mark.parametrize(
    ("payload", "error", "says"),
    [
        (b"", CorruptFile, "byte 68: LSET of 0 bytes, expected 9"),
        (lset() + b"x", CorruptFile, "LSET of 10 bytes, expected 9"),
        (lset(claim=1), CorruptFile, "LSET of 9 bytes, expected 13"),
        (lset(claim=9), CorruptFile, "items of 9 dimensions, expected at most 8"),
        (lset(0), CorruptFile, r"of the shape \[0\], expected sides of at least 1"),
        (lset(count=0), CorruptFile, "a set of 0 items"),
        (lset(block=0), CorruptFile, "3 items with 0 items a block, expected 1 to 3"),
        (lset(block=4), CorruptFile, "3 items with 4 items a block, expected 1 to 3"),
        (lset(2), CorruptFile, r"byte 68: items of the shape \[2\], that is 2 x 1 x 1, and a header of 1 x 1 x 1"),
        (lset(1, 2**21), LimitExceeded, "a side longer than 1048576"),
        (lset(count=2**32 - 1, block=1), LimitExceeded, f"{2**32 - 1} pixels: the limit is {2**28}"),
        (lset(count=2**28, block=2**28), LimitExceeded, "a block of 268435456 items"),
        (lset(*[1] * 8) + bytes(1), LimitExceeded, "LSET of 42 bytes, expected at most 41"),
    ],
)
def test_damaged_lset(payload: bytes, error: type[CodecError], says: str) -> None:
    parts = chunks_of(EXAMPLE_3)
    for read in (parse, metadata_of, read_header):
        with pytest.raises(error, match=says):
            read(b"".join([*parts[:2], frame(b"LSET", payload), *parts[3:]]))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda c: c[:2] + c[3:], CorruptFile, "byte 60: LDAT, expected LSET"),
        (lambda c: [*c[:3], c[2], *c[3:]], CorruptFile, "byte 81: LSET, expected LDAT of block 0 of 2"),
        (lambda c: [*c[:2], frame(b"exMp", b""), *c[2:]], CorruptFile, "byte 60: exMp, expected LSET"),
        (lambda c: [*c[:2], frame(b"LNEW", b""), *c[2:]], UnsupportedFile, "critical chunk LNEW, expected LSET"),
        (lambda c: c[:3] + c[4:], CorruptFile, "iNDX, expected LDAT of block 1 of 2"),
        (lambda c: c[:3] + c[3:4] + c[3:], CorruptFile, "LDAT, expected LEND"),
        (lambda c: c[:3] + [frame(b"LDAT", DIGEST)] + c[4:], CorruptFile, "LDAT of 8 bytes, expected at least 9"),
    ],
)
def test_wrong_order_of_a_set(change, error: type[CodecError], says: str) -> None:
    damaged = b"".join(change(chunks_of(EXAMPLE_3)))
    for source in (damaged, io.BytesIO(damaged), Trickle(damaged)):
        with pytest.raises(error, match=says):
            parse(source)


def test_a_picture_has_no_lset() -> None:
    with pytest.raises(CorruptFile, match="byte 60: LSET, expected LDAT of tile 0 of 1"):
        parse(SIGNATURE + LHDR + frame(b"LSET", lset()) + LDAT + LEND)


def test_lossless_chunks_are_bounded_by_their_samples() -> None:
    assert max_lossless_bytes(105) == 4096 + 105 + 13
    assert max_lossless_bytes(2**31) == MAX_CHUNK
    assert parse(LOSSLESS_FILE).data[0].payload == b"\0" + bytes(105)
    limit = max_lossless_bytes(7 * 5 * 3)
    with pytest.raises(LimitExceeded, match=f"LDAT of {limit + 1} bytes: the limit is {limit}"):
        pack(LOSSLESS_HEADER, [(DIGEST, bytes(limit - 7))])
    long = SIGNATURE + frame(b"LHDR", LOSSLESS_HEADER.pack()) + struct.pack("<I", limit + 1) + b"LDAT"
    with pytest.raises(LimitExceeded, match=f"LDAT of {limit + 1} bytes, expected at most {limit}"):
        parse(long)
    with pytest.raises(InputError, match="LDAT of 8 bytes, expected at least 9"):
        pack(LOSSLESS_HEADER, [(DIGEST, b"")])


def test_what_sets_cannot_be_made() -> None:
    for arguments, says in (
        (((2,) * 9, 3, 2), "9 dimensions, expected at most 8"),
        (((0, 2), 3, 2), "expected sides of at least 1"),
        (((), 0, 1), "a set of 0 items"),
        (((), 2**32, 1), "a set of 4294967296 items"),
        (((), 5, 6), "6 items a block"),
    ):
        with pytest.raises(InputError, match=says):
            SetLayout.of(*arguments)
    with pytest.raises(
        InputError, match=r"header: items of the shape \[2\], that is 2 x 1 x 1, and a header of 1 x 1 x 1"
    ):
        changed(SCALARS, shape=(2,))
    with pytest.raises(LimitExceeded, match="a block of"):
        set_header((2**10, 2**10), 100, 65)
    with pytest.raises(LimitExceeded, match="the limit is"):
        set_header((2**10, 2**10), 257, 1)
    with pytest.raises(InputError, match="1 data chunks, expected 2 .2 blocks"):
        pack(SCALARS, STORED[:1])
