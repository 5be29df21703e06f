"""The published table of sounds: `make hearing-table`.

    clips of speech -> run_tasks (seven tasks, Opus and MP3 beside this codec) -> eval/results/hearing/*.tsv
                                                                            -> docs/machine-hearing.md

Everything in the page is computed from the rows of this run, the sentences of its answers too. What was measured is
kept in RUNS: a run that was stopped goes on, and one with more tasks, metrics or settings measures only these.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from hearing_findings import ANCHOR, page
from hearing_points import due_rows, together
from published import Progress, concluded

from lecodec.bitstream import atomic_write
from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.figures.rates import RANGES, RateComparison, compare
from lecodec.eval.figures.rows import TABLES, Summary
from lecodec.eval.figures.summary import summarise
from lecodec.eval.measure.items import read_items, write_items
from lecodec.eval.measure.run import TaskRun, run_tasks
from lecodec.eval.measure.tsv import write_tsv
from lecodec.eval.report.cells import KBITS_A_SECOND
from lecodec.eval.report.panels import LABELS, plot_rates

__all__ = ["CODECS", "FAST", "METRICS", "RATES", "SLOW", "TASKS", "main", "publish"]

FAST, SLOW = ("phonemes", "speaker", "speech-activity"), ("words", "transcript", "pitch", "speech-quality")
TASKS = (*FAST, *SLOW)
"""SLOW ones take a third of a clip's length, or half of it, on one core."""
CODECS: dict[str, tuple[float, ...]] = {
    "lecodec": (4, 6, 8, 12, 16, 24),
    "opus": (6, 8, 9, 10, 12, 16, 24),
    "mp3": (16, 24, 32),
}
METRICS = ("snr", "si_sdr", "log_stft", "log_mel", "pesq", "stoi", "dnsmos", "dnsmos_sig", "dnsmos_bak")
RATES = (7000.0, 8000.0, 9000.0, 10000.0, 12000.0, 16000.0, 24000.0)
"""Bits a second at which codecs are compared."""
Settings = Mapping[str, Sequence[float]]


def publish(
    data: Path,
    runs: Path,
    root: Path,
    *,
    tasks: Sequence[str] = TASKS,
    metrics: Sequence[str] = METRICS,
    codecs: Settings = CODECS,
    slow: Settings | None = None,
    workers: int = 1,
    resamples: int = 2000,
) -> TaskRun:
    """Measure what `runs` does not hold yet; write the tables and the page below `root`; the run of the first tasks.

    slow: settings for SLOW tasks, where these are others. Raises CodecError, OSError.
    """
    parts = {part: [task for task in tasks if task in part] for part in (FAST, SLOW)}
    plans = [(parts[FAST], codecs), (parts[SLOW], slow)] if slow else [(list(tasks), codecs)]
    done: list[TaskRun] = []
    for asked, settings in ((asked, settings) for asked, settings in plans if asked):
        done.append(
            run_tasks(
                asked,
                list(settings),
                runs,
                data=data,
                metrics=metrics,
                settings=settings,
                workers=workers,
                progress=Progress().told,
            )
        )
    summary = _merged([summarise(run.rows, ANCHOR, RATES, resamples) for run in done])
    comments = list(dict.fromkeys(line for run in done for line in run.comments))
    if left := [task for task in TASKS if task not in tasks]:
        comments.append(f"not asked: {', '.join(left)}")
    rows = together([row for run in done for row in run.rows])
    results = root / "eval" / "results" / "hearing"
    results.mkdir(parents=True, exist_ok=True)
    summary.write(results, comments, only={name: name for name in TABLES[:5]})
    write_items(results / "items.tsv", comments, rows)
    _, rows = read_items(results / "items.tsv")  # what follows says what anyone finds in them
    if kept := due_rows(rows, resamples):
        write_tsv(results / "due.tsv", comments, kept)
    coded = [row for row in rows if row.codec != IDENTITY]
    over = [name for name in LABELS if any(name in row.metrics for row in coded)]
    named = list(dict.fromkeys(row.codec for row in coded))
    measures = [
        compare(coded, codec, ANCHOR, metric, *RANGES[metric])
        for codec in named
        for metric in over
        if codec != ANCHOR and metric in RANGES
    ]
    write_tsv(results / "bd.tsv", comments, [asdict(row) for row in measures], RateComparison.__annotations__)
    title = f"{len({row.item for row in rows})} clips of speech at 16 kHz"
    shown = {metric: RANGES.get(metric) for metric in over}
    plot_rates(results / "measures.png", title, coded, named, shown, {}, KBITS_A_SECOND)
    (root / "docs").mkdir(exist_ok=True)
    with atomic_write(root / "docs" / "machine-hearing.md", overwrite=True) as file:
        file.write(page(summary, rows, comments, resamples, measures).encode())
    return done[0]


def _merged(summaries: Sequence[Summary]) -> Summary:
    """One summary of several runs, whose tasks differ."""
    first, *others = summaries
    for other in others:
        tables = ("points", "comparisons", "at_rates", "pairs", "correlations", "notes")
        first = replace(first, **{name: (*getattr(first, name), *getattr(other, name)) for name in tables})
    return first


def main(arguments: list[str] | None = None) -> int:
    """python scripts/hearing.py --data FOLDER [--runs FOLDER] [--tasks A,B] [--metrics A,B] [--slow CODEC=A,B] …"""
    parser = argparse.ArgumentParser(description="Measure the published table of machine hearing, or go on with it.")
    parser.add_argument("--data", type=Path, required=True, help="folder of clips, with metadata.csv of their texts")
    parser.add_argument("--runs", type=Path, default=Path("runs/hearing"), help="where files and results are kept")
    parser.add_argument("--root", type=Path, default=Path(), help="where eval/results and docs are")
    parser.add_argument("--tasks", default=",".join(TASKS), help="what to ask, with commas")
    parser.add_argument("--metrics", default=",".join(METRICS), help="what to measure, with commas")
    parser.add_argument(
        "--slow", action="append", default=[], metavar="CODEC=A,B", help="settings for the slow tasks, if not all"
    )
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    chosen = {
        name: tuple(map(float, kbps.split(","))) for name, _, kbps in (text.partition("=") for text in options.slow)
    }
    return concluded(
        "hearing-table",
        lambda: publish(
            options.data,
            options.runs,
            options.root,
            tasks=options.tasks.split(","),
            metrics=options.metrics.split(","),
            slow=chosen or None,
            workers=options.jobs,
        ),
    )


if __name__ == "__main__":
    raise SystemExit(main())
