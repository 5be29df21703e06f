"""Rates and qualities of video codecs from real files: `lecodec eval video`.

    clip -> PyAV, shrunk -> 8-bit 4:2:0 frames, the originals -> codec at each setting -> bytes -> frames -> PSNR

Sizes are those of whole files, container and index included. PSNR of Y' is taken in the originals' own format, each
frame by itself, and is the mean over the frames; that of RGB is taken after both have been converted. The peers are
x264 and x265 at preset medium and SVT-AV1 at preset 6, each on one thread, in mp4, with a constant rate factor.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..bitstream import LecFile, VideoLayout
from ..codec.codec import Target
from ..codec.media.video_signal import VideoFrame, in_groups, video_signal
from ..codec.registry import load
from ..codec.video import VideoCodec
from ..errors import InputError
from .figures.bd import Curve, bd_rate

__all__ = ["CODECS", "Clip", "VideoResult", "run_video"]

_X265 = "log-level=none:pools=none:frame-threads=1:no-wpp=1"


@dataclass(frozen=True)
class Clip:
    """frames: the originals, yuv420p as PyAV has it, [3 H / 2, W] uint8 each; fps: of them."""

    name: str
    frames: list[np.ndarray]
    fps: Fraction

    @property
    def height(self) -> int:
        return len(self.frames[0]) * 2 // 3

    @property
    def width(self) -> int:
        return self.frames[0].shape[1]


class _Codec(Protocol):
    @property
    def ladder(self) -> tuple[float, ...]: ...

    def encode(self, clip: Clip, setting: float) -> bytes: ...

    def decode(self, data: bytes, clip: Clip) -> Iterator[np.ndarray]:
        """Frames as `Clip` has them."""
        ...


@dataclass(frozen=True)
class _Peer:
    """An encoder of FFmpeg."""

    encoder: str
    options: Mapping[str, str]
    ladder: tuple[float, ...]

    def encode(self, clip: Clip, setting: float) -> bytes:
        import av

        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as container:
            stream: Any = container.add_stream(
                self.encoder, rate=clip.fps, options={**self.options, "crf": f"{setting:g}"}
            )
            stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
            stream.thread_count = 1
            for frame in clip.frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "yuv420p")))
            container.mux(stream.encode(None))
        return file.getvalue()

    def decode(self, data: bytes, clip: Clip) -> Iterator[np.ndarray]:
        import av

        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            for frame in container.decode(stream):
                yield frame.to_ndarray()


@dataclass(frozen=True)
class _Lecodec:
    """This package's codec. group: frames in each group (0: as suits them; 1: each frame alone)."""

    group: int = 0
    chain: bool = False
    ladder: tuple[float, ...] = (15.0, 30.0, 45.0, 60.0, 75.0)

    def encode(self, clip: Clip, setting: float) -> bytes:
        layout = VideoLayout(
            width=clip.width, height=clip.height, clock=clip.fps.numerator, clock_step=clip.fps.denominator
        )
        signal = video_signal(lambda: (VideoFrame(to_rgb(frame), 1) for frame in clip.frames), layout)
        return _codec().encode_signals([in_groups(signal, self.group, self.chain)], Target("quality", setting))[0]

    def decode(self, data: bytes, clip: Clip) -> Iterator[np.ndarray]:
        for frame in _codec().frames(LecFile.open(data)):
            yield to_yuv(frame.samples)


def _codec() -> VideoCodec:
    return load("video", of=VideoCodec)


CODECS: dict[str, _Codec] = {
    "lecodec": _Lecodec(),
    "lecodec-intra": _Lecodec(1),
    "lecodec-low-delay": _Lecodec(0, True),
    "x264": _Peer("libx264", {"preset": "medium"}, (45, 40, 35, 30, 25, 20)),
    "x265": _Peer("libx265", {"preset": "medium", "x265-params": _X265}, (45, 40, 35, 30, 25, 20)),
    "svt-av1": _Peer("libsvtav1", {"preset": "6", "svtav1-params": "lp=1"}, (63, 55, 47, 39, 31, 23)),
}


