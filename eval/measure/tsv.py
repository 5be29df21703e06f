"""Small tables as text, each file written whole or not at all.

    rows -> TSV with `#` comment lines at its head

A figure means little without what it was measured with, so every table begins with the versions of everything involved
and the processor. No host names and no paths: results are meant to be published.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ...bitstream import atomic_write, check_writable

__all__ = ["environment", "rounded", "writable", "write_tsv"]

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "av",
    "scipy",
    "pytorch-msssim",
    "torchmetrics",
    "ssimulacra2",
    "cvvdp",
    "constriction",
    "pillow-jxl-plugin",
    "compressai",
    "onnxruntime",
    "ai-edge-litert",
    "pesq",
    "pystoi",
    "torchaudio",
)


def environment(device: str = "cpu") -> list[str]:
    """What the figures depend on, one line each: versions, processor, threads, the GPU if the device is one."""
    import os

    import torch

    from ... import __version__

    versions = [f"lecodec {__version__}", f"python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    gpu = device != "cpu" and torch.cuda.is_available()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        f"versions: {', '.join(versions)}",
        f"processor: {_processor()}, {cores} cores, torch threads {torch.get_num_threads()}; {platform.system()}",
        *([f"learned codecs on {device}: {torch.cuda.get_device_name(torch.device(device))}"] if gpu else []),
    ]


def writable(folder: Path, names: Iterable[str]) -> None:
    """Make a folder where there is none; raise OSError unless files of these names can be written there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        check_writable(folder / name, overwrite=True)


def rounded(row: Mapping[str, Any], digits: int, **others: int) -> dict[str, Any]:
    """A row for printing, its floats with so many digits after the point. others: of some columns."""
    return {key: round(x, others.get(key, digits)) if isinstance(x, float) else x for key, x in row.items()}


def write_tsv(
    path: Path, comments: Iterable[str], rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None
) -> None:
    """Write `# comment` lines, a line of column names and a line for each row, replacing an older file.

    columns: by default those of the first row. Floats have 7 significant digits; tabs and line breaks inside a value
    become spaces. Raises `OSError`.
    """
    columns = list(rows[0] if columns is None else columns)
    lines = [f"# {_cell(comment)}" for comment in comments]
    lines.append("\t".join(columns))
    lines.extend("\t".join(_cell(row[column]) for column in columns) for row in rows)
    with atomic_write(path, overwrite=True) as file:
        # A file name may hold bytes that are no text (surrogates, in Python): they are shown as `?`.
        file.write(("\n".join(lines) + "\n").encode("utf-8", errors="replace"))


def _cell(value: Any) -> str:
    text = f"{value:.7g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()) if any(c in text for c in "\t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029") else text


def _processor() -> str:
    """The processor's name as Linux reports it, or whatever the platform knows."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
