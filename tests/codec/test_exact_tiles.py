"""Exact tiles of pictures with loss: what is chosen, what comes back, regions, damage, targets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import SIGNATURE, Header, frame, pack, parse
from lecodec.cli.main import main
from lecodec.codec.exact_tiles import drawn_tiles, fill_latents, is_drawn, neighbours
from lecodec.codec.image import ImageCodec, fixed_quality
from lecodec.codec.media.samples import psnr_of
from lecodec.codec.media.signal import picture_signal
from lecodec.codec.registry import load_for
from lecodec.codec.tiles import Box, boxes_of
from lecodec.errors import CodecError, CorruptFile, InputError

from .. import drawings
from ..container_examples import contents_of
from ..make_golden import collage


@pytest.fixture(scope="module")
def codec(tiny_model) -> ImageCodec:
    return lecodec.load(model=tiny_model, of=ImageCodec)


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Something without repeats: soft waves and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([128 + 60 * np.sin(x / (9 + c)) + 40 * np.cos(y / (7 + 2 * c)) for c in range(3)], 2)
    return np.clip(waves + rng.normal(0, 5, waves.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def page() -> np.ndarray:
    """Text around a photograph: [520, 800, 3]."""
    out = np.array(drawings.page(800, 520).convert("RGB"))
    out[256:500, 256:540] = photograph(244, 284)
    return out


@pytest.fixture(scope="module")
def mixed(codec, page) -> bytes:
    return codec.encode(page, 60)


def exact_of(data: bytes) -> set[int]:
    return {n for n, chunk in enumerate(parse(data).data) if chunk.exact}


def by_the_model(codec: ImageCodec, samples: np.ndarray, quality: float, tile: int | None = None) -> bytes:
    picture = codec._picture(picture_signal(samples, tile=tile))
    return codec._encode_run([picture], fixed_quality(quality))[0]


# -- what is chosen


def test_a_page_with_a_photograph_is_cut_and_its_text_is_exact(codec, page, mixed):
    layout, exact = parse(mixed).header.layout, exact_of(mixed)
    assert (layout.tile_width, layout.tile_height) == (256, 256) and 0 < len(exact) < layout.units
    assert len(mixed) < len(by_the_model(codec, page, 60)) and len(mixed) < len(lecodec.LosslessCodec().encode(page))
    back = codec.decode(mixed)
    for n in exact:
        np.testing.assert_array_equal(back[layout.unit(n)], page[layout.unit(n)])
    assert lecodec.info(mixed)["methods"] == {"webp": len(exact)} and not lecodec.info(mixed)["lossless"]


@pytest.mark.parametrize("name", ["screenshot", "page", "line_art"])
@pytest.mark.parametrize("quality", [30, 60, 95])
def test_what_is_all_drawn_is_never_larger_than_without_loss(codec, name, quality):
    samples = np.asarray(getattr(drawings, name)())
    data, without = codec.encode(samples, quality), lecodec.LosslessCodec().encode(samples)
    assert len(data) == min(len(without), len(by_the_model(codec, samples, quality)))
    if parse(data).header.lossless:
        for decode in (codec.decode, load_for(parse(data).header).decode):
            np.testing.assert_array_equal(decode(data), samples)
        np.testing.assert_array_equal(codec.decode_region(data, (9, 20, 50, 60)), samples[20:80, 9:59])
        assert codec.decode_tensor(data).shape[1:] == samples.shape[:2]
        codec.test(data)
        np.testing.assert_array_equal(codec.decode_batch([by_the_model(codec, samples, 30), data])[1], samples)
        with pytest.raises(CodecError, match="without loss"):
            codec.latents(data)


def test_photographs_are_coded_as_ever(codec, page):
    """Nothing is drawn in them: the same bytes, and no tile is tried."""
    sky = photograph(300, 400)
    sky[:120] = 255
    for samples in (photograph(200, 300), page[256:500, 256:540], photograph(60, 80)[:, :, 0], sky):
        assert codec.encode(samples, 60) == by_the_model(codec, samples, 60)
    assert drawn_tiles(photograph(600, 700), picture_signal(photograph(600, 700), tile=256).layout) == []
    assert not is_drawn(np.asarray(drawings.scan()))


def test_tiles_that_were_asked_for_are_kept(codec, page):
    for tile in (64, 128):
        data = codec.encode(page, 60, tile=tile)
        assert parse(data).header.layout.tile_width == tile and exact_of(data)
        assert len(data) < len(by_the_model(codec, page, 60, tile))
    assert parse(codec.encode(page, 60, tile=0)).header.layout.units == 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_grey_colour_and_alpha_come_back(codec, channels):
    samples = collage(200, 330, channels)
    colours = channels - 1 + channels % 2
    samples[:, 128:, :colours] = photograph(200, 202)[:, :, :colours]
    samples = samples[:, :, 0] if channels == 1 else samples
    data = codec.encode(samples, 80, tile=64)
    layout, back = parse(data).header.layout, codec.decode(data)
    assert exact_of(data) and back.shape == samples.shape
    for n in exact_of(data):
        np.testing.assert_array_equal(back[layout.unit(n)], samples[layout.unit(n)])
    if channels in (2, 4):
        np.testing.assert_array_equal(back[:, :, -1], samples[:, :, -1])
    tensor = codec.decode_tensor(data).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(tensor.reshape(back.shape), back)
    codec.test(data)


def test_effort_makes_them_smaller(codec):
    samples = np.asarray(drawings.screenshot())
    assert len(codec.encode(samples, 90, effort=2)) <= len(codec.encode(samples, 90))


def test_batches_and_single_pictures_are_the_same(codec, page):
    batch = [page, photograph(90, 100), page, np.asarray(drawings.page(400, 300))]
    assert codec.encode_batch(batch, 60) == [codec.encode(samples, 60) for samples in batch]
    files = codec.encode_batch(batch, 60)
    for a, data in zip(codec.decode_batch(files), files, strict=True):
        assert np.abs(a.astype(int) - codec.decode(data)).max() <= 1


# -- targets


def test_a_fidelity_is_a_floor(codec, page):
    for quality in (20, 50):
        target = round(psnr_of(page, codec.decode(by_the_model(codec, page, quality))), 1)
        data = codec.encode(page, psnr=target)
        assert psnr_of(page, codec.decode(data)) >= target - 0.1
    text = np.asarray(drawings.page())
    assert parse(codec.encode(text, psnr=70)).header.lossless  # beyond what the model reaches
    with pytest.raises(InputError, match="out of reach"):
        codec.encode(photograph(80, 90), psnr=70)


def test_bits_and_bytes_are_ceilings(codec, page):
    whole = len(codec.encode(page, 60))
    for size in (whole // 2, whole, 2 * whole):
        data = codec.encode(page, size=size)
        assert len(data) <= size
        assert len(codec.encode(page, bpp=8 * size / page[:, :, 0].size)) <= size
    assert psnr_of(page, codec.decode(data)) > psnr_of(page, codec.decode(codec.encode(page, size=whole // 2)))
    text = np.asarray(drawings.page())
    without = lecodec.LosslessCodec().encode(text)
    assert codec.encode(text, size=len(without)) == codec.encode(text, bpp=32.0) == without
    for wanted in ({"size": 100}, {"bpp": 0.001}):
        with pytest.raises(InputError, match="out of reach"):
            codec.encode(page, **wanted)


# -- synthesis beside them


def positions(box: Box) -> Iterator[tuple[int, int]]:
    return product(range(box.rows.start, box.rows.stop), range(box.columns.start, box.columns.stop))


def test_neighbours_see_the_nearest_latents():
    """Against the words of the specification, position by position."""
    layout = picture_signal(np.zeros((150, 250), np.uint8), tile=64).layout
    header = Header(layout=layout, quality=0, parse_digest=bytes(8), synthesis_digest=bytes(8))
    boxes = {box.tile: box for box in boxes_of(header, 0)}
    y = np.random.default_rng(0).integers(-99, 99, (2, 10, 16)).astype(np.int32)
    for exact in ({5}, {0, 11}, {0, 1, 4, 5}, {5, 6, 7}, set(range(1, 12)), set(range(12))):
        found = y.copy()
        fill_latents(found, header, exact, exact)
        for box in boxes.values():
            for i, j in positions(box):
                if box.tile not in exact:
                    assert np.array_equal(found[:, i, j], y[:, i, j])
                    continue
                others = [boxes[n] for n in neighbours(layout, box.tile) if n not in exact]
                places = [
                    (a, b) for o in others for a in range(*o.rows.indices(99)) for b in range(*o.columns.indices(99))
                ]
                if not places:
                    assert not found[:, i, j].any()
                    continue
                least = min(abs(a - i) + abs(b - j) for a, b in places)
                nearest = [y[:, a, b] for a, b in places if abs(a - i) + abs(b - j) == least]
                assert any(np.array_equal(found[:, i, j], value) for value in nearest)


def test_borders_show_no_seam(page, monkeypatch):
    """The released model beside exact tiles: filled, they harm what is decoded there little; empty, much."""
    codec = lecodec.load("image-3", of=ImageCodec)
    data = codec.encode(page, 60)
    layout, exact = parse(data).header.layout, exact_of(data)
    lossy = np.ones(page.shape[:2], bool)
    for n in exact:
        lossy[layout.unit(n)] = False
    near = np.zeros_like(lossy)
    for n in exact:
        rows, columns = layout.unit(n)
        near[max(rows.start - 16, 0) : rows.stop + 16, max(columns.start - 16, 0) : columns.stop + 16] = True
    near &= lossy

    def error(file: bytes) -> float:
        return float(np.square(codec.decode(file)[near].astype(float) - page[near]).mean())

    assert near.any() and error(data) < 3 * error(by_the_model(codec, page, 60))
    found = error(data)
    monkeypatch.setattr(
        "lecodec.codec.image_decoding.fill_latents", lambda y_hat, header, tiles, *rest: _zero(y_hat, header, tiles)
    )
    assert error(data) > 2 * found


def _zero(y_hat, header, tiles) -> None:
    boxes = {box.tile: box for box in boxes_of(header, 0)}
    for tile in tiles:
        y_hat[:, boxes[tile].rows, boxes[tile].columns] = 0


@pytest.mark.parametrize("tile", [64, 128, None])
def test_regions_are_parts_of_the_whole(codec, page, tile):
    data = codec.encode(page, 60, tile=tile)
    whole, rng = codec.decode(data).astype(int), np.random.default_rng(1)
    assert exact_of(data)
    for n in range(16):
        x, y = int(rng.integers(799)), int(rng.integers(519))
        w, h = int(rng.integers(1, min(300, 801 - x))), int(rng.integers(1, min(200, 521 - y)))
        source = io.BytesIO(data) if n % 2 else data
        part = codec.decode_region(source, (x, y, w, h))
        assert np.abs(part - whole[y : y + h, x : x + w]).max() <= 1


class Pipe(io.RawIOBase):
    """Bytes that cannot be read twice."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer) -> int:
        return self._data.readinto(buffer)


