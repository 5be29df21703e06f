"""Workers that are processes of this machine: each has its own state, so that entropy coding too runs side by side.

A process ends when the one that began it does, without leaving a temporary file behind; Ctrl-C reaches that one alone.
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from ...bitstream.atomic import discard_temporaries
from .pool import Work, Worker, at_once

__all__ = ["Processes"]


@dataclass(frozen=True)
class Processes:
    """Processes of this machine."""

    workers: int
    ahead: int = 2
    lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def open(self) -> str:
        return ""

    def worker(self, work: Work[Any, Any]) -> Worker:
        return _Process(work)

    def close(self) -> None:
        pass


class _Process:
    def __init__(self, work: Work[Any, Any]) -> None:
        import multiprocessing

        self.process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (work,))
        self.ready = at_once()

    def submit(self, piece: Any) -> Future[Any]:
        return self.process.submit(_do, piece)

    def end(self, waits: bool) -> None:
        self.process.shutdown(wait=waits, cancel_futures=True)


_work: Work[Any, Any] | None = None
_state: list[Any] = []
"""The state of this worker, once it is made."""


def _begin(work: Work[Any, Any]) -> None:
    """In a new process: keep the work, leave Ctrl-C to the parent, and end when that does."""
    from multiprocessing import connection, parent_process

    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def end(*_: Any) -> None:
        discard_temporaries()
        os._exit(1)

    def follow() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            end()

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=follow, daemon=True).start()
    import warnings

    warnings.simplefilter("ignore")  # Pillow's remarks on odd files, as in the parent


def _do(piece: Any) -> Any:
    assert _work is not None
    if not _state:
        _state.append(_work.state())
    return _work.do(_state[0], piece)
