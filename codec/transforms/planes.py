"""Planes with borders of zeros, and the blocks of the image transforms on them, in numpy.

    x [N, B, H, W] -> Grid.put -> [N, length] -> blocks, strip by strip -> [N, length] -> Grid.view -> [N, B, H, W]

All pictures of a batch lie in one plane, one below the other, row after row, with one column of border before each row
and one row of border before each picture: the border of a picture's right edge is that of its next row's left edge. So
a neighbour is a fixed number of places away for all positions at once, and a 3 x 3 convolution of each channel is nine
products of long runs with a number each, which numpy does as fast as a library for networks. What stands in the borders
between the blocks is meaningless: a block clears them after its first product.

Blocks are worked on in strips of rows, in several threads where the process may have them, and within a strip a few
channels at a time, so that what is computed stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .sizes import LIMIT, STRIP, TransformConfig

__all__ = ["Chain", "Grid", "Mapped", "clamp", "convolved", "silu"]

CACHED = 2**16
"""Numbers of a plane that are worked on at a time: 256 kB."""
Mapped = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""See `entropy.parallel.pooled`."""


@dataclass(frozen=True)
class Grid:
    """Where `batch` pictures of height x width positions are in a plane."""

    batch: int
    height: int
    width: int

    @property
    def pitch(self) -> int:
        """Places from row to row."""
        return self.width + 1

    @property
    def rows(self) -> int:
        """Of the plane, from the border above the first picture to the one below the last."""
        return self.batch * (self.height + 1) + 1

    def empty(self, channels: int) -> np.ndarray:
        """Planes of zeros [channels, length] float32: the rows, and a border behind the last."""
        return np.zeros((channels, self.rows * self.pitch + 1), np.float32)

    def view(self, planes: np.ndarray) -> np.ndarray:
        """The positions of planes, [N, B, H, W], without the borders."""
        (channel, one), pitch = planes.strides, self.pitch
        return as_strided(
            planes[:, pitch + 1 :],
            (len(planes), self.batch, self.height, self.width),
            (channel, (self.height + 1) * pitch * one, pitch * one, one),
        )

    def put(self, x: np.ndarray) -> np.ndarray:
        """x [N, B, H, W] or of as many numbers -> planes."""
        planes = self.empty(len(x))
        self.view(planes)[...] = x.reshape(len(x), self.batch, self.height, self.width)
        return planes

    def strips(self, threads: int = 1) -> list[range]:
        """All rows but the borders at both ends, some at a time, and at least one strip for each thread if they are not
        tiny.
        """
        inner = self.rows - 2
        count = max(-(-inner * self.pitch // STRIP), min(threads, inner * self.pitch // (STRIP // 4)), 1)
        step = max(1, -(-inner // count))
        return [range(top, min(top + step, inner + 1)) for top in range(1, inner + 1, step)]

    def seen(self, rows: range) -> slice:
        """The places of a strip's rows and of one row more on either side."""
        return slice((rows.start - 1) * self.pitch, (rows.stop + 1) * self.pitch + 1)

    def own(self, rows: range) -> slice:
        """The places of a strip from its first position to its last: `convolved` of what it sees."""
        return slice(rows.start * self.pitch + 1, rows.stop * self.pitch)

    def clear(self, seen: np.ndarray, rows: range) -> None:
        """Set the borders of what a strip sees to 0."""
        seen[:, :: self.pitch] = 0
        for row in range(rows.start - 1, rows.stop + 1):
            if row % (self.height + 1) == 0:
                place = (row - rows.start + 1) * self.pitch
                seen[:, place : place + self.pitch] = 0


def convolved(seen: np.ndarray, kernel: np.ndarray, bias: np.ndarray, grid: Grid) -> np.ndarray:
    """What a strip sees [N, n], its borders cleared; kernel [N, 3, 3], bias [N] -> each channel's 3 x 3 convolution at
    the strip's own places.
    """
    count, pitch = seen.shape[1] - 2 * grid.pitch - 2, grid.pitch
    out = np.empty((len(seen), count), np.float32)
    product = np.empty((_together(count), count), np.float32)
    for part in _parts(len(seen), count):
        a, k, sums = seen[part], kernel[part][..., None], out[part]
        each = product[: len(a)]
        np.multiply(a[:, pitch + 1 : pitch + 1 + count], k[:, 1, 1], out=sums)
        for n in (0, 1, 2, 3, 5, 6, 7, 8):
            i, j = divmod(n, 3)
            first = i * pitch + j
            sums += np.multiply(a[:, first : first + count], k[:, i, j], out=each)
        sums += bias[part, None]
    return out


def silu(x: np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
    """x [N, n] / (1 + exp(-x)); into: an array that is multiplied by it instead."""
    out = np.empty(x.shape, np.float32) if into is None else into
    scratch = np.empty((_together(x.shape[1]), x.shape[1]), np.float32)
    for part in _parts(*x.shape):
        below = scratch[: part.stop - part.start]
        np.exp(np.negative(x[part], out=below), out=below)
        below += 1
        if into is None:
            np.divide(x[part], below, out=out[part])
        else:
            out[part] *= np.divide(x[part], below, out=below)
    return out


def clamp(x: np.ndarray, low: float = -LIMIT, high: float = LIMIT) -> np.ndarray:
    """x within [low, high], in place: by two operations that take less than half of the time of numpy's clip."""
    return np.minimum(np.maximum(x, np.float32(low), out=x), np.float32(high), out=x)


def _together(count: int) -> int:
    return max(1, CACHED // max(count, 1))


def _parts(channels: int, count: int) -> Iterator[slice]:
    """Channels that are worked on together, of `count` numbers each."""
    for first in range(0, channels, _together(count)):
        yield slice(first, min(first + _together(count), channels))


class _Block:
    """x -> clamp(x + W_o f(x)), see `image.Block`: what differs between blocks is f, `inner`."""

    def __init__(self, weights: Mapping[str, np.ndarray], name: str):
        self._enter, self._enter_bias = weights[f"{name}.project_in.weight"], weights[f"{name}.project_in.bias"]
        self._leave, self._leave_bias = weights[f"{name}.project_out.weight"], weights[f"{name}.project_out.bias"]

    def inner(self, seen: np.ndarray, rows: range, grid: Grid) -> np.ndarray:
        """What a strip sees of x -> f at its own places."""
        raise NotImplementedError

    def run(self, x: np.ndarray, grid: Grid, strips: Sequence[range], mapped: Mapped) -> np.ndarray:
        """Planes -> planes."""
        out = grid.empty(len(x))

        def strip(rows: range) -> None:
            with np.errstate(all="ignore"):  # whatever the program around has set
                found = self.inner(x[:, grid.seen(rows)], rows, grid)
                own = out[:, grid.own(rows)]
                np.matmul(self._leave, found, out=own)
                for part in _parts(*own.shape):
                    o = own[part]
                    o += self._leave_bias[part, None]
                    o += x[part, grid.own(rows)]
                    clamp(o)

        mapped(strip, strips)
        return out

    def _entered(self, seen: np.ndarray) -> np.ndarray:
        a = np.matmul(self._enter, seen)
        for part in _parts(*a.shape):
            a[part] += self._enter_bias[part, None]
        return a


class _Gated(_Block):
    """f(x) = DW(a) * silu(b), with a and b two pointwise projections of x."""

    def __init__(self, weights: Mapping[str, np.ndarray], name: str):
        super().__init__(weights, name)
        self._kernel, self._bias = weights[f"{name}.depthwise.weight"][:, 0], weights[f"{name}.depthwise.bias"]

    def inner(self, seen: np.ndarray, rows: range, grid: Grid) -> np.ndarray:
        both = self._entered(seen)
        a, b = both[: len(both) // 2], both[len(both) // 2 :]
        grid.clear(a, rows)
        first = grid.pitch + 1
        out = convolved(a, self._kernel, self._bias, grid)
        return silu(b[:, first : first + out.shape[1]], into=out)


class _Residual(_Block):
    """f(x) = silu(conv(silu(W_i x)))."""

    def __init__(self, weights: Mapping[str, np.ndarray], name: str):
        super().__init__(weights, name)
        self._kernel, self._bias = weights[f"{name}.spatial.weight"], weights[f"{name}.spatial.bias"]

    def inner(self, seen: np.ndarray, rows: range, grid: Grid) -> np.ndarray:
        a = silu(self._entered(seen))
        grid.clear(a, rows)
        count = a.shape[1] - 2 * grid.pitch - 2
        out = np.repeat(self._bias[:, None], count, 1)
        for n in range(9):
            i, j = divmod(n, 3)
            first = i * grid.pitch + j
            out += np.matmul(np.ascontiguousarray(self._kernel[:, :, i, j]), a[:, first : first + count])
        return silu(out)


_BLOCKS: dict[str, type[_Block]] = {"gated": _Gated, "residual": _Residual}


class Chain:
    """A chain of blocks. weights: those of a network; name: "blocks8" or "blocks16"; count: of blocks."""

    def __init__(self, weights: Mapping[str, np.ndarray], name: str, count: int, config: TransformConfig):
        self._blocks = [_BLOCKS[config.block](weights, f"{name}.{n}") for n in range(count)]

    def __call__(self, planes: np.ndarray, grid: Grid, mapped: Mapped, threads: int) -> np.ndarray:
        """Planes -> planes; those given are overwritten."""
        clamp(planes)
        strips = grid.strips(threads)
        for block in self._blocks:
            planes = block.run(planes, grid, strips, mapped)
        return planes
