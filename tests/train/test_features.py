"""The feature term of training: a frozen network's view of a reconstruction."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lecodec.codec.transforms.network import ImageNetwork
from lecodec.errors import InputError
from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.features import distance_of
from lecodec.train.recipe import FeatureTerm, load_recipe
from lecodec.train.run import train

CONVOLUTION = {"in_channels": 3, "out_channels": 4, "kernel_size": 3}
RECIPE = Path(__file__).parents[2] / "train" / "recipes"


def term(**changes) -> FeatureTerm:
    return FeatureTerm(**{"network": "torch.nn:Conv2d", "arguments": CONVOLUTION, "weight": 0.5, **changes})


def two_pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, 16, 16, generator=generator)
    return x, (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def test_distance_is_the_relative_squared_difference_of_the_features() -> None:
    distance, (x, x_hat) = distance_of(term()), two_pictures()
    mean, std = torch.tensor(term().mean)[:, None, None], torch.tensor(term().std)[:, None, None]
    with torch.no_grad():
        a, b = (distance.network((p - mean) / std).flatten(1) for p in (x, x_hat))
    wanted = (a - b).square().sum(1) / a.square().sum(1)
    assert torch.allclose(distance(x, x_hat), wanted, rtol=1e-5)
    assert torch.equal(distance(x, x), torch.zeros(2))


def test_layers_are_means_over_their_distances() -> None:
    with pytest.raises(InputError, match="has no layer 'nowhere'"):
        distance_of(term(layers=["nowhere"]))
    x, x_hat = two_pictures()
    both = distance_of(
        term(network="torchvision.models:mobilenet_v2", arguments={}, layers=["features.1", "features.3"])
    )
    parts = []
    for name in ("features.1", "features.3"):
        single = distance_of(term(network="torchvision.models:mobilenet_v2", arguments={}, layers=[name]))
        single.network.load_state_dict(both.network.state_dict())
        parts.append(single(x, x_hat))
    assert torch.allclose(both(x, x_hat), sum(parts) / 2, rtol=1e-5)


def test_only_the_reconstruction_gets_a_gradient_and_the_network_stays_as_it_is() -> None:
    distance = distance_of(term(network="torchvision.models:mobilenet_v2", arguments={}, layers=["features.1"]))
    before = {name: value.clone() for name, value in distance.network.state_dict().items()}
    distance.train()  # as the training loop does with everything
    x, x_hat = two_pictures()
    x.requires_grad_()
    x_hat.requires_grad_()
    distance(x, x_hat).sum().backward()
    assert x.grad is None and x_hat.grad is not None and x_hat.grad.abs().sum() > 0
    assert all(torch.equal(before[name], value) for name, value in distance.network.state_dict().items())
    assert all(p.grad is None for p in distance.parameters())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"network": "no.such.module:thing"}, "cannot be made"),
        ({"network": "torch.nn:Nothing"}, "cannot be made"),
        ({"network": "torch:eye", "arguments": {"n": 3}}, "not a torch.nn.Module"),
        ({"network": "somewhere"}, "unknown network 'somewhere'"),
        ({"weights": "missing.pth"}, "missing.pth: no such file"),
        ({"weights": "text.pth"}, "text.pth holds no weights"),
    ],
)
def test_what_cannot_be_is_one_sentence(changes, sentence, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("no weights")
    with pytest.raises(InputError, match=sentence) as caught:
        distance_of(term(**changes))
    assert "\n" not in str(caught.value)


def test_a_run_with_a_feature_term_lowers_it(tmp_path: Path) -> None:
    """Two short runs from the same weights and seeds: a heavy feature term ends with the smaller distance."""
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = torch.arange(96)[:, None] * torch.ones(96)
    for n in range(3):
        wave = (128 + 90 * torch.sin(rows / (4 + n)) * torch.cos(rows.T / 7)).to(torch.uint8)
        Image.fromarray(torch.stack([wave, wave.T, 255 - wave], 2).numpy()).save(folder / f"{n}.png")
    small = {
        "train": [folder],
        "validation": [],
        "steps": 120,
        "minutes": None,
        "phases": [{"fraction": 1.0, "crop": 64, "batch": 2}],
        "precision": "32-true",
        "learning_rate": 2e-3,
        "warmup_steps": 5,
        "transform": {"width8": 24, "width16": 32, "latent": 16, "analysis8": 1, "analysis16": 1}
        | {"synthesis8": 1, "synthesis16": 1},
        "hyper": {"width": 16, "middle": 16, "hyper": 8},
        "downscale": [1.0, 1.0],
    }
    distances = {}
    for name, weight in (("plain", 0.0001), ("machine", 3.0)):
        features = term(weight=weight).model_dump(mode="json")
        run = train(
            RECIPE / "tiny.yaml",
            overrides={**small, "name": name, "features": features},
            runs=tmp_path,
            accelerator="cpu",
        )
        state = load_checkpoint(run / "weights.pt")
        assert not any("features" in key for key in state["ema"])  # the frozen network is no part of a checkpoint
        network = ImageNetwork(load_recipe(RECIPE / "tiny.yaml", **small, name=name, features=features).network())
        network.load_state_dict(state["ema"])
        torch.manual_seed(0)
        distance = distance_of(term())
        x = torch.stack([wave, wave.T, 255 - wave])[None, :, :64, :64].float() / 255
        with torch.no_grad():
            distances[name] = float(distance(x, network.eval()(x, torch.tensor([20]))[0]))
    assert distances["machine"] < 0.8 * distances["plain"], distances
