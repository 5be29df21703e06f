"""The entropy model with context: training and coding agree, latents are the same on every path, damage is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.bitstream import frame, parse
from lecodec.codec.image import ImageCodec
from lecodec.codec.image_transform import image_model
from lecodec.codec.model_file import load_tensors, parse_tensors, read_card
from lecodec.codec.transforms.image import TransformConfig
from lecodec.codec.transforms.network import ImageNetwork, NetworkConfig
from lecodec.entropy import context_coding, hyperprior_coding
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.context import ContextConfig, ContextHyperprior
from lecodec.entropy.context_coding import PASSES, PHASES, ContextCoding, pass_channels
from lecodec.entropy.hyperprior import HyperConfig, Hyperprior, residual_bits
from lecodec.entropy.hyperprior_coding import HyperpriorCoding
from lecodec.entropy.latents import Meter, NullCoder
from lecodec.entropy.run_torch import TorchRuntime
from lecodec.errors import CodecError, CorruptFile, InputError, ModelError
from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.freeze import freeze, freeze_network
from lecodec.train.recipe import Recipe
from lecodec.train.run import train
from lecodec.train.schema import load_as

from .. import reader
from ..bitstream.test_format import agree_on_latents
from ..context_reader import context_digest

SIZES = HyperConfig(latent=16, width=16, middle=16, hyper=8)
QUALITY = [3 * 256, 62 * 256 + 100]


def lively(seed: int = 0) -> ContextHyperprior:
    """A model with random weights whose context networks matter."""
    torch.manual_seed(seed)
    model = ContextHyperprior(SIZES, ContextConfig(width=12))
    with torch.no_grad():
        for step in model.context:
            step.layers[2].weight.mul_(60)
            step.gain.value.normal_(std=0.3)
        model.h_s.offset.value[:, SIZES.latent :] += 1.5
    return model.eval()


@pytest.fixture(scope="module")
def coding() -> ContextCoding:
    return ContextCoding(lively().frozen())


def latents_to_code(batch: int, size: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """y [B, 16, h, w] float32 and z [B, 8, h', w'] int32."""
    rng = np.random.default_rng(seed)
    y = rng.laplace(0, 3, (batch, SIZES.latent, *size)).astype(np.float32)
    return y, rng.integers(-9, 10, (batch, SIZES.hyper, -(-size[0] // 4), -(-size[1] // 4))).astype(np.int32)


def same(a, b) -> bool:
    return np.array_equal(a.z, b.z) and np.array_equal(a.y_hat, b.y_hat)


# -- the passes


def test_every_element_is_coded_once_and_every_position_is_busy_in_each_pass():
    channels = [pass_channels(16, k) for k in range(PASSES)]
    assert sorted(sum(channels, [])) == list(range(64))
    for own in channels:
        assert np.bincount(np.array(own) % 4).tolist() == [4] * 4
    assert sorted(zip(*PHASES, strict=True)) == sorted({tuple(column) for column in zip(*PHASES, strict=True)})


def test_folding_is_pixel_unshuffle_and_odd_edges_are_left_out():
    y = np.random.default_rng(0).normal(size=(2, 3, 5, 6)).astype(np.float32)
    folded = context_coding.folded(y, (3, 3))
    padded = torch.nn.functional.pad(torch.from_numpy(y), (0, 0, 0, 1))
    np.testing.assert_array_equal(folded, torch.nn.functional.pixel_unshuffle(padded, 2).numpy())
    np.testing.assert_array_equal(context_coding._unfolded(folded)[:, :, :5], y)
    assert context_coding._inside((5, 6)).sum() == 30


@pytest.mark.parametrize("size", [(12, 8), (4, 20)])
def test_training_and_coding_share_one_function(coding, size):
    """y_hat and the bits of training's forward pass, without noise, are those of the frozen model."""
    model = lively()
    y, z = latents_to_code(2, size)
    index = torch.tensor(QUALITY) / 256
    exact = torch.floor(index)  # gains at whole indices, where integer interpolation and real ones agree
    model.hyper_latent = lambda *_: (torch.from_numpy(z).float(), torch.zeros(2))  # pyright: ignore
    found = model(torch.from_numpy(y), exact)
    meters = [Meter(), Meter()]
    latents = coding.traverse(meters, size, [int(q) * 256 for q in exact], (z, y))
    for b in range(2):
        np.testing.assert_array_equal(latents[b].y_hat, (found.y_hat[b].detach().double() * 64).round().numpy())
        z_bits = Meter()
        coding.above.traverse([z_bits], z.shape[2:], [int(exact[b]) * 256], (z[b : b + 1],))
        # The estimate of real-valued table numbers, without escapes and their tails: near, not equal.
        assert found.bits_y[b].item() == pytest.approx(meters[b].bits - z_bits.bits, rel=0.05)


