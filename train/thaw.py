"""A network that can be trained from a model file: the way back from `freeze`.

    tensors, card -> transforms as they are, integers as the reals that they stand for -> ImageNetwork

The network computes what the model does, but for the gains that depend on the quality index: a file has 64 rows of
integers, the network a few rows of reals, of which those that come nearest are taken. The factorised prior becomes a
`TablePrior`, whose tables are those of the file and stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..codec.transforms.image import TransformConfig
from ..codec.transforms.network import ImageNetwork, NetworkConfig
from ..entropy.context import ContextConfig
from ..entropy.exact import TrainableExact
from ..entropy.hyperprior import HyperConfig, IndexTable
from ..entropy.latents import MEAN_BITS
from ..entropy.layers import GAIN_BITS, WEIGHT_BITS
from ..entropy.rate import BANKS, QUALITY_LEVELS
from ..entropy.tables import TABLE_BITS
from ..errors import ModelError

__all__ = ["Origin", "TablePrior", "knots", "origins", "thawed"]

SUPPORT = 255
"""Beyond +-SUPPORT z costs what it does there: a gradient of 0."""


@dataclass(frozen=True)
class Origin:
    """Where a parameter comes from. name: of the tensor in a model file; unit: what 1 is in that tensor, for weights
    and biases of integer layers; table: whether it is knots of a table of all quality indices, of which the file has
    every row as an integer.
    """

    name: str
    unit: float = 1.0
    table: bool = False


def origins(network: ImageNetwork) -> dict[str, Origin]:
    """The parameters of a network, those of its factorised prior aside, and their places in a model file."""
    found: dict[str, Origin] = {}
    for name, module in network.named_modules():
        file = _file_name(name)
        if isinstance(module, TrainableExact):
            one = module.scale * 2.0**WEIGHT_BITS
            found[f"{name}.weight"] = Origin(f"{file}.weight", one)
            found[f"{name}.bias"] = Origin(f"{file}.bias", one * 2.0**module.input_bits)
        elif isinstance(module, IndexTable) and file.startswith("parse."):
            found[f"{name}.value"] = Origin(file, table=True)
    for name, _ in network.named_parameters():
        if name not in found and not name.startswith("hyperprior.prior."):
            found[name] = Origin(name.removeprefix("hyperprior."))
    return found


def _file_name(module: str) -> str:
    """hyperprior.h_s.layers.0 -> parse.h_s.0, and so on."""
    parts = module.split(".")
    match parts[:2]:
        case ["hyperprior", "context"] if len(parts) > 3:
            rest = [p for p in parts[3:] if p != "layers"]
            return ".".join(["parse.context", str(int(parts[2]) + 1), *rest])
        case ["hyperprior", "h_s"]:
            rest = ".".join(parts[2:])
            return "parse." + rest.replace("gains.", "gain.").replace("layers.", "h_s.")
    return module.removeprefix("hyperprior.")


def thawed(tensors: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> ImageNetwork:
    """The network of a model of the kind "image", in training mode, on the CPU. tensors, card: of its file. Raises
    ModelError.
    """
    if card.get("conditional") is not None:
        raise ModelError("the model cannot be trained from its file: its passes have a memory")
    if "above.h_s.0.weight" in {name.removeprefix("parse.") for name in tensors}:
        raise ModelError("the model cannot be trained from its file: it has levels above z")
    try:
        context = None if card.get("context") is None else ContextConfig(**card["context"])
        config = NetworkConfig(TransformConfig(**card["transform"]), HyperConfig(**card["hyper"]), context)
        network = ImageNetwork(config)
        network.hyperprior.prior = TablePrior(tensors)  # pyright: ignore[reportAttributeAccessIssue]
        parameters = dict(network.named_parameters())
        with torch.no_grad():
            for name, origin in origins(network).items():
                parameters[name].copy_(_value(tensors[origin.name], origin, network.get_submodule(_owner(name))))
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        raise ModelError(f"the model cannot be trained: {e}") from None
    return network.train()


def _owner(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _value(array: np.ndarray, origin: Origin, owner: nn.Module) -> Tensor:
    """What a parameter is, for a tensor of a model file."""
    x = torch.from_numpy(array.astype(np.float64))
    if not origin.table:
        return x / origin.unit
    assert isinstance(owner, IndexTable)
    if "gain" in origin.name:
        x = (x.clamp_min(0.5) / 2**GAIN_BITS).log()
    else:
        x = x / 2**MEAN_BITS
    return knots(x, len(owner.value)) / owner.scale


def knots(rows: Tensor, count: int) -> Tensor:
    """[QUALITY_LEVELS, C] -> the `count` knots [count, C] whose lines come nearest to them."""
    position = torch.arange(QUALITY_LEVELS, dtype=torch.float64) * ((count - 1) / (QUALITY_LEVELS - 1))
    below = position.floor().clamp(max=count - 2).long()
    lines = torch.zeros(QUALITY_LEVELS, count, dtype=torch.float64)
    place = torch.arange(QUALITY_LEVELS)
    lines[place, below] = 1 - (position - below)
    lines[place, below + 1] = position - below
    return torch.linalg.lstsq(lines, rows).solution


class TablePrior(nn.Module):
    """A factorised prior with the tables of a model file: bits between whole numbers are on a line between theirs.

    forward: z [B, C, h, w], index [B] -> bits [B] for each picture. What is outside a table costs its escape and the
    tail's bits.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        super().__init__()
        counts, length, low = (tensors[f"parse.z.{part}"].astype(np.int64) for part in ("counts", "length", "low"))
        bits = np.empty((len(low), 2 * SUPPORT + 1), np.float32)
        z, start = np.arange(-SUPPORT, SUPPORT + 1), 0
        for row, size, first in zip(bits, length, low, strict=True):
            cost = TABLE_BITS - np.log2(counts[start : start + size])
            at = z - first
            inside = (at >= 0) & (at < size - 1)
            beyond = np.maximum(np.where(at < 0, -at, at - size + 2), 1)
            row[:] = np.where(inside, cost[at.clip(0, size - 2)], cost[-1] + 2 * np.log2(beyond) + 2)
            start += size
        self.bits: Tensor
        self.register_buffer("bits", torch.from_numpy(bits).unflatten(0, (BANKS, -1)), persistent=False)

    def forward(self, z: Tensor, index: Tensor) -> Tensor:
        bank = (index.long() * BANKS // QUALITY_LEVELS).clamp(0, BANKS - 1)
        z = z.float().clamp(-SUPPORT, math.nextafter(SUPPORT, 0)) + SUPPORT
        below = z.detach().floor().clamp(max=2 * SUPPORT - 1)
        channel = torch.arange(z.shape[1], device=z.device)[:, None, None]
        at = bank[:, None, None, None], channel
        low, high = self.bits[*at, below.long()], self.bits[*at, below.long() + 1]
        return torch.lerp(low, high, z - below).flatten(1).sum(1)
