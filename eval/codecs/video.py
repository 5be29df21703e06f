"""Video codecs under test, behind the interface of `codecs.codec`.

    Clip --encode(setting)--> real file bytes --decode--> frames

| spec                | what it is                                                                                |
|---------------------|-------------------------------------------------------------------------------------------|
| `lecodec`           | the shipped video model; `lecodec:NAME`, `lecodec@PATH`: others. The setting is quality   |
| `lecodec-intra`     | the same, each frame alone                                                                |
| `lecodec-low-delay` | the same, each frame from those before it                                                 |
| `lecodec-unmoved`   | the same, without vectors                                                                 |
| `…:effort=N`        | one of these four at effort N, 1 to 9: `lecodec:effort=9`                                 |
| `x264`, `x265`      | preset medium, in mp4; the setting is the constant rate factor                            |
| `svt-av1`           | preset 6, in mp4; the setting is the constant rate factor                                 |

Whole files count, container and index included. The peers run on one thread each.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...bitstream import LecFile, VideoLayout
from ...codec.codec import EFFORTS, Target
from ...codec.media.ffmpeg import reason
from ...codec.media.video_signal import VideoFrame, in_groups, video_signal
from ...errors import CodecError, InputError
from ..quality.clips import to_rgb
from .codec import Codec, own_model, pyav_with, shown_name, without_effort

__all__ = ["Clip", "video_codec_by_name"]


@dataclass(frozen=True, eq=False)
class Clip:
    """samples: the frames, uint8 [F, 3 H / 2, W], each laid out as PyAV has yuv420p; fps: of them."""

    samples: np.ndarray
    fps: Fraction

    @property
    def height(self) -> int:
        return self.samples.shape[1] * 2 // 3

    @property
    def width(self) -> int:
        return self.samples.shape[2]


@dataclass(frozen=True)
class _Peer:
    """An encoder of FFmpeg."""

    name: str
    encoder: str
    options: Mapping[str, str]
    ladder: tuple[float, ...]
    suffix: str = ".mp4"

    @property
    def description(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.encoder} of {pyav_with(self.encoder)}, {options}, one thread, mp4"

    def encode(self, clip: Clip, setting: float, /) -> bytes:
        import av

        file = io.BytesIO()
        try:
            with av.open(file, "w", format="mp4") as container:
                options = {**self.options, "crf": f"{setting:g}"}
                stream: Any = container.add_stream(self.encoder, rate=clip.fps, options=options)
                stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
                stream.thread_count = 1
                for frame in clip.samples:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "yuv420p")))
                container.mux(stream.encode(None))
        except (av.FFmpegError, ValueError) as error:
            raise CodecError(f"{self.name} could not encode at {setting:g}: {reason(error)}") from error
        return file.getvalue()

    def decode(self, data: bytes, /) -> np.ndarray:
        import av

        try:
            with av.open(io.BytesIO(data), "r") as container:
                stream = container.streams.video[0]
                stream.thread_count = 1
                return np.stack([frame.to_ndarray() for frame in container.decode(stream)])
        except (av.FFmpegError, ValueError) as error:
            raise CodecError(f"{self.name} could not decode its own file: {reason(error)}") from error


class LecodecVideo:
    """This package's codec. group: frames in each group (0: as suits them; 1: each frame alone); moves: whether there
    are vectors; model: as `own_model` says; effort: None for the usual one. Raises as `lecodec.load` does.
    """

    suffix = ".lec"
    ladder: tuple[float, ...] = (15.0, 30.0, 45.0, 60.0, 75.0)

    def __init__(
        self,
        variant: str,
        group: int,
        chain: bool,
        moves: bool,
        model: str | Path | None,
        effort: int | None = None,
    ) -> None:
        from ...codec.registry import load
        from ...codec.video import VideoCodec

        self.name = variant + shown_name(model, effort).removeprefix("lecodec")
        self._effort = EFFORTS[0] if effort is None else effort
        Target("quality", self.ladder[0], effort=self._effort)  # is there such an effort?
        self._group, self._chain, self._moves = group, chain, moves
        self._codec = load("video", model=model, of=VideoCodec)
        digests = f"parse digest {self._codec.parse_digest.hex()}, synthesis {self._codec.synthesis_digest.hex()}"
        self.description = f"lecodec video codec, {digests}"

    def encode(self, clip: Clip, setting: float, /) -> bytes:
        layout = VideoLayout(
            width=clip.width, height=clip.height, clock=clip.fps.numerator, clock_step=clip.fps.denominator
        )
        signal = video_signal(lambda: (VideoFrame(to_rgb(frame), 1) for frame in clip.samples), layout)
        signal = replace(in_groups(signal, self._group, self._chain), moves=self._moves)
        return self._codec.encode_signals([signal], Target("quality", setting, effort=self._effort))[0]

    def decode(self, data: bytes, /) -> np.ndarray:
        return np.stack([_to_yuv(frame.samples) for frame in self._codec.frames(LecFile.open(data))])


def _to_yuv(samples: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> yuv420p, BT.601 over the limited range."""
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), "rgb24")
    return frame.reformat(format="yuv420p", interpolation="BICUBIC").to_ndarray()


_OURS = {
    "lecodec": (0, False, True),
    "lecodec-intra": (1, False, True),
    "lecodec-low-delay": (0, True, True),
    "lecodec-unmoved": (0, False, False),
}
"""Spec -> group, chain, moves."""
_CRF = (45, 40, 35, 30, 25, 20)
_X265 = "log-level=none:pools=none:frame-threads=1:no-wpp=1"
_PEERS = {
    "x264": _Peer("x264", "libx264", {"preset": "medium"}, _CRF),
    "x265": _Peer("x265", "libx265", {"preset": "medium", "x265-params": _X265}, _CRF),
    "svt-av1": _Peer("svt-av1", "libsvtav1", {"preset": "6", "svtav1-params": "lp=1"}, (63, 55, 47, 39, 31, 23)),
}


def video_codec_by_name(spec: str) -> Codec:
    """The codec that a spec (see the table above) names. Raises InputError for an unknown one, or one that PyAV lacks;
    as `lecodec.load` for models.
    """
    which, effort = without_effort(spec)
    variant = which.partition("@")[0].partition(":")[0]
    if variant in _OURS:
        return LecodecVideo(variant, *_OURS[variant], own_model(f"lecodec{which.removeprefix(variant)}")[1], effort)
    if spec not in _PEERS:
        raise InputError(f"no video codec {spec!r}: there are {', '.join([*_OURS, *_PEERS])}")
    pyav_with(_PEERS[spec].encoder)
    return _PEERS[spec]
