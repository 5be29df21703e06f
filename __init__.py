"""lecodec: a learned image codec whose files decode to the same latents on every machine.

    picture --encode--> bytes of a .lec file --decode--> samples

The public API, loaded lazily: importing the package imports neither torch nor numpy, `info` never imports torch, and
the first `load`, `encode` or `decode` imports what it needs. Importing it also teaches Pillow to read and write `.lec`
(see `codec.pillow`). Every failure is a `CodecError`, which is an `OSError`.

>>> import lecodec
>>> import numpy as np
>>> picture = np.full((48, 64, 3), 200, dtype=np.uint8)      # [H, W] grey, [H, W, 3] RGB, one more channel for alpha
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

from .codec import pillow as _pillow  # noqa: F401 - importing it registers the plug-in

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from PIL import Image

    from .codec.dataset import LecDataset, RandomCompression
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
    "LecDataset",
    "LimitExceeded",
    "ModelError",
    "NotLecFile",
    "OutputExists",
    "RandomCompression",
    "TruncatedFile",
    "UnknownModel",
    "UnsupportedFile",
    "__version__",
    "decode",
    "encode",
    "info",
    "load",
]

_ELSEWHERE = {
    "load": ".codec.image",
    "ImageCodec": ".codec.image",
    "LecDataset": ".codec.dataset",
    "RandomCompression": ".codec.dataset",
}
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
    quality: float | None = None,
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    size: int | None = None,
    tile: int | None = None,
    strip: bool = False,
    device: str = "cpu",
    model: str | Path | None = None,
) -> bytes:
    """The bytes of a `.lec` file for one picture.

    picture: a path, a Pillow image, or samples `uint8` or `uint16`, `[H, W]` (grey), `[H, W, 2]` (grey and alpha),
    `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA). At most one of: quality, 1 (small) to 100 (good), 60 by default; bpp, bits
    a pixel; psnr, dB; size, the most bytes. tile: side of the tiles in pixels, 0 for none, None for what suits the
    picture. strip: leave out EXIF, XMP and the ICC profile. device: `"cpu"` or `"cuda"`. model: name or path of a
    model; the shipped one by default. See `ImageCodec.encode` for how near the targets are met.

    Raises InputError (not a picture, one that cannot be carried, a target out of reach), LimitExceeded, UnknownModel,
    ModelError.

    >>> import numpy as np
    >>> len(encode(np.zeros((16, 16), dtype=np.uint8))) > 92
    True
    """
    import numpy as np

    from .bitstream import Metadata
    from .codec import image, media
    from .errors import InputError

    metadata = Metadata()
    if isinstance(picture, np.ndarray):
        samples = picture
    else:
        is_path = isinstance(picture, (str, os.PathLike))
        if not is_path and not hasattr(picture, "getbands"):
            raise InputError(f"expected a path, a Pillow image or samples, not {type(picture).__name__}")
        loaded = media.load_picture(picture) if is_path else media.picture_of(picture)
        samples, metadata = loaded.samples, loaded.metadata
    if strip:
        metadata = Metadata(primaries=metadata.primaries, transfer=metadata.transfer)
    codec = image.load(device=device, model=model)
    return codec.encode(samples, quality, bpp=bpp, psnr=psnr, size=size, tile=tile, metadata=metadata)


def decode(
    source: bytes | str | os.PathLike[str],
    *,
    region: tuple[int, int, int, int] | None = None,
    device: str = "cpu",
    model: str | Path | None = None,
) -> np.ndarray:
    """The picture in a `.lec` file: `uint8` or `uint16`, shaped as `encode` takes it.

    source: the file's bytes or its path. region: (x, y, width, height) in pixels, of a part; of a path only what the
    part needs is read. model: name or path; by default the one that the file names is looked for.

    Raises NotLecFile, CorruptFile, UnsupportedFile, LimitExceeded, UnknownModel, InputError (region), and OSError for a
    path.

    >>> import numpy as np
    >>> data = encode(np.zeros((5, 7), dtype=np.uint8))
    >>> decode(data).shape, decode(data, region=(1, 1, 4, 2)).shape
    ((5, 7), (2, 4))
    """
    from .bitstream import read_header
    from .codec.image import load_for

    if region is None:
        data = _bytes_of(source)
        return load_for(read_header(data), device, model=model).decode(data)
    if not isinstance(source, (str, os.PathLike)):
        return load_for(read_header(source), device, model=model).decode_region(source, region)
    with open(source, "rb") as file:
        codec = load_for(read_header(file), device, model=model)
        file.seek(0)
        return codec.decode_region(file, region)


def info(source: bytes | str | os.PathLike[str]) -> dict[str, Any]:
    """What a `.lec` file says of itself, without decoding it and without torch.

    Returns the header's fields by name (digests in hexadecimal, quality as the index 0 to 63), and `user_quality` (1 to
    100, as `encode` takes it), `tiles` (how many),
    `icc_bytes`, `exif_bytes`, `xmp_bytes` (of the metadata, as it was before it was deflated), `bytes` (of the whole
    file, which is read and checked), `bpp` (bits a pixel), `model` (its name; None if no model with the file's parse
    digest is at hand).

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
    header, metadata = parsed.header, parsed.metadata
    try:
        model = find_by_digest(header.parse_digest, header.synthesis_digest).name
    except UnknownModel:
        model = None
    return {
        **header.as_dict(),
        "user_quality": header.user_quality,
        "tiles": header.tiles,
        "icc_bytes": len(metadata.icc),
        "exif_bytes": len(metadata.exif),
        "xmp_bytes": len(metadata.xmp),
        "bytes": parsed.size,
        "bpp": 8 * parsed.size / (header.width * header.height),
        "model": model,
    }


def _bytes_of(source: bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(source, (str, os.PathLike)):
        from .bitstream import read_checked

        with open(source, "rb") as file:
            return read_checked(file)
    return bytes(source)
