"""Parts of what a file holds: what may be asked for instead of all of it. Importing this costs no numpy."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...errors import InputError

__all__ = ["Frames", "Items", "Part", "Region", "whole"]


def whole(value: Any, what: str) -> int:
    """A whole number of any type that is one, numpy's too; 1.0 and True are none. Raises InputError."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InputError(f"{what} {value!r:.40} is not a whole number") from None


class Region(NamedTuple):
    """A part of a picture, in pixels."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of(cls, numbers: Iterable[Any]) -> Region:
        """(x, y, width, height) from a caller. Raises InputError unless they are four whole numbers."""
        found = list(numbers) if isinstance(numbers, Iterable) and not isinstance(numbers, str | bytes) else []
        if len(found) != 4:
            raise InputError(f"a region is (x, y, width, height), four whole numbers, not {numbers!r:.60}")
        return cls(*(whole(number, "in a region") for number in found))


@dataclass(frozen=True)
class Items:
    """Items of a set by their numbers, which count from 0 and may repeat."""

    numbers: tuple[int, ...]

    @classmethod
    def of(cls, numbers: Iterable[Any]) -> Items:
        """Numbers from a caller. Raises InputError unless they are whole."""
        if not isinstance(numbers, Iterable) or isinstance(numbers, str | bytes):
            raise InputError(f"items are a list of whole numbers, not {numbers!r:.60}")
        return cls(tuple(whole(number, "item") for number in numbers))


@dataclass(frozen=True)
class Frames:
    """Frames of a video from `first` on, up to the one before `stop` (None: to the end). Seconds instead of numbers
    count from the first frame: those that are shown at some time between the two.
    """

    first: int | float = 0
    stop: int | float | None = None
    in_seconds: bool = False

    def asked(self, noun: str) -> str:
        """For messages: `seconds 1.5 to the end`, or with the noun of what is counted `frames 3 to 5`."""
        last = None if self.stop is None else self.stop - (not self.in_seconds)
        end = "the end" if last is None else format(last, "g")
        return f"{'seconds' if self.in_seconds else noun} {self.first:g} to {end}"


Part = Region | Items | Frames
