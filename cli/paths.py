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
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from ..codec.media.medium import PICTURE, Medium
from ..codec.media.picture_files import PICTURES, walk
from ..errors import InputError, OutputExists
from .console import one_sentence
from .jobs import Job

__all__ = [
    "LEC",
    "PICTURES",
    "Input",
    "collect",
    "decoded_name",
    "encoded_name",
    "is_folder",
    "is_shard",
    "listed",
    "plan",
]

LEC = frozenset({".lec"})
SHARDS = (".tar", ".tar.gz", ".tgz")
"""How the names of shards end (see `shards`); what is written is never compressed."""

MAX_LIST = 1 << 28
"""Bytes of a list of names."""


@dataclass(frozen=True)
class Input:
    """source: a path, or "-". below: its path below the folder that was named, or its name alone; that is where its
    output goes below `-o DIR/`. error: why it cannot be read, if that is known. medium: see `Job`.
    """

    source: str
    below: str
    error: OSError | None = None
    medium: Medium = PICTURE


def is_shard(name: str) -> bool:
    """Whether a file with this name is a shard, a tar file of many small ones."""
    return name.lower().endswith(SHARDS)


def _stem(name: str) -> str:
    """shard.tar.gz -> shard"""
    return name[: -next(len(suffix) for suffix in SHARDS if name.lower().endswith(suffix))]


def is_folder(path: str) -> bool:
    """Whether an output is a folder: one that is there, or that its name says should be."""
    return path.endswith(("/", os.sep)) or os.path.isdir(path)


def encoded_name(name: str, medium: Medium = PICTURE) -> str:
    """photo.png -> photo.png.lec, x.npz:train -> x.npz.train.lec, shard.tar and shard.tar.gz -> shard.lec.tar"""
    if is_shard(name):
        return _stem(name) + ".lec.tar"
    at = name.lower().find(medium.within) if medium.within else -1
    if at >= 0:
        end = at + len(medium.within)
        name = f"{name[: end - 1]}.{name[end:]}"
    return name + ".lec"


def decoded_name(name: str, medium: Medium = PICTURE, whole: bool = False, form: str = "") -> str:
    """photo.png.lec -> photo.png, photo.jpg.lec -> photo.png, x.lec -> x.png; x.npz.lec -> x.npy if it is a set;
    shard.lec.tar -> shard.tar.

    whole: photo.jpg.lec -> photo.jpg.png, beside a photo.png. form: another suffix, without a dot, as in --format.
    """
    if is_shard(name):
        return _stem(name).removesuffix(".lec") + ".tar"
    stem = name[:-4] if name.lower().endswith(".lec") and len(name) > 4 else name
    back = medium.back(stem)
    if not (whole or form):
        return back
    base, suffix = os.path.splitext(back)
    suffix = f".{form}" if form else suffix
    if stem.lower().endswith(suffix.lower()):
        return stem
    return (stem if whole else base) + suffix


