"""Published curves: the mean rates and qualities that others report for a set of pictures, as data in a table.

    TSV: codec, bpp, psnr, ms_ssim (a row for each point; `#` comments say where they are from) -> curves by codec

They are used only as anchors of BD-rates and in the plot. Means are all that is known of them: no single pictures, no
times, and their bytes are what their authors counted. An rd.tsv of another run on the same pictures is such a table
too, with its further columns.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError
from ..quality import metrics
from .bd import Curve

__all__ = ["Curves", "read_curves"]

Curves = Mapping[str, Mapping[str, Curve]]
"""By codec and by metric: `psnr`; `ms_ssim_db` and those of `_MORE` where they are known."""

_COLUMNS = {"codec", "bpp", "psnr"}
_MORE = ("ssimulacra2", "butteraugli", "cvvdp")


def read_curves(path: Path) -> Curves:
    """The curves of a table: bpp above 0, psnr in dB, ms_ssim below 1, ssimulacra2, butteraugli with its minus (these
    three may be absent or empty).

    Raises `InputError` when it cannot be read, lacks a column, or holds something else than numbers.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot read the published curves: {error}") from None
    if not rows or not set(rows[0]) >= _COLUMNS:
        raise InputError(f"{path}: published curves are a table of tabs with the columns codec, bpp, psnr and ms_ssim")
    points: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for number, row in enumerate(rows, 1):
        try:
            bpp, psnr, similarity = float(row["bpp"]), float(row["psnr"]), float(row.get("ms_ssim") or "nan")
            more = {name: float(row.get(name) or "nan") for name in _MORE}
            if not 0 < bpp < math.inf or not math.isfinite(psnr) or not (math.isnan(similarity) or similarity < 1):
                raise ValueError
        except (TypeError, ValueError):
            raise InputError(f"{path}: point {number} ({row['codec']}) is not made of bpp, dB and MS-SSIM") from None
        of_codec = points.setdefault(row["codec"], {name: [] for name in ("psnr", "ms_ssim_db", *_MORE)})
        of_codec["psnr"].append((bpp, psnr))
        if not math.isnan(similarity):
            of_codec["ms_ssim_db"].append((bpp, metrics.ms_ssim_db(similarity)))
        for name, value in more.items():
            if not math.isnan(value):
                of_codec[name].append((bpp, value))
    return {codec: {m: Curve.of(p) for m, p in known.items() if p} for codec, known in points.items()}
