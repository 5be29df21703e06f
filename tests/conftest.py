from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The model of at most 200 kB that golden files and tests use."""
    return Path(__file__).parent / "golden" / "tiny.safetensors"
