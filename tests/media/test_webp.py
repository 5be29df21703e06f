"""WebP's lossless coding as one more method of blocks: when it is tried, what it costs, what damage does."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

import lecodec
from lecodec import InputError, LosslessCodec
from lecodec.bitstream import LecFile, frame, parse
from lecodec.codec import blocks
from lecodec.codec.media import samples as media_samples
from lecodec.codec.media import webp_rows
from lecodec.codec.media.webp_rows import looks_drawn, stream_tiles, webp_body, webp_samples
from lecodec.errors import CodecError, CorruptFile, UnsupportedFile

from .. import reader
from ..container_examples import contents_of
from ..drawings import DRAWINGS, line_art, page, screenshot

pytestmark = pytest.mark.skipif(not features.check("webp"), reason="this Pillow has no WebP")


def of_pillow(samples: np.ndarray, **settings: object) -> int:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "WEBP", lossless=True, **settings)
    return len(file.getvalue())


@pytest.mark.parametrize("name", DRAWINGS)
def test_never_larger_than_webp(name: str) -> None:
    """With the released model, because scans are not tried: it has to be better there."""
    samples = np.asarray(DRAWINGS[name](300, 200))
    data = lecodec.encode(samples, lossless=True)
    assert len(data) <= 1.02 * of_pillow(samples) + 100
    np.testing.assert_array_equal(lecodec.decode(data), samples)
    if looks_drawn(samples):
        slow = lecodec.encode(samples, lossless=True, effort=9)
        assert len(slow) <= min(len(data), 1.02 * of_pillow(samples, quality=100, method=6) + 100)


def test_drawings_are_tried_and_photographs_are_not() -> None:
    assert [name for name in DRAWINGS if not looks_drawn(np.asarray(DRAWINGS[name]()))] == ["scan"]
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:300, :400]
    photo = np.clip(120 + 90 * np.sin(x / 40 + y / 60)[:, :, None] + rng.normal(0, 4, (300, 400, 3)), 0, 255)
    for samples in (photo.astype(np.uint8), photo[:, :, 0].astype(np.uint8)):
        assert not looks_drawn(samples)
    assert not looks_drawn(np.zeros((20, 20), np.uint16))
    assert looks_drawn(np.zeros((1, 1), np.uint8)) and looks_drawn(np.zeros((9, 1, 3), np.uint8))


def test_the_rule_costs_photographs_nothing() -> None:
    photo = np.random.default_rng(2).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    start = time.process_time()
    for _ in range(3):
        assert not looks_drawn(photo)
    assert (time.process_time() - start) / 3 < 0.5  # a model takes seconds


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 33, 3), (1, 900), (900, 1, 3)])
@pytest.mark.parametrize("effort", [1, 9])
def test_streams_give_back_what_they_were_given(shape: tuple[int, ...], effort: int) -> None:
    samples = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    body = webp_body(samples, effort)
    assert body is not None
    found = webp_samples(body, shape, "here")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, samples)


def test_the_mode_comes_from_the_header() -> None:
    grey = np.asarray(line_art(90, 70))
    for samples in (grey, np.repeat(grey[:, :, None], 3, 2), np.dstack([grey] * 3 + [np.full_like(grey, 255)])):
        data = LosslessCodec().encode(samples)
        assert lecodec.info(data)["methods"] == {"webp": 1}
        np.testing.assert_array_equal(LosslessCodec().decode(data), samples)


def test_one_stream_or_strips_of_full_width() -> None:
    assert stream_tiles(8191, 4096) == stream_tiles(1, 1) == (0, 0)
    for width, height in ((16383, 16383), (1000, 20000), (20000, 1000), (2**20, 200), (100, 2**20), (12345, 9999)):
        across, down = stream_tiles(width, height)
        assert across % 64 == down % 64 == 0 and down >= 64
        assert min(across, width) <= 16383 and min(down, height) <= 16383
        assert min(across, width) * min(down, height) <= 2**25
        assert width > 16383 or across >= width
    assert webp_body(np.zeros((1, 16384), np.uint8)) is None
    wide = np.zeros((2, 16390), np.uint8)
    np.testing.assert_array_equal(LosslessCodec().decode(LosslessCodec().encode(wide)), wide)


def test_large_drawings_are_one_stream_and_have_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.asarray(screenshot(400, 300))
    monkeypatch.setattr(media_samples, "UNTILED", 50_000)
    monkeypatch.setattr(media_samples, "TILE", 64)
    data = LosslessCodec().encode(samples)
    assert (lecodec.info(data)["tiles"], lecodec.info(data)["methods"]) == (1, {"webp": 1})
    assert len(data) <= 1.02 * of_pillow(samples) + 100
    asked = LosslessCodec().encode(samples, tile=64)
    assert lecodec.info(asked)["tiles"] == 35 and len(asked) > 1.2 * len(data)
    monkeypatch.setattr(webp_rows, "PIXELS", 400 * 128)
    strips = LosslessCodec().encode(np.dstack([samples, samples[:, :, :1]]))
    layout = LecFile.open(strips).layout
    assert (layout.tile_width, layout.tile_height, layout.units) == (448, 128, 3)
    for file in (data, asked, strips):
        region = LosslessCodec().decode_region(io.BytesIO(file), (30, 100, 200, 60))
        np.testing.assert_array_equal(region[:, :, :3], samples[100:160, 30:230])
        np.testing.assert_array_equal(LosslessCodec().decode(file)[:, :, :3], samples)


def test_large_pictures_that_a_model_codes_better_keep_their_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where WebP does not settle it, both are tried, and the smaller file is taken."""
    monkeypatch.setattr(media_samples, "UNTILED", 10_000)
    monkeypatch.setattr(media_samples, "TILE", 64)
    monkeypatch.setattr("lecodec.codec.lossless.looks_drawn", lambda samples: True)
    noise = np.random.default_rng(5).integers(0, 256, (128, 128), dtype=np.uint8)
    data = LosslessCodec().encode(noise)
    np.testing.assert_array_equal(LosslessCodec().decode(data), noise)
    assert len(data) <= noise.size + 25 * 4 + 140


