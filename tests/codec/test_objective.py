"""The error that image models of videos are trained for, beside what FFmpeg's planes say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lecodec.codec.objective import video_error


def test_it_is_that_of_a_videos_planes() -> None:
    """Against the planes of FFmpeg's conversion, whose range is limited and whose values are rounded."""
    av = pytest.importorskip("av")
    rng = np.random.default_rng(1)
    x = np.repeat(np.repeat(rng.integers(60, 190, (32, 48, 3)), 2, 0), 2, 1).astype(np.uint8)
    x_hat = (x + np.repeat(np.repeat(rng.integers(-40, 41, (32, 48, 3)), 2, 0), 2, 1)).astype(np.uint8)
    planes = [
        av.VideoFrame.from_ndarray(a, "rgb24").reformat(format="yuv420p", interpolation="AREA").to_ndarray()
        for a in (x, x_hat)
    ]
    error = (planes[1].astype(float) - planes[0]) ** 2
    y, b, r = error[:64].mean() / 219**2, error[64:80].mean() / 224**2, error[80:].mean() / 224**2
    found = float(video_error(*(torch.from_numpy(a).permute(2, 0, 1)[None] / 255 for a in (x, x_hat))))
    assert found == pytest.approx((6 * y + b + r) / 8, rel=0.02)


def test_any_size_has_one() -> None:
    for size in ((1, 1), (5, 7), (2, 1)):
        x = torch.rand(2, 3, *size)
        found = video_error(x, x + 0.1)
        assert found.tolist() == pytest.approx([0.0075, 0.0075], rel=1e-3)
