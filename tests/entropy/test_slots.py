"""The stack of slots: what was put comes out, at the price that it should have; what no writer wrote is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from lecodec.entropy.residual_tables import FRACTIONS, SIZES, ResidualCoder, tables
from lecodec.entropy.slots import SLOTS, SlotReader, SlotWriter
from lecodec.errors import CorruptFile


def test_numbers_come_back_in_order_and_at_their_price():
    rng, writer, bits = np.random.default_rng(0), SlotWriter(), 0.0
    parts = []
    for n in range(300):
        width = (2 ** rng.uniform(6, 15, n % 40 + 1)).astype(np.int32)
        start = rng.integers(0, SLOTS - width).astype(np.int32)
        size = (1 << rng.integers(1, 18, n % 3)).astype(np.int32)
        plain = rng.integers(0, size).astype(np.int32)
        writer.put(start, width)
        writer.put_plain(plain, size)
        parts.append((start, width, plain, size))
        bits += (16 - np.log2(width)).sum() + np.log2(size).sum()
    data = writer.finish()
    reader = SlotReader(data)
    for start, width, plain, size in parts:
        slots = reader.slots(len(start))
        assert ((start <= slots) & (slots < start + width)).all()
        reader.rest(slots - start, width)
        assert np.array_equal(reader.plain(size), plain)
    reader.check_exhausted()
    assert 0 < 8 * len(data) - bits < 0.001 * bits + 32 * (int.from_bytes(data[:2], "little") + 3)


def test_there_is_always_enough_to_take_out():
    """Numbers that cost nothing leave nothing on the stack: more words are put at its bottom."""
    writer, width = SlotWriter(), np.full(3000, SLOTS - 2, np.int32)
    writer.put(np.zeros(3000, np.int32), width)
    data = writer.finish()
    reader = SlotReader(data)
    reader.rest(reader.slots(3000), width)
    reader.check_exhausted()
    assert int.from_bytes(data[:2], "little") * 4 > 3000


@pytest.mark.parametrize("data", [b"", b"\1\0", b"\1\0\0\0\0\0", b"\0\0\1\0\0\0", b"\1\0\1\0\0"])
def test_what_is_no_stack_is_refused(data):
    with pytest.raises(CorruptFile):
        SlotReader(data)


def test_another_end_is_noticed():
    writer = SlotWriter()
    writer.put(np.zeros(9, np.int32), np.full(9, 1000, np.int32))
    data = writer.finish()
    for wrong in (data + b"\1\0\0\0", data[:2] + data[6:] + b"\1\2\3\4", b"\2" + data[1:]):
        reader = SlotReader(wrong)
        slots = reader.slots(9)
        reader.rest(np.minimum(slots, 999), np.full(9, 1000, np.int32))
        with pytest.raises(CorruptFile):
            reader.check_exhausted()


def test_tables_are_distributions_that_widen():
    made = tables()
    spread = []
    for number in range(SIZES * FRACTIONS):
        reach, first = int(made.reach[number]), int(made.first[number])
        sums = made.sums[first : first + 2 * reach + 4]
        assert sums[0] == 0 and sums[-1] == SLOTS and np.diff(sums).min() >= 2
        away = np.arange(-reach, reach + 1) - number % FRACTIONS / FRACTIONS - 1 / 2 / FRACTIONS
        spread.append(np.average(np.abs(away), weights=np.diff(sums)[1:-1]))
    sizes = np.array(spread).reshape(SIZES, FRACTIONS).mean(1)
    assert (np.diff(sizes) > 0).all() and 0.2 < sizes[0] < 0.4 and 10 < sizes[-1] < 20


def test_any_sample_can_be_coded():
    """Far from its prediction too, at every size, also coarse ones, and at the ends of its range."""
    rng = np.random.default_rng(1)
    size = np.repeat(np.arange(160), 40)
    low, high = np.full(len(size), -70000), np.full(len(size), 70000)
    middle = rng.integers(16 * -70000, 16 * 70000 + 1, len(size))
    given = rng.integers(-70000, 70001, len(size))
    given[::5], given[1::5] = -70000, 70000
    given[2::5] = (middle[2::5] >> 4) + rng.integers(-9, 10, len(given[2::5]))
    given = given.clip(-70000, 70000)
    writer = SlotWriter()
    ResidualCoder(writer).code(middle, size, low, high, given)
    reader = SlotReader(writer.finish())
    assert np.array_equal(ResidualCoder(reader).code(middle, size, low, high, None), given)
    reader.check_exhausted()
