"""Media: what is outside of `.lec` files. One row each, which says how its files are called, read and written.

    name of a file -> medium_of -> Medium -> read -> Signal -> codec -> .lec
    .lec -> codec -> Signal -> MEDIA[layout.name] -> write -> file

What is in a row as "module:name" is imported when it is used: to look at names costs neither numpy nor Pillow. A new
medium is a new row, and a layout of the same name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .named import named
from .picture_files import PICTURES

if TYPE_CHECKING:
    from .part import Part
    from .signal import Signal

__all__ = [
    "ARRAY",
    "MEDIA",
    "PICTURE",
    "SET",
    "SOUND",
    "SOUNDS",
    "VIDEO",
    "VIDEOS",
    "Medium",
    "medium_of",
    "medium_of_file",
]

ARRAY = ".npz:"
"""Stands between the name of a file and that of one of its arrays."""


@dataclass(frozen=True)
class Medium:
    """name: that of its layout. suffixes: how the names of its files end, in lower case; within: stands in names of a
    part of a file, if there are such; streams: whether a pipe may have one of several formats. back: the name of a
    `.lec` file without ".lec" -> that of what it is decoded to.
    """

    name: str
    suffixes: tuple[str, ...]
    back: Callable[[str], str]
    within: str = ""
    streams: bool = False
    functions: dict[str, str] = field(default_factory=dict, repr=False, compare=False, hash=False)

    def claims(self, name: str) -> bool:
        """Whether a file with this name is of this medium."""
        name = name.lower()
        return name.endswith(self.suffixes) or bool(self.within and self.within in name)

    @property
    def together(self) -> bool:
        """Whether small files are coded together."""
        return "peek" in self.functions

    def read(self, source: str | os.PathLike[str] | BinaryIO) -> Signal:
        """What a file holds. Raises a CodecError or another OSError."""
        return named(self.functions["read"])(source)

    def peek(self, path: str) -> tuple[Hashable, int] | None:
        """What files must have in common to be coded together, and how many pixels this one has; None: alone. Cheap."""
        return named(self.functions["peek"])(path) if self.together else None

    def check_output(self, destination: Path, part: Part | None = None) -> None:
        """Raise InputError for a name in whose format the medium, or a part of it, cannot be written."""
        named(self.functions["check"])(destination, part)

    def write(
        self,
        signal: Signal,
        destination: Path | BinaryIO,
        part: Part | None = None,
        *,
        folder: bool = False,
        overwrite: bool = False,
        form: str = "",
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Write what was decoded, all or a part -> what there is to say of it, and notes on what was left out.

        destination: a path, of a folder if `folder`, whole or not at all; or a stream. form: suffix of what a stream
        gets, without a dot, if the medium has several such. Raises InputError, OutputExists, OSError.
        """
        how: dict[str, Any] = {"folder": folder, "overwrite": overwrite}
        if form and self.streams and not isinstance(destination, Path):
            how["form"] = form
        return named(self.functions["write"])(signal, destination, part, **how)


def _picture_back(stem: str) -> str:
    """photo.png -> photo.png, photo.jpg -> photo.png, x -> x.png"""
    base, suffix = os.path.splitext(stem)
    if suffix.lower() == ".png":
        return stem
    return (base if suffix.lower() in PICTURES else stem) + ".png"


def _set_back(stem: str) -> str:
    """x.npz -> x.npy, x.idx.gz -> x.npy, x -> x.npy"""
    for ending in (".gz", ".idx", ".npz", ".npy"):
        stem = stem[: -len(ending)] if stem.lower().endswith(ending) and len(stem) > len(ending) else stem
    return stem + ".npy"


PICTURE = Medium(
    "image",
    tuple(sorted(PICTURES)),
    _picture_back,
    functions={
        "read": "codec.media.picture:load_picture",
        "peek": "codec.media.picture:peek_picture",
        "check": "codec.media.picture_write:check_picture_output",
        "write": "codec.media.picture_write:write_picture_signal",
    },
)
SET = Medium(
    "set",
    (".npy", ".npz", ".idx", ".idx.gz", "-ubyte", "-ubyte.gz"),
    _set_back,
    ARRAY,
    functions={
        "read": "codec.media.sets:load_set",
        "check": "codec.media.sets_write:check_part_output",
        "write": "codec.media.sets_write:write_set_signal",
    },
)
VIDEOS = (".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".y4m")
"""Suffixes of videos that can be read, and those of them that are written."""
WRITTEN_VIDEOS = (".m4v", ".mkv", ".mov", ".mp4", ".webm", ".y4m")


def _video_back(stem: str) -> str:
    """clip.mkv -> clip.mkv, clip.avi -> clip.mp4, x -> x.mp4"""
    base, suffix = os.path.splitext(stem)
    if suffix.lower() in WRITTEN_VIDEOS:
        return stem
    return (base if suffix.lower() in VIDEOS else stem) + ".mp4"


VIDEO = Medium(
    "video",
    VIDEOS,
    _video_back,
    streams=True,
    functions={
        "read": "codec.media.video_files:load_video",
        "check": "codec.media.video_write:check_video_output",
        "write": "codec.media.video_write:write_video_signal",
    },
)
SOUNDS = (
    *(".aac", ".aif", ".aiff", ".amr", ".au", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav"),
    *(".wma", ".wv"),
)
"""Suffixes of sounds that can be read, and those of them that are written."""
WRITTEN_SOUNDS = (".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav")


def _sound_back(stem: str) -> str:
    """song.flac -> song.flac, song.aiff -> song.wav, x -> x.wav"""
    base, suffix = os.path.splitext(stem)
    if suffix.lower() in WRITTEN_SOUNDS:
        return stem
    return (base if suffix.lower() in SOUNDS else stem) + ".wav"


SOUND = Medium(
    "sound",
    SOUNDS,
    _sound_back,
    functions={
        "read": "codec.media.sound_files:load_sound",
        "check": "codec.media.sound_write:check_sound_output",
        "write": "codec.media.sound_write:write_sound_signal",
    },
)
MEDIA = {medium.name: medium for medium in (PICTURE, SET, VIDEO, SOUND)}


def medium_of(name: str) -> Medium:
    """The medium of a file by its name; what no medium claims is taken for a picture."""
    return next((medium for medium in MEDIA.values() if medium.claims(name)), PICTURE)


def medium_of_file(path: str) -> Medium:
    """The medium of a file by its name, but for a GIF, which is a video if it holds several pictures."""
    medium = medium_of(path)
    if medium is PICTURE and path.lower().endswith(".gif"):
        from PIL import Image

        # Nearly every class, on damaged files and large ones: reading it will say what it is.
        with suppress(Exception), Image.open(path, formats=("GIF",)) as image:
            if getattr(image, "is_animated", False):
                return VIDEO
    return medium
