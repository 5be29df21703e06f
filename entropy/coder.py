"""The arithmetic coder: integers in, bytes out, and back, driven by integer tables.

    values, table numbers --Writer--> bytes        bytes, table numbers --Reader--> values

`Writer` and `Reader` share one interface, `code(tables, index, values)`, so that an entropy model is traversed once,
written once, for both directions. Underneath is constriction's range coder (a queue: first in, first out). Symbols that
share a table are coded together, in order of table number and, within one, in order of position: a call for each table,
never a loop over symbols.

Guarantees. `Categorical(c - 1, perfect=False)` on integer counts c that sum to 2^24 gives symbol k the probability
c[k] / 2^24 exactly (pinned by golden words in the tests), so the bytes depend on integers alone. Values outside a table
are coded as its escape symbol and a tail: sign and distance in an Elias-gamma code of at most 32 bits. Any bytes decode
to *some* values: corruption is the container's to notice.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from constriction import stream  # pyright: ignore[reportAttributeAccessIssue]

from ..errors import CorruptFile
from .tables import TOTAL, TableSet

__all__ = ["MAX_DISTANCE", "Coder", "Reader", "RowCoder", "Writer", "code_parts"]

_model = stream.model
_ROWS = _model.Categorical(perfect=False)
TAIL_BITS = 15
MAX_DISTANCE = 2 ** (TAIL_BITS + 1) - 1
"""The largest distance beyond a table's end that a tail can carry."""
_MAX_VALUE = 2**30  # far beyond any table and its tails, and small enough for 32-bit differences


def _categorical(counts: np.ndarray) -> Any:
    return _model.Categorical(counts.astype(np.float64) - 1.0, perfect=False)


# The unary part of Elias gamma: length n has probability 2^-(n+1), the last two share what is left.
_LENGTHS = _categorical(TOTAL >> np.minimum(np.arange(1, TAIL_BITS + 2), TAIL_BITS))


class Coder(Protocol):
    """What an entropy model drives: either direction."""

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        """index: [n] table numbers; values: [n] int32 (None when reading) -> the values, [n] int32."""
        ...


def code_parts(coder: Coder, tables: TableSet, index: np.ndarray, values: np.ndarray, parts: np.ndarray) -> None:
    """Write values as calls of `code` with one part after the other would. parts: [n] the part of each, from 0 up, in
    order. A coder that can do so at once has a method of this name.
    """
    if together := getattr(coder, "code_parts", None):
        together(tables, index, values, parts)
        return
    for at in np.split(np.arange(len(parts)), np.flatnonzero(parts[1:] != parts[:-1]) + 1):
        coder.code(tables, index[at], values[at])


