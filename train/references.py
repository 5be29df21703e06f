"""The crops that a model with a memory of real pictures keeps: those nearest to the centres of a folder's pictures.

pictures -> crops from their middles -> frozen g_a at one rate -> y -> how much each channel varies -> k-means
         -> the crop nearest each centre -> references, and the deviations of channels at each rate
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..codec.transforms.image import Analysis
from ..entropy.conditional import PLACES, references_of
from ..entropy.rate import QUALITY_LEVELS
from ..errors import InputError
from .codebook import means_of

__all__ = ["INDEX", "chosen_references"]

INDEX = 40
"""The quality index at which the crops' latents are rounded."""
SIDE = 32 * PLACES[0]
LEAST_DEVIATION = 0.05
ROUNDS = 20


@torch.no_grad()
def chosen_references(analysis: Analysis, pictures: list[np.ndarray], count: int, seed: int) -> tuple[Tensor, Tensor]:
    """pictures: uint8 [H, W, 3] each -> what `ConditionalHyperprior` holds: references [count, 4 M, *PLACES], unit
    [QUALITY_LEVELS, M]. Raises InputError for fewer pictures than that.
    """
    crops = [_middle(p) for p in pictures if min(p.shape[:2]) >= SIDE]
    if len(crops) < count:
        raise InputError(f"{count} references need as many pictures of {SIDE} pixels a side, there are {len(crops)}")
    y = torch.cat([analysis(crop, torch.full((1,), float(INDEX))).float() for crop in crops])
    energies = y.square().mean((2, 3))
    deviation = energies.mean(0).sqrt().clamp_min(LEAST_DEVIATION)
    log_gain = analysis.gain_y(torch.arange(QUALITY_LEVELS, dtype=torch.float32))
    unit = deviation * (log_gain - log_gain[INDEX]).exp()
    features = (energies / deviation.square() + 0.05).log().numpy()
    means, _ = means_of(features - features.mean(0), count, ROUNDS, np.random.default_rng(seed))
    centres = features.mean(0) + means
    far = np.square(features[:, None] - centres[None]).sum(2)
    chosen: list[int] = []
    for centre in range(count):
        chosen.append(next(int(n) for n in np.argsort(far[:, centre], kind="stable") if n not in chosen))
    return references_of(y[chosen], deviation), unit


def _middle(picture: np.ndarray) -> Tensor:
    """[1, 3, SIDE, SIDE] in [0, 1]."""
    top, left = ((n - SIDE) // 2 for n in picture.shape[:2])
    crop = torch.from_numpy(picture[top : top + SIDE, left : left + SIDE].copy())
    return crop.permute(2, 0, 1)[None].float().div_(255)
