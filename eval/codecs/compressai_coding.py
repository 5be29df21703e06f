"""One network of CompressAI between pictures and byte strings.

    picture -> pad to the network's multiple -> compress() -> strings and shapes -> one byte string
    byte string -> strings and shapes -> decompress() -> crop -> picture

A byte string holds all that decoding needs but the weights: the picture's size, all shapes and all strings, without
pickle, and a checksum of 2 bytes: CompressAI's decoder reads on beyond the end of a damaged string, and the process
ends. Borders are replicated on the right and below to the multiple, mostly of 64, that a network needs. How strings and
shapes are nested depends on the network alone, so it is not written.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

__all__ = ["NetworkCoding"]

MAX_SIDE = 2**20
MAX_PIXELS = 2**28
MAX_CHANNELS = 1024
_LOCK = Lock()
"""Held while a network is set to one of its rates and used."""


@dataclass(eq=False)
class NetworkCoding:
    """A network, updated for coding, between pictures and bytes.

    arguments: of compress and decompress; prepare: to be called first where a network codes at several rates, which is
    then done by one thread at a time. Threads may share one.
    """

    net: Any
    device: str
    arguments: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        # How strings and shapes are nested depends on the network alone, so a tiny picture tells.
        coded = self._compress(np.zeros((1, 1, 3), np.uint8))
        self._form = coded["shape"], coded["strings"]
        self.decode(self.encode(np.zeros((1, 1, 3), np.uint8)))

    def encode(self, rgb: np.ndarray) -> bytes:
        """A checksum; sizes, shapes, lengths of strings as numbers of 7 bits a byte; then the strings."""
        coded = self._compress(rgb)
        strings = list(_leaves(coded["strings"]))
        numbers = [*rgb.shape[:2], *_leaves(coded["shape"]), *map(len, strings)]
        data = b"".join([*map(_number, numbers), *strings])
        return crc_hqx(data, 0).to_bytes(2, "little") + data

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]. Raises ValueError when the bytes are not an encoder's."""
        import torch

        if crc_hqx(data[2:], 0).to_bytes(2, "little") != data[:2]:
            raise ValueError("the checksum is wrong")
        data = data[2:]
        shape, strings = self._form
        counts = len(list(_leaves(shape))), len(list(_leaves(strings)))
        numbers, at = _numbers(data, 2 + sum(counts))
        (height, width), shapes, lengths = numbers[:2], numbers[2 : 2 + counts[0]], numbers[2 + counts[0] :]
        if not (0 < min(height, width) and max(height, width) <= MAX_SIDE and height * width <= MAX_PIXELS):
            raise ValueError(f"{width} x {height} pixels")
        if at + sum(lengths) != len(data) or max(shapes, default=0) > max(height, width, MAX_CHANNELS):
            raise ValueError("sizes and lengths do not fit")
        parts = []
        for length in lengths:
            parts.append(data[at : at + length])
            at += length
        with torch.inference_mode():
            filled = _filled(strings, iter(parts)), _filled(shape, iter(shapes))
            x_hat = self._prepared(self.net.decompress, *filled)["x_hat"][0, :, :height, :width]
            if x_hat.shape != (3, height, width):
                raise ValueError("the shapes are not those of the picture")
            return x_hat.clamp(0, 1).permute(1, 2, 0).mul(255).round().to(torch.uint8).cpu().contiguous().numpy()

    def _compress(self, rgb: np.ndarray) -> dict[str, Any]:
        import torch
        import torch.nn.functional as F

        step = getattr(self.net, "downsampling_factor", 64)
        with torch.inference_mode():
            x = torch.from_numpy(np.array(rgb)).to(self.device).permute(2, 0, 1)[None].float() / 255
            padded = F.pad(x, (0, -x.shape[3] % step, 0, -x.shape[2] % step), mode="replicate")
            return self._prepared(self.net.compress, padded)

    def _prepared(self, function: Callable[..., Any], *inputs: Any) -> Any:
        if self.prepare is None:
            return function(*inputs, **self.arguments)
        with _LOCK:
            self.prepare()
            return function(*inputs, **self.arguments)


# -- nested strings and shapes as bytes


def _leaves(tree: Any) -> Iterator[Any]:
    """What nested lists, tuples and dicts hold, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        for branch in tree:
            yield from _leaves(branch)
    else:
        yield tree


def _filled(tree: Any, leaves: Iterator[Any]) -> Any:
    """The same nesting with other leaves."""
    if isinstance(tree, dict):
        return {name: _filled(branch, leaves) for name, branch in tree.items()}
    if isinstance(tree, list):
        return [_filled(branch, leaves) for branch in tree]
    if isinstance(tree, tuple):  # a torch.Size too
        return tuple(_filled(branch, leaves) for branch in tree)
    return next(leaves)


def _number(value: int) -> bytes:
    """7 bits a byte, the low ones first; all bytes but the last have their high bit set (LEB128)."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _numbers(data: bytes, count: int) -> tuple[list[int], int]:
    """`count` numbers, and where they end. Raises ValueError."""
    numbers, at = [], 0
    for _ in range(count):
        value = shift = 0
        while True:
            if at >= len(data) or shift > 28:
                raise ValueError("the data ends early, or a number does not")
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        numbers.append(value)
    return numbers, at
