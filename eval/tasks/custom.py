"""Tasks of a user's own without programming: a YAML file that names data, a network, and how its answers compare.

    task.yaml -> data (a Source), network (see custom_network.py), answer -> Task

TEMPLATE is a classifier of one's own, beside its pictures and the state dict that it was trained to.

| answer      | output of the network                            | score        | agreement with the original's        |
|-------------|--------------------------------------------------|--------------|--------------------------------------|
| `classes`   | scores, [N] or [1, N]                            | 1 if right   | 1 if the same                        |
| `text`      | a text, or scores [T, N] for N - 1 `characters`  | 1 - errors   | 1 - errors                           |
| `embedding` | a vector, [N] or [1, N]                          | `nan`        | cosine                               |
| `mask`      | [H, W] above 1/2, or scores of classes [C, H, W] | `nan`        | intersection over union; of classes, |
|             |                                                  |              | its mean over those of the original  |
| `values`    | any array                                        | `nan`        | 1 - relative squared distance        |

Texts are compared by `unit`: `word` (letters and digits only, whatever their case; for sounds), or `character` (for
pictures). With `media: audio`, `sample_rate` (16000 by default) says what the network hears.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import Field, ValidationError, model_validator

from ...errors import InputError
from .classification import class_answer, softmax
from .custom_network import CustomNetwork, NetworkSpec, Preprocess, Strict
from .embedding import embedding_answer
from .mask import mask_answer
from .sounds import Sounds
from .sources import Photographs
from .task import Answer, Source
from .text import accuracy, greedy_ctc, word_accuracy

__all__ = ["TEMPLATE", "CustomTask", "TaskFile", "custom_task"]

TEMPLATE = """\
# A task for lecodec eval task --tasks THIS-FILE.yaml. Paths are relative to this file.
name: flowers
media: image              # or audio, with sample_rate: 16000
data: pictures            # without it, the folder that the run is given
labels: labels.csv        # lines of name,class (a number or a name); prefix, folders, none; auto if missing
short_side: 256           # downscale to this; without it pictures stay as they are
network:                  # or onnx: FILE.onnx, or callable: FILE.py:NAME, or torchaudio: NAME
  torchvision: mobilenet_v2
  weights: flowers.pth
  arguments: {num_classes: 10}
