"""Sound files, read and written through PyAV (FFmpeg), a stretch at a time.

    file or pipe -> FFmpeg -> float32 [n, channels] -> SoundSignal        SoundSignal -> .wav, .flac, .ogg, .opus, ...

What is read is whatever FFmpeg reads; of more than two channels a mix of two is made, and a note says so. Sample rate
and length come back as they were: a file is read once for its length, and once more when it is coded. Written are WAV
(by hand, since its header must say the length before a pipe has seen the end), FLAC, both with the source's bits, and
Vorbis, Opus, MP3 and AAC at rates where little more is lost. Tags, cover and cue points are left out, and a note says
so.

Guarantee: a file is written whole or not at all.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...bitstream import SoundLayout
from ...errors import InputError
from .ffmpeg import Source, announced, check_suffix, cut_short, kept, opened, reason, save, writing
from .part import Part
from .signal import Signal
from .sound_signal import SoundSignal, sound_signal

__all__ = ["check_sound_output", "load_sound", "write_sound_signal"]

_ENCODERS: dict[str, tuple[str, str, int]] = {
    ".flac": ("flac", "flac", 0),
    ".ogg": ("ogg", "libvorbis", 96000),
    ".oga": ("ogg", "libvorbis", 96000),
    ".opus": ("ogg", "libopus", 96000),
    ".mp3": ("mp3", "libmp3lame", 128000),
    ".m4a": ("ipod", "aac", 128000),
}
"""Suffix -> container, codec, and bits a second for each channel (0: without loss)."""
_WRITTEN = (".wav", *_ENCODERS)
_RATES = {
    "libopus": (8000, 12000, 16000, 24000, 48000),
    "libmp3lame": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
}
"""The sample rates that codecs have; others are brought to the next one."""
_TECHNICAL = {"encoder", "encoded_by", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id"}
_TECHNICAL |= {"language", "creation_time", "ENCODER"}
"""Tags that FFmpeg makes of what is no tag, or that say nothing of the sound."""
_FRAME = 4096
"""Samples that an encoder gets at a time."""
_MOST_WAV = 2**32 - 64


def load_sound(source: Source) -> SoundSignal:
    """The sound of a file: its first audio stream. A pipe is copied to a temporary file first.

    Raises InputError for what holds no sound, LimitExceeded for one beyond the limits, OSError.
    """
    path, size = kept(source)
    layout, notes = _looked_at(path)
    return sound_signal(lambda: _blocks(path, layout.channels), layout, file_bytes=size, notes=notes)


def _looked_at(path: Any) -> tuple[SoundLayout, tuple[str, ...]]:
    """Layout and notes of a sound, read to its end. Raises InputError."""
    notes = []
    with opened(path, "sound") as container:
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.codec_context.channels
        depth, floating = _kind(stream)
        others = sorted({s.type for s in container.streams if s.index != stream.index})
        if others:
            notes.append(f"{' and '.join(others)} left out")
        if {*container.metadata, *stream.metadata} - _TECHNICAL:
            notes.append("tags left out")
        whole = announced(container, stream)
    if channels > 2:
        notes.append(f"{channels} channels mixed to two")
    length = sum(len(block) for block in _blocks(path, min(2, channels)))
    if not length:
        raise InputError("the sound has no samples")
    notes += cut_short(length / rate, whole)
    layout = SoundLayout(
        sample_rate=rate, channels=min(2, channels), bit_depth=depth, floating=int(floating), samples=length
    )
    return layout, tuple(notes)


def _kind(stream: Any) -> tuple[int, bool]:
    """Bits of a stream's samples, and whether they are floats; 16 where a codec with loss has no such thing."""
    context = stream.codec_context
    name, format = context.name, context.format.name
    if name.startswith("pcm_f"):
        return 32, True
    if said := re.fullmatch(r"pcm_[su](8|16|24|32)\D*", name):
        return int(said[1]), False
    if name in ("flac", "alac", "wavpack", "tta", "ape"):
        return {"u8p": 8, "u8": 8, "s16": 16, "s16p": 16}.get(format, 24), format.startswith("flt")
    return 16, False


def _blocks(path: Any, channels: int) -> Iterator[np.ndarray]:
    """All samples, float32 [n, channels], some at a time. Raises InputError where FFmpeg cannot go on."""
    import av

    with opened(path, "sound") as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono" if channels == 1 else "stereo", stream.rate)
        try:
            for frame in container.decode(stream):
                for piece in resampler.resample(frame):
                    yield piece.to_ndarray().reshape(-1, channels)
            for piece in resampler.resample(None):
                yield piece.to_ndarray().reshape(-1, channels)
        except (av.FFmpegError, ValueError) as e:
            raise InputError(f"the sound cannot be read to its end ({reason(e)})") from None


# -- writing


def check_sound_output(destination: Path, part: Part | None = None) -> None:
    """Raise InputError for a suffix in whose format no sound is written."""
    check_suffix(destination, _WRITTEN, "sound")


