"""From single files to figures: means over items, mean curves, comparisons with an anchor.

    rows (one file each) -> means at a setting -> curves -> comparisons (BD-rates)

Guarantees: rates and qualities of a curve are means over the same items. A figure that cannot be computed is `nan`
with a note that says why; nothing is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ..quality.metrics import capped, lower_is_better, ms_ssim_db
from ..tasks.task import ItemRow
from .bd import Curve, bd_rate

__all__ = [
    "RANGES",
    "RateComparison",
    "compare",
    "curve_of",
    "grouped",
    "mean",
    "psnr_of_mse",
    "quality",
    "row_of_file",
    "row_of_means",
]

# MS-SSIM in dB, 0.9 to 0.99, which on Kodak is where JPEG has about 27 to 36 dB of PSNR; SSIMULACRA2 from medium
# quality (50) to such as cannot be told from the original by flipping between the two (90); butteraugli, minus its
# 3-norm, and ColorVideoVDP's score over about the same rates. Of speech, from what is hard to follow to what few tell
# from the original.
RANGES = {
    "ms_ssim_db": (10.0, 20.0),
    "ssimulacra2": (50.0, 90.0),
    "butteraugli": (-3.0, -1.0),
    "cvvdp": (9.0, 9.9),
    "si_sdr": (5.0, 20.0),
    "log_stft": (-1.2, -0.4),
    "pesq": (2.0, 4.2),
    "stoi": (0.9, 0.99),
}
"""The ends between which BD-rates are taken, by metric, distances with a minus; those of PSNR are the user's."""

# Below this a picture's BD-rate speaks of a corner of the range, and would weigh as much as a whole one in the mean.
_MIN_COVERAGE = 0.5


@dataclass(frozen=True)
class RateComparison:
    """One codec against the anchor in one metric.

    low, high: the range of quality asked for, dB or scores, distances with a minus; low_used, high_used: the part of it
    that both mean curves cover; bd_rate: percent, of the mean curves; bd_rate_pictures: percent, mean over pictures (or
    sounds); pictures: how many of pictures_of those are; note: why a figure is `nan`, else empty.
    """

    codec: str
    anchor: str
    metric: str
    low: float
    high: float
    low_used: float
    high_used: float
    bd_rate: float
    bd_rate_pictures: float
    pictures: int
    pictures_of: int
    note: str


def grouped(rows: Iterable[ItemRow]) -> dict[tuple[str, float], list[ItemRow]]:
    """The rows of each codec and setting, in the order in which those first appear."""
    groups: dict[tuple[str, float], list[ItemRow]] = {}
    for row in rows:
        groups.setdefault((row.codec, row.setting), []).append(row)
    return groups


def mean(values: Iterable[float]) -> float:
    """The mean of those that are numbers, `nan` without any."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def quality(rows: Iterable[ItemRow], metric: str) -> float:
    """The mean of a metric over the rows that have it, each value counted as `metrics.capped` says; `ms_ssim_db`: of
    the mean MS-SSIM.
    """
    if metric == "ms_ssim_db":
        return capped(metric, ms_ssim_db(quality(rows, "ms_ssim")))
    return mean(capped(metric, row.metrics[metric]) for row in rows)


def psnr_of_mse(rows: Iterable[ItemRow]) -> float:
    """PSNR in dB of the mean squared error; `inf` if all pictures come back exactly."""
    error = mean(10 ** (-row.metrics["psnr"] / 10) for row in rows)
    return -10 * math.log10(error) if error else math.inf


def row_of_file(row: ItemRow, more: Sequence[str]) -> dict[str, Any]:
    """A row of rd-items.tsv."""
    height, width = row.shape[:2]
    facts = {"item": row.item, "codec": row.codec, "setting": row.setting, "bytes": row.bytes}
    facts |= {"width": width, "height": height, "bpp": row.rate}
    facts |= {name: row.metrics[name] for name in ("psnr", "ms_ssim")}
    facts |= {"encode_s": row.encode_s, "decode_s": row.decode_s}
    return facts | {name: row.metrics[name] for name in ("estimate", *more)}


def row_of_means(rows: Sequence[ItemRow], more: Sequence[str]) -> dict[str, Any]:
    """A row of rd.tsv: means over the pictures of one codec at one setting."""
    return {
        "codec": rows[0].codec,
        "setting": rows[0].setting,
        "pictures": len(rows),
        "bpp": mean(row.rate for row in rows),
        **{name: quality(rows, name) for name in ("psnr", "ms_ssim", "ms_ssim_db")},
        "encode_s": mean(row.encode_s for row in rows),
        "decode_s": mean(row.decode_s for row in rows),
        **{name: quality(rows, name) for name in more},
        "psnr_of_mse": psnr_of_mse(rows),
        "exact": sum(row.metrics["psnr"] == math.inf for row in rows),
    }


def curve_of(rows: Iterable[ItemRow], codec: str, metric: str) -> Curve:
    """The mean curve of a codec (of one item, if the rows are those of one) in a metric of `quality`; of a distance,
    minus that.
    """
    # Rates and qualities must be means over the same items: those without a metric give no rate to its curve either.
    name = metric.removesuffix("_db")
    counted = [row for row in rows if row.codec == codec and not math.isnan(row.metrics[name])]
    sign = -1 if lower_is_better(metric) else 1
    return Curve.of([(mean(r.rate for r in own), sign * quality(own, metric)) for own in grouped(counted).values()])


def compare(
    rows: Iterable[ItemRow],
    codec: str,
    anchor: str,
    metric: str,
    low: float,
    high: float,
    published: Mapping[str, Curve] | None = None,
) -> RateComparison:
    """BD-rates of `codec` against `anchor` in a metric (as for `curve_of`) over low..high. Raises nothing.

    published: the anchor's mean curves by metric, when it has no rows.
    """
    rows = list(rows)
    notes = []
    try:
        reference = published[metric] if published else curve_of(rows, anchor, metric)
        found = bd_rate(reference, curve_of(rows, codec, metric), low, high)
        overall, low_used, high_used = found.percent, found.low_used, found.high_used
    except InputError as error:
        overall = low_used = high_used = math.nan
        notes.append(str(error))

    pictures: dict[str, list[ItemRow]] = {}
    for row in rows:
        pictures.setdefault(row.item, []).append(row)
    singles = []
    for of_picture in () if published else pictures.values():
        try:
            single = bd_rate(curve_of(of_picture, anchor, metric), curve_of(of_picture, codec, metric), low, high)
        except InputError:
            continue  # counted by its absence: `pictures` of `pictures_of`
        if single.coverage >= _MIN_COVERAGE:
            singles.append(single.percent)
    if not singles:
        why = "published means only" if published else "no picture has both curves over half of the range"
        notes.append(why)
    return RateComparison(
        codec=codec,
        anchor=anchor,
        metric=metric,
        low=low,
        high=high,
        low_used=low_used,
        high_used=high_used,
        bd_rate=overall,
        bd_rate_pictures=mean(singles),
        pictures=len(singles),
        pictures_of=len(pictures),
        note="; ".join(notes),
    )
