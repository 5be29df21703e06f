"""The published table: `make machine-table`.

    labelled photographs -> run_tasks (five tasks, eight codecs) -> eval/results/machine.tsv, eval/results/machine/*.tsv
                                                               -> docs/machine-perception.md

Everything in the page is computed from the rows of this run, the sentences of its answers too: whoever runs it again,
with other pictures or versions, gets a page that says what was found then. The settings below were chosen by the rates
that they give on training photographs, about 0.1 to 1.4 bits a pixel, never by what the networks make of them.

A new model needs no new rows of the others: `--kept eval/results/machine/items.tsv` takes the rows of codecs that are
described there as they are now, whatever they are called, if the networks say the same of the originals.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from findings import MACHINE, PARENT, page

from lecodec.bitstream import atomic_write
from lecodec.errors import CodecError, InputError
from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.codecs.peers import codec_by_name
from lecodec.eval.figures.rows import TABLES
from lecodec.eval.figures.summary import summarise
from lecodec.eval.measure.items import read_items, write_items
from lecodec.eval.measure.run import TaskRun, run_tasks
from lecodec.eval.tasks.task import ItemRow

__all__ = ["CODECS", "RATES", "TASKS", "Progress", "concluded", "main", "publish"]

TASKS = ("imagenet-mobilenetv2", "imagenet-efficientnet-lite0", "text", "mask", "embedding")
CODECS: dict[str, tuple[float, ...]] = {
    "jpeg": (1, 5, 8, 12, 18, 25, 35, 50, 65),
    "webp": (0, 1, 3, 8, 20, 40, 60, 75),
    "avif": (1, 12, 20, 30, 40, 50, 60, 70),
    "jxl": (1, 5, 10, 20, 30, 45, 60, 70, 80),
    **dict.fromkeys(("lecodec", "lecodec:psnr", PARENT, MACHINE), (1, 10, 20, 30, 40, 50, 60, 70, 80, 90)),
}
RATES = (0.25, 0.35, 0.5, 0.75, 1.0)
"""Bits a pixel at which codecs are compared."""


def publish(
    data: Path, runs: Path, root: Path, *, workers: int, resamples: int = 1000, kept: Path | None = None
) -> TaskRun:
    """Measure what neither `runs` nor `kept` holds yet; write the tables and the page below `root`.

    kept: an earlier table of items. Raises CodecError, OSError.
    """
    comments, rows = ([], []) if kept is None else read_items(kept)
    unchanged = {} if kept is None else _unchanged(comments, rows)
    new = {spec: values for spec, values in CODECS.items() if spec not in unchanged.values()}
    run = run_tasks(TASKS, list(new), runs, data=data, settings=new, workers=workers, progress=Progress().told)
    if unchanged:
        run = _joined(run, comments, rows, unchanged)
    summary = summarise([r for r in run.rows if r.codec != PARENT], "jpeg", RATES, resamples, run.classes)
    machine = summarise([r for r in run.rows if r.codec in (IDENTITY, PARENT, MACHINE)], PARENT, RATES, resamples)
    results = root / "eval" / "results"
    (results / "machine").mkdir(parents=True, exist_ok=True)
    points, *_ = summary.write(results / "machine", run.comments, only={name: name for name in TABLES[:5]})
    points.replace(results / "machine.tsv")
    machine.write(results / "machine", run.comments, only={"comparisons": "machine-2"})
    write_items(results / "machine" / "items.tsv", run.comments, run.rows)
    (root / "docs").mkdir(exist_ok=True)
    with atomic_write(root / "docs" / "machine-perception.md", overwrite=True) as file:
        file.write(page(summary, machine, run.comments).encode())
    return run


def _unchanged(comments: Sequence[str], rows: Sequence[ItemRow]) -> dict[str, str]:
    """What codecs are called in an earlier table -> their specs, of those that are described there as they are now and
    have all settings.
    """
    told = [line.removeprefix("codec ").partition(": ") for line in comments if line.startswith("codec ")]
    called = {description: name for name, _, description in told}
    settings: dict[str, set[float]] = {}
    for row in rows:
        settings.setdefault(row.codec, set()).add(row.setting)
    found = {called.get(codec_by_name(spec).description): spec for spec in CODECS}
    return {old: spec for old, spec in found.items() if old and settings.get(old, set()) >= set(CODECS[spec])}


def _joined(run: TaskRun, comments: Sequence[str], rows: Sequence[ItemRow], specs: dict[str, str]) -> TaskRun:
    """A run, and of an earlier table the rows of some codecs; specs: of `_unchanged`.

    Raises InputError where the two do not say the same of an original.
    """
    names = {old: codec_by_name(spec).name for old, spec in specs.items()}
    order = {codec_by_name(spec).name: n for n, spec in enumerate(CODECS)}
    originals = {(r.source, r.item): _said(r) for r in rows if r.codec == IDENTITY}
    for row in run.rows:
        if row.codec == IDENTITY and originals.get((row.source, row.item)) != _said(row):
            raise InputError(f"{row.item}: the earlier table says something else of the original")
    items = {item: n for n, item in enumerate(dict.fromkeys((r.source, r.item) for r in run.rows))}
    taken = [
        replace(row, codec=names[row.codec])
        for row in rows
        if row.codec in names and (row.source, row.item) in items and row.setting in CODECS[specs[row.codec]]
    ]
    every = sorted([*run.rows, *taken], key=lambda r: (items[r.source, r.item], order.get(r.codec, -1)))
    told = [line for line in comments if line.startswith(("versions", "processor", "rows of"))]
    codecs = [f"codec {names[old]}: {codec_by_name(spec).description}" for old, spec in specs.items()]
    codecs.append(f"rows of {', '.join(names.values())} are those of an earlier run; {'; '.join(told)}")
    at = next((n for n, line in enumerate(run.comments) if line.startswith("left out")), len(run.comments))
    return replace(run, rows=tuple(every), comments=(*run.comments[:at], *codecs, *run.comments[at:]))


def _said(row: ItemRow) -> tuple[object, ...]:
    """What was found of an original."""
    return row.bytes, *((name, f"{a.score:.5g}", f"{a.agreement:.5g}") for name, a in sorted(row.answers.items()))


class Progress:
    """A line on stderr every half minute, with the time that is left."""

    def __init__(self) -> None:
        self.begun = self.said = time.monotonic()
        self.first: int | None = None

    def told(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = done
        elif now - self.said > 30 and done > self.first:
            self.said = now
            left = (now - self.begun) / (done - self.first) * (total - done)
            print(f"{done} of {total} files, {left / 60:.0f} min left", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """python scripts/published.py --data FOLDER [--runs FOLDER] [--root FOLDER] [--kept ITEMS] [-j N]"""
    parser = argparse.ArgumentParser(description="Measure the published table of machine perception, or go on with it.")
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs named by their ImageNet class")
    parser.add_argument("--runs", type=Path, default=Path("runs/machine"), help="where files and results are kept")
    parser.add_argument("--root", type=Path, default=Path(), help="where eval/results and docs are")
    parser.add_argument("--kept", type=Path, help="a table of items: rows of codecs that have not changed are taken")
    parser.add_argument("-j", "--jobs", type=int, default=0, help="processes; 0 for one a core")
    options = parser.parse_args(arguments)
    workers = options.jobs or os.cpu_count() or 1
    where = options.data, options.runs, options.root
    return concluded("machine-table", lambda: publish(*where, workers=workers, kept=options.kept))


def concluded(name: str, published: Callable[[], TaskRun]) -> int:
    """Publish, and say what came of it -> exit code. name: what the user called."""
    try:
        run = published()
    except (CodecError, OSError) as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    for item, why in run.skipped:
        print(f"left out {item}: {why}", file=sys.stderr)
    print(f"{len(run.rows)} coded files, {run.measured} units of item and codec measured now")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
