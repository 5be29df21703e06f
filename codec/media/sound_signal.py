"""Sounds on their way: samples that are made a stretch at a time, whenever somebody asks for them.

    sound file -> SoundSignal -> codec -> .lec -> codec -> SoundSignal -> sound file

A long sound does not fit into memory, so its signal may hold no samples: `blocks()` begins anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ...bitstream import Metadata, SoundLayout
from ...bitstream.layout import UNSPECIFIED
from ...errors import InputError
from .signal import Signal

__all__ = ["SoundSignal", "array_signal", "sound_signal"]


@dataclass(frozen=True)
class SoundSignal(Signal):
    """samples: float32 [n, channels], nominally in [-1, 1], of a sound in memory; otherwise empty, [0, channels].
    blocks: all samples in stretches of any length, likewise; it may raise a CodecError at any of them. length: samples
    of each channel, all in all: those of the layout, or of a part.
    """

    blocks: Callable[[], Iterator[np.ndarray]] = lambda: iter(())
    length: int = 0

    @property
    def sound_layout(self) -> SoundLayout:
        assert isinstance(self.layout, SoundLayout)
        return self.layout


def sound_signal(
    blocks: Callable[[], Iterator[np.ndarray]],
    layout: SoundLayout,
    length: int | None = None,
    *,
    in_memory: bool = False,
    file_bytes: int = 0,
    notes: tuple[str, ...] = (),
) -> SoundSignal:
    """A signal of stretches of samples. length: as many as the layout has by default; in_memory: make them now."""
    samples = np.zeros((0, layout.channels), np.float32)
    if in_memory:
        samples = np.concatenate([samples, *blocks()])
        kept = samples
        blocks = lambda: iter((kept,))  # noqa: E731
    metadata = Metadata(primaries=UNSPECIFIED, transfer=UNSPECIFIED)
    length = layout.samples if length is None else length
    return SoundSignal(samples, layout, metadata, False, file_bytes, notes, blocks, length)


def array_signal(samples: np.ndarray, sample_rate: int, segment: float | None = None) -> SoundSignal:
    """The signal of samples in memory: [n] or [n, channels], floats in [-1, 1] or integers of 8, 16 or 32 bits.
    segment: seconds of each segment, 10 by default. Raises InputError, LimitExceeded.
    """
    if not isinstance(samples, np.ndarray) or samples.ndim not in (1, 2) or not samples.size:
        raise InputError("a sound must be an array [n] or [n, channels] with at least one sample")
    samples = samples[:, None] if samples.ndim == 1 else samples
    kind, depth = samples.dtype.kind, min(32, 8 * samples.itemsize)
    if samples.dtype == np.uint8:
        real = (samples.astype(np.float32) - 128) / 128
    elif kind == "i" and samples.itemsize in (1, 2, 4):
        real = (samples / 2.0 ** (8 * samples.itemsize - 1)).astype(np.float32)
    elif kind == "f" and np.isfinite(samples).all():
        real, depth = samples.astype(np.float32), 32
    else:
        raise InputError(f"a sound is made of finite floats or of integers of 8, 16 or 32 bits, not {samples.dtype}")
    if samples.shape[1] > 2:
        raise InputError(f"a sound of {samples.shape[1]} channels, expected 1 or 2")
    frames = {} if segment is None else {"segment": round(50 * segment)}
    layout = SoundLayout(
        sample_rate=sample_rate,
        channels=samples.shape[1],
        bit_depth=depth,
        floating=int(kind == "f"),
        samples=len(samples),
        **frames,
    )
    return sound_signal(lambda: iter((real,)), layout, in_memory=True)
