"""Mixtures of logistics where they are made: their bits in training, and the tables that freezing writes, once.

See `mixture` for what they are and how they are coded.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .mixture import LEAF_BITS, LEAF_REACH, LOGIT_BITS, LOGIT_MAX, MEAN_BITS, SCALES, WEIGHT_BITS
from .packing import pack

__all__ = ["leaf_tables", "mixture_bits"]

SCALE_LOW, SCALE_HIGH = 0.06, 60.0
"""The scales lie between them in equal ratios."""
FAR = 2.0**20
"""Beyond every sample."""


def scale_of(index: Tensor) -> Tensor:
    """Scale index in [0, SCALES - 1], fractions allowed -> s of the logistic, in steps of a sample."""
    return SCALE_LOW * torch.exp(index * (math.log(SCALE_HIGH / SCALE_LOW) / (SCALES - 1)))


def mixture_bits(x: Tensor, logit: Tensor, mean: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """x [N] integers; logit, mean, scale [N, K] in integer units; low, high [N]: the least and largest x -> bits
    [N].
    """
    weight = (logit * 2.0**-LOGIT_BITS).softmax(-1)
    inverse = 1 / scale_of(scale)
    mean = mean * 2.0**-MEAN_BITS
    above = torch.sigmoid((torch.where(x >= high, FAR, x + 0.5)[:, None] - mean) * inverse)
    below = torch.sigmoid((torch.where(x <= low, -FAR, x - 0.5)[:, None] - mean) * inverse)
    return -torch.log2((weight * (above - below)).sum(-1) + 2.0**-22)


def leaf_tables() -> dict[str, np.ndarray]:
    """What freezing makes, once: tensors for `Leaves`, by `LEAF_TABLES`.

    leaves: uint8, packed differences of int32 [SCALES, LEAF_REACH + 1], F at n / 16 steps above the mean; weights:
    int32 [2 * LOGIT_MAX + 1], exp(-n / 16); spans: int32 [SCALES], steps to the mean within which most of a leaf lies.
    """
    scale = scale_of(torch.arange(SCALES, dtype=torch.float64))
    steps = torch.arange(LEAF_REACH + 1, dtype=torch.float64) / 2**MEAN_BITS
    leaves = (torch.sigmoid(steps / scale[:, None]) * 2**LEAF_BITS).round()
    lost = torch.arange(2 * LOGIT_MAX + 1, dtype=torch.float64) / 2**LOGIT_BITS
    weights = (torch.exp(-lost) * 2**WEIGHT_BITS).round()
    return {
        "leaves": pack(np.diff(leaves.numpy().astype(np.int32), axis=1, prepend=np.int32(0))),
        "weights": weights.numpy().astype(np.int32),
        "spans": torch.ceil(6 * scale).numpy().astype(np.int32),
    }
