"""Lossless codecs under test, behind the interface of `codecs.codec`.

    samples --encode--> real file bytes --decode--> the same samples

| codec     | what it is                                                                                  |
|-----------|---------------------------------------------------------------------------------------------|
| `lecodec` | this package, with the model that it chooses itself; `lecodec@PATH`, `lecodec:NAME`: others |
|           | `…:effort=N`, 1 to 9: slower and smaller; `…:verified`: decoded and compared, as by default |
|           | on the command line                                                                         |
| `png`     | Pillow with `optimize`; of 16 bits FFmpeg's encoder, mixed filters, level 9                 |
| `webp`    | libwebp, lossless, its slowest method at quality 100; 8 bits only                           |
| `jxl`     | libjxl, lossless, effort 7; of 16 bits through the program `cjxl`, if it is installed       |
| `xz`      | liblzma, preset 9 extreme, on the bare samples                                              |
| `zstd`    | zstd, level 19, on the bare samples                                                         |
"""

from __future__ import annotations

import io
import lzma
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, features

from ...bitstream import read_header
from ...codec.codec import Target
from ...codec.media.picture import read_picture
from ...codec.media.picture_write import write_picture
from ...codec.media.signal import Signal
from ...errors import CodecError, InputError
from ..quality._extras import extra
from .codec import Codec, own_model, shown_name, without_effort

__all__ = ["PEERS", "Lossless", "lossless_codec_by_name", "model_bytes_of"]

VERIFIED = ":verified"
_JXL_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"


class Lossless(Codec, Protocol):
    """A `Codec` with one setting that gives back what it was given.

    takes: "signals" of every medium; "bytes", uint8 [N]: any samples, little-endian; "pictures", uint8 or uint16,
    [H, W] and [H, W, 3]; or "colour": pictures of three channels only.
    """

    @property
    def takes(self) -> str: ...


def model_bytes_of(codec: Codec, data: bytes) -> int:
    """What a decoder of this file needs besides the program, once for all files. Raises CodecError."""
    return codec.model_bytes(data) if isinstance(codec, _Lecodec) else 0


@dataclass(frozen=True)
class _Peer:
    name: str
    description: str
    write: Callable[[np.ndarray], bytes]
    read: Callable[[bytes], np.ndarray]
    takes: str = "pictures"
    ladder: tuple[float, ...] = (0,)

    def encode(self, samples: np.ndarray, setting: float, /) -> bytes:
        return self.write(samples)

    def decode(self, data: bytes, /) -> np.ndarray:
        try:
            return self.read(data)
        except (ValueError, SyntaxError, lzma.LZMAError) as error:
            raise CodecError(f"{self.name} could not decode its own file: {error}") from error


class _Lecodec:
    """This package, through what its command line calls."""

    takes = "signals"
    ladder: tuple[float, ...] = (0,)

    def __init__(self, model: str | Path | None, device: str, effort: int | None, verified: bool) -> None:
        self._model, self._device, self._verified = model, device, verified
        self._target = Target("lossless") if effort is None else Target("lossless", effort=effort)
        self.name = shown_name(model, effort) + VERIFIED * verified
        how = "verified as the command line does" if verified else "without the verification that the command line adds"
        self.description = f"lecodec on {device}, {how}"

    def encode(self, samples: Signal, setting: float, /) -> bytes:
        from ...codec.choice import codec_for

        target = self._target
        codec = codec_for(samples, target, self._device, model=self._model)
        return (codec.encode_verified if self._verified else codec.encode_signals)([samples], target)[0]

    def decode(self, data: bytes, /) -> np.ndarray:
        from ...codec.registry import load_for

        return load_for(read_header(data), self._device, model=self._model).decode(data)

    def model_bytes(self, data: bytes) -> int:
        from ...codec.registry import find_by_digest, find_model

        digest = read_header(data).parse_digest
        if not any(digest):
            return 0
        card = find_model(self._model) if self._model else find_by_digest(digest)
        return card.path.stat().st_size


def lossless_codec_by_name(spec: str, device: str = "cpu") -> Lossless:
    """The codec that a spec (see the table above) names. Raises InputError for an unknown one, or a missing library."""
    which, effort = without_effort(spec.removesuffix(VERIFIED))
    ours, model = own_model(which)
    if ours:
        return _Lecodec(model, device, effort, spec.endswith(VERIFIED))
    if spec not in PEERS:
        raise InputError(f"unknown codec {spec!r}; there are lecodec, lecodec:NAME, lecodec@PATH, {', '.join(PEERS)}")
    return PEERS[spec]()


