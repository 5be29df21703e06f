"""Foreground segmentation: is the same part of the decoded picture taken for the foreground?

    samples -> 256 x 256 -> network -> probability of foreground -> mask at 1/2 -> overlap with the original's

The network is MediaPipe's selfie segmentation (a MobileNetV3 with a decoder, 249 kB), the file in the package
mediapipe, run by ai-edge-litert on one thread; mediapipe itself is not imported. It was trained for people, and takes
other things in front for them, so there is no truth here: agreement is the intersection over the union of the two
masks, the score is `nan`. Pictures of which it finds less than 5% or more than 95% to be foreground do not count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from ...errors import InputError
from ..quality.packaged import PackagedFile, check_picture, machine_extra, require
from .task import Answer, Source

__all__ = ["Foreground", "mask_answer"]

_WEIGHTS = PackagedFile(
    "mediapipe", "0.10.14", "mediapipe", "modules/selfie_segmentation/selfie_segmentation.tflite", alone=True
)
_SIDE = 256
_LEAST, _MOST = 0.05, 0.95


@dataclass(frozen=True)
class Foreground:
    """A `Task`. Raises InputError when something is not installed."""

    source: Source
    name: str = field(default="mask", init=False)
    description: str = field(init=False, compare=False)
    measure: str = field(default="overlap of masks", init=False)

    def __post_init__(self) -> None:
        require("ai_edge_litert", "ai-edge-litert")
        text = (
            f"foreground mask at 256 x 256, selfie segmentation of {_WEIGHTS.describe()}, x/255; intersection over "
            f"union with the original's mask, where that covers {_LEAST:.0%} to {_MOST:.0%}"
        )
        object.__setattr__(self, "description", text)

    def predict(self, samples: np.ndarray) -> np.ndarray:
        """The mask, bool [256, 256]. Raises InputError unless samples are uint8 [H, W, 3]."""
        check_picture(samples)
        small = Image.fromarray(samples).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        interpreter, given, found = _interpreter()
        interpreter.set_tensor(given, np.asarray(small, np.float32)[None] / np.float32(255))
        interpreter.invoke()
        return interpreter.get_tensor(found)[0, :, :, 0] > 0.5

    def answer(self, prediction: np.ndarray, original: np.ndarray, truth: Any) -> Answer:
        """`nan` twice where the original's mask is almost empty or almost everything."""
        return mask_answer(prediction, original)


def mask_answer(prediction: np.ndarray, original: np.ndarray) -> Answer:
    """Compare two masks, bool [H, W]. Raises InputError when their shapes differ."""
    if prediction.shape != original.shape:
        raise InputError(f"the masks' shapes differ: {list(prediction.shape)}, the original's {list(original.shape)}")
    if not _LEAST <= original.mean() <= _MOST:
        return Answer(math.nan, math.nan, "no foreground")
    overlap = float((prediction & original).sum() / (prediction | original).sum())
    return Answer(math.nan, overlap, f"{prediction.mean():.0%} foreground")


@lru_cache(maxsize=1)
def _interpreter() -> tuple[Any, int, int]:
    """The interpreter, its input's and its output's index."""
    path = str(_WEIGHTS.find())
    try:
        library = machine_extra("ai_edge_litert.interpreter", "ai-edge-litert")
        made = library.Interpreter(path, num_threads=1)
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: ai-edge-litert cannot load this model: {error}") from None
    return made, made.get_input_details()[0]["index"], made.get_output_details()[0]["index"]
