"""What a picture file says besides its samples: colour profile, EXIF, XMP, colour code points, and which way is up.

    picture file -> Pillow's `info`, or PNG chunks -> [here] -> Metadata, upright samples

Profiles, EXIF and XMP are carried byte for byte, with one exception: samples are stored upright, so an orientation in
EXIF or XMP is set to 1, in place, or a viewer would turn the picture a second time.

Guarantee: nothing here raises. What is damaged, larger than `MAX_BYTES`, or does not describe the samples (a CMYK
profile of a picture that became RGB) is left behind with a note.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...bitstream.metadata import Metadata

__all__ = ["metadata_of", "png_info", "upright"]

MAX_BYTES = 16 << 20
"""Largest ICC profile, EXIF structure or XMP packet that is carried."""
SRGB_GAMMA = 0.45455
"""What gAMA says in a PNG that is sRGB."""
ORIENTATION_TAG = 0x0112
TIFF_ORDER = {b"II*\0": "<", b"MM\0*": ">"}
INTEGERS = {1: "B", 3: "H", 4: "I"}
"""TIFF types in which an orientation is written -> struct codes."""
XMP_KEY, RAW_EXIF = "XML:com.adobe.xmp", "Raw profile type exif"
"""Keywords of PNG texts that hold metadata, and in Pillow's `info`."""
UNREADABLE = b"\n\n\n\xff"
"""Stands for what does not inflate. No profile, EXIF, UTF-8 or (in its fourth line) hexadecimal: so it is noted."""
XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([2-8])(?![0-9])""")


def metadata_of(
    info: Mapping[Any, Any], samples: np.ndarray, cicp: bytes = b"", orientation: int | None = None
) -> tuple[Metadata, int, list[str]]:
    """What to carry with the samples, the orientation still to be undone (1 to 8), and notes on what stays behind.

    info: as Pillow or `png_info` fills it (`icc_profile`, `exif`, `xmp`, `gamma`, `srgb`). cicp: payload of a PNG's
    cICP chunk. orientation: if the reader knows it (1: it has turned the picture already); by default EXIF says it, or
    else XMP.
    """
    notes: list[str] = []
    icc = _bytes_of(info.get("icc_profile"), "colour profile (ICC)", notes)
    exif = _bytes_of(info.get("exif") or _raw_profile(info), "EXIF", notes).removeprefix(b"Exif\0\0")
    xmp = _bytes_of(info.get("xmp") or info.get(XMP_KEY), "XMP", notes)
    if icc and (reason := _unfit_profile(icc, samples)):
        notes.append(f"its colour profile (ICC) is not kept: {reason}")
        icc = b""
    said = None
    if exif:
        try:
            exif, said = _upright_exif(exif)
        except (struct.error, ValueError):
            notes.append("its EXIF is not kept: it is damaged")
            exif = b""
    if xmp:
        try:
            xmp.decode("utf-8")
        except UnicodeDecodeError:
            notes.append("its XMP is not kept: it is not UTF-8")
            xmp = b""
        if b"HasExtendedXMP" in xmp:
            notes.append("the extended part of its XMP is not kept")
        if said is None and (match := XMP_ORIENTATION.search(xmp)):
            said = int(match[2])
        xmp = XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    primaries, transfer = (2, 2) if icc else (1, 13)
    if cicp:
        if len(cicp) == 4 and cicp[2:] == b"\0\1":
            primaries, transfer = cicp[0], cicp[1]
        else:
            notes.append(f"its colour code points (cICP {cicp[:4].hex(' ')}) are not kept: not of full-range RGB")
    elif not icc and "srgb" not in info and abs(info.get("gamma", SRGB_GAMMA) - SRGB_GAMMA) > 0.001:
        notes.append(f"its gamma (gAMA {info['gamma']:g}) is not kept: it counts as sRGB")
    if orientation is None:
        orientation = said if said is not None and 1 <= said <= 8 else 1
    return Metadata(icc=icc, exif=exif, xmp=xmp, primaries=primaries, transfer=transfer), orientation, notes


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


def _upright_exif(exif: bytes) -> tuple[bytes, int | None]:
    """EXIF whose first directory says orientation 1 where it said another, and what it said (None: nothing).

    Raises ValueError or struct.error when that directory cannot be read.
    """
    order = TIFF_ORDER.get(exif[:4])
    if order is None:
        raise ValueError("not a TIFF structure")
    patched, said = bytearray(exif), None
    (directory,) = struct.unpack_from(order + "I", exif, 4)
    (entries,) = struct.unpack_from(order + "H", exif, directory)
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count, _ = struct.unpack_from(order + "HHII", exif, at)
        if tag == ORIENTATION_TAG:
            if kind not in INTEGERS or count != 1:
                raise ValueError("an orientation that is not one integer")
            code = order + INTEGERS[kind]
            (value,) = struct.unpack_from(code, exif, at + 8)
            said = value if said is None else said
            if 2 <= value <= 8:
                struct.pack_into(code, patched, at + 8, 1)
    return bytes(patched), said
