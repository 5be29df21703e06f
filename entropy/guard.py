"""What the program around has set in torch stays outside: every public call computes the same integers and pixels.

    host: autocast, default device, reduced precision, deterministic mode ... -> guarded call: none of them -> as before

Autocast and the default device belong to a thread. Reduced precision (TF32 on GPUs, bfloat16 in oneDNN) and the
deterministic mode belong to the process, so they are set by the first call that comes in and put back by the last one
that goes out. The default dtype belongs to the process too and is left alone, since other threads may rely on it:
every tensor that is made here names its dtype and its device. Without torch in the process there is nothing to guard.

A process that was forked from one with torch lacks the threads that torch believes it has, and would wait for them for
ever: its first guarded call gives it one thread.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ParamSpec, TypeVar

__all__ = ["Guard", "guarded"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def guarded(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The same function, under the guard."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with Guard():
            return function(*args, **kwargs)

    return call


class Guard:
    """Thread-safe, and free inside another one of the same thread."""

    _thread = threading.local()
    _lock = threading.Lock()
    _inside = 0
    _before: list[Callable[[], None]] = []
    _forked = False

    def __enter__(self) -> None:
        self._stack: ExitStack | None = None
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "inference_mode") or getattr(self._thread, "depth", 0):
            return  # hasattr: another thread may be importing it
        if Guard._forked and threading.current_thread() is threading.main_thread():  # others have threads of their own
            Guard._forked = False
            torch.set_num_threads(1)
        self._stack = ExitStack()
        self._thread.depth = 1
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                self._stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            self._stack.enter_context(torch.device("cpu"))
        with self._lock:
            if not Guard._inside:
                Guard._before = _set_plainly(torch)
            Guard._inside += 1

    def __exit__(self, *error: Any) -> None:
        if self._stack is None:
            return
        self._thread.depth = 0
        with self._lock:
            Guard._inside -= 1
            if not Guard._inside:
                for undo in Guard._before:
                    undo()
        self._stack.close()


def _after_fork() -> None:
    """In the child, where of all threads only the one that forked is left."""
    Guard._lock = threading.Lock()
    Guard._forked = Guard._forked or "torch" in sys.modules
    inside = getattr(Guard._thread, "depth", 0)
    if Guard._inside and not inside:
        for undo in Guard._before:
            undo()
    Guard._inside = inside


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)


def _set_plainly(torch: Any) -> list[Callable[[], None]]:
    """Set the switches of the process to full precision; what puts them back."""
    undo: list[Callable[[], None]] = []
    for backend in _precisions(torch):
        before = backend.fp32_precision
        if before not in ("ieee", "none"):
            backend.fp32_precision = "ieee"
            undo.append(functools.partial(setattr, backend, "fp32_precision", before))
    if not _precisions(torch):  # before torch 2.9
        for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):
            if backend.allow_tf32:
                backend.allow_tf32 = False
                undo.append(functools.partial(setattr, backend, "allow_tf32", True))
        if (precision := torch.get_float32_matmul_precision()) != "highest":
            torch.set_float32_matmul_precision("highest")
            undo.append(functools.partial(torch.set_float32_matmul_precision, precision))
    if torch.are_deterministic_algorithms_enabled():
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        torch.use_deterministic_algorithms(False)
        undo.append(functools.partial(torch.use_deterministic_algorithms, True, warn_only=warn_only))
    return undo


def _precisions(torch: Any) -> list[Any]:
    """What has a switch for the precision of float32 products."""
    backends = torch.backends
    found = [backends.cuda.matmul, getattr(backends.cudnn, "conv", None), getattr(backends.mkldnn, "matmul", None)]
    found.append(getattr(backends.mkldnn, "conv", None))
    return [backend for backend in found if getattr(backend, "fp32_precision", None) is not None]
