"""Independent pieces of work in as many threads as this one may have, each with one of torch's threads for itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["limit", "parallel_map", "pooled", "threads"]

_A = TypeVar("_A")
_R = TypeVar("_R")
_own = threading.local()


def limit(count: int) -> None:
    """From here on the calling thread has at most so many threads, where torch is not loaded."""
    _own.most = count


def threads() -> int:
    """How many: torch's number; where torch is not loaded what `limit` or OMP_NUM_THREADS says, or else one for each
    processor.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        return torch.get_num_threads()
    told = os.environ.get("OMP_NUM_THREADS", "")
    count = int(told) if told.isdecimal() and int(told) else os.cpu_count() or 1
    return max(1, min(count, getattr(_own, "most", count)))


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
