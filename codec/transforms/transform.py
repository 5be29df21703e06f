"""Transforms: samples to latents and back, the float half of a codec with loss. The entropy model is the other half.

    samples -> analyse -> y -> tiles -> above -> levels above y      y_hat -> synthesise -> samples

A transform works on windows of the picture with a margin as wide as it looks, so memory is bounded and windows leave
no seams. It knows of no tiles, bytes or tables, and whatever codes integers can stand below it: frames of a video go
the same way to y, and come back from y_hat. Its networks run in numpy or in torch (`entropy.place`).

Guarantee: what a transform computes reaches the coder only by a rounding in the encoder. It is float and differs
between machines, and nothing decoded later depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...bitstream import QUALITY_ONE, PictureLayout
from ...entropy.place import device_of
from ..workers.told import told
from . import DOWN
from .windows import windows

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Transform", "WindowedTransform", "cut", "dtype_of", "pixels"]


class Transform(Protocol):
    """rates, everywhere: the header's fixed-point indices in [0, QUALITY_MAX], one for each signal. Immutable: threads
    may share one.
    """

    down: tuple[int, ...]
    """Samples a position of y, along each axis."""
    reach: int
    """How many positions of y beyond their own, on each side, samples depend on."""
    window: int
    """Positions of y that are worked on at a time: no more signals together gain anything."""
    place: str
    """Which library it runs in, see `entropy.place`."""

    @property
    def device(self) -> str:
        """Where it runs."""
        return device_of(self.place)

    def analyse(self, samples: Sequence[np.ndarray], rates: Sequence[int]) -> np.ndarray:
        """Colour samples of one shape, uint8 or uint16, [H, W] or [H, W, 3] each -> y [B, M, h, w] float32, real
        numbers that wait to be rounded; h and w are H / 16 and W / 16, rounded up.
        """
        ...

    def above(self, y: np.ndarray, rates: Sequence[int]) -> tuple[np.ndarray, ...]:
        """y of units of one size [B, M, h, w] -> the levels above it, coarsest first; none where there is none. y is
        computed from the whole, these from what is decoded alone.
        """
        ...

    def synthesise(self, y_hat: np.ndarray, rates: Sequence[int], layout: PictureLayout) -> np.ndarray:
        """y_hat [B, M, h, w] int32 in units of 2^-MEAN_BITS -> colour samples [B, 16 h, 16 w, C], of the channels and
        bit depth of the layout. Raises ModelError for numbers that are not finite.
        """
        ...

    def shown(self, y_hat: Tensor, rates: Sequence[int], channels: int) -> Tensor:
        """The same, of a part that fits into memory, before it is rounded, with gradients: y_hat [B, M, h, w] float32
        -> samples - 1/2 [B, 16 h, 16 w, C] float32, nominally in [-1/2, 1/2]. Raises MissingExtra without torch.
        """
        ...


class WindowedTransform(Transform):
    """Windows and borders: a transform of pictures but for the networks themselves, which subclasses run.

    reach_a, reach_s: how many latents beyond an output's own position, on each side, g_a and g_s look at; window: by
    kind of device.
    """

    down: tuple[int, ...] = DOWN, DOWN
    depth = 1
    """Levels above y, at most."""

    def __init__(self, *, reach_a: int, reach_s: int, window: Mapping[str, int], place: str):
        self.reach_a, self.reach, self.place = reach_a, reach_s, place
        self.window = window.get(self.device.partition(":")[0], window["cpu"])

    def _y(self, samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Samples [B, 16 h, 16 w, 3], or [.., 1] for grey, as integers; index [B] float32 in [0, 63] -> y [B, M, h, w]
        float32.
        """
        raise NotImplementedError

    def _above(self, y: np.ndarray, index: np.ndarray, n: int) -> np.ndarray | None:
        """Level n [B, C, h, w], h and w multiples of 4, y being level 0 -> the level above it [B, Z, h/4, w/4] float32,
        or None.
        """
        raise NotImplementedError

    def _samples(self, y_hat: np.ndarray, index: np.ndarray, layout: PictureLayout) -> np.ndarray:
        """y_hat [B, M, h, w] int32 -> samples [B, 16 h, 16 w, C], of the layout's type. Raises ModelError."""
        raise NotImplementedError

    def log_gains(self, index: np.ndarray) -> np.ndarray:
        """By how much y is scaled at indices [B]: [B, M] float32, logarithms; 0 where a rate means nothing."""
        return np.zeros((len(index), 1), np.float32)

    def analyse(self, samples: Sequence[np.ndarray], rates: Sequence[int]) -> np.ndarray:
        """See `Transform`; borders are replicated to multiples of 16."""
        x = np.stack(samples) if len(samples) > 1 else samples[0][None]
        x, index = x.reshape(*x.shape[:3], -1), _index(rates)  # [B, H, W, C]
        h, w = (-(-side // d) for side, d in zip(x.shape[1:3], self.down, strict=True))
        y = None
        parts = list(windows(h, w, self.reach_a, self.window // len(x)))
        for window in told("analysis", parts, len(parts)):
            part = self._y(cut(x, window.take, self.down), index)
            if part.shape[2:] == (h, w):
                return np.ascontiguousarray(part)
            if y is None:
                y = np.empty((*part.shape[:2], h, w), np.float32)
            y[:, :, *window.core] = part[:, :, *window.keep]
        assert y is not None, "a picture has at least one window"
        return y

    def above(self, y: np.ndarray, rates: Sequence[int]) -> tuple[np.ndarray, ...]:
        """See `Transform`: z [B, Z, h/4, w/4], if there is one, and the levels above that."""
        levels: list[np.ndarray] = []
        for n in range(self.depth):
            missing = [(0, -side % 4) for side in y.shape[-2:]]
            found = self._above(np.pad(y, [(0, 0), (0, 0), *missing], mode="edge"), _index(rates), n)
            if found is None:
                break
            levels.append(y := found)
        return tuple(reversed(levels))

    def synthesise(self, y_hat: np.ndarray, rates: Sequence[int], layout: PictureLayout) -> np.ndarray:
        """See `Transform`."""
        b, _, h, w = y_hat.shape
        down, index = self.down, _index(rates)
        out = None
        parts = list(windows(h, w, self.reach, self.window // b))
        for window in told("synthesis", parts, len(parts)):
            part = self._samples(y_hat[:, :, *window.take], index, layout)
            if part.shape[1:3] == (down[0] * h, down[1] * w):
                return part
            if out is None:
                out = np.empty((b, down[0] * h, down[1] * w, layout.channels), part.dtype)
            out[:, *pixels(window.core, down)] = part[:, *pixels(window.keep, down)]
        assert out is not None, "a picture has at least one window"
        return out


def _index(rates: Sequence[int]) -> np.ndarray:
    return np.asarray(rates, np.float32) / np.float32(QUALITY_ONE)


def dtype_of(layout: PictureLayout) -> type[np.unsignedinteger]:
    """Of samples of a picture."""
    return np.uint8 if layout.bit_depth == 8 else np.uint16


def cut(x: np.ndarray, where: Sequence[slice], down: Sequence[int]) -> np.ndarray:
    """The samples of positions of y: x [B, H, W, C], rows and columns of y -> a part of its own, its borders replicated
    where x ends before y does.
    """
    rows, columns = pixels(where, down)
    part = x[:, rows, columns]
    missing = rows.stop - rows.start - part.shape[1], columns.stop - columns.start - part.shape[2]
    if any(missing):
        return np.pad(part, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    return np.array(part)


def pixels(where: Sequence[slice], down: Sequence[int]) -> tuple[slice, ...]:
    """Slices of y -> those of the samples."""
    return tuple(slice(d * s.start, d * s.stop) for s, d in zip(where, down, strict=True))
