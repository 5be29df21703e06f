"""What the training of codebooks does: the fields of its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..entropy.codebook_coding import MAX_STAGES, MAX_WORDS
from .schema import Name, Strict

__all__ = ["CodebookRecipe"]


class CodebookRecipe(Strict):
    """The schema of a recipe for codebooks on the transforms of an image model. Paths are relative to the working
    directory.
    """

    kind: Literal["codebook"]
    name: Name
    """Name of the model and of the run's folder."""
    seed: int = 1
    """The seed of all that is random."""
    base: str = "psnr"
    """The image model, by name or path, whose transforms are used as they are."""
    train: list[Path] = Field(min_length=1)
    """Folders of training pictures, searched recursively."""
    downscale: tuple[float, float] = (1.0, 2.0)
    """Each crop is taken from the picture shrunk by a random factor in this range."""
    crops: int = Field(300, ge=8)
    """Crops whose latents are learned from; of every eighth it is measured what they take."""
    crop: int = Field(256, ge=64, multiple_of=64)
    """Side of the crops, pixels."""
    groups: list[tuple[int, int]] = [(1, 8), (2, 12), (8, 20)]
    """(channels of a group, how many such groups), in the order of the channels, all of which they have to make up."""
    words: int = Field(128, ge=2, le=MAX_WORDS)
    """Of each codebook."""
    stages: int = Field(4, ge=1, le=MAX_STAGES)
    """Codebooks of each group, one for what the others leave."""
    rounds: int = Field(15, ge=1)
    """Of k-means, for each codebook."""
    minutes: float | None = Field(None, gt=0)
    """The run ends when all groups are learned, or after `minutes`: then it cannot be frozen, but goes on."""
    checkpoint_minutes: float = 5.0
    """Between checkpoints."""

    @model_validator(mode="after")
    def _consistent(self) -> CodebookRecipe:
        if not self.groups or min(min(pair) for pair in self.groups) < 1:
            raise ValueError("groups are pairs of whole numbers of at least 1")
        return self

    def channels(self) -> list[int]:
        """Channels of each group."""
        return [size for size, count in self.groups for _ in range(count)]
