"""How a run looks: one sentence for each failure, a line or a JSON object for each file, progress, a summary, tables.

    jobs -> records -> console -> stdout, stderr

What zstd and flac do, written once for all commands. Guarantees: every message is one line, `lecodec: FILE: reason`, on
stderr; every report is one line on stdout, unless that carries data; progress appears on a terminal only.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from ..bitstream.layout import Layout
from ..bitstream.layouts import layout_named
from ..codec.workers.told import watching
from ..errors import OutputExists
from .jobs import Job, Record, expected
from .sizes import sized
from .watch import Watch

__all__ = [
    "Report",
    "complain",
    "counting",
    "decoded_line",
    "encoded_line",
    "escaped",
    "escaping",
    "leave_stdout",
    "one_sentence",
    "print_table",
    "progress",
    "shown",
    "tell",
    "tested_line",
    "reason",
]


SECONDS_BETWEEN_LINES = 30.0
"""Of progress where there is no terminal."""
PATIENCE = 2.0
"""Seconds after which a single file is said to be worked on."""


class Report:
    """Tells what became of the inputs, as their records come, and adds up for the summary and the exit code.

    line: a record's facts as text; total: of the run's inputs; as_json: JSON objects instead of lines; quiet: failures
    only; to_stdout: the output goes there, so that lines go to stderr.
    """

    def __init__(
        self,
        line: Callable[[Mapping[str, Any]], str],
        total: int,
        *,
        as_json: bool = False,
        quiet: bool = False,
        to_stdout: bool = False,
    ) -> None:
        self.line, self.total = line, total
        self.as_json, self.quiet, self.to_stdout = as_json, quiet, to_stdout
        self.sums = Sums()
        self.started = time.perf_counter()

    @property
    def code(self) -> int:
        """The exit code."""
        return 1 if self.sums.failed else 0

    def __call__(self, record: Record) -> None:
        """Report one record."""
        self.sums.add(record)
        source, destination = record.job.source, record.job.destination
        if record.error is not None:
            if isinstance(record.error, BrokenPipeError):
                leave_stdout()
            complain(source, record.error)
        if self.as_json:
            self._print(json.dumps(_entry(record)))
        elif record.error is None and not self.quiet:
            for note in record.notes:
                tell(source, f"note: {note}")
            arrow = f" -> {shown(destination)}" if destination is not None or self.to_stdout else ""
            self._print(f"{shown(source)}{arrow}: {self.line(record.facts)}")

    def skip(self, job: Job) -> None:
        """Report that a job is not done because its output is there."""
        self.sums.skipped += 1
        if self.as_json:
            self._print(json.dumps({"file": job.source, "output": str(job.destination), "status": "skipped"}))

    def summary(self) -> None:
        """Report on all of them, also where the run was interrupted: a line after several files, or the last JSON
        object.
        """
        seconds = time.perf_counter() - self.started
        if self.as_json:
            self._print(json.dumps({"summary": {**self.sums.as_dict(self.total), "seconds": seconds}}))
        elif self.total > 1 and not self.quiet:
            self._print(f"{self.sums.sentence(self.total)}, {seconds:.1f} s")

    def _print(self, text: str) -> None:
        print(escaped(text), file=sys.stderr if self.to_stdout else sys.stdout, flush=True)


class Sums:
    """Files, bytes and pixels of the records so far; bytes and pixels of what was done, not of failures. skipped: whose
    output was there, as was asked for; existed: of the failures, those for that reason.
    """

    def __init__(self) -> None:
        self.ok = self.failed = self.skipped = self.existed = self.bytes_in = self.bytes_out = self.pixels = 0
        self.bits = 0.0

    def add(self, record: Record) -> None:
        """Count one record."""
        if record.error is not None:
            self.failed += 1
            self.existed += isinstance(record.error, OutputExists)
            return
        pixels = _layout(record.facts).amount(record.facts)
        self.ok += 1
        self.bytes_in += record.facts["bytes_in"]
        self.bytes_out += record.facts.get("bytes_out", 0)
        self.pixels += pixels
        self.bits += record.facts["bpp"] * pixels

    def as_dict(self, total: int) -> dict[str, Any]:
        """For `--json`; total: of the run's inputs."""
        return {
            "files": total,
            "ok": self.ok,
            "failed": self.failed,
            "skipped": self.skipped,
            "not_begun": total - self.ok - self.failed - self.skipped,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "bpp": self.bits / self.pixels if self.pixels else None,
        }

    def sentence(self, total: int) -> str:
        """`24 files: 22 ok, 2 failed; 15.2 MB -> 810 kB, 18.8:1, 0.42 bpp`"""
        left = total - self.ok - self.failed - self.skipped
        text = f"{total} files: {self.ok} ok" + f", {self.skipped} skipped" * bool(self.skipped)
        text += f", {self.failed} failed"
        if self.existed:
            text += f" ({self.existed} because the output exists: --skip-existing or -f)"
        text += f", {left} not done" * bool(left)
        return f"{text}; {self.volume()}, {self.bits / self.pixels:.2f} bpp" if self.ok else text

    def volume(self) -> str:
        """The bytes, and how much smaller the output is; of growth (decoding) no ratio is given."""
        if not self.bytes_out:
            return sized(self.bytes_in)
        ratio = f", {self.bytes_in / self.bytes_out:.1f}:1" if self.bytes_out < self.bytes_in else ""
        return f"{sized(self.bytes_in)} -> {sized(self.bytes_out)}{ratio}"


