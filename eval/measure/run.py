"""Any task through any codec over a ladder of rates: what is missing is measured, in parallel, and kept.

    tasks, codecs -> units of what the cache lacks -> workers -> cache, files/ -> items.tsv -> tables

A run can be killed at any time: the next one with the same folder goes on where it was. Results are kept by digests of
everything that they depend on (see `cache`), so that a run with one more codec or task measures only that, and a warm
run only reads. The coded files stay in the folder: the sizes in every table are theirs, and a file that is missing or
has another size is made again.

An item that cannot be read, or that some codec or task fails on, is reported and left out for all codecs, so that all
of them answer for the same items; a codec that fails on every item is left out itself. Failures are not kept: the next
run tries again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...bitstream import atomic_write
from ...errors import CodecError, InputError
from ..codecs.codec import IDENTITY, Codec
from ..tasks.task import ItemRow, Task
from .cache import Cache
from .items import write_items
from .run_state import RunState
from .runner import Progress, first_of
from .tsv import environment
from .worker import RunSpec, Worker
from .workers import measured

__all__ = ["ITEMS", "RUN", "TaskRun", "run_tasks"]

ITEMS, RUN = "items.tsv", "run.json"


@dataclass(frozen=True)
class TaskRun:
    """rows: of items.tsv; skipped: (item or codec, why); comments: what the rows depend on; measured: how many units of
    one item and one codec were not in the cache; classes: how many a task has, where it says so (`classes`)."""

    rows: tuple[ItemRow, ...]
    skipped: tuple[tuple[str, str], ...]
    comments: tuple[str, ...]
    measured: int
    classes: dict[str, int] = field(default_factory=dict)


def run_tasks(
    tasks: Sequence[str | Task],
    codecs: Sequence[str | Codec],
    out: Path,
    *,
    data: Path | None = None,
    metrics: Sequence[str] | None = None,
    weights: Path | None = None,
    settings: Mapping[str, Sequence[float]] | None = None,
    limit: int | None = None,
    workers: int = 1,
    ray: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> TaskRun:
    """Measure and write `out`/items.tsv and run.json, beside the coded files and the cache.

    tasks: names of `catalogue`, YAML files, or objects; codecs: specs of `peers` or objects; the uncompressed items
    (`identity`) always take part; data: the folder of the built-in tasks; metrics: names, by default PSNR, MS-SSIM and
    feature distances of the networks that are installed; weights: folder of backbones for perceptual metrics; settings:
    of codecs, by spec, instead of their ladders; limit: only the first items of each source; workers: processes, 1 for
    none besides this one (objects must then be such that they can be sent to a process); ray: the address of a cluster
    instead, whose nodes share the file system, with so many workers, or all that it has for 0; progress(done, total)
    counts coded items; say: takes a sentence when a worker is lost.

    Raises InputError for what makes no sense, is not installed, or when nothing could be measured; UnknownModel and
    ModelError for models; OSError when `out` cannot be written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    specs = tuple(dict.fromkeys([IDENTITY, *codecs]))
    chosen = {name: tuple(map(float, values)) for name, values in (settings or {}).items()}
    names = None if metrics is None else tuple(metrics)
    worker = Worker(RunSpec(tuple(tasks), specs, out, data, names, weights, device, chosen))
    tick = progress or (lambda done, total: None)
    with Cache(out / "cache.sqlite") as cache:
        state = RunState(worker, cache, limit)
        if not state.entries:
            raise InputError(f"no item could be read ({first_of(state.rows()[1])})")
        _first_answers(worker, state)
        todo = state.missing()
        total = len(state.entries)
        done = total - sum(len(unit.todo) for unit in todo)
        tick(done, total)
        for unit, found, error in measured(worker, todo, workers, ray, say):
            if error is not None:
                state.failed(unit, error)
            cache.put(state.take(unit, found))
            done += len(unit.todo)
            tick(done, total)
    rows, skipped = state.rows()
    if not rows:
        raise InputError(f"nothing could be measured ({first_of(skipped)})")
    comments = _comments(worker, skipped)
    write_items(out / ITEMS, comments, rows)
    with atomic_write(out / RUN, overwrite=True) as file:
        file.write(
            json.dumps({"codecs": {name: codec.spec for name, codec in worker.codecs.items()}}, indent=1).encode()
        )
    counts = {name: getattr(task, "classes", None) for name, task in worker.tasks.items()}
    classes = {name: count for name, count in counts.items() if isinstance(count, int)}
    return TaskRun(tuple(rows), tuple(skipped), tuple(comments), len(todo), classes)


def _first_answers(worker: Worker, state: RunState) -> None:
    """Let every task answer once: a network that does not fit must stop the run, not every item of it."""
    for name, task in worker.tasks.items():
        entries = [entry for entry in state.entries if entry.place[0] == task.source.name]
        if all(name in entry.answers for entry in entries):
            continue
        source, item, _ = entries[0].place
        asked, original = worker.original(source, item)
        try:
            prediction = original.of(f"task {name}", task.predict)
            task.answer(prediction, prediction, asked.truth)
        except CodecError as error:
            raise InputError(f"the task {name} fails on the uncompressed {item}: {error}") from None


def _comments(worker: Worker, skipped: Sequence[tuple[str, str]]) -> list[str]:
    return [
        "one row a coded file; bytes are those of the file",
        *environment(),
        *(f"source {source.name}: {source.description}" for source in worker.sources.values()),
        *(f"task {name}: {task.measure}; {task.description}" for name, task in worker.tasks.items()),
        *(f"codec {name}: {found.codec.description}" for name, found in worker.codecs.items()),
        *(f"left out {name}: {why}" for name, why in skipped),
    ]
