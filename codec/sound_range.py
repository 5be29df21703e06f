"""Which samples of a sound are asked for: a part in seconds or in samples to a range."""

from __future__ import annotations

from ..bitstream import SoundLayout
from ..errors import InputError
from .media.part import Frames

__all__ = ["SHORT", "sample_range"]

SHORT = 2**22
"""Samples of all channels of a result that is decoded at once; a longer one is when it is asked for."""


def sample_range(layout: SoundLayout, part: Frames) -> tuple[int, int]:
    """The number of the first sample of a part and of the one after its last. Raises InputError for a part that the
    sound does not have.
    """
    first, stop = part.first, layout.samples if part.stop is None else part.stop
    if part.in_seconds:
        first = round(part.first * layout.sample_rate)
        stop = layout.samples if part.stop is None else min(layout.samples, round(part.stop * layout.sample_rate))
    if not 0 <= first < stop <= layout.samples:
        raise InputError(
            f"{part.asked('samples')}: the sound has {layout.samples} samples, {float(layout.seconds):.3f} seconds"
        )
    return int(first), int(stop)
