"""Independent pieces of work in as many threads as this one may have, each with one of torch's threads for itself, and
numpy's products in that thread alone: OpenBLAS has threads of its own for each product, whoever asks, and on two cores
two threads that did so took twice as long as with one each (circuits of MNIST).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

__all__ = ["parallel_map", "pooled", "products_alone", "share", "threads"]

_A = TypeVar("_A")
_R = TypeVar("_R")
_own = threading.local()
_inside, _outside, _entering = 0, [], threading.Lock()
"""How many are in `products_alone`; threads that products had before the first, by library."""


def share(workers: int) -> None:
    """From here on the calling thread has its share, of so many, of the threads, where torch is not loaded. Products of
    numpy have as many in the whole process.
    """
    global _outside
    _own.most = max(1, _all() // workers)
    if workers == 1:
        return
    with _entering:
        fewer = [min(count, _own.most) for count in (_outside if _inside else _threads_of_products())]
        if _inside:
            _outside = fewer
        else:
            _set_threads_of_products(fewer)


def _after_fork() -> None:
    """No thread but the one that forked is there."""
    global _inside, _entering
    _inside, _entering = 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
    with products_alone(), ThreadPoolExecutor(workers, **alone) as pool:
        yield lambda work, some: list(pool.map(work, some)) if len(some) > 1 else [work(part) for part in some]


@contextmanager
def products_alone() -> Iterator[None]:
    """While somebody is in here, products of numpy stay in the thread that asks for them, in the whole process."""
    global _inside, _outside
    with _entering:
        _inside += 1
        if _inside == 1:
            _outside = _threads_of_products()
            _set_threads_of_products([1] * len(_outside))
    try:
        yield
    finally:
        with _entering:
            _inside -= 1
            if not _inside:
                _set_threads_of_products(_outside)


@cache
def _libraries() -> list[Any]:
    """What multiplies for numpy."""
    import numpy  # noqa: F401 - it brings its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


def _threads_of_products() -> list[int]:
    return [library.get_num_threads() for library in _libraries()]


def _set_threads_of_products(counts: list[int]) -> None:
    for library, count in zip(_libraries(), counts, strict=True):
        library.set_num_threads(count)
