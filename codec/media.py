"""Picture files to samples and back: the first and the last step of the way through.

    picture file -> [here] -> samples -> codec -> .lec -> codec -> samples -> [here] -> picture file

Samples are `uint8`, `[H, W]` for grey and `[H, W, 3]` for RGB, upright. Reading goes through Pillow, with one rule
added: *what cannot be carried is refused, never changed without a word*.

- Converted, because the appearance stays the same: palette, YCbCr and 1-bit pictures (to RGB or grey); CMYK (to RGB, by
  Pillow's plain formula, without a colour profile); a fully opaque alpha channel is dropped; an EXIF orientation is
  applied, so the picture comes back upright.
- Refused with `InputError`: transparency; more than 8 bits a channel (Pillow opens several kinds of those as 8-bit
  without saying so: the depth is read from the file's own header here); floating point; animations and files with
  several pages (of an MPO, which is a JPEG with a preview behind it as phones write it, the main picture is taken).
- Not kept, and said so: EXIF, XMP and ICC profiles. `load_picture` notes a profile other than sRGB.

Guarantee: whatever the file holds, reading ends in samples or in a `CodecError` of one sentence.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..bitstream import atomic_write, check_picture_size
from ..errors import CodecError, InputError

__all__ = ["Picture", "load_picture", "picture_format", "read_picture", "samples_of", "write_picture"]

READABLE = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""Formats whose bit depth is known or checked below; Pillow's others are left out."""

WRITABLE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".pgm": ("PPM", {}),
    ".pnm": ("PPM", {}),
    ".ppm": ("PPM", {}),
    ".webp": ("WEBP", {"lossless": True}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
}
"""Suffix -> Pillow's name and options. All are lossless except JPEG, written only when its suffix is asked for."""

MAX_STREAM_BYTES = 1 << 31  # a pipe has no size to look at: this bounds what is read from one
ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the transposition that undoes it."""


@dataclass(frozen=True)
class Picture:
    """A picture that was read.

    samples: `uint8` `[H, W]` or `[H, W, 3]`. file_bytes: size of the file it came from. notes: what was left behind, as
    clauses for the user (often none).
    """

    samples: np.ndarray
    file_bytes: int
    notes: tuple[str, ...] = ()


def read_picture(source: str | os.PathLike[str] | BinaryIO) -> np.ndarray:
    """The samples of a picture file: `uint8`, `[H, W]` (grey) or `[H, W, 3]` (RGB). See `load_picture`."""
    return load_picture(source).samples


def load_picture(source: str | os.PathLike[str] | BinaryIO) -> Picture:
    """Read a picture from a path or from a binary stream (read to its end; it need not be seekable).

    Raises:
        InputError: no readable picture, or one that this version cannot carry (see the module's text).
        LimitExceeded: more pixels than a `.lec` file may hold.
    """
    with _opened(source) as file, _one_sentence():
        head = file.read(64)
        if not head:
            raise InputError("the file is empty")
        file_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        if head.startswith(b"\x89PNG"):
            with Image.open(file, formats=["PNG"]) as image:
                image.verify()  # loading alone does not look at the checksums of a PNG
            file.seek(0)
        with Image.open(file, formats=READABLE) as image:
            check_picture_size(image.width, image.height)
            depth = _bit_depth(image, head, file)
            if depth > 8:
                raise InputError(f"has {depth} bits a channel; this version carries 8")
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                raise InputError(f"holds {frames} pictures (an animation or several pages); this version carries one")
            image.load()
            return Picture(samples_of(image), file_bytes, _notes(image))


def samples_of(image: Image.Image) -> np.ndarray:
    """The samples of a Pillow image, converted and made upright as the module's text says.

    Raises:
        InputError: transparency, more than 8 bits a channel, floating point, or a colour space without a conversion.
    """
    if image.width < 1 or image.height < 1:
        raise InputError(f"is empty: {image.width} x {image.height} pixels")
    if image.mode.startswith("I") or image.mode == "F":
        raise InputError("has 16-bit or floating-point samples; this version carries 8-bit ones")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        straight = image.convert("LA" if image.mode in ("LA", "La") else "RGBA")
        if straight.getchannel("A").getextrema() != (255, 255):
            raise InputError("has transparent pixels, which this version does not carry; flatten it first")
        grey = image.mode in ("1", "L", "LA", "La")
        image_opaque = straight.convert("L" if grey else "RGB")
    elif image.mode in ("1", "L"):
        image_opaque = image.convert("L")
    elif image.mode in ("P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"):
        image_opaque = image.convert("RGB")
    else:
        raise InputError(f"is in the colour mode {image.mode}, which this version does not carry")
    turn = UPRIGHT.get(_orientation(image))
    return np.array(image_opaque if turn is None else image_opaque.transpose(turn), dtype=np.uint8)


def picture_format(path: str | os.PathLike[str]) -> str:
    """Pillow's name of the format that the suffix asks for (`"PNG"` without a suffix).

    Raises:
        InputError: the suffix is not one that can be written.
    """
    return _writer(path)[0]


def write_picture(
    samples: np.ndarray, destination: str | os.PathLike[str] | BinaryIO, *, overwrite: bool = False
) -> None:
    """Write samples, `uint8` `[H, W]` or `[H, W, 3]`, to a path (format by suffix) or to a binary stream (PNG).

    A path is written whole or not at all.

    Raises:
        InputError: the suffix is unknown, or the format cannot hold a picture of this size.
        OutputExists: the path exists and `overwrite` is off.
        OSError: the system refuses (permission, disk full).
    """
    to_path = isinstance(destination, (str, os.PathLike))
    kind, options = _writer(destination) if to_path else WRITABLE[".png"]
    buffer = io.BytesIO()  # Pillow seeks while it writes some formats: a pipe cannot
    try:
        Image.fromarray(samples).save(buffer, kind, **options)
    except (OSError, ValueError, struct.error) as error:
        size = f"{samples.shape[1]} x {samples.shape[0]}"
        raise InputError(f"a picture of {size} pixels cannot be written as {kind}: {error}") from None
    if to_path:
        with atomic_write(Path(destination), overwrite=overwrite) as file:
            file.write(buffer.getbuffer())
    else:
        destination.write(buffer.getbuffer())


def _writer(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    suffix = Path(path).suffix.lower()
    try:
        return WRITABLE[suffix or ".png"]
    except KeyError:
        raise InputError(f"cannot write '{suffix}' files; choose one of {' '.join(sorted(WRITABLE))}") from None


@contextmanager
def _opened(source: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """A seekable binary file on the source; a path's file is closed afterwards, a caller's stream is left open."""
    if not isinstance(source, (str, os.PathLike)):
        yield _buffered(source)
        return
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below; opened apart so that only its own errors are caught
    except (OSError, ValueError) as error:
        raise InputError(getattr(error, "strerror", None) or str(error)) from None
    with file:
        yield file if file.seekable() else _buffered(file)


def _buffered(stream: BinaryIO) -> BinaryIO:
    """The rest of a pipe, in memory."""
    data = stream.read(MAX_STREAM_BYTES + 1)
    if len(data) > MAX_STREAM_BYTES:
        raise InputError(f"the stream is longer than {MAX_STREAM_BYTES} bytes")
    return io.BytesIO(data)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn whatever Pillow raises into an `InputError`: its decoders raise nearly every class on damaged files."""
    try:
        yield
    except CodecError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"not a picture of a kind that can be read ({', '.join(READABLE)})") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(f"claims more than {limit} pixels; refused before memory is taken") from None
    except MemoryError:
        raise InputError("does not fit into memory") from None
    except Exception as error:
        detail = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the picture is damaged or cut short: {detail}") from None


