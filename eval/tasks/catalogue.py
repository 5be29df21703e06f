"""The tasks that there are, by name; and where those of a user come from.

    specs, folder -> tasks, those on the same pictures or sounds with one source

| spec                          | question                                                        | truth    |
|-------------------------------|-----------------------------------------------------------------|----------|
| `imagenet-mobilenetv2`        | which of 1000 things is it?                                     | labels   |
| `imagenet-efficientnet-lite0` | the same, of another network                                    | labels   |
| `text`                        | what do the lines drawn on it say?                              | the text |
| `mask`                        | which part is the foreground?                                   | none     |
| `embedding`                   | does it resemble the original?                                  | none     |
| `detection`                   | which things are where?                                         | none     |
| `words`, `phonemes`, …        | what is to be heard? (on sounds: see listening.py)              | none     |
| `transcript`                  | which words are said?                                           | the text |
| FILE.yaml                     | a network of the user's, without programming (see custom.py)    |          |
| MODULE:NAME, FILE.py:NAME     | any object with the interface of `task.Task`                    |          |

NAME is the task, or a class or function that makes it: without arguments, or given the folder if it has a parameter
called `data`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..codecs.codec import unique_name
from ..codecs.plugins import is_plugin
from ..quality.packaged import machine_extra
from .classification import Top1
from .detection import Detection
from .embedding import Embedding
from .lettering import TextOnPhotographs
from .listening import LISTENING, Listening
from .mask import Foreground
from .sounds import Sounds
from .sources import Photographs
from .task import Task
from .text import ReadText

__all__ = ["SOUND_TASKS", "TASKS", "Sources", "tasks_by_name"]

_MADE: dict[str, tuple[type[Any], Callable[[Any], Any]]] = {
    "imagenet-mobilenetv2": (Photographs, lambda source: Top1("mobilenetv2", source)),
    "imagenet-efficientnet-lite0": (Photographs, lambda source: Top1("efficientnet-lite0", source)),
    "text": (TextOnPhotographs, ReadText),
    "mask": (Photographs, Foreground),
    "embedding": (Photographs, Embedding),
    "detection": (Photographs, Detection),
    **{name: (Sounds, lambda source, name=name: Listening(name, source)) for name in LISTENING},
}
_OPTIONS: dict[type[Any], dict[str, Any]] = {Sounds: {"labels": "auto", "texts": True}}
"""Of sources, beside their folder: texts are of use where there are some."""

TASKS = tuple(_MADE)
"""Names of the built-in tasks."""
SOUND_TASKS = tuple(LISTENING)
"""Those on sounds."""


class Sources:
    """The sources of one run: asked twice for the same, it gives the same one. Names are made unique."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def get(self, kind: type[Any], folder: Path, **options: Any) -> Any:
        """kind(folder, **options), or the one that there is. Raises InputError as the kind does."""
        source = kind(Path(folder).resolve(), **options)
        for made in self._made:
            if type(made) is kind and _made_of(made) == _made_of(source):
                return made
        name = unique_name(source.name, [made.name for made in self._made])
        source = source if name == source.name else replace(source, name=name)
        self._made.append(source)
        return source


def _made_of(source: Any) -> list[Any]:
    return [getattr(source, part.name) for part in fields(source) if part.init and part.name != "name"]


def tasks_by_name(specs: Sequence[str | Task], data: Path | None = None) -> list[Task]:
    """The tasks that specs name (see the module's text), in their order; objects pass through.

    data: the folder of pictures or sounds for those that do not say where theirs are. Raises InputError: unknown, not
    installed, no folder, a wrong YAML file, no specs at all, or two sources of the same name that differ.
    """
    if not specs:
        raise InputError(f"no tasks are given; there are {_known()}")
    sources = Sources()
    tasks = [_task(spec, data, sources) if isinstance(spec, str) else spec for spec in specs]
    by_name: dict[str, Task] = {}
    for task in tasks:
        first = by_name.setdefault(task.source.name, task)
        if first.source is not task.source and first.source != task.source:
            raise InputError(
                f"the tasks {first.name} and {task.name} have different sources of the same name, {task.source.name}: "
                "rename one"
            )
    return tasks


def _task(spec: str, data: Path | None, sources: Sources) -> Task:
    if spec in _MADE:
        kind, make = _MADE[spec]
        if data is None:
            what = "sounds" if kind is Sounds else "pictures"
            raise InputError(f"the task {spec} needs a folder of {what}, and none was given")
        return make(sources.get(kind, data, **_OPTIONS.get(kind, {})))
    if spec.lower().endswith((".yaml", ".yml")):
        machine_extra("pydantic")
        machine_extra("yaml", "pyyaml")
        from .custom import custom_task

        return custom_task(Path(spec), data, sources)
    if is_plugin(spec):
        from .plugin_task import plugin_task

        return plugin_task(spec, data)
    raise InputError(f"unknown task {spec!r}; there are {_known()}")


def _known() -> str:
    return ", ".join([*TASKS, "FILE.yaml", "MODULE:NAME", "FILE.py:NAME"])
