"""The image transforms in numpy, where torch is not needed: the same networks as `image`, for coding alone.

    samples -> rows of 8 x 8 blocks -> g_a -> y -> h_a -> z        y_hat -> g_s -> rows of 8 x 8 blocks -> samples

On one thread they take as long as torch's, without the second that importing torch takes. What they compute differs
from torch's by roundings: y_hat does not, and samples by at most one grey level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...bitstream import PictureLayout
from ...entropy.hyper_config import HyperConfig
from ...entropy.latents import MEAN_BITS
from ...entropy.parallel import pooled, threads
from ...entropy.place import NUMPY
from ...entropy.rate import QUALITY_LEVELS
from ...errors import ModelError
from .planes import Chain, Grid, Mapped, clamp, convolved, silu
from .sizes import TransformConfig
from .transform import Transform, WindowedTransform, dtype_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PlainImageTransform"]


class PlainImageTransform(WindowedTransform):
    """weights: of g_a, h_a and g_s, float32 by name; config, hyper: their sizes; twin: gives the same transform in
    torch, for gradients. The other arguments are those of `WindowedTransform`.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        config: TransformConfig,
        hyper: HyperConfig | None,
        *,
        twin: Callable[[], Transform],
        reach_a: int,
        reach_s: int,
        window: Mapping[str, int],
    ):
        super().__init__(reach_a=reach_a, reach_s=reach_s, window=window, place=NUMPY)
        networks: dict[str, dict[str, np.ndarray]] = {"g_a": {}, "h_a": {}, "g_s": {}}
        for name, array in weights.items():
            network, _, rest = name.partition(".")
            networks[network][rest] = array
        self._g_a, self._h_a, self.depth = _Analysis(networks["g_a"], config), [], 0 if hyper is None else hyper.levels
        for n in range(self.depth):
            prefix = "above." * n
            own = {name[len(prefix) :]: a for name, a in networks["h_a"].items() if name.startswith(prefix)}
            self._h_a.append(_HyperAnalysis(own))
        self._gain_y = networks["g_a"]["gain_y.value"]
        self._g_s, self._make_twin = _Synthesis(networks["g_s"], config), twin

    def log_gains(self, index: np.ndarray) -> np.ndarray:
        return log_gains(self._gain_y, index)

    def _y(self, samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self._g_a(samples, index)

    def _above(self, y: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self._h_a[n](y, index)

    def _samples(self, y_hat: np.ndarray, index: np.ndarray, layout: PictureLayout) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self._g_s(y_hat, index, layout)

    @cached_property
    def _twin(self) -> Transform:
        return self._make_twin()

    def shown(self, y_hat: Tensor, rates: Sequence[int], channels: int) -> Tensor:
        """See `Transform`."""
        return self._twin.shown(y_hat, rates, channels)


def gains(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    """exp of `log_gains`."""
    return np.exp(log_gains(table, index))


def log_gains(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    """An `IndexTable`'s values [knots, C] at index [B] -> [B, C]."""
    last = len(table) - 1
    position = index.clip(0, QUALITY_LEVELS - 1) * np.float32(last / (QUALITY_LEVELS - 1))
    below = np.minimum(np.floor(position), last - 1).astype(np.intp)
    low, high = table[below], table[below + 1]
    return low + (position - below).astype(np.float32)[:, None] * (high - low)


def _by_picture(gain: np.ndarray) -> np.ndarray:
    """[B, C] -> what multiplies [C, B, H, W]."""
    return np.ascontiguousarray(gain.T)[:, :, None, None]


def _folded(x: np.ndarray) -> np.ndarray:
    """[C, B, 2h, 2w] -> [4 C, B, h, w], in the order of pixel_unshuffle."""
    c, b, h, w = x.shape
    return x.reshape(c, b, h // 2, 2, w // 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(4 * c, b, h // 2, w // 2)


def _spread(x: np.ndarray, into: np.ndarray) -> None:
    """x [4 C, B, h, w] -> into [C, B, 2h, 2w], in the order of pixel_shuffle."""
    for place in range(4):
        into[:, :, place // 2 :: 2, place % 2 :: 2] = x[place::4]


def _applied(weight: np.ndarray, bias: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A 1x1 convolution: weight [o, i] and bias [o] on x [i, ...] -> [o, ...]."""
    out = np.matmul(weight, x.reshape(len(x), -1))
    out += bias[:, None]
    return out.reshape(len(out), *x.shape[1:])


class _Analysis:
    """g_a: samples [B, 16 h, 16 w, 1 or 3] as integers, index [B] -> y [B, M, h, w]."""

    def __init__(self, w: Mapping[str, np.ndarray], config: TransformConfig):
        stem = w["stem.weight"].reshape(-1, config.channels, 8, 8)
        # By the places in a block and the colours, as samples have them; grey has all colours in one.
        self._stem = {3: _rows(stem), 1: _rows(stem.sum(1, keepdims=True))}
        self._linear: dict[int, np.ndarray] = {}
        if config.linear:
            beside = w["linear.weight"].reshape(-1, config.channels, 8, 8, 2, 2).transpose(0, 1, 4, 2, 5, 3)
            beside = beside.reshape(-1, config.channels, 16, 16)
            self._linear = {3: _rows(beside), 1: _rows(beside.sum(1, keepdims=True))}
        self._blocks8 = Chain(w, "blocks8", config.analysis8, config)
        self._blocks16 = Chain(w, "blocks16", config.analysis16, config)
        self._w = w

    def __call__(self, samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        w = self._w
        grid8 = Grid(len(samples), samples.shape[1] // 8, samples.shape[2] // 8)
        grid16 = Grid(grid8.batch, grid8.height // 2, grid8.width // 2)
        count = threads()
        strips = list(_bands(grid8, count))
        planes = grid8.empty(len(w["stem.bias"]))
        view = grid8.view(planes)

        def enter(strip: tuple[int, slice]) -> None:
            with np.errstate(all="ignore"):
                x = _blocks_of(samples, strip, 8)
                found = np.matmul(self._stem[samples.shape[3]], x.T)
                found += w["stem.bias"][:, None]
                picture, rows = strip
                view[:, picture, rows] = found.reshape(len(found), -1, grid8.width)

        with pooled(count) as mapped:
            mapped(enter, strips)
            planes = self._blocks8(planes, grid8, mapped, count)
            h = _folded(grid8.view(planes) * _by_picture(gains(w["gain8.value"], index)))
            planes = grid16.put(_applied(w["down.weight"], w["down.bias"], h))
            planes = self._blocks16(planes, grid16, mapped, count)
        y = grid16.view(_applied(w["head.weight"], w["head.bias"], planes))
        if self._linear:
            beside = [_blocks_of(samples, (b, slice(0, grid16.height)), 16) for b in range(grid16.batch)]
            found = np.matmul(self._linear[samples.shape[3]], np.concatenate(beside).T) + w["linear.bias"][:, None]
            y = y + found.reshape(y.shape)
        return np.ascontiguousarray((y * _by_picture(gains(w["gain_y.value"], index))).transpose(1, 0, 2, 3))


def _rows(weight: np.ndarray) -> np.ndarray:
    """[o, C, n, n] -> [o, n n C], in the order of the samples of a block."""
    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1).reshape(len(weight), -1))


def _bands(grid: Grid, count: int) -> list[tuple[int, slice]]:
    """Pictures and rows of them that are worked on at a time."""
    one = Grid(1, grid.height, grid.width)
    return [(b, slice(rows.start - 1, rows.stop - 1)) for b in range(grid.batch) for rows in one.strips(count)]


def _blocks_of(samples: np.ndarray, strip: tuple[int, slice], side: int) -> np.ndarray:
    """Rows of blocks of side x side pixels of a picture of [B, H, W, C] -> x - 1/2 by block, [blocks, side side C]."""
    picture, rows = strip
    x = samples[picture, side * rows.start : side * rows.stop]
    _, width, c = x.shape
    x = x.reshape(-1, side, width // side, side * c).transpose(0, 2, 1, 3).astype(np.float32)
    x *= np.float32(1 / (255 if samples.itemsize == 1 else 65535))
    x -= np.float32(0.5)
    return x.reshape(-1, side * side * c)


class _HyperAnalysis:
    """h_a: y [B, M, h, w], index [B] -> z [B, Z, h/4, w/4]; see `entropy.hyperprior.HyperAnalysis`."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._w = {name: a[:, :, 0, 0] if a.shape[2:] == (1, 1) else a for name, a in weights.items()}

    def __call__(self, y: np.ndarray, index: np.ndarray) -> np.ndarray:
        h = y.transpose(1, 0, 2, 3) * _by_picture(gains(self._w["gain_y.value"], index))
        h = np.copysign(np.log(np.abs(h) * np.float32(8) + np.float32(1)), h)
        h = self._mixed(self._activated("stem", _folded(h)), "2")
        h = self._mixed(self._activated("down", _folded(h)), "4")
        z = self._layer("head", h) * _by_picture(gains(self._w["gain_z.value"], index))
        return np.ascontiguousarray(z.transpose(1, 0, 2, 3))

    def _layer(self, name: str, x: np.ndarray) -> np.ndarray:
        return _applied(self._w[f"{name}.weight"], self._w[f"{name}.bias"], x)

    def _activated(self, name: str, x: np.ndarray) -> np.ndarray:
        found = self._layer(name, x)
        return silu(found.reshape(len(found), -1)).reshape(found.shape)

    def _mixed(self, h: np.ndarray, which: str) -> np.ndarray:
        """h + silu(wide(mix(h)))."""
        grid = Grid(*h.shape[1:])
        rows, planes, seen = range(1, grid.rows - 1), grid.empty(len(h)), grid.put(h)
        kernel, bias = self._w[f"mix{which}.weight"][:, 0], self._w[f"mix{which}.bias"]
        planes[:, grid.own(rows)] = convolved(seen, kernel, bias, grid)
        return h + self._activated(f"wide{which}", np.ascontiguousarray(grid.view(planes)))


class _Synthesis:
    """g_s: y_hat [B, M, h, w] int32 in units of 2^-MEAN_BITS, index [B] -> samples [B, 16 h, 16 w, C] of a layout."""

    def __init__(self, w: Mapping[str, np.ndarray], config: TransformConfig):
        colours = config.channels
        self._head, self._head_bias = (
            np.ascontiguousarray(a.reshape(colours, 64, -1).swapaxes(0, 1).reshape(64 * colours, -1))
            for a in (w["head.weight"], w["head.bias"])
        )
        self._linear: tuple[np.ndarray, np.ndarray] | None = None
        if config.linear:  # by the four places of blocks, and within each as the head
            weight, bias = (
                a.reshape(colours, 64, 4, -1).transpose(2, 1, 0, 3).reshape(256 * colours, -1)
                for a in (w["linear.weight"], w["linear.bias"])
            )
            self._linear = np.ascontiguousarray(weight), bias[:, 0]
        self._blocks8 = Chain(w, "blocks8", config.synthesis8, config)
        self._blocks16 = Chain(w, "blocks16", config.synthesis16, config)
        self._w, self._colours = w, colours

    def __call__(self, y_hat: np.ndarray, index: np.ndarray, layout: PictureLayout) -> np.ndarray:
        w, count = self._w, threads()
        batch, _, height, width = y_hat.shape
        grid16, grid8 = Grid(batch, height, width), Grid(batch, 2 * height, 2 * width)
        gain = gains(w["gain_y.value"], index) * np.float32(2.0**-MEAN_BITS)
        y = y_hat.transpose(1, 0, 2, 3) * _by_picture(gain)
        with pooled(count) as mapped:
            planes = grid16.put(_applied(w["stem.weight"], w["stem.bias"], y))
            planes = self._blocks16(planes, grid16, mapped, count)
            up = grid16.view(_applied(w["up.weight"], w["up.bias"], planes))
            planes = grid8.empty(len(up) // 4)
            view = grid8.view(planes)
            _spread(up, view)
            del up
            view *= _by_picture(gains(w["gain8.value"], index))
            planes = self._blocks8(planes, grid8, mapped, count)
            beside = None if self._linear is None else self._beside(y)
            return self._written(planes, grid8, beside, layout, mapped, count)

    def _beside(self, y: np.ndarray) -> np.ndarray:
        """The linear path: y [M, B, h, w] -> [B, 2h, 2w, 64 C]."""
        assert self._linear is not None
        weight, bias = self._linear
        _, b, h, w = y.shape
        found = np.matmul(y.reshape(len(y), -1).T, weight.T) + bias
        return found.reshape(b, h, w, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, -1)

    def _written(
        self,
        planes: np.ndarray,
        grid: Grid,
        beside: np.ndarray | None,
        layout: PictureLayout,
        mapped: Mapped,
        count: int,
    ) -> np.ndarray:
        """The head, and samples of what it gives."""
        dtype, peak, colours = dtype_of(layout), 2**layout.bit_depth - 1, self._colours
        out = np.empty((grid.batch, 8 * grid.height, 8 * grid.width, layout.channels), dtype)
        blocks = out.reshape(grid.batch, grid.height, 8, grid.width, 8 * layout.channels)

        def write(strip: tuple[int, slice]) -> None:
            with np.errstate(all="ignore"):
                picture, rows = strip
                first = (picture * (grid.height + 1) + 1 + rows.start) * grid.pitch + 1
                places = (rows.stop - rows.start) * grid.pitch
                shown = np.matmul(planes[:, first : first + places].T, self._head.T)
                shown += self._head_bias[:, 0]
                shown = shown.reshape(-1, grid.pitch, 64 * colours)[:, : grid.width]
                if beside is not None:
                    shown += beside[picture, rows]
                if not (np.isfinite(shown.min()) and np.isfinite(shown.max())):
                    raise ModelError("the model's synthesis gave a number that is not finite")
                if layout.channels == 1:
                    shown = shown.reshape(*shown.shape[:2], 64, colours).mean(3)
                shown += np.float32(0.5)
                shown *= np.float32(peak)
                clamp(np.rint(shown, out=shown), 0, peak)
                found = shown.astype(dtype).reshape(*shown.shape[:2], 8, -1)
                blocks[picture, rows] = found.transpose(0, 2, 1, 3)

        mapped(write, _bands(grid, count))
        return out
