"""eval/: the codecs under test that test_eval.py does not have: JPEG 2000, HEVC, the identity, sounds, plug-ins."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from lecodec.errors import CodecError, InputError
from lecodec.eval.codecs import peers
from lecodec.eval.codecs.codec import estimate_of, suffix_of
from lecodec.eval.codecs.peers import codec_by_name
from lecodec.eval.codecs.plugins import is_plugin, plugin_codec
from lecodec.eval.codecs.sound import MP3_MIN, sound_codec_by_name
from lecodec.eval.quality import metrics

NEW = ("jpeg2000", "hevc", "identity")
SIZES = ((1, 1), (1, 7), (7, 1), (5, 33), (33, 5), (17, 31), (65, 33), (200, 1))


def photo(height: int = 131, width: int = 173, seed: int = 0) -> np.ndarray:
    """Smooth shapes, edges and a little noise, uint8 [H, W, 3]."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 24.0
    waves = [np.sin(columns * a + rows * b + c) for a, b, c in random.uniform(0.5, 3, (3, 3))]
    picture = 128 + 60 * np.stack(waves, -1) + 40 * ((rows // 1 + columns // 1) % 2)[..., None]
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


# --- pictures


@pytest.mark.parametrize("name", ["jpeg2000", "hevc"])
def test_quality_and_size_rise_along_the_ladder(name):
    codec, original = codec_by_name(name), photo(256, 341)
    assert codec.name == name and len(codec.ladder) >= 8 and len(set(codec.ladder)) == len(codec.ladder)
    files = [codec.encode(original, setting) for setting in codec.ladder]
    sizes = [len(data) for data in files]
    quality = [metrics.psnr(original, codec.decode(data)) for data in files]
    assert sizes == sorted(set(sizes)) and quality == sorted(set(quality))
    assert math.isnan(estimate_of(codec, original, codec.ladder[0]))


def test_the_setting_of_jpeg2000_is_the_ratio_to_24_bits_a_pixel():
    codec, original = codec_by_name("jpeg2000"), photo(256, 341)
    for setting in (240, 24, 12):
        assert 24 * original.size / 3 / 8 / len(codec.encode(original, setting)) == pytest.approx(setting, rel=0.05)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back(name, size):
    codec, original = codec_by_name(name), photo()[: size[0], : size[1]]
    original = np.resize(photo(200, 64), (*size, 3)) if original.shape[:2] != size else original
    for setting in (codec.ladder[0], codec.ladder[-1]):
        data = codec.encode(original, setting)
        decoded = codec.decode(data)
        assert isinstance(data, bytes) and decoded.shape == original.shape and decoded.dtype == np.uint8
    assert metrics.psnr(original, decoded) > 18


@pytest.mark.parametrize("name", NEW)
def test_what_is_no_file_of_theirs_is_a_codec_error(name):
    codec = codec_by_name(name)
    whole = codec.encode(photo(), codec.ladder[0])
    for data in (b"", b"x", whole[:20], b"\0" * 500):
        with pytest.raises(CodecError):
            codec.decode(data)


def test_identity_changes_nothing():
    codec, original = codec_by_name("identity"), photo()
    assert codec.ladder == (0,) and (codec.decode(codec.encode(original, 0)) == original).all()


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 30, 90), (17, 18, 19)]
)
def test_hevc_brings_colours_back(colour):
    """A wrong matrix, or the studio range taken for the full one, is off by far more than 2."""
    codec, original = codec_by_name("hevc"), np.full((40, 51, 3), colour, np.uint8)
    decoded = codec.decode(codec.encode(original, codec.ladder[-1]))
    assert np.abs(decoded.astype(int) - original).max() <= 2


def test_the_hevc_stream_says_what_its_colours_are():
    av = pytest.importorskip("av")
    context = av.CodecContext.create("hevc", "r")
    data = codec_by_name("hevc").encode(photo(5, 33), 30)
    (frame,) = [*context.decode(av.Packet(data)), *context.decode(None)]
    assert (frame.width, frame.height, frame.format.name) == (33, 5, "yuv444p")  # cropped by any decoder
    assert (frame.color_range, frame.colorspace) == (2, 6)  # full, BT.601
    assert b"x265" not in data  # 2 kB that name the encoder's options


