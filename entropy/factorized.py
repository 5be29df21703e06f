"""The factorised prior of the hyper-latent z: one table per channel, in a bank chosen by the quality index.

    p(z_c) = sum_k w_ck [ sigmoid((z + 1/2 - m_ck) / s_ck) - sigmoid((z - 1/2 - m_ck) / s_ck) ]

A mixture of logistics stands where Ballé et al. (2018) fit a small monotone network: as flexible as needed for a few
dozen integers, quicker to fit, and frozen to an integer table all the same. A file's quality index selects one of
BANKS sets of tables, since z spreads as the rate grows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .rate import BANKS, QUALITY_LEVELS
from .tables import TableSet

__all__ = ["FactorizedPrior", "fixed_bits", "fixed_prior"]

COMPONENTS = 3
SUPPORT = 255
"""Tables reach at most from -SUPPORT to SUPPORT; beyond is the escape."""


FIXED_SCALE, FIXED_SUPPORT = 1.0, 12
"""Of the fixed logistic, see `fixed_bits`."""


class FactorizedPrior(nn.Module):
    """forward: z [B, C, h, w] (integers, or with uniform noise in training), index [B] -> bits [B] for each picture."""

    def __init__(self, channels: int):
        super().__init__()
        shape = (BANKS, channels, COMPONENTS)
        self.mean = nn.Parameter(torch.tensor([-2.0, 0.0, 2.0]).expand(shape).clone())
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.logit = nn.Parameter(torch.zeros(shape))

    def _cdf(self, x: Tensor, mean: Tensor, log_scale: Tensor, weight: Tensor) -> Tensor:
        return (weight * torch.sigmoid((x[..., None] - mean) * torch.exp(-log_scale))).sum(-1)

    def forward(self, z: Tensor, index: Tensor) -> Tensor:
        bank = (index.long() * BANKS // QUALITY_LEVELS).clamp(0, BANKS - 1)
        mean, log_scale, logit = (p[bank][:, :, None, None] for p in (self.mean, self.log_scale, self.logit))
        weight, log_scale = logit.softmax(-1), log_scale.clamp(-4, 6)
        z = z.float()
        p = self._cdf(z + 0.5, mean, log_scale, weight) - self._cdf(z - 0.5, mean, log_scale, weight)
        return -torch.log2(p.clamp_min(2.0**-20)).flatten(1).sum(1)

    @torch.no_grad()
    def freeze(self) -> TableSet:
        """Integer tables, bank by bank and channel by channel: table number = bank * C + channel."""
        edges = torch.arange(-SUPPORT, SUPPORT + 2, dtype=torch.float64) - 0.5
        tables = []
        weight = self.logit.double().softmax(-1)
        for bank in range(BANKS):
            for c in range(self.mean.shape[1]):
                cdf = self._cdf(
                    edges, self.mean[bank, c].double(), self.log_scale[bank, c].double().clamp(-4, 6), weight[bank, c]
                ).numpy()
                p = np.diff(cdf)
                inside = np.flatnonzero(p > 2.0**-20)
                first, last = (inside[0], inside[-1]) if len(inside) else (SUPPORT, SUPPORT)
                escape = max(1.0 - p[first : last + 1].sum(), 2.0**-20)
                tables.append((int(first) - SUPPORT, np.append(p[first : last + 1], escape)))
        return TableSet.from_probabilities(tables)


def fixed_bits(z: Tensor) -> Tensor:
    """Bits [B] of z [B, C, h, w] under the logistic of scale FIXED_SCALE around 0, the same for all channels: the top
    of a nest of hyperpriors, of which no part is learned (arXiv 2406.06165).
    """
    low, high = (torch.sigmoid((z.float() + side) / FIXED_SCALE) for side in (-0.5, 0.5))
    return -torch.log2((high - low).clamp_min(2.0**-20)).flatten(1).sum(1)


def fixed_prior(channels: int) -> TableSet:
    """Its integer tables: that of the logistic for every bank and channel."""
    edges = np.arange(-FIXED_SUPPORT, FIXED_SUPPORT + 2) - 0.5
    p = np.diff(1 / (1 + np.exp(-edges / FIXED_SCALE)))
    return TableSet.from_probabilities([(-FIXED_SUPPORT, np.append(p, 2.0**-20))] * (BANKS * channels))
