"""Codecs under test: lecodec and the ones it is measured against, behind one small interface.

    picture --encode(setting)--> real file bytes --decode--> picture

Each codec has a fixed ladder of its own quality settings, the same for every set of pictures. The peers' ladders were
laid out by looking at five Kodak pictures, so that they reach from about 26 dB or less to above 36 dB PSNR there; only
their ends and spacing were chosen, the other options are the ones below. Each ladder is a plain list of quality values.

| spec            | what it is                                                                                   |
|-----------------|----------------------------------------------------------------------------------------------|
| `lecodec`       | the shipped image model                                                                      |
| `lecodec:NAME`  | another model of the registry                                                                |
| `lecodec@PATH`  | a model file                                                                                 |
| `jpeg`          | libjpeg-turbo, optimised Huffman tables, 4:2:0: what users get                               |
| `webp`          | libwebp, lossy, method 6 (its slowest); the format is always 4:2:0                           |
| `avif`          | libavif, 4:4:4, speed 6 (its default)                                                        |
| `jxl`           | libjxl, VarDCT, effort 7 (its default); needs pillow-jxl-plugin                              |
| `compressai:X`  | a network of CompressAI with random weights: `eval bench` only (see `compressai_peer`)       |

Files hold the picture and nothing else: no EXIF, no ICC profile. Every failure of a codec is a `CodecError`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, features

from ..bitstream import read_header
from ..errors import CodecError, InputError
from ._extras import extra

__all__ = ["Codec", "LecodecCodec", "PillowCodec", "codec_by_name", "unique_name"]


class Codec(Protocol):
    """What the evaluator needs of a codec; any object with these serves.

    name: short, goes into tables; ladder: its settings, from small files to large; description: library, version and
    fixed options, one line, no paths.
    """

    @property
    def name(self) -> str: ...

    @property
    def ladder(self) -> tuple[float, ...]: ...

    @property
    def description(self) -> str: ...

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """A whole file for rgb: uint8 [H, W, 3]. Raises `CodecError`."""
        ...

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3], from nothing but the bytes. Raises `CodecError`."""
        ...

    def estimate(self, rgb: np.ndarray, setting: float) -> float:
        """Bytes that the codec's model expects, container excluded; `nan` where there is no such model."""
        ...


@dataclass(frozen=True, eq=False)
class PillowCodec:
    """A format that Pillow writes, at its `quality` setting, with the other options fixed."""

    name: str
    format: str
    ladder: tuple[float, ...]
    description: str
    options: dict[str, Any] = field(default_factory=dict)

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """A whole file at `quality=setting` (an integer for all of these formats). Raises `CodecError`."""
        buffer = io.BytesIO()
        try:
            Image.fromarray(rgb).save(buffer, self.format, quality=int(setting), **self.options)
        except (OSError, ValueError, RuntimeError) as error:
            raise CodecError(f"{self.name} could not encode at quality {setting:g}: {error}") from error
        return buffer.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]. Raises `CodecError`."""
        try:
            with Image.open(io.BytesIO(data), formats=[self.format]) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, ValueError, RuntimeError) as error:
            raise CodecError(f"{self.name} could not decode its own file: {error}") from error

    def estimate(self, rgb: np.ndarray, setting: float) -> float:
        """`nan`: these formats tell nothing."""
        return math.nan


class LecodecCodec:
    """The codec of this package, through its public API, with the shipped model or any other."""

    ladder: tuple[float, ...] = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)

    def __init__(self, model: str | Path | None = None, device: str = "cpu") -> None:
        """model: None for the shipped one, a registry name, or the path of a model file.

        Raises `UnknownModel`, `ModelError` or `InputError` (device) as `lecodec.load` does.
        """
        if isinstance(model, Path):
            # Only the file's own name is told: results are published, and where a file lay is nobody's business.
            self.name = f"lecodec@{model.name}"
        else:
            self.name = "lecodec" if model is None else f"lecodec:{model}"
        from ..codec.image import load

        self._codec = load("image", device=device, model=model)
        # What a file says of its model is what a reader of the results can check, whatever the model was called.
        header = read_header(self._codec.encode(np.zeros((16, 16, 3), np.uint8), quality=self.ladder[0]))
        digests = f"parse digest {header.parse_digest.hex()}, synthesis digest {header.synthesis_digest.hex()}"
        self.description = f"lecodec image codec on {device}, {digests}"

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """A whole `.lec` file at quality 1..100."""
        return self._codec.encode(rgb, quality=setting)

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]."""
        return self._codec.decode(data)

    def estimate(self, rgb: np.ndarray, setting: float) -> float:
        """Bytes that the entropy model expects of the coder, container excluded."""
        return self._codec.estimate_bits(rgb, quality=setting) / 8


