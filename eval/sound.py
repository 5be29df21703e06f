"""Rate and distortion of sounds: every sound of a folder, through every codec, at every setting.

    folder of sounds -> one channel at one rate -> encode -> bytes -> decode -> kbps, SNR, SI-SDR, distances of spectra
                     -> sound-items.tsv (every file), sound.tsv (means)

Conventions: kbps = 8 * bytes of the whole file / milliseconds. Means are plain means over sounds at a fixed setting,
with the standard error of each beside it; SNR and SI-SDR count as 108 dB at most. All codecs get the same samples. A
sound that cannot be read, or that some codec fails on, is left out for all codecs, and named; so is a codec that fails
on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .codecs.sound import sound_codec_by_name
from .figures.rates import grouped
from .measure.metrics import metrics_by_name
from .measure.runner import Progress, contestants, first_of, items_of, measured, provenance
from .measure.tsv import writable, write_tsv
from .quality.metrics import capped
from .tasks.sounds import Sounds
from .tasks.task import ItemRow

__all__ = ["OUTPUTS", "SoundResult", "run_sound"]

OUTPUTS = ("sound-items.tsv", "sound.tsv")
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
    skipped: tuple[tuple[str, str], ...]

    def table(self) -> list[dict[str, Any]]:
        """The means, for printing."""
        return [{k: v for k, v in row.items() if not k.endswith("_se")} for row in self.means]


def run_sound(
    folder: Path | str,
    codecs: Sequence[str],
    out: Path | str,
    *,
    rate: int = 16000,
    settings: Mapping[str, Sequence[float]] | None = None,
    more: Sequence[str] = (),
    limit: int | None = None,
    progress: Progress | None = None,
) -> SoundResult:
    """Measure codecs on the sounds of a folder and write the files of `OUTPUTS`.

    codecs: specs as in `codecs.sound`; rate: Hz that all sounds are brought to; settings: of a codec, by its spec,
    instead of its own ladder; more: metrics besides MEASURES, of `measure.metrics`; limit: only the first sounds by
    name; progress(done, total).

    Raises InputError when there is nothing to measure, for unknown codecs and metrics, and for missing packages; other
    CodecErrors for models that cannot be loaded; OSError when `out` cannot be written.
    """
    metrics = metrics_by_name("audio", (*MEASURES, *more), rate=rate)
    named = contestants(codecs, lambda spec: sound_codec_by_name(spec, rate), settings)
    sounds = items_of(Sounds(Path(folder), sample_rate=rate))
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
    comments = [
        f"{len({row.item for row in rows})} sounds of one channel at {rate} Hz; rates are those of whole files",
        *provenance(named, skipped),
    ]
    write_tsv(out / OUTPUTS[0], comments, items)
    write_tsv(out / OUTPUTS[1], comments, means)
    return SoundResult(tuple(items), tuple(means), tuple(skipped))


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
