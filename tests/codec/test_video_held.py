"""Videos: how few frames are held while a group is coded, and how few are decoded for one that is wanted."""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import LecFile, VideoLayout
from lecodec.bitstream.groups import coding_order, depth_first, last_uses
from lecodec.codec import video_groups
from lecodec.codec.codec import Target
from lecodec.codec.media.video_signal import VideoFrame, clip_signal, in_groups, video_signal
from lecodec.codec.registry import load
from lecodec.codec.video import VideoCodec
from lecodec.codec.video_coding import Decoded
from lecodec.codec.video_frames import FrameTransform
from lecodec.codec.video_groups import longest_group
from lecodec.codec.video_moving import Mover
from lecodec.entropy.latents import Latents

from ..make_golden import clip

MODEL = Path(__file__).parents[1] / "golden" / "tiny-video.safetensors"
QUALITY = Target("quality", 55)
LONG = 128
"""Frames: two groups of 64."""


@pytest.fixture(scope="module")
def codec() -> VideoCodec:
    return load(MODEL, of=VideoCodec)


@pytest.fixture(scope="module")
def data(codec: VideoCodec) -> bytes:
    return codec.encode_signals([clip_signal(clip(LONG, 16, 16))], QUALITY)[0]


class Alive:
    """How many results of a function are alive, arrays or latents of frames, and how many were at most."""

    def __init__(self, function: Callable) -> None:
        self.now, self.most, self._function = 0, 0, function

    def __call__(self, *args, **options):
        found = self._function(*args, **options)
        frame = found[1] if isinstance(found, tuple) else found
        self.now += 1
        self.most = max(self.most, self.now)
        weakref.finalize(frame.latents if isinstance(frame, Decoded) else frame, self._gone)
        return found

    def _gone(self) -> None:
        self.now -= 1


def test_depth_first_is_an_order_that_needs_few_frames():
    for frames in range(1, 129):
        for closed, chain in ((True, False), (False, False), (True, True)):
            order, steps = coding_order(frames, closed, chain), depth_first(frames, closed, chain)
            extra = [] if closed else [frames]
            assert sorted(step.frame for step in steps) == sorted([step.frame for step in order] + extra)
            assert {step for step in steps if step.frame != frames} == set(order)
            held: set[int] = set()
            for step, done in zip(steps, last_uses(steps), strict=True):
                assert {step.left, step.right} <= held | {None}
                held = (held | {step.frame}) - done
                assert len(held) <= 2 + frames.bit_length()
            assert not held


def test_groups_of_large_frames_are_short(codec, monkeypatch):
    assert [longest_group(16 * n, 9 * n, 64) for n in (1, 120, 240, 480)] == [64, 64, 16, 4]
    assert longest_group(2**14, 2**14, 64) == 1 and longest_group(64, 64, 8) == 8
    monkeypatch.setattr(video_groups, "GROUP_PIXELS", 5 * 32 * 48)
    for chain in (False, True):
        data = codec.encode_signals([in_groups(clip_signal(clip(17, 32, 48)), 0, chain)], QUALITY)[0]
        layout = LecFile.open(data).layout
        assert isinstance(layout, VideoLayout) and layout.frames == 17
        assert max(frames for frames, _ in layout.groups) in (5, 6)


@pytest.mark.parametrize("number", [0, 1, 33, 62, 63, 64, 65, 95, 126, 127])
def test_a_frame_is_reached_by_decoding_eight(codec, data, monkeypatch, number):
    video = lecodec.Video(data, model=MODEL)
    assert [n for n, _ in video._layout.groups] == [64, 64]
    decoded = []
    decode = video._codec.coding.decode
    monkeypatch.setattr(video._codec.coding, "decode", lambda *args: (decoded.append(1), decode(*args))[1])
    found = video[number]
    assert found.number == number and 1 <= len(decoded) <= 8


def test_a_pipe_shows_its_first_frame_before_the_second_group(codec, data):
    """And its others before the third."""
    stream = Pipe(data)
    frames = codec.frames(LecFile.open(stream))
    next(frames)
    first = stream.tell()
    next(frames)
    assert first < 0.7 * len(data) < stream.tell()


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_a_pipe_gives_a_group_away_when_its_frames_have_come(codec):
    """Two frames later: the next group's first one, and that which shows whether it begins a shot."""
    taken = 0

    def frames():
        nonlocal taken
        for samples in clip(LONG, 16, 16):
            taken += 1
            yield VideoFrame(samples, 1)

    layout = VideoLayout(width=16, height=16, clock=25, clock_step=1, duration=1)
    next(iter(codec.encoded_pieces(video_signal(frames, layout), QUALITY)))
    assert taken == 66


def test_a_decoder_holds_latents_of_one_path(codec, data, monkeypatch):
    decode = Alive(codec.coding.decode)
    monkeypatch.setattr(codec.coding, "decode", decode)
    assert sum(1 for _ in codec.frames(LecFile.open(data))) == LONG
    assert decode.most <= 10


def test_an_encoder_lets_go_of_what_it_has_coded(codec, monkeypatch):
    """y of all frames of a group are there at first; latents and moved pictures of few, and in the end few y."""
    y, latents = Alive(FrameTransform.analyse), Alive(codec.coding.encode)
    monkeypatch.setattr(FrameTransform, "analyse", lambda *args: y(*args))
    monkeypatch.setattr(codec.coding, "encode", latents)
    seen: list[tuple[int, int]] = []
    forget = Mover.forget

    def forgotten(mover: Mover, found: Latents) -> None:
        seen.append((y.now, len(mover._pictures)))
        forget(mover, found)

    monkeypatch.setattr(Mover, "forget", forgotten)
    still = clip(1, 64, 96)[0]
    codec.encode_signals([clip_signal(np.stack([np.roll(still, 3 * n, 1) for n in range(33)]))], QUALITY)
    assert y.most == 33 and seen[-1][0] <= 1
    assert latents.most <= 9 and 0 < max(pictures for _, pictures in seen) <= 7
