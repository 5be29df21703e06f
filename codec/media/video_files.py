"""Video files, read through PyAV (FFmpeg), one frame at a time.

    file -> FFmpeg -> RGB, upright, and packets of sound and subtitles -> VideoSignal
    pipe -> Pipe -> the same as it comes, if its format can be read so; otherwise a copy of it is read

What is read is whatever FFmpeg reads. Frames become 8-bit RGB by the matrix that the file says (BT.601 where it says
none). Sound and subtitles are not decoded: see `video_streams`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from ...bitstream import Metadata, VideoLayout
from ...bitstream.packets import Packet
from ...errors import InputError
from .ffmpeg import Source, announced, cut_short, kept, opened, reading, reason
from .pipe import Pipe
from .several import check_single
from .video_signal import VideoFrame, VideoSignal, microseconds, video_signal
from .video_streams import Arrived, Pulled, Side, described, packet_of, sides_of

__all__ = ["MATRICES", "load_video"]

_SUBSAMPLING = {"420": 2, "422": 1, "444": 0}
MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M"}
"""CICP matrix coefficients -> FFmpeg's name."""
_STREAMED = (b"YUV4MPEG2 ", b"\x1a\x45\xdf\xa3", b"FLV\1", b"\0\0\1\xba", b"G")
"""How formats begin that are read as they come: y4m, Matroska and WebM, Flash, MPEG."""


def load_video(source: Source | Pipe) -> VideoSignal:
    """The video of a file: its first video stream, with the sound and the subtitles beside it. A pipe is read as it
    comes, and its frames can be asked for once, if its format allows that; otherwise it is copied to a temporary file
    first.

    Raises InputError for what is no video, or an interlaced one; LimitExceeded; OSError.
    """
    if isinstance(source, Pipe) and not source.again and source.start().startswith(_STREAMED):
        return _streamed(source)
    path, size = kept(source)  # pyright: ignore[reportArgumentType] - a pipe has all that is needed
    check_single(path, "video")
    with opened(path, "video") as container:
        look = _looked_at(container, next(_decoded(container, [container.streams.video[0]], None), None))
        whole = announced(container, container.streams.video[0])
    times, seconds = _times(path, look.base)
    uniform = look.rate is not None and _are_uniform(times, look.base, look.rate)
    layout = look.layout(1 / look.rate if uniform and look.rate is not None else look.base, uniform)

    def frames() -> Iterator[VideoFrame]:
        with opened(path, "video") as container, opened(path, "video") as beside:
            sides = [beside.streams[number] for number in look.sides]
            packets = Pulled(_packets(beside, sides, look.began)) if sides else None
            video = container.streams.video[0]
            yield from _with_packets(_shown(_decoded(container, [video], None), layout, look), packets, layout)

    return video_signal(
        frames,
        layout,
        metadata=look.metadata,
        count=len(times),
        file_bytes=size,
        notes=(*look.notes, *cut_short(seconds, whole)),
    )


def _streamed(pipe: Pipe) -> VideoSignal:
    """A video that is read as it comes."""
    counted = _Counted(pipe)
    container = opened(counted, "video")
    video = container.streams.video[0]
    arrived = Arrived()
    streams, _ = sides_of(container)
    numbers = {stream.index: number for number, stream in enumerate(streams)}
    early: list[tuple[Any, int]] = []
    began: list[Fraction] = []

    def beside(packet: Any) -> None:
        number = numbers[packet.stream.index]
        if not began:
            early.append((packet, number))
        elif (found := packet_of(packet, number, began[0])) is not None:
            arrived.add(found)

    decoded = _decoded(container, [video, *streams], beside)
    look = _looked_at(container, first := next(decoded, None))
    began.append(look.began)
    for packet, number in early:
        if (found := packet_of(packet, number, look.began)) is not None:
            arrived.add(found)
    uniform = container.format.name == "yuv4mpegpipe" and look.rate is not None
    layout = look.layout(1 / look.rate if uniform and look.rate is not None else look.base, uniform)
    left = [chain([first], decoded)]

    def frames() -> Iterator[VideoFrame]:
        if not left:
            raise InputError("a pipe is read once: only a quality (-q) can be asked for")
        with container:
            yield from _with_packets(_shown(left.pop(), layout, look), arrived if streams else None, layout)

    return video_signal(frames, layout, metadata=look.metadata, bytes_read=lambda: counted.count, notes=look.notes)


