"""Samples to picture files: the last step of the way through (the first one is media.py).

    samples and metadata -> [here] -> PNG, TIFF, PPM, BMP, WebP or JPEG

All of these are lossless except JPEG, which is written only when it is asked for. What a format cannot hold is refused
with a sentence that names one that can: 16 bits or alpha are never dropped. Metadata goes in as far as the format has
a place for it (`metadata_lost` says what is left out); colour code points only into PNG. WebP has no grey: it becomes
RGB. Pillow writes what has 8 bits; TIFF (tiff.py) and what has 16 bits is written with zlib.

Guarantee: a path is written whole or not at all.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from ...bitstream import atomic_write
from ...bitstream.metadata import Metadata
from ...errors import InputError
from .png_rows import deflate_rows
from .tiff import write_tiff

if TYPE_CHECKING:
    from .part import Part
    from .signal import Signal

__all__ = [
    "check_picture_output",
    "fit_depth",
    "metadata_lost",
    "picture_format",
    "write_picture",
    "write_picture_signal",
]

LEVEL = 1
"""Deflate level. Measured for PNG, on the 24 Kodak pictures in one (9.4 megapixels, one core, Pillow 13, zlib-ng):
level 1: 0.86 s, 16.5 MB; 2: 0.93 s, 16.4 MB; 3: 1.3 s, 16.1 MB; 4: 1.6 s, 16.3 MB; 6: 3.6 s, 16.0 MB. Huffman codes
alone took 0.59 s for 16.8 MB, but do badly on drawings."""


@dataclass(frozen=True)
class _Format:
    """What a format holds besides 8-bit grey and RGB, and the options that Pillow gets."""

    deep: bool = False
    alpha: bool = False
    most: tuple[int, int, int] = (0, 0, 0)
    """Bytes of ICC, EXIF and XMP that it has room for."""
    options: dict[str, Any] | None = None


_ANY = 1 << 30
_FORMATS = {
    "PNG": _Format(True, True, (_ANY, _ANY, _ANY), {"compress_level": LEVEL}),
    "TIFF": _Format(True, True, (_ANY, 0, _ANY)),
    "PPM": _Format(deep=True, options={}),
    "BMP": _Format(options={}),
    "WEBP": _Format(
        False, True, (_ANY, _ANY, _ANY), {"lossless": True, "exact": True}
    ),  # exact: also where transparent
    "JPEG": _Format(False, False, (255 * 65519, 65527, 65504), {"quality": 95, "subsampling": 0}),  # segments of 64 KiB
}
_SUFFIXES = {
    ".png": "PNG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".ppm": "PPM",
    ".webp": "WEBP",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}


def picture_format(path: str | os.PathLike[str]) -> str:
    """The name of the format that the suffix asks for (`"PNG"` without a suffix): PNG, TIFF, PPM, BMP, WEBP or JPEG.

    Raises:
        InputError: the suffix is not one that can be written.
    """
    suffix = Path(path).suffix.lower()
    try:
        return _SUFFIXES[suffix or ".png"]
    except KeyError:
        raise InputError(f"cannot write '{suffix}' files; choose one of {' '.join(sorted(_SUFFIXES))}") from None


def fit_depth(samples: np.ndarray, bits: int) -> np.ndarray:
    """Samples `uint8` or `uint16` at 8 or 16 bits, exactly rounded: v * 257 one way, round(v / 257) the other."""
    if bits not in (8, 16):
        raise InputError(f"a depth of {bits} bits, expected 8 or 16")
    if samples.dtype.itemsize * 8 == bits:
        return samples
    if bits == 16:
        return samples * np.uint16(257)
    table = ((np.arange(65536) + 128) // 257).astype(np.uint8)  # 257 is odd: no value lies in the middle
    return table[samples]


def metadata_lost(kind: str, metadata: Metadata) -> str:
    """A clause on what a format, named as by `picture_format`, cannot hold of the metadata; empty if it holds all."""
    held = _held(kind, metadata)
    names = {"icc": "colour profile (ICC)", "exif": "EXIF", "xmp": "XMP"}
    lost = [text for name, text in names.items() if getattr(metadata, name) != getattr(held, name)]
    if (metadata.primaries, metadata.transfer) != (held.primaries, held.transfer):
        lost.append(f"colour code points (CICP {metadata.primaries}/{metadata.transfer})")
    return f"{kind} does not hold its {', '.join(lost)}" if lost else ""


def write_picture(
    samples: np.ndarray,
    destination: str | os.PathLike[str] | BinaryIO,
    *,
    overwrite: bool = False,
    metadata: Metadata = Metadata(),  # noqa: B008 - frozen
    kind: str = "PNG",
) -> None:
    """Write samples, `uint8` or `uint16` `[H, W]` or `[H, W, 2 to 4]`, to a path or to a binary stream.

    kind: the format for a stream; for a path its suffix says it. Of the metadata the format keeps what it can.

    Raises:
        InputError: the suffix is unknown, or the format cannot hold 16 bits, alpha, or a picture of this size.
        OutputExists: the path exists and `overwrite` is off.
        OSError: the system refuses (permission, disk full).
    """
    to_path = isinstance(destination, (str, os.PathLike))
    kind = picture_format(destination) if to_path else kind
    _check(samples, kind)
    if to_path and Path(destination).suffix.lower() == ".pgm" and samples.ndim == 3:
        raise InputError("a .pgm file is grey, these samples have colour: write .ppm")
    try:
        parts = _encoded(samples, kind, _held(kind, metadata))
    except (OSError, ValueError, struct.error) as error:
        size = f"{samples.shape[1]} x {samples.shape[0]}"
        raise InputError(f"a picture of {size} pixels cannot be written as {kind}: {error}") from None
    if to_path:
        with atomic_write(Path(destination), overwrite=overwrite) as file:
            file.writelines(parts)
    else:
        for part in parts:
            destination.write(part)


def check_picture_output(destination: Path, part: Part | None = None) -> None:
    """Raise InputError for a suffix that cannot be written."""
    picture_format(destination)


def write_picture_signal(
    signal: Signal,
    destination: Path | BinaryIO,
    part: Part | None = None,
    *,
    folder: bool = False,
    overwrite: bool = False,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `Medium.write` does for pictures, which never fill a folder: a stream becomes PNG."""
    samples = signal.samples
    facts = {"height": samples.shape[0], "width": samples.shape[1], "bit_depth": 8 * samples.itemsize}
    write_picture(samples, destination, overwrite=overwrite, metadata=signal.metadata)
    if not isinstance(destination, Path):
        return facts, ()
    lost = metadata_lost(picture_format(destination), signal.metadata)
    return facts | {"bytes_out": os.path.getsize(destination)}, (lost,) if lost else ()


