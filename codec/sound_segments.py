"""A sound cut into what is coded of each of its segments, whatever stretches it comes in.

    stretches of samples -> Cutter -> segments with what their frames see of the sound around them

A segment of n samples has ceil(n / N) + 1 frames of 2 N samples, the first of which reaches N samples back and the last
N beyond its end, into its neighbours. Beyond the ends of the sound it is mirrored.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..bitstream import SoundLayout
from ..errors import InputError
from .media.sound_signal import SoundSignal

__all__ = ["Cutter", "segments"]


class Cutter:
    """Of a layout. What comes out are arrays [channels, (frames + 1) N] float32."""

    def __init__(self, layout: SoundLayout) -> None:
        self.layout = layout
        self.seen = 0
        """Samples of each channel that have come in."""
        self._kept = np.zeros((0, layout.channels), np.float32)
        """The samples from a hop before the next segment on; of the first one from its beginning on."""
        self._begun = False

    def push(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """Take samples, float32 [n, channels] -> the segments that are whole, and not the last."""
        self.seen += len(block)
        self._kept = np.concatenate([self._kept, block.astype(np.float32, copy=False)])
        hop, step = self.layout.hop, self.layout.step
        while len(self._kept) >= step + (2 * hop if self._begun else hop):
            yield self._cut()

    def finish(self) -> Iterator[np.ndarray]:
        """The sound is at its end -> the segments that are left: two at most, the last one last."""
        while len(self._kept) > (self.layout.hop if self._begun else 0):
            yield self._cut()

    def _cut(self) -> np.ndarray:
        hop, step = self.layout.hop, self.layout.step
        front = self._kept if self._begun else np.concatenate([_mirrored(self._kept[:hop], hop)[::-1], self._kept])
        inside = min(step, len(front) - hop)
        frames = -(-inside // hop) + 1
        whole = front[: (frames + 1) * hop]
        missing = (frames + 1) * hop - len(whole)
        if missing:
            whole = np.concatenate([whole, _mirrored(whole[::-1], missing)])
        self._kept, self._begun = front[step:] if len(front) > step else front[:0], True
        return np.ascontiguousarray(whole.T)


def segments(signal: SoundSignal) -> Iterator[np.ndarray]:
    """The segments of a sound. Raises InputError when the samples are not as many as the layout says."""
    cutter, wanted = Cutter(signal.sound_layout), signal.sound_layout.samples
    for block in signal.blocks():
        if cutter.seen + len(block) > wanted:
            cutter.seen = wanted + 1
            break
        yield from cutter.push(block)
    if cutter.seen != wanted:
        raise InputError(f"the sound has other than the {wanted} samples that it had when it was looked at")
    yield from cutter.finish()


def _mirrored(a: np.ndarray, count: int) -> np.ndarray:
    """The first `count` of a [n, channels] there and back again."""
    turned = np.concatenate([a, a[::-1]])
    return np.tile(turned, (-(-count // len(turned)), 1))[:count]
