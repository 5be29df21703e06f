"""Rate-distortion objectives: loss = bpp + lambda(index) * D, over random quality indices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..codec.objective import ERRORS
from ..entropy.rate import QUALITY_LEVELS

__all__ = ["balance_weight", "distortion_of", "draw_indices", "lagrangian", "quality_lambda"]


def draw_indices(batch: int, generator: torch.Generator) -> Tensor:
    """Random quality indices [batch], int64, each as likely as the others."""
    return torch.randint(0, QUALITY_LEVELS, (batch,), generator=generator)


def quality_lambda(index: Tensor, low: float, high: float) -> Tensor:
    """index [B] in [0, 63] -> lambda [B], geometric from low to high."""
    return low * torch.exp(index.float() * (math.log(high / low) / (QUALITY_LEVELS - 1)))


def distortion_of(kind: str, x: Tensor, x_hat: Tensor) -> Tensor:
    """D [B] of pictures [B, 3, H, W] in [0, 1]: 'mse', 'ms-ssim' for 1 - MS-SSIM, 'ssimulacra2' for the error that is
    behind this score with some plain error (see `codec.perception`), 'yuv420' for that of a video's planes.
    """
    if kind in ERRORS:
        return ERRORS[kind](x, x_hat.float())
    from ..eval.quality.metrics import ms_ssim_per_sample

    return 1 - ms_ssim_per_sample(x, x_hat.float().clamp(0, 1))


def lagrangian(bpp: Tensor, distortion: Tensor, lam: Tensor, weight: Tensor) -> Tensor:
    """The scalar to minimise: mean of weight * (bpp + lambda D). All inputs [B]."""
    return (weight * (bpp + lam * distortion)).mean()


def balance_weight(lam: Tensor, low: float, high: float, balance: float) -> Tensor:
    """[B]: lambda ** -balance, 1 in the (geometric) middle. At balance 0.5 all rates have losses of about one size."""
    return (lam / math.sqrt(low * high)) ** -balance