def _check(samples: np.ndarray, kind: str) -> None:
    if kind not in _FORMATS:
        raise InputError(f"cannot write {kind}; choose one of {' '.join(_FORMATS)}")
    form = _FORMATS[kind]
    if samples.dtype == np.uint16 and not form.deep:
        raise InputError(
            f"{kind} holds 8 bits a channel, these samples have 16: write PNG or TIFF, or make them 8 (--depth 8)"
        )
    if samples.ndim == 3 and samples.shape[2] in (2, 4) and not form.alpha:
        others = "PNG or TIFF" if samples.dtype == np.uint16 else "PNG, TIFF or WebP"
        raise InputError(f"{kind} holds no alpha channel, these samples have one: write {others}")


def _held(kind: str, metadata: Metadata) -> Metadata:
    """What a format holds of the metadata."""
    icc, exif, xmp = (
        data if len(data) <= most else b""
        for data, most in zip((metadata.icc, metadata.exif, metadata.xmp), _FORMATS[kind].most, strict=True)
    )
    if kind == "WEBP" and metadata.icc[16:20] == b"GRAY":
        icc = b""  # grey becomes RGB, which this profile does not describe
    held = replace(metadata, icc=icc, exif=exif, xmp=xmp)
    plain = (metadata.primaries, metadata.transfer) in ((1, 13), (2, 2))  # sRGB, or as the profile says
    return held if plain or kind == "PNG" else replace(held, primaries=1, transfer=13)


def _encoded(samples: np.ndarray, kind: str, metadata: Metadata) -> Iterable[bytes | memoryview]:
    """The file, in parts."""
    if kind == "TIFF":
        return write_tiff(samples, metadata.icc, metadata.xmp, LEVEL)
    if kind == "PPM" and samples.dtype == np.uint16:
        head = f"P{5 if samples.ndim == 2 else 6}\n{samples.shape[1]} {samples.shape[0]}\n65535\n"
        return [head.encode(), samples.astype(">u2").tobytes()]
    if kind == "PNG" and samples.dtype == np.uint16:
        return _deep_png(samples, metadata)
    options = dict(_FORMATS[kind].options or {})
    if kind in ("WEBP", "JPEG"):
        prefix = b"Exif\0\0" if metadata.exif else b""
        options |= {"icc_profile": metadata.icc, "exif": prefix + metadata.exif, "xmp": metadata.xmp}
    buffer = io.BytesIO()  # Pillow seeks while it writes some formats: a pipe cannot
    Image.fromarray(samples).save(buffer, kind, **options)
    view = buffer.getbuffer()
    if kind == "PNG":
        return [view[:PNG_HEADER], *_png_metadata(metadata), view[PNG_HEADER:]]
    return [view]


# -- PNG

PNG_HEADER = 8 + 25
"""Bytes of the signature and the IHDR chunk: metadata comes behind them."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _png_metadata(metadata: Metadata) -> Iterator[bytes]:
    if (metadata.primaries, metadata.transfer) not in ((1, 13), (2, 2)):
        yield _chunk(b"cICP", bytes([metadata.primaries, metadata.transfer, 0, 1]))
    if metadata.icc:
        yield _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.exif:
        yield _chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        yield _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)


def _deep_png(samples: np.ndarray, metadata: Metadata) -> Iterator[bytes]:
    """A 16-bit PNG."""
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    yield b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    yield from _png_metadata(metadata)
    for data in deflate_rows(samples, LEVEL):
        yield _chunk(b"IDAT", data)
    yield _chunk(b"IEND", b"")