preprocess: {resize: 256, crop: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
answer: classes           # or text, embedding, mask, values
classes: names.txt        # a name a line, optional
"""
_MEASURES = {"classes": "top-1", "embedding": "cosine", "mask": "overlap of masks", "values": "1 - relative distance"}


class TaskFile(Strict):
    """The schema. Paths are relative to the YAML file."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    media: Literal["image", "audio"] = "image"
    data: Path | None = None
    labels: str | None = None
    short_side: int | None = Field(default=None, ge=1)
    sample_rate: int = 16000
    network: NetworkSpec
    preprocess: Preprocess | None = None
    answer: Literal["classes", "text", "embedding", "mask", "values"]
    classes: Path | None = None
    """Names of the classes, a line each."""
    characters: str | list[str] | None = None
    """What the classes of [T, N] stand for, in order, without the blank."""
    blank: int = Field(default=0, ge=0)
    """The class that stands for no character."""
    unit: Literal["word", "character"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> TaskFile:
        given = self.model_fields_set
        for field, answer in (("classes", "classes"), ("characters", "text"), ("blank", "text"), ("unit", "text")):
            if field in given and self.answer != answer:
                raise ValueError(f"{field} goes with answer: {answer}, and this is {self.answer}")
        for field, media in (("short_side", "image"), ("sample_rate", "audio")):
            if field in given and self.media != media:
                raise ValueError(f"{field} goes with media: {media}, and this is {self.media}")
        changed = set() if self.preprocess is None else self.preprocess.model_fields_set
        layout = self.preprocess.layout if self.preprocess else None
        if self.media == "audio" and (changed - {"layout"} or layout not in (None, "NT", "NCT")):
            raise ValueError("of a sound only the layout can be chosen, NT or NCT")
        if self.media == "image" and layout in ("NT", "NCT"):
            raise ValueError("the layout of a picture is NCHW or NHWC")
        return self


def custom_task(path: Path, data: Path | None, sources: Any) -> CustomTask:
    """The task of a YAML file. data: the folder if the file names none; sources: `catalogue.Sources`, asked for items.

    Raises InputError with one sentence: unreadable, a fault in a field, something missing or not installed.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = TaskFile(**found) if isinstance(found, dict) else None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, x['loc'])) or 'task'}: {x['msg']}" for x in error.errors())
        raise InputError(f"{path}: {faults}") from None
    except RecursionError:
        raise InputError(f"{path}: cannot read the task: it is nested too deeply") from None
    except (OSError, ValueError, yaml.YAMLError, TypeError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise InputError(f"{path}: cannot read the task: {reason}") from None
    if file is None:
        raise InputError(f"{path}: a task is a mapping of names to values")
    folder = path.resolve().parent
    items = data if file.data is None else folder / file.data
    if items is None:
        raise InputError(f"{path}: names no data, and no folder was given")
    labels: str | Path = file.labels or ("auto" if file.answer == "classes" else "none")
    if labels not in ("prefix", "folders", "none", "auto"):
        labels = folder / labels
    options: dict[str, Any] = {"labels": labels, "texts": file.answer == "text"}
    if file.media == "image":
        source = sources.get(Photographs, items, short_side=file.short_side, **options)
    else:
        source = sources.get(Sounds, items, sample_rate=file.sample_rate, **options)
    names = _names(folder / file.classes) if file.classes else ()
    return CustomTask(file, source, CustomNetwork(file.network, file.preprocess, folder, file.media), names)


class CustomTask:
    """A `Task`. Its predictions: probabilities [N], a text, a vector, a mask (bool, or class numbers), an array."""

    def __init__(self, file: TaskFile, source: Source, network: CustomNetwork, classes: tuple[str, ...] = ()):
        self.name, self.source = file.name, source
        self._file, self._network, self._classes = file, network, classes
        self._unit = file.unit or ("word" if file.media == "audio" else "character")
        how = file.answer
        if how == "text":
            read = f", characters {''.join(file.characters)!r}, blank {file.blank}" if file.characters else ""
            how, self.measure = f"text by {self._unit}{read}", f"{self._unit} accuracy"
        else:
            self.measure = _MEASURES[how]
            named = f" named {names_digest}" if (names_digest := _digest(classes)) else ""
            how += f"{named}, top 5" if how == "classes" else named
        self.description = f"{network.description}, {how}"

    def predict(self, samples: np.ndarray) -> Any:
        """See the class. Raises InputError for output of another shape than the answer asks for, CodecError when the
        network fails.
        """
        output = self._network(samples)
        if isinstance(output, str) and self._file.answer == "text":
            return output
        shape = "a text" if isinstance(output, str) else list(output.shape)
        array = np.empty(0) if isinstance(output, str) else output
        match self._file.answer:
            case "classes":
                scores = array[0] if array.ndim == 2 and len(array) == 1 else array
                n = len(self._classes)
                if scores.ndim == 1 and len(scores) > 1 and len(scores) == (n or len(scores)):
                    return _probabilities(scores)
                n = str(n) if n else "N"
                wanted = f"scores of {n} classes, [{n}] or [1, {n}]"
            case "text":
                scores = array[0] if array.ndim == 3 and len(array) == 1 else array
                if self._file.characters is None:
                    wanted = "a text (scores need `characters`)"
                elif scores.ndim == 2:
                    return greedy_ctc(scores, list(self._file.characters), self._file.blank)
                else:
                    wanted = "scores of characters, [T, N] or [1, T, N]"
            case "embedding":
                vector = array.squeeze()
                if vector.ndim == 1 and len(vector):
                    return vector.astype(np.float32)
                wanted = "a vector, [N] or [1, N]"
            case "mask":
                mask = array[0] if array.ndim in (3, 4) and len(array) == 1 else array
                mask = mask[0] if mask.ndim == 3 and len(mask) == 1 else mask
                if mask.ndim == 2 and mask.size:
                    return mask > 0.5
                if mask.ndim == 3 and mask.size:
                    return mask.argmax(0).astype(np.int32)
                wanted = "a mask, [H, W], or scores of classes, [C, H, W]"
            case _:
                if array.size:
                    return array.astype(np.float32)
                wanted = "an array of numbers"
        raise InputError(f"the network should return {wanted}, found {shape}")

    def answer(self, prediction: Any, original: Any, truth: Any) -> Answer:
        """See the module's text. Raises InputError when the truth cannot be compared with such an answer."""
        if isinstance(prediction, str):
            if truth is not None and not isinstance(truth, str):
                raise InputError(f"the network answers with a text, and the label is {truth!r}")
            score = math.nan if truth is None else self._likeness(prediction, truth)
            return Answer(score, self._likeness(prediction, original), prediction)
        if self._file.answer == "classes":
            return class_answer(prediction, original, truth, self._classes, self.source)
        if self._file.answer == "embedding":
            return embedding_answer(prediction, original)
        if self._file.answer == "mask" and prediction.dtype == bool:
            return mask_answer(prediction, original)
        return _labels_answer(prediction, original) if self._file.answer == "mask" else _values(prediction, original)

    def _likeness(self, found: str, true: str) -> float:
        if self._unit == "word":
            return word_accuracy(found, true)
        return accuracy([" ".join(found.split())], [" ".join(true.split())], spaces=True)


def _probabilities(scores: np.ndarray) -> np.ndarray:
    """Scores [N] as they are when they are probabilities already, else their softmax."""
    if scores.min() >= 0 and abs(float(scores.sum()) - 1) < 1e-3:
        return scores.astype(np.float32)
    return softmax(scores.astype(np.float64))


def _labels_answer(prediction: np.ndarray, original: np.ndarray) -> Answer:
    if prediction.shape != original.shape:
        raise InputError(f"the masks' shapes differ: {list(prediction.shape)}, the original's {list(original.shape)}")
    classes = np.unique(original)
    overlaps = [
        float(((prediction == c) & (original == c)).sum() / ((prediction == c) | (original == c)).sum())
        for c in classes
    ]
    return Answer(math.nan, sum(overlaps) / len(overlaps), f"{len(np.unique(prediction))} classes")


def _values(prediction: np.ndarray, original: np.ndarray) -> Answer:
    if prediction.shape != original.shape:
        raise InputError(f"the answers' shapes differ: {list(prediction.shape)}, the original's {list(original.shape)}")
    length = float(np.square(original, dtype=np.float64).sum())
    error = float(np.square(np.subtract(prediction, original, dtype=np.float64)).sum())
    share = error / length if length else float(error > 0)
    return Answer(math.nan, max(0.0, 1 - share), f"distance {share:.4f}")


def _digest(classes: tuple[str, ...]) -> str:
    """8 hexadecimal digits of the names, which are part of the answers' texts; nothing of none."""
    return hashlib.blake2b(repr(classes).encode(), digest_size=4).hexdigest() if classes else ""


def _names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot read the names of classes: {reason}") from None
    while names and not names[-1]:
        names = names[:-1]
    if len(names) < 2 or "" in names:
        raise InputError(f"{path}: expected the names of two classes or more, one a line")
    return names
