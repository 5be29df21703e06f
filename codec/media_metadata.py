"""What a picture file says beside its samples: colour profile, EXIF, XMP, colour code points, and which way is up.

    picture file -> Pillow's `info` -> [here] -> Metadata, upright samples

Profiles, EXIF and XMP are carried byte for byte, with one exception: samples are stored upright, so an orientation in
EXIF or XMP is set to 1, in place, or a viewer would turn the picture a second time.

Guarantee: nothing here raises. What is damaged, larger than `MAX_BYTES`, or does not describe the samples (a CMYK
profile of a picture that became RGB) is left behind with a note.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from ..bitstream.metadata import Metadata

__all__ = ["metadata_of", "png_cicp", "upright"]

MAX_BYTES = 16 << 20
"""Largest ICC profile, EXIF structure or XMP packet that is carried."""
ORIENTATION_TAG = 0x0112
TIFF_ORDER = {b"II*\0": "<", b"MM\0*": ">"}
INTEGERS = {1: "B", 3: "H", 4: "I"}
"""TIFF types in which an orientation is written -> struct codes."""
XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([2-8])(?![0-9])""")


def metadata_of(
    info: Mapping[Any, Any], samples: np.ndarray, cicp: bytes = b"", orientation: int | None = None
) -> tuple[Metadata, int, list[str]]:
    """What to carry with the samples, the orientation still to be undone (1 to 8), and notes on what stays behind.

    info: as Pillow fills it (`icc_profile`, `exif`, `xmp`). cicp: payload of a PNG's cICP chunk. orientation: if the
    reader knows it (1: it has turned the picture already); by default EXIF says it, or else XMP.
    """
    notes: list[str] = []
    icc = _bytes_of(info.get("icc_profile"), "colour profile (ICC)", notes)
    exif = _bytes_of(info.get("exif") or _raw_profile(info), "EXIF", notes).removeprefix(b"Exif\0\0")
    xmp = _bytes_of(info.get("xmp") or info.get("XML:com.adobe.xmp"), "XMP", notes)
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


def png_cicp(file: BinaryIO) -> bytes:
    """The payload of a PNG's cICP chunk, empty if there is none. The file's checksums have been looked at."""
    file.seek(8)
    while len(start := file.read(8)) == 8 and (kind := start[4:]) != b"IDAT":
        length = int.from_bytes(start[:4], "big")
        if kind == b"cICP":
            return file.read(min(length, 64))
        file.seek(length + 4, 1)
    return b""


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
        notes.append(f"its {name} is not kept: {len(value)} bytes, at most {MAX_BYTES} are carried")
        return b""
    return value


def _raw_profile(info: Mapping[Any, Any]) -> bytes:
    """EXIF as ImageMagick hid it in PNG before there was a chunk for it: in hexadecimal, three lines down."""
    text = info.get("Raw profile type exif")
    try:
        return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else b""
    except ValueError:
        return b""


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
