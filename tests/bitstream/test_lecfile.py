"""One opening of a file: what is read and checked how often, layouts of media to come, and files of many units."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import (
    LOSSLESS,
    NO_DIGEST,
    SIGNATURE,
    Header,
    LecFile,
    SetLayout,
    chunks,
    frame,
    pack,
    parse,
    read_header,
)
from lecodec.bitstream.fields import check_values, declare, declared
from lecodec.bitstream.layout import Layout
from lecodec.bitstream.layouts import LAYOUTS
from lecodec.cli.main import main
from lecodec.codec import choice
from lecodec.codec.media.sets_write import write_set
from lecodec.errors import CodecError, CorruptFile, InputError, LimitExceeded, TruncatedFile, UnsupportedFile

from ..container_examples import EXAMPLE, EXAMPLE_2, Trickle, chunks_of

FORMAT = (Path(lecodec.__file__).parent / "bitstream" / "FORMAT.md").read_text(encoding="utf-8")

# --- a file is opened and checked once ---------------------------------------------------------------------------


class Work:
    """How often a header was parsed, and how many bytes went through the CRC (types and payloads of chunks)."""

    def __init__(self) -> None:
        self.parsed = self.summed = 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    work, unpack = Work(), Header.unpack

    def counted_unpack(*arguments: Any, **options: Any) -> Header:
        work.parsed += 1
        return unpack(*arguments, **options)

    def counted_crc(data: bytes, start: int = 0) -> int:
        work.summed += len(data)
        return zlib.crc32(data, start)

    monkeypatch.setattr(Header, "unpack", counted_unpack)
    monkeypatch.setattr(chunks, "zlib", SimpleNamespace(crc32=counted_crc))
    return work


@pytest.fixture
def files(tmp_path: Path, tiny_default: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a set, a picture, their `.lec` files, and a tiled one with alpha."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    write_set(np.random.default_rng(1).integers(0, 4, (200, 20, 24), dtype=np.uint8), Path("set.npy"))
    Image.fromarray(picture).save("p.png")
    Path("set.lec").write_bytes(lecodec.encode_set("set.npy", 20))
    Path("p.lec").write_bytes(lecodec.encode("p.png"))
    Path("tiled.lec").write_bytes(lecodec.encode(np.dstack([picture, picture[:, :, 0]]), tile=64))
    return tmp_path


FILES = ("set.lec", "p.lec", "tiled.lec")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", ["decode -f -o out/", "info", "test"])
def test_a_command_opens_and_checks_a_file_once(files: Path, work: Work, name: str, command: str) -> None:
    assert run(*command.split(), name) == 0
    size = os.path.getsize(name)
    assert work.parsed == 1
    assert 0.8 * size < work.summed <= size


def test_encoding_checks_what_it_has_written_once(files: Path, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    # What is tried besides is counted too: photo models for sets of small pictures, coding small pictures without loss.
    monkeypatch.setattr(choice, "models_for_set", lambda *_: [])
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (80, 80, 3), dtype=np.uint8)).save("q.png")
    for options, checked in (("set.npy", 1), ("set.npy --no-verify", 0), ("q.png", 0), ("q.png --verify", 1)):
        work.parsed = work.summed = 0
        assert run("encode", "-f", "-o", "x.lec", *options.split()) == 0
        size, head = os.path.getsize("x.lec"), 44 + 21 * options.startswith("set")
        assert work.parsed == 1
        assert 0.8 * (1 + checked) * size < work.summed <= (1 + checked) * size + head * (1 - checked)


@pytest.mark.parametrize("name", FILES)
def test_the_api_opens_and_checks_a_file_once(files: Path, work: Work, name: str) -> None:
    for use in (lecodec.decode, lecodec.info, lambda source: lecodec.decode(Path(source).read_bytes())):
        work.parsed = work.summed = 0
        use(name)
        assert work.parsed == 1
        assert 0.8 * os.path.getsize(name) < work.summed <= os.path.getsize(name)


def test_pillow_and_the_data_set_open_and_check_a_file_once(files: Path, work: Work) -> None:
    from PIL import Image

    def load() -> None:
        with Image.open("p.lec") as image:
            image.load()

    for use in (load, lambda: lecodec.LecDataset(["p.lec"])[0]):
        work.parsed = work.summed = 0
        use()
        assert work.parsed == 1
        assert 0.8 * os.path.getsize("p.lec") < work.summed <= os.path.getsize("p.lec")


def test_files_that_are_decoded_together_are_opened_once_each(files: Path, work: Work) -> None:
    for n in range(5):
        Path(f"{n}.lec").write_bytes(Path("p.lec").read_bytes())
    work.parsed = 0
    assert run("decode", "-o", "out/", *(f"{n}.lec" for n in range(5))) == 0
    assert work.parsed == 5
    assert len({path.read_bytes() for path in Path("out").iterdir()}) == 1


def run(*arguments: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as exit:
        main(list(arguments))
    return exit.value.code or 0


def test_a_file_that_changes_after_its_header_was_read_is_refused(files: Path) -> None:
    file = LecFile.open("p.lec")
    Path("p.lec").write_bytes(Path("tiled.lec").read_bytes())
    for use in (file.load, file.check, lambda: file.read([0]), lambda: file.metadata):
        with pytest.raises(CorruptFile, match="has been changed since its header was read"):
            use()


def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(EXAMPLE_2,), daemon=True).start()
    file = LecFile.open(tmp_path / "pipe")
    assert file.load() == parse(EXAMPLE_2) and file.size == len(EXAMPLE_2)
    assert file.read([1]) == LecFile.open(EXAMPLE_2).read([1])


def test_sources_in_every_form_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.lec").write_bytes(EXAMPLE_2)
    whole = parse(EXAMPLE_2)
    units = list(zip(whole.data, whole.alpha, strict=True))
    for source in (EXAMPLE_2, io.BytesIO(EXAMPLE_2), tmp_path / "a.lec", str(tmp_path / "a.lec")):
        file = LecFile.open(source)
        assert LecFile.open(file) is file and file.size == len(EXAMPLE_2)
        assert file.read([1, 0]) == units[::-1]
        file.check()
        assert file.load() == whole and file.read([1, 0]) == units[::-1]
        with pytest.raises(InputError, match="tile 2, expected 0 to 1"):
            file.read([2])
    pipe = LecFile.open(Trickle(EXAMPLE_2))
    pipe.check()
    assert pipe.size == len(EXAMPLE_2)
    for gone in (pipe.load, lambda: pipe.read([0])):
        with pytest.raises((InputError, TruncatedFile)):
            gone()


def test_a_stream_that_was_moved_is_found_again() -> None:
    stream = io.BytesIO(b"before" + EXAMPLE_2)
    stream.seek(6)
    file = LecFile.open(stream)
    stream.seek(0)
    assert file.load() == parse(EXAMPLE_2)


# --- a medium to come --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sound(Layout):
    """A toy of another medium: samples of one dimension in segments."""

    media: ClassVar[int] = 2
    name: ClassVar[str] = "sound"
    noun: ClassVar[str] = "segment"
    chunk: ClassVar[bytes | None] = b"LSND"

    length: int = declare("u32", "Samples.", low=1, high=2**30, too_high=LimitExceeded)
    segment: int = declare("u32", "Samples of a segment.", low=1, high=2**20)
    channels: int = declare("u8", "Channels.", names={1: "mono", 2: "stereo"}, default=1)

    def __post_init__(self) -> None:
        check_values(declared(Sound), vars(self))

    @classmethod
    def contradictions(cls, values: Any) -> Iterator[tuple[str, str]]:
        if values["segment"] > values["length"]:
            yield "segment", f"segment is {values['segment']}, expected at most {values['length']}"

    @property
    def units(self) -> int:
        return -(-self.length // self.segment)

    def unit(self, number: int) -> tuple[slice]:
        self.check_number(number)
        return (slice(number * self.segment, min((number + 1) * self.segment, self.length)),)

    def limit(self, number: int, part: bytes, lossless: bool) -> int:
        (where,) = self.unit(number)
        return 64 + 4 * (where.stop - where.start)

    def facts(self, size: int) -> dict[str, Any]:
        return {"samples": self.length, "bits_a_sample": 8 * size / self.length}


SOUND = Header(
    version=2,
    layout=Sound(length=10, segment=4, channels=2),
    codec=LOSSLESS,
    parse_digest=b"parsepar",
    synthesis_digest=NO_DIGEST,
    quality=0,
)
CODED = [(bytes([n] * 8), bytes([0, n])) for n in range(3)]


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, Sound.media, Sound)


def test_a_layout_of_another_medium_is_packed_and_parsed(sound: None) -> None:
    data = pack(SOUND, CODED)
    assert [(part[4:8], len(part) - 12) for part in chunks_of(data)[1:]] == [
        (b"LHDR", 21),
        (b"LSND", 9),
        *[(b"LDAT", 10)] * 3,
        (b"iNDX", 12),
        (b"LEND", 0),
    ]
    assert data[16:37] == bytes([2, 2, 1]) + b"parsepar" + bytes(8) + bytes(2)
    for source in (data, io.BytesIO(data), Trickle(data)):
        file = LecFile.open(source)
        assert file.header == SOUND and isinstance(file.layout, Sound) and file.size == len(data)
        assert [(chunk.digest, chunk.payload) for chunk in file.load().data] == CODED
        assert file.metadata.primaries == file.metadata.transfer == 2
        assert file.methods() == {"stored": 3}
    assert LecFile.open(data).read([2])[0][0].payload == CODED[2][1]
    assert read_header(data).as_dict()["segment"] == 4
    assert read_header(data).describe()["channels"] == "2 (stereo)"
    assert read_header(data).describe()["media"] == "2 (sound)"
    assert SOUND.facts(len(data)) == {
        "user_quality": None,
        "lossless": True,
        "samples": 10,
        "bits_a_sample": 8 * len(data) / 10,
    }


def test_files_of_another_medium_are_checked_as_all_are(sound: None) -> None:
    data = pack(SOUND, CODED)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            parse(bytes(damaged))
    for end in range(len(data)):
        with pytest.raises(TruncatedFile):
            parse(data[:end])


def sound_file(layout: bytes, header: bytes = SOUND.pack(), type: bytes = b"LSND") -> bytes:
    return SIGNATURE + frame(b"LHDR", header) + frame(type, layout) + pack(SOUND, CODED)[62:]


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (sound_file(struct.pack("<IIB", 0, 4, 2)), CorruptFile, "byte 49: length is 0, expected 1 to 1073741824"),
        (sound_file(struct.pack("<IIB", 2**31, 4, 2)), LimitExceeded, "byte 49: length is 2147483648"),
        (sound_file(struct.pack("<IIB", 10, 11, 2)), CorruptFile, "byte 53: segment is 11, expected at most 10"),
        (sound_file(struct.pack("<IIB", 10, 4, 3)), UnsupportedFile, r"byte 57: channels is 3, expected 1 \(mono\)"),
        (sound_file(bytes(8)), CorruptFile, "byte 49: LSND of 8 bytes, expected 9"),
        (sound_file(bytes(5000)), LimitExceeded, "LSND of 5000 bytes, expected at most 4096"),
        (sound_file(SOUND.layout.pack(), type=b"LSET"), CorruptFile, "byte 41: LSET, expected LSND"),
        (sound_file(SOUND.layout.pack(), type=b"LVID"), UnsupportedFile, "critical chunk LVID, expected LSND"),
        (sound_file(SOUND.layout.pack(), b"\2\7" + SOUND.pack()[2:]), UnsupportedFile, r"media is 7, expected 2 \(so"),
        (sound_file(SOUND.layout.pack(), b"\1\2" + SOUND.pack()[2:]), CorruptFile, "header of 21 bytes, expected 40"),
        (sound_file(SOUND.layout.pack(), b"\3" + SOUND.pack()[1:]), UnsupportedFile, "version is 3, expected .* or 2"),
        (sound_file(SOUND.layout.pack(), SOUND.pack()[:-2] + b"\1\0"), CorruptFile, "byte 35: quality is 1 without"),
    ],
)
def test_damaged_headers_of_another_medium(sound: None, data: bytes, error: type[CodecError], says: str) -> None:
    for source in (data, Trickle(data)):
        with pytest.raises(error, match=says):
            read_header(source)


def test_a_medium_that_is_not_known_is_refused() -> None:
    header = SOUND.pack()
    data = sound_file(SOUND.layout.pack(), header[:1] + bytes([9]) + header[2:])
    with pytest.raises(UnsupportedFile, match=r"byte 17: media is 9, expected 2 \(video\) or 3 \(sound\)"):
        parse(data)


def test_versions_and_media_belong_together(sound: None) -> None:
    for version, layout in ((1, SOUND.layout), (2, read_header(EXAMPLE).layout)):
        with pytest.raises(InputError, match="header: "):
            replace(SOUND, version=version, layout=layout)


def test_codecs_refuse_media_that_are_not_theirs(sound: None, tiny_default: Path) -> None:
    data = pack(replace(SOUND, parse_digest=NO_DIGEST), CODED)
    with pytest.raises(InputError, match="the file holds a sound, neither a picture nor a set of samples"):
        lecodec.decode(data)
    image = lecodec.load()
    lossy = replace(SOUND, codec=0, parse_digest=image.parse_digest, synthesis_digest=image.synthesis_digest)
    with pytest.raises(InputError, match="the file holds a sound, not a picture"):
        lecodec.decode(pack(lossy, CODED))


def test_table_of_version_2_agrees_with_the_declared_fields(sound: None) -> None:
    section = FORMAT[FORMAT.index("## 22 ") : FORMAT.index("## 23 ")]
    rows = re.findall(r"^\| (\d+) +\| `(\w+)` +\| `(\w+)` +\|", section, re.M)
    fields = declared(Header)
    assert [(int(offset), kind, name) for offset, kind, name in rows] == [(f.offset, f.kind, f.name) for f in fields]
    assert f"`LHDR` has {len(SOUND.pack())} bytes" in section and "at most 4,096 bytes" in section
    assert Sound.chunk_limit == 4096


# --- many units --------------------------------------------------------------------------------------------------


def blocks(count: int) -> bytes:
    """A set of scalars, each of them a block."""
    header = Header(
        layout=SetLayout.of((), count, 1),
        codec=LOSSLESS,
        parse_digest=NO_DIGEST,
        synthesis_digest=NO_DIGEST,
        quality=0,
    )
    return pack(header, [(bytes(8), b"\0a")] * count)


def seconds(work: Callable[[], Any]) -> float:
    """Of the processor, so that what else the machine does is not counted."""
    started = time.process_time()
    work()
    return time.process_time() - started


def test_info_of_many_blocks_is_quick_and_linear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A million blocks took 23 seconds: three readings of the file."""
    few, many = tmp_path / "few.lec", tmp_path / "many.lec"
    few.write_bytes(blocks(10_000))
    many.write_bytes(blocks(200_000))
    least = min(seconds(lambda: run("info", str(few))) for _ in range(3))
    capsys.readouterr()
    most = seconds(lambda: run("info", "--json", str(many)))
    facts = json.loads(capsys.readouterr().out)
    assert (facts["tiles"], facts["methods"]) == (200_000, {"stored": 200_000})
    assert most < 40 * least + 0.5
    assert most < 4  # 0.7 s measured


def test_info_of_many_blocks_keeps_none_of_them(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "many.lec").write_bytes(blocks(20_000))
    tracemalloc.start()
    try:
        lecodec.info(tmp_path / "many.lec")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