def test_regions_of_a_pipe(codec, page, mixed):
    whole = codec.decode(mixed).astype(int)
    for region in ((200, 220, 90, 100), (0, 0, 40, 40), (500, 480, 80, 40), (250, 250, 20, 20)):
        x, y, w, h = region
        assert np.abs(codec.decode_region(Pipe(mixed), region) - whole[y : y + h, x : x + w]).max() <= 1


def test_a_region_of_text_runs_no_network(codec, page, monkeypatch):
    data = codec.encode(page, 60, tile=128)
    monkeypatch.setattr(codec.transform, "synthesise", None)
    monkeypatch.setattr(codec.entropy, "traverse", None)
    rows, columns = parse(data).header.layout.unit(min(exact_of(data)))
    x, y = columns.start + 9, rows.start + 5
    np.testing.assert_array_equal(codec.decode_region(data, (x, y, 50, 55)), page[y : y + 55, x : x + 50])


# -- damage


def test_every_flip_and_cut_is_noticed(codec):
    """Of a small file: an exact tile and three others."""
    data = codec.encode(collage(64, 192, 3)[:, 64:], 20, tile=64)
    assert exact_of(data) == {0}
    original = codec.decode(data)
    damaged = [data[:n] for n in range(len(data))]
    for position in range(0, 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        damaged.append(bytes(flipped))
    for bad in damaged:
        try:
            assert np.array_equal(codec.decode(bad), original)
        except CodecError:
            pass


def test_damage_under_a_right_crc_is_noticed(codec, mixed):
    chunks = contents_of(mixed)
    place = next(n for n, (kind, _) in enumerate(chunks) if kind == b"LEXT")
    payload, rng, noticed = chunks[place][1], np.random.default_rng(0), 0
    before = SIGNATURE + b"".join(frame(*chunk) for chunk in chunks[:place])
    after = b"".join(frame(*chunk) for chunk in chunks[place + 1 :] if chunk[0] != b"iNDX")
    for position in rng.choice(len(payload), 60):
        changed = bytearray(payload)
        changed[position] ^= 1 << int(rng.integers(8))
        bad = before + frame(b"LEXT", bytes(changed)) + after
        try:  # a few bits of a stream say nothing
            assert np.array_equal(codec.decode(bad), codec.decode(mixed))
        except CodecError:
            noticed += 1
            with pytest.raises(CodecError):
                codec.test(bad)
    assert noticed > 40
    for content, error in ((payload[:8] + b"\2" + payload[9:], "model"), (payload[:8], "expected at least 9")):
        with pytest.raises(CorruptFile, match=error):
            codec.decode(before + frame(b"LEXT", content) + after)


def test_exact_tiles_belong_to_pictures_with_loss(codec):
    samples = photograph(40, 50)
    parsed = parse(lecodec.LosslessCodec().encode(samples))
    with pytest.raises(InputError, match="exact"):
        pack(parsed.header, [(c.digest, c.payload) for c in parsed.data], exact=[0])
    data = codec.encode(samples, 60, tile=64)
    with pytest.raises(InputError, match="no latents"):
        codec.latents(codec.encode(collage(64, 192, 3), 60, tile=64), 0)
    assert codec.latents(data, 0).y_hat.size


def test_older_readers_refuse_by_name(mixed, monkeypatch):
    """As every reader of version 1 does with a critical chunk that it does not know."""
    from lecodec.bitstream import container

    rules = container._data_rules
    monkeypatch.setattr(container, "EXACT", b"LDAT")
    monkeypatch.setattr(container, "_data_rules", lambda *a: {k: v for k, v in rules(*a).items() if k != b"LEXT"})
    with pytest.raises(CodecError, match="critical chunk LEXT, expected LDAT of tile .* newer version"):
        parse(mixed)


# -- the command line


def test_the_command_line(page, tmp_path, tiny_default, capsys):
    from PIL import Image

    Image.fromarray(page).save(tmp_path / "page.png")

    def run(*arguments: str) -> None:
        with pytest.raises(SystemExit) as end:
            main([*arguments])
        assert not end.value.code

    file = str(tmp_path / "page.lec")
    run("encode", str(tmp_path / "page.png"), "--verify", "-o", file)
    run("test", file)
    capsys.readouterr()
    run("info", file, "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["methods"]["webp"] > 0 and not facts["lossless"]
    run("decode", file, "-o", str(tmp_path / "back.png"))
    data = (tmp_path / "page.lec").read_bytes()
    assert np.abs(np.asarray(Image.open(tmp_path / "back.png")).astype(int) - lecodec.decode(data)).max() <= 1


def small_pictures(height: int, width: int) -> Iterator[np.ndarray]:
    """Drawings of every depth and channel count, a gradient, something of one colour, noise, and a photograph."""
    y, x = np.mgrid[:height, :width]
    page = np.asarray(drawings.page(max(width, 60), max(height, 60)).convert("RGB"))[-height:, -width:]
    alpha = np.where(page[:, :, :1] > 200, 0, 255).astype(np.uint8)
    yield from (page, page[:, :, 0], np.dstack([page, alpha]), np.dstack([page[:, :, 0], alpha]))
    yield (page.astype(np.uint16) * 257)[:, :, 0]
    yield ((x // 3 + y // 5) % 2 * 255).astype(np.uint8)
    yield np.repeat(((x + y) * 255 // (height + width)).astype(np.uint8)[:, :, None], 3, 2)
    yield np.full((height, width, 3), 77, np.uint8)
    yield np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    yield photograph(height, width)


@pytest.mark.parametrize("height, width", [(1, 1), (3, 5), (16, 16), (48, 40), (63, 65), (90, 100)])
def test_pictures_of_any_size_are_never_larger_than_without_loss(codec, height, width):
    for samples in small_pictures(height, width):
        without = len(lecodec.LosslessCodec().encode(samples))
        for quality in (10, 60, 100):
            data = codec.encode(samples, quality)
            assert len(data) <= without, (samples.shape, samples.dtype, quality)
            assert codec.decode(data).shape == samples.shape


def test_gradients_are_worth_a_try_and_photographs_are_not():
    y, x = np.mgrid[:300, :400]
    for samples in (
        ((x + y) * 255 // 700).astype(np.uint8),
        np.dstack([x * 255 // 400, y * 255 // 300, x * 0]).astype(np.uint8),
    ):
        assert is_drawn(samples) and is_drawn(samples.astype(np.uint16) * 257)
    for samples in (photograph(300, 400), photograph(300, 400).astype(np.uint16) * 257):
        assert not is_drawn(samples)