def test_hevc_without_x265_is_a_sentence(monkeypatch):
    av = pytest.importorskip("av")

    def missing(*_):
        raise ValueError("no such codec")

    monkeypatch.setattr(av, "Codec", missing)
    with pytest.raises(InputError, match=r"without x265.*PyAV 14"):
        codec_by_name("hevc")


def test_older_ladders_and_defaults_stay():
    ladders = {
        "jpeg": (1, 5, 8, 12, 18, 25, 35, 50, 65, 80, 90, 95),
        "webp": (0, 1, 3, 8, 20, 40, 60, 75, 85, 92, 97, 100),
        "avif": (1, 5, 12, 20, 30, 40, 50, 60, 70, 80, 90),
    }
    assert {name: codec_by_name(name).ladder for name in ladders} == ladders
    assert peers.PillowCodec("x", "WEBP", (1,), "").suffix == ".bin"


def test_files_have_the_suffix_of_their_format():
    wanted = {"jpeg": ".jpg", "jpeg2000": ".jp2", "webp": ".webp", "avif": ".avif", "hevc": ".hevc", "identity": ".png"}
    assert {name: suffix_of(codec_by_name(name)) for name in wanted} == wanted
    assert peers.LecodecCodec.suffix == ".lec"


def test_unknown_codecs_are_told_what_there_is():
    with pytest.raises(InputError, match=r"unknown codec 'gif'; .*jpeg2000.*hevc.*identity.*FILE\.py:NAME"):
        codec_by_name("gif")
    with pytest.raises(InputError, match=r"random weights.*compressai:mbt2018-mean@CHECKPOINT"):
        codec_by_name("compressai:mbt2018-mean")


def test_a_checkpoint_of_compressai_goes_to_its_own_loader(monkeypatch):
    from lecodec.eval.codecs import compressai as compressai_peer

    calls = []
    monkeypatch.setattr(compressai_peer, "compressai_codec", lambda *given: calls.append(given), raising=False)
    codec_by_name("compressai:mbt2018@a:b@c.pth", "cuda")
    assert calls == [("mbt2018@a:b@c.pth", "cuda")]


# --- luma and sounds


def test_psnr_of_luma():
    a = np.full((20, 30, 3), 100, np.uint8)
    green = a.copy()
    green[..., 1] += 10
    assert metrics.psnr_y(a, a) == math.inf
    assert metrics.psnr_y(a, green) == pytest.approx(20 * math.log10(255 / 5.87))
    assert metrics.psnr_y(green, a) == metrics.psnr_y(a, green)
    assert metrics.psnr_y(a, a + 1) == pytest.approx(metrics.psnr(a, a + 1))  # of grey errors they are the same
    swapped = np.array([[[100, 100, 100]]], np.uint8), np.array([[[214, 100, 0]]], np.uint8)
    assert metrics.psnr_y(*swapped) > 20 > metrics.psnr(*swapped) + 10  # colour errors count less
    with pytest.raises(InputError):
        metrics.psnr_y(a, a[:-1])
    assert list(metrics.METRICS) == ["psnr", "psnr_y", "ms_ssim"] and list(metrics.SOUND_METRICS) == ["snr", "si_sdr"]


def test_signal_to_noise_ratios():
    random = np.random.default_rng(0)
    s, noise = random.normal(0, 0.1, 8000).astype(np.float32), random.normal(0, 1, 8000).astype(np.float32)
    noise -= (noise @ s) / (s @ s) * s  # orthogonal
    noise *= np.linalg.norm(s) / np.linalg.norm(noise) / 10
    assert metrics.snr_db(s, s) == metrics.si_sdr(s, s) == math.inf
    assert metrics.snr_db(s, s + noise) == pytest.approx(20, abs=1e-3)
    assert metrics.si_sdr(s, s + noise) == pytest.approx(20, abs=1e-3)
    assert metrics.si_sdr(s, (s + noise) / 4) == pytest.approx(20, abs=1e-3)  # volume costs nothing
    assert metrics.snr_db(s, s / 2) == pytest.approx(20 * math.log10(2), abs=1e-3)
    assert metrics.si_sdr(s, np.zeros_like(s)) == -math.inf
    assert math.isnan(metrics.snr_db(0 * s, s)) and math.isnan(metrics.si_sdr(0 * s, s))
    for wrong in (s[:-1], s[None], (s * 32768).astype(np.int16), s * math.nan):
        for ratio in metrics.SOUND_METRICS.values():
            with pytest.raises(InputError):
                ratio(s, wrong)


