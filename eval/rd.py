"""Rate and distortion of real files: every picture, through every codec, at every setting.

    directory of pictures -> encode -> bytes -> decode -> bpp, PSNR, MS-SSIM, seconds
                          -> rd-items.tsv (every file), rd.tsv (means), bd.tsv (BD-rates), rd.png

Conventions, so that figures can be compared:
- bpp = 8 * bytes of the whole file / pixels. Nothing is subtracted, nothing estimated.
- PSNR over all RGB samples; MS-SSIM as in `metrics`; its dB in rd.tsv are those of the mean MS-SSIM.
- A picture that comes back exactly has infinite PSNR: in means, curves and BD-rates it counts as 60 dB, as all above
  does. The PSNR of the mean squared error stands beside the mean of PSNR.
- SSIMULACRA2 is measured where its package is installed, butteraugli and ColorVideoVDP where they are asked for, as in
  `metrics`; their BD-rates are over scores of 50 to 90, 3-norms of 3 to 1, which stand with a minus, and 9 to 9.9 JOD:
  more is better everywhere.
- Means are plain means over pictures, at a fixed setting: of bpp, of PSNR in dB, of MS-SSIM, of SSIMULACRA2.
- BD-rate stands for two figures, both given: that of the mean curves, and the mean of the BD-rates of single pictures
  (only pictures whose curves cover at least half of the range asked for; how many is stated). Against published curves
  (see `published_curves`) there is only the first.
- Seconds are wall-clock for one call each, without reading the picture, after one call that is not timed.

Every picture counts for all codecs or for none: a picture that cannot be read, that has an alpha channel or 16 bits, or
that some codec fails on, is left out and named in `RDResult.skipped` and at the head of the tables; so is a codec that
fails on all of them. Pictures smaller than 161 pixels have no MS-SSIM and are left out of its means and curves only.
Files are written at the end, each whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..codec.workers.choice import pool_for
from ..codec.workers.pool import Work, WorkerLost, done
from ..errors import InputError
from .codecs.codec import Codec, estimate_of
from .codecs.peers import codec_by_name
from .figures.published_curves import read_curves
from .figures.rates import RANGES, RateComparison, compare, grouped, row_of_file, row_of_means
from .measure.coding import Metric
from .measure.metrics import metrics_by_name, slow_metrics
from .measure.runner import (
    Contestant,
    Failure,
    Progress,
    Run,
    contestants,
    first_of,
    items_of,
    measured,
    provenance,
    references,
)
from .measure.tsv import rounded, writable, write_tsv
from .measure.workers import share_threads
from .quality._extras import extra
from .quality.metrics import MOST_DB
from .report.panels import LABELS, plot_rates
from .tasks.sources import Photographs
from .tasks.task import ItemRow

__all__ = ["OUTPUTS", "RDResult", "run_rd"]

OUTPUTS = ("rd-items.tsv", "rd.tsv", "bd.tsv", "rd.png")
_NEEDED = (("pytorch_msssim", "pytorch-msssim"), ("scipy.interpolate", "scipy"), ("matplotlib.figure", "matplotlib"))
"""Looked for at the start: a long run must not find out at its end that it cannot draw its plot."""


@dataclass(frozen=True)
class RDResult:
    """Everything measured. points: the rows of rd.tsv; skipped: (picture or codec, why) of what was left out."""

    items: tuple[ItemRow, ...]
    points: tuple[dict[str, Any], ...]
    comparisons: tuple[RateComparison, ...]
    skipped: tuple[tuple[str, str], ...]

    def summary_table(self) -> list[dict[str, Any]]:
        """The means, a row for each codec and setting, rounded for printing."""
        return [rounded(point, 2, bpp=4, ms_ssim=4, encode_s=3, decode_s=3) for point in self.points]

    def bd_table(self) -> list[dict[str, Any]]:
        """The BD-rates, a row for each codec but the anchor and each metric, rounded for printing."""
        return [rounded(asdict(row), 2, bd_rate=1, bd_rate_pictures=1) for row in self.comparisons]


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
    more: Sequence[str] | None = None,
    settings: Mapping[str, Sequence[float]] | None = None,
    workers: int = 1,
    ray: str | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> RDResult:
    """Measure codecs on the pictures of a directory (not of its subdirectories) and write the four files of `OUTPUTS`.

    codecs: specs as in `peers`, or objects with the `Codec` interface; anchors: the codecs that BD-rates refer to, by
    default jpeg if it takes part, else the first, and all published curves; curves: a table of those, for the same
    pictures; low, high: range of PSNR in dB for BD-rates; limit: only the first files by name; more: metrics besides
    PSNR and MS-SSIM, of `measure.metrics`, by default SSIMULACRA2 where its package is installed; settings: of a codec,
    by its spec, instead of its own ladder; workers: processes, each of which takes a picture at a time (codecs are then
    specs, and seconds are those of processors that are all busy), 1 for none besides this one; ray: the address of a
    cluster instead, with so many workers, or all that it has for 0. progress(done, total) is called after every file
    written, and what is left out counts as done; say: takes a sentence when a worker is lost. Older results in `out`
    are replaced.

    Raises `InputError` when there is no picture left to measure, for options that make no sense and for missing
    packages; other `CodecError`s for models that cannot be loaded; `OSError` when `out` cannot be written. All of these
    except the first come before any work is done.
    """
    if not low < high:
        raise InputError(f"a range of quality needs low < high, found {low:g}..{high:g}")
    directory, out = Path(directory), Path(out)
    items = items_of(_source(directory), limit)
    if out.resolve() == directory.resolve():
        raise InputError(f"{out}: the results would lie among the pictures; choose another directory")
    for module, package in _NEEDED:
        extra(module, package)
    more = slow_metrics() if more is None else more
    metrics = _metrics(more)
    named = contestants(codecs, codec_by_name, settings)
    published = {} if curves is None else read_curves(curves)
    if clash := sorted(published.keys() & named.keys()):
        raise InputError(f"{curves}: {clash[0]} is also the name of a codec that is measured")
    against = references(named, list(published), anchors)
    writable(out, OUTPUTS)

    if ray is None and min(workers, len(items)) <= 1:
        run = measured(items, named.values(), metrics, warm_up=_warm_up, progress=progress)
    else:
        if not all(isinstance(codec, str) for codec in codecs):
            raise InputError("codecs that are objects cannot be sent to other processes: use one")
        given = _Given(directory, tuple(map(str, codecs)), dict(settings or {}), tuple(more))
        files = sum(len(contestant.ladder) for contestant in named.values())
        run = _shared(given, list(items), files, workers, ray, progress, say)
    rows, skipped = run.agreed()
    if not rows:
        raise InputError(f"{directory}: no picture could be measured ({first_of(skipped)})")
    asked = [name for name in metrics if name not in ("psnr", "ms_ssim", "estimate")]
    ranges = {"psnr": (float(low), float(high)), **RANGES}
    over = ["psnr", "ms_ssim_db", *(name for name in asked if name in LABELS)]
    comparisons = [
        compare(rows, name, reference, metric, *ranges[metric], published=published.get(reference))
        for reference, name, metric in product(against, named, over)
        if name != reference and metric in published.get(reference, over)
    ]
    points = [row_of_means(own, asked) for own in grouped(rows).values()]
    title = f"{directory.resolve().name}: {len({row.item for row in rows})} pictures"
    comments = [
        f"{title}; rates are those of whole files",
        f"psnr: mean of pictures, each counted as {MOST_DB['psnr']:g} dB at most; psnr_of_mse: of the mean "
        "squared error; exact: pictures that come back exactly",
        *(metrics[name].identity for name in asked),
        *([f"{', '.join(published)}: published curves"] if published else []),
        *provenance(named, skipped),
    ]
    write_tsv(out / OUTPUTS[0], comments, [row_of_file(row, asked) for row in rows])
    write_tsv(out / OUTPUTS[1], comments, points)
    write_tsv(out / OUTPUTS[2], comments, [asdict(row) for row in comparisons], RateComparison.__annotations__)
    plot_rates(out / OUTPUTS[3], title, rows, named, {metric: ranges[metric] for metric in over}, published)
    return RDResult(tuple(rows), tuple(points), tuple(comparisons), tuple(skipped))


@dataclass(frozen=True)
class _Given:
    """What a worker needs to know of a run: arguments of `run_rd`. workers: on its machine, if that is known."""

    directory: Path
    codecs: tuple[str, ...]
    settings: dict[str, Sequence[float]]
    more: tuple[str, ...]
    workers: int | None = None


def _shared(
    given: _Given,
    items: list[str],
    files: int,
    workers: int,
    ray: str | None,
    progress: Progress | None,
    say: Callable[[str], None],
) -> Run:
    """What `measured` finds, an item in each piece of work. files: of an item."""
    pool = pool_for(workers, len(items), processes=True, ray=ray)
    given = given if ray else replace(given, workers=pool.workers)
    found: dict[str, Run] = {}
    for name, run in done(items, Work(_item, given, _begin), pool, say=say):
        if isinstance(run, WorkerLost):
            run = Run(failures=[Failure(name, "", str(run))])
        found[name] = run
        if progress:
            progress(files * len(found), files * len(items))
    runs = [found[name] for name in items]
    rows = [row for run in runs for row in run.rows]
    return Run(rows, [failure for run in runs for failure in run.failures], sum(run.items for run in runs))


def _begin(given: _Given) -> tuple[dict[str, Callable[[], Any]], list[Contestant], dict[str, Metric]]:
    share_threads(given.workers)
    named = contestants(given.codecs, codec_by_name, given.settings)
    return items_of(_source(given.directory)), list(named.values()), _metrics(given.more)


def _item(state: tuple[dict[str, Callable[[], Any]], list[Contestant], dict[str, Metric]], name: str) -> Run:
    items, codecs, metrics = state
    return measured({name: items[name]}, codecs, metrics, warm_up=_warm_up)


def _source(directory: Path) -> Photographs:
    return Photographs(directory, short_side=None, labels="none")


def _metrics(more: Sequence[str]) -> dict[str, Metric]:
    estimate = Metric("estimate", lambda c: estimate_of(c.codec, c.original.samples, c.setting))
    return {**metrics_by_name("image", ("psnr", "ms_ssim", *more)), "estimate": estimate}


def _warm_up(rgb: np.ndarray) -> np.ndarray:
    """What is coded before the clock runs."""
    return np.ascontiguousarray(rgb[:64, :64])
