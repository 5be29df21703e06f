"""What training runs leave on disk: checkpoints, read without running any code, and a table of metrics.

state (tensors and plain values) -> checkpoint.pt        step, seconds, name, value -> metrics.csv
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError

__all__ = ["load_checkpoint", "log_metrics", "save_checkpoint"]


def load_checkpoint(path: Path | str) -> dict:
    """A checkpoint's contents on the CPU. Raises InputError when it cannot be read; never unpickles code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # torch raises many kinds for a bad file
        raise InputError(f"{path}: not a readable checkpoint ({type(e).__name__})") from None


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint: to a temporary file first, so that a kill leaves the old one."""
    temporary = path.with_name(f"{path.name}.part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def log_metrics(folder: Path, step: int, seconds: float, row: Mapping[str, float]) -> None:
    """Append a line for each value of `row` to metrics.csv."""
    with (folder / "metrics.csv").open("a", newline="") as file:
        csv.writer(file).writerows([step, round(seconds, 1), name, value] for name, value in row.items())
