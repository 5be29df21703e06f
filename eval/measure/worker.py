"""One item through one codec: encode to a real file, decode that file, measure, ask the tasks.

    Unit (item, codec, settings) -> Worker.measure -> Measurement (bytes, metrics, answers) for each setting

Each process of a run makes a worker of its own from a `RunSpec`, which is a few names. It loads codecs and networks
when they are first needed, and keeps what it learned of the last few originals.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ...bitstream import atomic_write
from ...codec.ssimulacra2 import installed_version
from ...errors import CodecError, InputError
from ..codecs.codec import Codec, suffix_of, unique_name
from ..codecs.peers import codec_by_name
from ..quality import metrics as quality
from ..quality.networks import CROP, ImageNetwork, distance
from ..quality.perceptual import PERCEPTUAL, perceptual_metrics
from ..tasks.catalogue import tasks_by_name
from ..tasks.task import Answer, Item, Source, Task
from .coding import check_alike

__all__ = ["DISTANCES", "RunSpec", "Measurement", "Worker", "WorkItem", "Unit", "file_of"]

DISTANCES = {"d_mobilenetv2": "mobilenetv2", "d_efficientnet_lite0": "efficientnet-lite0"}
"""Metrics that are distances in the features of a network (see `networks.distance`)."""


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


class Original:
    """An item with what tasks and networks say of it, each computed when first asked for."""

    def __init__(self, item: Item):
        self.item, self._kept = item, {}

    def of(self, name: str, compute: Callable[[np.ndarray], Any]) -> Any:
        """compute(samples), once for each name."""
        if name not in self._kept:
            self._kept[name] = compute(self.item.samples)
        return self._kept[name]


@dataclass(frozen=True)
class Metric:
    """identity: what a cached value depends on besides the two items; measure: original, decoded -> value."""

    identity: str
    measure: Callable[[Original, np.ndarray], float]


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
        self.codecs: dict[str, Codec] = {}
        self.specs: dict[str, str | None] = {}
        self._ladders: dict[str, tuple[float, ...]] = {}
        for spec in dict.fromkeys(run.codecs):
            codec = self._codec(spec) if isinstance(spec, str) else spec
            name = unique_name(codec.name, self.codecs)
            self.codecs[name] = codec
            self.specs[name] = spec if isinstance(spec, str) else None
            wanted = run.settings.get(spec) if isinstance(spec, str) else None
            self._ladders[name] = tuple(map(float, wanted or codec.ladder))
        self.metrics = self._make_metrics(run.metrics)
        self.original = lru_cache(maxsize=4)(self._original)

    def ladder(self, codec: str) -> tuple[float, ...]:
        """The settings of a codec in this run."""
        return self._ladders[codec]

    def file(self, source: str, codec: str, setting: float, item: str) -> Path:
        """The path of a coded item."""
        suffix = suffix_of(self.codecs[codec])
        return file_of(self.run.folder, source, codec, setting, item, suffix)

    def tasks_of(self, source: str) -> list[str]:
        """The names of the tasks that ask about a source's items."""
        return [name for name, task in self.tasks.items() if task.source.name == source]

    def measure(self, unit: Unit) -> list[Measurement]:
        """Do what is asked for. Raises CodecError when codec, metric or network fails on this item."""
        original = self.original(unit.source, unit.item)
        return [self._measure(unit, todo, original) for todo in unit.todo]

    def _measure(self, unit: Unit, todo: WorkItem, original: Original) -> Measurement:
        samples, codec = original.item.samples, self.codecs[unit.codec]
        path = self.file(unit.source, unit.codec, todo.setting, unit.item)
        data = b"" if todo.digest is None else path.read_bytes()
        if todo.digest is None or file_digest(data) != todo.digest:  # none yet, or damaged since
            data = codec.encode(samples, todo.setting)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, overwrite=True) as file:
                file.write(data)
        decoded = codec.decode(data)
        check_alike(unit.codec, samples, decoded)
        metrics = {name: float(self.metrics[name].measure(original, decoded)) for name in todo.metrics}
        answers = {}
        for name in todo.tasks:
            task = self.tasks[name]
            wanted = original.of(f"task {name}", task.predict)
            answers[name] = _checked(name, task.answer(task.predict(decoded), wanted, original.item.truth))
        return Measurement(todo.setting, len(data), file_digest(data), metrics, answers)

    def _original(self, source: str, item: str) -> Original:
        return Original(self.sources[source].item(item))

    def _codec(self, spec: str) -> Codec:
        if self.media == "image":
            return codec_by_name(spec, self.run.device)
        from ..codecs.sound import sound_codec_by_name

        rates = {source.sample_rate for source in self.sources.values()}
        if len(rates) > 1:
            raise InputError(f"the tasks' sounds have several sample rates ({sorted(rates)} Hz): run them one by one")
        return sound_codec_by_name(spec, rates.pop())

    def _make_metrics(self, names: tuple[str, ...] | None) -> dict[str, Metric]:
        images = self.media == "image"
        plain = quality.METRICS if images else quality.SOUND_METRICS
        slow = quality.SLOW_METRICS if images else {}
        if names is None:
            names = (*plain, *(name for name in DISTANCES if images and _installed(name)))
        made: dict[str, Metric] = {}
        for name in dict.fromkeys(names):
            if name in plain:
                made[name] = _plain(name, plain[name])
            elif name in slow:
                made[name] = _plain(f"{name} of the package {name} {installed_version()}", slow[name])
            elif images and name in DISTANCES:
                made[name] = _distance(name)
            elif images and name in PERCEPTUAL:
                metric = perceptual_metrics([name], self.run.weights)[name]
                made[name] = _plain(metric.description, metric)
            else:
                there = [*plain, *slow, *((*DISTANCES, *PERCEPTUAL) if images else ())]
                raise InputError(f"unknown metric {name!r}; there are {', '.join(there)}")
        return made


def _checked(task: str, answer: Answer) -> Answer:
    for value in (answer.score, answer.agreement):
        if not (math.isnan(value) or 0 <= value <= 1):
            raise CodecError(f"the task {task} gave {value:g} where a share from 0 to 1 is expected")
    return answer


def _plain(identity: str, metric: Callable[[np.ndarray, np.ndarray], float]) -> Metric:
    return Metric(identity, lambda original, decoded: metric(original.item.samples, decoded))


def _installed(name: str) -> bool:
    try:
        ImageNetwork(DISTANCES[name])
    except InputError:
        return False
    return True


def _distance(name: str) -> Metric:
    network = ImageNetwork(DISTANCES[name])  # raises InputError if its weights are not installed

    def measured(original: Original, decoded: np.ndarray) -> float:
        return distance(original.of(name, network.features), network.features(decoded))

    return Metric(f"{name}: {network.description}, centre crop {CROP}", measured)
