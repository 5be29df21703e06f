"""Transforms: samples to latents and back, the float half of a codec with loss. The entropy model is the other half.

    samples -> analyse -> y -> tiles -> above -> levels above y      y_hat -> synthesise -> samples

A transform works on windows of the picture with a margin as wide as it looks, so memory is bounded and windows leave
no seams. It knows of no tiles, bytes or tables, and whatever codes integers can stand below it: frames of a video go
the same way to y, and come back from y_hat.

Guarantee: what a transform computes reaches the coder only by a rounding in the encoder. It is float and differs
between machines, and nothing decoded later depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...bitstream import QUALITY_ONE, PictureLayout
from ...entropy.latents import MEAN_BITS
from ...errors import ModelError
from . import DOWN
from .windows import windows

__all__ = ["Transform", "WindowedTransform", "centred", "cut", "dtype_of", "pixels"]


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
    device: torch.device
    """Where it runs, and its tensors are."""

    def analyse(self, samples: Sequence[np.ndarray], rates: Sequence[int]) -> Tensor:
        """Colour samples of one shape, uint8 or uint16, [H, W] or [H, W, 3] each -> y [B, M, h, w] float32, real
        numbers that wait to be rounded; h and w are H / 16 and W / 16, rounded up.
        """
        ...

    def above(self, y: Tensor, rates: Sequence[int]) -> tuple[Tensor, ...]:
        """y of units of one size [B, M, h, w] -> the levels above it, coarsest first; none where there is none. y is
        computed from the whole, these from what is decoded alone.
        """
        ...

    def synthesise(self, y_hat: np.ndarray, rates: Sequence[int], layout: PictureLayout) -> Tensor:
        """y_hat [B, M, h, w] int32 in units of 2^-MEAN_BITS -> colour samples [B, 16 h, 16 w, C], of the channels and
        bit depth of the layout. Raises ModelError for numbers that are not finite.
        """
        ...

    def shown(self, y_hat: Tensor, rates: Sequence[int], channels: int) -> Tensor:
        """The same, of a part that fits into memory, before it is rounded, with gradients: y_hat [B, M, h, w] float32
        -> samples - 1/2 [B, 16 h, 16 w, C] float32, nominally in [-1/2, 1/2].
        """
        ...


class WindowedTransform:
    """Windows, borders, rounding: a transform of pictures but for the networks themselves, which subclasses run.

    g_a, g_s: their networks; h_a: from y and index to the one level above, for heights and widths that are multiples of
    4, or None; reach_a, reach_s: how many latents beyond an output's own position, on each side, g_a and g_s look at;
    window: by kind of device.
    """

    down: tuple[int, ...] = DOWN, DOWN

    def __init__(
        self,
        g_a: Any,
        h_a: Any,
        g_s: Any,
        *,
        reach_a: int,
        reach_s: int,
        window: Mapping[str, int],
        device: torch.device,
    ):
        self.g_a, self.h_a, self.g_s = g_a, h_a, g_s
        self.reach_a, self.reach = reach_a, reach_s
        self.window = window.get(device.type, window["cpu"])
        self.device = device

    def _y(self, samples: Tensor, index: Tensor) -> Tensor:
        """Samples [B, 16 h, 16 w, 3], or [.., 1] for grey, as integers -> y [B, M, h, w]."""
        raise NotImplementedError

    def _shown(self, y_hat: Tensor, index: Tensor) -> Tensor:
        """y_hat [B, M, h, w] -> samples - 1/2 [..., 3] float32, in an arrangement of its own."""
        raise NotImplementedError

    def _arranged(self, samples: Tensor) -> Tensor:
        """What `_shown` gives, of any type and number of colours -> [B, 16 h, 16 w, C]."""
        raise NotImplementedError

    def analyse(self, samples: Sequence[np.ndarray], rates: Sequence[int]) -> Tensor:
        """See `Transform`; borders are replicated to multiples of 16."""
        x = np.stack(samples) if len(samples) > 1 else samples[0][None]
        x, index = x.reshape(*x.shape[:3], -1), self._index(rates)  # [B, H, W, C]
        h, w = (-(-side // d) for side, d in zip(x.shape[1:3], self.down, strict=True))
        y = None
        for window in windows(h, w, self.reach_a, self.window // len(x)):
            part = self._y(torch.from_numpy(cut(x, window.take, self.down)).to(self.device), index)
            if y is None:
                y = torch.empty(len(x), part.shape[1], h, w, dtype=torch.float32, device=self.device)
            y[:, :, *window.core] = part[:, :, *window.keep]
        assert y is not None, "a picture has at least one window"
        return y

    def above(self, y: Tensor, rates: Sequence[int]) -> tuple[Tensor, ...]:
        """See `Transform`: z [B, Z, h/4, w/4], if there is one."""
        if self.h_a is None:
            return ()
        h, w = y.shape[-2:]
        return (self.h_a(F.pad(y, (0, -w % 4, 0, -h % 4), mode="replicate"), self._index(rates)),)

    @torch.inference_mode()
    def synthesise(self, y_hat: np.ndarray, rates: Sequence[int], layout: PictureLayout) -> Tensor:
        """See `Transform`."""
        b, _, h, w = y_hat.shape
        peak, dtype = 2**layout.bit_depth - 1, dtype_of(layout)
        down, index = self.down, self._index(rates)
        with torch.inference_mode(False):  # what leaves the codec may be written to
            out = torch.empty(b, down[0] * h, down[1] * w, layout.channels, dtype=dtype, device=self.device)
        for window in windows(h, w, self.reach, self.window // b):
            part = torch.from_numpy(y_hat[:, :, *window.take]).to(self.device).float().mul_(2.0**-MEAN_BITS)
            shown = self._shown(part, index)
            if not all(map(isfinite, torch.stack(shown.aminmax()).tolist())):
                raise ModelError("the model's synthesis gave a number that is not finite")
            shown = _coloured(shown, layout.channels).add_(0.5).mul_(peak).round_().clamp_(0, peak).to(dtype)
            out[:, *pixels(window.core, down)] = self._arranged(shown)[:, *pixels(window.keep, down)]
        return out

    def shown(self, y_hat: Tensor, rates: Sequence[int], channels: int) -> Tensor:
        """See `Transform`."""
        return self._arranged(_coloured(self._shown(y_hat, self._index(rates)), channels))

    def _index(self, rates: Sequence[int]) -> Tensor:
        return torch.tensor(rates, dtype=torch.float32, device=self.device) / QUALITY_ONE


def dtype_of(layout: PictureLayout) -> torch.dtype:
    """Of samples of a picture."""
    return torch.uint8 if layout.bit_depth == 8 else torch.uint16


def centred(samples: Tensor) -> Tensor:
    """uint8 or uint16, of any shape -> x - 1/2 as float32, x in [0, 1]."""
    return samples.float().mul_(1 / (255 if samples.element_size() == 1 else 65535)).sub_(0.5)


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


def _coloured(shown: Tensor, channels: int) -> Tensor:
    """Grey is the mean of three colours."""
    return shown.mean(-1, keepdim=True) if channels == 1 else shown
