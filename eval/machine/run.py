"""Any task through any codec over a ladder of rates: what is missing is measured, in parallel, and kept.

    tasks, codecs -> units of what the cache lacks -> laboratories in processes -> cache, files/ -> items.tsv -> tables

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
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...bitstream import atomic_write
from ...errors import CodecError, InputError
from ..peers import Codec
from ..report import environment
from .cache import Cache, key_of
from .items import write_items
from .laboratory import Equipment, Found, Laboratory, Todo, Unit
from .task import IDENTITY, Answer, Coded, Task

__all__ = ["ITEMS", "RUN", "TaskRun", "run_tasks"]

ITEMS, RUN = "items.tsv", "run.json"
_FORMAT = 1
"""Part of every key: what was kept by a version that measured otherwise is not taken."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TaskRun:
    """rows: of items.tsv; skipped: (item or codec, why); comments: what the rows depend on; measured: how many units of
    one item and one codec were not in the cache; classes: how many a task has, where it says so (`classes`)."""

    rows: tuple[Coded, ...]
    skipped: tuple[tuple[str, str], ...]
    comments: tuple[str, ...]
    measured: int
    classes: dict[str, int] = field(default_factory=dict)


@dataclass
class _State:
    """What is known of one coded item: `coded` (bytes, digest), then metrics and answers."""

    unit: tuple[str, str, str]
    setting: float
    key: str
    coded: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)


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
    device: str = "cpu",
    progress: Progress | None = None,
) -> TaskRun:
    """Measure and write `out`/items.tsv and run.json, beside the coded files and the cache.

    tasks: names of `catalogue`, YAML files, or objects; codecs: specs of `peers` or objects; the uncompressed items
    (`identity`) always take part; data: the folder of the built-in tasks; metrics: names, by default PSNR, MS-SSIM and
    feature distances of the networks at hand; weights: folder of backbones for perceptual metrics; settings: of codecs,
    by spec, instead of their ladders; limit: only the first items of each source; workers: processes, 1 for none
    besides this one (objects must then be such that they can be sent to a process); progress(done, total) counts coded
    items.

    Raises InputError for what makes no sense, is not installed, or when nothing could be measured; UnknownModel and
    ModelError for models; OSError when `out` cannot be written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    specs = tuple(dict.fromkeys([IDENTITY, *codecs]))
    chosen = {name: tuple(map(float, values)) for name, values in (settings or {}).items()}
    unknown = [name for name in chosen if name not in specs]
    if unknown:
        raise InputError(f"settings are given for {unknown[0]!r}, which is not among the codecs")
    names = None if metrics is None else tuple(metrics)
    laboratory = Laboratory(Equipment(tuple(tasks), specs, out, data, names, weights, device, chosen))
    with Cache(out / "cache.sqlite") as cache:
        states, units_of, skipped = _look_up(laboratory, cache, limit)
        if not states:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
            raise InputError(f"no item could be read ({reasons})")
        _first_answers(laboratory, states)
        todo = list(_missing(laboratory, states))
        total = len(states)
        done = total - sum(len(unit.todo) for unit in todo)
        tick = progress or (lambda done, total: None)
        tick(done, total)
        failures: dict[tuple[str, str], list[tuple[str, str]]] = {}
        by_place = {(*state.unit, state.setting): state for state in states}
        for unit, found, error in _measured(laboratory, todo, workers):
            if error is not None:
                failures.setdefault((unit.source, unit.item), []).append((unit.codec, error))
            values: dict[str, Any] = {}
            for result in found:
                values |= _take(laboratory, by_place[unit.source, unit.item, unit.codec, result.setting], result)
            cache.put(values)
            done += len(unit.todo)
            tick(done, total)
    rows, left_out = _rows(states, units_of, failures)
    skipped += left_out
    if not rows:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise InputError(f"nothing could be measured ({reasons})")
    comments = _comments(laboratory, skipped)
    write_items(out / ITEMS, comments, rows)
    with atomic_write(out / RUN, overwrite=True) as file:
        file.write(json.dumps({"codecs": laboratory.specs}, indent=1).encode())
    counts = {name: getattr(task, "classes", None) for name, task in laboratory.tasks.items()}
    classes = {name: count for name, count in counts.items() if isinstance(count, int)}
    return TaskRun(tuple(rows), tuple(skipped), tuple(comments), len(todo), classes)


def _look_up(
    laboratory: Laboratory, cache: Cache, limit: int | None
) -> tuple[list[_State], dict[tuple[str, str], float], list[tuple[str, str]]]:
    """Every coded item that the run consists of, with what the cache knows; the items' sizes; those that are left
    out."""
    states: list[_State] = []
    units_of: dict[tuple[str, str], float] = {}
    skipped: list[tuple[str, str]] = []
    for source in laboratory.sources.values():
        for name in list(source.names())[:limit]:
            try:
                item = source.item(name)
            except CodecError as error:
                skipped.append((f"{source.name}/{name}", str(error).removeprefix(f"{name}: ")))
                continue
            rate = source.sample_rate
            units_of[source.name, name] = len(item.samples) / rate if rate else float(_pixels(item.samples))
            digest = item.digest()
            for codec_name, codec in laboratory.codecs.items():
                for setting in laboratory.ladder(codec_name):
                    key = key_of(_FORMAT, "coded", digest, codec_name, codec.description, setting)
                    states.append(_State((source.name, name, codec_name), setting, key))
    known = cache.get(state.key for state in states)
    wanted: dict[str, tuple[_State, str, str]] = {}
    for state in states:
        coded = known.get(state.key)
        source, item, codec = state.unit
        if coded is None or _size(laboratory.file(source, codec, state.setting, item)) != coded["bytes"]:
            continue
        state.coded = coded
        for kind, name, key in _keys(laboratory, state):
            wanted[key] = state, kind, name
    for key, value in cache.get(wanted).items():
        state, kind, name = wanted[key]
        if kind == "metric":
            state.metrics[name] = float(value)
        else:
            state.answers[name] = Answer(float(value["score"]), float(value["agreement"]), value["text"])
    return states, units_of, skipped


def _pixels(samples: Any) -> int:
    return samples.shape[0] * samples.shape[1]


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _keys(laboratory: Laboratory, state: _State) -> Iterator[tuple[str, str, str]]:
    """(metric or answer, its name, its key) of everything that is measured on a coded item."""
    assert state.coded is not None
    base = (_FORMAT, state.key, state.coded["digest"])
    for name, metric in laboratory.metrics.items():
        yield "metric", name, key_of(*base, "metric", metric.identity)
    for name in laboratory.tasks_of(state.unit[0]):
        task = laboratory.tasks[name]
        yield "answer", name, key_of(*base, "answer", task.name, task.description)


def _take(laboratory: Laboratory, state: _State, found: Found) -> dict[str, Any]:
    """Put a result where it belongs; what the cache should know of it."""
    state.coded = {"bytes": found.bytes, "digest": found.digest}
    state.metrics |= found.metrics
    state.answers |= found.answers
    values: dict[str, Any] = {state.key: state.coded}
    for kind, name, key in _keys(laboratory, state):
        if kind == "metric" and name in found.metrics:
            values[key] = found.metrics[name]
        elif kind == "answer" and name in found.answers:
            values[key] = asdict(found.answers[name])
    return values


def _missing(laboratory: Laboratory, states: Sequence[_State]) -> Iterator[Unit]:
    """What has to be done, an item's codecs one after the other."""
    todo: dict[tuple[str, str, str], list[Todo]] = {}
    for state in states:
        metrics = tuple(name for name in laboratory.metrics if name not in state.metrics)
        tasks = tuple(name for name in laboratory.tasks_of(state.unit[0]) if name not in state.answers)
        if state.coded is None or metrics or tasks:
            todo.setdefault(state.unit, []).append(Todo(state.setting, state.coded is None, metrics, tasks))
    for (source, item, codec), parts in todo.items():
        yield Unit(source, item, codec, tuple(parts))


