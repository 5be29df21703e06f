"""Clips that video codecs are measured on: some frames of a file, shrunk.

video file -> PyAV -> 8-bit 4:2:0 frames with even sides -> Clip
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..codecs.video import Clip

__all__ = ["read_clip"]


def read_clip(path: Path, frames: int, start: int, width: int) -> Clip:
    """`frames` frames of a file from number `start` on, `width` pixels a row at most. Raises InputError."""
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
    return Clip(np.stack(found), fps)
