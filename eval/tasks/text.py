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
from ..quality.packaged import PackagedFile, check_picture, machine_extra, require
from .lettering import layout
from .task import Answer, Source

__all__ = ["ReadText", "Recogniser", "accuracy", "greedy_ctc", "onnx_session", "word_accuracy"]

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
    distance = machine_extra("rapidfuzz.distance", "rapidfuzz").Levenshtein.distance
    if not spaces:
        found, true = (["".join(line.split()) for line in lines] for lines in (found, true))
    characters = sum(map(len, true))
    edits = sum(distance(a, b) for a, b in zip(found, true, strict=True))
    return max(0.0, 1 - edits / characters) if characters else float(edits == 0)


def word_accuracy(found: str, true: str) -> float:
    """max(0, 1 - edits / words), of words of letters, digits and apostrophes, whatever their case."""
    distance = machine_extra("rapidfuzz.distance", "rapidfuzz").Levenshtein.distance
    a, b = (re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.casefold().replace("\u2019", "'")) for text in (found, true))
    return max(0.0, 1 - distance(a, b) / len(b)) if b else float(not a)


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


def onnx_session(path: Any) -> Any:
    """An onnxruntime session on one thread of the CPU. Raises InputError when onnxruntime or the file is no good."""
    runtime = machine_extra("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no class of their own
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: onnxruntime cannot load this model: {reason}") from None


@lru_cache(maxsize=1)
def _recogniser() -> tuple[Any, tuple[str, ...]]:
    """The session, and the characters: those in the file's metadata, and the space."""
    session = onnx_session(_WEIGHTS.find())
    listed = session.get_modelmeta().custom_metadata_map["character"]
    return session, (*listed.rstrip("\n").split("\n"), " ")
