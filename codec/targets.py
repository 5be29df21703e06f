"""Rate targets: the quality index at which a picture takes so many bytes, or comes so near to its original.

    target -> search on the model's estimate -> real bytes -> correct the estimate's aim -> real bytes in the tolerance

Bytes and fidelity (PSNR, SSIMULACRA2) grow with the index (nearly: neighbouring indices may swap), so a bracketing
search with linear interpolation, on the logarithm of the bytes or on the fidelity, finds an index in a few trials. Only
real bytes decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from ..bitstream import QUALITY_MAX
from ..errors import InputError

__all__ = [
    "FIDELITIES",
    "START",
    "Fidelity",
    "check_only",
    "encode_to_rate",
    "encode_to_size",
    "index_for",
    "index_for_near",
]

START = QUALITY_MAX * 6 // 10
"""The index that a search tries first."""
RATE_TOLERANCE = 0.015
LEAST_USED = 0.97
"""Share of a size ceiling that is used."""


@dataclass(frozen=True)
class Fidelity:
    """A scale that says how near a decoded picture comes to its original; higher is nearer. wanted: how a target is
    told, found: how a value is; tolerance: within which a target is met; slope: by how much it grows with the index.
    """

    wanted: str
    found: str
    tolerance: float
    slope: float


FIDELITIES = {
    "psnr": Fidelity("a PSNR of {:g} dB", "{:.2f} dB", 0.1, 13 / QUALITY_MAX),
    "ssimulacra2": Fidelity("a SSIMULACRA2 score of {:g}", "a score of {:.2f}", 0.5, 80 / QUALITY_MAX),
}
"""By the name of the target."""


class _OutOfReach(Exception):
    """The target is beyond an end of the scale."""


def index_for(scale: Fidelity, value: Callable[[int], float], target: float) -> int:
    """value: on `scale`, at a fixed-point index in [0, QUALITY_MAX] -> the index whose value is within the tolerance of
    the target; where the value makes a larger step, the upper end of that. Raises InputError with what is in reach.
    """
    if not math.isfinite(target):
        raise InputError(f"{scale.wanted.format(target)} cannot be asked for")
    value = cache(value)
    try:
        # Half of the tolerance: another machine's synthesis may round a sample differently.
        return _solve(value, target, scale.tolerance / 2, scale.slope)
    except _OutOfReach:
        low, high = value(0), value(QUALITY_MAX)
        for q, found in ((0, low), (QUALITY_MAX, high)):
            if abs(found - target) <= scale.tolerance:
                return q
        raise InputError(
            f"{scale.wanted.format(target)} is out of reach: it gets {scale.found.format(low)} at quality 1 "
            f"and {scale.found.format(high)} at quality 100"
        ) from None


def index_for_near(scale: Fidelity, quick: Callable[[int], float], value: Callable[[int], float], target: float) -> int:
    """As `index_for`, of a `value` that takes long, with few calls of it. quick: about the same, a little off."""
    value, quick, aim = cache(value), cache(quick), target
    with suppress(InputError):  # out of reach of `quick`
        for _ in range(4):
            q = index_for(scale, quick, aim)
            if abs(value(q) - target) <= scale.tolerance / 2:
                return q
            aim = target - (value(q) - quick(q))
    return index_for(scale, value, target)


def encode_to_rate(
    estimate: Callable[[int], float],
    encode: Callable[[int], bytes],
    target: float,
    each: float,
    grain: int,
    unit: str,
) -> bytes:
    """A file within 1.5% of a rate, or within `grain` bytes: coded data comes in words, and on a flat picture those of
    all tiles come together. estimate: bytes at an index; encode: the file; each: bytes of a file that has the rate 1;
    unit: of the rate, "bpp" or "kbps".

    Raises InputError with what is in reach.
    """
    if not 0 < target < math.inf:
        raise InputError(f"{target} {unit} cannot be asked for")
    size = target * each
    slack = max(RATE_TOLERANCE * size, grain)
    data = _encode_to(estimate, encode, max(size - slack, 1), size + slack)
    if data is None or len(data) < size - slack:
        low, high = (len(encode(q)) / each for q in (0, QUALITY_MAX))
        raise InputError(
            f"{target:g} {unit} is out of reach: it takes {low:.4f} {unit} at quality 1 and {high:.4f} {unit} at "
            "quality 100"
        )
    return data


def encode_to_size(estimate: Callable[[int], float], encode: Callable[[int], bytes], most: float) -> bytes:
    """The best file of at most `most` bytes: it uses at least 97% of them unless the words of 4 bytes that coded data
    comes in, or quality 100, do not allow it. Raises InputError with what is in reach.
    """
    if not 0 < most < math.inf:
        raise InputError(f"a size of {most} bytes cannot be asked for")
    data = _encode_to(estimate, encode, LEAST_USED * most, most)
    if data is None or len(data) > most:
        if len(best := encode(QUALITY_MAX)) <= most:
            return best
        if len(least := encode(0)) > most:
            raise InputError(f"{most:.0f} bytes are out of reach: it takes {len(least)} bytes at quality 1")
        data = least
    return data


def check_only(kind: str, target: float, size: int, pixels: int, grain: int, value: float, why: str) -> None:
    """Whether the one file that a codec has, of `size` bytes, meets a target: bits a pixel within 1.5% or `grain`
    bytes, the most bytes, or a fidelity, of which it has `value`, within its tolerance. Raises InputError with what it
    has instead.
    """
    if kind == "size":
        met, wanted, found = size <= target, f"at most {target:.0f} bytes", f"{size} bytes"
    elif kind == "bpp":
        bpp = 8 * size / pixels
        met = abs(bpp - target) <= max(RATE_TOLERANCE * target, 8 * grain / pixels)
        wanted, found = f"{target:g} bpp", f"{bpp:.4f} bpp"
    else:
        scale = FIDELITIES[kind]
        met = abs(value - target) <= scale.tolerance or value == target
        wanted, found = scale.wanted.format(target), scale.found.format(value)
    if not met:
        raise InputError(f"{wanted} cannot be had: {why}, at which this picture has {found}")


def _encode_to(
    estimate: Callable[[int], float], encode: Callable[[int], bytes], low: float, high: float
) -> bytes | None:
    """A file of low to high bytes; if there is none, the largest found below; None if all are larger or smaller."""
    estimate, tried = cache(estimate), dict[int, bytes]()

    def logarithm(q: int) -> float:
        return math.log(estimate(q))

    def real(q: int) -> float:
        if q not in tried:
            tried[q] = encode(q)
        return math.log(len(tried[q]))

    middle, tolerance = 0.5 * (math.log(low) + math.log(high)), 0.5 * (math.log(high) - math.log(low))
    aim = middle
    try:
        for _ in range(4):  # the estimate is within a percent of the truth: one correction is usually the last
            q = _solve(logarithm, aim, 0.3 * tolerance, slope=3.7 / QUALITY_MAX)
            if abs(real(q) - middle) <= tolerance:
                return tried[q]
            aim += middle - real(q)
    except _OutOfReach:
        pass
    try:
        q = _solve(real, middle, tolerance, slope=3.7 / QUALITY_MAX)
        if low <= len(tried[q]) <= high:
            return tried[q]
    except _OutOfReach:
        if min(map(len, tried.values())) > high or max(map(len, tried.values())) < low:
            return None
    return max((data for data in tried.values() if len(data) <= high), key=len, default=None)


def _solve(value: Callable[[int], float], target: float, tolerance: float, slope: float) -> int:
    """The index q at which value(q) is within `tolerance` of `target`, value growing with q by about `slope` a step;
    where it steps over the target, the upper of the two neighbours. Raises _OutOfReach.
    """
    below = above = None  # (index, value) on either side of the target
    q, weight = START, 0
    while True:
        found = value(q)
        if abs(found - target) <= tolerance:
            return q
        if found < target:
            below, weight = (q, found), min(weight, 0) - 1
        else:
            above, weight = (q, found), max(weight, 0) + 1
        if (below and below[0] == QUALITY_MAX) or (above and above[0] == 0):
            raise _OutOfReach
        if below is None or above is None:
            step = 1.2 * (target - found) / slope
            step = math.copysign(min(max(abs(step), 64), QUALITY_MAX), step)
            q = min(max(q + round(step), 0), QUALITY_MAX)
            continue
        if above[0] - below[0] <= 1:
            return above[0]
        share = (target - below[1]) / (above[1] - below[1]) if math.isfinite(above[1]) else 0.5
        if abs(weight) > 2:  # the same side again and again: a bend in the curve; halve
            share = 0.5
        q = below[0] + min(max(round(share * (above[0] - below[0])), 1), above[0] - below[0] - 1)
