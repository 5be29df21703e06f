"""Picture files: what is read comes back sample by sample, what cannot be carried is refused."""

from __future__ import annotations

import errno
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from lecodec.codec.media import load_picture, picture_format, read_picture, samples_of, write_picture
from lecodec.errors import CodecError, InputError, LimitExceeded, OutputExists


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(path: Path, colour_type: int, channels: int) -> Path:
    """A 16-bit PNG, which Pillow cannot write (and opens as 8-bit when it has several channels)."""
    header = struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(range(1, 1 + 4 * channels)) for _ in range(2))
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


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
    assert np.array_equal(samples_of(cmyk), np.asarray(cmyk.convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path: Path, picture: np.ndarray, mode: str) -> None:
    image = Image.fromarray(picture if mode == "RGBA" else picture[:, :, 0])
    opaque = image.convert(mode)
    assert np.array_equal(read_picture(saved(opaque, tmp_path / "opaque.png")), np.asarray(image))

    opaque.putpixel((3, 2), (*opaque.getpixel((3, 2))[:-1], 254))
    assert "transparent" in refusal(saved(opaque, tmp_path / "transparent.png"))


def test_transparent_palette_and_key_colour_are_refused(tmp_path: Path, picture: np.ndarray) -> None:
    palette = Image.fromarray(picture).quantize(8)
    used = int(np.asarray(palette)[0, 0])
    assert "transparent" in refusal(saved(palette, tmp_path / "palette.png", transparency=used))
    key = tuple(int(v) for v in picture[4, 5])
    assert "transparent" in refusal(saved(Image.fromarray(picture), tmp_path / "key.png", transparency=key))


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


def test_damaged_exif_counts_as_none(tmp_path: Path, picture: np.ndarray) -> None:
    path = saved(Image.fromarray(picture), tmp_path / "p.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffjunk")
    assert np.array_equal(read_picture(path), picture)


def test_a_foreign_colour_profile_is_noted(tmp_path: Path, picture: np.ndarray) -> None:
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert load_picture(saved(Image.fromarray(picture), tmp_path / "a.png", icc_profile=srgb)).notes == ()
    foreign = load_picture(saved(Image.fromarray(picture), tmp_path / "b.png", icc_profile=b"Display P3, say"))
    assert "profile" in foreign.notes[0]


def test_of_an_mpo_the_main_picture_is_taken(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    path = saved(image, tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[image.resize((8, 8))])
    assert read_picture(path).shape == picture.shape


# -- what is refused


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_is_refused(tmp_path: Path, colour_type: int, channels: int) -> None:
    assert "16" in refusal(deep_png(tmp_path / "deep.png", colour_type, channels))


def test_other_deep_formats_are_refused(tmp_path: Path, picture: np.ndarray) -> None:
    deep = Image.fromarray(picture[:, :, 0].astype(np.uint16) * 257)
    assert "16" in refusal(saved(deep, tmp_path / "grey.tif"))
    assert "16" in refusal(saved(deep, tmp_path / "grey.jp2"))
    refusal(saved(Image.fromarray(picture[:, :, 0].astype(np.float32)), tmp_path / "float.tif"))

    (tmp_path / "deep.ppm").write_bytes(b"P6\n# of 10 bits\n1 1\n1023\n" + bytes(6))
    assert "16" in refusal(tmp_path / "deep.ppm")
    (tmp_path / "deep.pgm").write_bytes(b"P5 1 1 65535\n" + bytes(2))
    assert "16" in refusal(tmp_path / "deep.pgm")
    (tmp_path / "shallow.ppm").write_bytes(b"P6\n1 1\n15\n" + bytes([15, 0, 15]))
    assert read_picture(tmp_path / "shallow.ppm").tolist() == [[[255, 0, 255]]]


def test_deep_tiff_in_colour_is_refused(tmp_path: Path) -> None:
    """Pillow opens a 16-bit RGB TIFF as 8-bit; it writes none, so this one is made by hand."""
    tags = [(256, 3, 1), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 2), (273, 4, 200), (277, 3, 3), (278, 3, 1)]
    tags.append((279, 4, 6))
    entries = b"".join(
        struct.pack("<HHII", tag, 3, 3, 180)
        if tag == 258
        else struct.pack("<HHIHH", tag, kind, 1, value, 0)
        if kind == 3
        else struct.pack("<HHII", tag, kind, 1, value)
        for tag, kind, value in tags
    )
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    data = data.ljust(180, b"\0") + struct.pack("<HHH", 16, 16, 16)
    (tmp_path / "deep.tif").write_bytes(data.ljust(200, b"\0") + bytes(6))
    with Image.open(tmp_path / "deep.tif") as image:
        assert image.mode == "RGB"
    assert "16" in refusal(tmp_path / "deep.tif")


@pytest.mark.parametrize(("flags", "depth"), [(0x00, 8), (0x0C, 8), (0x40, 10), (0x60, 12)])
def test_depth_of_avif(flags: int, depth: int) -> None:
    from lecodec.codec.media import _avif_depth

    assert _avif_depth(b"....av1C\x81\x00" + bytes([flags, 0])) == depth


def test_depth_of_jpeg_2000() -> None:
    from lecodec.codec.media import _jpeg2000_depth

    size = b"\xff\x4f\xff\x51" + struct.pack(">HH", 47, 0) + bytes(32) + struct.pack(">H", 3)
    assert _jpeg2000_depth(b"box" + size + bytes([7, 1, 1, 7, 1, 1, 7, 1, 1])) == 8
    assert _jpeg2000_depth(size + bytes([7, 1, 1, 11, 1, 1, 7, 1, 1])) == 12


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_animations_and_pages_are_refused(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    image = Image.fromarray(picture)
    other = Image.fromarray(255 - picture)
    assert "2 pictures" in refusal(saved(image, tmp_path / f"p{suffix}", save_all=True, append_images=[other]))


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
    stream = io.BytesIO()
    write_picture(picture[:6, :6], stream)
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
    assert "pixels" in refusal(tmp_path / "bomb.png")


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
