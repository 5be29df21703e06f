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
from typing import Any, NoReturn

import typer

from ..errors import ModelWarning
from .codecs import ModelUnavailable
from .console import Report, complain, progress
from .jobs import Job, cores, promptly_interrupted, run
from .paths import is_shard
from .shards import ShardTask, run_shards
from .tasks import worth_torch

__all__ = ["Manner", "run_command", "skipped_of", "workers_of"]


@dataclass(frozen=True)
class Manner:
    """How a command does its files. jobs: at a time, 0 for one a core; processes: instead of threads; keep_going: after
    a failure; as_json, quiet: how it reports.
    """

    jobs: int = 1
    processes: bool = False
    keep_going: bool = True
    as_json: bool = False
    quiet: bool = False


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
    if to_stdout and shards:
        raise typer.BadParameter("a shard is not written to a pipe: give -o a file or a folder")
    report = Report(line, len(todo) - len(shards), as_json=manner.as_json, quiet=manner.quiet, to_stdout=to_stdout)
    for job in skipped:
        report.skip(job)
    with promptly_interrupted(report.summary), _library(worth_torch(task, [*left, *shards])):
        try:
            with progress(label, len(left), manner.quiet, getattr(task, "watch", None)) as tick:
                how = {
                    "workers": workers_of(manner.jobs, todo),
                    "keep_going": manner.keep_going,
                    "processes": manner.processes,
                }
                run(left, task, report, tick=tick, **how)
            if shards and (manner.keep_going or not report.code):
                run_shards(shards, task, report, **how)
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


def workers_of(jobs: int, todo: Sequence[Job]) -> int:
    """How many threads -j means."""
    return jobs or cores() if any(is_shard(job.source) for job in todo) else min(jobs or cores(), len(todo))
