"""lecodec: a file compressor with learned models, lossy and lossless, whose files decode alike on every machine.

    picture --encode--> bytes of a .lec file --decode--> samples
    set of samples --encode_set--> bytes of a .lec file --decode--> the same samples

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

>>> exact = lecodec.encode(picture, lossless=True)
>>> bool((lecodec.decode(exact) == picture).all())
True

For many pictures, load the model once: `codec = lecodec.load("image")`, then `codec.encode(samples)` and
`codec.decode(data)`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .codec.pillow_register import register as _register

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from PIL import Image
    from torch import Tensor

    from .bitstream import LecFile
    from .codec.dataset import LecClips, LecDataset, RandomCompression, RandomSoundCompression
    from .codec.image import ImageCodec
    from .codec.lossless import LosslessCodec
    from .codec.registry import load
    from .codec.sound import SoundCodec
    from .codec.sound_lossless import LosslessSoundCodec
    from .codec.sound_stream import SoundDecoder, SoundEncoder
    from .codec.stream import LecStream
    from .codec.video_file import Video
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

if __name__ == "lecodec":  # not where pytest imports the root once more, under its folder's name
    _register()

__version__ = "0.1.0"

__all__ = [
    "CodecError",
    "CorruptFile",
    "ImageCodec",
    "InputError",
    "LecClips",
    "LecDataset",
    "LecStream",
    "LimitExceeded",
    "LosslessCodec",
    "ModelError",
    "NotLecFile",
    "LosslessSoundCodec",
    "OutputExists",
    "RandomCompression",
    "RandomSoundCompression",
    "SoundCodec",
    "SoundDecoder",
    "SoundEncoder",
    "TruncatedFile",
    "UnknownModel",
    "UnsupportedFile",
    "Video",
    "__version__",
    "decode",
    "encode",
    "encode_set",
    "encode_sound",
    "info",
    "load",
]

_ELSEWHERE = {
    "load": ".codec.registry",
    "LosslessCodec": ".codec.lossless",
    "ImageCodec": ".codec.image",
    "LecClips": ".codec.dataset",
    "LecDataset": ".codec.dataset",
    "LecStream": ".codec.stream",
    "RandomCompression": ".codec.dataset",
    "Video": ".codec.video_file",
    "RandomSoundCompression": ".codec.dataset",
    "LosslessSoundCodec": ".codec.sound_lossless",
    "SoundCodec": ".codec.sound",
    "SoundDecoder": ".codec.sound_stream",
    "SoundEncoder": ".codec.sound_stream",
}
"""Public name -> the module that has it; names in `__all__` that are neither here nor below are in `errors`."""
_IN_TORCH = (".codec.dataset", ".codec.stream")
"""Modules that need torch: its data sets."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if _ELSEWHERE.get(name) in _IN_TORCH:
        from .errors import needed

        needed("torch", "torch", name)
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
    kbps: float | None = None,
    psnr: float | None = None,
    ssimulacra2: float | None = None,
    size: int | None = None,
    tile: int | None = None,
    strip: bool = False,
    lossless: bool = False,
    effort: int = 1,
    exact_pixels: bool = False,
    device: str = "cpu",
    model: str | Path | None = None,
) -> bytes:
    """The bytes of a `.lec` file for one picture, video or sound.

    picture: a path, also of a video or a sound (by its suffix), a Pillow image (as
    `Image.open` gave it: its file is read), or samples `uint8` or `uint16`, `[H, W]` (grey), `[H, W, 2]` (grey and
    alpha), `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA). At most one of: quality, 1 (small) to 100 (good), 60 by default;
    bpp, bits a pixel; kbps, thousand bits a second of a video or a sound; psnr, dB; ssimulacra2, a score up to 100
    (needs the extra `eval`); size, the most bytes. tile: side of the tiles in pixels, 0 for none, None for what suits
    the picture. strip: leave out EXIF, XMP and the ICC profile. lossless: keep every sample as it is; with no quality,
    bpp, psnr, ssimulacra2 or size then. effort: 1, as fast as it goes, to 9, about 14 times as long and the smallest
    file for its PSNR. exact_pixels: every machine decodes the same samples of a picture, and checks them; slower.
    device: `"cpu"` or `"cuda"`. model: name or path of a model; the shipped one by default. See `ImageCodec.encode` for
    how near targets are met.

    Raises InputError (not a picture, one that cannot be carried, a target out of reach), LimitExceeded, UnknownModel,
    ModelError.

    >>> import numpy as np
    >>> len(encode(np.zeros((16, 16), dtype=np.uint8))) > 92
    True
    """
    import numpy as np

    from .bitstream import Metadata
    from .codec.choice import codec_for
    from .codec.codec import Target
    from .codec.media.medium import PICTURE, SOUND, VIDEO, medium_of_file
    from .codec.media.picture import load_picture
    from .codec.media.pillow_image import picture_of
    from .codec.media.signal import picture_signal
    from .errors import InputError

    wanted = {"quality": quality, "bpp": bpp, "kbps": kbps, "psnr": psnr, "ssimulacra2": ssimulacra2, "size": size}
    target = Target.of(wanted, lossless=lossless, effort=effort, exact_pixels=exact_pixels)
    metadata = Metadata()
    if isinstance(picture, np.ndarray):
        samples = picture
    else:
        is_path = isinstance(picture, (str, os.PathLike))
        medium = medium_of_file(os.fspath(picture)) if isinstance(picture, (str, os.PathLike)) else PICTURE
        if medium in (VIDEO, SOUND) and isinstance(picture, (str, os.PathLike)):
            if tile is not None:
                raise InputError(f"tiles are of pictures, and {os.fspath(picture)} is a {medium.name}")
            signal = medium.read(picture)
            return codec_for(signal, target, device, model=model).encode_verified([signal], target)[0]
        if not is_path and not hasattr(picture, "getbands"):
            how = ": x.permute(1, 2, 0).cpu().numpy() of one [C, H, W]" * hasattr(picture, "permute")
            raise InputError(f"expected a path, a Pillow image or samples, not {type(picture).__name__}{how}")
        loaded = load_picture(picture) if is_path else picture_of(picture)
        samples, metadata = loaded.samples, loaded.metadata
    if strip:
        metadata = Metadata(primaries=metadata.primaries, transfer=metadata.transfer)
    signal = picture_signal(samples, metadata, tile)
    return codec_for(signal, target, device, model=model).encode_verified([signal], target)[0]


