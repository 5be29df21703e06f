"""eval/perceptual.py on random backbones: what the networks are fed, what is refused, and that nothing is fetched."""

from __future__ import annotations

import math
import socket
from pathlib import Path

import numpy as np
import pytest

from lecodec.errors import InputError
from lecodec.eval.quality.perceptual import MIN_SIDE, PERCEPTUAL, perceptual_metrics

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
lpip = pytest.importorskip("torchmetrics.functional.image.lpips")

ALEXNET, VGG16 = "alexnet-owt-7be5be79.pth", "vgg16-397923af.pth"


@pytest.fixture(scope="module", autouse=True)
def offline():
    """Whatever wants to download fails at once."""

    def refuse(*_):
        raise AssertionError("a connection was asked for")

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield
    torch.set_num_threads(before)


def random_features(builder: str) -> dict:
    """The convolutions alone: the classifier of the published files is never looked at, and is most of them."""
    with torch.device("meta"):
        wanted = getattr(torchvision.models, builder)(weights=None).state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(like.shape, generator=generator) * (2 / max(like[0].numel(), 1)) ** 0.5
        if like.ndim > 1
        else torch.zeros(like.shape)
        for key, like in wanted.items()
        if key.startswith("features.")
    }


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("backbones")
    torch.save(random_features("alexnet"), folder / ALEXNET)
    torch.save(random_features("vgg16"), folder / VGG16)
    return folder


@pytest.fixture(scope="module")
def metrics(weights):
    return perceptual_metrics(["lpips", "dists"], weights)


def pair(height: int = 72, width: int = 97) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[:height, :width] / 9.0
    waves = np.stack([np.sin(columns + rows), np.cos(rows * 2), np.sin(columns / 2)], -1)
    a = np.clip(128 + 90 * waves, 0, 255).astype(np.uint8)
    return a, np.clip(a + random.normal(0, 20, a.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_they_are_distances(metrics, name):
    a, b = pair()
    assert metrics[name](a, a) == pytest.approx(0, abs=1e-6) and metrics[name](a, a) >= 0
    near = ((a.astype(int) * 3 + b) // 4).astype(np.uint8)
    assert 0 < metrics[name](a, near) < metrics[name](a, b) < 2
    assert metrics[name](a, b) == metrics[name](a, b)  # nothing is left over from one pair to the next
    assert math.isnan(metrics[name](a[: MIN_SIDE - 1], b[: MIN_SIDE - 1]))
    assert metrics[name](a[:MIN_SIDE, :MIN_SIDE], b[:MIN_SIDE, :MIN_SIDE]) > 0


def test_lpips_is_fed_minus_one_to_one(metrics, weights):
    """A published comparison fed it 0..255. By hand: x in [-1, 1], the shift and scale of its authors, AlexNet's five
    rectified layers, each unit-normalised, squared differences weighted and averaged over space."""
    features = torchvision.models.alexnet(weights=None).features
    state = torch.load(weights / ALEXNET, weights_only=True)
    features.load_state_dict({key.removeprefix("features."): value for key, value in state.items()})
    heads = torch.load(Path(lpip.__file__).parent / "lpips_models" / "alex.pth", map_location="cpu", weights_only=True)

    def layers(picture: np.ndarray) -> list:
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].double() / 127.5 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(
            3, 1, 1
        )
        found = []
        for number, layer in enumerate(features.double()[:12]):
            x = layer(x)
            if number in (1, 4, 7, 9, 11):
                found.append(x / x.square().sum(1, keepdim=True).add(1e-8).sqrt())
        return found

    a, b = pair()
    with torch.no_grad():
        expected = sum(
            float((heads[f"lin{i}.model.1.weight"] * (x - y).square()).sum(1).mean())
            for i, (x, y) in enumerate(zip(layers(a), layers(b), strict=True))
        )
    assert metrics["lpips"](a, b) == pytest.approx(expected, rel=1e-4)


def test_dists_is_fed_zero_to_one(metrics):
    """Of two flat pictures DISTS sees means alone; those of its first layer are the samples themselves, 0 to 1."""
    seen = []
    network = metrics["dists"]._distance
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    try:
        metrics["dists"](np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8))
    finally:
        handle.remove()
    assert [(float(x.min()), float(x.max())) for x in seen[:2]] == [(0, 0), (1, 1)]
    assert all(x.shape == (1, 3, 40, 40) for x in seen[:2])


def test_floats_and_pairs_that_do_not_fit_are_refused(metrics):
    a, b = pair()
    for wrong in (b.astype(np.float32), b / 255.0, b[:-1], b[..., 0]):
        with pytest.raises(InputError):
            metrics["lpips"](a, wrong)


def test_the_description_tells_whose_weights_they_are(metrics, weights):
    for name, file in (("lpips", ALEXNET), ("dists", VGG16)):
        text = metrics[name].description
        assert file in text and "torchmetrics" in text and "NOT the published file" in text
        assert str(weights) not in text and "\n" not in text


def test_random_numbers_and_the_hub_are_left_alone(weights):
    state, hub = torch.random.get_rng_state(), torch.hub.get_dir()
    perceptual_metrics(["lpips"], weights)
    assert torch.equal(torch.random.get_rng_state(), state) and torch.hub.get_dir() == hub


def test_missing_weights_are_named_and_not_fetched(weights, tmp_path):
    (tmp_path / VGG16).symlink_to(weights / VGG16)
    with pytest.raises(InputError, match=f"no {ALEXNET}.*torchvision's AlexNet weights"):
        perceptual_metrics(["lpips"], tmp_path)
    for name in PERCEPTUAL:
        with pytest.raises(InputError, match=r"needs a folder with \w+.*\.pth.*--weights"):
            perceptual_metrics([name], None)
    with pytest.raises(InputError, match="lpips, lpips-vgg, dists"):
        perceptual_metrics(["ssim"], weights)


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("harm-was-done"),))


def test_files_that_are_no_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = random_features("alexnet")
    first = next(iter(good))
    cases = {
        "cannot be read": b"not weights",
        f"expected {first} of shape .* found nothing": {k: v for k, v in good.items() if k != first},
        f"expected {first} of shape .* found \\[3, 3\\]": good | {first: torch.zeros(3, 3)},
        "found nothing": [1, 2, 3],
        "cannot be read as": {"features": Harmful()},
    }
    for match, content in cases.items():
        if isinstance(content, bytes):
            (tmp_path / ALEXNET).write_bytes(content)
        else:
            torch.save(content, tmp_path / ALEXNET)
        with pytest.raises(InputError, match=match) as error:
            perceptual_metrics(["lpips"], tmp_path)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "harm-was-done").exists()
