"""Targets of videos: the quality index at which a whole file takes so many bytes, or comes so near to its original.

    frames -> Sample (a few windows of them, their latents kept) -> estimate at any index -> search -> real file

Encoding a video takes long, so the search asks a sample: windows of neighbouring frames, evenly spread, analysed once;
at another index their latents are scaled, not made again. A short video is its own sample. Only real files decide: the
estimate's aim is corrected by them until the target is met (`targets`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from ..bitstream import VideoLayout
from ..errors import InputError
from . import targets
from .codec import Target
from .media.video_signal import VideoFrame, VideoSignal
from .video_frames import FrameTransform

__all__ = ["TARGETS", "Trial", "encode_to_target"]

TARGETS: Final = ("bpp", "kbps", "psnr", "size")
SAMPLE_PIXELS: Final = 2**26
"""Of all windows together: their samples and latents take 6 bytes a pixel."""
WINDOWS: Final = 3
LENGTHS: Final = (33, 17, 9, 5, 2)
"""Frames of a window: a group and the one after it."""

Trial = Callable[[VideoSignal, int, FrameTransform | None, bool], tuple[bytes, float]]
"""(signal, fixed-point index, transform instead of the model's own, measured) -> a file, the sum of squared errors."""


class _Scaled(FrameTransform):
    """Latents of some frames, made once at one index, and scaled to others."""

    def __init__(self, of: FrameTransform, frames: list[np.ndarray]) -> None:
        self.__dict__.update(of.__dict__)
        self._latents = {id(frame): of.analyse(frame, targets.START) for frame in frames}

    def analyse(self, frame: np.ndarray, quality: int) -> np.ndarray:
        return self.at_rate(self._latents[id(frame)], targets.START, quality)


@dataclass(frozen=True)
class Sample:
    """windows: of the video, as videos of their own; shown: their frames. frames, ticks, beside: of all of the video,
    beside being the bytes of packets.
    """

    windows: list[VideoSignal]
    shown: int
    frames: int
    ticks: int
    beside: int

    @classmethod
    def of(cls, signal: VideoSignal) -> Sample:
        """Looks at all frames once, or twice if nobody has counted them. Raises what they raise, and InputError for a
        video without frames.
        """
        count = signal.count or sum(1 for _ in signal.frames())
        taken = _taken(count, signal.video_layout)
        kept: list[list[VideoFrame]] = [[] for _ in taken]
        frames = ticks = beside = 0
        for number, frame in enumerate(signal.frames()):
            frames, ticks = frames + 1, ticks + frame.ticks
            beside += sum(len(packet.data) + 5 for packet in frame.packets)
            for window, found in zip(taken, kept, strict=True):
                if number in window:
                    found.append(frame._replace(packets=()))
        if not frames:
            raise InputError("the video has no frames")
        windows = [replace(signal, count=len(found), frames=lambda found=found: iter(found)) for found in kept if found]
        return cls(windows, sum(map(len, kept)), frames, ticks, beside)

    def transform(self, of: FrameTransform) -> FrameTransform:
        """What knows the latents of all windows."""
        return _Scaled(of, [frame.samples for window in self.windows for frame in window.frames()])


def _taken(count: int, layout: VideoLayout) -> list[range]:
    """The frames of each window."""
    most = max(1, SAMPLE_PIXELS // (layout.width * layout.height))
    if count <= min(most, WINDOWS * LENGTHS[0]):
        return [range(count)]
    length = next((n for n in LENGTHS if WINDOWS * n <= most), 0)
    if not length:
        return [range(count // 2, count // 2 + min(most, LENGTHS[-1]))]
    return [range(at, at + length) for at in np.linspace(0, count - length, WINDOWS).astype(int).tolist()]


def encode_to_target(trial: Trial, transform: FrameTransform, signal: VideoSignal, target: Target) -> bytes:
    """A file of the video that meets a target of `TARGETS`: bits a pixel or thousand bits a second within 1.5% or 4
    bytes a frame, sound included; the most bytes; or a PSNR over all samples of all frames within 0.1 dB. Raises
    InputError with what is in reach.
    """
    sample = Sample.of(signal)
    scaled = sample.transform(transform)
    layout, measured = signal.video_layout, target.kind == "psnr"
    samples = 3 * layout.width * layout.height

    @cache
    def real(q: int) -> tuple[bytes, float]:
        return trial(signal, q, None, measured)

    @cache
    def tried(q: int) -> tuple[int, float]:
        """Bytes and errors of the windows."""
        found = [trial(window, q, scaled, measured) for window in sample.windows]
        return sum(len(data) for data, _ in found), sum(error for _, error in found)

    def estimate(q: int) -> float:
        return tried(q)[0] * sample.frames / sample.shown + sample.beside

    def encode(q: int) -> bytes:
        return real(q)[0]

    if measured:
        found = targets.index_for_near(
            targets.FIDELITIES["psnr"],
            lambda q: _psnr(tried(q)[1], samples * sample.shown),
            lambda q: _psnr(real(q)[1], samples * sample.frames),
            target.value,
        )
        return encode(found)
    if target.kind == "size":
        return targets.encode_to_size(estimate, encode, target.value)
    seconds = sample.ticks * layout.clock_step / layout.clock
    each = samples * sample.frames / 24 if target.kind == "bpp" else 125 * seconds
    if not each:
        raise InputError("a video that lasts no time has no bit rate: ask for bpp or size")
    return targets.encode_to_rate(estimate, encode, target.value, each, 4 * sample.frames, target.kind)


def _psnr(error: float, samples: int) -> float:
    """In dB, of the sum of squared errors of so many samples."""
    return 10 * math.log10(255**2 * samples / error) if error else math.inf
