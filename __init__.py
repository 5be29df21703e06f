"""lecodec: a learned image codec whose files decode to the same latents on every machine.

    picture --encode--> bytes of a .lec file --decode--> samples

The public API, loaded lazily: importing the package imports neither torch nor numpy, `info` never imports torch, and
the first `load`, `encode` or `decode` imports what it needs. Every failure is a `CodecError`, which is an `OSError`.

>>> import lecodec
>>> import numpy as np
>>> picture = np.full((48, 64, 3), 200, dtype=np.uint8)      # [H, W, 3] for RGB, [H, W] for grey
>>> data = lecodec.encode(picture, quality=60)               # also takes a path or a Pillow image
>>> lecodec.decode(data).shape
(48, 64, 3)
>>> lecodec.info(data)["width"]
64

For many pictures, load the model once: `codec = lecodec.load("image")`, then `codec.encode(samples)` and
`codec.decode(data)`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from PIL import Image

    from .codec.image import ImageCodec, load
    from .errors import (
        CodecError,
        CorruptFile,
        InputError,
        LimitExceeded,
        ModelError,
        NotLecFile,
        OutputExists,
        TruncatedFile,
        UnknownModel,
        UnsupportedFile,
    )

__version__ = "0.1.0"

__all__ = [
    "CodecError",
    "CorruptFile",
    "ImageCodec",
    "InputError",
    "LimitExceeded",
    "ModelError",
    "NotLecFile",
    "OutputExists",
    "TruncatedFile",
    "UnknownModel",
    "UnsupportedFile",
    "__version__",
    "decode",
    "encode",
    "info",
    "load",
]

_ELSEWHERE = {"load": ".codec.image", "ImageCodec": ".codec.image"}
"""Public name -> the module that has it; names in `__all__` that are neither here nor below are in `errors`."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_ELSEWHERE.get(name, ".errors"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def encode(
    picture: str | os.PathLike[str] | Image.Image | np.ndarray,
    quality: float = 60,
    *,
    device: str = "cpu",
    model: str | Path | None = None,
) -> bytes:
    """The bytes of a `.lec` file for one picture.

    picture: a path, a Pillow image, or samples `uint8` `[H, W]` or `[H, W, 3]`. quality: 1 (small) to 100 (good).
    device: `"cpu"` or `"cuda"`. model: name or path of a model; the shipped one by default.

    Raises InputError (not a picture, or one that this version cannot carry), LimitExceeded, UnknownModel, ModelError.

    >>> import numpy as np
    >>> len(encode(np.zeros((16, 16), dtype=np.uint8))) > 92
    True
    """
    import numpy as np

    from .codec import image, media

    if isinstance(picture, np.ndarray):
        samples = picture
    elif isinstance(picture, (str, os.PathLike)):
        samples = media.read_picture(picture)
    else:
        samples = media.samples_of(picture)
    return image.load(device=device, model=model).encode(samples, quality=quality)


def decode(
    source: bytes | str | os.PathLike[str], *, device: str = "cpu", model: str | Path | None = None
) -> np.ndarray:
    """The picture in a `.lec` file: `uint8` `[H, W]` (grey) or `[H, W, 3]` (RGB).

    source: the file's bytes or its path. model: name or path; by default the one that the file names is looked for.

    Raises NotLecFile, CorruptFile, UnsupportedFile, LimitExceeded, UnknownModel, and OSError for a path.

    >>> import numpy as np
    >>> decode(encode(np.zeros((5, 7), dtype=np.uint8))).shape
    (5, 7)
    """
    from .codec import image

    data = _bytes_of(source)
    return image.load(device=device, model=model or _model_for(data)).decode(data)


def info(source: bytes | str | os.PathLike[str]) -> dict[str, Any]:
    """What a `.lec` file says of itself, without decoding it and without torch.

    Returns the header's fields by name (digests in hexadecimal, quality as the index 0 to 63), and `bytes` (of the
    whole file, which is read and checked), `bpp` (bits a pixel), `model` (its name; None if no model with the file's
    parse digest is at hand).

    Raises NotLecFile, CorruptFile, UnsupportedFile, LimitExceeded, and OSError for a path.
    """
    from .bitstream import parse
    from .codec.registry import find_by_digest
    from .errors import UnknownModel

    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            parsed = parse(file)
    else:
        parsed = parse(source)
    header = parsed.header
    try:
        model = find_by_digest(header.parse_digest, header.synthesis_digest).name
    except UnknownModel:
        model = None
    bpp = 8 * parsed.size / (header.width * header.height)
    return {**header.as_dict(), "bytes": parsed.size, "bpp": bpp, "model": model}


def _bytes_of(source: bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return file.read()
    return bytes(source)


def _model_for(data: bytes) -> Path:
    """The path of the model that a file names. Raises UnknownModel, or as `info` for a damaged header."""
    from .bitstream import read_header
    from .codec.registry import find_by_digest

    header = read_header(data)
    return find_by_digest(header.parse_digest, header.synthesis_digest).path
