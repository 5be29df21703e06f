"""Fixtures that several test files share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Before torch is imported. The pictures here are tiny: threads gain nothing on them, and on a machine that is busy with
# something else their barriers made the tests ten times slower. Tests of thread counts set their own; there a thread
# that waits for another sleeps: where cores are fewer than threads, one that spins keeps the other from its work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The model of at most 200 kB that golden files and tests use."""
    return Path(__file__).parent / "golden" / "tiny.safetensors"


@pytest.fixture
def tiny_default(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model as the default and at hand for decoding, whatever is shipped."""
    from lecodec.codec import registry
    from lecodec.codec.model_file import read_card

    monkeypatch.setenv("LECODEC_MODELS", str(tiny_model))
    monkeypatch.setitem(registry.ALIASES, "image", read_card(tiny_model).name)
    return tiny_model


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this package, built from a copy of what is in the repository."""
    import lecodec

    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".git", ".venv", "tests", "runs", "demo", "build", "*.egg-info", "__pycache__")
    shutil.copytree(Path(lecodec.__file__).resolve().parent, folder / "source", ignore=ignored)
    build = "import setuptools.build_meta as m; print(m.build_wheel('..'))"
    told = subprocess.run([sys.executable, "-c", build], cwd=folder / "source", capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-2000:]
    shutil.rmtree(folder / "source")
    return folder / told.stdout.split()[-1]


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A small picture with edges, a gradient and some noise: uint8 [50, 70, 3]."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:50, :70]
    base = np.stack([3 * x, 4 * y, 2 * x + y], axis=2) + 60 * ((x // 9 + y // 9) % 2)[:, :, None]
    return np.clip(base + rng.normal(0, 4, base.shape), 0, 255).astype(np.uint8)
