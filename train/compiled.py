"""Networks in training, compiled: where a recipe says `compile`.

    network, device -> torch.compile -> the same network, faster, after some minutes of compiling

On processors the C++ wrapper of inductor saves the time that Python takes between kernels. Torch 2.11 loses a reference
to None with it for every gradient that a step does not have, so that Python ends after a few thousand steps of a
network with frozen parts ("deallocating None"): those go without.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["compile_network", "options_of"]


def compile_network(network: nn.Module, device: torch.device) -> Any:
    """network: with the parameters frozen that shall be; its first steps compile it."""
    return torch.compile(network, dynamic=False, options=options_of(network, device))


def options_of(network: nn.Module, device: torch.device) -> dict[str, Any]:
    """Inductor's options."""
    return {"cpp_wrapper": device.type == "cpu" and all(p.requires_grad for p in network.parameters())}
