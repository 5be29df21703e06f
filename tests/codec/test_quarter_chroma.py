"""Pictures that had a quarter of the chroma: it is found again, whatever was clamped, cut or painted over."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lecodec.codec import adaptive_rows
from lecodec.codec.adaptive_rows import adaptive_body, adaptive_samples
from lecodec.codec.media.picture import read_picture
from lecodec.codec.quarter_chroma import JPEG_420, PHOTO_CD, QuarterChroma, packed, unpacked
from lecodec.codec.quarter_search import to_quarter_chroma
from lecodec.errors import CorruptFile
from lecodec.eval.tasks.pictures import bundled

from ..adaptive_reader import adaptive_samples as specified

NOTHING = np.zeros(0, np.int64), np.zeros((0, 3), np.uint8)
KINDS = {"Photo CD": PHOTO_CD, "JPEG": JPEG_420}


@pytest.fixture(scope="module", params=list(KINDS))
def held(request) -> QuarterChroma:
    """A photograph as a Photo CD or a JPEG file holds it, some of it clamped: 150 x 120 pixels."""
    kind = KINDS[request.param]
    rgb = read_picture(bundled("coffee.png"))[150:270, 200:350].astype(float)
    luma = rgb @ [0.299, 0.587, 0.114]
    unit = [2.2179, 1.8215] if kind is PHOTO_CD else [1.772, 1.402]
    chroma = np.stack([rgb[..., 2] - luma, rgb[..., 0] - luma])[:, ::2, ::2]
    chroma = np.rint(0.6 * chroma / np.array(unit)[:, None, None]).astype(np.int32)
    luma = 0.7 * luma + 30
    luma[30:50, 40:70] += 110
    luma = np.rint(luma * 65536 / kind.luma).clip(0, 255).astype(np.int32)
    return QuarterChroma(kind, luma, chroma, 0, 0, *NOTHING)


def back(body: bytes, rgb: np.ndarray) -> np.ndarray:
    return adaptive_samples(body, rgb.shape, rgb.dtype, "byte 0: a block")


def test_luma_and_chroma_are_found_again(held):
    """Clamped pixels may have others, but nearly all have some."""
    rgb = held.rgb()
    clamped = ((rgb == 0) | (rgb == 255)).any(-1)
    assert 0.01 < clamped.mean() < 0.5
    found = to_quarter_chroma(rgb)
    assert found is not None and found.kind is held.kind and np.array_equal(found.rgb(), rgb)
    assert len(found.listed) < 0.03 * rgb.size / 3
    sure = ~clamped.reshape(60, 2, 75, 2).any((1, 3))
    assert (found.chroma == held.chroma)[:, sure].mean() > 0.95
    assert (found.luma == held.luma)[~clamped].mean() > 0.98


def test_they_take_far_fewer_bytes(held, monkeypatch):
    rgb = held.rgb()
    body = adaptive_body(rgb)
    assert body[0] & 16 and np.array_equal(back(body, rgb), rgb)
    monkeypatch.setattr(adaptive_rows, "to_quarter_chroma", lambda _: None)
    assert len(body) < (0.65 if held.kind is PHOTO_CD else 0.9) * len(adaptive_body(rgb))


@pytest.mark.parametrize("size", [(101, 131), (131, 101)])
def test_a_picture_that_pillow_read_from_a_jpeg_file(size):
    """Upright ones too: interpolation rounds in another way along columns."""
    photo = read_picture(bundled("coffee.png"))[100 : 100 + size[0], 200 : 200 + size[1]]
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=90, subsampling="4:2:0")
    former = np.asarray(Image.open(file))
    found = to_quarter_chroma(former)
    assert found is not None and found.kind is JPEG_420 and len(found.listed) < 0.02 * former.size / 3
    body = adaptive_body(former)
    assert body[0] & 16 and np.array_equal(back(body, former), former)
    for other in ("4:4:4", "4:2:2"):
        Image.fromarray(photo).save(file := io.BytesIO(), "JPEG", quality=90, subsampling=other)
        assert to_quarter_chroma(np.asarray(Image.open(file))) is None


@pytest.mark.parametrize(("first", "last"), [((0, 0), (0, 0)), ((1, 0), (1, 2)), ((0, 1), (2, 1)), ((1, 1), (0, 0))])
def test_pictures_cut_out_of_others_and_turned_ones(held, first, last):
    """What was cut from a JPEG file has first and last pixels that know of chroma beyond: it has to be larger."""
    rows, columns = (14, 20) if held.kind is PHOTO_CD else (50, 60)
    part = held.rgb()[60 + first[0] : 60 + rows + last[0], 80 + first[1] : 80 + columns + last[1]]
    for rgb in (part, part[::-1], np.ascontiguousarray(part.swapaxes(0, 1))[:, ::-1]):
        if held.kind is JPEG_420 and rgb is not part:
            continue  # its rounding is another one then
        body = adaptive_body(rgb)
        assert body[0] & 16 and np.array_equal(back(body, rgb), rgb)


@pytest.mark.parametrize(("columns", "turned"), [(17, False), (13, True)])
def test_the_specification_says_the_same(held, columns, turned):
    chroma = held.chroma[:, 30:38, 40 : 41 + columns // 2]
    part = QuarterChroma(held.kind, held.luma[60:75, 80 : 80 + columns], chroma, 0, 1, *NOTHING).rgb()
    body = adaptive_body(part)
    assert body[0] & 16 and bool(body[0] & 4) == turned
    assert np.array_equal(back(body, part), part)
    assert np.array_equal(specified(body, *part.shape[:2], 3, 8), part)


def test_pixels_that_were_painted_are_listed(held):
    rgb = held.rgb()
    rgb[20:26, 30:60] = 200, 10, 90
    found = to_quarter_chroma(rgb)
    assert found is not None and 100 < len(found.listed) < 600
    assert np.array_equal(found.rgb(), rgb)
    assert np.array_equal(back(adaptive_body(rgb), rgb), rgb)
    rgb[:, 30:60] = 200, 10, 90
    assert to_quarter_chroma(rgb) is None


def test_other_pictures_are_not_taken_for_one(held):
    rgb = held.rgb()
    noise = np.random.default_rng(1).integers(0, 256, rgb.shape).astype(np.uint8)
    for other in (noise, rgb[..., ::-1], (rgb // 2), np.zeros_like(rgb), np.full_like(rgb, 255), rgb[:3]):
        assert to_quarter_chroma(np.ascontiguousarray(other)) is None


@pytest.mark.parametrize("size", [(4, 4), (4, 9), (5, 5)])
def test_the_smallest_of_a_photo_cd(size):
    rng = np.random.default_rng(2)
    chroma = rng.integers(-5, 6, (2, (size[0] + 1) // 2, (size[1] + 1) // 2)).astype(np.int32)
    rgb = QuarterChroma(PHOTO_CD, rng.integers(80, 120, size).astype(np.int32), chroma, 0, 0, *NOTHING).rgb()
    found = to_quarter_chroma(rgb)
    assert found is not None and np.array_equal(found.rgb(), rgb)


def test_lists_that_no_encoder_writes():
    listed, changes = np.array([0, 3, 70000]), np.arange(9, dtype=np.uint8).reshape(3, 3)
    for some, own in zip(unpacked(packed(listed, changes), 70001), (listed, changes), strict=True):
        assert np.array_equal(some, own)
    for pixels, data in ((70000, packed(listed, changes)), (32, packed(listed, changes)), (99, b""), (99, b"x" * 40)):
        with pytest.raises(CorruptFile):
            unpacked(data, pixels)
