"""The tables of an imported model: those of its Gaussians and of its entropy bottleneck, made once, as integers.

    Gaussian of scale s:   p(k) = Phi((k + 1/2) / s) - Phi((k - 1/2) / s)
    bottleneck, channel c: p(k) = sigmoid(F_c(m_c + k + 1/2)) - sigmoid(F_c(m_c + k - 1/2)),   m_c its median

F is the small monotone network of Ballé et al. 2018 (appendix 6.1), H_5(… H_1(x)), with
H_n(x) = softplus(matrix_n) x + bias_n =: u,  u + tanh(factor_n) tanh(u). Supports are those that CompressAI gives its
own tables: Gaussians out to a mass of 1e-9, bottlenecks to their trained quantiles. What is outside is the escape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ModelError
from .imported_coding import LEVELS
from .tables import TableSet

__all__ = ["bottleneck_tables", "gaussian_tables", "medians"]

TAIL_MASS = 1e-9
LEAST_ESCAPE = 2.0**-16
"""The probability of the escape: what CompressAI's 16 bits give it. Pictures have more outliers than a Gaussian."""
SUPPORT = 4096
"""Tables of a bottleneck reach at most so far from the median."""
LAYERS = 5


def gaussian_tables() -> TableSet:
    """The 64 tables of zero-mean Gaussians, from the smallest scale to the largest."""
    reach = -NormalDist().inv_cdf(TAIL_MASS / 2)
    tables = []
    for scale in LEVELS.tolist():
        last = math.ceil(scale * reach)
        # By the lower tail alone, which loses nothing where probabilities are small.
        k = np.arange(last + 1)
        beyond = 0.5 * torch.erfc(torch.from_numpy((k - 0.5) / (scale * math.sqrt(2)))).numpy()  # above k - 1/2
        end = 0.5 * math.erfc((last + 0.5) / (scale * math.sqrt(2)))
        side = beyond - np.append(beyond[1:], end)
        tables.append((-last, np.append(np.concatenate([side[:0:-1], side]), max(2 * end, LEAST_ESCAPE))))
    return TableSet.from_probabilities(tables)


def medians(state: Mapping[str, Tensor]) -> np.ndarray:
    """state: the tensors of an entropy bottleneck of C channels by name -> [C] float64."""
    return state["quantiles"][:, 0, 1].double().numpy()


@torch.no_grad()
def bottleneck_tables(state: Mapping[str, Tensor]) -> TableSet:
    """A table for each channel, of the distances from its median. state: as for `medians`; `quantiles` [C, 1, 3],
    `matrices.N`, `biases.N` (N = 0 to 4), `factors.N` (0 to 3). Raises ModelError when they are no bottleneck.
    """
    if f"matrices.{LAYERS}" in state:
        raise ModelError(f"the model's entropy bottleneck has more than {LAYERS} layers")
    quantiles = state["quantiles"].double()
    middle = quantiles[:, :, 1:2]
    first = (middle - quantiles[:, :, :1]).ceil().clamp(0, SUPPORT).flatten().long()
    last = (quantiles[:, :, 2:] - middle).ceil().clamp(0, SUPPORT).flatten().long()
    tables = []
    for c, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        edges = torch.arange(-low, high + 2, dtype=torch.float64) - 0.5 + middle[c, 0, 0]
        logits = _cumulative(state, c, edges[None])[0]
        # The difference of two sigmoids on the side where both are small.
        sign = torch.where(logits[:-1] + logits[1:] > 0, -1.0, 1.0).double()
        p = torch.abs(torch.sigmoid(sign * logits[1:]) - torch.sigmoid(sign * logits[:-1]))
        outside = float(torch.sigmoid(logits[0]) + torch.sigmoid(-logits[-1]))
        if not bool(torch.isfinite(p).all()) or not math.isfinite(outside):
            raise ModelError(f"channel {c} of the model's entropy bottleneck has no distribution")
        tables.append((-low, np.append(p.numpy(), max(outside, LEAST_ESCAPE))))
    return TableSet.from_probabilities(tables)


def _cumulative(state: Mapping[str, Tensor], channel: int, x: Tensor) -> Tensor:
    """F of one channel at x [1, n]."""
    for n in range(LAYERS):
        x = F.softplus(state[f"matrices.{n}"][channel].double()) @ x + state[f"biases.{n}"][channel].double()
        if n < LAYERS - 1:
            x = x + torch.tanh(state[f"factors.{n}"][channel].double()) * torch.tanh(x)
    return x
