"""Files of sets: what is read comes back, what is not a set is refused in a sentence, and nothing is believed."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import random
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.cli.main import main
from lecodec.cli.paths import decoded_name, encoded_name
from lecodec.codec.media.lzma_rows import lzma_body, lzma_samples
from lecodec.codec.media.medium import PICTURE, SET, medium_of
from lecodec.codec.media.picture import load_picture
from lecodec.codec.media.picture_write import write_picture
from lecodec.codec.media.sets import load_set
from lecodec.codec.media.sets_write import write_item_pictures, write_set
from lecodec.errors import CodecError, CorruptFile, InputError, LimitExceeded, OutputExists


def given(shape: tuple[int, ...] = (6, 5, 4), dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(2).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def idx(samples: np.ndarray, kind: int = 8) -> bytes:
    head = bytes([0, 0, kind, samples.ndim]) + struct.pack(f">{samples.ndim}I", *samples.shape)
    return head + samples.tobytes()


def npy(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, samples, **options)  # type: ignore[arg-type]
    return file.getvalue()


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.dtype == expected.dtype and found.shape == expected.shape and bool((found == expected).all())


# -- reading and writing


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5,), (6, 5), (6, 5, 4), (2, 3, 4, 3), (1, 1, 1, 1, 1)])
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.idx", "x-ubyte", "x.idx.gz", "x-idx3-ubyte.gz"])
def test_what_is_written_is_read(tmp_path: Path, name: str, shape: tuple[int, ...], dtype: type) -> None:
    path, samples = tmp_path / name, given(shape, dtype)
    if dtype == np.uint16 and ".np" not in name:
        with pytest.raises(InputError, match="idx holds 8 bits"):
            write_set(samples, path)
        assert not list(tmp_path.iterdir())
        return
    write_set(samples, path)
    assert same(load_set(path).samples, samples) and load_set(path).file_bytes == path.stat().st_size
    with open(path, "rb") as file:
        assert same(load_set(file).samples, samples)
    assert medium_of(str(path)) is SET
    if name.endswith(".npy"):
        assert same(np.load(path), samples)
    with pytest.raises(OutputExists):
        write_set(samples, path)
    write_set(samples[:1], path, overwrite=True)
    assert same(load_set(path).samples, samples[:1])


def test_other_orders_of_bytes_and_dimensions(tmp_path: Path) -> None:
    samples = given((4, 5, 6), np.uint16)
    for view in (samples.astype(">u2"), np.asfortranarray(samples)):
        np.save(tmp_path / "x.npy", view)
        found = load_set(tmp_path / "x.npy").samples
        assert found.dtype == np.uint16 and found.flags.c_contiguous and (found == samples).all()
    (tmp_path / "y.npy").write_bytes(npy(samples, version=(2, 0)))
    assert same(load_set(tmp_path / "y.npy").samples, samples)


def test_arrays_of_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, train=given(), test=given((3, 2)))
    with pytest.raises(InputError, match=r"holds 2 arrays \(train, test\), expected one: name it, as in x.npz:train"):
        load_set(path)
    assert same(load_set(f"{path}:test").samples, given((3, 2)))
    with pytest.raises(InputError, match="no array 'other': there are train, test"):
        load_set(f"{path}:other")
    np.save(tmp_path / "x.npy", given())
    with pytest.raises(OSError):
        load_set(f"{tmp_path}/missing.npz:x")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"not an array")
    with pytest.raises(InputError, match="'a' is not in numpy's format"):
        load_set(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"text")
    with pytest.raises(InputError, match="holds no arrays"):
        load_set(path)


def test_folders_of_pictures(tmp_path: Path) -> None:
    pictures = given((3, 5, 4, 3))
    for name, picture in zip(("b.png", "a.png", "c.bmp"), pictures, strict=True):
        write_picture(picture, tmp_path / name)
    found = load_set(tmp_path)
    assert same(found.samples, pictures[[1, 0, 2]]) and not found.notes
    assert found.file_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    (tmp_path / "labels.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    (tmp_path / "sub").mkdir()
    Image.fromarray(pictures[0]).save(tmp_path / "d.png", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    found = load_set(tmp_path)
    assert len(found.samples) == 4
    assert found.notes == (
        "ICC, EXIF and XMP of its pictures are not kept",
        "2 other files or folders in it are left out",
    )
    write_picture(pictures[0, :4], tmp_path / "e.png")
    with pytest.raises(InputError, match="e.png is 4 x 4, RGB of 8 bits, a.png is 4 x 5, RGB of 8 bits"):
        load_set(tmp_path)
    write_picture(pictures[0, :, :, 0], tmp_path / "e.png", overwrite=True)
    with pytest.raises(InputError, match="e.png is 4 x 5, grey of 8 bits, a.png is"):
        load_set(tmp_path)
    (tmp_path / "e.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="^e.png: not a picture"):
        load_set(tmp_path)
    with pytest.raises(InputError, match="a folder without pictures"):
        load_set(tmp_path / "sub")


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 4, 3), (3, 5, 4, 1), (3, 5, 4, 4), (3, 5, 4, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_items_as_pictures(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    samples = given(shape, dtype)
    size = write_item_pictures(samples, tmp_path / "new" / "p")
    found = load_set(tmp_path / "new" / "p")
    assert (found.samples.reshape(shape) == samples).all() and found.samples.dtype == dtype
    assert found.file_bytes == size
    with pytest.raises(OutputExists, match="00000.png"):
        write_item_pictures(samples, tmp_path / "new" / "p")
    write_item_pictures(samples[:1], tmp_path / "new" / "p", [12], overwrite=True)
    assert (tmp_path / "new" / "p" / "00012.png").exists()
    with pytest.raises(InputError, match="are no pictures"):
        write_item_pictures(samples.reshape(3, -1), tmp_path / "q")


# -- what is refused


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a set of samples of a kind that can be read"),
        (b"text", "not a set of samples"),
        (npy(np.zeros((2, 2), bool)), r"bool, expected uint8 or uint16: .astype\(np.uint8\)"),
        (npy(np.zeros((2, 2), np.float64)), "float64, expected uint8"),
        (npy(np.zeros((2, 2), np.int8)), "int8, expected uint8"),
        (npy(np.array([{}], object)), "object, expected uint8"),
        (npy(np.zeros(2, "u1,u2")), "expected uint8"),
        (npy(np.array(3, np.uint8)), r"an array of the shape \[\]"),
        (npy(np.zeros((0, 3), np.uint8)), r"an array of the shape \[0, 3\]"),
        (npy(given())[:-1], "cut short: 119 bytes of samples, expected 120"),
        (npy(given()) + b"x", "longer than it says"),
        (npy(given())[:40], "the .npy file is damaged"),
        (npy(given()).replace(b"'shape'", b"'shapf'"), "the .npy file is damaged"),
        (npy(given()).replace(b"|u1", b"|zz"), "the .npy file is damaged"),
        (b"\x93NUMPY\x03\0" + npy(given())[8:], "version 3.0, expected 1.0 or 2.0"),
        (idx(given())[:-1], "cut short: 119 bytes of samples, expected 120"),
        (idx(given()) + b"x", "longer than it says"),
        (idx(given(), 11), r"an idx file of 16-bit numbers \(type 11\), expected unsigned bytes"),
        (idx(given(), 13), "an idx file of float numbers"),
        (idx(given(), 7), "not an idx file: it begins with 00 00 07 03"),
        (b"\0\0\x08\0", "not an idx file"),
        (b"\0\0\x08\x03\0\0", "cut short: 2 bytes of samples, expected 12"),
        (idx(np.zeros((0, 3), np.uint8)), r"an array of the shape \[0, 3\]"),
        (gzip.compress(idx(given()))[:-9], "the gzip file is damaged"),
        (gzip.compress(idx(given()))[:30] + b"xx" + gzip.compress(idx(given()))[32:], "damaged"),
        (gzip.compress(b"text", mtime=0), "not an idx file"),
        (gzip.compress(idx(given())) + b"junk", "the gzip file is damaged"),
        (b"PK\x03\x04junk", "the .npz file is damaged"),
    ],
)
def test_what_is_no_set(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        load_set(path)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_set(tmp_path / "missing.npy")
    with pytest.raises(InputError, match="not a regular file"):
        load_set("/dev/null")


def bombs() -> dict[str, bytes]:
    """Files that say, or inflate to, far more than they are."""
    head = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**20, 2**10, 2**10)
    zeros = gzip.compress(head + bytes(2**24), 1)
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 2)})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", array.getvalue() + bytes(2**24))
    return {"idx": head, "idx.gz": zeros, "npy": array.getvalue(), "npz": archive.getvalue()}


@pytest.mark.parametrize("kind", ["idx", "idx.gz", "npy", "npz"])
def test_sizes_are_judged_before_memory_is_taken(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x").write_bytes(bombs()[kind])
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="the limit is 268435456"):
            load_set(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_a_file_that_inflates_beyond_its_own_size(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gzip.compress(idx(given()) + bytes(2**24), 1))
    with pytest.raises(InputError, match="longer than it says"):
        load_set(tmp_path / "x")


@pytest.mark.parametrize("dimensions", [[2**32 - 1] * 255, [10**3000, 10**3000, 10**3000]])
def test_numbers_of_many_digits_are_not_written_out(tmp_path: Path, dimensions: list[int]) -> None:
    """A message had 1,213 letters; of two numbers of 4,300 digits Python does not write the product at all."""
    if len(dimensions) > 3:
        content = bytes([0, 0, 8, len(dimensions)]) + struct.pack(f">{len(dimensions)}I", *dimensions)
    else:
        head = str({"descr": "|u1", "fortran_order": False, "shape": tuple(dimensions)}).encode() + b"\n"
        content = b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(CodecError) as error:
        load_set(tmp_path / "a.npy")
    assert len(str(error.value)) < 300


def test_any_bytes_give_a_set_or_a_sentence(tmp_path: Path) -> None:
    rng = random.Random(1)
    archive = io.BytesIO()
    np.savez_compressed(archive, given())
    seeds = [npy(given()), npy(given((9,), np.uint16)), idx(given()), gzip.compress(idx(given())), archive.getvalue()]
    fine = 0
    for _ in range(3000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 3, 10))):
            at = rng.randrange(min(len(data), rng.choice((12, 150, 10**6))))
            kind = rng.randrange(3)
            if kind == 0:
                data[at] = rng.choice((0, 1, 255, 39, 40, 123, rng.randrange(256)))
            elif kind == 1:
                del data[at : at + rng.choice((1, 5, 60))]
            else:
                data[at:at] = rng.randbytes(rng.choice((1, 5)))
            if not data:
                break
        try:
            load_set(io.BytesIO(bytes(data)))
            fine += 1
        except CodecError as error:
            assert str(error) and "\n" not in str(error)
    assert 0 < fine < 3000


# -- names


@pytest.mark.parametrize(
    ("name", "packed", "unpacked"),
    [
        ("x.npy", "x.npy.lec", "x.npy"),
        ("x.npz", "x.npz.lec", "x.npy"),
        ("x.npz:train", "x.npz.train.lec", "x.npz.train.npy"),
        ("a.idx", "a.idx.lec", "a.npy"),
        ("a.idx.gz", "a.idx.gz.lec", "a.npy"),
        ("t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.lec", "t10k-images-idx3-ubyte.npy"),
        ("t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz.lec", "t10k-images-idx3-ubyte.npy"),
    ],
)
def test_names(name: str, packed: str, unpacked: str) -> None:
    assert medium_of(name) is medium_of(f"/some/where/{name}".upper()) is SET
    assert encoded_name(name, SET) == packed and decoded_name(packed, SET) == unpacked


def test_names_that_are_none() -> None:
    assert {medium_of(name) for name in ("a.png", "npy", "x.gz", "x.npy.png", "-", "a.lec")} == {PICTURE}
    assert decoded_name("folder.lec", SET) == "folder.npy" and decoded_name(".npy.lec", SET) == ".npy.npy"


# -- the command line


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable:
    """Runs the command line in an empty folder -> exit code, stdout, stderr. No model is at hand."""
    monkeypatch.chdir(tmp_path)
    from lecodec.codec import registry

    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "no models")
    monkeypatch.delenv("LECODEC_MODELS", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(exit.value.code or 0), out, err

    return call


def test_a_set_there_and_back(cli: Callable) -> None:
    np.save("x.npy", given((20, 5, 4)))
    code, out, err = cli("encode", "x.npy", "--block", "6")
    assert code == 0 and not err and "bits a sample" in out and "equal" in out
    assert (lecodec.info("x.npy.lec")["items"], lecodec.info("x.npy.lec")["tiles"]) == (20, 4)
    assert "20 items of [5, 4]" in cli("decode", "x.npy.lec", "-o", "y.npy")[1]
    assert same(np.load("y.npy"), given((20, 5, 4)))
    assert cli("decode", "x.npy.lec")[2].endswith("output x.npy exists\n")
    assert cli("decode", "x.npy.lec", "-f")[0] == 0
    for name in ("y.npz", "y.idx", "y-ubyte.gz"):
        assert cli("decode", "x.npy.lec", "-o", name)[0] == 0
        assert same(load_set(name).samples, given((20, 5, 4)))
        Path("again.lec").unlink(missing_ok=True)
        assert cli("encode", name, "-o", "again.lec", "--block", "6")[0] == 0
        assert Path("again.lec").read_bytes() == Path("x.npy.lec").read_bytes()
    assert cli("test", "x.npy.lec", "again.lec")[0] == 0


def test_items_of_a_set(cli: Callable) -> None:
    samples = given((20, 5, 4))
    np.save("x.npy", samples)
    cli("encode", "x.npy")
    assert cli("decode", "x.npy.lec", "--item", "7", "--item", "2-4", "-o", "some.npy")[0] == 0
    assert same(np.load("some.npy"), samples[[7, 2, 3, 4]])
    assert cli("decode", "x.npy.lec", "--item", "7", "-o", "seven.png")[0] == 0
    assert same(np.asarray(Image.open("seven.png")), samples[7])
    assert cli("decode", "x.npy.lec", "--item", "7", "--item", "19", "--item", "7", "-o", "some/")[0] == 0
    assert {path.name for path in Path("some").iterdir()} == {"00007.png", "00019.png"}
    code, _, err = cli("decode", "x.npy.lec", "--item", "20", "-o", "z.npy")
    assert code == 1 and err == "lecodec: x.npy.lec: item 20, expected 0 to 19\n"
    for wrong in ("x", "4-2", "-1", "", "1-99999999999", "0-999999999"):
        assert cli("decode", "x.npy.lec", "--item", wrong, "-o", "z.npy")[0] == 2
    assert cli("decode", "x.npy.lec", "--item", "1", "--region", "0,0,1,1")[0] == 2
    assert not Path("z.npy").exists()


def test_pictures_of_a_set(cli: Callable) -> None:
    np.save("x.npy", given((3, 5, 4, 3)))
    cli("encode", "x.npy")
    assert cli("decode", "x.npy.lec", "-o", "pictures/")[0] == 0
    assert same(load_set("pictures").samples, given((3, 5, 4, 3)))
    code, _, err = cli("decode", "x.npy.lec", "-o", "pictures/")
    assert code == 1 and "00000.png exists" in err
    code, out, _ = cli("encode", "--set", "pictures/", "--json")
    assert code == 0 and json.loads(out.splitlines()[0])["items"] == 3
    assert Path("pictures.lec").read_bytes() == Path("x.npy.lec").read_bytes()
    assert cli("decode", "pictures.lec")[0] == 0 and same(np.load("pictures.npy"), given((3, 5, 4, 3)))
    write_picture(given((4, 4)), "pictures/x.png")
    code, _, err = cli("encode", "--lossless", "--set", "pictures", "-f")
    assert code == 1 and "lecodec: pictures: x.png is 4 x 4, grey of 8 bits, 00000.png is" in err
    assert cli("encode", "--set", ".", "-o", "here.lec")[2].startswith("lecodec: ")
    np.save("y.npy", given((3, 5)))
    cli("encode", "y.npy")
    assert "are no pictures" in cli("decode", "y.npy.lec", "-o", "others/")[2] and not Path("others").exists()
    assert cli("decode", "y.npy.lec", "x.npy.lec", "-o", "arrays/")[0] == 0
    assert {path.name for path in Path("arrays").iterdir()} == {"x.npy", "y.npy"}


def test_lossless_pictures(cli: Callable, picture: np.ndarray) -> None:
    write_picture(picture, "a.png")
    write_picture(given((9, 8, 4), np.uint16), "b.png")
    code, out, err = cli("encode", "--lossless", "a.png", "b.png", "--tile", "64")
    assert code == 0 and not err and out.count("equal") == 2
    assert cli("decode", "a.png.lec", "b.png.lec", "-o", "back/")[0] == 0
    assert same(lecodec.decode("a.png.lec"), picture)
    assert Path("back/a.png").exists() and same(lecodec.decode("b.png.lec"), given((9, 8, 4), np.uint16))
    assert cli("decode", "a.png.lec", "--region", "3,4,5,6", "-o", "part.png")[0] == 0
    assert same(np.asarray(Image.open("part.png")), picture[4:10, 3:8])
    out = cli("encode", "--lossless", "--no-verify", "a.png", "-f")[1]
    assert "equal" not in out
    lines = cli("info", "a.png.lec")[1]
    assert "none is needed" in lines and "1 (lossless blocks)" in lines and "user_quality" not in lines
    record = json.loads(cli("test", "--json", "a.png.lec")[1].splitlines()[0])
    assert record["lossless"] is True and record["user_quality"] is None


def test_equal_pictures_without_loss_go_together(cli: Callable) -> None:
    for name in "abc":
        write_picture(given((9, 8)) + np.uint8(ord(name)), f"{name}.png")
    assert cli("encode", "--lossless", "a.png", "b.png", "c.png", "-j", "2")[0] == 0
    assert cli("decode", "a.png.lec", "b.png.lec", "c.png.lec", "-o", "back/")[0] == 0
    for name in "abc":
        assert same(np.asarray(Image.open(f"back/{name}.png")), given((9, 8)) + np.uint8(ord(name)))


@pytest.mark.parametrize(
    "arguments",
    [
        ("a.png", "--lossless", "-q", "50"),
        ("a.png", "--lossless", "--size", "5kB"),
        ("x.npy", "--bpp", "1"),
        ("a.png", "x.npy", "--psnr", "40"),
        ("x.npy", "--tile", "64"),
        ("a.png", "--lossless", "--block", "5"),
        ("x.npy", "--block", "0"),
        ("--set", "-r", "."),
    ],
)
def test_options_that_do_not_go_together(cli: Callable, arguments: tuple[str, ...]) -> None:
    write_picture(given((9, 8)), "a.png")
    np.save("x.npy", given())
    code, out, err = cli("encode", *arguments)
    assert code == 2 and not out and "Error" in err
    assert not list(Path().glob("*.lec"))


def test_one_sentence_for_each_bad_set(cli: Callable) -> None:
    np.save("good.npy", given())
    np.save("bool.npy", given() > 3)
    np.savez("two.npz", a=given(), b=given())
    Path("bad.idx").write_bytes(b"text")
    code, _, err = cli("encode", "good.npy", "bool.npy", "two.npz", "two.npz:b", "bad.idx", "missing.npy")
    lines = err.splitlines()
    assert code == 1 and len(lines) == 4 and all(line.startswith("lecodec: ") for line in lines)
    assert ".astype(np.uint8)" in lines[0] and "x.npz:a" in lines[1] and "No such file" in lines[3]
    assert Path("good.npy.lec").exists() and Path("two.npz.b.lec").exists()


def test_outputs_that_do_not_fit(cli: Callable) -> None:
    np.save("x.npy", given())
    np.save("deep.npy", given(dtype=np.uint16))
    write_picture(given((9, 8)), "a.png")
    cli("encode", "x.npy", "deep.npy")
    cli("encode", "a.png", "--lossless")
    for arguments, says in (
        (("x.npy.lec", "-o", "x.png"), "a set is written as .npy"),
        (("x.npy.lec", "--region", "0,0,1,1", "-o", "y.npy"), "--region and --depth do not go with it"),
        (("x.npy.lec", "--depth", "16", "-o", "y.npy"), "--region and --depth do not go with it"),
        (("a.png.lec", "-o", "y.npy"), "cannot write '.npy' files"),
        (("a.png.lec", "--item", "0", "-o", "y.png"), "a picture, not a set"),
        (("deep.npy.lec", "-o", "y.idx"), "idx holds 8 bits"),
    ):
        code, _, err = cli("decode", *arguments)
        assert code == 1 and says in err
        assert not list(Path().glob("y.*"))


class Binary(io.TextIOWrapper):
    """A stream that is no terminal, with bytes behind it."""


def test_pipes_of_sets(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Binary(io.BytesIO(npy(given()))))
    with pytest.raises(SystemExit):
        main(["encode", "--set", "-", "-o", "x.lec"])
    assert same(lecodec.decode("x.lec"), given())
    monkeypatch.setattr(sys, "stdin", Binary(io.BytesIO(Path("x.lec").read_bytes())))
    with pytest.raises(SystemExit):
        main(["decode", "-", "-o", "x.npy"])
    assert same(np.load("x.npy"), given())
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Binary(written))
    with pytest.raises(SystemExit):
        main(["decode", "x.lec", "-c"])
    assert same(load_set(io.BytesIO(written.getvalue())).samples, given())
    monkeypatch.undo()


def test_verification_finds_what_does_not_come_back(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from lecodec.codec.lossless import LosslessCodec

    np.save("x.npy", given())
    write_picture(given((9, 8)), "a.png")
    decode = LosslessCodec.decode
    monkeypatch.setattr(LosslessCodec, "decode", lambda self, data: decode(self, data) ^ np.uint8(1))
    code, _, err = cli("encode", "x.npy", "a.png", "--lossless")
    assert code == 1 and err.count("verification: samples do not come back as they were") == 2
    assert not list(Path().glob("*.lec"))
    assert cli("encode", "x.npy", "a.png", "--lossless", "--no-verify")[0] == 0


def test_damage_to_a_set_is_told(cli: Callable) -> None:
    np.save("x.npy", given())
    cli("encode", "x.npy")
    data = bytearray(Path("x.npy.lec").read_bytes())
    data[-40] ^= 1
    Path("x.npy.lec").write_bytes(data)
    for command in (("test",), ("decode", "-o", "y.npy"), ("info",)):
        code, _, err = cli(command[0], "x.npy.lec", *command[1:])
        assert code == 1 and "CRC of LDAT" in err
    assert not Path("y.npy").exists()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sets_whose_items_repeat_far_apart_are_coded_with_lzma(dtype: type) -> None:
    """Deflate looks back 32 KiB, so that xz made smaller files than this codec without a model."""
    rng = np.random.default_rng(0)
    few = rng.integers(0, np.iinfo(dtype).max + 1, (40, 40, 40), dtype=dtype)
    samples = few[rng.integers(0, 40, 160)]
    data = lecodec.encode_set(samples, items=160)
    assert lecodec.info(data)["methods"] == {"lzma": 1}
    xz = len(lzma.compress(samples.tobytes(), preset=6))
    assert len(data) < xz + 250 < 0.5 * samples.nbytes
    assert np.array_equal(lecodec.decode(data), samples)


def test_any_bytes_as_an_lzma_stream_end_in_samples_or_an_error() -> None:
    samples = np.random.default_rng(1).integers(0, 7, (30, 20), dtype=np.uint8)
    body = lzma_body(samples)
    rng = np.random.default_rng(2)
    assert np.array_equal(lzma_samples(body, samples.shape, samples.dtype, "here"), samples)
    for shape in ((29, 20), (31, 20), (1, 1), (0, 20)):
        with pytest.raises(CorruptFile, match="here"):
            lzma_samples(body, shape, samples.dtype, "here")
    for n in range(2000):
        damaged = bytearray(body[: rng.integers(len(body) + 1)] if n % 2 else body)
        for at in rng.integers(0, max(len(damaged), 1), 2):
            damaged[at : at + 1] = rng.bytes(1)
        try:
            found = lzma_samples(bytes(damaged), samples.shape, samples.dtype, "here")
        except CorruptFile:
            continue
        assert found.shape == samples.shape and found.dtype == samples.dtype
    bomb = lzma_body(np.zeros(1 << 24, np.uint8))  # 2.5 kB
    with pytest.raises(CorruptFile, match="other than 600 bytes"):
        lzma_samples(bomb, (30, 20), samples.dtype, "here")


class Endless(io.RawIOBase):
    """A stream of one byte for ever, behind a few others; it gives up where more is read than anybody needs."""

    def __init__(self, head: bytes = b"", byte: bytes = b"\0", most: int = 1 << 16) -> None:
        self.head, self.byte, self.left = head, byte, most

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= self.left, "read without end"
        self.left -= size
        found, self.head = self.head[:size], self.head[size:]
        return found + self.byte * (size - len(found))


@pytest.mark.parametrize("byte", [b"\0", b"x", b"\xff", b"\n"])
def test_the_first_bytes_of_a_pipe_decide(byte: bytes) -> None:
    """`cat /dev/zero | lecodec encode -` took 2 GB, `--set -` all that there was."""
    for read in (load_set, load_picture):
        with pytest.raises(InputError, match="not a|cut short|an idx file"):
            read(Endless(byte=byte))


def test_no_more_is_read_of_a_pipe_than_its_header_promises() -> None:
    samples = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    stream = io.BytesIO()
    np.save(stream, samples)
    idx = b"\0\0\x08\x03" + struct.pack(">3I", 5, 3, 4) + samples.tobytes()
    for data in (stream.getvalue(), idx, gzip.compress(idx)):
        found = load_set(io.BytesIO(data))
        assert np.array_equal(found.samples, samples) and found.file_bytes == len(data)
    for data in (stream.getvalue(), idx):
        with pytest.raises(InputError, match="longer than it says"):
            load_set(Endless(data))
    np.savez(archive := io.BytesIO(), x=samples)
    assert np.array_equal(load_set(io.BytesIO(archive.getvalue())).samples, samples)
