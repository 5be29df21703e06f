"""How far a single long file is, told on the terminal while it is coded: the frames of a video are counted where they
pass, of a picture or a sound the codec says which of its parts it is at.

frames -> Watch.over -> codec, or FFmpeg      codec -> codec.workers.told -> Watch.step      Watch.text -> console
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
    """frames: that have passed; total: of them, 0 where it is not known; bytes: of the output, so far; at: the name of
    a step, how many of its parts are done and how many there are; since, until: when it began, and ends by what its
    parts took.
    """

    frames: int = 0
    total: int = 0
    bytes: int = 0
    begun: float = 0.0
    at: tuple[str, int, int] = ("", 0, 0)
    since: float = 0.0
    until: float = 0.0

    def over(self, frames: Callable[[], Iterable[_T]], total: int) -> Callable[[], Iterator[_T]]:
        """The same frames, counted. They may be asked for again: the count begins anew."""

        def counted() -> Iterator[_T]:
            self.frames, self.total, self.bytes, self.begun = 0, total, 0, time.monotonic()
            for frame in frames():
                yield frame
                self.frames += 1

        return counted

    def step(self, name: str, done: int, total: int) -> None:
        """Take what `codec.workers.told` tells. The time of a step counts from its first part on."""
        now = time.monotonic()
        if done == 0:
            self.since = now
        self.at, self.until = (name, done, total), now + (now - self.since) * (total - done) / max(1, done)

    def text(self) -> str:
        """`120 of 900 frames, 8.9 fps, 1.2 MB, 88 s left` of a video, of others `coding 27%, 12 s left of it`; nothing
        before a frame has passed or a step has begun.
        """
        if not self.frames:
            name, done, total = self.at
            left = f", {max(0, self.until - time.monotonic()):.0f} s left of it" if 0 < done < total else ""
            return f"{name} {100 * done / total:.0f}%{left}" if total else ""
        rate = self.frames / max(1e-9, time.monotonic() - self.begun)
        parts = [f"{self.frames}{f' of {self.total}' if self.total else ''} frames", f"{rate:.1f} fps"]
        parts += [sized(self.bytes)] * bool(self.bytes)
        if self.total:
            parts.append(f"{max(0, self.total - self.frames) / rate:.0f} s left")
        return ", ".join(parts)
