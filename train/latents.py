"""Latents of training crops that are kept in a file: what entropy models on frozen transforms are trained on.

    crops -> frozen g_a at random quality indices -> y, index -> FILE -> batches, the same for every variant

The file says what it was made from: a run with other transforms or other crops refuses it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .checkpoint import contents_of, load_checkpoint, save_checkpoint

__all__ = ["drawn_from", "key_of", "kept_latents"]

Batch = tuple[Tensor, Tensor]
"""y [B, M, h, w] and index [B]."""


def key_of(analysis: nn.Module, says: dict[str, Any]) -> str:
    """What latents follow from: the weights of g_a, and what a recipe says of the crops."""
    h = hashlib.blake2b(json.dumps(says, sort_keys=True, default=str).encode(), digest_size=8)
    for name, p in analysis.state_dict().items():
        h.update(name.encode() + p.detach().float().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()


def kept_latents(path: Path, key: str, make: Iterable[Batch] | None) -> Batch:
    """Those of a file, float16. make: what it is made from if it is not there yet. Raises InputError for a file of
    other latents, CodecError for one that cannot be written.
    """
    if make is not None:
        made = [(y.half().cpu(), index.float().cpu()) for y, index in make]
        y, index = (torch.cat(parts) for parts in zip(*made, strict=True))
        save_checkpoint({"key": key, "y": y, "index": index}, path)
        return y, index
    kept = load_checkpoint(path)
    with contents_of(path, "latents"):
        found, y, index = str(kept["key"]), kept["y"].float(), kept["index"].float()
    if found != key:
        raise InputError(f"{path} holds latents of other transforms or crops: another name makes them anew")
    return y.half(), index


def drawn_from(kept: Batch, batch: int, seed: int) -> Iterator[Batch]:
    """Endless batches, each of different latents."""
    y, index = kept
    draw = random.Random(seed)
    while True:
        chosen = draw.sample(range(len(y)), min(batch, len(y)))
        yield y[chosen].float(), index[chosen]
