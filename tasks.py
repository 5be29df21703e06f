"""What encode, decode and test do to one file, or to a bunch of small ones.

    picture file or set -> Encoding -> .lec        .lec -> Decoding -> picture file or set        .lec -> Testing

Each is a `jobs.Task`: read, code, finish. Threads share one. What is coded without loss is decoded again and compared
before it appears, unless that is turned off. Heavy modules are imported where they are first needed, so
that a mistyped name is told before torch is loaded.
"""

from __future__ import annotations

import io
import math
import os
import sys
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
from .errors import CorruptFile, InputError, OutputExists
from .jobs import Job
from .loaded import Codecs
from .paths import PICTURES

if TYPE_CHECKING:
    import numpy as np

    from .codec.image import ImageCodec
    from .codec.lossless import LosslessCodec
    from .codec.media import Picture
    from .codec.sets import SampleSet

__all__ = ["Decoding", "Encoding", "LecFile", "Testing", "holds_set", "read_lec"]

BUNCH_PIXELS = {"cpu": 2**20, "cuda": 2**24}
"""Pixels of small pictures that are coded together: on a CPU larger batches gain nothing (measured)."""


@dataclass(frozen=True)
class _CodecTask:
    """What all tasks have."""

    codecs: Codecs

    @property
    def bunch_pixels(self) -> int:
        return BUNCH_PIXELS["cpu" if self.codecs.device == "cpu" else "cuda"]


