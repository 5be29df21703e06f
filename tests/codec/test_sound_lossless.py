"""Sounds without loss: every bit of every kind of sample, sizes beside FLAC, parts, damage, files, golden files."""

from __future__ import annotations

import io
import json
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import lecodec
from lecodec.bitstream import LecFile, frame, parse
from lecodec.cli.main import main
from lecodec.codec.codec import Target
from lecodec.codec.media.flac_rows import flac_body, flac_samples, from_rows, rows_of
from lecodec.codec.media.part import Frames
from lecodec.codec.media.sound_files import load_sound
from lecodec.codec.media.sound_signal import array_signal
from lecodec.codec.media.sound_write import write_sound_signal
from lecodec.codec.sound_lossless import LosslessSoundCodec
from lecodec.errors import CodecError, CorruptFile, InputError, UnknownModel, UnsupportedFile

from .. import reader
from ..container_examples import contents_of
from ..make_golden_sound import LOSSLESS_FOLDER
from ..sound_reader import sound_samples

CODEC = LosslessSoundCodec()
KINDS = [("u1", 8), ("i2", 16), ("i4", 24), ("i4", 32), ("f4", 32), ("f8", 64)]
"""Types in memory and bits in a file."""


def sound(kind: str, depth: int, n: int, channels: int, seed: int = 0) -> np.ndarray:
    """Tones and noise that use all bits: [n, channels]."""
    rng, t = np.random.default_rng(seed), np.arange(n)[:, None]
    x = 0.5 * np.sin(t / 7 + np.arange(channels)) + 0.01 * rng.normal(size=(n, channels))
    if kind[0] == "f":
        return x.astype(kind)
    whole = np.rint(x * (2.0 ** (depth - 1) - 1)).astype(np.int64)
    return (whole + 128 if kind == "u1" else whole << (8 * int(kind[1]) - depth)).astype(kind)


def wav(samples: np.ndarray, rate: int, depth: int) -> bytes:
    """A WAV file by hand, plain PCM or floats, of any number of channels."""
    each = depth // 8
    little = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    data = little.view(np.uint8).reshape(-1, samples.itemsize)[:, samples.itemsize - each :].tobytes()
    form = (3 if samples.dtype.kind == "f" else 1, samples.shape[1], rate, 0, each * samples.shape[1], depth)
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, *form) + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(head) + len(data)) + head + data


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize(("kind", "depth"), KINDS)
@pytest.mark.parametrize(("n", "channels"), [(1, 1), (15, 2), (4609, 2), (700, 6), (300, 9)])
def test_every_kind_of_sample_comes_back(kind, depth, n, channels):
    x = sound(kind, depth, n, channels)
    np.testing.assert_array_equal(from_rows(rows_of(x, depth), channels, x.dtype), x)
    body = flac_body(x)
    if body is not None:
        assert same(flac_samples(body, x.shape, x.dtype, "it"), x)
    assert same(CODEC.decode(CODEC.encode(x, 44100)), x)


@pytest.mark.parametrize("segment", [0.02, 0.1, 60])
def test_segments_and_parts(segment):
    x = sound("i2", 16, 4000, 3)
    data = CODEC.encode(x, 8000, segment=segment)
    assert same(CODEC.decode(data), x)
    for first, stop in ((0, 1), (159, 161), (1000, 4000)):
        (part,) = CODEC.decode_files([LecFile.open(data)], Frames(first, stop))
        assert same(part.samples, x[first:stop])
    with pytest.raises(InputError):
        CODEC.decode_files([LecFile.open(data)], Frames(0, 4001))


def test_floats_that_integers_are_behind_cost_no_more_than_they():
    whole = sound("i2", 16, 20000, 2)
    as_float = CODEC.encode((whole / 2**15).astype(np.float32), 44100)
    assert len(as_float) < 1.001 * len(CODEC.encode(whole, 44100)) + 10
    assert lecodec.info(as_float)["methods"] == {"flac": 1}


