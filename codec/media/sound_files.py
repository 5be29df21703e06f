"""Sound files, read through PyAV (FFmpeg), a stretch at a time.

    file or pipe -> FFmpeg -> samples [n, channels] -> SoundSignal

What is read is whatever FFmpeg reads: with loss as float32, of more than two channels a mix of two; without as the
source has them, to the bit. Sample rate and length come back as they were: a file is read once for its length, and once
more when it is coded. Tags, chapters and a cover are kept; of other streams a note says that they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...bitstream import Metadata, SoundLayout
from ...bitstream.layout import UNSPECIFIED
from ...errors import InputError
from .ffmpeg import Source, announced, cut_short, kept, opened, reading
from .several import check_single
from .sound_cover import cover_of
from .sound_signal import SoundSignal, sound_layout, sound_signal
from .sound_tags import pack_tags, tags_of

__all__ = ["load_sound", "stream_sound"]

_PACKED = ("flac", "alac", "wavpack", "tta", "ape")
"""FFmpeg's names of codecs without loss."""


def load_sound(source: Source) -> SoundSignal:
    """The sound of a file: its first audio stream. A pipe is copied to a temporary file first.

    Raises InputError for what holds no sound, LimitExceeded for one beyond the limits, OSError.
    """
    path, size = kept(source)
    check_single(path, "sound")
    layout, notes, metadata = _looked_at(path)
    return sound_signal(
        lambda: _blocks(path, min(2, layout.channels)),
        layout,
        exact=lambda: _exact(path, layout.channels, layout.bit_depth, bool(layout.floating)),
        file_bytes=size,
        notes=notes,
        metadata=metadata,
    )


def stream_sound(source: Source, segment: float) -> SoundSignal:
    """A sound as it comes, which may have no end: what it gives out once, `blocks` or `exact`, is decoded when it is
    there. segment: seconds of each of its segments. Raises InputError for what holds no sound, OSError.
    """
    container = opened(source, "sound")
    stream = container.streams.audio[0]
    depth, floating = _kind(stream)
    channels = stream.codec_context.channels
    layout = sound_layout(
        stream.rate,
        channels,
        0,
        frames=max(1, round(50 * segment)),
        bit_depth=depth,
        floating=int(floating),
        streamed=True,
    )
    return sound_signal(
        lambda: _decoded(container, "flt", min(2, channels), "mono" if channels == 1 else "stereo"),
        layout,
        exact=lambda: _decoded(container, _form(depth, floating), channels),
        notes=_left_out(container, stream),
        metadata=_metadata(tags_of(container, stream)),
    )


def _left_out(container: Any, *kept_streams: Any) -> tuple[str, ...]:
    """A note of the streams of a file that are not among those that are kept."""
    indices = {stream.index for stream in kept_streams if stream is not None}
    others = sorted({s.type for s in container.streams if s.index not in indices})
    return (f"{' and '.join(others)} left out",) if others else ()


def _metadata(tags: dict[str, str], cover: bytes = b"") -> Metadata:
    return Metadata(primaries=UNSPECIFIED, transfer=UNSPECIFIED, tags=pack_tags(tags), cover=cover)


def _looked_at(path: Any) -> tuple[SoundLayout, tuple[str, ...], Metadata]:
    """Layout, notes and metadata of a sound, read to its end. Raises InputError."""
    notes = []
    with opened(path, "sound") as container:
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.codec_context.channels
        depth, floating = _kind(stream)
        cover, picture = cover_of(container)
        notes += _left_out(container, stream, picture)
        metadata = _metadata(tags_of(container, stream), cover)
        whole = announced(container, stream)
        packed = stream.codec_context.name in _PACKED
    length = used = 0
    for block in _exact(path, channels, depth, floating):
        length += len(block)
        if packed and depth == 24:
            used |= int(np.bitwise_or.reduce(block, axis=None))
    if not length:
        raise InputError("the sound has no samples")
    notes += cut_short(length / rate, whole)
    depth = 32 if used & 255 else depth
    return sound_layout(rate, channels, length, bit_depth=depth, floating=int(floating)), tuple(notes), metadata


def _kind(stream: Any) -> tuple[int, bool]:
    """Bits of a stream's samples, and whether they are floats; 16 where a codec with loss has no such thing. Those of a
    packer whose samples FFmpeg keeps in 32 bits are taken for 24, until one is seen that has more.
    """
    context = stream.codec_context
    name, format = context.name, context.format.name if context.format else ""  # which a damaged file need not have
    if name.startswith("pcm_f"):
        return (64 if "64" in name else 32), True
    if said := re.fullmatch(r"pcm_[su](8|16|24|32)\D*", name):
        return int(said[1]), False
    if name in _PACKED:
        if format.startswith("flt"):
            return 32, True
        return {"u8p": 8, "u8": 8, "s16": 16, "s16p": 16}.get(format, 24), False
    return 16, False


def _frames(path: Any, form: str, channels: int, layout: str | None = None) -> Iterator[np.ndarray]:
    """All samples in a format of FFmpeg's, [n, channels], some at a time. layout: FFmpeg's name of the channels, None:
    those that there are. Raises InputError where FFmpeg cannot go on.
    """
    with opened(path, "sound") as container:
        yield from _decoded(container, form, channels, layout)


def _decoded(container: Any, form: str, channels: int, layout: str | None = None) -> Iterator[np.ndarray]:
    import av

    stream = container.streams.audio[0]
    with reading("the sound cannot be read to its end"):
        resampler = av.AudioResampler(form, layout or stream.layout, stream.rate)
        for frame in container.decode(stream):
            if layout is None and frame.layout.nb_channels != channels:
                raise InputError(f"the sound changes from {channels} to {frame.layout.nb_channels} channels")
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().reshape(-1, channels)
        for piece in resampler.resample(None):
            yield piece.to_ndarray().reshape(-1, channels)


def _blocks(path: Any, channels: int) -> Iterator[np.ndarray]:
    """All samples, float32 [n, channels], of more than two channels a mix."""
    return _frames(path, "flt", channels, "mono" if channels == 1 else "stereo")


def _exact(path: Any, channels: int, depth: int, floating: bool) -> Iterator[np.ndarray]:
    """All samples as the source has them, of its `source_dtype`. What was coded with loss is rounded to 16 bits."""
    return _frames(path, _form(depth, floating), channels)


def _form(depth: int, floating: bool) -> str:
    """FFmpeg's name of samples of a `source_dtype`."""
    return ("dbl" if depth == 64 else "flt") if floating else {8: "u8", 16: "s16"}.get(depth, "s32")
