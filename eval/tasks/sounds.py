"""Sounds that networks are asked about.

    sound file -> PyAV -> one channel, resampled -> float32 [T] in [-1, 1] -> Item

Everything that FFmpeg decodes is taken: WAV, FLAC, Opus, the sound of a film. FFmpeg's resampler changes the rate; of
several channels the mean is taken, or, where two are wanted, FFmpeg makes those two. Sounds that were compressed before
favour the codec that did it: take lossless ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from ...codec.media.ffmpeg import opened, reading
from ...errors import InputError
from .labels import Labelled, LabelledFolder, read_folder
from .task import Item

__all__ = ["Sounds", "read_sound"]


@dataclass(frozen=True)
class Sounds(Labelled):
    """The sounds of a folder, by name; a `Source`.

    sample_rate: Hz; channels: 1 or 2; labels, texts: see labels.py; a truth is a class number, a text, or None.
    Raises InputError: no folder, no files, a wrong table of labels, a wrong rate.
    """

    folder: Path
    name: str = "sounds"
    sample_rate: int = 16000
    channels: int = 1
    labels: str | Path = "none"
    texts: bool = False
    media: str = field(default="audio", init=False)
    _found: LabelledFolder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1000 <= self.sample_rate <= 192000:
            raise InputError(f"a sample rate is 1000 to 192000 Hz, found {self.sample_rate}")
        object.__setattr__(self, "folder", Path(self.folder))
        object.__setattr__(self, "_found", read_folder(self.folder, self.labels, texts=self.texts))

    @property
    def description(self) -> str:
        """How the sounds were made, and where their truths come from."""
        channels = "one channel" if self.channels == 1 else "two channels"
        return f"sounds of {channels} at {self.sample_rate} Hz, {self._found.where}"

    def item(self, name: str) -> Item:
        """A sound, float32 [T] or [T, 2], and what is known of it. Raises CodecError for a file that holds none."""
        return Item(name, read_sound(self.folder / name, self.sample_rate, self.channels), self.truth(name))


def read_sound(path: Path, sample_rate: int, channels: int = 1) -> np.ndarray:
    """The first sound of a file, float32 [T] in [-1, 1], of two channels [T, 2], at a rate in Hz. Raises InputError
    when there is none.
    """
    import av

    parts: list[np.ndarray] = []
    try:
        with opened(str(path), "sound") as container, reading("not a sound that can be read"):
            # Of floats FFmpeg would mix channels without bringing them back into [-1, 1]: their mean is taken here.
            layout = "stereo" if channels == 2 else None
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate)
            for frame in chain(container.decode(container.streams.audio[0]), (None,)):
                pieces = [piece.to_ndarray() for piece in resampler.resample(frame)]
                parts += [piece.T if channels == 2 else piece.mean(axis=0) for piece in pieces]
    except OSError as error:
        reason = error if isinstance(error, InputError) else error.strerror
        raise InputError(f"{path.name}: {reason}") from None
    if not sum(map(len, parts)):
        raise InputError(f"{path.name}: holds no samples")
    return np.clip(np.concatenate(parts).astype(np.float32), -1, 1)
