"""Embedding: does a network that searches for similar pictures still take the decoded picture for the original?

    samples -> EfficientNet-Lite0 without its last layer -> pooled features [1280] -> cosine with the original's

There is no truth here: agreement is the cosine of the angle between the two vectors, at least 0; the score is `nan`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import InputError
from ..quality.networks import CROP, ImageNetwork
from .task import Answer, Source

__all__ = ["Embedding", "embedding_answer"]


@dataclass(frozen=True)
class Embedding:
    """A `Task`. Raises InputError when something is not installed."""

    source: Source
    name: str = field(default="embedding", init=False)
    description: str = field(init=False, compare=False)
    measure: str = field(default="cosine", init=False)
    _network: ImageNetwork = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        network = ImageNetwork("efficientnet-lite0")
        object.__setattr__(self, "_network", network)
        text = f"cosine of pooled features with the original's, {network.description}, centre crop {CROP}"
        object.__setattr__(self, "description", text)

    def predict(self, samples: np.ndarray) -> np.ndarray:
        """Features, float32 [1280]. Raises InputError unless samples are uint8 [H, W, 3], 224 or more."""
        return self._network.embedding(samples)

    def answer(self, prediction: np.ndarray, original: np.ndarray, truth: Any) -> Answer:
        """The score is `nan`, whatever the truth."""
        return embedding_answer(prediction, original)


def embedding_answer(prediction: np.ndarray, original: np.ndarray) -> Answer:
    """Compare two vectors. Raises InputError when their shapes differ; 0 where only one of them is all zeros."""
    if prediction.shape != original.shape:
        found, wanted = list(prediction.shape), list(original.shape)
        raise InputError(f"the embeddings' shapes differ: {found}, the original's {wanted}")
    if np.array_equal(prediction, original):
        return Answer(math.nan, 1.0, "cosine 1.0000")  # exactly, whatever rounding does
    a, b = (v.astype(np.float64).ravel() for v in (prediction, original))
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    cosine = min(1.0, max(0.0, float(a @ b) / length)) if length else 0.0
    return Answer(math.nan, cosine, f"cosine {cosine:.4f}")
