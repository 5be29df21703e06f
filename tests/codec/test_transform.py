"""Transforms by themselves: what an image model gives to another codec."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lecodec
from lecodec.bitstream import PictureLayout
from lecodec.codec.compressai_import import import_compressai
from lecodec.codec.compressai_transform import compressai_model
from lecodec.codec.image_transform import image_model
from lecodec.codec.latent_model import LatentModel
from lecodec.codec.model_file import load_tensors, read_card
from lecodec.codec.registry import find_model
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.factorized_coding import FactorizedCoding
from lecodec.entropy.tables import TableSet

from ..compressai_states import state_of

RATES = [6000, 12000]


@pytest.fixture(scope="module", params=["image", "compressai"])
def model(request, tmp_path_factory) -> LatentModel:
    """A model of each kind, by the function of its row."""
    if request.param == "image":
        path = find_model("image-3").path
        return image_model(load_tensors(path), read_card(path).card)
    folder = tmp_path_factory.mktemp("transform")
    torch.save(state_of("mbt2018-mean"), folder / "checkpoint.pth")
    path = import_compressai("compressai:mbt2018-mean", folder / "checkpoint.pth", folder / "mean.safetensors")
    return compressai_model(load_tensors(path), read_card(path).card)


def frames(picture: np.ndarray) -> list[np.ndarray]:
    return [picture, np.roll(picture, 3, axis=1)]


def test_a_transform_and_an_entropy_model_are_the_codec(model, picture):
    transform, size = model.transform, (4, 5)
    y = transform.analyse(frames(picture), RATES)
    assert y.shape == (2, model.entropy.latent, *size) and transform.down == (16, 16)
    source = [*transform.above(y, RATES), y]
    latents = model.entropy.traverse([Writer(), Writer()], size, RATES, source)
    shown = transform.synthesise(
        np.stack([a.y_hat for a in latents]), RATES, PictureLayout(width=70, height=50, channels=3)
    )
    codec = lecodec.ImageCodec(model)
    for n, (frame, rate) in enumerate(zip(frames(picture), RATES, strict=True)):
        data = codec.encode(frame, quality=1 + 99 * rate / 16128)
        assert codec.latents(data).digest() == latents[n].digest()
        assert np.abs(codec.decode(data).astype(int) - shown[n, :50, :70]).max() <= 1


def test_another_entropy_model_codes_the_same_y(model, picture):
    """As a codec of video does: frames to y, other integers to bytes, y_hat to frames."""
    transform = model.transform
    y = transform.analyse(frames(picture), RATES)
    low = int(np.floor(y.min())) - 1
    flat = TableSet.from_probabilities([(low, np.ones(int(y.max()) + 2 - low))] * model.entropy.latent)
    other, writers = FactorizedCoding(flat), [Writer(), Writer()]
    other.traverse(writers, (4, 5), RATES, [y])
    read = other.traverse([Reader(w.finish()) for w in writers], (4, 5), RATES)
    y_hat = np.stack([latents.y_hat for latents in read])
    assert np.abs(y_hat - y).max() <= 0.5 + 1e-3
    for channels, bit_depth in ((3, 8), (1, 16)):
        layout = PictureLayout(width=70, height=50, channels=channels, bit_depth=bit_depth)
        out = transform.synthesise(64 * y_hat, RATES, layout)
        assert out.shape == (2, 64, 80, channels) and out.itemsize == bit_depth // 8
        exact = transform.shown(torch.from_numpy(y_hat).float(), RATES, channels)
        peak = 2**bit_depth - 1
        rounded = ((exact + 0.5) * peak).round().clamp(0, peak)
        assert (rounded - torch.from_numpy(out.astype(np.float32))).abs().max() <= peak / 255


def test_gradients_go_through_what_is_shown(model):
    y_hat = torch.zeros(1, model.entropy.latent, 2, 3, requires_grad=True)
    with torch.enable_grad():
        model.transform.shown(y_hat, [8000], 3)[:, 16:, 32:].sum().backward()
    assert y_hat.grad is not None and float(y_hat.grad[..., 1, 2].abs().max()) > 0
