"""Parts of what a file holds: what may be asked for instead of all of it. Importing this costs no numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Frames", "Items", "Part", "Region"]


class Region(NamedTuple):
    """A part of a picture, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Items:
    """Items of a set by their numbers, which count from 0 and may repeat."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Frames:
    """Frames of a video from `first` on, up to the one before `stop` (None: to the end). Seconds instead of numbers
    count from the first frame: those that are shown at some time between the two.
    """

    first: int | float = 0
    stop: int | float | None = None
    in_seconds: bool = False


Part = Region | Items | Frames