def codec_by_name(spec: str, device: str = "cpu", *, for_time: bool = False) -> Codec:
    """The codec that a spec (see the table above) names.

    device: where learned codecs run. for_time: allow codecs of which only the time means something.
    Raises `InputError` for an unknown spec, a format whose library is missing or a device that is not there,
    `UnknownModel` or `ModelError` for a model that cannot be loaded.
    """
    if spec == "lecodec":
        return LecodecCodec(device=device)
    for separator in ("@", ":"):
        name, found, model = spec.partition(separator)
        if found and name == "lecodec":
            if not model:
                raise InputError(f"{spec!r} names no model: lecodec@PATH or lecodec:NAME")
            return LecodecCodec(Path(model) if separator == "@" else model, device)
    if spec.startswith("compressai:"):
        if not for_time:
            raise InputError(f"{spec} has random weights, so its rate and quality mean nothing: use eval bench")
        from .compressai_peer import CompressaiCodec

        return CompressaiCodec(spec.partition(":")[2], device)
    if spec not in _PEERS:
        known = ", ".join(["lecodec", "lecodec:NAME", "lecodec@PATH", *_PEERS, "compressai:NAME"])
        raise InputError(f"unknown codec {spec!r}; there are {known}")
    return _PEERS[spec]()


def unique_name(name: str, taken: Container[str]) -> str:
    """The name, or `name#2`, `name#3`, ... where it is taken: two model files may have the same one."""
    candidate, copies = name, 1
    while candidate in taken:
        copies += 1
        candidate = f"{name}#{copies}"
    return candidate


def _jpeg() -> PillowCodec:
    ladder = (1, 5, 8, 12, 18, 25, 35, 50, 65, 80, 90, 95)
    version = features.version("libjpeg_turbo") or features.version("jpg")
    description = f"Pillow JPEG (libjpeg-turbo {version}), optimize, 4:2:0"
    return PillowCodec("jpeg", "JPEG", ladder, description, {"optimize": True, "subsampling": "4:2:0"})


def _webp() -> PillowCodec:
    _need_pillow("webp")
    ladder = (0, 1, 3, 8, 20, 40, 60, 75, 85, 92, 97, 100)
    description = f"Pillow WebP (libwebp {features.version('webp')}), lossy, method 6"
    return PillowCodec("webp", "WEBP", ladder, description, {"method": 6})


def _avif() -> PillowCodec:
    _need_pillow("avif")
    ladder = (1, 5, 12, 20, 30, 40, 50, 60, 70, 80, 90)
    description = f"Pillow AVIF (libavif {features.version('avif')}), 4:4:4, speed 6"
    return PillowCodec("avif", "AVIF", ladder, description, {"subsampling": "4:4:4", "speed": 6})


def _jxl() -> PillowCodec:
    from importlib.metadata import version

    extra("pillow_jxl", "pillow-jxl-plugin")  # importing it registers the format with Pillow
    # PSNR falls abruptly from 20 to below: the step in its curve is the encoder's own.
    ladder = (1, 5, 10, 20, 30, 45, 60, 70, 80, 88, 94)
    description = f"pillow-jxl-plugin {version('pillow-jxl-plugin')} (libjxl), lossy, effort 7"
    return PillowCodec("jxl", "JXL", ladder, description, {"lossless": False, "effort": 7})


_PEERS: dict[str, Callable[[], PillowCodec]] = {"jpeg": _jpeg, "webp": _webp, "avif": _avif, "jxl": _jxl}


def _need_pillow(feature: str) -> None:
    if not features.check(feature):
        raise InputError(f"this Pillow was built without {feature}; the wheels of Pillow 11.3 and later have it")
