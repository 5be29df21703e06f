"""Probability tables from what the frozen networks really produce.

    training crops -> the frozen codec, at random qualities -> histograms of z and s, table by table -> tables

The tables that training fits are mixtures of logistics (z) and Laplacians (y), on latents with noise in place of
rounding. Tables are data, so they can as well be counts of the rounded latents, with the fitted table as the prior:

    p(k) = (n_k + weight * p_fitted(k)) / (n + weight)

Only training pictures are counted. The networks stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np

from ..bitstream import QUALITY_MAX
from ..entropy.tables import TableSet

__all__ = ["calibrated_tables"]


class _Recorder:
    """A coder that writes nothing and counts the symbols of each of some tables, escapes included."""

    def __init__(self, *tables: TableSet):
        self.counts = {id(t): np.zeros(len(t.counts), np.int64) for t in tables}

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        assert values is not None, "a recorder cannot read"
        if id(tables) not in self.counts:
            return values
        symbol, _ = tables.symbols(values, index)
        self.counts[id(tables)] += np.bincount(tables.start[index] + symbol, minlength=len(tables.counts))
        return values


def calibrated_tables(
    record: Callable[[np.ndarray, int, _Recorder], object],
    tables: tuple[TableSet, TableSet],
    crops: Iterable[np.ndarray],
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> tuple[TableSet, TableSet]:
    """New tables of z and of y. record: codes one picture at a fixed-point index with a coder
    (`ImageCodec.record_latents`); tables: those of z and of y that it codes with; crops: training pictures, uint8.
    """
    z, y = tables
    recorder, rng = _Recorder(z, y), random.Random(seed)
    for n, samples in enumerate(crops):
        record(samples, rng.randrange(QUALITY_MAX + 1), recorder)
        if say and n % 100 == 99:
            say(f"calibrated on {n + 1} crops")
    return _blend(z, recorder.counts[id(z)], False), _blend(y, recorder.counts[id(y)], True)


def _blend(tables: TableSet, counts: np.ndarray, symmetric: bool) -> TableSet:
    out = []
    for n in range(len(tables)):
        begin, end = tables.start[n], tables.start[n + 1]
        seen = counts[begin:end].astype(np.float64)
        if symmetric:  # s and -s are equally likely: twice the data
            seen[:-1] = 0.5 * (seen[:-1] + seen[-2::-1])
        prior = tables.table(n) / tables.table(n).sum(dtype=np.float64)
        weight = 2.0 * len(seen)
        out.append((int(tables.low[n]), (seen + weight * prior) / (seen.sum() + weight)))
    return TableSet.from_probabilities(out)