def write_sound_signal(
    signal: Signal,
    destination: Path | BinaryIO,
    part: Part | None = None,
    *,
    folder: bool = False,
    overwrite: bool = False,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `Medium.write` does for sounds; a stream becomes WAV."""
    assert isinstance(signal, SoundSignal)

    def write(file: BinaryIO, suffix: str) -> tuple[str, ...]:
        return _write_wav(signal, file) if suffix == ".wav" else _encode(signal, file, suffix)

    facts, notes = save(destination, write, check_sound_output, ".wav", folder=folder, overwrite=overwrite)
    return {"samples": signal.length, **facts}, notes


def integers(block: np.ndarray, depth: int) -> np.ndarray:
    """Samples in [-1, 1] -> int32 of a number of bits, rounded and clipped."""
    top = 2.0 ** (depth - 1)
    return np.rint(block.astype(np.float64) * top).clip(-top, top - 1).astype(np.int64).astype(np.int32)


def _write_wav(signal: SoundSignal, file: BinaryIO) -> tuple[str, ...]:
    """RIFF WAVE: PCM of 8, 16, 24 or 32 bits, or 32-bit floats. Raises InputError for what is too long for it."""
    layout = signal.sound_layout
    depth = 32 if layout.floating else layout.bit_depth
    frame = layout.channels * depth // 8
    size = signal.length * frame
    if size > _MOST_WAV:
        raise InputError(f"{size} bytes are more than a WAV file can hold: write a .flac")
    fact = struct.pack("<4sII", b"fact", 4, signal.length) if layout.floating else b""
    form = struct.pack(
        "<HHIIHH",
        3 if layout.floating else 1,
        layout.channels,
        layout.sample_rate,
        layout.sample_rate * frame,
        frame,
        depth,
    )
    chunks = struct.pack("<4sI", b"fmt ", len(form)) + form + fact + struct.pack("<4sI", b"data", size)
    file.write(struct.pack("<4sI4s", b"RIFF", 4 + len(chunks) + size + size % 2, b"WAVE") + chunks)
    for block in signal.blocks():
        if layout.floating:
            file.write(block.astype("<f4").tobytes())
        elif depth == 8:
            file.write((integers(block, 8) + 128).astype(np.uint8).tobytes())
        else:
            data = integers(block, depth).astype("<i4").reshape(-1, 1).view(np.uint8)
            file.write(data[:, : depth // 8].tobytes())
    if size % 2:
        file.write(b"\0")
    return ()


def _encode(signal: SoundSignal, file: BinaryIO, suffix: str) -> tuple[str, ...]:
    """A file of FFmpeg's; notes on what it cannot hold. Raises InputError."""
    import av

    container_name, codec, each = _ENCODERS[suffix]
    layout, notes = signal.sound_layout, []
    rate = next((r for r in _RATES.get(codec, ()) if r >= layout.sample_rate), layout.sample_rate)
    rate = rate if codec not in _RATES else min(rate, _RATES[codec][-1])
    if rate != layout.sample_rate:
        notes.append(f"resampled to {rate} Hz, which {suffix[1:]} has")
    deep = codec == "flac" and (layout.bit_depth > 16 or layout.floating == 1)
    if codec == "flac" and (layout.floating or layout.bit_depth > 24):
        notes.append("written with 24 bits a sample")
    with writing(file, container_name, f"sound as {suffix}") as (container, mux):
        stream: Any = container.add_stream(codec, rate=rate)
        stream.layout = "mono" if layout.channels == 1 else "stereo"
        if each:  # encoders refuse rates that are high for the samples that there are
            stream.bit_rate = min(each, 3 * rate) * layout.channels
        wanted = ("s32" if deep else "s16") if codec == "flac" else stream.codec_context.codec.audio_formats[0].name
        stream.format = wanted
        if deep:
            stream.codec_context.options = {"bits_per_raw_sample": "24"}
        resampler = av.AudioResampler(wanted, stream.layout, rate)
        time = 0
        for block in signal.blocks():
            for at in range(0, len(block), _FRAME):
                frame = _frame(av, block[at : at + _FRAME], layout, codec == "flac", deep)
                frame.pts, time = time, time + frame.samples
                for piece in resampler.resample(frame):
                    mux(stream.encode(piece))
        for piece in resampler.resample(None):
            mux(stream.encode(piece))
        mux(stream.encode(None))
    return tuple(notes)


def _frame(av: Any, block: np.ndarray, layout: SoundLayout, whole: bool, deep: bool) -> Any:
    """A frame of PyAV; whole: integers, rounded here to the bits that are written."""
    kind = "mono" if layout.channels == 1 else "stereo"
    if not whole:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.reshape(1, -1)), "flt", kind)
    elif deep:
        frame = av.AudioFrame.from_ndarray(integers(block, 24).reshape(1, -1) << 8, "s32", kind)
    else:
        depth = min(16, layout.bit_depth)
        samples = integers(block, depth).reshape(1, -1) << (16 - depth)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.int16), "s16", kind)
    frame.sample_rate, frame.time_base = layout.sample_rate, Fraction(1, layout.sample_rate)
    return frame
