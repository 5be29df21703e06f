"""The sound codec: lengths, rates, targets, seams, parts, damage; the files that sounds come from and go to."""

from __future__ import annotations

import io
import json
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import lecodec
from lecodec.bitstream import LecFile, SoundLayout, frame, parse
from lecodec.codec.codec import Target
from lecodec.codec.media.medium import SOUND, medium_of
from lecodec.codec.media.part import Frames
from lecodec.codec.media.sound_files import load_sound
from lecodec.codec.media.sound_signal import array_signal, sound_signal
from lecodec.codec.media.sound_write import integers, write_sound_signal
from lecodec.codec.model_file import load_tensors, parse_tensors, read_card, save_model
from lecodec.codec.sound import SoundCodec
from lecodec.codec.transforms.sound import Mdct, hop_of, noise
from lecodec.entropy.bands import StepRule
from lecodec.entropy.envelope_coding import EnvelopeCoding
from lecodec.entropy.run_numpy import NumpyRuntime
from lecodec.entropy.run_torch import TorchRuntime
from lecodec.errors import CodecError, InputError, LimitExceeded, UnknownModel

from .. import reader
from ..container_examples import contents_of
from ..make_golden_sound import FOLDER, latents_digest
from ..sound_reader import sound_digest, sound_latents

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def codec() -> SoundCodec:
    return lecodec.load(model=GOLDEN / "tiny-sound.safetensors", of=SoundCodec)


