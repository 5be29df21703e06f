"""The judge that is a program: asked where it is installed, a sentence where it is not."""

from __future__ import annotations

import math
import shutil
import stat

import numpy as np
import pytest
from PIL import Image

from lecodec.errors import CodecError, InputError
from lecodec.eval.codecs.peers import codec_by_name
from lecodec.eval.quality import butteraugli as judge
from lecodec.eval.quality.butteraugli import butteraugli, describe
from lecodec.eval.rd import run_rd


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture, one with a little noise, one with much."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:40, :56]
    picture = np.stack([128 + 60 * np.sin(x / 5), 4 * y, 3 * x], -1).clip(0, 255).astype(np.uint8)
    noisy = [(picture + rng.normal(0, size, picture.shape)).clip(0, 255).astype(np.uint8) for size in (3, 20)]
    return picture, *noisy


@pytest.mark.skipif(shutil.which("butteraugli_main") is None, reason="butteraugli_main is not installed")
def test_the_worse_picture_is_further_away(pictures):
    picture, little, much = pictures
    assert butteraugli(picture, picture) == 0
    assert butteraugli(picture, much) < butteraugli(picture, little) < -0.1
    assert math.isnan(butteraugli(picture[:7], little[:7]))
    assert "3-norm" in describe() and "/" not in describe()


def _stand_in(tmp_path, monkeypatch, script: str) -> None:
    program = tmp_path / "butteraugli_main"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_what_the_program_is_asked_and_what_it_says(pictures, tmp_path, monkeypatch):
    """A stand-in that keeps what it was given: both files as they are, the originals first."""
    _stand_in(tmp_path, monkeypatch, f'cp "$1" "$2" {tmp_path}; echo 7.25; echo "3-norm: 1.5"; echo "$@" >&2')
    assert butteraugli(pictures[0], pictures[1]) == -1.5
    for name, samples in (("a.ppm", pictures[0]), ("b.ppm", pictures[1])):
        assert (tmp_path / name).read_bytes() == b"P6\n56 40\n255\n" + samples.tobytes()


@pytest.mark.parametrize("script", ["echo no >&2; exit 3", "echo 3.5", "echo '3-norm: x'"])
def test_a_program_that_fails_is_one_sentence(pictures, tmp_path, monkeypatch, script):
    _stand_in(tmp_path, monkeypatch, script)
    with pytest.raises(CodecError, match="butteraugli_main ended with code"):
        butteraugli(pictures[0], pictures[1])


def test_a_missing_program_is_one_sentence(pictures, monkeypatch):
    monkeypatch.setattr(judge.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="needs the program butteraugli_main of libjxl .*libjxl-devtools"):
        butteraugli(pictures[0], pictures[1])
    with pytest.raises(InputError, match="uint8"):
        butteraugli(pictures[0] / 255, pictures[1])


def test_curves_and_rates_by_it(tmp_path, monkeypatch):
    """With a stand-in that counts the bytes that differ; curves of one run are anchors of another."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    y, x = np.mgrid[:64, :64]
    samples = np.stack([4 * x, 4 * y, 2 * (x + y)], -1).astype(np.uint8)
    Image.fromarray(samples).save(folder / "a.png")
    count = """awk "BEGIN {print $(cmp -l "$1" "$2" | wc -l) / 4000}" """
    _stand_in(tmp_path, monkeypatch, f'echo "3-norm: $({count})"')
    ladders = {"jpeg": [5, 20, 50, 90], "webp": [5, 50, 90]}
    both = run_rd(folder, list(ladders), tmp_path / "both", more=["butteraugli"], settings=ladders)
    assert [(row.codec, row.setting) for row in both.items] == [(name, s) for name in ladders for s in ladders[name]]
    for row in both.items:
        decoded = codec_by_name(row.codec).decode(codec_by_name(row.codec).encode(samples, row.setting))
        assert row.metrics["butteraugli"] == pytest.approx(-np.count_nonzero(decoded != samples) / 4000, rel=1e-4)
    (found,) = [row for row in both.comparisons if row.metric == "butteraugli"]
    assert (found.codec, found.anchor, found.low, found.high) == ("webp", "jpeg", -3, -1)
    assert math.isfinite(found.bd_rate)
    assert "# butteraugli of libjxl, minus its 3-norm" in (tmp_path / "both" / "rd.tsv").read_text()
    one, more = {"jpeg": ladders["jpeg"]}, ["butteraugli"]
    run_rd(folder, ["jpeg"], tmp_path / "one", more=more, settings=one)
    curves = tmp_path / "one" / "rd.tsv"
    two = run_rd(folder, ["webp"], tmp_path / "two", more=more, settings={"webp": ladders["webp"]}, curves=curves)
    again = {row.metric: row.bd_rate for row in two.comparisons if row.anchor == "jpeg"}
    assert again["butteraugli"] == pytest.approx(found.bd_rate, rel=1e-4)
    with pytest.raises(InputError, match="not among the codecs"):
        run_rd(folder, ["jpeg"], tmp_path / "rd", settings={"webp": [5]})
