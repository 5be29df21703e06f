"""Which workers are meant: "-j 4", "-j 4 --processes", "--ray ADDRESS" -> Pool."""

from __future__ import annotations

from .pool import Pool, Threads

__all__ = ["pool_for"]


def pool_for(workers: int, pieces: int, *, processes: bool = False, ray: str | None = None, gpu: bool = False) -> Pool:
    """workers: at most so many; 0 with `ray`: as many as it has processors, or GPUs. pieces: that there are to do."""
    if ray is not None:
        from .ray_actors import Ray

        return Ray(ray, workers, pieces, gpu)
    workers = max(1, min(workers, pieces))
    if processes and workers > 1:
        from .processes import Processes  # costs time, and is rarely needed

        return Processes(workers)
    return Threads(workers)
