"""Atomic files: an output appears whole under its name, or not at all.

    codec -> bytes -> atomic_write: hidden temporary file next to the output -> rename -> output

Guarantees:
- Whatever happens inside the `with` block (an error, a full disk, Ctrl-C), the output is either the old file or
  nothing, and the temporary file is gone. Only a kill that Python cannot see leaves a hidden `.NAME.….part` behind.
- Without `overwrite` no file is ever lost, not even one that another program creates while the block runs: the name
  is taken with link(2), which fails if it exists.
- The output has the permissions of any newly created file (0o666 less the umask), or of the file that it replaces.
  Inside `attributes_of(source)` it has those of the source, from its first byte on, and its times, as with zstd.
- `discard_temporaries` gives up every output, from any thread or a signal handler; no temporary file comes after it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import BinaryIO

from ..errors import CodecError, InputError, OutputExists

__all__ = ["atomic_write", "attributes_of", "check_writable", "discard_left", "discard_temporaries"]

SHOWN = 40
"""Characters of an output's name in that of its temporary file: at most 160 bytes, with the rest below the 255 that
file systems allow.
"""
_temporaries: set[str] = set()
"""The temporary files that may exist now. One that was taken out never becomes an output."""
_ending = False
"""Whether `discard_temporaries` was called: no output can be begun any more."""
_lock = threading.RLock()
"""Held while a temporary comes into being and while it gets its final name. It can be taken again by the thread that
has it, because a signal handler runs in the middle of whatever the main thread is doing."""


_source: ContextVar[os.stat_result | None] = ContextVar("source", default=None)
"""The file whose permissions and times outputs get."""


@contextmanager
def attributes_of(source: str | os.PathLike[str]) -> Iterator[None]:
    """What this thread writes inside with `atomic_write` has the permissions and the times of a source. Of what is no
    regular file, and of what is gone, nothing is taken.
    """
    found = None
    with suppress(OSError, ValueError):
        found = os.stat(source)
    token = _source.set(found if found is not None and stat.S_ISREG(found.st_mode) else None)
    try:
        yield
    finally:
        _source.reset(token)


def discard_temporaries() -> None:
    """Remove the temporary files of all outputs that are being written now, in whichever thread.

    For a program that is about to end on a signal while its threads are still writing. Their `atomic_write` blocks, if
    they get to their ends, raise a CodecError instead of making the output, and from now on so does each one that
    begins: nothing could remove its temporary file any more.
    """
    global _ending
    with _lock:
        _ending = True
        while _temporaries:
            with suppress(OSError):
                os.unlink(_temporaries.pop())


def discard_left(path: str | os.PathLike[str]) -> None:
    """Remove what a program that was killed has left of an output. Nobody else may be writing that now. Of names above
    SHOWN characters nothing is removed: it could be of another output.
    """
    folder, name = os.path.split(os.path.abspath(path))
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.part")
    with suppress(OSError):
        for entry in os.listdir(folder) if len(name) <= SHOWN else ():
            if pattern.fullmatch(entry):
                os.unlink(os.path.join(folder, entry))


def check_writable(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse an output that `atomic_write` would refuse, before any work is done for it.

    Raises OutputExists (it exists and overwrite is false), IsADirectoryError, InputError (a device or a pipe: renaming
    would replace it by a file), FileNotFoundError, NotADirectoryError or PermissionError (its folder).
    """
    path = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if mode is not None and not stat.S_ISREG(mode):
        raise InputError(f"output {path} is not a regular file")
    if not overwrite and os.path.lexists(path):
        raise OutputExists(f"output {path} exists")
    folder = os.path.dirname(os.path.realpath(path) if overwrite else path) or os.curdir
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)


@contextmanager
def atomic_write(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a binary file for writing that becomes `path` when the block ends without an exception.

    overwrite: replace an existing file; if it is a symbolic link, the file it points to. Raises as `check_writable`,
    OutputExists also at the end if the output has appeared meanwhile, CodecError after `discard_temporaries`, and
    OSError as the operating system does.
    """
    check_writable(path, overwrite)
    path = os.path.realpath(path) if overwrite else os.fspath(path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name[:SHOWN]}.{os.urandom(8).hex()}.part")
    temporary = os.path.abspath(temporary)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with _lock:
            if _ending:
                raise _given_up(path)
            _temporaries.add(temporary)  # first, so that a signal between the two lines does not leave it behind
            source = _source.get()
            descriptor = os.open(temporary, flags, 0o666 if source is None else 0o600)
        with open(descriptor, "wb") as file:
            yield file
        if source is not None:
            with suppress(OSError):  # not every file system has them
                os.chmod(temporary, stat.S_IMODE(source.st_mode) & 0o777)
                os.utime(temporary, ns=(source.st_atime_ns, source.st_mtime_ns))
        with _lock:
            if temporary not in _temporaries:
                raise _given_up(path)
            if overwrite:
                with suppress(OSError):
                    if source is None:
                        os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
                os.replace(temporary, path)
            else:
                _move_without_overwriting(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        _temporaries.discard(temporary)


def _given_up(path: str) -> CodecError:
    return CodecError(f"output {path} was given up: the program is ending")


def _move_without_overwriting(temporary: str, path: str) -> None:
    """Give a file its final name unless that exists. Raises OutputExists. The old name may remain."""
    try:
        os.link(temporary, path)
        return
    except FileExistsError:
        raise OutputExists(f"output {path} exists") from None
    except OSError:
        pass  # FAT, some network and FUSE mounts have no hard links; any other cause shows again below
    # Take the name with an empty file, which only the first comer can do, and replace that.
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        raise OutputExists(f"output {path} exists") from None
    try:
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise
