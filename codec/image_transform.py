"""Models of the kind "image": this package's own transform, in numpy or in torch, and an entropy model.

tensors, card -> sizes, weights -> ImageTransform or PlainImageTransform, entropy model -> LatentModel
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..entropy.context_coding import ContextCoding
from ..entropy.hyper_config import HyperConfig
from ..entropy.hyperprior_coding import HyperpriorCoding
from ..entropy.place import NUMPY, load_torch, place_for
from ..entropy.retrieved_coding import conditional_model
from ..errors import ModelError
from .latent_model import LatentModel, check_shapes, checked_digests, floats, misfit
from .model_file import parse_tensors
from .transforms import DOWN
from .transforms.replica import Replica
from .transforms.sizes import REACH, TransformConfig
from .transforms.transform import Transform

__all__ = ["entropy_model_of", "image_model", "receptive_field", "transform_of"]

WINDOW = {"cpu": 2**14, "cuda": 2**16}
"""Positions of y (16 x 16 pixels each) that a network works on at a time, so that memory stays bounded."""


def receptive_field(config: TransformConfig) -> int:
    """How far in pixels, on each side, a decoded pixel depends on latents beyond its own 16 x 16 block."""
    return (8 * config.synthesis8 + 16 * config.synthesis16) * REACH


def entropy_model_of(card: Mapping[str, Any]) -> Callable[[Mapping[str, np.ndarray]], HyperpriorCoding]:
    """What makes the entropy model of a model of the kind "image" from its tensors: with context, or with a memory too,
    if its card has the sizes of that; over as many levels as it says. Raises ModelError for a memory that there is not.
    """
    made = HyperpriorCoding
    if card.get("context") is not None:
        memory = card.get("conditional")
        made = ContextCoding
        if memory is not None:
            made = conditional_model(memory.get("kind") if isinstance(memory, dict) else None)
    levels = card["hyper"].get("levels", 1) if isinstance(card.get("hyper"), dict) else 1
    return made if levels == 1 else partial(_nested, made, levels)


def _nested(made: type[HyperpriorCoding], levels: int, tensors: Mapping[str, np.ndarray]) -> HyperpriorCoding:
    """tensors: of the lowest level, and as `above.*` those of the levels above."""
    if levels == 1:
        return made(tensors)
    above = {name[6:]: a for name, a in tensors.items() if name.startswith("above.")}
    return made(tensors, _nested(HyperpriorCoding, levels - 1, above))


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
    entropy = entropy_model_of({**card, "hyper": hyper.entries()})(parse_tensors(tensors))
    if (entropy.latent, entropy.hyper) != (config.latent, hyper.hyper):
        raise ModelError("the model's entropy model does not fit its transforms")
    if config.most_blocks > len(tensors):  # more names than there is time to compare
        raise misfit("g_a or g_s")
    check_shapes(tensors, {**config.shapes(), "h_a": hyper.analysis_shapes()})
    digests = checked_digests(tensors, card, entropy)
    weights = floats(tensors, "g_a", "h_a", "g_s")
    transform = transform_of(weights, config, hyper, place)
    replica = partial(Replica, weights, config, place=place, **_reaches(config))
    return LatentModel(dict(card), transform, entropy, *digests, replica=replica)


def transform_of(
    weights: Mapping[str, np.ndarray], config: TransformConfig, hyper: HyperConfig | None, place: str
) -> Transform:
    """weights: of g_a, h_a and g_s, float32 by name; config, hyper: their sizes, None for no h_a and no level above y;
    place: see `place_for`.
    """
    return (_in_numpy if place == NUMPY else partial(_in_torch, place=place))(weights, config, hyper)


def _reaches(config: TransformConfig) -> dict[str, Any]:
    """As far as their layers look."""
    reach_a = -(-(8 * config.analysis8 + 16 * config.analysis16) * REACH // DOWN)
    return {"reach_a": reach_a, "reach_s": -(-receptive_field(config) // DOWN), "window": WINDOW}


def _in_torch(
    weights: Mapping[str, np.ndarray], config: TransformConfig, hyper: HyperConfig | None, place: str
) -> Transform:
    load_torch("this")
    from .transforms.torch_image import ImageTransform

    return ImageTransform(weights, config, hyper, place=place, **_reaches(config))


def _in_numpy(weights: Mapping[str, np.ndarray], config: TransformConfig, hyper: HyperConfig | None) -> Transform:
    from .transforms.plain_image import PlainImageTransform

    twin = partial(_in_torch, weights, config, hyper, "cpu")
    return PlainImageTransform(weights, config, hyper, twin=twin, **_reaches(config))
