"""What a run consists of, and what is known of it: every item, through every codec, at every setting.

    worker, cache -> RunState: an entry for each coded item -> units of what is missing -> (measured) -> rows

An entry is complete when its file is there, of the size that was measured, and all metrics and answers are known. What
the cache holds under a key depends on everything that the key is made of: the item's digest, the codec's name and
description, the setting; of metrics and answers also the file's digest and the description of metric or task.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from ...errors import CodecError
from ..tasks.pictures import pixels_of
from ..tasks.task import Answer, ItemRow
from .cache import Cache, key_of
from .runner import Failure, left_out
from .worker import Measurement, Unit, Worker, WorkItem

__all__ = ["Entry", "RunState"]

_FORMAT = 1
"""Part of every key: what was kept by a version that measured otherwise is not taken."""


@dataclass
class Entry:
    """A coded item. place: source, item, codec; coded: bytes and digest of its file, None while there is none."""

    place: tuple[str, str, str]
    setting: float
    key: str
    coded: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)


class RunState:
    """entries: in the order of the table.

    limit: only the first items of each source. Raises InputError (from sources, and a cache that cannot be used).
    """

    def __init__(self, worker: Worker, cache: Cache, limit: int | None = None):
        self.worker = worker
        self.entries: list[Entry] = []
        self._units: dict[tuple[str, str], float] = {}
        self._failures: list[Failure] = []
        for source in worker.sources.values():
            for name in list(source.names())[:limit]:
                self._add(source.name, name)
        self._by_place = {(*entry.place, entry.setting): entry for entry in self.entries}
        self._recall(cache)

    def _add(self, source_name: str, name: str) -> None:
        source = self.worker.sources[source_name]
        try:
            item = source.item(name)
        except CodecError as error:
            reason = str(error).removeprefix(f"{name}: ")
            self._failures.append(Failure(f"{source_name}/{name}", "", reason))
            return
        rate = source.sample_rate
        self._units[source_name, name] = len(item.samples) / rate if rate else pixels_of(item.samples)
        digest = item.digest()
        for codec_name, contestant in self.worker.codecs.items():
            for setting in contestant.ladder:
                key = key_of(_FORMAT, "coded", digest, codec_name, contestant.codec.description, setting)
                self.entries.append(Entry((source_name, name, codec_name), setting, key))

    def _recall(self, cache: Cache) -> None:
        """Fill in what the cache knows."""
        known = cache.get(entry.key for entry in self.entries)
        wanted: dict[str, tuple[Entry, str, str]] = {}
        for entry in self.entries:
            coded = known.get(entry.key)
            source, item, codec = entry.place
            path = self.worker.file(source, codec, entry.setting, item)
            if not _is_coded(coded) or _size(path) != coded["bytes"]:
                continue
            entry.coded = coded
            for kind, name, key in self._keys(entry):
                wanted[key] = entry, kind, name
        for key, value in cache.get(wanted).items():
            entry, kind, name = wanted[key]
            with suppress(KeyError, TypeError, ValueError):  # of another version: measured anew
                if kind == "metric":
                    entry.metrics[name] = float(value)
                else:
                    answer = Answer(float(value["score"]), float(value["agreement"]), str(value["text"]))
                    found, truth = str(value.get("found", "")), str(value.get("truth", ""))
                    top5 = None if value.get("top5") is None else float(value["top5"])
                    entry.answers[name] = replace(answer, found=found, truth=truth, top5=top5)

    def _keys(self, entry: Entry) -> Iterator[tuple[str, str, str]]:
        """(metric or answer, its name, its key) of everything that is measured on a coded item."""
        assert entry.coded is not None
        base = (_FORMAT, entry.key, entry.coded["digest"])
        for name, metric in self.worker.metrics.items():
            yield "metric", name, key_of(*base, "metric", metric.identity)
        for name in self.worker.tasks_of(entry.place[0]):
            task = self.worker.tasks[name]
            yield "answer", name, key_of(*base, "answer", task.name, task.description)

    def missing(self) -> list[Unit]:
        """What has to be done, an item's codecs one after the other."""
        todo: dict[tuple[str, str, str], list[WorkItem]] = {}
        for entry in self.entries:
            metrics = tuple(name for name in self.worker.metrics if name not in entry.metrics)
            tasks = tuple(name for name in self.worker.tasks_of(entry.place[0]) if name not in entry.answers)
            if entry.coded is None or metrics or tasks:
                digest = None if entry.coded is None else entry.coded["digest"]
                todo.setdefault(entry.place, []).append(WorkItem(entry.setting, digest, metrics, tasks))
        return [Unit(*place, tuple(parts)) for place, parts in todo.items()]

    def take(self, unit: Unit, found: list[Measurement]) -> dict[str, Any]:
        """Enter the results of a unit; what the cache should keep of them."""
        values: dict[str, Any] = {}
        for result in found:
            entry = self._by_place[unit.source, unit.item, unit.codec, result.setting]
            entry.coded = {"bytes": result.bytes, "digest": result.digest}
            entry.metrics |= result.metrics
            entry.answers |= result.answers
            values[entry.key] = entry.coded
            for kind, name, key in self._keys(entry):
                if kind == "metric" and name in result.metrics:
                    values[key] = result.metrics[name]
                elif kind == "answer" and name in result.answers:
                    values[key] = asdict(result.answers[name])
        return values

    def failed(self, unit: Unit, reason: str) -> None:
        """Enter that a codec, metric or task failed on an item."""
        self._failures.append(Failure(f"{unit.source}/{unit.item}", unit.codec, reason))

    def rows(self) -> tuple[list[ItemRow], list[tuple[str, str]]]:
        """The rows of items that every codec managed; (source/item or codec, why) of what is left out: `left_out`."""
        hopeless, bad, skipped = left_out(self._failures, len(self._units))
        rows = []
        for entry in self.entries:
            source, item, codec = entry.place
            if codec in hopeless or f"{source}/{item}" in bad or entry.coded is None:
                continue
            size, units = entry.coded["bytes"], self._units[source, item]
            # In the run's order, wherever the values came from: the same run writes the same table.
            metrics = {name: entry.metrics[name] for name in self.worker.metrics}
            answers = {name: entry.answers[name] for name in self.worker.tasks_of(source)}
            rows.append(ItemRow(source, item, codec, entry.setting, size, units, metrics, answers))
        return rows, skipped


def _is_coded(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value of the cache says what a coded file is: another version may have written something else."""
    return isinstance(value, dict) and isinstance(value.get("bytes"), int) and isinstance(value.get("digest"), str)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
