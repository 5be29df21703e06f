"""Codecs under test: lecodec and the ones it is measured against, behind one small interface.

    picture --encode(setting)--> real file bytes --decode--> picture

Each codec has a fixed ladder of its own quality settings, the same for every set of pictures. The peers' ladders were
laid out by looking at five Kodak pictures, so that they reach from about 26 dB or less to above 36 dB PSNR there
(`jpeg2000` and `hevc`: at twelve photographs with a short side of 256 pixels, from below 0.1 to above 2 bpp); only
their ends and spacing were chosen, the other options are the ones below. Each ladder is a plain list of settings.

| spec                 | what it is                                                                              |
|----------------------|-----------------------------------------------------------------------------------------|
| `lecodec`            | the shipped image model                                                                 |
| `lecodec:NAME`       | another model of the registry                                                           |
| `lecodec@PATH`       | a model file                                                                            |
| `…:effort=N`         | one of these three at effort N, 1 to 9: `lecodec:effort=9`                              |
| `jpeg`               | libjpeg-turbo, optimised Huffman tables, 4:2:0: what users get                          |
| `jpeg2000`           | OpenJPEG, 9-7 wavelet; the setting is the ratio to 24 bits a pixel, so 240 is 0.1 bpp   |
| `webp`               | libwebp, lossy, method 6 (its slowest); the format is always 4:2:0                      |
| `avif`               | libavif, 4:4:4, speed 6 (its default)                                                   |
| `jxl`                | libjxl, VarDCT, effort 7 (its default); needs pillow-jxl-plugin                         |
| `hevc`               | x265, one intra frame, 4:4:4, preset medium; the setting is its CRF (see `hevc_peer`)   |
| `identity`           | changes nothing: an optimised PNG file                                                  |
| `compressai:X`       | a network of CompressAI with random weights: `eval bench` only (see `compressai_peer`)  |
| `compressai:X@PATH`  | the same with a checkpoint's weights; several, joined by `+`, are settings 1, 2, …      |
| `MODULE:NAME`        | a codec of the user's own, also `FILE.py:NAME` (see `plugins`)                          |

OpenJPEG's other way of setting a quality, a PSNR for every picture, spends most bits on the pictures that need them
most: at equal mean rate its mean PSNR was about 1 dB below that of a fixed ratio, so the ratio it is.

Files hold the picture and nothing else: no EXIF, no ICC profile, no name of the encoder where that can be turned off.
Every failure of a codec is a `CodecError`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from ...bitstream import read_header
from ...errors import CodecError, InputError
from ..quality._extras import extra
from .codec import IDENTITY, Codec, own_model, shown_name, without_effort

__all__ = ["LecodecCodec", "PillowCodec", "codec_by_name"]


def _quality(setting: float) -> dict[str, Any]:
    return {"quality": int(setting)}


@dataclass(frozen=True, eq=False)
class PillowCodec:
    """A format that Pillow writes, at one setting of quality, with the other options fixed.

    options: the fixed ones; arguments: the setting as Pillow's own arguments, by default its integer `quality`.
    """

    name: str
    format: str
    ladder: tuple[float, ...]
    description: str
    options: dict[str, Any] = field(default_factory=dict)
    suffix: str = ".bin"
    arguments: Callable[[float], dict[str, Any]] = _quality

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """A whole file at a setting. Raises `CodecError`."""
        buffer = io.BytesIO()
        try:
            Image.fromarray(rgb).save(buffer, self.format, **self.arguments(setting), **self.options)
        except (OSError, ValueError, RuntimeError) as error:
            raise CodecError(f"{self.name} could not encode at the setting {setting:g}: {error}") from error
        return buffer.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]. Raises `CodecError`."""
        try:
            with Image.open(io.BytesIO(data), formats=[self.format]) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, ValueError, RuntimeError) as error:
            raise CodecError(f"{self.name} could not decode its own file: {error}") from error


