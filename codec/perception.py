"""How much of a picture's change an eye sees: an error with a gradient, for training and for `--effort`.

    x, x_hat -> linear RGB at 5 scales -> XYB -> structure, ringing, blur -> means and fourth powers -> S
    D = S + 10 and 20 times the mean of structure in Y at the two finest scales
          + 40 |x - x_hat| + 80 |means of 8 x 8 samples of x - x_hat|, roots of mean squares

S is the sum that the score of SSIMULACRA2 is a function of (Sneyers, Cloudinary, 2022): 100 where S = 0, 90 at about
0.45, 70 at 2.6, 50 at 5.9, 30 at 10. `WEIGHTS` are the published ones without those below 0.01, which are together
worth less than 0.02: three quarters of the maps need not be made. Nearly all of what is left looks at brightness (Y)
and at coarse colour, and at the finest scales at the worst places alone: fine colour, small shifts and fine structure
elsewhere are free. The other terms ask for them. That of single samples is 7% of D at 0.1 bits a pixel and 39% at 3.4
(`eye-1` in training); like S it grows with the amplitude of the error, or it would matter at one rate alone. That of
blocks keeps flat colours: in a crop with texture their error is a small part of the whole, and has a small gradient.

The maps are those of the score. At a border the window of the blur ends, as if nothing were beyond (the package counts
zeros there). All is float32, under autocast too. A picture with a side below 128 pixels has fewer scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["perceptual_error", "ssimulacra2_sum"]

PLAIN, COLOUR, BLOCK = 40.0, 80.0, 8
"""Weights of the roots of the mean squares of samples and of the means of blocks, and the side of a block."""

_Maps = tuple[float, float, float]
WEIGHTS: dict[tuple[int, str], tuple[_Maps, _Maps]] = {
    (0, "Y"): ((0, 0, 0), (7.466890328078848, 0, 17.445833984131262)),
    (1, "X"): ((0, 0, 0), (1.1041726426657346, 0, 0)),
    (1, "Y"): ((0, 0, 0), (6.683678146179332, 0, 1.027889937768264)),
    (2, "X"): ((0, 0, 0), (1.8422455520539298, 11.441172603757666, 0)),
    (2, "Y"): ((225.20515300849274, 0, 0), (19.213238186143016, 0, 0)),
    (3, "X"): ((0, 0, 0), (1.8787594979546387, 10.94906990605142, 0)),
    (3, "Y"): ((176.39317598450694, 0, 0), (24.43300999870476, 0.28520802612117757, 0)),
    (3, "B"): ((0, 0, 0), (8.826982764996862, 23.19243343998926, 0)),
    (4, "X"): ((0, 0.9677937080626833, 0), (0, 0.9981766977854967, 0)),
    (4, "Y"): ((0, 0, 0), (34.77906344483772, 44.835625328877896, 0)),
    (4, "B"): ((95.1080498811086, 0.9863978034400682, 0.9834382792465353), (0, 171.2667255897307, 0.9807858872435379)),
}
"""Scale, channel -> weights of structure, ringing, blur: of their means, and of the fourth roots of the means of their
fourth powers."""
FINE: dict[int, float] = {0: 10.0, 1: 20.0}
"""Scale -> weight of the mean of structure in Y in D."""
_FACTOR = 0.9562382616834844
_SCALES = 5
_MIN_SIDE = 8
_C2 = 0.0009
_OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.55180986650955360),
)
_BIAS = 0.0037930732552754493
_SIGMA, _RADIUS = 1.5, 5
_FLOOR = 1e-16
"""Keeps the slope of a fourth root finite where nothing differs."""


def perceptual_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """D [B] of a picture and its reconstruction, both [B, 3, H, W] sRGB in [0, 1]; float32, 0 where they are the same.

    x_hat may leave the range: S takes it as its nearest colour, the others as it is. The gradient goes to x_hat.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, x_hat = x.float(), x_hat.float()
        return _sum(x, x_hat, FINE) + _plain(x_hat - x)


def _plain(error: Tensor) -> Tensor:
    """What samples and blocks are away from where they should be: [B, 3, H, W] -> [B]."""
    blocks = torch.nn.functional.avg_pool2d(error, BLOCK, ceil_mode=True, count_include_pad=False)
    single, mean = ((part.square().mean((1, 2, 3)) + _FLOOR).sqrt() for part in (error, blocks))
    return PLAIN * single + COLOUR * mean


