"""Entropy models on frozen transforms: from a checkpoint and kept latents to a model file that codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.bitstream import parse
from lecodec.codec.model_file import load_tensors, read_card
from lecodec.codec.transforms.image import TransformConfig
from lecodec.codec.transforms.network import ImageNetwork, NetworkConfig
from lecodec.entropy.context import ContextConfig
from lecodec.entropy.factorized import fixed_bits, fixed_prior
from lecodec.entropy.hyperprior import HyperConfig, Hyperprior
from lecodec.errors import InputError, ModelError
from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.freeze import freeze
from lecodec.train.run import train
from lecodec.train.thaw import thawed
from lecodec.train.video import image_codec

from ..contract.subjects import GOLDEN, picture
from ..nested_reader import nested_digest

SIZES = {"width8": 16, "width16": 24, "latent": 16, "analysis8": 1, "analysis16": 1, "synthesis8": 1, "synthesis16": 1}
HYPER = {"width": 16, "middle": 16, "hyper": 8}
MEMORY = {"entries": 6, "heads": 2, "size": 4}
VARIANTS = {
    "dictionary": ({"conditional": MEMORY}, ["hyperprior.context.1.ask", "hyperprior.context.1.answer"]),
    "control": ({"conditional": {**MEMORY, "kind": "control"}}, ["hyperprior.context"]),
    "retrieved": (
        {"conditional": {**MEMORY, "kind": "retrieved", "entries": 3}, "begin_anew": ["hyperprior.context"]},
        ["hyperprior.context"],
    ),
    "both": (
        {"conditional": {**MEMORY, "kind": "both", "entries": 3, "learned": 5}, "begin_anew": ["hyperprior.context"]},
        ["hyperprior.context"],
    ),
    "levels": ({"hyper": {**HYPER, "levels": 3}}, ["hyperprior.above", "hyperprior.h_a.above"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, and the checkpoint of a model with context."""
    folder = tmp_path_factory.mktemp("conditional")
    for n in range(3):
        Image.fromarray(picture(80, 90, seed=n)).save(folder / f"{n}.png")
        (folder / "large").mkdir(exist_ok=True)
        Image.fromarray(picture(256, 270, seed=n)).save(folder / "large" / f"{n}.png")
    torch.manual_seed(0)
    network = ImageNetwork(NetworkConfig(TransformConfig(**SIZES), HyperConfig(16, **HYPER), ContextConfig(12)))
    with torch.no_grad():  # y that says something
        network.g_a.gain_y.value += 3
    torch.save({"ema": network.state_dict()}, folder / "start.pt")
    return folder


@pytest.mark.parametrize("variant", VARIANTS)
def test_from_kept_latents_to_files(folder, variant):
    fields, parts = VARIANTS[variant]
    recipe = folder / f"{variant}.yaml"
    recipe.write_text(
        f"name: {variant}\ntrain: [{folder}]\nstart_from: {folder / 'start.pt'}\ntransform: {SIZES}\nhyper: {HYPER}\n"
        f"context: {{width: 12}}\nobjective: rate\ntrain_only: {parts}\ncache: {folder / 'latents.pt'}\ncached: 6\n"
        "steps: 4\nphases: [{fraction: 1.0, crop: 64, batch: 2}]\nlearning_rate: 1.0e-2\n"
    )
    fields = {**fields, "references": [str(folder / "large")]} if variant in ("retrieved", "both") else fields
    run = train(recipe, overrides=fields, runs=folder / "runs", progress=lambda _: None)
    before, after = load_checkpoint(folder / "start.pt")["ema"], load_checkpoint(run / "checkpoint.pt")["ema"]
    assert all(torch.equal(before[n], p) for n, p in after.items() if n in before and not n.startswith(tuple(parts)))
    if variant == "retrieved":
        assert after["hyperprior.references"].any() and (after["hyperprior.unit"] > 0).all()
        with pytest.raises(InputError, match="references need as many"):
            more = {**fields, "name": "x", "conditional": {**fields["conditional"], "entries": 4}}
            train(recipe, overrides=more, runs=folder / "runs", progress=lambda _: None)
    path = freeze(run, folder / f"{variant}.safetensors", calibrate=3)
    codec = lecodec.load(model=path, of=lecodec.ImageCodec)
    x = picture(60, 75, seed=9)
    data = codec.encode(x, 90)
    assert codec.decode(data).shape == x.shape
    latents = codec.latents(data, 0)
    assert len(latents.levels) == {"levels": 4, "retrieved": 3, "both": 3}.get(variant, 2) and latents.y_hat.any()
    assert parse(data).header.parse_digest == codec.parse_digest
    # The run's latents are kept once: another variant finds them, other transforms do not.
    with pytest.raises(InputError, match="other transforms or crops"):
        train(recipe, overrides={**fields, "name": "x", "cached": 7}, runs=folder / "runs", progress=lambda _: None)


