"""What the transform of sound is made of besides its networks: sizes, the basis of the MDCT, noise. No torch.

    card -> SoundConfig -> shapes of tensors        sample rate -> hop -> basis of the MDCT

The networks are in `sound` (torch) and in `plain_sound` (numpy).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ...entropy.bands import BANDS, BINS, COARSE

__all__ = [
    "FLOOR",
    "LEAST_LEVEL",
    "MOMENTS",
    "MOST_SHAPE",
    "NOISE_CEILING",
    "NOISE_START",
    "REFERENCE",
    "SHAPED",
    "STRIPES",
    "SoundConfig",
    "basis_of",
    "between",
    "bins_of",
    "hop_of",
    "middle_names",
    "moments",
    "noise",
    "stripes_of",
]

REFERENCE = 320
"""The hop at which the transform is orthonormal: that of 16 kHz."""
FLOOR = 1e-9
"""What is added to a band's mean square."""
LEAST_LEVEL = -13.0
"""In octaves: levels below count as this."""
NOISE_START = -1.5
NOISE_CEILING = 0.5
"""Noise is at most so large against the step, before its gain."""
STRIPES = (0, 20, 40, 60, 80, 120, 160, 220, 320, 480, BINS)
"""Where what is shaped in time together begins, in bins: stripes of the spectrum."""
MOMENTS = 16
"""Parts of a hop that have levels and gains of their own: 1.25 ms."""
SHAPED = 2 * (len(STRIPES) - 1) * MOMENTS
"""Gains of a hop: of what is coded and of noise, of each stripe, at each moment."""
MOST_SHAPE = 3.5
"""Octaves, of a gain."""


def stripes_of(bins: int) -> list[slice]:
    """The stripes that a signal of so many bins has."""
    return [slice(a, min(b, bins)) for a, b in pairwise(STRIPES) if a < bins]


@lru_cache(maxsize=8)
def moments(hop: int) -> np.ndarray:
    """[N, MOMENTS] float32: means over each moment of a hop."""
    at = (MOMENTS * (2 * np.arange(hop) + 1)) // (2 * hop)
    one = (at[:, None] == np.arange(MOMENTS)).astype(np.float32)
    return one / one.sum(0)


@lru_cache(maxsize=8)
def between(hop: int) -> np.ndarray:
    """[MOMENTS + 2, N] float32: lines from the middle of a moment to that of the next, the last one of the hop before
    first, the first one of the hop behind last.
    """
    at = MOMENTS * (np.arange(hop) + 0.5) / hop + 0.5
    return np.maximum(0, 1 - np.abs(at - np.arange(MOMENTS + 2)[:, None])).astype(np.float32)


@dataclass(frozen=True)
class SoundConfig:
    """Sizes of the networks beside those of the entropy model. Raises ValueError for sizes below 1."""

    analysis: int = 96
    """Width of h_a."""
    post: int = 192
    """Width of the post-net."""
    blocks: int = 1
    """Its inner layers, each of which sees one frame further to either side than the one before."""
    coarse: int = COARSE
    """What a step of z is worth at index 0, in hundredths of an octave: the encoder's. See `envelope.z_unit`."""
    shaper: int = 0
    """Width of the network behind the inverse MDCT, which shapes bands in time; 0: there is none."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value < (name != "shaper"):
                raise ValueError(f"{name} is a whole number of at least {int(name != 'shaper')}, not {value!r}")

    def shapes(self, hyper: int, features: int) -> dict[str, dict[str, tuple[int, ...]]]:
        """The shape of each tensor of h_a and g_s, computed: a file may claim sizes for which there is no memory."""
        a, p = self.analysis, self.post
        h_a = {"enter.weight": (a, BANDS + 1, 5), "down.weight": (a, a, 4), "head.weight": (hyper, a, 1)}
        g_s = {
            "enter.weight": (p, BINS + 2 * BANDS + features + 1, 3),
            **{f"{name}.weight": (p, p, 3) for name in middle_names(self.blocks)},
            "head.weight": (2 * BINS, p, 1),
        }
        if s := self.shaper:
            g_s |= {
                "shaper.enter.weight": (s, SHAPED, 1),
                "shaper.given.weight": (s, p, 2),
                "shaper.middle.weight": (s, s, 3),
                "shaper.head.weight": (SHAPED, s, 1),
            }
        for layers in (h_a, g_s):
            layers |= {f"{name[:-6]}bias": shape[:1] for name, shape in layers.items()}
        return {"h_a": {**h_a, "linear": (BANDS, hyper)}, "g_s": g_s}


def middle_names(blocks: int) -> list[str]:
    """The names of the post-net's inner layers, in order."""
    return ["middle", *(f"middle{n}" for n in range(2, blocks + 1))]


def bins_of(rate: int) -> int:
    """How many bins a sound of this sample rate has."""
    return min(BINS, hop_of(rate))


def hop_of(rate: int) -> int:
    """Sample rate in Hz -> N, the samples of a hop: 20 ms, rounded."""
    return (2 * rate + 50) // 100


def basis_of(hop: int, bins: int) -> np.ndarray:
    """[2 N, bins] float32, for the transform and its inverse of REFERENCE: see the text of `sound`."""
    n, k = np.arange(2 * hop), np.arange(bins)
    window = np.sin(np.pi / (2 * hop) * (n + 0.5))
    matrix = window[:, None] * np.cos(np.pi / hop * (n[:, None] + 0.5 + hop / 2) * (k + 0.5))
    return matrix.astype(np.float32)


def noise(channel: int, bins: int, frames: int) -> np.ndarray:
    """The noise of a channel of a segment: [bins, frames] float32, uniform with deviation 1, the same everywhere."""
    n = (np.arange(frames, dtype=np.uint64)[None] * 2 + channel) * BINS + np.arange(bins, dtype=np.uint64)[:, None]
    x = (n * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finalizer of SplitMix64
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    x = (x ^ (x >> np.uint64(31))) >> np.uint64(40)
    return ((x.astype(np.float32) + 0.5) * 2.0**-24 - 0.5) * np.float32(math.sqrt(12))
