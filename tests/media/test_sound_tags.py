"""Tags of sounds: kept from any file to any file, chapters among them, and left out where that is asked for."""

from __future__ import annotations

import struct
from io import BytesIO, TextIOWrapper

import av
import numpy as np
import pytest
from PIL import Image

from lecodec.bitstream import LecFile, Metadata
from lecodec.cli.main import main
from lecodec.codec.media.sound_files import load_sound
from lecodec.codec.media.sound_signal import array_signal, sound_signal
from lecodec.codec.media.sound_tags import cue_chunks, pack_tags, parse_tags
from lecodec.codec.media.sound_write import write_sound_signal

TAGS = {"title": "Überall = überall", "artist": "Somebody", "CHAPTER001": "00:00:00.100", "CHAPTER001NAME": "Here"}


def picture(form):
    """A cover."""
    data = BytesIO()
    Image.new("RGB", (24, 16), (200, 30, 10)).save(data, form)
    return data.getvalue()


def tagged(path, tags, cover=b""):
    x = (9000 * np.sin(np.arange(16000) / 9)).astype(np.int16)[:, None]
    signal = array_signal(x, 16000)
    metadata = Metadata(primaries=2, transfer=2, tags=pack_tags(tags), cover=cover)
    _, notes = write_sound_signal(
        sound_signal(signal.blocks, signal.sound_layout, exact=signal.exact, metadata=metadata), path, overwrite=True
    )
    return notes


def run(line):
    with pytest.raises(SystemExit) as done:
        main(line.split())
    assert not done.value.code


def test_tags_are_names_and_texts():
    assert parse_tags(pack_tags(TAGS)) == TAGS and pack_tags({}) == b"" and parse_tags(b"") == {}
    assert parse_tags(b"a=b\0nothing\0=x\0\xff=\xfe\0") == {"a": "b", "\ufffd": "\ufffd"}


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".opus"])
def test_tags_and_chapters_go_from_file_to_file(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    tagged(tmp_path / f"a{suffix}", TAGS)
    signal = load_sound(f"a{suffix}")
    assert parse_tags(signal.metadata.tags) == TAGS and not signal.notes
    run(f"encode --lossless a{suffix} -o a.lec")
    assert parse_tags(LecFile.open("a.lec").metadata.tags) == TAGS
    run("decode a.lec -o b.flac")
    assert parse_tags(load_sound("b.flac").metadata.tags) == TAGS
    run(f"encode --lossless --strip a{suffix} -o b.lec")
    assert not LecFile.open("b.lec").metadata.tags


def test_mp3_and_wav_keep_what_they_have_names_for(tmp_path):
    for suffix in (".mp3", ".m4a", ".wav"):
        tagged(tmp_path / f"a{suffix}", TAGS)
        found = parse_tags(load_sound(tmp_path / f"a{suffix}").metadata.tags)
        assert found["title"] == TAGS["title"] and found["artist"] == TAGS["artist"], suffix
        assert suffix != ".wav" or found == TAGS
    with av.open(str(tmp_path / "a.wav")) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) == 16000


def test_cue_points_are_kept_to_the_sample(tmp_path, monkeypatch):
    """Behind the samples, out of order, one without a name: as editors write them."""
    monkeypatch.chdir(tmp_path)
    tagged(tmp_path / "a.wav", {})
    points = b"".join(struct.pack("<II4sIII", n, p, b"data", 0, 0, p) for n, p in ((7, 12345), (2, 1), (3, 8000)))
    labels = b"".join(
        struct.pack("<4sII", b"labl", 4 + len(text), n) + text + bytes(len(text) % 2)
        for n, text in ((7, b"verse\0"), (2, b"go\0"))
    )
    chunks = struct.pack("<4sII", b"cue ", 4 + len(points), 3) + points
    chunks += struct.pack("<4sI4s", b"LIST", 4 + len(labels), b"adtl") + labels
    with open("a.wav", "ab") as file:
        file.write(chunks)
    wanted = {
        "CHAPTER001": "00:00:00.000062",  # 1 / 16000 s
        "CHAPTER001NAME": "go",
        "CHAPTER002": "00:00:00.500",
        "CHAPTER003": "00:00:00.771562",
        "CHAPTER003NAME": "verse",
    }
    assert parse_tags(load_sound("a.wav").metadata.tags) == wanted
    run("encode --lossless a.wav -o a.lec")
    run("decode a.lec -o b.wav")
    assert parse_tags(load_sound("b.wav").metadata.tags) == wanted
    places = struct.iter_unpack("<II4sIII", cue_chunks(wanted, 16000, 16000)[12 : 12 + 72])
    assert [place for *_, place in places] == [1, 8000, 12345]
    run("decode a.lec --to 0.6 -o part.wav")
    assert not load_sound("part.wav").metadata.tags  # they would lie elsewhere
    run("decode a.lec -o c.flac")
    assert parse_tags(load_sound("c.flac").metadata.tags)["CHAPTER003NAME"] == "verse"


