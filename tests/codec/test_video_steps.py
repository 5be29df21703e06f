"""Videos: what frames inherit, and how much coarser the levels of a group are for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lecodec.bitstream.groups import coding_order, depth_first
from lecodec.codec import video_steps
from lecodec.codec.codec import Target
from lecodec.codec.media.video_signal import clip_signal
from lecodec.codec.registry import load
from lecodec.codec.video import VideoCodec
from lecodec.codec.video_steps import LEAST, shares_of, steps_of

from .test_moved import groups_of

MODEL = Path(__file__).parents[1] / "golden" / "tiny-video.safetensors"
ORDER = coding_order(17, True)
LEVELS = 4


def stretch(change: float) -> dict[int, np.ndarray]:
    """y of 17 frames, each `change` steps from the one before."""
    random = np.random.default_rng(1)
    steps = random.normal(0, change, (17, 8, 6, 6)).cumsum(0) + 20 * random.normal(size=(8, 6, 6))
    return dict(enumerate(steps.astype(np.float32)))


def test_what_stands_still_is_inherited_whole():
    assert shares_of(stretch(0), ORDER) == [1.0] * LEVELS
    assert steps_of([1.0] * LEVELS) == pytest.approx((1, 4, 2 * 2**0.5, 2, 2**0.5))


def test_nothing_is_inherited_of_what_is_new_in_every_frame():
    random = np.random.default_rng(2)
    new = {n: random.normal(0, 20, (8, 6, 6)).astype(np.float32) for n in range(17)}
    assert max(shares_of(new, ORDER)) < 0.05


def test_less_is_inherited_from_further_away():
    shares = shares_of(stretch(3), ORDER)
    assert all(0 < far < near < 1 for near, far in zip(shares, shares[1:], strict=False))


def test_both_orders_of_a_group_say_the_same():
    y = stretch(3)
    assert shares_of(y, ORDER) == pytest.approx(shares_of(y, depth_first(17, True)))


def test_frames_that_take_nothing_are_inherited_whole():
    assert shares_of({n: np.zeros((8, 6, 6), np.float32) for n in range(17)}, ORDER) == [1.0] * LEVELS


def test_some_of_what_moves_is_taken_for_granted():
    least = steps_of([0.0] * len(LEAST))
    assert least[0] == 1 and all(a >= b for a, b in zip(least[1:], least[2:], strict=False))
    assert least[1] == pytest.approx(np.sqrt(np.prod(1 + np.array(LEAST))))
    assert steps_of([0.9, 0.0])[1:] == pytest.approx((1.9**0.5 * 1.42**0.5, 1.42**0.5))
    assert steps_of([]) == (1.0,)


def test_few_frames_of_each_level_are_looked_at(monkeypatch):
    seen = []
    monkeypatch.setattr(video_steps, "_cost", lambda y: seen.append(y.shape) or 1.0)
    shares_of(stretch(1), ORDER)
    assert len(seen) == 2 * (4 + 4 + 2 + 1)


def test_a_still_video_has_finer_first_frames_than_a_restless_one():
    codec, random = load(MODEL, of=VideoCodec), np.random.default_rng(3)
    still = random.integers(0, 256, (1, 64, 64, 3), np.uint8).repeat(9, 0)
    restless = random.integers(0, 256, (9, 64, 64, 3), np.uint8)
    coarser = []
    for frames in (still, restless):
        rates = groups_of(codec.encode_signals([clip_signal(frames)], Target("quality", 60))[0])[0].rates
        assert list(rates[1:]) == sorted(rates[1:]) and rates[0] >= rates[-1]
        coarser.append(rates[0] - rates[1])
    assert coarser[0] > coarser[1] > 0
