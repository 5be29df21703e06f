"""Picture files: what is read comes back sample by sample, what cannot be carried is refused."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from lecodec.bitstream.metadata import Metadata
from lecodec.codec.media.picture import load_picture, read_picture
from lecodec.codec.media.picture_write import fit_depth, metadata_lost, picture_format, write_picture
from lecodec.codec.media.pillow_image import picture_of
from lecodec.codec.media.tiff import write_tiff
from lecodec.errors import CodecError, InputError, LimitExceeded, OutputExists


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def written(samples: np.ndarray, **options: Any) -> io.BytesIO:
    """A stream that `write_picture` has written, wound back."""
    stream = io.BytesIO()
    write_picture(samples, stream, **options)
    stream.seek(0)
    return stream


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def deep_png(samples: np.ndarray, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A 16-bit PNG, which Pillow cannot write (and opens as 8-bit when it has several channels)."""
    height, width = samples.shape[:2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[1 if samples.ndim == 2 else samples.shape[2]]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, int(interlaced))
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for part in passes if part.size for row in part)
    data = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows))
    return PNG + data + png_chunk(b"IEND", b"")


def deep(picture: np.ndarray, channels: int) -> np.ndarray:
    """16-bit samples whose low bytes matter, `[50, 70]` or `[50, 70, channels]`."""
    noise = np.random.default_rng(3).integers(0, 256, (50, 70, 4), dtype=np.uint16)
    samples = (np.dstack([picture, picture[:, :, :1]]).astype(np.uint16) << 8) + noise
    return samples[:, :, 0] if channels == 1 else np.ascontiguousarray(samples[:, :, :channels])


def refusal(path: Path | io.BytesIO) -> str:
    with pytest.raises(InputError) as caught:
        read_picture(path)
    text = str(caught.value)
    assert text and "\n" not in text
    return text


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".ppm", ".webp"])
@pytest.mark.parametrize("grey", [False, True])
def test_lossless_formats_come_back_as_they_went(tmp_path: Path, picture: np.ndarray, suffix: str, grey: bool) -> None:
    samples = picture[:, :, 0] if grey else picture
    write_picture(samples, tmp_path / f"p{suffix}")
    back = read_picture(tmp_path / f"p{suffix}")
    if grey and suffix == ".webp":  # a format without grey
        back = back[:, :, 0]
    assert back.dtype == np.uint8
    assert np.array_equal(back, samples)


def test_jpeg_is_written_when_asked_for(tmp_path: Path, picture: np.ndarray) -> None:
    write_picture(picture, tmp_path / "p.jpg")
    back = read_picture(tmp_path / "p.jpg")
    assert back.shape == picture.shape
    assert np.abs(back.astype(int) - picture).mean() < 6


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_one_pixel_sides(tmp_path: Path, size: tuple[int, int]) -> None:
    samples = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)
    write_picture(samples, tmp_path / "p.png")
    assert np.array_equal(read_picture(tmp_path / "p.png"), samples)


def test_streams(picture: np.ndarray) -> None:
    stream = io.BytesIO()
    write_picture(picture, stream)
    size = stream.tell()
    stream.seek(0)
    read = load_picture(stream)
    assert np.array_equal(read.samples, picture)
    assert read.file_bytes == size
    assert not stream.closed


def test_a_named_pipe_is_read_like_a_file(tmp_path: Path, picture: np.ndarray) -> None:
    write_picture(picture, tmp_path / "p.png")
    end, start = os.pipe()
    with os.fdopen(start, "wb") as file:
        file.write((tmp_path / "p.png").read_bytes()[:60000])
    try:
        assert np.array_equal(read_picture(f"/dev/fd/{end}"), picture)
    finally:
        os.close(end)


# -- what is converted


def test_palette_bilevel_and_cmyk_are_converted(tmp_path: Path, picture: np.ndarray) -> None:
    palette = Image.fromarray(picture).quantize(16)
    back = read_picture(saved(palette, tmp_path / "palette.png"))
    assert np.array_equal(back, np.asarray(palette.convert("RGB")))

    bilevel = Image.fromarray(picture).convert("1")
    back = read_picture(saved(bilevel, tmp_path / "bilevel.png"))
    assert back.ndim == 2 and set(np.unique(back)) == {0, 255}

    cmyk = Image.fromarray(picture).convert("CMYK")
    assert read_picture(saved(cmyk, tmp_path / "cmyk.tif")).shape == picture.shape
    plain = picture_of(cmyk)
    assert np.array_equal(plain.samples, np.asarray(cmyk.convert("RGB")))
    assert "plain formula" in plain.notes[0]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("opaque", [False, True])
def test_alpha_is_kept_also_where_opaque_and_colour_where_transparent(
    tmp_path: Path, picture: np.ndarray, mode: str, suffix: str, opaque: bool
) -> None:
    samples = np.dstack([picture[:, :, :1] if mode == "LA" else picture, np.full((50, 70, 1), 255, np.uint8)])
    if not opaque:
        samples[:, ::3, -1] = 0
        samples[::4, 1::3, -1] = 77
    write_picture(samples, tmp_path / f"p{suffix}")
    back = read_picture(tmp_path / f"p{suffix}")
    if suffix == ".webp":  # without grey, and lossless WebP leaves out alpha that is opaque
        samples = np.asarray(Image.fromarray(samples).convert("RGB" if opaque else "RGBA"))
    assert np.array_equal(back, samples)


