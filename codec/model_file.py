"""What a model file is: safetensors with a card. Reading and writing one; no torch.

    path -> ModelCard, from the header alone          path -> tensors, numpy arrays by name -> codec of the card's kind

A model is one safetensors file. Its metadata holds the card, a JSON object under "card": name, kind, digests, sizes of
the networks, training data and recipe, measured rate-distortion line, receptive field, licence. Cards are read without
reading the weights, and are no part of either digest. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..bitstream import Header, atomic_write
from ..errors import ModelError, UnknownModel

__all__ = ["ModelCard", "check_digest", "load_tensors", "parse_tensors", "read_card", "save_model"]

MAX_CARD = 1 << 20
MAX_MODEL = 1 << 30


@dataclass(frozen=True)
class ModelCard:
    """name: as the card has it; path: of the file; digests: 16 hexadecimal digits each; card: the whole card."""

    name: str
    path: Path
    parse_digest: str
    synthesis_digest: str
    card: dict[str, Any]


def read_card(path: Path | str) -> ModelCard:
    """The card of a model file, its weights left unread. Raises ModelError for a file that is not a model."""
    path = Path(path)
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # to open a pipe waits for whoever writes to it
        raise ModelError(f"{path} is not a model: it is not a regular file")
    return _read_card(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=64)
def _read_card(path: Path, _changed: int, size: int) -> ModelCard:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_CARD, size):
            raise ModelError(f"{path} is not a model: it does not begin as a safetensors file")
        header = file.read(length)
    try:
        card = json.loads(json.loads(header)["__metadata__"]["card"])
        digests = card["parse_digest"], card["synthesis_digest"]
        if any(len(bytes.fromhex(d)) != 8 for d in digests):
            raise ValueError
        return ModelCard(str(card["name"]), path, *digests, card)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{path} is not a lecodec model: it holds no model card") from None


def load_tensors(path: Path | str) -> dict[str, Any]:
    """All tensors of a model file as numpy arrays. Raises ModelError when it is damaged or beyond 1 GiB."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if os.path.getsize(path) > MAX_MODEL:
        raise ModelError(f"{path} is larger than any model")
    try:
        return load(Path(path).read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise ModelError(f"{path} is damaged: {e}") from None


def parse_tensors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The integer part of a model file's tensors, which its parse digest is over: `parse.*`, without that prefix."""
    return {name.removeprefix("parse."): array for name, array in tensors.items() if name.startswith("parse.")}


def save_model(tensors: Mapping[str, Any], card: Mapping[str, Any], out: Path, overwrite: bool = False) -> Path:
    """Write a model file: numpy arrays and a card that JSON can hold. Raises ModelError (too large), OutputExists."""
    import numpy as np
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    data = save(contiguous, {"card": json.dumps(card, sort_keys=True)})
    if len(data) > MAX_MODEL:
        raise ModelError(f"the model would take {len(data)} bytes")
    with atomic_write(out, overwrite=overwrite) as file:
        file.write(data)
    return out


def check_digest(header: Header, parse_digest: bytes, card: Mapping[str, Any]) -> None:
    """Whether a file was coded with a model. Raises UnknownModel."""
    if header.parse_digest != parse_digest:
        raise UnknownModel(
            f"the file needs the model with parse digest {header.parse_digest.hex()}, "
            f"this is {card.get('name')} with {parse_digest.hex()}"
        )
