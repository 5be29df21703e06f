"""Pictures to look at, before and after: the coded files of a few items, as a browser shows them.

    rows -> items, evenly spread -> files/ -> decode, check -> data: URIs, with what the networks said of each

JPEG, WebP and AVIF files go into the page as they are, byte for byte; what a browser cannot decode is shown as WebP at
quality 90, the original without loss unless it is large. Every file is decoded here first: one that is missing, damaged
or not the one that was measured is left out, and the reason is given once for its codec.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import CodecError, InputError
from ..codecs.codec import IDENTITY
from ..measure.worker import file_of
from ..quality.metrics import SOUND_METRICS
from ..tasks.task import ItemRow

__all__ = ["Picture", "are_sounds", "choose", "embed", "webp_uri"]

Decode = Callable[[str, bytes], np.ndarray]
"""(codec's name, whole file) -> uint8 [H, W, 3]; raises CodecError."""

_LOSSLESS_PIXELS = 640 * 640
_QUALITY = 90


@dataclass(frozen=True)
class Picture:
    """One item. facts: what JSON can hold of its rows; images: data: URIs, `original` and by codec, in the order of
    facts["codecs"][codec]; left_out: codec -> why some file of it is not shown.
    """

    facts: dict[str, Any]
    images: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)


def are_sounds(rows: Sequence[ItemRow]) -> bool:
    """Whether a run's items are sounds, by what was measured on them."""
    return any(name in SOUND_METRICS for row in rows for name in row.metrics)


def choose(rows: Sequence[ItemRow], count: int) -> list[tuple[str, str]]:
    """(source, item) of `count` items, evenly spread over all in their order; of all for 0."""
    items = list(dict.fromkeys((row.source, row.item) for row in rows))
    if count == 0 or count >= len(items):
        return items
    places = np.linspace(0, len(items) - 1, count) if count > 1 else [len(items) // 2]
    return [items[round(float(place))] for place in places]


def embed(results: Path, rows: Sequence[ItemRow], decode: Decode, tick: Callable[[], None]) -> Picture:
    """One item's picture. rows: all of that item; tick is called once a row.

    Raises CodecError when the original is not there.
    """
    originals = [row for row in rows if row.codec == IDENTITY]
    if not originals:
        raise InputError(f"{rows[0].item}: the uncompressed picture is not among the rows")
    data, samples = _decoded(results, originals[0], decode)
    tick()
    height, width = samples.shape[:2]
    codecs: dict[str, list[dict[str, Any]]] = {}
    images: dict[str, Any] = {"original": webp_uri(samples, lossless=width * height <= _LOSSLESS_PIXELS)}
    left_out: dict[str, str] = {}
    for row in sorted((row for row in rows if row.codec != IDENTITY), key=lambda row: row.bytes):
        try:
            data, decoded = _decoded(results, row, decode)
            if decoded.shape != samples.shape:
                raise CodecError(f"{row.item}: {row.codec} decodes to another size than the original's")
            uri = _native(data) or webp_uri(decoded)
        except (CodecError, OSError) as error:
            left_out[row.codec] = str(error)
            continue
        finally:
            tick()
        codecs.setdefault(row.codec, []).append(_facts(row))
        images.setdefault(row.codec, []).append(uri)
    order = [name for name in dict.fromkeys(row.codec for row in rows) if name in codecs]
    facts = {"source": rows[0].source, "name": rows[0].item, "width": width, "height": height}
    facts |= {"original": _facts(originals[0]), "codecs": {name: codecs[name] for name in order}}
    return Picture(facts, images, left_out)


def _facts(row: ItemRow) -> dict[str, Any]:
    """setting, bytes, rate, metrics, answers: task -> [score, agreement, text]; None where not a number."""
    return {
        "setting": row.setting,
        "bytes": row.bytes,
        "rate": row.rate,
        "metrics": {name: _finite(value) for name, value in row.metrics.items()},
        "answers": {
            task: [_finite(answer.score), _finite(answer.agreement), answer.text]
            for task, answer in row.answers.items()
        },
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _decoded(results: Path, row: ItemRow, decode: Decode) -> tuple[bytes, np.ndarray]:
    """The file of a row and its picture. Raises CodecError."""
    path = next(_files(results, row), None)
    if path is None:
        raise CodecError(f"{row.item}: the file that {row.codec} made at {row.setting:g} is not in the folder files")
    data = path.read_bytes()
    if len(data) != row.bytes:
        raise CodecError(
            f"{row.item}: {row.codec} at {row.setting:g} has {len(data)} bytes, not {row.bytes} as measured"
        )
    samples = decode(row.codec, data)
    if samples.dtype != np.uint8 or samples.ndim != 3 or samples.shape[2] != 3:
        raise CodecError(f"{row.item}: {row.codec} decodes to {samples.dtype} {list(samples.shape)}, not to a picture")
    return data, samples


def _files(results: Path, row: ItemRow) -> Iterator[Path]:
    """Where `file_of` puts it, whatever the suffix."""
    folder, stem = (path := file_of(results, row.source, row.codec, row.setting, row.item, "")).parent, path.name
    # Quoted names hold nothing that a pattern would take for itself; of a and a.b, a.* is only the first one's.
    return (path for path in folder.glob(f"{stem}.*") if "." not in path.name[len(stem) + 1 :])


def _native(data: bytes) -> str | None:
    """A data: URI of a file that browsers decode, None for others."""
    if data.startswith(b"\xff\xd8\xff"):
        return _uri("jpeg", data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _uri("webp", data)
    return _uri("avif", data) if data[4:12] == b"ftypavif" else None


def webp_uri(samples: np.ndarray, lossless: bool = False) -> str:
    """uint8 [H, W, 3] -> a data: URI of a WebP file, exact or of quality 90."""
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "WEBP", lossless=lossless, quality=_QUALITY, method=4)
    return _uri("webp", file.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