def encode_set(
    samples: np.ndarray | str | os.PathLike[str],
    items: int | None = None,
    *,
    device: str = "cpu",
    model: str | Path | None = None,
) -> bytes:
    """The bytes of a `.lec` file for a set of samples, every one of them kept as it is.

    samples: `uint8` or `uint16` `[N, ...]`, N items of one shape; or the path of an `.npy`, `.npz` or idx file, or of a
    folder of equal-sized pictures. items: in each block, that is, what is decoded together where single items are asked
    for; 512 by default, more if they are tiny, fewer if large. device: `"cpu"` or `"cuda"`. model: name or path of a
    model; by default, of those found for items of this shape, the one that makes the smallest file, or none.

    Raises InputError (not a set, or one that cannot be carried), LimitExceeded, UnknownModel, ModelError, and OSError
    for a path.

    >>> import numpy as np
    >>> ramps = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    >>> data = encode_set(ramps, items=4)
    >>> decode(data).shape, decode(data, items=[7]).tolist()
    ((10, 2, 3), [[[42, 43, 44], [45, 46, 47]]])
    """
    from .codec.choice import codec_for
    from .codec.codec import Target
    from .codec.media.signal import set_signal

    if isinstance(samples, (str, os.PathLike)):
        from .codec.media.sets import load_set

        samples = load_set(samples).samples
    signal, target = set_signal(samples, items), Target("lossless")
    return codec_for(signal, target, device, model=model).encode_verified([signal], target)[0]


def encode_sound(
    sound: np.ndarray | Tensor | str | os.PathLike[str],
    sample_rate: int | None = None,
    quality: float | None = None,
    *,
    kbps: float | None = None,
    size: int | None = None,
    segment: float | None = None,
    lossless: bool = False,
    device: str = "cpu",
    model: str | Path | None = None,
) -> bytes:
    """The bytes of a `.lec` file for one sound.

    sound: samples, an array `[n]` or `[n, channels]` or a tensor `[n]` or `[channels, n]` as torchaudio has them,
    floats in [-1, 1] or integers of 8, 16 or 32 bits; or a path. sample_rate: in Hz, of samples. At most one of:
    quality, 1 to 100, 60 by default; kbps, thousand bits a second; size, the most bytes. segment: seconds of each
    segment, which decodes alone, 10 by default. lossless: keep every sample; without, of more than two channels of a
    file a mix is made. device: `"cpu"` or `"cuda"`. model: name or path.

    Raises InputError, LimitExceeded, UnknownModel, ModelError, and OSError for a path.

    >>> import numpy as np
    >>> steps = np.arange(600, dtype=np.int16).reshape(300, 2)
    >>> bool((decode(encode_sound(steps, 8000, lossless=True)) == steps).all())
    True
    """
    from .codec.choice import codec_for
    from .codec.codec import Target
    from .codec.media.sound_files import load_sound
    from .codec.media.sound_signal import array_signal, in_segments
    from .errors import InputError

    target = Target.of({"quality": quality, "kbps": kbps, "size": size}, lossless=lossless)
    if isinstance(sound, (str, os.PathLike)):
        if sample_rate is not None:
            raise InputError("a file says its sample rate itself")
        signal = load_sound(sound)
        signal = signal if segment is None else in_segments(signal, segment)
    elif sample_rate is None:
        raise InputError("samples need a sample rate")
    else:
        signal = array_signal(sound, sample_rate, segment)
    return codec_for(signal, target, device, model=model).encode_verified([signal], target)[0]


