"""Sounds that come as they are made: streamed files, pipes cut anywhere, the delay, files that lie about it."""

from __future__ import annotations

import io
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec import LosslessSoundCodec, SoundCodec, SoundDecoder, SoundEncoder
from lecodec.bitstream import LecFile, SoundLayout, frame, parse
from lecodec.cli.main import main
from lecodec.codec.media.part import Frames
from lecodec.codec.media.sound_files import load_sound, stream_sound
from lecodec.codec.media.sound_write import wav_head
from lecodec.errors import CodecError, CorruptFile, InputError, TruncatedFile

from .. import reader
from ..container_examples import contents_of
from ..sound_reader import sound_latents, sound_samples

MODEL = Path(__file__).parents[1] / "golden" / "tiny-sound.safetensors"
RATE = 8000
STEP = 800
"""Samples of a segment of 0.1 seconds."""


def tone(n: int, channels: int = 1) -> np.ndarray:
    x = 9000 * np.sin(np.arange(n)[:, None] / 7 + np.arange(channels)) + 300 * np.sin(np.arange(n)[:, None] * 1.3)
    return x.astype(np.int16)


def encoder(channels: int = 1, lossless: bool = False) -> SoundEncoder:
    model = None if lossless else MODEL
    return SoundEncoder(RATE, channels, 60, segment=0.1, lossless=lossless, model=model)


def streamed(x: np.ndarray, lossless: bool = False, piece: int = 333) -> bytes:
    of = encoder(x.shape[1], lossless)
    return b"".join([*(of.write(x[at : at + piece]) for at in range(0, len(x), piece)), of.finish()])


class Trickle:
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes, piece: int = 7) -> None:
        self._data, self._piece = io.BytesIO(data), piece

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        return self._data.read(self._piece if count < 0 else min(count, self._piece))

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("n", [1, 160, 799, 800, 801, 959, 960, 961, 1600, 2500])
def test_a_streamed_file_holds_what_the_whole_would(n, lossless):
    """Its segments are those of a file whose length was known, to the byte."""
    x = tone(n)
    data = streamed(x, lossless)
    codec = LosslessSoundCodec() if lossless else lecodec.load(model=MODEL, of=SoundCodec)
    whole = codec.encode(x, RATE, segment=0.1)
    assert [c.payload for c in parse(data).data] == [c.payload for c in parse(whole).data]
    file = LecFile.open(data)
    assert isinstance(file.layout, SoundLayout) and (file.layout.samples, file.layout.streamed) == (n, True)
    assert lecodec.info(data)["samples"] == n and lecodec.info(data)["kbps"] > 0
    np.testing.assert_allclose(codec.decode(data), codec.decode(whole), atol=1e-5)
    codec.test(data)
    theirs = reader.read_file(data)
    assert theirs.header["samples"] == n
    if lossless:
        np.testing.assert_array_equal(sound_samples(theirs), x)
    else:
        sound_latents(reader.Model(MODEL), theirs, len(theirs.data) - 1)


def test_parts_of_a_streamed_file(monkeypatch):
    x = tone(3000, 2)
    data = streamed(x, True)
    for first, stop in ((0, 10), (790, 810), (2399, 2401), (2990, 3000)):
        (part,) = LosslessSoundCodec().decode_files([LecFile.open(data)], Frames(first, stop))
        np.testing.assert_array_equal(part.samples, x[first:stop])


