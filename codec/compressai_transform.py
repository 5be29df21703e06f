"""The transform of imported CompressAI models, and the models that have it.

    tensors, card -> an imported entropy model, g_a, h_a, g_s of 2018 -> LatentModel, coded as any other

Files are like those of this package's own models: the same container, the same exactness, tiles, regions, digests of
the latents. A model has one rate, that of the checkpoint it was made from. So every quality from 1 to 100 gives the
same file, whose header says 0, and a target is met or refused. CompressAI itself is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..entropy.imported_coding import ImportedHyperprior, imported_model
from ..entropy.place import NUMPY, place_for, place_of
from ..errors import ModelError
from .latent_model import LatentModel, check_shapes, checked_digests, floats
from .model_file import parse_tensors
from .transforms.compressai import REACH, HyperAnalysis, ImportedAnalysis, ImportedSynthesis, TransformSizes
from .transforms.torch_transform import TorchTransform, centred, filled

__all__ = ["ImportedTransform", "compressai_model"]

WINDOW = {"cpu": 2**11, "cuda": 2**14}
"""Positions of y that a network works on at a time. At half the resolution N channels of one position are 64 N numbers,
and three such planes at a time 100 to 150 kB: 200 to 300 MB on a CPU."""


class ImportedTransform(TorchTransform):
    """g_a, h_a, g_s: those of `compressai_networks`, to which a rate means nothing."""

    def _analysed(self, samples: Tensor, index: Tensor) -> Tensor:
        x = samples.expand(-1, -1, -1, 3).contiguous()
        return self.g_a((centred(x) + 0.5).permute(0, 3, 1, 2))

    def _shown(self, y_hat: Tensor, index: Tensor) -> Tensor:
        return (self.g_s(y_hat.contiguous(memory_format=torch.channels_last)) - 0.5).permute(0, 2, 3, 1)

    def _arranged(self, samples: Tensor) -> Tensor:
        return samples


def compressai_model(tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu") -> LatentModel:
    """A model of the kind "compressai". Arguments and errors are those of `image_transform.image_model`; without a
    hyperprior there is no `h_a.*`.
    """
    place = "cpu" if place_of(device) == NUMPY else place_for(device)
    try:
        sizes = TransformSizes(**card["transform"])
    except (KeyError, TypeError):
        raise ModelError("the model's card does not give the sizes of its networks") from None
    entropy, h_a = imported_model(parse_tensors(tensors)), None
    hyper = entropy if isinstance(entropy, ImportedHyperprior) else None
    if entropy.latent != sizes.latent or (hyper and hyper.hyper != sizes.features):
        raise ModelError("the model's entropy model does not fit its transforms")
    check_shapes(tensors, sizes.shapes(hyper is not None))
    digests = checked_digests(tensors, card, entropy)
    weights = floats(tensors, "g_a", "h_a", "g_s")
    if hyper:
        h_a = filled(HyperAnalysis(sizes, hyper.z_median, hyper.has_means, place), "h_a", weights, place)
    g_a = filled(ImportedAnalysis(sizes), "g_a", weights, place)
    g_s = filled(ImportedSynthesis(sizes), "g_s", weights, place)
    transform = ImportedTransform(g_a, h_a, g_s, reach_a=REACH, reach_s=REACH, window=WINDOW, place=place)
    return LatentModel(dict(card), transform, entropy, *digests, one_rate=True)
