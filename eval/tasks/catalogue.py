"""The tasks that there are, by name; and where those of a user come from.

    specs, folder of pictures -> tasks, those on the same pictures with one source

| spec                          | question                                                        | truth    |
|-------------------------------|-----------------------------------------------------------------|----------|
| `imagenet-mobilenetv2`        | which of 1000 things is it?                                     | labels   |
| `imagenet-efficientnet-lite0` | the same, of another network                                    | labels   |
| `text`                        | what do the lines drawn on it say?                              | the text |
| `mask`                        | which part is the foreground?                                   | none     |
| `embedding`                   | does it resemble the original?                                  | none     |
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
from .embedding import Embedding
from .lettering import TextOnPhotographs
from .mask import Foreground
from .sources import Photographs
from .task import Task
from .text import ReadText

__all__ = ["TASKS", "Sources", "tasks_by_name"]

_MADE: dict[str, tuple[type[Any], Callable[[Any], Any]]] = {
    "imagenet-mobilenetv2": (Photographs, lambda source: Top1("mobilenetv2", source)),
    "imagenet-efficientnet-lite0": (Photographs, lambda source: Top1("efficientnet-lite0", source)),
    "text": (TextOnPhotographs, ReadText),
    "mask": (Photographs, Foreground),
    "embedding": (Photographs, Embedding),
}

TASKS = tuple(_MADE)
"""Names of the built-in tasks."""


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

    data: the folder of pictures for those that do not say where theirs are. Raises InputError: unknown, not installed,
    no folder, a wrong YAML file, no specs at all, or two sources of the same name that differ.
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
            raise InputError(f"the task {spec} needs a folder of pictures, and none was given")
        return make(sources.get(kind, data))
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