@pytest.mark.parametrize("lossless", [False, True])
def test_sound_comes_out_while_it_goes_in(monkeypatch, lossless):
    """Of the encoder when a segment and 20 ms are in; of the decoder with the last byte of a segment."""
    monkeypatch.setenv("LECODEC_MODELS", str(MODEL))
    x, of, decoder = tone(4000), encoder(lossless=lossless), SoundDecoder()
    need = 1 if lossless else RATE // 50
    heard = 0
    for at in range(0, len(x), 80):
        heard += len(decoder.write(of.write(x[at : at + 80])))
        there = at + 80
        assert heard == max(0, (there - need) // STEP) * STEP
    heard += len(decoder.write(of.finish()))
    assert heard + len(decoder.finish()) == len(x) and decoder.sample_rate == RATE


@pytest.mark.parametrize("lossless", [False, True])
def test_pipes_cut_anywhere(monkeypatch, lossless):
    """Of a file that ends early what is whole comes out, and then an error; never something else."""
    monkeypatch.setenv("LECODEC_MODELS", str(MODEL))
    x = tone(2000)
    data = streamed(x, lossless)
    wanted = lecodec.decode(data)
    for cut in (*range(0, len(data), 41), len(data) - 1):
        decoder, got = SoundDecoder(), []
        with pytest.raises(TruncatedFile):
            got.append(decoder.write(data[:cut]))
            got.append(decoder.finish())
        found = np.concatenate([np.zeros((0, 1)), *got])
        np.testing.assert_allclose(found, wanted[: len(found)], atol=1e-5)
        with pytest.raises(TruncatedFile):
            lecodec.decode(data[:cut])
    decoder = SoundDecoder()
    with pytest.raises(CorruptFile, match="more bytes"):
        decoder.write(data + b"x")
        decoder.finish()


def test_ordinary_files_come_out_of_pipes_too(monkeypatch):
    monkeypatch.setenv("LECODEC_MODELS", str(MODEL))
    codec = lecodec.load(model=MODEL, of=SoundCodec)
    data = codec.encode(tone(2000), RATE, segment=0.1)
    decoder = SoundDecoder()
    parts = [decoder.write(data[at : at + 50]) for at in range(0, len(data), 50)]
    np.testing.assert_allclose(np.concatenate([*parts, decoder.finish()]), codec.decode(data), atol=1e-5)


def test_what_a_stream_may_not_be():
    with pytest.raises(InputError, match="no samples"):
        encoder().finish()
    with pytest.raises(InputError, match="channels"):
        encoder().write(tone(10, 2))
    with pytest.raises(InputError):
        SoundEncoder(RATE, 3, model=MODEL)
    with pytest.raises(InputError, match="length is known"):
        SoundLayout(sample_rate=RATE, channels=1, samples=0)


def test_lengths_that_lie_are_refused_by_both_readers():
    data = streamed(tone(2000), True)
    chunks = contents_of(data)
    first, second = (n for n, (kind, _) in enumerate(chunks) if kind == b"LSND")
    length = chunks[second][1]
    bad = [(second, length[:9] + struct.pack("<I", samples)) for samples in (0, 1, 800, 1600, 2401, 2**32 - 1)]
    bad += [(second, b"\0" + length[1:]), (second, length[:-1]), (first, length)]
    for place, payload in bad:
        changed = [*chunks]
        changed[place] = b"LSND", payload
        file = data[:8] + b"".join(frame(*chunk) for chunk in changed)
        with pytest.raises(CorruptFile):
            parse(file)
        with pytest.raises(CorruptFile):
            LecFile.open(Trickle(file)).load()
        with pytest.raises(reader.Refused) as refused:
            reader.read_file(file)
        assert refused.value.name == "CorruptFile"
    for order in ([0, 1, 3, 2, 4, 5], [0, 1, 2, 3, 4], [0, 1, 3, 4, 2, 5]):
        file = data[:8] + b"".join(frame(*chunks[n]) for n in order if n < len(chunks))
        with pytest.raises(CodecError):
            parse(file)
        with pytest.raises(reader.Refused):
            reader.read_file(file)


def wav(x: np.ndarray, length: int | None) -> bytes:
    layout = SoundLayout(sample_rate=RATE, channels=x.shape[1], samples=len(x))
    return wav_head(layout, length) + x.astype("<i2").tobytes()


def test_a_wav_of_unknown_length_is_read_as_it_comes():
    x = tone(5000, 2)
    signal = stream_sound(Trickle(wav(x, None), 100), 0.5)
    assert signal.sound_layout.streamed and signal.exact is not None
    np.testing.assert_array_equal(np.concatenate(list(signal.exact())), x)


@pytest.mark.parametrize("lossless", [False, True])
def test_live_on_the_command_line(tmp_path, monkeypatch, lossless):
    """A pipe in, a file out, and from that a pipe out again."""
    monkeypatch.chdir(tmp_path)
    x = tone(3000)
    how = ["--lossless"] if lossless else ["--model", str(MODEL)]

    def run(arguments: list[str], data: bytes) -> bytes:
        ends = os.pipe(), os.pipe()
        got: list[bytes] = []

        def feed() -> None:
            with os.fdopen(ends[0][1], "wb") as file:
                file.write(data)

        def take() -> None:
            with os.fdopen(ends[1][0], "rb") as file:
                got.append(file.read())

        threads = [threading.Thread(target=each) for each in (feed, take)]
        for thread in threads:
            thread.start()
        with (
            os.fdopen(ends[0][0], "rb") as source,
            os.fdopen(ends[1][1], "wb") as sink,
            monkeypatch.context() as patch,
        ):
            patch.setattr("sys.stdin", io.TextIOWrapper(source))
            patch.setattr("sys.stdout", io.TextIOWrapper(sink))
            with pytest.raises(SystemExit) as done:
                main(arguments)
            assert not done.value.code
        for thread in threads:
            thread.join()
        return got[0]

    coded = run(["encode", "-", "--live", "--segment", "0.1", *how], wav(x, None))
    assert parse(coded).header.layout.units == 4
    back = run(["decode", "-", *how[1 * lossless :]], coded)
    Path("back.wav").write_bytes(back)
    found = load_sound("back.wav")
    assert found.sound_layout.samples == 3000
    if lossless:
        assert found.exact is not None
        np.testing.assert_array_equal(np.concatenate(list(found.exact())), x)
    Path("x.wav").write_bytes(wav(x, 3000))
    Path("x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for line in ("encode x.wav --live --kbps 8", "encode x.png --live"):
        with pytest.raises(SystemExit) as done:
            main(line.split())
        assert done.value.code == 1