def test_a_model_is_not_asked_where_webp_settles_it() -> None:
    class Never:
        parse_digest = bytes(8)

        def encode(self, blocks: list[np.ndarray]) -> list[bytes]:
            assert not blocks, "asked"
            return []

        def decode(self, *_: object) -> list[np.ndarray]:
            raise AssertionError

    samples = np.asarray(page(400, 300))
    data = LosslessCodec(Never()).encode(samples)
    np.testing.assert_array_equal(LosslessCodec().decode(data), samples)
    with pytest.raises(AssertionError, match="asked"):
        LosslessCodec(Never()).encode(np.asarray(page(100, 80)))


def test_the_size_inside_is_compared_before_pillow_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.zeros((40, 30), np.uint8)
    body = webp_body(samples)
    assert body is not None
    monkeypatch.setattr(webp_rows, "WebPImageFile", lambda file: pytest.fail("opened"))
    huge = body[:1] + (0x0FFFFFFF).to_bytes(4, "little") + body[5:]
    for wrong, says in (
        (huge, "16384 x 16384 pixels, expected 30 x 40"),
        (b"", "no lossless WebP"),
        (body[:4], "no lossless WebP"),
        (b"\x2e" + body[1:], "no lossless WebP"),
        (body[:4] + bytes([body[4] | 0x10]) + body[5:], "without alpha"),
        (body[:4] + bytes([body[4] | 0x80]) + body[5:], "of version 0"),
    ):
        with pytest.raises(CorruptFile, match=says):
            webp_samples(wrong, samples.shape, "here")


def test_colour_in_a_grey_file_and_other_contradictions() -> None:
    colour = np.asarray(screenshot(40, 30))
    body = webp_body(colour)
    assert body is not None
    with pytest.raises(CorruptFile, match="in colour, expected grey"):
        webp_samples(body, (30, 40), "here")
    data = LosslessCodec().encode(np.zeros((30, 40), np.uint16))
    digest = parse(data).data[0].digest
    chunks = [(kind, digest + b"\x04" + body if kind == b"LDAT" else old) for kind, old in contents_of(data)]
    with pytest.raises(CorruptFile, match="16 bits as WebP"):
        LosslessCodec().decode(data[:8] + b"".join(frame(*chunk) for chunk in chunks))


def test_without_webp_files_are_written_without_it_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.asarray(line_art(60, 50))
    data = LosslessCodec().encode(samples)
    monkeypatch.setattr(webp_rows.features, "check", lambda name: False)
    assert "webp" not in lecodec.info(LosslessCodec().encode(samples))["methods"]
    with pytest.raises(UnsupportedFile, match="installation of Pillow cannot read"):
        LosslessCodec().decode(data)


@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 3)])
def test_every_flip_and_every_cut_gives_the_samples_or_a_codec_error(shape: tuple[int, ...]) -> None:
    """With right CRCs, so that the damage reaches the stream. A reader of the specification agrees."""
    samples = (np.indices(shape).sum(0) // 3 % 4 * 60).astype(np.uint8)
    body = webp_body(samples)
    assert body is not None
    chunks = contents_of(LosslessCodec().encode(samples))
    payload = blocks.samples_digest(samples) + b"\x04" + body

    def file(payload: bytes) -> bytes:
        changed = [(kind, payload if kind == b"LDAT" else old) for kind, old in chunks]
        return reader.SIGNATURE + b"".join(frame(*chunk) for chunk in changed)

    flipped = [
        payload[:at] + bytes([payload[at] ^ 1 << bit]) + payload[at + 1 :]
        for at in range(len(payload))
        for bit in range(8)
    ]
    harmless = 0
    for changed in [*flipped, *(payload[:length] for length in range(len(payload)))]:
        try:
            found = LosslessCodec().decode(file(changed))
        except CodecError:
            with pytest.raises(reader.Refused):
                reader.lossless_samples(reader.read_file(file(changed)))
            continue
        harmless += 1
        np.testing.assert_array_equal(found, samples)
    assert harmless <= 64  # bits that VP8L does not use, and other codes for the same pixels
    np.testing.assert_array_equal(reader.lossless_samples(reader.read_file(file(payload))), samples)


def test_effort_is_checked_and_taken_everywhere(tmp_path: Path) -> None:
    from lecodec.cli.main import main

    samples = np.asarray(screenshot(200, 150))
    for wrong in (0, 10, 2.5):
        with pytest.raises(InputError, match="whole number from 1 to 9"):
            LosslessCodec().encode(samples, effort=wrong)  # type: ignore[arg-type]
    slow = lecodec.encode(samples, lossless=True, effort=9)
    Image.fromarray(samples).save(tmp_path / "a.png")
    with pytest.raises(SystemExit) as exit:
        main(["encode", "--lossless", "--effort", "9", "--quiet", os.fspath(tmp_path / "a.png")])
    assert exit.value.code == 0
    assert (tmp_path / "a.png.lec").read_bytes() == slow
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "LEC", lossless=True, effort=9)
    assert file.getvalue() == slow
