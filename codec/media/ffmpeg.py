"""FFmpeg through PyAV: what files of sounds and of videos share in being opened, written and failing.

    path or pipe -> kept -> opened -> streams        packets -> writing -> a file, a pipe

Guarantees: what FFmpeg cannot read or write is an InputError of one sentence; what the system refuses (a full disk, a
closed pipe) is its OSError, as it is where FFmpeg takes no part.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ...bitstream import atomic_write, check_writable
from ...errors import InputError, MissingExtra, needed
from .part import Part

__all__ = [
    "Source",
    "announced",
    "check_suffix",
    "cut_short",
    "ffmpeg",
    "has_ffmpeg",
    "kept",
    "opened",
    "reading",
    "reason",
    "save",
    "texts",
    "writing",
]

_LIVE = {"fpsprobesize": "0", "analyzeduration": "200000"}
"""FFmpeg looks at seconds of a stream before it gives out anything, unless it is told not to."""
Source = str | os.PathLike[str] | BinaryIO


def texts(metadata: Mapping[str, str]) -> dict[str, str]:
    """Tags of a container of `opened`, or of its parts, as they are meant: UTF-8, or else Windows-1252, in which older
    programs wrote what has no field for its encoding (LIST INFO of WAV files).
    """

    def meant(text: str) -> str:
        data = text.encode("utf-8", "surrogateescape")
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("cp1252", "replace")

    return {meant(name): meant(text) for name, text in metadata.items()}


def kept(source: Source) -> tuple[Any, int]:
    """What can be read more than once, and its bytes: a path, or a temporary file with what a pipe holds. Raises
    OSError.
    """
    if isinstance(source, str | os.PathLike):
        return os.fspath(source), os.path.getsize(source)
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it goes when the signal does
    shutil.copyfileobj(source, copy)
    return copy, copy.tell()


def ffmpeg(what: str, noun: str = "video") -> Any:
    """PyAV, imported. what: needs it, for the message; noun: "sound" or "video". Raises MissingExtra."""
    return needed("av", "audio" if noun == "sound" else "video", what)


def has_ffmpeg() -> bool:
    """Whether PyAV can be imported."""
    try:
        ffmpeg("this")
    except MissingExtra:
        return False
    return True


def opened(path: Any, noun: str) -> Any:
    """An open container of PyAV with at least one stream of a kind. path: from `kept`, or what is read once; noun:
    "sound" or "video". Raises InputError, OSError.
    """
    av = ffmpeg(f"reading a {noun}", noun)

    if isinstance(path, str):
        with open(path, "rb"):  # the system's error, where there is one
            pass
    elif hasattr(path, "seek"):
        path.seek(0)
    try:
        options = {} if hasattr(path, "seek") or isinstance(path, str) else _LIVE
        container = av.open(path, options=options, metadata_errors="surrogateescape")
    except (av.FFmpegError, ValueError):
        raise InputError(f"not a {noun} that FFmpeg can read") from None
    streams = container.streams.audio if noun == "sound" else container.streams.video
    if not streams or streams[0].codec_context is None:
        container.close()
        raise InputError(
            f"it holds a {noun} in a coding that FFmpeg does not know" if streams else f"it holds no {noun}"
        )
    return container


def announced(container: Any, stream: Any) -> float:
    """Seconds that a file says a stream of it takes; 0 where it does not say."""
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def cut_short(seconds: float, announced: float) -> list[str]:
    """A note on a stream of which the file holds less than it announces: FFmpeg reads what there is, and says nothing.
    A quarter of a second is left to what encoders add at the ends.
    """
    if announced - seconds <= 0.25:
        return []
    return [f"it ends after {seconds:.2f} of the {announced:.2f} seconds that it announces"]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Inside, what FFmpeg cannot read is an InputError. what: is said of the file."""
    import av

    try:
        yield
    except (av.FFmpegError, ValueError) as e:
        raise InputError(f"{what} ({reason(e)})") from None


@contextmanager
def writing(file: BinaryIO, form: str, what: str) -> Iterator[tuple[Any, Callable[[Any], None]]]:
    """A container of PyAV that is written to a file, and what takes its packets. form: FFmpeg's name of the format;
    what: is written, for messages. A pipe gets everything at once. Raises InputError where FFmpeg refuses it, OSError
    where the system does.
    """
    av = ffmpeg(f"writing this {what}", what)

    sink = _Sink(file)
    piped = not file.seekable()
    try:
        with av.open(sink, "w", format=form, options={"flush_packets": "1"} if piped else {}) as container:

            def mux(packets: Any) -> None:
                container.mux(packets)
                sink.check()
                if piped:
                    file.flush()

            yield container, mux
    except (av.FFmpegError, ValueError, OverflowError) as e:  # times that it has no numbers for
        sink.check()
        raise InputError(f"FFmpeg cannot write this {what}: {reason(e)}") from None
    sink.check()


class _Sink:
    """A file for FFmpeg to write to. FFmpeg's callbacks lose errors, or print them: they are kept here until `check`,
    and nothing more is written.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._failed = file, None
        if file.seekable():
            self.seek, self.tell = self._seek, file.tell

    def write(self, data: bytes) -> int:
        if self._failed is None:
            try:
                self._file.write(data)
            except OSError as e:
                self._failed = e
        return len(data)

    def _seek(self, offset: int, whence: int = 0) -> int:
        if self._failed is None:
            try:
                return self._file.seek(offset, whence)
            except OSError as e:  # what was buffered is written first
                self._failed = e
        return 0

    def check(self) -> None:
        """Raise the OSError that came of writing, if there was one."""
        if self._failed is not None:
            raise self._failed


def reason(error: BaseException) -> str:
    """Why FFmpeg failed."""
    return str(getattr(error, "strerror", None) or error)


def check_suffix(destination: Path, written: tuple[str, ...], noun: str) -> None:
    """Raise InputError for a suffix in whose format nothing of this kind is written."""
    if destination.suffix.lower() not in written:
        raise InputError(f"a {noun} is written as {', '.join(written)}, not as {destination.suffix or 'no format'}")


def save(
    destination: Path | BinaryIO,
    write: Callable[[BinaryIO, str], tuple[str, ...]],
    check: Callable[[Path, Part | None], None],
    streamed: str,
    *,
    folder: bool,
    overwrite: bool,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `Medium.write` does for sounds and videos: write(file, suffix) returns notes; a stream gets the format of
    the suffix `streamed`. Returns the bytes of a file, and the notes. Raises as `Medium.write`.
    """
    if folder:
        raise InputError("it is written to a file, not to a folder")
    if not isinstance(destination, Path):
        return {}, write(destination, streamed)
    check(destination, None)
    check_writable(destination, overwrite)
    with atomic_write(destination, overwrite=overwrite) as file:
        notes = write(file, destination.suffix.lower())
    return {"bytes_out": os.path.getsize(destination)}, notes
