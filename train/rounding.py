"""What training puts in the place of s = round(y - mu), whose gradient is zero almost everywhere.

    residual --rounding--> what bits are counted on, what g_s (and the context) sees as y_hat - mu

- noise: uniform noise for the bits, a bound on those of the rounded residuals (Ballé et al. 2017); rounding with the
  gradient of the identity for y_hat. The two were first combined by Minnen and Singh, "Channel-Wise Autoregressive
  Entropy Models" (ICIP 2020). The hyperprior does this by itself.
- straight-through: rounding with the gradient of the identity for both (Theis et al. 2017).
- soft: the residual is rounded softly by s, noise is added, and y_hat gets what can be expected from that, r; both come
  closer to rounding as alpha grows over the run. Agustsson and Theis, "Universally Quantized Neural Compression"
  (NeurIPS 2020):  s(x) = floor(x) + 1/2 + tanh(alpha (x - floor(x) - 1/2)) / (2 tanh(alpha / 2)),
  r(x) = s^-1(x - 1/2) + 1/2.

z is always coded with noise and rounded for h_s, which takes integers only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["expected", "rounding_of", "soft_round"]

ALPHA = (1.0, 12.0)
"""Of soft rounding, at the beginning of a run and at its end; geometric between them. At 1 it is nearly the identity,
at 12 most of its rise from one integer to the next is in the middle fifth of the way."""


def soft_round(x: Tensor, alpha: float) -> Tensor:
    """s(x), elementwise; the identity on integers and half-integers."""
    middle = x.floor() + 0.5
    return middle + torch.tanh(alpha * (x - middle)) / (2 * math.tanh(alpha / 2))


def expected(x: Tensor, alpha: float) -> Tensor:
    """r(x), elementwise: s backwards, seen from where noise of half a step to either side may have led."""
    middle = (x - 0.5).floor() + 0.5
    inner = (2 * math.tanh(alpha / 2)) * (x - 0.5 - middle)
    return middle + torch.atanh(inner) / alpha + 0.5


def rounding_of(kind: str, done: float) -> Callable[[Tensor], tuple[Tensor, Tensor]] | None:
    """kind: noise, straight-through or soft; done: share of the run, in [0, 1] -> `Hyperprior.rounding`."""
    if kind == "noise":
        return None
    if kind == "straight-through":
        return _straight_through
    alpha = ALPHA[0] * (ALPHA[1] / ALPHA[0]) ** done

    def soft(residual: Tensor) -> tuple[Tensor, Tensor]:
        seen = soft_round(residual, alpha) + torch.rand_like(residual) - 0.5
        return seen, expected(seen, alpha)

    return soft


def _straight_through(residual: Tensor) -> tuple[Tensor, Tensor]:
    rounded = residual + (residual.round() - residual).detach()
    return rounded, rounded
