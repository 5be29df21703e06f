"""What machines hear: built-in tasks on sounds, each a network of `quality.hearing` with a question.

| task              | question                                     | score            | agreement with the original's |
|-------------------|----------------------------------------------|------------------|-------------------------------|
| `words`           | which words are said?                        | `nan`            | 1 - edits / words             |
| `transcript`      | the same, of items with a text               | 1 - edits/words  | 1 - edits / words             |
| `phonemes`        | which phonemes are said?                     | `nan`            | 1 - edits / phonemes          |
| `speaker`         | whose voice is it?                           | `nan`            | cosine                        |
| `pitch`           | how high is it, where the original has a     | `nan`            | share of frames that are      |
|                   | pitch?                                       |                  | within 50 cents               |
| `speech-activity` | where does somebody speak?                   | `nan`            | share of pieces of 32 ms      |
| `speech-quality`  | how good would people find it?               | (DNSMOS - 1) / 4 | 1 - difference of the two     |

`words` and `transcript` ask the same network: the first says what a codec costs on all items, the second also how far
from the truth that is, on those whose text is known. The share of frames within 50 cents is the raw pitch accuracy of
MIREX; a frame has a pitch where CREPE is sure of one by 1/2 or more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import InputError
from ..quality.hearing import RATE, Listener, Phonemes, Pitch, Quality, SpeechActivity, Voice, Words
from ..quality.packaged import require
from .embedding import embedding_answer
from .task import Answer, Source
from .text import share_right, word_accuracy

__all__ = ["LISTENING", "Listening"]

_SURE, _CENTS = 0.5, 50.0


def _words(found: str, original: str, truth: Any) -> Answer:
    return Answer(math.nan, word_accuracy(found, original), found)


def _transcript(found: str, original: str, truth: Any) -> Answer:
    if truth is None:
        return Answer(math.nan, math.nan, found)
    if not isinstance(truth, str):
        raise InputError(f"the truth of a transcript is a text, found {truth!r}")
    return Answer(word_accuracy(found, truth), word_accuracy(found, original), found)


def _phonemes(found: tuple[str, ...], original: tuple[str, ...], truth: Any) -> Answer:
    return Answer(math.nan, share_right(found, original), " ".join(found))


def _speaker(found: np.ndarray, original: np.ndarray, truth: Any) -> Answer:
    return embedding_answer(found, original)


def _pitch(found: np.ndarray, original: np.ndarray, truth: Any) -> Answer:
    """`nan` where the original has no pitch at all."""
    voiced = original[1] >= _SURE
    if not voiced.any():
        return Answer(math.nan, math.nan, "no pitch")
    off = np.abs(found[0] - original[0])[voiced]
    return Answer(math.nan, float((off <= _CENTS).mean()), f"{np.median(off):.1f} cents off")


def _activity(found: np.ndarray, original: np.ndarray, truth: Any) -> Answer:
    return Answer(math.nan, float((found == original).mean()), f"{found.mean():.0%} speech")


def _quality(found: dict[str, float], original: dict[str, float], truth: Any) -> Answer:
    mine, other = ((min(max(mos["ovrl"], 1.0), 5.0) - 1) / 4 for mos in (found, original))
    return Answer(mine, 1 - abs(mine - other), f"MOS {found['ovrl']:.2f}")


LISTENING: dict[str, tuple[type[Listener], str, Callable[[Any, Any, Any], Answer]]] = {
    "words": (Words, "word accuracy", _words),
    "transcript": (Words, "word accuracy", _transcript),
    "phonemes": (Phonemes, "phoneme accuracy", _phonemes),
    "speaker": (Voice, "cosine", _speaker),
    "pitch": (Pitch, "raw pitch accuracy", _pitch),
    "speech-activity": (SpeechActivity, "frame accuracy", _activity),
    "speech-quality": (Quality, "(DNSMOS - 1) / 4", _quality),
}
"""By name: the network, what the mean score is called, how answers compare."""


@dataclass(frozen=True)
class Listening:
    """One of LISTENING; a `Task`. Raises InputError when something is not installed, or for sounds at another rate than
    16 kHz.
    """

    name: str
    source: Source
    description: str = field(init=False, compare=False)
    measure: str = field(init=False)
    _listener: Listener = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.source.sample_rate != RATE:
            raise InputError(f"the task {self.name} hears sounds at {RATE} Hz, not at {self.source.sample_rate}")
        require("rapidfuzz")
        listener, measure, _ = LISTENING[self.name]
        object.__setattr__(self, "_listener", listener())
        object.__setattr__(self, "measure", measure)
        text = ", against the text" if self.name == "transcript" else ""  # the answers of `words` are others
        object.__setattr__(self, "description", self._listener.description + text)

    def predict(self, samples: np.ndarray) -> Any:
        """What the network makes of a sound, float32 [T]. Raises InputError, CodecError as `Listener`."""
        return self._listener(samples)

    def answer(self, prediction: Any, original: Any, truth: Any) -> Answer:
        """See the table. Raises InputError for a truth that is no text, of `transcript`."""
        return LISTENING[self.name][2](prediction, original, truth)
