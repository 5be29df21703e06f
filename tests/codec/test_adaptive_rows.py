"""Adaptive coding without loss: every sample comes back, alike everywhere; what adapts pays; damage is found."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.bitstream import LecFile
from lecodec.codec import block_coding
from lecodec.codec.adaptive_rows import adaptive_body, adaptive_samples, codes
from lecodec.codec.jpeg_colour import from_jpeg, to_jpeg
from lecodec.codec.media.picture import read_picture
from lecodec.entropy import adaptive
from lecodec.errors import CorruptFile
from lecodec.eval.tasks.pictures import bundled

from ..adaptive_reader import adaptive_samples as specified
from ..golden_adaptive import with_method


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """[120, 150, 3]."""
    return read_picture(bundled("coffee.png"))[150:270, 200:350]


def back(body: bytes, samples: np.ndarray, **how: bool) -> np.ndarray:
    return adaptive_samples(body, samples.shape, samples.dtype, "byte 0: a block", **how)


def contents(shape: tuple[int, ...], dtype: type) -> dict[str, np.ndarray]:
    rng, peak = np.random.default_rng(3), int(np.iinfo(dtype).max)
    ramp = np.arange(np.prod(shape)).reshape(shape) * 11 // 7
    return {
        "noise": rng.integers(0, peak + 1, shape).astype(dtype),
        "ends": (rng.integers(0, 2, shape) * peak).astype(dtype),
        "ramp": ramp.astype(dtype),
        "peaks": np.where(rng.random(shape) < 0.02, peak, ramp % 5).astype(dtype),
        "flat": np.full(shape, peak, dtype),
        "gaps": (rng.integers(0, 9, shape) * 27 + 3).astype(dtype),
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "shape", [(1, 2), (2, 1), (1, 40), (40, 1), (2, 2), (33, 7), (7, 33, 3), (1, 2, 3), (3, 1, 3), (31, 30, 3)]
)
def test_every_sample_comes_back(shape, dtype):
    for name, samples in contents(shape, dtype).items():
        found = back(adaptive_body(samples), samples)
        assert found.dtype == samples.dtype and np.array_equal(found, samples), name


@pytest.mark.parametrize("shape", [(9, 14), (12, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_specification_says_the_same(shape, dtype):
    for name, samples in contents(shape, dtype).items():
        read = specified(
            adaptive_body(samples), *shape[:2], samples.size // (shape[0] * shape[1]), 8 * samples.itemsize
        )
        assert np.array_equal(read.reshape(shape), samples), name


def test_one_pixel_is_left_to_others():
    assert not codes((1, 1)) and not codes((1, 1, 3)) and codes((1, 2)) and codes((2, 1, 3))


def test_a_photograph_takes_less_than_jpeg_xl_would(photo):
    import pillow_jxl  # noqa: F401  # pyright: ignore

    jxl = io.BytesIO()
    Image.fromarray(photo).save(jxl, "JXL", lossless=True, effort=7)
    assert len(adaptive_body(photo)) < 0.99 * len(jxl.getvalue())


def test_what_is_learned_while_decoding_changes_bytes_and_pays(photo):
    """A decoder that does not learn reads something else, or nothing."""
    body, without = adaptive_body(photo), adaptive_body(photo, adapt=False)
    assert len(body) < 0.92 * len(without)
    assert np.array_equal(back(without, photo, adapt=False), photo)
    for of_one, adapts in ((body, False), (without, True)):
        try:
            found = back(of_one, photo, adapt=adapts)
        except CorruptFile:
            continue
        assert not np.array_equal(found, photo)


@pytest.mark.parametrize(("part", "least"), [("_Squares", 0.93), ("_Classes", 0.997)])
def test_each_part_that_learns_pays(photo, monkeypatch, part, least):
    body = adaptive_body(photo)
    monkeypatch.setattr(getattr(adaptive, part), "learn", lambda self, *_: None)
    assert len(body) < least * len(adaptive_body(photo))


def test_colours_of_a_jpeg_file_are_found_again(photo):
    """Clamped ones too; what was not one is not taken for one."""
    file = io.BytesIO()
    Image.fromarray(photo[:64, :100]).save(file, "JPEG", quality=90, subsampling="4:4:4")
    former = np.asarray(Image.open(file))
    assert (former == 255).any() and (former == 0).any()
    planes = to_jpeg(former)
    assert planes is not None and np.array_equal(from_jpeg(planes), former)
    body = adaptive_body(former)
    assert body[0] & 3 == 3 and np.array_equal(back(body, former), former)
    changed = former.copy()
    changed[5, 5] = 77, 30, 200
    assert to_jpeg(changed) is None and to_jpeg(photo) is None
    assert len(body) < 0.9 * len(adaptive_body(changed))


def test_values_that_do_not_occur_cost_nothing(photo):
    stretched = (photo // 4 * 4 + 3).astype(np.uint8)
    body, dense = adaptive_body(stretched), adaptive_body(photo // 4)
    assert body[0] & 8 and not dense[0] & 8
    assert len(body) < 1.02 * len(dense) + 40
    deep = photo.astype(np.uint16) * 257
    assert len(adaptive_body(deep)) < 1.03 * len(adaptive_body(photo)) + 100


def test_upright_pictures_are_turned(photo):
    upright = np.ascontiguousarray(photo.swapaxes(0, 1))
    bodies = adaptive_body(photo), adaptive_body(upright)
    assert bodies[1][0] == bodies[0][0] | 4 and bodies[1][1:] == bodies[0][1:]


def test_files_of_pictures_use_it_and_need_no_model(photo):
    data = lecodec.encode(read_picture(bundled("coffee.png"))[80:340, 150:410], lossless=True)
    assert LecFile.open(data).methods() == {"adaptive": 1} and lecodec.info(data)["model"] is None
    alpha = np.dstack([photo, photo[:, :, 1]])
    data = lecodec.LosslessCodec().encode(alpha, tile=128)
    assert "adaptive" in LecFile.open(data).methods()
    assert np.array_equal(lecodec.decode(data), alpha)
    assert np.array_equal(lecodec.decode(data, region=(20, 30, 110, 60)), alpha[30:90, 20:130])
    without = lecodec.LosslessCodec(adaptive=False).encode(alpha, tile=128)
    assert "adaptive" not in LecFile.open(without).methods() and len(without) > len(data)


def test_bodies_do_not_depend_on_threads_or_on_company(photo, monkeypatch):
    monkeypatch.setattr(block_coding, "LEAST", 1)
    codec, before = lecodec.LosslessCodec(), torch.get_num_threads()
    found = set()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            data = codec.encode(photo, tile=64)
            assert np.array_equal(codec.decode(data), photo)
            found.add(data)
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1 and found.pop() == codec.encode_batch([photo[:30], photo], tile=64)[1]


def test_damage_is_found(photo):
    """Every truncation of a small file, and a bit of each byte: a CodecError, never another picture."""
    data = with_method(photo[:5, :6])
    start = data.index(b"LDAT") + 4
    for n in range(len(data)):
        with pytest.raises(lecodec.CodecError):
            lecodec.decode(data[:n])
    body = adaptive_body(photo[:5, :6])
    assert body in data[start:]
    for n in range(len(body)):
        damaged = bytearray(body)
        damaged[n] ^= 1 << n % 8
        try:
            found = back(bytes(damaged), photo[:5, :6])
        except CorruptFile:
            continue
        assert not np.array_equal(found, photo[:5, :6])
    rng = np.random.default_rng(4)
    for _ in range(100):
        try:
            found = back(body[: rng.integers(0, 28)] + rng.bytes(rng.integers(0, 60)), photo[:5, :6])
        except CorruptFile:
            continue
        assert found.shape == (5, 6, 3)
