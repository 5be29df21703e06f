"""Samples that video models are trained on: crops of a frame and of its references.

a stretch of latents, or a frame of a coded group -> cut, cut_coded -> several -> batch_of -> Batch
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .coded import CodedFrame
from .video_latents import Stretch

__all__ = ["Batch", "batch_of", "cut", "cut_coded", "places"]


@dataclass(frozen=True)
class Batch:
    """y of frames and of two references each, with their rates: [B, M, c, c] in units of the index `made`. distances:
    frames to each reference, as `Reference` has them. outer: of the frames that second references are coded from, with
    the first ones, or alone where there is one reference only; None: they are rounded. ready: references are what the
    network sees, in units of the index `index`.
    """

    y: Tensor
    references: tuple[Tensor, Tensor]
    made: Tensor
    index: Tensor
    finer: tuple[Tensor, Tensor]
    distances: list[tuple[int, int]]
    outer: Tensor | None = None
    ready: bool = False


def batch_of(samples: list[dict[str, Any]]) -> Batch:
    """Samples of one kind, all of them with an outer frame, or ready, or none."""

    def stacked(name: str, n: int) -> Tensor:
        return torch.stack([s[name][n] for s in samples])

    def numbers(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long)

    return Batch(
        torch.stack([s["y"] for s in samples]),
        (stacked("references", 0), stacked("references", 1)),
        numbers([s["made"] for s in samples]),
        numbers([s["index"] for s in samples]),
        (numbers([s["finer"][0] for s in samples]), numbers([s["finer"][1] for s in samples])),
        [s["distances"] for s in samples],
        torch.stack([s["outer"] for s in samples]) if samples[0]["outer"] is not None else None,
        samples[0]["ready"],
    )


def places(distance: int, single: bool, closed: bool) -> tuple[int, ...]:
    """Where the two references of a frame are, seen from it; closed: and what the second one is coded from."""
    found = (-distance, -distance, -2 * distance) if single else (-distance, distance, 3 * distance)
    return found if closed else found[:2]


def cut(
    made: Stretch, number: int, where: tuple[int, ...], box: tuple[slice, ...], drop: int, finer: tuple[int, int]
) -> dict[str, Any]:
    """A sample: frame `number`, `drop` indices coarser than its latents, its references by `finer` ones."""

    def at(n: int) -> Tensor:
        return made.y[number + n, :, *box].float()

    return {
        "y": at(0),
        "references": [at(n) for n in where[:2]],
        "outer": at(where[2]) if len(where) > 2 else None,
        "made": made.index,
        "index": made.index - drop,
        "finer": [made.index - f for f in finer],
        "distances": where[:2],
        "ready": False,
    }


def cut_coded(frame: CodedFrame, moved: bool, box: tuple[slice, ...]) -> dict[str, Any]:
    """A sample of a frame as files have it; moved: with moved references, if there are any."""
    references = frame.moved if moved and frame.moved is not None else frame.references
    return {
        "y": frame.y[:, *box].float(),
        "references": [r[:, *box].float() for r in references],
        "outer": None,
        "made": frame.index,
        "index": frame.index,
        "finer": list(frame.finer),
        "distances": frame.distances,
        "ready": True,
    }
