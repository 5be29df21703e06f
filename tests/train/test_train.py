"""Training: recipes are checked, a run learns, stops, resumes, and freezes into a model that codes."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.codec.kinds import KINDS
from lecodec.codec.media.named import named
from lecodec.codec.model_file import read_card
from lecodec.codec.transforms.image import TransformConfig
from lecodec.codec.transforms.network import ImageNetwork, NetworkConfig, start_from_statistics
from lecodec.entropy.factorized import FactorizedPrior
from lecodec.entropy.hyperprior import HyperConfig, IndexTable, laplace_bits
from lecodec.entropy.hyperprior_coding import HyperpriorCoding, laplace_tables
from lecodec.entropy.rate import BANKS, QUALITY_LEVELS, bank_of
from lecodec.errors import InputError, ModelError, OutputExists
from lecodec.train import image
from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.data import CropStream, load_pictures
from lecodec.train.freeze import freeze, freeze_network
from lecodec.train.objectives import balance_weight, quality_lambda
from lecodec.train.recipe import load_recipe
from lecodec.train.run import train
from lecodec.train.schema import load_as, recipe_kind
from lecodec.train.synthetic import harden

SMALL = NetworkConfig(
    TransformConfig(width8=16, width16=24, latent=16, analysis8=1, analysis16=1, synthesis8=1, synthesis16=1),
    HyperConfig(latent=16, width=16, middle=16, hyper=8),
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :272]
    for n in range(4):
        base = 120 + 70 * np.sin(x / (5 + n) + y / 11)[..., None] + rng.normal(0, 2, (256, 272, 3))
        Image.fromarray(base.clip(0, 255).astype(np.uint8)).save(folder / f"{n}.png")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture
def recipe(tmp_path, pictures) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"""
name: small
train: [{pictures}]
validation: [{pictures}]
steps: 200
phases: [{{fraction: 1, crop: 64, batch: 4}}]
transform: {{width8: 16, width16: 24, latent: 16, analysis8: 1, analysis16: 1, synthesis8: 1, synthesis16: 1}}
hyper: {{width: 16, middle: 16, hyper: 8}}
learning_rate: 2.0e-3
warmup_steps: 5
"""
    )
    return path


def run(recipe: Path, tmp_path: Path, resume: bool = False, **overrides) -> tuple[Path, list[str]]:
    lines: list[str] = []
    folder = train(recipe, resume, overrides, runs=tmp_path / "runs", accelerator="cpu", progress=lines.append)
    return folder, lines


def validation(lines: list[str]) -> float:
    return float(next(line for line in reversed(lines) if line.startswith("validation")).split()[2])


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_run_learns_resumes_and_freezes(recipe, tmp_path, optimiser):
    _, lines = run(recipe, tmp_path, steps=1, optimiser=optimiser)
    start = validation(lines)
    folder, lines = run(recipe, tmp_path, resume=True, optimiser=optimiser)
    assert any("resumed at step 1" in line for line in lines)
    assert load_checkpoint(folder / "checkpoint.pt")["step"] == 200
    assert validation(lines) < 0.995 * start
    assert not list(folder.glob("*.part"))
    assert (folder / "metrics.csv").read_text().count("validation") == 2

    out = freeze(folder, tmp_path / "mine.safetensors")
    card = read_card(out)
    assert card.name == "mine" and card.card["training"]["steps"] == 200
    codec = lecodec.load(model=out)
    samples = np.asarray(Image.open(load_recipe(recipe).train[0] / "0.png"))
    assert codec.decode(codec.encode(samples)).shape == samples.shape
    with pytest.raises(OutputExists):
        freeze(folder, out)
    assert (folder / "weights.pt").stat().st_size < 0.3 * (folder / "checkpoint.pt").stat().st_size
    freeze(folder / "weights.pt", tmp_path / "from-weights.safetensors")


def test_an_existing_run_is_not_overwritten(recipe, tmp_path):
    run(recipe, tmp_path, steps=1)
    with pytest.raises(InputError, match="--resume"):
        run(recipe, tmp_path, steps=1)


def test_a_run_does_not_resume_with_another_optimiser(recipe, tmp_path):
    run(recipe, tmp_path, steps=1)
    with pytest.raises(InputError, match="another optimiser"):
        run(recipe, tmp_path, resume=True, optimiser="muon")


def test_part_of_the_network_can_be_trained_from_another_run(recipe, tmp_path):
    folder, _ = run(recipe, tmp_path, steps=3)
    before = {n: w.float() for n, w in load_checkpoint(folder / "weights.pt")["ema"].items()}
    folder, _ = run(recipe, tmp_path, name="part", steps=10, start_from=str(folder / "weights.pt"), train_only=["g_s"])
    after = load_checkpoint(folder / "checkpoint.pt")["network"]
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed and all(n.startswith("g_s.") for n in changed)


def test_weights_of_other_sizes_are_refused(recipe, tmp_path):
    folder, _ = run(recipe, tmp_path, steps=1)
    wider = {"width8": 20, "width16": 24, "latent": 16}
    with pytest.raises(ModelError, match=r"weights\.pt: its weights do not fit the network of recipe wider") as error:
        run(recipe, tmp_path, name="wider", transform=wider, start_from=str(folder / "weights.pt"))
    assert "\n" not in str(error.value)


def test_runs_of_one_seed_see_the_same(recipe, tmp_path, monkeypatch):
    """The same crops at the same indices, whatever the network is: comparisons of runs are fair."""
    seen: dict[str, list] = {}

    def forward(self, x, index):
        if self.training:
            seen[self.recipe.name].append((x.clone(), index.clone()))
        return original(self, x, index)

    original = image._Objective.forward
    monkeypatch.setattr(image._Objective, "forward", forward)
    sizes = {"width8": 8, "width16": 8, "latent": 8, "analysis8": 1, "analysis16": 1, "synthesis8": 1, "synthesis16": 1}
    for name, change in (("a", {}), ("b", {"transform": sizes, "clip": 0.5}), ("c", {"seed": 2})):
        seen[name] = []
        run(recipe, tmp_path, name=name, steps=4, **change)
    for (x, index), (same_x, same_index) in zip(seen["a"], seen["b"], strict=True):
        assert torch.equal(x, same_x) and torch.equal(index, same_index)
    assert not any(torch.equal(x, other) for (x, _), (other, _) in zip(seen["a"], seen["c"], strict=True))


def test_ms_ssim_objective_runs(recipe, tmp_path):
    phases = [{"fraction": 1, "crop": 192, "batch": 1}]
    folder, lines = run(recipe, tmp_path, steps=2, distortion="ms-ssim", lambda_low=1, lambda_high=60, phases=phases)
    assert math.isfinite(validation(lines))


@pytest.mark.parametrize(
    "change, message",
    [
        ("steps: 0", "steps"),
        ("phases: [{fraction: 0.5, crop: 64, batch: 4}]", "sum to 1"),
        ("phases: [{fraction: 1, crop: 100, batch: 4}]", "crop"),
        ("transform: {nonsense: 4}", "nonsense"),
        ("colour: red", "colour"),
        ("distortion: ms-ssim", "192"),
        ("][", "cannot read"),
    ],
)
def test_recipes_are_checked(recipe, tmp_path, change, message):
    key = change.split(":")[0]
    lines = [line for line in recipe.read_text().splitlines() if not line.startswith(key + ":")]
    recipe.write_text("\n".join([*lines, change]))
    with pytest.raises(InputError, match=message) as error:
        load_recipe(recipe)
    assert "\n" not in str(error.value) or "cannot read" in str(error.value)


def test_missing_things_are_named(recipe, tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="no picture"):
        run(recipe, tmp_path, train=[str(tmp_path / "empty")], name="e")
    with pytest.raises(InputError, match="checkpoint"):
        freeze(tmp_path, tmp_path / "x.safetensors")
    (tmp_path / "checkpoint.pt").write_bytes(b"junk")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        freeze(tmp_path, tmp_path / "x.safetensors")


def test_shipped_recipes_are_valid():
    for path in sorted((Path(lecodec.__file__).parent / "train" / "recipes").glob("*.yaml")):
        assert load_as(named(KINDS[recipe_kind(path)].recipe), path, {}).name == path.stem


def test_crops_are_reproducible_and_in_range(pictures):
    loaded = load_pictures([pictures])
    assert len(loaded) == 4

    def first(seed):
        stream = CropStream(loaded, (1.0, 2.0), seed)
        stream.crop, stream.batch = 64, 3
        return next(iter(stream))

    a = first(5)
    assert a.shape == (3, 3, 64, 64) and 0 <= float(a.min()) and float(a.max()) <= 1
    assert torch.equal(a, first(5)) and not torch.equal(a, first(6))


def test_lambda_is_geometric_and_balance_is_one_in_the_middle():
    index = torch.tensor([0.0, 31.5, 63.0])
    lam = quality_lambda(index, 20, 8000)
    torch.testing.assert_close(lam, torch.tensor([20.0, 400.0, 8000.0]), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(balance_weight(lam, 20, 8000, 0.5)[1], torch.tensor(1.0))


@pytest.mark.parametrize("width8", [160, 224])  # fewer and more than an 8 x 8 block has samples
def test_the_start_is_a_transform_that_inverts(pictures, width8):
    """Before any training the linear path reconstructs what its components span: here all of a smooth picture."""
    torch.manual_seed(0)
    network = ImageNetwork(NetworkConfig(TransformConfig(width8=width8))).eval()
    x = torch.from_numpy(np.stack([p[:192, :192] for p in load_pictures([pictures])])).permute(0, 3, 1, 2) / 255
    random_psnr = _psnr(network, x)
    start_from_statistics(network, x)
    assert _psnr(network, x) > 27 > random_psnr + 10


@torch.no_grad()
def _psnr(network, x) -> float:
    index = torch.full((len(x),), 63.0)
    error = (network.g_s(network.g_a(x, index), index) - x).square().mean()
    return -10 * math.log10(float(error))


def test_estimates_are_those_of_the_frozen_tables():
    """Training's rate terms against the integer tables that files are coded with."""
    torch.manual_seed(0)
    prior = FactorizedPrior(3)
    with torch.no_grad():
        prior.mean += torch.randn_like(prior.mean)
        prior.log_scale += 0.5 * torch.randn_like(prior.log_scale)
    tables = prior.freeze()
    z = torch.randint(-4, 5, (1, 3, 6, 6)).float()
    for q in (0, 40, 63):
        number = np.repeat(np.arange(3) + bank_of(q) * 3, 36)
        exact = tables.bits(z.numpy().reshape(-1).astype(np.int64), number).sum()
        assert prior(z, torch.tensor([q])).sum().item() == pytest.approx(exact, rel=2e-3)
    t = torch.tensor([5.0, 20.0, 40.0, 60.0]).repeat_interleave(9)
    s = torch.arange(-4, 5).float().repeat(4)
    exact = laplace_tables().bits(s.numpy().astype(np.int64), t.numpy().astype(np.int64))
    likely = exact < 16
    np.testing.assert_allclose(laplace_bits(s, t).numpy()[likely], exact[likely], rtol=5e-3, atol=1e-3)
    assert bank_of(QUALITY_LEVELS - 1) == BANKS - 1


