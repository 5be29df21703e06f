"""The photo model as a block coder: tiles of pictures, any size, grey or colour, 8 or 16 bits.

    tile -> YCoCg-R -> InterpolationCoding.traverse -> arithmetic coder -> body

Encoding and decoding are the same traversal. numpy and torch do the same, to the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..entropy.coder import Reader, Writer
from ..entropy.interpolation_coding import InterpolationCoding
from ..entropy.parallel import parallel_map
from ..errors import ModelError
from .colour import from_ycocg, to_ycocg
from .model_file import parse_tensors

__all__ = ["PhotoCoder"]


class PhotoCoder:
    """tensors: of a model file, `parse.*`; card: its card. See `blocks.BlockCoder`. Threads may share one.

    Raises ModelError when the tensors are not a photo model, or not what the card's digest says.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu"):
        self._model = InterpolationCoding(parse_tensors(tensors), device)
        self.parse_digest = self._model.digest()
        if card.get("parse_digest", self.parse_digest.hex()) != self.parse_digest.hex():
            raise ModelError("the model's tensors are not those that its digest names: it is damaged")

    def encode(self, blocks: Sequence[np.ndarray]) -> list[bytes]:
        """Tiles [h, w] or [h, w, 3], uint8 or uint16 -> their bodies."""
        return parallel_map(self._encode, blocks)

    def decode(self, payloads: Sequence[bytes], shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[np.ndarray]:
        """Raises CorruptFile for bodies that no encoder writes."""
        return parallel_map(lambda pair: self._decode(*pair, dtype), list(zip(payloads, shapes, strict=True)))

    def _encode(self, tile: np.ndarray) -> bytes:
        planes = tile.astype(np.int32)[..., None] if tile.ndim == 2 else to_ycocg(tile)
        writer = Writer()
        height, width, channels = planes.shape
        self._model.traverse(writer, height, width, channels, 8 * tile.itemsize, planes)
        return writer.finish()

    def _decode(self, body: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        channels = 1 if len(shape) == 2 else 3
        reader = Reader(body)
        planes = self._model.traverse(reader, shape[0], shape[1], channels, 8 * dtype.itemsize, None)
        reader.check_exhausted()
        return planes[..., 0].astype(dtype) if channels == 1 else from_ycocg(planes, dtype)
