"""How far a reconstruction is from its picture, or sound, in the eyes of a frozen network: an objective for codecs
whose pictures machines look at, and whose sounds they listen to.

    x, x_hat [B, ...] -> normalise -> frozen network -> features of some layers -> distance [B]

    F(x, x_hat) = mean over layers l of  |f_l(x) - f_l(x_hat)|^2 / |f_l(x)|^2

A recipe adds it to the distortion, D = MSE + weight * F, so that one multiplier lambda rules both. The features stand
for what the network's head decides upon, whatever the labels: none are needed (feature matching as in Dosovitskiy and
Brox, NeurIPS 2016; for compression as in Singh et al., ICIP 2020). Networks other than the one named profit too, as
far as they look at the same things: that has to be measured on one of them (`eval task`).

The network never trains: its weights have no gradient, its batch normalisation stays in evaluation mode, and it is no
part of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError

__all__ = ["FeatureDistance"]


class FeatureDistance(nn.Module):
    """forward: x, x_hat, pictures [B, 3, H, W] in [0, 1] or sounds [B, T] in [-1, 1] -> F [B] float32, gradient to
    x_hat only.

    network: takes (x - mean) / std, each of one number for each colour, or () for sounds, which it takes as they are;
    layers: names of submodules whose outputs count, none: its own output; name: of the network, for messages. Raises
    InputError for layers that it has not.
    """

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], layers: Sequence[str], name: str
    ):
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.least = 0.0 if mean else -1.0
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None] if mean else torch.zeros(()), persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None] if std else torch.ones(()), persistent=False)
        self._found: list[Tensor] = []
        modules = dict(self.network.named_modules())
        for layer in layers:
            if layer not in modules:
                some = ", ".join(n for n in modules if n and n.count(".") < 2)
                raise InputError(f"the network {name} has no layer {layer!r}; it has {some[:400]}")
            modules[layer].register_forward_hook(self._keep)
        self._own_output = not layers

    def train(self, mode: bool = True) -> FeatureDistance:
        """Stays in evaluation mode: batch normalisation must not learn from crops."""
        return super().train(False)

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._found.append(output)

    def features(self, x: Tensor) -> list[Tensor]:
        """The features of the layers, in the order in which the network comes to them."""
        self._found.clear()
        output = self.network((x - self.mean) / self.std)
        found = [output] if self._own_output else list(self._found)
        self._found.clear()
        if any(not isinstance(f, Tensor) or len(f) != len(x) for f in found):
            raise InputError("the layers of a feature term must give one tensor, with a row for each item")
        return found

    def forward(self, x: Tensor, x_hat: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(x)
        total = torch.zeros(len(x), device=x.device)
        for a, b in zip(wanted, self.features(x_hat.clamp(self.least, 1)), strict=True):
            a, b = a.float().flatten(1), b.float().flatten(1)
            total = total + (a - b).square().sum(1) / a.square().sum(1).clamp_min(1e-6)
        return total / len(wanted)
