"""Encoder effort: files that cost less for what they show, and that any decoder reads."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.bitstream import read_header
from lecodec.cli.main import main
from lecodec.codec import refine, targets
from lecodec.codec.codec import EFFORTS
from lecodec.codec.image import ImageCodec, fixed_quality
from lecodec.codec.media.samples import psnr_of
from lecodec.codec.objective import objective_of
from lecodec.codec.registry import find_model
from lecodec.entropy.latents import deadzone_of, rounded
from lecodec.errors import InputError
from lecodec.eval.codecs.peers import codec_by_name
from lecodec.eval.tasks.pictures import bundled


@pytest.fixture(scope="module")
def codec() -> ImageCodec:
    codec = lecodec.load("image-3")
    assert isinstance(codec, ImageCodec)
    return codec


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A part of a photograph of odd sides: uint8 [150, 183, 3]."""
    from lecodec.codec.media.picture import read_picture

    return np.ascontiguousarray(read_picture(bundled("coffee.png"))[100:250, 200:383])


def cost(codec: ImageCodec, samples: np.ndarray, data: bytes) -> float:
    """J of a file, in bits."""
    peak = 255 if samples.dtype == np.uint8 else 65535
    error = ((codec.decode(data) / peak - samples / peak) ** 2).mean() * samples.shape[0] * samples.shape[1]
    return 8 * len(data) + refine.EMPHASIS * objective_of(codec.card).multiplier(read_header(data).quality) * float(
        error
    )


def test_the_default_is_no_effort(codec, photo):
    assert codec.encode(photo, 50) == codec.encode(photo, 50, effort=1)
    assert lecodec.encode(photo, 50) == lecodec.load().encode(photo, 50, effort=1)


