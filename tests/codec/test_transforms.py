"""What can be varied: blocks of the transforms, and how recipes refuse what there is not."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec.codec.image_transform import receptive_field
from lecodec.codec.latent_model import synthesis_digest
from lecodec.codec.model_file import load_tensors, read_card, save_model
from lecodec.codec.transforms.image import BLOCKS, LIMIT, Synthesis, TransformConfig
from lecodec.codec.transforms.network import ImageNetwork, NetworkConfig, decoding_macs
from lecodec.entropy.context import ContextConfig
from lecodec.entropy.hyperprior import HyperConfig
from lecodec.errors import InputError, ModelError
from lecodec.train.freeze import freeze_network
from lecodec.train.recipe import load_recipe

TINY = TransformConfig(width8=12, width16=20, latent=8, analysis8=1, analysis16=1, synthesis8=2, synthesis16=1)
HYPER = HyperConfig(latent=8, width=8, middle=8, hyper=4)
VARIANTS = [{"block": name} for name in BLOCKS]


def lively(config: TransformConfig, context: ContextConfig | None = None) -> ImageNetwork:
    """A network whose blocks do something."""
    torch.manual_seed(0)
    network = ImageNetwork(NetworkConfig(config, HYPER, context))
    for name, p in network.named_parameters():
        if "blocks" in name and p.ndim > 1:
            torch.nn.init.normal_(p, std=p[0].numel() ** -0.5)
    return network.eval()


# -- blocks


@pytest.mark.parametrize("change", VARIANTS)
def test_blocks_code_what_they_are_trained_to(change, tmp_path, monkeypatch):
    """By strips over x as on whole planes; frozen, loaded, encoded and decoded; regions as the whole."""
    config = replace(TINY, **change)
    network = lively(config)
    h, index = torch.rand(2, 8, 12, 9) * 8 - 4, torch.tensor([3.0, 50.0])
    with torch.enable_grad():
        whole = network.g_s(h, index)
    monkeypatch.setattr("lecodec.codec.transforms.image.STRIP", 1)  # four rows at a time
    with torch.no_grad():
        torch.testing.assert_close(network.g_s(h, index), whole.detach(), rtol=1e-4, atol=1e-3)
    out = freeze_network(network, tmp_path / "variant.safetensors", "variant")
    unusual = {name: value for name, value in change.items() if value != "gated"}
    assert read_card(out).card["transform"] == {**TINY.entries(), **unusual}
    codec = lecodec.load(model=out)
    samples = np.random.default_rng(0).integers(0, 256, (150, 170, 3), dtype=np.uint8)
    data = codec.encode(samples, 60)
    picture = codec.decode(data)
    assert picture.shape == samples.shape
    codec.transform.window = 16  # margins as wide as the kernels look, or seams appear
    assert np.abs(codec.decode(data).astype(int) - picture).max() <= 1


@pytest.mark.parametrize("change", VARIANTS)
def test_blocks_differ_and_stay_within_the_limit(change):
    config = replace(TINY, **change)
    blocks = lively(config).g_s.blocks8
    h = 100 * torch.randn(1, 12, 8, 8)
    with torch.enable_grad():
        assert float(blocks(h).detach().abs().max()) <= LIMIT
    usual = lively(TINY).g_s.blocks8
    h = torch.rand(1, 12, 8, 8)
    assert config == TINY or not torch.allclose(blocks(h.clone()), usual(h.clone()))


def test_the_receptive_field_is_that_of_the_kernel():
    """A change of one latent reaches so many pixels beyond its block, and no further."""
    config = replace(TINY, synthesis8=1)
    g_s, reach = lively(config).g_s, receptive_field(config)
    assert isinstance(g_s, Synthesis)
    y, index = torch.randn(1, 8, 9, 9), torch.tensor([30.0])
    changed = y.clone()
    changed[:, :, 4, 4] += 3.0
    with torch.enable_grad():
        rows = (g_s(changed, index) != g_s(y, index)).any(1).any(2)[0].nonzero()
    assert (4 * 16 - int(rows.min()), int(rows.max()) + 1 - 5 * 16) == (reach, reach)


def test_cards_of_the_usual_blocks_are_those_of_older_models(tmp_path):
    """The digest of the synthesis covers the card's sizes: nothing new may appear among them."""
    unusual = ("block", "linear", "knots")
    sizes = {name: value for name, value in asdict(TINY).items() if name not in unusual}
    assert TINY.entries() == sizes and TransformConfig(**sizes) == TINY
    out = freeze_network(lively(TINY), tmp_path / "usual.safetensors", "usual")
    card = read_card(out).card
    assert card["transform"] == sizes
    assert synthesis_digest(load_tensors(out), sizes).hex() == card["synthesis_digest"]
    assert json.dumps(TransformConfig(**sizes, linear=1).entries(), sort_keys=True) != json.dumps(sizes, sort_keys=True)


@pytest.mark.parametrize(
    "change", [{"block": "round"}, {"activation": "gelu"}, {"kernel": 5}, {"width8": 0}, {"width8": "3"}]
)
def test_models_of_unknown_blocks_do_not_load(change, tmp_path):
    out = freeze_network(lively(TINY), tmp_path / "usual.safetensors", "usual")
    card = read_card(out).card
    save_model(load_tensors(out), {**card, "transform": {**card["transform"], **change}}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="sizes of its networks"):
        lecodec.load(model=tmp_path / "x.safetensors")


def test_multiplications_are_those_counted_by_hand():
    def at(*, side, macs):
        return macs / side**2

    c, h = TransformConfig(), HyperConfig()
    n8, n16, m = c.width8, c.width16, c.latent
    g_s = at(side=16, macs=m * n16 + 3 * (3 * n16 * n16 + 9 * n16) + 4 * n8 * n16)
    g_s += at(side=8, macs=4 * (3 * n8 * n8 + 9 * n8) + 64 * 3 * n8)
    h_s = at(side=64, macs=9 * h.hyper * h.width + 4 * h.width * h.width)
    h_s += at(side=32, macs=9 * h.width * h.middle + 4 * h.width * h.middle) + at(side=16, macs=2 * m * h.width)
    assert decoding_macs(ImageNetwork(NetworkConfig(c, h))) == pytest.approx(g_s + h_s)
    w = 40
    steps = sum((h.middle + 2 * k * m) * w + 9 * w * w + 2 * w * 2 * m for k in (1, 2, 3))
    network = ImageNetwork(NetworkConfig(c, h, ContextConfig(w)))
    assert decoding_macs(network) == pytest.approx(g_s + h_s + at(side=32, macs=steps))


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_cost_alike(block):
    usual = decoding_macs(ImageNetwork(NetworkConfig()))
    assert decoding_macs(ImageNetwork(NetworkConfig(TransformConfig(block=block)))) == pytest.approx(usual, rel=0.02)


# -- recipes


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text("{name: x, train: [a], steps: 1000, phases: [{fraction: 1, crop: 64, batch: 4}], warmup_steps: 1}")
    return path


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tail": 0.25}, "tail"),
        ({"transform": {"block": "round"}}, "block is one of gated, residual, not 'round'"),
        ({"transform": {"activation": "tanh"}}, "activation"),
        ({"transform": {"kernel": 2}}, "kernel"),
        ({"transform": {"width8": "wide"}}, "width8 is a whole number"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(recipe, change, message):
    with pytest.raises(InputError, match=message) as error:
        load_recipe(recipe, **change)
    assert "\n" not in str(error.value)
