"""Imported models against CompressAI itself: the same rate and quality from the same weights; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec.codec.compressai_import import NETWORKS, import_compressai
from lecodec.codec.model_file import load_tensors, read_card, save_model
from lecodec.entropy.imported_coding import ImportedHyperprior
from lecodec.entropy.imported_tables import bottleneck_tables, gaussian_tables
from lecodec.errors import InputError, ModelError, OutputExists

pytest.importorskip("compressai")


def smooth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture of a few soft waves and an edge, uint8 [H, W, 3]."""
    y, x = np.mgrid[:height, :width] / 64
    planes = []
    for _ in range(3):
        a, b, phase = rng.normal(0, 3, 3)
        planes.append(0.5 + 0.25 * np.sin(a * x + b * y + phase) + 0.2 * np.tanh(9 * (a * (x - 0.5) + b * (y - 0.5))))
    mixed = np.stack(planes, 2) @ np.array([[0.8, 0.2, 0.1], [0.1, 0.7, 0.2], [0.1, 0.1, 0.7]])
    return (mixed * 255 + rng.normal(0, 2, mixed.shape)).clip(0, 255).astype(np.uint8)


def trained(name: str, steps: int = 150):
    """A tiny network, trained just long enough that its latents are like those of a real one."""
    from compressai.registry import MODELS

    torch.manual_seed(4)
    rng = np.random.default_rng(1)
    net = MODELS[name](16, 24)
    with torch.no_grad():  # latents of some size from the start: a short training would not get there
        net.g_a[6].weight.mul_(16)
        net.g_s[0].weight.div_(4)
    optimizer = torch.optim.Adam([p for n, p in net.named_parameters() if not n.endswith("quantiles")], 3e-3)
    pictures = torch.from_numpy(np.stack([smooth(rng, 64, 64) for _ in range(32)])).permute(0, 3, 1, 2).float() / 255
    for step in range(steps):
        x = pictures[(step * 4) % 32 : (step * 4) % 32 + 4]
        out = net(x)
        bits = sum(-torch.log2(p).sum() for p in out["likelihoods"].values())
        loss = 30000 * (out["x_hat"] - x).square().mean() + bits / x[:, 0].numel()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    net.eval().requires_grad_(False)
    net.update(force=True, update_quantiles=True)
    return net


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request, tmp_path_factory):
    """A network, its checkpoint and the model file made of it."""
    folder = tmp_path_factory.mktemp(request.param)
    net = trained(request.param)
    torch.save({"state_dict": net.state_dict()}, folder / "checkpoint.pth.tar")
    model = import_compressai(f"compressai:{request.param}", folder / "checkpoint.pth.tar", folder / "m.safetensors")
    return net, folder / "checkpoint.pth.tar", model


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * float(np.log10(255**2 / np.square(a.astype(float) - b).mean()))


def test_rate_and_quality_are_those_of_compressai(pair):
    net, _, model = pair
    codec = lecodec.load(model=model)
    rgb = smooth(np.random.default_rng(7), 256, 320)
    with torch.inference_mode():
        coded = net.compress(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)
        x_hat = net.decompress(coded["strings"], coded["shape"])["x_hat"][0]
    theirs = sum(len(string) for (string,) in coded["strings"])
    data = codec.encode(rgb)
    ours = len(lecodec.bitstream.parse(data).data[0].payload)
    decoded = codec.decode(data)
    latents = codec.latents(data)
    assert np.abs(latents.y_hat).max() > 3 * 64, "the latents say nothing"
    # (Barely trained, a hyperprior has many escapes, which cost less here.)
    assert 0.95 * theirs < ours < 1.01 * theirs + 8, (ours, theirs)
    expected = x_hat.clamp(0, 1).permute(1, 2, 0).mul(255).round().numpy()
    assert abs(psnr(decoded, rgb) - psnr(expected, rgb)) < 0.05
    assert codec.estimate_bits(rgb) / 8 == pytest.approx(ours, abs=12)


def test_tables_are_those_of_compressai(pair):
    """Every probability within what its 16 bits resolve."""
    net, *_ = pair
    state = {n.removeprefix("entropy_bottleneck."): t for n, t in net.state_dict().items() if "bottleneck" in n}
    made = [(bottleneck_tables(state), net.entropy_bottleneck)]
    if hasattr(net, "gaussian_conditional"):
        made.append((gaussian_tables(), net.gaussian_conditional))
    for tables, theirs in made:
        lengths = theirs.cdf_length.tolist()
        assert [len(tables.table(n)) for n in range(len(tables))] == [length - 1 for length in lengths]
        assert tables.low.tolist() == theirs.offset.tolist()
        for n, length in enumerate(lengths):
            expected = np.diff(theirs.quantized_cdf[n, :length].numpy()) / 2**16
            assert np.abs(tables.table(n) / 2**24 - expected).max() < length / 2**16


