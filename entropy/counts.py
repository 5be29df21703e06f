"""Tables made while coding, of integers: what circuits and mixtures hand to the coder, a row for each symbol."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .tables import TOTAL

__all__ = ["COUNT_BITS", "POWERS", "counts_of"]

COUNT_BITS = 29
"""Weights are cut to this many bits before they become counts: their product with 2^24 is exact in float64."""
POWERS = torch.from_numpy(np.ldexp(1.0, np.arange(-64, 65)))
"""2^(n - 64) at place n: exact, which exp2 and pow do not promise everywhere."""


def counts_of(weights: Tensor) -> np.ndarray:
    """weights [n, m] float64, non-negative integers with sums below 2^53 -> counts [n, m] float64: integers of at least
    1, rows that sum to TOTAL. With w the weights divided by the power of two that leaves their sum COUNT_BITS bits,
    rounded down, and W(j) the sum of the first j:  count(j) = 1 + floor(W(j+1) (TOTAL - m) / W(m)) - floor(W(j) (TOTAL
    - m) / W(m)).

    Products stay below 2^53, and a correctly rounded quotient of a number below 2^53 and one below 2^29 has the right
    floor, so float64 gives what integers would. Rows of zeros become uniform.
    """
    m = weights.shape[1]
    exponent = torch.frexp(weights.sum(1, keepdim=True)).exponent
    scale = POWERS.to(weights.device)[(64 + COUNT_BITS - exponent).long()]
    running = (weights * scale).floor_().cumsum(1)
    empty = running[:, -1:] == 0
    if bool(empty.any()):
        running = torch.where(empty, torch.arange(1.0, m + 1, dtype=torch.float64, device=weights.device), running)
    edge = (running * float(TOTAL - m)).div_(running[:, -1:]).floor_()
    edge[:, 1:] -= edge[:, :-1].clone()
    return edge.add_(1.0).cpu().numpy()
