"""Pictures that a Photo CD held: their luma and chroma are found again, whatever was clamped, cut or painted over."""

from __future__ import annotations

import numpy as np
import pytest

from lecodec.codec import adaptive_rows
from lecodec.codec.adaptive_rows import adaptive_body, adaptive_samples
from lecodec.codec.media.picture import read_picture
from lecodec.codec.photo_cd import BLUE, LUMA, RED, PhotoCd, packed, unpacked
from lecodec.codec.photo_cd_search import to_photo_cd
from lecodec.errors import CorruptFile
from lecodec.eval.tasks.pictures import bundled

from ..adaptive_reader import adaptive_samples as specified

NOTHING = np.zeros(0, np.int64), np.zeros((0, 3), np.uint8)


@pytest.fixture(scope="module")
def held() -> PhotoCd:
    """A photograph as a Photo CD holds it, some of it clamped: 150 x 120 pixels."""
    rgb = read_picture(bundled("coffee.png"))[150:270, 200:350].astype(float)
    luma = rgb @ [0.299, 0.587, 0.114]
    chroma = np.stack([rgb[..., 2] - luma, rgb[..., 0] - luma])[:, ::2, ::2] * 65536
    chroma = np.rint(0.6 * chroma / np.array([BLUE, RED])[:, None, None]).astype(np.int32)
    luma = 0.7 * luma + 30
    luma[30:50, 40:70] += 110
    luma = np.rint(luma * 65536 / LUMA).clip(0, 255).astype(np.int32)
    return PhotoCd(luma, chroma, 0, 0, *NOTHING)


def back(body: bytes, rgb: np.ndarray) -> np.ndarray:
    return adaptive_samples(body, rgb.shape, rgb.dtype, "byte 0: a block")


def test_luma_and_chroma_are_found_again(held):
    """Clamped pixels may have others, but nearly all have some."""
    rgb = held.rgb()
    clamped = ((rgb == 0) | (rgb == 255)).any(-1)
    assert 0.01 < clamped.mean() < 0.5
    found = to_photo_cd(rgb)
    assert found is not None and np.array_equal(found.rgb(), rgb)
    assert len(found.listed) < 0.15 * clamped.sum()
    sure = ~clamped[::2, ::2]
    assert np.array_equal(found.chroma[:, sure], held.chroma[:, sure])
    assert (found.luma == held.luma)[~clamped].mean() > 0.99


def test_they_take_far_fewer_bytes(held, monkeypatch):
    rgb = held.rgb()
    body = adaptive_body(rgb)
    assert body[0] & 16 and np.array_equal(back(body, rgb), rgb)
    monkeypatch.setattr(adaptive_rows, "to_photo_cd", lambda _: None)
    assert len(body) < 0.65 * len(adaptive_body(rgb))


@pytest.mark.parametrize(("first", "last"), [((0, 0), (0, 0)), ((1, 0), (1, 2)), ((0, 1), (2, 1)), ((1, 1), (0, 0))])
def test_pictures_cut_out_of_others_and_turned_ones(held, first, last):
    part = held.rgb()[60 + first[0] : 74 + last[0], 80 + first[1] : 100 + last[1]]
    for rgb in (part, part[::-1], np.ascontiguousarray(part.swapaxes(0, 1))[:, ::-1]):
        body = adaptive_body(rgb)
        assert body[0] & 16 and np.array_equal(back(body, rgb), rgb)
    assert np.array_equal(specified(body, *rgb.shape[:2], 3, 8), rgb)


def test_pixels_that_were_painted_are_listed(held):
    rgb = held.rgb()
    rgb[20:26, 30:60] = 200, 10, 90
    found = to_photo_cd(rgb)
    assert found is not None and 100 < len(found.listed) < 260
    assert np.array_equal(found.rgb(), rgb)
    assert np.array_equal(back(adaptive_body(rgb), rgb), rgb)
    rgb[:, 30:60] = 200, 10, 90
    assert to_photo_cd(rgb) is None


def test_other_pictures_are_not_taken_for_one(held):
    rgb = held.rgb()
    noise = np.random.default_rng(1).integers(0, 256, rgb.shape).astype(np.uint8)
    for other in (noise, rgb[..., ::-1], (rgb // 2), np.zeros_like(rgb), np.full_like(rgb, 255), rgb[:3]):
        assert to_photo_cd(np.ascontiguousarray(other)) is None


@pytest.mark.parametrize("size", [(4, 4), (4, 9), (5, 5)])
def test_the_smallest(size):
    rng = np.random.default_rng(2)
    chroma = rng.integers(-5, 6, (2, (size[0] + 1) // 2, (size[1] + 1) // 2)).astype(np.int32)
    rgb = PhotoCd(rng.integers(80, 120, size).astype(np.int32), chroma, 0, 0, *NOTHING).rgb()
    found = to_photo_cd(rgb)
    assert found is not None and np.array_equal(found.rgb(), rgb)


def test_lists_that_no_encoder_writes():
    listed, changes = np.array([0, 3, 70000]), np.arange(9, dtype=np.uint8).reshape(3, 3)
    for some, own in zip(unpacked(packed(listed, changes), 70001), (listed, changes), strict=True):
        assert np.array_equal(some, own)
    for pixels, data in ((70000, packed(listed, changes)), (32, packed(listed, changes)), (99, b""), (99, b"x" * 40)):
        with pytest.raises(CorruptFile):
            unpacked(data, pixels)
