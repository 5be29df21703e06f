"""A video in a `.lec` file as a sequence of frames: one after the other, by number, by second, or as tensors.

    path, bytes or pipe -> Video -> Frame (number, time, samples)          Video.tensor -> uint8 [N, 3, H, W]

>>> import numpy as np
>>> import lecodec
>>> data = lecodec.load("video").encode(np.zeros((3, 16, 16, 3), np.uint8), fps=10)
>>> video = lecodec.Video(data)
>>> len(video), video.fps, [frame.time for frame in video], video.at(0.15).number, video[-1].samples.shape
(3, 10.0, [0.0, 0.1, 0.2], 1, (16, 16, 3))
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, overload

import numpy as np

from ..bitstream import LecFile, VideoLayout
from ..errors import InputError
from .media.part import Frames, whole
from .registry import load_for
from .video import VideoCodec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Frame", "Video"]


class Frame(NamedTuple):
    """number: in the video, from 0; time: in seconds from the first frame's; lasts: for how many seconds it is shown;
    samples: uint8 [H, W, 3], RGB.
    """

    number: int
    time: float
    lasts: float
    samples: np.ndarray


class Video:
    """source: the bytes of a file, its path, or a binary stream; a pipe can be iterated over once, and nothing else.
    device: "cpu" or "cuda". model: name or path; by default the one that the file names is looked for. width, height:
    of its frames.

    Of a source that seeks only the groups are read that hold what is asked for. Threads may share a video whose source
    is bytes or a path. Raises NotLecFile, CorruptFile, UnsupportedFile, LimitExceeded, UnknownModel, InputError for a
    file that holds no video, OSError.
    """

    def __init__(
        self,
        source: bytes | str | os.PathLike[str] | BinaryIO,
        *,
        device: str = "cpu",
        model: str | Path | None = None,
    ) -> None:
        self._file = LecFile.open(source)
        if not isinstance(self._file.layout, VideoLayout):
            raise InputError(f"the file holds no video, but a medium of the kind {self._file.layout.name}")
        codec = load_for(self._file.header, device, model=model)
        if not isinstance(codec, VideoCodec):
            raise InputError(f"{codec.card.get('name')} is no video model")
        self._codec = codec
        self.width, self.height = self._file.layout.width, self._file.layout.height

    @property
    def _layout(self) -> VideoLayout:
        layout = self._file.layout
        assert isinstance(layout, VideoLayout)
        return layout

    def __len__(self) -> int:
        """Frames. Raises InputError for a pipe that has not been read to its end."""
        if not self._layout.groups:
            raise InputError("a pipe does not say how many frames it will bring")
        return self._layout.frames

    @property
    def seconds(self) -> float:
        """How long it is shown."""
        len(self)
        return float(self._layout.seconds)

    @property
    def fps(self) -> float:
        """Frames a second, on average."""
        layout = self._layout
        if layout.duration:
            return layout.clock / (layout.clock_step * layout.duration)
        return len(self) / self.seconds

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """The frames from number `first` to the one before `stop`, decoded as they are asked for. Raises InputError for
        numbers that the video does not have, at the first frame, and what decoding raises at any.
        """
        part = None if first == 0 and stop is None else Frames(whole(first, "frame"), stop)
        return self._shown(part)

    def between(self, start: float, stop: float | None = None) -> Iterator[Frame]:
        """The frames that are shown at some time between two seconds. Raises as `frames`."""
        return self._shown(Frames(start, stop, True))

    def _shown(self, part: Frames | None) -> Iterator[Frame]:
        (signal,) = self._codec.decode_files([self._file], part)
        second = self._layout.clock_step / self._layout.clock
        for frame in signal.frames():  # pyright: ignore[reportAttributeAccessIssue] - of a video
            yield Frame(frame.number, frame.tick * second, frame.ticks * second, frame.samples)

    def at(self, second: float) -> Frame:
        """The frame that is shown at a time. Raises InputError for one outside of the video."""
        return next(self.between(second))

    @overload
    def __getitem__(self, number: int) -> Frame: ...
    @overload
    def __getitem__(self, number: slice) -> list[Frame]: ...
    def __getitem__(self, number: int | slice) -> Frame | list[Frame]:
        """A frame by its number, which counts from the end below 0, or some as a list. Raises IndexError."""
        if isinstance(number, slice):
            wanted = range(*number.indices(len(self)))
            if not wanted:
                return []
            inner = self.frames(min(wanted), max(wanted) + 1)
            found = {frame.number: frame for frame in inner if frame.number in wanted}
            return [found[n] for n in wanted]
        count, number = len(self), whole(number, "frame")
        if not -count <= number < count:
            raise IndexError(f"frame {number} of a video of {count} frames")
        number %= count
        return next(self.frames(number, number + 1))

    def tensor(self, first: int = 0, stop: int | None = None, step: int = 1) -> Tensor:
        """Frames as a tensor on the CPU, uint8 [N, 3, H, W]: those that `range(first, stop, step)` names."""
        import torch

        found = [f.samples for f in self.frames(first, stop) if (f.number - first) % step == 0]
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
