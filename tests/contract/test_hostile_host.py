"""Whatever the program around has set in torch, every public call of every kind of model gives the same.

Lossless files that nothing decodes were written under `torch.autocast` once, and under other default dtypes; the pixels
of the float synthesis changed with them.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.codec import registry
from lecodec.codec.image import ImageCodec
from lecodec.codec.image_transform import image_model
from lecodec.entropy import runtime
from lecodec.entropy.guard import Guard
from lecodec.errors import CorruptFile, ModelError

from .hosts import default_dtype, everything, reduced_products

FOLDER = Path(__file__).parents[1] / "golden"
LOSSY = ("tiny", "tiny-context", "compressai/mean", "compressai/hyperprior", "compressai/factorized")
EXACT = ("tiny-photo", "tiny-circuit")


def golden(name: str) -> np.ndarray:
    path = FOLDER / name
    return np.ascontiguousarray(np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path)))


PICTURES = {"8 bits": golden("model-photo.png")[:32, :40].copy(), "16 bits": golden("model-photo16.npy")}
PICTURES["alpha"] = np.dstack([PICTURES["8 bits"], PICTURES["8 bits"][:, :, 1]])
"""Such as the model without loss codes in fewer bytes than deflate."""


def forget() -> None:
    """Models are loaded and machines verified as if nothing had been before."""
    registry._load.cache_clear()
    runtime.verified.cache_clear()


def everything_of(model: str) -> dict[str, Any]:
    """What the public calls of a model give."""
    path, found = FOLDER / f"{model}.safetensors", {}
    codec = lecodec.load(model=path)
    if model == "tiny-circuit":
        items = np.load(FOLDER / "model-circuit.npy")
        data = codec.encode_set(items)  # pyright: ignore
        assert "model" in lecodec.info(data)["methods"]
        codec.test(data)
        return {"file": data, "decoded": codec.decode(data), "some": lecodec.decode(data, items=[3, 0], model=path)}
    for name, samples in PICTURES.items():
        data = codec.encode(samples)
        codec.test(data)
        found |= {name: data, f"{name} back": codec.decode(data), f"{name} tensor": codec.decode_tensor(data).numpy()}
        if isinstance(codec, ImageCodec):
            found[f"{name} latents"] = codec.latents(data).digest()
        else:
            assert lecodec.info(data)["methods"] == {"model": 1}
    samples, lossless = PICTURES["8 bits"], not isinstance(codec, ImageCodec)
    found["batch"] = b"".join(codec.encode_batch([samples, samples[:20], samples]))
    found["again"] = lecodec.encode(samples, lossless=lossless, model=path)
    tiled = codec.encode(PICTURES["alpha"], tile=64)
    found["region"] = lecodec.decode(tiled, region=(5, 4, 9, 7), model=path)
    if isinstance(codec, ImageCodec):
        found["bits"] = codec.estimate_bits(samples, 40)
        x = torch.tensor(samples[None], device="cpu").permute(0, 3, 1, 2)
        found["degraded"] = codec.degrade(x, [30]).numpy()
    return found


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, Any]]:
    forget()
    return {model: everything_of(model) for model in (*LOSSY, *EXACT)}


def agree(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert np.array_equal(found[name], value) if isinstance(value, np.ndarray) else found[name] == value, name


@pytest.mark.parametrize("model", [*LOSSY, *EXACT])
def test_hosts_change_nothing_of_a_model_that_is_loaded(expected, model):
    lecodec.load(model=FOLDER / f"{model}.safetensors")
    with everything():
        agree(everything_of(model), expected[model])


def test_what_the_host_has_set_is_put_back(expected):
    with everything():
        everything_of("tiny")
        assert torch.is_autocast_enabled("cpu") and torch.are_deterministic_algorithms_enabled()
        assert torch.get_default_dtype() == torch.bfloat16 and torch.get_default_device().type == "meta"
        assert torch.get_float32_matmul_precision() == "medium"
        with pytest.raises(lecodec.NotLecFile):
            lecodec.load(model=FOLDER / "tiny.safetensors").decode(b"nothing")
        assert torch.is_autocast_enabled("cpu") and torch.backends.mkldnn.conv.fp32_precision == "bf16"  # pyright: ignore
        assert torch.get_float32_matmul_precision() == "medium"


def test_the_last_one_out_puts_the_switches_back():
    with reduced_products():
        switch: Any = torch.backends.mkldnn.matmul
        entered, leave = threading.Event(), threading.Event()

        def other() -> None:
            with Guard():
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(10)
        with Guard(), Guard():
            assert switch.fp32_precision == "ieee"
        assert switch.fp32_precision == "ieee"  # the other one is still inside
        leave.set()
        thread.join()
        assert switch.fp32_precision == "bf16"


def test_pillow_and_augmentation_under_a_hostile_host(tiny_default):
    samples, plain, hostile = PICTURES["8 bits"], io.BytesIO(), io.BytesIO()
    Image.fromarray(samples).save(plain, "LEC", quality=40)
    x = torch.from_numpy(samples).permute(2, 0, 1)
    torch.manual_seed(3)
    degraded = lecodec.RandomCompression()(x)
    with torch.autocast("cpu", dtype=torch.bfloat16), default_dtype(torch.float64):
        Image.fromarray(samples).save(hostile, "LEC", quality=40)
        opened = np.asarray(Image.open(io.BytesIO(plain.getvalue())))
        torch.manual_seed(3)
        assert torch.equal(lecodec.RandomCompression()(x), degraded)
    assert hostile.getvalue() == plain.getvalue()
    np.testing.assert_array_equal(opened, np.asarray(Image.open(plain)))


@pytest.mark.parametrize("size", [(9, 9), (70, 44)])
def test_lossless_files_are_verified_before_they_are_returned(size, monkeypatch):
    """A machine whose products are wrong: the interface for Python says so, as the command does."""
    monkeypatch.setenv("LECODEC_MODELS", str(FOLDER))
    samples = np.resize(PICTURES["8 bits"], (*size, 3))
    codec = lecodec.load(model=FOLDER / "tiny-photo.safetensors")
    decode = type(codec).decode
    monkeypatch.setattr(type(codec), "decode", lambda self, data: decode(self, data) ^ 1)
    for encode in (
        lambda: codec.encode(samples),
        lambda: codec.encode_batch([samples]),
        lambda: lecodec.encode(samples, lossless=True),
        lambda: lecodec.encode_set(samples),
        lambda: Image.fromarray(samples).save(io.BytesIO(), "LEC", lossless=True),
    ):
        with pytest.raises(CorruptFile, match="verification"):
            encode()
    assert codec.encode(samples, verify=False)  # pyright: ignore


@pytest.mark.parametrize("value", [3e38, float("inf"), float("nan")])
def test_synthesis_that_is_not_finite_is_an_error(value):
    """It was a black picture."""
    path = FOLDER / "tiny.safetensors"
    codec = ImageCodec(image_model(registry.load_tensors(path), registry.read_card(path).card))
    data = codec.encode(PICTURES["8 bits"])
    for parameter in codec.transform.g_s.parameters():
        parameter.fill_(value)
    for decode in (codec.decode, codec.decode_tensor, lambda d: codec.decode_region(d, (0, 0, 9, 9))):
        with pytest.raises(ModelError, match="not finite"):
            decode(data)
    codec.test(data)  # latents are what they were
