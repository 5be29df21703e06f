"""Photo models: a run of a few steps, resumed, frozen, and coding with the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lecodec.codec.lossless import LosslessCodec
from lecodec.codec.registry import load
from lecodec.errors import InputError, ModelError
from lecodec.train.freeze import freeze
from lecodec.train.photo import PhotoCrops
from lecodec.train.recipe import PhotoRecipe
from lecodec.train.run import train

RECIPE = """
kind: photo
name: small
sources:
  - {{folder: {folder}, share: 1, downscale: [1.0, 1.5], native: 0.3, hold_out: 1}}
network: {{context: 4, width: 8, middle: 8, head: 8, components: 2, groups: 2}}
crop: 32
batch: 2
levels: 2
deep: 0.5
warmup_steps: 5
steps: {steps}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(3):
        y, x = np.mgrid[:90, :100]
        base = np.stack([x + y, 2 * y, x * 2], -1) % 256 + rng.normal(0, 3, (90, 100, 3))
        Image.fromarray(base.clip(0, 255).astype(np.uint8)).save(folder / f"{n}.png")
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.format(folder=folder, steps=12))
    return path


def test_a_run_trains_resumes_freezes_and_codes(recipe, tmp_path):
    said: list[str] = []
    folder = train(recipe, runs=tmp_path / "runs", accelerator="cpu", progress=said.append)
    first = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert first["step"] == 12 and any(line.startswith("validation") for line in said)
    with pytest.raises(InputError, match="resume"):
        train(recipe, runs=tmp_path / "runs", accelerator="cpu", progress=said.append)
    train(recipe, True, {"steps": 20}, runs=tmp_path / "runs", accelerator="cpu", progress=said.append)
    second = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert second["step"] == 20 and second["seconds"] > first["seconds"]

    model = freeze(folder, tmp_path / "small.safetensors")
    codec = load(model, of=LosslessCodec)
    assert (
        codec.card["kind"] == "photo"
        and "photos" in codec.card["training_data"]
        and str(tmp_path) not in str(codec.card)
    )
    picture = np.asarray(Image.open(tmp_path / "photos" / "0.png"))
    for samples in (picture, picture[..., 0], picture.astype(np.uint16) * 257 + 3):
        assert np.array_equal(codec.decode(codec.encode(samples)), samples)


def test_training_lowers_the_code_length(recipe, tmp_path):
    said: list[str] = []
    train(recipe, False, {"steps": 60, "deep": 0.0}, runs=tmp_path / "runs", accelerator="cpu", progress=said.append)
    rows = (tmp_path / "runs" / "small" / "metrics.csv").read_text().splitlines()
    start = float(next(r for r in rows if ",validation," in r).rsplit(",", 1)[1])
    assert start < 6.5  # from about 8 with random weights


def test_crops_have_the_size_and_the_depth_asked_for(recipe):
    import yaml

    given = PhotoRecipe(**yaml.safe_load(recipe.read_text()))
    stream = iter(PhotoCrops(given, 0))
    kinds = {(batch.dtype.name, batch.shape) for batch in (next(stream) for _ in range(12))}
    assert kinds == {("uint8", (2, 32, 32, 3)), ("uint16", (2, 32, 32, 3))}


def test_bad_recipes_and_checkpoints_get_a_sentence(recipe, tmp_path):
    with pytest.raises(InputError, match="hold_out"):
        train(recipe, False, {"sources": [{"folder": tmp_path / "photos", "share": 1, "hold_out": -1}]})
    with pytest.raises(InputError, match="not the 3 to hold out"):
        train(recipe, False, {"sources": [{"folder": tmp_path / "photos", "share": 1, "hold_out": 3}]}, runs=tmp_path)
    with pytest.raises(InputError, match="network"):
        train(recipe, False, {"network": {"depth": 3}}, runs=tmp_path / "x")
    folder = train(recipe, False, {"steps": 1}, runs=tmp_path / "runs", accelerator="cpu", progress=lambda _: None)
    with pytest.raises(ModelError, match="do not fit"):
        train(recipe, True, {"network": {"width": 16}}, runs=tmp_path / "runs", progress=lambda _: None)
    other = recipe.with_name("kind.yaml")
    other.write_text("kind: sculpture\nname: x\n")
    with pytest.raises(InputError, match="kind 'sculpture'; there are image, circuit, photo"):
        train(other)
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save({**state, "ema": {}}, tmp_path / "broken.pt")
    with pytest.raises(InputError, match="not a checkpoint of a photo model"):
        freeze(tmp_path / "broken.pt", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
