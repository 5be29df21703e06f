"""Independent pieces of work in as many threads as torch has, each with one of torch's threads for itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["parallel_map", "threads"]

_A = TypeVar("_A")
_R = TypeVar("_R")


def threads() -> int:
    """How many: torch's number; where torch is not loaded what OMP_NUM_THREADS says, or else one for each processor."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return torch.get_num_threads()
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else os.cpu_count() or 1


def parallel_map(work: Callable[[_A], _R], parts: Sequence[_A]) -> list[_R]:
    """work(part) for each part, in order. What a part raises comes out, once those before it are done.

    torch's own threads share single operations, which are short here: whole parts share the cores better.
    """
    workers, torch = min(threads(), len(parts)), sys.modules.get("torch")
    if workers < 2:
        return [work(part) for part in parts]
    alone = {} if torch is None else {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ThreadPoolExecutor(workers, **alone) as pool:
        return list(pool.map(work, parts))
