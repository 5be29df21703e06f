"""Many pieces of work by many workers: one runner, whatever the workers are.

    pieces -> Worker (its own state; state, piece -> result) -> (piece, result), as they come
    a worker that is lost -> what it held, apart, once more -> results, or WorkerLost

A `Pool` makes workers: `Threads` of this process, `Processes` of this machine, `Ray` actors on the nodes of a cluster.
A worker does one piece after the other and is given `ahead` of them, so that what is in flight is bounded.

Guarantees. Pieces are drawn when a worker has room for them, in their order. What a worker held when it ended abruptly
(killed for memory, crashed, or with its node) is done once more, each part alone in a worker; what is lost a second
time is given up. An exception of the work ends the run and comes out of it.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ...errors import CodecError, InputError

if TYPE_CHECKING:  # what only says what is in files starts without it
    from concurrent.futures import Future

__all__ = ["Pool", "Threads", "Work", "Worker", "WorkerLost", "at_once", "cores", "done"]

P = TypeVar("P")
R = TypeVar("R")
PATIENCE = 600.0
"""Seconds in which the first worker of a cluster has to come up."""
STARTS = 3
"""Workers that may end one after the other before they have begun, until the run is given up."""


def cores() -> int:
    """Processor cores that this process may use."""
    with suppress(AttributeError):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerLost(CodecError):
    """A worker ended abruptly while it worked on a piece, twice."""

    def __init__(self, text: str = "a worker ended abruptly on this, twice (out of memory?)") -> None:
        super().__init__(text)


@dataclass(frozen=True)
class Work(Generic[P, R]):
    """What workers do: `do(state, piece)`, where state is `begin(given)`, made once in each worker. For processes and
    clusters all of it pickles: the two are functions of modules.
    """

    do: Callable[[Any, P], R]
    given: Any = None
    begin: Callable[[Any], Any] | None = None

    def state(self) -> Any:
        """What a worker keeps."""
        return self.given if self.begin is None else self.begin(self.given)


class Worker(Protocol):
    """Does one piece after the other."""

    @property
    def ready(self) -> Future[Any]:
        """Done when it can be given pieces; raises where it cannot begin."""
        ...

    def submit(self, piece: Any) -> Future[Any]:
        """Have a piece done. May raise one of the pool's `lost`."""
        ...

    def end(self, waits: bool) -> None:
        """waits: for what it is doing; what it has not begun is dropped."""
        ...


class Pool(Protocol):
    """Where workers come from."""

    @property
    def workers(self) -> int:
        """How many at a time; known once it is open."""
        ...

    @property
    def ahead(self) -> int:
        """Pieces that a worker is given before it asks for the next."""
        ...

    @property
    def lost(self) -> tuple[type[BaseException], ...]:
        """What is raised of a worker that has ended abruptly."""
        ...

    def open(self) -> str:
        """Before the first worker -> what is said of them, if anything is. Raises InputError."""
        ...

    def worker(self, work: Work[Any, Any]) -> Worker:
        """A new one."""
        ...

    def close(self) -> None:
        """After the last."""
        ...


