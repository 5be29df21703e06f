"""What goes with the pictures of a video: its sound and its subtitles, kept packet by packet, its chapters and tags.

    file -> described (which streams, tags) -> sTRM            file -> packets, by their times -> frames -> sPKT
    sTRM -> Template -> Sides -> streams of an output          packets of frames -> Sides -> the same

A description is a Matroska file (RFC 9559) without packets: it says of each track what its codec needs, in the way that
every player understands. Packets are copied, never decoded, so nothing is lost and nothing is gained. What Matroska
does not take is left out when a video is encoded, what the format of an output does not take when it is decoded; a note
says so each time.
"""

from __future__ import annotations

import io
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final, Protocol

from ...bitstream.packets import Packet
from ...errors import CorruptFile
from .ffmpeg import texts
from .video_signal import VideoFrame, VideoSignal

__all__ = ["Arrived", "Pulled", "Side", "Sides", "described", "packet_of", "sides_of", "silent", "template"]

MICROSECOND: Final = Fraction(1, 10**6)
_NO_TAGS: Final = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "handler_name"}
"""Tags that say what a file is made of, not what is in it."""
_EMPTY_CLUSTER: Final = bytes.fromhex("1f43b67583e78100")
"""A cluster at the time 0: without one FFmpeg does not open a file."""


class Side(Protocol):
    """Packets by their times."""

    def until(self, time: float) -> list[Packet]:
        """Those that begin before a time, in microseconds from the first frame, and have not been given out."""
        ...


class Arrived:
    """Packets of a pipe, as far as they have come."""

    def __init__(self) -> None:
        self._packets: deque[Packet] = deque()

    def add(self, packet: Packet) -> None:
        self._packets.append(packet)

    def until(self, time: float) -> list[Packet]:
        found = []
        while self._packets and self._packets[0].time < time:
            found.append(self._packets.popleft())
        return found


class Pulled:
    """Packets of a file, which are fetched when it is their time."""

    def __init__(self, packets: Iterator[Packet]) -> None:
        self._packets, self._next = packets, next(packets, None)

    def until(self, time: float) -> list[Packet]:
        found = []
        while self._next is not None and self._next.time < time:
            found.append(self._next)
            self._next = next(self._packets, None)
        return found


def sides_of(container: Any) -> tuple[list[Any], list[str]]:
    """The streams of sound and subtitles that can be kept, and notes on what cannot."""
    kept, notes = [], []
    for stream in container.streams:
        if stream.type in ("audio", "subtitle"):
            name = stream.codec_context.name if stream.codec_context else "unknown"
            if _takes("matroska", stream):
                kept.append(stream)
            else:
                notes.append(f"{_noun(stream.type)} ({name}) left out: it cannot be kept")
    video = container.streams.video[0]
    others = {s.type for s in container.streams if s.type not in ("audio", "subtitle") and s.index != video.index}
    if others := sorted("pictures" if kind == "video" else kind for kind in others):
        notes.append(f"{' and '.join(others)} left out")
    return kept, notes


def _noun(kind: str) -> str:
    return "sound" if kind == "audio" else "subtitles"


