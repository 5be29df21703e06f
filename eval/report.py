"""Reports: small tables and a plot, each file written whole or not at all.

    rows -> TSV with `#` comment lines at its head          curves -> PNG with one panel per metric

A figure means little without what it was measured with, so every table begins with the versions of everything involved
and the processor. No host names and no paths: results are meant to be published.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ..bitstream import atomic_write
from .bd import Curve
from .quality._extras import extra

__all__ = ["Panel", "environment", "plot_curves", "write_tsv"]

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
    "constriction",
    "pillow-jxl-plugin",
    "compressai",
    "onnxruntime",
    "ai-edge-litert",
)
_RATE_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True)
class Panel:
    """One plot: a curve for each codec, and the range of quality (dB, or scores) that its BD-rates ask for, which is
    shaded. published: curves by others, dashed.
    """

    label: str
    curves: Mapping[str, Curve]
    low: float
    high: float
    published: Mapping[str, Curve] = field(default_factory=dict)


def environment() -> list[str]:
    """What the figures depend on, one line each: versions, processor, threads."""
    import os

    import torch

    from .. import __version__

    versions = [f"lecodec {__version__}", f"python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        f"versions: {', '.join(versions)}",
        f"processor: {_processor()}, {cores} cores, torch threads {torch.get_num_threads()}; {platform.system()}",
    ]


def write_tsv(path: Path, comments: Iterable[str], rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write `# comment` lines, a line of column names and a line for each row, replacing an older file.

    Floats have 7 significant digits; tabs and line breaks inside a value become spaces. Raises `OSError`.
    """
    lines = [f"# {_cell(comment)}" for comment in comments]
    lines.append("\t".join(columns))
    lines.extend("\t".join(_cell(row[column]) for column in columns) for row in rows)
    with atomic_write(path, overwrite=True) as file:
        # A file name may hold bytes that are no text (surrogates, in Python): they are shown as `?`.
        file.write(("\n".join(lines) + "\n").encode("utf-8", errors="replace"))


def plot_curves(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw quality over rate (logarithmic, bits per pixel), one panel each side by side, as a PNG.

    Raises `InputError` when matplotlib is missing, `OSError` when the file cannot be written.
    """
    # The Figure class alone, without pyplot: no global state, no display, safe in threads.
    figure = extra("matplotlib.figure", "matplotlib").Figure(figsize=(6.4 * len(panels), 5.0), layout="constrained")
    figure.suptitle(title)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.axhspan(panel.low, panel.high, color="0.95", zorder=0)
        rates = []
        for name, curve in {**panel.curves, **panel.published}.items():
            points = [p for p in zip(curve.rates, curve.qualities, strict=True) if math.isfinite(p[1])]
            rates.extend(rate for rate, _ in points)
            axes.plot(
                [rate for rate, _ in points],
                [quality for _, quality in points],
                marker="o",
                markersize=2.5 if name in panel.published else 3.5,
                linewidth=1.0 if name in panel.published else 1.4,
                linestyle="--" if name in panel.published else "-",
                label=name,
            )
        axes.set_xscale("log")
        if rates:
            low, high = min(rates) / 1.15, max(rates) * 1.15
            axes.set_xlim(low, high)
            ticks = [tick for tick in _RATE_TICKS if low <= tick <= high]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.legend(loc="lower right", frameon=False, fontsize="small")
        axes.minorticks_off()
        axes.grid(True, color="0.85", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("rate (bits per pixel, real files)")
        axes.set_ylabel(panel.label)
    with atomic_write(path, overwrite=True) as file:
        figure.savefig(file, format="png", dpi=120)


def _cell(value: Any) -> str:
    text = f"{value:.7g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()) if any(c in text for c in "\t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029") else text


def _processor() -> str:
    """The processor's name as Linux tells it, or whatever the platform knows."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