def test_context_matters(coding):
    """Were r forgotten, later passes would choose otherwise."""
    y, z = latents_to_code(1, (8, 8))
    with_context = coding.traverse([NullCoder()], (8, 8), [5000], (z, y))[0]
    plain = HyperpriorCoding(coding._tensors).traverse([NullCoder()], (8, 8), [5000], (z, y))[0]
    assert np.array_equal(with_context.z, plain.z) and not np.array_equal(with_context.y_hat, plain.y_hat)


def test_bits_of_rounded_residuals_train_the_scale_alone():
    residual = torch.tensor([[0.2, -1.4, 3.0]], requires_grad=True)
    t = torch.tensor([[10.0, 30.0, -5.0]], requires_grad=True)
    bits = residual_bits(residual, t, 63, training=True, rounded=True)
    assert bits.item() == pytest.approx(residual_bits(residual, t, 63, training=False, rounded=False).item())
    bits.backward()
    assert (residual.grad != 0).any() and (t.grad != 0).all()
    assert t.grad[0, 2] < 0  # a table below the first one is pulled back into the range


# -- exact by construction


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (8, 8), (13, 22)])
def test_what_is_written_is_read(coding, size):
    y, z = latents_to_code(2, size)
    writers = [Writer(), Writer()]
    written = coding.traverse(writers, size, QUALITY, (z, y))
    readers = [Reader(writer.finish()) for writer in writers]
    read = coding.traverse(readers, size, QUALITY)
    assert all(same(a, b) and r.exhausted() for a, b, r in zip(written, read, readers, strict=True))
    assert all(a.y_hat.shape == (SIZES.latent, *size) for a in written)
    coded = np.abs(written[0].y_hat / 64 - y[0]) <= 0.5 + 1e-3
    assert coded.mean() > 0.9  # but for elements of table 0


def test_latents_do_not_depend_on_batch_bands_threads_or_carrier(coding, monkeypatch):
    size = (17, 23)
    y, z = latents_to_code(20, size)
    quality = list(range(0, 20 * 800, 800))
    together = coding.traverse([NullCoder()] * 20, size, quality, (z, y))
    alone = [coding.traverse([NullCoder()], size, [q], (z[b : b + 1], y[b : b + 1]))[0] for b, q in enumerate(quality)]
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))

    monkeypatch.setattr(context_coding, "BAND", 1)
    monkeypatch.setattr(hyperprior_coding, "BAND", 1)
    banded = coding.traverse([NullCoder()] * 20, size, quality, (z, y))
    assert all(same(a, b) for a, b in zip(together, banded, strict=True))

    before = torch.get_num_threads()
    try:
        for threads in (2, 4):
            torch.set_num_threads(threads)
            with torch.backends.mkldnn.flags(enabled=threads == 2):
                again = coding.traverse([NullCoder()] * 20, size, quality, (z, y))
            assert all(same(a, b) for a, b in zip(together, again, strict=True))
    finally:
        torch.set_num_threads(before)


