"""An environment with `pip install lecodec` and nothing else: what it takes, what works in it, what it says.

`test_base_install` shows the same in the environment of the tests, where what extras bring cannot be imported; here it
is not there. Built once, from the wheel and a package index; without an index the test is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lecodec
from tests.test_base_install import COMMANDS, WORK

ROOT = Path(lecodec.__file__).resolve().parent
GOLDEN = ROOT / "tests" / "golden"
MOST = 300
"""Megabytes of all that is installed."""
EXTRAS = (
    ("encode p.png --effort 2 -f", "effort above 1 needs torch: pip install 'lecodec[torch]'"),
    ("encode p.png --device cuda -f", "device 'cuda' needs torch: pip install 'lecodec[torch]'"),
    ("encode a.mp4", "reading a video needs av: pip install 'lecodec[video]'"),
    ("encode a.wav", "reading a sound needs av: pip install 'lecodec[audio]'"),
    ("encode a.flac", "reading a sound needs av: pip install 'lecodec[audio]'"),
    ("decode v.lec -o v.mp4", "needs av: pip install 'lecodec[video]'"),
    ("decode s.lec -o s.opus", "needs av: pip install 'lecodec[audio]'"),
    ("train image --set name=mine --set train=[.]", "needs the package yaml: pip install 'lecodec[train,eval]'"),
    ("adapt . -o mine.safetensors", "needs the package torch: pip install 'lecodec[train,eval]'"),
    ("freeze runs/mine -o mine.safetensors", "needs the package torch: pip install 'lecodec[train,eval]'"),
    ("models import compressai:mbt2018-mean a.mp4 -o m.safetensors", "needs the package torch: pip install"),
    ("eval rd .", "needs the package torch: pip install 'lecodec[train,eval]'"),
    ("eval bench .", "measuring speed needs torch: pip install 'lecodec[eval]'"),
    ("eval task .", "needs the package torch: pip install 'lecodec[train,eval]'"),
    ("eval sound .", "needs the package torch: pip install 'lecodec[train,eval]'"),
    ("eval lossless .", "needs the package av: pip install 'lecodec[train,eval]'"),
)
"""Commands that need more, and what they say."""


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of the environment."""
    folder = tmp_path_factory.mktemp("base") / "env"
    venv.create(folder, symlinks=True)
    found = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(found), "install", "--quiet"]
    asked = [*pip, "--no-compile", "--retries", "1", "--timeout", "10", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    ran = subprocess.run(asked, capture_output=True, text=True)
    if ran.returncode and any(word in ran.stderr for word in ("No matching distribution", "onnection", "etwork")):
        pytest.skip(f"no package index can be reached: {ran.stderr.strip().splitlines()[-1]}")
    assert ran.returncode == 0, ran.stderr[-2000:]
    return found


def run(python: Path, folder: Path, *arguments: str) -> str:
    """A program in the environment, with the models of the golden files at hand -> its output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LECODEC", "PYTHON"))}
    kept |= {"OMP_NUM_THREADS": "1", "LECODEC_MODELS": str(GOLDEN)}
    ran = subprocess.run([str(python), *arguments], cwd=folder, env=kept, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def commands(python: Path, folder: Path, *lines: str) -> list[tuple[int, str, str]]:
    """Command lines, one after the other, in one process: exit code, stdout, stderr of each."""
    told = run(python, folder, "-c", COMMANDS.format(absent=[]), json.dumps([line.split() for line in lines]))
    return [tuple(one) for one in json.loads(told)]


def test_it_is_small_and_holds_neither_torch_nor_ffmpeg(python: Path, tmp_path: Path) -> None:
    packages = Path(run(python, tmp_path, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < MOST * 10**6, f"{size / 10**6:.0f} MB"
    assert not [name for name in ("torch", "av", "scipy", "pydantic", "yaml") if (packages / name).exists()]
    where = run(python, tmp_path, "-c", "import lecodec; print(lecodec.__file__)").strip()
    assert where == str(packages / "lecodec" / "__init__.py")


def test_what_works_in_it(python: Path, tmp_path: Path, picture: np.ndarray) -> None:
    """Python, Pillow, sets, videos and sounds as `test_base_install` has them; the installed command on files."""
    told = run(python, tmp_path, "-c", WORK.format(absent=[], out=str(tmp_path), golden=str(GOLDEN)))
    done, said = json.loads(told)
    assert done == ["pictures", "lossless", "sets", "videos", "sounds"] and len(said["torch"]) == 5
    Image.fromarray(picture).save(tmp_path / "p.png")
    np.save(tmp_path / "items.npy", np.arange(7 * 30, dtype=np.uint8).reshape(7, 6, 5))
    program = str(python.with_name("lecodec"))
    ran = subprocess.run([program, "encode", "p.png"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0 and (tmp_path / "p.png.lec").stat().st_size < 4000, ran.stderr
    *good, told = commands(
        python,
        tmp_path,
        "test p.png.lec",
        "decode p.png.lec -o back.png",
        "view p.png.lec",
        "encode p.png --lossless -o exact.lec",
        "decode exact.lec -o exact.png",
        "encode items.npy",
        "decode items.npy.lec -o again.npy",
        "decode v.lec -o v.y4m",
        "decode s.lec -o s.wav",
        "info p.png.lec --json",
    )
    assert [code for code, _, _ in good] == [0] * len(good), good
    assert told[0] == 0 and json.loads(told[1])["model"] == "eye-1"
    with Image.open(tmp_path / "back.png") as back, Image.open(tmp_path / "exact.png") as exact:
        assert np.abs(np.asarray(back).astype(int) - picture).mean() < 12 and np.array_equal(np.asarray(exact), picture)
    assert np.array_equal(np.load(tmp_path / "again.npy"), np.load(tmp_path / "items.npy"))
    assert (tmp_path / "s.wav").read_bytes().startswith(b"RIFF")
    assert (tmp_path / "v.y4m").read_bytes().startswith(b"YUV4MPEG2 W32 H16")
    assert (tmp_path / "p.png.lec.html").read_text().count("<script") == 3


def test_what_needs_an_extra_says_which(python: Path, tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "p.png")
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
    (tmp_path / "a.wav").write_bytes(b"RIFF" + bytes(64))
    (tmp_path / "a.flac").write_bytes(b"fLaC" + bytes(64))
    (tmp_path / "v.lec").write_bytes((GOLDEN / "video" / "frame.lec").read_bytes())
    (tmp_path / "s.lec").write_bytes((GOLDEN / "sound" / "mono.lec").read_bytes())
    told = commands(python, tmp_path, *(line for line, _ in EXTRAS))
    for (line, sentence), (code, _, said) in zip(EXTRAS, told, strict=True):
        assert code == 1 and sentence in said and said.count("\n") == 1, (line, said)
    assert not {path.suffix for path in tmp_path.iterdir()} & {".safetensors", ".opus", ".html"}
