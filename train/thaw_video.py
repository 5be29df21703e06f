"""A video model that can be trained from its file: the way back from `freeze`. See `thaw`, which is that of pictures.

    parse.* tensors -> integers as the reals that they stand for -> the parameters of a Spatiotemporal

Gains, of which a file has a row for each index and the network a few, become the rows whose lines come nearest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..entropy.exact import TrainableExact
from ..entropy.hyperprior import IndexTable
from ..entropy.layers import GAIN_BITS, WEIGHT_BITS
from ..entropy.spatiotemporal import Spatiotemporal
from ..errors import ModelError
from .thaw import knots

__all__ = ["thaw_video"]

NAMES = {"more": "temporal.features", "gain": "temporal.enter.gain", "enter": "temporal.enter"}
"""Modules of a network that have other names in a file."""


@torch.no_grad()
def thaw_video(network: Spatiotemporal, tensors: Mapping[str, np.ndarray]) -> None:
    """Give a network the weights of a model, whose tensors are without their prefix "parse.". Raises ModelError for
    those of a network of another size.
    """
    try:
        for name, module in network.named_modules():
            if isinstance(module, TrainableExact):
                weight, bias = (tensors[f"{_file_name(name)}.{part}"] for part in ("weight", "bias"))
                if name == "enter":
                    weight = np.concatenate([weight, tensors["temporal.facts.weight"]], 1)
                one = module.scale * 2.0**WEIGHT_BITS
                _copy(module.weight, weight / one)
                _copy(module.bias, bias / (one * 2.0**module.input_bits))
            elif isinstance(module, IndexTable):
                rows = np.log(np.maximum(tensors[_file_name(name)], 0.5) / 2**GAIN_BITS)
                value = knots(torch.from_numpy(rows), len(module.value)) / module.scale
                _copy(module.value, value.numpy())
    except (KeyError, ValueError) as e:
        raise ModelError(f"the video model cannot be trained: {e}") from None


def _file_name(module: str) -> str:
    """passes.0.layers.1 -> context.1.1, look.0 -> temporal.look.0, and so on."""
    parts = module.split(".")
    if parts[0] == "passes":
        return ".".join(["context", str(int(parts[1]) + 1), *(p for p in parts[2:] if p != "layers")])
    return NAMES.get(module, f"temporal.{module}")


def _copy(parameter: Tensor, array: np.ndarray) -> None:
    if parameter.shape != array.shape:
        raise ValueError(f"{array.shape} in place of {tuple(parameter.shape)}")
    parameter.copy_(torch.from_numpy(np.asarray(array, np.float64)))
