"""Sounds for training: folders decoded into memory, clips of them.

    files -> PyAV -> int16 [n, channels] at each wanted rate, end to end -> clips float32 [channels, samples]

A file that has a higher rate than a wanted one is brought down to it; none is brought up. Short files stand one after
the other, so that clips may run across their ends.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..codec.media.ffmpeg import opened, reading
from ..errors import InputError

__all__ = ["SOUNDS", "Sounds", "read_at", "sound_files"]

SOUNDS = frozenset(".aac .aif .aiff .au .flac .g722 .m4a .mp3 .oga .ogg .opus .wav .wma".split())
"""Suffixes of what is taken for a sound in a folder."""
QUIET = 1e-3
"""Clips whose root mean square is below are passed over."""


def sound_files(folder: Path) -> list[Path]:
    """The sounds below a folder, in path order. Raises InputError when there is none."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUNDS and p.is_file())
    if not found:
        raise InputError(f"no sound in {folder}")
    return found


def read_at(path: Path, rates: Sequence[int], seconds: float) -> dict[int, np.ndarray]:
    """The first `seconds` of a sound at those of the rates that it has at least: int16 [n, 1 or 2] each, by rate. A
    rate within a tenth above the file's own takes the samples as they are. Raises InputError.
    """
    import av

    try:
        with opened(str(path), "sound") as container, reading("not a sound that can be read"):
            stream = container.streams.audio[0]
            own, layout = stream.rate, "mono" if stream.channels == 1 else "stereo"
            wanted = [rate for rate in rates if rate <= 1.1 * own]
            resamplers = {rate: av.AudioResampler("s16", layout, own if rate > own else rate) for rate in wanted}
            parts: dict[int, list[np.ndarray]] = {rate: [] for rate in wanted}
            for frame in container.decode(stream):
                for rate, resampler in resamplers.items():
                    for piece in resampler.resample(frame):
                        parts[rate].append(piece.to_ndarray().reshape(-1, 1 if layout == "mono" else 2))
                if frame.time is not None and frame.time > seconds:
                    break
            for rate, resampler in resamplers.items():
                for piece in resampler.resample(None):
                    parts[rate].append(piece.to_ndarray().reshape(-1, 1 if layout == "mono" else 2))
    except InputError as e:
        raise InputError(f"{path}: {e}") from None
    return {rate: np.concatenate(found) for rate, found in parts.items() if found}


class Sounds:
    """All files below a folder that can be read, in memory. held_out: every so many files one is kept out of training.
    say: progress. Raises InputError when none can be read.
    """

    def __init__(
        self, folder: Path, rates: Sequence[int], seconds: float, held_out: int, say: Callable[[str], None]
    ) -> None:
        kept: dict[tuple[int, int, bool], list[np.ndarray]] = defaultdict(list)
        total, files, refused = 0.0, sound_files(folder), []
        for number, path in enumerate(files):
            try:
                read = read_at(path, rates, seconds)
            except InputError as e:  # one of thousands
                refused.append(str(e))
                continue
            for rate, samples in read.items():
                kept[rate, samples.shape[1], number % held_out == held_out - 1].append(samples)
            total += max((len(samples) / rate for rate, samples in read.items()), default=0.0)
        if len(refused) == len(files):
            raise InputError(refused[0])
        self._whole = {key: np.concatenate(parts) for key, parts in kept.items()}
        say(f"{folder.name}: {len(files) - len(refused)} files, {total / 60:.0f} minutes")
        if refused:
            say(f"{folder.name}: {len(refused)} files cannot be read and are left out, the first: {refused[0]}")

    def has(self, rate: int, samples: int, kept_out: bool = False) -> bool:
        """Whether there is a clip of so many samples at a rate."""
        return any(len(a) > samples for (r, _, out), a in self._whole.items() if (r, out) == (rate, kept_out))

    def clip(self, rng: random.Random, rate: int, samples: int, kept_out: bool = False) -> np.ndarray:
        """A clip that is not silent, float32 [1 or 2, samples] in [-1, 1]."""
        fitting = [a for (r, _, out), a in self._whole.items() if (r, out) == (rate, kept_out) and len(a) > samples]
        for _ in range(100):
            whole = rng.choices(fitting, [len(a) for a in fitting])[0]
            first = rng.randrange(len(whole) - samples)
            clip = whole[first : first + samples].T.astype(np.float32) / 32768
            if np.sqrt((clip**2).mean()) > QUIET:
                break
        return clip  # pyright: ignore[reportPossiblyUnboundVariable]
