"""Units of work, in this process or in several: what comes back, as it comes.

    Unit -> process (a `Worker` of its own) -> (Measurement for each setting, or why it failed)

A process that is asked to stop, or whose parent is gone, ends; Ctrl-C reaches the parent alone, which lets the units in
flight end and keeps their results.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from ...errors import InputError
from .runner import FAILURES, reason_of
from .worker import Measurement, RunSpec, Unit, Worker

__all__ = ["measured"]

Outcome = tuple[list[Measurement], str | None]


def measured(worker: Worker, todo: list[Unit], workers: int) -> Iterator[tuple[Unit, list[Measurement], str | None]]:
    """Each unit with its results, as they come, and why it failed if it did.

    workers: processes, 1 for none besides this one. Raises InputError when a process dies, and for a run that
    cannot be sent to one; OSError when the disk is full.
    """
    workers = min(workers, len(todo))
    if workers <= 1:
        for unit in todo:
            yield unit, *_attempt(worker, unit)
        return
    import multiprocessing

    try:
        pickle.dumps(worker.run)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(f"tasks and codecs of this run cannot be sent to processes: use one ({error})") from None
    threads = max(1, (os.cpu_count() or 1) // workers)
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (worker.run, threads))
    waiting = iter(todo)
    running: dict[Future[Outcome], Unit] = {}
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


def _attempt(worker: Worker, unit: Unit) -> Outcome:
    try:
        return worker.measure(unit), None
    except FAILURES as error:
        return [], reason_of(error)


_own: Worker | None = None


def _begin(spec: RunSpec, threads: int) -> None:
    """In a new worker: make the worker; end when the parent does, and leave Ctrl-C to it."""
    import signal
    from multiprocessing import connection, parent_process

    import torch

    global _own
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def follow() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    torch.set_num_threads(threads)
    _own = Worker(spec)


def _work(unit: Unit) -> Outcome:
    assert _own is not None
    return _attempt(_own, unit)