def chirp(length: int, rate: int) -> np.ndarray:
    """A tone that rises from 200 Hz to a third of the sample rate (3 kHz at most), float32 [T]."""
    t, high = np.arange(length) / rate, min(3000, rate / 3)
    return (0.5 * np.sin(2 * np.pi * (200 * t + (high - 200) * rate / (2 * length) * t * t))).astype(np.float32)


def agreement(a: np.ndarray, b: np.ndarray) -> tuple[int, float]:
    """(lag in samples at which two sounds agree best, their correlation without any)."""
    products = np.fft.irfft(np.fft.rfft(a, 2 * len(a)).conj() * np.fft.rfft(b, 2 * len(a)))
    lag = int(np.argmax(products))
    return lag - len(products) * (lag > len(a)), float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("name", ["opus", "mp3"])
def test_sounds_come_back_in_step(name, rate):
    codec, original = sound_codec_by_name(name, rate), chirp(2 * rate + 123, rate)
    assert codec.name == name and codec.sample_rate == rate and len(codec.ladder) >= 8
    setting = codec.ladder[-1]
    data = codec.encode(original, setting)
    decoded = codec.decode(data)
    assert decoded.shape == original.shape and decoded.dtype == np.float32 and np.abs(decoded).max() <= 1
    assert 0.9 * setting < 8 * len(data) / 1000 / (len(original) / rate) < 1.2 * setting + 2
    lag, correlation = agreement(original, decoded)
    assert lag == 0 and correlation > 0.99
    assert data == codec.encode(original, setting)  # no serial number drawn at random


@pytest.mark.parametrize("name", ["opus", "opus-voip"])
@pytest.mark.parametrize("setting", [8, 24, 48])
def test_opus_is_decoded_by_its_own_decoder(setting, name):
    """FFmpeg's turned part of this tone into noise at 48 kbit/s, and was 0.13 ms late at 8."""
    codec, original = sound_codec_by_name(name, 16000), chirp(32123, 16000)
    lag, correlation = agreement(original, codec.decode(codec.encode(original, setting)))
    assert abs(lag) <= 0.0001 * 16000 and correlation > 0.8


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("name", ["opus", "mp3", "flac", "identity"])
def test_sounds_of_any_length_keep_it(name, rate):
    """MP3: just above a multiple of its frame, LAME adds a frame that FFmpeg does not count as padding."""
    codec, original = sound_codec_by_name(name, rate), chirp(6000, rate)
    for length in (1, 2, 47, 63, 64, 65, 576, 577, 600, 623, 960, 1152, 1153, 1190, 1199, 1200, 2305, 5999):
        if name == "mp3" and length < MP3_MIN:
            with pytest.raises(CodecError, match=f"at least {MP3_MIN} samples"):
                codec.encode(original[:length], codec.ladder[-1])
        else:
            assert len(codec.decode(codec.encode(original[:length], codec.ladder[-1]))) == length


def test_the_corrected_field_of_an_mp3_file_has_its_checksum():
    """FFmpeg's own file, whose length it tells right, must not change by a bit."""
    from lecodec.eval.codecs import sound as sound_peers

    tags = {**sound_peers._BITEXACT, "id3v2_version": "0"}
    for rate in (8000, 44100):
        for sound in (chirp(2000, rate), np.stack([chirp(2000, rate)] * 2, 1)):
            plain = sound_peers._write(sound, rate, "mp3", "libmp3lame", 64000, tags)
            assert sound_peers._with_length(plain, 2000) == plain


