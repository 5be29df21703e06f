"""Video files, read and written through PyAV (FFmpeg), one frame at a time.

    file or pipe -> FFmpeg -> RGB, upright -> VideoSignal        VideoSignal -> FFmpeg -> .mp4, .mov, .mkv, .y4m

What is read is whatever FFmpeg reads. Frames become 8-bit RGB by the matrix that the file says (BT.601 where it says
none), and are converted back by the same one. mp4 and mov are written as H.264 by x264 at CRF 12, mkv without further
loss as FFV1, y4m as plain samples. Sound and subtitles are left out, and a note says so.

Guarantee: a file is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...bitstream import VideoLayout
from ...errors import InputError
from .ffmpeg import Source, announced, check_suffix, cut_short, kept, opened, reason, save, writing
from .part import Part
from .signal import Signal
from .video_signal import VideoFrame, VideoSignal, video_signal

__all__ = ["check_video_output", "load_video", "write_video_signal"]

_SUBSAMPLING = {"420": 2, "422": 1, "444": 0}
_PLANES = {0: "yuv444p", 1: "yuv422p", 2: "yuv420p", 3: "yuv444p", 4: "yuv420p"}
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M"}
"""CICP matrix coefficients -> FFmpeg's name."""
_X264 = {"crf": "12", "preset": "medium"}
_FORMATS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("mp4", "libx264", _X264),
    ".m4v": ("mp4", "libx264", _X264),
    ".mov": ("mov", "libx264", _X264),
    ".mkv": ("matroska", "ffv1", {"level": "3"}),
    ".y4m": ("yuv4mpegpipe", "rawvideo", {}),
}
"""Suffix -> container, codec, and its options."""


def load_video(source: Source) -> VideoSignal:
    """The video of a file: its first video stream. A pipe is copied to a temporary file first.

    Raises InputError for what is no video, or an interlaced one; LimitExceeded; OSError.
    """
    path, size = kept(source)
    layout, notes, turns = _looked_at(path)
    return video_signal(lambda: _frames(path, layout, turns), layout, file_bytes=size, notes=notes)


