"""Interpolation: the order in which a picture's samples are coded, and what each of them is coded from. Integers only.

    picture -> every second sample of every second row, and so on, down to one sample
    level by level upwards, 00 being known:  luma of 11, 01, 10;  then both chroma channels of 11, 01, 10

"01" are the samples in even rows and odd columns. All samples of a phase are coded at once, and seven of eight lie
between known ones on all sides; nothing waits for a neighbour, so decoding is as parallel as encoding. The order is
that of interlaced FLIF and of Kamisli, "Learned Lossless Image Compression through Interpolation with Low Complexity"
(2022).

What is seen are differences from a *reference*, the mean of the nearest four known samples, so that a picture's
brightness does not matter. Pictures of 16 bits are seen in coarser steps where they are rough, so that one
network serves all. Every operation here is exact: integers in float32 below 2^24, or single quotients of integers in
float64, which IEEE 754 rounds alike everywhere. It is written for arrays of numpy and of torch (see `arrays`). Shapes:
[B, n, h, w], n things seen at each of h x w targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import Array, beside, doubled, floor, joined, single, stacked, whole, zeros

__all__ = [
    "ALL",
    "CHANNELS",
    "FINE_BITS",
    "PHASES",
    "SPAN",
    "Phase",
    "Planes",
    "View",
    "chroma_inputs",
    "differences",
    "halves",
    "luma_inputs",
    "own_inputs",
    "power_of_half",
    "split_phases",
]

CHANNELS = 3
SPAN = 255
"""Everything seen is clamped to [-SPAN, SPAN]."""
REACH = 3
"""A sample sees the known ones of the (2 REACH + 1)^2 around it."""
NEAR = 5
"""Squared distance up to which a sample is near."""
RIDGE = 64
"""Added to the denominator of regressions: flat surroundings say nothing."""
REGRESSIONS = 2
"""Lines fitted for each pair of channels: to the near samples, and to all."""
FINE_BITS = 2
"""Regressions are in units of 1/4 of a step."""
ROUGH = 32
"""Samples of 16 bits are shifted until their near differences are below 2 ROUGH on average."""
MAX_SHIFT = 12
MARGIN = 2
"""How far windows reach beyond the first row or column of a plane; behind the last one it may be one more."""

Parity = tuple[int, int]
Planes = dict[Parity, Array]
_00, _01, _10, _11 = (0, 0), (0, 1), (1, 0), (1, 1)
ALL = (_00, _01, _10, _11)
_BESIDE = ((-1, 0), (0, -1), (0, 1), (1, 0))


@dataclass(frozen=True)
class Phase:
    """One of the three steps of a level. target: parity (row, column) of its samples; known: parities known before it;
    nearest: (row, column) steps to the four known samples that it lies between.
    """

    target: Parity
    known: tuple[Parity, ...]
    nearest: tuple[tuple[int, int], ...]

    def window(self, known: tuple[Parity, ...] | None = None) -> tuple[tuple[int, int], ...]:
        """(row, column) steps to the samples around that are known (or have a parity in `known`), in C order."""
        known = self.known if known is None else known
        r, c = self.target
        steps = range(-REACH, REACH + 1)
        return tuple((i, j) for i in steps for j in steps if (i or j) and ((r + i) % 2, (c + j) % 2) in known)


PHASES = (
    Phase(_11, (_00,), ((-1, -1), (-1, 1), (1, -1), (1, 1))),
    Phase(_01, (_00, _11), _BESIDE),
    Phase(_10, (_00, _11, _01), _BESIDE),
)


def luma_inputs(phase: Phase) -> int:
    """What luma is coded from: n of `View.luma`."""
    return len(phase.window()) + 2 * len(phase.window((_00,)))


def chroma_inputs(phase: Phase) -> int:
    """What both chroma channels are coded from: n of `View.chroma`."""
    return len(phase.window(ALL)) + 1 + 2 * len(phase.window()) + 2 * REGRESSIONS


def own_inputs(channel: int) -> int:
    """What a channel is coded from besides: n of `View.own`."""
    return 1 + REGRESSIONS if channel == 2 else 0


def split_phases(plane: Array) -> Planes:
    """[B, H, W] -> the four planes by parity of row and column, [B, ceil or floor of H/2, of W/2]."""
    return {(r, c): plane[:, r::2, c::2] for r, c in ALL}


def halves(height: int, width: int) -> list[tuple[int, int]]:
    """The sizes of all levels, from the whole picture down to 1 x 1."""
    sizes = [(height, width)]
    while sizes[-1] != (1, 1):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def padded(plane: Array, height: int, width: int) -> Array:
    """plane [B, h, w, ...] with its borders replicated: MARGIN before, and behind as far as windows of height x width
    targets reach. h, w >= 1.
    """
    h, w = plane.shape[1:3]
    rows, columns = np.arange(-MARGIN, height + MARGIN + 1), np.arange(-MARGIN, width + MARGIN + 1)
    rows, columns = beside(rows.clip(0, h - 1), plane), beside(columns.clip(0, w - 1), plane)
    return plane[:, rows][:, :, columns]


class View:
    """What the targets of one phase of one level see.

    planes: of each channel, integers as float32; those that are not known yet are not looked at. deep: whether
    differences are shifted (samples of 16 bits). Rows of targets are asked for in strips.
    """

    def __init__(self, phase: Phase, planes: Sequence[Planes], height: int, width: int, deep: bool = False):
        self.phase, self.height, self.width, self.deep = phase, height, width, deep
        self._planes = planes
        self._ready: list[Planes] = [{} for _ in planes]

    def luma(self, rows: slice) -> tuple[Array, Array, Array | None]:
        """-> seen [B, luma_inputs, h, w], reference [B, h, w], shift (None: none). Chroma is seen in plane 00 only."""
        phase, steps = self.phase, self.phase.window((_00,))
        mean = self._reference(0, rows)
        window = self._steps(0, phase.window(), mean, rows)
        shift = self._shift(window, phase.window())
        parts = [_coarser(window, shift)]
        least = min(i * i + j * j for i, j in steps)
        nearest = [n for n, (i, j) in enumerate(steps) if i * i + j * j == least]  # 4 or 2: halves are exact
        for c in (1, 2):
            found = stacked(self._around(c, steps, rows), 1)
            middle = floor(found[:, nearest].sum(1) / len(nearest) + 0.5)
            parts.append(_coarser(found - middle[:, None], shift))
        return joined(parts, 1), mean, shift

    def chroma(self, rows: slice) -> tuple[Array, list[Array], list[Array | None], list[Array]]:
        """-> seen [B, chroma_inputs, h, w]; of co and cg: references, shifts, windows [B, n, h, w]. Luma is seen on all
        sides.
        """
        phase, known = self.phase, self.phase.window()
        near = _near(known)
        mean = self._reference(0, rows)
        window = self._steps(0, phase.window(ALL), mean, rows)
        same = [n for n, step in enumerate(phase.window(ALL)) if step in known]
        shift = self._shift(window[:, same], known)
        luma = _coarser(window, shift)
        own = _coarser((self._planes[0][phase.target][:, rows] - mean)[:, None], shift)
        parts, means, shifts, windows = [luma, own], [], [], []
        for c in (1, 2):
            means.append(self._reference(c, rows))
            steps = self._steps(c, known, means[-1], rows)
            shifts.append(self._shift(steps, known))
            windows.append(_coarser(steps, shifts[-1]))
            seen, wanted = luma[:, same], windows[-1]
            lines = [_line(seen[:, near], wanted[:, near], own[:, 0]), _line(seen, wanted, own[:, 0])]
            parts += [windows[-1], stacked(lines, 1)]
        return joined(parts, 1), means, shifts, windows

    def own(self, co: Array, shift: Array | None, windows: list[Array]) -> Array:
        """What cg is coded from besides, [B, own_inputs(2), h, w]. co: the target's co less its reference, [B, h,
        w].
        """
        own = _coarser(co[:, None], shift)[:, 0]
        near = _near(self.phase.window())
        lines = [_line(windows[0][:, near], windows[1][:, near], own), _line(windows[0], windows[1], own)]
        return stacked([own, *lines], 1)

    def put(self, channel: int, rows: slice, samples: Array) -> None:
        """Make samples of the targets known: [B, h, w]."""
        self._planes[channel][self.phase.target][:, rows] = samples

    def _around(self, channel: int, steps: Sequence[tuple[int, int]], rows: slice) -> list[Array]:
        """The samples of a channel at some steps from each target, [B, h, w] each; beyond the border those next to it.
        An empty plane (of a picture one sample wide or high) is replaced by plane 00.
        """
        found = []
        for i, j in steps:
            r, c = self.phase.target[0] + i, self.phase.target[1] + j
            parity = r % 2, c % 2
            if parity not in self._ready[channel]:
                plane = self._planes[channel][parity]
                plane = plane if 0 not in plane.shape else self._planes[channel][_00]
                self._ready[channel][parity] = padded(plane, self.height, self.width)
            top, left = r // 2 + MARGIN, c // 2 + MARGIN
            found.append(self._ready[channel][parity][:, top + rows.start : top + rows.stop, left : left + self.width])
        return found

    def _reference(self, channel: int, rows: slice) -> Array:
        """The mean of the nearest four, rounded."""
        a, b, c, d = self._around(channel, self.phase.nearest, rows)
        return floor((a + b + c + d + 2) * 0.25)

    def _steps(self, channel: int, steps: Sequence[tuple[int, int]], mean: Array, rows: slice) -> Array:
        found = stacked(self._around(channel, steps, rows), 1)
        found -= mean[:, None]
        return found

    def _shift(self, window: Array, steps: Sequence[tuple[int, int]]) -> Array | None:
        """By how many bits samples are seen more coarsely: [B, h, w] float32, 0 to MAX_SHIFT; None: not at all."""
        if not self.deep:
            return None
        near = _near(steps)
        return _shift_of(abs(window[:, near]).sum(1), len(near))


def _near(steps: Sequence[tuple[int, int]]) -> list[int]:
    return [n for n, (i, j) in enumerate(steps) if i * i + j * j <= NEAR]


def _coarser(steps: Array, shift: Array | None) -> Array:
    """steps / 2^shift, rounded down and clamped."""
    if shift is not None:
        steps = floor(steps * power_of_half(shift)[:, None])
    return steps.clip(-SPAN, SPAN)


def _shift_of(total: Array, count: int) -> Array:
    """total: of `count` absolute differences -> the least shift, up to MAX_SHIFT, that brings their mean below 2 ROUGH.
    Comparisons, not a quotient: some devices divide by multiplying with a rounded reciprocal.
    """
    return single(stacked([total >= 2 * ROUGH * count * 2.0**k for k in range(MAX_SHIFT)], 0).sum(0))


_HALVES = np.ldexp(np.float32(1), -np.arange(MAX_SHIFT + 1))


def power_of_half(shift: Array) -> Array:
    """2^-shift, exactly, which pow() does not promise everywhere."""
    return beside(_HALVES, shift)[whole(shift)]


def _line(seen: Array, wanted: Array, own: Array) -> Array:
    """What a line through the references, fitted to samples around, says of a channel at the target, in units of 1/4:

        4 own sum(seen wanted) / (sum(seen^2) + RIDGE), rounded down, clamped

    seen, wanted: [B, n, h, w], steps of two channels at the same places; own: [B, h, w], the step of the first at the
    target. The sums are below 2^23.
    """
    both, square = doubled((seen * wanted).sum(1)), doubled((seen * seen).sum(1))
    return single(floor(both * doubled(own) * 2**FINE_BITS / (square + RIDGE)).clip(-SPAN, SPAN))


def differences(planes: Sequence[Array], deep: bool = False) -> Array:
    """planes 00 of the channels, [B, h, w] -> steps to the right and downwards [B, h, w, 2 C], 0 at the border. deep:
    as in `View`, but shifted alike everywhere, by what the mean step of the first channel asks for.
    """
    plane = stacked(planes, -1)
    channels = plane.shape[-1]
    steps = zeros((*plane.shape[:-1], 2 * channels), plane)
    steps[:, :, :-1, :channels] = plane[:, :, 1:] - plane[:, :, :-1]
    steps[:, :-1, :, channels:] = plane[:, 1:] - plane[:, :-1]
    if deep:
        shift = _shift_of(doubled(abs(steps[..., 0])).sum((1, 2)), steps.shape[1] * steps.shape[2])
        steps = floor(steps * power_of_half(shift)[:, None, None, None])
    return steps.clip(-SPAN, SPAN)