def tones(n: int, channels: int = 1, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Partials whose loudness changes, and some noise: float32 [n, channels]."""
    rng, t = np.random.default_rng(seed), np.arange(n)[:, None] / rate
    x = sum(0.2 / k * np.sin(2 * np.pi * (180 + 20 * np.arange(channels)) * k * t + k) for k in range(1, 6))
    return (x * (1 + 0.5 * np.sin(5 * t)) + 0.01 * rng.normal(size=(n, channels))).astype(np.float32)


def snr(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()))


# -- the transform


@pytest.mark.parametrize("hop", [1, 5, 160, 441, 960])
def test_the_transform_and_its_inverse_give_the_samples_back(hop):
    x = torch.randn(2, 6 * hop, generator=torch.Generator().manual_seed(0))
    mdct = Mdct(hop, hop)
    back = mdct.inverse(mdct(x))
    torch.testing.assert_close(back, x[:, hop:-hop], atol=2e-5, rtol=1e-4)


def test_a_tone_is_as_loud_at_every_rate():
    found = []
    for rate in (16000, 44100, 48000):
        t = torch.arange(20 * hop_of(rate), dtype=torch.float64) / rate
        spectrum = Mdct(hop_of(rate), 320)((0.3 * torch.sin(2 * np.pi * 1000 * t)).float()[None])
        found.append(float(spectrum.square().sum(1).mean()))
    assert found == pytest.approx([found[0]] * 3, rel=0.05)


def test_noise_is_the_same_everywhere():
    found = noise(1, 7, 5)
    assert abs(float(noise(0, 960, 50).std()) - 1) < 0.01
    assert np.float32(found[0, 0]) == found[0, 0] and not np.array_equal(found, noise(0, 7, 5))
    np.testing.assert_array_equal(noise(1, 9, 8)[:7, :5], found)


# -- the codec


@pytest.mark.parametrize(
    ("n", "channels", "rate"),
    [(1, 1, 16000), (319, 2, 44100), (9601, 2, 48000), (4001, 1, 8000), (5000, 1, 11025), (7001, 2, 22050)]
    + [(3000, 1, 96000), (77, 1, 1000), (8001, 1, 12000), (6400, 2, 32000)],
)
def test_lengths_rates_and_channels_come_back(codec, n, channels, rate):
    x = tones(n, channels, rate)
    data = codec.encode(x, rate, 90)
    back = codec.decode(data)
    assert back.shape == x.shape and back.dtype == np.float32
    facts = lecodec.info(data)
    assert (facts["samples"], facts["sample_rate"], facts["channels"]) == (n, rate, channels)
    assert facts["kbps"] == pytest.approx(8 * len(data) * rate / n / 1000)
    assert snr(x, back) > 12
    codec.test(data)


@pytest.mark.parametrize("x", [np.zeros(5000), np.ones(5000), np.tile([1.0, -1.0], 2500), np.full(3000, 1e-7)])
def test_silence_full_scale_and_dc(codec, x):
    back = codec.decode(codec.encode(x, 16000, 100))[:, 0]
    assert np.abs(back).max() <= 1 and np.abs(back - x).mean() < 0.1


def test_integers_of_all_depths_are_taken(codec):
    x = tones(2000)
    for dtype, scale in ((np.int16, 32767), (np.int32, 2**31 - 1), (np.float64, 1), (np.float32, 1)):
        data = codec.encode((x * scale).astype(dtype), 16000, 90)
        assert snr(x, codec.decode(data)) > 20
        assert lecodec.info(data)["floating"] == (np.dtype(dtype).kind == "f")
    for bad in (np.zeros((3, 3)), np.array([np.nan]), np.zeros(0), np.array(["a"]), np.zeros((2, 2, 2))):
        with pytest.raises(InputError):
            codec.encode(bad, 16000)
    with pytest.raises(LimitExceeded):
        codec.encode(x, 400000)
    with pytest.raises(InputError):
        codec.encode(x, 100)


def test_quality_is_a_rate_and_a_fidelity(codec):
    x, sizes, fidelity = tones(16000), [], []
    for quality in (5, 40, 70, 100):
        data = codec.encode(x, 16000, quality)
        sizes.append(len(data))
        fidelity.append(snr(x, codec.decode(data)))
    assert sizes == sorted(sizes) and sizes[-1] > 4 * sizes[0]
    assert fidelity == sorted(fidelity) and fidelity[-1] > 25


@pytest.mark.parametrize("kbps", [6, 24])
def test_kbps_are_met(codec, kbps):
    data = codec.encode(tones(160000), 16000, kbps=kbps, segment=2)
    assert lecodec.info(data)["kbps"] == pytest.approx(kbps, rel=0.03)


def test_a_size_is_met_and_other_targets_are_refused(codec):
    x = tones(32000)
    assert 0.95 * 4000 < len(codec.encode(x, 16000, size=4000)) <= 4000
    with pytest.raises(InputError, match="it takes"):
        codec.encode(x, 16000, size=50)
    with pytest.raises(InputError, match="out of reach"):
        codec.encode(x, 16000, kbps=2000)
    with pytest.raises(InputError, match="not to bpp"):
        codec.encode_signals([array_signal(x, 16000)], lecodec.codec.codec.Target("bpp", 1.0))


def test_segments_meet_without_a_seam(codec):
    """The error at the edges of segments is that of elsewhere, and that of one segment."""
    x = tones(16000 * 8)
    hop, step = 320, 50 * 320
    errors = []
    for segment in (1.0, 8.0):
        data = codec.encode(x, 16000, 70, segment=segment)
        assert lecodec.info(data)["segments"] == 8 / segment
        errors.append(((codec.decode(data) - x) ** 2)[:, 0])
    cut, whole = errors
    near = np.concatenate([cut[k * step - hop // 2 : k * step + hop // 2] for k in range(1, 8)])
    there = np.concatenate([whole[k * step - hop // 2 : k * step + hop // 2] for k in range(1, 8)])
    assert near.mean() < 1.5 * cut.mean() and near.mean() < 1.5 * there.mean()
    assert near.max() < 3 * max(cut.max(), whole.max())


def test_a_long_sound_comes_in_stretches_of_any_length(codec):
    x = tones(40000, 2)
    layout = SoundLayout(sample_rate=16000, channels=2, segment=40, samples=len(x))
    whole = codec.encode_signals([sound_signal(lambda: iter((x,)), layout)], lecodec.codec.codec.Target())[0]
    for size in (1000, 12800, 13000, 39999):
        blocks = [x[at : at + size] for at in range(0, len(x), size)]
        signal = sound_signal(lambda blocks=blocks: iter(blocks), layout)
        assert codec.encode_signals([signal], lecodec.codec.codec.Target())[0] == whole
    for wrong in (x[:-1], np.concatenate([x, x[:1]])):
        with pytest.raises(InputError):
            codec.encode_signals([sound_signal(lambda w=wrong: iter((w,)), layout)], lecodec.codec.codec.Target())


def test_parts_are_as_in_the_whole(codec):
    x = tones(50000, 2)
    data = codec.encode(x, 16000, 60, segment=0.5)
    whole = codec.decode(data)
    for part, first, stop in (
        (Frames(0.25, 1.5, True), 4000, 24000),
        (Frames(3.1, None, True), 49600, 50000),
        (Frames(7999, 8001), 7999, 8001),
        (Frames(0, 50000), 0, 50000),
    ):
        (found,) = codec.decode_files([LecFile.open(data)], part)
        np.testing.assert_allclose(found.samples, whole[first:stop], atol=1e-5)
    for part in (Frames(2, 1, True), Frames(9.0, None, True), Frames(0, 50001)):
        with pytest.raises(InputError):
            codec.decode_files([LecFile.open(data)], part)


def test_runtimes_and_batches_decode_the_same_latents(codec):
    x = tones(30000, 2, 44100)
    data = codec.encode(x, 44100, 50, segment=0.2)
    file = LecFile.open(data)
    wanted = [codec.latents(data, n) for n in range(file.layout.units)]
    for runtime in (NumpyRuntime(), TorchRuntime("cpu"), TorchRuntime("cpu", wide=True)):
        coding = codec.entropy.of(882, 2)
        for n, (chunk, _) in enumerate(LecFile.open(data).read(range(file.layout.units))):
            from lecodec.entropy.coder import Reader

            frames = wanted[n].envelope.shape[-1]
            found = coding.traverse([Reader(chunk.payload)], (frames,), [file.header.quality], device=runtime)[0]
            assert found.digest() == wanted[n].digest() == chunk.digest


def test_other_files_and_models_are_refused(codec, tiny_model):
    picture = lecodec.encode(np.zeros((20, 20), np.uint8), model=tiny_model)
    with pytest.raises(UnknownModel, match="holds no sound"):
        codec.decode(picture)
    with pytest.raises(CodecError):
        lecodec.load(model=tiny_model).decode(codec.encode(tones(100), 16000))
    with pytest.raises(InputError, match="codes sounds"):
        signal = lecodec.codec.media.signal.picture_signal(np.zeros((20, 20), np.uint8))
        codec.encode_signals([signal], lecodec.codec.codec.Target())


# -- files


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    """int16 [n, channels], by the standard library."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def read_back(path: Path) -> tuple[np.ndarray, int]:
    """What FFmpeg decodes, float32 [n, channels], and the rate."""
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        to = av.AudioResampler("flt", stream.layout.name)
        parts = [p.to_ndarray().reshape(-1, stream.channels) for f in file.decode(stream) for p in to.resample(f)]
        return np.concatenate(parts), stream.rate


def test_names():
    assert medium_of("a.FLAC") is SOUND and medium_of("x/y.opus") is SOUND
    assert [SOUND.back(n) for n in ("a.mp3", "a.aiff", "a")] == ["a.mp3", "a.wav", "a.wav"]


def test_a_wav_file_is_read_to_the_sample(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, (12345, 2)).astype(np.int16)
    write_wav(tmp_path / "a.wav", samples, 22050)
    signal = load_sound(tmp_path / "a.wav")
    layout = signal.sound_layout
    assert (layout.samples, layout.channels, layout.sample_rate) == (12345, 2, 22050)
    assert (layout.bit_depth, layout.floating) == (16, 0) and not signal.notes
    np.testing.assert_array_equal(integers(np.concatenate(list(signal.blocks())), 16), samples)
    with open(tmp_path / "a.wav", "rb") as pipe:
        np.testing.assert_array_equal(np.concatenate(list(load_sound(pipe).blocks())) * 32768, samples)


@pytest.mark.parametrize(("depth", "floating"), [(8, 0), (16, 0), (24, 0), (32, 0), (32, 1)])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_and_flac_are_written_with_the_sources_bits(tmp_path, depth, floating, channels):
    x = tones(1001, channels)
    layout = SoundLayout(sample_rate=16000, channels=channels, bit_depth=depth, floating=floating, samples=1001)
    signal = sound_signal(lambda: iter((x[:400], x[400:])), layout)
    for suffix in (".wav", ".flac"):
        path = tmp_path / f"a{suffix}"
        write_sound_signal(signal, path)
        found, rate = read_back(path)
        bits = min(depth, 24) if suffix == ".flac" else depth
        assert rate == 16000 and found.shape == x.shape
        exact = floating and suffix == ".wav"
        np.testing.assert_allclose(found, x, atol=0 if exact else 2.0 ** (1 - bits) * 0.501 + 1e-7)
        again = load_sound(path).sound_layout
        wanted = (24, 0) if suffix == ".flac" and bits == 24 else (depth, floating)
        if suffix == ".wav" or depth > 8:
            assert (again.bit_depth, again.floating, again.samples) == (*wanted, 1001)
    data = (tmp_path / "a.wav").read_bytes()
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".mp3", ".m4a"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 1), (44100, 2)])
def test_formats_with_loss_are_written_and_read(tmp_path, suffix, rate, channels):
    x = tones(rate, channels, rate)
    layout = SoundLayout(sample_rate=rate, channels=channels, samples=rate)
    path = tmp_path / f"a{suffix}"
    _, notes = write_sound_signal(sound_signal(lambda: iter((x,)), layout), path)
    found = load_sound(path)
    there = found.sound_layout.sample_rate
    assert bool(notes) == (there != rate and suffix == ".opus" and rate not in (8000,)) or suffix == ".opus"
    assert found.sound_layout.channels == channels
    assert float(found.sound_layout.seconds) == pytest.approx(1, abs=0.06)


