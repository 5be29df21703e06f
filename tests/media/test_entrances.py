"""A picture is the same whichever way it comes in: path, stream, Pillow image; or every way refuses it alike."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import lecodec
from lecodec.codec.media.picture import load_picture
from lecodec.codec.media.pillow_image import picture_of
from lecodec.codec.media.signal import Signal
from lecodec.errors import InputError

WIDTH, HEIGHT = 8, 6
VALUES = np.random.default_rng(5).integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)
RGBA = Image.fromarray((VALUES >> 8).astype(np.uint8))
EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, kind: int, *extra: bytes) -> bytes:
    """A PNG of every depth and colour type; what its samples are follows from VALUES. extra: chunks before them."""
    channels = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}[kind]
    samples = VALUES[..., :channels] >> (16 - depth)
    rows = b""
    for row in samples.reshape(HEIGHT, -1):
        bits = "".join(f"{int(v):0{depth}b}" for v in row)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    colours = chunk(b"PLTE", bytes(range(3 * min(2**depth, 80)))[::-1]) if kind == PALETTE else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, kind, 0, 0, 0))
    body = header + colours + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def clear(depth: int, kind: int) -> bytes:
    """tRNS: the first colour is transparent; of a palette three entries, one of them partly."""
    if kind == PALETTE:
        return chunk(b"tRNS", bytes([255, 0, 77])[: 2**depth])
    first = VALUES[0, 0, : 1 if kind == GREY else 3] >> (16 - depth)
    return chunk(b"tRNS", first.astype(">u2").tobytes())


def saved(mode: str, form: str, **options: object) -> bytes:
    """What Pillow writes of a picture in a mode."""
    if mode.startswith("I"):
        image = Image.fromarray(VALUES[..., 0]) if mode == "I;16" else Image.fromarray(VALUES[..., 0].astype(np.int32))
    elif mode == "F":
        image = Image.fromarray(VALUES[..., 0].astype(np.float32))
    elif mode == "LAB":
        image = Image.frombytes("LAB", (WIDTH, HEIGHT), (VALUES[..., :3] >> 8).astype(np.uint8).tobytes())
    else:
        image = RGBA.convert(mode)
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def netpbm(kind: str, most: int) -> bytes:
    samples = VALUES[..., : 1 if kind == "P5" else 3] % (most + 1)
    return f"{kind} {WIDTH} {HEIGHT} {most}\n".encode() + samples.astype(">u2" if most > 255 else "u1").tobytes()


def several(mode: str, form: str) -> bytes:
    images = [RGBA.convert(mode).rotate(90 * n) for n in range(3)]
    stream = io.BytesIO()
    images[0].save(stream, form, save_all=True, append_images=images[1:])
    return stream.getvalue()


GREYS = [(depth, GREY) for depth in (1, 2, 4, 8, 16)]
PALETTES = [(depth, PALETTE) for depth in (1, 2, 4, 8)]
OTHERS = [(depth, kind) for kind in (COLOUR, GREY_ALPHA, COLOUR_ALPHA) for depth in (8, 16)]
KINDS = ("grey", "", "colour", "palette", "grey and alpha", "", "colour and alpha")
FILES: dict[str, bytes] = {
    **{f"{d}-bit {KINDS[k]} png": png(d, k) for d, k in [*GREYS, *PALETTES, *OTHERS]},
    **{
        f"{d}-bit {KINDS[k]} png, tRNS": png(d, k, clear(d, k))
        for d, k in [*GREYS, *PALETTES, (8, COLOUR), (16, COLOUR)]
    },
    "png, eXIf": png(8, COLOUR, chunk(b"eXIf", EXIF)),
    "png, iCCP": png(8, COLOUR, chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(SRGB))),
    "png, cICP": png(8, COLOUR, chunk(b"cICP", bytes([9, 16, 0, 1]))),
    "png, gAMA": png(8, COLOUR, chunk(b"gAMA", struct.pack(">I", 100000))),
    "png, several": several("RGB", "PNG"),
    "png, damaged": png(8, COLOUR)[:-20] + b"\xff" + png(8, COLOUR)[-19:],
    **{f"{m} tif": saved(m, "TIFF") for m in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "LAB")},
    "I tif": saved("I", "TIFF"),
    "F tif": saved("F", "TIFF"),
    "RGB tif, turned": saved("RGB", "TIFF", tiffinfo={274: 6}),
    "tif, several": several("RGB", "TIFF"),
    **{f"{m} jpg": saved(m, "JPEG") for m in ("L", "RGB", "CMYK")},
    "jpg, turned": saved("RGB", "JPEG", exif=b"Exif\0\0" + EXIF, icc_profile=SRGB),
    "phone's jpg": several("RGB", "MPO"),
    **{f"{m} webp": saved(m, "WEBP", lossless=True) for m in ("RGB", "RGBA")},
    "webp, several": several("RGB", "WEBP"),
    "gif": saved("P", "GIF"),
    "gif, transparent": saved("L", "GIF", transparency=int(VALUES[0, 0, 0] >> 8)),
    "gif, several": several("RGB", "GIF"),
    **{f"{m} bmp": saved(m, "BMP") for m in ("1", "L", "P", "RGB", "RGBA")},
    "RGB jp2": saved("RGB", "JPEG2000"),
    "RGB avif": saved("RGB", "AVIF"),
    **{f"{kind}, {most}": netpbm(kind, most) for kind in ("P5", "P6") for most in (255, 1000, 65535)},
    "RGB tga": saved("RGB", "TGA"),
    "no picture": b"no picture at all",
}
"""By name: files of every kind and mode that there is."""
UNSEEN = {
    "16-bit colour png",
    "16-bit colour png, tRNS",
    "16-bit colour and alpha png",
    "16-bit grey and alpha png",
    "P6, 1000",
    "P6, 65535",
}
"""Of these Pillow keeps 8 bits once it has loaded them, and no record of more."""


def found(read: Callable[[], Signal]) -> tuple[object, ...]:
    """Samples and metadata, or the sentence of the refusal."""
    try:
        signal = read()
    except InputError as error:
        assert "\n" not in str(error) and str(error)
        return (str(error),)
    return signal.samples.dtype, signal.samples.shape, signal.samples.tobytes(), signal.metadata


def image_of(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("name", FILES)
def test_a_file_and_an_image_opened_from_it_are_the_same_picture(name: str, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(FILES[name])
    expected = found(lambda: load_picture(tmp_path / "p"))
    assert found(lambda: load_picture(str(tmp_path / "p"))) == expected
    assert found(lambda: load_picture(io.BytesIO(FILES[name]))) == expected
    if name in ("no picture", "RGB tga"):  # Pillow opens more kinds of files, and what it gives is taken
        assert "not a picture of a kind that can be read" in str(expected[0])
        return
    for source in (tmp_path / "p", io.BytesIO(FILES[name])):
        with Image.open(source) as image:
            assert found(lambda image=image: picture_of(image)) == expected
            assert found(lambda image=image: picture_of(image)) == expected  # it is as it was
            if len(expected) > 1:
                assert image.load() is not None


@pytest.mark.parametrize("name", FILES)
def test_an_image_that_is_loaded_has_the_same_samples_or_is_refused(name: str) -> None:
    try:
        image = image_of(FILES[name])
        image.load()
    except OSError:
        return  # Pillow's own refusal
    expected = found(lambda: load_picture(io.BytesIO(FILES[name])))
    for shown in (image, image.copy()):
        samples = found(lambda shown=shown: picture_of(shown))
        if len(samples) == 1:
            assert len(expected) == 1 or any(why in str(samples[0]) for why in ("transparent grey", "32-bit"))
        elif name in UNSEEN:
            assert samples[:2] == (np.uint8, expected[1][:2] + samples[1][2:])
        elif len(expected) > 1:
            assert samples[:3] == expected[:3]


@pytest.mark.parametrize("depth", [2, 4])
def test_the_transparent_grey_of_a_shallow_png_is_placed_or_refused(depth: int, tmp_path: Path) -> None:
    """Pillow's image has 8 bits, its info the grey of 2 or 4: it stood for another grey, or for none."""
    data = png(depth, GREY, clear(depth, GREY))
    samples = load_picture(io.BytesIO(data)).samples
    first = VALUES[..., 0] >> (16 - depth)
    assert np.array_equal(samples[..., 1] == 0, first == first[0, 0]) and (samples[..., 1] == 0).any()
    assert np.array_equal(lecodec.decode(lecodec.encode(image_of(data), lossless=True)), samples)
    touched = image_of(data)
    touched.load()
    for image in (touched, touched.copy()):
        with pytest.raises(InputError, match="transparent grey"):
            lecodec.encode(image, lossless=True)
        with pytest.raises(InputError, match="transparent grey"):
            image.save(tmp_path / "x.lec", lossless=True)
    with pytest.raises(InputError, match="transparent grey"):
        image_of(data).save(tmp_path / "x.lec", lossless=True)
    assert not (tmp_path / "x.lec").exists()