def test_chapters_that_have_no_place_are_no_cue_points():
    for tags in ({"CHAPTER001": "later"}, {"CHAPTER001": "00:00:02.000"}, {"CHAPTER1": "00:00:00.100"}, {}):
        assert cue_chunks(tags, 16000, 16000) == b""
    assert len(cue_chunks({"CHAPTER999": "00:00:00.9"}, 16000, 16000)) == 12 + 24


def test_tags_that_are_not_utf_8_are_read_as_older_programs_wrote_them(tmp_path):
    """A WAV file with one was refused as no sound."""
    tagged(tmp_path / "a.wav", {"title": "Caf? Beyonc?"})
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data.replace(b"Caf? Beyonc?", "Caf\xe9 Beyonc\xe9".encode("cp1252")))
    assert parse_tags(load_sound(tmp_path / "a.wav").metadata.tags)["title"] == "Caf\xe9 Beyonc\xe9"


def test_labels_of_cues_that_are_no_text_are_read(tmp_path):
    """Found by `make fuzz`: a UnicodeDecodeError."""
    tagged(tmp_path / "a.wav", {**TAGS, "CHAPTER001NAME": "H?re"})
    data = (tmp_path / "a.wav").read_bytes()
    assert data.count(b"H?re") == 1
    (tmp_path / "a.wav").write_bytes(data.replace(b"H?re", b"H\xacre"))
    assert parse_tags(load_sound(tmp_path / "a.wav").metadata.tags)["CHAPTER001NAME"] == "H\xacre"


def test_tags_of_videos_that_are_not_utf_8(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w", metadata_encoding="latin-1") as out:
        stream = out.add_stream("ffv1", rate=5)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        out.metadata["title"] = "Caf\xe9"
        out.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        out.mux(stream.encode(None))
    run(f"encode {tmp_path}/a.mkv -o {tmp_path}/a.lec --quiet")
    run(f"decode {tmp_path}/a.lec -o {tmp_path}/b.mkv --quiet")
    with av.open(str(tmp_path / "b.mkv")) as back:
        assert back.metadata["title"] == "Caf\xe9"


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".opus", ".mp3", ".m4a"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_covers_go_from_file_to_file(tmp_path, monkeypatch, suffix, form):
    monkeypatch.chdir(tmp_path)
    cover = picture(form)
    assert not tagged(tmp_path / f"a{suffix}", TAGS, cover)
    signal = load_sound(f"a{suffix}")
    assert signal.metadata.cover == cover and not signal.notes
    assert parse_tags(signal.metadata.tags)["title"] == TAGS["title"]
    run(f"encode --lossless a{suffix} -o a.lec")
    assert LecFile.open("a.lec").metadata.cover == cover
    run(f"decode a.lec -o b{suffix}")
    back = load_sound(f"b{suffix}")
    assert back.metadata.cover == cover and parse_tags(back.metadata.tags)["artist"] == TAGS["artist"]
    run(f"encode --lossless --strip a{suffix} -o b.lec")
    assert not LecFile.open("b.lec").metadata.cover


def test_a_cover_does_not_count_towards_a_rate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tagged(tmp_path / "a.flac", TAGS, picture("PNG"))
    run("encode a.flac --size 4000 -o a.lec")
    assert "cover is left out" in "".join(capsys.readouterr())
    assert not LecFile.open("a.lec").metadata.cover and LecFile.open("a.lec").metadata.tags
    run("encode a.flac -o b.lec")
    assert LecFile.open("b.lec").metadata.cover
    run("decode b.lec -o b.wav")
    assert "cover is left out" in "".join(capsys.readouterr())


def test_a_cover_is_left_out_of_a_live_sound_with_a_note(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tagged(tmp_path / "a.flac", TAGS, picture("PNG"))
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO((tmp_path / "a.flac").read_bytes())))
    run("encode --live - -o a.lec")
    assert "video left out" in "".join(capsys.readouterr())
    assert not LecFile.open("a.lec").metadata.cover


def test_a_cover_that_is_no_picture_is_left_out(tmp_path):
    for damaged in (b"nothing", picture("PNG")[:20], b"\xff\xd8\xff"):
        for suffix in (".flac", ".mp3", ".m4a"):
            assert "cover is left out" in tagged(tmp_path / f"a{suffix}", TAGS, damaged)[0]
            assert not load_sound(tmp_path / f"a{suffix}").metadata.cover
    assert "cover is left out" in tagged(tmp_path / "a.ogg", TAGS, b"nothing")[0]
