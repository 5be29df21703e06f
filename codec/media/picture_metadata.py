"""What a picture file says besides its samples: colour profile, EXIF, XMP, colour code points, and which way is up.

    picture file -> Pillow's `info`, or PNG chunks -> [here] -> Metadata, upright samples

Profiles, EXIF and XMP are carried byte for byte, with one exception: samples are stored upright, so an orientation in
EXIF or XMP is set to 1, in place, or a viewer would turn the picture a second time. EXIF is read entry by entry, as far
as its directory goes: a flaw beside the orientation does not hide it.

Guarantee: nothing here raises. What is damaged, larger than `MAX_BYTES`, or does not describe the samples (a CMYK
profile of a picture that became RGB) is left behind with a note. So are the resolution, unless EXIF holds it too,
primaries (cHRM) and gamma that are not those of sRGB, and what is said of an HDR display. Comments go without a note.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...bitstream.metadata import Metadata

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["info_of", "metadata_of", "png_info", "upright"]

MAX_BYTES = 16 << 20
"""Largest ICC profile, EXIF structure or XMP packet that is carried."""
SRGB_GAMMA = 0.45455
"""What gAMA says in a PNG that is sRGB."""
SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""What cHRM says in a PNG that is sRGB: x and y of white, red, green, blue."""
PLAIN_DPI = (1, 72, 96)
"""Resolutions that are written where none is known, 96 in BMP and by Windows."""
METRES_PER_INCH = 0.0254
ORIENTATION_TAG, RESOLUTION_TAG = 0x0112, 0x011A
TIFF_ORDER = {b"II*\0": "<", b"MM\0*": ">"}
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""TIFF types in which an orientation is written -> struct codes."""
EXIF_PREFIX = b"Exif\0\0"
ICC_PREFIX = b"ICC_PROFILE\0"
"""Of a JPEG's segments; behind it the number of the segment, from 1, and how many there are, a byte each."""
XMP_KEY, RAW_EXIF = "XML:com.adobe.xmp", "Raw profile type exif"
"""Keywords of PNG texts that hold metadata, and in Pillow's `info`."""
UNREADABLE = b"\n\n\n\xff"
"""Stands for what does not inflate. No profile, EXIF, UTF-8 or (in its fourth line) hexadecimal: so it is noted."""
XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([2-8])(?![0-9])""")


def metadata_of(
    info: Mapping[Any, Any], samples: np.ndarray, cicp: bytes = b"", orientation: int | None = None
) -> tuple[Metadata, int, list[str]]:
    """What to carry with the samples, the orientation still to be undone (1 to 8), and notes on what stays behind.

    info: as `info_of` or `png_info` fills it (`icc_profile`, `exif`, `xmp`, `gamma`, `chromaticity`, `srgb`, `dpi`,
    `aspect`, `display`). cicp: payload of a PNG's cICP chunk. orientation: if the reader knows it (1: it has turned the
    picture already); by default EXIF says it, or else XMP.
    """
    notes: list[str] = []
    icc = _bytes_of(info.get("icc_profile"), "colour profile (ICC)", notes)
    exif = _bytes_of(info.get("exif") or _raw_profile(info), "EXIF", notes)
    while exif.startswith(EXIF_PREFIX):  # some programs put it twice
        exif = exif.removeprefix(EXIF_PREFIX)
    xmp = _bytes_of(info.get("xmp") or info.get(XMP_KEY), "XMP", notes)
    if icc and (reason := _unfit_profile(icc, samples)):
        notes.append(f"its colour profile (ICC) is not kept: {reason}")
        icc = b""
    said, holds_resolution = None, False
    if exif:
        exif, said, holds_resolution, flaw = _upright_exif(exif)
        if flaw:
            notes.append(f"its EXIF is {flaw}")
    if xmp:
        if said is None and (match := XMP_ORIENTATION.search(xmp)):
            said = int(match[2])
        try:
            xmp.decode("utf-8")
        except UnicodeDecodeError:
            notes.append("its XMP is not kept: it is not UTF-8")
            xmp = b""
        if b"HasExtendedXMP" in xmp:
            notes.append("the extended part of its XMP is not kept")
        xmp = XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    primaries, transfer = (2, 2) if icc else (1, 13)
    if cicp:
        if len(cicp) == 4 and cicp[2:] == b"\0\1":
            primaries, transfer = cicp[0], cicp[1]
        else:
            notes.append(f"its colour code points (cICP {cicp[:4].hex(' ')}) are not kept: not of full-range RGB")
    elif not icc and "srgb" not in info:
        if abs(info.get("gamma", SRGB_GAMMA) - SRGB_GAMMA) > 0.001:
            notes.append(f"its gamma (gAMA {info['gamma']:g}) is not kept: it counts as sRGB")
        found = info.get("chromaticity", SRGB_PRIMARIES)
        if max(abs(value - plain) for value, plain in zip(found, SRGB_PRIMARIES, strict=True)) > 0.002:
            notes.append("its primaries (cHRM) are not kept: they count as those of sRGB")
    if info.get("display"):
        notes.append(f"what it says of the display ({info['display']}) is not kept")
    if not holds_resolution and (resolution := _resolution(info)):
        notes.append(f"its resolution ({resolution}) is not kept")
    if orientation is None:
        orientation = said if said is not None and 1 <= said <= 8 else 1
    return Metadata(icc=icc, exif=exif, xmp=xmp, primaries=primaries, transfer=transfer), orientation, notes


def info_of(image: Image.Image) -> dict[Any, Any]:
    """The `info` of a Pillow image, its colour profile put together from a JPEG's segments where Pillow gave up."""
    info = dict(image.info)
    if "icc_profile" in info and not info["icc_profile"]:
        segments = [data for _, data in getattr(image, "applist", ()) if data.startswith(ICC_PREFIX)]
        info["icc_profile"] = _profile_of(segments)
    return info