class _Team(Generic[P, R]):
    """The workers of a run and what they hold. running: future -> worker, piece, whether it is its second time."""

    def __init__(self, pool: Pool, work: Work[P, R]) -> None:
        self.pool, self.work = pool, work
        self.members: list[Worker] = [pool.worker(work) for _ in range(pool.workers)]
        self.running: dict[Future[R], tuple[Worker, P, bool]] = {}
        self.unable = 0

    def free(self, room: int) -> Worker | None:
        """The worker that can take a piece and holds the fewest, if that is less than `room`."""
        held: Counter[int] = Counter()
        alone: set[int] = set()
        for worker, _, second in self.running.values():
            held[id(worker)] += 1
            if second:
                alone.add(id(worker))
        able = [w for w in self.members if w.ready.done() and id(w) not in alone and held[id(w)] < room]
        return min(able, key=lambda worker: held[id(worker)], default=None)

    def give(self, worker: Worker, piece: P, second: bool) -> None:
        from concurrent.futures import Future

        try:
            future = worker.submit(piece)
        except self.pool.lost as error:
            future = Future()
            future.set_exception(error)
        self.running[future] = worker, piece, second

    def replace(self, worker: Worker) -> None:
        """Another one for a worker that is lost, unless it is replaced already."""
        for n, member in enumerate(self.members):
            if member is worker:
                with suppress(*self.pool.lost):
                    worker.end(False)
                self.members[n] = self.pool.worker(self.work)

    def check(self) -> None:
        """Replace those that cannot begin. Raises InputError where that goes on."""
        for worker in [w for w in self.members if w.ready.done()]:
            error = worker.ready.exception()
            if error is None:
                continue
            if not isinstance(error, self.pool.lost):
                raise error
            self.unable += 1
            if self.unable > STARTS * self.pool.workers:
                raise InputError(f"workers end before they have begun ({' '.join(str(error).split())[:200]})")
            self.replace(worker)

    def finished(self) -> set[Future[Any]]:
        """Waits for something to end -> futures of pieces that have. Raises InputError where no worker comes up."""
        from concurrent.futures import FIRST_COMPLETED, wait

        beginning = [worker.ready for worker in self.members if not worker.ready.done()]
        limit = time.monotonic() + PATIENCE
        while True:
            found = wait([*self.running, *beginning], timeout=1.0, return_when=FIRST_COMPLETED).done
            if found:
                return found & self.running.keys()
            if not self.running and time.monotonic() > limit:
                raise InputError(f"no worker has come up in {PATIENCE:.0f} seconds")

    def end(self, waits: bool) -> None:
        for worker in self.members:
            worker.end(waits)


def done(
    pieces: Iterable[P],
    work: Work[P, R],
    pool: Pool,
    *,
    apart: Callable[[P], list[P]] = lambda piece: [piece],
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[P, R | WorkerLost]]:
    """Every piece, or every part of one that was lost, with its result, as they come.

    apart: the parts that a lost piece is done again in. say: takes a sentence when a worker is lost. Raises what the
    work raises, InputError where workers cannot begin.
    """
    waiting, again, left = iter(pieces), deque[P](), True
    if told := pool.open():
        say(told)
    team, waits = None, True
    try:
        team = _Team(pool, work)
        while True:
            team.check()
            while (worker := team.free(1 if again else pool.ahead)) is not None:
                if again:
                    team.give(worker, again.popleft(), True)
                elif (piece := next(waiting, _END)) is not _END:
                    team.give(worker, piece, False)  # pyright: ignore[reportArgumentType]
                else:
                    left = False
                    break
            if not (team.running or again or left):
                return
            for future in team.finished():
                worker, piece, second = team.running.pop(future)
                error = future.exception()
                if error is None:
                    yield piece, future.result()
                elif not isinstance(error, pool.lost):
                    raise error
                else:
                    team.replace(worker)
                    if second:
                        yield piece, WorkerLost()
                    else:
                        again += (parts := apart(piece))
                        say(f"a worker was lost: {len(parts)} of its files are done again")
    except Exception:
        raise
    except BaseException:  # a signal: the program is about to end
        waits = False
        raise
    finally:
        if team is not None:
            team.end(waits)
        pool.close()


_END = object()


@dataclass(frozen=True)
class Threads:
    """Threads of this process, which share what the work was given."""

    workers: int = 1
    ahead: int = 1
    lost: tuple[type[BaseException], ...] = ()

    def open(self) -> str:
        return ""

    def worker(self, work: Work[Any, Any]) -> Worker:
        return _Thread(work)

    def close(self) -> None:
        pass


class _Thread:
    def __init__(self, work: Work[Any, Any]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.work, self.state = work, work.state()
        self.thread = ThreadPoolExecutor(1)
        self.ready = at_once()

    def submit(self, piece: Any) -> Future[Any]:
        return self.thread.submit(self.work.do, self.state, piece)

    def end(self, waits: bool) -> None:
        self.thread.shutdown(wait=waits, cancel_futures=True)


def at_once() -> Future[Any]:
    """Of a worker that can be given pieces from the start."""
    from concurrent.futures import Future

    ready = Future[Any]()
    ready.set_result(None)
    return ready
