"""What every codec does to speech at every setting, and what is promised of this one, as two tables.

    rows of a run -> edits and lengths of each clip -> error rates over all clips -> points.tsv, due.tsv

An error rate is that of the field: the edits (Levenshtein's) of all clips by the words, or phonemes, of all clips, so
that a long clip counts for more than a short one. The reference is what the same network makes of the uncompressed
sound. Intervals: 95%, bootstrap over clips, paired (see eval/figures/statistics.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.figures.statistics import Interval, interval, resampled_means, spread
from lecodec.eval.quality.metrics import capped, lower_is_better
from lecodec.eval.tasks.task import ItemRow
from lecodec.eval.tasks.text import edits, words_of

__all__ = [
    "DUE",
    "ERRORS",
    "Due",
    "Figure",
    "Promise",
    "due",
    "due_rows",
    "kbps_of",
    "measures_of",
    "points_of",
    "together",
]

ERRORS: dict[str, Callable[[str], list[str]]] = {"words": words_of, "phonemes": str.split}
"""Of tasks that are told as error rates: how an answer's text is cut."""
Key = tuple[str, float]


@dataclass(frozen=True)
class Figure:
    """A mean, or an error rate, with its interval."""

    value: float
    ends: Interval


@dataclass(frozen=True)
class Promise:
    """measure: of `measures_of`; ours, theirs: codec and setting; most: how much worse ours may be by the far end of
    the interval, in the measure's unit; what: in words.
    """

    what: str
    measure: str
    ours: Key
    theirs: Key
    most: float = 0.0


@dataclass(frozen=True)
class Due:
    """A promise and what came out. worse: ours less theirs in the measure, signed so that more is worse; kept: whether
    its upper end is below `most`.
    """

    promise: Promise
    ours_kbps: float
    theirs_kbps: float
    ours: float
    theirs: float
    worse: Figure
    kept: bool


def _promises() -> tuple[Promise, ...]:
    found = [
        Promise(f"at 6 kbps no worse than Opus at 9 for {task}", task, ("lecodec", 6.0), ("opus", 9.0), 0.02)
        for task in ERRORS
    ]
    found.append(Promise("PESQ at 6 kbps above Opus at 8", "pesq", ("lecodec", 6.0), ("opus", 8.0)))
    for measure in ("pesq", "stoi", "si_sdr", "log_stft"):
        found += [
            Promise(f"{measure} ahead of Opus at {k:g}", measure, ("lecodec", k), ("opus", k)) for k in (6.0, 8.0)
        ]
    found += [
        Promise(f"aim: at 6 kbps no worse than Opus at 12 for {task}", task, ("lecodec", 6.0), ("opus", 12.0), 0.02)
        for task in ERRORS
    ]
    found += [
        Promise(f"aim: DNSMOS level with Opus at {k:g}", "dnsmos", ("lecodec", k), ("opus", k), 0.05)
        for k in (8.0, 12.0, 16.0, 24.0)
    ]
    return tuple(found)


DUE = _promises()


@dataclass(frozen=True, eq=False)
class _Measure:
    """amounts: of each point, [items]; weights: [items], what they are shares of; None: one an item. sign: -1 where
    more is better.
    """

    amounts: dict[Key, np.ndarray]
    weights: np.ndarray | None
    sign: int

    def means(self, keys: Sequence[Key], resamples: int) -> np.ndarray:
        """[1 + resamples, keys], row 0 of all items."""
        columns = [self.amounts[key] for key in keys]
        weights = np.ones(len(columns[0])) if self.weights is None else self.weights
        found = resampled_means(np.stack([*columns, weights], axis=1), resamples)
        return found[:, :-1] / np.maximum(found[:, -1:], 1e-12)


def together(rows: Sequence[ItemRow]) -> list[ItemRow]:
    """Rows of several runs of the same files as one, with the answers and metrics of all."""
    found: dict[tuple[str, str, str, float], ItemRow] = {}
    for row in rows:
        place = (row.source, row.item, row.codec, row.setting)
        if place in found:
            first = found[place]
            row = replace(first, answers=first.answers | row.answers, metrics=first.metrics | row.metrics)
        found[place] = row
    return list(found.values())


