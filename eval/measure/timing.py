"""Codecs in turns on the same pictures, with a clock.

    specs -> entrants -> a setting each, of about the same rate -> passes over the pictures -> bytes and seconds

In each pass every picture goes through every codec before the next picture has its turn, so that whatever else the
machine does meets all of them alike. A codec that fails is named in `skipped` and takes no further part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import numpy as np

from ...errors import CodecError, InputError
from ..codecs.codec import Codec, unique_name
from ..codecs.peers import codec_by_name
from .coding import Original, coded

__all__ = ["TARGET_BPP", "Contest", "Entrant", "Times", "area"]

TARGET_BPP = 0.5
SEARCHED = 4
"""How many pictures the settings are chosen on."""
COMPRESSAI_PIXELS = 3_000_000
"""CompressAI's networks are not tiled: they get no larger pictures."""
_FAILURES = (CodecError, MemoryError, RuntimeError)  # RuntimeError: torch's, out of memory or a damaged installation


def area(rgb: np.ndarray) -> int:
    """Pixels of a picture [H, W, 3]."""
    return rgb.shape[0] * rgb.shape[1]


@dataclass(eq=False)
class Entrant:
    """A codec that takes part. name: unique in its contest; setting: `nan` until the contest has chosen it."""

    spec: str
    name: str
    codec: Codec
    setting: float = math.nan

    @property
    def learned(self) -> bool:
        """Whether it runs on torch."""
        return self.spec.startswith(("lecodec", "compressai"))

    def takes(self, pictures: Sequence[np.ndarray]) -> bool:
        """Whether all of these pictures are small enough for it."""
        return not self.spec.startswith("compressai") or max(map(area, pictures)) <= COMPRESSAI_PIXELS


@dataclass
class Times:
    """One codec on one set of pictures. size: bytes of all files; passes: seconds of each, encoding and decoding."""

    size: int = 0
    passes: list[tuple[float, float]] = field(default_factory=list)

    @property
    def encode_s(self) -> float:
        """Seconds for all pictures, the median of the passes."""
        return median(encode for encode, _ in self.passes)

    @property
    def decode_s(self) -> float:
        """Seconds for all pictures, the median of the passes."""
        return median(decode for _, decode in self.passes)


class Contest:
    """The codecs of a run. `entrants`: all that could be made; `active`: those that have not failed since.

    specs: as in `peers`; device: where learned codecs run; skipped: (codec, why) is added for every failure, also for a
    package or device that is missing. Raises InputError when no codec can be made, `UnknownModel` or `ModelError` for a
    model that cannot be loaded.
    """

    def __init__(self, specs: Sequence[str], device: str, skipped: list[tuple[str, str]]) -> None:
        self.device, self.skipped = device, skipped
        self.entrants: list[Entrant] = []
        for spec in dict.fromkeys(specs):
            try:
                codec = codec_by_name(spec, device, allow_untrained=True)
            except (InputError, RuntimeError) as error:
                skipped.append((spec, _reason(error)))
            else:
                name = unique_name(codec.name, [entrant.name for entrant in self.entrants])
                self.entrants.append(Entrant(spec, name, codec))
        if not self.entrants:
            reasons = "; ".join(reason for _, reason in skipped[-3:]) or "none was named"
            raise InputError(f"no codec to measure ({reasons})")
        self.active = list(self.entrants)

    def choose_settings(self, pictures: Sequence[np.ndarray]) -> None:
        """The setting of each codec's ladder whose files of the first SEARCHED pictures, together, come nearest to
        TARGET_BPP. Every codec codes at least one picture both ways, so that nothing is done for the first time later.
        """
        pictures = pictures[:SEARCHED]
        pixels = sum(map(area, pictures))
        for entrant in list(self.active):
            codec = entrant.codec
            settings = list(codec.ladder)
            try:
                codec.decode(codec.encode(pictures[0], settings[0]))
                if len(settings) > 1:
                    bpp = {s: 8 * sum(len(codec.encode(rgb, s)) for rgb in pictures) / pixels for s in settings}
                    settings.sort(key=lambda setting: abs(math.log(bpp[setting] / TARGET_BPP)))
                entrant.setting = float(settings[0])
            except _FAILURES as error:
                self._failed(entrant, error)

    def run(
        self, pictures: Sequence[np.ndarray], repeats: int, step: Callable[[], None]
    ) -> list[tuple[Entrant, Times]]:
        """The times of every codec that takes these pictures and manages them; step() after each encode and decode."""
        times = {entrant: Times() for entrant in self.active if entrant.takes(pictures)}
        for number in range(repeats):
            for found in times.values():
                found.passes.append((0.0, 0.0))
            for rgb in pictures:
                for entrant, found in list(times.items()):
                    try:
                        size, encode_s, decode_s = self._code(entrant, rgb)
                    except _FAILURES as error:
                        self._failed(entrant, error)
                        del times[entrant]
                        continue
                    found.size += size if number == 0 else 0
                    found.passes[-1] = found.passes[-1][0] + encode_s, found.passes[-1][1] + decode_s
                    step()
        return list(times.items())

    def _code(self, entrant: Entrant, rgb: np.ndarray) -> tuple[int, float, float]:
        codec, setting = entrant.codec, entrant.setting
        found = coded(codec, Original(rgb), setting, name=entrant.name, clock=self._clock)
        return len(found.data), found.encode_s, found.decode_s

    def _clock(self) -> float:
        """Seconds, once the GPU (if there is one) has done what it was given."""
        if self.device != "cpu":
            import torch

            if torch.cuda.is_available():
                torch.cuda.synchronize()
        return perf_counter()

    def _failed(self, entrant: Entrant, error: BaseException) -> None:
        self.active.remove(entrant)
        self.skipped.append((entrant.name, _reason(error)))


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
