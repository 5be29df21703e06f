"""The perceptual error: the sum behind SSIMULACRA2's score, with a gradient."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from lecodec.codec import perception
from lecodec.codec.perception import FINE, perceptual_error, ssimulacra2_sum
from lecodec.codec.ssimulacra2 import ssimulacra2
from lecodec.errors import InputError
from lecodec.eval.figures.statistics import spearman
from lecodec.train.objectives import distortion_of
from lecodec.train.recipe import load_recipe


def _picture(seed: int, side: int = 256) -> Image.Image:
    """Waves, edges, flat areas, grain: of everything that the maps look at."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    planes = [np.sin(x * a + y * b) * np.cos(y * c) for a, b, c in rng.uniform(2, 60, (3, 3))]
    samples = 128 + 70 * np.stack(planes, -1) + rng.normal(0, 6, (side, side, 1)) * (x > 0.5)[..., None]
    samples[side // 4 : side // 2, side // 3 : side // 2] = rng.uniform(0, 255, 3)
    return Image.fromarray(samples.clip(0, 255).astype(np.uint8))


def _jpeg(picture: Image.Image, quality: int) -> np.ndarray:
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file))


def _degraded(picture: Image.Image) -> list[np.ndarray]:
    samples, rng = np.asarray(picture).astype(float), np.random.default_rng(5)
    noisy = [samples + rng.normal(0, size, samples.shape) for size in (2, 8, 20)]
    moved = [samples + shift for shift in ((3, -3, 0), (0, 0, 25), (10, 10, 10))]
    found = [_jpeg(picture, quality) for quality in (5, 20, 50, 80, 95)]
    found += [np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))) for radius in (0.5, 1, 2)]
    return found + [a.round().clip(0, 255).astype(np.uint8) for a in noisy + moved]


def _tensor(samples: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(samples.copy()).permute(2, 0, 1)[None].float() / 255


def test_it_ranks_pictures_as_the_package_does():
    scores, sums = [], []
    for seed in range(3):
        picture = _picture(seed)
        original = np.asarray(picture)
        for decoded in _degraded(picture):
            scores.append(ssimulacra2(original, decoded))
            sums.append(float(ssimulacra2_sum(_tensor(original), _tensor(decoded))))
    assert spearman(np.array([sums]), -np.array([scores]))[0] > 0.99


def test_its_gradient_is_that_of_finite_differences():
    """In float64, along directions that are as large as rounding is."""
    rng = torch.Generator().manual_seed(2)
    x = _tensor(np.asarray(_picture(7, 128)))
    x_hat = (x + 0.03 * torch.randn(x.shape, generator=rng)).clamp(0.02, 0.98).double().requires_grad_()

    def error(shown: torch.Tensor) -> torch.Tensor:
        return (perception._sum(x.double(), shown, FINE) + perception._plain(shown - x)).sum()

    (gradient,) = torch.autograd.grad(error(x_hat), x_hat)
    single = x_hat.detach().float().requires_grad_()
    (of_floats,) = torch.autograd.grad(perceptual_error(x, single).sum(), single)
    assert torch.allclose(of_floats.double(), gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))
    for _ in range(4):
        direction = torch.randn(x.shape, generator=rng, dtype=torch.float64)
        step = 1e-6 * direction
        measured = (error(x_hat + step) - error(x_hat - step)).item() / 2
        assert measured == pytest.approx((gradient * step).sum().item(), rel=1e-3)


def test_nothing_is_lost_where_nothing_differs():
    x = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)).requires_grad_()
    error = perceptual_error(x.detach(), x)
    error.sum().backward()
    assert float(error.detach().abs().max()) < 0.05
    assert x.grad is not None and bool(torch.isfinite(x.grad).all())


def test_a_gradient_follows_after_inference():
    perception._window.cache_clear()
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        perceptual_error(x, x * 0.9)
    shown = (x * 0.9).requires_grad_()
    perceptual_error(x, shown).sum().backward()
    assert shown.grad is not None and bool(shown.grad.abs().sum() > 0)


def test_autocast_changes_nothing():
    x = _tensor(np.asarray(_picture(3, 128)))
    plain = perceptual_error(x, x * 0.97)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(perceptual_error(x, x * 0.97), plain)


def test_colours_that_the_score_does_not_see_cost():
    """Fine colour is free by the published weights; the second term asks for it."""
    picture = np.full((128, 128, 3), 128, np.uint8)
    decoded = picture.copy()
    decoded[::2, ::2, 2] += 20
    decoded[1::2, 1::2, 2] -= 20
    x, x_hat = _tensor(picture), _tensor(decoded)
    assert float(perceptual_error(x, x_hat)) > 2 * float(ssimulacra2_sum(x, x_hat)) > 0


def test_a_shift_of_a_colour_costs_more_than_noise():
    x = torch.full((2, 3, 64, 64), 0.5)
    shift = torch.tensor([0.0, 0.0, 0.04])[:, None, None].expand(3, 64, 64)
    noise = shift * torch.randn(64, 64, generator=torch.Generator().manual_seed(6)).sign()
    flat, noisy = perception._plain(torch.stack([shift, noise]))
    assert float(flat) > 2 * float(noisy) > 0
    assert float(perceptual_error(x[:1], x[:1] + shift)) > 2.7


def test_small_pictures_have_fewer_scales():
    x = torch.rand(1, 3, 24, 40)
    assert 0 < float(perceptual_error(x, x * 0.9)) < float("inf")
    assert float(perceptual_error(x[..., :5, :7], 0.9 * x[..., :5, :7])) > 0


def test_recipes_name_it():
    x = torch.rand(1, 3, 128, 128)
    assert torch.equal(distortion_of("ssimulacra2", x, x * 0.9), perceptual_error(x, x * 0.9))
    recipe = load_recipe("train/recipes/image-eye.yaml")
    assert recipe.distortion == "ssimulacra2"
    with pytest.raises(InputError, match="at least 128 pixels"):
        load_recipe("train/recipes/image-eye.yaml", phases=[{"fraction": 1, "crop": 64, "batch": 4}])
    with pytest.raises(InputError, match="grow_from"):
        load_recipe("train/recipes/image-eye.yaml", grow_from=None)
    with pytest.raises(InputError, match="lower one first"):
        load_recipe("train/recipes/image-eye.yaml", grow_range=[50, 6])
