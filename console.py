"""Conventions of the terminal: which input goes to which output, one sentence for each failure, progress, tables.

    cli -> console -> stdin, stdout, stderr

What zstd and flac do, written once for all commands. Guarantees: an input is never overwritten, nor one output of a
command by another; binary never reaches a terminal; every message is one line, `lecodec: FILE: reason`, on stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import typer

from .bitstream import SIGNATURE, atomic_write, check_writable, read_header
from .bitstream.limits import MAX_HEADER
from .errors import OutputExists

__all__ = [
    "Outcome",
    "checked_inputs",
    "complain",
    "emit",
    "leave_stdout",
    "one_sentence",
    "plan_outputs",
    "print_table",
    "read_lec",
    "say",
    "shown",
    "tell",
    "with_progress",
]


class Outcome:
    """What became of the inputs: failures are told as they happen and counted for the exit code."""

    def __init__(self, force: bool = False) -> None:
        self.force = force
        self.failures = 0
        self.outputs: set[Path] = set()

    @property
    def code(self) -> int:
        return 1 if self.failures else 0

    @contextmanager
    def of(self, source: str, destination: Path | None = None) -> Iterator[None]:
        """Run one input's work; a failure becomes one sentence and the next input has its turn."""
        try:
            yield
            if destination is not None:
                self.outputs.add(destination.resolve())
        except (OSError, MemoryError, RuntimeError) as error:
            if not _expected(error):
                raise
            self.failed(source, error)

    def failed(self, source: str, error: BaseException) -> None:
        """Tell and count a failure."""
        self.failures += 1
        if isinstance(error, BrokenPipeError):
            leave_stdout()
        complain(source, error)

    def check_output(self, source: str, destination: Path | None) -> None:
        """Refuse an output that cannot be written, that is the input, or that another input of this run has written."""
        if destination is None:
            return
        with suppress(FileNotFoundError):
            if source != "-" and os.path.samefile(source, destination):
                raise OutputExists(f"output {destination} is the input itself")
        if destination.resolve() in self.outputs:
            raise OutputExists(f"output {destination} belongs to another input of this command")
        check_writable(destination, self.force)


def checked_inputs(sources: Sequence[str]) -> list[str]:
    """The inputs, checked: standard input stands alone and is not a terminal."""
    if "-" in sources:
        if len(sources) > 1:
            raise typer.BadParameter("- (standard input) cannot be mixed with other inputs")
        if sys.stdin.isatty():
            raise typer.BadParameter("standard input is a terminal; give a file or a pipe")
    return list(sources)


def plan_outputs(
    sources: Sequence[str], output: str | None, stdout: bool, rename: Callable[[str], str]
) -> list[tuple[str, Path | None]]:
    """Each input with its output; None is standard output. rename: an input's file name -> the output's."""
    inputs = checked_inputs(sources)
    if stdout and output not in (None, "-"):
        raise typer.BadParameter("-c and -o exclude each other")
    if output == "":
        raise typer.BadParameter("-o names no file")
    if stdout or output == "-" or (output is None and inputs == ["-"]):
        if len(inputs) > 1:
            raise typer.BadParameter("a pipe takes the output of one input only")
        if sys.stdout.isatty():
            raise typer.BadParameter("binary data is not written to a terminal; use -o FILE or a pipe")
        return [(inputs[0], None)]
    if output is None:
        return [(source, Path(os.path.dirname(source), rename(os.path.basename(source)))) for source in inputs]
    if not output.endswith(("/", os.sep)) and not os.path.isdir(output):
        if len(inputs) > 1:
            raise typer.BadParameter("-o FILE goes with one input; end it with / for a folder")
        return [(inputs[0], Path(output))]
    if inputs == ["-"]:
        raise typer.BadParameter("standard input has no name: give -o a file, not a folder")
    with one_sentence(output):
        os.makedirs(output, exist_ok=True)
    return [(source, Path(output, rename(os.path.basename(source)))) for source in inputs]


def read_lec(source: str) -> bytes:
    """The bytes of a `.lec` file; its header is checked before the rest is taken into memory."""

    def take(file: BinaryIO) -> bytes:
        head = file.read(len(SIGNATURE) + MAX_HEADER + 12)  # a later version's header may be longer than ours
        read_header(head)
        return head + file.read()

    if source == "-":
        return take(sys.stdin.buffer)
    with open(source, "rb") as file:
        return take(file)


def emit(data: bytes, destination: Path | None, force: bool) -> None:
    """Write an output whole: to its path, or to standard output for None."""
    if destination is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with atomic_write(destination, overwrite=force) as file:
        file.write(data)


@contextmanager
def one_sentence(subject: str) -> Iterator[None]:
    """Run work that stands alone: a failure becomes one sentence and exit code 1."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lecodec"):
            raise
        tell(subject, f"needs the package {error.name}: pip install 'lecodec[train,eval]'")
        raise typer.Exit(1) from None
    except (OSError, MemoryError, RuntimeError) as error:
        if not _expected(error):
            raise
        complain(subject, error)
        raise typer.Exit(1) from None


def _expected(error: BaseException) -> bool:
    """Whether the input or the machine is to blame. Of RuntimeErrors only torch's on memory, which have no class."""
    return not isinstance(error, RuntimeError) or "memory" in str(error)


def _reason(error: BaseException, subject: str) -> str:
    """One sentence without the subject's name, which the caller puts in front."""
    if isinstance(error, OSError) and error.strerror:
        other = f" ({error.filename})" if error.filename and str(error.filename) != subject else ""
        return error.strerror + other
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return "out of memory"
    return (" ".join(str(error).split()) or type(error).__name__).removeprefix(f"{subject}: ")


def complain(subject: str, error: BaseException) -> None:
    """A failure as one sentence on stderr."""
    tell(subject, _reason(error, subject))


def tell(subject: str, text: str) -> None:
    """One line on stderr."""
    print(f"lecodec: {shown(subject)}: {text}", file=sys.stderr, flush=True)


def say(destination: Path | None, text: str) -> None:
    """A line of report: on stdout, unless that carries the data."""
    print(text, file=sys.stderr if destination is None else sys.stdout, flush=True)


def shown(path: str | Path | None) -> str:
    """A name for a message: no control characters, so that it stays on its line."""
    text = "-" if path is None else str(path)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def leave_stdout() -> None:
    """After a broken pipe or a full disk: nothing more can be written, and the flush at exit shall not complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def with_progress(items: list[Any], label: str, quiet: bool) -> Iterator[Any]:
    """The items, with a bar on stderr if that is a terminal and there are several."""
    if quiet or len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield from progress.track(items, description=label)


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as aligned columns: text to the left, numbers to the right."""
    if not rows:
        return
    names = list(rows[0])
    cells = [[f"{row[n]:.4g}" if isinstance(row[n], float) else str(row[n]) for n in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    right = [all(isinstance(row[name], (int, float)) for row in rows) for name in names]
    for line in [names, *cells]:
        aligned = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True))
        print("  ".join(aligned).rstrip())
