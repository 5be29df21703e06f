"""A task's curves as a PNG, for documents that cannot hold a page.

    points of a task -> accuracy and agreement over rate, 95% bands    points of a source -> metrics over rate

The colours are those of Okabe and Ito (2008), which people with any kind of colour vision tell apart, and every codec
has its own marker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...bitstream import atomic_write
from ..codecs.codec import IDENTITY
from ..figures.rows import Point
from ..quality._extras import extra
from .cells import Unit

__all__ = ["COLOURS", "METRICS", "figure_of", "metric_label", "over_rates", "plot_metrics", "plot_task", "save"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKERS = "os^DvPp"
_TICKS = [digit * 10.0**power for power in range(-4, 7) for digit in (1, 2, 5)]
METRICS = {
    "psnr": "PSNR, dB",
    "psnr_y": "PSNR of luma, dB",
    "ms_ssim": "MS-SSIM",
    "ssimulacra2": "SSIMULACRA2",
    "butteraugli": "- butteraugli (3-norm)",
    "cvvdp": "ColorVideoVDP, JOD",
    "snr": "SNR, dB",
    "si_sdr": "SI-SDR, dB",
    "pesq": "PESQ",
    "stoi": "STOI",
    "dnsmos": "DNSMOS, overall",
    "dnsmos_sig": "DNSMOS of the signal",
    "dnsmos_bak": "DNSMOS of the background",
}

Triple = tuple[float, float, float]


def metric_label(name: str) -> str:
    """What an axis is called; distances tell which way is good."""
    if name.startswith("log_"):
        return f"distance of {name[4:].replace('stft', 'STFT')} logarithms (lower is better)"
    if name.startswith("d_"):
        return f"feature distance, {name[2:].replace('_', ' ')} (lower is better)"
    if name.startswith(("lpips", "dists")):
        return f"{name.upper()} (lower is better)"
    return METRICS.get(name, name)


def plot_task(path: Path, title: str, measure: str, points: Sequence[Point], unit: Unit) -> None:
    """Accuracy over rate with 95% bands, the uncompressed items as a dashed line, and where there is a truth, the
    agreement in the same plot. points: of one task. Raises InputError when matplotlib is missing, OSError.
    """
    panels: list[tuple[str, Callable[[Point], Triple]]] = [(measure, lambda point: point.accuracy)]
    if points and points[0].kind == "score":
        panels.append(("agreement", lambda p: (p.agreement, p.agreement_low, p.agreement_high)))
    figure, axes_of = figure_of(title, len(panels))
    for axes, (label, of) in zip(axes_of, panels, strict=True):
        _curves(axes, points, lambda point, of=of: _scaled(of(point)), unit)
        for point in points:
            if point.codec == IDENTITY:
                value, low, high = _scaled(of(point))
                axes.axhline(value, color="0.35", linestyle="--", linewidth=1, label="uncompressed")
                axes.axhspan(low, high, color="0.35", alpha=0.08, linewidth=0)
        axes.set_ylabel(f"{label}, %")
        axes.legend(loc="lower right", frameon=False, fontsize=9)
    save(figure, path)


def plot_metrics(path: Path, title: str, points: Sequence[Point], unit: Unit) -> None:
    """The means of all metrics over rate. points: of one task, whose items stand for the source's."""
    names = list(dict.fromkeys(name for point in points for name in point.metrics)) or ["psnr"]
    figure, axes_of = figure_of(title, len(names))
    for axes, name in zip(axes_of, names, strict=True):
        _curves(axes, points, lambda p, name=name: (p.metrics.get(name, math.nan), math.nan, math.nan), unit)
        axes.set_ylabel(metric_label(name))
    axes_of[0].legend(loc="lower right", frameon=False, fontsize=9)
    save(figure, path)


def figure_of(title: str, panels: int) -> tuple[Any, Sequence[Any]]:
    """A figure and its axes, side by side. Raises InputError when matplotlib is missing."""
    # The Figure class alone, without pyplot: no global state, no display, safe in threads.
    figure = extra("matplotlib.figure", "matplotlib").Figure(figsize=(6.0 * panels, 4.6), layout="constrained")
    figure.suptitle(title.replace("$", r"\$"))
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _curves(axes: Any, points: Sequence[Point], of: Callable[[Point], Triple], unit: Unit) -> None:
    """A line a codec, with a band where there are intervals."""
    rates: list[float] = []
    for number, codec in enumerate(dict.fromkeys(p.codec for p in points if p.codec != IDENTITY)):
        own = sorted(((p.rate * unit.scale, *of(p)) for p in points if p.codec == codec), key=lambda row: row[0])
        own = [row for row in own if math.isfinite(row[1]) and row[0] > 0]
        colour = COLOURS[number % len(COLOURS)]
        x, y, low, high = ([row[place] for row in own] for place in range(4))
        rates += x
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        style = "-" if number < len(COLOURS) else ":"
        marker = _MARKERS[number % len(_MARKERS)]
        axes.plot(
            x,
            y,
            linestyle=style,
            marker=marker,
            color=colour,
            markersize=4,
            linewidth=1.4,
            label=codec.replace("$", r"\$"),
        )
    over_rates(axes, rates, f"{unit.label} (real files)")


def over_rates(axes: Any, rates: Sequence[float], label: str) -> None:
    """The logarithmic axis of rates of a plot, and its looks."""
    axes.set_xscale("log")
    if rates:
        low, high = min(rates) / 1.15, max(rates) * 1.15
        axes.set_xlim(low, high)
        ticks = [tick for tick in _TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(True, color="0.88", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(label)


def _scaled(triple: Triple) -> Triple:
    value, low, high = (100 * part for part in triple)
    return value, low, high


def save(figure: Any, path: Path) -> None:
    """As a PNG, whole or not at all. Raises OSError."""
    with atomic_write(path, overwrite=True) as file:
        figure.savefig(file, format="png", dpi=120)