@pytest.mark.parametrize("name", ["opus", "mp3", "flac", "identity", "lecodec"])
def test_two_channels_stay_two_and_apart(name):
    rate = 44100
    codec, left = sound_codec_by_name(name, rate), chirp(20001, rate)
    original = np.stack([left, np.roll(left[::-1], 999) / 3], 1)
    decoded = codec.decode(codec.encode(original, codec.ladder[-1]))
    assert decoded.shape == original.shape and decoded.dtype == np.float32
    of_itself, of_other = (metrics.si_sdr(original[:, 1], decoded[:, channel]) for channel in (1, 0))
    assert of_itself > max(8, of_other + 10)


@pytest.mark.parametrize("name", ["opus", "mp3"])
def test_more_bits_make_sounds_better(name):
    codec, original = sound_codec_by_name(name, 16000), chirp(16000, 16000)
    files = [codec.encode(original, setting) for setting in codec.ladder]
    sizes = [len(data) for data in files]
    assert sizes == sorted(set(sizes))
    low, high = (metrics.si_sdr(original, codec.decode(data)) for data in (files[0], files[-1]))
    assert high > low + 5


def test_a_wav_file_changes_nothing_and_wastes_nothing():
    codec, original = sound_codec_by_name("identity", 16000), chirp(3001, 16000)
    of_integers = (np.rint(original * 32768) / 32768).astype(np.float32)
    for sound, width in ((original, 4), (of_integers, 2), (np.full(7, 1.0, np.float32), 4), (-np.ones(7, "f4"), 2)):
        data = codec.encode(sound, 0)
        assert (codec.decode(data) == sound).all() and len(data) - width * len(sound) < 100
    assert codec.ladder == (0,) and suffix_of(codec) == ".wav"


def test_flac_rounds_to_16_bits_and_is_smaller_than_wav():
    flac, wav = (sound_codec_by_name(name, 16000) for name in ("flac", "identity"))
    original = chirp(16000, 16000)
    of_integers = (np.rint(original * 32768).clip(-32768, 32767) / 32768).astype(np.float32)
    data = flac.encode(original, 0)
    assert (flac.decode(data) == of_integers).all() and suffix_of(flac) == ".flac"
    assert len(data) < len(wav.encode(of_integers, 0))
    assert (flac.decode(flac.encode(np.full(500, 1.0, np.float32), 0)) == 32767 / 32768).all()


def test_opus_for_speech_writes_other_bytes():
    """At rates at which libopus has a choice of modes."""
    sound = chirp(16000, 16000)
    files = [sound_codec_by_name(name, 16000).encode(sound, 16) for name in ("opus", "opus-voip")]
    assert files[0] != files[1]


@pytest.mark.parametrize("name", ["opus", "mp3", "flac", "identity"])
def test_what_is_no_sound_is_refused(name):
    codec, sound = sound_codec_by_name(name, 16000), chirp(2000, 16000)
    for wrong in (sound.astype(np.float64), sound[None], sound[:0], sound * math.nan):
        with pytest.raises(InputError, match="expected a sound"):
            codec.encode(wrong, codec.ladder[0])
    for data in (b"", b"x" * 100, codec.encode(sound, codec.ladder[0])[:30]):
        with pytest.raises(CodecError):
            codec.decode(data)


def test_sample_rates_that_a_codec_lacks_are_named():
    with pytest.raises(InputError, match=r"8000, 11025.*48000 Hz, not 16001"):
        sound_codec_by_name("mp3", 16001)
    with pytest.raises(InputError, match="up to 48000 Hz"):
        sound_codec_by_name("opus", 96000)
    with pytest.raises(InputError, match="above 0"):
        sound_codec_by_name("identity", 0)
    with pytest.raises(InputError, match="opus, opus-voip, mp3, flac, identity"):
        sound_codec_by_name("vorbis", 16000)


# --- plug-ins

