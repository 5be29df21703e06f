"""What the evaluator needs of a codec, and how codecs are called in tables.

samples --encode(setting)--> real file bytes --decode--> samples
"""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

import numpy as np

__all__ = ["IDENTITY", "Codec", "suffix_of", "unique_name"]

IDENTITY = "identity"
"""The codec that changes nothing: a PNG file (of sounds, a WAV file), in every table."""


class Codec(Protocol):
    """What the evaluator needs of a codec; any object with these serves.

    name: short, goes into tables; ladder: its settings, from small files to large; description: library, version and
    fixed options, one line, no paths. A further `suffix`, what the names of its files end in (".jpg"), is optional: see
    `suffix_of`.
    """

    @property
    def name(self) -> str: ...

    @property
    def ladder(self) -> tuple[float, ...]: ...

    @property
    def description(self) -> str: ...

    def encode(self, rgb: np.ndarray, setting: float, /) -> bytes:
        """A whole file for rgb: uint8 [H, W, 3]. Raises `CodecError`."""
        ...

    def decode(self, data: bytes, /) -> np.ndarray:
        """The picture, uint8 [H, W, 3], from nothing but the bytes. Raises `CodecError`."""
        ...

    def estimate(self, rgb: np.ndarray, setting: float, /) -> float:
        """Bytes that the codec's model expects, container excluded; `nan` where there is no such model."""
        ...


def suffix_of(codec: Codec) -> str:
    """What the names of a codec's files end in, ".bin" where it does not say."""
    return getattr(codec, "suffix", ".bin")


def unique_name(name: str, taken: Container[str]) -> str:
    """The name, or `name#2`, `name#3`, ... where it is taken: two model files may have the same one."""
    candidate, copies = name, 1
    while candidate in taken:
        copies += 1
        candidate = f"{name}#{copies}"
    return candidate