def collect(
    arguments: Sequence[str],
    suffixes: Collection[str],
    recursive: bool = False,
    folders: bool = False,
    others: dict[str, Counter[str]] | None = None,
) -> list[Input]:
    """The inputs that arguments name.

    A pattern is expanded unless a file has that very name. A folder is an input itself if `folders`; it stands for the
    files in it that have one of the suffixes, hidden ones left out, if `recursive`; otherwise it is an input with an
    error. others: by folder, counts the suffixes of the files in it that are passed over. Raises typer.BadParameter
    when standard input is mixed with others or is a terminal.
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
            counts = Counter[str]()
            below = list(_walk(path, suffixes, counts))
            if others is not None and counts:
                others[path] = counts
            kinds = " ".join(sorted(suffixes))
            found += below or [Input(path, path, InputError(f"holds no file that ends in one of {kinds}"))]
    return found


def listed(arguments: Sequence[str], files_from: str | None) -> list[str]:
    """Arguments, and the names in a list: a file, or "-" for standard input. Names are ended by zero bytes if there is
    one in it (`find -print0`), else by the ends of lines. Raises typer.BadParameter for no input at all, a list that
    cannot be read, or one that comes the way of an input.
    """
    names = list(arguments)
    if files_from is not None:
        if files_from == "-" and "-" in names:
            raise typer.BadParameter("standard input is either a list of names (--files-from -) or an input (-)")
        try:
            if files_from == "-":
                data = sys.stdin.buffer.read(MAX_LIST + 1)
            else:
                with open(files_from, "rb") as file:
                    data = file.read(MAX_LIST + 1)
        except OSError as error:
            raise typer.BadParameter(f"--files-from {files_from}: {error.strerror}") from None
        if len(data) > MAX_LIST:
            raise typer.BadParameter(f"--files-from {files_from} is longer than {MAX_LIST} bytes")
        parts = data.split(b"\0") if b"\0" in data else data.splitlines()
        # A name in a list is a file, whatever it looks like.
        names += [os.path.join(os.curdir, name) if name == "-" else name for name in map(os.fsdecode, parts) if name]
        if not names:
            raise typer.BadParameter(f"--files-from {files_from} names no file")
    if not names:
        raise typer.BadParameter("no input: name a file, or - for standard input")
    return names


def plan(
    inputs: Sequence[Input],
    output: str | None,
    stdout: bool,
    rename: Callable[[str, Medium], str],
    recursive: bool = False,
    otherwise: Callable[[str, Medium], str] | None = None,
) -> list[Job]:
    """Each input with its output. rename: an input's file name and its medium -> the output's name; otherwise: another
    one, for those of several inputs with one output whose names do not have its suffix.

    Where that does not help the second of two inputs with one output gets an error. Raises typer.BadParameter for
    options that do not go together.
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
        return [Job(input.source, None, error=input.error, medium=input.medium) for input in inputs]
    if output is None:
        places = [os.path.split(i.source) for i in inputs]
        names = _named(places, inputs, rename, otherwise)
        return _apart(
            Job(i.source, Path(folder, name), error=i.error, medium=i.medium)
            for i, (folder, _), name in zip(inputs, places, names, strict=True)
        )
    if not recursive and not is_folder(output):
        if len(inputs) > 1:
            raise typer.BadParameter("-o FILE goes with one input; end it with / for a folder")
        return [Job(inputs[0].source, Path(output), error=inputs[0].error, medium=inputs[0].medium)]
    if from_stdin:
        raise typer.BadParameter("standard input has no name: give -o a file, not a folder")
    with one_sentence(output):
        os.makedirs(output, exist_ok=True)
    places = [os.path.split(i.below) for i in inputs]
    names = _named(places, inputs, rename, otherwise)
    return _apart(
        Job(i.source, Path(output, folder, name), makes_folders=True, error=i.error, medium=i.medium)
        for i, (folder, _), name in zip(inputs, places, names, strict=True)
    )


def _named(
    places: Sequence[tuple[str, str]],
    inputs: Sequence[Input],
    rename: Callable[[str, Medium], str],
    otherwise: Callable[[str, Medium], str] | None,
) -> list[str]:
    """The names of the outputs of inputs, whose folders and names are given; see `plan`."""
    names = [rename(name, i.medium) for i, (_, name) in zip(inputs, places, strict=True)]
    if otherwise is None:
        return names
    counts = Counter((folder, name) for (folder, _), name in zip(places, names, strict=True))
    return [
        otherwise(own, i.medium) if counts[folder, name] > 1 else name
        for i, (folder, own), name in zip(inputs, places, names, strict=True)
    ]


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


def _walk(folder: str, suffixes: Collection[str], others: Counter[str]) -> Iterator[Input]:
    """The files below a folder by suffix; a folder that cannot be read comes as an input with its error."""
    for found in walk(folder, suffixes, others):
        if isinstance(found, OSError):
            yield Input(str(found.filename), str(found.filename), found)
        else:
            yield Input(found, os.path.relpath(found, folder))
