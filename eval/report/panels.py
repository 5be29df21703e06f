"""Curves of quality over rate as a picture, one panel for each metric.

curves -> PNG, written whole or not at all
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...bitstream import atomic_write
from ..figures.bd import Curve
from ..quality._extras import extra

__all__ = ["Panel", "plot_curves"]

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
