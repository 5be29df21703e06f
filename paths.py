"""Which inputs, and which output belongs to each: arguments of the command line to jobs.

    files, folders, patterns -> collect -> inputs -> plan -> jobs

What zstd and flac do. Guarantees: an output belongs to one input only; a pipe carries one output; walking a folder
ends, whatever links are in it (links to folders are not followed), and meets its files in one order everywhere.
"""

from __future__ import annotations

import errno
import glob
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from .codec.picture_files import PICTURES, walk
from .console import one_sentence
from .errors import InputError, OutputExists
from .jobs import Job

__all__ = [
    "LEC",
    "PICTURES",
    "Input",
    "collect",
    "decoded_name",
    "encoded_name",
    "is_folder",
    "is_set_name",
    "plan",
]

LEC = frozenset({".lec"})
SETS = (".npy", ".npz", ".idx", ".idx.gz", "-ubyte", "-ubyte.gz")
"""How the names of files end that hold sets of samples."""
_ARRAY = ".npz:"
"""Stands between the name of a file and that of one of its arrays."""


@dataclass(frozen=True)
class Input:
    """source: a path, or "-". below: its path below the folder that was named, or its name alone; that is where its
    output goes below `-o DIR/`. error: why it cannot be read, if that is known. is_set: see `Job`.
    """

    source: str
    below: str
    error: OSError | None = None
    is_set: bool = False


def is_set_name(name: str) -> bool:
    """Whether a name is that of a set of samples: x.npy, x.npz, x.npz:array, x.idx, x-ubyte, the last two also .gz"""
    return name.lower().endswith(SETS) or _ARRAY in name.lower()


def is_folder(path: str) -> bool:
    """Whether an output is a folder: one that is there, or that its name says should be."""
    return path.endswith(("/", os.sep)) or os.path.isdir(path)


def encoded_name(name: str, is_set: bool = False) -> str:
    """photo.png -> photo.png.lec, x.npz:train -> x.npz.train.lec"""
    at = name.lower().find(_ARRAY)
    return (name if at < 0 else f"{name[: at + 4]}.{name[at + 5 :]}") + ".lec"


def decoded_name(name: str, is_set: bool = False) -> str:
    """photo.png.lec -> photo.png, photo.jpg.lec -> photo.png, x.lec -> x.png; x.npz.lec -> x.npy if it is a set"""
    stem = name[:-4] if name.lower().endswith(".lec") and len(name) > 4 else name
    if is_set:
        for ending in (".gz", ".idx", ".npz", ".npy"):
            stem = stem[: -len(ending)] if stem.lower().endswith(ending) and len(stem) > len(ending) else stem
        return stem + ".npy"
    base, suffix = os.path.splitext(stem)
    if suffix.lower() == ".png":
        return stem
    return (base if suffix.lower() in PICTURES else stem) + ".png"


def collect(
    arguments: Sequence[str], suffixes: Collection[str], recursive: bool = False, folders: bool = False
) -> list[Input]:
    """The inputs that arguments name.

    A pattern is expanded unless a file has that very name. A folder is an input itself if `folders`; it stands for the
    files in it that have one of the suffixes, hidden ones left out, if `recursive`; otherwise it is an input with an
    error. Raises typer.BadParameter when standard input is mixed with others or is a terminal.
    """
    if "-" in arguments:
        if len(arguments) > 1:
            raise typer.BadParameter("- (standard input) cannot be mixed with other inputs")
        if sys.stdin.isatty():
            raise typer.BadParameter("standard input is a terminal; give a file or a pipe")
        return [Input("-", "-")]
    found: list[Input] = []
    for path in _expanded(arguments):
        if not os.path.isdir(path):
            found.append(Input(path, os.path.basename(path)))
        elif folders:
            whole = path if os.path.basename(os.path.normpath(path)) not in ("", ".", "..") else os.path.abspath(path)
            found.append(Input(os.path.normpath(whole), os.path.basename(os.path.normpath(whole))))
        elif not recursive:
            found.append(Input(path, path, InputError(f"{os.strerror(errno.EISDIR)}; -r takes the files in it")))
        else:
            below = list(_walk(path, suffixes))
            kinds = " ".join(sorted(suffixes))
            found += below or [Input(path, path, InputError(f"holds no file that ends in one of {kinds}"))]
    return found


def plan(
    inputs: Sequence[Input],
    output: str | None,
    stdout: bool,
    rename: Callable[[str, bool], str],
    recursive: bool = False,
) -> list[Job]:
    """Each input with its output. rename: an input's file name, and whether it is a set -> the output's.

    Of two inputs with one output the second gets an error. Raises typer.BadParameter for options that do not go
    together.
    """
    if stdout and output not in (None, "-"):
        raise typer.BadParameter("-c and -o exclude each other")
    if output == "":
        raise typer.BadParameter("-o names no file")
    from_stdin = [input.source for input in inputs] == ["-"]
    if stdout or output == "-" or (output is None and from_stdin):
        if recursive or len(inputs) > 1:
            raise typer.BadParameter("a pipe takes the output of one input only")
        if sys.stdout.isatty():
            raise typer.BadParameter("binary data is not written to a terminal; use -o FILE or a pipe")
        return [Job(input.source, None, error=input.error, is_set=input.is_set) for input in inputs]
    if output is None:
        return _apart(
            Job(
                i.source,
                Path(os.path.dirname(i.source), rename(os.path.basename(i.source), i.is_set)),
                error=i.error,
                is_set=i.is_set,
            )
            for i in inputs
        )
    if not recursive and not is_folder(output):
        if len(inputs) > 1:
            raise typer.BadParameter("-o FILE goes with one input; end it with / for a folder")
        return [Job(inputs[0].source, Path(output), error=inputs[0].error, is_set=inputs[0].is_set)]
    if from_stdin:
        raise typer.BadParameter("standard input has no name: give -o a file, not a folder")
    with one_sentence(output):
        os.makedirs(output, exist_ok=True)
    return _apart(
        Job(
            input.source,
            Path(output, os.path.dirname(input.below), rename(os.path.basename(input.below), input.is_set)),
            makes_folders=True,
            error=input.error,
            is_set=input.is_set,
        )
        for input in inputs
    )


def _apart(jobs: Iterator[Job]) -> list[Job]:
    """The jobs; one whose output belongs to an earlier one gets an error."""
    taken: set[Path] = set()
    apart = []
    for job in jobs:
        if job.error is None and job.destination is not None:
            place = job.destination.resolve()
            if place in taken:
                error = OutputExists(f"output {job.destination} belongs to another input of this command")
                job = replace(job, error=error)
            taken.add(place)
        apart.append(job)
    return apart


def _expanded(arguments: Sequence[str]) -> Iterator[str]:
    """Arguments, patterns expanded: quoted ones, and shells such as Windows' hand them on as they are."""
    for argument in arguments:
        names = [] if os.path.lexists(argument) or not glob.has_magic(argument) else sorted(glob.glob(argument))
        yield from names or [argument]


def _walk(folder: str, suffixes: Collection[str]) -> Iterator[Input]:
    """The files below a folder by suffix; a folder that cannot be read comes as an input with its error."""
    for found in walk(folder, suffixes):
        if isinstance(found, OSError):
            yield Input(str(found.filename), str(found.filename), found)
        else:
            yield Input(found, os.path.relpath(found, folder))
