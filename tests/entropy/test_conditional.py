"""Passes with a memory: training and coding agree, quotients are floors everywhere, damage is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec.codec.image_transform import entropy_model_of, image_model
from lecodec.codec.model_file import load_tensors, parse_tensors, read_card
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.conditional import ConditionalConfig, ConditionalHyperprior, references_of
from lecodec.entropy.conditional_coding import EXPONENTIALS, LOGITS, ControlCoding, DictionaryCoding
from lecodec.entropy.context import ContextConfig
from lecodec.entropy.context_coding import PASSES, ContextCoding
from lecodec.entropy.hyperprior import HyperConfig
from lecodec.entropy.latents import Meter, NullCoder
from lecodec.entropy.program import FLOAT64_BOUND, Builder
from lecodec.entropy.retrieved_coding import CHOSEN, BothCoding, RetrievedCoding, likeness
from lecodec.entropy.run_numpy import IntegerRuntime, NumpyRuntime
from lecodec.entropy.run_torch import TorchRuntime
from lecodec.errors import CorruptFile, InputError, ModelError, UnknownModel
from lecodec.train.freeze import with_digests
from lecodec.train.latents import drawn_from, kept_latents, key_of
from lecodec.train.recipe import Recipe
from lecodec.train.thaw import thawed

from .. import reader
from ..context_reader import context_digest

GOLDEN = Path(__file__).parents[1] / "golden"
SIZES = HyperConfig(latent=16, width=16, middle=16, hyper=8)
KINDS = {"dictionary": DictionaryCoding, "control": ControlCoding, "retrieved": RetrievedCoding, "both": BothCoding}


def lively(kind: str) -> ConditionalHyperprior:
    """A model with random weights whose memory matters."""
    torch.manual_seed(0)
    model = ConditionalHyperprior(SIZES, ContextConfig(width=12), ConditionalConfig(kind, 6, 2, 4))
    with torch.no_grad():
        if model.memory.of_pictures:
            crops = torch.randn(6, SIZES.latent, 16, 16) * torch.rand(6, SIZES.latent, 1, 1) * 6
            model.references.copy_(references_of(crops, torch.full((SIZES.latent,), 2.0)))
            model.unit.fill_(2.0)
        for step in model.context:
            step.layers[2].weight.mul_(60)  # pyright: ignore
            step.tell.weight.mul_(100)  # pyright: ignore
        model.h_s.offset.value[:, SIZES.latent :] += 1.5
    return model.eval()


def latents_to_code(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.laplace(0, 3, (2, SIZES.latent, *size)).astype(np.float32)
    return y, rng.integers(-9, 10, (2, SIZES.hyper, -(-size[0] // 4), -(-size[1] // 4))).astype(np.int32)


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_coding_share_one_function(kind):
    model, (y, z) = lively(kind), latents_to_code((12, 8))
    coding, index = KINDS[kind](model.frozen()), torch.tensor([3.0, 62.0])
    model.hyper_latent = lambda *_: (torch.from_numpy(z).float(), torch.zeros(2))  # pyright: ignore
    found = model(torch.from_numpy(y), index)
    latents = coding.traverse([Meter(), Meter()], (12, 8), [3 * 256, 62 * 256], (z, y))
    for b in range(2):
        np.testing.assert_array_equal(latents[b].y_hat, (found.y_hat[b].detach().double() * 64).round().numpy())
    # In training: the same but for a rare last bit, and every weight of the memory learns.
    trained = model.train()(torch.from_numpy(y), index, rounded=True)
    assert trained.bits_y.tolist() == pytest.approx(found.bits_y.tolist(), rel=2e-3)
    trained.bits_y.sum().backward()
    own = [p for n, p in model.named_parameters() if any(part in n for part in (".ask.", ".answer.", ".tell."))]
    assert len(own) == 3 * {"dictionary": 6, "both": 10}.get(kind, 8)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in own)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_told_and_handed_on_matters(kind):
    y, z = latents_to_code((8, 8))
    tensors = lively(kind).frozen()
    found = KINDS[kind](tensors).traverse([NullCoder()] * 2, (8, 8), [5000] * 2, (z, y))
    plain = ContextCoding(tensors).traverse([NullCoder()] * 2, (8, 8), [5000] * 2, (z, y))
    forgetful = {n: a.copy() for n, a in tensors.items()}
    for k in range(2, PASSES):
        forgetful[f"context.{k}.ask.weight"][:, -8:] = 0
    without = KINDS[kind](forgetful).traverse([NullCoder()] * 2, (8, 8), [5000] * 2, (z, y))
    for other in (plain, without):
        assert not np.array_equal(found[0].y_hat, other[0].y_hat)


def test_a_model_without_a_memory_starts_a_model_with_one():
    """What is told at first is next to nothing."""
    torch.manual_seed(0)
    model = ConditionalHyperprior(SIZES, ContextConfig(width=12), ConditionalConfig("dictionary", 6, 2, 4)).eval()
    y, z = latents_to_code((8, 8))
    coding, meters = model.frozen(), [Meter() for _ in range(4)]
    DictionaryCoding(coding).traverse(meters[:2], (8, 8), [5000] * 2, (z, y))
    ContextCoding(coding).traverse(meters[2:], (8, 8), [5000] * 2, (z, y))
    for with_it, without in zip(meters[:2], meters[2:], strict=True):
        assert with_it.bits == pytest.approx(without.bits, rel=0.05)


# -- crops


@pytest.mark.parametrize("kind", ["retrieved", "both"])
def test_a_file_says_which_crops_it_was_coded_with(kind):
    tensors, (y, z) = lively(kind).frozen(), latents_to_code((8, 8))
    coding = KINDS[kind](tensors)
    assert isinstance(coding, RetrievedCoding)
    for signal, crop in enumerate((0, 5)):
        y[signal] *= 2 * np.sqrt(coding._energies()[crop] / y[signal].var((1, 2)))[:, None, None]
    writers = [Writer(), Writer()]
    found = coding.traverse(writers, (8, 8), [5000] * 2, (z, y))
    assert all(a.levels[0].shape == (CHOSEN, 1, 1) for a in found)
    assert 0 in found[0].levels[0] and 5 in found[1].levels[0]
    data = [writer.finish() for writer in writers]
    read = coding.traverse([Reader(d) for d in data], (8, 8), [5000] * 2)
    assert [a.digest() for a in read] == [a.digest() for a in found]
    assert coding.least_bits((8, 8), 5000) > ContextCoding(tensors).least_bits((8, 8), 5000) + 5
    # Crops that nobody named do not matter; those that were named do.
    named = set(found[0].levels[0].reshape(-1).tolist())
    for crop in range(len(tensors["references"])):
        other = {**tensors, "references": tensors["references"].copy()}
        other["references"][crop] = -other["references"][crop]
        again = KINDS[kind](other).traverse([Reader(data[0])], (8, 8), [5000]) if crop not in named else None
        assert again is None or again[0].digest() == found[0].digest()
    wrong = Writer()
    wrong.code(coding._numbers, np.zeros(CHOSEN, np.int64), np.array([0, 77], np.int32))
    with pytest.raises(CorruptFile, match="no crop of this number"):
        coding.traverse([Reader(wrong.finish())], (8, 8), [5000])


def test_the_crops_that_are_named_vary_alike():
    rng = np.random.default_rng(0)
    spread = rng.random((9, 16)) * 4 + 0.1
    y = rng.normal(size=(16, 20, 20)) * spread[6][:, None, None]
    assert 6 in likeness(y, spread**2) and len(likeness(y, spread**2)) == CHOSEN
    assert likeness(y, spread[:1] ** 2).tolist() == [0, 0]


# -- the softmax


def test_no_exponential_is_nothing_and_their_ratios_are_those_of_e():
    assert EXPONENTIALS[0] == 1 and len(EXPONENTIALS) == LOGITS and (np.diff(EXPONENTIALS) >= 0).all()
    assert EXPONENTIALS[-1] / EXPONENTIALS[LOGITS // 2 - 1] == pytest.approx(np.exp(6), rel=0.01)


def test_quotients_are_floors_in_every_runtime():
    """The edges: around every multiple, of both signs, up to what a dictionary of the most entries can reach."""
    dens = np.array([1, 2, 3, 5, 64, 255, 256, 157_997, 2**18, 2**18 * 256 - 1, 2**18 * 256])
    quotients = np.array([0, 1, 2, 3, 127, 8190, 8191, 8192, 32767, 2**24 - 1])
    multiples = (dens[:, None] * quotients).reshape(-1)
    below = np.repeat(dens, len(quotients))
    inside = multiples < FLOAT64_BOUND - 2
    multiples, below = multiples[inside], below[inside]
    above = np.concatenate([sign * multiples + step for sign in (1, -1) for step in (-1, 0, 1)])
    below = np.tile(below, 6)
    expected = np.array([int(a) // int(b) for a, b in zip(above, below, strict=True)])
    np.testing.assert_array_equal(np.floor(above.astype(np.float64) / below), expected)
    np.testing.assert_array_equal((torch.from_numpy(above) // torch.from_numpy(below)).numpy(), expected)
    np.testing.assert_array_equal(above // below, expected)
    b = Builder()
    most = int(np.abs(above).max())
    out = b.divide(b.input("above", 1, -most, most), b.input("below", 1, 1, int(dens.max())))
    program = b.program(out=out)
    planes = {"above": above.reshape(1, 1, 1, -1), "below": below.reshape(1, 1, 1, -1)}
    for runtime in (IntegerRuntime(), NumpyRuntime(), TorchRuntime("cpu")):
        np.testing.assert_array_equal(runtime.run(program, planes)["out"].reshape(-1), expected)


# -- model files


@pytest.mark.parametrize("kind", KINDS)
def test_the_digest_is_that_of_the_specification(kind):
    path = GOLDEN / f"tiny-{kind}.safetensors"
    assert context_digest(reader.Model(path)).hex() == read_card(path).card["parse_digest"]
    assert lecodec.load(model=path).card["conditional"]["kind"] == kind


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("dictionary", "context.exponentials", lambda a: a * 0),
        ("dictionary", "context.exponentials", lambda a: a[1:]),
        ("dictionary", "context.2.keys", lambda a: a[:, 1:]),
        ("dictionary", "context.1.values", lambda a: a[0]),
        ("dictionary", "context.3.ask.weight", lambda a: a[:, 1:]),
        ("dictionary", "context.1.tell.bias", lambda a: a[1:]),
        ("dictionary", "context.1.keys", lambda a: a.astype(np.int32)),
        ("retrieved", "references", lambda a: a[:, 1:]),
        ("retrieved", "references", lambda a: a.repeat(7, 0)),
        ("retrieved", "references", lambda a: a.repeat(33, 2)),
        ("retrieved", "references", lambda a: a + 8000),
        ("retrieved", "unit", lambda a: a * 0),
        ("retrieved", "heads", lambda a: a + 1),
        ("retrieved", "heads", lambda a: a * 0),
        ("retrieved", "context.2.key.weight", lambda a: a[:, 1:]),
        ("retrieved", "context.1.value.bias", lambda a: a[1:]),
        ("both", "context.2.keys", lambda a: a[1:]),
        ("both", "context.1.values", lambda a: a[:, :, 1:]),
        ("both", "context.3.keys", lambda a: a[:, 1:]),
        ("both", "references", lambda a: a.repeat(11, 2).repeat(6, 3)),
        ("control", "context.2.gate.weight", lambda a: a[1:]),
        ("control", "context.2.value.bias", lambda a: a[1:]),
    ],
)
def test_what_does_not_fit_is_refused(kind, name, change):
    path = GOLDEN / f"tiny-{kind}.safetensors"
    tensors = parse_tensors(load_tensors(path))
    with pytest.raises(ModelError, match="model's"):
        KINDS[kind]({**tensors, name: change(tensors[name])})
    del tensors[name]
    with pytest.raises(ModelError, match="lacks"):
        KINDS[kind](tensors)


@pytest.mark.parametrize(
    ("kind", "names"),
    [("dictionary", (".keys", ".values")), ("both", (".keys", ".values")), ("retrieved", ("references",))],
)
def test_a_file_names_the_entries_that_it_needs(kind, names):
    """A quarter of them 0: a model that codes, but another one, which refuses the files of the first."""
    path, entry = GOLDEN / f"tiny-{kind}.safetensors", np.s_[::4] if kind == "retrieved" else np.s_[:, ::4]
    tensors, card = load_tensors(path), read_card(path).card
    whole = lecodec.load(model=path, of=lecodec.ImageCodec)
    for name in [name for name in tensors if name.endswith(names)]:
        tensors[name] = tensors[name].copy()
        tensors[name][entry] = 0
    other = lecodec.ImageCodec(image_model(tensors, with_digests(tensors, card)))
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    data = other.encode(picture, 70)
    assert other.decode(data).shape == picture.shape
    for codec, foreign in ((whole, data), (other, whole.encode(picture, 70))):
        with pytest.raises(UnknownModel, match="digest"):
            codec.decode(foreign)


@pytest.mark.parametrize("memory", [{"kind": "oracle"}, {}, {"kind": ["control"]}, "control"])
def test_an_unknown_memory_is_refused(memory):
    with pytest.raises(ModelError, match="memory"):
        entropy_model_of({"context": {}, "conditional": memory})


def test_models_with_a_memory_are_not_thawed():
    path = GOLDEN / "tiny-control.safetensors"
    with pytest.raises(ModelError, match="memory"):
        thawed(load_tensors(path), read_card(path).card)


# -- recipes and kept latents


def test_recipes_say_what_there_is():
    wanted = {"name": "x", "train": ["."], "steps": 1, "phases": [{"fraction": 1, "crop": 64, "batch": 1}]}
    for fault, message in [
        ({"conditional": {}}, "needs context"),
        ({"conditional": {"kind": "oracle"}, "context": {}}, "dictionary, control, retrieved, both"),
        ({"conditional": {"entries": 0}, "context": {}}, "at least 1"),
        ({"conditional": {"entries": 257}, "context": {}}, "at most 256"),
        ({"conditional": {"kind": "retrieved"}, "context": {}}, "goes with references"),
        ({"conditional": {"kind": "both", "entries": 3}, "context": {}}, "goes with references"),
        ({"references": ["a"]}, "goes with references"),
        ({"conditional": {"kind": "retrieved", "entries": 3}, "context": {}, "references": ["a"]}, "to start_from"),
        ({"conditional": {"depth": 2}, "context": {}}, "depth"),
        ({"cache": "x.pt"}, "cache keeps latents"),
        ({"objective": "rate", "train_only": ["hyperprior.h_s", "g_s"]}, "or parts of that"),
        ({"objective": "rate"}, "or parts of that"),
    ]:
        with pytest.raises(ValueError, match=message):
            Recipe(**wanted, **fault)
    with pytest.raises(ValueError, match="at most 30"):
        ConditionalConfig("retrieved", 31)
    with pytest.raises(ValueError, match="at most 128 beside crops"):
        ConditionalConfig("both", 30, learned=129)
    assert Recipe(**wanted, context={}, conditional={}).network().conditional == ConditionalConfig()


def test_kept_latents_are_those_that_were_kept(tmp_path):
    network, path = torch.nn.Linear(2, 2), tmp_path / "latents.pt"
    key = key_of(network, {"train": [Path("a")]})
    made = [(torch.full((1, 3, 4, 4), float(n)), torch.tensor([n])) for n in range(6)]
    y, index = kept_latents(path, key, made)
    again = kept_latents(path, key, None)
    assert torch.equal(again[0], y) and torch.equal(again[1], index) and y.dtype == torch.float16
    draws = [next(drawn_from(again, 3, seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0][1], draws[1][1]) and not torch.equal(draws[0][1], draws[2][1])
    assert (draws[0][0][:, 0, 0, 0] == draws[0][1]).all() and len(set(draws[0][1].tolist())) == 3
    with torch.no_grad():
        network.weight += 1
    for other in (key_of(network, {"train": [Path("a")]}), key_of(network, {"train": [Path("b")]})):
        with pytest.raises(InputError, match="other transforms or crops"):
            kept_latents(path, other, None)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="readable"):
        kept_latents(path, key, None)
