"""Video files, written through PyAV (FFmpeg), one frame at a time.

    VideoSignal -> FFmpeg -> .mp4, .m4v, .mov, .webm, .mkv, .y4m, .yuv, .rgb

mp4 and mov are written as H.264 by x264 at CRF 12, WebM as VP9 by libvpx at CRF 12, mkv without further loss as FFV1,
the others as plain samples. Frames are converted back to the planes of the source by the matrix that they came by.
Sound and subtitles are written beside them where the format takes them; where it does not, a note says so.

Guarantee: a file is written whole or not at all.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...bitstream import VideoLayout
from ...errors import InputError
from .ffmpeg import check_suffix, ffmpeg, has_ffmpeg, save, writing
from .part import Frames, Part
from .plain_video import head_of, planes_bytes
from .signal import Signal
from .video_files import MATRICES
from .video_signal import VideoSignal
from .video_streams import Sides

__all__ = ["check_video_output", "write_video_signal"]

_PLANES = {0: "yuv444p", 1: "yuv422p", 2: "yuv420p", 3: "yuv444p", 4: "yuv420p"}
_X264 = {"crf": "12", "preset": "medium"}
_VP9 = {"crf": "12", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
_FORMATS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("mp4", "libx264", _X264),
    ".m4v": ("mp4", "libx264", _X264),
    ".mov": ("mov", "libx264", _X264),
    ".webm": ("webm", "libvpx-vp9", _VP9),
    ".mkv": ("matroska", "ffv1", {"level": "3"}),
    ".y4m": ("yuv4mpegpipe", "rawvideo", {}),
    ".yuv": ("rawvideo", "rawvideo", {}),
    ".rgb": ("rawvideo", "rawvideo", {}),
}
"""Suffix -> container, codec, and its options."""
_PLAIN = (".y4m", ".yuv", ".rgb")
"""Formats of samples alone: no times, no colours, nothing beside the pictures."""


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
    form: str = "",
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `Medium.write` does for videos; a stream becomes y4m."""
    assert isinstance(signal, VideoSignal)
    written = 0

    def write(file: BinaryIO, suffix: str) -> tuple[str, ...]:
        nonlocal written
        written, notes = _write(signal, file, suffix, part)
        return notes

    streamed = f".{form}" if form else ".y4m"
    if not isinstance(destination, Path):
        check_video_output(Path(f"-{streamed}"))
    facts, notes = save(destination, write, check_video_output, streamed, folder=folder, overwrite=overwrite)
    return {"frames": written, **facts}, notes


def _write(signal: VideoSignal, file: BinaryIO, suffix: str, part: Part | None) -> tuple[int, tuple[str, ...]]:
    """Returns the number of frames, and notes. Raises InputError for what the format cannot hold."""
    name, codec, options = _FORMATS[suffix]
    layout = signal.video_layout
    if suffix == ".y4m" and not layout.duration:
        raise InputError("y4m has one duration for all frames, and those of this video may differ: write an .mkv")
    clock = Fraction(layout.clock_step, layout.clock)
    each = clock * layout.duration or (layout.seconds / layout.frames if layout.frames else 0) or Fraction(1, 25)
    planes = _planes(layout, suffix)
    if suffix in _PLAIN and not has_ffmpeg():
        return _write_plain(signal, file, suffix, planes, 1 / each)
    av = ffmpeg(f"writing {suffix}, other than {' and '.join(_PLAIN)},")
    written = time = 0
    with writing(file, name, "video") as (container, mux):
        stream: Any = container.add_stream(codec, rate=1 / each, options=options)
        stream.width, stream.height, stream.pix_fmt = layout.width, layout.height, planes
        if suffix not in _PLAIN:
            stream.codec_context.time_base = clock
            stream.time_base = clock
            _tag(stream.codec_context, layout)
        sides = Sides(container, name, suffix, signal.metadata.streams, _began(layout, part))
        for frame in signal.frames():
            out = _converted(av, frame.samples, layout, planes)
            out.pts, out.time_base = (written, each) if suffix in _PLAIN else (time, clock)
            mux(stream.encode(out))
            sides.put(frame.packets, mux)
            written, time = written + 1, time + frame.ticks
        mux(stream.encode(None))
    return written, tuple(sides.notes)


def _write_plain(
    signal: VideoSignal, file: BinaryIO, suffix: str, planes: str, rate: Fraction
) -> tuple[int, tuple[str, ...]]:
    """The same without FFmpeg."""
    layout, written = signal.video_layout, 0
    full = bool(layout.full_range and layout.subsampling < 3)
    converted = planes_bytes(planes, layout.matrix, full)
    if suffix == ".y4m":
        file.write(head_of(layout.width, layout.height, rate, planes, full))
    for frame in signal.frames():
        file.write((b"FRAME\n" if suffix == ".y4m" else b"") + converted(frame.samples))
        written += 1
    return written, (f"{suffix[1:]} holds no sound or subtitles",) if signal.metadata.streams else ()


def _planes(layout: VideoLayout, suffix: str) -> str:
    if suffix == ".rgb":
        return "rgb24"
    if suffix == ".mkv" and layout.subsampling == 3:
        return "bgr0"
    planes = _PLANES[layout.subsampling]
    odd = layout.width % 2 and planes != "yuv444p", layout.height % 2 and planes == "yuv420p"
    return "yuv444p" if any(odd) else planes


def _began(layout: VideoLayout, part: Part | None) -> Fraction:
    """Where a part begins, in seconds, as far as that is known."""
    if not isinstance(part, Frames) or not part.first:
        return Fraction(0)
    if part.in_seconds:
        return Fraction(part.first)
    return int(part.first) * Fraction(layout.duration * layout.clock_step, layout.clock)


def _tag(context: Any, layout: VideoLayout) -> None:
    """Say the colours of the samples that are written."""
    context.color_primaries, context.color_trc = layout.colour_primaries, layout.transfer
    if layout.subsampling < 3:
        context.colorspace, context.color_range = layout.matrix, 2 if layout.full_range else 1


def _converted(av: Any, samples: np.ndarray, layout: VideoLayout, planes: str) -> Any:
    """A frame of PyAV in the planes that are written."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), "rgb24")
    how = {}
    if planes not in ("bgr0", "rgb24"):
        full = layout.full_range and layout.subsampling < 3
        how = {
            "dst_colorspace": MATRICES.get(layout.matrix, "ITU601"),
            "src_color_range": "JPEG",
            "dst_color_range": "JPEG" if full else "MPEG",
        }
    return frame.reformat(format=planes, interpolation="BICUBIC", **how)
