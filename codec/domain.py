"""What a model codes without loss: which samples, of which depth and shape.

    card -> Domain -> fits(layout), and what it is called in messages

A card says it, so that a model that does not fit need not be loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bitstream import PictureLayout, SetLayout
from .kinds import kind_of
from .media.named import named

__all__ = ["Domain", "circuit_domain", "domain_of", "photo_domain"]

LEVELS = 256
"""What a card means that does not say how many."""


@dataclass(frozen=True)
class Domain:
    """levels: the values that a sample may have; item_shape: of a set's items, None for pictures and for sets of small
    ones; shallower: whether samples of fewer levels are coded as well.
    """

    levels: Any
    item_shape: tuple[Any, ...] | None = None
    shallower: bool = False

    def fits(self, layout: PictureLayout | SetLayout) -> bool:
        """Whether the units of such a file are coded: their kind of samples, their depth, their shape. A shape is the
        same with and without dimensions of 1.
        """
        levels = 2**layout.bit_depth
        if self.levels != levels and not (self.shallower and isinstance(self.levels, int) and self.levels > levels):
            return False
        if self.item_shape is None:
            return isinstance(layout, PictureLayout) or _pictures(layout.shape)
        if isinstance(layout, PictureLayout):
            return False
        return _squeezed(self.item_shape) == _squeezed(layout.shape)

    def __str__(self) -> str:
        shape = "" if self.item_shape is None else f"items of the shape {list(self.item_shape)}"
        return f"{shape or 'pictures'} of {self.levels} levels"


def circuit_domain(card: Mapping[str, Any]) -> Domain:
    """Items of one shape."""
    levels, shape = card.get("levels", LEVELS), card.get("item_shape")
    return Domain(levels, tuple(shape) if isinstance(shape, list) else (None,))


def photo_domain(card: Mapping[str, Any]) -> Domain:
    """Pictures; of any depth if the card does not say how many levels."""
    return Domain(card.get("levels", 2**16), shallower=True)


def domain_of(card: Mapping[str, Any]) -> Domain | None:
    """What the model with this card codes without loss; None where the card does not say, or codes with loss."""
    kind = kind_of(card) if "kind" in card else None
    return named(kind.domain)(card) if kind is not None and kind.domain else None


def _pictures(shape: Sequence[int]) -> bool:
    """Whether items are small pictures, [H, W], [H, W, 1] or [H, W, 3], and not single rows."""
    return min(shape[:2], default=0) > 1 and (len(shape) == 2 or len(shape) == 3 and shape[2] in (1, 3))


def _squeezed(shape: Sequence[Any]) -> list[Any]:
    return [n for n in shape if n != 1]
