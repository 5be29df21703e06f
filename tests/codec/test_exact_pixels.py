"""The integer replica of the transforms, and files whose pixels are the same on every machine."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import LecFile, PictureLayout
from lecodec.codec.image_transform import _in_numpy, _reaches
from lecodec.codec.latent_model import floats
from lecodec.codec.media.part import Region
from lecodec.codec.model_file import load_tensors, read_card
from lecodec.codec.registry import load
from lecodec.codec.transforms import replica as replicas
from lecodec.codec.transforms.fixed_point import exponential, gains_at, silu_table
from lecodec.codec.transforms.replica import Replica
from lecodec.codec.transforms.sizes import TransformConfig
from lecodec.entropy.hyper_config import HyperConfig
from lecodec.entropy.run_numpy import IntegerRuntime
from lecodec.errors import CorruptFile, InputError, ModelError

from ..container_examples import contents_of
from ..make_golden import file_of, pattern
from ..replica_reader import Replica as FromSpecification

FOLDER = Path(__file__).parents[1] / "golden"


def replica_of(path: Path, place: str = "numpy", **weights: np.ndarray) -> Replica:
    card = read_card(path).card
    config = TransformConfig(**card["transform"])
    found = {**floats(load_tensors(path), "g_a", "g_s"), **weights}
    return Replica(found, config, place=place, **_reaches(config))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_exponentials_are_right_to_a_unit():
    getcontext().prec = 50
    for bits in (16, 24):
        x = np.concatenate([np.arange(-(10 << 20), 10 << 20, 123457), [0, 1, -1]])
        for value, found in zip(x.tolist(), exponential(x, bits).tolist(), strict=True):
            wanted = (Decimal(value) / 2**20).exp() * 2**bits
            assert abs(found - wanted) <= Decimal("0.5001") + wanted / 2**26


def test_the_table_of_silu_is_right_to_a_unit():
    x = np.arange(-(2**15), 2**15)
    wanted = x / (1 + np.exp(-x / 2**11))
    assert np.abs(silu_table(11, 2**15) - wanted).max() < 0.51


def test_gains_are_those_of_the_float_transform():
    codec = load(FOLDER / "tiny-context.safetensors", of=lecodec.ImageCodec)
    table = load_tensors(FOLDER / "tiny-context.safetensors")["g_a.gain_y.value"].astype(np.float32)
    for rate in (0, 1, 3333, 16127, 16128):
        found = np.log(gains_at(table, rate, 16) / 2**16)
        wanted = codec.transform.log_gains(np.array([rate / 256], np.float32))[0]
        np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.parametrize("picture", [pattern(64, 80, 3), noise(64, 80)], ids=["waves", "noise"])
@pytest.mark.parametrize("name", ["tiny", "tiny-context", "tiny-wide"])
def test_the_replica_is_near_the_float_transform(name, picture):
    codec = load(FOLDER / f"{name}.safetensors", of=lecodec.ImageCodec)
    layout = PictureLayout(width=80, height=64, channels=3)
    for rate in (0, 9000, 16128):
        y = codec.transform.analyse([picture], [rate])
        near = codec.replica.analyse([picture], [rate])
        assert np.abs(near - y).max() < 0.02 + 1e-3 * np.abs(y).max()
        y_hat = np.rint(64 * y).astype(np.int32)
        shown = codec.transform.synthesise(y_hat, [rate], layout).astype(int)
        assert np.abs(codec.replica.synthesise(y_hat, [rate], layout) - shown).max() <= 1


@pytest.mark.parametrize("name", ["tiny", "tiny-wide"])
def test_the_replica_is_that_of_the_specification(name):
    path = FOLDER / f"{name}.safetensors"
    replica, card = replica_of(path), read_card(path).card
    spec = FromSpecification(load_tensors(path), bool(card["transform"].get("linear")))
    picture = noise(32, 48)
    for rate in (0, 7001):
        y = replica.analyse([picture], [rate])[0]
        np.testing.assert_array_equal(spec.analysis(picture, rate), 64 * y)
        y_hat = np.random.default_rng(rate).integers(-(2**23), 2**23, y.shape, dtype=np.int32)
        y_hat[:, 0] = (64 * y[:, 0]).astype(np.int32)
        for colours, depth in ((3, 8), (1, 8), (3, 16), (1, 16)):
            layout = PictureLayout(width=48, height=32, channels=colours, bit_depth=depth)
            wanted = spec.synthesis(y_hat, rate, 2**depth - 1, colours == 1)
            np.testing.assert_array_equal(replica.synthesise(y_hat[None], [rate], layout)[0], wanted)


@pytest.mark.parametrize("name", ["tiny", "tiny-wide"])
def test_runtimes_strips_and_windows_change_nothing(name, monkeypatch):
    path, picture, rates = FOLDER / f"{name}.safetensors", noise(112, 160), [4000, 15000]
    replica = replica_of(path)
    layout = PictureLayout(width=160, height=112, channels=3)
    y = replica.analyse([picture, picture[::-1]], rates)
    y_hat = (y * 64).astype(np.int32)
    shown = replica.synthesise(y_hat, rates, layout)
    others = replica_of(path, "cpu"), replica_of(path)
    others[1]._runtime = IntegerRuntime()
    for other in others:
        np.testing.assert_array_equal(other.analyse([picture, picture[::-1]], rates), y)
        np.testing.assert_array_equal(other.synthesise(y_hat, rates, layout), shown)
    monkeypatch.setitem(replicas.STRIP, "cpu", 33)
    replica.window = 40
    for n in range(2):
        np.testing.assert_array_equal(replica.analyse([[picture, picture[::-1]][n]], rates[n : n + 1])[0], y[n])
    np.testing.assert_array_equal(replica.synthesise(y_hat, rates, layout), shown)


def test_residual_blocks_have_a_replica_too():
    rng = np.random.default_rng(1)
    small = {"width8": 8, "width16": 8, "latent": 4, "analysis8": 1, "analysis16": 1, "synthesis8": 1, "synthesis16": 1}
    config, hyper = TransformConfig(**small, block="residual"), HyperConfig(latent=4, hyper=4)
    weights = {
        f"{network}.{name}": rng.normal(0, 0.2, shape).astype(np.float32)
        for network, of in {**config.shapes(), "h_a": hyper.analysis_shapes()}.items()
        for name, shape in of.items()
    }
    flat, replica = _in_numpy(weights, config, hyper), Replica(weights, config, place="numpy", **_reaches(config))
    picture = pattern(48, 64, 3)
    y = flat.analyse([picture], [8000])
    assert np.abs(replica.analyse([picture], [8000]) - y).max() < 0.02 + 1e-3 * np.abs(y).max()


def test_weights_that_fixed_point_does_not_hold_are_refused():
    path = FOLDER / "tiny.safetensors"
    stem = load_tensors(path)["g_s.stem.weight"].astype(np.float32)
    for value in (math.inf, math.nan, 1e30):
        with pytest.raises(ModelError, match="fixed point"):
            replica_of(path, **{"g_s.stem.weight": np.full_like(stem, value)})
    assert replica_of(path).digest() != replica_of(path, **{"g_s.stem.weight": stem + 1}).digest()


# -- files


@pytest.fixture(scope="module")
def codec() -> lecodec.ImageCodec:
    return load(FOLDER / "tiny.safetensors", of=lecodec.ImageCodec)


KINDS = {
    "colour": pattern(70, 90, 3),
    "grey": pattern(33, 65, 1)[:, :, 0],
    "alpha": pattern(40, 70, 4),
    "deep": pattern(24, 70, 3, np.uint16),
    "deep grey": pattern(24, 36, 1, np.uint16)[:, :, 0],
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_say_their_samples_and_decode_to_them(codec, kind):
    usual, exact = (codec.encode(KINDS[kind], 60, tile=64, exact_pixels=e) for e in (False, True))
    assert len(exact) == len(usual) + 20
    decoded = codec.decode(exact)
    assert codec.test(exact) is None
    assert np.abs(decoded.astype(int) - codec.decode(usual)).max() <= 1 + np.iinfo(decoded.dtype).max // 256
    region = codec.decode_files([LecFile.open(exact)], Region(3, 5, 33, 19))[0].samples
    np.testing.assert_array_equal(region, decoded[5:24, 3:36])
    without = file_of([chunk for chunk in contents_of(exact) if chunk[0] != b"sAMP"])
    assert without == usual
    batch = codec.decode_batch([usual, exact, usual])
    np.testing.assert_array_equal(batch[1], decoded)
    np.testing.assert_array_equal(batch[0], codec.decode(usual))


def test_other_samples_than_the_file_says_are_refused(codec):
    chunks = contents_of(codec.encode(KINDS["colour"], 60, exact_pixels=True))
    assert [kind for kind, _ in chunks] == [b"LHDR", b"sAMP", b"LDAT", b"LEND"]
    wrong = file_of([chunks[0], (b"sAMP", bytes(8)), *chunks[2:]])
    for work in (codec.decode, codec.test):
        with pytest.raises(CorruptFile, match="samples are not those"):
            work(wrong)


def test_targets_are_met_with_the_digest(codec):
    picture = KINDS["colour"]
    for size in (700, 1500):
        assert len(codec.encode(picture, size=size, exact_pixels=True)) <= size
    data = codec.encode(picture, bpp=0.45, exact_pixels=True)
    assert abs(8 * len(data) / picture[:, :, 0].size - 0.45) < 0.02


def test_models_without_a_replica_and_videos_say_so(tmp_path):
    imported = load(FOLDER / "compressai" / "mean.safetensors", of=lecodec.ImageCodec)
    with pytest.raises(InputError, match="no integer replica"):
        imported.encode(KINDS["colour"], exact_pixels=True)
    with pytest.raises(InputError, match="exact pixels are of pictures"):
        from lecodec.codec.codec import Target
        from lecodec.codec.media.video_signal import clip_signal

        video = load(FOLDER / "tiny-video.safetensors")
        video.encode_signals([clip_signal(np.zeros((2, 16, 16, 3), np.uint8))], Target(exact_pixels=True))


def test_lossless_files_need_no_digest(tiny_default):
    picture = KINDS["colour"]
    assert lecodec.encode(picture, lossless=True, exact_pixels=True) == lecodec.encode(picture, lossless=True)
    exact = lecodec.encode(picture, 60, exact_pixels=True)
    assert LecFile.open(exact).samples