def test_the_integer_hyper_decoder_follows_the_float_one(pair):
    net, _, model = pair
    if not hasattr(net, "h_s"):
        return
    coding = ImportedHyperprior({n.removeprefix("parse."): a for n, a in load_tensors(model).items() if "parse." in n})
    z = np.random.default_rng(2).integers(-6, 7, (2, coding.hyper, 5, 4)).astype(np.int32)
    mu, t = coding.parameters(z, (18, 15))
    with torch.inference_mode():
        median = net.entropy_bottleneck._get_medians()[:, 0, 0][:, None, None]
        out = net.h_s(torch.from_numpy(z).float() + median)[:, :, :18, :15]
    scales, means = out.chunk(2, 1) if coding.has_means else (out, torch.zeros_like(out))
    assert np.abs(mu / 64 - means.numpy()).max() < 0.03
    expected = net.gaussian_conditional.build_indexes(scales).numpy()
    assert (t != expected).mean() < 0.01 and np.abs(t.astype(int) - expected).max() <= 1
    assert t.max() > 5


def test_a_card_tells_where_a_model_is_from(pair):
    _, checkpoint, model = pair
    card = read_card(model).card
    assert card["name"] == "m" and card["kind"] == "compressai" and card["network"] in NETWORKS
    told = card["training"]["imported_from"]
    assert told["checkpoint"] == checkpoint.name and len(told["digest"]) == 16
    assert str(checkpoint.parent) not in json.dumps(card)


def test_checkpoints_of_other_networks_are_refused(pair, tmp_path):
    _, checkpoint, model = pair
    own = read_card(model).card["network"]
    for network in NETWORKS:
        if network != own:
            with pytest.raises(InputError, match=f"not a checkpoint of {network}"):
                import_compressai(f"compressai:{network}", checkpoint, tmp_path / "m.safetensors")
    with pytest.raises(OutputExists):
        import_compressai(f"compressai:{own}", checkpoint, model)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mbt2018", "cheng2020-anchor", "cheng2020-attn", "mbt2018-mean-vbr"])
def test_networks_that_cannot_be_imported_say_why(name, tmp_path):
    with pytest.raises(InputError, match=f"{name} cannot be imported: it.*compressai:mbt2018-mean") as error:
        import_compressai(f"compressai:{name}", tmp_path / "none", tmp_path / "m.safetensors")
    assert "\n" not in str(error.value)
    for spec in ("mbt2018-mean", "compressai:", "compressai:hific"):
        with pytest.raises(InputError, match="not a network that can be imported"):
            import_compressai(spec, tmp_path / "none", tmp_path / "m.safetensors")


def test_an_autoregressive_checkpoint_is_not_taken_for_another(tmp_path):
    from compressai.registry import MODELS

    torch.save(MODELS["mbt2018"](8, 8).state_dict(), tmp_path / "ar.pth")
    with pytest.raises(InputError, match="not a checkpoint of mbt2018-mean"):
        import_compressai("compressai:mbt2018-mean", tmp_path / "ar.pth", tmp_path / "m.safetensors")


def test_weights_that_cannot_be_exact_are_refused(tmp_path):
    from compressai.registry import MODELS

    state = MODELS["mbt2018-mean"](8, 8).state_dict()
    state["h_s.2.weight"] = state["h_s.2.weight"] + 1e6
    torch.save(state, tmp_path / "huge.pth")
    with pytest.raises(ModelError, match="too large for exact integer sums"):
        import_compressai("compressai:mbt2018-mean", tmp_path / "huge.pth", tmp_path / "m.safetensors")


def test_a_model_is_checked_when_it_is_loaded(pair, tmp_path):
    """Tables, bounds, sizes and digests: a changed file is a ModelError, whatever was changed."""
    _, _, model = pair
    tensors, card = load_tensors(model), read_card(model).card
    changes: dict[str, dict] = {
        "counts": {"parse.y.counts": tensors["parse.y.counts"] + 1},
        "type": {"parse.y.low": tensors["parse.y.low"].astype(np.int64)},
        "synthesis": {"g_s.0.bias": tensors["g_s.0.bias"] + 1},
        "shape": {"g_a.0.weight": tensors["g_a.0.weight"][:, :2]},
    }
    if "parse.h_s.0.weight" in tensors:
        changes |= {
            "bound": {"parse.h_s.1.bias": np.full_like(tensors["parse.h_s.1.bias"], 2**51)},
            "shift": {"parse.h_s.1.shift": tensors["parse.h_s.1.shift"] - 99},
            "threshold": {"parse.y.threshold": tensors["parse.y.threshold"][::-1].copy()},
            "median": {"parse.z.median": tensors["parse.z.median"][1:]},
            "means": {"parse.means": np.array([2], np.int32)},
            "slope": {"parse.slope": np.array([-1], np.int32)},
        }
    else:
        changes["median"] = {"parse.y.median": tensors["parse.y.median"][1:]}
    for what, change in changes.items():
        path: Path = tmp_path / f"{what}.safetensors"
        save_model({**tensors, **change}, card, path)
        with pytest.raises(ModelError):
            lecodec.load(model=path)
