"""Tables and coder: exact probabilities, pinned words, escapes, and any bytes at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lecodec.entropy.coder import MAX_DISTANCE, SHORT, Reader, Writer, code_parts
from lecodec.entropy.latents import NullCoder
from lecodec.entropy.tables import TOTAL, TableSet, quantise_probabilities, scale_levels
from lecodec.errors import CorruptFile, ModelError


def tables_of(scales=(0.3, 1.0, 8.0)) -> TableSet:
    tables = []
    for sigma in scales:
        reach = int(4 * sigma) + 1
        p = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        tables.append((-reach, np.append(p, 1e-4)))
    return TableSet.from_probabilities(tables)


TABLES = tables_of()


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=400).filter(lambda p: sum(p) > 0))
def test_counts_sum_exactly_and_are_positive(p):
    counts = quantise_probabilities(np.array(p))
    assert counts.sum() == TOTAL and counts.min() >= 1


@pytest.mark.parametrize("p", [[], [1.0], [0, 0], [-1, 2], [np.nan, 1], [np.inf, 1]])
def test_what_is_no_table_is_refused(p):
    with pytest.raises(ModelError):
        quantise_probabilities(np.array(p))


def test_table_sets_check_themselves():
    good = TABLES
    with pytest.raises(ModelError):
        TableSet(good.counts[:-1], good.start, good.low)
    bad = good.counts.copy()
    bad[3] += 1
    with pytest.raises(ModelError, match="sum to"):
        TableSet(bad, good.start, good.low)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-MAX_DISTANCE, MAX_DISTANCE)), max_size=200))
def test_round_trip_with_escapes(items):
    index = np.array([i for i, _ in items], np.int64)
    values = np.array([v for _, v in items], np.int32)
    writer = Writer()
    writer.code(TABLES, index, values)
    reader = Reader(writer.finish())
    np.testing.assert_array_equal(reader.code(TABLES, index), values)
    assert reader.exhausted()


@pytest.mark.parametrize("count", [3, SHORT, SHORT + 1, 3000])
def test_escapes_are_found_in_runs_of_any_length(count):
    """In the middle and at the ends of runs."""
    tables = tables_of((0.3, 90.0))
    index = np.arange(2 * count) % 2
    plain = np.where(index, np.arange(2 * count) // 2 % 600 - 300, 0).astype(np.int32)
    for escaped in ((), (0, 1), (count // 2, count // 2 + 1), (2 * count - 1,), range(2 * count)):
        values = plain.copy()
        values[list(escaped)] += np.int32(5000)
        writer = Writer()
        writer.code(tables, index, values)
        writer.code(tables, index, plain)
        reader = Reader(writer.finish())
        np.testing.assert_array_equal(reader.code(tables, index), values)
        np.testing.assert_array_equal(reader.code(tables, index), plain)
        assert reader.exhausted()


def test_a_part_of_two_symbols_is_no_escape():
    """An escape that is symbol 256 has the bytes 0 1 0 0: those from the last one of a symbol to those of a 1."""
    tables = TableSet.from_probabilities([(0, np.ones(257)), (0, np.ones(2))])
    for values in ([1, 0, 1], [0, 1, 0], [255, 1, 300]):
        index, values = np.zeros(3, np.int64), np.array(values, np.int32)
        writer = Writer()
        writer.code(tables, index, values)
        np.testing.assert_array_equal(Reader(writer.finish()).code(tables, index), values)


def test_damage_behind_an_escape_is_reported():
    index = np.zeros(40, np.int64)
    writer = Writer()
    writer.code(TABLES, index, np.full(40, 7000, np.int32))
    data, outcomes = writer.finish(), set()
    for at in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[at] ^= 255
        try:
            outcomes.add(len(Reader(bytes(damaged)).code(TABLES, np.tile(index, 20))))
        except CorruptFile as error:
            outcomes.add(str(error))
    assert "coded data does not decode" in outcomes and outcomes <= {800, "coded data does not decode"}


def test_values_at_the_edges_of_tables_and_tails():
    for table in range(3):
        low = int(TABLES.low[table])
        high = low + int(np.diff(TABLES.start)[table]) - 2
        values = np.array([low - 1, low, high, high + 1, low - MAX_DISTANCE, high + MAX_DISTANCE], np.int32)
        writer = Writer()
        writer.code(TABLES, np.full(6, table), values)
        np.testing.assert_array_equal(Reader(writer.finish()).code(TABLES, np.full(6, table)), values)
        with pytest.raises(ValueError, match="at most"):
            Writer().code(TABLES, np.array([table]), np.array([high + MAX_DISTANCE + 1], np.int64))


def test_several_calls_are_one_queue():
    writer = Writer()
    first, second = np.array([0, 1, -1], np.int32), np.array([5, 4000], np.int32)
    writer.code(TABLES, np.array([0, 1, 2]), first)
    writer.code(TABLES, np.array([2, 0]), second)
    reader = Reader(writer.finish())
    np.testing.assert_array_equal(reader.code(TABLES, np.array([0, 1, 2])), first)
    np.testing.assert_array_equal(reader.code(TABLES, np.array([2, 0])), second)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(-3000, 3000)), max_size=200))
def test_parts_are_calls_one_after_the_other(items):
    items.sort(key=lambda item: item[0])
    parts, index, values = (np.array([item[k] for item in items], np.int32) for k in range(3))
    writer, other, plain = Writer(), Writer(), NullCoder()
    for part in np.unique(parts):
        writer.code(TABLES, index[parts == part], values[parts == part])
    for coder in (other, plain):
        code_parts(coder, TABLES, index, values, parts)
    assert writer.finish() == other.finish()


def test_length_is_the_estimate():
    rng = np.random.default_rng(0)
    tables = tables_of(tuple(scale_levels(64, 0.11, 100)))
    index = rng.integers(0, 64, 40000)
    values = np.rint(rng.normal(size=40000) * scale_levels(64, 0.11, 100)[index]).astype(np.int32)
    values[:20] = 12345
    writer = Writer()
    writer.code(tables, index, values)
    assert len(writer.finish()) * 8 == pytest.approx(tables.bits(values, index).sum(), rel=1e-3, abs=64)


def test_golden_words():
    """The bytes of fixed symbols under fixed integer tables: they may never change, in any version of any library."""
    counts = np.array([1, TOTAL - 16, 7, 3, 5, TOTAL // 2, TOTAL // 2 - 3, 1, 2], np.uint32)
    tables = TableSet(counts, np.array([0, 5, 9]), np.array([-2, 0], np.int32))
    index = np.array([0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1], np.int64)
    values = np.array([-1, -2, 0, 0, 1, 1, 2, 70, -1, -500, -9], np.int32)
    writer = Writer()
    writer.code(tables, index, values)
    assert writer.finish().hex() == GOLDEN
    np.testing.assert_array_equal(Reader(bytes.fromhex(GOLDEN)).code(tables, index), values)


GOLDEN = "ff0100000600f8fec42100dd9a7623c94f20e0cac54f20ff00001795"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_decode_or_are_corrupt(data):
    index = np.arange(3000) % 3
    try:
        assert len(Reader(data).code(TABLES, index)) == 3000
    except CorruptFile:
        pass
