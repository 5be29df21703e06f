"""What a schedule makes of the place where a run is: the phase, the rise of the learning rate, the average of weights.

    Place (step, share) -> phase_at, warm_up, Average

The learning rate rises over `warmup_steps`, but over at most 5% of the run: a run of five minutes leaves the rise too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..errors import ModelError

__all__ = ["Average", "load_weights", "phase_at", "warm_up"]

WARM_UP = 0.05
"""The largest share of a run in which the learning rate rises."""


class _Stretch(Protocol):
    @property
    def fraction(self) -> float: ...


_P = TypeVar("_P", bound=_Stretch)


def phase_at(phases: Sequence[_P], share: float) -> tuple[int, _P, float]:
    """share: of the run that is done, in [0, 1] -> number of the phase, the phase, the share of it that is done."""
    edge = 0.0
    for number, phase in enumerate(phases):
        if share < edge + phase.fraction or number == len(phases) - 1:
            return number, phase, min(1.0, (share - edge) / phase.fraction)
        edge += phase.fraction
    raise AssertionError("a recipe has phases")


def warm_up(step: int, share: float, steps: int) -> float:
    """What the learning rate is multiplied by, in (0, 1]: 1 after `steps` steps, or after WARM_UP of the run."""
    return min(1.0, max((step + 1) / max(1, steps), share / WARM_UP))


class Average:
    """The moving average of a network's weights, which begins as they are.

    decay: what it keeps of itself at each step; less at first. weights: name -> tensor, on the network's device.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self.weights = {n: p.detach().clone() for n, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights as they are, after `step` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        parameters = [p.detach() for p in self._network.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), parameters, 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The network with the averaged weights, for the time of a `with`."""
        own = {n: p.detach().clone() for n, p in self._network.named_parameters()}
        self._network.load_state_dict(self.weights)
        try:
            yield
        finally:
            self._network.load_state_dict(own)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], recipe: str) -> None:
    """Weights of a checkpoint into the network of the recipe of this name. Raises ModelError when they do not fit."""
    try:
        network.load_state_dict(weights)
    except (RuntimeError, AttributeError, TypeError):
        raise ModelError(f"its weights do not fit the network of recipe {recipe}") from None