def _pillow(kind: str, options: dict[str, Any]) -> Callable[[np.ndarray], bytes]:
    def write(array: np.ndarray) -> bytes:
        if array.dtype != np.uint8:
            raise CodecError(f"Pillow writes {kind} of 8 bits only")
        buffer = io.BytesIO()
        try:
            Image.fromarray(array).save(buffer, kind, **options)
        except (OSError, ValueError, RuntimeError) as error:
            raise CodecError(f"{kind} could not encode {list(array.shape)}: {error}") from error
        return buffer.getvalue()

    return write


def _from_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def _png() -> _Peer:
    import av

    shallow = _pillow("PNG", {"optimize": True})

    def deep(array: np.ndarray) -> bytes:
        kind = "gray16be" if array.ndim == 2 else "rgb48be"
        context: Any = av.CodecContext.create("png", "w")
        context.width, context.height, context.pix_fmt = array.shape[1], array.shape[0], kind
        context.options = {"pred": "mixed", "compression_level": "9"}
        context.time_base = Fraction(1)
        frame = av.VideoFrame(array.shape[1], array.shape[0], kind)
        plane = frame.planes[0]
        rows = array.astype(">u2").reshape(array.shape[0], -1).view(np.uint8)
        padded = np.zeros((array.shape[0], plane.line_size), np.uint8)
        padded[:, : rows.shape[1]] = rows
        plane.update(padded.tobytes())
        return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])

    description = "Pillow PNG, optimize; of 16 bits FFmpeg, mixed filters, level 9"
    write, read = (
        (lambda a: deep(a) if a.dtype == np.uint16 else shallow(a)),
        (lambda data: read_picture(io.BytesIO(data))),
    )
    return _Peer("png", description, write, read)


def _webp() -> _Peer:
    options = {"lossless": True, "quality": 100, "method": 6, "exact": True}
    description = f"libwebp {features.version('webp')}, lossless, quality 100, method 6"
    return _Peer("webp", description, _pillow("WEBP", options), _from_pillow, "colour")


def _jxl() -> _Peer:
    from importlib.metadata import version

    extra("pillow_jxl", "pillow-jxl-plugin")  # importing it registers the format with Pillow
    shallow = _pillow("JXL", {"lossless": True, "effort": 7})

    def read(data: bytes) -> np.ndarray:  # of 16 bits libjxl writes a container, for its level 10
        return _with_djxl(data) if data.startswith(_JXL_CONTAINER) else _from_pillow(data)

    description = f"pillow-jxl-plugin {version('pillow-jxl-plugin')} (libjxl), lossless, effort 7"
    if shutil.which("cjxl"):
        told = subprocess.run(["cjxl", "--version"], capture_output=True, text=True, check=False).stdout.split()
        description += f"; of 16 bits cjxl {told[1] if len(told) > 1 else ''}"
    return _Peer("jxl", description, lambda a: _with_cjxl(a) if a.dtype == np.uint16 else shallow(a), read)


def _with_cjxl(array: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.png"), Path(folder, "a.jxl")
        write_picture(array, source)
        _run("cjxl", source, target, "-d", "0", "-e", "7")
        return target.read_bytes()


def _with_djxl(data: bytes) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.jxl"), Path(folder, "a.png")
        source.write_bytes(data)
        _run("djxl", source, target)
        return read_picture(target)


def _run(program: str, *arguments: str | Path) -> None:
    try:
        subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)
    except FileNotFoundError:
        raise CodecError(f"this needs the program {program} (Debian: libjxl-tools)") from None
    except subprocess.CalledProcessError as error:
        raise CodecError(f"{program} failed: {error.stderr.decode(errors='replace').strip()[-200:]}") from None


def _bare(name: str, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes], description: str) -> _Peer:
    def read(data: bytes) -> np.ndarray:
        return np.frombuffer(unpack(data), np.uint8)

    return _Peer(name, f"{description}, on bare samples", lambda array: pack(array.tobytes()), read, "bytes")


def _xz() -> _Peer:
    preset = 9 | lzma.PRESET_EXTREME
    return _bare("xz", lambda b: lzma.compress(b, preset=preset), lzma.decompress, "liblzma, preset 9 extreme")


def _zstd() -> _Peer:
    zstandard = extra("zstandard")
    pack, unpack = zstandard.ZstdCompressor(level=19), zstandard.ZstdDecompressor()
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    return _bare("zstd", pack.compress, unpack.decompress, f"zstd {version}, level 19")


PEERS: dict[str, Callable[[], _Peer]] = {"png": _png, "webp": _webp, "jxl": _jxl, "xz": _xz, "zstd": _zstd}