def test_carriers_agree():
    """Weights small enough for float32 sums: the same integers from float32 and float64 layers."""
    tensors = lively().frozen()
    for name in tensors:
        if name.startswith("context.") and name.endswith(("weight", "bias")):
            tensors[name] = (tensors[name] // 256).astype(tensors[name].dtype)
    coding = ContextCoding(tensors)
    program = coding._corrections[0]
    carriers = {f.carrier for s, f in zip(program.steps, program.facts, strict=True) if s.op == "matmul"}
    assert np.float32 in carriers
    y, z = latents_to_code(2, (9, 14))
    both = TorchRuntime("cpu"), TorchRuntime("cpu", wide=True)
    pairs = (coding.traverse([NullCoder(), NullCoder()], (9, 14), QUALITY, (z, y), device=runtime) for runtime in both)
    assert all(same(a, b) for a, b in zip(*pairs, strict=True))


def test_hostile_values_stay_within_the_bound(coding):
    """Values as large as a file can hold: clamped where they become context, and they come back."""
    y, z = latents_to_code(1, (6, 6))
    y[:, ::3] = 3e9
    y[:, 1::3] = -3e9
    z[:] = 2**20
    writer = Writer()
    written = coding.traverse([writer], (6, 6), [100 * 100], (z, y))
    assert same(coding.traverse([Reader(writer.finish())], (6, 6), [100 * 100])[0], written[0])


# -- model files and files


@pytest.mark.parametrize("shape, quality", [((40, 52), 37.3), ((90, 17), 80), ((16, 16), 100)])
def test_files_read_from_the_specification(model, shape, quality):
    """Sections 20 and 21 of FORMAT.md, by an independent reader: the same latents and the same digest of the model."""
    samples = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    codec, independent = lecodec.load(model=model), reader.Model(model)
    assert context_digest(independent) == codec.parse_digest
    agree_on_latents(independent, codec, codec.encode(samples, quality, tile=64))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    config = NetworkConfig(
        TransformConfig(width8=16, width16=24, latent=16, analysis8=1, analysis16=1, synthesis8=1, synthesis16=1),
        SIZES,
        ContextConfig(width=12),
    )
    network = ImageNetwork(config)
    network.hyperprior.load_state_dict(lively().state_dict())
    out = tmp_path_factory.mktemp("model") / "context.safetensors"
    rng = np.random.default_rng(0)
    crops = (rng.integers(0, 256, (64, 80, 3)).astype(np.uint8) for _ in range(3))
    return freeze_network(network, out, "context", crops=crops)


def test_a_codec_uses_the_context_model(model, picture):
    codec = lecodec.load(model=model)
    assert isinstance(codec.entropy, ContextCoding) and read_card(model).card["context"] == {"width": 12}
    data = codec.encode(picture, 50, tile=64)
    assert codec.decode(data).shape == picture.shape
    bits = codec.estimate_bits(picture, 50)
    assert abs(8 * len(codec.encode(picture, 50)) - bits) < 0.01 * bits + 150 * 8
    other = ImageCodec(image_model(load_tensors(model), read_card(model).card))
    assert same(other.latents(data), codec.latents(data))


def test_damage_is_noticed(model, picture):
    codec = lecodec.load(model=model)
    data = codec.encode(picture[:20, :20], 30)
    original, chunk = codec.decode(data), parse(data).data[0]
    for position in range(0, 8 * len(chunk.payload), 7):
        changed = bytearray(chunk.payload)
        changed[position // 8] ^= 1 << position % 8
        bad = data[:60] + frame(b"LDAT", chunk.digest + bytes(changed)) + frame(b"LEND", b"")
        try:
            assert np.array_equal(codec.decode(bad), original)
        except CorruptFile:
            pass
    for cut in range(0, len(data), 5):
        with pytest.raises(CodecError):
            codec.decode(data[:cut])


@pytest.mark.parametrize("name", ["context.2.1.weight", "context.1.gain", "context.narrow"])
def test_a_changed_model_does_not_load(model, name):
    tensors = dict(load_tensors(model))
    changed = tensors[f"parse.{name}"].copy()
    changed.flat[1] += 1
    with pytest.raises(ModelError, match="digest"):
        image_model({**tensors, f"parse.{name}": changed}, read_card(model).card)


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("context.1.0.weight", lambda a: a[:, :-1], "shape"),
        ("context.3.2.bias", lambda a: a[:-2], "shape"),
        ("context.2.gain", lambda a: a - 20000, "gains"),
        ("context.widen", lambda a: a * 0 - 1, "spreads"),
        ("context.narrow", lambda a: a.astype(np.int64), "int64"),
        ("context.3.0.weight", None, "lacks"),
    ],
)
def test_tensors_that_do_not_make_a_model_are_refused(model, name, change, message):
    tensors = parse_tensors(load_tensors(model))
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors[name])
    with pytest.raises(ModelError, match=message):
        ContextCoding(tensors)


