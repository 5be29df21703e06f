"""Growing: a wider network is the old one at the old rates, and has room above them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lecodec.codec.image import ImageCodec
from lecodec.codec.image_transform import image_model
from lecodec.codec.model_file import load_tensors, read_card
from lecodec.codec.transforms.image import TransformConfig
from lecodec.codec.transforms.network import ImageNetwork, NetworkConfig, start_from_statistics
from lecodec.codec.transforms.torch_image import planes_of
from lecodec.entropy.context import ContextConfig
from lecodec.entropy.hyperprior import HyperConfig, is_coded
from lecodec.errors import InputError, ModelError
from lecodec.train.freeze import freeze_network
from lecodec.train.grow import grow, matching_range

OLD = NetworkConfig(
    TransformConfig(width8=16, width16=24, latent=16, analysis8=1, analysis16=1, synthesis8=1, synthesis16=1),
    HyperConfig(latent=16, width=16, middle=16, hyper=8),
    ContextConfig(width=16),
)
KNOTS = 21
NEW = NetworkConfig(
    replace(OLD.transform, latent=24, linear=1, knots=KNOTS),
    replace(OLD.hyper, latent=24, tables=76, reach=17, knots=KNOTS),
    OLD.context,
)
OLD_RANGE = (20.0, 8000.0)
NEW_RANGE = (20.0, matching_range(OLD_RANGE, 16, KNOTS))


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:128, :128]
    waves = [128 + 60 * np.sin(x / a + n) + 50 * np.cos(y / b) for n, (a, b) in enumerate(rng.uniform(3, 20, (24, 2)))]
    grain = rng.normal(0, 12, (24, 128, 128, 3))
    samples = (np.stack(waves)[..., None] * (1, 0.9, 0.7) + grain).clip(0, 255)
    return torch.from_numpy(samples / 255).permute(0, 3, 1, 2).float()


@pytest.fixture(scope="module")
def networks(crops) -> tuple[ImageNetwork, ImageNetwork]:
    torch.manual_seed(0)
    old, new = ImageNetwork(OLD), ImageNetwork(NEW)
    start_from_statistics(old, crops)
    with torch.no_grad():  # as if it had learned something: no table is constant, no context silent
        for p in old.parameters():
            p.add_(0.02 * torch.randn_like(p))
    grow(old, new, OLD_RANGE, NEW_RANGE, crops)
    return old.eval(), new.eval()


def _index(lam: float, low: float, high: float) -> float:
    return 63 * math.log(lam / low) / math.log(high / low)


@torch.no_grad()
@pytest.mark.parametrize("lam", [20, 90, 700, 3000, 8000])
def test_at_the_old_rates_nothing_changes(networks, crops, lam):
    loss = []
    for network, span in zip(networks, (OLD_RANGE, NEW_RANGE), strict=True):
        x_hat, bits = network(crops[:4], torch.full((4,), _index(lam, *span)))
        loss.append(float((bits / 128**2 + lam * (x_hat - crops[:4]).square().mean((1, 2, 3))).mean()))
    assert loss[1] == pytest.approx(loss[0], rel=0.01)
    _, new = networks
    index = torch.full((4,), _index(lam, *NEW_RANGE))
    z_hat, _ = new.hyperprior.hyper_latent(new.g_a(crops[:4], index), index)
    _, t = new.hyperprior.h_s(z_hat, index)
    assert not is_coded(t[:, 16:]).any()


@torch.no_grad()
def test_a_range_may_be_a_part_of_the_old_one(networks, crops):
    """Half of the range on the same number of knots, every other of them on an old one: the same network there."""
    _, wide = networks
    part, half = ImageNetwork(NEW), (NEW_RANGE[0], math.sqrt(NEW_RANGE[0] * NEW_RANGE[1]))
    grow(wide, part, NEW_RANGE, half, crops)
    for index in (0.0, 31.5, 63.0):
        shown = [
            network.g_a(crops[:2], torch.full((2,), i)) for network, i in ((wide, index / 2), (part.eval(), index))
        ]
        assert torch.allclose(*shown, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_above_them_the_new_channels_code_what_was_left(networks, crops):
    _, new = networks
    index = torch.full((4,), 63.0)
    likelihood = new.hyperprior(new.g_a(crops[:4], index), index)
    assert (likelihood.y_hat[:, 16:] != 0).float().mean() > 0.2
    without = likelihood.y_hat.clone()
    without[:, 16:] = 0
    error, cut = ((new.g_s(y, index) - crops[:4]).square().mean() for y in (likelihood.y_hat, without))
    assert error < 0.9 * cut


def test_what_does_not_fit_is_refused(networks, crops):
    old, new = networks
    with pytest.raises(InputError, match="no fewer channels"):
        grow(new, old, NEW_RANGE, OLD_RANGE, crops)
    other = ImageNetwork(replace(NEW, hyper=replace(NEW.hyper, width=20)))
    with pytest.raises(InputError, match="cannot become"):
        grow(old, other, OLD_RANGE, NEW_RANGE, crops)


@pytest.fixture(scope="module")
def model(networks, tmp_path_factory):
    path = tmp_path_factory.mktemp("wide") / "wide.safetensors"
    freeze_network(networks[1], path, "wide")
    return path


def test_a_wide_model_codes(model, crops):
    codec = ImageCodec(image_model(load_tensors(model), read_card(model).card))
    samples = (crops[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)[:100, :90]
    for quality in (1, 50.5, 100):
        data = codec.encode(samples, quality)
        assert codec.decode(data).shape == samples.shape
        assert np.array_equal(codec.latents(data).y_hat, codec.latents(codec.encode(samples, quality)).y_hat)


@torch.no_grad()
def test_coding_takes_the_same_linear_paths_as_training(networks, crops):
    """`of_planes` and `planes`, which coding uses, are `forward` in another order."""
    _, new = networks
    index = torch.full((1,), 60.0)
    samples = (crops[:1] * 255).round().byte()
    y = new.g_a(samples / 255, index)
    torch.testing.assert_close(
        new.g_a.of_planes(planes_of(samples.permute(0, 2, 3, 1)), index), y, rtol=1e-3, atol=1e-2
    )
    rows = new.g_s.planes(y, index).unflatten(1, (8, 8, 3)).permute(0, 3, 4, 1, 5, 2).reshape(1, 3, 128, 128)
    torch.testing.assert_close(rows + 0.5, new.g_s(y, index), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("level", [0, 255])
def test_means_reach_black_and_white_at_the_highest_rate(networks, level):
    """The mean of y can be as large as y is: 2^15 units, 512, would be too few for white at lambda 59 thousand."""
    _, new = networks
    x = torch.full((1, 3, 128, 128), level / 255)
    y = new.g_a(x, torch.full((1,), 63.0))
    assert y.abs().max() * 64 < 2**17


def test_a_reach_that_no_model_has_is_refused(model):
    tensors = {**load_tensors(model), "parse.reach": np.array([30], np.int32)}
    with pytest.raises(ModelError, match="reach"):
        image_model(tensors, read_card(model).card)
