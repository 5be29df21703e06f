"""The feature term of a recipe: its network, with weights, as an objective (see `codec.feature_distance`).

FeatureTerm, of pictures, SoundFeatureTerm -> network -> FeatureDistance
"""

from __future__ import annotations

import importlib

import torch
from torch import nn

from ..codec.feature_distance import FeatureDistance
from ..errors import InputError
from .recipe import FeatureTerm, SoundFeatureTerm

__all__ = ["distance_of"]


def distance_of(term: FeatureTerm | SoundFeatureTerm) -> FeatureDistance:
    """Raises InputError for a network that cannot be made, weights that do not fit, and layers that it has not."""
    network, mean, std = _network(term)
    return FeatureDistance(network, mean, std, term.layers, term.network)


def _network(term: FeatureTerm | SoundFeatureTerm) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    module, found, name = term.network.partition(":")
    if not found and isinstance(term, FeatureTerm):
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
    return (network, term.mean, term.std) if isinstance(term, FeatureTerm) else (network, (), ())