@pytest.mark.parametrize("odd", [np.nan, -0.0, np.inf, 1.0, 1e-40, 0.1 + 1e-9])
def test_floats_are_kept_to_the_bit(odd):
    x = np.array([[0.25], [odd], [-1.0]])
    for kind in (np.float32, np.float64):
        assert same(CODEC.decode(CODEC.encode(x.astype(kind), 16000)), x.astype(kind))
    quiet = np.frombuffer(struct.pack("<I", 0x7FC12345), np.float32).reshape(1, 1)  # a nan with a payload
    assert same(CODEC.decode(CODEC.encode(quiet, 16000)), quiet)


def flac_size(samples: np.ndarray, rate: int) -> int:
    """Bytes of a FLAC file that FFmpeg writes at its best usual level."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate)
        stream.layout, stream.format = ("mono", "stereo")[samples.shape[1] - 1], "s16"
        stream.codec_context.options = {"compression_level": "8"}
        piece = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", stream.layout.name)
        piece.sample_rate, piece.time_base = rate, Fraction(1, rate)
        for packet in (*stream.encode(piece), *stream.encode(None)):
            container.mux(packet)
    return len(file.getvalue())


@pytest.mark.parametrize("what", ["tones", "noise", "silence", "loop", "short"])
def test_no_file_is_much_longer_than_flac_nor_than_the_samples(what):
    rng = np.random.default_rng(1)
    x = {
        "tones": sound("i2", 16, 250000, 2),
        "noise": rng.integers(-32768, 32768, (90000, 1)).astype(np.int16),
        "silence": np.zeros((200000, 1), np.int16),
        "loop": np.tile(rng.integers(-9000, 9000, (5000, 2)), (20, 1)).astype(np.int16),
        "short": sound("i2", 16, 40, 1),
    }[what]
    data = CODEC.encode(x, 16000)
    assert len(data) <= 1.02 * flac_size(x, 16000) + 100
    assert len(data) <= x.nbytes + 100 + 30 * lecodec.info(data)["segments"]
    if what in ("silence", "loop"):
        assert len(data) < flac_size(x, 16000) / 2
    assert same(CODEC.decode(data), x)


def test_effort_makes_it_no_larger():
    x = sound("i2", 16, 30000, 2)
    assert len(CODEC.encode(x, 44100, effort=5)) <= len(CODEC.encode(x, 44100))


@pytest.mark.parametrize(("kind", "depth"), KINDS)
@pytest.mark.parametrize("channels", [1, 2, 6, 11])
def test_files_come_back_through_the_command_line(tmp_path, monkeypatch, kind, depth, channels):
    """WAV in, `.lec`, WAV out: the samples of the file, to the bit, and at an odd rate."""
    monkeypatch.chdir(tmp_path)
    x = sound(kind, depth, 1201, channels)
    Path("x.wav").write_bytes(wav(x, 22051, depth))
    for arguments in (
        ["encode", "--lossless", "x.wav"],
        ["decode", "x.wav.lec", "-o", "back.wav"],
        ["test", "x.wav.lec"],
    ):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert not done.value.code
    signal, back = load_sound("x.wav"), load_sound("back.wav")
    assert same(np.concatenate(list(back.exact())), x) and back.layout == signal.layout
    facts = lecodec.info("x.wav.lec")
    assert facts["lossless"] and facts["bit_depth"] == depth and facts["channels"] == channels


def test_flac_files_in_and_out(tmp_path):
    x = sound("i4", 24, 3000, 2)
    signal = array_signal(x, 44100)
    (data,) = CODEC.encode_signals([signal], Target("lossless"))
    (back,) = CODEC.decode_files([LecFile.open(data)])
    write_sound_signal(back, tmp_path / "a.flac")
    again = load_sound(tmp_path / "a.flac")
    assert again.sound_layout.bit_depth == 32 or again.sound_layout.bit_depth == 24
    np.testing.assert_array_equal(np.concatenate(list(again.exact())), x)


def test_what_is_not_for_it_is_refused(tiny_model):
    with pytest.raises(UnknownModel, match="no sound"):
        CODEC.decode(lecodec.encode(np.zeros((9, 9), np.uint8), lossless=True))
    with pytest.raises(InputError, match="needs no model|need no model"):
        lecodec.codec.choice.codec_for(array_signal(np.zeros(9), 8000), Target("lossless"), model=tiny_model)
    for bad in (np.zeros((3, 256)), np.array(["a"]), np.zeros(5, complex), np.zeros(5, np.int64)):
        with pytest.raises(InputError):
            CODEC.encode(bad, 8000)


def test_bodies_that_lie_are_refused():
    x = sound("i2", 16, 3000, 2)
    data = CODEC.encode(x, 44100)
    chunks = contents_of(data)
    place = next(n for n, (kind, _) in enumerate(chunks) if kind == b"LDAT")
    digest, body = chunks[place][1][:8], chunks[place][1][9:]
    other = flac_body(x[:2999])
    mono = flac_body(x[:, :1])
    lies = {
        "bits": (6, b"\x11" + body[1:]), "other bits": (6, b"\x18" + body[1:]), "empty": (6, b"\x10"),
        "cut": (6, body[:-3]), "more": (6, body + b"\0"), "length": (6, body[:1] + b"\xff" * 4 + body[5:]),
        "fewer": (6, other), "channels": (6, mono), "webp": (4, body), "model": (2, body), "rows": (1, body),
    }  # fmt: skip
    for name, (method, found) in lies.items():
        chunks[place] = b"LDAT", digest + bytes([method]) + found
        with pytest.raises(CorruptFile):
            CODEC.decode(data[:8] + b"".join(frame(*chunk) for chunk in chunks))
            raise AssertionError(name)
    chunks[place] = b"LDAT", digest + b"\x09" + body
    with pytest.raises(UnsupportedFile):
        CODEC.decode(data[:8] + b"".join(frame(*chunk) for chunk in chunks))


def test_layouts_that_only_one_codec_may_have():
    """Codec 0 has at most two channels, floats without loss have 32 bits or 64."""
    data = CODEC.encode(sound("i2", 16, 300, 3), 8000)
    chunks = contents_of(data)

    def changed(header: dict[int, int], layout: dict[int, int]) -> bytes:
        found = [[kind, bytearray(payload)] for kind, payload in chunks]
        for at, value in header.items():
            found[0][1][at] = value
        for at, value in layout.items():
            found[1][1][at] = value
        return data[:8] + b"".join(frame(kind, bytes(payload)) for kind, payload in found)

    for header, layout in (({2: 0}, {}), ({}, {6: 1}), ({}, {5: 64}), ({}, {4: 0})):
        bad = changed(header, layout)
        with pytest.raises(CorruptFile):
            parse(bad)
        with pytest.raises(reader.Refused) as refused:
            reader.read_file(bad)
        assert refused.value.name == "CorruptFile"


EXPECTED = json.loads((LOSSLESS_FOLDER / "expected.json").read_text())


def test_every_golden_sound_is_expected_to_do_something():
    assert {path.stem for path in LOSSLESS_FOLDER.glob("*.lec")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_sounds_decode_as_they_did(name):
    """To the package and to an independent reader (FORMAT.md, sections 26 and 29)."""
    data, wanted = (LOSSLESS_FOLDER / f"{name}.lec").read_bytes(), np.load(LOSSLESS_FOLDER / f"{name}.npy")
    assert same(CODEC.decode(data), wanted)
    file = parse(data)
    assert [chunk.payload[0] for chunk in file.data] == EXPECTED[name]
    theirs = sound_samples(reader.read_file(data))
    if file.header.layout.bit_depth == 24:
        theirs = theirs << 8
    assert same(theirs.astype(wanted.dtype), wanted)


def test_damage_is_noticed_by_both():
    """Each byte of a golden file, its CRC put right: the samples, or a refusal, from both readers."""
    data, wanted = (LOSSLESS_FOLDER / "deep.lec").read_bytes(), np.load(LOSSLESS_FOLDER / "deep.npy")
    chunks = contents_of(data)
    place = next(n for n, (kind, _) in enumerate(chunks) if kind == b"LDAT")
    body = chunks[place][1]
    for at in range(0, len(body), 7):
        chunks[place] = b"LDAT", body[:at] + bytes([body[at] ^ 16]) + body[at + 1 :]
        try:
            found = CODEC.decode(data[:8] + b"".join(frame(*chunk) for chunk in chunks))
        except CodecError:
            continue
        assert same(found, wanted), at
