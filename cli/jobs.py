"""Many files: bunches of jobs, workers, one record for each job, in the order of the inputs.

    paths -> jobs -> bunches -> [worker: read, prepare, code, finish] -> records, in order -> console

Small pictures of one size that follow each other are coded together, as one batch. Workers are what a pool makes
(`codec.workers`): threads, which share the model; processes; or actors of a Ray cluster. Of threads one at a time does
entropy coding, as constriction holds the interpreter's lock; torch, Pillow and files release it.

Guarantees. Bunches depend on the inputs alone, not on the number of workers or their speed, so that the same command
writes the same bytes again. A worker holds one bunch at a time: one picture of any size, or small ones of at most
`task.bunch_pixels` pixels together. One bad picture never fails its neighbours. An exception that no input can be
blamed for ends the run and comes out of `run`. SIGINT and SIGTERM end the process at once, whatever a worker computes,
without leaving a temporary file behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ..bitstream.atomic import discard_temporaries
from ..codec.media.medium import PICTURE, Medium
from ..codec.workers.pool import Pool, Threads, Work, WorkerLost, done

__all__ = ["Bunch", "Feed", "Job", "Record", "Task", "expected", "promptly_interrupted", "run"]

MAX_BUNCH = 32
"""Pictures in one bunch: beyond this a batch gains nothing, and a folder of thumbnails should keep all workers busy."""


@dataclass(frozen=True)
class Job:
    """One input and where its output goes.

    source: a path, or "-" for standard input. destination: a path; None is standard output (or no output at all).
    makes_folders: the destination's folder is made when it is needed. error: why the job cannot be done, if that is
    known before any work. medium: of the input, or of what it is decoded to. folder: the destination is one, with a
    file for each item. again: a worker was lost with it, and what it may have written is overwritten.
    """

    source: str
    destination: Path | None = None
    makes_folders: bool = False
    error: OSError | None = None
    medium: Medium = PICTURE
    folder: bool = False
    again: bool = False


Bunch = list[tuple[int, Job]]
"""Jobs that are done together, with their numbers in the run."""


@dataclass(frozen=True)
class Record:
    """What became of a job. error: None if it was done; facts: as `--json` names them; notes: clauses for the user."""

    job: Job
    error: BaseException | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Task(Protocol):
    """What is done to each job, step by step. Each may raise what `expected` expects. Threads share a task."""

    @property
    def bunch_pixels(self) -> int:
        """Pixels that one bunch may hold together."""
        ...

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        """What neighbours must have in common to be coded together, and the picture's pixels; None: alone. Cheap."""
        ...

    def read(self, job: Job) -> Any:
        """The job's input, in memory."""
        ...

    def prepare(self, inputs: Sequence[Any]) -> None:
        """Whatever has to be loaded before `code`; no part of the seconds that are reported."""
        ...

    def code(self, inputs: Sequence[Any]) -> list[Any]:
        """The results of several inputs. May raise for all of them because of one."""
        ...

    def finish(self, job: Job, input: Any, result: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Write the output -> facts and notes of the record."""
        ...


def expected(error: BaseException) -> bool:
    """Whether the input or the machine is to blame, not this program. Of RuntimeErrors only torch's on memory are,
    which have no class of their own.
    """
    return isinstance(error, (OSError, MemoryError)) or (isinstance(error, RuntimeError) and "memory" in str(error))


def run(
    jobs: Sequence[Job],
    task: Task,
    report: Callable[[Record], None],
    *,
    pool: Pool | None = None,
    keep_going: bool = True,
    tick: Callable[[Record], None] = lambda record: None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Do all jobs. `report` gets their records in the order of the jobs, `tick` gets them as they come; both are called
    in this thread.

    pool: what the workers are; by default one thread. keep_going: without it the first failure ends the run: what has
    been begun is finished and reported, nothing more is begun, and bunches are single jobs. say: takes a sentence when
    a worker is lost. Raises what a task raises and `expected` does not expect.
    """
    pool = Threads() if pool is None else pool
    feed = Feed(_bunches(jobs, task, MAX_BUNCH if keep_going else 1), bool(pool.lost))
    waiting: dict[int, Record] = {}
    reported = 0
    for bunch, found in done(feed, Work(_performed, task), pool, apart=feed.apart, say=say):
        for number, record in _records(bunch, found):
            waiting[number] = record
            tick(record)
            if record.error is not None and not keep_going:
                feed.stop()
        while reported in waiting:
            report(waiting.pop(reported))
            reported += 1


@contextmanager
def promptly_interrupted(last: Callable[[], None] = lambda: None) -> Iterator[None]:
    """SIGINT and SIGTERM inside the block remove the temporary files and end the process with 130 or 143. last: what is
    still said.

    The process ends without waiting for its threads: a convolution over a large picture cannot be interrupted.
    """

    def terminate(number: int, _: object) -> None:
        raise _Terminated(number)

    before = None
    if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
        before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, _Terminated) as interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C shall not disturb the cleaning
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        discard_temporaries()
        with suppress(Exception):  # the output may be gone, or be in the middle of a line
            last()
        os._exit(128 + (signal.SIGINT if isinstance(interrupt, KeyboardInterrupt) else signal.SIGTERM))
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


