"""Golden files of method 7, for `make_golden`: good ones, however small their pictures are, and bad ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

import lecodec
from lecodec.bitstream import SIGNATURE, frame
from lecodec.codec.adaptive_rows import adaptive_body
from lecodec.codec.blocks import ADAPTIVE, samples_digest
from lecodec.codec.jpeg_colour import from_jpeg
from lecodec.codec.quarter_chroma import JPEG_420, PHOTO_CD, Kind, QuarterChroma
from lecodec.eval.tasks.pictures import bundled

from .container_examples import contents_of


def file_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return SIGNATURE + b"".join(frame(kind, payload) for kind, payload in chunks)


def with_method(samples: np.ndarray) -> bytes:
    """The file of a picture whose one tile is coded by method 7."""
    payload = samples_digest(samples) + bytes([ADAPTIVE]) + adaptive_body(samples)
    chunks = contents_of(lecodec.LosslessCodec().encode(samples, tile=0))
    return file_of([(k, payload if k == b"LDAT" else content) for k, content in chunks if k != b"iNDX"])


def with_quarter_chroma(
    kind: Kind, rng: np.random.Generator, height: int, width: int, down: int, right: int
) -> np.ndarray:
    """uint8 [height, width, 3] of smooth luma and chroma, parts of it clamped, and some pixels of other colours."""
    luma = 110 + rng.integers(-9, 10, (height, width)).cumsum(0).cumsum(1) // 4
    size = 2, (height + down + 1) // 2, (width + right + 1) // 2
    chroma = rng.integers(-3, 4, size).cumsum(1).cumsum(2) // 2
    listed = np.sort(rng.choice(height * width, height * width // 100, replace=False))
    changes = rng.integers(0, 256, (len(listed), 3)).astype(np.uint8)
    made = luma.clip(0, 255).astype(np.int32), chroma.clip(-60, 60).astype(np.int32)
    return QuarterChroma(kind, *made, down, right, listed, changes).rgb()


def good_adaptive() -> dict[str, tuple[np.ndarray, bytes]]:
    """name -> samples, file. Their data is coded by method 7, however small they are."""
    rng, codec = np.random.default_rng(7), lecodec.LosslessCodec()
    photo = np.asarray(Image.open(bundled("coffee.png")).convert("RGB"))
    planes = rng.integers(-9, 10, (3, 31, 18)).cumsum(1).cumsum(2) // 3 % 256
    pictures = {
        "colour": photo[200:222, 300:330],
        "grey": photo[100:130, 300:312, 1],
        "jpeg": from_jpeg(planes.astype(np.int32)),
        "colour16": (photo[:20, :24] * 257.0 + rng.integers(0, 90, (20, 24, 3))).clip(0, 65535).astype(np.uint16),
        "numbered16": photo[60:90, :24, 0] // np.uint16(2) * np.uint16(3) + np.uint16(700),
        "peaks16": np.where(rng.random((16, 30)) < 0.04, rng.integers(0, 65536, (16, 30)), 300).astype(np.uint16),
        "photo-cd": with_quarter_chroma(PHOTO_CD, rng, 33, 20, 1, 0),
        "jpeg-420": with_quarter_chroma(JPEG_420, rng, 24, 35, 0, 1),
        "row": photo[40:41, :9],
    }
    made = {}
    for name, samples in pictures.items():
        made[f"adaptive-{name}"] = samples, with_method(samples)
        np.testing.assert_array_equal(codec.decode(made[f"adaptive-{name}"][1]), samples)
    return made


def bad_adaptive(made: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """name -> error, content. made: the good files."""

    def changed(name: str, change: Callable[[bytes], bytes]) -> bytes:
        return file_of(
            [
                (kind, content[:9] + change(content[9:]) if kind == b"LDAT" else content)
                for kind, content in contents_of(made[f"adaptive-{name}"])
            ]
        )

    changes: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
        "bit": ("colour", lambda b: b[:-90] + bytes([b[-90] ^ 4]) + b[-89:]),
        "cut": ("colour", lambda b: b[:-4]),
        "short": ("colour", lambda b: b[:-1]),
        "tail": ("colour", lambda b: b + b"\1\0\0\0"),
        "zero": ("colour", lambda b: b + bytes(4)),
        "seed": ("colour", lambda b: b[:25] + b"\2\0" + b[27:]),
        "no-seed": ("colour", lambda b: b[:25] + bytes(2) + b[27:]),
        "no-words": ("colour", lambda b: b[:27]),
        "nothing": ("colour", lambda b: b""),
        "way": ("colour", lambda b: bytes([b[0] | 128]) + b[1:]),
        "down": ("colour", lambda b: bytes([b[0] | 32]) + b[1:]),
        "photo-cd-grey": ("grey", lambda b: bytes([b[0] | 16]) + b[1:]),
        "photo-cd-16": ("colour16", lambda b: bytes([16]) + b[1:]),
        "listed-cut": ("photo-cd", lambda b: b[:9]),
        "listed": ("photo-cd", lambda b: b[:7] + b"\xff" + b[8:]),
        "listed-beyond": ("photo-cd", lambda b: b[:1] + _packed_values(b"\0\0\1" + bytes(4)) + b[5 + b[1] :]),
        "listed-twice": ("photo-cd", lambda b: b[:1] + _packed_values(bytes(14)) + b[5 + b[1] :]),
        "listed-part": ("photo-cd", lambda b: b[:1] + _packed_values(bytes(6)) + b[5 + b[1] :]),
        "listed-many": ("photo-cd", lambda b: b[:1] + _packed_values(bytes(7000)) + b[5 + b[1] :]),
        "quarter-colour": ("photo-cd", lambda b: bytes([b[0] | 2]) + b[1:]),
        "chroma-jpeg": (
            "jpeg-420",
            lambda b: b[: 5 + b[1]] + struct.pack("<6i", 0, 0, 0, 255, 0, 128) + b[29 + b[1] :],
        ),
        "chroma": ("photo-cd", lambda b: b[: 5 + b[1]] + struct.pack("<6i", 0, -157, 0, 255, 0, 0) + b[29 + b[1] :]),
        "turned": ("row", lambda b: bytes([b[0] ^ 4]) + b[1:]),
        "colour-of-grey": ("grey", lambda b: bytes([b[0] | 1]) + b[1:]),
        "jpeg16": ("colour16", lambda b: bytes([b[0] | 3]) + b[1:]),
        "low": ("colour", lambda b: b[:1] + b"\xff\xff\xff\xff" + b[5:]),
        "low-above-high": ("grey", lambda b: b[:1] + b"\xff\0\0\0\x01\0\0\0" + b[9:]),
        "ends-cut": ("grey", lambda b: b[:6]),
        "values-cut": ("numbered16", lambda b: b[:9]),
        "values": ("numbered16", lambda b: b[:12] + b"\xff" + b[13:]),
        "no-values": ("numbered16", lambda b: b[:1] + _packed_values(bytes(8192)) + b[5 + b[1] :]),
        "fewer-values": ("numbered16", lambda b: b[:1] + _packed_values(bytes([255]) + bytes(8000)) + b[5 + b[1] :]),
        "stored": ("colour", lambda b: b[1:]),
    }
    return {f"bad-adaptive-{n}": ("CorruptFile", changed(name, make)) for n, (name, make) in changes.items()}


def _packed_values(bits: bytes) -> bytes:
    packed = zlib.compress(bits)
    return struct.pack("<I", len(packed)) + packed


def _with_ends(body: bytes, *ends: int) -> bytes:
    """low and high of a body with a quarter of the chroma changed."""
    return body[: 5 + body[1]] + struct.pack("<6i", *ends) + body[29 + body[1] :]
