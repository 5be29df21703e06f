"""Pillow's way to `.lec` files: a plug-in, registered when this module is imported (`import lecodec` sees to that).

    Image.open("x.lec") -> header and metadata -> .load() -> pixels          im.save("x.lec", quality=60)

Opening reads the header and the metadata only; torch and the model are imported by the first `load`. Modes: L, LA, RGB,
RGBA, and I;16 for 16-bit grey. Pillow has no mode for 16-bit colour or alpha: such files are refused at opening, with
the word that `lecodec.decode` reads them; so are sets of samples. `info` holds `quality` (1 to 100, to two decimals) or
`lossless` (True) and, as for other formats, `icc_profile`, `exif` and `xmp`.

Saving takes `quality=` (60 by default) or one of `bpp=`, `psnr=`, `ssimulacra2=`, `size=` or `lossless=True`,
further `effort=`, `exact_pixels=`, `tile=` and `model=`, all as in `lecodec.encode`, and the metadata by the
conventions of Pillow's plug-ins: `icc_profile=` is that of `im.info` unless given, `exif=` and `xmp=` are written only
if given. Pixels are stored as they lie in memory, unless the EXIF or XMP given says another orientation: then they are
turned, because a `.lec` file is always upright. Of several pictures in a file the one that the image shows is stored,
as by any other plug-in without `save_all`. Pillow loads an image before it has it saved, and what it drops then cannot
be seen any more: of a 16-bit colour picture `im.save("x.lec")` stores 8 bits, and a PNG of 2 or 4 bits with a
transparent grey is refused. `lecodec.encode` takes the path, or the image as `Image.open` gave it, and keeps all that
the file holds.

A damaged file raises the `CodecError` that says what is wrong, which is an OSError, when it is opened or loaded.
"""

from __future__ import annotations

import threading
from typing import IO, Any

from PIL import Image, ImageFile

from ..bitstream import SIGNATURE, Header, LecFile, PictureLayout, SetLayout
from ..errors import InputError, UnsupportedFile

__all__ = ["LecImageFile"]

MODES = {(1, 8, 0): "L", (1, 8, 1): "LA", (3, 8, 0): "RGB", (3, 8, 1): "RGBA", (1, 16, 0): "I;16"}
"""(channels, bit depth, alpha) -> mode."""

_loading = threading.Lock()


class LecImageFile(ImageFile.ImageFile):
    """A `.lec` file opened by Pillow."""

    format = "LEC"
    format_description = "lecodec picture"

    def _open(self) -> None:
        assert self.fp is not None
        self._file = LecFile.open(self.fp)  # type: ignore[arg-type]
        header, metadata = self._file.header, self._file.metadata
        self._mode, self._size = _seen(header)
        if header.lossless:
            self.info["lossless"] = True
        else:
            self.info["quality"] = header.user_quality
        if metadata.icc:
            self.info["icc_profile"] = metadata.icc
        if metadata.exif:
            self.info["exif"] = b"Exif\0\0" + metadata.exif
        if metadata.xmp:
            self.info["xmp"] = metadata.xmp

    def load(self) -> Any:
        """Decode the picture, with the model that the file names, the first time. Raises CodecError."""
        with _loading:  # threads may share an image that is not loaded yet
            self._decode()
        return super().load()

    def _decode(self) -> None:
        if self._im is None and self.fp is not None:
            from .registry import load_for

            self._file.load()  # what is wrong with the file is said before a model is looked for
            samples = load_for(self._file.header).decode(self._file)
            # Not as a "raw" tile, for which Pillow would map the file that it has opened, which is this one.
            self.im = Image.frombytes(self.mode, self.size, samples.tobytes()).im
            self.readonly = 0
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
            del self._file

    def verify(self) -> None:
        """Look at every checksum of the file, decoding nothing. To be called right after opening; closes the file."""
        if self.fp is not None:
            self._file.check()
        super().verify()


def _seen(header: Header) -> tuple[str, tuple[int, int]]:
    """Mode and size. Raises UnsupportedFile for what Pillow has no mode for."""
    layout = header.layout
    if isinstance(layout, SetLayout):
        count, shape = layout.count, list(layout.shape)
        raise UnsupportedFile(f"a set of {count} items of the shape {shape}, not a picture: lecodec.decode reads it")
    if not isinstance(layout, PictureLayout):
        raise UnsupportedFile(f"a {layout.name}, not a picture: lecodec.decode reads it")
    try:
        return MODES[layout.channels, layout.bit_depth, layout.alpha], (layout.width, layout.height)
    except KeyError:
        kind = ("grey" if layout.channels == 1 else "RGB") + (" and alpha" if layout.alpha else "")
        raise UnsupportedFile(
            f"{layout.bit_depth}-bit {kind}, for which Pillow has no mode: lecodec.decode reads it"
        ) from None


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    from .choice import codec_for
    from .codec import EFFORTS, Conflict, Target
    from .media.picture_metadata import info_of, metadata_of, upright
    from .media.pillow_image import shown_samples
    from .media.signal import picture_signal

    given = im.encoderinfo
    exif = given.get("exif")
    samples, _ = shown_samples(im)
    info = {
        "icc_profile": given.get("icc_profile", info_of(im).get("icc_profile")),
        "exif": exif.tobytes() if isinstance(exif, Image.Exif) else exif,
        "xmp": given.get("xmp"),
    }
    metadata, orientation, _ = metadata_of(info, samples)
    lossless, effort = bool(given.get("lossless")), given.get("effort")
    try:
        effort = EFFORTS[0] if effort is None else effort
        exact_pixels = bool(given.get("exact_pixels"))
        target = Target.of(given, lossless=lossless, effort=effort, exact_pixels=exact_pixels)
    except Conflict as conflict:
        if not lossless:
            raise
        raise InputError(f"lossless keeps every sample: {conflict.names[0]} does not go with it") from None
    signal = picture_signal(upright(samples, orientation), metadata, given.get("tile"))
    fp.write(codec_for(signal, target, model=given.get("model")).encode_verified([signal], target)[0])


Image.register_open("LEC", LecImageFile, _accept)
Image.register_save("LEC", _save)
Image.register_extension("LEC", ".lec")
Image.register_mime("LEC", "image/x-lec")