def ssimulacra2_sum(x: Tensor, x_hat: Tensor) -> Tensor:
    """S [B] of pictures [B, 3, H, W], float32 or float64 as these are (see the module's text); the gradient goes to
    x_hat.
    """
    return _sum(x, x_hat, {})


def _sum(x: Tensor, x_hat: Tensor, fine: Mapping[int, float]) -> Tensor:
    with torch.no_grad():
        a = _linear(x)
    b = _linear(x_hat)
    total = x_hat.new_zeros(len(x_hat))
    for scale in range(_SCALES):
        if min(x.shape[-2:]) < _MIN_SIDE << scale:
            break
        if scale:
            with torch.no_grad():
                a = torch.nn.functional.avg_pool2d(a, 2)
            b = torch.nn.functional.avg_pool2d(b, 2)
        channels = [channel for at, channel in WEIGHTS if at == scale]
        with torch.no_grad():
            wanted = _xyb(a, channels)
        maps = _maps(wanted, _xyb(b, channels))  # each [B, C, h, w]
        for n, found in enumerate(maps):
            mean, fourth = ([WEIGHTS[scale, c][norm][n] for c in channels] for norm in (0, 1))
            if n == 0 and scale in fine:
                mean[channels.index("Y")] += fine[scale]
            if any(mean):
                total = total + found.mean((2, 3)) @ x_hat.new_tensor(mean)
            if any(fourth):
                root = (found.square().square().mean((2, 3)) + _FLOOR).sqrt().sqrt()
                total = total + root @ x_hat.new_tensor(fourth)
    return _FACTOR * total


def _linear(x: Tensor) -> Tensor:
    """sRGB -> linear RGB."""
    x = x.clamp(0, 1)
    return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _xyb(linear: Tensor, channels: list[str]) -> Tensor:
    """[B, 3, H, W] -> the channels that are asked for, moved and scaled as the score has them."""
    r, g, b = linear.unbind(1)
    roots = [(m[0] * r + m[1] * g + m[2] * b + _BIAS) ** (1 / 3) - _BIAS ** (1 / 3) for m in _OPSIN]
    y = 0.5 * (roots[0] + roots[1])
    found = {"X": 7 * (roots[0] - roots[1]) + 0.42, "Y": y + 0.01, "B": roots[2] - y + 0.55}
    return torch.stack([found[channel] for channel in channels], 1)


def _maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Structure that differs, edges that only b has, edges that only a has: of each pixel of [B, C, H, W]."""
    # None of the maps changes when both are moved; about 0 less is lost where means are taken from squares.
    middle = a.mean((2, 3), keepdim=True)
    a, b = a - middle, b - middle
    with torch.no_grad():
        mean_a, square_a = _blurred(a), _blurred(a * a)
    mean_b, square_b, product = _blurred(b), _blurred(b * b), _blurred(a * b)
    mean = 1 - (mean_a - mean_b).square()
    both = 2 * (product - mean_a * mean_b) + _C2
    structure = 1 - mean * both / (square_a - mean_a.square() + square_b - mean_b.square() + _C2)
    edges = (1 + (b - mean_b).abs()) / (1 + (a - mean_a).abs()) - 1
    return structure.clamp_min(0), edges.clamp_min(0), (-edges).clamp_min(0)


def _blurred(x: Tensor) -> Tensor:
    """A Gaussian window of 11 x 11: as products of matrices, which are faster than convolutions of single channels."""
    rows, columns = (_window(side, x.dtype, x.device) for side in x.shape[-2:])
    return rows @ x @ columns.mT


@lru_cache(16)
def _window(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[side, side]: row n holds the window around sample n."""
    with torch.inference_mode(False):  # it is kept, and may be asked for a gradient next
        place = torch.arange(side, dtype=dtype, device=device)
        distance = (place[:, None] - place).abs()
        window = torch.where(distance <= _RADIUS, torch.exp(distance.square() / (-2 * _SIGMA**2)), 0.0)
        return window / window.sum(1, keepdim=True)
