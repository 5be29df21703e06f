"""Codecs side by side with a clock: who takes part, and at which setting of about the same rate.

specs -> contestants -> a setting each -> (runner: passes over the pictures)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from ...errors import InputError
from ..codecs.codec import unique_name
from ..codecs.peers import codec_by_name
from .runner import FAILURES, Contestant, first_of, pixels_of, reason_of

__all__ = ["TARGET_BPP", "clock_of", "entrants", "is_learned", "takes", "with_settings"]

TARGET_BPP = 0.5
SEARCHED = 4
"""How many pictures the settings are chosen on."""
COMPRESSAI_PIXELS = 3_000_000
"""CompressAI's networks are not tiled: they get no larger pictures."""


def is_learned(contestant: Contestant) -> bool:
    """Whether it runs on torch."""
    return (contestant.spec or "").startswith(("lecodec", "compressai"))


def takes(contestant: Contestant, pictures: Sequence[np.ndarray]) -> bool:
    """Whether all of these pictures are small enough for it."""
    return not (contestant.spec or "").startswith("compressai") or max(map(pixels_of, pictures)) <= COMPRESSAI_PIXELS


def entrants(specs: Sequence[str], device: str, skipped: list[tuple[str, str]]) -> list[Contestant]:
    """The codecs that can be made. specs: as in `peers`; device: where learned codecs run; skipped: (codec, why) is
    added for a package or device that is missing.

    Raises InputError when no codec can be made, `UnknownModel` or `ModelError` for a model that cannot be loaded.
    """
    made: dict[str, Contestant] = {}
    for spec in dict.fromkeys(specs):
        try:
            codec = codec_by_name(spec, device, allow_untrained=True)
        except (InputError, RuntimeError) as error:
            skipped.append((spec, reason_of(error)))
        else:
            name = unique_name(codec.name, made)
            made[name] = Contestant(name, codec, tuple(codec.ladder), spec)
    if not made:
        raise InputError(f"no codec to measure ({first_of(skipped) or 'none was named'})")
    return list(made.values())


def with_settings(
    contestants: Sequence[Contestant], pictures: Sequence[np.ndarray], skipped: list[tuple[str, str]]
) -> list[Contestant]:
    """The codecs with one setting each: that of the ladder whose files of the first SEARCHED pictures, together, come
    nearest to TARGET_BPP. Every codec codes at least one picture both ways, so that nothing is done for the first time
    later; one that fails is left out and named in `skipped`.
    """
    pictures = pictures[:SEARCHED]
    pixels = sum(map(pixels_of, pictures))
    found = []
    for contestant in contestants:
        codec, settings = contestant.codec, list(contestant.ladder)
        try:
            codec.decode(codec.encode(pictures[0], settings[0]))
            if len(settings) > 1:
                bpp = {s: 8 * sum(len(codec.encode(rgb, s)) for rgb in pictures) / pixels for s in settings}
                settings.sort(key=lambda setting: abs(math.log(bpp[setting] / TARGET_BPP)))
            found.append(replace(contestant, ladder=(float(settings[0]),)))
        except FAILURES as error:
            skipped.append((contestant.name, reason_of(error)))
    return found


def clock_of(device: str) -> Callable[[], float]:
    """Seconds, once the GPU (if there is one) has done what it was given."""

    def clock() -> float:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return perf_counter()

    return perf_counter if device == "cpu" else clock
