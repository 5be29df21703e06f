"""Picture files of more than 8 bits: how deep a file is, and the reading of PNG and netpbm files of 16 bits.

    picture file -> [here] -> uint16 samples, exactly those of the file          (TIFF: tiff.py)
    PNG of any depth -> split_png -> checked, as pixels and metadata apart

Pillow opens 16-bit RGB, RGBA and grey-alpha files as 8-bit without a word, so the depth is read from the file itself.
PNG's filters are undone by Pillow, the bytes of each sample as two pictures (`png_rows`); netpbm files are read here.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import BinaryIO

import numpy as np
from PIL import Image

from ...errors import InputError
from .png_rows import unfiltered

__all__ = ["bit_depth", "read_png", "read_pnm", "split_png", "start_of"]

PNG_PIXELS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")
"""PNG chunks that pixels depend on besides the critical ones: transparency, and what shows an animation."""
PNG_METADATA = tuple(b"cICP iCCP sRGB gAMA cHRM mDCV mDCv cLLI cLLi pHYs eXIf iTXt zTXt tEXt".split())


def bit_depth(image: Image.Image, head: bytes, file: BinaryIO) -> int:
    """Bits a channel as the file itself says, where Pillow may have reduced them on opening. head: its first bytes."""
    if image.format == "PNG":
        return max(head[24], 8)  # signature, IHDR length and type, width, height, then the depth
    if image.format == "PPM" and head[:2] in (b"P2", b"P3", b"P5", b"P6"):
        return 8 if _pnm_header(start_of(file, 1 << 16))[2] <= 255 else 16
    if image.format == "AVIF":
        return _avif_depth(start_of(file, 1 << 16))
    if image.format == "JPEG2000":
        return _jpeg2000_depth(start_of(file, 1 << 16))
    return 8


def split_png(file: BinaryIO) -> tuple[io.BytesIO, list[tuple[bytes, bytes]]]:
    """A PNG without anything but its pixels, and its metadata: (kind, data) of each chunk, before and behind them.

    Decoders are given the former, because Pillow refuses a picture for the size of its metadata.

    Raises InputError where a checksum does not fit its chunk, or the end is missing: decoders look at few of them.
    """
    end = file.seek(0, 2)
    file.seek(0)
    pixels, metadata = io.BytesIO(), []
    pixels.write(file.read(8))
    while True:
        start = file.read(8)
        length, kind = int.from_bytes(start[:4], "big"), start[4:]
        if len(start) < 8 or length + 4 > end - file.tell():
            raise InputError("the picture is damaged or cut short: it ends within a chunk")
        data, checksum = file.read(length), file.read(4)
        if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            raise InputError(f"the picture is damaged: the checksum of its chunk {kind!r} does not fit")
        if pixels.tell() == 8 and kind != b"IHDR":
            raise InputError(f"the picture is damaged: its first chunk is {kind!r}, expected IHDR")
        if not kind[0] & 0x20 or kind in PNG_PIXELS:  # a capital first letter: critical
            pixels.write(start + data + checksum)
        elif kind in PNG_METADATA:
            metadata.append((kind, data))
        if kind == b"IEND":
            pixels.seek(0)
            return pixels, metadata


def read_png(data: bytes) -> np.ndarray:
    """The samples of a 16-bit PNG as `split_png` leaves it, of any colour type, interlaced or not; a transparent colour
    (tRNS) becomes alpha. Raises InputError where pixels are missing or damaged.
    """
    pixels, transparent, at = [], b"", 8
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        payload, at = data[at + 8 : at + 8 + length], at + 12 + length
        if kind == b"IDAT":
            pixels.append(payload)
        elif kind == b"tRNS":
            transparent = payload
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if depth != 16 or colour not in _CHANNELS or interlaced > 1:
        raise InputError(f"the picture is damaged: a PNG of colour type {colour} and {depth} bits")
    samples = _png_samples(b"".join(pixels), (height, width, _CHANNELS[colour]), bool(interlaced))
    if len(transparent) == 2 * samples.shape[2] and colour in (0, 2):
        shown = (samples != np.frombuffer(transparent, ">u2")).any(2, keepdims=True)
        samples = np.concatenate([samples, np.where(shown, 65535, 0).astype(np.uint16)], 2)
    return samples[:, :, 0] if samples.shape[2] == 1 else samples


_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Colour types of PNG -> channels."""
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of the passes of an interlaced PNG, first row and column, and the steps to the next ones."""


def _png_samples(data: bytes, shape: tuple[int, int, int], interlaced: bool) -> np.ndarray:
    """The datastream of a PNG -> uint16 [H, W, C]."""
    samples = np.empty(shape, np.uint16)
    parts = [samples[top::down, left::across] for top, left, down, across in _PASSES] if interlaced else [samples]
    parts = [part for part in parts if part.size]
    sizes = [len(part) * (1 + 2 * part.shape[1] * part.shape[2]) for part in parts]
    inflate, at = zlib.decompressobj(), 0
    try:
        raw = inflate.decompress(data, sum(sizes) + 1)
    except zlib.error as error:
        raise InputError(f"the picture is damaged: its pixels do not inflate ({error})") from None
    if len(raw) < sum(sizes):
        raise InputError(f"the picture is cut short: {len(raw)} of the {sum(sizes)} bytes of its pixels")
    for part, size in zip(parts, sizes, strict=True):
        rows = np.frombuffer(raw, np.uint8, size, at).reshape(len(part), -1)
        at += size
        if rows[:, 0].max() > 4:
            raise InputError(f"the picture is damaged: its pixels have a filter of type {rows[:, 0].max()}")
        part[...] = unfiltered(rows, part.shape)
    return samples


def read_pnm(data: bytes) -> np.ndarray:
    """The samples of a netpbm file (P2, P3, P5, P6), stretched from 0..maxval to 0..65535 with exact rounding."""
    width, height, maxval, start = _pnm_header(data)
    shape = (height, width, 3) if data[:2] in (b"P3", b"P6") else (height, width)
    count = int(np.prod(shape))
    if data[:2] in (b"P2", b"P3"):
        text = re.sub(rb"#[^\r\n]*", b"", data[start:]).decode("ascii")
        samples = np.fromstring(text, np.int64, sep=" ")[:count]  # its own count would be made up with garbage
    else:
        samples = np.frombuffer(data, ">u2", min(count, (len(data) - start) // 2), start)
    if len(samples) < count:
        raise InputError(f"the picture is cut short: {len(samples)} of {count} samples")
    if int(samples.min()) < 0 or int(samples.max()) > maxval:
        raise InputError(f"the picture is damaged: samples outside 0 to {maxval}")
    stretched = (np.arange(maxval + 1, dtype=np.uint64) * (2 * 65535) + maxval) // (2 * maxval)
    return stretched.astype(np.uint16)[samples].reshape(shape)


def start_of(file: BinaryIO, size: int) -> bytes:
    """The first bytes; the position stays."""
    position = file.tell()
    file.seek(0)
    start = file.read(size)
    file.seek(position)
    return start


def _pnm_header(start: bytes) -> tuple[int, int, int, int]:
    """(width, height, maxval, offset of the samples) of a netpbm file of grey or RGB samples."""
    space = rb"(?:#[^\r\n]*[\r\n]|\s)"
    match = re.match(rb"P[2356]" + (space + rb"+(\d{1,9})") * 3 + space, start)
    if match is None or not 1 <= int(match[3]) <= 65535:
        raise InputError("the picture is damaged: its header gives no width, height and largest sample below 65536")
    return int(match[1]), int(match[2]), int(match[3]), match.end()


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
