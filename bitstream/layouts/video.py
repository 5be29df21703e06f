"""The layout of a video: media 2. Its units are groups of frames.

    LVID (size, clock, colour, frames and ticks of each group) -> VideoLayout -> groups -> codec
    LVID (size, clock, colour), LGRP of each group (its frames and ticks) -> the same

What a group holds is in `groups`. The second way is what is written: nobody has to know at first how long a video is.
Only version 2 of the format has it: LHDR has the identity alone.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ...errors import CorruptFile, InputError, LimitExceeded
from ..fields import check_values, declare, declared, pack_values, unpack_values
from ..layout import UNSPECIFIED, Layout
from ..limits import MAX_CHUNK, MAX_GROUP, MAX_GROUPS, MAX_SIDE, check_group_size, check_picture_size, max_data_bytes

if TYPE_CHECKING:  # a twentieth of what `lecodec info` takes to start
    from fractions import Fraction

__all__ = ["VideoLayout"]

_GROUP: Final = struct.Struct("<BI")
_SUBSAMPLING: Final = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0", 3: "RGB", 4: "grey"}


@dataclass(frozen=True, kw_only=True)
class VideoLayout(Layout):
    """groups: of each group the frames that it shows, 1 to MAX_GROUP, and the ticks that they last; none: not coded
    yet, or not known. announced: LVID has none of them, each announces itself (see `bitstream.announced`). Raises
    InputError for a value that no file may have, LimitExceeded for one beyond the limits.
    """

    media: ClassVar[int] = 2
    name: ClassVar[str] = "video"
    noun: ClassVar[str] = "group"
    chunk: ClassVar[bytes | None] = b"LVID"
    chunk_limit: ClassVar[int] = 64 + _GROUP.size * MAX_GROUPS

    width: int = declare("u32", "Width in pixels.", low=1, high=MAX_SIDE, too_high=LimitExceeded)
    height: int = declare("u32", "Height in pixels.", low=1, high=MAX_SIDE, too_high=LimitExceeded)
    clock: int = declare("u32", "Ticks a second, in `clock_step`ths.", low=1, high=2**31 - 1, default=25)
    clock_step: int = declare("u32", "What `clock` is divided by.", low=1, high=2**31 - 1, default=1)
    duration: int = declare(
        "u32", "Ticks of every frame; 0: each group says those of its frames.", high=2**31 - 1, default=1
    )
    colour_primaries: int = declare("u8", "CICP colour primaries.", high=255, default=UNSPECIFIED)
    transfer: int = declare("u8", "CICP transfer characteristics.", high=255, default=UNSPECIFIED)
    matrix: int = declare(
        "u8", "CICP matrix coefficients of the source, which RGB was made with.", high=255, default=UNSPECIFIED
    )
    full_range: int = declare("u8", "Full-range flag of the source.", names={0: "limited", 1: "full"}, default=0)
    subsampling: int = declare("u8", "Planes of the source.", names=_SUBSAMPLING, default=2)
    groups: tuple[tuple[int, int], ...] = ()
    announced: bool = False

    def __post_init__(self) -> None:
        check_values(declared(type(self)), vars(self))
        check_picture_size(self.width, self.height)
        if len(self.groups) > MAX_GROUPS:
            raise LimitExceeded(f"a video of {len(self.groups)} groups: the limit is {MAX_GROUPS}")
        for frames, ticks in self.groups:
            if not 1 <= frames <= MAX_GROUP or not 0 <= ticks < 2**32:
                raise InputError(f"a group of {frames} frames and {ticks} ticks, expected 1 to {MAX_GROUP} frames")
        check_group_size(self.width, self.height, max((frames for frames, _ in self.groups), default=1))

    @property
    def units(self) -> int:
        return len(self.groups)

    @property
    def frames(self) -> int:
        """Frames of the whole video."""
        return sum(frames for frames, _ in self.groups)

    @property
    def seconds(self) -> Fraction:
        """How long all of it lasts."""
        from fractions import Fraction

        return Fraction(sum(ticks for _, ticks in self.groups) * self.clock_step, self.clock)

    @property
    def starts(self) -> tuple[int, ...]:
        """The number of each group's first frame, and of the one after the last frame."""
        return tuple(accumulate((frames for frames, _ in self.groups), initial=0))

    def unit(self, number: int) -> tuple[slice]:
        """The frames of a group."""
        self.check_number(number)
        first = sum(frames for frames, _ in self.groups[:number])
        return (slice(first, first + self.groups[number][0]),)

    def group_of(self, frame: int) -> int:
        """The group that shows a frame. Raises InputError for a number that there is not."""
        if not 0 <= frame < self.frames:
            raise InputError(f"frame {frame}, expected 0 to {self.frames - 1}")
        return bisect_right(self.starts, frame) - 1

    @property
    def pixels(self) -> int:
        return self.width * self.height * self.frames

    def limit(self, number: int, part: bytes, lossless: bool) -> int:
        return self.group_limit(self.groups[number][0])

    def group_limit(self, frames: int) -> int:
        """Bytes that the data of a group of so many frames may have."""
        return min(MAX_CHUNK, frames * max_data_bytes(self.width, self.height))

    def facts(self, size: int) -> dict[str, Any]:
        """bpp, bpd: bits a pixel and a sample of a frame; kbps: thousand bits a second; length: seconds. items,
        item_shape, block_items: a video has none.
        """
        seconds, bpp = float(self.seconds), 8 * size / max(1, self.pixels)
        return {
            "items": None,
            "item_shape": None,
            "block_items": None,
            "frames": self.frames,
            "groups": self.units,
            "length": seconds,
            "fps": self.frames / seconds if seconds else None,
            "bpp": bpp,
            "bpd": bpp / 3,
            "kbps": size / 125 / seconds if seconds else None,
        }

    @classmethod
    def amount(cls, facts: Mapping[str, Any]) -> int:
        return facts["width"] * facts["height"] * facts["frames"]

    @classmethod
    def extent_text(cls, facts: Mapping[str, Any]) -> str:
        """`40 frames of 768 x 512`"""
        return f"{facts['frames']} frames of {facts['width']} x {facts['height']}"

    @property
    def code_points(self) -> tuple[int, int]:
        return self.colour_primaries, self.transfer

    def pack(self) -> bytes:
        if self.announced:
            return pack_values(declared(type(self)), vars(self))
        if not self.groups:
            raise InputError("a video has at least one frame")
        return pack_values(declared(type(self)), vars(self)) + b"".join(_GROUP.pack(*group) for group in self.groups)

    @classmethod
    def unpack(cls, values: Mapping[str, Any], payload: bytes, offset: int) -> VideoLayout:
        fields = declared(cls)
        fixed = sum(field.size for field in fields)
        if len(payload) < fixed or (len(payload) - fixed) % _GROUP.size:
            raise CorruptFile(f"byte {offset}: LVID of {len(payload)} bytes, expected {fixed} and 5 for each group")
        found = unpack_values(fields, payload[:fixed], offset, "LVID")
        groups = tuple((frames, ticks) for frames, ticks in _GROUP.iter_unpack(payload[fixed:]))
        for number, (frames, ticks) in enumerate(groups):
            at = f"byte {offset + fixed + _GROUP.size * number}: group {number}"
            if not 1 <= frames <= MAX_GROUP:
                raise CorruptFile(f"{at} has {frames} frames, expected 1 to {MAX_GROUP}")
            if found["duration"] and ticks != frames * found["duration"]:
                raise CorruptFile(f"{at} lasts {ticks} ticks, expected {frames * found['duration']}")
        return cls(**found, groups=groups, announced=not groups)