def test_what_cannot_be_written_is_refused(tmp_path):
    signal = array_signal(tones(100), 16000)
    for name in ("a.xyz", "a"):
        with pytest.raises(InputError, match="a sound is written as"):
            write_sound_signal(signal, tmp_path / name)
    with pytest.raises(InputError):
        write_sound_signal(signal, tmp_path / "a", folder=True)
    assert not list(tmp_path.iterdir())


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF nonsense" * 9)
    with pytest.raises(InputError):
        load_sound(tmp_path / "a.wav")
    with pytest.raises(OSError):
        load_sound(tmp_path / "missing.wav")
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 136, b"WAVE", b"fmt ", 16, 1, 0, 8000, 16000, 2, 16, b"data", 100
    )
    with pytest.raises(InputError, match="Invalid argument"):  # no channels, so that FFmpeg has no format for samples
        load_sound(io.BytesIO(header + bytes(100)))
    with av.open(str(tmp_path / "b.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=Fraction(5))
        stream.width = stream.height = 16
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")))
        file.mux(stream.encode(None))
    with pytest.raises(InputError, match="no sound"):
        load_sound(tmp_path / "b.mkv")


# -- golden files, and FORMAT.md read by an independent reader

EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def test_every_golden_sound_is_expected_to_do_something():
    found = {path.stem for path in FOLDER.glob("*.lec")}  # those of released models: test_shipped_sound
    assert {name for name in found if not name.startswith("released-")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_sounds_decode_as_they_did(codec, name):
    """Latents to the bit; samples within a few steps of 16 bits, since the synthesis is float."""
    data, samples = (FOLDER / f"{name}.lec").read_bytes(), np.load(FOLDER / f"{name}.npy")
    assert latents_digest(codec, data) == EXPECTED[name]
    np.testing.assert_allclose(codec.decode(data) * 32767, samples, atol=4)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_independent_reader_finds_the_same_latents(codec, name):
    """Sections 22 and 26 to 28 of FORMAT.md."""
    data = (FOLDER / f"{name}.lec").read_bytes()
    tiny = reader.Model(GOLDEN / "tiny-sound.safetensors")
    file, parsed = reader.read_file(data), parse(data)
    header = parsed.header
    assert file.header["parse_digest"] == sound_digest(tiny) == codec.parse_digest
    fields = {n: getattr(header if hasattr(header, n) else header.layout, n) for n in file.header if n != "alpha"}
    assert fields == {n: v for n, v in file.header.items() if n != "alpha"}
    assert file.data == [(c.digest, c.payload) for c in parsed.data]
    for number in {0, len(file.data) - 1}:
        found = sound_latents(tiny, file, number)
        for ours, theirs in zip(codec.latents(data, number).levels, found, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_model_whose_steps_are_its_own_codes_and_is_read_independently(tmp_path):
    """Section 27: the tensor `steps`."""
    path = GOLDEN / "tiny-sound.safetensors"
    rule = StepRule.of(110, -155, 75)
    steps = np.array([rule.slope, *rule.floor], np.int32)
    tensors, card = {**load_tensors(path), "parse.steps": steps}, {**read_card(path).card, "name": "own-steps"}
    card["parse_digest"] = EnvelopeCoding(parse_tensors(tensors)).digest().hex()
    own = save_model(tensors, card, tmp_path / "own-steps.safetensors")
    codec, usual = lecodec.load(model=own, of=SoundCodec), lecodec.load(model=path, of=SoundCodec)
    sound = tones(9000, 2)
    data = codec.encode(sound, 16000, 70, segment=0.2)
    back = codec.decode(data)
    assert np.array_equal(back, lecodec.decode(data, model=own)) and snr(sound, back) > 3
    assert data != usual.encode(sound, 16000, 70, segment=0.2)
    with pytest.raises(UnknownModel):
        usual.decode(data)
    mine, file = reader.Model(own), reader.read_file(data)
    assert file.header["parse_digest"] == sound_digest(mine) == codec.parse_digest
    for number in range(len(file.data)):
        for ours, theirs in zip(codec.latents(data, number).levels, sound_latents(mine, file, number), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_reader_and_package_refuse_the_same_headers():
    good = (FOLDER / "mono.lec").read_bytes()
    chunks = contents_of(good)
    place = next(n for n, (kind, _) in enumerate(chunks) if kind == b"LSND")
    layout = chunks[place][1]
    bad = [layout[:at] + bytes([value]) + layout[at + 1 :] for at in range(len(layout)) for value in (0, 3, 255)]
    refused = 0
    for payload in (*bad, layout[:-1], layout + b"\0"):
        chunks[place] = b"LSND", payload
        data = good[:8] + b"".join(frame(*chunk) for chunk in chunks)
        try:
            parse(data)
            found = None
        except CodecError as error:
            found = type(error).__name__
        try:
            reader.read_file(data)
            theirs = None
        except reader.Refused as error:
            theirs = error.name
        assert found == theirs, payload.hex()
        refused += found is not None
    assert refused > 10


def test_effort_is_refused(codec):
    """It was ignored without a word."""
    with pytest.raises(InputError, match="effort is of pictures"):
        codec.encode_signals([array_signal(tones(800), 16000)], Target("quality", 50, effort=2))
