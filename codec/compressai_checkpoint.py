"""Checkpoints of CompressAI, read without running any code in them, and without CompressAI.

    file -> torch.load(weights_only=True) -> state dict -> names as CompressAI has them today

What is read: a bare state dict, or a training checkpoint that holds one under "state_dict"; with the prefixes that
`DataParallel`, `torch.compile` and modules around the network put before names, and with the names that CompressAI gave
the parameters of its entropy bottleneck before 1.2.7 and those of its residual blocks at first. Numbers become float32.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["Checkpoint", "read_checkpoint"]

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_BOTTLENECK = re.compile(r"(^|\.)_(bias|matrix|factor|biases|matrices|factors)\.?(\d)$")
_PLURAL = {"bias": "biases", "matrix": "matrices", "factor": "factors"}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """name: the file's own, without its folder; digest: of its bytes, 16 hexadecimal digits (BLAKE2b-64); state: name
    of a tensor -> tensor, on the CPU, floats as float32.
    """

    name: str
    digest: str
    state: dict[str, Tensor]


def read_checkpoint(path: Path | str) -> Checkpoint:
    """A checkpoint file. Raises InputError when there is none, when it is damaged, when it holds anything but tensors
    and plain values (what could run code is refused unseen), or numbers that are not finite.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: damaged, or holds more than tensors, which might be code: save the network's state_dict() alone"
        ) from None
    except Exception as error:  # torch raises many kinds for a bad file
        raise InputError(f"{path}: not a checkpoint, or a damaged one ({type(error).__name__})") from None
    return Checkpoint(path.name, hashlib.blake2b(data, digest_size=8).hexdigest(), _state_of(content, path))


def _state_of(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"{path}: holds no state dict of a network: neither names with tensors nor a 'state_dict'")
    state: dict[str, Tensor] = {}
    for name, tensor in content.items():
        if reason := _unusable(tensor):
            raise InputError(f"{path}: {name} {reason}")
        if tensor.is_floating_point():
            tensor = tensor.detach().float()
            if not torch.isfinite(tensor).all():
                raise InputError(f"{path}: {name} holds numbers that are not finite")
        if (plain := _renamed(str(name))) in state:
            raise InputError(f"{path}: {name} is there twice, under different prefixes")
        state[plain] = tensor
    return state


def _unusable(tensor: Tensor) -> str:
    """Why a tensor cannot be that of a network, before memory is taken for it; empty if it can."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        return f"is a tensor of the layout {str(tensor.layout).removeprefix('torch.')}, expected plain numbers"
    if tensor.device.type != "cpu":
        return f"has no numbers: its device is {tensor.device.type}"
    if tensor.is_complex():
        return "holds complex numbers"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"claims {tensor.numel()} numbers, more than the file has for it"
    return ""


def _renamed(name: str) -> str:
    """`module.entropy_bottleneck._matrix0` and `…._matrices.0` -> `entropy_bottleneck.matrices.0`."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    name = name.replace(".downsample.", ".skip.")
    return _BOTTLENECK.sub(lambda m: f"{m[1]}{_PLURAL.get(m[2], m[2])}.{m[3]}", name)