def encoded_line(facts: Mapping[str, Any]) -> str:
    """`15200 -> 810 bytes, 0.420 bpp, 18.8:1, 0.05 s`"""
    ratio = f"{facts['bytes_in'] / facts['bytes_out']:.1f}:1"
    line = f"{facts['bytes_in']} -> {facts['bytes_out']} bytes, {_layout(facts).rate_text(facts)}, {ratio}"
    if "psnr" in facts:
        line += ", equal" if facts["psnr"] is None else f", {facts['psnr']:.2f} dB"
    return f"{line}, {facts['seconds']:.2f} s"


def decoded_line(facts: Mapping[str, Any]) -> str:
    """`768 x 512, 0.05 s`, of a set `10000 items of [28, 28], 2.05 s`"""
    return f"{_layout(facts).extent_text(facts)}, {facts['seconds']:.2f} s"


def tested_line(facts: Mapping[str, Any]) -> str:
    """`ok`"""
    return "ok"


def _layout(facts: Mapping[str, Any]) -> type[Layout]:
    """What says the facts of a medium as text."""
    return layout_named(facts["medium"])


def _entry(record: Record) -> dict[str, Any]:
    """The JSON object of a record."""
    job, error = record.job, record.error
    names = {"file": job.source, "output": None if job.destination is None else str(job.destination)}
    if error is not None:
        return {**names, "status": "error", "error": reason(error, job.source), "kind": type(error).__name__}
    return {**names, "status": "ok", **record.facts, "notes": list(record.notes)}


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
    except Exception as error:
        if not expected(error):
            raise
        complain(subject, error)
        raise typer.Exit(1) from None


def reason(error: BaseException, subject: str) -> str:
    """One sentence without the subject's name, which the caller puts in front."""
    if isinstance(error, OSError) and error.strerror:
        other = f" ({error.filename})" if error.filename and str(error.filename) != subject else ""
        return error.strerror + other
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return "out of memory"
    return (" ".join(str(error).split()) or type(error).__name__).removeprefix(f"{subject}: ")


def complain(subject: str, error: BaseException) -> None:
    """A failure as one sentence on stderr."""
    tell(subject, reason(error, subject))


def tell(subject: str, text: str) -> None:
    """One line on stderr."""
    print(f"lecodec: {shown(subject)}: {escaped(text)}", file=sys.stderr, flush=True)


def shown(path: str | Path | None) -> str:
    """A name for a message; "-" for none."""
    return "-" if path is None else escaped(str(path))


def escaped(text: str) -> str:
    """Text from outside as a terminal may get it: what cannot be printed (control characters, ends of lines, marks that
    turn the direction of writing, bytes that are no text) as Python writes it in a string.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def leave_stdout() -> None:
    """After a broken pipe or a full disk: nothing more can be written, and the flush at exit shall not complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def escaping() -> Iterator[None]:
    """What is said of wrong usage quotes arguments, which may be names of files."""
    try:
        yield
    except Exception as error:
        text = getattr(error, "message", None)
        if hasattr(error, "exit_code") and isinstance(text, str):  # of click, which typer may hold inside
            setattr(error, "message", escaped(text))  # noqa: B010
        raise


@contextmanager
def progress(label: str, total: int, quiet: bool, watch: Watch | None = None) -> Iterator[Callable[[Record], None]]:
    """A bar on stderr if that is a terminal and there are several files, the time that has gone by if one takes long,
    and how far it is; yields what counts a record.
    """
    if quiet or not total or not sys.stderr.isatty():
        yield lambda record: None
        return
    if total == 1:
        watch = watch or Watch()
        with watching(watch.step), _patience(label, watch) as end:
            yield lambda record: end()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    sums = Sums()
    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[volume]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(label, total=total, volume="")

        def tick(record: Record) -> None:
            sums.add(record)
            bar.update(task, advance=1, volume=sums.volume())

        yield tick


@contextmanager
def _patience(label: str, watch: Watch) -> Iterator[Callable[[], None]]:
    """The time that has gone by, and how far the file is, from `PATIENCE` on, on the terminal that stderr is; yields
    what ends it and clears the line.
    """
    ended = threading.Event()

    def count() -> None:
        begun, wait, text = time.monotonic(), PATIENCE, ""
        while not ended.wait(wait):
            seconds, before, wait = f"{time.monotonic() - begun:.0f} s", len(text), 1.0
            text = f"{label}: {seconds}{', ' * bool(said := watch.text())}{said}"
            print(f"\r{text:<{before}}", end="", file=sys.stderr, flush=True)
        if text:
            print(f"\r{' ' * len(text)}\r", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=count, daemon=True)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join()

    try:
        yield end
    finally:
        end()


class _Lines:
    """Tells how far a long run is, a line at a time: into a file, or through a pipe."""

    def __init__(self, label: str) -> None:
        self.label, self.said = label, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.said >= SECONDS_BETWEEN_LINES and done < total:
            self.said = now
            tell(self.label, f"{done} of {total}")


@contextmanager
def counting(label: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar with the time that is left if stderr is a terminal, elsewhere a line every half minute; yields a function
    of (done, total), or None.
    """
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _Lines(label)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as aligned columns: text to the left, numbers to the right."""
    if not rows:
        return
    names = list(rows[0])
    cells = [[f"{row[n]:.4g}" if isinstance(row[n], float) else escaped(str(row[n])) for n in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    right = [all(isinstance(row[name], (int, float)) for row in rows) for name in names]
    for line in [names, *cells]:
        aligned = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True))
        print("  ".join(aligned).rstrip())