def test_a_low_transparent_grey_of_8_bits_is_taken_for_what_it_is() -> None:
    grey = Image.fromarray(np.array([[3, 17, 34], [51, 68, 255]], np.uint8))
    grey.info["transparency"] = 3
    assert picture_of(grey).samples[..., 1].tolist() == [[0, 255, 255], [255, 255, 255]]
    grey.putpixel((0, 0), 0)
    grey.info["transparency"] = 5  # 85, were it of 4 bits, which is none of the samples either
    assert (picture_of(grey).samples[..., 1] == 255).all()


@pytest.mark.parametrize("loaded", [False, True])
def test_the_transparent_grey_of_16_bits_is_kept_by_every_entrance(loaded: bool, tmp_path: Path) -> None:
    """It was lost by the Pillow form and by save."""
    data = png(16, GREY, clear(16, GREY))
    samples = load_picture(io.BytesIO(data)).samples
    assert samples.shape == (HEIGHT, WIDTH, 2) and (samples[..., 1] == 0).sum() == 1
    image = image_of(data)
    if loaded:
        image.load()
    image.save(tmp_path / "x.lec", lossless=True)
    assert np.array_equal(lecodec.decode(tmp_path / "x.lec"), samples)
    assert np.array_equal(lecodec.decode(lecodec.encode(image, lossless=True)), samples)


