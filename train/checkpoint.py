"""Checkpoints of training runs: torch.save of tensors and plain values, read without running any code."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import InputError

__all__ = ["load_checkpoint"]


def load_checkpoint(path: Path | str) -> dict:
    """A checkpoint's contents on the CPU. Raises InputError when it cannot be read; never unpickles code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # torch raises many kinds for a bad file
        raise InputError(f"{path}: not a readable checkpoint ({type(e).__name__})") from None
