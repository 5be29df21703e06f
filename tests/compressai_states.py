"""State dicts as CompressAI's networks have them, with random weights, made without CompressAI.

The weights are such that latents are lively: y of some tens, scales from a tenth to twenty, pictures around grey.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["state_of"]


def state_of(network: str, features: int = 6, latent: int = 8, seed: int = 0) -> dict[str, Tensor]:
    """network: one of `compressai_import.NETWORKS`; features, latent: N and M."""
    rng, n, m = torch.Generator().manual_seed(seed), features, latent
    state: dict[str, Tensor] = {}

    def layer(name: str, cin: int, cout: int, kernel: int, gain: float = 1.4, up: bool = False) -> None:
        fan = cin * kernel**2 / (4 if up else 1)
        shape = (cin, cout) if up else (cout, cin)
        state[f"{name}.weight"] = torch.randn(*shape, kernel, kernel, generator=rng) * gain / math.sqrt(fan)
        state[f"{name}.bias"] = torch.randn(cout, generator=rng) * 0.1

    for part, widths in (("g_a", (3, n, n, n, m)), ("g_s", (m, n, n, n, 3))):
        up = part == "g_s"
        for at in range(4):
            gain = {
                ("g_a", 0): 8.0,
                ("g_a", 3): 12.0,
                ("g_s", 0): 0.1,
                ("g_s", 3): 0.01 if network != "bmshj2018-factorized-relu" else 0.05,
            }.get((part, at), 1.4)
            layer(f"{part}.{2 * at}", widths[at], widths[at + 1], 5, gain, up)
            if at < 3 and network != "bmshj2018-factorized-relu":
                # What is trained are square roots of these plus 2^-36.
                gamma = 0.1 * torch.eye(n) + 0.01 * torch.rand(n, n, generator=rng)
                state[f"{part}.{2 * at + 1}.gamma"] = (gamma + 2**-36).sqrt()
                state[f"{part}.{2 * at + 1}.beta"] = (1 + torch.rand(n, generator=rng)).sqrt()
    state["g_s.6.bias"] += 0.5
    channels = m
    if not network.startswith("bmshj2018-factorized"):
        channels, means = n, network == "mbt2018-mean"
        layer("h_a.0", m, n, 3)
        layer("h_a.2", n, n, 5)
        layer("h_a.4", n, n, 5, 0.7)
        widths = (n, m, m * 3 // 2, 2 * m) if means else (n, n, n, m)
        layer("h_s.0", *widths[:2], 5, up=True)
        layer("h_s.2", *widths[1:3], 5, up=True)
        layer("h_s.4", *widths[2:], 3, 2.0)
        state["h_s.4.bias"][:m] += torch.linspace(-2, 8, m)
    _bottleneck(state, channels, rng)
    return state


def _bottleneck(state: dict[str, Tensor], channels: int, rng: torch.Generator) -> None:
    filters = (1, 3, 3, 3, 3, 1)
    name = "entropy_bottleneck"
    for at in range(5):
        value = math.log(math.expm1(1 / 10**0.2 / filters[at + 1]))
        state[f"{name}.matrices.{at}"] = torch.full((channels, filters[at + 1], filters[at]), value)
        state[f"{name}.biases.{at}"] = torch.rand(channels, filters[at + 1], 1, generator=rng) - 0.5
        if at < 4:
            state[f"{name}.factors.{at}"] = 0.3 * torch.randn(channels, filters[at + 1], 1, generator=rng)
    median = 0.8 * torch.randn(channels, 1, 1, generator=rng)
    state[f"{name}.quantiles"] = median + torch.tensor([-20.0, 0.0, 25.0])
