"""Picture files to samples: the first step of the way through (the last one is media_write.py).

    picture file -> [here] -> samples and metadata -> codec -> .lec -> codec -> samples and metadata -> picture file

Samples are `uint8` or `uint16` (full range), upright, in C order: `[H, W]` grey, `[H, W, 2]` grey and alpha,
`[H, W, 3]` RGB, `[H, W, 4]` RGB and alpha; alpha is straight, not premultiplied. Reading goes through Pillow, and
where that has no 16-bit mode through deep.py and tiff.py, with one rule added: *what cannot be carried is refused or
noted, never changed without a word*.

- Converted, because the appearance stays the same: palettes, 1-bit and YCbCr pictures (to RGB or grey), a transparent
  colour or palette entry (to an alpha channel), premultiplied alpha (to straight). CMYK becomes sRGB by its colour
  profile, or by Pillow's plain formula if it has none; that is noted. An alpha channel is kept even where it is opaque.
- 16 bits stay 16 bits: PNG and netpbm of every kind, TIFF unless planar. A netpbm file whose largest
  sample is neither 255 nor 65535 is stretched to the full range.
- Refused with `InputError`: other depths, floating point, Lab; animations and files with several pages (of an MPO,
  which is a JPEG with a preview behind it as phones write it, the main picture is taken); several pictures one behind
  the other in a stream (picture_end.py).
- ICC, EXIF, XMP and colour code points are carried as media_metadata.py says; EXIF of TIFF files is not, and noted.

Guarantee: whatever the file holds, reading ends in a `Signal` or in a `CodecError` of one sentence.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from ...bitstream import SIGNATURE, check_picture_size
from ...errors import CodecError, InputError, LimitExceeded
from . import deep, tiff
from .picture_end import behind_picture
from .picture_metadata import info_of, metadata_of, png_info, upright
from .signal import Signal, picture_signal

__all__ = [
    "READABLE",
    "identified",
    "load_picture",
    "one_sentence",
    "peek_picture",
    "picture_in",
    "read_picture",
    "samples_of",
    "several",
]

READABLE = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""Formats whose bit depth is known or checked in deep.py; Pillow's others are left out."""
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PREFIX = 16  # bytes that say what a file is
MAX_STREAM_BYTES = 1 << 31  # a pipe has no size to look at: this bounds what is read from one


def read_picture(source: str | os.PathLike[str] | BinaryIO) -> np.ndarray:
    """The samples of a picture file alone; see `load_picture`."""
    return load_picture(source).samples


def load_picture(source: str | os.PathLike[str] | BinaryIO) -> Signal:
    """Read a picture from a path or from a binary stream (read to its end; it need not be seekable).

    Raises:
        InputError: no readable picture, or one that cannot be carried (see the module's text).
        LimitExceeded: more pixels than a `.lec` file may hold, or than Pillow reads of a WebP or GIF file.
    """
    with _opened(source) as file, one_sentence():
        return picture_in(file)


def peek_picture(path: str | BinaryIO) -> tuple[Hashable, int] | None:
    """What pictures must have in common to be coded together, size and mode, and how many pixels there are; None for
    what cannot be opened. Pixels are not read.
    """
    try:
        with Image.open(path, formats=READABLE) as image:
            return (image.size, image.mode), image.width * image.height
    except Exception:  # nearly every class, on damaged files; reading it will say what it is
        return None


