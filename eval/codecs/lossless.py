"""Lossless codecs under test, behind one small interface.

    array --encode--> real file bytes --decode--> array

| codec     | what it is                                                                                  |
|-----------|---------------------------------------------------------------------------------------------|
| `lecodec` | this package, with the model that it chooses itself; `lecodec@PATH`, `lecodec:NAME`: others |
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
from ...codec.media.signal import Signal, picture_signal
from ...errors import CodecError, InputError
from ..quality._extras import extra

__all__ = ["PEERS", "LosslessPeer", "lossless_codec_by_name"]


class LosslessPeer(Protocol):
    """What the comparison needs of a codec; any object with these serves.

    description: library, version and options, one line, no paths. any_medium: whether it takes signals of every medium
    as they are, or only pictures [H, W] and [H, W, 3]. Samples are uint8 or uint16. Failures are `CodecError`s.
    """

    @property
    def description(self) -> str: ...

    @property
    def any_medium(self) -> bool: ...

    def encode(self, array: np.ndarray, signal: Signal | None) -> bytes:
        """A whole file. signal: whose samples the array is; None where it is samples of another medium as a picture."""
        ...

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The array; shape and dtype are given for formats that do not hold them."""
        ...

    def model_bytes(self, data: bytes) -> int:
        """What a decoder of this file needs besides, once for all files."""
        ...


@dataclass(frozen=True)
class _Peer:
    description: str
    write: Callable[[np.ndarray], bytes]
    read: Callable[[bytes, tuple[int, ...], np.dtype], np.ndarray]
    any_medium: bool = False

    def encode(self, array: np.ndarray, signal: Signal | None) -> bytes:
        return self.write(array)

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return self.read(data, shape, dtype)

    def model_bytes(self, data: bytes) -> int:
        return 0


class _Lecodec:
    """This package, through what its command line calls."""

    any_medium = True

    def __init__(self, model: str | Path | None, device: str) -> None:
        self._model, self._device = model, device
        self.description = f"lecodec on {device}, without the verification that the command line adds"

    def encode(self, array: np.ndarray, signal: Signal | None) -> bytes:
        from ...codec.choice import codec_for

        signal, target = signal or picture_signal(array), Target("lossless")
        return codec_for(signal, target, self._device, model=self._model).encode_signals([signal], target)[0]

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        from ...codec.registry import load_for

        return load_for(read_header(data), self._device, model=self._model).decode(data)

    def model_bytes(self, data: bytes) -> int:
        from ...codec.registry import find_by_digest, find_model

        digest = read_header(data).parse_digest
        if not any(digest):
            return 0
        card = find_model(self._model) if self._model else find_by_digest(digest)
        return card.path.stat().st_size


def lossless_codec_by_name(spec: str, device: str = "cpu") -> LosslessPeer:
    """The codec that a spec (see the table above) names. Raises InputError for an unknown one, or a missing library."""
    if spec == "lecodec":
        return _Lecodec(None, device)
    for separator in ("@", ":"):
        name, _, model = spec.partition(separator)
        if name == "lecodec" and model:
            return _Lecodec(Path(model) if separator == "@" else model, device)
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


def _from_pillow(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L" if len(shape) == 2 else "RGB"))


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

    def read(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return read_picture(io.BytesIO(data))

    description = "Pillow PNG, optimize; of 16 bits FFmpeg, mixed filters, level 9"
    return _Peer(description, lambda a: deep(a) if a.dtype == np.uint16 else shallow(a), read)


def _webp() -> _Peer:
    options = {"lossless": True, "quality": 100, "method": 6, "exact": True}
    description = f"libwebp {features.version('webp')}, lossless, quality 100, method 6"
    return _Peer(description, _pillow("WEBP", options), _from_pillow)


def _jxl() -> _Peer:
    from importlib.metadata import version

    extra("pillow_jxl", "pillow-jxl-plugin")  # importing it registers the format with Pillow
    shallow = _pillow("JXL", {"lossless": True, "effort": 7})

    def read(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return _from_pillow(data, shape, dtype) if dtype == np.uint8 else _with_djxl(data)

    description = f"pillow-jxl-plugin {version('pillow-jxl-plugin')} (libjxl), lossless, effort 7"
    if shutil.which("cjxl"):
        told = subprocess.run(["cjxl", "--version"], capture_output=True, text=True, check=False).stdout.split()
        description += f"; of 16 bits cjxl {told[1] if len(told) > 1 else ''}"
    return _Peer(description, lambda a: _with_cjxl(a) if a.dtype == np.uint16 else shallow(a), read)


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


def _bare(pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes], description: str) -> _Peer:
    def write(array: np.ndarray) -> bytes:
        return pack(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())

    def read(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return np.frombuffer(unpack(data), dtype.newbyteorder("<")).reshape(shape).astype(dtype)

    return _Peer(description, write, read, any_medium=True)


def _xz() -> _Peer:
    preset = 9 | lzma.PRESET_EXTREME
    return _bare(
        lambda b: lzma.compress(b, preset=preset), lzma.decompress, "liblzma, preset 9 extreme, on bare samples"
    )


def _zstd() -> _Peer:
    zstandard = extra("zstandard")
    pack, unpack = zstandard.ZstdCompressor(level=19), zstandard.ZstdDecompressor()
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    return _bare(pack.compress, unpack.decompress, f"zstd {version}, level 19, on bare samples")


PEERS: dict[str, Callable[[], _Peer]] = {"png": _png, "webp": _webp, "jxl": _jxl, "xz": _xz, "zstd": _zstd}
