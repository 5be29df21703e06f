"""Sentences and tables that the published pages share, computed from a summary.

Summary, titles of tasks, unit of rates -> bullets, tables in Markdown
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.figures.rows import Comparison, Correlation, Summary
from lecodec.eval.report.cells import Cell, Table, Unit, interval, markdown, words
from lecodec.eval.report.tables import at_equal_rate

__all__ = ["Parts", "bullet", "bytes_cell", "correlation_text", "points_text"]


@dataclass(frozen=True)
class Parts:
    """titles: of tasks by name, in the order of the page; unit: of rates."""

    titles: Mapping[str, str]
    unit: Unit

    def title(self, task: str) -> str:
        """What a task is called on the page."""
        return self.titles.get(task, task)

    def tasks(self, summary: Summary) -> list[str]:
        """Those that the summary has, in the order of the page."""
        known = list(self.titles)
        tasks = dict.fromkeys(row.task for row in summary.at_rates)
        return sorted(tasks, key=lambda task: known.index(task) if task in known else len(known))

    def sorted_correlations(self, summary: Summary) -> list[Correlation]:
        """By task, and by metric with the distances last."""
        tasks = self.tasks(summary)
        return sorted(
            summary.correlations,
            key=lambda row: (tasks.index(row.task), row.metric.startswith(("d_", "log_")), row.metric),
        )

    def least_hurt(self, summary: Summary, task: str, rate: float) -> Iterable[str]:
        """Which codec keeps most of a task's accuracy at a rate, and from which others that cannot be told."""
        rows = [r for r in summary.at_rates if r.task == task and r.rate == rate and not math.isnan(r.accuracy)]
        if len(rows) < 2:  # the others do not reach this rate
            return
        best = max(rows, key=lambda r: r.accuracy)
        others = {
            other: pair
            for pair in summary.pairs
            if pair.task == task and pair.rate == rate and best.codec in (pair.codec, pair.other)
            for other in [pair.other if pair.codec == best.codec else pair.codec]
        }
        unclear = [name for name, pair in others.items() if not pair.separated]
        clear = [name for name, pair in others.items() if pair.separated]
        kept = interval(best.accuracy, best.accuracy_low, best.accuracy_high, scale=100).text
        lost = interval(best.drop, best.drop_low, best.drop_high, scale=100).text
        text = f"**{self.title(task)}**, {self.unit.of(rate)} {self.unit.label}: `{best.codec}` keeps most, {kept} "
        text += f"percent, {lost} points less than the originals."
        if clear:
            text += f" It is separated from {names_of(clear)}"
            text += f", not from {names_of(unclear)}." if unclear else "."
        elif unclear:
            text += f" It is not separated from {names_of(unclear)}."
        yield f"{text} (at-rate.tsv and pairs.tsv, `{task}`, rate {rate:g})"

    def best_metric(self, summary: Summary) -> str:
        """The metric that ranks all points most as each task does."""
        parts = []
        for task in self.tasks(summary):
            rows = [
                r
                for r in summary.correlations
                if r.task == task and r.metric != "rate" and not math.isnan(r.over_points)
            ]
            if rows:
                best = max(rows, key=lambda r: r.over_points)
                psnr = next((r for r in rows if r.metric == "psnr"), None)
                text = f"{self.title(task)}: `{best.metric}` ({correlation_text(best)}"
                parts.append(text + (f"; PSNR {correlation_text(psnr)})" if psnr and psnr is not best else ")"))
        title = "**Which metric predicts accuracy best** (rank correlation over all points)"
        return f"{title}: {'; '.join(parts)}. (correlations.tsv)"

    def not_separated(self, summary: Summary) -> str:
        """How many pairs of codecs differ, and how small a difference could be told."""
        parts = []
        for task in self.tasks(summary):
            pairs = [p for p in summary.pairs if p.task == task and not math.isnan(p.smallest_points)]
            if pairs:
                told = sum(p.separated for p in pairs)
                widths = sorted(p.smallest_points for p in pairs)
                parts.append(
                    f"{self.title(task)}: {told} of {len(pairs)} pairs are separated, {pairs[0].items} items tell "
                    f"differences of about {widths[len(widths) // 2]:.1f} points (median)"
                )
        return f"**What so few items can tell**, over all pairs and rates: {'; '.join(parts)}. (pairs.tsv)"

    def at_rate_table(self, summary: Summary, task: str) -> str:
        """One task's codecs at the same rates."""
        rows = [row for row in summary.at_rates if row.task == task]
        identity = next(p for p in summary.points if p.task == task and p.codec == IDENTITY)
        kind = "agreement with the original" if identity.kind == "agreement" else "score"
        originals = interval(*identity.accuracy, scale=100).text
        caption = f"{identity.items} items; {kind}, originals {originals}; at-rate.tsv, {task}"
        table = at_equal_rate(rows, [pair for pair in summary.pairs if pair.task == task], self.unit)
        return markdown(replace(table, title=self.title(task), caption=caption)) + "\n"

    def comparison_table(self, summary: Summary, title: str, file: str) -> str:
        """BD figures of all tasks. file: the table that they stand in."""
        return markdown(
            Table(
                title,
                file,
                ("task", "codec", "against", "points", "bytes, %", self.unit.label),
                tuple(
                    (
                        *map(words, (self.title(row.task), row.codec, row.anchor)),
                        interval(row.bd_points, row.bd_points_low, row.bd_points_high, signed=True),
                        bytes_cell(row),
                        words(
                            ""
                            if math.isnan(row.rate_low)
                            else f"{row.rate_low * self.unit.scale:.2f} to {row.rate_high * self.unit.scale:.2f}"
                        ),
                    )
                    for task in self.tasks(summary)
                    for row in summary.comparisons
                    if row.task == task
                ),
            )
        )

    def pair_table(self, summary: Summary) -> str:
        """Pairs of codecs that the items cannot tell apart."""
        groups: dict[tuple[str, float], list[str]] = {}
        for pair in summary.pairs:
            if not pair.separated and not math.isnan(pair.difference_points_low):
                found = interval(
                    pair.difference_points, pair.difference_points_low, pair.difference_points_high, signed=True
                )
                groups.setdefault((pair.task, pair.rate), []).append(f"{pair.codec} less {pair.other} {found.text}")
        order = sorted(groups, key=lambda place: (self.tasks(summary).index(place[0]), place[1]))
        return markdown(
            Table(
                "Pairs that are not separated",
                "Differences in points; pairs.tsv.",
                ("task", self.unit.label, "pairs"),
                tuple(
                    (words(self.title(task)), words(self.unit.of(rate)), words("; ".join(groups[task, rate])))
                    for task, rate in order
                ),
            )
        )


def bullet(text: str) -> str:
    """An entry of a list, in lines of 120."""
    lines = textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False)
    return "- " + "\n  ".join(lines) + "\n"


def points_text(row: Comparison) -> str:
    """BD-accuracy with its interval."""
    return interval(row.bd_points, row.bd_points_low, row.bd_points_high, signed=True).text


def bytes_cell(row: Comparison) -> Cell:
    """BD-rate with its interval."""
    return interval(row.bd_rate, row.bd_rate_low, row.bd_rate_high, digits=0, signed=True)


def correlation_text(row: Correlation) -> str:
    """A rank correlation over all points with its interval."""
    return interval(row.over_points, row.over_points_low, row.over_points_high, digits=2).text


def names_of(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