def samples_of(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    """The samples of a Pillow image as it is in memory, not turned, and notes on their conversion.

    Modes with alpha, or with a transparent colour, give `[H, W, 2]` or `[H, W, 4]`, 16-bit grey (I;16 and its kin)
    `uint16`.

    Raises:
        InputError: 32-bit or floating-point samples, or a colour space without a conversion.
    """
    if image.width < 1 or image.height < 1:
        raise InputError(f"is empty: {image.width} x {image.height} pixels")
    if image.mode.startswith("I;16"):
        samples = np.array(image, dtype=np.uint16)
        if (value := image.info.get("transparency")) is not None:
            samples = np.dstack([samples, np.where(samples == value, 0, 65535).astype(np.uint16)])
        return samples, []
    if image.mode in ("I", "F"):
        raise InputError("has 32-bit or floating-point samples, expected 8 or 16 bits: convert it to mode I;16 or L")
    if image.mode == "CMYK":
        return _from_cmyk(image)
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "HSV"):
        raise InputError(f"is in the colour mode {image.mode}, which has no conversion to RGB")
    if image.has_transparency_data:
        wanted = "LA" if image.mode in ("1", "L", "LA", "La") else "RGBA"
    else:
        wanted = "L" if image.mode in ("1", "L") else "RGB"
    return np.array(image if image.mode == wanted else image.convert(wanted), dtype=np.uint8), []


def _from_cmyk(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    """CMYK as sRGB: by the profile that says what its inks look like, if there is a good one."""
    profile = info_of(image).get("icc_profile")
    if profile:
        try:
            srgb = ImageCms.createProfile("sRGB")
            source = ImageCms.getOpenProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
            assert converted is not None  # only with inPlace
            return np.array(converted), ["it was converted from CMYK to sRGB by its colour profile"]
        except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError):
            pass
    return np.array(image.convert("RGB")), ["it was converted from CMYK to RGB by the plain formula, without a profile"]


Loaded = tuple[np.ndarray, dict[str, Any], list[str]]
"""Samples, arguments of `metadata_of`, notes."""


def identified(file: BinaryIO) -> ImageFile.ImageFile:
    """`Image.open` of the formats of READABLE without Pillow's limit on pixels: the caller looks at the size.

    That limit is a global variable, which belongs to the program that uses this package, and lower than that of a
    `.lec` file. Plug-ins take no memory for pixels on opening, save those of WebP and GIF, which keep to it themselves.
    """
    file.seek(0)
    prefix = file.read(PREFIX)
    for name in READABLE:
        if not _accepts(name, prefix):
            continue
        factory = Image.OPEN[name][0]
        try:
            file.seek(0)
            return factory(file, "")  # type: ignore[arg-type, return-value]
        except (SyntaxError, IndexError, TypeError, struct.error):  # as plug-ins say that it is not theirs
            continue
    raise UnidentifiedImageError


def _accepts(name: str, prefix: bytes) -> bool:
    """Whether a file that begins so may be of a format of READABLE."""
    Image.preinit()
    if name not in Image.OPEN:
        Image.init()
    accept = Image.OPEN[name][1]
    accepted = accept is None or accept(prefix)
    return bool(accepted) and not isinstance(accepted, str)  # a text says why it cannot be read


def several(frames: int) -> str:
    return f"holds {frames} pictures (an animation or several pages); one is carried"


def picture_in(file: BinaryIO) -> Signal:
    """The picture in a file, from its beginning."""
    file.seek(0)
    head = file.read(64)
    if not head:
        raise InputError("the file is empty")
    if head.startswith(SIGNATURE):
        raise InputError("is a .lec file already: lecodec decode makes a picture of it")
    file_bytes = file.seek(0, os.SEEK_END)
    if head[:4] in TIFF_SIGNATURES:
        samples, found, notes = _load_tiff(file)
    elif head.startswith(b"\x89PNG"):
        samples, found, notes = _load_png(file)
    else:
        samples, found, notes = _load(file, head)
    metadata, orientation, more = metadata_of(samples=samples, **found)
    return picture_signal(upright(samples, orientation), metadata, file_bytes=file_bytes, notes=(*notes, *more))