def test_channels_make_four_groups():
    tensors = lively().frozen()
    assert isinstance(ContextHyperprior(SIZES, ContextConfig(4)), Hyperprior)
    for n, name in enumerate(("h_s.4.weight", "h_s.4.bias", "gain.2", "offset")):
        tensors[name] = tensors[name][:-2] if n < 2 else tensors[name][:, :-2]
    with pytest.raises(ModelError, match="groups"):
        ContextCoding(tensors)


# -- training


def test_an_entropy_model_is_trained_on_frozen_transforms(tmp_path):
    """Start from a run without context, train context alone on latents, freeze: fewer bits, the same transforms."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    (tmp_path / "photos").mkdir()
    for n in range(4):
        base = 120 + 70 * np.sin(x / (5 + n) + y / 11)[..., None] + rng.normal(0, 2, (256, 256, 3))
        Image.fromarray(base.clip(0, 255).astype(np.uint8)).save(tmp_path / "photos" / f"{n}.png")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""
name: plain
train: [{tmp_path / "photos"}]
steps: 30
phases: [{{fraction: 1, crop: 64, batch: 4}}]
transform: {{width8: 16, width16: 24, latent: 16, analysis8: 1, analysis16: 1, synthesis8: 1, synthesis16: 1}}
hyper: {{width: 16, middle: 16, hyper: 8}}
learning_rate: 2.0e-3
warmup_steps: 5
"""
    )
    options = {"runs": tmp_path / "runs", "accelerator": "cpu", "progress": lambda _: None}
    plain = train(recipe, False, {}, **options)
    on_latents = {
        "start_from": str(plain / "weights.pt"),
        "train_only": ["hyperprior"],
        "objective": "rate",
        "steps": 80,
        "reuse": 2,
    }
    loaded = {n: w.float() for n, w in load_checkpoint(plain / "weights.pt")["ema"].items()}
    bits = {}
    for name, context in (("again", None), ("context", {"width": 12})):
        run = train(recipe, False, {**on_latents, "name": name, "context": context}, **options)
        state = load_checkpoint(run / "checkpoint.pt")["network"]
        changed = {n for n in loaded if not torch.equal(loaded[n], state[n])}
        assert changed and all(n.startswith("hyperprior.") for n in changed)
        out = freeze(run, tmp_path / f"{name}.safetensors", calibrate=10)
        codec = lecodec.load(model=out)
        assert isinstance(codec.entropy, ContextCoding) == (context is not None)
        picture = np.asarray(Image.open(tmp_path / "photos" / "1.png"))
        bits[name] = sum(codec.estimate_bits(picture, quality) for quality in (20, 60, 90))
        assert len(codec.encode(picture, 60)) > 0
    assert bits["context"] < bits["again"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"objective": "rate"}, "train_only"),
        ({"context": {"depth": 3}}, "depth"),
        ({"context": {}, "transform": {"latent": 18}}, "multiple of 4"),
    ],
)
def test_recipes_are_checked(tmp_path, change, message):
    path = tmp_path / "recipe.yaml"
    path.write_text("{name: x, train: [a], steps: 1, phases: [{fraction: 1, crop: 64, batch: 4}]}")
    with pytest.raises(InputError, match=message):
        load_as(Recipe, path, change)
