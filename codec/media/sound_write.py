"""Sound files, written a stretch at a time: by hand (WAV) and through PyAV (FFmpeg).

    SoundSignal -> .wav, .flac, .ogg, .opus, .mp3, .m4a

WAV is written by hand, since its header must say the length before a pipe has seen the end. It and FLAC have the
source's bits, and what was coded without loss is in them to the bit (FLAC has integers of at most 32 bits and eight
channels). Vorbis, Opus, MP3 and AAC are written at rates where little more is lost.

Guarantee: a file is written whole or not at all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...bitstream import SoundLayout
from ...errors import InputError
from .ffmpeg import check_suffix, ffmpeg, save, writing
from .flac_rows import LAYOUTS
from .part import Part
from .signal import Signal
from .sound_cover import attached, picture_block
from .sound_signal import SoundSignal, source_dtype
from .sound_tags import cue_chunks, info_chunk, parse_tags

__all__ = ["check_sound_output", "integers", "wav_bytes", "wav_head", "write_sound_signal"]

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
_FRAME = 4096
"""Samples that an encoder gets at a time."""
_MOST_WAV = 2**32 - 128
_UNKNOWN = 2**32 - 1
"""What stands for a length that is not known yet: readers take what comes."""
_MASKS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
"""Where the loudspeakers of so many channels stand: as in FLAC."""
_EXTENSIBLE = bytes.fromhex("0000000010008000 00aa00389b71")
"""What follows the format in the identifier of an extensible one."""


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
    return ({"samples": signal.length} if signal.length else {}) | facts, notes


def integers(block: np.ndarray, depth: int) -> np.ndarray:
    """Samples in [-1, 1] -> int32 of a number of bits, rounded and clipped."""
    top = 2.0 ** (depth - 1)
    return np.rint(block.astype(np.float64) * top).clip(-top, top - 1).astype(np.int64).astype(np.int32)


def _sources(signal: SoundSignal) -> Iterator[np.ndarray]:
    """All samples as the source had them, of its `source_dtype`; decoded with loss, rounded to that."""
    if signal.exact is not None:
        yield from signal.exact()
        return
    for block in signal.blocks():
        yield as_source(block, signal.sound_layout)


def as_source(block: np.ndarray, layout: SoundLayout) -> np.ndarray:
    """Real samples -> those of `source_dtype`."""
    dtype, depth = source_dtype(layout), layout.bit_depth
    if layout.floating:
        return block.astype(dtype)
    whole = integers(block, depth)
    return (whole + 128 if depth == 8 else whole << (8 * dtype.itemsize - depth)).astype(dtype)


def wav_head(layout: SoundLayout, length: int | None, more: bytes = b"") -> bytes:
    """The head of RIFF WAVE up to the samples: PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64. length: samples of
    each channel, None where nobody knows; more: chunks. Raises InputError for what is too long for it.
    """
    channels, depth = layout.channels, 8 * source_dtype(layout).itemsize if layout.floating else layout.bit_depth
    size = 0 if length is None else length * channels * depth // 8
    if size > _MOST_WAV - len(more):
        raise InputError(f"{size} bytes are more than a WAV file can hold: write a .flac")
    kind, rate = 3 if layout.floating else 1, layout.sample_rate
    frame = channels * depth // 8
    form = struct.pack("<HIIHH", channels, rate, rate * frame, frame, depth)
    if channels > 2:
        form = struct.pack("<H", 0xFFFE) + form + struct.pack("<HHIH", 22, depth, _MASKS.get(channels, 0), kind)
        form += _EXTENSIBLE
    else:
        form = struct.pack("<H", kind) + form
    fact = struct.pack("<4sII", b"fact", 4, _UNKNOWN if length is None else length) if layout.floating else b""
    chunks = struct.pack("<4sI", b"fmt ", len(form)) + form + fact + more
    whole = _UNKNOWN if length is None else 4 + len(chunks) + 8 + size + size % 2
    chunks += struct.pack("<4sI", b"data", _UNKNOWN if length is None else size)
    return struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + chunks


def wav_bytes(samples: np.ndarray, layout: SoundLayout) -> bytes:
    """Samples of `source_dtype` as WAV has them."""
    data = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    if layout.bit_depth == 24 and not layout.floating:
        return data.reshape(-1, 1).view(np.uint8)[:, 1:].tobytes()
    return data.tobytes()


def _write_wav(signal: SoundSignal, file: BinaryIO) -> tuple[str, ...]:
    """With an unknown length its head says that until the end is there, if the file seeks; a pipe's says no more."""
    layout, length = signal.sound_layout, signal.length or None
    tags = parse_tags(signal.metadata.tags)
    more = info_chunk(tags)
    if length is not None and length == layout.samples:  # chapters are places in the whole
        more += cue_chunks(tags, layout.sample_rate, length)
    file.write(wav_head(layout, length, more))
    size = samples = 0
    for block in _sources(signal):
        data = wav_bytes(block, layout)
        file.write(data)
        file.flush()  # somebody may be listening
        size, samples = size + len(data), samples + len(block)
    if size % 2:
        file.write(b"\0")
    if length is None and file.seekable():
        file.seek(0)
        file.write(wav_head(layout, samples, more))
        file.seek(0, 2)
    return ("its cover is left out: .wav has no place for it",) if signal.metadata.cover else ()


