"""Bands and groups of the spectrum of sound, and the step that each band is quantised with. Integers only; no torch.

    bins of 25 Hz -> bands (levels of the envelope), groups (what is coded together)
    log2 step = slope * envelope + floor of the band + offset of the rate        (units: 2^-8, the octave is 256)

A frame lasts 20 ms at every sample rate, so that a bin is 25 Hz wide and the bandwidth is the number of bins: one set
of bands serves all rates. A sound has the bands that its bins reach into. Slope and floors are a model's own: with a
slope of 256 all bands would have one signal-to-noise ratio, with 0 one error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

__all__ = [
    "BANDS",
    "BINS",
    "COARSE",
    "COARSER",
    "DEADZONE",
    "EDGES",
    "FINEST",
    "GROUPS",
    "LOWER",
    "OCTAVE",
    "MOST_FLOOR",
    "PAST",
    "StepRule",
    "bands_of",
    "interpolation",
    "means",
    "offset_of",
]

BINS = 960
"""The most bins that are coded: 24 kHz."""
EDGES = (
    *(0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 240, 320),
    *(384, 480, 600, 800, 960),
)
"""Where bands begin, in bins; the last one ends at BINS."""
BANDS = len(EDGES) - 1
GROUPS = (0, 40, 80, 160, 320, 480, BINS)
"""Where groups begin: 0 to 1, 1 to 2, 2 to 4, 4 to 8, 8 to 12 and 12 to 24 kHz."""
PAST = ((0, 80), (0, 160), (40, 240), (120, 320), (280, 480), (440, BINS))
"""The bins of the two frames before that a group's context sees."""
LOWER = ((0, 0), (0, 40), (0, 80), (0, 160), (160, 320), (320, 480))
"""The bins of the frame itself that it sees: of lower groups."""
OCTAVE = 256
MOST_FLOOR = 4096
"""Floors lie between this and its negative."""
OFFSET, OFFSET_SLOPE = 320, 26
"""The offset at index 0, and by how much it falls with each index."""
DEADZONE = 0.2
"""How far beyond 1/2 y is rounded towards zero."""
FINEST = 0.87
"""What a step of z is worth at index 63, in octaves of the envelope's cosine coefficients. What it is worth at index 0
is a model's own, see `SoundConfig.coarse`: only the encoder needs to know.
"""
COARSE = 200
"""The usual one, in hundredths of an octave."""
COARSER = 1.4
"""Of the upper half of the coefficients."""


def bands_of(bins: int) -> int:
    """How many bands a sound of so many bins has."""
    return sum(edge < bins for edge in EDGES[:-1])


def offset_of(rate: int) -> int:
    """The offset of the steps at a fixed-point index: 320 down to -1318, of 256 an octave."""
    return OFFSET - (OFFSET_SLOPE * rate + 128 >> 8)


@dataclass(frozen=True)
class StepRule:
    """slope: by how many 256ths of an octave the step grows with an octave of the envelope, 0 to 256; floor: what each
    band's step has beyond that, 256 an octave. Raises ValueError.
    """

    slope: int
    floor: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.slope <= OCTAVE or len(self.floor) != BANDS or max(map(abs, self.floor)) > MOST_FLOOR:
            raise ValueError(f"steps have a slope of 0 to {OCTAVE} and {BANDS} floors within {MOST_FLOOR}")

    @classmethod
    def of(cls, slope: int, floor: int, tilt: int) -> StepRule:
        """floor: of the lowest band, tilt: what the highest has beyond it, in hundredths of an octave."""
        rises = (floor / 100 + tilt / 100 * n / (BANDS - 1) for n in range(BANDS))
        return cls(slope, tuple(round(OCTAVE * rise) for rise in rises))

    def log_step(self, envelope: np.ndarray, rate: int) -> np.ndarray:
        """envelope [..., BANDS, t] integers, 256 an octave -> log2 of the steps, likewise. rate: the fixed-point
        index.
        """
        return (self.slope * envelope.astype(np.int64) + 128 >> 8) + np.array(self.floor)[:, None] + offset_of(rate)


@lru_cache
def interpolation() -> np.ndarray:
    """[BANDS, BINS] float64: the value of a bin, linear between the centres of bands, as weights of the bands."""
    centres = np.array([(a + b - 1) / 2 for a, b in zip(EDGES[:-1], EDGES[1:], strict=True)])
    out = np.stack([np.interp(np.arange(BINS), centres, row) for row in np.eye(BANDS)])
    out.flags.writeable = False
    return out


@lru_cache
def means(bins: int) -> np.ndarray:
    """[bins, BANDS] float64: what takes the mean of each band over the bins that there are. A band that has none takes
    the last one that has.
    """
    out = np.zeros((bins, BANDS))
    last = bands_of(bins) - 1
    for band in range(BANDS):
        low, high = EDGES[min(band, last)], min(EDGES[min(band, last) + 1], bins)
        out[low:high, band] = 1 / (high - low)
    out.flags.writeable = False
    return out
