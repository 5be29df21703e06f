"""How far a long piece of work is, told where its parts pass to whoever in this process waits for it.

    for tile in told("coding", tiles, 96): ...          with watching(lambda step, done, total: ...): codec.encode(…)

A file goes through several steps: analysis, coding, synthesis, and, where a size is to be met, some of them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["Watcher", "told", "watching"]

_T = TypeVar("_T")
Watcher = Callable[[str, int, int], None]
"""Is called with the name of a step, how many of its parts are done, and how many there are."""
_watchers: list[Watcher] = []


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """What threads of this process do inside is told to the watcher, in the thread that does it."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def told(step: str, parts: Iterable[_T], total: int) -> Iterator[_T]:
    """The same parts. Of a single one there is nothing to tell."""
    if total < 2 or not _watchers:
        yield from parts
        return
    for done, part in enumerate(parts):
        for watcher in tuple(_watchers):
            watcher(step, done, total)
        yield part
    for watcher in tuple(_watchers):
        watcher(step, total, total)
