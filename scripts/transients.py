"""What is heard before an attack: the error in the 20 ms before the onset of drums and clicks, beside Opus and MP3.

    python scripts/transients.py DRUMS [-o transients.tsv] [--count 60]

DRUMS is a folder of single hits. They stand half a second apart in one sound of one channel at 48 kHz, in steps that
frames do not share, each faded out before the next. Clicks are as many bursts of noise that falls by 60 dB in 40 ms
(castanets are like that), an eighth of a second apart. An onset is where a hit first reaches a tenth of its peak. What
a codec leaves of the 20 ms before it is compared with the original's, and that error's energy is given in dB against
the energy of the hit's first 20 ms: the lower the less is heard before the hit. Beside it the error of the 20 ms after
the onset.

A window of W samples spreads the error of its coefficients over W samples, so that a hit late in a window is heard
early in it. Codecs of music change to short windows there. Nothing is trained or chosen on these sounds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lecodec.codec.media.sound_files import load_sound
from lecodec.errors import InputError
from lecodec.eval.codecs.sound import sound_codec_by_name
from lecodec.eval.measure.tsv import environment, write_tsv

RATE = 48000
APART = {"drums": 24007, "clicks": 6007}
"""Samples between hits: prime numbers."""
NEAR = RATE // 50
SETTINGS = {"lecodec": (24, 48, 72), "opus": (24, 48, 80), "mp3": (48, 80)}


def hits(folder: Path, count: int) -> list[np.ndarray]:
    """Single hits at RATE, one channel, with a peak of 1/2, from all over a folder."""
    import torch
    import torchaudio

    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".wav", ".flac", ".aiff"))
    found: list[np.ndarray] = []
    for path in paths[:: max(1, len(paths) // (2 * count))]:
        try:
            signal = load_sound(str(path))
            x = np.concatenate(list(signal.blocks())).mean(1)
        except InputError:
            continue
        own = signal.sound_layout.sample_rate
        x = torchaudio.functional.resample(torch.from_numpy(x), own, RATE).numpy() if own != RATE else x
        if len(x) > NEAR and np.abs(x).max() > 0.01 and len(found) < count:
            found.append(0.5 * x / np.abs(x).max())
    return found


def clicks(count: int) -> list[np.ndarray]:
    """Bursts of noise that falls by 60 dB in 40 ms."""
    rng, t = np.random.default_rng(0), np.arange(RATE // 10) / RATE
    made = [rng.normal(size=len(t)) * 10 ** (-3 * t / 0.04) for _ in range(count)]
    return [(0.5 * x / np.abs(x).max()).astype(np.float32) for x in made]


def laid(sounds: list[np.ndarray], apart: int) -> tuple[np.ndarray, list[int]]:
    """All of them in one sound, and their onsets."""
    out, onsets = np.zeros(apart * (len(sounds) + 1), np.float32), []
    for n, x in enumerate(sounds):
        x = x[: apart - 2 * NEAR].copy()
        fade = min(len(x), NEAR)
        x[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        begin = apart * n + apart // 2
        out[begin : begin + len(x)] += x
        onsets.append(begin + int(np.argmax(np.abs(x) > 0.05)))
    return out, onsets


def decibels(error: np.ndarray, sound: np.ndarray, onsets: list[int], before: bool) -> tuple[float, float]:
    """Mean over hits, and its standard error."""
    at = [slice(o - NEAR, o) if before else slice(o, o + NEAR) for o in onsets]
    found = [
        10 * np.log10((np.square(error[a]).sum() + 1e-12) / np.square(sound[o : o + NEAR]).sum())
        for a, o in zip(at, onsets, strict=True)
    ]
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(len(found)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("drums", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("transients.tsv"))
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--model", default="lecodec")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    codecs = {spec: sound_codec_by_name(given.model if spec == "lecodec" else spec, RATE) for spec in SETTINGS}
    for what, sounds in (("drums", hits(given.drums, given.count)), ("clicks", clicks(given.count))):
        sound, onsets = laid(sounds, APART[what])
        for spec, settings in SETTINGS.items():
            for setting in settings:
                data = codecs[spec].encode(sound, setting)
                error = codecs[spec].decode(data) - sound
                before, before_se = decibels(error, sound, onsets, True)
                after, after_se = decibels(error, sound, onsets, False)
                rows.append(
                    {
                        "what": what,
                        "hits": len(sounds),
                        "codec": spec,
                        "setting": setting,
                        "kbps": 8 * len(data) * RATE / len(sound) / 1000,
                        "before_db": before,
                        "before_se": before_se,
                        "after_db": after,
                        "after_se": after_se,
                    }
                )
                print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    described = [f"{spec}: {codec.description}" for spec, codec in codecs.items()]
    write_tsv(given.output, ["errors of 20 ms, dB against the hit's first 20 ms", *described, *environment()], rows)


if __name__ == "__main__":
    main()
