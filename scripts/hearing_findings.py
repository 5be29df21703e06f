"""What the published table of sounds says: docs/machine-hearing.md, computed from a summary and its rows.

    Summary, rows -> answers (a sentence each), promises, every point, tables in Markdown

No figure is written by hand: the sentences choose their codecs and metrics by what the tables hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from hearing_points import ERRORS, Due, Figure, due, kbps_of, points_of
from page_parts import Parts, bullet, correlation_text

from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.figures.rates import RateComparison
from lecodec.eval.figures.rows import Summary
from lecodec.eval.report.cells import KBITS_A_SECOND, Cell, Table, interval, markdown, number, words
from lecodec.eval.report.tables import correlations
from lecodec.eval.tasks.task import ItemRow

__all__ = ["ANCHOR", "page"]

ANCHOR = "opus"
TITLES = {
    "phonemes": "phonemes (hama)",
    "words": "words (PocketSphinx)",
    "transcript": "transcript (PocketSphinx)",
    "speaker": "speaker (Resemblyzer)",
    "pitch": "pitch (CREPE)",
    "speech-activity": "speech activity (Silero)",
    "speech-quality": "speech quality (DNSMOS)",
}
_PARTS = Parts(TITLES, KBITS_A_SECOND)
_SHOWN_RATES = (8000.0, 9000.0, 12000.0)
"""Bits a second that the sentences speak of."""
_ERROR_HEADS = {"words": "words, wrong, %", "phonemes": "phonemes, wrong, %"}
_HEADS = {"pesq": "PESQ", "stoi": "STOI", "si_sdr": "SI-SDR, dB", "log_stft": "log-STFT"}
_HEADS |= {"dnsmos": "DNSMOS", "dnsmos_sig": "its signal", "dnsmos_bak": "its background"}
_DIGITS = {"stoi": 3, "si_sdr": 1}


def page(
    summary: Summary,
    rows: Sequence[ItemRow],
    comments: Iterable[str],
    resamples: int,
    measures: Sequence[RateComparison] = (),
) -> str:
    """The text of docs/machine-hearing.md. measures: BD-rates over them, of all clips."""
    comments = list(comments)
    described = [line for line in comments if line.startswith(("source", "task", "codec", "versions", "left out"))]
    left = [line.removeprefix("not asked: ") for line in comments if line.startswith("not asked: ")]
    promised = due(rows, resamples)
    parts = [
        _INTRODUCTION,
        "## In short\n\n",
        *(bullet(sentence) for sentence in _answers(summary, promised)),
        *(bullet(f"**Not asked yet** (`make hearing-table` does): {names}.") for names in left),
        "\n## What was promised\n\n" + _PROMISED,
        _due_table(promised),
        "\n## Every point\n\n" + _POINTS,
        _point_tables(rows, resamples),
        "\n![curves](../eval/results/hearing/measures.png)\n\n",
        _bd_table(measures),
        "\n## Accuracy at equal bytes\n\n" + _AT_RATE,
        *(_PARTS.at_rate_table(summary, task) for task in _PARTS.tasks(summary)),
        "## Over all rates\n\n" + _OVER_ALL,
        _PARTS.comparison_table(summary, "Against Opus", "comparisons.tsv"),
        "\n" + markdown(correlations(_PARTS.sorted_correlations(summary)), 2),
        "\n(correlations.tsv)\n",
        "\n## What these clips cannot separate\n\n" + _PAIRS,
        _PARTS.pair_table(summary),
        "\n## What was measured with\n\n",
        *(bullet(line) for line in (*described, *summary.notes)),
    ]
    return "".join(parts)


# -- the answers, in sentences


def _answers(summary: Summary, promised: Sequence[Due]) -> Iterable[str]:
    for task in _PARTS.tasks(summary):
        for rate in _SHOWN_RATES:
            yield from _PARTS.least_hurt(summary, task, rate)
    yield _PARTS.best_metric(summary)
    yield from _recognisers(summary)
    yield _PARTS.not_separated(summary)
    if promised:
        broken = [row.promise.what for row in promised if not row.kept]
        text = f"**Of {len(promised)} promises and aims {len(promised) - len(broken)} are kept.**"
        yield f"{text} Not kept: {'; '.join(broken)}. (due.tsv)" if broken else f"{text} (due.tsv)"


def _recognisers(summary: Summary) -> Iterable[str]:
    """Which metric ranks files as the two recognisers do, and how the others do."""
    tasks = [task for task in ("phonemes", "words") if task in _PARTS.tasks(summary)]
    found: dict[str, list[float]] = {}
    for row in summary.correlations:
        if row.task in tasks and not math.isnan(row.over_points):
            found.setdefault(row.metric, []).append(row.over_points)
    ranked = sorted((name for name in found if len(found[name]) == len(tasks)), key=lambda name: min(found[name]))
    if not tasks or len(ranked) < 2:
        return
    best, worst = ranked[-1], ranked[0]
    named = {row.metric: row for row in summary.correlations if row.task == tasks[0]}
    rate = f" The rate alone: {correlation_text(named['rate'])}." if "rate" in named else ""
    yield (
        f"**Which measure predicts what recognisers lose**: `{best}` most ({min(found[best]):.2f} at least over "
        f"{' and '.join(TITLES[task] for task in tasks)}), `{worst}` least ({min(found[worst]):.2f}).{rate} "
        "(correlations.tsv)"
    )


# -- the tables


def _due_table(promised: Sequence[Due]) -> str:
    rows = []
    for row in promised:
        share = row.promise.measure in ERRORS
        scale, digits = (100.0, 1) if share else (1.0, _DIGITS.get(row.promise.measure, 2))
        form = f".{digits}f"
        rows.append(
            (
                words(row.promise.what),
                words(f"{row.promise.ours[0]} {row.ours_kbps:.2f}"),
                words(f"{row.promise.theirs[0]} {row.theirs_kbps:.2f}"),
                number(row.ours, form, scale),
                number(row.theirs, form, scale),
                interval(
                    row.worse.value, row.worse.ends.low, row.worse.ends.high, scale=scale, digits=digits, signed=True
                ),
                number(row.promise.most, form, scale),
                words("yes" if row.kept else "no"),
            )
        )
    caption = (
        "Worse by: ours less theirs, turned so that above 0 is worse; paired. Kept if its upper end is below most."
    )
    columns = ("what", "ours, kbps", "theirs, kbps", "ours", "theirs", "worse by", "most", "kept")
    return markdown(Table("Against Opus, point by point", f"{caption} due.tsv", columns, tuple(rows)))


def _point_tables(rows: Sequence[ItemRow], resamples: int) -> str:
    points, kbps = points_of(rows, resamples), kbps_of(rows)
    some = {name for point in points.values() for name in point}
    heard = [name for name in dict.fromkeys((*ERRORS, *TITLES)) if name in some and name != "speech-quality"]
    listened = [name for name in _HEADS if name in some]
    order = sorted(
        points, key=lambda key: (key[0] != IDENTITY, [*dict.fromkeys(k[0] for k in points)].index(key[0]), key[1])
    )

    def head(key: tuple[str, float]) -> tuple[Cell, Cell]:
        return words(key[0]), number(kbps[key], ".2f")

    first = Table(
        "What machines hear",
        "In percent; wrong words and phonemes of all clips, against what is recognised in the uncompressed sound; of "
        "transcript, the words of the text that are right. items.tsv",
        ("codec", "kbps", *(_ERROR_HEADS.get(name, TITLES.get(name, name)) for name in heard)),
        tuple((*head(key), *(_cell(points[key].get(name)) for name in heard)) for key in order),
    )
    second = Table(
        "What measures say",
        "Means over clips. Of DNSMOS more is better, of log-STFT less. items.tsv",
        ("codec", "kbps", *(_HEADS[name] for name in listened)),
        tuple((*head(key), *(_value(points[key], name, key[0] == IDENTITY) for name in listened)) for key in order),
    )
    return f"{markdown(first)}\n{markdown(second)}"


def _bd_table(measures: Sequence[RateComparison]) -> str:
    rows = tuple(
        (
            words(row.codec),
            words(_HEADS.get(row.metric, row.metric)),
            number(row.bd_rate, "+.0f"),
            number(row.bd_rate_pictures, "+.0f"),
            words("" if math.isnan(row.low_used) else f"{row.low_used:.3g} to {row.high_used:.3g}"),
        )
        for row in measures
    )
    caption = (
        "BD-rates against Opus, over the part of each range that both have (of log-STFT with a minus); negative is "
        "fewer bytes for the same value. bd.tsv"
    )
    columns = ("codec", "measure", "of the means, %", "mean of clips, %", "over")
    return markdown(Table("Bytes at equal measure", caption, columns, rows))


def _cell(figure: Figure | None) -> Cell:
    """A share in percent, empty where nobody was asked."""
    return Cell("") if figure is None else interval(figure.value, figure.ends.low, figure.ends.high, scale=100.0)


def _value(point: Mapping[str, Figure], name: str, identity: bool) -> Cell:
    if name not in point or (identity and not name.startswith("dnsmos")):
        return Cell("")  # a distance from itself
    return number(point[name].value, f".{_DIGITS.get(name, 2)}f")


_INTRODUCTION = """# What machines hear in compressed speech

