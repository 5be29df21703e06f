"""A hidden Chow-Liu tree as a block coder: items of one shape.

    block of items [n, ...] -> values [n, V] -> CircuitCoding.traverse, several blocks at a time -> a body for each

Blocks are worked on side by side in as many threads as torch has; what a block becomes does not depend on its
neighbours. numpy and torch do the same, to the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any

import numpy as np

from ..entropy.circuit_coding import CircuitCoding
from ..entropy.coder import Reader, Writer
from ..entropy.parallel import parallel_map, threads
from ..entropy.place import device_of
from ..errors import ModelError
from .model_file import parse_tensors

__all__ = ["CircuitCoder"]

TOGETHER = 2**19
"""Items times states that are worked on at once, on a GPU 8 times as many: 2048 items of a circuit of 256 states took
11 s for 10,000 of MNIST, 512 took 17 (two cores)."""
DIMENSIONS = 8
"""Items have no more: a set could not say them."""


class CircuitCoder:
    """tensors: of a model file, `parse.*`; card: its card, with `item_shape` and `levels`. See `blocks.BlockCoder`.
    Threads may share one.

    Raises ModelError when the tensors are not a circuit that fits the card, or not what the card's digest says.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu"):
        self.parse_digest = b""
        self._circuit = CircuitCoding(parse_tensors(tensors), device, lambda circuit: self._accept(circuit, card))
        self._together = max(1, (TOGETHER << (3 if device_of(device) != "cpu" else 0)) // self._circuit.states)

    def _accept(self, circuit: CircuitCoding, card: Mapping[str, Any]) -> None:
        """Compare a circuit with its card. Raises ModelError."""
        try:
            shape, levels = list(card["item_shape"]), card["levels"]
        except (KeyError, TypeError):
            raise ModelError("the card of a circuit says no item_shape or levels") from None
        if any(type(n) is not int for n in (*shape, levels)):
            raise ModelError("the card of a circuit says no item_shape or levels in whole numbers")
        if len(shape) > DIMENSIONS or math.prod(shape) != circuit.variables:
            raise ModelError(f"a circuit of {circuit.variables} variables does not fit its card")
        if levels != circuit.levels:
            raise ModelError(f"a circuit of {circuit.levels} levels does not fit its card")
        self.parse_digest = circuit.digest()
        if card.get("parse_digest", self.parse_digest.hex()) != self.parse_digest.hex():
            raise ModelError("the model's tensors are not those that its digest names: it is damaged")

    def bits(self, blocks: Sequence[np.ndarray]) -> list[float]:
        """The model's -log2 p of each block: what `encode` should need."""
        return [float(self._circuit.bits(block.reshape(len(block), -1).astype(np.int32)).sum()) for block in blocks]

    def encode(self, blocks: Sequence[np.ndarray]) -> list[bytes]:
        """Blocks of items [n, ...] -> their bodies."""

        def code(part: Sequence[np.ndarray]) -> list[bytes]:
            values = [block.reshape(len(block), -1).astype(np.int32) for block in part]
            writers = [Writer() for _ in part]
            self._circuit.traverse(writers, [len(v) for v in values], np.concatenate(values))
            return [writer.finish() for writer in writers]

        parts = _parts(blocks, [len(block) for block in blocks], self._together)
        return [body for bodies in parallel_map(code, list(parts)) for body in bodies]

    def decode(self, payloads: Sequence[bytes], shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[np.ndarray]:
        """Raises CorruptFile for bodies that no encoder writes."""

        def code(part: Sequence[tuple[bytes, tuple[int, ...]]]) -> list[np.ndarray]:
            readers = [Reader(body) for body, _ in part]
            counts = [shape[0] for _, shape in part]
            values = self._circuit.traverse(readers, counts, None)
            for reader in readers:
                reader.check_exhausted()
            split = np.split(values, np.cumsum(counts)[:-1])
            return [v.astype(dtype).reshape(shape) for v, (_, shape) in zip(split, part, strict=True)]

        parts = _parts(list(zip(payloads, shapes, strict=True)), [shape[0] for shape in shapes], self._together)
        return [block for blocks in parallel_map(code, list(parts)) for block in blocks]


def _parts(blocks: Sequence[Any], counts: Sequence[int], most: int) -> Iterator[list[Any]]:
    """Neighbours together: parts of about `most` items or fewer, of about one size, as many for each thread."""
    total, workers = max(1, sum(counts)), threads()
    parts = -(-total // most)
    parts = -(-parts // workers) * workers
    before = accumulate(counts, initial=0)
    places = [(done + count // 2) * parts // total for done, count in zip(before, counts, strict=False)]
    for _, part in groupby(zip(places, blocks, strict=True), key=lambda pair: pair[0]):
        yield [block for _, block in part]
