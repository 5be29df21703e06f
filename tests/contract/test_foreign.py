"""What callers give by mistake: every one of them gets an InputError, not an exception from the depths."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.errors import InputError

GREY = np.random.default_rng(0).integers(0, 256, (24, 30), dtype=np.uint8)
RGB = np.dstack([GREY, GREY, GREY])
SET = np.stack([GREY, GREY, GREY])
MASKED = np.ma.masked_array(GREY, GREY > 200)
pytestmark = pytest.mark.usefixtures("tiny_default")
any_: Any = lecodec  # what types would not let through

CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "floats": (lambda: any_.encode(GREY.astype(float)), "not float64"),
    "floats, lossless": (lambda: any_.encode(GREY.astype(float), lossless=True), "not float64"),
    "masked": (lambda: any_.encode(MASKED), "masked array"),
    "masked, lossless": (lambda: any_.encode(MASKED, lossless=True), "masked array"),
    "masked set": (lambda: any_.encode_set(MASKED), "masked array"),
    "quality keep": (lambda: any_.encode(RGB, quality="keep"), "quality 'keep' is not a number"),
    "quality True": (lambda: any_.encode(RGB, quality=True), "quality True is not a number"),
    "Pillow's keep": (lambda: Image.fromarray(RGB).save(io.BytesIO(), "LEC", quality="keep"), "not a number"),
    "bpp": (lambda: any_.encode(RGB, bpp="x"), "bpp 'x' is not a number"),
    "size": (lambda: any_.encode(RGB, size="50kB"), "size '50kB' is not a number"),
    "psnr": (lambda: any_.encode(RGB, psnr=[1]), "is not a number"),
    "effort": (lambda: any_.encode(RGB, effort=2.0), "effort 2.0 is not a whole number"),
    "tile": (lambda: any_.encode(RGB, tile="64"), "tile '64' is not a whole number"),
    "tile, float": (lambda: any_.encode(RGB, tile=64.0), "tile 64.0 is not a whole number"),
    "items": (lambda: any_.encode_set(SET, items=1.5), "1.5 is not a whole number"),
    "item 1.0": (lambda: any_.decode(lecodec.encode_set(SET), items=[1.0]), "item 1.0 is not a whole number"),
    "item '1'": (lambda: any_.decode(lecodec.encode_set(SET), items=["1"]), "is not a whole number"),
    "items '1'": (lambda: any_.decode(lecodec.encode_set(SET), items="1"), "a list of whole numbers"),
    "items 1": (lambda: any_.decode(lecodec.encode_set(SET), items=1), "a list of whole numbers"),
    "item True": (lambda: any_.decode(lecodec.encode_set(SET), items=[True]), "True is not a whole number"),
    "region of floats": (lambda: any_.decode(lecodec.encode(RGB), region=(1.0, 1, 4, 2)), "1.0 is not a whole"),
    "region of three": (lambda: any_.decode(lecodec.encode(RGB), region=(1, 1, 4)), "four whole numbers"),
    "region as text": (lambda: any_.decode(lecodec.encode(RGB), region="1,1,4,2"), "four whole numbers"),
    "decode None": (lambda: any_.decode(None), "not NoneType"),
    "decode samples": (lambda: any_.decode(GREY), "not ndarray"),
    "info": (lambda: any_.info(3), "not int"),
    "null byte, encode": (lambda: any_.encode("a\0b"), "null byte"),
    "null byte, decode": (lambda: any_.decode("a\0b"), "null byte"),
    "null byte, set": (lambda: any_.encode_set("a\0b"), "null byte"),
    "device": (lambda: any_.load(device=None), "device None"),
    "model": (lambda: any_.encode(RGB, model=3), "a model is a name or a path, not int"),
    "load": (lambda: any_.load(3), "a model is a name or a path, not int"),
    "data set": (lambda: any_.LecDataset(3), "expected a folder or a list of paths"),
    "data set of numbers": (lambda: any_.LecDataset([3]), "expected a folder or a list of paths"),
    "augmentation of an image": (lambda: any_.RandomCompression()(Image.fromarray(RGB)), "must be a tensor, not Image"),
    "augmentation of an array": (lambda: any_.RandomCompression()(RGB), "must be a tensor, not ndarray"),
    "one quality": (lambda: any_.RandomCompression(50), "expected two numbers"),
    "quality as text": (lambda: any_.RandomCompression("ab"), "expected two numbers"),
}


@pytest.mark.parametrize("name", CASES)
def test_mistakes_end_in_one_sentence(name: str) -> None:
    call, says = CASES[name]
    with pytest.raises(InputError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_numbers_and_arrays_of_numpy_are_taken() -> None:
    data = lecodec.encode_set(SET, items=np.int64(2))  # type: ignore[arg-type]
    assert np.array_equal(lecodec.decode(data, items=np.array([2, 0])), SET[[2, 0]])  # type: ignore[arg-type]
    file = lecodec.encode(RGB, quality=np.float32(30), tile=np.uint8(0))  # type: ignore[arg-type]
    assert file == lecodec.encode(RGB, quality=30, tile=0)
    assert lecodec.decode(file, region=np.array([1, 2, 5, 4])).shape == (4, 5, 3)  # type: ignore[arg-type]
    assert lecodec.decode(bytearray(file)).shape == lecodec.decode(memoryview(file)).shape == RGB.shape  # type: ignore[arg-type]
    matrix = np.asmatrix(GREY)
    for lossless in (False, True):
        assert lecodec.encode(matrix, lossless=lossless) == lecodec.encode(GREY, lossless=lossless)
    assert lecodec.encode_set(matrix) == lecodec.encode_set(GREY)
