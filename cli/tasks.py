"""What the tasks of encode, decode and test have in common: the outputs, what is told of a file, verification.

    jobs.Task <- CodecTask <- encoding.Encoding, decoding.Decoding, decoding.Testing

Heavy modules are imported where they are first needed, so that a mistyped name is reported before torch is loaded.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from ..bitstream import Header, LecFile, Metadata, check_writable
from ..bitstream.atomic import discard_left
from ..codec.codec import Codec
from ..codec.workers.pool import cores
from ..errors import CorruptFile, OutputExists
from .codecs import Codecs
from .jobs import Job
from .paths import is_shard

if TYPE_CHECKING:
    import numpy as np

    from ..codec.media.signal import Signal
    from ..codec.media.video_signal import VideoSignal

__all__ = [
    "NOUNS",
    "CodecTask",
    "check_output",
    "facts_of",
    "facts_of_header",
    "make_folder",
    "open_lec",
    "opened",
    "silent_video",
    "stripped",
    "verified",
    "worth_torch",
]

NOUNS = {"image": "a picture", "set": "a set of samples", "video": "a video", "sound": "a sound"}
ENOUGH = 1 << 23
"""Pixels from which on torch is worth its import."""
BUNCH_PIXELS = {"cpu": 2**20, "cuda": 2**24}
"""Pixels of small pictures that are coded together: on a CPU larger batches gain nothing (measured)."""


@dataclass(frozen=True)
class CodecTask:
    """What all tasks have."""

    codecs: Codecs

    @property
    def bunch_pixels(self) -> int:
        return BUNCH_PIXELS["cpu" if self.codecs.device == "cpu" else "cuda"]

    def amount(self, job: Job) -> int:
        """About how many pixels a job codes; 0 for what torch does not do faster."""
        raise NotImplementedError


def worth_torch(task: CodecTask, jobs: Sequence[Job]) -> bool:
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


def facts_of(file: LecFile) -> dict[str, Any]:
    """What `--json` says of a `.lec` file."""
    return facts_of_header(file.header, file.size)


def facts_of_header(header: Header, size: int) -> dict[str, Any]:
    """The same of its header and its bytes. medium: the name of its layout; quality: the index, as `info` has it."""
    names = ("width", "height", "channels", "bit_depth", "sample_rate", "alpha", "quality")
    fields = header.as_dict()
    of_header = {name: fields[name] for name in names if name in fields}
    return {"medium": header.layout.name, **of_header, **header.facts(size)}


def silent_video(signal: Signal) -> Signal:
    """A video without its sound and subtitles."""
    from ..codec.media.video_streams import silent

    return silent(cast("VideoSignal", signal))


def stripped(metadata: Metadata) -> Metadata:
    """Without what a file can do without; the code points say what the samples mean, and stay."""
    return replace(metadata, icc=b"", exif=b"", xmp=b"", tags=b"", cover=b"")


def check_output(job: Job, force: bool) -> None:
    """Refuse an output that cannot be written, or that is the input. What a lost worker left of it is removed."""
    if job.destination is None or job.folder:  # a folder: its pictures are looked at when it is written
        return
    if job.again:
        discard_left(job.destination)
    with suppress(FileNotFoundError):
        if job.source != "-" and os.path.samefile(job.source, job.destination):
            raise OutputExists(f"output {job.destination} is the input itself")
    if not (job.makes_folders and not job.destination.parent.exists()):
        check_writable(job.destination, force)


def make_folder(job: Job) -> None:
    if job.makes_folders and job.destination is not None and not job.folder:
        os.makedirs(job.destination.parent, exist_ok=True)


def verified(codec: Codec, samples: np.ndarray, file: LecFile) -> float | None:
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
