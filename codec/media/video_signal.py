"""Videos on their way: frames that are made one at a time, whenever somebody asks for them.

    video file -> VideoSignal -> codec -> .lec -> codec -> VideoSignal -> video file

A video does not fit into memory, so its signal holds no samples: `frames()` begins anew at the first frame each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...bitstream import Metadata, VideoLayout
from ...bitstream.packets import Packet
from ...errors import InputError
from .signal import Signal

__all__ = ["VideoFrame", "VideoSignal", "clip_signal", "in_groups", "microseconds", "video_signal"]


class VideoFrame(NamedTuple):
    """samples: uint8 [H, W, 3], RGB; ticks: how long it is shown, by the clock of the layout. packets: of sound and
    subtitles, that come with it. number, tick: of a decoded one, its number in the file and when it is shown.
    """

    samples: np.ndarray
    ticks: int
    packets: tuple[Packet, ...] = ()
    number: int = 0
    tick: int = 0


@dataclass(frozen=True)
class VideoSignal(Signal):
    """samples: empty, [0, H, W, 3]. frames: all of them, from the first one on; it may raise a CodecError at any of
    them. count: of them, 0 where it is not known; bytes_read: of the file, so far. group: frames in each group (0: as
    suits them); chain: whether each frame shall depend on earlier ones alone, so that it can be shown at once; moves:
    whether an encoder may move what a frame is coded from.
    """

    frames: Callable[[], Iterator[VideoFrame]] = lambda: iter(())
    count: int = 0
    bytes_read: Callable[[], int] = lambda: 0
    group: int = 0
    chain: bool = False
    moves: bool = True

    @property
    def video_layout(self) -> VideoLayout:
        assert isinstance(self.layout, VideoLayout)
        return self.layout


def video_signal(
    frames: Callable[[], Iterator[VideoFrame]],
    layout: VideoLayout,
    *,
    metadata: Metadata | None = None,
    count: int = 0,
    file_bytes: int = 0,
    bytes_read: Callable[[], int] | None = None,
    notes: tuple[str, ...] = (),
) -> VideoSignal:
    """A signal of frames of the layout's size. bytes_read: of a pipe, how many have come."""
    empty = np.empty((0, layout.height, layout.width, 3), np.uint8)
    metadata = metadata or Metadata(primaries=layout.colour_primaries, transfer=layout.transfer)
    return VideoSignal(
        empty,
        layout,
        metadata,
        file_bytes=file_bytes,
        notes=notes,
        frames=frames,
        count=count or layout.frames,
        bytes_read=bytes_read or (lambda: file_bytes),
    )


def microseconds(layout: VideoLayout, ticks: int) -> int:
    """Ticks by a video's clock in microseconds, rounded down."""
    return ticks * layout.clock_step * 10**6 // layout.clock


def clip_signal(samples: np.ndarray, fps: float = 25.0) -> VideoSignal:
    """The signal of frames in memory, uint8 [N, H, W, 3], N at least 1. Raises InputError, LimitExceeded."""
    if not isinstance(samples, np.ndarray) or samples.dtype != np.uint8 or samples.ndim != 4 or samples.shape[3] != 3:
        raise InputError("a clip must be an array of uint8 [N, H, W, 3]")
    if not samples.size:
        raise InputError(f"a clip must have at least one frame and one pixel, not {list(samples.shape)}")
    clock = round(1000 * fps)
    layout = VideoLayout(
        width=samples.shape[2], height=samples.shape[1], clock=clock, clock_step=1, duration=1000, subsampling=3
    )
    return video_signal(lambda: (VideoFrame(frame, 1000) for frame in samples), layout, count=len(samples))


def in_groups(signal: Signal, group: int, chain: bool) -> VideoSignal:
    """A video with groups of so many frames, or of those that suit it (0), as chains or not. Raises InputError."""
    assert isinstance(signal, VideoSignal)
    if not 0 <= group <= 64:
        raise InputError(f"{group} frames a group, expected 1 to 64")
    return replace(signal, group=group, chain=chain, cut=group > 0)
