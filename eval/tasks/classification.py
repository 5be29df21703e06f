"""Classification: is the class that the network finds most likely the right one, and the one of the original?

    samples -> ImageNetwork -> logits [1000] -> softmax -> most likely class -> score, agreement

The truth is a class, by number or name; where there is none the score is `nan`, and agreement alone says what a codec
costs. Whether the right class is among the five most likely is noted too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ...errors import InputError
from ..quality.networks import CROP, ImageNetwork
from ..quality.packaged import machine_extra
from .task import Answer, Source

__all__ = ["Top1", "class_answer", "imagenet_classes", "softmax"]


@dataclass(frozen=True)
class Top1:
    """Classification with one of networks.NETWORKS; a `Task`. Raises InputError when something is not installed."""

    network: str
    source: Source
    name: str = field(init=False)
    description: str = field(init=False, compare=False)
    measure: str = field(default="top-1", init=False)
    classes: int = field(default=1000, init=False)
    _network: ImageNetwork = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        network = ImageNetwork(self.network)
        object.__setattr__(self, "_network", network)
        object.__setattr__(self, "name", f"imagenet-{self.network}")
        object.__setattr__(self, "description", f"ImageNet class, {network.description}, centre crop {CROP}, top 5")

    def predict(self, samples: np.ndarray) -> np.ndarray:
        """Probabilities, float32 [1000]. Raises InputError unless samples are uint8 [H, W, 3], 224 or more."""
        return softmax(self._network(samples))

    def answer(self, prediction: np.ndarray, original: np.ndarray, truth: Any) -> Answer:
        """Raises InputError when the truth is no class of ImageNet's."""
        return class_answer(prediction, original, truth, imagenet_classes(), self.source)


def class_answer(
    prediction: np.ndarray, original: np.ndarray, truth: Any, classes: Sequence[str], source: Any = None
) -> Answer:
    """Compare the most likely classes. prediction, original: [N] probabilities; truth: 0 to N - 1, the name of a class,
    or None: unknown; classes: their names, may be empty; source: of the items, which may know how many `classes` its
    truths were counted from, and their `class_names` where the network does not.

    Raises InputError for a truth that is no class of this network.
    """
    n = len(prediction)
    right = _numbers(truth, n, classes, source)
    order = np.argsort(-prediction, kind="stable")[:5].tolist()
    best = order[0]
    score = math.nan if truth is None else float(best in right)
    top5 = None if truth is None or n <= 5 else float(any(k in right for k in order))
    names = classes or getattr(source, "class_names", ())
    found = _name(best, names)
    text = f"{found} {prediction[best]:.0%}"
    wanted = "" if truth is None else found if best in right else _name(right[0], names)
    return Answer(score, float(best == int(original.argmax())), text, found, wanted, top5)


def _numbers(truth: Any, n: int, classes: Sequence[str], source: Any) -> list[int]:
    """The classes that a truth means: a name may stand for several of ImageNet's. Raises InputError."""
    counted, named = getattr(source, "classes", None), getattr(source, "class_names", ())
    if isinstance(truth, str):
        found = [k for k, name in enumerate(classes) if name.casefold() == truth.casefold()]
        if not classes and len(named) != n:
            raise InputError(
                f"the labels name {len(named)} classes and the network has {n}: name its classes, in their order"
            )
        if not classes and truth in named:
            found = [named.index(truth)]
        if not found:
            raise InputError(f"the label is {truth!r}, and the network has no class of that name")
        return found
    if truth is not None and not (isinstance(truth, int | np.integer) and 0 <= truth < n):
        raise InputError(f"the network has the classes 0 to {n - 1}, the label is {truth!r}")
    if counted not in (None, n):
        raise InputError(
            f"the classes were counted from {counted} folders and the network has {n}: "
            f"begin each folder's name with its class number"
        )
    return [] if truth is None else [int(truth)]


def _name(number: int, names: Sequence[str]) -> str:
    """A class for people; ImageNet has two cranes: the number tells them apart."""
    if number >= len(names):
        return f"class {number}"
    return names[number] if names.count(names[number]) == 1 else f"{names[number]} ({number})"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits [N] -> probabilities [N], float32."""
    powers = np.exp((logits - logits.max()).astype(np.float64))
    return (powers / powers.sum()).astype(np.float32)


@lru_cache(maxsize=1)
def imagenet_classes() -> tuple[str, ...]:
    """The names of the 1000 classes, by number, as torchvision has them."""
    models = machine_extra("torchvision.models", "torchvision")
    return tuple(models.MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"])
