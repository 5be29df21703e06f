"""A hidden Chow-Liu tree as a block coder: items of one shape, or pictures cut into patches of one shape.

    block of items [n, ...] -> values [n, V] -> CircuitCoding.traverse, several blocks at a time -> a body for each
    tile -> YCoCg-R -> patches, borders replicated -> the same

Blocks are worked on side by side in as many threads as torch has; what a block becomes does not depend on its
neighbours. Where torch cannot be imported numpy does the same, to the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any

import numpy as np

from ..entropy.circuit_coding import CircuitCoding
from ..entropy.coder import Reader, Writer
from ..entropy.digest import parse_digest
from ..entropy.runtime import load_torch
from ..errors import ModelError
from .colour import from_ycocg, to_ycocg
from .model_file import parse_tensors
from .side_by_side import side_by_side, threads

__all__ = ["CircuitCoder", "patches_of"]

TOGETHER = 2**19
"""Items times states that are worked on at once, on a GPU 8 times as many: 2048 items of a circuit of 256 states took
11 s for 10,000 of MNIST, 512 took 17 (two cores)."""
DIMENSIONS = 8
"""Items have no more: a set could not say them."""
CHROMA = 255
"""What is added to chroma, so that values count from 0."""


def patches_of(tile: np.ndarray, height: int, width: int) -> np.ndarray:
    """tile: uint8 [h, w] or [h, w, 3] -> its patches, row by row, [n, height * width * 3] int32: of each sample luma
    and both chroma channels from 0 to 510. Beyond the border those next to it stand.
    """
    rgb = np.repeat(tile[..., None], 3, 2) if tile.ndim == 2 else tile
    rows, columns = -(-rgb.shape[0] // height), -(-rgb.shape[1] // width)
    padding = (0, rows * height - rgb.shape[0]), (0, columns * width - rgb.shape[1]), (0, 0)
    planes = to_ycocg(np.pad(rgb, padding, mode="edge")) + np.array([0, CHROMA, CHROMA], np.int32)
    return planes.reshape(rows, height, columns, width, 3).swapaxes(1, 2).reshape(rows * columns, -1)


class CircuitCoder:
    """tensors: of a model file, `parse.*`; card: its card, with `item_shape`, and `patch` [height, width, 3] if it
    codes pictures. See `blocks.BlockCoder`. Threads may share one.

    Raises ModelError when the tensors are not a circuit that fits the card, or not what the card's digest says.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu"):
        load_torch()
        self._patch, self.parse_digest = None, b""
        self._circuit = CircuitCoding(parse_tensors(tensors), device, lambda circuit: self._accept(circuit, card))
        self._together = max(1, (TOGETHER << (3 if device != "cpu" else 0)) // self._circuit.states)

    def _accept(self, circuit: CircuitCoding, card: Mapping[str, Any]) -> None:
        """Compare a circuit with its card. Raises ModelError."""
        try:
            shape = [int(n) for n in card["patch" if "patch" in card else "item_shape"]]
            levels = 2 * CHROMA + 1 if "patch" in card else int(card["levels"])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ModelError("the card of a circuit says no item_shape or levels") from None
        if "patch" in card:
            self._patch = tuple(shape)
        wrong = len(shape) > DIMENSIONS or math.prod(shape) != circuit.variables
        if wrong or (self._patch and (len(self._patch) != 3 or self._patch[2] != 3)):
            raise ModelError(f"a circuit of {circuit.variables} variables does not fit its card")
        if levels != circuit.levels:
            raise ModelError(f"a circuit of {circuit.levels} levels does not fit its card")
        self.parse_digest = circuit.digest()
        if self._patch:
            self.parse_digest = parse_digest({"circuit": self.parse_digest.hex(), "patch": shape}, {})
        if card.get("parse_digest", self.parse_digest.hex()) != self.parse_digest.hex():
            raise ModelError("the model's tensors are not those that its digest names: it is damaged")

    def bits(self, blocks: Sequence[np.ndarray]) -> list[float]:
        """The model's -log2 p of each block: what `encode` should need."""
        return [float(self._circuit.bits(self._values(block)).sum()) for block in blocks]

    def encode(self, blocks: Sequence[np.ndarray]) -> list[bytes]:
        """Blocks of items [n, ...], or tiles [h, w] or [h, w, 3] if the circuit codes patches -> their bodies."""

        def code(part: Sequence[np.ndarray]) -> list[bytes]:
            values = [self._values(block) for block in part]
            writers = [Writer() for _ in part]
            self._circuit.traverse(writers, [len(v) for v in values], np.concatenate(values))
            return [writer.finish() for writer in writers]

        parts = _parts(blocks, [self._count(block.shape) for block in blocks], self._together)
        return [body for bodies in side_by_side(code, list(parts)) for body in bodies]

    def decode(self, payloads: Sequence[bytes], shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[np.ndarray]:
        """Raises CorruptFile for bodies that no encoder writes."""

        def code(part: Sequence[tuple[bytes, tuple[int, ...]]]) -> list[np.ndarray]:
            readers = [Reader(body) for body, _ in part]
            counts = [self._count(shape) for _, shape in part]
            values = self._circuit.traverse(readers, counts, None)
            for reader in readers:
                reader.check_exhausted()
            split = np.split(values, np.cumsum(counts)[:-1])
            return [self._block(v, shape, dtype) for v, (_, shape) in zip(split, part, strict=True)]

        parts = _parts(list(zip(payloads, shapes, strict=True)), [self._count(s) for s in shapes], self._together)
        return [block for blocks in side_by_side(code, list(parts)) for block in blocks]

    def _count(self, shape: tuple[int, ...]) -> int:
        """Items in a block."""
        if self._patch is None:
            return shape[0]
        return -(-shape[0] // self._patch[0]) * -(-shape[1] // self._patch[1])

    def _values(self, block: np.ndarray) -> np.ndarray:
        if self._patch is None:
            return block.reshape(len(block), -1).astype(np.int32)
        return patches_of(block, *self._patch[:2])

    def _block(self, values: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The inverse of `_values`."""
        if self._patch is None:
            return values.astype(dtype).reshape(shape)
        height, width, _ = self._patch
        rows, columns = -(-shape[0] // height), -(-shape[1] // width)
        planes = values.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
        planes = planes.reshape(rows * height, columns * width, 3)[: shape[0], : shape[1]]
        rgb = from_ycocg(planes - np.array([0, CHROMA, CHROMA], np.int32), dtype)
        return rgb[..., 0] if len(shape) == 2 else rgb


def _parts(blocks: Sequence[Any], counts: Sequence[int], most: int) -> Iterator[list[Any]]:
    """Neighbours together: parts of about `most` items or fewer, of about one size, as many for each thread."""
    total, workers = max(1, sum(counts)), threads()
    parts = -(-total // most)
    parts = -(-parts // workers) * workers
    before = accumulate(counts, initial=0)
    places = [(done + count // 2) * parts // total for done, count in zip(before, counts, strict=False)]
    for _, part in groupby(zip(places, blocks, strict=True), key=lambda pair: pair[0]):
        yield [block for _, block in part]
