"""What encode, decode and test do to one file, or to a bunch of small ones.

    picture file -> Encoding -> .lec        .lec -> Decoding -> picture file        .lec -> Testing

Each is a `jobs.Task`: read, code, finish. Threads share one. Heavy modules are imported where they are first needed, so
that a mistyped name is told before torch is loaded.
"""

from __future__ import annotations

import io
import math
import os
import sys
import threading
from collections.abc import Hashable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from .bitstream import (
    Header,
    Metadata,
    TileReader,
    atomic_write,
    check_writable,
    read_checked,
    read_header,
)
from .errors import CorruptFile, OutputExists
from .jobs import Job

if TYPE_CHECKING:
    import numpy as np

    from .codec.image import ImageCodec
    from .codec.media import Picture

__all__ = ["Codecs", "Decoding", "Encoding", "LecFile", "NoCodec", "Testing", "read_lec"]

BUNCH_PIXELS = {"cpu": 2**20, "cuda": 2**24}
"""Pixels of small pictures that are coded together: on a CPU larger batches gain nothing (measured)."""


class NoCodec(Exception):
    """The model or the device that was asked for cannot be used: no input can be done. `__cause__` says why."""


@dataclass
class Codecs:
    """Codecs by model, each loaded once, by the first thread that needs it.

    model: the one that the user asked for, or None. workers: threads that share them, and torch's threads.
    """

    model: str | None = None
    device: str = "cpu"
    workers: int = 1
    _loaded: dict[str | None, ImageCodec] = field(default_factory=dict)
    _share: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def default(self) -> ImageCodec:
        """The codec of the model that the user asked for, or else of the best one. Raises NoCodec."""
        try:
            return self._load(self.model)
        except (OSError, RuntimeError) as error:
            raise NoCodec(self.model or "model") from error

    def named_by(self, header: Header) -> ImageCodec:
        """The codec that a file needs. Raises NoCodec for the user's model, otherwise UnknownModel, ModelError."""
        if self.model is not None:
            return self.default()
        from .codec.registry import find_by_digest

        return self._load(str(find_by_digest(header.parse_digest, header.synthesis_digest).path))

    def _load(self, model: str | None) -> ImageCodec:
        with self._lock:
            if model not in self._loaded:
                from .codec.image import load

                self._loaded[model] = load(device=self.device, model=model)
            if self.workers > 1:
                self._limit_threads()
            return self._loaded[model]

    def _limit_threads(self) -> None:
        """Give the thread that calls its share of torch's threads."""
        import torch

        self._share = self._share or max(1, torch.get_num_threads() // self.workers)
        if torch.get_num_threads() != self._share:  # every thread has a number of its own
            torch.set_num_threads(self._share)


@dataclass(frozen=True)
class _CodecTask:
    """What all tasks have."""

    codecs: Codecs

    @property
    def bunch_pixels(self) -> int:
        return BUNCH_PIXELS["cpu" if self.codecs.device == "cpu" else "cuda"]


@dataclass(frozen=True)
class Encoding(_CodecTask):
    """target: one of quality, bpp, psnr, size, as `ImageCodec.encode` takes them. tile: as there. strip: leave EXIF,
    XMP and ICC out. verify: decode before the output appears. force: overwrite.
    """

    target: Mapping[str, Any]
    tile: int | None = None
    strip: bool = False
    verify: bool = False
    force: bool = False

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        if "quality" not in self.target or not os.path.isfile(job.source):  # a pipe cannot be opened twice
            return None
        from PIL import Image

        from .codec.media import READABLE

        try:
            with Image.open(job.source, formats=READABLE) as image:
                return (image.size, image.mode), image.width * image.height
        except Exception:  # nearly every class, on damaged files; reading it will say what it is
            return None

    def read(self, job: Job) -> Picture:
        from .codec.media import load_picture

        _check_output(job, self.force)
        picture = load_picture(sys.stdin.buffer if job.source == "-" else job.source)
        if self.strip:
            picture = replace(picture, metadata=_stripped(picture.metadata))
        return picture

    def prepare(self, inputs: Sequence[Picture]) -> None:
        self.codecs.default()

    def code(self, inputs: Sequence[Picture]) -> list[bytes]:
        codec = self.codecs.default()
        if len(inputs) == 1:
            picture = inputs[0]
            return [codec.encode(picture.samples, tile=self.tile, metadata=picture.metadata, **self.target)]
        samples, metadata = [p.samples for p in inputs], [p.metadata for p in inputs]
        return codec.encode_batch(samples, self.target["quality"], tile=self.tile, metadata=metadata)

    def finish(self, job: Job, input: Picture, result: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
        facts = {"bytes_in": input.file_bytes, "bytes_out": len(result), **_facts(read_header(result), len(result))}
        if self.verify:
            facts["psnr"] = _verified(self.codecs.default(), input.samples, result)
        if job.destination is None:
            sys.stdout.buffer.write(result)
            sys.stdout.buffer.flush()
        else:
            _make_folder(job)
            with atomic_write(job.destination, overwrite=self.force) as file:
                file.write(result)
        return facts, input.notes


@dataclass(frozen=True)
class Decoding(_CodecTask):
    """region: x, y, width, height in pixels; None is all. depth: 8 or 16 bits a sample; None is the file's. strip: do
    not write the file's EXIF, XMP and ICC. force: overwrite.
    """

    region: tuple[int, int, int, int] | None = None
    depth: int | None = None
    strip: bool = False
    force: bool = False

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        return _lec_kind(job) if self.region is None else None

    def read(self, job: Job) -> LecFile:
        from .codec.media_write import picture_format

        _check_output(job, self.force)
        if job.destination is not None:
            picture_format(job.destination)
        return read_lec(job.source, all_of_it=self.region is None)

    def prepare(self, inputs: Sequence[LecFile]) -> None:
        self.codecs.named_by(inputs[0].header)

    def code(self, inputs: Sequence[LecFile]) -> list[np.ndarray]:
        codec = self.codecs.named_by(inputs[0].header)
        if self.region is not None:
            with inputs[0].open() as file:
                return [codec.decode_region(file, self.region)]
        if len(inputs) == 1:
            return [codec.decode(inputs[0].data)]
        return codec.decode_batch([file.data for file in inputs])

    def finish(self, job: Job, input: LecFile, result: np.ndarray) -> tuple[dict[str, Any], tuple[str, ...]]:
        from .codec.media_write import fit_depth, metadata_lost, picture_format, write_picture

        samples = result if self.depth is None else fit_depth(result, self.depth)
        with input.open() as file:
            metadata = TileReader(file).metadata
        if self.strip:
            metadata = _stripped(metadata)
        facts = {"bytes_in": input.size, **_facts(input.header, input.size)}
        facts |= {"height": samples.shape[0], "width": samples.shape[1], "bit_depth": 8 * samples.itemsize}
        if job.destination is None:
            write_picture(samples, sys.stdout.buffer, metadata=metadata)
            sys.stdout.buffer.flush()
            return facts, ()
        _make_folder(job)
        write_picture(samples, job.destination, overwrite=self.force, metadata=metadata)
        facts["bytes_out"] = os.path.getsize(job.destination)
        lost = metadata_lost(picture_format(job.destination), metadata)
        return facts, (lost,) if lost else ()


@dataclass(frozen=True)
class Testing(_CodecTask):
    """Decodes to latents and compares their digests; writes nothing."""

    def kind(self, job: Job) -> None:
        return None  # the codec tests one file at a time

    def read(self, job: Job) -> LecFile:
        return read_lec(job.source)

    def prepare(self, inputs: Sequence[LecFile]) -> None:
        self.codecs.named_by(inputs[0].header)

    def code(self, inputs: Sequence[LecFile]) -> list[None]:
        for file in inputs:
            self.codecs.named_by(file.header).test(file.data)
        return [None] * len(inputs)

    def finish(self, job: Job, input: LecFile, result: None) -> tuple[dict[str, Any], tuple[str, ...]]:
        return {"bytes_in": input.size, **_facts(input.header, input.size)}, ()


@dataclass(frozen=True)
class LecFile:
    """source: its path, or "-". header: as read. size: bytes. data: all of it, or nothing if parts will do."""

    source: str
    header: Header
    size: int
    data: bytes = field(default=b"", repr=False)

    def open(self) -> BinaryIO:
        """The file from its start."""
        return io.BytesIO(self.data) if self.data else open(self.source, "rb")


def read_lec(source: str, all_of_it: bool = True) -> LecFile:
    """A `.lec` file, each chunk checked before the next one is taken into memory: reading ends at the first byte that
    is wrong, however long the source goes on.

    all_of_it: without it, all but the header of a regular file is left on the disk, unchecked. Of a pipe everything is
    read: what is read from one does not come again. Raises NotLecFile, TruncatedFile, CorruptFile, UnsupportedFile,
    LimitExceeded, OSError.
    """
    with nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb") as file:
        if not all_of_it and source != "-" and os.path.isfile(source):
            return LecFile(source, read_header(file), os.path.getsize(source))
        data = read_checked(file)
    return LecFile(source, read_header(data), len(data), data)


def _lec_kind(job: Job) -> tuple[Hashable, int] | None:
    """What files must have in common to be decoded together, and the pixels of this one."""
    if not os.path.isfile(job.source):
        return None
    try:
        header = read_lec(job.source, all_of_it=False).header
    except OSError:  # reading it again will say what it is
        return None
    return replace(header, quality=0), header.width * header.height


def _facts(header: Header, size: int) -> dict[str, Any]:
    """What `--json` says of a `.lec` file of `size` bytes. quality: the index, as `info` has it."""
    names = ("width", "height", "channels", "bit_depth", "alpha", "quality")
    return {
        **{name: header.as_dict()[name] for name in names},
        "user_quality": header.user_quality,
        "bpp": 8 * size / (header.width * header.height),
    }


def _stripped(metadata: Metadata) -> Metadata:
    """Without what a file can do without; the code points say what the samples mean, and stay."""
    return replace(metadata, icc=b"", exif=b"", xmp=b"")


def _check_output(job: Job, force: bool) -> None:
    """Refuse an output that cannot be written, or that is the input."""
    if job.destination is None:
        return
    with suppress(FileNotFoundError):
        if job.source != "-" and os.path.samefile(job.source, job.destination):
            raise OutputExists(f"output {job.destination} is the input itself")
    if not (job.makes_folders and not job.destination.parent.exists()):
        check_writable(job.destination, force)


def _make_folder(job: Job) -> None:
    if job.makes_folders and job.destination is not None:
        os.makedirs(job.destination.parent, exist_ok=True)


def _verified(codec: ImageCodec, samples: np.ndarray, data: bytes) -> float | None:
    """Decode what was encoded -> its PSNR in dB (None: equal). Raises CorruptFile unless it comes back in its shape
    and depth, with its latents (the codec's digests say so) and with its alpha bit for bit.
    """
    import numpy as np

    from .codec.samples import psnr_of

    back = codec.decode(data)
    if back.shape != samples.shape or back.dtype != samples.dtype:
        found, wanted = (f"{x.dtype} {list(x.shape)}" for x in (back, samples))
        raise CorruptFile(f"verification: the file decodes to {found}, expected {wanted}")
    colours = samples.shape[2] if samples.ndim == 3 else 1
    if colours in (2, 4):
        if not np.array_equal(back[..., -1], samples[..., -1]):
            raise CorruptFile("verification: the alpha channel does not come back as it was")
        back, samples = back[..., :-1], samples[..., :-1]
    psnr = psnr_of(samples, back)
    return None if math.isinf(psnr) else psnr