@dataclass
class VideoResult:
    """points: a row for each clip, codec and setting; comparisons: of BD-rates; skipped: what could not be measured,
    and why.
    """

    points: list[dict[str, Any]] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def run_video(
    clips: Sequence[Path],
    codecs: Sequence[str],
    output: Path,
    *,
    frames: int = 96,
    start: int = 0,
    width: int = 640,
    anchors: Sequence[str] = ("x264",),
    settings: Mapping[str, Sequence[float]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VideoResult:
    """Measure codecs (names of `CODECS`) on clips, `frames` frames of each from number `start` on, shrunk to `width`
    pixels a row at most (clips that were lossy before should be shrunk to half or less). settings: instead of a codec's
    own ladder. Writes points.tsv and bd.tsv into the folder `output`.

    Raises InputError (an unknown codec, a file that is no video), and as `load`.
    """
    if unknown := [name for name in (*codecs, *anchors) if name not in CODECS]:
        raise InputError(f"no video codec {unknown[0]!r}: there are {', '.join(CODECS)}")
    result, done = VideoResult(), 0
    total = sum(len((settings or {}).get(name) or CODECS[name].ladder) for name in codecs) * len(clips)
    for path in clips:
        clip = read_clip(path, frames, start, width)
        for name in codecs:
            for setting in (settings or {}).get(name) or CODECS[name].ladder:
                try:
                    result.points.append(_measured(clip, name, setting))
                except (InputError, ValueError, OSError) as error:
                    result.skipped.append((f"{clip.name} {name} {setting:g}", str(error)))
                done += 1
                if progress:
                    progress(done, total)
        for anchor in anchors:
            result.comparisons += _compared(result, clip.name, codecs, anchor)
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "points.tsv", result.points)
    _write(output / "bd.tsv", result.comparisons)
    return result


def read_clip(path: Path, frames: int, start: int, width: int) -> Clip:
    """Some frames of a file, as 4:2:0 with even sides. Raises InputError."""
    import av

    found: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            scale = min(1.0, width / stream.width)
            size = [max(2, round(side * scale / 2) * 2) for side in (stream.width, stream.height)]
            for number, frame in enumerate(container.decode(stream)):
                if number >= start:
                    kind = "AREA" if scale < 1 else "BICUBIC"
                    found.append(frame.reformat(size[0], size[1], "yuv420p", interpolation=kind).to_ndarray())
                if len(found) == frames:
                    break
            fps = Fraction(stream.average_rate or 25)
    except (av.FFmpegError, IndexError) as e:
        raise InputError(f"{path}: not a readable video ({e})") from None
    if not found:
        raise InputError(f"{path} has no frame {start}")
    return Clip(path.stem, found, fps)


def to_rgb(frame: np.ndarray) -> np.ndarray:
    """yuv420p, BT.601 over the limited range -> uint8 [H, W, 3]."""
    import av

    return av.VideoFrame.from_ndarray(frame, "yuv420p").reformat(format="rgb24", interpolation="BICUBIC").to_ndarray()


def to_yuv(samples: np.ndarray) -> np.ndarray:
    """The other way."""
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), "rgb24")
    return frame.reformat(format="yuv420p", interpolation="BICUBIC").to_ndarray()


def _measured(clip: Clip, name: str, setting: float) -> dict[str, Any]:
    codec, begun = CODECS[name], time.perf_counter()
    data = codec.encode(clip, setting)
    encoded = time.perf_counter()
    decoded = list(codec.decode(data, clip))
    ended = time.perf_counter()
    if len(decoded) != len(clip.frames):
        raise InputError(f"{len(decoded)} frames came back of {len(clip.frames)}")
    luma = [_psnr(a[: clip.height], b[: clip.height]) for a, b in zip(clip.frames, decoded, strict=True)]
    rgb = [_psnr(to_rgb(a), to_rgb(b)) for a, b in zip(clip.frames[::4], decoded[::4], strict=True)]
    pixels = clip.width * clip.height * len(clip.frames)
    return {
        "clip": clip.name,
        "width": clip.width,
        "height": clip.height,
        "frames": len(clip.frames),
        "codec": name,
        "setting": setting,
        "bytes": len(data),
        "bpp": round(8 * len(data) / pixels, 5),
        "kbps": round(float(8 * len(data) * clip.fps / len(clip.frames) / 1000), 2),
        "psnr_y": round(float(np.mean(luma)), 3),
        "worst_psnr_y": round(min(luma), 3),
        "psnr_rgb": round(float(np.mean(rgb)), 3),
        "encode_fps": round(len(clip.frames) / (encoded - begun), 2),
        "decode_fps": round(len(clip.frames) / (ended - encoded), 2),
    }


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(np.mean((a.astype(np.float32) - b) ** 2))
    return 10 * math.log10(255**2 / max(error, 1e-3))


def _compared(result: VideoResult, clip: str, codecs: Sequence[str], anchor: str) -> list[dict[str, Any]]:
    """BD-rates of all codecs against one, over the PSNR of Y' that both have."""
    curves = {
        name: Curve.of([(p["bpp"], p["psnr_y"]) for p in result.points if (p["clip"], p["codec"]) == (clip, name)])
        for name in {*codecs, anchor}
    }
    rows = []
    for name in codecs:
        if name == anchor or anchor not in codecs:
            continue
        try:
            found = bd_rate(curves[anchor], curves[name], 20.0, 50.0)
        except InputError as error:
            result.skipped.append((f"{clip} {name} against {anchor}", str(error)))
            continue
        span = f"{found.low_used:.1f}..{found.high_used:.1f}"
        rows.append({"clip": clip, "anchor": anchor, "codec": name, "bd_rate": round(found.percent, 1), "psnr_y": span})
    return rows


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
