"""CompressAI's checkpoints as codecs under test: every architecture, any size of picture, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lecodec.errors import CodecError, InputError
from lecodec.eval.codecs.compressai import compressai_codec

pytest.importorskip("compressai")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Checkpoints NAME.pth of tiny networks with random weights; mean-2.pth is another mbt2018-mean."""
    from compressai.registry import MODELS

    folder = tmp_path_factory.mktemp("checkpoints")
    sizes = {
        "bmshj2018-factorized": (8, 12),
        "bmshj2018-factorized-relu": (8, 12),
        "bmshj2018-hyperprior": (8, 12),
        "mbt2018-mean": (8, 12),
        "mbt2018": (6, 6),
        "cheng2020-anchor": (6,),
        "cheng2020-attn": (6,),
        "bmshj2018-hyperprior-vbr": (8, 12),
    }
    for seed, (name, size) in enumerate(sizes.items()):
        torch.manual_seed(seed)
        torch.save(MODELS[name](*size).state_dict(), folder / f"{name}.pth")
    torch.manual_seed(99)
    torch.save(MODELS["mbt2018-mean"](8, 12).state_dict(), folder / "mean-2.pth")
    torch.manual_seed(98)
    torch.save(MODELS["mbt2018-mean-vbr"](8, 12, vr_entbttlnck=True).state_dict(), folder / "mbt2018-mean-vbr.pth")
    return folder


