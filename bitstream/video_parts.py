"""Where the bytes of a video go: `lecodec info`.

LecFile -> groups, as they are -> bytes of frames by what they are coded from, of packets, of all else
"""

from __future__ import annotations

from collections import Counter

from .groups import unpack_group
from .layouts.video import VideoLayout
from .lecfile import LecFile

__all__ = ["video_parts"]


def video_parts(file: LecFile) -> dict[str, int]:
    """Bytes of a video's file, by part: "alone", frames that are coded alone; "level N", those between two others or
    behind one, by how far these are (2^(N - 1) frames and more; 0: the last frame of a closed group); "packets", of
    sound and subtitles; "rest", all else. Their sum is the file. Raises CorruptFile, and as `LecFile.groups`.
    """
    layout = file.layout
    assert isinstance(layout, VideoLayout)
    found = Counter[str]()
    for number, chunks in enumerate(file.groups()):
        data, last = chunks.data, not layout.announced and number == layout.units - 1
        group = unpack_group(data.payload, data.offset, chunks.frames, not layout.duration, last)
        for step, frame in zip(group.order, group.frames, strict=True):
            found["alone" if step.left is None else f"level {step.level}"] += len(frame.payload)
        found["packets"] += sum(map(len, chunks.packets))
    parts = {name: found[name] for name in sorted(found) if found[name] or name == "alone"}
    return {**parts, "rest": file.size - sum(parts.values())}
