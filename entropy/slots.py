"""A coder of numbers that share 2^16 slots, for whoever finds them by their slot: a stack, last in, first out.

    starts, widths --SlotWriter--> bytes        bytes --SlotReader.slots--> slots --(starts, widths)--> the next ones

A number that has the slots start ... start + width - 1 costs 16 - log2(width) bits. Its reader takes a slot out, sees
whose it is, and puts back which of the width slots it was, which is worth log2(width) bits. What it puts back a writer,
who works from the last number to the first, takes out. So a whole array of numbers of different distributions is
written or read at a time, in a few calls: no list of probabilities is made for each. ("Bits back", Frey and Hinton
1997; Townsend, Bird and Barber, ICLR 2019, on Duda's range variant of asymmetric numeral systems.)

Underneath is constriction's `AnsCoder`: words of 32 bits, a state of 64, 24 bits of precision. A writer begins with a
few words of its own, so that there is always something to take out, and a reader ends with the same ones.
"""

from __future__ import annotations

import numpy as np
from constriction import stream  # pyright: ignore[reportAttributeAccessIssue]

from ..errors import CorruptFile

__all__ = ["SLOTS", "SLOT_BITS", "SlotReader", "SlotWriter"]

SLOT_BITS = 16
SLOTS = 1 << SLOT_BITS
_ALL = stream.model.Uniform(SLOTS)
_SOME = stream.model.Uniform()
MAX_SEED = 2**16 - 1
"""Words at the bottom, at most."""


def _seed(count: int) -> np.ndarray:
    """The words at the bottom of the stack: [count] uint32. None is 0."""
    return np.uint32(2**31) + np.arange(count, dtype=np.uint32)


class SlotWriter:
    """Collects numbers; `finish` codes them, the last one first."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray, bool]] = []

    def put(self, start: np.ndarray, width: np.ndarray) -> None:
        """int32 [n] each: the slots of n numbers. width: 2 to SLOTS."""
        self._parts.append((start, width, True))

    def put_plain(self, value: np.ndarray, size: np.ndarray) -> None:
        """int32 [n] each: numbers of which each of `size`, 2 to 2^20, is as likely."""
        self._parts.append((value, size, False))

    def finish(self) -> bytes:
        """uint16, how many words are at the bottom; the words, little-endian."""
        count = 1
        while (words := self._words(count)) is None:
            count = min(2 * count, MAX_SEED)
        return count.to_bytes(2, "little") + words.astype("<u4").tobytes()

    def _words(self, seed: int) -> np.ndarray | None:
        """None: there was not always enough to take out."""
        ans = stream.stack.AnsCoder(_seed(seed))
        for first, second, in_slots in reversed(self._parts):
            if not in_slots:
                ans.encode_reverse(first, _SOME, second)
                continue
            if 32 * (ans.num_words() - 2) < SLOT_BITS * len(first) and seed < MAX_SEED:
                return None
            rest = ans.decode(_SOME, second)
            ans.encode_reverse(first + rest, _ALL)
        return ans.get_compressed()


class SlotReader:
    """Decodes what a SlotWriter wrote, in the order in which it was put. Any bytes decode to something."""

    def __init__(self, data: bytes):
        if len(data) < 6 or len(data) % 4 != 2:
            raise CorruptFile(f"coded data is {len(data)} bytes long, not 2 and a multiple of 4")
        self._count = int.from_bytes(data[:2], "little")
        words = np.frombuffer(data, "<u4", offset=2).astype(np.uint32)
        if not words[-1] or not self._count:
            raise CorruptFile("coded data does not decode")
        self._ans = stream.stack.AnsCoder(words)

    def slots(self, count: int) -> np.ndarray:
        """The slots of the next numbers: [count] int32. `rest` comes next."""
        return self._ans.decode(_ALL, count)

    def rest(self, rest: np.ndarray, width: np.ndarray) -> None:
        """Which of their slots they were, int32 [n] each: 0 <= rest < width."""
        self._ans.encode_reverse(rest, _SOME, width)

    def plain(self, size: np.ndarray) -> np.ndarray:
        """Numbers of which each of `size` is as likely: int32 [n]."""
        return self._ans.decode(_SOME, size)

    def check_exhausted(self) -> None:
        """Raises CorruptFile unless all of the data was used."""
        if not np.array_equal(self._ans.get_compressed(), _seed(self._count)):
            raise CorruptFile("coded data does not decode: it does not end where it began")
