"""A segment of a sound as FLAC frames: what methods of its LDAT without loss do (FORMAT.md, section 29).

    samples [n, channels] -> whole numbers of 16, 24 or 32 bits -> streams of up to eight channels -> body -> samples
    samples <-> rows: the bytes of each channel, those of equal weight together, for the methods of pictures and sets

The frames are those of RFC 9639, without the stream around them, whose header says nothing that the file does not say
already; FFmpeg writes and reads them. Floats that are whole numbers of 16, 24 or 32 bits, as those of files that were
made from integers are, are coded as such.

Guarantees: `flac_samples(flac_body(x)) == x`, to the bit; any bytes give samples of the shape asked for or a
CorruptFile; no more memory is taken than the samples and one frame.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ...errors import CorruptFile
from .ffmpeg import ffmpeg, has_ffmpeg

__all__ = ["flac_body", "flac_samples", "from_rows", "rows_of"]

TOGETHER = 8
"""Channels of a stream."""
DEPTHS = (16, 24, 32)
RATE = 44100
"""What frames say of the sample rate; nobody looks at it."""
LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""FFmpeg's names of the channels that FLAC has."""
LEVELS = {"quick": "8", "slow": "12"}
STRICT = {"err_detect": "crccheck+explode"}
_INFO = struct.Struct(">HH3s3sQ16s")


