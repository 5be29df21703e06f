"""What decode and test do to one file, or to a bunch of small ones.

    .lec -> Decoding -> picture, video, sound or set        .lec -> Testing

Each is a `jobs.Task`: read, code, finish. Threads share one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from ..bitstream import LecFile, SetLayout, SoundLayout, VideoLayout, attributes_of
from ..codec.media.medium import MEDIA, PICTURE, SET, SOUND, VIDEO, Medium
from ..codec.media.part import Frames, Items, Part, Region
from ..errors import InputError
from .jobs import Job
from .tasks import NOUNS, CodecTask, check_output, facts_of, make_folder, open_lec, silent_video, stripped
from .watch import Watch

if TYPE_CHECKING:
    from ..codec.media.signal import Signal
    from ..codec.media.video_signal import VideoSignal

__all__ = ["Decoding", "Testing"]


@dataclass(frozen=True)
class Decoding(CodecTask):
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
        if job.source not in self.opened and os.path.isfile(job.source):
            open_lec(job.source)  # says what is wrong with it before its output is looked at
        check_output(job, self.force or job.again)
        if job.source != "-":
            self._check_suffix(job, job.medium)
        file = self._file(job)
        of_pipe = not os.path.isfile(job.source)
        as_it_comes = isinstance(file.layout, VideoLayout) or (isinstance(file.layout, SoundLayout) and not self.part)
        if not as_it_comes and (self.part is None or of_pipe):
            file.load()  # what is read from a pipe does not come again
        medium = MEDIA[file.layout.name]
        what = NOUNS[medium.name]
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
            result = replace(result, metadata=stripped(result.metadata))
        if isinstance(result.layout, VideoLayout):
            video = cast("VideoSignal", silent_video(result) if self.silent else result)
            count = 0 if self.part is not None else video.count
            result = replace(video, frames=self.watch.over(video.frames, count))
        written, notes = self._write(job, MEDIA[input.layout.name], result)
        return {"bytes_in": input.size, **facts_of(input)} | written, notes

    def _write(self, job: Job, medium: Medium, result: Signal) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Write what was decoded -> facts and notes."""
        make_folder(job)
        destination = sys.stdout.buffer if job.destination is None else job.destination
        with attributes_of(job.source):
            found = medium.write(
                result,
                destination,
                self.part,
                folder=job.folder,
                overwrite=self.force or job.again,
                form=self.form,
            )
        if job.destination is None:
            sys.stdout.buffer.flush()
        return found

    def _check_suffix(self, job: Job, medium: Medium) -> None:
        """Refuse an output in whose format the medium cannot be written."""
        if job.destination is not None and not job.folder:
            medium.check_output(job.destination, self.part)


@dataclass(frozen=True)
class Testing(CodecTask):
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
        return {"bytes_in": input.size, **facts_of(input)}, ()


def _pixels(file: LecFile | None) -> int:
    """Of a picture or a video; 0 for what torch does not do faster."""
    if file is None or isinstance(file.layout, SetLayout | SoundLayout):
        return 0
    if isinstance(file.layout, VideoLayout):
        return 8 * (file.size or 0)
    return file.layout.pixels
