"""References moved by vectors: pictures, the search, frames that take fewer bytes, and files without vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lecodec.bitstream import parse
from lecodec.bitstream.groups import GIVEN, VECTORS, Group, unpack_group
from lecodec.codec.codec import Target
from lecodec.codec.media.video_signal import clip_signal
from lecodec.codec.motion import luma, search
from lecodec.codec.moved import moved
from lecodec.codec.registry import load
from lecodec.codec.video import VideoCodec
from lecodec.codec.video_moving import Mover, grid_of

from ..make_golden import pan
from ..moved_reader import moved_picture

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def codec() -> VideoCodec:
    return load(GOLDEN / "tiny-video.safetensors", of=VideoCodec)


def groups_of(data: bytes) -> list[Group]:
    file = parse(data)
    sizes = file.header.layout.groups  # pyright: ignore[reportAttributeAccessIssue]
    return [
        unpack_group(chunk.payload, 0, frames, False, n == len(sizes) - 1)
        for n, (chunk, (frames, _)) in enumerate(zip(file.data, sizes, strict=True))
    ]


def test_blocks_come_from_where_their_vectors_say():
    rng = np.random.default_rng(4)
    picture = rng.integers(0, 256, (80, 112, 3), dtype=np.uint8)
    vectors = rng.integers(-128, 129, (3, 4, 2), dtype=np.int32)
    vectors[0, 0], vectors[1, 1], vectors[2, 3] = (0, 0), (4, -6), (3, 0)
    found = moved(picture, vectors)
    np.testing.assert_array_equal(found, moved_picture(picture.astype(int), vectors))
    np.testing.assert_array_equal(found[32:64, 32:64], picture[34:66, 29:61])
    np.testing.assert_array_equal(moved(picture, np.zeros_like(vectors)), picture)


def test_the_search_finds_a_pan_and_what_stands_still():
    frames = pan(3, 160, 224)
    v = search(luma(frames[1]), luma(frames[0]))
    assert (v[1:-1, 1:-1] == (6, 14)).all(-1).mean() > 0.8 and (v[0] == 0).all()
    far = pan(8, 160, 352)
    v = search(luma(far[7]), luma(far[0]))
    assert (v[1:-1, 2:-2] == (42, 98)).all(-1).mean() > 0.5
    assert not search(luma(far[0]), luma(far[0])).any()


def test_what_moves_takes_fewer_bytes_and_what_stands_still_as_many(codec):
    moving, still = clip_signal(pan(5, 96, 128)), clip_signal(pan(1, 96, 128).repeat(5, 0))
    sizes = {}
    for moves in (True, False):
        for name, signal in (("moving", moving), ("still", still)):
            data = codec.encode_signals([replace(signal, moves=moves)], Target("quality", 60))[0]
            sizes[name, moves] = data
            codec.test(data)
    assert len(sizes["moving", True]) < 0.9 * len(sizes["moving", False])
    assert sizes["still", True] == sizes["still", False]
    modes = {frame.mode for group in groups_of(sizes["moving", True]) for frame in group.frames}
    assert GIVEN + VECTORS in modes


def test_a_block_without_a_vector_takes_the_latents_themselves(codec):
    data = codec.encode_signals([clip_signal(pan(1, 96, 96))], Target("quality", 60))[0]
    (first,) = codec.latents(data)
    vectors = np.zeros((*grid_of(first.latents.y_hat.shape[1:]), 2), np.int32)
    mover = Mover(codec.replica, codec.temporal, 8000)
    rates = first.rate, first.rate - 500
    plain = codec.temporal.at_rate(first.latents.y_hat, *rates, -1)
    assert np.array_equal(mover.reference(first.latents, rates, -1, vectors).y_hat, plain.y_hat)
    assert not mover._pictures
    vectors[1, 1] = 6, -4
    found = mover.reference(first.latents, rates, -1, vectors).y_hat
    inside = np.zeros(found.shape[1:], bool)
    inside[2:4, 2:4] = True
    np.testing.assert_array_equal(found[:, ~inside], plain.y_hat[:, ~inside])
    assert (found[:, inside] != plain.y_hat[:, inside]).any()
    assert (found.shape, found.dtype) == (plain.y_hat.shape, np.int32)
    # A part of the picture gives what the whole does.
    whole = codec.replica.analyse([moved(mover._pictures[id(first.latents)][1], vectors)], [8000])[0]
    part = mover._analysed(moved(mover._pictures[id(first.latents)][1], vectors), (slice(2, 4), slice(2, 4)))
    np.testing.assert_array_equal(part, np.rint(64 * whole[:, 2:4, 2:4]))
