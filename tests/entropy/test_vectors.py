"""Vectors of blocks come back, cost little where they are alike, and any bytes give vectors or an error."""

from __future__ import annotations

import numpy as np
import pytest

from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.vectors import MOST, code_vectors
from lecodec.errors import CorruptFile

from ..moved_reader import read_vectors
from ..reader import RangeDecoder


def written(vectors: list[np.ndarray]) -> bytes:
    writer = Writer()
    code_vectors(writer, len(vectors), vectors[0].shape[:2], vectors)
    return writer.finish()


def fields(kind: str, rows: int, columns: int) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    if kind == "still":
        return [np.zeros((rows, columns, 2), np.int32)] * 2
    if kind == "pan":
        return [np.tile(np.array(v, np.int32), (rows, columns, 1)) for v in ((5, -90), (-5, 90))]
    return [rng.integers(-MOST, MOST + 1, (rows, columns, 2), dtype=np.int32) for _ in range(2)]


@pytest.mark.parametrize("kind", ["still", "pan", "any"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (6, 9)])
def test_vectors_come_back(kind, size):
    wanted = fields(kind, *size)
    data = written(wanted)
    found = code_vectors(Reader(data), 2, size, None)
    theirs = read_vectors(RangeDecoder(data), 2, *size)
    for a, b, c in zip(wanted, found, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    (alone,) = code_vectors(Reader(written(wanted[1:])), 1, size, None)
    np.testing.assert_array_equal(alone, wanted[1])


def test_what_is_alike_costs_little():
    still, pan, anything = (len(written(fields(kind, 12, 20))) for kind in ("still", "pan", "any"))
    assert still <= 24 and pan <= 40 and anything > 800


def test_any_bytes_give_vectors_or_an_error():
    rng, refused = np.random.default_rng(3), 0
    for _ in range(60):
        data = rng.integers(0, 256, 64, dtype=np.uint8).tobytes()
        try:
            found = code_vectors(Reader(data), 2, (3, 4), None)
            assert all(np.abs(v).max() <= MOST for v in found)
        except CorruptFile:
            refused += 1
    assert 5 < refused
