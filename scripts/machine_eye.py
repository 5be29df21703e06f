"""The default model beside rows of the published table: what networks see in its files, on some of the photographs.

    labelled photographs, some of them -> run_tasks (three tasks, `eye-1`) --+
    eval/results/machine/items.tsv: the same photographs, other codecs ------+-> eval/results/machine/eye-1/*.tsv

    python scripts/machine_eye.py --data LABELLED [--first N] [--every 3] [--runs runs/machine-eye]

`make machine-table` measures all codecs in an hour or more; this takes minutes. It refuses where networks no longer say
of the originals what stands in the published rows: then pictures, networks or versions are others. Settings are for
0.2 to 1.4 bits a pixel, by the rates of training photographs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from published import RATES, Progress, concluded

from lecodec.errors import InputError
from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.figures.summary import summarise
from lecodec.eval.measure.items import read_items, write_items
from lecodec.eval.measure.run import ITEMS, TaskRun, run_tasks
from lecodec.eval.tasks.task import ItemRow

__all__ = ["beside", "main", "measure"]

EYE, PLAIN = "lecodec", "lecodec:psnr"
"""The default model, and what the published rows' `lecodec`, the default before it, is called here."""
SETTINGS = (25, 40, 60, 80)
TASKS = ("imagenet-mobilenetv2", "imagenet-efficientnet-lite0", "embedding")
OTHERS = (PLAIN, "lecodec:machine-1", "avif", "jpeg")


def measure(
    data: Path, runs: Path, published: Path, out: Path, *, first: int | None, every: int, resamples: int = 1000
) -> TaskRun:
    """Measure what `runs` lacks, write the tables into `out`.

    published: a table of items; first, every: of the first files of `data`, in order of names, every Nth. Raises
    CodecError, OSError.
    """
    some = runs / "photographs"
    shutil.rmtree(some, ignore_errors=True)
    some.mkdir(parents=True)
    for path in sorted(data.iterdir())[:first:every]:
        shutil.copy(path, some)
    run = run_tasks(TASKS, [EYE], runs, data=some, metrics=["psnr"], settings={EYE: SETTINGS}, progress=Progress().told)
    comments, rows = read_items(runs / ITEMS)
    old_comments, old = read_items(published)
    joined = beside(rows, old)
    told = [f"rows of {', '.join(OTHERS)}: {published.parent.name}/{published.name}", *comments]
    for name in OTHERS:
        head = f"codec {EYE if name == PLAIN else name}: "
        told += [f"codec {name}: {line.removeprefix(head)}" for line in old_comments if line.startswith(head)]
    out.mkdir(parents=True, exist_ok=True)
    summary = summarise(joined, PLAIN, RATES, resamples, run.classes)
    summary.write(out, told, only={"comparisons": "comparisons", "at-rate": "at-rate", "pairs": "pairs"})
    write_items(out / ITEMS, told, joined)
    return replace(run, rows=tuple(joined))


def beside(new: Sequence[ItemRow], old: Sequence[ItemRow]) -> list[ItemRow]:
    """The rows of `new` and those that `old` has of OTHERS, for the same items, metrics and tasks.

    Raises InputError where the two do not say the same of an original.
    """
    metrics, tasks = new[0].metrics.keys(), new[0].answers.keys()
    known: dict[tuple[str, str], list[ItemRow]] = {}
    for row in old:
        if row.answers.keys() >= tasks:
            known.setdefault((row.source, row.item), []).append(_only(row, metrics, tasks))
    rows: list[ItemRow] = []
    for item in dict.fromkeys((row.source, row.item) for row in new):
        ours = [_only(row, metrics, tasks) for row in new if (row.source, row.item) == item]
        theirs = known.get(item, [])
        if [repr(r) for r in ours if r.codec == IDENTITY] != [repr(r) for r in theirs if r.codec == IDENTITY]:
            raise InputError(f"{item[1]}: the published row says something else of the original")
        named = [replace(row, codec=PLAIN) if row.codec == EYE else row for row in theirs]
        rows += [*ours, *(row for row in named if row.codec in OTHERS)]
    return rows


def _only(row: ItemRow, metrics: Collection[str], tasks: Collection[str]) -> ItemRow:
    """Without what only one of the two tables has."""
    answers = {name: replace(row.answers[name], found="", truth="", top5=None) for name in tasks}
    return replace(row, metrics={name: row.metrics[name] for name in metrics}, answers=answers)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs named by their ImageNet class")
    parser.add_argument("--first", type=int, help="of the first N files only")
    parser.add_argument("--every", type=int, default=3, help="take every Nth file")
    parser.add_argument("--runs", type=Path, default=Path("runs/machine-eye"), help="where files and results are kept")
    parser.add_argument("--results", type=Path, default=Path("eval/results/machine"), help="where the tables are")
    asked = parser.parse_args(arguments)
    table, out = asked.results / ITEMS, asked.results / "eye-1"
    return concluded(
        "machine-eye",
        lambda: measure(asked.data, asked.runs, table, out, first=asked.first, every=asked.every),
    )


if __name__ == "__main__":
    sys.exit(main())
