"""Adapting a model: the way back from a model file, a run of seconds, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec import InputError, OutputExists
from lecodec.codec.adapted import changed
from lecodec.codec.model_file import load_tensors, read_card
from lecodec.codec.registry import load
from lecodec.entropy.layers import GAIN_MAX
from lecodec.entropy.tables import TableSet
from lecodec.train import adapt_freeze
from lecodec.train.adapt import base_of
from lecodec.train.adapt_freeze import adapt, gain_of
from lecodec.train.adapt_recipe import AdaptRecipe
from lecodec.train.freeze import freeze
from lecodec.train.run import train
from lecodec.train.thaw import origins, thawed

GOLDEN = Path(__file__).parents[1] / "golden"
BASES = [GOLDEN / f"{name}.safetensors" for name in ("tiny", "tiny-context", "tiny-wide")]
SHORT = {"steps": 3, "crop": 64, "batch": 2, "rank": 2}


@pytest.fixture(scope="module")
def stripes(tmp_path_factory) -> Path:
    """26 pictures of slanted waves, each of its own phase."""
    folder = tmp_path_factory.mktemp("stripes")
    y, x = np.mgrid[:64, :96]
    for n in range(26):
        wave = 128 + 60 * np.sin(x / 3 + n) + 40 * np.cos(y / 5 + n)
        rgb = wave[..., None] + np.arange(3) * 9
        Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(folder / f"{n:02d}.png")
    return folder


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_a_thawed_network_is_the_model(path):
    tensors, card = load_tensors(path), read_card(path).card
    network = thawed(tensors, card)
    places = origins(network)
    assert len({origin.name for origin in places.values()}) == len(places)
    left = {n for n in tensors if n not in {origin.name for origin in places.values()}}
    assert all(n.startswith(("parse.z.", "parse.y.", "parse.reach", "parse.context.")) for n in left), left
    z = TableSet(
        tensors["parse.z.counts"].astype(np.uint32),
        np.concatenate([[0], np.cumsum(tensors["parse.z.length"].astype(np.int64))]),
        tensors["parse.z.low"],
    )
    network.hyperprior.prior.freeze = lambda: z  # pyright: ignore[reportAttributeAccessIssue]
    for name, array in network.hyperprior.frozen().items():
        if not name.startswith("y."):
            off = np.abs(array.astype(np.int64) - tensors[f"parse.{name}"]).max()
            assert off <= ("gain" in name or "offset" in name), name


def test_a_thawed_network_sees_what_the_model_codes():
    path = BASES[1]
    codec = load(model=path, of=lecodec.ImageCodec)
    network = thawed(load_tensors(path), read_card(path).card).eval()
    y, x = np.mgrid[:128, :64]
    samples = (128 + 90 * np.sin(x / 9 + y / 7))[..., None].repeat(3, 2).astype(np.uint8)
    for index in (0, 40, 63):
        with torch.no_grad():
            planes = torch.from_numpy(samples).permute(2, 0, 1)[None].float() / 255
            _, bits = network(planes, torch.tensor([index]))
        assert float(bits) == pytest.approx(codec.estimate_bits(samples, 1 + index / 63 * 99), rel=0.1, abs=64)


def test_nothing_learned_is_the_model_as_it_was(tmp_path, stripes):
    """Without a step, and with the tables left alone, the changes are nothing: the digests are those of the base."""
    base = BASES[1]
    settings = {"pictures": [str(stripes)], "base": str(base), "name": "none", **SHORT, "learning_rate": 0.0}
    run = train("adapt", overrides=settings, runs=tmp_path, progress=lambda _: None)
    out = freeze(run, tmp_path / "none.safetensors", calibrate=0)
    card, old = read_card(out), read_card(base)
    assert (card.parse_digest, card.synthesis_digest) == (old.parse_digest, old.synthesis_digest)


def test_a_model_is_adapted_resumed_and_gains(tmp_path, stripes, monkeypatch):
    said: list[str] = []
    out = tmp_path / "mine.safetensors"
    settings: dict[str, object] = {**SHORT, "steps": 40, "learning_rate": 5e-3}
    how = {"base": str(BASES[1]), "runs": tmp_path / "runs", "calibrate": 20, "say": said.append}
    found = adapt(stripes, out, settings={**settings, "steps": 20}, **how)
    assert found["pictures"] == 5
    with pytest.raises(OutputExists):
        adapt(stripes, out, settings=settings, **how)
    with pytest.raises(InputError, match="--resume"):
        adapt(stripes, out, settings=settings, overwrite=True, **how)
    again = adapt(stripes, out, settings=settings, overwrite=True, resume=True, **how)
    assert any("resumed at step 20" in line for line in said)
    card = read_card(out).card
    assert card["kind"] == "adapted" and card["adaptation"]["held_out"] == again
    assert 0.01 < again["gain"] < 0.9
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    codec = load(model=out, of=lecodec.ImageCodec)
    held_out = [np.asarray(Image.open(stripes / f"{n:02d}.png")) for n in (4, 9)]
    assert codec.base is not None and gain_of(codec, codec.base, held_out) > 0.01
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.safetensors", "runs"]


def test_what_does_not_gain_is_not_written(tmp_path, stripes, monkeypatch):
    monkeypatch.setattr(adapt_freeze, "gain_of", lambda *_: 0.004)
    with pytest.raises(InputError, match="99.6% of the bytes"):
        how = {"base": str(BASES[1]), "runs": tmp_path / "runs", "calibrate": 5, "settings": SHORT}
        adapt(stripes, tmp_path / "no.safetensors", **how)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_default_model_can_be_adapted(tmp_path, stripes, monkeypatch):
    """Whatever it was trained for; and the others that are shipped without features."""
    for base in ("psnr", "image-2", "image"):
        assert base_of(AdaptRecipe(kind="adapted", name="x", pictures=[stripes], steps=1, base=base))
    monkeypatch.setattr(adapt_freeze, "QUALITIES", (40, 90))
    monkeypatch.setattr(adapt_freeze, "LEAST_GAIN", -1.0)
    out = tmp_path / "mine.safetensors"
    found = adapt(stripes, out, runs=tmp_path / "runs", calibrate=2, settings={**SHORT, "steps": 1})
    assert -0.5 < found["gain"] < 0.5  # after a single step
    assert read_card(out).card["base"]["name"] == lecodec.load().card["name"]
    assert load(model=out, of=lecodec.ImageCodec).base is not None


def test_gains_stay_in_their_range(stripes):
    """Also where the base has the largest there are, or none: a change that goes further is cut."""
    tensors, card = load_tensors(BASES[1]), read_card(BASES[1]).card
    names = [name for name in tensors if "gain" in name and name.startswith("parse.")]
    for name in names:
        tensors[name] = np.full_like(tensors[name], GAIN_MAX)
        tensors[name][:, 0] = 0
    network = thawed(tensors, card)
    changes = adapt_freeze.Changes(network, origins(network), 2)
    for sign in (1, -1):
        with torch.no_grad():
            for key, change in changes.add.items():
                if "gain" in key:
                    change.fill_(0.1 * sign)
        out = adapt_freeze._tensors(thawed(tensors, card), changes, tensors)
        for name in names:
            whole = tensors[name].astype(int) + out[f"add.{name}"]
            assert 0 <= whole.min() and whole.max() <= GAIN_MAX, name


def test_a_small_folder_is_refused_before_anything_is_trained(tmp_path, stripes):
    few = tmp_path / "few"
    few.mkdir()
    for n in range(24):
        (few / f"{n}.png").write_bytes((stripes / f"{n:02d}.png").read_bytes())
    with pytest.raises(InputError, match="24 pictures are too few to adapt to: at least 25"):
        adapt(few, tmp_path / "no.safetensors", base=str(BASES[1]), runs=tmp_path / "runs", settings=SHORT)


@pytest.mark.parametrize("base", ["tiny-photo", "tiny-adapted", "compressai/mean"])
def test_models_that_cannot_be_adapted_are_refused(tmp_path, stripes, base):
    with pytest.raises(InputError, match="cannot be adapted"):
        adapt(stripes, tmp_path / "no.safetensors", base=str(GOLDEN / f"{base}.safetensors"), runs=tmp_path / "r")


def test_a_checkpoint_of_changes_to_another_model_is_refused(tmp_path, stripes):
    settings = {"pictures": [str(stripes)], "base": str(BASES[1]), "name": "one", **SHORT}
    train("adapt", overrides=settings, runs=tmp_path, progress=lambda _: None)
    with pytest.raises(InputError):
        train("adapt", True, {**settings, "base": str(BASES[0]), "steps": 4}, runs=tmp_path, progress=lambda _: None)


def test_changes_are_what_training_saw(tmp_path, stripes):
    """The whole model of a file of changes has the weights that the changed network had, to a rounding."""
    base = BASES[1]
    settings = {"pictures": [str(stripes)], "base": str(base), "name": "few", **SHORT, "steps": 6, "ema": 0.0}
    run = train("adapt", overrides={**settings, "learning_rate": 1e-2}, runs=tmp_path, progress=lambda _: None)
    out = freeze(run, tmp_path / "few.safetensors", calibrate=0)
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    network = thawed(load_tensors(base), read_card(base).card)
    changes = adapt_freeze.Changes(network, origins(network), 2)
    changes.load_state_dict(state["ema"])
    wanted = changes()
    tensors, _ = changed(load_tensors(out), read_card(out).card, load_tensors(base), read_card(base).card)
    moved = 0
    for name, origin in origins(network).items():
        if not origin.table:
            found = torch.from_numpy(tensors[origin.name].astype(np.float64)) / origin.unit
            step = 1 / origin.unit if origin.unit > 1 else 2e-3 * float(found.abs().max())
            assert float((found - wanted[name].detach()).abs().max()) <= 1.5 * step, name
            moved += not np.array_equal(tensors[origin.name], load_tensors(base)[origin.name])
    assert moved > 20
