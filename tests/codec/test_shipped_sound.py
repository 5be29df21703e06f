"""The shipped sound model: its card and size, and what it makes of tones."""

from __future__ import annotations

import numpy as np
import pytest

from lecodec.codec.registry import find_model, load
from lecodec.codec.sound import SoundCodec


@pytest.fixture(scope="module")
def codec() -> SoundCodec:
    return load("sound", of=SoundCodec)


def test_the_card_says_where_the_model_is_from() -> None:
    card = find_model("sound")
    assert card.path.stat().st_size <= 8_000_000
    for entry in ("training", "training_data", "licence"):
        assert card.card[entry], entry


@pytest.mark.parametrize("kbps", [6, 24])
def test_tones_come_back(codec: SoundCodec, kbps: int) -> None:
    t = np.arange(2 * 16000) / 16000
    x = (0.3 * np.sin(2 * np.pi * 330 * t) + 0.1 * np.sin(2 * np.pi * 880 * t)).astype(np.float32)
    data = codec.encode(x, 16000, kbps=kbps)
    codec.test(data)
    back = codec.decode(data)[:, 0]
    assert back.shape == x.shape and 8 * len(data) / 2 / 1000 <= 1.1 * kbps
    assert 10 * np.log10(np.square(x).sum() / np.square(x - back).sum()) > 6
