"""SSIMULACRA2: the score agrees with the package's own, orders pictures as an eye does, and is met as a target."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec import InputError
from lecodec.codec import ssimulacra2 as module
from lecodec.codec.ssimulacra2 import crop_of, ssimulacra2
from lecodec.codec.targets import FIDELITIES, index_for

package = pytest.importorskip("ssimulacra2")


def scene(height: int = 200, width: int = 150) -> np.ndarray:
    """Gradients, edges and texture, the same on every machine: uint8 [H, W, 3]."""
    y, x = np.mgrid[:height, :width]
    texture = (x * x * 7 + y * y * 11 + x * y * 3) % 61
    base = np.stack([x + y // 2, 2 * y - x // 3, 255 - x - y // 4], axis=2) // 2 + 30
    return np.clip(base + (texture - 30)[:, :, None] // 3 + 40 * ((x // 25 + y // 20) % 2)[:, :, None], 0, 255).astype(
        np.uint8
    )


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def of_package(a: np.ndarray, b: np.ndarray) -> float:
    def file(picture: np.ndarray) -> io.BytesIO:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PPM")
        return io.BytesIO(buffer.getvalue())

    return package.compute_ssimulacra2(file(a), file(b))


@pytest.mark.parametrize("shape", [(200, 150), (8, 8), (33, 301), (301, 33)])
def test_strips_have_the_score_of_the_whole(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    a = scene(*shape)
    b = np.clip(a + np.random.default_rng(1).normal(0, 6, a.shape), 0, 255).astype(np.uint8)
    expected = of_package(a, b)
    assert ssimulacra2(a, b) == pytest.approx(expected, abs=1e-9)
    monkeypatch.setattr(module, "_STRIP", 1)  # strips of 16 rows
    assert ssimulacra2(a, b) == pytest.approx(expected, abs=1e-9)


def test_a_value_that_the_package_once_gave() -> None:
    a = scene()
    assert ssimulacra2(a, a // 16 * 16 + 8) == pytest.approx(56.79298502991844, abs=1e-6)


def test_better_jpegs_have_better_scores_and_the_same_picture_100() -> None:
    a = scene()
    scores = [ssimulacra2(a, jpeg(a, quality)) for quality in (5, 20, 40, 60, 80, 95)]
    assert scores == sorted(scores) and scores[0] < 20 and 80 < scores[-1] < 100
    assert ssimulacra2(a, a) == 100
    assert np.isnan(ssimulacra2(a[:7], a[:7]))


def test_grey_and_16_bits_are_measured_as_8_bit_rgb() -> None:
    a, b = scene()[:, :, 0], jpeg(scene(), 30)[:, :, 0]
    in_colour = ssimulacra2(*(np.repeat(x[:, :, None], 3, 2) for x in (a, b)))
    assert ssimulacra2(a, b) == in_colour
    assert ssimulacra2(*(x.astype(np.uint16) * 257 for x in (a, b))) == in_colour


def test_a_large_picture_is_searched_on_its_middle() -> None:
    large = np.zeros((2100, 2000), np.uint8)
    large[1050, 1000] = 1
    assert crop_of(large).shape == (1024, 1024) and crop_of(large)[512, 512] == 1
    assert crop_of(np.zeros((900, 5000, 3))).shape == (900, 1024, 3)
    small = np.zeros((2048, 2048))
    assert crop_of(small) is small


@pytest.mark.parametrize("wanted", [20, 40])
def test_the_target_is_met(wanted: float, tiny_default: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = scene()
    data = lecodec.encode(a, ssimulacra2=wanted)
    assert abs(ssimulacra2(a, lecodec.decode(data)) - wanted) <= 0.5
    # As if it were a large picture: its middle is searched, the whole decides.
    monkeypatch.setattr(module, "_LARGE", 1000)
    monkeypatch.setattr(module, "CROP", 64)
    data = lecodec.encode(a, ssimulacra2=wanted)
    assert abs(ssimulacra2(a, lecodec.decode(data)) - wanted) <= 0.5


def test_targets_that_cannot_be_met_say_what_can(tiny_default: Path) -> None:
    with pytest.raises(InputError, match="SSIMULACRA2 score of 100 is out of reach: .* at quality 1 and a score of"):
        lecodec.encode(scene(72, 72), ssimulacra2=100)
    with pytest.raises(InputError, match="sides of at least 8 pixels"):
        lecodec.encode(scene(7, 700), ssimulacra2=50)
    with pytest.raises(InputError, match="psnr and ssimulacra2"):
        lecodec.encode(scene(64, 64), ssimulacra2=50, psnr=30)
    with pytest.raises(InputError, match="do not go with it"):
        lecodec.encode(scene(64, 64), ssimulacra2=50, lossless=True)
    assert index_for(FIDELITIES["ssimulacra2"], lambda q: 20 + q / 200, 80) == pytest.approx(12000, abs=50)


def test_a_missing_package_is_named(tiny_default: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ssimulacra2", "ssimulacra2.ssimulacra2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"needs the package ssimulacra2: pip install 'lecodec\[eval\]'") as error:
        lecodec.encode(scene(64, 64), ssimulacra2=50)
    assert "\n" not in str(error.value)


def test_the_command_line_has_it(
    tiny_default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    from lecodec.cli.main import main

    def run(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as exit:
            main(arguments)
        return exit.value.code, capfd.readouterr().err

    monkeypatch.chdir(tmp_path)
    a = scene()
    Image.fromarray(a).save("a.png")
    assert run("encode", "a.png", "--ssimulacra2", "30")[0] == 0
    assert abs(ssimulacra2(a, lecodec.decode("a.png.lec")) - 30) <= 0.5
    code, said = run("encode", "a.png", "--ssimulacra2", "99", "-f")
    assert code == 1 and "out of reach" in said and len(said.splitlines()) == 1
    assert run("encode", "a.png", "--ssimulacra2", "101", "-f")[0] == 2
    code, said = run("encode", "a.png", "--ssimulacra2", "30", "--psnr", "30", "-f")
    assert code == 2 and "exclude each other" in said