def _profile_of(segments: Iterable[bytes]) -> bytes:
    """The profile in segments of a JPEG, one of several of a number taken; UNREADABLE if one is missing."""
    at = len(ICC_PREFIX)
    parts = {data[at]: data for data in segments if len(data) >= at + 2}
    total = max((data[at + 1] for data in parts.values()), default=0)
    if not total or any(number not in parts for number in range(1, total + 1)):
        return UNREADABLE
    return b"".join(parts[number][at + 2 :] for number in range(1, total + 1))


def _resolution(info: Mapping[Any, Any]) -> str:
    """What a file says of the size of its pixels, in words; empty for nothing, and for what stands for nothing."""
    try:
        if "dpi" in info:
            across, down = (float(value) for value in info["dpi"])
            if not (across > 0 and down > 0) or any(max(abs(across - x), abs(down - x)) < 0.5 for x in PLAIN_DPI):
                return ""
            return f"{across:.4g} dpi" if across == down else f"{across:.4g} x {down:.4g} dpi"
        across, down = info.get("aspect", info.get("jfif_density", (1, 1)))  # a PNG's pHYs and JFIF without a unit
        return f"pixels of {down}:{across}" if across != down and across > 0 and down > 0 else ""
    except (TypeError, ValueError, ZeroDivisionError):
        pass
    return ""


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Samples `[H, W]` or `[H, W, C]` with an EXIF orientation of 1 to 8 undone; in C order."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def png_info(chunks: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, Any], bytes]:
    """What `metadata_of` takes of the metadata chunks of a PNG, each (kind, data): `info`, and the payload of cICP.

    Of several chunks for one thing the first is taken, so that no more than a few are inflated. Pillow's own reading
    refuses a picture for more than a megabyte in one.
    """
    info: dict[str, Any] = {}
    cicp = b""
    for kind, data in chunks:
        key, _, rest = data.partition(b"\0")
        name = key.decode("latin-1")
        if kind == b"cICP":
            cicp = cicp or data
        elif kind == b"eXIf":
            info.setdefault("exif", data)
        elif kind == b"gAMA" and len(data) == 4:
            info["gamma"] = int.from_bytes(data, "big") / 100000
        elif kind == b"cHRM" and len(data) == 32:
            info["chromaticity"] = tuple(value / 100000 for value in struct.unpack(">8I", data))
        elif kind == b"pHYs" and len(data) == 9:
            across, down, unit = struct.unpack(">IIB", data)
            metres = (across * METRES_PER_INCH, down * METRES_PER_INCH)
            info.update({"dpi": metres} if unit == 1 else {"aspect": (across, down)})
        elif kind.lower() in (b"mdcv", b"clli"):
            info["display"] = ", ".join([*filter(None, [info.get("display")]), kind.decode()])
        elif kind == b"sRGB":
            info["srgb"] = 0
        elif kind == b"iCCP":
            if "icc_profile" not in info:
                info["icc_profile"] = _inflated(rest[1:])
        elif name in (XMP_KEY, RAW_EXIF) and name not in info:
            packed = kind == b"zTXt"
            if kind == b"iTXt":  # flag, method, language, translated keyword, text
                packed = rest[:1] == b"\1"
                rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
            elif packed:
                rest = rest[1:]  # method
            text = _inflated(rest) if packed else rest
            info[name] = text if name == XMP_KEY else text.decode("latin-1")
    return info, cicp


