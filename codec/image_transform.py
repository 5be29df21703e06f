"""Models of the kind "image": this package's own transform, in numpy or in torch, and an entropy model.

tensors, card -> sizes, weights -> ImageTransform or PlainImageTransform, entropy model -> LatentModel
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..entropy.context_coding import ContextCoding
from ..entropy.hyper_config import HyperConfig
from ..entropy.hyperprior_coding import HyperpriorCoding
from ..entropy.place import NUMPY, load_torch, place_for
from ..errors import ModelError
from .latent_model import LatentModel, check_shapes, checked_digests, floats, misfit
from .model_file import parse_tensors
from .transforms import DOWN
from .transforms.sizes import REACH, TransformConfig
from .transforms.transform import Transform

__all__ = ["entropy_model_of", "image_model", "receptive_field"]

WINDOW = {"cpu": 2**14, "cuda": 2**16}
"""Positions of y (16 x 16 pixels each) that a network works on at a time, so that memory stays bounded."""


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
    place = place_for(device)
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
    in_torch = partial(_in_torch, floats(tensors, "g_a", "h_a", "g_s"), config, hyper)
    transform = _in_numpy(*in_torch.args) if place == NUMPY else in_torch(place)
    return LatentModel(dict(card), transform, entropy, *digests)


def _reaches(config: TransformConfig) -> dict[str, Any]:
    """As far as their layers look."""
    reach_a = -(-(8 * config.analysis8 + 16 * config.analysis16) * REACH // DOWN)
    return {"reach_a": reach_a, "reach_s": -(-receptive_field(config) // DOWN), "window": WINDOW}


def _in_torch(weights: Mapping[str, np.ndarray], config: TransformConfig, hyper: HyperConfig, place: str) -> Transform:
    load_torch("this")
    from .transforms.torch_image import ImageTransform

    return ImageTransform(weights, config, hyper, place=place, **_reaches(config))


def _in_numpy(weights: Mapping[str, np.ndarray], config: TransformConfig, hyper: HyperConfig) -> Transform:
    from .transforms.plain_image import PlainImageTransform

    twin = partial(_in_torch, weights, config, hyper, "cpu")
    return PlainImageTransform(weights, config, twin=twin, **_reaches(config))
