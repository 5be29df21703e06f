"""docs/first-hour.md as a new user would run it: the wheel in an environment of its own, outside of the repository."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lecodec

ROOT = Path(lecodec.__file__).resolve().parent
PICTURES = {"astronaut.png": (258, 256), "chelsea.png": (168, 190), "coffee.png": (172, 176)}
"""In place of whole photographs: height and width, all different, so that each is coded by itself."""


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it; everything else is that of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env/bin/python"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    (packages / "tests.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    assert (folder / "env/share/man/man1/lecodec.1").read_text() == (ROOT / "docs/lecodec.1").read_text()
    return folder / "env"


def commands() -> list[str]:
    text = (ROOT / "docs/first-hour.md").read_text(encoding="utf-8")
    return [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]


def run(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A line of the document; one that says so is interrupted as soon as it has written a file."""
    child = subprocess.Popen(
        ["bash", "-c", f"exec {command.partition('  #')[0]}" if "Ctrl-C" in command else command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background shell ignores it
    )
    if "Ctrl-C" in command:
        until = time.monotonic() + 120
        while not list(folder.glob("coded/*.lec")) and time.monotonic() < until and child.poll() is None:
            time.sleep(0.005)
        child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=300)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def test_the_first_hour(installed: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LECODEC", "PYTHON"))}
    environment |= {"PATH": f"{installed}/bin:{environment['PATH']}", "OMP_NUM_THREADS": "1"}
    where = subprocess.run(
        ["python", "-c", "import lecodec; print(lecodec.__file__)"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert os.fsdecode(where.stdout).startswith(str(installed)), "not the wheel's"
    lines = commands()
    assert len(lines) > 15
    for line in lines:
        shorter = line.replace("minutes=5", "minutes=0.04").replace("runs/mine -o", "runs/mine --calibrate 4 -o")
        shorter = shorter.replace("-o run/", "--limit 1 --resamples 100 -o run/") if "eval task" in line else shorter
        shorter = shorter.replace("-o rd/", "--limit 1 -o rd/")
        told = run(shorter, tmp_path, environment)
        assert told.returncode == (130 if "Ctrl-C" in line else 0), f"{shorter}\n{told.stdout}\n{told.stderr}"
        assert "Traceback" not in told.stderr
        if "shutil.copy" in line:
            for name, (height, width) in PICTURES.items():
                picture = Image.open(tmp_path / "photos" / name)
                picture.crop((0, 0, width, height)).save(tmp_path / "photos" / name)
        if "Ctrl-C" in line:
            assert "not done" in told.stdout and len(list(tmp_path.glob("coded/*"))) < 3
        if "--skip-existing" in line:
            assert "skipped" in told.stderr + told.stdout
            assert {path.name for path in tmp_path.glob("coded/*")} == {f"{name}.lec" for name in PICTURES}
    assert {path.name for path in tmp_path.glob("back/*")} == {*PICTURES}
    assert np.array_equal(np.load(tmp_path / "some.npy"), np.load(tmp_path / "tiles.npy")[3:11])
    assert Image.open(tmp_path / "mine.png").size == PICTURES["coffee.png"][::-1]
    assert {path.name for path in tmp_path.glob("rd/*")} >= {"rd.tsv", "rd.png", "bd.tsv"}
    assert "lecodec@mine.safetensors" in (tmp_path / "rd/rd.tsv").read_text()
    assert "<html" in (tmp_path / "report/index.html").read_text()
