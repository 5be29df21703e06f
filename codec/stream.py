"""Shards of `.lec` files for training: tar files read from front to back, from any place, by many readers.

    paths or URLs -> order of the epoch -> this reader's share -> members -> samples -> shuffled -> decoded together

A shard is a tar file as WebDataset's (and `lecodec encode x.tar`): members whose names are the same up to the first dot
of the file's name make one sample, and follow each other. Nothing is held but the samples that are shuffled or decoded
together. A path goes through `open`, what has a scheme (`https://…`, `memory://…`) through fsspec; s3 and gs need its
packages for them.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ..bitstream import LecFile
from ..errors import CodecError, InputError
from .media.tar import members_of
from .registry import load_for

__all__ = ["LecStream"]

_READ: dict[str, Callable[[bytes], Any]] = {
    "cls": int,
    "txt": bytes.decode,
    "json": json.loads,
}


class LecStream(IterableDataset[Any]):
    """Samples of shards: decoded pictures, `uint8` (or `uint16`) tensors `[C, H, W]`, C = 1 to 4.

    shards: paths or URLs of tar files. transform: applied to each tensor. fields: what else a sample gives, by the ends
    of its members' names: "cls" becomes an int, "txt" a str, "json" what it says, others bytes; items are then tuples,
    the tensor first. shuffle: how many samples are held, of which one is drawn at random; 0: none, and shards in the
    order that they are given in. together: pictures that are decoded in one go. seed: of all that is random.

    Every process (torch.distributed, if it is initialised) and every worker of a DataLoader takes a share of its own:
    shards in turn, or, where there are fewer shards than readers, samples in turn. Shares differ in length if the
    numbers do. `set_epoch` gives another order, and goes on within one.

    Raises InputError (no shards, wrong arguments); on the way a CodecError, with shard and member in front, for a
    damaged file or one without an end.
    """

    def __init__(
        self,
        shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        transform: Callable[[torch.Tensor], Any] | None = None,
        *,
        fields: Sequence[str] = (),
        shuffle: int = 0,
        together: int = 16,
        seed: int = 0,
        device: str = "cpu",
        model: str | os.PathLike[str] | None = None,
    ):
        given = [shards] if isinstance(shards, (str, os.PathLike)) else list(shards)
        self.shards = [os.fspath(shard) for shard in given]
        if not self.shards:
            raise InputError("no shards")
        if isinstance(fields, str) or shuffle < 0 or together < 1:
            raise InputError("fields are a list of endings, shuffle is at least 0 and together at least 1")
        self.transform, self.fields, self.shuffle, self.together = transform, tuple(fields), shuffle, together
        self.seed, self.device, self.model = seed, device, model
        self._epoch, self._done = 0, 0

    def set_epoch(self, epoch: int, done: int = 0) -> None:
        """The order of the next iteration, before the workers of a DataLoader start. done: samples that each reader
        passes over, to go on after a stop: those that it has given in this epoch.
        """
        self._epoch, self._done = epoch, done

    def __iter__(self) -> Iterator[Any]:
        rng = random.Random(f"{self.seed} {self._epoch}")
        shards = list(self.shards)
        if self.shuffle:
            rng.shuffle(shards)  # alike for all readers
        reader, readers = _reader()
        rng = random.Random(f"{self.seed} {self._epoch} {reader}")
        samples = self._samples(shards, reader, readers)
        if self.shuffle:
            samples = _shuffled(samples, self.shuffle, rng)
        waiting: list[dict[str, tuple[str, bytes]]] = []
        for number, sample in enumerate(samples):
            if number < self._done:
                continue
            waiting.append(sample)
            if len(waiting) == self.together:
                yield from self._decoded(waiting)
                waiting = []
        yield from self._decoded(waiting)

    def _samples(self, shards: list[str], reader: int, readers: int) -> Iterator[dict[str, tuple[str, bytes]]]:
        """This reader's samples: ending -> where it is, for messages, and content."""
        by_shard = len(shards) >= readers
        number = 0
        for shard in shards[reader::readers] if by_shard else shards:
            for sample in _samples_of(shard):
                if by_shard or number % readers == reader:
                    yield sample
                number += 1

    def _decoded(self, samples: list[dict[str, tuple[str, bytes]]]) -> Iterator[Any]:
        for sample, picture in zip(samples, self._pictures(samples), strict=True):
            item = picture if self.transform is None else self.transform(picture)
            yield (item, *(_field(sample, field) for field in self.fields)) if self.fields else item

    def _pictures(self, samples: list[dict[str, tuple[str, bytes]]]) -> list[torch.Tensor]:
        """The pictures of samples; neighbours that one codec decodes go through it together."""
        places, files = [], []
        for sample in samples:
            place, content = next(found for ending, found in sample.items() if ending.endswith("lec"))
            with _named(place):
                file = LecFile.open(content)
                file.load()
            files.append(file)
            places.append(place)
        out: list[torch.Tensor] = []
        for _, run in groupby(zip(places, files, strict=True), lambda both: both[1].header.parse_digest):
            names, found = zip(*run, strict=True)
            with _named(names[0]):
                codec = load_for(found[0].header, self.device, model=self.model)
            try:
                signals = codec.decode_files(found)
            except CodecError:  # which one it is, they say alone
                signals = []
                for name, file in zip(names, found, strict=True):
                    with _named(name):
                        signals += codec.decode_files([file])
            out += [torch.from_numpy(np.atleast_3d(s.samples)).permute(2, 0, 1).to(self.device) for s in signals]
        return out


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Errors inside say which file is meant."""
    try:
        yield
    except OSError as error:
        raise type(error)(f"{place}: {error}") from None


def _field(sample: dict[str, tuple[str, bytes]], field: str) -> Any:
    if field not in sample:
        place = next(iter(sample.values()))[0]
        raise InputError(f"{place}: has no member .{field} beside it")
    place, content = sample[field]
    try:
        return _READ.get(field, bytes)(content)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from None


def _reader() -> tuple[int, int]:
    """Which reader this is, of how many: of all processes, and of the workers of each."""
    rank, world = 0, 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    worker = get_worker_info()
    if worker is None:
        return rank, world
    return rank * worker.num_workers + worker.id, world * worker.num_workers


def _shuffled(samples: Iterator[Any], held: int, rng: random.Random) -> Iterator[Any]:
    pool: list[Any] = []
    for sample in samples:
        if len(pool) < held:
            pool.append(sample)
            continue
        n = rng.randrange(held)
        pool[n], drawn = sample, pool[n]
        yield drawn
    rng.shuffle(pool)
    yield from pool


def _samples_of(shard: str) -> Iterator[dict[str, tuple[str, bytes]]]:
    """The samples of a shard that hold a `.lec` file."""
    held: dict[str, tuple[str, bytes]] = {}
    key = None
    for name, content in _members(shard):
        folder, _, base = name.rpartition("/")
        stem, _, ending = base.partition(".")
        if (folder, stem) != key:
            if any(end.endswith("lec") for end in held):
                yield held
            held, key = {}, (folder, stem)
        held[ending.lower()] = (f"{shard}:{name}", content)
    if any(end.endswith("lec") for end in held):
        yield held


def _members(shard: str) -> Iterator[tuple[str, bytes]]:
    with _opened(shard) as file, _named(shard):
        for info, content in members_of(file):
            if info.isreg():
                yield info.name, content


def _opened(shard: str) -> BinaryIO:
    if "://" not in shard:
        return open(shard, "rb")
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{shard}: to read URLs takes fsspec (pip install fsspec)") from None
    try:
        return fsspec.open(shard, "rb").open()  # pyright: ignore[reportReturnType, reportAttributeAccessIssue]
    except (ImportError, ValueError) as error:
        raise InputError(f"{shard}: {error}") from None