def _load(file: BinaryIO, head: bytes) -> Loaded:
    """Any format of READABLE, by Pillow or, if it is deeper than Pillow goes, by deep.py."""
    with identified(file) as image:
        check_picture_size(image.width, image.height)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            raise InputError(several(frames))
        depth = deep.bit_depth(image, head, file)
        if depth > 8 and image.format not in ("PNG", "PPM"):
            raise InputError(f"has {depth} bits a channel: of {image.format} 8 are read; convert it to a 16-bit PNG")
        behind = behind_picture(file, image.format or "")  # before pixels: not every decoder bears a second picture
        size = image.height, image.width
        if depth > 8 and image.format == "PPM":
            file.seek(0)
            samples, notes = deep.read_pnm(file.read()), []
        else:
            if image.format == "TIFF":
                tiff.give_memory(image)
            image.load()  # also where FFmpeg reads, which takes pixels that are cut short
            if depth > 8 and image.mode != "I;16":
                file.seek(0)
                samples, notes = deep.read_png(file.read()), []
            else:
                shallow = head.startswith(b"\x89PNG") and head[24:26] in (b"\1\0", b"\2\0", b"\4\0")
                if shallow and "transparency" in image.info:
                    # Pillow stretches grey to 8 bits, but not the grey that is transparent (that of 1 bit since 13).
                    value, most = image.info["transparency"], 2 ** head[24] - 1
                    image.info["transparency"] = 255 * bool(value) if most == 1 else value * (255 // most)
                samples, notes = samples_of(image)
        if image.format != "TIFF" and samples.shape[:2] != size:
            raise InputError(f"the picture is damaged: {samples.shape[:2]} samples of {size}")
        notes += behind
        return samples, {"info": info_of(image), "orientation": 1 if image.format == "TIFF" else None}, notes


def _load_png(file: BinaryIO) -> Loaded:
    pixels, chunks = deep.split_png(file)
    info, cicp = png_info(chunks)
    notes = behind_picture(file, "PNG")
    samples, _, more = _load(pixels, pixels.getbuffer()[:64].tobytes())
    notes += more
    return samples, {"info": info, "cicp": cicp}, notes


def _load_tiff(file: BinaryIO) -> Loaded:
    tags = tiff.tiff_tags(file)
    bits = tags.get(tiff.BITS, (1,))
    notes = ["its EXIF is not kept: TIFF keeps it among its own tags"] if 34665 in tags or 34853 in tags else []
    if 0 in tags.get(tiff.EXTRA, ()):
        notes.append("a channel that is neither colour nor alpha is not kept")
    if max(bits) <= 8 and set(tags.get(tiff.FORMAT, (1,))) == {1}:
        samples, found, more = _load(file, b"")  # Pillow turns a TIFF itself
        return samples, found, notes + more
    check_picture_size(int(tags[tiff.WIDTH]), int(tags[tiff.HEIGHT]))
    if getattr(tags, "next", 0):
        raise InputError("holds several pages; one is carried")
    behind_picture(file, "TIFF")
    info = {"icc_profile": tags.get(tiff.ICC), "xmp": tags.get(tiff.XMP)}
    return tiff.read_tiff(file, tags), {"info": info, "orientation": int(tags.get(tiff.ORIENTATION, 1))}, notes


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
    """The rest of a pipe, in memory, if it begins as a picture: what does not may have no end."""
    head = b""
    while len(head) < PREFIX and (piece := stream.read(PREFIX - len(head))):
        head += piece
    if head and not any(_accepts(name, head) for name in READABLE):
        raise InputError(f"not a picture of a kind that can be read ({', '.join(READABLE)})")
    data = io.BytesIO()
    data.write(head)
    while data.tell() <= MAX_STREAM_BYTES and (piece := stream.read(MAX_STREAM_BYTES + 1 - data.tell())):
        data.write(piece)  # a pipe may give less than it is asked for
    if data.tell() > MAX_STREAM_BYTES:
        raise InputError(f"the stream is longer than {MAX_STREAM_BYTES} bytes")
    data.seek(0)
    return data


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn whatever Pillow raises into an `InputError`: its decoders raise nearly every class on damaged files."""
    try:
        yield
    except CodecError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"not a picture of a kind that can be read ({', '.join(READABLE)})") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise LimitExceeded(f"claims more than {limit} pixels, the limit of Pillow for files of this format") from None
    except MemoryError:
        raise InputError("does not fit into memory") from None
    except Exception as error:
        detail = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the picture is damaged or cut short: {detail}") from None
