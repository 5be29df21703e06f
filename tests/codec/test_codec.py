"""One type of codec: targets check themselves, every codec takes signals and gives them back, media are rows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import LecFile
from lecodec.bitstream.layouts import LAYOUTS
from lecodec.codec.codec import RATES, Conflict, Target
from lecodec.codec.media.medium import MEDIA, PICTURE, SET, medium_of
from lecodec.codec.media.named import named
from lecodec.codec.media.part import Items, Region
from lecodec.codec.media.signal import cut_into, picture_signal, set_signal
from lecodec.errors import InputError


def test_a_target_is_what_is_asked_for() -> None:
    assert Target.of({}) == Target("quality", 60) and Target.of({"size": None}, effort=3) == Target(effort=3)
    assert [Target.of({name: 50}).kind for name in RATES] == list(RATES)
    assert Target.of({}, lossless=True, effort=2) == Target("lossless", effort=2)


def test_wishes_that_exclude_each_other_are_named() -> None:
    with pytest.raises(Conflict, match="only one of .* and size can be asked for, not quality and size") as refused:
        Target.of({"size": 9, "quality": 3})
    assert refused.value.names == ("quality", "size")
    with pytest.raises(Conflict, match="lossless keeps every sample: .* do not go with it"):
        Target.of({"bpp": 1}, lossless=True)


@pytest.mark.parametrize("wrong", [("quality", 0.5), ("quality", float("nan")), ("speed", 1), ("size", 1, 0)])
def test_a_target_checks_itself(wrong: tuple) -> None:
    with pytest.raises(InputError):
        Target(*wrong)


def test_with_loss_and_without_are_one_type(tiny_model: Path, picture: np.ndarray) -> None:
    signal, region = picture_signal(picture, tile=64), Region(3, 4, 20, 10)
    assert signal.layout.units > 1 and signal.layout == cut_into(picture_signal(picture), 64).layout
    for codec, target in ((lecodec.load(model=tiny_model), Target()), (lecodec.LosslessCodec(), Target("lossless"))):
        (data,) = codec.encode_signals([signal], target)
        (whole,), (part,) = (codec.decode_files([LecFile.open(data)], which) for which in (None, region))
        assert whole.layout == part.layout == signal.layout and part.samples.shape == (10, 20, 3)
        assert np.array_equal(whole.samples, codec.decode(data))
        assert np.array_equal(part.samples, codec.decode_region(data, region))
        with pytest.raises(InputError, match="it has no items"):
            codec.decode_files([LecFile.open(data)], Items((0,)))


def test_pictures_and_sets_go_together_without_loss(picture: np.ndarray) -> None:
    items = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    codec, signals = lecodec.LosslessCodec(), [picture_signal(picture), set_signal(items, 4)]
    files = [LecFile.open(data) for data in codec.encode_verified(signals, Target("lossless"))]
    back = codec.decode_files(files)
    assert [np.array_equal(a.samples, b.samples) for a, b in zip(signals, back, strict=True)] == [True, True]
    assert [file.layout.pixels for file in files] == [picture.shape[0] * picture.shape[1], 60]


def test_every_layout_has_a_medium() -> None:
    assert {layout.name for layout in LAYOUTS.values()} == set(MEDIA)
    for medium in MEDIA.values():
        assert all(callable(named(what)) for what in medium.functions.values())
        assert all(medium_of(f"x{suffix}") is medium for suffix in medium.suffixes)


def test_media_write_what_they_read(tmp_path: Path, picture: np.ndarray) -> None:
    for medium, samples, signal in ((PICTURE, picture, picture_signal(picture)), (SET, picture, set_signal(picture))):
        path = tmp_path / medium.back("x")
        facts, notes = medium.write(signal, path)
        assert facts["bytes_out"] == path.stat().st_size and not notes
        stream = io.BytesIO()
        medium.write(signal, stream)
        for source in (path, stream):
            stream.seek(0)
            assert np.array_equal(medium.read(source).samples, samples)
