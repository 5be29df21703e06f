"""The Pillow plug-in: `.lec` files open, load and save as any other format of Pillow does."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import lecodec
from lecodec.bitstream import Metadata
from lecodec.errors import CodecError, CorruptFile, InputError, UnknownModel, UnsupportedFile

EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0%c\0\0\0\0\0\0\0"
"""One entry, the orientation, whose value is to be filled in."""
ICC = (200).to_bytes(4, "big").ljust(16, b"\0") + b"RGB " + bytes(16) + b"acsp" + bytes(160)
FULL = Metadata(icc=ICC, exif=EXIF % 1, xmp=b"<x/>", primaries=2, transfer=2)

pytestmark = pytest.mark.usefixtures("tiny_default")


def samples_in(mode: str, picture: np.ndarray) -> np.ndarray:
    if mode == "I;16":
        return picture[:, :, 0].astype(np.uint16) * 256 + 7
    return np.array(Image.fromarray(np.dstack([picture, picture[:, :, 2]])).convert(mode))


@pytest.fixture
def file(picture: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "p.lec"
    path.write_bytes(lecodec.load().encode(picture, 44.4, metadata=FULL))
    return path


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_every_mode_opens_and_saves(mode: str, picture: np.ndarray, tmp_path: Path) -> None:
    samples = samples_in(mode, picture)
    made = Image.frombytes(mode, (70, 50), samples.tobytes())
    made.save(tmp_path / "p.lec", quality=80)
    data = (tmp_path / "p.lec").read_bytes()
    assert data == lecodec.load().encode(samples, 80)
    with Image.open(tmp_path / "p.lec") as image:
        assert (image.format, image.mode, image.size) == ("LEC", mode, (70, 50))
        assert image.info == {"quality": 80.0}
        assert image.get_format_mimetype() == "image/x-lec"
        assert np.array_equal(np.asarray(image), lecodec.decode(data))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_a_small_picture_opened_by_its_path(mode: str, picture: np.ndarray, tmp_path: Path) -> None:
    """Its file is larger than its samples: Pillow could map it into memory in their place."""
    data = lecodec.load().encode(np.ascontiguousarray(samples_in(mode, picture)[:5, :6]))
    (tmp_path / "p.lec").write_bytes(data)
    for path in (tmp_path / "p.lec", str(tmp_path / "p.lec")):
        with Image.open(path) as image:
            assert (image.mode, image.size) == (mode, (6, 5))
            assert np.array_equal(np.asarray(image), lecodec.decode(data))
            image.putpixel((0, 0), image.getpixel((5, 4)))  # in memory that is its own
            assert image.getpixel((0, 0)) == image.getpixel((5, 4))
    assert (tmp_path / "p.lec").read_bytes() == data


def test_opening_decodes_nothing_and_imports_no_torch(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys, lecodec\nfrom PIL import Image\n"
        f"image = Image.open({str(file)!r})\n"
        "assert image.mode == 'RGB' and image.size == (70, 50) and image.info['quality'] == 44.4\n"
        "assert len(image.info['icc_profile']) == 200 and image.info['xmp'] == b'<x/>'\n"
        "assert image.getexif()[0x112] == 1\n"
        "image.verify()\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=file.parent)


def test_it_behaves_as_an_image(file: Path, picture: np.ndarray) -> None:
    whole = lecodec.decode(file)
    stream = io.BytesIO(b"in front" + file.read_bytes())
    stream.seek(0)
    with pytest.raises(UnidentifiedImageError):
        Image.open(stream)
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        assert np.array_equal(np.asarray(image.copy()), whole)
        assert image.convert("L").mode == "L"
        assert image.crop((1, 2, 9, 8)).size == (8, 6)
        assert pickle.loads(pickle.dumps(image)).tobytes() == whole.tobytes()
    with Image.open(file) as image:
        image.thumbnail((20, 20))
        assert image.size == (20, 14)
    image = Image.open(file)
    image.load()
    image.load()
    assert image.fp is None  # Pillow closes a file that it has opened
    assert np.array_equal(np.asarray(image.transpose(Image.Transpose.ROTATE_90)), np.rot90(whole))
    parser = ImageFile.Parser()
    parser.feed(file.read_bytes())
    assert np.array_equal(np.asarray(parser.close()), whole)


def test_saving_takes_the_options_of_the_codec(picture: np.ndarray, tiny_model: Path) -> None:
    image, codec = Image.fromarray(picture), lecodec.load()

    def saved(**options: object) -> bytes:
        stream = io.BytesIO()
        image.save(stream, "LEC", **options)
        return stream.getvalue()

    assert saved() == saved(quality=60) == saved(model=tiny_model) == codec.encode(picture)
    assert saved(bpp=0.5) == codec.encode(picture, bpp=0.5)
    assert saved(size=280) == codec.encode(picture, size=280)
    assert saved(tile=64) == codec.encode(picture, tile=64) != saved()
    with pytest.raises(InputError, match="only one"):
        saved(quality=3, bpp=2)
    with pytest.raises(InputError, match="quality"):
        saved(quality=101)
    with pytest.raises(UnknownModel):
        saved(model="no-such-model")


def test_a_refused_picture_leaves_no_file(tmp_path: Path) -> None:
    for image in (Image.new("F", (4, 4)), Image.new("LAB", (4, 4))):
        with pytest.raises(InputError):
            image.save(tmp_path / "p.lec")
    assert not list(tmp_path.iterdir())


def test_metadata_follows_pillows_conventions(picture: np.ndarray) -> None:
    def saved(image: Image.Image, **options: object) -> dict[str, object]:
        stream = io.BytesIO()
        image.save(stream, "LEC", **options)
        info = Image.open(stream).info
        del info["quality"]
        return info

    image = Image.fromarray(picture)
    assert saved(image) == {}
    image.info |= {"icc_profile": ICC, "exif": b"Exif\0\0" + EXIF % 1, "xmp": b"<x/>"}
    assert saved(image) == {"icc_profile": ICC}  # as in PNG: what colours mean is kept, the rest when asked for
    assert saved(image, icc_profile=None) == {}
    whole = saved(image, exif=image.info["exif"], xmp=image.info["xmp"])
    assert whole == {"icc_profile": ICC, "exif": b"Exif\0\0" + EXIF % 1, "xmp": b"<x/>"}
    made = Image.Exif()
    made[0x010F] = "maker"
    stream = io.BytesIO()
    image.save(stream, "LEC", exif=made)
    assert Image.open(stream).getexif()[0x010F] == "maker"


def test_an_orientation_given_is_applied(picture: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "LEC", exif=EXIF % 6)
    image = Image.open(stream)
    assert image.size == (50, 70)
    assert image.info["exif"] == b"Exif\0\0" + EXIF % 1
    assert stream.getvalue() == lecodec.load().encode(np.rot90(picture, -1), metadata=Metadata(exif=EXIF % 1))


def test_modes_without_a_home_are_converted(picture: np.ndarray) -> None:
    palette = Image.fromarray(picture).quantize(16)
    stream = io.BytesIO()
    palette.save(stream, "LEC", quality=90)
    assert stream.getvalue() == lecodec.load().encode(np.asarray(palette.convert("RGB")), 90)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bits_that_pillow_has_no_mode_for(picture: np.ndarray, channels: int) -> None:
    samples = np.dstack([picture, picture])[:, :, :channels].astype(np.uint16) * 257
    data = lecodec.load().encode(samples)
    with pytest.raises(UnsupportedFile, match="16-bit .*lecodec.decode"):
        Image.open(io.BytesIO(data))


def test_damaged_files_are_codec_errors_never_other_formats(file: Path) -> None:
    whole = file.read_bytes()
    for size in range(len(whole)):
        if size < 16:
            with pytest.raises(OSError):
                Image.open(io.BytesIO(whole[:size]))
            continue
        with pytest.raises(CodecError):
            Image.open(io.BytesIO(whole[:size])).load()
    for at in (8, 20, 60, len(whole) - 30):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        with pytest.raises(CorruptFile):
            Image.open(io.BytesIO(bytes(damaged))).load()
        with pytest.raises(CorruptFile):
            Image.open(io.BytesIO(bytes(damaged))).verify()
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"x" * 100))


def test_a_file_without_its_model_opens_but_does_not_load(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LECODEC_MODELS")
    image = Image.open(file)
    assert image.size == (70, 50)
    with pytest.raises(UnknownModel):
        image.load()
    image.close()


def test_verify_reads_the_checksums(file: Path) -> None:
    image = Image.open(file)
    image.verify()
    assert image.fp is None
    damaged = bytearray(file.read_bytes())
    damaged[-40] ^= 4
    stream = io.BytesIO(bytes(damaged))
    opened = Image.open(stream)
    with pytest.raises(CorruptFile):
        opened.verify()


# -- without loss


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_lossless_saves_and_opens(mode: str, picture: np.ndarray, tmp_path: Path) -> None:
    deep = mode == "I;16"
    image = (
        Image.fromarray(picture[:, :, 0].astype(np.uint16) * 250) if deep else Image.fromarray(picture).convert(mode)
    )
    image.save(tmp_path / "x.lec", lossless=True, tile=64)
    with Image.open(tmp_path / "x.lec") as opened:
        assert opened.mode == mode and opened.info["lossless"] is True and "quality" not in opened.info
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(image))


def test_lossless_goes_with_no_quality(picture: np.ndarray, tmp_path: Path) -> None:
    for wrong in ({"quality": 60}, {"size": 5000}):
        with pytest.raises(lecodec.InputError, match="does not go with it"):
            Image.fromarray(picture).save(tmp_path / "x.lec", lossless=True, **wrong)
    assert not (tmp_path / "x.lec").exists()


def test_a_set_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "x.lec").write_bytes(lecodec.encode_set(np.zeros((5, 4, 3), np.uint8)))
    with pytest.raises(lecodec.UnsupportedFile, match=r"a set of 5 items of the shape \[4, 3\], not a picture"):
        Image.open(tmp_path / "x.lec")


@pytest.mark.parametrize("first", ["from PIL import Image; import lecodec", "import lecodec; from PIL import Image"])
def test_the_plugin_is_there_whichever_is_imported_first(first: str) -> None:
    code = f"import sys; {first}; Image.init(); assert Image.registered_extensions()['.lec'] == 'LEC'"
    code += "; import PIL.Image, inspect; assert 'def open' in inspect.getsource(PIL.Image)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


def test_pillow_is_not_imported_for_nothing() -> None:
    code = "import sys, lecodec, lecodec.cli.main; assert 'PIL.Image' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
