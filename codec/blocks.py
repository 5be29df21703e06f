"""Blocks of samples without loss: the body of one LDAT chunk of codec 1 (FORMAT.md, section 5).

    samples -> [model's coder, adaptive, WebP, LZMA] -> the smallest, stored and deflated too -> digest, method, body
    -> LDAT
    LDAT -> samples

A block is a tile of a picture, [h, w] or [h, w, 3], or some items of a set, [n, ...]. Here both are rows of a picture,
[rows, width] or [rows, width, 3], the items one below the other. What a model makes of blocks is the affair of its
`BlockCoder`, which gets many at a time, so that it can work on all of them at once.

Guarantees: a payload is never longer than the samples and one byte; whatever a body holds, decoding gives the samples
whose digest stands in front of it or raises a CodecError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from ..bitstream import METHODS, DataChunk
from ..errors import CorruptFile, UnsupportedFile
from .adaptive_rows import adaptive_samples
from .media.lzma_rows import lzma_body, lzma_samples
from .media.png_rows import best_rows, hopeless, inflate_rows
from .media.webp_rows import webp_samples

__all__ = [
    "ADAPTIVE",
    "DEFLATED",
    "FLAC",
    "LZMA",
    "MODEL",
    "STORED",
    "WEBP",
    "BlockCoder",
    "check_block",
    "decode_plain",
    "encode_block",
    "samples_digest",
]

STORED, DEFLATED, MODEL, WEBP, LZMA, FLAC, ADAPTIVE = 0, 1, 2, 4, 5, 6, 7
"""Values of the method byte; `METHODS` has their names."""


class BlockCoder(Protocol):
    """A model that codes blocks without loss: uint8 or uint16, tiles [h, w] or [h, w, 3], or items [n, *item shape]."""

    parse_digest: bytes
    """8 bytes, of everything that its bytes depend on."""

    def encode(self, blocks: Sequence[np.ndarray]) -> list[bytes]:
        """The bodies of blocks of one dtype, whose shapes may differ."""
        ...

    def decode(self, payloads: Sequence[bytes], shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[np.ndarray]:
        """The blocks that bodies decode to. Any bytes give blocks of these shapes, which need not be the right ones, or
        a CorruptFile.
        """
        ...


def samples_digest(samples: np.ndarray) -> bytes:
    """8 bytes over samples, little-endian in C order."""
    samples = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    return hashlib.blake2b(samples.data, digest_size=8).digest()


def encode_block(
    rows: np.ndarray, others: Mapping[int, bytes], far: bool = False, drawn: bool = True
) -> tuple[bytes, bytes]:
    """rows: uint8 or uint16 [rows, width] or [rows, width, 3]; others: bodies of other methods than stored and deflated
    -> the digest, and the method with the smallest body. far: where deflate is the best of these, LZMA is tried too;
    drawn: False: a few rows may say that deflate is far from the others.
    """
    bodies, rival = dict(others), min(map(len, others.values()), default=None)
    if drawn or rival is None or not hopeless(rows, rival):
        bodies[DEFLATED] = best_rows(rows, rival)
    if far and DEFLATED in bodies and min(map(len, bodies.values())) == len(bodies[DEFLATED]):
        bodies[LZMA] = lzma_body(rows)
    method = min(bodies, key=lambda m: len(bodies[m]))
    if len(bodies[method]) >= rows.nbytes:
        method, bodies = STORED, {STORED: rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes()}
    return samples_digest(rows), bytes([method]) + bodies[method]


def decode_plain(chunk: DataChunk, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """The samples of a chunk that needs no model, `dtype` (uint8 or uint16) of `shape` [rows, width] or
    [rows, width, 3], their digest not yet compared; None if it needs one. Raises CorruptFile, UnsupportedFile.
    """
    method, body = chunk.payload[0], memoryview(chunk.payload)[1:]
    where = f"byte {chunk.offset}"
    if method == STORED:
        expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if len(body) != expected:
            raise CorruptFile(f"{where}: {len(body)} bytes of stored samples, expected {expected}")
        return np.frombuffer(body, dtype.newbyteorder("<")).reshape(shape).astype(dtype)
    if method == DEFLATED:
        return inflate_rows(bytes(body), shape, dtype, f"{where}: a block")
    if method == MODEL:
        return None
    if method == WEBP:
        if dtype != np.uint8:
            raise CorruptFile(f"{where}: a block of {8 * dtype.itemsize} bits as WebP, which has 8")
        return webp_samples(bytes(body), shape, f"{where}: a block")
    if method == LZMA:
        return lzma_samples(bytes(body), shape, dtype, f"{where}: a block")
    if method == FLAC:
        raise CorruptFile(f"{where}: a block as FLAC, which sounds have")
    if method == ADAPTIVE:
        return adaptive_samples(bytes(body), shape, dtype, f"{where}: a block")
    known = ", ".join(f"{n} ({name})" for n, name in METHODS.items())
    raise UnsupportedFile(f"{where}: coding method {method}, expected {known}: a newer version of lecodec may know it")


def check_block(samples: np.ndarray, chunk: DataChunk) -> None:
    """Compare decoded samples with their digest. Raises CorruptFile."""
    if samples_digest(samples) != chunk.digest:
        raise CorruptFile(f"byte {chunk.offset}: a block does not decode to what was encoded")