class RowCoder(Protocol):
    """What a model drives whose every symbol has a distribution of its own: either direction."""

    def code_rows(self, counts: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        """counts: [n, m] float64, integers of at least 1 with rows that sum to TOTAL, m >= 2; symbols: [n] int32 in [0,
        m) (None when reading) -> the symbols, [n] int32.
        """
        ...


class _Models:
    """constriction models of one TableSet, made when first used, and as plain numbers what its tables hold. Kept with
    the coder classes, not with the data.
    """

    def __init__(self, tables: TableSet):
        self.tables = tables
        self.escape_array = (np.diff(tables.start) - 1).astype(np.int32)
        self.escapes: list[int] = self.escape_array.tolist()
        self._made: list[object] = [None] * len(tables)

    def __getitem__(self, index: int) -> object:
        model = self._made[index]
        if model is None:
            model = self._made[index] = _categorical(self.tables.table(index))
        return model


_cache: dict[int, _Models] = {}


def _models(tables: TableSet) -> _Models:
    found = _cache.get(id(tables))
    if found is None or found.tables is not tables:
        if len(_cache) >= 16:
            _cache.clear()
        found = _cache[id(tables)] = _Models(tables)
    return found


class Writer:
    """Encodes. `finish()` gives the bytes. Raises ValueError for values no tail can carry: clamp them first."""

    def __init__(self) -> None:
        self._encoder = stream.queue.RangeEncoder()

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        if values is None:
            raise ValueError("a Writer needs values")
        return self.code_parts(tables, index, values, None)

    def code_parts(
        self, tables: TableSet, index: np.ndarray, values: np.ndarray, parts: np.ndarray | None
    ) -> np.ndarray:
        """What `code` of each part, one after the other, writes. parts: [n] the part of each value, from 0 up, in
        order; None: all are one.
        """
        if not len(values):
            return values
        if max(-int(values.min()), int(values.max())) > _MAX_VALUE:
            raise ValueError(f"values beyond {_MAX_VALUE} cannot be coded")
        models, encode = _models(tables), self._encoder.encode
        key = index if parts is None else parts.astype(np.int32) * len(tables) + index
        order = key.argsort(kind="stable")
        key, numbers = key[order], index[order]
        found = values[order].astype(np.int32, copy=False) - tables.low[numbers]
        escapes = models.escape_array[numbers]
        outside = found.view(np.uint32) >= escapes  # below the table is far above it as an unsigned number
        symbols = np.where(outside, escapes, found).astype(np.int32, copy=False)
        begins = np.concatenate([[0], np.flatnonzero(key[1:] != key[:-1]) + 1])
        ends, escaped = [*begins[1:].tolist(), len(key)], np.logical_or.reduceat(outside, begins).tolist()
        for table, begin, end, tails in zip(numbers[begins].tolist(), begins.tolist(), ends, escaped, strict=True):
            encode(symbols[begin:end], models[table])
            if tails:
                position = found[begin:end][outside[begin:end]]
                self._tails(np.where(position < 0, position, position - models.escapes[table] + 1))
        return values

    def _tails(self, beyond: np.ndarray) -> None:
        below, distance = beyond < 0, np.abs(beyond)
        if distance.max() > MAX_DISTANCE:
            raise ValueError(f"a value is {distance.max()} beyond its table; at most {MAX_DISTANCE} can be coded")
        length = np.frexp(distance.astype(np.float64))[1] - 1  # floor(log2), exact for integers below 2^53
        self._encoder.encode(length.astype(np.int32), _LENGTHS)
        rest = ((distance - (1 << length)) << 1) | below
        for n in np.unique(length).tolist():
            self._encoder.encode(rest[length == n].astype(np.int32), _model.Uniform(2 << n))

    def code_rows(self, counts: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        """See RowCoder."""
        if symbols is None:
            raise ValueError("a Writer needs symbols")
        if len(symbols):
            self._encoder.encode(symbols, _ROWS, counts - 1.0)
        return symbols

    def finish(self) -> bytes:
        """The coded bytes: 32-bit little-endian words."""
        return self._encoder.get_compressed().astype("<u4").tobytes()


class Reader:
    """Decodes what a Writer wrote. Raises CorruptFile when the bytes cannot be a Writer's."""

    def __init__(self, data: bytes):
        if len(data) % 4:
            raise CorruptFile(f"coded data is {len(data)} bytes long, not a multiple of 4")
        self._decoder = stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def _take(self, model: object, parameter: Any) -> np.ndarray:
        try:
            return self._decoder.decode(model, parameter)
        except AssertionError:  # constriction's word for bytes that no encoder writes
            raise CorruptFile("coded data does not decode") from None

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        if not len(index):
            return np.zeros(0, np.int32)
        models, order = _models(tables), index.argsort(kind="stable")
        counts = np.bincount(index)
        used = counts.nonzero()[0]
        numbers, runs = index[order], list(zip(used.tolist(), counts[used].tolist(), strict=True))
        before, decode = self._decoder.clone(), self._decoder.decode
        try:  # as if no symbol were an escape, which few are: to look at each run takes longer than to decode it
            symbols = np.concatenate([decode(models[table], count) for table, count in runs])
            plain = not (symbols == models.escape_array[numbers]).any()
        except AssertionError:
            plain = False
        if not plain:
            self._decoder = before
            symbols = np.concatenate([self._run(models, table, count) for table, count in runs])
        out = np.empty(len(index), np.int32)
        out[order] = symbols + tables.low[numbers]
        return out

    def _run(self, models: _Models, table: int, count: int) -> np.ndarray:
        """Symbols of one table, escapes among them with what is in their tails."""
        symbols, escape = self._take(models[table], count), models.escapes[table]
        if (outside := symbols == escape).any():
            symbols[outside] = self._tails(int(outside.sum()), escape)
        return symbols

    def _tails(self, count: int, escape: int) -> np.ndarray:
        length = self._take(_LENGTHS, count)
        rest = np.zeros(count, np.int32)
        for n in np.unique(length).tolist():
            chosen = length == n
            rest[chosen] = self._take(_model.Uniform(2 << n), int(chosen.sum()))
        distance = (rest >> 1) + (np.int32(1) << length)
        return np.where(rest & 1, -distance, distance + escape - 1).astype(np.int32)

    def code_rows(self, counts: np.ndarray, symbols: np.ndarray | None = None) -> np.ndarray:
        """See RowCoder."""
        return self._take(_ROWS, counts - 1.0) if len(counts) else np.zeros(0, np.int32)

    def exhausted(self) -> bool:
        """Whether all of the data may have been used: False means that bytes are left over."""
        return self._decoder.maybe_exhausted()

    def check_exhausted(self) -> None:
        """Raises CorruptFile if bytes are left over."""
        if not self.exhausted():
            raise CorruptFile("coded data does not decode: bytes are left over")
