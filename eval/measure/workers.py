"""Units of work, in this process or by several workers: what comes back, as it comes.

    Unit -> process or actor (a `Worker` of its own) -> (Measurement for each setting, or why it failed)

Ctrl-C reaches the parent alone, whose end is that of the others; what has come back by then is kept. What a worker held
that is lost is measured once more (see `codec.workers`).
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator

from ...codec.workers.choice import pool_for
from ...codec.workers.pool import Work, WorkerLost, done
from ...errors import InputError
from .runner import FAILURES, reason_of
from .worker import Measurement, RunSpec, Unit, Worker

__all__ = ["measured", "share_threads"]

Outcome = tuple[list[Measurement], str | None]


def measured(
    worker: Worker,
    todo: list[Unit],
    workers: int,
    ray: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[Unit, list[Measurement], str | None]]:
    """Each unit with its results, as they come, and why it failed if it did.

    workers: processes, 1 for none besides this one; ray: the address of a cluster instead, with so many workers or, for
    0, all that it has. say: takes a sentence when a worker is lost. Raises InputError for a run that cannot be sent to
    a process, and without the cluster; OSError when the disk is full.
    """
    if not todo:
        return
    if ray is None and min(workers, len(todo)) <= 1:
        for unit in todo:
            yield unit, *_attempt(worker, unit)
        return
    try:
        pickle.dumps(worker.run)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(f"tasks and codecs of this run cannot be sent to processes: use one ({error})") from None
    pool = pool_for(workers, len(todo), processes=True, ray=ray, gpu=worker.run.device != "cpu")
    work = Work(_attempt, (worker.run, None if ray else pool.workers), _begin)
    for unit, outcome in done(todo, work, pool, say=say):
        if isinstance(outcome, WorkerLost):
            yield unit, [], str(outcome)
        else:
            yield unit, *outcome


def _attempt(worker: Worker, unit: Unit) -> Outcome:
    try:
        return worker.measure(unit), None
    except FAILURES as error:
        return [], reason_of(error)


def _begin(given: tuple[RunSpec, int | None]) -> Worker:
    spec, workers = given
    share_threads(workers)
    return Worker(spec)


def share_threads(workers: int | None) -> None:
    """Give this process its share of the machine's processors. workers: on the machine; None: what Ray has set."""
    if workers is not None:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
