"""Codecs of a user's own, as plug-ins: any Python object with the interface of `codecs.codec.Codec`.

    MODULE:NAME or FILE.py:NAME -> class, function or object -> checked -> Codec

NAME is a class or a function that makes the codec without arguments, or the codec itself. For sounds, class and
function are given the sample rate in Hz. A whole plug-in, in `halves.py`, then named `halves.py:Halves`:

>>> import io
>>> import numpy as np
>>> from PIL import Image
>>> class Halves:
...     name = "halves"
...     ladder = (20, 50, 80)  # settings, from small files to large
...     description = "JPEG at half the resolution"
...     suffix = ".jpg"  # optional: of its files; ".bin" if missing
...
...     def encode(self, rgb, setting):  # uint8 [H, W, 3] -> bytes
...         image, file = Image.fromarray(rgb), io.BytesIO()
...         image.resize((image.width // 2 + 1, image.height // 2 + 1)).save(file, "JPEG", quality=setting)
...         return rgb.shape[0].to_bytes(2, "big") + rgb.shape[1].to_bytes(2, "big") + file.getvalue()
...
...     def decode(self, data):  # bytes -> uint8 [H, W, 3]
...         size = int.from_bytes(data[2:4], "big"), int.from_bytes(data[:2], "big")
...         return np.array(Image.open(io.BytesIO(data[4:])).resize(size))
>>> codec = PluginCodec(Halves(), "halves.py:Halves")
>>> codec.decode(codec.encode(np.zeros((5, 7, 3), np.uint8), 50)).shape
(5, 7, 3)

A third method, `estimate(rgb, setting)`, bytes that the codec's model expects, is optional.

Guarantees: whatever a plug-in raises or returns becomes a `CodecError` of one sentence that names it, so that one item
is left out and not the run. It is given a copy of the samples. A digest of its source file ends its description, so
that what was kept of an older version is not taken for this one's.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...errors import CodecError, InputError
from ..quality.packaged import file_digest
from .codec import IDENTITY

__all__ = ["PluginCodec", "check_parts", "guarded", "is_plugin", "plugin_codec", "plugin_object"]

_WANTED = ("name", "ladder", "description", "encode", "decode")
_SPEC = re.compile(r"(?P<module>.+\.py|[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)", re.DOTALL)


def is_plugin(spec: str) -> bool:
    """Whether a spec has the form of one."""
    return _SPEC.fullmatch(spec) is not None


def plugin_codec(spec: str, sample_rate: int = 0) -> PluginCodec:
    """The codec that a spec names; of sounds if a sample rate (Hz) is given. Running its module is running a program.

    Raises InputError: no such module or file, no such name in it, it fails, or the object lacks something.
    """
    if not is_plugin(spec):
        raise InputError(f"{spec!r} is no plug-in: expected MODULE:NAME or FILE.py:NAME")
    found, shown, digest = plugin_object(spec)
    if isinstance(found, type) or (callable(found) and not all(hasattr(found, part) for part in _WANTED)):
        given = [sample_rate] * bool(sample_rate)
        found = guarded(InputError, f"the plug-in {shown} could not be made", found, *given)
    return PluginCodec(found, shown, f"plug-in {shown}, source digest {digest}", sample_rate)


def plugin_object(spec: str) -> tuple[Any, str, str]:
    """What MODULE:NAME or FILE.py:NAME is, what to call it in errors, the digest of its source. Raises InputError."""
    where, _, name = spec.rpartition(":")
    module, file = plugin_module(where), Path(where).name
    if not hasattr(module, name):
        raise InputError(f"the plug-in {file}:{name}: there is no {name} in {file}")
    source = getattr(module, "__file__", None)
    return getattr(module, name), f"{file}:{name}", file_digest(Path(source)) if source else "unknown"


class PluginCodec:
    """A plug-in with every call guarded: a `Codec`."""

    def __init__(self, codec: Any, shown: str, origin: str = "", sample_rate: int = 0) -> None:
        """codec: the user's object; shown: what to call it in errors; origin: ends the description; sample_rate: of
        sounds in Hz, 0 for pictures. Raises InputError when the object lacks something.
        """
        check_parts(codec, _WANTED, f"the plug-in {shown}")
        for part in ("encode", "decode"):
            if not callable(getattr(codec, part)):
                raise InputError(f"the plug-in {shown}: {part} must be a method")
        if codec.name == IDENTITY:
            raise InputError(f"the plug-in {shown}: the name {IDENTITY} is that of the originals, choose another")
        self.suffix: str = getattr(codec, "suffix", ".bin")
        if not isinstance(self.suffix, str) or not re.fullmatch(r"(\.\w+)+", self.suffix):
            raise InputError(f"the plug-in {shown}: suffix must look like '.abc', not {self.suffix!r}")
        self.name: str = codec.name
        self.ladder = _ladder(codec.ladder, shown)
        self.description = f"{codec.description}; {origin}" if origin else codec.description
        self.sample_rate = sample_rate
        self._codec, self._shown = codec, shown

    def encode(self, samples: np.ndarray, setting: float) -> bytes:
        """A whole file for uint8 [H, W, 3], or for a sound, float32 [T] in [-1, 1]. Raises `CodecError`."""
        setting = int(setting) if float(setting).is_integer() else setting  # a ladder of integers stays one
        data = self._call("encode", samples.copy(), setting)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise CodecError(f"{self.name}: encode must give bytes, not {type(data).__name__}")
        return bytes(data)

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3], or the sound, float32 [T], from nothing but the bytes. Raises `CodecError`."""
        found = self._call("decode", data)
        wanted = "a float32 array [T]" if self.sample_rate else "a uint8 array [H, W, 3]"
        if not isinstance(found, np.ndarray):
            raise CodecError(f"{self.name}: decode must give {wanted}, not {type(found).__name__}")
        if self.sample_rate:
            fits = found.dtype == np.float32 and found.ndim == 1 and bool(np.isfinite(found).all())
        else:
            fits = found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3 and found.size > 0
        if not fits:
            values = " with values that are not finite" if found.dtype == np.float32 and found.ndim == 1 else ""
            raise CodecError(f"{self.name}: decode must give {wanted}, not {found.dtype} {list(found.shape)}{values}")
        return np.ascontiguousarray(found)

    def estimate(self, samples: np.ndarray, setting: float) -> float:
        """Bytes that the plug-in's model expects; `nan` where it has no `estimate`. Raises `CodecError`."""
        if not hasattr(self._codec, "estimate"):
            return math.nan
        value = self._call("estimate", samples.copy(), setting)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise CodecError(f"{self.name}: estimate must give a number, not {type(value).__name__}") from None

    def _call(self, method: str, *arguments: Any) -> Any:
        return guarded(CodecError, f"{self.name}: {method} failed", getattr(self._codec, method), *arguments)


