"""How far a reconstruction is from its picture in the eyes of a frozen network: an objective for codecs whose pictures
machines look at.

    x, x_hat [B, 3, H, W] -> normalise -> frozen network -> features of some layers -> distance [B]

    F(x, x_hat) = mean over layers l of  |f_l(x) - f_l(x_hat)|^2 / |f_l(x)|^2

A recipe adds it to the distortion, D = MSE + weight * F, so that one multiplier lambda rules both. The features stand
for what the network's head decides upon, whatever the labels: none are needed (feature matching as in Dosovitskiy and
Brox, NeurIPS 2016; for compression as in Singh et al., ICIP 2020). Networks other than the one named profit too, as
far as they look at the same things: that has to be measured on one of them (`eval task`).

The network never trains: its weights have no gradient, its batch normalisation stays in evaluation mode, and it is no
part of a checkpoint.
"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor, nn

from ..errors import InputError
from .recipe import FeatureTerm

__all__ = ["FeatureDistance"]


class FeatureDistance(nn.Module):
    """forward: x, x_hat [B, 3, H, W] in [0, 1] -> F [B] float32, gradient to x_hat only.

    Raises InputError for a network that cannot be made, weights that do not fit, and layers that it has not.
    """

    def __init__(self, term: FeatureTerm):
        super().__init__()
        network, mean, std = _network(term)
        self.network = network.eval().requires_grad_(False)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self._found: list[Tensor] = []
        modules = dict(self.network.named_modules())
        for name in term.layers:
            if name not in modules:
                some = ", ".join(n for n in modules if n and n.count(".") < 2)
                raise InputError(f"the network {term.network} has no layer {name!r}; it has {some[:400]}")
            modules[name].register_forward_hook(self._keep)
        self._own_output = not term.layers

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
            raise InputError("the layers of a feature term must give one tensor, with a row for each picture")
        return found

    def forward(self, x: Tensor, x_hat: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(x)
        total = torch.zeros(len(x), device=x.device)
        for a, b in zip(wanted, self.features(x_hat.clamp(0, 1)), strict=True):
            a, b = a.float().flatten(1), b.float().flatten(1)
            total = total + (a - b).square().sum(1) / a.square().sum(1).clamp_min(1e-6)
        return total / len(wanted)


def _network(term: FeatureTerm) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    module, found, name = term.network.partition(":")
    if not found:
        from ..eval.quality.networks import load_module

        return load_module(term.network)
    try:
        network = getattr(importlib.import_module(module), name)(**term.arguments)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"the network {term.network} cannot be made: {error}") from None
    if not isinstance(network, nn.Module):
        raise InputError(f"{term.network} makes a {type(network).__name__}, not a torch.nn.Module")
    if term.weights is not None:
        try:
            network.load_state_dict(torch.load(term.weights, map_location="cpu", weights_only=True))
        except FileNotFoundError:
            raise InputError(f"{term.weights}: no such file of weights") from None
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{term.weights} holds no weights of {term.network}: {reason}") from None
    return network, term.mean, term.std
