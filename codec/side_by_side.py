"""Independent pieces of work in as many threads as torch has, each with one of torch's threads for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["side_by_side"]

_A = TypeVar("_A")
_R = TypeVar("_R")


def side_by_side(work: Callable[[_A], _R], parts: Sequence[_A]) -> list[_R]:
    """work(part) for each part, in order. What a part raises comes out, once those before it are done.

    torch's own threads share single operations, which are short here: whole parts share the cores better.
    """
    workers = min(torch.get_num_threads(), len(parts))
    if workers < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, parts))
