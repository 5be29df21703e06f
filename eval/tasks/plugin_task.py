"""Tasks of a user's own, as plug-ins: any Python object with the interface of `task.Task`.

    MODULE:NAME or FILE.py:NAME -> class, function or object -> checked -> Task

Guarantees: whatever a plug-in raises becomes a `CodecError` of one sentence that names it, so that one item is left out
and not the run; an answer that is none is refused; the network is given a copy of the samples. A digest of its source
file ends its description, so that what was kept of an older version is not taken for this one's.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CodecError, InputError
from ..codecs.plugins import check_parts, guarded, plugin_object
from .task import Answer, Item, Source

__all__ = ["PluginSource", "PluginTask", "plugin_task"]

_WANTED = ("name", "source", "description", "measure", "predict", "answer")
_OF_SOURCE = ("name", "media", "sample_rate", "description", "names", "item")


def plugin_task(spec: str, data: Path | None = None) -> PluginTask:
    """The task that a spec names. Running its module is running a program.

    Raises InputError: no such module or file, no such name in it, it fails, or the object lacks something.
    """
    found, shown, digest = plugin_object(spec)
    if isinstance(found, type) or (callable(found) and not hasattr(found, "predict")):
        given = {"data": data} if "data" in _parameters(found) else {}
        found = guarded(InputError, f"the plug-in {shown} could not be made", found, **given)
    return PluginTask(found, shown, f"plug-in {shown}, source digest {digest}")


class PluginTask:
    """A plug-in with every call guarded: a `Task`."""

    def __init__(self, task: Any, shown: str, origin: str) -> None:
        """task: the user's object; shown: what to call it in errors; origin: ends the description. Raises InputError
        when the object, or its source, lacks something.
        """
        check_parts(task, _WANTED, f"the plug-in {shown}")
        if not re.fullmatch(r"[\w-]+", task.name):
            raise InputError(f"the plug-in {shown}: a name has letters, digits, - and _, not {task.name!r}")
        self.name: str = task.name
        self.measure: str = task.measure
        self.classes = getattr(task, "classes", None)
        self.description = f"{task.description}; {origin}"
        self.source: Source = PluginSource.of(task.source, shown)
        self._task = task

    def predict(self, samples: np.ndarray) -> Any:
        """The plug-in's answer. Raises CodecError."""
        return guarded(CodecError, f"{self.name}: predict failed", self._task.predict, samples.copy())

    def answer(self, prediction: Any, original: Any, truth: Any) -> Answer:
        """The plug-in's comparison. Raises CodecError."""
        found = guarded(CodecError, f"{self.name}: answer failed", self._task.answer, prediction, original, truth)
        try:
            score, agreement, text = float(found.score), float(found.agreement), str(found.text)
            top5 = None if (top5 := getattr(found, "top5", None)) is None else float(top5)
        except (AttributeError, TypeError, ValueError):
            raise CodecError(f"{self.name}: answer must give an Answer, not {type(found).__name__}") from None
        if not all(math.isnan(value) or 0 <= value <= 1 for value in (score, agreement, top5 or 0)):
            raise CodecError(f"{self.name}: score and agreement lie in 0 to 1, found {score:g} and {agreement:g}")
        seen, truth = str(getattr(found, "found", "")), str(getattr(found, "truth", ""))
        return Answer(score, agreement, text, seen, truth, top5)


class PluginSource:
    """A plug-in's source with its calls guarded. Two of them are equal when they guard the same object."""

    def __init__(self, source: Any, shown: str) -> None:
        """Raises InputError when the object lacks something."""
        check_parts(source, _OF_SOURCE, f"the source of the plug-in {shown}")
        if source.media not in ("image", "audio"):
            raise InputError(f"the source of the plug-in {shown}: media are image or audio, not {source.media!r}")
        self.name, self.media, self.description = source.name, source.media, source.description
        self.sample_rate = int(source.sample_rate)
        self._source = source

    @classmethod
    def of(cls, source: Any, shown: str) -> Source:
        """Guarded, unless it is one of this package's, which guard themselves."""
        return source if type(source).__module__.startswith(__package__ or "") else cls(source, shown)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PluginSource) and self._source is other._source

    def __hash__(self) -> int:
        return id(self._source)

    @property
    def classes(self) -> Any:
        """See `Photographs.classes`."""
        return getattr(self._source, "classes", None)

    def names(self) -> Sequence[str]:
        """The items' names. Raises InputError."""
        return [str(name) for name in guarded(InputError, f"{self.name}: names failed", self._source.names)]

    def item(self, name: str) -> Item:
        """One item. Raises CodecError."""
        found = guarded(CodecError, name, self._source.item, name)
        samples = getattr(found, "samples", None)
        if not isinstance(samples, np.ndarray) or not hasattr(found, "truth"):
            raise CodecError(f"{name}: the source must give an Item, not {type(found).__name__}")
        fits = samples.ndim == 3 and samples.shape[2] == 3 and samples.dtype == np.uint8
        if self.media == "audio":
            fits = samples.ndim == 1 and samples.dtype == np.float32
        if not fits or not samples.size:
            wanted = "uint8 [H, W, 3]" if self.media == "image" else "float32 [T]"
            raise CodecError(f"{name}: samples must be {wanted}, not {samples.dtype} {list(samples.shape)}")
        return Item(name, samples, found.truth)


def _parameters(found: Callable[..., Any]) -> Any:
    try:
        return inspect.signature(found).parameters
    except (TypeError, ValueError):
        return ()