def rows_of(samples: np.ndarray, depth: int) -> np.ndarray:
    """samples [n, channels] of a `source_dtype` -> uint8 [channels * bytes, n]: of each channel the lowest bytes, then
    the next ones. depth: bits; of 24 the byte that is always 0 is left out.
    """
    n, channels = samples.shape
    little = np.ascontiguousarray(samples.T, samples.dtype.newbyteorder("<"))
    planes = little.view(np.uint8).reshape(channels, n, samples.itemsize).transpose(0, 2, 1)
    return np.ascontiguousarray(planes[:, samples.itemsize - depth // 8 :]).reshape(-1, n)


def from_rows(rows: np.ndarray, channels: int, dtype: np.dtype) -> np.ndarray:
    """The inverse: uint8 [channels * bytes, n] -> [n, channels]."""
    planes = np.zeros((channels, rows.shape[1], dtype.itemsize), np.uint8)
    given = len(rows) // channels
    planes[:, :, dtype.itemsize - given :] = rows.reshape(channels, given, -1).transpose(0, 2, 1)
    return np.ascontiguousarray(planes.view(dtype.newbyteorder("<"))[:, :, 0].T.astype(dtype, copy=False))


def flac_body(samples: np.ndarray, slow: bool = False) -> bytes | None:
    """samples [n, channels] of a `source_dtype` -> a body; None where they are no whole numbers of at most 32 bits, and
    without FFmpeg.

    slow: search for the smallest frames.
    """
    found = _whole(samples) if has_ffmpeg() else None
    if found is None:
        return None
    whole, depth = found
    parts = [bytes([depth])]
    for first in range(0, samples.shape[1], TOGETHER):
        stream = b"".join(_frames(whole[:, first : first + TOGETHER], depth, LEVELS["slow" if slow else "quick"]))
        parts += [struct.pack("<I", len(stream)), stream]
    return b"".join(parts)


def _whole(samples: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Samples as int32 that fill the range, and how many of their high bits are in use: one of DEPTHS."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.int32) - 128) << 24, 16
    if samples.dtype.kind == "i":
        whole = samples.astype(np.int32) << (32 - 8 * samples.itemsize)
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = samples.astype(np.float64) * 2.0**31
            # nan is in no range; what comes back with other bits, such as -0.0, is refused too
            if not ((scaled >= -(2.0**31)) & (scaled < 2.0**31)).all():
                return None
            whole = scaled.astype(np.int64).astype(np.int32)
        if not np.array_equal(_back(whole, samples.dtype).view(np.uint8), samples.view(np.uint8)):
            return None
    used = int(np.bitwise_or.reduce(whole, axis=None)) & 0xFFFFFFFF
    return whole, next(depth for depth in DEPTHS if not used & ((1 << (32 - depth)) - 1))


def _back(whole: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """int32 that fill the range -> samples of a `source_dtype`."""
    if dtype == np.uint8:
        return ((whole >> 24) + 128).astype(np.uint8)
    if dtype.kind == "i":
        return (whole >> (32 - 8 * dtype.itemsize)).astype(dtype)
    return (whole / 2.0**31).astype(dtype)


def _frames(whole: np.ndarray, depth: int, level: str) -> Iterator[bytes]:
    """The frames of int32 [n, channels] that fill the range."""
    av = ffmpeg("a sound in FLAC", "sound")
    layout, form = LAYOUTS[whole.shape[1] - 1], "s16" if depth == 16 else "s32"
    coder = av.CodecContext.create("flac", "w")
    coder.sample_rate, coder.layout, coder.format = RATE, layout, form  # pyright: ignore[reportAttributeAccessIssue]
    coder.time_base = Fraction(1, RATE)
    coder.options = {"compression_level": level, "bits_per_raw_sample": str(depth), "strict": "experimental"}
    samples = (whole >> 16).astype(np.int16) if depth == 16 else whole
    coder.open()
    size = coder.frame_size  # pyright: ignore[reportAttributeAccessIssue]
    for at in range(0, len(samples), size):
        piece = np.ascontiguousarray(samples[at : at + size]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, form, layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        yield from map(bytes, coder.encode(frame))  # pyright: ignore[reportAttributeAccessIssue]
    yield from map(bytes, coder.encode(None))  # pyright: ignore[reportAttributeAccessIssue]


def flac_samples(body: bytes, shape: tuple[int, int], dtype: np.dtype, where: str) -> np.ndarray:
    """The samples of a body, [n, channels] of a `source_dtype`. where: for messages. Raises CorruptFile."""
    n, channels = shape
    if not body or body[0] not in DEPTHS:
        raise CorruptFile(f"{where} says that it has {body[0] if body else 'no'} bits, expected 16, 24 or 32")
    depth, at = body[0], 1
    out = np.empty(shape, dtype)
    for first in range(0, channels, TOGETHER):
        (length,) = struct.unpack_from("<I", body, at) if len(body) >= at + 4 else (-1,)
        at += 4
        if not 0 <= length <= len(body) - at:
            raise CorruptFile(f"{where} ends within a FLAC stream")
        some = min(TOGETHER, channels - first)
        _decode(body[at : at + length], depth, out[:, first : first + some], where)
        at += length
    if at != len(body):
        raise CorruptFile(f"{where} has {len(body) - at} bytes behind its FLAC streams")
    return out


def _decode(stream: bytes, depth: int, out: np.ndarray, where: str) -> None:
    """Frames of FLAC into [n, channels]."""
    av = ffmpeg("a sound in FLAC", "sound")
    n, channels = out.shape
    bits = RATE << 44 | (channels - 1) << 41 | (depth - 1) << 36 | n
    info = _INFO.pack(16, 65535, bytes(3), bytes(3), bits, bytes(16))
    head = b"fLaC" + struct.pack(">I", 0x80000000 | len(info)) + info
    form, at = "s16" if depth == 16 else "s32", 0
    try:
        with av.open(io.BytesIO(head + stream), "r", format="flac", options=STRICT) as container:
            for frame in container.decode(container.streams.audio[0]):
                if frame.format.name != form or frame.layout.nb_channels != channels or at + frame.samples > n:
                    raise CorruptFile(f"{where} is FLAC of other samples than {n} of {channels} channels")
                samples = frame.to_ndarray().reshape(-1, channels)
                whole = samples.astype(np.int32) << 16 if depth == 16 else samples
                out[at : at + len(whole)] = _back(whole, out.dtype)
                at += len(whole)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise CorruptFile(f"{where} does not decode: {error}") from None
    if at != n:
        raise CorruptFile(f"{where} is FLAC of {at} samples, expected {n}")