def check_parts(thing: Any, wanted: Sequence[str], shown: str) -> None:
    """Raise InputError unless a user's object has these parts, its name and its description being texts of one line."""
    found = guarded(InputError, f"{shown} could not be looked at", lambda: [hasattr(thing, part) for part in wanted])
    if missing := [part for part, there in zip(wanted, found, strict=True) if not there]:
        raise InputError(f"{shown} has no {', '.join(missing)}: it needs {', '.join(wanted)}")
    for part in ("name", "description"):
        text = getattr(thing, part)
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            raise InputError(f"{shown}: {part} must be a text of one line, not {text!r}")


def guarded(kind: type[CodecError], failed: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a user's function gives; what it raises, as an error of this package: one sentence."""
    try:
        return function(*arguments, **named)
    except (Exception, SystemExit) as error:
        raise kind(f"{failed}: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """An error as part of a sentence: its type, unless it is ours, and the first line of what it says."""
    text, kind = str(error).strip().partition("\n")[0], type(error).__name__
    if not text:
        return kind
    return text if isinstance(error, CodecError) else f"{kind}: {text}"


def _ladder(ladder: Any, shown: str) -> tuple[float, ...]:
    try:
        values = tuple(float(value) for value in ladder)
    except (TypeError, ValueError):
        values = ()
    if not values or not all(map(math.isfinite, values)) or len(set(values)) < len(values):
        raise InputError(f"the plug-in {shown}: ladder must be a sequence of different numbers, not {ladder!r}")
    return values


def plugin_module(name: str) -> ModuleType:
    """The module of a dotted name, or of a file, which is run once in a process."""
    if not name.endswith(".py"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                raise InputError(f"there is no module {name!r} to import: install it, or give FILE.py:NAME") from None
            raise InputError(f"the plug-in {name} could not be imported: {_told(error)}") from error
        except (Exception, SystemExit) as error:
            raise InputError(f"the plug-in {name} could not be imported: {_told(error)}") from error
    path = Path(name).resolve()
    if not path.is_file():
        raise InputError(f"{name}: there is no such file")
    # A name of its own, and in sys.modules before it is run: dataclasses and pickle look their modules up there.
    known = f"_lecodec_plugin_{hashlib.blake2b(str(path).encode(), digest_size=8).hexdigest()}"
    if known in sys.modules:
        return sys.modules[known]
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec is not None and spec.loader is not None  # for a name that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[known] = module
    try:
        guarded(InputError, f"the plug-in {path.name} could not be run", spec.loader.exec_module, module)
    except InputError:
        del sys.modules[known]
        raise
    return module
