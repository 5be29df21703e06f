"""Codecs of sounds under test: Opus, MP3, FLAC and the unchanged sound, through PyAV, behind the interface of `peers`.

    sound --encode(kbit/s)--> real file bytes --decode--> sound, as long as it was and in step with it

A sound is float32 [T] in [-1, 1], or [T, 2] of two channels, for which the bit rate counts together.

| spec        | what it is                                                                                      |
|-------------|-------------------------------------------------------------------------------------------------|
| `lecodec`   | the shipped sound model; `lecodec:NAME`, `lecodec@PATH`: others. The setting is kbit/s          |
| `opus`      | libopus in Ogg, variable rate around the setting, in kbit/s                                     |
| `opus-voip` | the same, made for speech to be understood (its application `voip`)                              |
| `mp3`       | LAME, constant rate of the setting, in kbit/s: those that MPEG has for the sample rate          |
| `flac`      | FLAC of 16-bit integers, to which sounds are rounded if they are not such                       |
| `identity`  | changes nothing: a WAV file of 16-bit integers if the samples are such, else of 32-bit floats   |
| plug-ins    | `MODULE:NAME` or `FILE.py:NAME`, given the sample rate (see `plugins`)                          |

Whole files count, without tags. What an encoder puts before the sound (its delay) and after it (to fill a frame) is
written in the file and taken off by the decoder: in Ogg by the pre-skip and the position of the last page, in MP3 by
LAME's fields in the first frame, which holds no sound. So decoded sounds have the length of the original and lie in
step with it (tests/eval/test_peers.py measures both); in its modes for speech, Opus's own filters shift some
frequencies by up to 0.1 ms. LAME turns every sound down by 5%. Both are left as users get them.

Opus is decoded by libopus as well: the decoder that FFmpeg prefers, its own, turned half a second of a rising tone at
48 kbit/s into noise, and lagged behind at 6 and 8 kbit/s (FFmpeg 8.0).

Opus knows the rates 8, 12, 16, 24 and 48 kHz. Other sounds, up to 48 kHz, are resampled to 48 kHz before and back
afterwards, by polyphase filters of linear phase, which shift nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...codec.media.ffmpeg import reason
from ...errors import CodecError, InputError
from ..quality._extras import extra
from .codec import IDENTITY, Codec, own_model, pyav_with, shown_name
from .plugins import is_plugin, plugin_codec

__all__ = ["sound_codec_by_name"]

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
MP3_LADDERS: dict[tuple[int, ...], tuple[float, ...]] = {
    (32000, 44100, 48000): (32, 40, 48, 56, 64, 80, 96, 112, 128),
    (16000, 22050, 24000): (8, 16, 24, 32, 40, 48, 64, 80, 96, 128),
    (8000, 11025, 12000): (8, 16, 24, 32, 40, 48, 56, 64),
}
"""Constant bit rates (kbit/s) of MPEG-1, MPEG-2 and MPEG-2.5 layer III by sample rate (Hz)."""
MP3_MIN = 64
"""Samples: decoders do not leave out more than one frame before the sound, so below 47 it would come back longer."""


@dataclass(frozen=True)
class _AvCodec:
    """A codec of PyAV in a container. rate: at which it codes; encoder, decoder: names in FFmpeg; tags: options that
    leave out what is not sound.
    """

    name: str
    sample_rate: int
    rate: int
    ladder: tuple[float, ...]
    description: str
    suffix: str
    container: str
    encoder: str
    decoder: str
    tags: dict[str, str]
    min_samples: int = 1
    options: dict[str, str] = field(default_factory=dict)

    def encode(self, sound: np.ndarray, setting: float, /) -> bytes:
        """A whole file at a bit rate (kbit/s) for float32 [T] or [T, 2]. Raises `CodecError`."""
        _check(sound)
        if len(sound) < self.min_samples:
            raise CodecError(f"{self.name} takes sounds of at least {self.min_samples} samples, this has {len(sound)}")
        samples = _resampled(sound, self.sample_rate, self.rate)
        try:
            bits = round(1000 * setting)
            data = _write(samples, self.rate, self.container, self.encoder, bits, self.tags, self.options)
        except _errors() as error:
            raise CodecError(f"{self.name} could not encode at {setting:g} kbit/s: {reason(error)}") from error
        return _with_length(data, len(samples)) if self.container == "mp3" else data

    def decode(self, data: bytes, /) -> np.ndarray:
        """The sound, float32 [T] or [T, 2] in [-1, 1], as long as it was. Raises `CodecError`."""
        try:
            samples, rate = _read(data, self.container, self.decoder)
        except _errors() as error:
            raise CodecError(f"{self.name} could not decode its own file: {reason(error)}") from error
        # Resampling to the higher rate rounded the length up, by less than one sample of the lower rate.
        length = len(samples) * self.sample_rate // rate
        return np.clip(_resampled(samples, rate, self.sample_rate)[:length], -1, 1)


@dataclass(frozen=True)
class _Exact:
    """The sound as it is, in a WAV file, or to 16 bits in a FLAC file."""

    sample_rate: int
    description: str
    name: str = IDENTITY
    container: str = "wav"
    ladder: tuple[float, ...] = (0,)

    @property
    def suffix(self) -> str:
        return f".{self.container}"

    def encode(self, sound: np.ndarray, setting: float, /) -> bytes:
        """A whole file. Raises `CodecError`."""
        _check(sound)
        scaled = sound * np.float32(32768)  # exact: a power of two
        rounded = np.rint(scaled).clip(-32768, 32767)
        flac = self.container == "flac"
        whole = flac or bool((scaled == rounded).all())
        samples = rounded.astype(np.int16) if whole else sound
        codec = "flac" if flac else "pcm_s16le" if whole else "pcm_f32le"
        return _write(samples, self.sample_rate, self.container, codec, 0, _BITEXACT)

    def decode(self, data: bytes, /) -> np.ndarray:
        """The sound, float32 [T] or [T, 2]. Raises `CodecError`."""
        try:
            return _read(data, self.container, "")[0]
        except _errors() as error:
            raise CodecError(f"{self.name} could not decode its own file: {reason(error)}") from error


class LecodecSound:
    """The sound codec of this package. model: None for the shipped one, a name, or the path of a model file.

    Raises `UnknownModel`, `ModelError` or `InputError` as `lecodec.load` does.
    """

    suffix = ".lec"
    ladder: tuple[float, ...] = (3, 4, 6, 8, 10, 12, 16, 24, 32, 48)

    def __init__(self, sample_rate: int, model: str | Path | None = None) -> None:
        from ...codec.registry import load
        from ...codec.sound import SoundCodec

        self.sample_rate = sample_rate
        self.name = shown_name(model)
        self._codec = load("sound", model=model, of=SoundCodec)
        digests = f"parse digest {self._codec.parse_digest.hex()}, synthesis {self._codec.synthesis_digest.hex()}"
        self.description = f"lecodec sound codec, {digests}"

    def encode(self, sound: np.ndarray, setting: float, /) -> bytes:
        """A whole `.lec` file at a bit rate (kbit/s) for float32 [T] or [T, 2]. Raises `CodecError`."""
        _check(sound)
        return self._codec.encode(sound, self.sample_rate, kbps=setting)

    def decode(self, data: bytes, /) -> np.ndarray:
        """The sound, float32 [T] or [T, 2]. Raises `CodecError`."""
        sound = self._codec.decode(data)
        return sound[:, 0] if sound.shape[1] == 1 else sound


_BITEXACT = {"fflags": "+bitexact"}  # no name of the muxer, no serial number drawn at random


def sound_codec_by_name(spec: str, sample_rate: int) -> Codec:
    """The codec that a spec (see the table above) names, for sounds at a sample rate in Hz.

    Raises InputError for an unknown spec, a library that is missing, a sample rate that the codec does not have or a
    plug-in that lacks something.
    """
    if sample_rate <= 0:
        raise InputError(f"a sample rate must be above 0 Hz, found {sample_rate}")
    if spec in _PEERS:
        return _PEERS[spec](sample_rate)
    ours, model = own_model(spec)
    if ours:
        return LecodecSound(sample_rate, model)
    if is_plugin(spec):
        return plugin_codec(spec, sample_rate)
    raise InputError(
        f"unknown codec of sounds {spec!r}; there are lecodec, {', '.join(_PEERS)}, and your own as FILE.py:NAME"
    )


def _opus(sample_rate: int, application: str = "") -> Codec:
    library = pyav_with("libopus")
    if sample_rate > OPUS_RATES[-1]:
        raise InputError(f"Opus has sample rates up to {OPUS_RATES[-1]} Hz, not {sample_rate}: resample the sounds")
    rate = sample_rate if sample_rate in OPUS_RATES else 48000
    resampled = "" if rate == sample_rate else f", resampled from {sample_rate} to {rate} Hz"
    made_for = f", application {application}" if application else ""
    description = f"libopus of {library}, Ogg, variable rate, frames of 20 ms{made_for}{resampled}"
    return _AvCodec(
        f"opus-{application}" if application else "opus",
        sample_rate,
        rate,
        (6, 8, 10, 12, 16, 20, 24, 32, 48, 64),
        description,
        ".opus",
        "ogg",
        "libopus",
        "libopus",
        _BITEXACT,
        options={"application": application} if application else {},
    )


def _mp3(sample_rate: int) -> Codec:
    library = pyav_with("libmp3lame")
    ladder = next((ladder for rates, ladder in MP3_LADDERS.items() if sample_rate in rates), None)
    if ladder is None:
        rates = ", ".join(str(rate) for rate in sorted(rate for rates in MP3_LADDERS for rate in rates))
        raise InputError(f"MP3 has the sample rates {rates} Hz, not {sample_rate}: resample the sounds")
    description = f"LAME of {library}, constant rate, without ID3 tags"
    tags = {**_BITEXACT, "id3v2_version": "0"}
    return _AvCodec(
        "mp3", sample_rate, sample_rate, ladder, description, ".mp3", "mp3", "libmp3lame", "", tags, MP3_MIN
    )


def _flac(sample_rate: int) -> Codec:
    return _Exact(sample_rate, f"FLAC of {pyav_with('flac')}, level 5, 16-bit integers", "flac", "flac")


def _identity(sample_rate: int) -> Codec:
    return _Exact(sample_rate, "WAV, 16-bit integers where the samples are such, else 32-bit floats: the original")


_PEERS: dict[str, Callable[[int], Codec]] = {
    "opus": _opus,
    "opus-voip": lambda sample_rate: _opus(sample_rate, "voip"),
    "mp3": _mp3,
    "flac": _flac,
    IDENTITY: _identity,
}


def _errors() -> tuple[type[Exception], ...]:
    import av

    return av.FFmpegError, OSError, ValueError


def _check(sound: np.ndarray) -> None:
    if sound.dtype != np.float32 or sound.shape[1:] not in ((), (2,)) or not sound.size or not np.isfinite(sound).all():
        raise InputError(f"expected a sound, finite float32 [T] or [T, 2], found {sound.dtype} {list(sound.shape)}")


def _resampled(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """float32 [T] or [T, 2] at a rate -> of ceil(T * wanted / rate) samples at the wanted one."""
    if rate == wanted:
        return sound
    divisor = math.gcd(rate, wanted)
    resample = extra("scipy.signal", "scipy").resample_poly
    return resample(sound, wanted // divisor, rate // divisor).astype(np.float32)


def _write(
    samples: np.ndarray,
    rate: int,
    container: str,
    codec: str,
    bit_rate: int,
    tags: dict[str, str],
    options: dict[str, str] | None = None,
) -> bytes:
    """A whole file of float32 or int16 [T] or [T, 2]. bit_rate: bits a second, 0 where there is none to choose; tags:
    options of the container; options: of the encoder.
    """
    import av

    layout = "mono" if samples.ndim == 1 else "stereo"
    packed = np.ascontiguousarray(samples).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, "s16" if samples.dtype == np.int16 else "flt", layout)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=tags) as file:
        stream: Any = file.add_stream(codec, rate=rate, options=options)
        stream.layout = layout
        if bit_rate:
            stream.bit_rate = bit_rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return buffer.getvalue()


def _with_length(data: bytes, length: int) -> bytes:
    """An MP3 file whose first frame says how many samples of its frames are padding.

    FFmpeg reports at most one frame of it, but LAME sometimes adds a whole one more, and the sound would come back up
    to 46 samples longer.
    """
    tag = max(data.find(b"Info", 0, 64), data.find(b"Xing", 0, 64))
    if tag < 0 or data[tag + 4 : tag + 8] != b"\0\0\0\x0f":  # flags: the fields before LAME's are all there
        raise CodecError("mp3: FFmpeg wrote no frame with LAME's fields")
    mpeg1 = data[1] & 0x08
    frames = int.from_bytes(data[tag + 8 : tag + 12], "big")
    delay = int.from_bytes(data[tag + 141 : tag + 144], "big") >> 12
    padding = frames * (1152 if mpeg1 else 576) - delay - length
    head = bytearray(data[: tag + 156])
    head[tag + 141 : tag + 144] = (delay << 12 | padding).to_bytes(3, "big")
    head[tag + 154 : tag + 156] = b"\0\0"
    head[tag + 154 : tag + 156] = _crc16((head + data[len(head) :])[:190]).to_bytes(2, "big")  # itself zero
    return bytes(head) + data[len(head) :]


def _crc16(data: bytes | bytearray) -> int:
    """The CRC of LAME's fields: polynomial 0x8005, bits reversed, from 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def _read(data: bytes, container: str, decoder: str) -> tuple[np.ndarray, int]:
    """(float32 [T] or [T, 2], sample rate) of a whole file, without what the container says is not sound.

    decoder: its name in FFmpeg, "" for the one that FFmpeg takes.
    """
    import av

    with av.open(io.BytesIO(data), "r", format=container) as file:
        if not file.streams.audio:
            raise ValueError("it holds no sound")
        stream = file.streams.audio[0]
        context: Any = stream.codec_context
        if decoder:
            context = av.CodecContext.create(decoder, "r")
            context.extradata, context.sample_rate = stream.codec_context.extradata, stream.rate
            context.layout = stream.codec_context.layout
        stereo = stream.codec_context.channels == 2
        to_float, parts = av.AudioResampler("fltp", "stereo" if stereo else "mono"), []
        for packet in file.demux(stream):  # the last one is empty: it asks for what is left
            for frame in context.decode(packet):
                planes = [part.to_ndarray() for part in to_float.resample(frame)]
                parts += [plane.T if stereo else plane[0] for plane in planes]
        if not parts:
            raise ValueError("it holds no samples")
        return np.concatenate(parts).astype(np.float32, copy=False), stream.rate
