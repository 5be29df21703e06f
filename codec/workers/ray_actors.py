"""Workers that are actors of a Ray cluster: on each of its nodes, as many as there are processors (or GPUs).

    driver -> bunches of names (two to each actor) -> actors, which read, code and write -> records

Files do not travel: every node reads and writes them under the same names, on a file system that all of them share (on
one machine: its own). Nodes have the same version of this package installed. LECODEC_… is set there as it is here.
When a node is lost, its actors are begun anew where there is room, and what they held is done again (see `pool`).
"""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ...bitstream.atomic import discard_temporaries
from ...errors import InputError
from .pool import Work, Worker, WorkerLost, cores

__all__ = ["LOCAL", "Ray"]

LOCAL = "local"
"""The address that stands for a cluster of this machine alone, which is begun and ended with the run."""
STORE = 80 << 20
"""Bytes of a local cluster's object store, close to the least that Ray takes: only names and records travel."""


@dataclass
class Ray:
    """Actors of the cluster at an address ("auto": that of this machine). workers: how many; 0 for one a processor (or
    GPU) of the cluster. most: of them, 0 for no limit. gpu: each takes one.
    """

    address: str
    workers: int = 0
    most: int = 0
    gpu: bool = False
    ahead: int = 2
    lost: tuple[type[BaseException], ...] = (WorkerLost,)
    """Ray's own errors, once it is open."""
    _begun: bool = field(default=False, repr=False)

    def open(self) -> str:
        """Raises InputError without the package or the cluster."""
        try:
            import ray
        except ImportError:
            raise InputError("--ray needs the package ray: pip install 'lecodec[ray]'") from None
        from ray import exceptions

        self.lost = (exceptions.RayActorError, exceptions.NodeDiedError, exceptions.OwnerDiedError)
        if not ray.is_initialized():
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
            if self.address == LOCAL:
                processors = self.workers or cores()
                options |= {"num_cpus": processors, "object_store_memory": STORE, "include_dashboard": False}
            try:
                ray.init(self.address, **options)
            except Exception as error:  # Ray raises that itself, where its processes do not come up in time
                raise InputError(f"no Ray cluster at {self.address}: {' '.join(str(error).split())[:300]}") from None
            self._begun = True
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())
        self.workers = self.workers or int(ray.cluster_resources().get("GPU" if self.gpu else "CPU", 0))
        if not self.workers:
            self.close()
            raise InputError(f"the Ray cluster at {self.address} has no {'GPU' if self.gpu else 'processor'}")
        self.workers = min(self.workers, self.most or self.workers)
        return f"{self.workers} workers on {nodes} nodes"

    def worker(self, work: Work[Any, Any]) -> Worker:
        return _RayWorker(work, self.gpu)

    def close(self) -> None:
        if self._begun:
            import ray

            self._begun = False
            ray.shutdown()


@cache
def _remote(gpu: bool) -> Any:
    """The class of actors. They are begun anew by the runner, which knows what was lost, and not by Ray."""
    import ray

    return ray.remote(num_cpus=0 if gpu else 1, num_gpus=int(gpu), max_restarts=0, max_task_retries=0)(_Actor)


class _RayWorker:
    def __init__(self, work: Work[Any, Any], gpu: bool) -> None:
        self.actor = _remote(gpu).remote()
        self.ready = _answered(self.actor.begin.remote(work, _circumstances()))

    def submit(self, piece: Any) -> Future[Any]:
        return _answered(self.actor.do.remote(piece))

    def end(self, waits: bool) -> None:
        import ray

        with suppress(Exception):
            ray.kill(self.actor)


def _circumstances() -> dict[str, Any]:
    told = {key: value for key, value in os.environ.items() if key.startswith("LECODEC_")}
    return {"folder": os.getcwd(), "version": _version(), "environment": told}


def _version() -> str:
    return sys.modules[__name__.partition(".")[0]].__version__


def _answered(reference: Any) -> Future[Any]:
    """What an actor's method returned, or raised, which travels as a value: Ray would give it another class."""
    answer: Future[Any] = Future()

    def pass_on(future: Future[Any]) -> None:
        error = future.exception()
        if error is not None:
            answer.set_exception(error)
            return
        good, value = future.result()
        if good:
            answer.set_result(value)
        else:
            answer.set_exception(value)

    reference.future().add_done_callback(pass_on)
    return answer


def _end(*_: Any) -> None:
    discard_temporaries()
    os._exit(1)


class _Actor:
    """In another process, maybe on another machine."""

    def begin(self, work: Work[Any, Any], circumstances: dict[str, Any]) -> tuple[bool, Any]:
        import warnings

        warnings.simplefilter("ignore")  # Pillow's remarks on odd files, as in the driver
        folder, version = circumstances["folder"], circumstances["version"]
        if version != _version():
            return False, InputError(f"a node has lecodec {_version()}, not {version}")
        try:
            os.chdir(folder)
        except OSError:
            return False, InputError(f"a node has no folder {folder}: all nodes have to share the file system")
        os.environ.update(circumstances["environment"])
        signal.signal(signal.SIGTERM, _end)  # what a node sends when the driver is gone
        self.work, self.states = work, []
        return True, None

    def do(self, piece: Any) -> tuple[bool, Any]:
        try:
            if not self.states:
                self.states.append(self.work.state())
            return True, self.work.do(self.states[0], piece)
        except Exception as error:
            error.__cause__ = error.__context__ = None
            return False, error.with_traceback(None)