def photo(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x + y, 255 - 2 * y, x * y // 8], 2).astype(np.uint8)


NAMES = (
    "bmshj2018-factorized bmshj2018-factorized-relu bmshj2018-hyperprior mbt2018-mean mbt2018 cheng2020-anchor "
    "cheng2020-attn bmshj2018-hyperprior-vbr mbt2018-mean-vbr"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_goes_there_and_back(folder, name):
    codec = compressai_codec(f"{name}@{folder}/{name}.pth")
    assert codec.name == f"compressai:{name}@{name}.pth" and str(folder) not in codec.name + codec.description
    for rgb in (photo(1, 1), photo(30, 50)):
        for setting in codec.ladder[:2]:
            data = codec.encode(rgb, setting)
            assert data == codec.encode(rgb, setting)
            decoded = codec.decode(data)
            assert decoded.shape == rgb.shape and decoded.dtype == np.uint8


def test_what_comes_back_is_what_the_network_says(folder):
    """The strings are CompressAI's own, and nothing but sizes and a checksum is added."""
    from compressai.models import MeanScaleHyperprior

    rgb = photo(64, 128)
    net = MeanScaleHyperprior.from_state_dict(torch.load(folder / "mbt2018-mean.pth", weights_only=True))
    net.eval()
    net.update(force=True)
    with torch.inference_mode():
        coded = net.compress(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)
        x_hat = net.decompress(coded["strings"], coded["shape"])["x_hat"][0]
    codec = compressai_codec(f"mbt2018-mean@{folder}/mbt2018-mean.pth")
    data = codec.encode(rgb, 1)
    assert data.endswith(coded["strings"][0][0] + coded["strings"][1][0])
    assert len(data) - sum(len(s) for (s,) in coded["strings"]) <= 12
    expected = x_hat.permute(1, 2, 0).mul(255).round().numpy()
    assert np.abs(codec.decode(data) - expected).max() <= 1


def test_levels_of_variable_rate_differ(folder):
    for name in ("bmshj2018-hyperprior-vbr", "mbt2018-mean-vbr"):
        codec = compressai_codec(f"{name}@{folder}/{name}.pth")
        assert len(codec.ladder) > 3
        first, last = codec.encode(photo(30, 50), 1), codec.encode(photo(30, 50), codec.ladder[-1])
        assert first[1:] != last[1:]
        assert codec.decode(first).shape == codec.decode(last).shape == (30, 50, 3)


def test_checkpoints_make_a_ladder(folder):
    codec = compressai_codec(f"mbt2018-mean@{folder}/mbt2018-mean.pth+{folder}/mean-2.pth")
    assert codec.name == "compressai:mbt2018-mean@mbt2018-mean.pth+mean-2.pth" and codec.ladder == (1, 2)
    alone = compressai_codec(f"mbt2018-mean@{folder}/mean-2.pth")
    rgb = photo(20, 20)
    assert codec.encode(rgb, 2)[1:] == alone.encode(rgb, 1)[1:] != codec.encode(rgb, 1)[1:]
    assert (codec.decode(codec.encode(rgb, 2)) == alone.decode(alone.encode(rgb, 1))).all()
    assert codec.description.count("(") == 2 and codec.description != alone.description
    with pytest.raises(CodecError, match="settings 1 to 2"):
        codec.encode(rgb, 3)


def test_checkpoints_as_training_leaves_them(folder, tmp_path):
    """Under "state_dict", with prefixes, with the names of older versions: the same codec."""
    state = torch.load(folder / "mbt2018-mean.pth", weights_only=True)
    old = {}
    for name, tensor in state.items():
        for new, was in (("matrices.", "_matrix"), ("biases.", "_bias"), ("factors.", "_factor")):
            name = name.replace(f"entropy_bottleneck.{new}", f"entropy_bottleneck.{was}")
        old[f"module.{name}"] = tensor
    older = {name.replace("_matrix", "_matrices."): tensor for name, tensor in old.items()}
    rgb = photo(20, 20)
    data = compressai_codec(f"mbt2018-mean@{folder}/mbt2018-mean.pth").encode(rgb, 1)
    for n, content in enumerate(({"epoch": 3, "loss": 0.5, "state_dict": old}, older)):
        torch.save(content, tmp_path / f"{n}+x.pth")
        assert compressai_codec(f"mbt2018-mean@{tmp_path}/{n}+x.pth").encode(rgb, 1) == data


class Bomb:
    def __reduce__(self):
        return os.system, ("exit 1",)


def test_what_is_no_checkpoint_is_refused_in_one_sentence(folder, tmp_path):
    good = (folder / "mbt2018-mean.pth").read_bytes()
    state = torch.load(folder / "mbt2018-mean.pth", weights_only=True)
    (tmp_path / "cut.pth").write_bytes(good[:-1000])
    (tmp_path / "text.pth").write_text("no checkpoint")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({**state, "g_a.0.bias": state["g_a.0.bias"] / 0}, tmp_path / "nan.pth")
    torch.save({name: t for name, t in state.items() if name != "g_s.0.bias"}, tmp_path / "less.pth")
    wrong = {
        f"mbt2018-mean@{tmp_path}/missing.pth": "cannot be read: No such file",
        f"mbt2018-mean@{tmp_path}": "cannot be read",
        f"mbt2018-mean@{tmp_path}/cut.pth": "damaged",
        f"mbt2018-mean@{tmp_path}/text.pth": "damaged",
        f"mbt2018-mean@{tmp_path}/empty.pth": "damaged",
        f"mbt2018-mean@{tmp_path}/bomb.pth": "might be code",
        f"mbt2018-mean@{tmp_path}/list.pth": "no state dict",
        f"mbt2018-mean@{tmp_path}/nan.pth": "g_a.0.bias holds numbers that are not finite",
        f"mbt2018-mean@{tmp_path}/less.pth": "does not hold weights of mbt2018-mean",
        f"bmshj2018-hyperprior@{folder}/mbt2018-mean.pth": "does not hold weights of bmshj2018-hyperprior",
        f"bmshj2018-factorized@{folder}/bmshj2018-factorized-relu.pth": "does not hold weights",
        f"cheng2020-anchor@{folder}/mbt2018-mean.pth": "does not hold weights of cheng2020-anchor",
        f"ssf2020@{folder}/mbt2018-mean.pth": "unknown network 'ssf2020'",
        f"@{folder}/mbt2018-mean.pth": "unknown network ''",
        "mbt2018-mean@": "names no checkpoint",
        "mbt2018-mean@a++b": "joined by +",
        "bmshj2018-factorized-relu@pretrained": "no pretrained weights",
        "nothing@pretrained": "unknown network",
    }
    for spec, message in wrong.items():
        with pytest.raises(InputError) as error:
            compressai_codec(spec)
        assert message in str(error.value) and "\n" not in str(error.value), (spec, str(error.value))
    with pytest.raises(InputError, match="device 'nowhere'"):
        compressai_codec(f"mbt2018-mean@{folder}/mbt2018-mean.pth", "nowhere")


def test_pretrained_weights_come_from_the_cache_or_are_a_sentence(folder, tmp_path, monkeypatch):
    from compressai.zoo import image

    urls = {"mse": {1: "https://example.invalid/one-1.pth.tar", 2: "https://example.invalid/two-2.pth.tar"}}
    monkeypatch.setitem(image.model_urls, "mbt2018-mean", urls)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(url, file, progress):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match="one-1.pth.tar could not be downloaded: no network"):
        compressai_codec("mbt2018-mean@pretrained")
    cache = tmp_path / "hub" / "checkpoints"
    for source, name in (("mbt2018-mean", "one-1"), ("mean-2", "two-2")):
        (cache / f"{name}.pth.tar").write_bytes((folder / f"{source}.pth").read_bytes())
    codec = compressai_codec("mbt2018-mean@pretrained")
    assert codec.name == "compressai:mbt2018-mean@pretrained" and codec.ladder == (1, 2)


def test_damaged_bytes_end_in_an_error(folder):
    """CompressAI's decoder took the whole process with it."""
    codec = compressai_codec(f"mbt2018-mean@{folder}/mbt2018-mean.pth")
    data = codec.encode(photo(20, 20), 1)
    rng = np.random.default_rng(0)
    damaged = [b"", data[:1], data[:4], data[:-3], data + b"x", b"\x07" + data[1:], b"\0" + bytes([255]) * 40]
    for at in [*range(12), *rng.integers(0, len(data), 30).tolist()]:
        damaged.append(data[:at] + bytes([data[at] ^ (1 << rng.integers(8))]) + data[at + 1 :])
    for wrong in damaged:
        with pytest.raises(CodecError, match=r"mbt2018-mean.pth could not decode"):
            codec.decode(wrong)
