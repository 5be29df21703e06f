"""Rate and distortion of sounds: every sound of a folder, through every codec, at every setting.

    folder of sounds -> one channel at one rate -> encode -> bytes -> decode -> kbps, SNR, SI-SDR, distances of spectra
                     -> sound-items.tsv (every file), sound.tsv (means)

Conventions: kbps = 8 * bytes of the whole file / milliseconds. Means are plain means over sounds at a fixed setting,
with the standard error of each beside it. All codecs get the same samples. PESQ (wide band at 16 kHz, narrow band at 8
kHz) and STOI are measured where they are asked for, by the packages pesq and pystoi. A sound that cannot be read, or
that some codec fails on, is left out for all codecs, and named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bitstream import check_writable
from ..errors import CodecError, InputError
from .codecs.codec import unique_name
from .codecs.sound import SoundCodec, sound_codec_by_name
from .measure.coding import coded
from .measure.tsv import environment, write_tsv
from .quality._extras import extra
from .quality.metrics import si_sdr, snr_db
from .quality.spectra import log_spectral
from .tasks.sounds import Sounds

__all__ = ["OUTPUTS", "SoundResult", "run_sound"]

OUTPUTS = ("sound-items.tsv", "sound.tsv")
MORE = ("pesq", "stoi")
BESIDE = (".csv", ".md", ".tsv", ".txt")
"""Suffixes of what stands beside sounds in a folder."""
MEASURES = ("kbps", "snr", "si_sdr", "log_stft", "log_mel")


@dataclass(frozen=True)
class SoundResult:
    """items: a row for each sound, codec and setting; means: for each codec and setting, with `NAME_se`, the standard
    error; skipped: (name, why) of the sounds that were left out.
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
    progress: Callable[[int, int], None] | None = None,
) -> SoundResult:
    """Measure codecs on the sounds of a folder and write the files of `OUTPUTS`.

    codecs: specs as in `codecs.sound`; rate: Hz that all sounds are brought to; settings: of a codec, by its spec,
    instead of its own ladder; more: of `MORE`; limit: only the first sounds by name; progress(done, total).

    Raises InputError when there is nothing to measure, for unknown codecs and measures, and for missing packages; other
    CodecErrors for models that cannot be loaded; OSError when `out` cannot be written.
    """
    if unknown := [name for name in more if name not in MORE]:
        raise InputError(f"unknown measure {unknown[0]!r}; there are {', '.join(MORE)}")
    further = {name: _measure(name, rate) for name in more}
    named: dict[str, tuple[SoundCodec, Sequence[float]]] = {}
    for spec in dict.fromkeys(codecs):
        codec = sound_codec_by_name(spec, rate)
        named[unique_name(codec.name, named)] = codec, (settings or {}).get(spec, codec.ladder)
    if not named:
        raise InputError("no codec to measure")
    source = Sounds(Path(folder), sample_rate=rate)
    names = [name for name in source.names() if Path(name).suffix.lower() not in BESIDE][:limit]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name in OUTPUTS:
        check_writable(out / name, overwrite=True)
    items: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    for number, name in enumerate(names):
        try:
            items += _one(name, source.item(name).samples, rate, named, further)
        except CodecError as error:
            skipped.append((name, str(error)))
        if progress is not None:
            progress(number + 1, len(names))
    if not items:
        raise InputError(f"{folder}: no sound could be measured" + (f" ({skipped[0][1]})" if skipped else ""))
    measures = (*MEASURES, *more)
    means = _means(items, measures)
    comments = [
        f"{len({item['sound'] for item in items})} sounds of one channel at {rate} Hz; rates are those of whole files",
        *environment(),
        *(f"{name}: {codec.description}" for name, (codec, _) in named.items()),
        *(f"skipped {name}: {why}" for name, why in skipped),
    ]
    write_tsv(out / OUTPUTS[0], comments, items, list(items[0]))
    write_tsv(out / OUTPUTS[1], comments, means, list(means[0]))
    return SoundResult(tuple(items), tuple(means), tuple(skipped))


def _one(
    name: str,
    sound: np.ndarray,
    rate: int,
    codecs: Mapping[str, tuple[SoundCodec, Sequence[float]]],
    further: Mapping[str, Callable[[np.ndarray, np.ndarray], float]],
) -> list[dict[str, Any]]:
    """The rows of a sound."""
    rows = []
    for called, (codec, ladder) in codecs.items():
        for setting in ladder:
            made = coded(called, sound, lambda c=codec, s=setting: c.encode(sound, s), codec.decode)
            linear, mel = log_spectral(sound, made.decoded, rate)
            row = {
                "sound": name,
                "codec": called,
                "setting": float(setting),
                "bytes": len(made.data),
                "seconds": len(sound) / rate,
                "kbps": 8e-3 * len(made.data) * rate / len(sound),
                "snr": snr_db(sound, made.decoded),
                "si_sdr": si_sdr(sound, made.decoded),
                "log_stft": linear,
                "log_mel": mel,
            }
            row |= {measure: call(sound, made.decoded) for measure, call in further.items()}
            rows.append({**row, "encode_s": made.encode_s, "decode_s": made.decode_s})
    return rows


def _means(items: Sequence[dict[str, Any]], measures: Sequence[str]) -> list[dict[str, Any]]:
    means = []
    for codec, setting in dict.fromkeys((item["codec"], item["setting"]) for item in items):
        own = [item for item in items if (item["codec"], item["setting"]) == (codec, setting)]
        row: dict[str, Any] = {"codec": codec, "setting": setting, "sounds": len(own)}
        for measure in measures:
            values = np.array([item[measure] for item in own])
            values = values[np.isfinite(values)]
            row[measure] = float(values.mean()) if len(values) else math.nan
            row[f"{measure}_se"] = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
        means.append(row)
    return means


def _measure(name: str, rate: int) -> Callable[[np.ndarray, np.ndarray], float]:
    """A measure of two sounds, float [T]. Raises InputError when its package is missing."""
    if name == "stoi":
        stoi = extra("pystoi").stoi
        return lambda a, b: float(stoi(a, b, rate))
    module = extra("pesq")
    if rate not in (8000, 16000):
        raise InputError(f"pesq knows 8000 and 16000 Hz, not {rate}")

    def pesq(a: np.ndarray, b: np.ndarray) -> float:
        try:
            return float(module.pesq(rate, a, b, "wb" if rate == 16000 else "nb"))
        except module.PesqError:  # no speech is found in it
            return math.nan

    return pesq
