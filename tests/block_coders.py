"""Block coders for tests of what is around them: quick, of no use otherwise, and as picky as a real one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from lecodec.errors import CorruptFile


class DeltaCoder:
    """Deflated differences of neighbours, and one byte less than anybody else's where nothing changes.

    calls: how many samples each call of `encode` or `decode` got.
    """

    parse_digest = b"deltas 1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.shapes: list[tuple[int, ...]] = []

    def encode(self, blocks: Sequence[np.ndarray]) -> list[bytes]:
        assert len({block.dtype for block in blocks}) == 1
        self.calls.append(("encode", sum(block.size for block in blocks)))
        self.shapes += [block.shape for block in blocks]
        return [_packed(np.diff(block.reshape(-1), prepend=block.dtype.type(0))) for block in blocks]

    def decode(self, payloads: Sequence[bytes], shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[np.ndarray]:
        assert all(isinstance(payload, bytes) for payload in payloads)
        self.calls.append(("decode", sum(int(np.prod(shape)) for shape in shapes)))
        blocks = []
        for payload, shape in zip(payloads, shapes, strict=True):
            size = int(np.prod(shape)) * dtype.itemsize
            try:
                raw = zlib.decompressobj(-15).decompress(payload, size + 1)
            except zlib.error:
                raise CorruptFile("differences do not inflate") from None
            if len(raw) != size:
                raise CorruptFile(f"{len(raw)} bytes of differences, expected {size}")
            blocks.append(np.cumsum(np.frombuffer(raw, dtype), dtype=dtype).reshape(shape))
        return blocks


def _packed(samples: np.ndarray) -> bytes:
    deflate = zlib.compressobj(9, wbits=-15)
    return deflate.compress(samples.tobytes()) + deflate.flush()
