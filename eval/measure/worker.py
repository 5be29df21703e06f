"""One item through one codec: encode to a real file, decode that file, measure, ask the tasks.

    Unit (item, codec, settings) -> Worker.measure -> Measurement (bytes, metrics, answers) for each setting

Each process of a run makes a worker of its own from a `RunSpec`, which is a few names. It loads codecs and networks
when they are first needed, and keeps what it learned of the last few originals.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from ...bitstream import atomic_write
from ...errors import CodecError, InputError
from ..codecs.codec import Codec, suffix_of, unique_name
from ..codecs.peers import codec_by_name
from ..tasks.catalogue import tasks_by_name
from ..tasks.task import Answer, Item, Source, Task
from .coding import Original, coded
from .metrics import metrics_by_name
from .runner import contestants

__all__ = ["RunSpec", "Measurement", "Worker", "WorkItem", "Unit", "file_of"]


@dataclass(frozen=True)
class RunSpec:
    """What a run measures with. tasks, codecs: specs, or objects with the interfaces of `task` and `peers`; data: the
    folder for the tasks that need one; metrics: names, None for all that need nothing more; weights: folder of
    backbones that the user supplies; folder: where the files go; device: where lecodec's networks run; settings: of
    codecs (by spec) instead of their own ladder.
    """

    tasks: tuple[str | Task, ...]
    codecs: tuple[str | Codec, ...]
    folder: Path
    data: Path | None = None
    metrics: tuple[str, ...] | None = None
    weights: Path | None = None
    device: str = "cpu"
    settings: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkItem:
    """What is missing at one setting. digest: of the file that is there, None if it has to be made."""

    setting: float
    digest: str | None
    metrics: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Unit:
    """A piece of work for one process. codec: its name in the run."""

    source: str
    item: str
    codec: str
    todo: tuple[WorkItem, ...]


@dataclass(frozen=True)
class Measurement:
    """What was measured at one setting. digest: of the file's bytes."""

    setting: float
    bytes: int
    digest: str
    metrics: dict[str, float]
    answers: dict[str, Answer]


def file_of(folder: Path, source: str, codec: str, setting: float, item: str, suffix: str) -> Path:
    """The path of a coded item: files/SOURCE/CODEC/SETTING/ITEM.suffix, each part quoted as in a URL."""
    parts = [quote(part, safe=" ") for part in (source, codec, f"{setting:g}", item)]
    return folder.joinpath("files", *parts[:-1], parts[-1] + suffix)


def file_digest(data: bytes) -> str:
    """16 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class Worker:
    """tasks, codecs, sources, metrics: by name, in order. Raises InputError for what cannot be made, UnknownModel or
    ModelError for models.
    """

    def __init__(self, run: RunSpec):
        self.run = run
        self.tasks: dict[str, Task] = {}
        for task in tasks_by_name(run.tasks, run.data):
            self.tasks[unique_name(task.name, self.tasks)] = task
        self.sources: dict[str, Source] = {task.source.name: task.source for task in self.tasks.values()}
        media = {source.media for source in self.sources.values()}
        if len(media) > 1:
            raise InputError("tasks on pictures and tasks on sounds do not go together: run them one after the other")
        self.media = media.pop()
        self.codecs = contestants(run.codecs, self._codec, run.settings)
        self.metrics = metrics_by_name(self.media, run.metrics, rate=self._rate(), weights=run.weights)
        self.original = lru_cache(maxsize=4)(self._original)

    def file(self, source: str, codec: str, setting: float, item: str) -> Path:
        """The path of a coded item."""
        suffix = suffix_of(self.codecs[codec].codec)
        return file_of(self.run.folder, source, codec, setting, item, suffix)

    def tasks_of(self, source: str) -> list[str]:
        """The names of the tasks that ask about a source's items."""
        return [name for name, task in self.tasks.items() if task.source.name == source]

    def measure(self, unit: Unit) -> list[Measurement]:
        """Do what is asked for. Raises CodecError when codec, metric or network fails on this item."""
        item, original = self.original(unit.source, unit.item)
        return [self._measure(unit, todo, item, original) for todo in unit.todo]

    def _measure(self, unit: Unit, todo: WorkItem, item: Item, original: Original) -> Measurement:
        path = self.file(unit.source, unit.codec, todo.setting, unit.item)
        data = None if todo.digest is None else path.read_bytes()
        if data is not None and file_digest(data) != todo.digest:  # damaged since
            data = None
        found = coded(self.codecs[unit.codec].codec, original, todo.setting, name=unit.codec, data=data)
        if data is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, overwrite=True) as file:
                file.write(found.data)
        metrics = {name: float(self.metrics[name].measure(found)) for name in todo.metrics}
        answers = {}
        for name in todo.tasks:
            task = self.tasks[name]
            wanted = original.of(f"task {name}", task.predict)
            answers[name] = _checked(name, task.answer(task.predict(found.decoded), wanted, item.truth))
        return Measurement(todo.setting, len(found.data), file_digest(found.data), metrics, answers)

    def _original(self, source: str, name: str) -> tuple[Item, Original]:
        item = self.sources[source].item(name)
        return item, Original(item.samples)

    def _codec(self, spec: str) -> Codec:
        if self.media == "image":
            return codec_by_name(spec, self.run.device)
        from ..codecs.sound import sound_codec_by_name

        return sound_codec_by_name(spec, self._rate())

    def _rate(self) -> int:
        """The sample rate of all sounds in Hz, 0 for pictures. Raises InputError when there are several."""
        rates = {source.sample_rate for source in self.sources.values()}
        if len(rates) > 1:
            raise InputError(f"the tasks' sounds have several sample rates ({sorted(rates)} Hz): run them one by one")
        return rates.pop()


def _checked(task: str, answer: Answer) -> Answer:
    for value in (answer.score, answer.agreement):
        if not (math.isnan(value) or 0 <= value <= 1):
            raise CodecError(f"the task {task} gave {value:g} where a share from 0 to 1 is expected")
    return answer