def test_levels_above_z_agree_in_training_and_coding():
    from lecodec.codec.image_transform import entropy_model_of
    from lecodec.entropy.latents import Meter

    for levels in (2, 3):
        torch.manual_seed(0)
        sizes = HyperConfig(16, **HYPER, levels=levels)
        model = Hyperprior(sizes)
        with torch.no_grad():
            model.h_s.offset.value[:, 16:] += 1.5
        y = np.random.default_rng(0).laplace(0, 3, (2, 16, 24, 20)).astype(np.float32)
        index, source, part, h_a = torch.tensor([3.0, 62.0]), [y], torch.from_numpy(y), model.h_a
        while h_a is not None:
            height, width = part.shape[2:]
            part = torch.nn.functional.pad(part, (0, -width % 4, 0, -height % 4), mode="replicate")
            part, h_a = h_a(part, index), h_a.above
            source.insert(0, part.detach().numpy())
        found = model.eval()(torch.from_numpy(y), index)
        coding, meters = entropy_model_of({"hyper": sizes.entries()})(model.frozen()), [Meter(), Meter()]
        latents = coding.traverse(meters, (24, 20), [3 * 256, 62 * 256], source)
        for b in range(2):
            np.testing.assert_array_equal(latents[b].y_hat, (found.y_hat[b].detach().double() * 64).round().numpy())
            assert meters[b].bits == pytest.approx((found.bits_y + found.bits_z)[b].item(), rel=0.02)
        trained = model.train()(torch.from_numpy(y), index, rounded=True)
        (trained.bits_y + trained.bits_z).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_top_of_a_nest_is_fixed():
    tables = fixed_prior(2)
    z = torch.arange(-5.0, 6)[None, None, None]
    bits = tables.bits(z.numpy().reshape(-1).astype(np.int32), np.zeros(11, np.int64))
    assert float(bits.sum()) == pytest.approx(float(fixed_bits(z)), rel=1e-3)
    assert sum(p.numel() for p in torch.nn.Module().parameters()) == 0 and len(tables) == 16


def test_models_with_levels_above_z_are_their_digest_and_are_not_thawed():
    path = GOLDEN / "tiny-nested.safetensors"
    card = read_card(path).card
    assert nested_digest(path).hex() == card["parse_digest"] and card["hyper"]["levels"] == 3
    with pytest.raises(ModelError, match="levels above z"):
        thawed(load_tensors(path), card)
    with pytest.raises(ValueError, match="at most 3"):
        HyperConfig(levels=4)
    for levels in (2, 1):  # fewer than there are tensors for: another digest
        from lecodec.codec.image_transform import image_model

        with pytest.raises(ModelError):
            image_model(load_tensors(path), {**card, "hyper": {**card["hyper"], "levels": levels}})


@pytest.mark.parametrize("name", ["dictionary", "retrieved", "nested", "codebook"])
def test_video_is_built_on_context_and_nothing_else(name):
    with pytest.raises(InputError, match="with nothing else"):
        image_codec(str(GOLDEN / f"tiny-{name}.safetensors"))
