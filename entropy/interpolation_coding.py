"""The interpolation model frozen for coding: integers only, one traversal for both directions.

    1 x 1 sample -> [level: luma, chroma of 11, 01, 10] -> ... -> picture     for a coder that writes or reads

Everything that the coder is given follows from integers computed exactly (see `interpolation`, `interpolation_network`,
`mixture`), so that a file decodes to the same samples on every machine, thread count and device. Phases are walked in
strips of rows, so that memory does not grow with the picture beyond its samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptFile, ModelError
from .arrays import (
    Array,
    different,
    indices,
    placed,
    plain,
    single,
    stacked,
    unrecorded,
    whole,
    zeros,
)
from .coder import RowCoder
from .digest import parse_digest
from .guard import guarded
from .interpolation import PHASES, View, differences, halves, split_phases
from .interpolation_layers import FrozenNetwork, config_of, layers_of, rows_of
from .interpreter import Interpreter
from .mixture import LEAF_TABLES, Leaves, uniform
from .place import place_of
from .runtime import verified

if TYPE_CHECKING:
    from .interpolation_network import InterpolationNetwork

__all__ = ["InterpolationCoding"]

STRIP = 2**15
"""Targets that are coded together, about: strips are whole rows. Part of the format."""


class InterpolationCoding:
    """tensors: what `freeze` returns and a model file holds: `config` int32, the tables of `mixture.leaf_tables`, and
    weight (int16), bias (int32), bits (int8) of each layer. Raises ModelError when they do not fit together. Threads
    may share one.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], device: str = "cpu"):
        self.device = place_of(device)
        runtime = verified(self.device)
        if isinstance(runtime, Interpreter) and runtime.wide:
            raise ModelError(f"sums of integers in float32 are not exact on {device}: this device cannot code")
        if "config" not in tensors:
            raise ModelError("the model's config is damaged")
        config = config_of(tensors["config"])
        expected = {f"{name}.{part}" for name in layers_of(config) for part in ("weight", "bias", "bits")}
        expected |= {"config", *LEAF_TABLES}
        if set(tensors) != expected:
            raise ModelError(f"the model's tensors are not those of its config: {sorted(set(tensors) ^ expected)[:3]}")
        self._network = FrozenNetwork(config, tensors, self.device)
        self._leaves = Leaves(tensors, self.device)
        self._tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}

    @classmethod
    def freeze(cls, network: InterpolationNetwork) -> dict[str, np.ndarray]:
        """The tensors of a trained network. Raises ModelError."""
        from .interpolation_network import ShiftLayer, frozen_weights
        from .mixture_tables import leaf_tables

        tensors = {"config": np.array(list(asdict(network.config).values()), np.int32), **leaf_tables()}
        for name in layers_of(network.config):
            layer = network.get_submodule(name)
            assert isinstance(layer, ShiftLayer)
            weight, bias, bits = (t.cpu().numpy() for t in frozen_weights(layer))
            if np.abs(weight).max() > 2**15 - 1:
                raise ModelError(f"layer {name} has weights beyond 16 bits")
            tensors |= {f"{name}.weight": weight.astype(np.int16), f"{name}.bias": bias.astype(np.int32)}
            tensors[f"{name}.bits"] = bits.astype(np.int8)
        cls(tensors)
        return tensors

    def digest(self) -> bytes:
        """The parse digest: 8 bytes over everything integer that decoding depends on."""
        return parse_digest(
            {"model": "interpolation 0", "strip": STRIP}, {**self._tensors, "leaves": self._leaves.table}
        )

    @guarded
    def traverse(
        self, coder: RowCoder, height: int, width: int, channels: int, depth: int, picture: np.ndarray | None
    ) -> np.ndarray:
        """Code one picture. channels: 1 or 3; depth: bits of a sample, 8 or 16; picture: int32 [height, width,
        channels], luma and two chroma channels (YCoCg-R), or None when the coder reads -> the picture, int32 [height,
        width, channels]. Raises CorruptFile for data that no encoder writes.
        """
        sizes = halves(height, width)
        with unrecorded():
            levels: list[Array | None] = [None] * len(sizes)
            if picture is not None:
                planes = np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)
                levels[0] = placed(planes, self.device)
                for n in range(1, len(sizes)):
                    levels[n] = levels[n - 1][:, ::2, ::2]  # pyright: ignore[reportOptionalSubscript]
            known = self._first(coder, channels, depth, levels[-1])
            for n in reversed(range(len(sizes) - 1)):
                known = self._level(coder, n, known, sizes[n], channels, depth, levels[n])
            return np.ascontiguousarray(plain(known).transpose(1, 2, 0), np.int32)

    def _first(self, coder: RowCoder, channels: int, depth: int, given: Array | None) -> Array:
        """The one sample of the coarsest level: [channels, 1, 1]."""
        out = []
        for c in range(channels):
            offset, bits = (0, depth) if c == 0 else (1 << depth, depth + 1)
            value = None if given is None else whole(given[c, 0]) + offset
            out.append(uniform(coder, value, bits, 1, self.device) - offset)
        return single(stacked(out, 0))[:, None]

    def _level(
        self,
        coder: RowCoder,
        level: int,
        known: Array,
        size: tuple[int, int],
        channels: int,
        depth: int,
        given: Array | None,
    ) -> Array:
        """known: [channels, ceil(h/2), ceil(w/2)], plane 00 -> the level, [channels, h, w]."""
        network, deep = self._network, depth > 8
        group = min(level, network.config.groups - 1)
        out = zeros((3, *size), known)  # a grey picture has flat chroma
        out[:channels, ::2, ::2] = known
        planes = [split_phases(c[None]) for c in out]  # views: what is coded shows up in them
        steps = differences([p[0, 0] for p in planes], deep)
        context = network.context(group, steps, max(1, STRIP // steps.shape[2]))
        for c in range(0, channels, 2):  # luma, then chroma
            for n, phase in enumerate(PHASES):
                _, h, w = planes[0][phase.target].shape
                if not h * w:
                    continue
                view = View(phase, planes, h, w, deep)
                row, column = phase.target
                target = None if given is None else given[:, row::2, column::2]
                for rows in _strips(h, w):
                    near = single(context[0, rows, :w].reshape(-1, context.shape[-1]))
                    if c == 0:
                        self._luma(coder, group, n, view, near, rows, depth, target)
                    else:
                        self._chroma(coder, group, n, view, near, rows, depth, target)
        return out[:channels]

    def _luma(self, coder, group: int, n: int, view: View, near: Array, rows: slice, depth: int, given) -> None:
        trunk = self._network.trunk(False, group, n)
        seen, mean, shift = view.luma(rows)
        seen = rows_of(seen)
        parts = trunk.head(0, trunk.features(seen, near, True), seen, None, True)
        view.put(0, rows, self._samples(coder, parts, mean, shift, 0, depth, given, rows))

    def _chroma(self, coder, group: int, n: int, view: View, near: Array, rows: slice, depth: int, given) -> None:
        trunk = self._network.trunk(True, group, n)
        seen, means, shifts, windows = view.chroma(rows)
        seen = rows_of(seen)
        features = trunk.features(seen, near, True)
        own = None
        for c in (1, 2):
            parts = trunk.head(c - 1, features, seen, own, True)
            found = self._samples(coder, parts, means[c - 1], shifts[c - 1], c, depth, given, rows)
            view.put(c, rows, found)
            if c == 1:
                own = rows_of(view.own(found - means[0], shifts[0], windows))

    def _samples(
        self,
        coder: RowCoder,
        parts: tuple[Array, Array, Array],
        mean: Array,
        shift: Array | None,
        channel: int,
        depth: int,
        given: Array | None,
        rows: slice,
    ) -> Array:
        """Code the samples of one channel of a strip: [1, h, w]. What a shift leaves over is coded as it is."""
        reference = whole(mean.reshape(-1))
        low, high = (-(1 << depth) + 1 if channel else 0) - reference, (1 << depth) - 1 - reference
        step = None if given is None else whole(given[channel, rows].reshape(-1)) - reference
        if shift is None:
            step = self._leaves.code(coder, *parts, low, high, step)
        else:
            bits = whole(shift.reshape(-1))
            coarse = None if step is None else step >> bits
            coarse = self._leaves.code(coder, *parts, low >> bits, high >> bits, coarse)
            found = coarse << bits
            for n in different(bits):
                chosen = indices(bits == n)
                rest = None if step is None else (step - found)[chosen]
                found[chosen] += uniform(coder, rest, n, len(chosen), self.device)
            step = found
        if bool(((step < low) | (step > high)).any()):
            raise CorruptFile("coded data does not decode: a sample out of range")
        return single(step + reference).reshape(mean.shape)


def _strips(height: int, width: int) -> list[slice]:
    rows = max(1, STRIP // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