def _first_answers(laboratory: Laboratory, states: Sequence[_State]) -> None:
    """Let every task answer once: a network that does not fit must stop the run, not every item of it."""
    for name, task in laboratory.tasks.items():
        state = next((s for s in states if s.unit[0] == task.source.name), None)
        if state is None or all(name in s.answers for s in states if s.unit[0] == task.source.name):
            continue
        original = laboratory.original(*state.unit[:2])
        try:
            prediction = original.of(f"task {name}", task.predict)
            task.answer(prediction, prediction, original.item.truth)
        except CodecError as error:
            raise InputError(f"the task {name} fails on the uncompressed {state.unit[1]}: {error}") from None


def _measured(laboratory: Laboratory, todo: list[Unit], workers: int) -> Iterator[tuple[Unit, list[Found], str | None]]:
    """Each unit with its results, as they come, and why it failed if it did."""
    workers = min(workers, len(todo))
    if workers <= 1:
        for unit in todo:
            yield unit, *_attempt(laboratory, unit)
        return
    import multiprocessing

    threads = max(1, (os.cpu_count() or 1) // workers)
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _begin, (laboratory.equipment, threads)
    )
    waiting = iter(todo)
    running: dict[Future[tuple[list[Found], str | None]], Unit] = {}
    try:
        while True:
            while len(running) < 2 * workers and (unit := next(waiting, None)) is not None:
                running[executor.submit(_work, unit)] = unit
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                unit = running.pop(future)
                found, error = future.result()
                yield unit, found, error
    except BrokenProcessPool:
        raise InputError(
            "a worker process ended abruptly (out of memory?); what it had measured is kept: run again, with fewer -j"
        ) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _attempt(laboratory: Laboratory, unit: Unit) -> tuple[list[Found], str | None]:
    try:
        return laboratory.measure(unit), None
    except (OSError, MemoryError, RuntimeError) as error:  # RuntimeError: torch's; CodecError is an OSError
        return [], " ".join(str(error).split()) or type(error).__name__


