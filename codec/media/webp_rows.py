"""Rows of samples as one stream of WebP's lossless coding: for drawings, charts, text and screens.

    samples [h, w] or [h, w, 3], uint8 -> few colours, or many repeats? -> VP8L stream -> samples

What repeats itself exactly is found again by copying, which neither filters and deflate nor a model of photographs do
as well. The stream is that of RFC 9649, section 3, without the file around it; libwebp, which Pillow brings, writes and
reads it. It says its own size, which is compared before libwebp sees it. A stream should hold as much as it may: pages
of text in pieces of 256 x 256 pixels take 66% more.

Guarantees: `webp_samples(webp_body(x)) == x`; any bytes give samples of the shape asked for or a CorruptFile; no memory
is taken for a stream of another size.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import numpy as np
from PIL import Image, features
from PIL.WebPImagePlugin import WebPImageFile

from ...errors import CorruptFile, UnsupportedFile

__all__ = ["looks_drawn", "settles", "stream_tiles", "webp_body", "webp_samples"]

SIDE = 16383
"""Pixels along one side that libwebp takes at most."""
PIXELS = 2**25
"""Pixels of a stream at most where this module chooses; a tile may have twice as many. libwebp takes about 25 bytes a
pixel of a screen of 64 megapixels, and 38 of noise in 2,000 colours (measured: peak memory beyond the samples)."""
STEP = 64
"""Sides of tiles are multiples of this."""
QUICK = {"quality": 80, "method": 4}
"""libwebp's settings that Pillow has by default."""
SLOW = {"quality": 100, "method": 6}
SAMPLED = 2**16
"""Pixels that are looked at, about, to tell a drawing from a photograph."""
REPEATS = 0.3
"""Share of pixels equal to the one on their left from which a picture is a drawing. Measured: at most 0.27 in 53
photographs in colour (as grey three of them have 0.33, and are tried), 0.72 to 0.98 in the tests' drawings, except 0.45
in one that is dithered and 0.12 in an uncleaned scan, which is not tried."""
COLOURS = 1 / 32
"""Different colours for each pixel, up to which it is one: at least 0.16 in those photographs."""
LEVELS = 128
"""Different levels of grey up to which it is one: at least 170 in those photographs."""
SMALL = 2**16
"""Pixels up to which models are always asked: it takes them little time."""
_SIGNATURE = b"\x2f"


def looks_drawn(samples: np.ndarray) -> bool:
    """Whether uint8 or uint16 [h, w] or [h, w, 3] is worth a try: 8 bits, and few colours or many repeats, in rows
    spread evenly over it.
    """
    if samples.dtype != np.uint8 or not features.check("webp"):
        return False
    rows = samples[:: max(samples.shape[0] * samples.shape[1] // SAMPLED, 1)]
    grey = rows.ndim == 2
    pixels = rows if grey else rows @ np.array([1, 2**8, 2**16], np.int32)
    few = min(LEVELS, pixels.size * COLOURS) if grey else pixels.size * COLOURS
    repeats = np.count_nonzero(pixels[:, 1:] == pixels[:, :-1])
    return repeats >= REPEATS * max(pixels[:, 1:].size, 1) or len(np.unique(pixels)) <= 16 + few


def stream_tiles(width: int, height: int) -> tuple[int, int]:
    """Width and height of the tiles of a picture in as few streams as can be: (0, 0) for one, else strips of full
    width, cut where that is beyond what libwebp takes.
    """
    if max(width, height) <= SIDE and width * height <= PIXELS:
        return 0, 0
    most = SIDE // STEP * STEP
    across = -(-width // STEP) * STEP if width <= SIDE else most
    return across, min(PIXELS // min(across, width), most) // STEP * STEP


def webp_body(samples: np.ndarray, effort: int = 1) -> bytes | None:
    """uint8 [h, w] or [h, w, 3] -> a VP8L stream; None where a side is beyond `SIDE`. effort: above 1 slower
    settings are tried too, which nearly always make a smaller one.
    """
    if max(samples.shape[:2]) > SIDE:
        return None
    image = Image.fromarray(np.ascontiguousarray(samples))
    return min((_stream(image, settings) for settings in (QUICK, SLOW)[: 1 + (effort > 1)]), key=len)


def _stream(image: Image.Image, settings: Mapping[str, int]) -> bytes:
    file = io.BytesIO()
    # exact: libwebp would otherwise be free to change what lies under transparent pixels, though there are none here.
    image.save(file, "WEBP", lossless=True, exact=True, **settings)
    kind, size = struct.unpack_from("<4sI", file.getbuffer(), 12)
    assert kind == b"VP8L", "Pillow writes a lossless picture without metadata as one chunk"
    return file.getvalue()[20 : 20 + size]


def settles(size: int, pixels: int) -> bool:
    """Whether a stream of `size` bytes is so small, a bit a pixel at most, that a model need not be asked. (On a grey
    photograph of 0.15 megapixels the released model took 2.9 s of one core, a trial of WebP 0.06 s: measured.)
    """
    return pixels > SMALL and 8 * size <= pixels


def webp_samples(body: bytes, shape: tuple[int, ...], where: str) -> np.ndarray:
    """The samples, uint8 of `shape` [h, w] or [h, w, 3]. where: for messages, such as "byte 90: a block". Raises
    CorruptFile, and UnsupportedFile where Pillow lacks WebP.
    """
    height, width = shape[:2]
    fields = int.from_bytes(body[1:5], "little")
    found = (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1
    # Behind the two sizes: whether there is alpha, which has a chunk of its own here, and the stream's version.
    if len(body) < 5 or body[:1] != _SIGNATURE or fields >> 28:
        raise CorruptFile(f"{where} is no lossless WebP stream of version 0 without alpha")
    if found != (width, height):
        raise CorruptFile(f"{where} is a WebP stream of {found[0]} x {found[1]} pixels, expected {width} x {height}")
    if not features.check("webp"):
        raise UnsupportedFile(f"{where} is coded as WebP, which this installation of Pillow cannot read")
    chunk = struct.pack("<4sI", b"VP8L", len(body)) + body + bytes(len(body) % 2)
    try:
        # Not Image.open, which refuses large pictures by a limit of its own: ours has been held to already.
        with WebPImageFile(io.BytesIO(struct.pack("<4sI4s", b"RIFF", 4 + len(chunk), b"WEBP") + chunk)) as image:
            samples = np.array(image.convert("RGB"))
    except Exception as error:  # of several classes on damaged streams
        raise CorruptFile(f"{where} does not decode: {error}") from None
    if len(shape) == 3:
        return samples
    grey = np.ascontiguousarray(samples[:, :, 0])
    if not all(np.array_equal(grey, samples[:, :, n]) for n in (1, 2)):
        raise CorruptFile(f"{where} is a WebP stream in colour, expected grey")
    return grey