class LecodecCodec:
    """The codec of this package, through its public API, with the shipped model or any other."""

    suffix = ".lec"
    ladder: tuple[float, ...] = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)

    def __init__(self, model: str | Path | None = None, device: str = "cpu", effort: int | None = None) -> None:
        """model: None for the shipped one, a registry name, or the path of a model file. effort: 1 to 9, or None for
        the default, which the name does not tell then.

        Raises `UnknownModel`, `ModelError` or `InputError` (device, effort) as `lecodec.load` and `encode` do.
        """
        self.name = shown_name(model, effort)
        self._effort = 1 if effort is None else effort
        from ...codec.image import ImageCodec
        from ...codec.registry import load

        self._codec = load(device=device, model=model, of=ImageCodec)
        if self._codec.one_rate:
            self.ladder = (1.0,)
        # What a file says of its model is what a reader of the results can check, whatever the model was called.
        header = read_header(self.encode(np.zeros((16, 16, 3), np.uint8), self.ladder[0]))
        digests = f"parse digest {header.parse_digest.hex()}, synthesis digest {header.synthesis_digest.hex()}"
        if self._codec.below is not None:
            own = (
                f"parse digest {self._codec.parse_digest.hex()}, synthesis digest {self._codec.synthesis_digest.hex()}"
            )
            digests += f", from quality {self._codec.below.own:g} on {own}"
        self.description = f"lecodec image codec on {device}, {digests}"
        if effort is not None:
            self.description += f", effort {effort}"

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """A whole `.lec` file at quality 1..100."""
        return self._codec.encode(rgb, quality=setting, effort=self._effort)

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]."""
        return self._codec.decode(data)

    def estimate(self, rgb: np.ndarray, setting: float) -> float:
        """Bytes that the entropy model expects of the coder, container excluded, at the default effort."""
        return self._codec.estimate_bits(rgb, quality=setting) / 8


def codec_by_name(spec: str, device: str = "cpu", *, allow_untrained: bool = False) -> Codec:
    """The codec that a spec (see the table above) names.

    device: where learned codecs run. allow_untrained: allow codecs of which only the time means something.
    Raises `InputError` for an unknown spec, a format whose library is missing, a device that is not there or a plug-in
    that lacks something, `UnknownModel` or `ModelError` for a model that cannot be loaded.
    """
    if (own := _lecodec_codec(spec, device)) is not None:
        return own
    if spec.startswith("compressai:"):
        network = spec.partition(":")[2]
        from . import compressai as compressai_peer

        if "@" in network:
            return compressai_peer.compressai_codec(network, device)
        if not allow_untrained:
            raise InputError(
                f"{spec} has random weights, so its rate and quality mean nothing: give it some ({spec}@CHECKPOINT), "
                "or use eval bench"
            )
        return compressai_peer.CompressaiCodec(network, device)
    if spec in _PEERS:
        return _PEERS[spec]()
    from .plugins import is_plugin, plugin_codec

    if is_plugin(spec):
        return plugin_codec(spec)
    known = ", ".join(["lecodec", "lecodec:NAME", "lecodec@PATH", *_PEERS, "compressai:NAME[@CHECKPOINT]"])
    raise InputError(f"unknown codec {spec!r}; there are {known}, and your own as MODULE:NAME or FILE.py:NAME")


def _lecodec_codec(spec: str, device: str) -> LecodecCodec | None:
    """The codec of this package that a spec names, if it names one. Raises as `codec_by_name`."""
    if not spec.startswith("lecodec"):
        return None
    which, effort = without_effort(spec)
    ours, model = own_model(which)
    return LecodecCodec(model, device, effort) if ours else None


def _jpeg() -> PillowCodec:
    ladder = (1, 5, 8, 12, 18, 25, 35, 50, 65, 80, 90, 95)
    version = features.version("libjpeg_turbo") or features.version("jpg")
    description = f"Pillow JPEG (libjpeg-turbo {version}), optimize, 4:2:0"
    return PillowCodec("jpeg", "JPEG", ladder, description, {"optimize": True, "subsampling": "4:2:0"}, ".jpg")


def _webp() -> PillowCodec:
    _need_pillow("webp")
    ladder = (0, 1, 3, 8, 20, 40, 60, 75, 85, 92, 97, 100)
    description = f"Pillow WebP (libwebp {features.version('webp')}), lossy, method 6"
    return PillowCodec("webp", "WEBP", ladder, description, {"method": 6}, ".webp")


def _avif() -> PillowCodec:
    _need_pillow("avif")
    ladder = (1, 5, 12, 20, 30, 40, 50, 60, 70, 80, 90)
    description = f"Pillow AVIF (libavif {features.version('avif')}), 4:4:4, speed 6"
    return PillowCodec("avif", "AVIF", ladder, description, {"subsampling": "4:4:4", "speed": 6}, ".avif")


def _jxl() -> PillowCodec:
    from importlib.metadata import version

    extra("pillow_jxl", "pillow-jxl-plugin")  # importing it registers the format with Pillow
    # PSNR falls abruptly from 20 to below: the step in its curve is the encoder's own.
    ladder = (1, 5, 10, 20, 30, 45, 60, 70, 80, 88, 94)
    description = f"pillow-jxl-plugin {version('pillow-jxl-plugin')} (libjxl), lossy, effort 7"
    return PillowCodec("jxl", "JXL", ladder, description, {"lossless": False, "effort": 7}, ".jxl")


def _jpeg2000() -> PillowCodec:
    _need_pillow("jpg_2000")
    ladder = (400, 320, 240, 160, 100, 60, 40, 24, 16, 12, 8)
    # A comment of one blank instead of 37 bytes that name the encoder: Pillow has no way to leave it out.
    options = {"irreversible": True, "quality_mode": "rates", "comment": " "}
    description = f"Pillow JPEG 2000 (OpenJPEG {features.version('jpg_2000')}), .jp2, 9-7 wavelet, fixed rate"

    def rate(setting: float) -> dict[str, Any]:
        return {"quality_layers": [setting]}

    return PillowCodec("jpeg2000", "JPEG2000", ladder, description, options, ".jp2", rate)


def _identity() -> PillowCodec:
    description = f"Pillow PNG (zlib {features.version('zlib')}), optimize: the original, without loss"
    return PillowCodec(IDENTITY, "PNG", (0,), description, {"optimize": True}, ".png", lambda setting: {})


def _hevc() -> Codec:
    from .hevc import HevcCodec

    return HevcCodec()


_PEERS: dict[str, Callable[[], Codec]] = {
    "jpeg": _jpeg,
    "jpeg2000": _jpeg2000,
    "webp": _webp,
    "avif": _avif,
    "jxl": _jxl,
    "hevc": _hevc,
    IDENTITY: _identity,
}


def _need_pillow(feature: str) -> None:
    if not features.check(feature):
        raise InputError(f"this Pillow was built without {feature}; the wheels of Pillow 11.3 and later have it")
