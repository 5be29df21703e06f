"""What a model was trained for, as its card says it: bits + lambda D, and the D of a picture.

    card -> training recipe -> lambda at a quality, D(x, x_hat) -> `--effort` (see `refine`)

D is the mean squared error, that of a video's brightness and colour (`video_error`), or the error behind SSIMULACRA2
(see `perception`), each with the distance of a frozen network's features added. The last two are means over the whole
of what they are given, a crop in training and a window of the picture here, which count by their area.

A card is data: a network is taken from it only by a name that this package knows, never as code to import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from ..bitstream import QUALITY_MAX
from ..errors import InputError
from .codec import EFFORTS
from .feature_distance import FeatureDistance
from .media.named import named
from .perception import perceptual_error

__all__ = ["ERRORS", "Objective", "objective_of"]

_LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in Y (BT.601)."""


def video_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """D [B] of pictures [B, 3, H, W] in [0, 1]: (6 Y + Cb + Cr) / 8, mean squared errors of the planes that a video of
    4:2:0 has, Cb and Cr at half the size. Codecs of video are compared with these weights (JCT-VC-H1100).
    """
    error = x_hat - x
    y = (error * error.new_tensor(_LUMA)[:, None, None]).sum(1)
    small = torch.nn.functional.avg_pool2d(torch.stack([error[:, 2] - y, error[:, 0] - y], 1), 2, ceil_mode=True)
    red, _, blue = _LUMA
    b, r = small.square().mean((2, 3)).unbind(1)
    return (6 * y.square().mean((1, 2)) + b / (2 - 2 * blue) ** 2 + r / (2 - 2 * red) ** 2) / 8


ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda x, x_hat: (x_hat - x).square().mean((1, 2, 3)),
    "ssimulacra2": perceptual_error,
    "yuv420": video_error,
}
"""D [B] of a picture and its reconstruction, [B, 3, H, W] float32 each, by what recipes call it."""
_NETWORKS = "eval.quality.networks:load_module"
_turn = Lock()
"""A network's features go through its hooks: one picture at a time."""


@dataclass(frozen=True)
class Objective:
    """distortion: as recipes call it; low, high: lambda at the lowest and highest quality; network, layers, weight: of
    the feature term, if there is one.
    """

    distortion: str
    low: float
    high: float
    network: str | None = None
    layers: tuple[str, ...] = ()
    weight: float = 0.0

    @property
    def squared(self) -> bool:
        """Whether D is the mean squared error alone: of parts, it is the sum."""
        return self.distortion == "mse" and self.network is None

    @property
    def shrink(self) -> int:
        """By how much a window is smaller than one for the squared error, for the memory that a gradient takes."""
        return 8 if self.network is not None else 2 if self.distortion == "ssimulacra2" else 1

    @property
    def stiffness(self) -> float:
        """How much more the error curves along its steepest directions than on average, which is what bounds a step:
        measured, see `refine`. Squared errors curve in all latents alike.
        """
        plain = self.distortion in ("mse", "yuv420")
        return 8.0 if self.network is not None else 1.0 if plain else 4.0

    def multiplier(self, q: int) -> float:
        """lambda at the fixed-point index q."""
        return self.low * (self.high / self.low) ** (q / QUALITY_MAX)

    def error(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """D [B] of pictures [B, 3, H, W] float32 in [0, 1]; the gradient goes to x_hat. Raises InputError when the
        package that holds the network is missing.
        """
        found = ERRORS[self.distortion](x, x_hat)
        if self._features is not None:
            with _turn:
                found = found + self.weight * self._features(x, x_hat)
        return found

    @cached_property
    def _features(self) -> FeatureDistance | None:
        return None if self.network is None else _distance(self.network, self.layers)


@lru_cache(4)
def _distance(network: str, layers: tuple[str, ...]) -> FeatureDistance:
    with torch.inference_mode(False):
        module, mean, std = named(_NETWORKS)(network)
        return FeatureDistance(module, mean, std, layers, network)


def objective_of(card: Mapping[str, Any]) -> Objective:
    """Raises InputError for a model whose card does not say what it was trained for, or says something else."""
    try:
        recipe = card["training"]["recipe"]
        term = recipe.get("features") or {}
        found = Objective(
            str(recipe["distortion"]),
            float(recipe["lambda_low"]),
            float(recipe["lambda_high"]),
            str(term["network"]) if term else None,
            tuple(map(str, term.get("layers", ()))),
            float(term.get("weight", 0)),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        found = None
    if found is None or not 0 < found.low <= found.high < math.inf or not 0 <= found.weight < math.inf:
        raise InputError(
            f"effort follows what a model was trained for, which the card of {card.get('name')} does not say: leave "
            f"the effort at {EFFORTS[0]}"
        )
    what = found.distortion if found.distortion not in ERRORS else found.network
    if what is not None and (what != found.network or ":" in what):
        raise InputError(
            f"{card.get('name')} was trained for {what}, which effort cannot follow: leave the effort at {EFFORTS[0]}"
        )
    return found
