"""A model with loss as it is in memory: a transform and an entropy model, checked against the card of their file.

    tensors, card -> `load` of a row of kinds.KINDS -> LatentModel -> the codec that codes with it

Each kind has a function that makes its own; what they share is here: weights, shapes and digests compared with the
card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..entropy.latents import EntropyModel
from ..errors import ModelError
from .transforms.transform import Transform

__all__ = ["LatentModel", "check_shapes", "checked_digests", "floats", "misfit", "synthesis_digest"]


@dataclass(frozen=True, eq=False)
class LatentModel:
    """card: of its file; transform: samples to latents and back; entropy: latents to bytes and back; digests: 8 bytes
    each; one_rate: whether every quality gives the same file; replica: makes the transform in integers, if it has one.
    """

    card: dict[str, Any]
    transform: Transform
    entropy: EntropyModel
    parse_digest: bytes
    synthesis_digest: bytes
    one_rate: bool = False
    replica: Callable[[], Transform] | None = None


def synthesis_digest(tensors: Mapping[str, np.ndarray], transform: Mapping[str, Any]) -> bytes:
    """8 bytes over the float synthesis: the g_s tensors as stored, and the sizes they are used with."""
    h = hashlib.blake2b(digest_size=8)
    h.update(json.dumps(dict(transform), sort_keys=True).encode())
    for name in sorted(n for n in tensors if n.startswith("g_s.")):
        array = np.ascontiguousarray(tensors[name])
        h.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        h.update(array.tobytes())
    return h.digest()


def checked_digests(
    tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], entropy: EntropyModel
) -> tuple[bytes, bytes]:
    """The parse and the synthesis digest. Raises ModelError when they are not those of the card."""
    if not isinstance(card.get("transform"), dict):
        raise ModelError("the model's card does not give the sizes of its networks")
    found = entropy.digest(), synthesis_digest(tensors, card["transform"])
    for kind, digest in zip(("parse", "synthesis"), found, strict=True):
        if (said := card.get(f"{kind}_digest")) != digest.hex():
            raise ModelError(f"the model's {kind} digest is {digest.hex()}, but its card says {said}")
    return found


def check_shapes(tensors: Mapping[str, np.ndarray], networks: Mapping[str, Mapping[str, tuple[int, ...]]]) -> None:
    """Compare the tensors of a model file with the networks that its card describes, before memory is taken for these.
    networks: by prefix, the shapes by name. Raises ModelError.
    """
    for prefix, wanted in networks.items():
        found = {name: array.shape for name, array in tensors.items() if name.startswith(f"{prefix}.")}
        if found != {f"{prefix}.{name}": shape for name, shape in wanted.items()}:
            raise misfit(prefix)


def misfit(network: str) -> ModelError:
    """What is raised for weights that do not fit."""
    return ModelError(f"the model's weights do not fit the {network} that its card describes")


def floats(tensors: Mapping[str, np.ndarray], *networks: str) -> dict[str, np.ndarray]:
    """The weights of networks, float32 by name. Raises ModelError for what is not made of finite floats."""
    found = {}
    for name, array in tensors.items():
        if name.partition(".")[0] in networks:
            if array.dtype not in (np.float16, np.float32) or not np.isfinite(array).all():
                raise ModelError(f"the model's {name} is not made of finite floats")
            found[name] = array.astype(np.float32)
    return found
