"""Independent pieces of work in as many threads as this one may have, each with one of torch's threads for itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["parallel_map", "pooled", "share", "threads"]

_A = TypeVar("_A")
_R = TypeVar("_R")
_own = threading.local()


def share(workers: int) -> None:
    """From here on the calling thread has its share, of so many, of the threads, where torch is not loaded."""
    _own.most = max(1, _all() // workers)


def _all() -> int:
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else os.cpu_count() or 1


def threads() -> int:
    """How many: torch's number; where torch is not loaded what `share` or OMP_NUM_THREADS says, or else one for each
    processor.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        return torch.get_num_threads()
    return getattr(_own, "most", None) or _all()


def parallel_map(work: Callable[[_A], _R], parts: Sequence[_A]) -> list[_R]:
    """work(part) for each part, in order. What a part raises comes out, once those before it are done.

    torch's own threads share single operations, which are short here: whole parts share the cores better.
    """
    with pooled(len(parts)) as mapped:
        return mapped(work, parts)


@contextmanager
def pooled(parts: int) -> Iterator[Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]]:
    """What `parallel_map` does, many times with the same threads. parts: the most that there are at a time."""
    workers, torch = min(threads(), parts), sys.modules.get("torch")
    if workers < 2:
        yield lambda work, some: [work(part) for part in some]
        return
    alone = {} if torch is None else {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ThreadPoolExecutor(workers, **alone) as pool:
        yield lambda work, some: list(pool.map(work, some)) if len(some) > 1 else [work(part) for part in some]
