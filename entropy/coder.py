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
SHORT = 200
"""Symbols of a run up to which a reader looks for an escape in its bytes."""
DAMAGED = "coded data does not decode"
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
        self.escape_bytes = [escape.tobytes() for escape in self.escape_array]
        self.made: list[object] = [None] * len(tables)
        """The models, None for those that nothing has needed yet."""

    def __getitem__(self, index: int) -> object:
        model = self.made[index]
        if model is None:
            model = self.made[index] = _categorical(self.tables.table(index))
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
        except AssertionError:
            raise CorruptFile(DAMAGED) from None

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        if not len(index):
            return np.zeros(0, np.int32)
        models, order = _models(tables), index.argsort(kind="stable")
        made, escapes, decode, runs = models.made, models.escape_bytes, self._decoder.decode, []
        counts = np.bincount(index)
        used = counts.nonzero()[0]
        try:
            for table, count in zip(used.tolist(), counts[used].tolist(), strict=True):
                symbols = decode(made[table] or models[table], count)
                run = symbols.tobytes()
                # To look for an escape in the bytes of a short run takes a fraction of the time of a comparison. What
                # is found there may be parts of two symbols.
                if count > SHORT or escapes[table] in run:
                    run = self._with_tails(symbols, models.escapes[table])
                runs.append(run)
        except AssertionError:  # constriction's word for bytes that no encoder writes
            raise CorruptFile(DAMAGED) from None
        out = np.empty(len(index), np.int32)
        out[order] = np.frombuffer(b"".join(runs), np.int32)
        out += tables.low.take(index)
        return out

    def _with_tails(self, symbols: np.ndarray, escape: int) -> bytes:
        """The symbols of a run, int32, escapes with what is in their tails, which come next."""
        if (outside := symbols == escape).any():
            symbols[outside] = self._tails(int(outside.sum()), escape)
        return symbols.tobytes()

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
