"""Training, freezing and measuring a model of sound, on a few seconds of one's own."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec.codec.model_file import read_card
from lecodec.codec.sound import SoundCodec
from lecodec.codec.transforms.sound import Mdct, PostNet, SoundConfig, SoundNetwork, levels
from lecodec.entropy.latents import Meter
from lecodec.errors import InputError
from lecodec.eval.quality.spectra import log_distances, log_spectral
from lecodec.eval.sound import run_sound
from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.features import distance_of
from lecodec.train.freeze import freeze
from lecodec.train.recipe import SoundFeatureTerm, SoundRecipe
from lecodec.train.run import train
from lecodec.train.sounds import Sounds, read_at, sound_files

GOLDEN = Path(__file__).parents[1] / "golden"


def write(path: Path, seconds: float, channels: int = 1, rate: int = 16000, seed: int = 0) -> None:
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * rate))[:, None] / rate
    x = 0.3 * np.sin(2 * np.pi * (200 + 40 * seed) * t + np.arange(channels)) + 0.02 * rng.normal(
        size=(len(t), channels)
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((x * 20000).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sounds")
    for n in range(4):
        write(place / f"{n}.wav", 2.5, 1 + n % 2, 16000 if n < 2 else 44100, n)
    return place


def settings(folder: Path) -> dict[str, object]:
    return {"sources": [{"folder": str(folder)}], "hold_out": 2, "steps": 6, "batch": 3, "frames": 16}


def test_sounds_come_at_the_rates_that_they_have(folder):
    assert [p.name for p in sound_files(folder)] == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert read_at(folder / "1.wav", (16000, 44100), 9)[16000].shape == (40000, 2)
    found = read_at(folder / "2.wav", (16000, 44100, 48000), 9)
    assert len(found[44100]) == len(found[48000]) == 110250  # a rate a little above is taken as it is
    assert abs(len(found[16000]) - 40000) < 3
    with pytest.raises(InputError, match="no sound"):
        sound_files(GOLDEN / "checkpoints")


def test_clips_are_of_their_rate_and_kept_out_ones_are_kept_out(folder):
    import random

    sounds = Sounds(folder, (16000, 44100), 9, 2, lambda line: None)
    rng = random.Random(0)
    assert {len(sounds.clip(rng, 16000, 500)) for _ in range(20)} == {
        1
    }  # every second file is kept out: the stereo ones
    assert {len(sounds.clip(rng, 44100, 500, True)) for _ in range(5)} == {2}
    assert not sounds.has(16000, 10**7) and sounds.has(44100, 1000)


def test_noise_is_scaled_when_a_model_is_frozen():
    net = PostNet(SoundConfig(post=3, blocks=2), 2)
    assert [name for name, _ in net.named_children()] == ["enter", "middle", "middle2", "head"]
    y, levels_, features = torch.zeros(1, 40, 6), torch.zeros(1, 25, 6), torch.zeros(1, 2, 6)
    given = y, levels_, levels_, features, torch.tensor([20]), torch.ones_like(y)
    before = net(*given)[1]
    net.scale_noise(0.5)
    assert torch.allclose(net(*given)[1], 0.5 * before) and before.abs().max() > 0


def test_files_that_cannot_be_read_are_left_out(tmp_path):
    write(tmp_path / "a.wav", 1.0)
    (tmp_path / "b.wav").write_bytes(b"RIFF, but no sound")
    said: list[str] = []
    assert Sounds(tmp_path, (16000,), 9, 2, said.append).has(16000, 1000)
    assert said[0] == f"{tmp_path.name}: 1 files, 0 minutes" and "1 files cannot be read" in said[1]
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InputError, match="not a sound"):
        Sounds(tmp_path, (16000,), 9, 2, said.append)


def agree(codec: SoundCodec, state: dict) -> None:
    """What training makes of a stereo clip, in evaluation, is what the frozen model codes."""
    network = SoundNetwork(*SoundRecipe(**state["recipe"]).networks())
    network.load_state_dict(state["ema"])
    network.h_a.half().float()
    network.eval()
    clip = np.random.default_rng(0).normal(0, 0.05, (1, 2, 9 * 320)).astype(np.float32)
    rate, index = 30 * 256, torch.tensor([30, 30])
    z, y = codec.transform.analyse(clip, 16000, rate, codec.runtime)
    meter = Meter()
    (latents,) = codec.entropy.of(320, 2).traverse([meter], (8,), [rate], (z, y))
    both = np.stack([clip[0].sum(0) / 2, (clip[0, 0] - clip[0, 1]) / 2])
    spectrum = Mdct(320, 320)(torch.from_numpy(both))
    with torch.no_grad():
        found = network.envelope(network.h_a(levels(spectrum), index), spectrum, index, torch.tensor([-1, 0]))
    np.testing.assert_array_equal(latents.envelope, (256 * found.envelope).numpy())
    np.testing.assert_array_equal(latents.levels[1].reshape(2, 320, 8), found.y.numpy())
    assert float((found.bits_z + found.bits_y).sum()) == pytest.approx(meter.bits, rel=0.1)  # escapes


HEARS = {"network": "torch.nn:AvgPool1d", "arguments": {"kernel_size": 8}, "weight": 2.0}


def test_what_a_network_hears_counts_in_clips_of_its_rate(folder, tmp_path):
    term = {**HEARS, "rate": 16000}
    distance = distance_of(SoundFeatureTerm(**term))
    x = torch.linspace(-1, 1, 128).reshape(2, 64)
    pooled = x.reshape(2, 8, 8).mean(2)
    other = (x - 0.25).clamp(-1, 1).reshape(2, 8, 8).mean(2)  # a sound is in [-1, 1]
    wanted = (pooled - other).square().sum(1) / pooled.square().sum(1)
    assert torch.allclose(distance(x, x - 0.25), wanted, rtol=1e-5)

    small = {**settings(folder), "steps": 4, "post_from": 0.0, "rates": {16000: 1.0}}
    runs = {}
    for name, features in (("without", None), ("with", term)):
        how = {**small, "name": name, "features": features}
        runs[name] = train("tiny-sound", overrides=how, runs=tmp_path, accelerator="cpu")
    plain, machine = (load_checkpoint(run / "checkpoint.pt")["ema"] for run in runs.values())
    changed = {name for name in plain if not torch.equal(plain[name], machine[name])}
    assert changed and all(name.startswith("g_s.") for name in changed)  # and the network is no part of it
    card = read_card(freeze(runs["with"], tmp_path / "with.safetensors")).card
    assert card["training"]["recipe"]["features"]["network"] == HEARS["network"]


@pytest.mark.parametrize("changes", [{"rate": 8000}, {"network": "AvgPool1d"}, {"weight": 0}])
def test_a_network_that_hears_nothing_is_refused(folder, changes):
    with pytest.raises(ValueError, match="features"):
        SoundRecipe(kind="sound", name="x", steps=1, sources=[{"folder": folder}], features={**HEARS, **changes})


def test_training_goes_on_freezes_and_codes(folder, tmp_path):
    said: list[str] = []
    run = train("tiny-sound", overrides=settings(folder), runs=tmp_path, accelerator="cpu", progress=said.append)
    first = load_checkpoint(run / "checkpoint.pt")
    assert first["step"] == 6 and first["posted"]
    assert any("log-STFT-32" in line for line in said)
    train("tiny-sound", True, {**settings(folder), "steps": 8}, runs=tmp_path, accelerator="cpu", progress=said.append)
    second = load_checkpoint(run / "checkpoint.pt")
    assert second["step"] == 8
    for name, value in second["ema"].items():  # the second part trains the post-net, and nothing else
        assert torch.equal(value, first["ema"][name]) or name.startswith("g_s.")
    assert not torch.equal(second["ema"]["g_s.head.weight"], first["ema"]["g_s.head.weight"])
    path = freeze(run, tmp_path / "own.safetensors")
    codec = lecodec.load(model=path, of=SoundCodec)
    x = (0.2 * np.sin(np.arange(4000) / 9)).astype(np.float32)
    data = codec.encode(x, 16000, 80)
    assert 10 * np.log10((x**2).mean() / ((codec.decode(data)[:, 0] - x) ** 2).mean()) > 10
    codec.test(data)
    agree(codec, second)
    assert codec.card["training"]["steps"] == 8 and codec.card["training_data"] == [folder.name]


def test_a_shaper_grows_on_a_model_without_one(folder, tmp_path):
    small = {**settings(folder), "steps": 4, "rates": {16000: 1.0}}
    first = train("tiny-sound", overrides={**small, "name": "first"}, runs=tmp_path, accelerator="cpu")
    before = load_checkpoint(first / "weights.pt")["ema"]
    sizes = {**load_checkpoint(first / "checkpoint.pt")["recipe"]["transform"], "shaper": 8}
    more = {"name": "shaped", "transform": sizes, "start_from": first / "weights.pt", "post_from": 0.0}
    said: list[str] = []
    run = train("tiny-sound", overrides={**small, **more}, runs=tmp_path, accelerator="cpu", progress=said.append)
    after = load_checkpoint(run / "checkpoint.pt")["ema"]
    new = after.keys() - before.keys()
    assert new and all(name.startswith("g_s.shaper.") for name in new)
    assert after["g_s.shaper.head.weight"].abs().max() > 0
    for name, value in before.items():  # no bit changes
        assert torch.equal(after[name], value.float()) or name.startswith("g_s.")
    codec = lecodec.load(model=freeze(run, tmp_path / "shaped.safetensors"), of=SoundCodec)
    assert codec.card["transform"]["shaper"] == 8
    x = (0.2 * np.sin(np.arange(4000) / 9)).astype(np.float32)
    assert codec.decode(codec.encode(x, 16000, 80)).shape == (4000, 1)


def test_recipes_that_make_no_sense_are_refused(folder):
    given = {"kind": "sound", "name": "x", "sources": [{"folder": folder}], "steps": 1}
    assert SoundRecipe(**given).networks()
    for wrong in ({"rates": {}}, {"rates": {4000: 1.0}}, {"coding": {"hyper": 99}}, {"transform": {"wide": 3}}):
        with pytest.raises(ValueError):
            SoundRecipe(**given, **wrong)


def test_distances_of_spectra():
    x = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert log_spectral(x, x, 16000) == (0.0, 0.0)
    near, far = log_spectral(x, 0.9 * x, 16000), log_spectral(x, 0.5 * x, 16000)
    assert near[0] == pytest.approx(-np.log(0.9), rel=0.01) and far[1] == pytest.approx(-np.log(0.5), rel=0.02)
    assert np.isnan(log_spectral(x[:100], x[:100], 16000)[0])
    noisy = torch.from_numpy(x)[None].requires_grad_()
    sum(log_distances(torch.from_numpy(x)[None], noisy * 0.5, 16000)).backward()
    assert bool(torch.isfinite(noisy.grad).all())


def test_sounds_are_measured(folder, tmp_path):
    spec = f"lecodec@{GOLDEN / 'tiny-sound.safetensors'}"
    (folder / "notes.txt").write_text("not a sound")
    result = run_sound(folder, [spec, "opus"], tmp_path, settings={spec: [10, 30], "opus": [12]}, limit=2)
    assert [(r["codec"], r["setting"]) for r in result.means] == [
        ("lecodec@tiny-sound.safetensors", 10.0),
        ("lecodec@tiny-sound.safetensors", 30.0),
        ("opus", 12.0),
    ]
    low, high, _ = result.means
    assert low["snr"] < high["snr"] and low["log_stft"] > high["log_stft"] and not result.skipped
    for item in result.items:
        assert item["kbps"] == pytest.approx(8 * item["bytes"] / 2500, rel=1e-6)
    assert (tmp_path / "sound.tsv").read_text().count("\n") > 6
    assert {(row.codec, row.anchor) for row in result.comparisons} == {(low["codec"], "opus")}
    assert all("needs 3" in row.note for row in result.comparisons)  # of one setting there is no curve
    assert (tmp_path / "sound.png").read_bytes()[:4] == b"\x89PNG"
    for wrong in ({"more": ["beauty"]}, {"codecs": ["jpeg"]}, {"codecs": []}):
        with pytest.raises(InputError):
            run_sound(folder, **{"codecs": ["opus"], "out": tmp_path, **wrong})