def measures_of(rows: Sequence[ItemRow]) -> dict[str, _Measure]:
    """Error rates, means of metrics, and of other tasks' scores (or agreements) by name: of each the points that have
    it for all items that every point has.
    """
    keys = list(dict.fromkeys((row.codec, row.setting) for row in rows))
    by_place = {(row.item, row.codec, row.setting): row for row in rows}
    items = [item for item in dict.fromkeys(row.item for row in rows) if all((item, *key) in by_place for key in keys)]

    def columns(has: Callable[[ItemRow], bool], value: Callable[[ItemRow], float]) -> dict[Key, np.ndarray]:
        of_key = {key: [by_place[item, *key] for item in items] for key in keys}
        return {
            key: np.array([value(row) for row in own], np.float64) for key, own in of_key.items() if all(map(has, own))
        }

    found: dict[str, _Measure] = {}
    for task in dict.fromkeys(task for row in rows for task in row.answers):
        asked = partial(_asked, task)
        if task in ERRORS:
            cut = ERRORS[task]
            wanted = {item: cut(by_place[item, IDENTITY, 0.0].answers[task].text) for item in items}
            wrong = partial(_edits, task, cut, wanted)
            found[task] = _Measure(columns(asked, wrong), np.array([len(w) for w in wanted.values()], np.float64), 1)
            continue
        scored = any(not math.isnan(row.answers[task].score) for row in rows if task in row.answers)
        found[task] = _Measure(columns(asked, partial(_answer, task, "score" if scored else "agreement")), None, -1)
    for metric in dict.fromkeys(name for row in rows for name in row.metrics):
        amounts = columns(partial(_measured, metric), partial(_metric, metric))
        found[metric] = _Measure(amounts, None, 1 if lower_is_better(metric) else -1)
    return found


def _asked(task: str, row: ItemRow) -> bool:
    return task in row.answers


def _measured(metric: str, row: ItemRow) -> bool:
    return metric in row.metrics


def _edits(task: str, cut: Callable[[str], list[str]], wanted: dict[str, list[str]], row: ItemRow) -> float:
    return float(edits(cut(row.answers[task].text), wanted[row.item]))


def _answer(task: str, part: str, row: ItemRow) -> float:
    return float(getattr(row.answers[task], part))


def _metric(metric: str, row: ItemRow) -> float:
    return capped(metric, row.metrics[metric])


def kbps_of(rows: Sequence[ItemRow]) -> dict[Key, float]:
    """The mean rate of each point, thousand bits a second."""
    rates: dict[Key, list[float]] = {}
    for row in rows:
        rates.setdefault((row.codec, row.setting), []).append(row.rate / 1e3)
    return {key: float(np.mean(values)) for key, values in rates.items()}


def points_of(rows: Sequence[ItemRow], resamples: int) -> dict[Key, dict[str, Figure]]:
    """Every measure of every point."""
    found: dict[Key, dict[str, Figure]] = {key: {} for key in kbps_of(rows)}
    for name, measure in measures_of(rows).items():
        keys = list(measure.amounts)
        means = measure.means(keys, resamples)
        for place, key in enumerate(keys):
            found[key][name] = Figure(float(means[0, place]), _ends(means[:, place], measure))
    return found


def due(rows: Sequence[ItemRow], resamples: int, promises: Sequence[Promise] = DUE) -> list[Due]:
    """What became of the promises whose measures and points there are."""
    measures, kbps, found = measures_of(rows), kbps_of(rows), []
    for promise in promises:
        measure = measures.get(promise.measure)
        keys = (promise.ours, promise.theirs)
        if measure is None or not all(key in measure.amounts for key in keys):
            continue
        means = measure.means(keys, resamples)
        worse = measure.sign * (means[:, 0] - means[:, 1])
        ends = _ends(worse, measure)
        ours, theirs = (float(value) for value in means[0])
        found.append(
            Due(
                promise=promise,
                ours_kbps=kbps[promise.ours],
                theirs_kbps=kbps[promise.theirs],
                ours=ours,
                theirs=theirs,
                worse=Figure(float(worse[0]), ends),
                kept=bool(ends.high < promise.most),
            )
        )
    return found


def due_rows(rows: Sequence[ItemRow], resamples: int) -> list[dict[str, Any]]:
    """What `due` gives, as rows of due.tsv; rates in kbps, shares from 0 to 1."""
    return [
        {
            "what": row.promise.what,
            "measure": row.promise.measure,
            "codec": row.promise.ours[0],
            "setting": row.promise.ours[1],
            "kbps": row.ours_kbps,
            "value": row.ours,
            "other": row.promise.theirs[0],
            "other_setting": row.promise.theirs[1],
            "other_kbps": row.theirs_kbps,
            "other_value": row.theirs,
            **spread("worse", row.worse.value, row.worse.ends),
            "most": row.promise.most,
            "kept": row.kept,
        }
        for row in due(rows, resamples)
    ]


def _ends(values: np.ndarray, measure: _Measure) -> Interval:
    known = ~np.isnan(next(iter(measure.amounts.values())))
    return interval(values, int(known.sum()))
