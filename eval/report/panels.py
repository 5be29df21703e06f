"""Curves of quality over rate as a picture, one panel for each metric.

rows, published curves -> mean curves of each codec -> PNG, written whole or not at all
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..figures.published_curves import Curves
from ..figures.rates import curve_of
from ..tasks.task import ItemRow
from .cells import BITS_A_PIXEL, Unit
from .plots import figure_of, over_rates, save

__all__ = ["LABELS", "plot_rates"]

LABELS = {
    "psnr": "PSNR (dB, RGB)",
    "ms_ssim_db": "MS-SSIM (dB)",
    "ssimulacra2": "SSIMULACRA2",
    "butteraugli": "- butteraugli (3-norm)",
    "cvvdp": "ColorVideoVDP (JOD)",
    "si_sdr": "SI-SDR (dB)",
    "log_stft": "- log-STFT distance",
    "pesq": "PESQ",
    "stoi": "STOI",
    "dnsmos": "DNSMOS, overall",
}
"""What curves and BD-rates are taken over, with the labels of the axes."""


def plot_rates(
    path: Path,
    title: str,
    rows: Sequence[ItemRow],
    codecs: Iterable[str],
    ranges: Mapping[str, tuple[float, float] | None],
    published: Curves,
    unit: Unit = BITS_A_PIXEL,
) -> None:
    """Draw quality over rate (logarithmic) of some codecs, one panel for each metric side by side.

    ranges: of LABELS, that over which BD-rates are taken, which is shaded, None: there is none; published: curves by
    others, dashed. Raises `InputError` when matplotlib is missing, `OSError` when the file cannot be written.
    """
    codecs = list(codecs)
    figure, panels = figure_of(title, len(ranges))
    for axes, (metric, span) in zip(panels, ranges.items(), strict=True):
        if span is not None:
            axes.axhspan(*span, color="0.95", zorder=0)
        curves = {name: curve_of(rows, name, metric) for name in codecs}
        curves |= {name: known[metric] for name, known in published.items() if metric in known}
        rates: list[float] = []
        for name, curve in curves.items():
            points = [
                (rate * unit.scale, quality)
                for rate, quality in zip(curve.rates, curve.qualities, strict=True)
                if math.isfinite(quality)
            ]
            rates += [rate for rate, _ in points]
            style = ("o--", 2.5, 1.0) if name in published else ("o-", 3.5, 1.4)
            y = [quality for _, quality in points]
            axes.plot([rate for rate, _ in points], y, style[0], markersize=style[1], linewidth=style[2], label=name)
        over_rates(axes, rates, f"{unit.label} (real files)")
        if rates:
            axes.legend(loc="lower right", frameon=False, fontsize="small")
        axes.set_ylabel(LABELS[metric])
    save(figure, path)
