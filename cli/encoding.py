"""What encode does to one file, or to a bunch of small ones: picture, video, sound or set -> Encoding -> .lec

A `jobs.Task`: read, code, finish. Threads share one. What is coded without loss is decoded again and compared before it
appears, unless that is turned off.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..bitstream import LecFile, SetLayout, SoundLayout, VideoLayout, atomic_write, attributes_of
from ..codec.codec import QUALITY, Target
from ..codec.media.medium import PICTURE, SOUND, VIDEO
from ..codec.media.pipe import START, Pipe, medium_of_start
from ..errors import InputError
from .jobs import Job
from .tasks import (
    NOUNS,
    CodecTask,
    check_output,
    facts_of,
    facts_of_header,
    make_folder,
    silent_video,
    stripped,
    verified,
)
from .watch import Watch

if TYPE_CHECKING:
    from ..codec.media.signal import Signal
    from ..codec.media.sound_signal import SoundSignal
    from ..codec.media.video_signal import VideoSignal
    from ..codec.sound_stream import EncodedSound
    from ..codec.video import EncodedVideo, VideoCodec

__all__ = ["Encoding"]


@dataclass(frozen=True)
class Encoding(CodecTask):
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
        check_output(job, self.force or job.again)
        signal = self._signal(job)
        if self.strip:
            signal = replace(signal, metadata=stripped(signal.metadata))
        unit = self.units.get(signal.layout.name)
        if isinstance(signal.layout, VideoLayout):
            from ..codec.media.video_signal import in_groups

            video = in_groups(silent_video(signal) if self.silent else signal, unit or 0, self.low_delay)
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
            raise InputError(f"{NOUNS[medium.name]}, not a sound: --live does not go with it")
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
        facts = {"bytes_in": input.file_bytes, "bytes_out": len(result), **facts_of(file)}
        streamed = isinstance(file.layout, VideoLayout | SoundLayout)
        if streamed and (self.verify or (self.verify is None and file.header.lossless)):
            self.codecs.for_file(file.header).test(file)  # samples too where nothing may be lost
        elif not streamed and (self.verify or (self.verify is None and file.header.lossless)):
            facts["psnr"] = verified(self.codecs.for_file(file.header), input.samples, file)
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
        make_folder(job)
        with attributes_of(job.source), atomic_write(job.destination, overwrite=self.force or job.again) as output:
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
        facts = {"bytes_in": read, "bytes_out": size, **facts_of_header(result.header, size)}
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
            notes = (f"{input.layout.channels} channels mixed to two",) if mixed else ()
            if input.metadata.cover and not file.metadata.cover:
                notes += (f"its cover is left out: {self.target.kind} is for the sound",)
            return notes
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
