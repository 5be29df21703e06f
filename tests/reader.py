"""An independent reader of `.lec` files, from bitstream/FORMAT.md alone: plain Python integers and numpy int64.

    bytes -> read_file (sections 2 to 6) -> latents of each tile (sections 9 to 12) -> y_hat of the picture
    bytes -> read_file -> samples of each tile or block without loss and without a model (section 5)

It shares no code with the package and is as slow as it is short: what it is for is to show that the specification says
enough, and that the package does what it says. Anything that is wrong with a file is `Refused`, with the name that
section 7 has for it.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

SIGNATURE = bytes.fromhex("8c4c45430d0a1a0a")
METADATA = (b"iCCP", b"eXIf", b"xMPd", b"sTRM", b"tAGs", b"cOVr")
LIMIT = 2**26


class Refused(Exception):
    """name: of the error in section 7."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name = name


def demand(condition: bool, reason: str, name: str = "CorruptFile") -> None:
    if not condition:
        raise Refused(name, reason)


def blake(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


# -- container


@dataclass
class LecFile:
    """header: fields by name. boxes: (x, y, width, height) of each tile or block. data, alpha: (digest, rest) of each.
    shape, count, block: of a set. groups: of a video, (frames, ticks) each; announced: whether by themselves; packets:
    payloads of sPKT of each. exact: the numbers of exact tiles.

    metadata: type -> inflated bytes. private: unknown chunks, (type, payload). index: payload lengths, if it is there.
    samples: the digest of the picture's.
    """

    header: dict
    boxes: list[tuple[int, int, int, int]]
    data: list[tuple[bytes, bytes]] = field(default_factory=list)
    alpha: list[tuple[bytes, bytes]] = field(default_factory=list)
    metadata: dict[bytes, bytes] = field(default_factory=dict)
    private: list[tuple[bytes, bytes]] = field(default_factory=list)
    index: list[int] | None = None
    shape: tuple[int, ...] | None = None
    count: int = 0
    block: int = 0
    groups: list[tuple[int, int]] = field(default_factory=list)
    exact: set[int] = field(default_factory=set)
    streamed: bool = False
    announced: bool = False
    packets: list[list[bytes]] = field(default_factory=list)
    samples: bytes = b""


def read_chunk(data: bytes, at: int, limits: dict[bytes, int]) -> tuple[bytes, bytes, int]:
    """Section 3: type, payload, and where the next chunk begins. limits: of the payload, by type."""
    demand(at + 8 <= len(data), "no chunk", "TruncatedFile")
    length, kind = struct.unpack("<I4s", data[at : at + 8])
    demand(all(65 <= c <= 90 or 97 <= c <= 122 for c in kind), f"type {kind.hex()}")
    demand(length <= limits.get(kind, LIMIT if kind[0] & 32 else 2**31 - 1), f"length of {kind}", "LimitExceeded")
    demand(at + 12 + length <= len(data), f"{kind}", "TruncatedFile")
    payload = data[at + 8 : at + 8 + length]
    (crc,) = struct.unpack("<I", data[at + 8 + length : at + 12 + length])
    demand(zlib.crc32(kind + payload) == crc, f"CRC of {kind}")
    known = kind in (b"LHDR", b"LSET", b"LVID", b"LSND", b"LGRP", b"LDAT", b"LEXT", b"LALP", b"LEND")
    demand((known or bool(kind[0] & 32)) and not kind[2] & 32, f"{kind}", "UnsupportedFile")
    return kind, payload, at + 12 + length


def read_header(payload: bytes) -> dict:
    """Section 4, and of version 2 section 22."""
    demand(payload[:1] in (b"\0", b"\1", b"\2"), "version", "UnsupportedFile")
    if payload[:1] == b"\2":
        demand(len(payload) == 21, "length of LHDR")
        names = "version media codec parse_digest synthesis_digest quality".split()
        h = dict(zip(names, struct.unpack("<BBB8s8sH", payload), strict=True))
        demand(h["media"] in (2, 3) and h["codec"] in (0, 1), "media or codec", "UnsupportedFile")
        demand(h["quality"] <= 16128, "a range")
        if h["codec"] == 1:
            demand(h["synthesis_digest"] == bytes(8) and h["quality"] == 0, "without loss")
        return {**h, "alpha": 0}
    demand(len(payload) == 40, "length of LHDR")
    names = (
        "version media width height channels bit_depth colour_primaries transfer matrix full_range alpha codec "
        "parse_digest synthesis_digest quality tile_width tile_height"
    ).split()
    h = dict(zip(names, struct.unpack("<BBII8B8s8sHHH", payload), strict=True))
    allowed = {"media": (0, 1), "channels": (1, 3), "bit_depth": (8, 16), "matrix": (0,), "full_range": (1,)}
    for name, values in {**allowed, "alpha": (0, 1), "codec": (0, 1)}.items():
        demand(h[name] in values, name, "UnsupportedFile")
    demand(min(h["width"], h["height"]) > 0 and h["quality"] <= 16128, "a range")
    demand(max(h["width"], h["height"]) <= 2**20 and h["width"] * h["height"] <= 2**28, "size", "LimitExceeded")
    tile = [min(h[side], h[f"tile_{side}"] or h[side]) for side in ("width", "height")]
    demand(tile[0] * tile[1] <= 2**26, "size of a tile", "LimitExceeded")
    demand(h["tile_width"] % 64 == h["tile_height"] % 64 == 0, "tile size")
    demand((h["tile_width"] == 0) == (h["tile_height"] == 0), "tile size")
    if h["media"] == 1:
        demand((h["codec"], h["alpha"], h["tile_width"]) == (1, 0, 0), "a set")
    if h["codec"] == 1:
        demand(h["synthesis_digest"] == bytes(8) and h["quality"] == 0, "without loss")
    return h


def read_set(file: LecFile, payload: bytes) -> None:
    """Sections 4 and 5: LSET, and the blocks as boxes."""
    h = file.header
    dimensions = payload[0] if payload else 0
    demand(dimensions <= 8 and len(payload) == 9 + 4 * dimensions, "length of LSET")
    *shape, file.count, file.block = struct.unpack(f"<{dimensions + 2}I", payload[1:])
    file.shape = tuple(shape)
    demand(0 not in shape and 1 <= file.block <= file.count, "a range in LSET")
    if len(shape) == 3 and shape[2] == 3:
        follows = shape[1], shape[0], 3
    elif len(shape) == 3 and shape[2] < 5:
        follows = shape[1] * shape[2], shape[0], 1
    else:
        others = 1
        for dimension in shape[:-1]:
            others *= dimension
        follows = shape[-1] if shape else 1, others, 1
    demand(max(follows[:2]) <= 2**20, "size of an item", "LimitExceeded")
    demand((h["width"], h["height"], h["channels"]) == follows, "shape of an item")
    pixels = h["width"] * h["height"]
    demand(file.count * pixels <= 2**28 and file.block * pixels <= 2**26, "size of a set", "LimitExceeded")
    firsts = range(0, file.count, file.block)
    sizes = [min(file.block, file.count - first) for first in firsts]
    file.boxes = [
        (0, first * h["height"], h["width"], size * h["height"]) for first, size in zip(firsts, sizes, strict=True)
    ]


def read_video(file: LecFile, payload: bytes) -> None:
    """Section 23: LVID."""
    names = ("width height clock clock_step duration colour_primaries transfer matrix full_range subsampling").split()
    demand(len(payload) >= 25 and (len(payload) - 25) % 5 == 0, "length of LVID")
    h = dict(zip(names, struct.unpack("<5I5B", payload[:25]), strict=True))
    demand(h["full_range"] < 2 and h["subsampling"] < 5, "a range", "UnsupportedFile")
    demand(min(h["width"], h["height"], h["clock"], h["clock_step"]) > 0, "a range")
    demand(max(h["clock"], h["clock_step"], h["duration"]) < 2**31, "a range")
    demand(max(h["width"], h["height"]) <= 2**20 and h["width"] * h["height"] <= 2**28, "size", "LimitExceeded")
    file.groups = [struct.unpack("<BI", payload[at : at + 5]) for at in range(25, len(payload), 5)]
    demand(2 * h["width"] * h["height"] <= 2**27, "size of a group", "LimitExceeded")
    file.header |= h
    file.announced = not file.groups
    for group in file.groups:
        check_group(file, *group)


def check_group(file: LecFile, frames: int, ticks: int) -> None:
    """Section 23: what LVID or LGRP says of a group."""
    h = file.header
    demand(1 <= frames <= 128, "frames of a group")
    demand(h["duration"] == 0 or ticks == frames * h["duration"], "ticks of a group")
    demand(h["width"] * h["height"] * (1 + frames) <= 2**29, "size of a group", "LimitExceeded")


def read_announced(file: LecFile, data: bytes, at: int) -> int:
    """Section 23: groups that announce themselves, to the end of the last one."""
    width, height = (-(-file.header[side] // 64) * 64 for side in ("width", "height"))
    while data[at + 4 : at + 8] == b"LGRP" or not file.groups:
        kind, payload, at = read_chunk(data, at, {})
        demand(kind == b"LGRP" and len(payload) == 5, "LGRP")
        group = struct.unpack("<BI", payload)
        demand(len(file.groups) < 2**20, "groups", "LimitExceeded")
        check_group(file, *group)
        file.groups.append(group)
        packets = []
        limits = {b"sPKT": 2**24, b"LDAT": min(2**31 - 1, group[0] * (4096 + 64 * width * height))}
        while True:
            kind, payload, at = read_chunk(data, at, limits)
            if kind != b"sPKT":
                break
            packets.append(payload)
            demand(len(packets) <= 1024, "sPKT", "LimitExceeded")
        demand(kind == b"LDAT" and len(payload) >= 8, "LDAT of a group")
        file.data.append((payload[:8], payload[8:]))
        file.packets.append(packets)
    return at


def read_sound(file: LecFile, payload: bytes) -> None:
    """Section 26: LSND, and the segments as boxes of one row: (first sample, 0, samples, 1)."""
    demand(len(payload) == 13, "length of LSND")
    names = "sample_rate channels bit_depth floating segment samples".split()
    h = dict(zip(names, struct.unpack("<I3BHI", payload), strict=True))
    known = h["bit_depth"] in (8, 16, 24, 32, 64) and h["floating"] in (0, 1)
    demand(known, "a range", "UnsupportedFile")
    demand(h["sample_rate"] >= 1000 and h["segment"] > 0 and h["channels"] > 0, "a range")
    demand(h["sample_rate"] <= 192000 and h["segment"] <= 3000, "a range", "LimitExceeded")
    codec = file.header["codec"]
    demand(codec == 1 or h["channels"] < 3, "channels")
    demand(h["floating"] == 1 or h["bit_depth"] < 64, "bit_depth")
    demand(codec == 0 or h["floating"] == 0 or h["bit_depth"] >= 32, "bit_depth")
    step = (2 * h["sample_rate"] + 50) // 100 * h["segment"]
    demand(step * h["channels"] <= 2**26, "size of a segment", "LimitExceeded")
    file.boxes = [(at, 0, min(step, h["samples"] - at), 1) for at in range(0, h["samples"], step)]
    file.streamed = not file.boxes
    file.header |= h


def read_length(file: LecFile, payload: bytes) -> None:
    """Section 26: the second LSND of a sound whose first one says no length, before its last segment."""
    h, segments = file.header, len(file.data)
    again = LecFile({"codec": h["codec"]}, [])
    read_sound(again, payload)
    demand(not again.streamed and {**h, **again.header, "samples": 0} == {**h, "samples": 0}, "another LSND")
    demand(len(again.boxes) == segments + 1, "samples of LSND")
    file.header["samples"], file.boxes, file.streamed = again.header["samples"], again.boxes, False


def tile_boxes(h: dict) -> list[tuple[int, int, int, int]]:
    """Section 4, tiles."""
    step_x, step_y = h["tile_width"] or h["width"], h["tile_height"] or h["height"]
    return [
        (x, y, min(step_x, h["width"] - x), min(step_y, h["height"] - y))
        for y in range(0, h["height"], step_y)
        for x in range(0, h["width"], step_x)
    ]


def read_file(data: bytes) -> LecFile:
    """Sections 2, 5 and 6."""
    demand(not SIGNATURE.startswith(data[:8]) or len(data) >= 8, "signature", "TruncatedFile")
    demand(data[:8] == SIGNATURE, "signature", "NotLecFile")
    kind, payload, at = read_chunk(data, 8, {b"LHDR": 4096})
    demand(kind == b"LHDR", "no LHDR")
    h = read_header(payload)
    file = LecFile(h, tile_boxes(h) if h["media"] == 0 else [])
    if h["media"] == 1:
        kind, payload, at = read_chunk(data, at, {b"LSET": 41})
        demand(kind == b"LSET", "no LSET")
        read_set(file, payload)
    if h["media"] == 2:
        kind, payload, at = read_chunk(data, at, {b"LVID": 64 + 5 * 2**20})
        demand(kind == b"LVID", "no LVID")
        read_video(file, payload)
    if h["media"] == 3:
        kind, payload, at = read_chunk(data, at, {b"LSND": 4096})
        demand(kind == b"LSND", "no LSND")
        read_sound(file, payload)
    lengths: list[int] = []
    inflated = ancillary = 0
    finished = False

    while not finished:
        turn, is_alpha = divmod(len(lengths), 1 + h["alpha"])
        complete = bool(file.data) if file.announced else turn == len(file.groups or file.boxes)
        complete = complete and not file.streamed
        limits, before = {}, at
        if file.announced:
            pass
        elif not complete and file.groups:
            width, height = (-(-h[side] // 64) * 64 for side in ("width", "height"))
            limits[b"LDAT"] = min(2**31 - 1, file.groups[turn][0] * (4096 + 64 * width * height))
        elif not complete and h["media"] == 3:
            hop = (2 * h["sample_rate"] + 50) // 100
            size = hop * h["segment"] if file.streamed else file.boxes[turn][2]
            limits[b"LDAT"] = min(2**31 - 1, 4096 + 8 * h["channels"] * (size + hop))
            if h["codec"] == 1:
                raw = size * h["channels"] * h["bit_depth"] // 8
                limits[b"LDAT"] = 4096 + raw + raw // 8
        elif not complete:
            _, _, width, height = file.boxes[turn]
            row = 1 + width * h["bit_depth"] // 8
            limits[b"LDAT"] = 4096 + 64 * (-(-width // 64) * 64) * (-(-height // 64) * 64)
            raw = width * height * h["channels"] * h["bit_depth"] // 8
            limits[b"LDAT" if h["codec"] == 1 else b"LEXT"] = 4096 + raw + raw // 8
            limits[b"LALP"] = 4096 + height * row + height * row // 8
        kind, payload, at = read_chunk(data, at, limits)
        if kind == b"LSND" and file.streamed:
            read_length(file, payload)
            continue
        if kind == b"LGRP":
            demand(file.announced and not complete, "LGRP out of order")
            at = read_announced(file, data, before)
            lengths = [len(digest + rest) for digest, rest in file.data]
        elif kind in (b"LDAT", b"LEXT", b"LALP"):
            demand(not complete and not file.announced and (kind == b"LALP") == bool(is_alpha), f"{kind} out of order")
            demand(kind != b"LEXT" or h["codec"] == 0, "an exact tile in a file without loss")
            without_loss = kind == b"LEXT" or (kind == b"LDAT" and h["codec"] == 1)
            demand(len(payload) >= (9 if without_loss else 8), f"length of {kind}")
            if kind == b"LEXT":
                file.exact.add(turn)
            (file.alpha if is_alpha else file.data).append((payload[:8], payload[8:]))
            lengths.append(len(payload))
        elif kind == b"iNDX":
            demand(complete and file.index is None and not file.announced, "iNDX out of order")
            demand(len(payload) == 4 * len(lengths), "length of iNDX")
            file.index = list(struct.unpack(f"<{len(lengths)}I", payload))
            demand(file.index == lengths, "iNDX")
        elif kind == b"LEND":
            demand(complete and not payload, "LEND")
            finished = True
        else:
            demand(
                kind not in (b"LSET", b"LVID", b"LSND")
                and kind[0] & 32 > 0
                and file.index is None
                and (complete or not lengths),
                f"{kind} out of order",
            )
            ancillary += len(payload)
            demand(ancillary <= LIMIT and len(file.private) + len(file.metadata) < 1024, "ancillary", "LimitExceeded")
            if kind in METADATA:
                demand(not lengths and kind not in file.metadata, f"{kind} out of order")
                file.metadata[kind] = inflate(payload, LIMIT - inflated)
                inflated += len(file.metadata[kind])
            elif kind == b"sAMP":
                demand(not lengths and not file.samples and len(payload) == 8, "sAMP out of order")
                demand(h["media"] == 0 and h["codec"] == 0, "sAMP of no picture with loss")
                file.samples = payload
            else:
                file.private.append((kind, payload))
    demand(at == len(data), "bytes after LEND")
    return file


def inflate(payload: bytes, limit: int, what: str = "metadata", beyond: str = "LimitExceeded") -> bytes:
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(payload, limit + 1)
    except zlib.error:
        raise Refused("CorruptFile", what) from None
    demand(len(out) <= limit, what, beyond)
    demand(stream.eof and not stream.unused_data, what)
    return out


def lossless_samples(file: LecFile) -> np.ndarray:
    """Section 5, LDAT of codec 1: a picture's colour, or all items of a set. Method 2 is not read here."""
    h = file.header
    demand(h["codec"] == 1, "with loss")
    demand(h["parse_digest"] == bytes(8), "models are not read here", "UnknownModel")
    dtype = np.dtype(np.uint8 if h["bit_depth"] == 8 else "<u2")
    rows = h["height"] * (1 if file.shape is None else file.count)
    out = np.zeros((rows, h["width"], h["channels"]), dtype)
    for n, (x, y, width, height) in enumerate(file.boxes):
        out[y : y + height, x : x + width] = exact_tile(file, n)
    if file.shape is not None:
        return out.reshape(file.count, *file.shape)
    return out[:, :, 0] if h["channels"] == 1 else out


def lzma2(body: bytes, size: int) -> bytes:
    """The body of method 5; LZMA2 is left to Python's lzma, which gets the chunks as an xz file has them."""
    stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**24}])
    try:
        out = stream.decompress(body)
    except lzma.LZMAError:
        raise Refused("CorruptFile", "an LZMA2 stream") from None
    demand(stream.eof and not stream.unused_data and len(out) == size, "an LZMA2 stream")
    return out


def exact_tile(file: LecFile, number: int) -> np.ndarray:
    """Section 5, LEXT and LDAT of codec 1: [height, width, channels] of a tile or block."""
    h, (_, _, width, height), (digest, payload) = file.header, file.boxes[number], file.data[number]
    dtype = np.dtype(np.uint8 if h["bit_depth"] == 8 else "<u2")
    body = plain_block(h, payload, width, height, dtype)
    demand(blake(body) == digest, "digest of samples")
    return np.frombuffer(body, dtype).reshape(height, width, -1)


def plain_block(h: dict, payload: bytes, width: int, height: int, dtype: np.dtype) -> bytes:
    """The samples of a block that needs no model."""
    method, body, length = payload[0], payload[1:], width * h["channels"] * dtype.itemsize
    demand(method in (0, 1, 2, 4, 5, 6, 7), "method", "UnsupportedFile")
    demand(method != 6, "FLAC of something else than a sound")
    if method == 0:
        demand(len(body) == height * length, "stored samples")
    elif method == 1:
        filtered = inflate(body, height * (1 + length), "rows", "CorruptFile")
        big = unfiltered(filtered, height, length, dtype.itemsize * h["channels"])
        body = np.frombuffer(big, dtype.newbyteorder(">")).astype(dtype).tobytes()
    elif method == 4:
        demand(h["bit_depth"] == 8, "WebP of 16 bits")
        pixels = webp_pixels(body, width, height)
        demand(h["channels"] == 3 or bool((pixels == pixels[:, :, :1]).all()), "a WebP stream in colour")
        body = pixels[:, :, : h["channels"]].tobytes()
    elif method == 5:
        body = lzma2(body, height * length)
    elif method == 7:
        from .adaptive_reader import adaptive_samples

        body = adaptive_samples(body, height, width, h["channels"], h["bit_depth"]).astype(dtype).tobytes()
    else:
        raise Refused("CorruptFile", "a model that the header does not name")
    return body


def webp_pixels(body: bytes, width: int, height: int) -> np.ndarray:
    """The body of method 4 as [height, width, 3]; RFC 9649 is left to Pillow, which gets a file around it."""
    demand(len(body) >= 5 and body[0] == 0x2F, "signature of WebP")
    demand(int.from_bytes(body[1:5], "little") == width - 1 | height - 1 << 14, "size of a WebP stream")
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    try:
        return np.asarray(Image.open(BytesIO(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)))
    except Exception:
        raise Refused("CorruptFile", "a WebP stream") from None


def unfiltered(data: bytes, height: int, length: int, step: int) -> bytes:
    """PNG's filter method 0: rows of `length` bytes, each behind its filter type; step: bytes of a pixel."""
    demand(len(data) == height * (1 + length), "number of rows")
    out, above = bytearray(), bytes(length)
    for at in range(0, len(data), 1 + length):
        kind, row = data[at], bytearray(data[at + 1 : at + 1 + length])
        demand(kind <= 4, "filter of a row")
        for n in range(length):
            a, b, c = row[n - step] if n >= step else 0, above[n], above[n - step] if n >= step else 0
            paeth = min((a, b, c), key=lambda v: abs(a + b - c - v))  # the first of equals: left, above, above left
            row[n] = (row[n] + (0, a, b, (a + b) // 2, paeth)[kind]) % 256
        out, above = out + row, bytes(row)
    return bytes(out)


def indexed_chunk(data: bytes, number: int) -> tuple[bytes, bytes]:
    """Section 5, iNDX: type and payload of a data chunk, found through the index without reading the others."""
    h = read_header(read_chunk(data, 8, {})[1])
    count = len(read_file(data).boxes) * (1 + h["alpha"])
    kind, payload, end = read_chunk(data, len(data) - 24 - 4 * count, {})
    assert kind == b"iNDX" and len(payload) == 4 * count and data[end : end + 8] == b"\0\0\0\0LEND"
    at = 60 if h["media"] == 0 else read_chunk(data, 60, {})[2]
    while data[at + 4] & 32:
        at = read_chunk(data, at, {})[2]
    lengths = struct.unpack(f"<{count}I", payload)
    kind, payload, _ = read_chunk(data, at + 12 * number + sum(lengths[:number]), {})
    return kind, payload


def alpha_plane(file: LecFile) -> np.ndarray | None:
    """Section 5, LALP: the whole picture's alpha, [height, width]."""
    if not file.alpha:
        return None
    dtype = np.dtype(np.uint8 if file.header["bit_depth"] == 8 else "<u2")
    out = np.zeros((file.header["height"], file.header["width"]), dtype)
    for (x, y, width, height), (digest, rows) in zip(file.boxes, file.alpha, strict=True):
        tile = np.full((height, width), 2 ** file.header["bit_depth"] - 1, dtype)
        if rows:
            length = width * dtype.itemsize
            data = inflate(rows, height * (1 + length), "alpha", "CorruptFile")
            raw = unfiltered(data, height, length, dtype.itemsize)
            tile = np.frombuffer(raw, dtype.newbyteorder(">")).reshape(height, width).astype(dtype)
        demand(blake(tile.tobytes()) == digest, "digest of alpha")
        out[y : y + height, x : x + width] = tile
    return out


# -- arithmetic coder and tables


class RangeDecoder:
    """Section 11."""

    def __init__(self, data: bytes):
        demand(len(data) % 4 == 0, "coder bytes")
        self.words = list(struct.unpack(f"<{len(data) // 4}I", data))[::-1]
        self.lower, self.range = 0, 2**64 - 1
        self.point = (self._word() << 32) | self._word()

    def _word(self) -> int:
        return self.words.pop() if self.words else 0

    def _quantile(self) -> int:
        quantile = ((self.point - self.lower) % 2**64) // (self.range >> 24)
        demand(quantile < 2**24, "coder bytes")
        return quantile

    def _take(self, before: int, count: int) -> None:
        scale = self.range >> 24
        self.lower = (self.lower + scale * before) % 2**64
        self.range = scale * count
        if self.range < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.range <<= 32
            self.point = ((self.point << 32) | self._word()) % 2**64

    def symbol(self, counts: list[int]) -> int:
        quantile, k, before = self._quantile(), 0, 0
        while quantile >= before + counts[k]:
            before += counts[k]
            k += 1
        self._take(before, counts[k])
        return k

    def uniform(self, bits: int) -> int:
        share = 2 ** (24 - bits)
        value = self._quantile() // share
        self._take(value * share, share)
        return value


LENGTHS = [2 ** (24 - min(n + 1, 15)) for n in range(16)]


def read_group(coder: RangeDecoder, tables: list[tuple[int, list[int]]], numbers: np.ndarray) -> np.ndarray:
    """Section 10."""
    out = np.zeros(len(numbers), np.int64)
    for number in sorted(set(numbers.tolist())):
        where = np.flatnonzero(numbers == number)
        low, counts = tables[number]
        symbols = [coder.symbol(counts) for _ in where]
        escaped = [p for p, k in zip(where, symbols, strict=True) if k == len(counts) - 1]
        out[where] = [low + k for k in symbols]
        lengths = [coder.symbol(LENGTHS) for _ in escaped]
        for length in sorted(set(lengths)):
            for place, own in zip(escaped, lengths, strict=True):
                if own == length:
                    value = coder.uniform(length + 1)
                    distance = (value >> 1) + 2**length
                    out[place] = low - distance if value & 1 else low + len(counts) - 2 + distance
    return out


# -- model and latents


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    """A safetensors file read by hand."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    found = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            kind = {"I16": "<i2", "I32": "<i4", "F16": "<f2", "F32": "<f4"}.get(entry["dtype"], "u1")
            found[name] = np.frombuffer(data[8 + size + begin : 8 + size + end], kind)
            found[name] = found[name].reshape(entry["shape"]) if kind != "u1" else found[name]
    return found


def with_changes(base: dict[str, np.ndarray], changes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Section 30, for the integers: the tensors of a model with those of a file of changes."""
    out = dict(base)
    for name, old in base.items():
        if not name.startswith("parse."):
            continue
        if f"set.{name}" in changes:
            out[name] = changes[f"set.{name}"]
        elif f"add.{name}" in changes or f"low.{name}.u" in changes:
            new = [float(x) for x in old.ravel().tolist()]
            if f"low.{name}.u" in changes:
                u, v = changes[f"low.{name}.u"].tolist(), changes[f"low.{name}.v"].tolist()
                width = len(v[0])
                for u_r, v_r in zip(u, v, strict=True):
                    new = [x + u_r[n // width] * v_r[n % width] for n, x in enumerate(new)]
            elif f"add.{name}" in changes:
                new = [x + y for x, y in zip(new, changes[f"add.{name}"].ravel().tolist(), strict=True)]
            top = 2 ** (8 * old.dtype.itemsize - 1) - 1
            whole = [min(max(math.floor(x + 0.5), -top - 1), top) for x in new]
            out[name] = np.array(whole, old.dtype).reshape(old.shape)
    return out


class Model:
    """Section 13: the integers of a model file. changes: a file of changes to it."""

    def __init__(self, path: Path, changes: Path | None = None):
        found = tensors_of(path)
        if changes is not None:
            found = with_changes(found, tensors_of(changes))
        self.tensors = {name[6:]: array for name, array in found.items() if name.startswith("parse.")}

    def tables(self, name: str) -> list[tuple[int, list[int]]]:
        t = self.tensors
        ends = np.cumsum(t[f"{name}.length"])
        starts = ends - t[f"{name}.length"]
        lows = t[f"{name}.low"].tolist()
        return [(low, t[f"{name}.counts"][a:b].tolist()) for low, a, b in zip(lows, starts, ends, strict=True)]

    @property
    def reach(self) -> int:
        """R of section 12."""
        return int(self.tensors.get("reach", np.array([15]))[0])

    @property
    def last_table(self) -> int:
        """T - 1 of section 9."""
        return len(self.tensors["y.length"]) - 1

    def parse_digest(self) -> bytes:
        constants = (
            '{"activation": [8, 8191], "banks": 8, "gain": [10, 16383], "kernels": [3, 1, 3, 1, 1], '
            f'"mean": [6, {-(2**self.reach)}, {2**self.reach - 1}], "model": "mean-scale hyperprior 0", '
            '"weight": 12, "z": [-255, 255]}'
        )
        text = constants.encode()
        for name, tensor in sorted(self.tensors.items()):
            text += f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode() + tensor.tobytes()
        return blake(text)


def shuffle(a: np.ndarray) -> np.ndarray:
    c, h, w = a.shape
    return a.reshape(c // 4, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(c // 4, 2 * h, 2 * w)


def layer(a: np.ndarray, weight, bias, kernel, low, high, shift, gain, offset, out_low, out_high) -> np.ndarray:
    """Section 12, one layer."""
    r = kernel // 2
    a = np.pad(np.clip(a, low, high), ((0, 0), (r, r), (r, r)), mode="edge")
    h, w = a.shape[1] - 2 * r, a.shape[2] - 2 * r
    taps = weight.astype(np.int64).reshape(len(weight), -1, kernel, kernel)
    sums = np.tile(bias.astype(np.int64)[:, None, None], (1, h, w))
    for di in range(kernel):
        for dj in range(kernel):
            sums += np.einsum("oc,cij->oij", taps[:, :, di, dj], a[:, di : di + h, dj : dj + w])
    out = ((sums * gain[:, None, None] + 2 ** (shift - 1)) >> shift) + offset[:, None, None]
    return np.clip(out, out_low, out_high)


def hyper_decode(model: Model, z: np.ndarray, q: int) -> np.ndarray:
    """Section 12: the 2 M planes that follow from z."""
    t = model.tensors
    r = min(q // 256, 62)
    e = q - 256 * r

    def row(name: str) -> np.ndarray:
        v = t[name].astype(np.int64)
        return (v[r] * (256 - e) + v[r + 1] * e + 128) // 256

    a = z
    for n in range(5):
        weight = t[f"h_s.{n}.weight"]
        gain = row(f"gain.{n // 2}") if n % 2 == 0 else np.full(len(weight), 1024)
        offset = row("offset") if n == 4 else np.zeros(len(weight), np.int64)
        span = (-255, 255) if n == 0 else (0, 8191)
        out_span = (-(2**model.reach), 2**model.reach - 1) if n == 4 else (0, 8191)
        shift = (14, 22, 22, 22, 24)[n]
        a = layer(a, weight, t[f"h_s.{n}.bias"], (3, 1, 3, 1, 1)[n], *span, shift, gain, offset, *out_span)
        if n in (1, 3):
            a = shuffle(a)
    return a


def tile_latents(model: Model, file: LecFile, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """Section 9: z and y_hat of a tile, their digest compared."""
    t, q = model.tensors, file.header["quality"]
    _, _, width, height = file.boxes[tile]
    h, w = -(-height // 16), -(-width // 16)
    count_z, m = t["h_s.0.weight"].shape[1] // 9, t["h_s.4.weight"].shape[0] // 2
    shape_z = (count_z, -(-h // 4), -(-w // 4))
    digest, coded = file.data[tile]
    coder = RangeDecoder(coded)

    bank = (q // 256) * 8 // 64
    numbers = np.repeat(bank * count_z + np.arange(count_z), shape_z[1] * shape_z[2])
    z = read_group(coder, model.tables("z"), numbers).reshape(shape_z)
    a = hyper_decode(model, z, q)
    mu, v = a[:m, :h, :w], a[m:, :h, :w]
    number = np.clip((v + 32) >> 6, 0, model.last_table).reshape(-1)
    y_hat = mu.reshape(-1).copy()
    found = np.flatnonzero(number)
    y_hat[found] += 64 * read_group(coder, model.tables("y"), number[found])
    y_hat = y_hat.reshape(mu.shape)
    demand(blake(z.astype("<i4").tobytes() + y_hat.astype("<i4").tobytes()) == digest, "digest of latents")
    demand(not coder.words, "data left over")
    return z, y_hat


def picture_latents(model: Model, file: LecFile) -> np.ndarray:
    """Section 9: y_hat of the picture, [M, ceil(height / 16), ceil(width / 16)], from those of its tiles."""
    demand(file.header["codec"] == 0, "without loss", "UnknownModel")
    demand(file.header["parse_digest"] == model.parse_digest(), "model", "UnknownModel")
    m = model.tensors["h_s.4.weight"].shape[0] // 2
    out = np.zeros((m, -(-file.header["height"] // 16), -(-file.header["width"] // 16)), np.int64)
    for tile, (x, y, _, _) in enumerate(file.boxes):
        if tile not in file.exact:
            y_hat = tile_latents(model, file, tile)[1]
            out[:, y // 16 : y // 16 + y_hat.shape[1], x // 16 : x // 16 + y_hat.shape[2]] = y_hat
    for tile in file.exact:
        fill(out, file, tile)
    return out


def fill(y_hat: np.ndarray, file: LecFile, tile: int) -> None:
    """Section 5, LEXT: what stands in the place of the latents of an exact tile, position by position."""
    spans = [(y // 16, -(-(y + h) // 16), x // 16, -(-(x + w) // 16)) for x, y, w, h in file.boxes]
    columns = len({x for x, _, _, _ in file.boxes})
    around = [(0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]
    row, column = divmod(tile, columns)
    places = [(row + a, column + b) for a, b in around if 0 <= column + b < columns and row + a >= 0]
    others = [spans[n] for r, c in places if (n := r * columns + c) < len(spans) and n not in file.exact]
    top, bottom, left, right = spans[tile]
    for i in range(top, bottom):
        for j in range(left, right):
            found = [(min(max(i, o[0]), o[1] - 1), min(max(j, o[2]), o[3] - 1)) for o in others]
            if found:  # min: the first of equals
                y_hat[:, i, j] = y_hat[:, *min(found, key=lambda at: abs(at[0] - i) + abs(at[1] - j))]


def finish(x_hat: np.ndarray, file: LecFile) -> np.ndarray:
    """Section 9, steps 5 and 6: the synthesis's [3, H', W'], nominally 0 to 1, as samples, alpha last if there is."""
    h = file.header
    x = x_hat[:, : h["height"], : h["width"]].astype(np.float64)
    x = x.mean(0, keepdims=True) if h["channels"] == 1 else x
    peak = 2 ** h["bit_depth"] - 1
    planes = [np.rint(np.clip(p, 0, 1) * peak).astype(np.uint8 if peak == 255 else np.uint16) for p in x]
    return joined(planes, file)


def exact_picture(samples: np.ndarray, file: LecFile) -> np.ndarray:
    """Section 34: what the integer synthesis gives, [H', W', C], as samples; their digest compared."""
    h = file.header
    kept = samples[: h["height"], : h["width"]].astype(np.uint8 if h["bit_depth"] == 8 else np.uint16)
    planes = list(np.moveaxis(kept, 2, 0))
    picture = joined(planes, file)
    colour = np.stack(planes, -1)
    demand(blake(colour.astype(colour.dtype.newbyteorder("<")).tobytes()) == file.samples, "digest of samples")
    return picture


def joined(planes: list[np.ndarray], file: LecFile) -> np.ndarray:
    """With exact tiles put in, and alpha."""
    for tile in file.exact:
        left, top, width, height = file.boxes[tile]
        for channel, plane in enumerate(planes):
            plane[top : top + height, left : left + width] = exact_tile(file, tile)[:, :, channel]
    alpha = alpha_plane(file)
    planes += [] if alpha is None else [alpha]
    return planes[0] if len(planes) == 1 else np.stack(planes, -1)
