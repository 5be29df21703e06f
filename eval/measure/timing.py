"""Codecs side by side with a clock: who takes part, and at which setting of about the same rate.

specs -> contestants -> a setting each -> (runner: passes over the pictures)
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from ...errors import CodecError, InputError
from ..codecs.codec import unique_name
from ..codecs.peers import codec_by_name
from ..tasks.pictures import pixels_of
from ..tasks.task import ItemRow
from .probe import BARE_TORCH, UNKNOWN, Probe, probe
from .runner import FAILURES, Contestant, first_of, measured, reason_of

__all__ = ["ONE_PASS", "TARGET_BPP", "Timed", "entrants", "passes_of", "takes", "timed", "with_settings"]

TARGET_BPP = 0.5
ONE_PASS = 10_000_000
"""Pixels above which a picture is coded once."""
SEARCHED = 4
"""How many pictures the settings are chosen on."""
COMPRESSAI_PIXELS = 3_000_000
"""CompressAI's networks are not tiled: they get no larger pictures."""


@dataclass(frozen=True)
class Timed:
    """One codec on one set. number: of the set; rows: of its passes, one after the other; learned: runs on torch."""

    number: int
    rows: Sequence[ItemRow]
    probe: Probe
    learned: bool

    @property
    def pictures(self) -> Sequence[ItemRow]:
        """The rows of the first pass."""
        return self.rows[: len({row.item for row in self.rows})]

    def seconds(self, way: str) -> float:
        """Seconds for all pictures, `encode_s` or `decode_s`: the median of the passes."""
        count = len(self.pictures)
        passes = [self.rows[start : start + count] for start in range(0, len(self.rows), count)]
        return median(sum(getattr(row, way) for row in rows) for rows in passes)


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
    contestants: Sequence[Contestant],
    pictures: Sequence[np.ndarray],
    skipped: list[tuple[str, str]],
    wanted: float = TARGET_BPP,
) -> list[Contestant]:
    """The codecs with one setting each: that of the ladder whose files of the first SEARCHED pictures, together, come
    nearest to `wanted` bits a pixel. Every codec codes at least one picture both ways, so that nothing is done for the
    first time later; one that fails is left out and named in `skipped`.
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
                settings.sort(key=lambda setting: abs(math.log(bpp[setting] / wanted)))
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


def passes_of(pictures: Sequence[np.ndarray], repeats: int) -> int:
    """How often pictures are coded: the largest ones once, as that takes long enough to be steady."""
    return repeats if max(map(pixels_of, pictures)) <= ONE_PASS else 1


def timed(
    active: list[Contestant],
    sets: list[list[np.ndarray]],
    repeats: int,
    device: str,
    skipped: list[tuple[str, str]],
    step: Callable[[], None],
) -> tuple[list[Timed], Probe]:
    """Every codec on every set of pictures that it takes and manages, `repeats` times, and in a process of its own; the
    process that only imports torch. skipped: (codec, why) is added for one that fails, which takes no further part;
    step() is called after every file and process.
    """
    timed: list[Timed] = []
    bare: list[Probe] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, pictures in enumerate(sets):
            items = {str(n): lambda rgb=rgb: rgb for n, rgb in enumerate(pictures)}
            running = [entrant for entrant in active if takes(entrant, pictures)]
            options = {"passes": passes_of(pictures, repeats), "clock": clock_of(device)}
            run = measured(items, running, {}, progress=lambda done, total: step(), **options)
            failed = {failure.codec: failure.reason for failure in reversed(run.failures)}
            skipped += failed.items()
            active = [entrant for entrant in active if entrant.name not in failed]
            largest = Path(folder) / "largest.npy"
            np.save(largest, max(pictures, key=pixels_of))
            finished = [entrant for entrant in running if entrant.name not in failed]
            for entrant in finished:
                try:
                    process = probe(entrant.spec or "", entrant.ladder[0], largest, device)
                except CodecError as error:
                    skipped.append((entrant.name, str(error)))
                    process = UNKNOWN
                rows = [row for row in run.rows if row.codec == entrant.name]
                timed.append(Timed(number, rows, process, is_learned(entrant)))
                step()
            if any(map(is_learned, finished)):
                bare.append(probe(BARE_TORCH))
    return timed, Probe(median(p.startup_s for p in bare), *bare[-1][1:]) if bare else UNKNOWN