def test_transparent_palette_entries_and_colours_become_alpha(tmp_path: Path, picture: np.ndarray) -> None:
    palette = Image.fromarray(picture).quantize(8)
    used = int(np.asarray(palette)[0, 0])
    back = read_picture(saved(palette, tmp_path / "palette.png", transparency=used))
    assert np.array_equal(back[:, :, :3], np.asarray(palette.convert("RGB")))
    assert np.array_equal(back[:, :, 3] == 0, np.asarray(palette) == used)
    assert set(np.unique(back[:, :, 3])) == {0, 255}

    key = tuple(int(v) for v in picture[4, 5])
    back = read_picture(saved(Image.fromarray(picture), tmp_path / "key.png", transparency=key))
    assert np.array_equal(back[:, :, :3], picture)
    assert np.array_equal(back[:, :, 3] == 0, (picture == picture[4, 5]).all(axis=2))

    grey = picture[:, :, 0]
    back = read_picture(saved(Image.fromarray(grey), tmp_path / "grey.png", transparency=int(grey[3, 3])))
    assert np.array_equal(back, np.dstack([grey, np.where(grey == grey[3, 3], 0, 255)]))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_transparent_grey_of_a_shallow_png_is_stretched_like_the_others(depth: int) -> None:
    """Pillow stretches the samples of such a PNG to 8 bits, but not the value that is transparent."""
    values = [0, 1] if depth == 1 else [0, 1, 2, 3]
    row = (sum(value << (16 - depth * (n + 1)) for n, value in enumerate(values))).to_bytes(2, "big")
    row = row[: -(-depth * len(values) // 8)]
    header = struct.pack(">IIBBBBB", len(values), 1, depth, 0, 0, 0, 0)
    data = PNG + png_chunk(b"IHDR", header) + png_chunk(b"tRNS", struct.pack(">H", 1))
    data += png_chunk(b"IDAT", zlib.compress(b"\0" + row)) + png_chunk(b"IEND", b"")
    back = read_picture(io.BytesIO(data))
    stretch = 255 // (2**depth - 1)
    assert back.tolist() == [[[value * stretch, 0 if value == 1 else 255] for value in values]]


def test_premultiplied_alpha_becomes_straight(picture: np.ndarray) -> None:
    straight = Image.fromarray(np.dstack([picture, np.full((50, 70), 128, np.uint8)]))
    back = picture_of(straight.convert("RGBa")).samples
    assert back.shape == (50, 70, 4)
    assert np.abs(back.astype(int) - np.asarray(straight)).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_orientation_is_applied(tmp_path: Path, picture: np.ndarray, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {}
    path = saved(Image.fromarray(picture), tmp_path / f"p{suffix}", exif=exif, **options)
    expected = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: picture.transpose(1, 0, 2)[:, ::-1],
        7: picture[::-1, ::-1].transpose(1, 0, 2),
        8: picture.transpose(1, 0, 2)[::-1],
    }[orientation]
    assert np.array_equal(read_picture(path), expected)


def test_of_an_mpo_the_main_picture_is_taken(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    path = saved(image, tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[image.resize((8, 8))])
    assert read_picture(path).shape == picture.shape


# -- 16 bits


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_is_read_exactly(picture: np.ndarray, channels: int, interlaced: bool) -> None:
    samples = deep(picture, channels)
    back = read_picture(io.BytesIO(deep_png(samples, interlaced)))
    assert back.dtype == np.uint16 and back.flags.c_contiguous
    assert np.array_equal(back, samples)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_transparent_colour_of_a_sixteen_bit_png_is_compared_in_full(picture: np.ndarray, channels: int) -> None:
    samples = deep(picture, channels)
    samples[0, 0] = samples[9, 9] + 1  # differs in the low bytes only
    extra = png_chunk(b"tRNS", np.atleast_1d(samples[9, 9]).astype(">u2").tobytes())
    back = read_picture(io.BytesIO(deep_png(samples, extra=extra)))
    alpha = np.where((samples == samples[9, 9]).reshape(50, 70, -1).all(axis=2), 0, 65535)
    assert alpha[0, 0] == 65535
    assert np.array_equal(back, np.dstack([samples, alpha]))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_are_written_and_come_back(
    tmp_path: Path, picture: np.ndarray, channels: int, suffix: str
) -> None:
    samples = deep(picture, channels)
    if suffix == ".ppm" and channels in (2, 4):
        with pytest.raises(InputError, match="PPM holds no alpha.*PNG or TIFF"):
            write_picture(samples, tmp_path / "p.ppm")
        return
    write_picture(samples, tmp_path / f"p{suffix}")
    back = read_picture(tmp_path / f"p{suffix}")
    assert back.dtype == np.uint16
    assert np.array_equal(back, samples)


def test_a_large_sixteen_bit_png_goes_from_block_to_block() -> None:
    """More than the megabyte of rows that are filtered at once, and more than one IDAT chunk."""
    samples = np.random.default_rng(1).integers(0, 65536, (300, 400, 3), dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        stream = written(samples, kind=kind)
        assert np.array_equal(read_picture(stream), samples), kind


@pytest.mark.parametrize("grey", [False, True])
def test_wide_rows_of_differences_are_smooth_in_a_png(grey: bool) -> None:
    """A gradient compresses well only if the filters work."""
    ramp = np.arange(300 * 64, dtype=np.uint16).reshape(300, 64)
    stream = written(ramp if grey else np.dstack([ramp] * 3))
    assert len(stream.getvalue()) < (0.1 if grey else 0.05) * ramp.nbytes


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_grey_tiff_of_both_byte_orders(tmp_path: Path, picture: np.ndarray, mode: str) -> None:
    samples = deep(picture, 1)
    image = Image.frombytes(mode, (70, 50), samples.astype("<u2" if mode == "I;16" else ">u2").tobytes())
    assert np.array_equal(read_picture(saved(image, tmp_path / "p.tif")), samples)
    assert np.array_equal(picture_of(image).samples, samples)


def tiff(order: str, values: dict[int, object], data: bytes) -> io.BytesIO:
    """A TIFF with one strip or one row of tiles that begins at byte 400: tag -> number or numbers, LONG over 65535."""
    entries, more = b"", b""
    for tag, value in sorted(values.items()):
        numbers = value if isinstance(value, list) else [value]
        packed = struct.pack(f"{order}{len(numbers)}H", *numbers)
        more_at = struct.pack(order + "I", 300 + len(more))
        entries += struct.pack(order + "HHI", tag, 3, len(numbers))
        entries += packed.ljust(4, b"\0") if len(packed) <= 4 else more_at
        more += packed if len(packed) > 4 else b""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(values)) + entries + bytes(4)
    assert len(head) <= 300 and len(more) <= 100
    return io.BytesIO(head.ljust(300, b"\0") + more.ljust(100, b"\0") + data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", ["plain", "deflated", "differences", "tiled"])
def test_tiff_in_colour_from_elsewhere(picture: np.ndarray, order: str, form: str) -> None:
    samples = deep(picture, 4)[:32, :48]
    tags = {256: 48, 257: 32, 258: [16] * 4, 259: 1, 262: 2, 273: 400, 277: 4, 278: 32, 279: 32 * 48 * 8, 338: 2}
    stored = samples.copy()
    if form == "differences":
        stored[:, 1:] -= samples[:, :-1]
        tags[317] = 2
    parts = [stored.astype(order + "u2").tobytes()]
    if form in ("deflated", "differences"):
        parts = [zlib.compress(part) for part in parts]
        tags |= {259: 8, 279: len(parts[0])}
    if form == "tiled":
        for tag in (273, 278, 279):
            del tags[tag]
        parts = [stored[:, x : x + 16].astype(order + "u2").tobytes() for x in (0, 16, 32)]
        tags |= {322: 16, 323: 32, 324: [400 + n * len(parts[0]) for n in range(3)], 325: [len(p) for p in parts]}
    assert np.array_equal(read_picture(tiff(order, tags, b"".join(parts))), samples)


def test_tiff_that_would_not_be_read_exactly_is_refused() -> None:
    tags = {256: 2, 257: 2, 258: [16] * 3, 259: 1, 262: 2, 273: 400, 277: 3, 278: 2, 279: 24}
    data = bytes(range(24))
    assert read_picture(tiff("<", tags, data))[0, 0].tolist() == [0x0100, 0x0302, 0x0504]
    assert "12 bits" in refusal(tiff("<", {**tags, 258: 12, 277: 1, 262: 1}, data))
    assert "signed" in refusal(tiff("<", {**tags, 339: [2] * 3}, data))
    assert "planes" in refusal(tiff("<", {**tags, 284: 2}, data))
    assert "differ" in refusal(tiff("<", {**tags, 258: [16, 16, 8]}, data))
    assert "neither grey nor RGB" in refusal(tiff("<", {**tags, 262: 8}, data))
    assert "compression 7" in refusal(tiff("<", {**tags, 259: 7}, data))
    assert "straight alpha" in refusal(tiff("<", {**tags, 258: [16] * 4, 277: 4, 279: 32, 338: 1}, bytes(32)))
    assert "cut short" in refusal(tiff("<", tags, data[:-1]))
    tiles = {tag: value for tag, value in tags.items() if tag not in (273, 278, 279)}
    tiles |= {322: 65520, 323: 65520, 324: 400, 325: 24}
    assert "tiles of 4292870400 pixels" in refusal(tiff("<", tiles, data))


def test_tiff_where_white_is_zero() -> None:
    tags = {256: 2, 257: 1, 258: 16, 259: 1, 262: 0, 273: 400, 277: 1, 278: 1, 279: 4}
    assert read_picture(tiff("<", tags, struct.pack("<HH", 0, 1000))).tolist() == [[65535, 64535]]


@pytest.mark.parametrize("maxval", [256, 1023, 4095, 65535])
def test_netpbm_is_stretched_exactly(maxval: int) -> None:
    values = [0, 1, maxval // 3, maxval // 2, maxval - 1, maxval]
    wanted = [[int(v * 65535 / maxval + 0.5) for v in values]]
    head = b"P5\n# a comment\n6 1 # another\n%d\n" % maxval
    assert read_picture(io.BytesIO(head + struct.pack(">6H", *values))).tolist() == wanted
    text = " ".join(map(str, values)).encode()
    assert read_picture(io.BytesIO(b"P2 6 1 %d\n" % maxval + text)).tolist() == wanted
    colour = read_picture(io.BytesIO(b"P3 2 1 %d\n# so\n" % maxval + text))
    assert colour.dtype == np.uint16 and colour.shape == (1, 2, 3) and colour.reshape(1, 6).tolist() == wanted
    assert (
        read_picture(io.BytesIO(b"P6 2 1 %d\n" % maxval + struct.pack(">6H", *values))).reshape(1, 6).tolist() == wanted
    )


@pytest.mark.filterwarnings("ignore:string or file could not be read")  # numpy, of words that are no numbers
def test_netpbm_that_is_damaged_or_shallow() -> None:
    assert "cut short" in refusal(io.BytesIO(b"P5 2 1 1023\n\0\0\0"))
    assert "cut short" in refusal(io.BytesIO(b"P2 2 1 1023\n7"))
    assert "outside" in refusal(io.BytesIO(b"P5 1 1 1023\n\xff\xff"))
    assert "outside" in refusal(io.BytesIO(b"P2 1 1 1023\n-1"))
    refusal(io.BytesIO(b"P2 1 1 1023\nx"))
    refusal(io.BytesIO(b"P5 1 1 65536\n\0\0\0"))
    assert "header" in refusal(io.BytesIO(b"P5 2 #" + b"#" * (1 << 16) + b"\n1 1023\n" + bytes(4)))
    assert read_picture(io.BytesIO(b"P6\n1 1\n15\n" + bytes([15, 0, 15]))).tolist() == [[[255, 0, 255]]]


def test_depths_are_fitted_exactly() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert fit_depth(every, 16) is every
    assert fit_depth(every, 8).dtype == np.uint8
    assert np.array_equal(fit_depth(every, 8), np.round(every / 257))
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert fit_depth(eight, 16).dtype == np.uint16
    assert np.array_equal(fit_depth(eight, 16), eight.astype(int) * 257)
    assert np.array_equal(fit_depth(fit_depth(eight, 16), 8), eight)
    with pytest.raises(InputError, match="12"):
        fit_depth(eight, 12)


def test_what_pillow_would_reduce_is_read_from_the_file_before_it_does(picture: np.ndarray) -> None:
    for channels in (1, 3):
        with Image.open(io.BytesIO(deep_png(deep(picture, channels)))) as image:
            assert image.mode == ("I;16" if channels == 1 else "RGB")
            assert np.array_equal(picture_of(image).samples, deep(picture, channels))
    for kind in ("PPM", "TIFF"):
        with Image.open(written(deep(picture, 3), kind=kind)) as image:
            assert np.array_equal(picture_of(image).samples, deep(picture, 3))
            image.info["note"] = "no longer as it was opened"
            with pytest.raises(InputError, match="16 bits.*path"):
                picture_of(image)


DEEP_AVIF = b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAAD5bWV0YQAAAAAAAAAvaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAFBpY3R1"
    "cmVIYW5kbGVyAAAAAA5waXRtAAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAASEAAAAbAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAA"
    "AQAAYXYwMUNvbG9yAAAAAGppcHJwAAAAS2lwY28AAAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMKCgoAAAAMYXYxQ4EATAAAAAAT"
    "Y29scm5jbHgAAgACAAIAAAAAF2lwbWEAAAAAAAAAAQABBAECgwQAAAAjbWRhdAoKAAAAAq//n/84CDINEADAAAACgAAACgWC6A=="
)
"""64 x 64 pixels of one colour in 10 bits, which Pillow cannot write."""


def test_what_pillow_would_reduce_is_refused_where_only_the_file_tells(tmp_path: Path, picture: np.ndarray) -> None:
    path = saved(Image.fromarray(picture), tmp_path / "p.jp2")
    with Image.open(path) as image:
        assert picture_of(image).samples.shape == picture.shape
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\x4f\xff\x51") + 42
    data[at : at + 9 : 3] = bytes([11] * 3)
    for depth, content in ((12, bytes(data)), (10, DEEP_AVIF)):
        (tmp_path / "deep").write_bytes(content)
        for source in (io.BytesIO(content), tmp_path / "deep"):
            with Image.open(source) as image:
                assert image.mode == "RGB"
                with pytest.raises(InputError, match=f"{depth} bits a channel.*convert"):
                    picture_of(image)
                image.info["note"] = "no longer as it was opened"
                with pytest.raises(InputError, match=f"{depth} bits.*path"):
                    picture_of(image)
    image = Image.open(io.BytesIO(DEEP_AVIF))
    image.load()
    assert picture_of(image).samples.dtype == np.uint8  # too late to be seen


# -- what is refused


def test_other_depths_are_refused(tmp_path: Path, picture: np.ndarray) -> None:
    grey = Image.fromarray(picture[:, :, 0].astype(np.uint16) * 257)
    assert "16 bits" in refusal(saved(grey, tmp_path / "grey.jp2"))
    assert "floating-point" in refusal(saved(Image.fromarray(picture[:, :, 0].astype(np.float32)), tmp_path / "f.tif"))
    assert "32 bits" in refusal(saved(Image.fromarray(picture[:, :, 0].astype(np.int32)), tmp_path / "i.tif"))
    for mode in ("I", "F"):
        with pytest.raises(InputError, match="32-bit"):
            picture_of(Image.new(mode, (3, 3)))
    with pytest.raises(InputError, match="LAB"):
        picture_of(Image.new("LAB", (3, 3)))


@pytest.mark.parametrize(("flags", "depth"), [(0x00, 8), (0x0C, 8), (0x40, 10), (0x60, 12)])
def test_depth_of_avif(flags: int, depth: int) -> None:
    from lecodec.codec.media.deep import _avif_depth

    assert _avif_depth(b"....av1C\x81\x00" + bytes([flags, 0])) == depth


def test_depth_of_jpeg_2000() -> None:
    from lecodec.codec.media.deep import _jpeg2000_depth

    size = b"\xff\x4f\xff\x51" + struct.pack(">HH", 47, 0) + bytes(32) + struct.pack(">H", 3)
    assert _jpeg2000_depth(b"box" + size + bytes([7, 1, 1, 7, 1, 1, 7, 1, 1])) == 8
    assert _jpeg2000_depth(size + bytes([7, 1, 1, 11, 1, 1, 7, 1, 1])) == 12


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_animations_and_pages_are_refused(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    image = Image.fromarray(picture)
    other = Image.fromarray(255 - picture)
    assert "2 pictures" in refusal(saved(image, tmp_path / f"p{suffix}", save_all=True, append_images=[other]))


# -- metadata


def profile(space: bytes = b"RGB ") -> bytes:
    """The head of an ICC profile; nothing here looks further."""
    return struct.pack(">I", 200).ljust(16, b"\0") + space + bytes(16) + b"acsp" + bytes(160)


def exif_of(orientation: int = 1, order: str = "<") -> bytes:
    """A directory with a maker, an orientation, and bytes behind it that nobody understands."""
    maker = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0")
    turn = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2)
    return head + maker + turn + bytes(4) + b"something private"


XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>schön {}</x:xmpmeta>"
FULL = Metadata(icc=profile(), exif=exif_of(), xmp=XMP.encode(), primaries=12, transfer=13)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("suffix", "kept"),
    [
        (".png", "icc exif xmp cicp"),
        (".jpg", "icc exif xmp"),
        (".webp", "icc exif xmp"),
        (".tif", "icc xmp"),
        (".bmp", ""),
        (".ppm", ""),
    ],
)
def test_metadata_goes_out_and_comes_back(
    tmp_path: Path, picture: np.ndarray, suffix: str, kept: str, bits: int
) -> None:
    if bits == 16 and suffix in (".jpg", ".webp", ".bmp"):
        with pytest.raises(InputError, match="holds 8 bits.*PNG"):
            write_picture(fit_depth(picture, 16), tmp_path / f"p{suffix}")
        return
    write_picture(fit_depth(picture, bits), tmp_path / f"p{suffix}", metadata=FULL)
    read = load_picture(tmp_path / f"p{suffix}")
    found = read.metadata
    for name in ("icc", "exif", "xmp"):
        assert getattr(found, name) == (getattr(FULL, name) if name in kept else b""), name
    points = (12, 13) if "cicp" in kept else (2, 2) if "icc" in kept else (1, 13)
    assert (found.primaries, found.transfer) == points
    assert read.notes == ()

    kind = picture_format(f"p{suffix}")
    lost = metadata_lost(kind, FULL)
    words = {"icc": "ICC", "exif": "EXIF", "xmp": "XMP", "cicp": "CICP 12/13"}
    assert [word for name, word in words.items() if name not in kept] == [w for w in words.values() if w in lost]
    assert metadata_lost(kind, Metadata()) == ""


def test_streams_take_a_kind(picture: np.ndarray) -> None:
    stream = written(picture, kind="TIFF", metadata=FULL)
    assert stream.getvalue()[:4] == b"II*\0"
    assert np.array_equal(read_picture(stream), picture)
    with pytest.raises(InputError, match="GIF"):
        write_picture(picture, stream, kind="GIF")


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PPM"])
def test_alpha_is_never_dropped(picture: np.ndarray, channels: int, kind: str) -> None:
    stream = io.BytesIO()
    with pytest.raises(InputError, match=f"{kind} holds no alpha channel.*PNG, TIFF or WebP"):
        write_picture(np.dstack([picture, picture])[:, :, :channels], stream, kind=kind)
    assert not stream.getvalue()


def test_what_does_not_fit_into_a_jpeg_is_lost_with_a_clause(picture: np.ndarray) -> None:
    large = Metadata(icc=profile() + bytes(200_000), exif=exif_of() + bytes(70_000), xmp=b"x" * 70_000)
    stream = written(picture, kind="JPEG", metadata=large)
    found = load_picture(stream).metadata
    assert (found.icc, found.exif, found.xmp) == (large.icc, b"", b"")
    assert metadata_lost("JPEG", large) == "JPEG does not hold its EXIF, XMP"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
def test_the_orientation_that_was_applied_is_set_to_one_in_place(picture: np.ndarray, order: str, bits: int) -> None:
    metadata = Metadata(exif=exif_of(6, order), xmp=XMP.format('tiff:Orientation="6"').encode())
    samples = fit_depth(np.dstack([picture, picture[:, :, 0]]), bits)
    stream = written(samples, metadata=metadata)
    for _ in range(2):  # the second time there is nothing left to turn
        read = load_picture(stream)
        assert np.array_equal(read.samples, samples.transpose(1, 0, 2)[:, ::-1])
        assert read.metadata.exif == exif_of(1, order)
        assert read.metadata.xmp == XMP.format('tiff:Orientation="1"').encode()
        stream = written(read.samples, metadata=read.metadata)


@pytest.mark.parametrize("text", ['tiff:Orientation="3"', "<tiff:Orientation>3</tiff:Orientation>"])
def test_an_orientation_in_xmp_alone(picture: np.ndarray, text: str) -> None:
    stream = written(picture, metadata=Metadata(xmp=XMP.format(text).encode()))
    read = load_picture(stream)
    assert np.array_equal(read.samples, picture[::-1, ::-1])
    assert read.metadata.xmp == XMP.format(text.replace("3", "1")).encode()

    stream = written(picture, metadata=Metadata(xmp=XMP.format(text).encode(), exif=exif_of(1)))
    assert np.array_equal(read_picture(stream), picture)  # EXIF goes first


@pytest.mark.parametrize("bits", [8, 16])
def test_an_oriented_tiff_with_xmp_is_turned_once(picture: np.ndarray, bits: int) -> None:
    stream = written(fit_depth(picture, bits), kind="TIFF")
    data = stream.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        tags = dict(image.tag_v2)
    simple = {tag: list(v) if isinstance(v, tuple) else v for tag, v in tags.items() if tag not in (273, 279)}
    strip = data[tags[273][0] : tags[273][0] + tags[279][0]]
    turned = read_picture(tiff("<", {**simple, 273: 400, 279: len(strip), 274: 6}, strip))
    assert np.array_equal(turned, fit_depth(picture, bits).transpose(1, 0, 2)[:, ::-1])


def test_damaged_metadata_is_left_behind_with_a_note(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    cases = {
        "EXIF": {"exif": b"Exif\0\0MM\0*\xff\xff\xff\xffjunk"},
        "damaged": {"icc_profile": b"Display P3, say"},
        "GRAY": {"icc_profile": profile(b"GRAY")},
        "UTF-8": {"xmp": b"\xff\xfex"},
    }
    for word, options in cases.items():
        read = load_picture(saved(image, tmp_path / "p.webp", lossless=True, **options))
        assert np.array_equal(read.samples, picture)
        assert read.metadata == Metadata()
        assert len(read.notes) == 1 and "not kept" in read.notes[0] and word in read.notes[0]
    grey = load_picture(saved(image.convert("L"), tmp_path / "p.png", icc_profile=profile(b"GRAY")))
    assert grey.metadata.icc == profile(b"GRAY") and not grey.notes
    large = image.copy()
    large.info["xmp"] = bytes((16 << 20) + 1)
    read = picture_of(large)
    assert read.metadata.xmp == b"" and "more than 16777216 bytes" in read.notes[0]


def directory(entries: list[tuple[int, int, int, bytes]], order: str = "<", claimed: int | None = None) -> bytes:
    """EXIF of one directory, and bytes behind it; claimed: how many entries it says it has."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, claimed or len(entries))
    return head + b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "flaw", ["count 2", "count 9", "offset", "int8", "int16", "int32", "twice", "cut", "bad entry"]
)
def test_an_orientation_survives_a_flaw_in_its_exif(picture: np.ndarray, order: str, flaw: str) -> None:
    def short(value: int) -> bytes:
        return struct.pack(order + "HH", value, 0)

    def exif(value: int) -> bytes:
        turn = (0x0112, 3, 1, short(value))
        maker = (0x010F, 2, 1 << 30, short(7))  # goes far beyond the end
        return {
            "count 2": directory([(0x0112, 3, 2, short(value))], order),
            "count 9": directory([(0x0112, 3, 9, short(value))], order),
            "offset": directory([(0x0112, 3, 3, struct.pack(order + "I", 22))], order) + short(value),
            "int8": directory([(0x0112, 6, 1, bytes([value, 0, 0, 0]))], order),
            "int16": directory([(0x0112, 8, 1, short(value))], order),
            "int32": directory([(0x0112, 9, 1, struct.pack(order + "i", value))], order),
            "twice": b"Exif\0\0Exif\0\0" + directory([turn], order),
            "cut": directory([turn], order, claimed=5) + bytes(7),
            "bad entry": directory([maker, turn], order),
        }[flaw]

    read = load_picture(written(picture, metadata=Metadata(exif=exif(6))))
    assert np.array_equal(read.samples, picture.transpose(1, 0, 2)[:, ::-1])
    assert read.metadata.exif == exif(1).removeprefix(b"Exif\0\0Exif\0\0")
    assert len(read.notes) == (flaw == "cut") and all("1 of 5 entries" in note for note in read.notes)


@pytest.mark.parametrize(("kind", "count", "value"), [(3, 1, 9), (2, 2, 6), (5, 1, 6), (3, 0, 6)])
def test_an_orientation_that_nobody_understands_is_noted(
    picture: np.ndarray, kind: int, count: int, value: int
) -> None:
    exif = directory([(0x0112, kind, count, struct.pack("<HH", value, 0))])
    read = load_picture(written(picture, metadata=Metadata(exif=exif)))
    assert np.array_equal(read.samples, picture) and read.metadata.exif == exif
    assert len(read.notes) == 1 and "orientation not understood" in read.notes[0]


def test_a_profile_in_segments_of_a_jpeg(picture: np.ndarray) -> None:
    """Doubled by programs that copy every segment; Pillow then drops it without a word."""
    large = profile()[:4] + profile()[4:] + bytes(100_000)
    data = written(picture, kind="JPEG", metadata=Metadata(icc=large)).getvalue()
    starts = [match.start() - 4 for match in re.finditer(b"ICC_PROFILE\0", data)]
    assert len(starts) == 2
    sizes = [2 + int.from_bytes(data[at + 2 : at + 4], "big") for at in starts]
    first, second = (data[at : at + size] for at, size in zip(starts, sizes, strict=True))
    before, after = data[: starts[0]], data[starts[1] + sizes[1] :]

    doubled = before + first + second + first + second + after
    for entrance in (load_picture, lambda stream: picture_of(loaded(stream))):
        read = entrance(io.BytesIO(doubled))
        assert (read.metadata.icc, read.notes) == (large, ())
        read = entrance(io.BytesIO(before + second + after))
        assert read.metadata.icc == b"" and ["ICC" in note and "damaged" in note for note in read.notes] == [True]


def loaded(stream: io.BytesIO) -> Image.Image:
    image = Image.open(stream)
    image.load()
    return image


def test_what_a_file_says_of_colour_and_size_and_is_not_kept_is_noted(picture: np.ndarray) -> None:
    def notes(*chunks: bytes) -> tuple[str, ...]:
        data = written(picture).getvalue()
        return load_picture(io.BytesIO(data[:33] + b"".join(chunks) + data[33:])).notes

    def primaries(*values: int) -> bytes:
        return png_chunk(b"cHRM", struct.pack(">8I", *values))

    adobe = primaries(31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    plain = primaries(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    gamma = png_chunk(b"gAMA", (45455).to_bytes(4, "big"))
    assert notes(plain, gamma) == ()
    assert [note.split(" are")[0] for note in notes(adobe, gamma)] == ["its primaries (cHRM)"]
    assert notes(adobe, png_chunk(b"sRGB", b"\0")) == ()
    assert "mDCV, cLLI" in notes(png_chunk(b"mDCV", bytes(24)), png_chunk(b"cLLI", bytes(8)))[0]

    def physical(across: int, down: int, unit: int) -> bytes:
        return png_chunk(b"pHYs", struct.pack(">IIB", across, down, unit))

    assert notes(physical(2835, 2835, 1)) == ()  # 72 dpi: what is written where nothing is known
    assert notes(physical(11811, 11811, 1)) == ("its resolution (300 dpi) is not kept",)
    assert notes(physical(2, 1, 0)) == ("its resolution (pixels of 1:2) is not kept",)

    for options, words in (({"dpi": (300, 300)}, "300 dpi"), ({"dpi": (300, 150)}, "300 x 150 dpi")):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", **options)
        assert load_picture(io.BytesIO(stream.getvalue())).notes == (f"its resolution ({words}) is not kept",)
    exif = directory([(0x011A, 5, 1, struct.pack("<I", 26)), (0x0128, 3, 1, struct.pack("<HH", 2, 0))])
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", dpi=(300, 300), exif=b"Exif\0\0" + exif)
    assert load_picture(io.BytesIO(stream.getvalue())).notes == ()  # EXIF has it


def test_colour_code_points_of_a_png(picture: np.ndarray) -> None:
    def with_points(points: bytes) -> io.BytesIO:
        return io.BytesIO(deep_png(deep(picture, 3), extra=png_chunk(b"cICP", points)))

    read = load_picture(with_points(bytes([9, 16, 0, 1])))
    assert (read.metadata.primaries, read.metadata.transfer, read.notes) == (9, 16, ())
    for points in (bytes([9, 16, 1, 1]), bytes([9, 16, 0, 0]), bytes(3)):
        read = load_picture(with_points(points))
        assert (read.metadata.primaries, read.metadata.transfer) == (1, 13)
        assert "cICP" in read.notes[0]


def test_metadata_behind_the_pixels_of_a_png(picture: np.ndarray) -> None:
    for samples in (picture, deep(picture, 3)):
        stream = written(samples)
        data = stream.getvalue()
        read = load_picture(io.BytesIO(data[:-12] + png_chunk(b"eXIf", exif_of(3)) + data[-12:]))
        assert read.metadata.exif == exif_of(1)
        assert np.array_equal(read.samples, samples[::-1, ::-1])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("behind", [False, True])
def test_large_metadata_of_a_png_comes_back_or_is_noted(picture: np.ndarray, bits: int, behind: bool) -> None:
    """Pillow refuses a PNG in which more than a megabyte is inflated for one chunk."""
    samples = fit_depth(picture, bits)
    large = Metadata(profile() + bytes(5 << 20), exif_of() + bytes(3 << 20), XMP.encode() + b" " * (9 << 20), 2, 2)
    data = written(samples, metadata=large).getvalue()
    read = load_picture(io.BytesIO(data))
    assert np.array_equal(read.samples, samples)
    assert (read.metadata, read.notes, read.file_bytes) == (large, (), len(data))

    text = XMP.encode() + bytes(16 << 20)
    chunks = [
        png_chunk(b"iCCP", b"name\0\0" + zlib.compress(profile() + bytes(16 << 20))),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(text)),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n3\n" + b"00" * (17 << 20))),
        png_chunk(b"zTXt", b"a comment\0\0" + zlib.compress(bytes(2 << 20))),
    ]
    data = written(samples).getvalue()
    at = len(data) - 12 if behind else 33
    read = load_picture(io.BytesIO(data[:at] + b"".join(chunks) + data[at:]))
    assert np.array_equal(read.samples, samples)
    assert read.metadata == Metadata()
    assert [note.split(" is not kept")[0] for note in read.notes] == ["its colour profile (ICC)", "its EXIF", "its XMP"]
    assert all("more than 16777216 bytes" in note for note in read.notes)


def test_texts_of_a_png_that_hold_metadata(picture: np.ndarray) -> None:
    def read(*chunks: bytes) -> tuple[Metadata, tuple[str, ...]]:
        data = written(picture).getvalue()
        found = load_picture(io.BytesIO(data[:33] + b"".join(chunks) + data[33:]))
        assert np.array_equal(found.samples, picture)
        return found.metadata, found.notes

    raw = b"Raw profile type exif\0"
    lines = b"\nexif\n%d\n%s\n" % (len(exif_of()), exif_of().hex().encode())
    xmp = XMP.encode()
    for chunk in (png_chunk(b"tEXt", raw + lines), png_chunk(b"zTXt", raw + b"\0" + zlib.compress(lines))):
        assert read(chunk) == (Metadata(exif=exif_of()), ())
    for start, text in ((b"\0\0", xmp), (b"\1\0", zlib.compress(xmp))):
        chunk = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0" + start + b"en\0XMP\0" + text)
        assert read(chunk, png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0second")) == (Metadata(xmp=xmp), ())
    assert read(png_chunk(b"tEXt", b"Comment\0hello"), png_chunk(b"gAMA", b"\0")) == (Metadata(), ())
    damaged = [
        ("ICC", png_chunk(b"iCCP", b"name\0\0no deflate")),
        ("EXIF", png_chunk(b"tEXt", raw + b"\n\n\nxy")),
        ("EXIF", png_chunk(b"zTXt", raw + b"\0no deflate")),
        ("XMP", png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no deflate")),
    ]
    for word, chunk in damaged:
        metadata, notes = read(chunk)
        assert metadata == Metadata() and len(notes) == 1 and word in notes[0] and "not kept" in notes[0]


KINDS = {
    "png": ("RGB", "PNG", {}),
    "jpg": ("RGB", "JPEG", {"quality": 95}),
    "webp": ("RGB", "WEBP", {"lossless": True}),
    "avif": ("RGB", "AVIF", {}),
    "bmp": ("RGB", "BMP", {}),
    "gif": ("P", "GIF", {}),
    "jp2": ("RGB", "JPEG2000", {}),
    "ppm": ("RGB", "PPM", {}),
    "pgm": ("L", "PPM", {}),
    "pbm": ("1", "PPM", {}),
}


def one_of(kind: str, picture: np.ndarray) -> bytes:
    mode, form, options = KINDS[kind]
    stream = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_several_pictures_in_a_stream(picture: np.ndarray, kind: str) -> None:
    data = one_of(kind, picture)
    alone = load_picture(io.BytesIO(data))
    assert alone.notes == ()
    for padding in (b"", b"\n\0\0"):
        if kind == "jpg":  # cameras put previews there
            assert load_picture(io.BytesIO(data + padding + data)).notes == (
                f"{len(data)} bytes behind the picture are not kept",
            )
        elif not (padding and kind in ("avif", "jp2", "bmp")):  # a reader has to follow boxes
            with pytest.raises(InputError, match=f"several pictures.*at byte {len(data + padding)}"):
                load_picture(io.BytesIO(data + padding + data))
        padded = load_picture(io.BytesIO(data + padding))
        assert np.array_equal(padded.samples, alone.samples) and padded.notes == ()
    if kind not in ("avif", "jp2", "bmp"):
        found = load_picture(io.BytesIO(data + b"a clip"))
        assert np.array_equal(found.samples, alone.samples)
        assert found.notes == ("6 bytes behind the picture are not kept",)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"tiffinfo": {278: 3}}])
def test_a_tiff_behind_a_tiff(picture: np.ndarray, options: dict) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "TIFF", **options)
    data = stream.getvalue()
    alone = load_picture(io.BytesIO(data))
    for padding in (b"", b"\0\0\0"):
        with pytest.raises(InputError, match="several pictures, one TIFF file behind the other"):
            load_picture(io.BytesIO(data + padding + data))
        for rest in (b"", b"a clip", one_of("jpg", picture)):  # parts that a private tag may name
            found = load_picture(io.BytesIO(data + padding + rest))
            assert np.array_equal(found.samples, alone.samples) and found.notes == alone.notes
    data = b"".join(write_tiff(deep(picture, 3), b"", b"", 6))
    assert np.array_equal(load_picture(io.BytesIO(data)).samples, deep(picture, 3))
    with pytest.raises(InputError, match="several pictures, one TIFF file behind the other"):
        load_picture(io.BytesIO(data + data))


def test_several_pictures_of_other_depths_and_kinds_in_a_stream(picture: np.ndarray) -> None:
    grey, png = deep(picture, 1), written(picture).getvalue()
    words = f"P2 # P5 \n{grey.shape[1]} {grey.shape[0]} 65535\n{' '.join(map(str, grey.ravel()))}\n".encode()
    for data in (written(deep(picture, 3)).getvalue(), written(grey, kind="PPM").getvalue(), words):
        assert load_picture(io.BytesIO(data)).notes == ()
        with pytest.raises(InputError, match="several pictures"):
            load_picture(io.BytesIO(data + (words if data is words else png)))
    with pytest.raises(InputError, match="several pictures"):
        load_picture(io.BytesIO(png + one_of("jpg", picture)))


def test_cmyk_is_converted_by_its_profile_and_loses_it(tmp_path: Path, picture: np.ndarray) -> None:
    cmyk = Image.fromarray(picture).convert("CMYK")
    read = load_picture(saved(cmyk, tmp_path / "p.tif", icc_profile=profile(b"CMYK")))  # too short to be used
    assert np.array_equal(read.samples, np.asarray(cmyk.convert("RGB")))
    assert read.metadata == Metadata()
    assert "plain formula" in read.notes[0] and "CMYK" in read.notes[1]


# -- bad input


def test_empty_directory_missing_and_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert "empty" in refusal(tmp_path / "empty.png")
    assert "directory" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "missing.png")
    (tmp_path / "notes.png").write_text("not a picture at all")
    assert "not a picture" in refusal(tmp_path / "notes.png")
    refusal(io.BytesIO(b""))


def test_no_permission(tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:  # simulated, because root may read everything
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    write_picture(picture, tmp_path / "p.png")
    monkeypatch.setattr("builtins.open", refuse)
    assert refusal(tmp_path / "p.png") == "Permission denied"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".ppm", ".gif", ".avif", ".jp2"])
def test_truncated_pictures_are_refused(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    whole = saved(Image.fromarray(picture), tmp_path / f"p{suffix}").read_bytes()
    for size in range(1, len(whole) - 16, max(1, len(whole) // 40)):
        cut = io.BytesIO(whole[:size])
        try:
            result = read_picture(cut)
        except CodecError:
            continue
        # A decoder may do without the last bytes of a file, but not with half of it.
        assert size > 0.9 * len(whole), f"{size} of {len(whole)} bytes gave {result.shape}"


def test_no_damaged_byte_of_a_png_changes_the_picture(picture: np.ndarray) -> None:
    stream = written(picture[:6, :6])
    whole = stream.getvalue()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        try:
            result = read_picture(io.BytesIO(bytes(damaged)))
        except CodecError:
            continue
        assert np.array_equal(result, picture[:6, :6]), f"byte {position}"


def test_decompression_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(LimitExceeded, match="LECODEC_MAX_PIXELS"):
        read_picture(tmp_path / "bomb.png")
    tags = {256: 65000, 257: 65000, 258: [16] * 3, 259: 1, 262: 2, 273: 400, 277: 3, 278: 2, 279: 24}
    for bits in (8, 16):
        with pytest.raises(LimitExceeded, match="LECODEC_MAX_PIXELS"):
            read_picture(tiff("<", {**tags, 258: [bits] * 3}, bytes(24)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["PNG", "PNG 16", "TIFF", "TIFF 16", "JPEG", "PPM", "BMP"])
def test_the_limit_is_ours_and_not_that_of_pillow(
    picture: np.ndarray, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow warns above its limit and refuses above twice as much."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    samples = fit_depth(picture, 16 if kind.endswith("16") else 8)
    stream = written(samples, kind=kind.split()[0])
    back = read_picture(stream)
    assert back.dtype == samples.dtype
    assert kind == "JPEG" or np.array_equal(back, samples)
    assert Image.MAX_IMAGE_PIXELS == 50


def test_where_pillow_keeps_to_its_own_limit_the_sentence_says_so(
    picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lecodec.codec.media.picture import one_sentence

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(LimitExceeded, match="100 pixels, the limit of Pillow"), one_sentence():
        Image.open(written(picture))


def test_limit_of_the_container_holds_for_pictures(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(picture, tmp_path / "p.png")
    monkeypatch.setenv("LECODEC_MAX_PIXELS", "100")
    with pytest.raises(LimitExceeded):
        read_picture(tmp_path / "p.png")


# -- writing


def test_format_follows_the_suffix(tmp_path: Path, picture: np.ndarray) -> None:
    assert picture_format("a.PNG") == "PNG"
    assert picture_format("noname") == "PNG"
    assert picture_format(Path("a.jpeg")) == "JPEG"
    with pytest.raises(InputError, match=r"\.xyz"):
        picture_format("a.xyz")
    with pytest.raises(InputError):
        write_picture(picture, tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())


def test_existing_pictures_are_kept(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "p.png"
    write_picture(picture, path)
    before = path.read_bytes()
    with pytest.raises(OutputExists):
        write_picture(255 - picture, path)
    assert path.read_bytes() == before
    write_picture(255 - picture, path, overwrite=True)
    assert np.array_equal(read_picture(path), 255 - picture)


def test_a_picture_too_large_for_a_format_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="WEBP"):
        write_picture(np.zeros((1, 20000), np.uint8), tmp_path / "wide.webp")
    assert not list(tmp_path.iterdir())


def test_a_gamma_that_is_not_srgbs_is_noted(tmp_path: Path) -> None:
    for extra, noted in (
        ([(b"gAMA", (100000).to_bytes(4, "big"))], True),
        ([(b"gAMA", (45455).to_bytes(4, "big"))], False),
        ([(b"gAMA", (100000).to_bytes(4, "big")), (b"sRGB", b"\0")], False),
    ):
        info = PngInfo()
        for kind, data in extra:
            info.add(kind, data)
        Image.new("RGB", (4, 3), (9, 80, 200)).save(tmp_path / "g.png", pnginfo=info)
        assert any("gAMA" in note for note in load_picture(tmp_path / "g.png").notes) == noted


def test_pgm_is_grey(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ppm"):
        write_picture(np.zeros((2, 2, 3), np.uint8), tmp_path / "x.pgm")
    write_picture(np.zeros((2, 2), np.uint8), tmp_path / "x.pgm")
