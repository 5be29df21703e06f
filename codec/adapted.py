"""A model adapted to pictures of one kind: a small file of changes to another model, which it names by its digests.

    changes, tensors of the base -> changed -> tensors and card of a whole model -> `load` of the base's kind

Three kinds of tensors change another one, which stands after the prefix in their names:

    low.NAME.u [R, n], low.NAME.v [R, k]    NAME + sum_r u_r v_r, NAME being n rows of k numbers
    add.NAME                                NAME + what is in it, of the same shape
    set.NAME                                what is in it, instead of NAME

Products and sums are of IEEE doubles, in the order of r, each rounded by itself. Of integers the result is
floor(x + 1/2), clamped to what the type of NAME holds; of others x rounded to that type. So every machine makes the
same model, bit for bit, and its digests, which the card has, say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError

__all__ = ["MAX_RANK", "changed"]

MAX_RANK = 64
_OF_THE_FILE = ("kind", "base")
"""Of the card of changes, what is not said of the whole model."""


def changed(
    tensors: Mapping[str, np.ndarray],
    card: Mapping[str, Any],
    base: Mapping[str, np.ndarray],
    base_card: Mapping[str, Any],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the card of the whole model. tensors, card: of the file of changes; base, base_card: of the model
    that it changes. Raises ModelError for changes that do not fit it.
    """
    out, found = dict(base), set()
    for full, change in tensors.items():
        how, _, name = full.partition(".")
        name = name.removesuffix(".u") if how == "low" else name
        if how == "low" and full.endswith(".v") and f"{full[:-2]}.u" in tensors:
            continue
        if how not in ("low", "add", "set") or name not in base or name in found:
            raise ModelError(f"the changes have {full}, which is no change of a tensor of the model, or a second one")
        found.add(name)
        if how == "low":
            out[name] = _fitted(_with_products(name, tensors, base[name]), base[name])
        elif how == "add":
            if change.shape != base[name].shape:
                raise ModelError(f"the change of {name} is {change.shape}, not {base[name].shape}")
            out[name] = _fitted(base[name].astype(np.float64) + _finite(full, change), base[name])
        else:
            if change.dtype != base[name].dtype or change.ndim != base[name].ndim:
                raise ModelError(f"what stands for {name} is not of its type")
            out[name] = change
    return out, {**base_card, **{key: value for key, value in card.items() if key not in _OF_THE_FILE}}


def _with_products(name: str, tensors: Mapping[str, np.ndarray], whole: np.ndarray) -> np.ndarray:
    """The base's tensor with the products of low rank added, float64."""
    u, v = tensors[f"low.{name}.u"], tensors.get(f"low.{name}.v")
    if v is None or whole.ndim < 2 or u.ndim != 2 or v.ndim != 2 or len(u) != len(v) or not 1 <= len(u) <= MAX_RANK:
        raise ModelError(f"the change of {name} is no sum of 1 to {MAX_RANK} products")
    rows = whole.astype(np.float64).reshape(len(whole), -1)
    if (u.shape[1], v.shape[1]) != rows.shape:
        raise ModelError(f"the change of {name} is {u.shape[1]} x {v.shape[1]}, not {rows.shape[0]} x {rows.shape[1]}")
    for u_r, v_r in zip(_finite(f"low.{name}.u", u), _finite(f"low.{name}.v", v), strict=True):
        rows += np.multiply.outer(u_r, v_r)
    return rows.reshape(whole.shape)


def _finite(name: str, change: np.ndarray) -> np.ndarray:
    """A change as float64."""
    if change.dtype.kind not in "fi" or not np.isfinite(change).all():
        raise ModelError(f"the changes' {name} is not made of finite numbers")
    return change.astype(np.float64)


def _fitted(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """x in the type of another array. Raises ModelError when that cannot hold it."""
    if like.dtype.kind == "i":
        limits = np.iinfo(like.dtype)
        return np.floor(x + 0.5).clip(limits.min, limits.max).astype(like.dtype)
    if like.dtype.kind != "f" or np.abs(x).max(initial=0) > np.finfo(like.dtype).max:
        raise ModelError(f"a changed tensor does not fit into {like.dtype}")
    return x.astype(like.dtype)