_laboratory: Laboratory | None = None


def _begin(equipment: Equipment, threads: int) -> None:
    """In a new worker: make the laboratory; end when the parent does, and leave Ctrl-C to it."""
    import signal
    from multiprocessing import connection, parent_process

    import torch

    global _laboratory
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def follow() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    torch.set_num_threads(threads)
    _laboratory = Laboratory(equipment)


def _work(unit: Unit) -> tuple[list[Found], str | None]:
    assert _laboratory is not None
    return _attempt(_laboratory, unit)


def _rows(
    states: Sequence[_State],
    units_of: dict[tuple[str, str], float],
    failures: dict[tuple[str, str], list[tuple[str, str]]],
) -> tuple[list[Coded], list[tuple[str, str]]]:
    """The rows of items that every codec managed, and what is left out."""
    skipped: list[tuple[str, str]] = []
    failed = {codec for found in failures.values() for codec, _ in found}
    hopeless = set()
    for codec in sorted(failed - {IDENTITY}):
        reasons = {place: reason for place, found in failures.items() for name, reason in found if name == codec}
        if len(reasons) == len(units_of):
            hopeless.add(codec)
            skipped.append((codec, f"failed on every item ({next(iter(reasons.values()))})"))
    bad = set()
    for place, found in failures.items():
        for codec, reason in found:
            if codec not in hopeless and place not in bad:
                bad.add(place)
                skipped.append(("/".join(place), f"{codec}: {reason}"))
    rows = []
    for state in states:
        source, item, codec = state.unit
        if codec in hopeless or (source, item) in bad or state.coded is None:
            continue
        size = state.coded["bytes"]
        units = units_of[source, item]
        rows.append(Coded(source, item, codec, state.setting, size, units, state.metrics, state.answers))
    return rows, skipped


def _comments(laboratory: Laboratory, skipped: Sequence[tuple[str, str]]) -> list[str]:
    return [
        "one row a coded file; bytes are those of the file",
        *environment(),
        *(f"source {source.name}: {source.description}" for source in laboratory.sources.values()),
        *(f"task {name}: {task.measure}; {task.description}" for name, task in laboratory.tasks.items()),
        *(f"codec {name}: {codec.description}" for name, codec in laboratory.codecs.items()),
        *(f"left out {name}: {why}" for name, why in skipped),
    ]
