"""What the adaptation of a model to a folder of pictures does: the fields of its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ..codec.adapted import MAX_RANK
from .schema import Name, Strict

__all__ = ["AdaptRecipe"]


class AdaptRecipe(Strict):
    """The schema of a recipe for a model that changes another one. Paths are relative to the working directory."""

    kind: Literal["adapted"]
    name: Name
    """Name of the model and of the run's folder."""
    seed: int = 1
    """The seed of all that is random."""
    pictures: list[Path] = Field(min_length=1)
    """Folders of pictures of the kind that is adapted to, searched recursively."""
    base: str = "image"
    """The model that is changed: a name or a path."""
    hold_out: int = Field(5, ge=2)
    """Every so many pictures one is not trained on, but measured with."""
    rank: int = Field(6, ge=1, le=MAX_RANK)
    """Products whose sum is added to a matrix of weights."""

    crop: int = Field(128, ge=64, multiple_of=64)
    """Side of the square crops, pixels. They are not shrunk: pictures are learned as they will be coded."""
    batch: int = Field(4, ge=1)
    """Crops a step."""
    steps: int = Field(ge=1)
    """The run ends after so many steps, or after `minutes` if that comes first."""
    minutes: float | None = Field(None, gt=0)
    """The schedule follows the share that is done, of steps or of minutes, whichever is larger."""
    learning_rate: float = 2e-3
    """The highest: it rises over `warmup_steps` and falls along a half cosine, to a thousandth."""
    warmup_steps: int = Field(50, ge=0)
    """Steps in which the learning rate rises; never more than 5% of the run."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = Field(0.99, ge=0, lt=1)
    """What the average of the changes, which is frozen, keeps of itself at each step; less at first."""
    checkpoint_minutes: float = 1.0
    """Between checkpoints, each with a validation."""
