"""Rate and distortion of real files: every picture, through every codec, at every setting.

    directory of pictures -> encode -> bytes -> decode -> bpp, PSNR, MS-SSIM, seconds
                          -> rd-items.tsv (every file), rd.tsv (means), bd.tsv (BD-rates), rd.png

Conventions, so that figures can be compared:
- bpp = 8 * bytes of the whole file / pixels. Nothing is subtracted, nothing estimated.
- PSNR over all RGB samples; MS-SSIM as in `metrics`; its dB in rd.tsv are those of the mean MS-SSIM.
- A picture that comes back exactly has infinite PSNR: in means, curves and BD-rates it counts as 60 dB, as all above
  does. The PSNR of the mean squared error stands beside the mean of PSNR.
- SSIMULACRA2 is measured where it is asked for, as in `metrics`; its BD-rates are over scores of 50 to 90.
- Means are plain means over pictures, at a fixed setting: of bpp, of PSNR in dB, of MS-SSIM, of SSIMULACRA2.
- BD-rate stands for two figures, both given: that of the mean curves, and the mean of the BD-rates of single pictures
  (only pictures whose curves cover at least half of the range asked for; how many is stated). Against published curves
  (see `curves`) there is only the first.
- Seconds are wall-clock for one call each, without reading the picture, after one call that is not timed.

Every picture counts for all codecs or for none: a picture that cannot be read, that has an alpha channel or 16 bits, or
that some codec fails on, is left out and named in `RDResult.skipped` and at the head of the tables. Pictures smaller
than 161 pixels have no MS-SSIM and are left out of its means and curves only. Files are written at the end, each whole
or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..bitstream import check_writable
from ..errors import CodecError, InputError
from .codecs.codec import Codec, unique_name
from .codecs.peers import codec_by_name
from .figures.published_curves import Curves, read_curves
from .figures.rates import RANGES, CodedPicture, MeanPoint, RateComparison, compare, curve_of, points_of
from .measure.coding import coded
from .measure.tsv import environment, write_tsv
from .quality import metrics
from .quality._extras import extra
from .report.panels import Panel, plot_curves
from .tasks.pictures import picture_paths, read_rgb

__all__ = ["LABELS", "OUTPUTS", "RDResult", "run_rd"]

OUTPUTS = ("rd-items.tsv", "rd.tsv", "bd.tsv", "rd.png")

LABELS = {"psnr": "PSNR (dB, RGB)", "ms_ssim_db": "MS-SSIM (dB)", "ssimulacra2": "SSIMULACRA2"}
"""Labels of the axes, by metric."""

# Looked for at the start: a long run must not find out at its end that it cannot draw its plot.
_NEEDED = (
    ("pytorch_msssim", "pytorch-msssim"),
    ("scipy.interpolate", "scipy"),
    ("matplotlib.figure", "matplotlib"),
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RDResult:
    """Everything measured. skipped: (file name, why) of each picture that was left out; metrics: those of curves and
    comparisons.
    """

    items: tuple[CodedPicture, ...]
    points: tuple[MeanPoint, ...]
    comparisons: tuple[RateComparison, ...]
    skipped: tuple[tuple[str, str], ...]
    comments: tuple[str, ...]
    metrics: tuple[str, ...] = ("psnr", "ms_ssim_db")

    def summary_table(self) -> list[dict[str, Any]]:
        """The means, a row for each codec and setting, rounded for printing."""
        digits = {"setting": 2, "bpp": 4, "psnr": 2, "ms_ssim": 4, "ms_ssim_db": 2, "encode_s": 3, "decode_s": 3}
        digits |= {"psnr_of_mse": 2}
        columns = self.columns(MeanPoint)
        rows = [_rounded(point, digits | {"ssimulacra2": 2}) for point in self.points]
        return [{name: row[name] for name in columns} for row in rows]

    def bd_table(self) -> list[dict[str, Any]]:
        """The BD-rates, a row for each codec but the anchor and each metric, rounded for printing."""
        digits = {"low_used": 2, "high_used": 2, "bd_rate": 1, "bd_rate_pictures": 1}
        return [_rounded(comparison, digits) for comparison in self.comparisons]

    def columns(self, kind: type[CodedPicture | MeanPoint | RateComparison]) -> list[str]:
        """The names of a table's columns: all of its rows' parts but metrics that were not asked for."""
        names = [column.name for column in fields(kind)]
        return [name for name in names if name not in metrics.SLOW_METRICS or name in self.metrics]


def run_rd(
    directory: Path,
    codecs: Sequence[str | Codec],
    out: Path,
    *,
    anchors: Sequence[str] = (),
    curves: Path | None = None,
    low: float = 26,
    high: float = 36,
    limit: int | None = None,
    more: Sequence[str] = (),
    progress: Progress | None = None,
) -> RDResult:
    """Measure codecs on the pictures of a directory (not of its subdirectories) and write the four files of `OUTPUTS`.

    codecs: specs as in `peers`, or objects with the `Codec` interface; anchors: the codecs that BD-rates refer to, by
    default jpeg if it takes part, else the first, and all published curves; curves: a table of those, for the same
    pictures; low, high: range of PSNR in dB for BD-rates; limit: only the first files by name; more: metrics besides
    PSNR and MS-SSIM, of `metrics.SLOW_METRICS`; progress(done, total) is called after every file written, and a
    skipped picture counts as done. Older results in `out` are replaced.

    Raises `InputError` when there is no picture left to measure, for options that make no sense and for missing
    packages; other `CodecError`s for models that cannot be loaded; `OSError` when `out` cannot be written. All of these
    except the first come before any work is done.
    """
    if not low < high:
        raise InputError(f"a range of quality needs low < high, found {low:g}..{high:g}")
    directory, out = Path(directory), Path(out)
    paths = picture_paths(directory, limit)
    if out.resolve() == directory.resolve():
        raise InputError(f"{out}: the results would lie among the pictures; choose another directory")
    if unknown := [name for name in more if name not in metrics.SLOW_METRICS]:
        raise InputError(
            f"unknown metric {unknown[0]!r}; beside PSNR and MS-SSIM there is {', '.join(metrics.SLOW_METRICS)}"
        )
    for module, package in (*_NEEDED, *((name, name) for name in more)):
        extra(module, package)
    contestants = _contestants(codecs)
    published = {} if curves is None else read_curves(curves)
    if clash := sorted(published.keys() & contestants.keys()):
        raise InputError(f"{curves}: {clash[0]} is also the name of a codec that is measured")
    references = _anchors(contestants, codecs, published, anchors)
    out.mkdir(parents=True, exist_ok=True)
    for name in OUTPUTS:
        check_writable(out / name, overwrite=True)

    items, skipped = _measure(paths, contestants, more, progress or (lambda done, total: None))
    if not items:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise InputError(f"{directory}: no picture could be measured ({reasons})")
    points = tuple(points_of(items))
    named = ("psnr", "ms_ssim_db", *dict.fromkeys(more))
    ranges = {"psnr": (float(low), float(high)), **RANGES}
    comparisons = []
    for reference, name in product(references, contestants):
        known = published.get(reference)
        for metric in named:
            if name != reference and (known is None or metric in known):
                comparisons.append(compare(items, name, reference, metric, *ranges[metric], published=known))
    title = f"{directory.resolve().name}: {len({item.item for item in items})} pictures"
    comments = [
        f"{title}; rates are those of whole files",
        f"psnr: mean of pictures, each counted as {metrics.MOST_DB['psnr']:g} dB at most; psnr_of_mse: of the mean "
        "squared error; exact: pictures that come back exactly",
        *environment(),
        *(f"{name}: {codec.description}" for name, codec in contestants.items()),
        *([f"{', '.join(published)}: published curves"] if published else []),
        *(f"skipped {name}: {reason}" for name, reason in skipped),
    ]
    result = RDResult(tuple(items), points, tuple(comparisons), tuple(skipped), tuple(comments), named)
    _write(result, out, title, list(contestants), published, ranges)
    return result


def _contestants(codecs: Sequence[str | Codec]) -> dict[str, Codec]:
    """The codecs by name, in order. Two model files of the same name become `lecodec@x` and `lecodec@x#2`."""
    if not codecs:
        raise InputError("no codec to measure")
    named: dict[str, Codec] = {}
    for spec in dict.fromkeys(codecs):
        codec = codec_by_name(spec) if isinstance(spec, str) else spec
        named[unique_name(codec.name, named)] = codec
    return named


def _anchors(
    contestants: dict[str, Codec], codecs: Sequence[str | Codec], published: Curves, anchors: Sequence[str]
) -> list[str]:
    if not anchors:
        return ["jpeg" if "jpeg" in contestants else next(iter(contestants)), *published]
    by_spec = dict(zip(dict.fromkeys(codecs), contestants, strict=True))
    names = [by_spec.get(anchor, anchor) for anchor in dict.fromkeys(anchors)]
    for name in names:
        if name not in contestants and name not in published:
            raise InputError(f"the anchor {name!r} is not among the codecs: {', '.join([*contestants, *published])}")
    return names


def _measure(
    paths: list[Path], contestants: dict[str, Codec], more: Sequence[str], progress: Progress
) -> tuple[list[CodedPicture], list[tuple[str, str]]]:
    """All items of all pictures that every codec managed, and the others with the reason."""
    items: list[CodedPicture] = []
    skipped: list[tuple[str, str]] = []
    warm: set[str] = set()
    per_picture = sum(len(codec.ladder) for codec in contestants.values())
    for index, path in enumerate(paths):
        done, total = index * per_picture, len(paths) * per_picture
        measured: list[CodedPicture] = []
        try:
            rgb = read_rgb(path)
            for name, codec in contestants.items():
                if name not in warm:  # lazy imports, self-checks and buffers belong to no picture
                    codec.decode(codec.encode(np.ascontiguousarray(rgb[:64, :64]), codec.ladder[0]))
                    warm.add(name)
                for setting in codec.ladder:
                    measured.append(_measure_one(path.name, rgb, name, codec, setting, more))
                    progress(done + len(measured), total)
        except CodecError as error:
            skipped.append((path.name, str(error)))
            progress(done + per_picture, total)
        else:
            items.extend(measured)
    return items, skipped


def _measure_one(
    item: str, rgb: np.ndarray, name: str, codec: Codec, setting: float, more: Sequence[str]
) -> CodedPicture:
    coding = coded(name, rgb, lambda: codec.encode(rgb, setting), codec.decode)
    height, width = rgb.shape[:2]
    return CodedPicture(
        item=item,
        codec=name,
        setting=float(setting),
        bytes=len(coding.data),
        width=width,
        height=height,
        bpp=8 * len(coding.data) / (width * height),
        psnr=metrics.psnr(rgb, coding.decoded),
        ms_ssim=metrics.ms_ssim(rgb, coding.decoded),
        encode_s=coding.encode_s,
        decode_s=coding.decode_s,
        estimate=codec.estimate(rgb, setting),
        **{name: metrics.SLOW_METRICS[name](rgb, coding.decoded) for name in more},
    )


def _write(
    result: RDResult,
    out: Path,
    title: str,
    codecs: list[str],
    published: Curves,
    ranges: Mapping[str, tuple[float, float]],
) -> None:
    for name, rows, kind in (
        (OUTPUTS[0], result.items, CodedPicture),
        (OUTPUTS[1], result.points, MeanPoint),
        (OUTPUTS[2], result.comparisons, RateComparison),
    ):
        write_tsv(out / name, result.comments, [asdict(row) for row in rows], result.columns(kind))
    panels = [
        Panel(
            LABELS[metric],
            {name: curve_of(result.items, name, metric) for name in codecs},
            *ranges[metric],
            published={name: known[metric] for name, known in published.items() if metric in known},
        )
        for metric in result.metrics
    ]
    plot_curves(out / OUTPUTS[3], title, panels)


def _rounded(row: MeanPoint | RateComparison, digits: dict[str, int]) -> dict[str, Any]:
    """A row as a dictionary, with the digits that the figures deserve."""
    return {key: round(value, digits[key]) if key in digits else value for key, value in asdict(row).items()}
