"""Text recognition: how many of the characters on a picture are still read.

    samples -> boxes of `lettering.layout` -> 48 rows each -> recogniser -> [T, 6625] -> greedy CTC -> lines

The recogniser is PP-OCRv4 (Chinese and English; Baidu 2023), the ONNX file in the package rapidocr-onnxruntime, run by
onnxruntime on one thread; that package itself is not imported, as it needs OpenCV and its system libraries. Its answer
at each of T places is a character or nothing; repeated ones count once (Graves et al., ICML 2006).

Score: character accuracy, max(0, 1 - edits / characters) over the lines of a picture, the edits being Levenshtein's:
one minus the picture's character error rate, which is cut at 1. Spaces do not count: this recogniser was trained for
Chinese too, and often leaves them out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from ...errors import InputError
from ..quality.packaged import PackagedFile, check_picture, machine_extra, onnx_session, require
from .lettering import layout
from .task import Answer, Source

__all__ = ["ReadText", "Recogniser", "accuracy", "edits", "greedy_ctc", "share_right", "word_accuracy", "words_of"]

_WEIGHTS = PackagedFile(
    "rapidocr-onnxruntime", "1.4.4", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", alone=True
)
_ROWS, _COLUMNS = 48, 320  # what the recogniser was trained on; shorter lines are padded


@dataclass(frozen=True)
class Recogniser:
    """Reads one line. Raises InputError when the package or onnxruntime is missing."""

    description: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        require("onnxruntime")
        object.__setattr__(self, "description", f"PP-OCRv4 recogniser, {_WEIGHTS.describe()}")

    def __call__(self, line: np.ndarray) -> str:
        """The text on uint8 [h, w, 3], a box around one line. Raises InputError for another shape or type."""
        check_picture(line)
        session, characters = _recogniser()
        height, width = line.shape[:2]
        columns = max(1, round(width * _ROWS / height))
        scaled = np.array(Image.fromarray(line).resize((columns, _ROWS), Image.Resampling.BILINEAR))
        x = np.zeros((1, 3, _ROWS, max(columns, _COLUMNS)), np.float32)
        x[0, :, :, :columns] = scaled[:, :, ::-1].transpose(2, 0, 1) / np.float32(127.5) - 1  # BGR
        return greedy_ctc(session.run(None, {session.get_inputs()[0].name: x})[0][0], characters)


@dataclass(frozen=True)
class ReadText:
    """Reading the lines that `TextOnPhotographs` draws; a `Task`. Raises InputError when something is not installed."""

    source: Source
    name: str = field(default="text", init=False)
    description: str = field(init=False, compare=False)
    measure: str = field(default="character accuracy", init=False)
    _read: Recogniser = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require("rapidfuzz")
        object.__setattr__(self, "_read", Recogniser())
        text = f"text in known boxes, {self._read.description}, 1 - character error rate without spaces"
        object.__setattr__(self, "description", text)

    def predict(self, samples: np.ndarray) -> tuple[str, ...]:
        """What each line says. Raises InputError unless samples are uint8 [H, W, 3] of 128 pixels or more."""
        check_picture(samples)
        return tuple(self._read(line.cut(samples)) for line in layout(*samples.shape[:2]))

    def answer(self, prediction: Sequence[str], original: Sequence[str], truth: Any) -> Answer:
        """Raises InputError when the truth are no lines."""
        if not isinstance(truth, tuple) or len(truth) != len(prediction):
            raise InputError(f"the text task asks about {len(prediction)} known lines, the truth is {truth!r}")
        score = accuracy(prediction, truth)
        return Answer(score, accuracy(prediction, original), " / ".join(prediction))


def accuracy(found: Sequence[str], true: Sequence[str], *, spaces: bool = False) -> float:
    """max(0, 1 - edits / characters) over all lines; spaces: whether they count. Nothing read of nothing is 1."""
    if not spaces:
        found, true = (["".join(line.split()) for line in lines] for lines in (found, true))
    characters = sum(map(len, true))
    wrong = sum(edits(a, b) for a, b in zip(found, true, strict=True))
    return max(0.0, 1 - wrong / characters) if characters else float(wrong == 0)


def word_accuracy(found: str, true: str) -> float:
    """max(0, 1 - edits / words) of `words_of` both."""
    return share_right(words_of(found), words_of(true))


def words_of(text: str) -> list[str]:
    """The words of a text: letters, digits and apostrophes, whatever their case."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.casefold().replace("\u2019", "'"))


def share_right(found: Sequence[str], true: Sequence[str]) -> float:
    """max(0, 1 - edits / length) of two sequences, the edits being Levenshtein's; nothing found of nothing is 1."""
    return max(0.0, 1 - edits(found, true) / len(true)) if true else float(not found)


def edits(found: Sequence[str], true: Sequence[str]) -> int:
    """Levenshtein's distance: the fewest insertions, deletions and substitutions that make one of the other."""
    return machine_extra("rapidfuzz.distance", "rapidfuzz").Levenshtein.distance(found, true)


def greedy_ctc(scores: np.ndarray, characters: Sequence[str], blank: int = 0) -> str:
    """The most likely class at each place of [T, N] -> text: repetitions once, without blanks.

    characters: of the N - 1 classes other than `blank`, in order. Raises InputError when they are not N - 1.
    """
    if scores.ndim != 2 or scores.shape[1] != len(characters) + 1:
        expected = f"[T, {len(characters) + 1}] ({len(characters)} characters and the blank)"
        raise InputError(f"the recogniser's output should be {expected}, found {list(scores.shape)}")
    best = scores.argmax(axis=1)
    changed = np.append(True, best[1:] != best[:-1])[: len(best)]
    kept = best[changed & (best != blank)]
    return "".join([str(characters[k - (k > blank)]) for k in kept.tolist()])


@lru_cache(maxsize=1)
def _recogniser() -> tuple[Any, tuple[str, ...]]:
    """The session, and the characters: those in the file's metadata, and the space."""
    session = onnx_session(_WEIGHTS.find())
    listed = session.get_modelmeta().custom_metadata_map["character"]
    return session, (*listed.rstrip("\n").split("\n"), " ")
