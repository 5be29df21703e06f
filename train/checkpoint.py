"""What training runs leave on disk: checkpoints, read without running any code, and a table of metrics.

state (tensors and plain values) -> checkpoint.pt        step, seconds, name, value -> metrics.csv
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import CodecError, InputError

__all__ = ["contents_of", "load_checkpoint", "log_metrics", "save_checkpoint"]


def load_checkpoint(path: Path | str) -> dict[str, Any]:
    """A checkpoint's contents on the CPU. Raises InputError when it cannot be read; never unpickles code."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # torch raises many kinds for a bad file
        raise InputError(f"{path}: not a readable checkpoint ({type(e).__name__})") from None
    if not isinstance(state, dict):
        raise InputError(f"{path}: not a checkpoint: it holds a {type(state).__name__}, expected a dict")
    return state


@contextlib.contextmanager
def contents_of(path: Path | str, noun: str) -> Iterator[None]:
    """Use what a checkpoint holds: where it lacks something, or does not fit, the error names the file.

    noun: what it should be a checkpoint of, with its article. Raises InputError, ModelError.
    """
    try:
        yield
    except CodecError as e:
        raise type(e)(f"{path}: {e}") from None
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError) as e:
        if "out of memory" in str(e):
            raise
        raise InputError(f"{path} is not a checkpoint of {noun}") from None


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint: to a temporary file first, so that a kill or a full disk leaves the old one.

    Raises CodecError when it cannot be written; then the temporary file is gone.
    """
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as e:  # torch replaces the error of the system by one of its own
        cause = e if isinstance(e, OSError) else e.__context__
        reason = (cause.strerror if isinstance(cause, OSError) else None) or str(e)
        raise CodecError(f"cannot write {path}: {reason}; a checkpoint that was there before is kept") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def log_metrics(folder: Path, step: int, seconds: float, row: Mapping[str, float]) -> None:
    """Append a line for each value of `row` to metrics.csv."""
    with (folder / "metrics.csv").open("a", newline="") as file:
        csv.writer(file).writerows([step, round(seconds, 1), name, value] for name, value in row.items())
