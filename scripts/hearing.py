"""The published table of sounds: `make hearing-table`.

    clips of speech -> run_tasks (seven tasks, Opus and MP3 beside this codec) -> eval/results/hearing/*.tsv
                                                                            -> docs/machine-hearing.md

Everything in the page is computed from the rows of this run, the sentences of its answers too. What was measured is
kept in RUNS: a run that was stopped goes on, and one with more tasks or metrics measures only these.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hearing_findings import ANCHOR, page
from hearing_points import due_rows
from published import Progress

from lecodec.bitstream import atomic_write
from lecodec.errors import CodecError
from lecodec.eval.figures.rows import TABLES
from lecodec.eval.figures.summary import summarise
from lecodec.eval.measure.items import write_items
from lecodec.eval.measure.run import TaskRun, run_tasks
from lecodec.eval.measure.tsv import write_tsv

__all__ = ["CODECS", "METRICS", "RATES", "TASKS", "main", "publish"]

TASKS = ("phonemes", "words", "transcript", "speaker", "pitch", "speech-activity", "speech-quality")
CODECS: dict[str, tuple[float, ...]] = {
    "lecodec": (4, 6, 8, 12, 16, 24),
    "opus": (6, 8, 9, 10, 12, 16, 24),
    "mp3": (16, 24, 32),
}
METRICS = ("snr", "si_sdr", "log_stft", "log_mel", "pesq", "stoi", "dnsmos", "dnsmos_sig", "dnsmos_bak")
RATES = (7000.0, 8000.0, 9000.0, 10000.0, 12000.0, 16000.0, 24000.0)
"""Bits a second at which codecs are compared."""


def publish(
    data: Path,
    runs: Path,
    root: Path,
    *,
    tasks: Sequence[str] = TASKS,
    metrics: Sequence[str] = METRICS,
    workers: int = 1,
    resamples: int = 2000,
) -> TaskRun:
    """Measure what `runs` does not hold yet; write the tables and the page below `root`. Raises CodecError, OSError."""
    run = run_tasks(
        tasks,
        list(CODECS),
        runs,
        data=data,
        metrics=metrics,
        settings=dict(CODECS),
        workers=workers,
        progress=Progress().told,
    )
    summary = summarise(run.rows, ANCHOR, RATES, resamples)
    results = root / "eval" / "results" / "hearing"
    results.mkdir(parents=True, exist_ok=True)
    summary.write(results, run.comments, only={name: name for name in TABLES[:5]})
    write_items(results / "items.tsv", run.comments, run.rows)
    kept = due_rows(run.rows, resamples)
    if kept:
        write_tsv(results / "due.tsv", run.comments, kept)
    (root / "docs").mkdir(exist_ok=True)
    with atomic_write(root / "docs" / "machine-hearing.md", overwrite=True) as file:
        file.write(page(summary, run.rows, run.comments, resamples).encode())
    return run


def main(arguments: list[str] | None = None) -> int:
    """python scripts/hearing.py --data FOLDER [--runs FOLDER] [--root FOLDER] [--tasks A,B] [--metrics A,B] [-j N]"""
    parser = argparse.ArgumentParser(description="Measure the published table of machine hearing, or go on with it.")
    parser.add_argument("--data", type=Path, required=True, help="folder of clips, with metadata.csv of their texts")
    parser.add_argument("--runs", type=Path, default=Path("runs/hearing"), help="where files and results are kept")
    parser.add_argument("--root", type=Path, default=Path(), help="where eval/results and docs are")
    parser.add_argument("--tasks", default=",".join(TASKS), help="what to ask, with commas")
    parser.add_argument("--metrics", default=",".join(METRICS), help="what to measure, with commas")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    try:
        run = publish(
            options.data,
            options.runs,
            options.root,
            tasks=options.tasks.split(","),
            metrics=options.metrics.split(","),
            workers=options.jobs,
        )
    except (CodecError, OSError) as error:
        print(f"hearing-table: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    for name, why in run.skipped:
        print(f"left out {name}: {why}", file=sys.stderr)
    print(f"{len(run.rows)} coded files, {run.measured} units of item and codec measured now")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
