"""Packets of sound and of subtitles, kept as they are: what the sPKT chunks of a group hold.

    packets of the group's span -> pack_packets -> payloads of sPKT -> unpack_packets -> packets

A packet is what a codec makes of a few samples, or of a line of text, with its time: of the streams that sTRM describes
(a Matroska file without packets). Nothing looks into it.

Guarantees: any payload gives packets or CorruptFile; what is written is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ..errors import CorruptFile, InputError
from .groups import pack_number, unpack_number
from .limits import MAX_PACKETS

__all__ = ["Packet", "pack_packets", "unpack_packets"]

_KEY, _SAME = 1, 2
_MOST_STREAMS: Final = 64
_MOST_MICROSECONDS: Final = 2**34 - 1
"""Of a packet's duration, and of what lies between two: 4.7 hours."""


class Packet(NamedTuple):
    """stream: its number among the tracks that sTRM describes; time: from the first frame's, in microseconds, which
    may be below 0; duration: in microseconds, 0 if unknown; key: whether it can be decoded without earlier ones.
    """

    stream: int
    time: int
    duration: int
    key: bool
    data: bytes


def pack_packets(packets: Iterable[Packet]) -> list[bytes]:
    """The payloads of the sPKT chunks of a group: one, if everything fits. Raises InputError."""
    out: list[bytearray] = []
    next_at: dict[int, int] = {}
    lasted: dict[int, int] = {}
    for stream, time, duration, key, data in packets:
        if not 0 <= stream < _MOST_STREAMS or not 0 <= duration <= _MOST_MICROSECONDS or len(data) > MAX_PACKETS // 2:
            raise InputError(f"a packet of stream {stream} that takes {duration} microseconds and {len(data)} bytes")
        if not out or len(out[-1]) + len(data) + 32 > MAX_PACKETS:
            out.append(bytearray())
            next_at, lasted = {}, {}
        late = time - next_at.get(stream, 0)
        if abs(late) > _MOST_MICROSECONDS:
            raise InputError(f"a packet of stream {stream} at {time} microseconds: too far from the others")
        same = duration == lasted.get(stream)
        out[-1] += pack_number(4 * stream + _SAME * same + _KEY * key)
        out[-1] += pack_number(2 * late if late >= 0 else -2 * late - 1)
        out[-1] += b"" if same else pack_number(duration)
        out[-1] += pack_number(len(data)) + data
        next_at[stream], lasted[stream] = time + duration, duration
    return [bytes(payload) for payload in out]


def unpack_packets(payloads: Sequence[bytes]) -> Iterator[Packet]:
    """The packets in the sPKT chunks of a group. Raises CorruptFile."""
    for payload in payloads:
        next_at: dict[int, int] = {}
        lasted: dict[int, int] = {}
        at = 0
        while at < len(payload):
            head, at = unpack_number(payload, at, 0)
            stream, same = head >> 2, bool(head & _SAME)
            if stream >= _MOST_STREAMS or (same and stream not in lasted):
                raise CorruptFile(f"byte {at} of sPKT: a packet of stream {stream}")
            late, at = unpack_number(payload, at, 0)
            if not same:
                lasted[stream], at = unpack_number(payload, at, 0)
            size, at = unpack_number(payload, at, 0)
            if size > len(payload) - at:
                raise CorruptFile(f"byte {at} of sPKT: a packet of {size} bytes ends beyond it")
            time = next_at.get(stream, 0) + (late >> 1 if not late & 1 else -(late + 1 >> 1))
            yield Packet(stream, time, lasted[stream], bool(head & _KEY), payload[at : at + size])
            at, next_at[stream] = at + size, time + lasted[stream]
