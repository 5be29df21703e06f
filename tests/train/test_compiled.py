"""Compiled networks: torch's C++ wrapper only where every parameter has a gradient."""

from __future__ import annotations

import torch
from torch import nn

from lecodec.train.compiled import options_of


def test_frozen_parts_go_without_the_wrapper() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    cpu = torch.device("cpu")
    assert options_of(network, cpu)["cpp_wrapper"]
    assert not options_of(network, torch.device("cuda"))["cpp_wrapper"]
    network[0].requires_grad_(False)
    assert not options_of(network, cpu)["cpp_wrapper"]
