"""Models that leave low qualities to another one: which of the two codes, targets, what decodes, what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec import InputError, ModelError, UnknownModel
from lecodec.bitstream import LecFile
from lecodec.codec.image import MEASURES, fixed_quality
from lecodec.codec.model_file import load_tensors, read_card, save_model
from lecodec.codec.registry import load, load_for

from ..contract.subjects import picture

GOLDEN = Path(__file__).parents[1] / "golden"
OWN, OTHER = GOLDEN / "tiny-context.safetensors", GOLDEN / "tiny.safetensors"
MEETS = {"own": 50, "its": 60, "start": 40}
"""So that 50 + n is OWN's 40 + 1.2 n."""


def made(folder: Path, with_other: bool = True, **changes: object) -> Path:
    """A copy of OWN below whose quality 50 OTHER codes, up to its 60."""
    other = read_card(OTHER)
    entry = {"name": other.name, "parse_digest": other.parse_digest, "synthesis_digest": other.synthesis_digest}
    card = {**read_card(OWN).card, "name": "both", "below": {**entry, **MEETS, **changes}}
    if with_other:
        (folder / "other.safetensors").write_bytes(OTHER.read_bytes())
    return save_model(load_tensors(OWN), card, folder / "both.safetensors")


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("below"))


@pytest.fixture(scope="module")
def codec(path) -> lecodec.ImageCodec:
    return load(model=path, of=lecodec.ImageCodec)


@pytest.fixture(scope="module")
def own() -> lecodec.ImageCodec:
    return load(model=OWN, of=lecodec.ImageCodec)


@pytest.fixture(scope="module")
def other() -> lecodec.ImageCodec:
    return load(model=OTHER, of=lecodec.ImageCodec)


def made_by(data: bytes) -> bytes:
    return LecFile.open(data).header.parse_digest


@pytest.mark.parametrize(("quality", "its"), [(1, 1), (25.5, 30.5), (49, 1 + 48 * 59 / 49)])
def test_low_qualities_are_the_others_on_one_scale(codec, other, quality, its):
    samples = picture(40, 50)
    data = codec.encode(samples, quality)
    assert data == other.encode(samples, its)
    assert codec.estimate_bits(samples, quality) == other.estimate_bits(samples, its)
    assert LecFile.open(data).header.quality <= fixed_quality(60)


@pytest.mark.parametrize(("quality", "mine"), [(50, 40), (60, 52), (100, 100)])
def test_other_qualities_are_the_models_own(codec, own, quality, mine):
    samples = picture(40, 50)
    assert codec.encode(samples, quality) == own.encode(samples, mine)
    assert codec.estimate_bits(samples, quality) == own.estimate_bits(samples, mine)


def test_files_of_both_decode_by_it_and_by_what_they_name(codec, path):
    for quality in (20, 80):
        data = codec.encode(picture(40, 50), quality, tile=64)
        codec.test(data)
        back = codec.decode(data)
        assert np.array_equal(back, load_for(LecFile.open(data).header, model=path).decode(data))
        assert np.array_equal(codec.decode_region(data, (3, 5, 20, 10)), back[5:15, 3:23])
        assert np.array_equal(codec.decode_tensor(data).permute(1, 2, 0).numpy(), back)
        assert codec.latents(data).y_hat.any()
    mixed = [codec.encode(picture(40, 50), quality) for quality in (20, 80, 30)]
    for data, back in zip(mixed, codec.decode_batch(mixed), strict=True):
        assert np.array_equal(back, codec.decode(data))


@pytest.mark.parametrize("kind", ["psnr", "bpp", "size"])
def test_targets_are_met_by_the_one_whose_quality_it_is(codec, own, other, kind):
    samples = picture(64, 96)
    taken = set()
    for quality in (5, 30, 49.9, 50, 75, 100):
        data = codec.encode(samples, quality)
        value = {"psnr": MEASURES["psnr"](samples, codec.decode(data)), "bpp": 8 * len(data) / (64 * 96)}
        wanted = {**value, "size": len(data)}[kind]
        found = codec.encode(samples, **{kind: wanted})
        if kind == "psnr":
            assert abs(MEASURES["psnr"](samples, codec.decode(found)) - wanted) <= 0.1
        elif kind == "bpp":
            assert abs(len(found) - len(data)) <= max(4, 0.015 * len(data))
        else:
            assert 0.97 * wanted - 4 <= len(found) <= wanted
        alone = [c.encode(samples, **{kind: wanted}) for c in (own, other) if _reaches(c, samples, kind, wanted)]
        assert found in alone
        low = LecFile.open(found).header.quality < fixed_quality(40)
        assert not (low and made_by(found) == own.parse_digest and len(alone) == 2)
        taken.add(made_by(found))
    assert taken == {own.parse_digest, other.parse_digest}