def test_what_was_changed_before_loading_counts() -> None:
    """Such an image is no longer its file: what Pillow makes of it is taken, or it is refused."""
    image = image_of(FILES["8-bit colour png"])
    image.info["icc_profile"] = SRGB
    assert picture_of(image).metadata.icc == SRGB
    image = image_of(FILES["RGB jpg"])
    image.draft("L", (4, 3))
    assert picture_of(image).samples.ndim == 2
    image = image_of(FILES["16-bit colour png"])
    image.info["icc_profile"] = SRGB
    with pytest.raises(InputError, match="16 bits.*path"):
        picture_of(image)
    image = image_of(FILES["4-bit grey png, tRNS"])
    image.info["note"] = "changed"
    with pytest.raises(InputError, match="transparent grey"):
        picture_of(image)


def test_of_several_pictures_none_is_taken_without_a_word() -> None:
    for name in ("png, several", "tif, several", "webp, several", "gif, several"):
        image = image_of(FILES[name])
        image.seek(1)
        with pytest.raises(InputError, match="holds 3 pictures.*copy"):
            picture_of(image)
        assert np.array_equal(picture_of(image.copy()).samples, np.asarray(image.convert(image.copy().mode)))


@pytest.mark.parametrize("mode", ["La", "RGBa", "RGBX", "PA", "HSV", "YCbCr", "CMYK", "1", "I;16B", "I", "F", "LAB"])
def test_saving_an_image_gives_what_encoding_it_gives(mode: str, tmp_path: Path) -> None:
    if mode in ("I", "F", "LAB", "I;16B"):
        image = Image.new(mode, (WIDTH, HEIGHT), 300 if mode == "I;16B" else 0)
    else:
        image = RGBA.convert("LA").convert("La") if mode == "La" else RGBA.convert(mode)
    try:
        data = lecodec.encode(image, lossless=True)
    except InputError as refusal:
        assert mode in ("I", "F", "LAB")
        with pytest.raises(InputError) as caught:
            image.save(tmp_path / "x.lec", lossless=True)
        assert str(caught.value) == str(refusal)
    else:
        image.save(tmp_path / "x.lec", lossless=True)
        assert (tmp_path / "x.lec").read_bytes() == data


@pytest.mark.parametrize("wrong", [b"bytes", io.BytesIO(FILES["RGB bmp"]), None, [[1]]])
def test_what_is_neither_a_path_nor_a_picture_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match=f"a path, a Pillow image or samples, not {type(wrong).__name__}"):
        lecodec.encode(wrong)  # type: ignore[arg-type]