@dataclass(frozen=True)
class Encoding(_CodecTask):
    """target: one of quality, bpp, psnr, size, and effort, as `ImageCodec.encode` takes them, or nothing: without loss.
    tile: as there. strip: leave EXIF, XMP and ICC out. verify: decode before the output appears; None: only what is
    coded without loss. force: overwrite. items: in a block of a set. Sets are coded without loss whatever the target.
    """

    target: Mapping[str, Any]
    tile: int | None = None
    strip: bool = False
    verify: bool | None = None
    force: bool = False
    items: int | None = None

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        by_target = self.target and "quality" not in self.target
        if by_target or job.is_set or not os.path.isfile(job.source):  # a pipe cannot be opened twice
            return None
        from PIL import Image

        from .codec.media import READABLE

        try:
            with Image.open(job.source, formats=READABLE) as image:
                return (image.size, image.mode), image.width * image.height
        except Exception:  # nearly every class, on damaged files; reading it will say what it is
            return None

    def read(self, job: Job) -> Picture | SampleSet:
        _check_output(job, self.force)
        source = sys.stdin.buffer if job.source == "-" else job.source
        if job.is_set:
            from .codec.sets import load_set

            return load_set(source)
        from .codec.media import load_picture

        picture = load_picture(source)
        if self.strip:
            picture = replace(picture, metadata=_stripped(picture.metadata))
        return picture

    def prepare(self, inputs: Sequence[Picture | SampleSet]) -> None:
        if _is_set(inputs[0]):
            self.codecs.prepare_set(inputs[0].samples)
        else:
            self._codec(inputs[0])

    def code(self, inputs: Sequence[Any]) -> list[bytes]:
        codec: Any = self._codec(inputs[0])
        if _is_set(inputs[0]):
            return [codec.encode_set(inputs[0].samples, self.items, verify=False)]  # `finish` does
        how: Mapping[str, Any] = self.target or {"verify": False}
        if len(inputs) == 1:
            picture = inputs[0]
            return [codec.encode(picture.samples, tile=self.tile, metadata=picture.metadata, **how)]
        samples, metadata = [p.samples for p in inputs], [p.metadata for p in inputs]
        return codec.encode_batch(samples, tile=self.tile, metadata=metadata, **how)

    def finish(self, job: Job, input: Any, result: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
        header = read_header(result)
        facts = {"bytes_in": input.file_bytes, "bytes_out": len(result), **_facts(header, len(result))}
        if self.verify or (self.verify is None and header.lossless):
            facts["psnr"] = _verified(self.codecs.named_by(header), input.samples, result)
        if job.destination is None:
            sys.stdout.buffer.write(result)
            sys.stdout.buffer.flush()
        else:
            _make_folder(job)
            with atomic_write(job.destination, overwrite=self.force) as file:
                file.write(result)
        return facts, input.notes

    def _codec(self, input: Picture | SampleSet) -> ImageCodec | LosslessCodec:
        if _is_set(input):
            return self.codecs.lossless_set(input.samples)
        return self.codecs.lossy() if self.target else self.codecs.lossless(8 * input.samples.itemsize)


@dataclass(frozen=True)
class Decoding(_CodecTask):
    """region: x, y, width, height in pixels of a picture; None is all. depth: 8 or 16 bits a sample of a picture; None
    is the file's. strip: do not write the file's EXIF, XMP and ICC. force: overwrite. items: numbers of items of a set;
    None is all.
    """

    region: tuple[int, int, int, int] | None = None
    depth: int | None = None
    strip: bool = False
    force: bool = False
    items: Sequence[int] | None = None

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        return _lec_kind(job) if self._whole and not job.is_set else None

    def read(self, job: Job) -> LecFile:
        _check_output(job, self.force)
        if job.source != "-":
            self._check_suffix(job, job.is_set)
        file = read_lec(job.source, all_of_it=self._whole)
        if file.header.items is None and self.items is not None:
            raise InputError("a picture, not a set of samples: it has no items")
        if file.header.items is not None and (self.region is not None or self.depth is not None):
            raise InputError("a set of samples, not a picture: --region and --depth do not go with it")
        if job.source == "-":
            self._check_suffix(job, file.header.items is not None)
        return file

    def prepare(self, inputs: Sequence[LecFile]) -> None:
        self.codecs.named_by(inputs[0].header)

    def code(self, inputs: Sequence[LecFile]) -> list[np.ndarray]:
        codec: Any = self.codecs.named_by(inputs[0].header)
        if not self._whole:
            with inputs[0].open() as file:
                part = codec.decode_items(file, self.items) if self.items else codec.decode_region(file, self.region)
                return [part]
        if len(inputs) == 1:
            return [codec.decode(inputs[0].data)]
        return codec.decode_batch([file.data for file in inputs])

    def finish(self, job: Job, input: LecFile, result: np.ndarray) -> tuple[dict[str, Any], tuple[str, ...]]:
        facts = {"bytes_in": input.size, **_facts(input.header, input.size)}
        _make_folder(job)
        if input.header.items is not None:
            return facts | self._write_set(job, result), ()
        from .codec.media_write import fit_depth, metadata_lost, picture_format, write_picture

        samples = result if self.depth is None else fit_depth(result, self.depth)
        with input.open() as file:
            metadata = TileReader(file).metadata
        if self.strip:
            metadata = _stripped(metadata)
        facts |= {"height": samples.shape[0], "width": samples.shape[1], "bit_depth": 8 * samples.itemsize}
        if job.destination is None:
            write_picture(samples, sys.stdout.buffer, metadata=metadata)
            sys.stdout.buffer.flush()
            return facts, ()
        write_picture(samples, job.destination, overwrite=self.force, metadata=metadata)
        facts["bytes_out"] = os.path.getsize(job.destination)
        lost = metadata_lost(picture_format(job.destination), metadata)
        return facts, (lost,) if lost else ()

    @property
    def _whole(self) -> bool:
        return self.region is None and self.items is None

    def _check_suffix(self, job: Job, is_set: bool) -> None:
        """Refuse an output in whose format a picture, or a set, cannot be written."""
        from .codec.media_write import picture_format
        from .codec.sets_write import check_set_output

        if job.destination is None or job.pictures:
            return
        if is_set and not self._one_picture(job):
            check_set_output(job.destination)
        else:
            picture_format(job.destination)

    def _one_picture(self, job: Job) -> bool:
        """Whether one item of a set is wanted, as a picture."""
        single = self.items is not None and len(self.items) == 1
        return single and job.destination is not None and job.destination.suffix.lower() in PICTURES

    def _write_set(self, job: Job, samples: np.ndarray) -> dict[str, Any]:
        """Write all items or those that were asked for -> what there is to say of it."""
        from .codec.sets_write import as_picture, write_item_pictures, write_set

        facts: dict[str, Any] = {"items": len(samples)}
        if job.destination is None:
            write_set(samples, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return facts
        if job.pictures:
            size = write_item_pictures(samples, job.destination, self.items, overwrite=self.force)
            return facts | {"bytes_out": size}
        if self._one_picture(job):
            from .codec.media_write import write_picture

            write_picture(as_picture(samples[0]), job.destination, overwrite=self.force)
        else:
            write_set(samples, job.destination, overwrite=self.force)
        return facts | {"bytes_out": os.path.getsize(job.destination)}


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
    return {**{name: header.as_dict()[name] for name in names}, **header.facts(size)}


def holds_set(source: str) -> bool:
    """Whether a path leads to a `.lec` file that holds a set; what is wrong with it shows when it is read."""
    if not os.path.isfile(source):
        return False
    try:
        return read_lec(source, all_of_it=False).header.items is not None
    except OSError:
        return False


def _is_set(input: Picture | SampleSet) -> bool:
    return not hasattr(input, "metadata")


def _stripped(metadata: Metadata) -> Metadata:
    """Without what a file can do without; the code points say what the samples mean, and stay."""
    return replace(metadata, icc=b"", exif=b"", xmp=b"")


def _check_output(job: Job, force: bool) -> None:
    """Refuse an output that cannot be written, or that is the input."""
    if job.destination is None or job.pictures:  # a folder: its pictures are looked at when it is written
        return
    with suppress(FileNotFoundError):
        if job.source != "-" and os.path.samefile(job.source, job.destination):
            raise OutputExists(f"output {job.destination} is the input itself")
    if not (job.makes_folders and not job.destination.parent.exists()):
        check_writable(job.destination, force)


def _make_folder(job: Job) -> None:
    if job.makes_folders and job.destination is not None and not job.pictures:
        os.makedirs(job.destination.parent, exist_ok=True)


def _verified(codec: ImageCodec | LosslessCodec, samples: np.ndarray, data: bytes) -> float | None:
    """Decode what was encoded -> its PSNR in dB (None: equal). Raises CorruptFile unless it comes back in its shape
    and depth, with its latents (the codec's digests say so) and with its alpha bit for bit; without loss with
    every sample.
    """
    import numpy as np

    from .codec.samples import psnr_of

    back = codec.decode(data)
    if back.shape != samples.shape or back.dtype != samples.dtype:
        found, wanted = (f"{x.dtype} {list(x.shape)}" for x in (back, samples))
        raise CorruptFile(f"verification: the file decodes to {found}, expected {wanted}")
    if read_header(data).lossless:
        if not np.array_equal(back, samples):
            raise CorruptFile("verification: samples do not come back as they were")
        return None
    colours = samples.shape[2] if samples.ndim == 3 else 1
    if colours in (2, 4):
        if not np.array_equal(back[..., -1], samples[..., -1]):
            raise CorruptFile("verification: the alpha channel does not come back as it was")
        back, samples = back[..., :-1], samples[..., :-1]
    psnr = psnr_of(samples, back)
    return None if math.isinf(psnr) else psnr