def _takes(form: str, stream: Any) -> bool:
    """Whether a format of FFmpeg can hold a stream."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=form) as container:
            copy = container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
            if stream.codec_context.name.startswith("pcm_"):  # mp4 may find out when it ends what it does not hold
                packet = av.Packet(bytes(96))
                packet.stream, packet.pts, packet.dts, packet.time_base = copy, 0, 0, Fraction(1, 1000)
                container.mux(packet)
    except (av.FFmpegError, ValueError, TypeError, AttributeError):
        return False
    return True


def described(container: Any, kept: Sequence[Any], began: Fraction) -> bytes:
    """The description of a file: of the streams that are kept, its chapters and tags; nothing if there are none.
    began: when its first frame is shown, in seconds.
    """
    import av

    tags = {name: text for name, text in texts(container.metadata).items() if name.lower() not in _NO_TAGS}
    chapters = [_moved(chapter, -began) for chapter in container.chapters()]
    if not kept and not tags and not chapters:
        return b""
    sink = _Bytes()
    with av.open(sink, "w", format="matroska", options={"fflags": "+bitexact"}) as out:
        for stream in kept:
            copy = out.add_stream_from_template(stream, opaque=True)
            copy.metadata.update({n: t for n, t in texts(stream.metadata).items() if n in ("language", "title")})
        out.metadata.update(tags)
        if chapters:
            out.set_chapters(chapters)
        if not kept:  # a Matroska file has a track: one of pictures says nothing here
            out.add_stream("rawvideo", rate=1, width=16, height=16)
        out.start_encoding()
    return bytes(sink.data) + _EMPTY_CLUSTER


def _moved(chapter: Any, by: Fraction) -> Any:
    """A chapter, moved by seconds, in milliseconds."""
    base = Fraction(chapter["time_base"])
    start, end = (max(0, round((chapter[edge] * base + by) * 1000)) for edge in ("start", "end"))
    return {
        **chapter,
        "metadata": texts(chapter["metadata"]),
        "start": start,
        "end": max(start, end),
        "time_base": Fraction(1, 1000),
    }


class _Bytes:
    """What FFmpeg writes to when it shall not go back."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += bytes(data)
        return len(data)


def packet_of(packet: Any, number: int, began: Fraction) -> Packet | None:
    """A packet of PyAV, of the kept stream `number`; None for one without time or contents."""
    time = packet.pts if packet.pts is not None else packet.dts
    if time is None or not packet.size:
        return None
    base = Fraction(packet.time_base)
    at, lasts = (time * base - began) / MICROSECOND, (packet.duration or 0) * base / MICROSECOND
    return Packet(
        number, math.floor(at + Fraction(1, 2)), max(0, round(lasts)), bool(packet.is_keyframe), bytes(packet)
    )


def silent(signal: VideoSignal) -> VideoSignal:
    """A video without its sound and subtitles; chapters and tags stay."""
    description = signal.metadata.streams
    if description:
        with template(description) as source:
            description = described(source, (), Fraction(0))

    def frames() -> Iterator[VideoFrame]:
        return (frame._replace(packets=()) for frame in signal.frames())

    return replace(signal, frames=frames, metadata=replace(signal.metadata, streams=description))


def template(description: bytes) -> Any:
    """An open container of PyAV whose streams are those of a description. Raises CorruptFile."""
    import av

    try:
        return av.open(io.BytesIO(description), format="matroska", metadata_errors="replace")
    except (av.FFmpegError, ValueError):
        raise CorruptFile("its description of sound and subtitles (sTRM) is not a Matroska file") from None


class Sides:
    """Streams of an output that take packets. container: of PyAV, which is not written to yet; form: FFmpeg's name of
    its format, suffix: that of its file. began: seconds that were cut off in front. notes: what it does not take.
    """

    def __init__(self, container: Any, form: str, suffix: str, description: bytes, began: Fraction) -> None:
        self._streams: dict[int, Any] = {}
        self.notes: list[str] = []
        if not description:
            return
        with template(description) as source:
            tracks = [s for s in source.streams if s.type in ("audio", "subtitle")]
            for number, stream in enumerate(tracks):
                if not _takes(form, stream):
                    name = stream.codec_context.name if stream.codec_context else "unknown"
                    self.notes.append(f"{_noun(stream.type)} ({name}) left out: {suffix} does not hold it")
                    continue
                self._streams[number] = container.add_stream_from_template(stream, opaque=True)
                self._streams[number].metadata.update(stream.metadata)
            container.metadata.update({n: t for n, t in source.metadata.items() if n.lower() not in _NO_TAGS})
            if chapters := [_moved(chapter, -began) for chapter in source.chapters()]:
                with suppress(ValueError):
                    container.set_chapters(chapters)

    def put(self, packets: Sequence[Packet], mux: Callable[[Any], None]) -> None:
        """Write packets."""
        import av

        for packet in packets:
            if (stream := self._streams.get(packet.stream)) is None:
                continue
            out = av.Packet(packet.data)
            out.pts = out.dts = packet.time
            out.duration, out.time_base = packet.duration, MICROSECOND
            out.is_keyframe, out.stream = packet.key, stream
            mux(out)