PLUGIN = """
import zlib
import numpy as np

class Good:
    name, ladder, description, suffix = "good", (1, 2.5, 4), "a plug-in of the tests", ".z"
    def encode(self, rgb, setting):
        self.seen = setting
        rgb //= 2  # its copy, not the original
        return repr(rgb.shape).encode() + b"|" + zlib.compress(rgb.tobytes())
    def decode(self, data):
        shape, _, body = data.partition(b"|")
        shape = tuple(int(n) for n in shape.decode().strip("(,)").split(","))
        return 2 * np.frombuffer(zlib.decompress(body), np.uint8).reshape(shape)

class Estimates(Good):
    def estimate(self, rgb, setting):
        return rgb.size

class Sound(Good):
    def __init__(self, sample_rate):
        self.description = f"sound at {sample_rate}"
    def encode(self, sound, setting):
        return sound.tobytes()
    def decode(self, data):
        return np.frombuffer(data, np.float32)

class Cut(Sound):
    def decode(self, data):
        return np.frombuffer(data, np.float32) / np.float32(0)

def factory():
    return Good()

instance = Good()

def broken_factory():
    raise RuntimeError("no licence\\nfor this machine")

class NoDecode:
    name, ladder, description = "x", (1,), "x"
    def encode(self, rgb, setting): ...

def with_(**changes):
    return lambda: type("Changed", (Good,), changes)()

empty_name = with_(name=" ")
two_lines = with_(description="a\\nb")
no_ladder = with_(ladder=())
twice = with_(ladder=(1, 1))
words = with_(ladder="low")
infinite = with_(ladder=(1, float("inf")))
impostor = with_(name="identity")
odd_suffix = with_(suffix="../x")
attribute = with_(encode=5)

def leave(self, *_):
    raise SystemExit(3)
def fail(self, *_):
    raise KeyError("tensor")

leaves = with_(encode=leave)
fails = with_(encode=fail, decode=fail, estimate=fail)
text = with_(encode=lambda self, *_: "text", decode=lambda self, _: [[[1, 2, 3]]], estimate=lambda self, *_: "much")
floats = with_(decode=lambda self, _: np.zeros((4, 4, 3)))
grey = with_(decode=lambda self, _: np.zeros((4, 4), np.uint8))
nothing = with_(decode=lambda self, _: np.zeros((0, 4, 3), np.uint8))
"""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "my_codec.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.parametrize("name", ["Good", "factory", "instance"])
def test_a_plug_in_is_a_codec_like_any_other(file, name):
    codec, original = codec_by_name(f"{file}:{name}"), photo()
    before = original.copy()
    assert (codec.name, codec.ladder, suffix_of(codec)) == ("good", (1, 2.5, 4), ".z")
    assert codec.description.startswith(f"a plug-in of the tests; plug-in my_codec.py:{name}, source digest ")
    assert str(file.parent) not in codec.description
    assert (codec.decode(codec.encode(original, 2.0)) == original // 2 * 2).all()
    assert (original == before).all()
    assert math.isnan(estimate_of(codec, original, 1))


def test_plug_ins_of_importable_modules(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)
    assert codec_by_name("my_codec:Estimates").estimate(photo(4, 5), 1) == 60
    sys.modules.pop("my_codec")
    broken = file.with_name("broken_codec.py")
    broken.write_text("import no_such_package_at_all")
    with pytest.raises(InputError, match=r"broken_codec could not be imported.*no_such_package_at_all"):
        codec_by_name("broken_codec:Codec")
    for spec in ("no_such_module_at_all:Codec", "no_such_module_at_all.sub:Codec"):
        with pytest.raises(InputError, match=r"no module 'no_such_module_at_all.*FILE\.py:NAME"):
            codec_by_name(spec)


def test_a_newer_version_of_a_plug_in_describes_itself_differently(file):
    other = file.with_name("other")
    other.mkdir()
    (other / file.name).write_text(PLUGIN + "\n# changed\n")
    assert codec_by_name(f"{file}:Good").description != codec_by_name(f"{other / file.name}:Good").description


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("Missing", "there is no Missing in my_codec.py"),
        ("broken_factory", "could not be made: RuntimeError: no licence$"),
        ("NoDecode", "has no decode: it needs name, ladder, description, encode, decode"),
        ("zlib", "has no name, ladder, description, encode, decode"),
        ("Sound", "could not be made: TypeError"),
        ("empty_name", "name must be a text of one line"),
        ("two_lines", "description must be a text of one line"),
        ("no_ladder", "ladder must be a sequence of different numbers"),
        ("twice", "different numbers"),
        ("words", "different numbers"),
        ("infinite", "different numbers"),
        ("impostor", "name identity is that of the originals"),
        ("odd_suffix", "suffix must look like"),
        ("attribute", "encode must be a method"),
    ],
)
def test_what_a_plug_in_lacks_is_a_sentence(file, name, match):
    with pytest.raises(InputError, match=match) as error:
        codec_by_name(f"{file}:{name}")
    assert "\n" not in str(error.value)


