"""The container: round trips, the specification's example, and every kind of damage that a file can meet."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lecodec.bitstream
from lecodec.bitstream import (
    FIELDS,
    HEADER_BYTES,
    QUALITY_MAX,
    SIGNATURE,
    Chunk,
    Header,
    frame,
    max_data_bytes,
    pack,
    parse,
    read_header,
    walk,
)
from lecodec.bitstream.limits import (
    MAX_ANCILLARY,
    MAX_ANCILLARY_CHUNKS,
    MAX_CHUNK,
    MAX_HEADER,
    MAX_PIXELS,
    MAX_SIDE,
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

FORMAT = (Path(lecodec.bitstream.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")
DIGEST = hashlib.blake2b(struct.pack("<3i", 0, -1, 2), digest_size=8).digest()
PARSE, SYNTHESIS = bytes.fromhex("0123456789abcdef"), bytes.fromhex("fedcba9876543210")
HEADER = Header(width=7, height=5, channels=3, parse_digest=PARSE, synthesis_digest=SYNTHESIS, quality=11392)
EXAMPLE = pack(HEADER, [(DIGEST, bytes.fromhex("00a1b2c3"))], [(b"exMp", b"hi")])
LHDR, LDAT, LEND = frame(b"LHDR", HEADER.pack()), frame(b"LDAT", DIGEST + b"coder bytes"), frame(b"LEND", b"")

digests = st.binary(min_size=8, max_size=8)
sides = st.integers(1, 2**14)
headers = st.builds(
    Header,
    width=sides,
    height=sides,
    channels=st.sampled_from([1, 3]),
    parse_digest=digests,
    synthesis_digest=digests,
    quality=st.integers(0, QUALITY_MAX),
)
ancillary_types = st.from_regex(rb"\A[a-z][A-Za-z][A-Z][A-Za-z]\Z")
ancillaries = st.lists(st.tuples(ancillary_types, st.binary(max_size=40)), max_size=4)


@pytest.fixture(autouse=True)
def default_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LECODEC_MAX_PIXELS", raising=False)


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


def long_chunk(type: bytes, length: int) -> bytes:
    """A file whose last chunk claims a length and ends there."""
    return SIGNATURE + LHDR + struct.pack("<I", length) + type


# --- what is written ---------------------------------------------------------------------------------------------


def test_example_of_the_specification_is_what_the_code_writes() -> None:
    dump = re.search(r"```\n(00000000 .*?)```", FORMAT, re.S)
    assert dump
    assert bytes.fromhex("".join(line[10:57] for line in dump[1].splitlines())) == EXAMPLE
    text = "".join(line.split("  |", 1)[1][:-1] for line in dump[1].splitlines())
    assert text == "".join(chr(b) if 32 <= b < 127 else "." for b in EXAMPLE)


def test_annotations_of_the_example_cover_it() -> None:
    rows = re.findall(r"^\| (\d+) +\| `([0-9a-f ]+)` +\|", FORMAT[FORMAT.index("## 8 Example") :], re.M)
    at = 0
    for offset, raw in rows:
        assert int(offset) == at
        assert bytes.fromhex(raw) == EXAMPLE[at : at + len(bytes.fromhex(raw))]
        at += len(bytes.fromhex(raw))
    assert at == len(EXAMPLE)


def test_table_of_the_specification_agrees_with_the_declared_fields() -> None:
    rows = re.findall(r"^\| (\d+) +\| `(\w+)` +\| `(\w+)` +\| ([^|]+?) +\|", FORMAT, re.M)
    assert [(int(offset), kind, name) for offset, kind, name, _ in rows] == [(f.offset, f.kind, f.name) for f in FIELDS]
    for (*_, values), field in zip(rows, FIELDS, strict=True):
        numbers = [int(n) for n in re.findall(r"\d+", values)]
        if field.kind == "digest":
            assert values == "any"
        else:
            assert numbers == (list(field.names) if field.names is not None else [field.low, field.high])


def test_limits_of_the_specification() -> None:
    for limit in (MAX_SIDE, MAX_PIXELS, MAX_ANCILLARY, MAX_HEADER, MAX_ANCILLARY_CHUNKS):
        assert f"{limit:,}" in FORMAT
    assert MAX_CHUNK == 2**31 - 1
    assert max_data_bytes(65, 1) == 4096 + 64 * 128 * 64


def test_golden_bytes() -> None:
    assert EXAMPLE.hex() == (
        "8c4c45430d0a1a0a280000004c484452000007000000050000000308010d000100000123456789abcdef"
        "fedcba9876543210802c000000003cc2024e0200000065784d706869a7449c840c0000004c444154b09a"
        "ce2aa7b955fd00a1b2c32b7cbcfb000000004c454e44b0909c99"
    )


def test_overhead_is_92_bytes() -> None:
    assert HEADER_BYTES == 40
    assert len(pack(HEADER, [(DIGEST, b"")])) == 92
    assert len(pack(HEADER, [(DIGEST, bytes(1000))])) == 1092


def test_imports_nothing_heavy() -> None:
    code = "import sys, lecodec.bitstream; print(*({'torch', 'numpy', 'PIL', 'constriction'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- round trips -------------------------------------------------------------------------------------------------


@given(headers)
def test_header_round_trip(header: Header) -> None:
    payload = header.pack()
    assert len(payload) == HEADER_BYTES
    assert Header.unpack(payload) == header
    assert header.quality_index == header.quality / 256
    assert set(header.as_dict()) == set(header.describe()) == {f.name for f in FIELDS}


@given(headers, digests, st.binary(max_size=300), ancillaries, st.integers(1, 50))
def test_file_round_trip(
    header: Header, digest: bytes, payload: bytes, ancillary: list[tuple[bytes, bytes]], at_once: int
) -> None:
    packed = pack(header, [(digest, payload)], ancillary)
    parsed = parse(packed)
    assert parsed.header == header
    assert [(d.digest, d.payload) for d in parsed.data] == [(digest, payload)]
    assert parsed.ancillary == tuple(ancillary)
    assert parsed.size == len(packed)
    assert packed[parsed.data[0].offset :].startswith(payload)
    assert parse(io.BytesIO(packed)) == parse(Trickle(packed, at_once)) == parsed
    assert pack(parsed.header, [(d.digest, d.payload) for d in parsed.data], parsed.ancillary) == packed


def test_ancillary_chunks_may_stand_on_both_sides_of_the_data() -> None:
    before, after = frame(b"exMp", b"1"), frame(b"exMP", b"2")
    parsed = parse(SIGNATURE + LHDR + before + LDAT + after + LEND)
    assert parsed.ancillary == ((b"exMp", b"1"), (b"exMP", b"2"))


def test_payloads_larger_than_a_piece() -> None:
    header = dataclasses.replace(HEADER, width=1000, height=1000)
    payload = bytes(range(256)) * 10_000
    packed = pack(header, [(DIGEST, payload)])
    assert parse(packed).data[0].payload == parse(io.BytesIO(packed)).data[0].payload == payload


def test_header_for_people_and_for_programs() -> None:
    assert HEADER.describe()["channels"] == "3 (RGB)"
    assert HEADER.describe()["quality"] == "44.5"
    assert HEADER.as_dict()["quality"] == 44.5
    assert HEADER.as_dict()["parse_digest"] == "0123456789abcdef"
    assert all(field.doc.endswith(".") for field in FIELDS)


def test_read_header_takes_60_bytes() -> None:
    source = Trickle(EXAMPLE, at_once=1000)
    assert read_header(source) == HEADER
    assert source.taken == 60
    assert read_header(EXAMPLE[:60]) == HEADER
    with pytest.raises(TruncatedFile):
        read_header(EXAMPLE[:59])


def test_walk_gives_each_chunk_as_soon_as_it_is_read() -> None:
    source = Trickle(EXAMPLE, at_once=1000)
    chunks = walk(source)
    ends = []
    for _ in range(4):
        next(chunks)
        ends.append(source.taken)
    assert ends == [60, 74, 98, 110]
    assert [(c.type, c.offset) for c in walk(EXAMPLE)] == [(b"LHDR", 8), (b"exMp", 60), (b"LDAT", 74), (b"LEND", 98)]
    assert Chunk(b"exMp", b"", 0).ancillary and not Chunk(b"LDAT", b"", 0).ancillary


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
        (LHDR + LEND, "byte 60: LEND, expected 1 more LDAT"),
        (LHDR + LHDR + LDAT + LEND, "byte 60: another LHDR"),
        (LHDR + LDAT + LDAT + LEND, "byte 91: another LDAT"),
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


def test_name_is_put_in_front_of_messages() -> None:
    with pytest.raises(TruncatedFile, match="^holiday.lec: byte 0: "):
        parse(b"", "holiday.lec")


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
        ({"version": 1}, UnsupportedFile, "byte 16: version is 1, expected 0"),
        ({"media": 2}, UnsupportedFile, "byte 17: media is 2, expected 0 .image."),
        ({"width": 0}, CorruptFile, "byte 18: width is 0, expected 1 to 1048576"),
        ({"height": 0}, CorruptFile, "byte 22: height is 0"),
        ({"width": MAX_SIDE + 1}, LimitExceeded, "byte 18: width is 1048577"),
        ({"channels": 2}, UnsupportedFile, r"byte 26: channels is 2, expected 1 \(grey\) or 3 \(RGB\)"),
        ({"bit_depth": 16}, UnsupportedFile, "byte 27: bit_depth is 16"),
        ({"colour_primaries": 9}, UnsupportedFile, "byte 28: colour_primaries is 9"),
        ({"transfer": 16}, UnsupportedFile, "byte 29: transfer is 16"),
        ({"matrix": 1}, UnsupportedFile, "byte 30: matrix is 1"),
        ({"full_range": 0}, UnsupportedFile, "byte 31: full_range is 0"),
        ({"alpha": 1}, UnsupportedFile, "byte 32: alpha is 1"),
        ({"codec": 255}, UnsupportedFile, "byte 33: codec is 255"),
        ({"quality": QUALITY_MAX + 1}, CorruptFile, "byte 50: quality is 16129, expected 0 to 16128"),
        ({"tile_width": 512}, UnsupportedFile, "byte 52: tile_width is 512"),
        ({"tile_height": 512}, UnsupportedFile, "byte 54: tile_height is 512"),
    ],
)
def test_reserved_and_impossible_values(changes: dict[str, int], error: type[CodecError], says: str) -> None:
    data = file_with_header(header_bytes(**changes))
    for read in (parse, read_header):
        with pytest.raises(error, match=says):
            read(data)
    with pytest.raises(LimitExceeded if error is LimitExceeded else InputError):
        dataclasses.replace(HEADER, **changes)


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
        dataclasses.replace(HEADER, **changes)


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


chunk_types = st.sampled_from([b"LHDR", b"LDAT", b"LEND", b"LNEW", b"exMp", b"exmp", b"\0\0\0\0"]) | st.binary(
    min_size=4, max_size=4
)
chunks = st.tuples(chunk_types, st.just(HEADER.pack()) | st.binary(max_size=30)).map(lambda c: frame(*c))


@settings(max_examples=300)
@given(st.lists(chunks | st.sampled_from([LHDR, LDAT, LEND]), max_size=6), st.binary(max_size=3), st.booleans())
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
    says = "another LHDR" if type == b"LHDR" else f"LEND, expected|{type.decode()} of {length} bytes, expected at most"
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
    with pytest.raises(LimitExceeded, match=f"data chunk of {limit + 1} bytes"):
        pack(HEADER, [(DIGEST, payload + b"x")])
    with pytest.raises(LimitExceeded, match=f"LDAT of {limit + 1} bytes, expected at most {limit}"):
        parse(SIGNATURE + LHDR + frame(b"LDAT", bytes(limit + 1)) + LEND)
    assert max_data_bytes(2**14, 2**14) == MAX_CHUNK


def test_ancillary_chunks_are_bounded_together() -> None:
    many = [(b"exMp", b"")] * MAX_ANCILLARY_CHUNKS
    assert len(parse(pack(HEADER, [(DIGEST, b"")], many)).ancillary) == MAX_ANCILLARY_CHUNKS
    with pytest.raises(LimitExceeded):
        pack(HEADER, [(DIGEST, b"")], [*many, (b"exMp", b"")])
    with pytest.raises(LimitExceeded, match="more than 1024 ancillary chunks"):
        parse(SIGNATURE + LHDR + frame(b"exMp", b"") * (MAX_ANCILLARY_CHUNKS + 1) + LDAT + LEND)
    with pytest.raises(LimitExceeded):
        pack(HEADER, [(DIGEST, b"")], [(b"exMp", bytes(MAX_ANCILLARY // 2 + 1))] * 2)
    with pytest.raises(LimitExceeded, match=f"exMp of {MAX_ANCILLARY} bytes, expected at most {MAX_ANCILLARY - 1}"):
        parse(SIGNATURE + LHDR + frame(b"exMp", b"x") + struct.pack("<I", MAX_ANCILLARY) + b"exMp")


def test_long_header_of_a_newer_version_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="LHDR of 4097 bytes, expected at most 4096"):
        parse(file_with_header(b"\x01" + bytes(MAX_HEADER)))


def test_environment_moves_the_limit_on_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_with_header(header_bytes(width=2**15, height=2**14))
    with pytest.raises(LimitExceeded, match="LECODEC_MAX_PIXELS"):
        read_header(data)
    monkeypatch.setenv("LECODEC_MAX_PIXELS", str(2**29))
    assert read_header(data).width == 2**15
    monkeypatch.setenv("LECODEC_MAX_PIXELS", "34")
    with pytest.raises(LimitExceeded, match="7 x 5 = 35 pixels: the limit is 34"):
        read_header(EXAMPLE)
    for nonsense in ("many", "0", "-5", "9" * 5000):
        monkeypatch.setenv("LECODEC_MAX_PIXELS", nonsense)
        with pytest.raises(InputError, match="LECODEC_MAX_PIXELS"):
            read_header(EXAMPLE)


# --- what may be packed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", [b"LDAT", b"LNEW", b"exmp", b"exM", b"exMpx", b"ex1p", b"ex-p"])
def test_ancillary_type_must_be_one(type: bytes) -> None:
    with pytest.raises(InputError, match="ancillary type"):
        pack(HEADER, [(DIGEST, b"")], [(type, b"")])


def test_pack_wants_one_data_chunk_and_a_whole_digest() -> None:
    with pytest.raises(InputError, match="0 data chunks, expected 1"):
        pack(HEADER, [])
    with pytest.raises(InputError, match="2 data chunks, expected 1"):
        pack(HEADER, [(DIGEST, b"")] * 2)
    with pytest.raises(InputError, match="digest of 7 bytes"):
        pack(HEADER, [(DIGEST[:7], b"")])