Recognisers listen to speech that somebody compressed. This page says what that costs them: words, phonemes, the voice,
the pitch, beside the measures that people use, against bytes of whole files, with 95% intervals. `make hearing-table`
measures it all again and writes this page; every figure stands in a row of a table under
[eval/results/hearing](../eval/results/hearing), named next to it.

Clips of one reader, brought to 16 kHz once; all codecs get these samples, and all answers and measures refer to them.
Nothing was trained, tuned or chosen on them. The phoneme network took part in no training of the shipped model. Texts
are known of few of them, so that words are counted against what the same network recognises in the uncompressed sound.
Curves of signal measures beside more codecs stand in [eval/results/sound](../eval/results/sound).

"""
_PROMISED = """What this codec should reach, written down before it was measured, and whether it does. The settings of a
row are in kbps as they were asked for; the columns say which rates the files have.

"""
_POINTS = """All settings of all codecs.

"""
_AT_RATE = """Each codec's curve (accuracy over the logarithm of the rate, made monotone, PCHIP) is read at the same
rates; an empty cell is outside the codec's rates. Means over clips, in percent; in brackets the 95% interval, from
resampling clips. Bold is the highest; ≈ marks those that these clips cannot tell from it.

"""
_OVER_ALL = """Points: the mean difference in accuracy over the rates that both codecs have, in percent points
(BD-accuracy). Bytes at equal accuracy: the mean difference in rate over the accuracies that both reach (BD-rate);
negative is fewer.

"""
_PAIRS = """Pairs of codecs at the same rate whose difference in accuracy has an interval around 0. Every pair is judged
by itself: of twenty pairs that do not differ, one is expected among the separated.

"""
