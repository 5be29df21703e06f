"""Vectors of blocks to bytes and back, with counts that adapt: the same traversal writes and reads.

    vectors [rows, columns, 2] -> less the median of three neighbours -> size class by adaptive counts, sign and rest

Row by row. A component is predicted by the median of those of the blocks to the left, above, and above to the right (of
the last block of a row above to the left). In the first row all three are the one to the left, in the first column that
to the left is the one above, and what is not there is zero. The size class of a
difference d is the number of bits of |d|; its counts start at 1, grow by STEP, and are kept for each component, and
for each of whether the left and the upper vector are equal. All of it is integers.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np

from ..errors import CorruptFile
from .coder import RowCoder
from .counts import COUNT_BITS
from .tables import TOTAL

__all__ = ["MOST", "code_vectors"]

MOST = 128
"""Components are within +-MOST."""
CLASSES = (2 * MOST).bit_length() + 1
STEP = 24
CONTEXTS = 4


def code_vectors(
    coder: RowCoder, fields: int, size: tuple[int, int], vectors: list[np.ndarray] | None
) -> list[np.ndarray]:
    """fields: how many there are; size: rows and columns of each; vectors: of each, int32 within +-MOST (None when
    reading) -> the vectors. Raises CorruptFile for what is beyond.
    """
    counts = [[1] * CLASSES for _ in range(CONTEXTS)]
    out = []
    for n in range(fields):
        known = None if vectors is None else vectors[n].tolist()
        out.append(_code_field(coder, counts, size, known))
    return out


def _code_field(coder: RowCoder, counts: list[list[int]], size: tuple[int, int], known: list | None) -> np.ndarray:
    rows, columns = size
    found = [[(0, 0)] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            left = found[i][j - 1] if j else found[i - 1][0] if i else (0, 0)
            above = found[i - 1][j] if i else left
            corner = found[i - 1][j + 1 if j + 1 < columns else max(j - 1, 0)] if i else left
            same = left == above
            place = []
            for part in range(2):
                predicted = sorted((left[part], above[part], corner[part]))[1]
                wanted = None if known is None else known[i][j][part] - predicted
                value = predicted + _code_difference(coder, counts[2 * part + same], wanted)
                if abs(value) > MOST:
                    raise CorruptFile(f"a vector of {value}, expected at most {MOST}")
                place.append(value)
            found[i][j] = place[0], place[1]
    return np.array(found, np.int32).reshape(rows, columns, 2)


def _code_difference(coder: RowCoder, counts: list[int], wanted: int | None) -> int:
    number = None if wanted is None else _row(abs(wanted).bit_length())
    size = int(coder.code_rows(_counts_of(counts), number)[0])
    counts[size] += STEP
    if not size:
        return 0
    rest = None if wanted is None else _row((abs(wanted) - (1 << size - 1)) << 1 | (wanted < 0))
    found = int(coder.code_rows(np.full((1, 1 << size), float(TOTAL >> size)), rest)[0])
    distance = (1 << size - 1) + (found >> 1)
    return -distance if found & 1 else distance


def _counts_of(weights: list[int]) -> np.ndarray:
    """See `counts.counts_of`: of a single short row this takes a tenth of the time."""
    scale, m = COUNT_BITS - sum(weights).bit_length(), len(weights)
    running = [w << scale for w in accumulate(weights, initial=0)]
    edges = [w * (TOTAL - m) // running[-1] for w in running]
    return np.array([[1.0 + after - before for before, after in pairwise(edges)]])


def _row(symbol: int) -> np.ndarray:
    return np.array([symbol], np.int32)
