"""The shipped video models: their cards and sizes, and a file of each that every later version must decode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec.codec.registry import find_model, load
from lecodec.codec.video import VideoCodec

from ..make_golden import clip, latents_of

GOLDEN = Path(__file__).parents[1] / "golden" / "video"
MODELS = ("video-3",)


@pytest.fixture(scope="module")
def codec() -> VideoCodec:
    return load("video", of=VideoCodec)


@pytest.mark.parametrize("name", MODELS)
def test_the_card_says_where_the_model_is_from(name) -> None:
    card = find_model(name)
    assert card.path.stat().st_size <= 8_000_000
    for entry in ("training", "training_data", "licence", "base"):
        assert card.card[entry], entry


@pytest.mark.parametrize("name", MODELS)
def test_the_released_file_decodes_as_it_did(name) -> None:
    path, codec = GOLDEN / f"released-{name}.lec", load(name, of=VideoCodec)
    data = path.read_bytes()
    assert lecodec.info(data)["model"] == name
    assert latents_of(codec, data) == path.with_suffix(".txt").read_text().split()[0]
    original = clip(9, 48, 80)
    decoded = codec.decode(data)
    assert decoded.shape == original.shape
    error = np.square(decoded.astype(float) - original).mean()
    assert 10 * np.log10(255**2 / error) > 23


def test_a_clip_takes_less_than_its_frames(codec) -> None:
    """A scene that stands still: the frames between the first and the last cost next to nothing."""
    still = np.repeat(clip(1, 48, 80), 9, axis=0)
    whole = len(codec.encode(still))
    alone = len(codec.encode(still[:1]))
    assert whole < 2.5 * alone
