"""What encode, decode and test do to one file, or to a bunch of small ones.

    picture file or set -> Encoding -> .lec        .lec -> Decoding -> picture file or set        .lec -> Testing

Each is a `jobs.Task`: read, code, finish. Threads share one. What is coded without loss is decoded again and compared
before it appears, unless that is turned off. Heavy modules are imported where they are first needed, so
that a mistyped name is reported before torch is loaded.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..bitstream import (
    Header,
    LecFile,
    Metadata,
    SetLayout,
    SoundLayout,
    VideoLayout,
    atomic_write,
    attributes_of,
    check_writable,
)
from ..codec.codec import QUALITY, Codec, Target
from ..codec.media.medium import MEDIA, PICTURE, SET, SOUND, VIDEO, Medium
from ..codec.media.part import Frames, Items, Part, Region
from ..codec.media.pipe import START, Pipe, medium_of_start
from ..errors import CorruptFile, InputError, OutputExists
from .codecs import Codecs
from .jobs import Job, cores
from .paths import is_shard
from .watch import Watch

if TYPE_CHECKING:
    import numpy as np

    from ..codec.media.signal import Signal
    from ..codec.media.sound_signal import SoundSignal
    from ..codec.media.video_signal import VideoSignal
    from ..codec.sound_stream import EncodedSound
    from ..codec.video import EncodedVideo, VideoCodec

__all__ = ["Decoding", "Encoding", "Testing", "open_lec", "opened", "worth_torch"]

_NOUNS = {"image": "a picture", "set": "a set of samples", "video": "a video", "sound": "a sound"}
ENOUGH = 1 << 23
"""Pixels from which on torch is worth its import."""
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
    """target: of what may be coded with loss; sets never are. units: into which a medium is cut, by its name (the side
    of tiles, items in a block); None or missing: what suits the signal. strip: leave EXIF, XMP and ICC out. verify:
    decode before the output appears; None: only what is coded without loss. force: overwrite. low_delay: each frame of
    a video from the one before alone. silent: leave its sound and subtitles out. watch: how far it is. live: a sound is
    written while it comes.
    """

    target: Target
    units: Mapping[str, Any] = field(default_factory=dict)
    strip: bool = False
    verify: bool | None = None
    force: bool = False
    low_delay: bool = False
    silent: bool = False
    watch: Watch = field(default_factory=Watch)
    live: bool = False

    @property
    def segment(self) -> float | None:
        """Seconds of a sound's segments."""
        return self.units.get("sound")

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        if self.target.kind not in ("quality", "lossless") or not os.path.isfile(job.source):
            return None  # a pipe cannot be opened twice
        return job.medium.peek(job.source)

    def amount(self, job: Job) -> int:
        """About how many pixels there are to code."""
        if job.medium is PICTURE:
            found = job.medium.peek(job.source)
            return 0 if found is None else found[1]
        return 8 * os.path.getsize(job.source) if job.medium is VIDEO else 0

    def read(self, job: Job) -> Signal:
        _check_output(job, self.force)
        signal = self._signal(job)
        if self.strip:
            signal = replace(signal, metadata=_stripped(signal.metadata))
        unit = self.units.get(signal.layout.name)
        if isinstance(signal.layout, VideoLayout):
            from ..codec.media.video_signal import in_groups

            video = in_groups(_silent(signal) if self.silent else signal, unit or 0, self.low_delay)
            return replace(video, frames=self.watch.over(video.frames, video.count))
        if isinstance(signal.layout, SoundLayout):
            from ..codec.media.sound_signal import in_segments

            segment = self.segment
            return signal if segment is None or self.live else in_segments(cast("SoundSignal", signal), segment)
        if unit is None:
            return signal
        from ..codec.media.signal import cut_into

        return cut_into(signal, unit)

    def _signal(self, job: Job) -> Signal:
        """What a file holds, or standard input, whose medium its first bytes say."""
        if self.live:
            return self._live_sound(job)
        if job.source != "-":
            return job.medium.read(job.source)
        pipe = Pipe(sys.stdin.buffer, again=self.target.kind != "quality")
        medium = medium_of_start(pipe.start()) if job.medium is PICTURE else job.medium
        return medium.read(cast(BinaryIO, pipe))

    def _live_sound(self, job: Job) -> Signal:
        """A sound that is decoded while it comes."""
        from ..codec.media.sound_files import stream_sound
        from ..codec.sound_stream import LIVE

        source: Any = Pipe(sys.stdin.buffer) if job.source == "-" else job.source
        medium = job.medium if job.source != "-" else medium_of_start(source.start(START))
        if medium is not SOUND:
            raise InputError(f"{_NOUNS[medium.name]}, not a sound: --live does not go with it")
        if self.target.kind not in ("quality", "lossless"):
            raise InputError(f"{self.target.kind} needs the whole sound: with --live a quality is coded to")
        return stream_sound(source, LIVE if self.segment is None else self.segment)

    def prepare(self, inputs: Sequence[Signal]) -> None:
        self.codecs.prepare(inputs[0], self._target(inputs[0]))

    def code(self, inputs: Sequence[Signal]) -> list[Any]:
        target = self._target(inputs[0])
        codec = self.codecs.to_encode(inputs[0], target)
        if self.live:
            from ..codec.sound_stream import encoded_pieces

            return [encoded_pieces(cast("SoundSignal", signal), target, codec) for signal in inputs]
        if isinstance(inputs[0].layout, VideoLayout) and not self.verify:
            return [cast("VideoCodec", codec).encoded_pieces(signal, target) for signal in inputs]
        return list(codec.encode_signals(inputs, target))  # `finish` verifies

    def finish(
        self, job: Job, input: Signal, result: bytes | EncodedVideo | EncodedSound
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        if not isinstance(result, bytes):
            return self._finish_pieces(job, input, result)
        file = LecFile.open(result)
        facts = {"bytes_in": input.file_bytes, "bytes_out": len(result), **_facts(file)}
        streamed = isinstance(file.layout, VideoLayout | SoundLayout)
        if streamed and (self.verify or (self.verify is None and file.header.lossless)):
            self.codecs.for_file(file.header).test(file)  # samples too where nothing may be lost
        elif not streamed and (self.verify or (self.verify is None and file.header.lossless)):
            facts["psnr"] = _verified(self.codecs.for_file(file.header), input.samples, file)
        with self._output(job) as output:
            output.write(result)
        return facts, (*input.notes, *self._lost(input, file), *self._in_vain(input))

    @contextmanager
    def _output(self, job: Job) -> Iterator[BinaryIO]:
        """What the result is written to: whole or not at all, if it is a file."""
        if job.destination is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
            return
        _make_folder(job)
        with attributes_of(job.source), atomic_write(job.destination, overwrite=self.force) as output:
            yield output

    def _finish_pieces(
        self, job: Job, input: Signal, result: EncodedVideo | EncodedSound
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """A video, or a sound that is coded live, is written while it is coded."""
        size = 0
        with self._output(job) as output:
            for piece in result:
                output.write(piece)
                self.watch.bytes = size = size + len(piece)
                if job.destination is None:
                    output.flush()
        layout = result.header.layout
        if isinstance(layout, SoundLayout):  # of a pipe: its samples
            read = layout.samples * cast(SoundLayout, input.layout).channels * layout.bit_depth // 8
        else:
            read = cast("VideoSignal", input).bytes_read()
        facts = {"bytes_in": read, "bytes_out": size, **_facts_of(result.header, size)}
        return facts, (*input.notes, *self._in_vain(input))

    def _in_vain(self, input: Signal) -> tuple[str, ...]:
        """A note where a quality was asked of a model that has only one."""
        target = self._target(input)
        if target.kind != "quality" or target.value == QUALITY:
            return ()
        codec = self.codecs.to_encode(input, target)
        if not getattr(codec, "one_rate", False):
            return ()
        return (f"quality {target.value:g} changes nothing: {codec.card.get('name', 'the model')} has one rate",)

    def _lost(self, input: Signal, file: LecFile) -> tuple[str, ...]:
        """Notes where channels of a sound were mixed, or models tried on a set and none made a block smaller."""
        if isinstance(input.layout, SoundLayout) and isinstance(file.layout, SoundLayout):
            mixed = input.layout.channels > file.layout.channels
            return (f"{input.layout.channels} channels mixed to two",) if mixed else ()
        if not isinstance(input.layout, SetLayout) or not (names := self.codecs.tried(input)):
            return ()
        if "model" in (methods := file.methods() or {}):
            return ()
        made = " or ".join(sorted(methods))
        return (
            f"{', '.join(names)} tried, but of no use: {made} is smaller; a circuit trained on such items may help",
        )

    def _target(self, input: Signal) -> Target:
        return Target("lossless") if input.layout.lossless_only else self.target


@dataclass(frozen=True)
class Decoding(_CodecTask):
    """part: of each file; None is all. depth: 8 or 16 bits a sample of a picture; None is the file's. strip: do not
    write the file's EXIF, XMP and ICC. force: overwrite. opened: files whose headers are read already, by source; they
    are taken out of it. form: suffix of what goes through a pipe, without a dot; empty: the medium's own. silent: do
    not write a video's sound and subtitles. watch: how far a video is.
    """

    part: Part | None = None
    depth: int | None = None
    strip: bool = False
    force: bool = False
    opened: dict[str, LecFile] = field(default_factory=dict)
    form: str = ""
    silent: bool = False
    watch: Watch = field(default_factory=Watch)

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which opens files for itself."""
        return {**self.__dict__, "opened": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def kind(self, job: Job) -> tuple[Hashable, int] | None:
        file = self.opened.get(job.source)
        if self.part is not None or file is None or not MEDIA[file.layout.name].together:
            return None
        return replace(file.header, quality=0), file.layout.pixels

    def amount(self, job: Job) -> int:
        """About how many pixels there are to decode."""
        return _pixels(self.opened.get(job.source))

    def read(self, job: Job) -> LecFile:
        _check_output(job, self.force)
        if job.source != "-":
            self._check_suffix(job, job.medium)
        file = self._file(job)
        of_pipe = not os.path.isfile(job.source)
        as_it_comes = isinstance(file.layout, VideoLayout) or (isinstance(file.layout, SoundLayout) and not self.part)
        if not as_it_comes and (self.part is None or of_pipe):
            file.load()  # what is read from a pipe does not come again
        medium = MEDIA[file.layout.name]
        what = _NOUNS[medium.name]
        if medium is not SET and isinstance(self.part, Items):
            raise InputError(f"{what}, not a set of samples: it has no items")
        if medium is not PICTURE and (isinstance(self.part, Region) or self.depth is not None):
            raise InputError(f"{what}, not a picture: --region and --depth do not go with it")
        if isinstance(self.part, Frames) and not (medium is VIDEO or (medium is SOUND and self.part.in_seconds)):
            options = "--frames does" if medium is SOUND else "--from, --to and --frames do"
            raise InputError(f"{what}, not a video: {options} not go with it")
        if job.source == "-":
            self._check_suffix(job, medium)
        return file

    def _file(self, job: Job) -> LecFile:
        """The file, its header read."""
        return self.opened.pop(job.source, None) or open_lec(job.source)

    def prepare(self, inputs: Sequence[LecFile]) -> None:
        self.codecs.for_file(inputs[0].header)

    def code(self, inputs: Sequence[LecFile]) -> list[Signal]:
        return self.codecs.for_file(inputs[0].header).decode_files(inputs, self.part)

    def finish(self, job: Job, input: LecFile, result: Signal) -> tuple[dict[str, Any], tuple[str, ...]]:
        if self.depth is not None:
            from ..codec.media.picture_write import fit_depth

            result = replace(result, samples=fit_depth(result.samples, self.depth))
        if self.strip:
            result = replace(result, metadata=_stripped(result.metadata))
        if isinstance(result.layout, VideoLayout):
            video = cast("VideoSignal", _silent(result) if self.silent else result)
            count = 0 if self.part is not None else video.count
            result = replace(video, frames=self.watch.over(video.frames, count))
        written, notes = self._write(job, MEDIA[input.layout.name], result)
        return {"bytes_in": input.size, **_facts(input)} | written, notes

    def _write(self, job: Job, medium: Medium, result: Signal) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Write what was decoded -> facts and notes."""
        _make_folder(job)
        destination = sys.stdout.buffer if job.destination is None else job.destination
        with attributes_of(job.source):
            found = medium.write(
                result, destination, self.part, folder=job.folder, overwrite=self.force, form=self.form
            )
        if job.destination is None:
            sys.stdout.buffer.flush()
        return found

    def _check_suffix(self, job: Job, medium: Medium) -> None:
        """Refuse an output in whose format the medium cannot be written."""
        if job.destination is not None and not job.folder:
            medium.check_output(job.destination, self.part)


@dataclass(frozen=True)
class Testing(_CodecTask):
    """Decodes to latents and compares their digests; writes nothing."""

    def kind(self, job: Job) -> None:
        return None  # the codec tests one file at a time

    def amount(self, job: Job) -> int:
        """Testing makes no pixels."""
        return 0

    def read(self, job: Job) -> LecFile:
        file = self._file(job)
        if not isinstance(file.layout, VideoLayout):  # which is read group by group
            file.load()
        return file

    def _file(self, job: Job) -> LecFile:
        """The file, its header read."""
        return open_lec(job.source)

    def prepare(self, inputs: Sequence[LecFile]) -> None:
        self.codecs.for_file(inputs[0].header)

    def code(self, inputs: Sequence[LecFile]) -> list[None]:
        for file in inputs:
            self.codecs.for_file(file.header).test(file)
        return [None] * len(inputs)

    def finish(self, job: Job, input: LecFile, result: None) -> tuple[dict[str, Any], tuple[str, ...]]:
        return {"bytes_in": input.size, **_facts(input)}, ()


def worth_torch(task: Encoding | Decoding | Testing, jobs: Sequence[Job]) -> bool:
    """Whether there is so much to do that torch, where it is installed, is worth the second that importing it takes: on
    several cores it works on large pictures nearly twice as fast as numpy.
    """
    if "torch" in sys.modules or os.environ.get("LECODEC_RUNTIME") or task.codecs.device != "cpu" or cores() < 2:
        return False
    left = ENOUGH
    for job in jobs:
        if job.error is None and os.path.isfile(job.source):
            left -= 8 * os.path.getsize(job.source) if is_shard(job.source) else task.amount(job)
        if left <= 0:
            return importlib.util.find_spec("torch") is not None
    return False


def _pixels(file: LecFile | None) -> int:
    """Of a picture or a video; 0 for what torch does not do faster."""
    if file is None or isinstance(file.layout, SetLayout | SoundLayout):
        return 0
    if isinstance(file.layout, VideoLayout):
        return 8 * (file.size or 0)
    return file.layout.pixels


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
    """What `--json` says of a `.lec` file."""
    return _facts_of(file.header, file.size)


def _facts_of(header: Header, size: int) -> dict[str, Any]:
    """The same of its header and its bytes. medium: the name of its layout; quality: the index, as `info` has it."""
    names = ("width", "height", "channels", "bit_depth", "sample_rate", "alpha", "quality")
    fields = header.as_dict()
    of_header = {name: fields[name] for name in names if name in fields}
    return {"medium": header.layout.name, **of_header, **header.facts(size)}


def _silent(signal: Signal) -> Signal:
    """A video without its sound and subtitles."""
    from ..codec.media.video_streams import silent

    return silent(cast("VideoSignal", signal))


def _stripped(metadata: Metadata) -> Metadata:
    """Without what a file can do without; the code points say what the samples mean, and stay."""
    return replace(metadata, icc=b"", exif=b"", xmp=b"", tags=b"")


def _check_output(job: Job, force: bool) -> None:
    """Refuse an output that cannot be written, or that is the input."""
    if job.destination is None or job.folder:  # a folder: its pictures are looked at when it is written
        return
    with suppress(FileNotFoundError):
        if job.source != "-" and os.path.samefile(job.source, job.destination):
            raise OutputExists(f"output {job.destination} is the input itself")
    if not (job.makes_folders and not job.destination.parent.exists()):
        check_writable(job.destination, force)


def _make_folder(job: Job) -> None:
    if job.makes_folders and job.destination is not None and not job.folder:
        os.makedirs(job.destination.parent, exist_ok=True)


def _verified(codec: Codec, samples: np.ndarray, file: LecFile) -> float | None:
    """Decode what was encoded -> its PSNR in dB (None: equal). Raises CorruptFile unless it comes back in its shape
    and depth, with its latents (the codec's digests say so) and with its alpha bit for bit; without loss with
    every sample.
    """
    import numpy as np

    from ..codec.media.samples import psnr_of

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