class _Terminated(BaseException):
    """SIGTERM, on its way through the blocks that restore the terminal."""


class Feed:
    """Bunches as they are asked for, until there are no more or `stop` is called. noting: which outputs were there when
    a bunch was handed out, so that what a lost worker has written may be overwritten, but nothing else.
    """

    def __init__(self, bunches: Iterable[Bunch], noting: bool) -> None:
        self._bunches, self._noting = iter(bunches), noting
        self._there: set[int] = set()
        self._stopped = False

    def __iter__(self) -> Iterator[Bunch]:
        while not self._stopped and (bunch := next(self._bunches, None)) is not None:
            if self._noting:
                self._there |= {n for n, job in bunch if job.destination and os.path.lexists(job.destination)}
            yield bunch

    def stop(self) -> None:
        self._stopped = True

    def apart(self, bunch: Bunch) -> list[Bunch]:
        """The jobs of a bunch, to be done again one by one."""
        return [[(number, replace(job, again=number not in self._there))] for number, job in bunch]


def _bunches(jobs: Sequence[Job], task: Task, most: int) -> Iterator[Bunch]:
    """The jobs with their numbers, neighbours of one kind together."""
    bunch: Bunch = []
    held, pixels = None, 0
    for number, job in enumerate(jobs):
        kind = task.kind(job) if job.error is None and most > 1 and len(jobs) > 1 else None
        fits = kind is not None and kind[0] == held and pixels + kind[1] <= task.bunch_pixels and len(bunch) < most
        if bunch and not fits:
            yield bunch
            bunch, pixels = [], 0
        bunch.append((number, job))
        held, pixels = (None, 0) if kind is None else (kind[0], pixels + kind[1])
    if bunch:
        yield bunch


def _perform(task: Task, bunch: Bunch) -> Iterator[tuple[int, Record]]:
    """Do the jobs of one bunch. What cannot be read or written fails alone."""
    read: list[tuple[int, Job, Any]] = []
    for number, job in bunch:
        try:
            if job.error is not None:
                raise job.error
            read.append((number, job, task.read(job)))
        except Exception as error:
            yield number, _failed(job, error)
    if read:
        yield from _code(task, read)


def _performed(task: Task, bunch: Bunch) -> list[tuple[int, Record]]:
    return list(_perform(task, bunch))


def _records(bunch: Bunch, found: list[tuple[int, Record]] | WorkerLost) -> list[tuple[int, Record]]:
    if isinstance(found, WorkerLost):
        return [(number, Record(job, found)) for number, job in bunch]
    return found


def _code(task: Task, items: Sequence[tuple[int, Job, Any]]) -> Iterator[tuple[int, Record]]:
    inputs = [input for _, _, input in items]
    try:
        task.prepare(inputs)
        started = time.perf_counter()
        results = task.code(inputs)
        shared = (time.perf_counter() - started) / len(items)
    except Exception as error:
        if len(items) == 1:
            yield items[0][0], _failed(items[0][1], error)
        elif not expected(error):
            raise
        else:
            for item in items:  # one of them is bad, or all are too much together: only what is bad alone fails
                yield from _code(task, [item])
        return
    for (number, job, input), result in zip(items, results, strict=True):
        started = time.perf_counter()
        try:
            facts, notes = task.finish(job, input, result)
        except Exception as error:
            yield number, _failed(job, error)
            continue
        yield number, Record(job, facts=facts | {"seconds": shared + time.perf_counter() - started}, notes=notes)


def _failed(job: Job, error: Exception) -> Record:
    if not expected(error):
        raise error
    error.__cause__ = error.__context__ = None  # with their tracebacks they would keep pictures in memory
    return Record(job, error.with_traceback(None))
