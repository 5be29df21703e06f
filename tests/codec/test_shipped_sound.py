"""The shipped sound models: their cards and sizes, a file of each that every later version must decode, tones."""

from __future__ import annotations

import numpy as np
import pytest

import lecodec
from lecodec.codec.registry import find_model, load
from lecodec.codec.sound import SoundCodec

from ..make_golden_sound import FOLDER, latents_digest, voice

MODELS = ("sound-4",)


@pytest.fixture(scope="module")
def codec() -> SoundCodec:
    return load("sound", of=SoundCodec)


@pytest.mark.parametrize("name", MODELS)
def test_the_card_says_where_the_model_is_from(name: str) -> None:
    card = find_model(name)
    assert card.path.stat().st_size <= 6_000_000
    for entry in ("training", "training_data", "licence"):
        assert card.card[entry], entry


@pytest.mark.parametrize("name", MODELS)
def test_the_released_file_decodes_as_it_did(name: str) -> None:
    path, codec = FOLDER / f"released-{name}.lec", load(name, of=SoundCodec)
    data = path.read_bytes()
    assert lecodec.info(data)["model"] == name
    assert latents_digest(codec, data) == path.with_suffix(".txt").read_text().split()[0]
    x, back = voice(), codec.decode(data)
    assert back.shape == x.shape
    assert 10 * np.log10(np.square(x).sum() / np.square(x - back).sum()) > 8


@pytest.mark.parametrize(("kbps", "least"), [(6, 24), (20, 30)])
def test_tones_come_back(codec: SoundCodec, kbps: int, least: float) -> None:
    """Two of them take 21.9 kbps at quality 100."""
    t = np.arange(2 * 16000) / 16000
    x = (0.3 * np.sin(2 * np.pi * 330 * t) + 0.1 * np.sin(2 * np.pi * 880 * t)).astype(np.float32)
    data = codec.encode(x, 16000, kbps=kbps)
    codec.test(data)
    back = codec.decode(data)[:, 0]
    assert back.shape == x.shape and 8 * len(data) / 2 / 1000 <= 1.1 * kbps
    assert 10 * np.log10(np.square(x).sum() / np.square(x - back).sum()) > least
