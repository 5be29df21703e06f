"""What encode, decode and test do to one file, or to a bunch of small ones.

    picture file or set -> Encoding -> .lec        .lec -> Decoding -> picture file or set        .lec -> Testing

Each is a `jobs.Task`: read, code, finish. Threads share one. What is coded without loss is decoded again and compared
before it appears, unless that is turned off. Heavy modules are imported where they are first needed, so
that a mistyped name is told before torch is loaded.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .bitstream import LecFile, Metadata, PictureLayout, SetLayout, atomic_write, check_writable
from .codec.codec import Codec, Items, Part, Region, Target
from .errors import CorruptFile, InputError, OutputExists
from .jobs import Job
from .loaded import Codecs
from .paths import PICTURES

if TYPE_CHECKING:
    import numpy as np

    from .codec.signal import Signal

__all__ = ["Decoding", "Encoding", "Testing", "open_lec", "opened"]

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
    """target: of pictures; sets are coded without loss whatever it is. tile: side of a picture's tiles; items: in a
    block of a set; None: what suits them. strip: leave EXIF, XMP and ICC out. verify: decode before the output appears;
    None: only what is coded without loss. force: overwrite.
    """

    target: Target
    tile: int | None = None
    strip: bool = False
    verify: bool | None = None
    force: bool = False
    items: int | None = None

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        alone = self.target.kind not in ("quality", "lossless") or job.is_set
        if alone or not os.path.isfile(job.source):  # a pipe cannot be opened twice
            return None
        from PIL import Image

        from .codec.media import READABLE

        try:
            with Image.open(job.source, formats=READABLE) as image:
                return (image.size, image.mode), image.width * image.height
        except Exception:  # nearly every class, on damaged files; reading it will say what it is
            return None

    def read(self, job: Job) -> Signal:
        from .codec.media import load_picture
        from .codec.sets import load_set
        from .codec.signal import cut_into

        _check_output(job, self.force)
        source = sys.stdin.buffer if job.source == "-" else job.source
        signal = load_set(source) if job.is_set else load_picture(source)
        if self.strip:
            signal = replace(signal, metadata=_stripped(signal.metadata))
        unit = self.items if job.is_set else self.tile
        return signal if unit is None else cut_into(signal, unit)

    def prepare(self, inputs: Sequence[Signal]) -> None:
        self.codecs.prepare(inputs[0], self._target(inputs[0]))

    def code(self, inputs: Sequence[Signal]) -> list[bytes]:
        target = self._target(inputs[0])
        return self.codecs.to_encode(inputs[0], target).encode_signals(inputs, target)  # `finish` verifies

    def finish(self, job: Job, input: Signal, result: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
        file = LecFile.open(result)
        facts = {"bytes_in": input.file_bytes, "bytes_out": len(result), **_facts(file)}
        if self.verify or (self.verify is None and file.header.lossless):
            facts["psnr"] = _verified(self.codecs.named_by(file.header), input.samples, file)
        if job.destination is None:
            sys.stdout.buffer.write(result)
            sys.stdout.buffer.flush()
        else:
            _make_folder(job)
            with atomic_write(job.destination, overwrite=self.force) as output:
                output.write(result)
        return facts, input.notes

    def _target(self, input: Signal) -> Target:
        return Target("lossless") if input.layout.lossless_only else self.target


@dataclass(frozen=True)
class Decoding(_CodecTask):
    """part: of each file; None is all. depth: 8 or 16 bits a sample of a picture; None is the file's. strip: do not
    write the file's EXIF, XMP and ICC. force: overwrite. opened: files whose headers are read already, by source; they
    are taken out of it.
    """

    part: Part | None = None
    depth: int | None = None
    strip: bool = False
    force: bool = False
    opened: dict[str, LecFile] = field(default_factory=dict)

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        file = self.opened.get(job.source)
        if self.part is not None or file is None or not isinstance(file.layout, PictureLayout):
            return None
        return replace(file.header, quality=0), file.layout.width * file.layout.height

    def read(self, job: Job) -> LecFile:
        _check_output(job, self.force)
        if job.source != "-":
            self._check_suffix(job, job.is_set)
        file = self.opened.pop(job.source, None) or open_lec(job.source)
        if self.part is None or not os.path.isfile(job.source):  # what is read from a pipe does not come again
            file.load()
        is_set = isinstance(file.layout, SetLayout)
        if not is_set and isinstance(self.part, Items):
            raise InputError("a picture, not a set of samples: it has no items")
        if is_set and (isinstance(self.part, Region) or self.depth is not None):
            raise InputError("a set of samples, not a picture: --region and --depth do not go with it")
        if job.source == "-":
            self._check_suffix(job, is_set)
        return file

    def prepare(self, inputs: Sequence[LecFile]) -> None:
        self.codecs.named_by(inputs[0].header)

    def code(self, inputs: Sequence[LecFile]) -> list[Signal]:
        return self.codecs.named_by(inputs[0].header).decode_files(inputs, self.part)

    def finish(self, job: Job, input: LecFile, result: Signal) -> tuple[dict[str, Any], tuple[str, ...]]:
        facts = {"bytes_in": input.size, **_facts(input)}
        _make_folder(job)
        if isinstance(input.layout, SetLayout):
            return facts | self._write_set(job, result.samples), ()
        from .codec.media_write import fit_depth, metadata_lost, picture_format, write_picture

        samples = result.samples if self.depth is None else fit_depth(result.samples, self.depth)
        metadata = _stripped(result.metadata) if self.strip else result.metadata
        facts |= {"height": samples.shape[0], "width": samples.shape[1], "bit_depth": 8 * samples.itemsize}
        if job.destination is None:
            write_picture(samples, sys.stdout.buffer, metadata=metadata)
            sys.stdout.buffer.flush()
            return facts, ()
        write_picture(samples, job.destination, overwrite=self.force, metadata=metadata)
        facts["bytes_out"] = os.path.getsize(job.destination)
        lost = metadata_lost(picture_format(job.destination), metadata)
        return facts, (lost,) if lost else ()

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
        single = isinstance(self.part, Items) and len(self.part.numbers) == 1
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
            numbers = self.part.numbers if isinstance(self.part, Items) else None
            size = write_item_pictures(samples, job.destination, numbers, overwrite=self.force)
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
        file = open_lec(job.source)
        file.load()
        return file

    def prepare(self, inputs: Sequence[LecFile]) -> None:
        self.codecs.named_by(inputs[0].header)

    def code(self, inputs: Sequence[LecFile]) -> list[None]:
        for file in inputs:
            self.codecs.named_by(file.header).test(file)
        return [None] * len(inputs)

    def finish(self, job: Job, input: LecFile, result: None) -> tuple[dict[str, Any], tuple[str, ...]]:
        return {"bytes_in": input.size, **_facts(input)}, ()


def open_lec(source: str) -> LecFile:
    """The `.lec` file at a path, or on standard input ("-"). Raises as `LecFile.open`."""
    return LecFile.open(sys.stdin.buffer if source == "-" else source)


def opened(sources: Iterable[str]) -> dict[str, LecFile]:
    """Those of them that are regular files and begin as `.lec` files, opened; what is wrong with the others shows when
    they are read.
    """
    found = {}
    for source in sources:
        if os.path.isfile(source):
            with suppress(OSError):
                found[source] = LecFile.open(source)
    return found


def _facts(file: LecFile) -> dict[str, Any]:
    """What `--json` says of a `.lec` file. quality: the index, as `info` has it."""
    names = ("width", "height", "channels", "bit_depth", "alpha", "quality")
    fields = file.header.as_dict()
    return {**{name: fields[name] for name in names if name in fields}, **file.header.facts(file.size)}


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


def _verified(codec: Codec, samples: np.ndarray, file: LecFile) -> float | None:
    """Decode what was encoded -> its PSNR in dB (None: equal). Raises CorruptFile unless it comes back in its shape
    and depth, with its latents (the codec's digests say so) and with its alpha bit for bit; without loss with
    every sample.
    """
    import numpy as np

    from .codec.samples import psnr_of

    back = codec.decode(file)
    if back.shape != samples.shape or back.dtype != samples.dtype:
        found, wanted = (f"{x.dtype} {list(x.shape)}" for x in (back, samples))
        raise CorruptFile(f"verification: the file decodes to {found}, expected {wanted}")
    if file.header.lossless:
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