def _bit_depth(image: Image.Image, head: bytes, file: BinaryIO) -> int:
    """Bits a channel as the file itself says, where Pillow may have reduced them on opening."""
    if image.format == "PNG":
        return head[24]  # signature, IHDR length and type, width, height, then the depth
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (1,))
        return max(bits) if isinstance(bits, tuple) else int(bits)
    if image.format == "PPM":
        return 8 if _pnm_maxval(head, file) <= 255 else 16
    if image.format in ("AVIF", "JPEG2000"):
        position = file.tell()
        file.seek(0)
        start = file.read(1 << 16)
        file.seek(position)
        return _avif_depth(start) if image.format == "AVIF" else _jpeg2000_depth(start)
    return 8


def _pnm_maxval(head: bytes, file: BinaryIO) -> int:
    """The largest sample of a netpbm file: the fourth word of its header, comments aside (bitmaps have none: 1)."""
    if head[:2] not in (b"P2", b"P3", b"P5", b"P6"):
        return 1
    position = file.tell()
    file.seek(0)
    start = file.read(1 << 12)
    file.seek(position)
    words = b"\n".join(line.split(b"#")[0] for line in start.splitlines()).split()
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else 1


def _avif_depth(start: bytes) -> int:
    """From the AV1 configuration box: its third byte holds high_bitdepth (0x40) and twelve_bit (0x20)."""
    at = start.find(b"av1C")
    flags = start[at + 6] if 0 <= at < len(start) - 6 else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _jpeg2000_depth(start: bytes) -> int:
    """From the SIZ segment of the codestream: each component's first byte is its depth less one, with a sign bit."""
    at = start.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(start) < at + 42:
        return 8
    components = int.from_bytes(start[at + 40 : at + 42], "big")
    return max((depth & 0x7F for depth in start[at + 42 : at + 42 + 3 * components : 3]), default=7) + 1


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation (1 = upright); damaged EXIF counts as none."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _notes(image: Image.Image) -> tuple[str, ...]:
    """What the samples leave behind and that changes how they look: a colour profile that is not sRGB."""
    profile = image.info.get("icc_profile")
    if not profile or b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile:
        return ()
    return ("its colour profile (ICC) is not kept by this version",)
