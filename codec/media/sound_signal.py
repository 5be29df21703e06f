"""Sounds on their way: samples that are made a stretch at a time, whenever somebody asks for them.

    sound file -> SoundSignal -> codec -> .lec -> codec -> SoundSignal -> sound file

A long sound does not fit into memory, so its signal may hold no samples: `blocks()` begins anew each time. With loss
samples are real numbers of at most two channels; without, they are what the source has, `exact()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...bitstream import Metadata, SoundLayout
from ...bitstream.layout import UNSPECIFIED
from ...errors import InputError
from .signal import Signal

__all__ = [
    "SoundSignal",
    "array_signal",
    "in_segments",
    "in_stereo",
    "real",
    "sound_layout",
    "sound_signal",
    "source_dtype",
]

Blocks = Callable[[], Iterator[np.ndarray]]
STEREO = 2
"""Channels that are coded with loss; of more a mix is made."""
TOGETHER = 2**24
"""Samples of all channels that a segment has at most where this module cuts."""


@dataclass(frozen=True)
class SoundSignal(Signal):
    """samples: of a sound in memory, as `blocks` or, without loss, as `exact` has them; otherwise empty, [0, channels].
    blocks: all samples in stretches of any length, float32 [n, channels], nominally in [-1, 1], of more than two
    channels a mix of two; it may raise a CodecError at any of them. exact: the same as the source has them, with every
    channel, of `source_dtype`; None where there is no more than `blocks`. length: samples of each channel, all in all:
    those of the layout, or of a part; 0 of a sound that comes as it is made, once, until it is at its end.
    """

    blocks: Blocks = lambda: iter(())
    exact: Blocks | None = None
    length: int = 0

    @property
    def sound_layout(self) -> SoundLayout:
        assert isinstance(self.layout, SoundLayout)
        return self.layout


def source_dtype(layout: SoundLayout) -> np.dtype:
    """What the source's samples are in memory: uint8, whose 128 is silence, int16, int32 (of 24 bits too, which are the
    high ones), float32, float64.
    """
    names = {8: "u1", 16: "i2", 24: "i4", 32: "i4", 64: "f8"}
    return np.dtype("f4" if layout.floating and layout.bit_depth < 64 else names[layout.bit_depth])


def real(samples: np.ndarray) -> np.ndarray:
    """Samples of any `source_dtype` -> float32 in [-1, 1]; floats as they are."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return (samples / 2.0 ** (8 * samples.itemsize - 1)).astype(np.float32)
    return samples.astype(np.float32, copy=False)


def sound_layout(sample_rate: int, channels: int, samples: int, *, frames: int = 500, **fields: Any) -> SoundLayout:
    """A layout in segments of `frames`, fewer where there are very many channels. Raises InputError, LimitExceeded."""
    hop = max(1, (2 * sample_rate + 50) // 100)
    frames = min(frames, max(1, TOGETHER // (hop * max(1, channels))))
    return SoundLayout(sample_rate=sample_rate, channels=channels, samples=samples, segment=frames, **fields)


def sound_signal(
    blocks: Blocks,
    layout: SoundLayout,
    length: int | None = None,
    *,
    exact: Blocks | None = None,
    in_memory: bool = False,
    file_bytes: int = 0,
    notes: tuple[str, ...] = (),
    metadata: Metadata | None = None,
) -> SoundSignal:
    """A signal of stretches of samples. length: as many as the layout has by default; in_memory: make them now."""
    dtype = np.dtype(np.float32) if exact is None else source_dtype(layout)
    channels = min(STEREO, layout.channels) if exact is None else layout.channels
    samples = np.zeros((0, channels), dtype)
    if in_memory and exact is not None:
        kept = samples = np.concatenate([samples, *exact()])
        exact = lambda: iter((kept,))  # noqa: E731
    elif in_memory:
        kept = samples = np.concatenate([samples, *blocks()])
        blocks = lambda: iter((kept,))  # noqa: E731
    metadata = metadata or Metadata(primaries=UNSPECIFIED, transfer=UNSPECIFIED)
    length = layout.samples if length is None else length
    return SoundSignal(samples, layout, metadata, False, file_bytes, notes, blocks, exact, length)


def in_segments(signal: SoundSignal, seconds: float) -> SoundSignal:
    """The signal, cut into segments of so many seconds, a multiple of 0.02. Raises InputError, LimitExceeded."""
    return replace(signal, layout=replace(signal.sound_layout, segment=max(1, round(50 * seconds))), cut=True)


def in_stereo(signal: SoundSignal) -> SoundSignal:
    """What is coded of it with loss: at most two channels."""
    layout = signal.sound_layout
    return replace(signal, layout=replace(layout, channels=min(STEREO, layout.channels)), exact=None)


def array_signal(samples: Any, sample_rate: int, segment: float | None = None) -> SoundSignal:
    """The signal of samples in memory: an array [n] or [n, channels], or a tensor [n] or [channels, n] as torchaudio
    has them; floats, nominally in [-1, 1], or integers of 8, 16 or 32 bits. segment: seconds of each segment, 10 by
    default. Raises InputError, LimitExceeded.
    """
    if hasattr(samples, "detach"):
        samples = samples.detach().cpu().numpy().T
    if not isinstance(samples, np.ndarray) or samples.ndim not in (1, 2) or not samples.size:
        raise InputError("a sound must be an array [n] or [n, channels] with at least one sample")
    samples = samples[:, None] if samples.ndim == 1 else samples
    if samples.dtype == np.int8:
        samples = (samples.view(np.uint8) ^ 128).view(np.uint8)
    if samples.dtype == np.float16:
        samples = samples.astype(np.float32)
    kind, depth = samples.dtype.kind, 8 * samples.itemsize
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if samples.dtype.name not in ("uint8", "int16", "int32", "float32", "float64"):
        raise InputError(f"a sound is made of finite floats or of integers of 8, 16 or 32 bits, not {samples.dtype}")
    if samples.shape[1] > 255:
        raise InputError(f"a sound of {samples.shape[1]} channels, expected at most 255")
    frames = {} if segment is None else {"frames": round(50 * segment)}
    layout = sound_layout(
        sample_rate, samples.shape[1], len(samples), bit_depth=depth, floating=int(kind == "f"), **frames
    )

    def blocks() -> Iterator[np.ndarray]:
        if samples.shape[1] > STEREO:
            raise InputError(f"a sound of {samples.shape[1]} channels, expected 1 or {STEREO} with loss")
        if kind == "f" and not np.isfinite(samples).all():
            raise InputError("a sound with loss is made of finite floats")
        yield real(samples)

    return sound_signal(blocks, layout, exact=lambda: iter((samples,)), in_memory=True)
