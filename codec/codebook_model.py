"""Models of the kind "codebook": the transform of an image model, and codebooks in the place of its entropy model.

tensors, card -> sizes, weights -> transform without levels above y, CodebookCoding -> LatentModel
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..entropy.codebook_coding import CodebookCoding
from ..entropy.place import place_for
from ..errors import ModelError
from .image_transform import transform_of
from .latent_model import LatentModel, check_shapes, checked_digests, floats, misfit
from .model_file import parse_tensors
from .transforms.sizes import TransformConfig

__all__ = ["codebook_model"]


def codebook_model(tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu") -> LatentModel:
    """tensors: `parse.*` (those of a `CodebookCoding`), `g_a.*` and `g_s.*`. Arguments and errors are those of
    `image_transform.image_model`.
    """
    place = place_for(device)
    try:
        config = TransformConfig(**card["transform"])
    except (KeyError, TypeError, ValueError):
        raise ModelError("the model's card does not give the sizes of its networks") from None
    entropy = CodebookCoding(parse_tensors(tensors))
    if entropy.latent != config.latent:
        raise ModelError("the model's codebooks do not fit its transforms")
    if config.most_blocks > len(tensors):  # more names than there is time to compare
        raise misfit("g_a or g_s")
    check_shapes(tensors, {**config.shapes(), "h_a": {}})
    digests = checked_digests(tensors, card, entropy)
    transform = transform_of(floats(tensors, "g_a", "g_s"), config, None, place)
    return LatentModel(dict(card), transform, entropy, *digests)