class _Counted:
    """A pipe for FFmpeg to read from, and how much of it has been read."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe, self.count = pipe, 0

    def read(self, count: int = -1) -> bytes:
        found = self._pipe.read(count)
        self.count += len(found)
        return found


@dataclass(frozen=True)
class _Look:
    """What the first frame and the streams of a file say. turns: by how many quarters its frames are turned,
    counter-clockwise; base: of its clock; rate: frames a second, None if it says none; began: when its first frame is
    shown, in seconds; sides: the numbers of its streams that are kept.
    """

    frame: Any
    context: Any
    turns: int
    base: Fraction
    rate: Fraction | None
    began: Fraction
    sides: tuple[int, ...]
    metadata: Metadata
    notes: tuple[str, ...]

    def layout(self, clock: Fraction, uniform: bool) -> VideoLayout:
        """clock: seconds of a tick; uniform: whether every frame takes one."""
        frame, context = self.frame, self.context
        width, height = (frame.width, frame.height) if self.turns % 2 == 0 else (frame.height, frame.width)
        return VideoLayout(
            width=width,
            height=height,
            clock=min(clock.denominator, 2**31 - 1),
            clock_step=min(clock.numerator, 2**31 - 1),
            duration=int(uniform),
            colour_primaries=_code(context.color_primaries),
            transfer=_code(context.color_trc),
            matrix=_code(context.colorspace),
            full_range=int(context.color_range == 2 or frame.format.name.startswith("yuvj")),
            subsampling=_planes_of(frame.format),
        )


def _looked_at(container: Any, frame: Any) -> _Look:
    """frame: the first one. Raises InputError for a video that is not carried."""
    stream, notes = container.streams.video[0], []
    if frame is None:
        raise InputError("the video has no frames")
    if frame.interlaced_frame:
        raise InputError("an interlaced video: deinterlace it first (ffmpeg -vf bwdif)")
    sides, left_out = sides_of(container)
    notes += left_out
    if max(c.bits for c in frame.format.components) > 8:
        notes.append("reduced to 8 bits a sample")
    if len(frame.format.components) in (2, 4):
        notes.append("alpha left out")
    if stream.sample_aspect_ratio not in (None, 0, 1):
        notes.append("pixels are taken for square")
    rate = stream.average_rate or stream.guessed_rate
    base = stream.time_base or Fraction(1, 1000)
    began = Fraction(0) if frame.pts is None else frame.pts * Fraction(frame.time_base)
    context = stream.codec_context
    return _Look(
        frame,
        context,
        turns=round(frame.rotation / 90) % 4,
        base=Fraction(base),
        rate=None if rate is None else Fraction(rate),
        began=began,
        sides=tuple(side.index for side in sides),
        metadata=Metadata(
            primaries=_code(context.color_primaries),
            transfer=_code(context.color_trc),
            streams=described(container, sides, began),
        ),
        notes=tuple(notes),
    )


def _code(value: Any) -> int:
    """A code point of CICP; what is none is unspecified."""
    value = 2 if value is None else int(value)
    return value if 0 < value <= 255 else 2


def _planes_of(format: Any) -> int:
    if format.is_rgb or "pal" in format.name:
        return 3
    if len(format.components) < 3:
        return 4
    return next((n for digits, n in _SUBSAMPLING.items() if digits in format.name), 2 if "12" in format.name else 0)


def _times(path: Any, base: Fraction) -> tuple[list[int], float]:
    """When each frame is shown, in ticks of the file's own clock, in order; from the first to the end of the last, in
    seconds.
    """
    with opened(path, "video") as container:
        stream = container.streams.video[0]
        with reading("the video cannot be read to its end"):
            shown = sorted((p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None)
    times = [pts for pts, _ in shown]
    return times, float(max((pts + lasts - times[0] for pts, lasts in shown), default=0) * base)


def _are_uniform(times: list[int], base: Fraction, rate: Fraction) -> bool:
    """Whether times are those of the rate, to within a tick."""
    return all(abs((t - times[0]) * base - n / rate) <= base for n, t in enumerate(times))


def _decoded(container: Any, streams: list[Any], beside: Callable[[Any], None] | None) -> Iterator[Any]:
    """The frames of the first of some streams; beside: takes the packets of the others. Raises InputError where FFmpeg
    cannot go on.
    """
    import av

    number = 0
    try:
        for packet in container.demux(streams):
            if packet.stream.index != streams[0].index:
                if beside is not None:
                    beside(packet)
                continue
            for frame in packet.decode():
                yield frame
                number += 1
    except (av.FFmpegError, ValueError) as e:
        what = "be read to its end" if number else "be read: not a video that FFmpeg can decode"
        raise InputError(f"the video cannot {what} ({reason(e)})") from None


def _packets(container: Any, streams: list[Any], began: Fraction) -> Iterator[Packet]:
    numbers = {stream.index: number for number, stream in enumerate(streams)}
    with reading("its sound cannot be read to its end"):
        for packet in container.demux(streams):
            if (found := packet_of(packet, numbers[packet.stream.index], began)) is not None:
                yield found


def _shown(decoded: Iterator[Any], layout: VideoLayout, look: _Look) -> Iterator[VideoFrame]:
    """Frames with the ticks that they last; the last one as long as the one before it."""
    clock = Fraction(layout.clock_step, layout.clock)
    waiting: tuple[np.ndarray, Fraction] | None = None
    last = layout.duration or 1
    for number, frame in enumerate(decoded):
        samples = _rgb(frame, layout)
        samples = np.ascontiguousarray(np.rot90(samples, look.turns)) if look.turns else samples
        if layout.duration:
            yield VideoFrame(samples, layout.duration)
            continue
        time = number * clock if frame.pts is None else Fraction(frame.pts) * frame.time_base
        if waiting is not None:
            last = max(0, round((time - waiting[1]) / clock))
            yield VideoFrame(waiting[0], last)
        waiting = samples, time
    if waiting is not None:
        yield VideoFrame(waiting[0], last)


def _with_packets(frames: Iterator[VideoFrame], side: Side | None, layout: VideoLayout) -> Iterator[VideoFrame]:
    """Frames with the packets of their time: the first one has those before it, the last one those behind it."""
    if side is None:
        yield from frames
        return
    waiting: VideoFrame | None = None
    tick = 0
    for frame in frames:
        if waiting is not None:
            yield waiting
        tick += frame.ticks
        waiting = frame._replace(packets=tuple(side.until(microseconds(layout, tick))))
    if waiting is not None:
        yield waiting._replace(packets=(*waiting.packets, *side.until(float("inf"))))


def _rgb(frame: Any, layout: VideoLayout) -> np.ndarray:
    """uint8 [H, W, 3]."""
    how = {"src_colorspace": MATRICES.get(layout.matrix, "ITU601")} if layout.subsampling < 3 else {}
    if layout.subsampling < 3:
        how |= {"src_color_range": "JPEG" if layout.full_range else "MPEG", "dst_color_range": "JPEG"}
    return frame.reformat(format="rgb24", interpolation="BICUBIC", **how).to_ndarray()
