"""Writes the files of tests/golden/: once, when the format or the tiny model is new.

python -m tests.make_golden
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

import lecodec
from lecodec.bitstream import SIGNATURE, frame, parse
from lecodec.codec.media import write_picture

FOLDER = Path(__file__).parent / "golden"


def pictures() -> dict[str, tuple[np.ndarray, float]]:
    """name -> samples, quality."""
    y, x = np.mgrid[:70, :90]
    colour = np.stack([128 + 100 * np.sin(x / 7), 2 * y + x / 3, 255 * (x > y)], -1).clip(0, 255).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    return {
        "colour": (colour, 62.5),
        "grey": (colour[:50, :, 0].copy(), 30),
        "noise": (noise, 100),
        "pixel": (np.array([[[200, 30, 90]]], np.uint8), 1),
    }


def main() -> None:
    codec = lecodec.load(model=FOLDER / "tiny.safetensors")
    expected: dict[str, dict] = {"good": {}, "bad": {}}
    for name, (samples, quality) in pictures().items():
        data = codec.encode(samples, quality)
        latents = codec.latents(data)
        (FOLDER / f"{name}.lec").write_bytes(data)
        write_picture(codec.decode(data), FOLDER / f"{name}.png", overwrite=True)
        digest = hashlib.sha256(latents.z.astype("<i4").tobytes() + latents.y_hat.astype("<i4").tobytes())
        expected["good"][f"{name}.lec"] = {"latents": digest.hexdigest(), "picture": f"{name}.png"}

    data = (FOLDER / "colour.lec").read_bytes()
    chunk = parse(data).data[0]
    head, header, end = data[:60], data[16:56], frame(b"LEND", b"")
    payload = bytearray(chunk.payload)
    payload[len(payload) // 2] ^= 16
    huge = header[:2] + (2**20).to_bytes(4, "little") * 2 + header[10:]
    bad = {
        "bit-flip": ("CorruptFile", data[:100] + bytes([data[100] ^ 1]) + data[101:]),
        "payload-restamped": ("CorruptFile", head + frame(b"LDAT", chunk.digest + bytes(payload)) + end),
        "truncated": ("TruncatedFile", data[:-20]),
        "trailing": ("CorruptFile", data + b"\0"),
        "not-lec": ("NotLecFile", b"\x89PNG\r\n\x1a\n" + data[8:]),
        "huge": ("LimitExceeded", SIGNATURE + frame(b"LHDR", huge) + data[60:]),
        "version-9": ("UnsupportedFile", SIGNATURE + frame(b"LHDR", b"\x09" + header[1:]) + data[60:]),
        "critical-chunk": ("UnsupportedFile", head + frame(b"ABCD", b"") + data[60:]),
        "other-model": ("UnknownModel", SIGNATURE + frame(b"LHDR", header[:18] + bytes(8) + header[26:]) + data[60:]),
    }
    for name, (error, content) in bad.items():
        (FOLDER / f"bad-{name}.lec").write_bytes(content)
        expected["bad"][f"bad-{name}.lec"] = error
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