def _encode(signal: SoundSignal, file: BinaryIO, suffix: str) -> tuple[str, ...]:
    """A file of FFmpeg's; notes on what it cannot hold. Raises InputError."""
    av = ffmpeg("writing a sound in another format than .wav", "sound")
    container_name, codec, each = _ENCODERS[suffix]
    layout, notes = signal.sound_layout, []
    if codec == "flac":
        return _encode_flac(signal, file)
    rate = next((r for r in _RATES.get(codec, ()) if r >= layout.sample_rate), layout.sample_rate)
    rate = rate if codec not in _RATES else min(rate, _RATES[codec][-1])
    if rate != layout.sample_rate:
        notes.append(f"resampled to {rate} Hz, which {suffix[1:]} has")
    if layout.channels > 2:
        raise InputError(f"{layout.channels} channels are written as .wav or .flac")
    kind = LAYOUTS[layout.channels - 1]
    cover = signal.metadata.cover
    # the muxer of the name of .m4a takes no picture, the one of all MP4 does
    container_name = "mp4" if cover and container_name == "ipod" else container_name
    with writing(file, container_name, f"sound as {suffix}") as (container, mux):
        container.metadata.update(parse_tags(signal.metadata.tags))
        stream: Any = container.add_stream(codec, rate=rate)
        stream.layout = kind
        # encoders refuse rates that are high for the samples that there are
        stream.bit_rate = min(each, 3 * rate) * layout.channels
        wanted = stream.codec_context.codec.audio_formats[0].name
        stream.format = wanted
        notes += _add_cover(container, stream, mux, cover)
        resampler = av.AudioResampler(wanted, stream.layout, rate)
        time = 0
        for block in signal.blocks():
            for at in range(0, len(block), _FRAME):
                frame = _frame(block[at : at + _FRAME], "flt", kind, layout.sample_rate, time)
                time += frame.samples
                for piece in resampler.resample(frame):
                    mux(stream.encode(piece))
        for piece in resampler.resample(None):
            mux(stream.encode(piece))
        mux(stream.encode(None))
    return tuple(notes)


def _encode_flac(signal: SoundSignal, file: BinaryIO) -> tuple[str, ...]:
    """A FLAC file with the source's bits; floats get 24."""
    layout, notes = signal.sound_layout, []
    if layout.channels > len(LAYOUTS):
        raise InputError(f"{layout.channels} channels are more than FLAC has: write a .wav")
    # what was decoded with loss has no more than 24 bits to say
    depth = 24 if layout.floating or (signal.exact is None and layout.bit_depth > 24) else max(16, layout.bit_depth)
    rounded = layout.floating or depth < layout.bit_depth
    if rounded:
        notes.append("written with 24 bits a sample")
    form = "s16" if depth == 16 else "s32"
    with writing(file, "flac", "sound as .flac") as (container, mux):
        container.metadata.update(parse_tags(signal.metadata.tags))
        stream: Any = container.add_stream("flac", rate=layout.sample_rate)
        stream.layout = kind = LAYOUTS[layout.channels - 1]
        stream.format = form
        stream.codec_context.options = {"bits_per_raw_sample": str(depth), "strict": "experimental"}
        notes += _add_cover(container, stream, mux, signal.metadata.cover)
        time = 0
        for block in signal.blocks() if rounded else _sources(signal):
            whole = integers(block, 24) << 8 if rounded else _full(block)
            whole = (whole >> 16).astype(np.int16) if depth == 16 else whole
            for at in range(0, len(whole), _FRAME):
                frame = _frame(whole[at : at + _FRAME], form, kind, layout.sample_rate, time)
                time += frame.samples
                mux(stream.encode(frame))
        mux(stream.encode(None))
    return tuple(notes)


def _add_cover(container: Any, stream: Any, mux: Callable[[Any], None], cover: bytes) -> list[str]:
    """Put a cover into a file whose stream of sound is ready; notes where that fails."""
    if not cover:
        return []
    if container.format.name == "ogg":
        stream.metadata["METADATA_BLOCK_PICTURE"] = block = picture_block(cover)
        return [] if block else ["its cover is left out: it is no PNG or JPEG"]
    packet = attached(container, cover)
    if packet is None:
        return ["its cover is left out: FFmpeg cannot read it"]
    mux(packet)
    return []


def _full(samples: np.ndarray) -> np.ndarray:
    """Integers of a `source_dtype` -> int32 that fill the range."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.int32) - 128) << 24
    return samples.astype(np.int32) << (32 - 8 * samples.itemsize)


def _frame(block: np.ndarray, form: str, kind: str, rate: int, time: int) -> Any:
    """A frame of PyAV. block: [n, channels]; kind: FFmpeg's name of the channels."""
    av = ffmpeg("writing a sound in another format than .wav", "sound")
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), form, kind)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), time
    return frame