def _inflated(data: bytes) -> bytes:
    """As far as it goes, and not much further than what could be carried, if in hexadecimal."""
    try:
        return zlib.decompressobj().decompress(data, 3 * MAX_BYTES) or UNREADABLE
    except zlib.error:
        return UNREADABLE


def _bytes_of(value: Any, name: str, notes: list[str]) -> bytes:
    """A value of Pillow's `info` as bytes; none if it is something else or too large."""
    if not value:
        return b""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes):
        notes.append(f"its {name} is not kept: it is damaged")
        return b""
    if len(value) > MAX_BYTES:
        notes.append(f"its {name} is not kept: more than {MAX_BYTES} bytes")
        return b""
    return value


def _raw_profile(info: Mapping[Any, Any]) -> bytes:
    """EXIF as ImageMagick hid it in PNG before there was a chunk for it: in hexadecimal, three lines down."""
    text = info.get(RAW_EXIF)
    try:
        return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else b""
    except ValueError:
        return UNREADABLE


def _unfit_profile(icc: bytes, samples: np.ndarray) -> str:
    """Why a profile does not describe the samples; empty if it does."""
    if len(icc) < 132 or icc[36:40] != b"acsp" or int.from_bytes(icc[:4], "big") > len(icc):
        return "it is damaged"
    space, wanted = icc[16:20], b"GRAY" if samples.ndim == 2 or samples.shape[2] == 2 else b"RGB "
    names = [part.decode("ascii", "replace").strip() for part in (space, wanted)]
    return "" if space == wanted else f"it is for {names[0]}, the samples are {names[1]}"


def _upright_exif(exif: bytes) -> tuple[bytes, int | None, bool, str]:
    """EXIF whose first directory says orientation 1 where it said another; what it said (None: nothing); whether it
    holds a resolution; and what is wrong with it, empty for nothing.

    What is no TIFF structure, or has no directory, becomes empty. Of a directory that is cut short the entries up to
    there count. An orientation may have any type of integer and any number of values, of which the first counts.
    """
    order = TIFF_ORDER.get(exif[:4])
    if order is None or len(exif) < 8:
        return b"", None, False, "not kept: it is damaged"
    (directory,) = struct.unpack_from(order + "I", exif, 4)
    if directory + 2 > len(exif):
        return b"", None, False, "not kept: it is damaged"
    patched, said, holds_resolution, flaw = bytearray(exif), None, False, ""
    (entries,) = struct.unpack_from(order + "H", exif, directory)
    whole = min(entries, (len(exif) - directory - 2) // 12)
    if whole < entries:
        flaw = f"cut short, and kept as it is: {whole} of {entries} entries are there"
    for at in range(directory + 2, directory + 2 + 12 * whole, 12):
        tag, kind, count, offset = struct.unpack_from(order + "HHII", exif, at)
        holds_resolution |= tag == RESOLUTION_TAG
        if tag != ORIENTATION_TAG:
            continue
        code = order + INTEGERS.get(kind, "x")
        size = struct.calcsize(code)
        places = [offset, at + 8] if count * size > 4 else [at + 8]  # a count that is wrong: the value is in its place
        found = [(place, *struct.unpack_from(code, exif, place)) for place in places if 8 <= place <= len(exif) - size]
        good = [pair for pair in found if pair[-1] in range(1, 9)]
        if not good or not count:
            if not (found and found[0][-1] == 0):  # as cameras write that do not know it
                flaw = flaw or "kept as it is, its orientation not understood: it counts as upright"
            continue
        value_at, value = good[0]
        said = value if said is None else said
        struct.pack_into(code, patched, value_at, 1)
    return bytes(patched), said, holds_resolution, flaw