def test_plug_in_files_that_cannot_be_run_are_a_sentence(tmp_path):
    for content, match in (("def f(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("raise SystemExit(0)", "Exit")):
        path = tmp_path / "bad.py"
        path.write_text(content)
        for _ in range(2):  # nothing half made is kept
            with pytest.raises(InputError, match=f"bad.py could not be run: .*{match}"):
                codec_by_name(f"{path}:Codec")
    with pytest.raises(InputError, match="there is no such file"):
        codec_by_name(f"{tmp_path / 'none.py'}:Codec")


def test_what_a_plug_in_does_wrong_is_a_codec_error(file):
    original = photo(4, 4)
    for name, call, match in (
        ("fails", lambda c: c.encode(original, 1), "^good: encode failed: KeyError: 'tensor'$"),
        ("fails", lambda c: c.decode(b""), "^good: decode failed: KeyError"),
        ("fails", lambda c: c.estimate(original, 1), "^good: estimate failed: KeyError"),
        ("leaves", lambda c: c.encode(original, 1), "^good: encode failed: SystemExit: 3"),
        ("Good", lambda c: c.decode(b"(2,2,3)|x"), "^good: decode failed: error: Error -"),
        ("text", lambda c: c.encode(original, 1), "encode must give bytes, not str"),
        ("text", lambda c: c.decode(b""), r"decode must give a uint8 array \[H, W, 3\], not list"),
        ("text", lambda c: c.estimate(original, 1), "estimate must give a number, not str|failed"),
        ("floats", lambda c: c.decode(b""), r"not float64 \[4, 4, 3\]"),
        ("grey", lambda c: c.decode(b""), r"not uint8 \[4, 4\]"),
        ("nothing", lambda c: c.decode(b""), r"not uint8 \[0, 4, 3\]"),
    ):
        with pytest.raises(CodecError, match=match) as error:
            call(codec_by_name(f"{file}:{name}"))
        assert "\n" not in str(error.value)


def test_settings_that_are_integers_stay_integers(file):
    codec = plugin_codec(f"{file}:instance")
    for given, kind in ((1.0, int), (2.5, float), (4, int)):
        codec.encode(photo(2, 2), given)
        assert codec._codec.seen == given and type(codec._codec.seen) is kind


def test_plug_ins_of_sounds_are_told_the_sample_rate(file):
    codec, sound = sound_codec_by_name(f"{file}:Sound", 8000), chirp(500, 8000)
    assert codec.description.startswith("sound at 8000") and codec.sample_rate == 8000
    assert (codec.decode(codec.encode(sound, 1)) == sound).all()
    with pytest.raises(CodecError, match=r"float32 \[500\] with values that are not finite"):
        with np.errstate(all="ignore"):
            sound_codec_by_name(f"{file}:Cut", 8000).decode(sound.tobytes())
    with pytest.raises(CodecError, match="float32 array"):
        picture = sound_codec_by_name(f"{file}:Sound", 8000)
        picture._codec.decode = lambda data: np.zeros((2, 2, 3), np.uint8)
        picture.decode(b"")


def test_what_looks_like_a_plug_in():
    for spec in ("a:B", "a.b:C", "x.py:C", "/some where/x.py:C", "C:/x.py:name", "é:ß"):
        assert is_plugin(spec)
    for spec in ("jpeg:90", "a:", ":b", "a b:c", "a:b c", "a.:b", "x.py", "x-y:C", "", "a..b:c"):
        assert not is_plugin(spec)
