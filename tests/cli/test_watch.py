"""A single long file: how far it is, and an end before its end."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lecodec
from lecodec.cli import console
from lecodec.cli.watch import Watch
from lecodec.codec.media.video_signal import clip_signal
from lecodec.codec.media.video_write import write_video_signal
from lecodec.codec.sound_lossless import LosslessSoundCodec
from lecodec.codec.workers.told import watching

from ..make_golden import clip

GOLDEN = Path(__file__).parents[1] / "golden"


def test_frames_are_counted_each_time_anew(monkeypatch):
    watch = Watch()
    assert watch.text() == ""
    now = [100.0]
    monkeypatch.setattr("lecodec.cli.watch.time.monotonic", lambda: now[0])
    frames = watch.over(lambda: range(10), 40)
    assert list(frames()) == list(range(10)) and watch.frames == 10
    now[0], watch.bytes = 105.0, 1_234_567
    assert watch.text() == "10 of 40 frames, 2.0 fps, 1.23 MB, 15 s left"
    passing = watch.over(lambda: range(10), 0)()
    assert [next(passing) for _ in range(4)] == [0, 1, 2, 3]
    now[0] = 106.5
    assert watch.text() == "3 frames, 2.0 fps"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_is_told_on_a_terminal(monkeypatch):
    monkeypatch.setattr(console, "PATIENCE", 0.01)
    monkeypatch.setattr(sys, "stderr", Terminal())
    watch = Watch()
    list(watch.over(lambda: range(5), 9)())
    with console.progress("encoding", 1, False, watch) as tick:
        while "5 of 9 frames" not in sys.stderr.getvalue():  # pyright: ignore[reportAttributeAccessIssue]
            time.sleep(0.01)
        assert callable(tick)
    said = sys.stderr.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "\rencoding: 0 s, 5 of 9 frames, " in said and said.endswith(" \r")


def test_steps_are_told_with_the_time_that_is_left(monkeypatch):
    watch, now = Watch(), [100.0]
    monkeypatch.setattr("lecodec.cli.watch.time.monotonic", lambda: now[0])
    watch.step("analysis", 0, 8)
    assert watch.text() == "analysis 0%"
    now[0] = 103.0
    watch.step("analysis", 2, 8)
    assert watch.text() == "analysis 25%, 9 s left of it"
    now[0] = 105.0
    assert watch.text() == "analysis 25%, 7 s left of it"
    watch.step("coding", 0, 4)
    assert watch.text() == "coding 0%"


def steps_of(work: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What comes of it, and the names of the steps that it told, part by part."""
    said: list[tuple[str, int, int]] = []
    with watching(lambda *step: said.append(step)):
        result = work()
    for (name, done, total), (other, before, _) in zip(said, [("", 0, 0), *said], strict=False):
        assert done <= total > 1 and (done == 0 or (name, done) == (other, before + 1))
    assert all(any(name == step and done >= total - 1 for step, done, total in said) for name, _, _ in said)
    return result, [name for name, done, _ in said if done == 0]


def test_a_large_picture_tells_how_far_it_is(monkeypatch):
    """Only its time was told: minutes, of a hundred megapixels."""
    codec: Any = lecodec.load(model=GOLDEN / "tiny.safetensors")
    monkeypatch.setattr(codec.transform, "window", 4 * codec.transform.reach**2)
    monkeypatch.setattr(codec, "_group", 16)
    x = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    file, names = steps_of(lambda: codec.encode(x, 60, tile=64))
    assert names == ["analysis", "coding"]
    assert steps_of(lambda: codec.decode(file))[1] == ["decoding", "synthesis"]
    assert not steps_of(lambda: codec.encode(x[:16, :16], 60))[1]  # nothing to tell


def test_a_large_picture_without_loss_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr("lecodec.codec.block_coding.PORTION", 5000)
    x = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    codec = lecodec.LosslessCodec()
    file, names = steps_of(lambda: codec.encode(x, tile=64, verify=False))
    assert names == ["coding"] and steps_of(lambda: codec.decode(file))[1] == ["decoding"]


@pytest.mark.parametrize("codec", [LosslessSoundCodec(), lecodec.load(GOLDEN / "tiny-sound.safetensors")])
def test_a_long_sound_tells_how_far_it_is(monkeypatch, codec):
    monkeypatch.setattr("lecodec.codec.sound.MOST", 1)
    x = np.random.default_rng(0).normal(0, 0.1, (1600, 1)).astype(np.float32)
    file, names = steps_of(lambda: codec.encode(x, 8000, segment=0.04))
    assert names == ["coding"] and steps_of(lambda: codec.decode(file))[1] == ["decoding"]


@pytest.mark.parametrize("what", ["encode", "decode"])
def test_an_interrupt_leaves_nothing_half_written(tmp_path, what):
    """In the middle of a video, whose output has been begun."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("interrupts are ignored here, as in a background shell")
    environment = {**os.environ, "LECODEC_MODELS": str(GOLDEN), "OMP_NUM_THREADS": "1"}
    model = str(GOLDEN / "tiny-video.safetensors")
    command = [sys.executable, "-m", "lecodec", what]
    write_video_signal(clip_signal(clip(8, 64, 96).repeat(25, 0)), tmp_path / "a.y4m")
    if what == "encode":
        command += ["a.y4m", "-o", "out.lec", "--model", model, "--group", "2"]
    else:
        from lecodec.codec.codec import Target
        from lecodec.codec.media.video_signal import in_groups
        from lecodec.codec.registry import load
        from lecodec.codec.video import VideoCodec

        still = in_groups(clip_signal(clip(1, 64, 96).repeat(80, 0)), 4, False)
        (tmp_path / "a.lec").write_bytes(load(model, of=VideoCodec).encode_signals([still], Target())[0])
        command += ["a.lec", "-o", "out.mkv"]
    before = set(os.listdir(tmp_path))
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if any((tmp_path / name).stat().st_size for name in set(os.listdir(tmp_path)) - before):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert set(os.listdir(tmp_path)) == before