@pytest.mark.parametrize("quality", [10, 60, 95])
def test_more_effort_costs_less(codec, photo, quality):
    costs = [cost(codec, photo, codec.encode(photo, quality, effort=effort)) for effort in (1, 2, 4, 9)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.98 * costs[0]


def test_efforts_are_deterministic_and_independent_of_gradient_modes(codec, photo):
    data = codec.encode(photo[:64, :64], 50, effort=3)
    for mode in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with mode:
            assert codec.encode(photo[:64, :64], 50, effort=3) == data


def test_a_model_loaded_in_inference_mode_has_effort_too(photo, tmp_path):
    from shutil import copy

    with torch.inference_mode():
        codec = lecodec.load(model=copy(find_model("image-3").path, tmp_path / "copy.safetensors"))
    assert codec.decode(codec.encode(photo[:32, :32], 50, effort=2)).shape == (32, 32, 3)


KINDS = {
    "grey": lambda x: x[:, :, 1],
    "one pixel": lambda x: x[:1, :1],
    "a line": lambda x: x[:1],
    "16 bits": lambda x: x.astype(np.uint16) * 257,
    "grey, 16 bits": lambda x: x[:, :, 0].astype(np.uint16) * 257,
    "RGBA": lambda x: np.dstack([x, x[:, :, 0]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture(codec, photo, kind):
    samples = np.ascontiguousarray(KINDS[kind](photo))
    plain, data = (codec.encode(samples, 60, effort=effort) for effort in (1, 4))
    codec.test(data)
    back = codec.decode(data)
    assert back.shape == samples.shape and back.dtype == samples.dtype
    if kind == "RGBA":
        assert (back[..., 3] == samples[..., 3]).all()
    else:
        assert cost(codec, samples, data) <= cost(codec, samples, plain) + 64  # bits: data comes in words


def test_what_lies_beyond_the_edge_does_not_count(codec, photo, monkeypatch):
    """A picture of 17 x 17 pixels has 3 times as many beyond its edge."""
    seen = []
    real = refine._error

    def spy(objective, view, shown, *rest):
        ones = torch.ones_like(shown)
        seen.append(float(real(objective, replace(view, x=ones / 4), ones / 2, *rest)))
        return real(objective, view, shown, *rest)

    monkeypatch.setattr(refine, "_error", spy)
    codec.encode(photo[:17, :17], 60, effort=2)
    assert seen == pytest.approx([17 * 17 / 16] * 3)


def test_tiles_and_windows(codec, photo, monkeypatch):
    whole = codec.encode(photo, 60, effort=4)
    tiled = codec.encode(photo, 60, effort=4, tile=64)
    assert read_header(tiled).layout.units == 9
    assert cost(codec, photo, tiled) < cost(codec, photo, codec.encode(photo, 60, tile=64))
    x = codec.decode_region(tiled, (70, 50, 40, 30)).astype(int)
    assert np.abs(x - codec.decode(tiled)[50:80, 70:110]).max() <= 1
    monkeypatch.setitem(refine.WINDOW, "cpu", 1)
    monkeypatch.setattr(refine, "MARGIN", 2)  # windows of 8 x 8 positions
    monkeypatch.setattr(refine, "SEEN", 1)
    windowed = codec.encode(photo, 60, effort=4)
    assert windowed != whole
    assert cost(codec, photo, windowed) < cost(codec, photo, whole) * 1.01


def test_batches(codec, photo):
    parts = [np.ascontiguousarray(photo[n : n + 64, n : n + 70]) for n in (0, 20, 50)]
    together = codec.encode_batch(parts, 60, effort=3)
    for samples, data in zip(parts, together, strict=True):
        alone = cost(codec, samples, codec.encode(samples, 60, effort=3))
        assert cost(codec, samples, data) == pytest.approx(alone, rel=0.01)


def test_what_does_not_get_better_stays(codec, photo, monkeypatch):
    monkeypatch.setattr(refine, "CURVATURE", -15.0)  # uphill
    assert codec.encode(photo, 60, effort=4) == codec.encode(photo, 60)


def test_targets_are_met(codec, photo):
    pixels = photo.shape[0] * photo.shape[1]
    plain = codec.encode(photo, bpp=0.6)
    data = codec.encode(photo, bpp=0.6, effort=3)
    assert abs(8 * len(data) / pixels - 0.6) <= max(0.6 * 0.015, 32 / pixels)
    assert psnr_of(photo, codec.decode(data)) > psnr_of(photo, codec.decode(plain)) + 0.1
    data = codec.encode(photo, psnr=30, effort=3)
    assert abs(psnr_of(photo, codec.decode(data)) - 30) <= 0.1
    assert len(data) < 0.98 * len(codec.encode(photo, psnr=30))
    assert 0.97 * 2000 - 4 <= len(codec.encode(photo, size=2000, effort=3)) <= 2000
    with pytest.raises(InputError, match="out of reach"):
        codec.encode(photo[:72, :72], psnr=70, effort=2)


def test_a_psnr_is_found_with_few_slow_calls():
    calls = []

    def slow(q: int) -> float:
        calls.append(q)
        return 24 + q / 1300 + 0.4 * q / 16000 + 0.2

    q = targets.index_for_near(targets.FIDELITIES["psnr"], lambda q: 24 + q / 1300, slow, 30)
    assert abs(slow(q) - 30) <= 0.1 and len(set(calls)) <= 3
    assert (
        abs(slow(targets.index_for_near(targets.FIDELITIES["psnr"], lambda q: 24 + q / 1300, slow, 24.1)) - 24.1) <= 0.1
    )


def test_rounding_leans_towards_zero(codec):
    deadzone = deadzone_of(codec.entropy.y_tables, 15.5, 0.5)
    assert deadzone.shape == (2, 64) and deadzone.min() >= 0 and deadzone.max() <= 0.5
    residual = np.linspace(-4, 4, 4001, dtype=np.float32)
    for t in (1, 20, 40, 63):
        index = np.full(residual.shape, t, np.uint8)
        s = rounded(residual, index, deadzone)
        assert (np.abs(s) <= np.abs(np.rint(residual))).all() and np.abs(s - residual).max() <= 1
        assert (s == -s[::-1]).all() and (np.diff(s) >= 0).all()
    zero = np.zeros_like(deadzone)
    off = residual[np.abs(np.abs(residual) % 1 - 0.5) > 1e-3]
    index = np.full(off.shape, 30, np.uint8)
    assert (rounded(off, index, zero) == rounded(off, index, None)).all()


MSE = {"distortion": "mse", "features": None, "lambda_low": 20, "lambda_high": 8000}


def test_lambda_is_that_of_the_training():
    objective = objective_of({"training": {"recipe": MSE}})
    assert [round(objective.multiplier(fixed_quality(q)), 3) for q in (1, 50.5, 100)] == [20, 400, 8000]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distortion": "ms-ssim"}, "was trained for ms-ssim, which effort cannot follow: leave the effort at 1"),
        ({"features": {"network": "os:system", "weight": 1}}, "was trained for os:system, which effort cannot"),
        ({"features": {"weight": 1}}, "does not say: leave the effort at 1"),
        ({"features": "mobilenetv2"}, "does not say"),
        ({"lambda_low": 0}, "does not say"),
        ({"lambda_high": "much"}, "does not say"),
        ({"lambda_high": 1e999}, "does not say"),
        ({"distortion": None}, "which effort cannot follow"),
    ],
)
def test_models_for_something_else_refuse(changes, said):
    with pytest.raises(InputError, match=said):
        objective_of({"name": "other", "training": {"recipe": {**MSE, **changes}}})


@pytest.mark.parametrize("card", [{}, {"training": None}, {"training": {"recipe": {}}}])
def test_cards_that_say_nothing_have_no_effort(codec, photo, monkeypatch, card):
    monkeypatch.setattr(codec, "card", {"name": "silent", **card})
    assert codec.encode(photo[:32, :32], 60, effort=1)
    with pytest.raises(InputError, match="the card of silent does not say: leave the effort at 1"):
        codec.encode(photo[:32, :32], 60, effort=2)


def test_effort_follows_features_where_a_model_was_trained_for_them(photo):
    """By the measure of its training a file costs less, as the codec's own measure of the files says."""
    machine = lecodec.load(model="machine-2")
    assert isinstance(machine, ImageCodec)
    _costs_less(machine, np.ascontiguousarray(photo[:96, :96]))


def test_effort_follows_the_error_for_the_eye(codec, photo, monkeypatch):
    """With the lambdas of a perceptual training, on whatever weights."""
    recipe = {"distortion": "ssimulacra2", "lambda_low": 0.004, "lambda_high": 0.5}
    monkeypatch.setattr(codec, "card", {"name": "seen", "training": {"recipe": recipe}})
    _costs_less(codec, photo)
    for kind in ("grey", "one pixel", "16 bits"):
        codec.test(codec.encode(np.ascontiguousarray(KINDS[kind](photo[:40, :40])), 60, effort=2))
    whole = codec.encode(photo, 60, effort=9)
    monkeypatch.setitem(refine.WINDOW, "cpu", 1)
    monkeypatch.setattr(refine, "MARGIN", 2)  # windows of 8 x 8 positions, with an error each
    monkeypatch.setattr(refine, "SEEN", 1)
    assert codec.encode(photo, 60, effort=9) != whole
    _costs_less(codec, photo)


def _costs_less(codec: ImageCodec, samples: np.ndarray) -> None:
    objective = objective_of(codec.card)
    assert not objective.squared
    costs = []
    for effort in (1, 9):
        data = codec.encode(samples, 60, effort=effort)
        x, x_hat = (torch.from_numpy(a).permute(2, 0, 1)[None] / 255 for a in (samples, codec.decode(data)))
        error = float(objective.error(x, x_hat)) * samples.shape[0] * samples.shape[1]
        costs.append(8 * len(data) + refine.EMPHASIS * objective.multiplier(read_header(data).quality) * error)
    assert costs[1] < 0.99 * costs[0], costs


@pytest.mark.parametrize("effort", [0, 10, 2.5, True, "9", None])
def test_efforts_outside_the_scale_are_one_sentence(codec, photo, effort):
    with pytest.raises(InputError, match="is not a whole number from 1 to 9"):
        codec.encode(photo, 60, effort=effort)


def test_the_public_ways_take_effort(photo, tmp_path):
    part = np.ascontiguousarray(photo[:48, :64])
    data = lecodec.encode(part, 50, effort=EFFORTS[-1])
    buffer = io.BytesIO()
    Image.fromarray(part).save(buffer, "LEC", quality=50, effort=9)
    assert buffer.getvalue() == data
    peer = codec_by_name("lecodec:effort=9")
    assert peer.name == "lecodec:effort=9" and peer.description.endswith("effort 9")
    assert peer.encode(part, 50) == data
    assert codec_by_name("lecodec:image-2:effort=3").name == "lecodec:image-2:effort=3"
    with pytest.raises(InputError, match="effort is a whole number from 1 to 9"):
        codec_by_name("lecodec:effort=fast")
    with pytest.raises(InputError, match="from 1 to 9"):
        codec_by_name("lecodec:effort=10")
    with pytest.raises(InputError, match="lossless keeps every sample"):
        lecodec.encode(part, lossless=True, effort=2, quality=50)
    with pytest.raises(InputError, match="from 1 to 9"):
        lecodec.encode(part, lossless=True, effort=10)


def test_the_command_line(photo, tmp_path, capfd):
    Image.fromarray(photo[:48, :64]).save(tmp_path / "a.png")

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit:
            main(["encode", str(tmp_path / "a.png"), "-f", "-q", "50", *arguments])
        return int(exit.value.code or 0), capfd.readouterr().err

    assert call("--effort", "9")[0] == 0
    assert (tmp_path / "a.png.lec").read_bytes() == lecodec.encode(photo[:48, :64], 50, effort=9)
    for wrong in ("0", "10", "much"):
        assert call("--effort", wrong)[0] == 2
    assert call("--lossless", "--effort", "2")[0] == 2  # because of -q