def _looked_at(path: Any) -> tuple[VideoLayout, tuple[str, ...], int]:
    """Layout (without groups) and notes of a video; by how many quarters its frames are turned, counter-clockwise."""
    import av

    with opened(path, "video") as container:
        stream, notes = container.streams.video[0], []
        try:
            frame = next(container.decode(stream), None)
        except av.FFmpegError as e:
            raise InputError(f"not a video that FFmpeg can read ({reason(e)})") from None
        if frame is None:
            raise InputError("the video has no frames")
        if frame.interlaced_frame:
            raise InputError("an interlaced video: deinterlace it first (ffmpeg -vf bwdif)")
        others = sorted({s.type for s in container.streams if s.index != stream.index})
        if others:
            notes.append(f"{' and '.join(others)} left out")
        if max(c.bits for c in frame.format.components) > 8:
            notes.append("reduced to 8 bits a sample")
        if len(frame.format.components) in (2, 4):
            notes.append("alpha left out")
        if stream.sample_aspect_ratio not in (None, 0, 1):
            notes.append("pixels are taken for square")
        turns = round(frame.rotation / 90) % 4
        width, height = (frame.width, frame.height) if turns % 2 == 0 else (frame.height, frame.width)
        context = stream.codec_context
        rate = stream.average_rate or stream.guessed_rate
        base = stream.time_base or Fraction(1, 1000)
        whole = announced(container, stream)
    times, seconds = _times(path, base)
    uniform = rate is not None and _are_uniform(times, base, Fraction(rate))
    notes += cut_short(seconds, whole)
    clock = 1 / Fraction(rate) if uniform and rate is not None else base
    layout = VideoLayout(
        width=width,
        height=height,
        clock=min(clock.denominator, 2**31 - 1),
        clock_step=min(clock.numerator, 2**31 - 1),
        duration=1 if uniform else 0,
        colour_primaries=_code(context.color_primaries),
        transfer=_code(context.color_trc),
        matrix=_code(context.colorspace),
        full_range=int(context.color_range == 2 or frame.format.name.startswith("yuvj")),
        subsampling=_planes_of(frame.format),
    )
    return layout, tuple(notes), turns


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
        shown = sorted((p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None)
    times = [pts for pts, _ in shown]
    return times, float(max((pts + lasts - times[0] for pts, lasts in shown), default=0) * base)


def _are_uniform(times: list[int], base: Fraction, rate: Fraction) -> bool:
    """Whether times are those of the rate, to within a tick."""
    return all(abs((t - times[0]) * base - n / rate) <= base for n, t in enumerate(times))


def _frames(path: Any, layout: VideoLayout, turns: int) -> Iterator[VideoFrame]:
    """All frames. Raises InputError where FFmpeg cannot go on."""
    import av

    clock = Fraction(layout.clock_step, layout.clock)
    waiting: tuple[np.ndarray, Fraction] | None = None
    last = layout.duration or 1
    with opened(path, "video") as container:
        stream = container.streams.video[0]
        try:
            for number, frame in enumerate(container.decode(stream)):
                samples = _rgb(frame, layout)
                samples = np.ascontiguousarray(np.rot90(samples, turns)) if turns else samples
                if layout.duration:
                    yield VideoFrame(samples, layout.duration)
                    continue
                time = number * clock if frame.time is None else Fraction(frame.pts) * frame.time_base
                if waiting is not None:
                    last = max(0, round((time - waiting[1]) / clock))
                    yield VideoFrame(waiting[0], last)
                waiting = samples, time
        except av.FFmpegError as e:
            raise InputError(f"the video cannot be read to its end ({reason(e)})") from None
    if waiting is not None:
        yield VideoFrame(waiting[0], last)


def _rgb(frame: Any, layout: VideoLayout) -> np.ndarray:
    """uint8 [H, W, 3]."""
    how = {"src_colorspace": _MATRICES.get(layout.matrix, "ITU601")} if layout.subsampling < 3 else {}
    if layout.subsampling < 3:
        how |= {"src_color_range": "JPEG" if layout.full_range else "MPEG", "dst_color_range": "JPEG"}
    return frame.reformat(format="rgb24", interpolation="BICUBIC", **how).to_ndarray()


# -- writing


def check_video_output(destination: Path, part: Part | None = None) -> None:
    """Raise InputError for a suffix in whose format no video is written."""
    check_suffix(destination, tuple(_FORMATS), "video")


def write_video_signal(
    signal: Signal,
    destination: Path | BinaryIO,
    part: Part | None = None,
    *,
    folder: bool = False,
    overwrite: bool = False,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `Medium.write` does for videos; a stream becomes y4m."""
    assert isinstance(signal, VideoSignal)
    written = 0

    def write(file: BinaryIO, suffix: str) -> tuple[str, ...]:
        nonlocal written
        written = _write(signal, file, suffix)
        return ()

    facts, notes = save(destination, write, check_video_output, ".y4m", folder=folder, overwrite=overwrite)
    return {"frames": written, **facts}, notes


def _write(signal: VideoSignal, file: BinaryIO, suffix: str) -> int:
    """Returns the number of frames. Raises InputError for what the format cannot hold."""
    import av

    name, codec, options = _FORMATS[suffix]
    layout = signal.video_layout
    if suffix == ".y4m" and not layout.duration:
        raise InputError("y4m has one duration for all frames, and those of this video differ: write an .mkv")
    clock = Fraction(layout.clock_step, layout.clock)
    each = clock * layout.duration or (layout.seconds / layout.frames if layout.frames else 0) or Fraction(1, 25)
    planes = "bgr0" if suffix == ".mkv" and layout.subsampling == 3 else _PLANES[layout.subsampling]
    odd = layout.width % 2 and planes != "bgr0", layout.height % 2 and planes == "yuv420p"
    planes = "yuv444p" if any(odd) else planes
    written = time = 0
    with writing(file, name, "video") as (container, mux):
        stream: Any = container.add_stream(codec, rate=1 / each, options=options)
        stream.width, stream.height, stream.pix_fmt = layout.width, layout.height, planes
        if suffix != ".y4m":
            stream.codec_context.time_base = clock
            stream.time_base = clock
            _tag(stream.codec_context, layout)
        for frame in signal.frames():
            out = _converted(av, frame.samples, layout, planes)
            out.pts, out.time_base = (written, each) if suffix == ".y4m" else (time, clock)
            mux(stream.encode(out))
            written, time = written + 1, time + frame.ticks
        mux(stream.encode(None))
    return written


def _tag(context: Any, layout: VideoLayout) -> None:
    """Say the colours of the samples that are written."""
    context.color_primaries, context.color_trc = layout.colour_primaries, layout.transfer
    if layout.subsampling < 3:
        context.colorspace, context.color_range = layout.matrix, 2 if layout.full_range else 1


def _converted(av: Any, samples: np.ndarray, layout: VideoLayout, planes: str) -> Any:
    """A frame of PyAV in the planes that are written."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), "rgb24")
    how = {}
    if planes != "bgr0":
        full = layout.full_range and layout.subsampling < 3
        how = {
            "dst_colorspace": _MATRICES.get(layout.matrix, "ITU601"),
            "src_color_range": "JPEG",
            "dst_color_range": "JPEG" if full else "MPEG",
        }
    return frame.reformat(format=planes, interpolation="BICUBIC", **how)
