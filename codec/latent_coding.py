"""Latents of pictures: what stands between samples and the bytes of the arithmetic coder.

    y of the transform -> tiles, levels above -> traverse of the entropy model with a writing coder -> latents
    chunks of tiles -> traverse of the entropy model with a reading coder -> latents -> y_hat for the transform

The transform works on the whole picture, the entropy model on tiles; neither knows of the other (see `LatentModel`), so
tiles leave no seams in the picture.

Guarantee: latents that are read are those that were written, or a CorruptFile says so. They are integers computed by
integers; only the transform is float.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, repeat
from typing import Any

import numpy as np

from ..bitstream import DataChunk, Header
from ..entropy.coder import Coder, Reader
from ..entropy.latents import NEAREST, Choice, Latents
from ..errors import CorruptFile, ModelError
from .latent_model import LatentModel
from .tiles import Box, boxes_of, equal_boxes, latent_size, paste
from .workers.told import told

__all__ = ["LatentCoding", "Tiles"]

GROUP = {"cpu": 2**12, "cuda": 2**16}
"""Positions of y whose tiles go through the entropy model together. On the CPU one tile of 1024 x 1024 fills it: larger
tensors would come from the system, and go back to it, for every layer."""
Tiles = tuple[list[Box], tuple[np.ndarray, ...]]
"""A group of tiles of one size, and the levels above y, coarsest first, [B, C, *size] float32 each, not yet rounded."""
SPARE_BITS = 64
"""Bits by which data may be shorter than the least that holds its symbols: what the coder's last words leave out."""


class LatentCoding:
    """The transform and the entropy model of a model, at work on pictures and data chunks."""

    def __init__(self, model: LatentModel):
        self.card = model.card
        self.transform, self.entropy = model.transform, model.entropy
        self.device, self.place = model.transform.device, model.transform.place
        self.parse_digest, self.synthesis_digest = model.parse_digest, model.synthesis_digest
        self._group = GROUP.get(self.device.partition(":")[0], GROUP["cpu"])

    def _tiles(
        self, y: np.ndarray, headers: Sequence[Header], q: Sequence[int], only: Collection[int] | None = None
    ) -> Iterator[Tiles]:
        """Groups of tiles of one size, each with the levels above y. only: the numbers of those wanted, if not all."""
        boxes = [box for n, header in enumerate(headers) for box in boxes_of(header, n)]
        boxes = boxes if only is None else [box for box in boxes if box.tile in only]
        groups = list(equal_boxes(boxes, self._group))
        for group in told("coding", groups, len(groups)):
            part = np.stack([y[b.picture, :, b.rows, b.columns] for b in group])
            above = self.transform.above(part, [q[b.picture] for b in group])
            if not all(np.isfinite(level).all() for level in (part, *above)):
                raise ModelError("the model's analysis gave a number that is not finite")
            yield group, above

    def traversed(
        self,
        y: np.ndarray,
        tiles: Iterable[Tiles],
        q: Sequence[int],
        coder: Callable[[], Coder],
        choices: Iterable[Choice] = repeat(NEAREST),
    ) -> Iterator[tuple[Box, Latents, Any]]:
        """The entropy model on y [B, M, h, w], each tile with a coder of its own. choices: one for each group of tiles,
        or more.
        """
        for (group, above), choice in zip(tiles, choices, strict=False):
            source = *above, np.stack([y[b.picture, :, b.rows, b.columns] for b in group])
            coders, rates = [coder() for _ in group], [q[b.picture] for b in group]
            latents = self.entropy.traverse(coders, group[0].size, rates, source, device=self.place, choice=choice)
            yield from zip(group, latents, coders, strict=True)

    def _read(
        self, headers: Sequence[Header], chunks: Sequence[Mapping[int, DataChunk]]
    ) -> Iterator[tuple[Box, Latents]]:
        """Decode the tiles whose chunks are given (by number, for each file) and compare their digests. Exact tiles are
        passed over.
        """
        boxes = [
            box
            for n, header in enumerate(headers)
            for box in boxes_of(header, n)
            if box.tile in chunks[n] and not chunks[n][box.tile].exact
        ]
        for picture, of_picture in groupby(boxes, lambda box: box.picture):
            bits = least = tiles = 0
            for box in of_picture:
                coded = 8 * len(chunks[picture][box.tile].payload)
                needed = self.entropy.least_bits(box.size, headers[picture].quality)
                if coded + SPARE_BITS < needed:
                    height, width = (d * side for d, side in zip(self.transform.down, box.size, strict=True))
                    raise CorruptFile(f"{coded} bits cannot hold {width} x {height} pixels: {needed:.0f} or more do")
                bits, least, tiles = bits + coded, least + needed, tiles + 1
            # Each tile alone may be short by what it could never be: no writer's tiles are short all together.
            if bits + SPARE_BITS < least:
                raise CorruptFile(f"{bits} bits cannot hold {tiles} tiles: {least:.0f} or more do")
        groups = list(equal_boxes(boxes, self._group))
        for group in told("decoding", groups, len(groups)):
            data = [chunks[box.picture][box.tile] for box in group]
            readers = [Reader(chunk.payload) for chunk in data]
            rates = [headers[box.picture].quality for box in group]
            decoded = self.entropy.traverse(readers, group[0].size, rates, device=self.place)
            for box, latents, reader, chunk in zip(group, decoded, readers, data, strict=True):
                if latents.digest() != chunk.digest or not reader.exhausted():
                    raise CorruptFile("the picture's data does not decode to what was encoded")
                yield box, latents

    def _y_hat(self, headers: Sequence[Header], parts: Iterable[tuple[Box, Latents]]) -> np.ndarray | None:
        """The tiles of pictures of one size, side by side: [B, M, h, w] int32 in units of 2^-MEAN_BITS, as they come
        where there is no such tile; None if there are no tiles at all.
        """
        y_hat = None
        for box, latents in parts:  # the first one has been checked before memory is taken for all
            if y_hat is None:
                y_hat = np.empty((len(headers), self.entropy.latent, *latent_size(headers[0])), np.int32)
            paste(latents.y_hat, box, y_hat[box.picture], 0, 0)
        return y_hat