def test_training_and_coding_share_one_hyper_decoder():
    """The integer mean and table number of the frozen model equal those of the training forward pass."""
    torch.manual_seed(0)
    network = ImageNetwork(SMALL)
    for gain in network.hyperprior.h_s.gains:
        torch.nn.init.normal_(gain.value, std=0.3)
    coding = HyperpriorCoding(network.hyperprior.frozen())
    z = torch.randint(-40, 41, (2, 8, 3, 2)).float()
    index = torch.tensor([3, 62])
    mu, t = network.hyperprior.h_s(z, index)
    found_mu, found_t = coding.parameters(z.numpy().astype(np.int32), [3 * 256, 62 * 256], (12, 8))
    np.testing.assert_array_equal(found_mu, (mu.detach() * 64).numpy())
    np.testing.assert_array_equal(found_t, (t.detach() + 0.5).floor().clamp(0, 63).numpy())


def test_index_tables_interpolate():
    table = IndexTable(2, (0.0, 63.0), scale=10.0)
    torch.testing.assert_close(table(torch.tensor([0.0, 10.5, 63.0]))[:, 0], torch.tensor([0.0, 10.5, 63.0]))


def test_weights_beyond_the_bound_cannot_be_frozen(tmp_path):
    network = ImageNetwork(SMALL)
    with torch.no_grad():
        network.g_s.head.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="finite"):
        freeze_network(network, tmp_path / "x.safetensors", "x")
    assert not list(tmp_path.iterdir())


def test_hard_content_keeps_the_shape_and_depends_on_the_seed_alone():
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    before = crop.copy()
    made = [harden(crop, random.Random(seed)) for seed in range(60)]
    assert all(m.shape == crop.shape and m.dtype == np.uint8 for m in made)
    assert all(np.array_equal(m, harden(crop, random.Random(seed))) for seed, m in enumerate(made))
    assert np.array_equal(crop, before) and sum(not np.array_equal(m, crop) for m in made) > 50


def test_crops_get_their_share_of_hard_content():
    plain = np.full((80, 80, 3), 90, np.uint8)
    for share, low, high in ((0.0, 0, 0), (0.5, 60, 140)):
        stream = CropStream([plain], (1.0, 1.0), 3, synthetic=share)
        changed = sum(bool((crop != 90).any()) for crop in stream.take(200, 64))
        assert low <= changed <= high
