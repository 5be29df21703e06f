"""What circuits are trained on: the items of a set.

    set (.npy, .npz, idx, idx.gz, folder) -> items [N, V]          shifted and stretched copies, drawn anew at each step

A variable is one sample of an item, in C order; all items are held in memory. A part of them, chosen by the recipe's
seed, is held out: what is reported on is never trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..codec.media.sets import load_set
from ..errors import InputError
from .recipe import CircuitRecipe

__all__ = ["MAX_LEVELS", "Items", "augmented", "load_items"]

MAX_LEVELS = 512
MAX_VARIABLES = 8192


@dataclass(frozen=True)
class Items:
    """train, held_out: int16 [N, V] below `levels`. shape: of an item. group: [V], as in `Circuit`."""

    train: Tensor
    held_out: Tensor
    shape: tuple[int, ...]
    levels: int
    group: np.ndarray


def load_items(recipe: CircuitRecipe, say: Callable[[str], None] | None = None) -> Items:
    """The recipe's items. say: gets what was left out. Raises InputError for sets that a circuit cannot be trained on,
    and what reading raises.
    """
    found = load_set(recipe.data)
    samples = found.samples
    if say and found.notes:
        say(f"{recipe.data}: {'; '.join(found.notes)}")
    levels, group = 1 << (8 * samples.dtype.itemsize), np.arange(int(np.prod(samples.shape[1:])))
    if levels > MAX_LEVELS:
        raise InputError(f"{recipe.data}: samples of 16 bits, a circuit takes at most {MAX_LEVELS} levels")
    rng = np.random.default_rng([recipe.seed, 1])
    samples = samples[rng.permutation(len(samples))]
    out = round(recipe.held_out * len(samples))
    size = int(np.prod(samples.shape[1:]))
    if len(samples) - out < 2 or size < 2:
        raise InputError(f"{len(samples)} items of {size} samples are too few to train a circuit on")
    if size > MAX_VARIABLES:
        raise InputError(f"items of {size} samples, a circuit takes at most {MAX_VARIABLES}")
    flat = torch.from_numpy(samples.reshape(len(samples), -1).astype(np.int16))
    return Items(flat[out:], flat[:out], tuple(samples.shape[1:]), levels, group)


def augmented(items: Tensor, shape: tuple[int, ...], shift: float, stretch: float, rng: np.random.Generator) -> Tensor:
    """A share `shift` of items [N, V] moved by one sample, a share `stretch` made longer or shorter by one, along each
    of the first two axes; values stay what they were. What comes in from outside is the item's border.
    """
    if not (shift or stretch):
        return items
    pictures = items.view(len(items), *shape)
    for axis in range(1, min(3, pictures.ndim)):
        size = pictures.shape[axis]
        source = np.broadcast_to(np.arange(size), (len(items), size))
        place = source
        if stretch:
            source = _stretched(source, rng.random(len(items)) < stretch, rng)
        if shift:
            move = rng.integers(-1, 2, len(items)) * (rng.random(len(items)) < shift)
            source = np.take_along_axis(source, (place - move[:, None]).clip(0, size - 1), 1)
        index = torch.from_numpy(source.clip(0, size - 1))
        index = index.view(len(items), *(size if a == axis else 1 for a in range(1, pictures.ndim)))
        pictures = torch.gather(pictures, axis, index.expand(pictures.shape))
    return pictures.reshape(len(items), -1)


def _stretched(source: np.ndarray, which: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One place of each row in `which` doubled, or left out; what follows, or what comes before, moves by one."""
    count, size = source.shape
    at = rng.integers(size, size=(count, 1))
    longer, before = rng.integers(2, size=(2, count, 1)) > 0
    moved = np.where(longer, source - (source > at), source + (source >= at))
    moved += np.where(before, np.where(longer, 1, -1), 0)
    return np.where(which[:, None], moved, source)
