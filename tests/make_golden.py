"""Writes the files of tests/golden/ that are not there yet; those that are stay as they are, for ever.

    python -m tests.make_golden

To add a file, add it to `good` or `bad`, and a line to golden/README.md. (The first files, such as colour.lec, are of
version 0 and cannot be made any more.)
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

import lecodec
from lecodec.bitstream import SIGNATURE, Metadata, frame, walk

FOLDER = Path(__file__).parent / "golden"

Chunks = list[tuple[bytes, bytes]]


def pattern(height: int, width: int, channels: int, dtype: type = np.uint8) -> np.ndarray:
    """Waves, edges, a ramp, and (in the last of 2 or 4 channels) a disc that is transparent outside."""
    y, x = np.mgrid[:height, :width]
    planes = [0.5 + 0.4 * np.sin(x / 7), (2 * y + x / 3) / (2 * height + width / 3), 1.0 * (x > y), x / width]
    disc = np.clip(1.5 - np.hypot(x - 20, y - 18) / 16, 0, 1)
    planes = planes[:channels] if channels % 2 else [*planes[: channels - 1], disc]
    return (np.stack(planes, -1) * np.iinfo(dtype).max).astype(dtype)


def chunks_of(data: bytes) -> Chunks:
    return [(chunk.type, chunk.payload) for chunk in walk(data)]


def file_of(chunks: Chunks) -> bytes:
    return SIGNATURE + b"".join(frame(kind, payload) for kind, payload in chunks)


def good(codec: lecodec.ImageCodec) -> dict[str, bytes]:
    metadata = Metadata(b"not a profile, but carried", b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x:xmpmeta/>", 9, 16)
    waves = pattern(70, 130, 3)
    tiled = codec.encode(waves, 40, tile=64)
    alpha = pattern(40, 100, 4)
    alpha[:, 64:, 3] = 255  # the second tile is opaque
    chunks = chunks_of(tiled)
    return {
        "colour-v1": codec.encode(pattern(40, 50, 3), 62.5),
        "grey-v1": codec.encode(pattern(33, 17, 1)[:, :, 0], 20),
        "tiled": tiled,
        "tiled-no-index": file_of(chunks[:-2] + chunks[-1:]),
        "alpha": codec.encode(alpha, 50, tile=64),
        "grey-alpha": codec.encode(pattern(31, 40, 2), 70),
        "opaque": codec.encode(np.full((9, 12, 4), 255, np.uint8), 50),
        "rgb16": codec.encode(pattern(24, 36, 3, np.uint16), 80),
        "grey16-alpha": codec.encode(pattern(20, 70, 2, np.uint16), 60, tile=64),
        "metadata": codec.encode(pattern(16, 20, 3), 30, metadata=metadata),
        "unknown-ancillary": file_of(
            [chunks[0], (b"exMp", b"before"), *chunks[1:-2], (b"teXt", b"after"), *chunks[-2:]]
        ),
    }


def rows(plane: np.ndarray) -> bytes:
    """An alpha plane of bytes as an `LALP` chunk holds it, with no filter."""
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in plane))


def png(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG")
    return file.getvalue()


def bad(made: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """name -> error, content. made: the good files."""
    alpha, plain = chunks_of(made["alpha"]), chunks_of(made["metadata"])
    tiled = chunks_of(made["tiled-no-index"])
    data = plain[-2:]  # LDAT, LEND

    def with_alpha(payload: bytes) -> bytes:
        return file_of([*alpha[:2], (b"LALP", payload), *alpha[3:-2], alpha[-1]])

    def with_header(at: int, value: bytes, chunks: Chunks = alpha) -> bytes:
        header = chunks[0][1]
        return file_of([(b"LHDR", header[:at] + value + header[at + len(value) :]), *chunks[1:]])

    def with_metadata(*chunks: tuple[bytes, bytes]) -> bytes:
        return file_of([plain[0], *chunks, *data])

    digest, datastream = alpha[2][1][:8], alpha[2][1][8:]
    inside = zlib.decompress(datastream)
    other = np.zeros((40, 63), np.uint8)
    other_digest = hashlib.blake2b(other.tobytes(), digest_size=8).digest()
    lengths = struct.unpack("<4I", alpha[-2][1])
    wrong = struct.pack("<4I", lengths[0] + 1, *lengths[1:])
    text = zlib.compress(b"<x:xmpmeta/>", 9)
    corrupt = {
        "alpha-missing": file_of(alpha[:2] + alpha[3:]),
        "alpha-not-announced": with_header(16, b"\0"),
        "alpha-digest": with_alpha(bytes(8) + datastream),
        "alpha-opaque-digest": with_alpha(digest),
        "alpha-short": with_alpha(digest[:7]),
        "alpha-damaged": with_alpha(digest + datastream[:60] + bytes([datastream[60] ^ 4]) + datastream[61:]),
        "alpha-cut": with_alpha(digest + datastream[:-30]),
        "alpha-size": with_alpha(other_digest + rows(other)),
        "alpha-long": with_alpha(digest + zlib.compress(inside + b"\0")),
        "alpha-tail": with_alpha(digest + datastream + b"\0"),
        "alpha-filter": with_alpha(digest + zlib.compress(b"\5" + inside[1:])),
        "tile-missing": file_of(tiled[:2] + tiled[3:]),
        "tile-extra": file_of([*tiled[:-1], *tiled[-2:]]),
        "tile-swapped": file_of([tiled[0], tiled[3], tiled[2], tiled[1], *tiled[4:]]),
        "tile-size": with_header(36, struct.pack("<H", 100)),
        "tile-width-only": with_header(38, bytes(2)),
        "index-wrong": file_of([*alpha[:-2], (b"iNDX", wrong), alpha[-1]]),
        "index-short": file_of([*alpha[:-2], (b"iNDX", alpha[-2][1][:-4]), alpha[-1]]),
        "index-early": file_of([alpha[0], alpha[-2], *alpha[1:-2], alpha[-1]]),
        "index-twice": file_of([*alpha[:-1], *alpha[-2:]]),
        "between": file_of([*alpha[:3], (b"exMp", b""), *alpha[3:]]),
        "after-index": file_of([*alpha[:-1], (b"exMp", b""), alpha[-1]]),
        "metadata-not-deflated": with_metadata((b"xMPd", b"<x:xmpmeta/>")),
        "metadata-cut": with_metadata((b"xMPd", text[:-5])),
        "metadata-tail": with_metadata((b"xMPd", text + b"x")),
        "metadata-twice": with_metadata((b"xMPd", text), (b"xMPd", text)),
        "metadata-late": file_of([plain[0], data[0], (b"xMPd", text), data[1]]),
        "end-not-empty": file_of([*tiled[:-1], (b"LEND", b"x")]),
    }
    unsupported = {
        "bit-depth-12": with_header(11, b"\x0c"),
        "alpha-2": with_header(16, b"\2"),
        "codec-7": with_header(17, b"\7"),
        "media-3": with_header(1, b"\3"),
        "matrix-1": with_header(14, b"\1"),
        "narrow-range": with_header(15, b"\0"),
        "reserved-letter": with_metadata((b"exmp", b"")),
        "critical-between": file_of([*alpha[:3], (b"LNEW", b""), *alpha[3:]]),
    }
    return {
        **{f"bad-{name}": ("CorruptFile", content) for name, content in corrupt.items()},
        **{f"unsupported-{name}": ("UnsupportedFile", content) for name, content in unsupported.items()},
        "bad-huge-chunk": ("LimitExceeded", file_of(plain[:1]) + struct.pack("<I", 2**31 - 1) + b"LDAT"),
    }


def write_new(name: str, content: bytes) -> None:
    with open(FOLDER / name, "xb") as file:  # x: fails if it exists
        file.write(content)


def picture_file(samples: np.ndarray) -> tuple[str, bytes]:
    """Suffix and content: PNG for 8 bits, numpy's own format for 16."""
    if samples.dtype == np.uint8:
        return ".png", png(samples)
    file = io.BytesIO()
    np.save(file, samples)
    return ".npy", file.getvalue()


def main() -> None:
    from .test_golden import latents_digest

    codec = lecodec.load(model=FOLDER / "tiny.safetensors")
    record = FOLDER / "expected.json"
    expected = json.loads(record.read_text())
    made = good(codec)
    for name, data in made.items():
        if (file := f"{name}.lec") not in expected["good"]:
            suffix, picture = picture_file(codec.decode(data))
            pictures = {
                (FOLDER / known["picture"]).read_bytes(): known["picture"] for known in expected["good"].values()
            }
            if picture not in pictures:
                write_new(name + suffix, picture)
            write_new(file, data)
            pictured = pictures.get(picture, name + suffix)
            expected["good"][file] = {"latents": latents_digest(codec, data), "picture": pictured}
    # Bad files come from the good ones as they are stored: encoding may give other bytes on another machine.
    stored = {name: (FOLDER / f"{name}.lec").read_bytes() for name in made}
    for name, (error, content) in bad(stored).items():
        if (file := f"{name}.lec") not in expected["bad"]:
            write_new(file, content)
            expected["bad"][file] = error
    record.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
