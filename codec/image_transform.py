"""The transform of this package's own image models, and the models that have it.

    samples -> planes of 8 x 8 blocks -> g_a -> y -> h_a -> z        y_hat -> g_s -> planes -> samples

The networks take and give planes, one for each place in a block (see `Analysis.of_planes`): in channels-last memory
they are the picture's own samples, in runs of 8 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..entropy.context_coding import ContextCoding
from ..entropy.hyperprior import HyperAnalysis, HyperConfig
from ..entropy.hyperprior_coding import HyperpriorCoding
from ..errors import ModelError
from .latent_model import LatentModel, check_shapes, checked_digests, device_of, filled, misfit
from .model_file import parse_tensors
from .transforms import DOWN
from .transforms.image import REACH, Analysis, Synthesis, TransformConfig
from .transforms.transform import WindowedTransform, centred

__all__ = ["ImageTransform", "entropy_model_of", "image_model", "planes_of", "receptive_field"]

WINDOW = {"cpu": 2**14, "cuda": 2**16}
"""Positions of y (16 x 16 pixels each) that a network works on at a time, so that memory stays bounded."""


class ImageTransform(WindowedTransform):
    """g_a, h_a, g_s: `Analysis`, `HyperAnalysis`, `Synthesis`."""

    def _y(self, samples: Tensor, index: Tensor) -> Tensor:
        return self.g_a.of_planes(planes_of(samples), index)

    def _shown(self, y_hat: Tensor, index: Tensor) -> Tensor:
        planes = self.g_s.planes(y_hat.contiguous(memory_format=torch.channels_last), index).float()
        return planes.permute(0, 2, 3, 1).unflatten(3, (64, 3))  # [B, 2h, 2w, 64, 3]

    def _arranged(self, samples: Tensor) -> Tensor:
        rows = samples.unflatten(3, (8, 8)).transpose(2, 3)  # [B, 2h, 8, 2w, 8, C]
        return rows.flatten(3, 4).flatten(1, 2)


def planes_of(x: Tensor) -> Tensor:
    """uint8 or uint16 [B, 16 h, 16 w, 1 or 3] -> x - 1/2 as the planes that `Analysis.of_planes` takes."""
    x = x.unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).transpose(2, 3)  # [B, h8, w8, 8, 8, C]
    x = x.expand(-1, -1, -1, -1, -1, 3).flatten(3)  # [B, h8, w8, 192]
    return centred(x).permute(0, 3, 1, 2)


def receptive_field(config: TransformConfig) -> int:
    """How far in pixels, on each side, a decoded pixel depends on latents beyond its own 16 x 16 block."""
    return (8 * config.synthesis8 + 16 * config.synthesis16) * REACH


def entropy_model_of(card: Mapping[str, Any]) -> type[HyperpriorCoding]:
    """The entropy model of a model of the kind "image": with context if its card has the sizes of that."""
    return HyperpriorCoding if card.get("context") is None else ContextCoding


def image_model(tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu") -> LatentModel:
    """A model of the kind "image". tensors: of its file: `parse.*` (integers), `g_a.*`, `h_a.*`, `g_s.*` (float16 or
    float32); card: its card. Raises ModelError when they do not make a codec, or are not what the card's digests say;
    InputError (device).
    """
    place = device_of(device)
    try:
        config = TransformConfig(**card["transform"])
        hyper = HyperConfig(**card["hyper"])
    except (KeyError, TypeError, ValueError):
        raise ModelError("the model's card does not give the sizes of its networks") from None
    entropy = entropy_model_of(card)(parse_tensors(tensors))
    if (entropy.latent, entropy.hyper) != (config.latent, hyper.hyper):
        raise ModelError("the model's entropy model does not fit its transforms")
    if config.most_blocks > len(tensors):  # more names than there is time to compare
        raise misfit("g_a or g_s")
    check_shapes(tensors, {**config.shapes(), "h_a": hyper.analysis_shapes()})
    digests = checked_digests(tensors, card, entropy)
    # Not on the meta device: random numbers there import torch's compiler, which costs more than they do.
    transform = ImageTransform(
        filled(Analysis(config), "g_a", tensors, place),
        filled(HyperAnalysis(hyper), "h_a", tensors, place),
        filled(Synthesis(config), "g_s", tensors, place),
        # As far as their depthwise layers reach.
        reach_a=-(-(8 * config.analysis8 + 16 * config.analysis16) * REACH // DOWN),
        reach_s=-(-receptive_field(config) // DOWN),
        window=WINDOW,
        device=place,
    )
    return LatentModel(dict(card), transform, entropy, *digests)
