"""Rate and distortion of sounds: every sound of a folder, through every codec, at every setting.

    folder of sounds -> one or two channels at one rate -> encode -> bytes -> decode -> kbps, SNR, distances of spectra
                     -> sound-items.tsv (every file), sound.tsv (means), sound-bd.tsv (BD-rates), sound.png

Conventions: kbps = 8 * bytes of the whole file / milliseconds. Means are plain means over sounds at a fixed setting,
with the standard error of each beside it; SNR and SI-SDR count as 108 dB at most. BD-rates are as those of pictures (in
`rd`), over the ranges of `figures.rates`, distances with a minus. All codecs get the same samples. A sound that cannot
be read, or that some codec fails on, is left out for all codecs, and named; so is a codec that fails on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .codecs.sound import sound_codec_by_name
from .figures.rates import RANGES, RateComparison, compare, grouped
from .measure.metrics import metrics_by_name
from .measure.runner import Progress, contestants, first_of, items_of, measured, provenance, references
from .measure.tsv import rounded, writable, write_tsv
from .quality._extras import extra
from .quality.metrics import capped
from .report.cells import KBITS_A_SECOND
from .report.panels import LABELS, plot_rates
from .tasks.sounds import Sounds
from .tasks.task import ItemRow

__all__ = ["OUTPUTS", "SoundResult", "run_sound"]

OUTPUTS = ("sound-items.tsv", "sound.tsv", "sound-bd.tsv", "sound.png")
BESIDE = (".csv", ".md", ".tsv", ".txt")
"""Suffixes of what stands beside sounds in a folder."""
MEASURES = ("snr", "si_sdr", "log_stft", "log_mel")


@dataclass(frozen=True)
class SoundResult:
    """items: a row for each sound, codec and setting; means: for each codec and setting, with `NAME_se`, the standard
    error; skipped: (sound or codec, why) of what was left out.
    """

    items: tuple[dict[str, Any], ...]
    means: tuple[dict[str, Any], ...]
    comparisons: tuple[RateComparison, ...]
    skipped: tuple[tuple[str, str], ...]

    def table(self) -> list[dict[str, Any]]:
        """The means, for printing."""
        return [{k: v for k, v in row.items() if not k.endswith("_se")} for row in self.means]

    def bd_table(self) -> list[dict[str, Any]]:
        """The BD-rates, for printing."""
        return [rounded(asdict(row), 2, bd_rate=1, bd_rate_pictures=1) for row in self.comparisons]


def run_sound(
    folder: Path | str,
    codecs: Sequence[str],
    out: Path | str,
    *,
    rate: int = 16000,
    channels: int = 1,
    settings: Mapping[str, Sequence[float]] | None = None,
    more: Sequence[str] = (),
    anchors: Sequence[str] = (),
    limit: int | None = None,
    progress: Progress | None = None,
) -> SoundResult:
    """Measure codecs on the sounds of a folder and write the files of `OUTPUTS`.

    codecs: specs as in `codecs.sound`; rate: Hz that all sounds are brought to; channels: likewise, 1 or 2; settings:
    of a codec, by its spec, instead of its own ladder; more: metrics besides MEASURES, of `measure.metrics`; anchors:
    codecs that BD-rates refer to, by default opus if it takes part, else the first; limit: only the first sounds by
    name; progress(done, total).

    Raises InputError when there is nothing to measure, for unknown codecs and metrics, and for missing packages; other
    CodecErrors for models that cannot be loaded; OSError when `out` cannot be written.
    """
    if channels != 1 and (alone := [name for name in more if not name.startswith("log_")]):
        raise InputError(f"{alone[0]} is measured on sounds of one channel")
    metrics = metrics_by_name("audio", (*MEASURES, *more), rate=rate)
    extra("scipy.interpolate", "scipy")
    extra("matplotlib.figure", "matplotlib")
    named = contestants(codecs, lambda spec: sound_codec_by_name(spec, rate), settings)
    against = references(named, (), anchors or [name for name in ("opus",) if name in named])
    sounds = items_of(Sounds(Path(folder), sample_rate=rate, channels=channels))
    names = [name for name in sounds if Path(name).suffix.lower() not in BESIDE][:limit]
    out = Path(out)
    writable(out, OUTPUTS)
    run = measured(
        {name: sounds[name] for name in names},
        named.values(),
        metrics,
        units=lambda sound: len(sound) / rate,
        progress=progress,
    )
    rows, skipped = run.agreed()
    if not rows:
        raise InputError(f"{folder}: no sound could be measured" + (f" ({first_of(skipped)})" if skipped else ""))
    items = [_item(row) for row in rows]
    means = [_means(own, ["kbps", *metrics]) for own in grouped(rows).values()]
    over = [name for name in metrics if name in LABELS]
    comparisons = [
        compare(rows, name, anchor, metric, *RANGES[metric])
        for anchor, name, metric in product(against, named, over)
        if name != anchor and metric in RANGES
    ]
    comments = [
        f"{len({row.item for row in rows})} sounds of {'two channels' if channels == 2 else 'one channel'} "
        f"at {rate} Hz; rates are those of whole files",
        *(metrics[name].identity for name in more),
        *provenance(named, skipped),
    ]
    write_tsv(out / OUTPUTS[0], comments, items)
    write_tsv(out / OUTPUTS[1], comments, means)
    write_tsv(out / OUTPUTS[2], comments, [asdict(row) for row in comparisons], RateComparison.__annotations__)
    title = f"{Path(folder).resolve().name}: {len({row.item for row in rows})} sounds"
    shown = {metric: RANGES.get(metric) for metric in over}
    plot_rates(out / OUTPUTS[3], title, rows, named, shown, {}, KBITS_A_SECOND)
    return SoundResult(tuple(items), tuple(means), tuple(comparisons), tuple(skipped))


def _item(row: ItemRow) -> dict[str, Any]:
    """A row of sound-items.tsv."""
    facts = {"sound": row.item, "codec": row.codec, "setting": row.setting, "bytes": row.bytes, "seconds": row.units}
    return {**facts, "kbps": row.rate / 1e3, **row.metrics, "encode_s": row.encode_s, "decode_s": row.decode_s}


def _means(rows: Sequence[ItemRow], measures: Sequence[str]) -> dict[str, Any]:
    """A row of sound.tsv: means over the sounds of one codec at one setting, each with its standard error."""
    found: dict[str, Any] = {"codec": rows[0].codec, "setting": rows[0].setting, "sounds": len(rows)}
    for measure in measures:
        values = np.array([capped(measure, {"kbps": row.rate / 1e3, **row.metrics}[measure]) for row in rows])
        values = values[~np.isnan(values)]
        found[measure] = float(values.mean()) if len(values) else math.nan
        found[f"{measure}_se"] = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return found
