"""Workers of a run as processes: each loads the model for itself, so that entropy coding too runs side by side.

    bunches -> process (task of its own) -> records        a process that is lost -> its bunches again, one at a time

What is worked on when a process ends abruptly (killed for memory, or crashed) is done once more, alone; what ends it
again fails with a sentence. Processes end when the one that began them does, without leaving a temporary file behind;
Ctrl-C reaches that one alone.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ..bitstream.atomic import discard_temporaries
from ..errors import CodecError

__all__ = ["WorkerLost", "in_processes"]

AHEAD = 2
"""Bunches that are sent to each process before it asks."""
_Bunch = list[tuple[int, Any]]
_Records = list[tuple[int, Any]]
_Work = Callable[[Any, _Bunch], _Records]


class WorkerLost(CodecError):
    """A worker process ended abruptly while it worked on an input, twice."""


def in_processes(
    bunches: Iterable[_Bunch], task: Any, work: _Work, failed: Callable[[Any, CodecError], Any], workers: int
) -> Iterator[_Records]:
    """Numbers and records of all bunches, as they come. task: a `jobs.Task` that pickles; work: does a bunch with it, a
    function of a module; failed: the record of a job that ends its process. Raises what work raises.
    """
    waiting = iter(bunches)
    again: deque[_Bunch] = deque()
    while True:
        lost: list[_Bunch] = []
        pool = _pool(task, workers)
        try:
            running: dict[Future[_Records], _Bunch] = {}
            while True:
                while len(running) < AHEAD * workers and (bunch := next(waiting, None)) is not None:
                    running[pool.submit(_do, work, bunch)] = bunch
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    bunch = running.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        lost.append(bunch)
                if lost:
                    break
            lost += running.values()
        except BrokenProcessPool:  # by the time that something was sent to it
            lost += [bunch, *running.values()]  # pyright: ignore[reportPossiblyUnboundVariable]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        again += [[job] for bunch in lost for job in bunch]
        if not lost:
            return
        yield from _alone(again, task, work, failed)


def _alone(jobs: deque[_Bunch], task: Any, work: _Work, failed: Callable[[Any, CodecError], Any]) -> Iterator[_Records]:
    """Do single jobs one after the other, in a process that is replaced when one ends it."""
    while jobs:
        with _pool(task, 1) as pool:
            while jobs:
                job = jobs.popleft()
                try:
                    yield pool.submit(_do, work, job).result()
                except BrokenProcessPool:
                    number, input = job[0]
                    error = WorkerLost("a worker process ended abruptly on this, twice (out of memory?)")
                    yield [(number, failed(input, error))]
                    break


def _pool(task: Any, workers: int) -> ProcessPoolExecutor:
    import multiprocessing

    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (task,))


_task: Any = None


def _begin(task: Any) -> None:
    """In a new process: keep the task, leave Ctrl-C to the parent, and end when that does."""
    from multiprocessing import connection, parent_process

    global _task
    _task = task
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def end(*_: Any) -> None:
        discard_temporaries()
        os._exit(1)

    def follow() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            end()

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=follow, daemon=True).start()
    import warnings

    warnings.simplefilter("ignore")  # Pillow's remarks on odd files, as in the parent


def _do(work: _Work, bunch: _Bunch) -> _Records:
    return work(_task, bunch)
