"""How far a single long video is: counted where its frames pass, told on the terminal while it is coded.

frames -> Watch.over -> codec, or FFmpeg          Watch.text -> console
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from .sizes import sized

__all__ = ["Watch"]

_T = TypeVar("_T")


@dataclass
class Watch:
    """frames: that have passed; total: of them, 0 where it is not known; bytes: of the output, so far."""

    frames: int = 0
    total: int = 0
    bytes: int = 0
    begun: float = 0.0

    def over(self, frames: Callable[[], Iterable[_T]], total: int) -> Callable[[], Iterator[_T]]:
        """The same frames, counted. They may be asked for again: the count begins anew."""

        def counted() -> Iterator[_T]:
            self.frames, self.total, self.bytes, self.begun = 0, total, 0, time.monotonic()
            for frame in frames():
                yield frame
                self.frames += 1

        return counted

    def text(self) -> str:
        """`120 of 900 frames, 8.9 fps, 1.2 MB, 88 s left`; nothing before a frame has passed."""
        if not self.frames:
            return ""
        rate = self.frames / max(1e-9, time.monotonic() - self.begun)
        parts = [f"{self.frames}{f' of {self.total}' if self.total else ''} frames", f"{rate:.1f} fps"]
        parts += [sized(self.bytes)] * bool(self.bytes)
        if self.total:
            parts.append(f"{max(0, self.total - self.frames) / rate:.0f} s left")
        return ", ".join(parts)
