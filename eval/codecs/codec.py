"""What the evaluator needs of a codec, and how codecs are called in tables.

samples --encode(setting)--> real file bytes --decode--> samples
"""

from __future__ import annotations

import math
from collections.abc import Container
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import InputError
from ..quality._extras import extra

__all__ = [
    "IDENTITY",
    "Codec",
    "estimate_of",
    "own_model",
    "pyav_with",
    "shown_name",
    "suffix_of",
    "unique_name",
    "without_effort",
]

IDENTITY = "identity"
"""The codec that changes nothing: a PNG file (of sounds, a WAV file), in every table."""


class Codec(Protocol):
    """What the evaluator needs of a codec; any object with these serves.

    name: short, goes into tables; ladder: its settings, from small files to large; description: library, version and
    fixed options, one line, no paths. Samples are those of the medium that it is measured on: of a picture uint8
    [H, W, 3]; of a sound float32 [T] in [-1, 1]; of a video a `codecs.video.Clip`; without loss also what
    `codecs.lossless` says.

    Optional are `suffix`, what the names of its files end in, and `estimate(samples, setting)`, the bytes that its
    model expects, container excluded: see `suffix_of` and `estimate_of`.
    """

    @property
    def name(self) -> str: ...

    @property
    def ladder(self) -> tuple[float, ...]: ...

    @property
    def description(self) -> str: ...

    def encode(self, samples: Any, setting: float, /) -> bytes:
        """A whole file. Raises `CodecError`."""
        ...

    def decode(self, data: bytes, /) -> np.ndarray:
        """The samples, from nothing but the bytes. Raises `CodecError`."""
        ...


def suffix_of(codec: Codec) -> str:
    """What the names of a codec's files end in, ".bin" where it does not say."""
    return getattr(codec, "suffix", ".bin")


def estimate_of(codec: Codec, samples: Any, setting: float) -> float:
    """Bytes that a codec's model expects, container excluded; `nan` where it has no `estimate`. Raises `CodecError`."""
    return codec.estimate(samples, setting) if hasattr(codec, "estimate") else math.nan  # pyright: ignore


def own_model(spec: str) -> tuple[bool, str | Path | None]:
    """Whether a spec names a codec of this package, and which model: `lecodec` (None: the shipped one), `lecodec:NAME`,
    `lecodec@PATH`. Raises InputError where the model is missing.
    """
    name, separator, model = spec[: len("lecodec")], spec[len("lecodec") :][:1], spec[len("lecodec@") :]
    if name != "lecodec" or separator not in ("", "@", ":"):
        return False, None
    if separator and not model:
        raise InputError(f"{spec!r} names no model: lecodec@PATH or lecodec:NAME")
    return True, Path(model) if separator == "@" else model or None


def without_effort(spec: str) -> tuple[str, int | None]:
    """`…:effort=N` -> what is before, and N; None: it names none. Raises InputError for no whole number."""
    which, found, effort = spec.partition(":effort=")
    if found and not (effort.isascii() and effort.isdecimal()):
        raise InputError(f"{spec!r}: effort is a whole number from 1 to 9")
    return which, int(effort) if found else None


def shown_name(model: str | Path | None, effort: int | None = None) -> str:
    """The name of this package's codec with a model: of a file, without its folder. Results are published, paths are
    not.
    """
    name = f"lecodec@{model.name}" if isinstance(model, Path) else f"lecodec:{model}" if model else "lecodec"
    return name if effort is None else f"{name}:effort={effort}"


def pyav_with(encoder: str) -> str:
    """PyAV with its version, for descriptions. Raises InputError when it is missing or lacks an encoder."""
    av = extra("av")
    if encoder not in av.codecs_available:
        raise InputError(f"this PyAV was built without {encoder}; the wheels of PyAV 14 and later have it")
    return f"PyAV {av.__version__} (libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))})"


def unique_name(name: str, taken: Container[str]) -> str:
    """The name, or `name#2`, `name#3`, ... where it is taken: two model files may have the same one."""
    candidate, copies = name, 1
    while candidate in taken:
        copies += 1
        candidate = f"{name}#{copies}"
    return candidate
