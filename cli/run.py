"""The files of one command: those that are left to do, by workers, with a report, to an exit code.

    jobs -> without those whose output is there -> files and shards -> `jobs.run`, `run_shards` -> Report -> exit code

One bad file does not stop the others: each gets one sentence on stderr. Reports come in the order of the inputs. Ctrl-C
leaves no temporary file behind.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import typer

from ..codec.workers.choice import pool_for
from ..codec.workers.pool import Pool, Threads, cores
from ..errors import InputError, ModelWarning
from .codecs import Codecs, ModelUnavailable
from .console import Report, complain, progress, tell
from .jobs import Job, promptly_interrupted, run
from .paths import is_shard
from .shards import ShardTask, run_shards
from .tasks import worth_torch

__all__ = ["Manner", "codecs_for", "run_command", "skipped_of"]


@dataclass(frozen=True)
class Manner:
    """How a command does its files. jobs: at a time, 0 for one a core, None for one, or all that `ray` has; processes:
    instead of threads; ray: the address of a cluster, instead of both; gpu: each of its workers takes one; keep_going:
    after a failure; as_json, quiet: how it reports.
    """

    jobs: int | None = None
    processes: bool = False
    ray: str | None = None
    gpu: bool = False
    keep_going: bool = True
    as_json: bool = False
    quiet: bool = False

    @property
    def workers(self) -> int:
        """Of this machine, at most."""
        return 1 if self.jobs is None else self.jobs or cores()

    def pool(self, pieces: int) -> Pool:
        """The workers for so many pieces."""
        workers = (self.jobs or 0) if self.ray is not None else self.workers
        return pool_for(workers, pieces, processes=self.processes, ray=self.ray, gpu=self.gpu)


def codecs_for(manner: Manner, model: str | None, device: str, todo: Sequence[Job]) -> Codecs:
    """The codecs, for so many workers as share a machine."""
    shards = any(is_shard(job.source) for job in todo)
    return Codecs(model, device, manner.workers if shards else min(manner.workers, len(todo)))


def run_command(
    label: str,
    todo: Sequence[Job],
    task: ShardTask,
    line: Callable[[Mapping[str, Any]], str],
    manner: Manner,
    skipped: Collection[Job] = (),
    writes: bool = True,
) -> NoReturn:
    """Do a command's jobs, but for those that are skipped, report on them, and exit."""
    to_stdout = writes and todo[0].destination is None
    if to_stdout and manner.as_json:
        raise typer.BadParameter("--json writes to standard output, where the data goes")
    warnings.simplefilter("ignore")  # Pillow's remarks on odd files: what matters ends as an error or a note
    if not manner.quiet:
        warnings.simplefilter("always", ModelWarning)
    left = [job for job in todo if job not in skipped]
    shards = [job for job in left if is_shard(job.source)]
    left = [job for job in left if not is_shard(job.source)]
    if manner.ray is not None and (manner.processes or to_stdout or any(job.source == "-" for job in left)):
        raise typer.BadParameter("--ray goes with files, not with a pipe, and not with --processes")
    if to_stdout and shards:
        raise typer.BadParameter("a shard is not written to a pipe: give -o a file or a folder")
    report = Report(line, len(todo) - len(shards), as_json=manner.as_json, quiet=manner.quiet, to_stdout=to_stdout)
    for job in skipped:
        report.skip(job)
    how: dict[str, Any] = {"keep_going": manner.keep_going, "say": partial(_say, label, manner.quiet)}
    with promptly_interrupted(report.summary), _library(worth_torch(task, [*left, *shards])):
        try:
            with progress(label, len(left), manner.quiet, getattr(task, "watch", None)) as tick:
                if left:
                    run(left, task, report, pool=manner.pool(len(left)), tick=tick, **how)
            if shards and (manner.keep_going or not report.code):
                apart = manner.ray is not None or (manner.processes and len(shards) > 1)
                pool = manner.pool(len(shards)) if apart else Threads(manner.workers)
                run_shards(shards, task, report, pool=pool, **how)
        except InputError as error:  # of the workers: that of a file is a record
            complain(label, error)
            raise typer.Exit(1) from None
        except ModelUnavailable as error:
            complain(error.name, error.cause)
            raise typer.Exit(1) from None
    report.summary()
    raise typer.Exit(report.code)


@contextmanager
def _library(torch: bool) -> Iterator[None]:
    """torch computes inside, in processes that are begun there too, if that is wanted."""
    if not torch:
        yield
        return
    os.environ["LECODEC_RUNTIME"] = "torch"
    try:
        yield
    finally:
        del os.environ["LECODEC_RUNTIME"]


def skipped_of(todo: Sequence[Job], wanted: bool, force: bool) -> frozenset[Job]:
    """The jobs whose outputs are there, if those are to be skipped."""
    if not wanted:
        return frozenset()
    if force:
        raise typer.BadParameter("--skip-existing keeps what exists, -f overwrites it: they exclude each other")
    return frozenset(job for job in todo if job.error is None and job.destination and job.destination.is_file())


def _say(label: str, quiet: bool, text: str) -> None:
    if not quiet:
        tell(label, f"note: {text}")
