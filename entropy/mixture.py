"""Mixtures of logistics: one sum node for each sample, whose weights and leaves a network chooses.

    p(x) = sum_k w_k [ F((x + 1/2 - mu_k) / s_k) - F((x - 1/2 - mu_k) / s_k) ],   F the logistic function

as in Salimans et al., "PixelCNN++" (ICLR 2017); the outermost values take the tails. A network gives integers: logits in
1/16, means in 1/16 of a step, scales as one of SCALES sizes. In training this is ordinary float arithmetic (`mixture_bits`).
For coding it is integer tables (`Leaves`): F at every 1/16 step and for every scale, the weights exp(-n / 16), all made once
when a model is frozen.

A value is coded as one of 16 buckets around the middle of its mixture (the inner 14 of a power of two wide enough to hold
nearly everything), then by its place in it, or by its distance beyond them. So a decoder needs 17 sums, not hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..errors import CorruptFile, ModelError
from .coder import RowCoder
from .tables import TOTAL, counts_of

__all__ = ["LOGIT_MAX", "MEAN_MAX", "SCALES", "Leaves", "mixture_bits"]

LOGIT_BITS = 4
LOGIT_MAX = 127
MEAN_BITS = 4
MEAN_MAX = 2**13 - 1
SCALES = 64
"""Scales of the leaves, from SCALE_LOW to SCALE_HIGH in equal ratios."""
SCALE_LOW, SCALE_HIGH = 0.06, 60.0
FAR = 2.0**20
"""Beyond every sample."""
BUCKETS = 16
LEAF_BITS = 22
"""F is in units of 2^-LEAF_BITS."""
LEAF_REACH = 4096
"""F is tabulated to +-LEAF_REACH / 16 steps from the mean; it is 0 or 1 beyond."""
WEIGHT_BITS = 12


def scale_of(index: Tensor) -> Tensor:
    """Scale index in [0, SCALES - 1], fractions allowed -> s of the logistic, in steps of a sample."""
    return SCALE_LOW * torch.exp(index * (math.log(SCALE_HIGH / SCALE_LOW) / (SCALES - 1)))


def mixture_bits(x: Tensor, logit: Tensor, mean: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """x [N] integers; logit, mean, scale [N, K] in integer units; low, high [N]: the least and largest x -> bits [N]."""
    weight = (logit * 2.0**-LOGIT_BITS).softmax(-1)
    inverse = 1 / scale_of(scale)
    mean = mean * 2.0**-MEAN_BITS
    above = torch.sigmoid((torch.where(x >= high, FAR, x + 0.5)[:, None] - mean) * inverse)
    below = torch.sigmoid((torch.where(x <= low, -FAR, x - 0.5)[:, None] - mean) * inverse)
    return -torch.log2((weight * (above - below)).sum(-1) + 2.0**-22)
