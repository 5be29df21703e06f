"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported. The pictures here are tiny: threads gain nothing on them, and on a machine that is busy with
# something else their barriers made the tests ten times slower. Tests of thread counts set their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
def picture() -> np.ndarray:
    """A small picture with edges, a gradient and some noise: uint8 [50, 70, 3]."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:50, :70]
    base = np.stack([3 * x, 4 * y, 2 * x + y], axis=2) + 60 * ((x // 9 + y // 9) % 2)[:, :, None]
    return np.clip(base + rng.normal(0, 4, base.shape), 0, 255).astype(np.uint8)