def _reaches(codec: lecodec.ImageCodec, samples: np.ndarray, kind: str, wanted: float) -> bool:
    try:
        codec.encode(samples, **{kind: wanted})
    except InputError:
        return False
    return True


def test_a_target_out_of_reach_of_both_says_what_is_in_reach(codec, own):
    samples = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)  # nothing is drawn
    for target in ({"bpp": 1e-5}, {"psnr": 1.0}, {"size": 5}):
        with pytest.raises(InputError) as mine:
            codec.encode(samples, **target)
        with pytest.raises(InputError) as its:
            own.encode(samples, **target)
        assert str(mine.value) == str(its.value)


def test_several_pictures_and_degraded_ones(codec, own, other):
    batch = [picture(40, 50, seed=n) for n in range(3)]
    assert codec.encode_batch(batch, 20) == [codec.encode(samples, 20) for samples in batch]
    x = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
    out = codec.degrade(x, [20, 80, 25.5])
    assert torch.equal(out[1:2], own.degrade(x[1:2], [76]))
    assert torch.equal(out[[0, 2]], other.degrade(x[[0, 2]], [1 + 19 * 59 / 49, 30.5]))


def test_a_quality_that_is_none_is_told_as_it_was_asked(codec):
    x = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    for quality in (0, 0.3157894736842105, 100.5, math.nan):
        for call in (codec.encode, codec.estimate_bits):
            with pytest.raises(InputError, match=f"quality {quality} is outside 1 to 100"):
                call(picture(8, 8), quality)
        with pytest.raises(InputError, match=f"quality {quality} is outside 1 to 100"):
            codec.degrade(x, [quality])


def test_effort_is_spent_by_the_one_that_codes(codec, own, other):
    rng = np.random.default_rng(3)
    samples = np.clip(picture(64, 64) + rng.normal(0, 8, (64, 64, 3)), 0, 255).astype(np.uint8)
    for quality, alone in ((20, other), (80, own)):
        wanted = MEASURES["psnr"](samples, codec.decode(codec.encode(samples, quality)))
        found = codec.encode(samples, psnr=wanted, effort=3)
        assert found == alone.encode(samples, psnr=wanted, effort=3) and made_by(found) == alone.parse_digest


def test_exact_pixels_reach_the_other(codec):
    samples = picture(64, 64)
    for quality in (20, 80):
        data = codec.encode(samples, quality, exact_pixels=True)
        assert LecFile.open(data).load().samples
        codec.decode(data)


def test_without_the_other_high_qualities_are_coded_and_low_ones_say_what_is_missing(tmp_path):
    codec = load(model=made(tmp_path, with_other=False), of=lecodec.ImageCodec)
    assert codec.decode(codec.encode(picture(40, 50), 60)).shape == (40, 50, 3)
    with pytest.raises(UnknownModel, match=f"below it is {read_card(OTHER).name}"):
        codec.encode(picture(40, 50), 20)


BAD = {"own": 0}, {"own": 100}, {"its": 101}, {"start": 0}, {"start": 100}, {"own": "much"}, {"parse_digest": 3}


@pytest.mark.parametrize("changes", [*BAD, {"parse_digest": read_card(OWN).parse_digest}])
def test_cards_that_cannot_be(tmp_path, changes):
    with pytest.raises(ModelError, match="below"):
        load(model=made(tmp_path, **changes))


def test_without_a_start_the_models_own_numbers_stay(tmp_path, own):
    path = made(tmp_path)
    entry = {name: value for name, value in read_card(path).card["below"].items() if name != "start"}
    save_model(load_tensors(path), {**read_card(path).card, "below": entry}, path, overwrite=True)
    samples = picture(40, 50)
    assert load(model=path, of=lecodec.ImageCodec).encode(samples, 60) == own.encode(samples, 60)


def test_nothing_lies_below_what_lies_below(tmp_path):
    first = made(tmp_path)
    card = read_card(first)
    entry = {"name": card.name, "parse_digest": card.parse_digest, "synthesis_digest": card.synthesis_digest}
    second = {**read_card(OTHER).card, "name": "second", "below": {**entry, **MEETS}}
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "first.safetensors").write_bytes(first.read_bytes())
    path = save_model(load_tensors(OTHER), second, folder / "second.safetensors")
    codec = load(model=path, of=lecodec.ImageCodec)
    with pytest.raises(ModelError, match="below itself"):
        codec.encode(picture(40, 50), 20)
