"""Training reads pictures as encoding does (fault A3: it had a reader of its own, which saw white and black ones)."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lecodec.codec.media.picture import read_picture
from lecodec.codec.media.picture_write import write_picture
from lecodec.errors import InputError
from lecodec.train.data import NAMED, eight_bit_rgb, load_pictures
from lecodec.train.photo import PhotoCrops
from lecodec.train.recipe import PhotoRecipe

GREY = np.add.outer(np.arange(70), 2 * np.arange(90)).astype(np.uint8)


def png_of_a_size(width: int, height: int) -> bytes:
    """A picture that claims a size and holds next to nothing."""
    out = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for name, payload in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")):
        out += struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
    return out


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder of pictures that a reader of 8-bit RGB gets wrong, and of what is passed over."""
    folder = tmp_path / "odd"
    (folder / ".hidden").mkdir(parents=True)
    deep = GREY.astype(np.uint16) * 257
    write_picture(deep, folder / "a-grey16.png")
    write_picture(np.dstack([deep, deep // 2, deep // 3]), folder / "b-rgb16.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(folder / "c-lying.JFIF", "JPEG", exif=exif, quality=95)
    alpha = np.where(np.arange(90) < 45, 0, 255).astype(np.uint8) + np.zeros((70, 1), np.uint8)
    write_picture(np.dstack([GREY, GREY, GREY, alpha]), folder / "d-alpha.png")
    (folder / ".hidden.png").write_bytes((folder / "a-grey16.png").read_bytes())
    (folder / ".hidden" / "e.png").write_bytes((folder / "a-grey16.png").read_bytes())
    os.mkfifo(folder / "f-pipe.png")
    Image.fromarray(GREY.astype(np.float32)).save(folder / "g-float.tif")
    (folder / "h-huge.png").write_bytes(png_of_a_size(20_000, 20_000))
    (folder / "i-broken.png").write_bytes((folder / "a-grey16.png").read_bytes()[:200])
    write_picture(GREY[:9, :9], folder / "j-small.png")
    (folder / "k.txt").write_text("no picture")
    return folder


def test_training_sees_what_encoding_sees(odd):
    said: list[str] = []
    found = load_pictures([odd], say=said.append)
    assert [p.shape for p in found] == [(70, 90, 3), (70, 90, 3), (90, 70, 3), (70, 90, 3)]
    grey16, rgb16, lying, alpha = found
    assert all(p.dtype == np.uint8 and p.flags.c_contiguous for p in found)
    assert np.array_equal(grey16, np.dstack([GREY] * 3))
    assert np.array_equal(rgb16[..., 0], GREY) and np.abs(rgb16[..., 1] - GREY / 2).max() <= 0.51
    assert np.array_equal(lying[..., 0], read_picture(odd / "c-lying.JFIF"))
    assert np.all(alpha[:, :45] == 255) and np.array_equal(alpha[:, 45:, 0], GREY[:, 45:])

    (sentence,) = said
    assert sentence.startswith("4 passed over: ") and "\n" not in sentence
    for name in ("g-float.tif (has floating-point", "h-huge.png (", "i-broken.png (", "j-small.png (smaller"):
        assert f"{odd}/{name}" in sentence


def test_many_that_are_passed_over_are_counted(tmp_path):
    said: list[str] = []
    for n in range(NAMED + 5):
        write_picture(GREY[:9, :9], tmp_path / f"{n:02}.png")
    with pytest.raises(InputError, match="no picture of at least 64 pixels a side"):
        load_pictures([tmp_path, tmp_path / "nowhere"], say=said.append)
    assert said[0].startswith(f"{NAMED + 6} passed over: {tmp_path}/nowhere (") and said[0].endswith(" and 6 more")


def test_half_transparent_pixels_lie_over_white():
    colour = np.full((2, 2, 2), 100, np.uint8)
    colour[..., 1] = 51
    assert np.all(eight_bit_rgb(colour) == round(255 - 0.2 * 155))
    deep = np.full((1, 1, 4), 65535, np.uint16)
    assert eight_bit_rgb(deep // 2).tolist() == [[[191, 191, 191]]]


def test_every_kind_reads_through_it(odd):
    said: list[str] = []
    source = {"folder": odd, "share": 1, "hold_out": 1}
    recipe = PhotoRecipe.model_validate({"kind": "photo", "name": "x", "sources": [source], "steps": 1, "crop": 32})
    crops = PhotoCrops(recipe, 0, said.append)
    assert len(crops.held_out) == 1 and said[0].startswith("4 passed over")