def decode(
    source: bytes | str | os.PathLike[str],
    *,
    region: tuple[int, int, int, int] | None = None,
    items: Sequence[int] | None = None,
    device: str = "cpu",
    model: str | Path | None = None,
) -> np.ndarray:
    """The picture in a `.lec` file, or the set: `uint8` or `uint16`, shaped as `encode` or `encode_set` takes it; of a
    sound its samples, float32 [n, channels], or without loss what they were; of a video all of its frames, uint8
    [N, H, W, 3] (`Video` decodes them one by one).

    source: the file's bytes or its path. region: (x, y, width, height) in pixels, of a part of a picture. items:
    numbers of items of a set, from 0. Of a path only what the part needs is read. model: name or path; by default the
    one that the file names is looked for.

    Raises NotLecFile, CorruptFile, UnsupportedFile, LimitExceeded, UnknownModel, InputError (region, items), and
    OSError for a path.

    >>> import numpy as np
    >>> data = encode(np.zeros((5, 7), dtype=np.uint8))
    >>> decode(data).shape, decode(data, region=(1, 1, 4, 2)).shape
    ((5, 7), (2, 4))
    """
    from .bitstream import LecFile
    from .codec.registry import load_for
    from .errors import InputError

    file = LecFile.open(source)
    if region is None and items is None:
        file.load()  # what is wrong with the file is said before a model is looked for
    codec = load_for(file.header, device, model=model)
    if items is None:
        return codec.decode(file) if region is None else codec.decode_region(file, region)
    if region is not None:
        raise InputError("a region is of a picture, items are of a set: ask for one of them")
    return codec.decode_items(file, items)


def info(source: bytes | str | os.PathLike[str] | LecFile) -> dict[str, Any]:
    """What a `.lec` file says of itself, without decoding it and without torch.

    Returns the header's fields by name (digests in hexadecimal, quality as the index 0 to 63), and `user_quality` (1 to
    100, as `encode` takes it; None without loss), `lossless`, `tiles` (how many tiles or blocks), `items` (how many a
    set has), `item_shape` and `block_items` (all three None of a picture), `methods` (how many blocks and exact tiles
    were coded how; None where there are none), `parts` (of a video: bytes of its frames by what they are coded from,
    and of all else; None of other media), `icc_bytes`, `exif_bytes`, `xmp_bytes` (of the metadata, as it was before it
    was deflated), `bytes` (of the whole file, which is read and checked), `bpp` (bits a pixel), `bpd` (bits a sample,
    alpha counted), `model` (its name; None if no model with the file's parse digest is at hand, or if none is needed).

    Raises NotLecFile, CorruptFile, UnsupportedFile, LimitExceeded, and OSError for a path.
    """
    from .bitstream import LecFile
    from .codec.registry import find_by_digest
    from .errors import UnknownModel

    file, parts = LecFile.open(source), None
    if file.layout.name == "video":
        from .bitstream.video_parts import video_parts

        parts = video_parts(file)
    file.check()
    header, metadata = file.header, file.metadata
    try:
        model = find_by_digest(header.parse_digest, header.synthesis_digest).name
    except UnknownModel:
        model = None
    return {
        **header.as_dict(),
        **header.facts(file.size),
        "tiles": header.layout.units,
        "methods": file.methods(),
        "parts": parts,
        "icc_bytes": len(metadata.icc),
        "exif_bytes": len(metadata.exif),
        "xmp_bytes": len(metadata.xmp),
        "bytes": file.size,
        "model": model,
    }
