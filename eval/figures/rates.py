"""From single files to figures: means over pictures, mean curves, comparisons with an anchor.

    items (one file each) -> points (means at a setting) -> curves -> comparisons (BD-rates)

Guarantees: rates and qualities of a curve are means over the same pictures. A figure that cannot be computed is `nan`
with a note that says why; nothing is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...errors import InputError
from ..quality import metrics
from .bd import Curve, bd_rate

__all__ = ["RANGES", "RateComparison", "CodedPicture", "MeanPoint", "compare", "curve_of", "points_of"]

# MS-SSIM in dB, 0.9 to 0.99, which on Kodak is where JPEG has about 27 to 36 dB of PSNR; SSIMULACRA2 from medium
# quality (50) to such as cannot be told from the original by flipping between the two (90).
RANGES = {"ms_ssim_db": (10.0, 20.0), "ssimulacra2": (50.0, 90.0)}
"""The ends between which BD-rates are taken, by metric; those of PSNR are the user's."""

# Below this a picture's BD-rate speaks of a corner of the range, and would weigh as much as a whole one in the mean.
_MIN_COVERAGE = 0.5


@dataclass(frozen=True)
class CodedPicture:
    """One picture through one codec at one setting. ms_ssim is 0..1, or `nan` for pictures below 161 pixels.

    estimate: bytes that the entropy model expects, container excluded; `nan` for codecs without one. ssimulacra2:
    `nan` where it was not asked for, and for pictures below 8 pixels.
    """

    item: str
    codec: str
    setting: float
    bytes: int
    width: int
    height: int
    bpp: float
    psnr: float
    ms_ssim: float
    encode_s: float
    decode_s: float
    estimate: float = math.nan
    ssimulacra2: float = math.nan


@dataclass(frozen=True)
class MeanPoint:
    """Means over all pictures of one codec at one setting; ms_ssim and ssimulacra2 over those that have it, ms_ssim_db
    of that mean. In the mean psnr a picture counts as 60 dB at most, and so does ms_ssim_db (see `metrics.MOST_DB`);
    psnr_of_mse is that of the mean squared error, `inf` if all pictures come back exactly; exact: how many do.
    """

    codec: str
    setting: float
    pictures: int
    bpp: float
    psnr: float
    ms_ssim: float
    ms_ssim_db: float
    encode_s: float
    decode_s: float
    ssimulacra2: float = math.nan
    psnr_of_mse: float = math.nan
    exact: int = 0


@dataclass(frozen=True)
class RateComparison:
    """One codec against the anchor in one metric.

    low, high: the range of quality asked for, dB or scores; low_used, high_used: the part of it that both mean curves
    cover; bd_rate: percent, of the mean curves; bd_rate_pictures: percent, mean over pictures; pictures: how many of
    pictures_of those are; note: why a figure is `nan`, else empty.
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


def points_of(items: Iterable[CodedPicture]) -> list[MeanPoint]:
    """The means of each codec and setting, in the order in which those first appear."""
    groups: dict[tuple[str, float], list[CodedPicture]] = {}
    for item in items:
        groups.setdefault((item.codec, item.setting), []).append(item)
    return [_mean(group) for group in groups.values()]


def _mean(group: list[CodedPicture]) -> MeanPoint:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values) if values else math.nan

    similarity = mean(_known(item.ms_ssim for item in group))
    return MeanPoint(
        codec=group[0].codec,
        setting=group[0].setting,
        pictures=len(group),
        bpp=mean([item.bpp for item in group]),
        psnr=mean([metrics.capped("psnr", item.psnr) for item in group]),
        ms_ssim=similarity,
        ms_ssim_db=metrics.capped("ms_ssim_db", metrics.ms_ssim_db(similarity)),
        encode_s=mean([item.encode_s for item in group]),
        decode_s=mean([item.decode_s for item in group]),
        ssimulacra2=mean(_known(item.ssimulacra2 for item in group)),
        psnr_of_mse=_decibels(mean([10 ** (-item.psnr / 10) for item in group])),
        exact=sum(item.psnr == math.inf for item in group),
    )


def _decibels(error: float) -> float:
    """error: mean squared, of samples in 0..1."""
    return -10 * math.log10(error) if error else math.inf


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def curve_of(items: Iterable[CodedPicture], codec: str, metric: str) -> Curve:
    """The mean curve of a codec (of one picture, if the items are those of one); metric: `psnr`, `ms_ssim_db` or
    `ssimulacra2`.
    """
    # Rates and qualities must be means over the same pictures: those without a metric give no rate to its curve either.
    name = metric.removesuffix("_db")
    counted = [item for item in items if item.codec == codec and not math.isnan(getattr(item, name))]
    return Curve.of([(point.bpp, getattr(point, metric)) for point in points_of(counted)])


def compare(
    items: Iterable[CodedPicture],
    codec: str,
    anchor: str,
    metric: str,
    low: float,
    high: float,
    published: Mapping[str, Curve] | None = None,
) -> RateComparison:
    """BD-rates of `codec` against `anchor` in a metric (as for `curve_of`) over low..high. Raises nothing.

    published: the anchor's mean curves by metric, when it has no items.
    """
    items = list(items)
    notes = []
    try:
        reference = published[metric] if published else curve_of(items, anchor, metric)
        mean = bd_rate(reference, curve_of(items, codec, metric), low, high)
        overall, low_used, high_used = mean.percent, mean.low_used, mean.high_used
    except InputError as error:
        overall = low_used = high_used = math.nan
        notes.append(str(error))

    pictures: dict[str, list[CodedPicture]] = {}
    for item in items:
        pictures.setdefault(item.item, []).append(item)
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
        bd_rate_pictures=sum(singles) / len(singles) if singles else math.nan,
        pictures=len(singles),
        pictures_of=len(pictures),
        note="; ".join(notes),
    )
