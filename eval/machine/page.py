"""The report of a run: one HTML page that needs nothing else, PNG plots, tables in Markdown and TSV.

    items.tsv -> summarise -> tables, curves -> page.html (page.css, page.js inside) -> index.html
    files/ -> gallery ------------------------> data: URIs ----------------------------^

Guarantees: the page asks for nothing from anywhere, and its Content-Security-Policy forbids it to; only the one script
whose digest stands in that policy runs, so that no name of an item or answer of a network ever becomes code. Names are
escaped, in the text by jinja2, in the data by JSON without `<`, `>` and `&`. What is not a number is `null` there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...bitstream import atomic_write
from ...errors import CodecError
from .._extras import extra
from . import gallery, tables
from .figures import Point, Summary
from .gallery import Decode, Picture
from .items import read_items
from .plots import COLOURS, metric_label, plot_metrics, plot_task
from .summary import summarise
from .tables import Unit
from .task import IDENTITY, Coded

__all__ = ["write_report"]


@dataclass(frozen=True)
class _Section:
    """One task on the page. figures: what page.js draws; tables: those that are shown, folded: those behind a click."""

    id: str
    title: str
    about: str
    figures: list[dict[str, Any]]
    tables: list[tables.Table]
    folded: list[tables.Table]


@dataclass(frozen=True)
class _Told:
    """What the comments of items.tsv say, each (name, text)."""

    sources: list[tuple[str, str]]
    tasks: list[tuple[str, str]]
    codecs: list[tuple[str, str]]
    left_out: list[str]
    environment: list[str]


def write_report(
    results: Path,
    out: Path,
    *,
    decode: Decode,
    pictures: int = 24,
    anchor: str | None = None,
    resamples: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `out`/index.html, plots/*.png, tables.md and the TSV tables of a run's folder; the page's path.

    decode: (codec, file's bytes) -> uint8 [H, W, 3]; pictures: to compare on the page, evenly spread, 0 for all;
    anchor, resamples: see `summarise`; progress(done, total) counts coded files.

    Raises InputError for a table that cannot be read or summarised and for packages that are missing, OSError.
    """
    results, out = Path(results), Path(out)
    comments, rows = read_items(results / "items.tsv")
    if any(row.answers for row in rows):
        summary = summarise(rows, anchor, resamples=resamples)
    else:
        summary = Summary((), (), (), (), (), (), resamples)  # files to look at are a report too
    sounds = gallery.are_sounds(rows)
    unit = tables.KBITS_A_SECOND if sounds else tables.BITS_A_PIXEL
    told = _told(comments, rows)
    (out / "plots").mkdir(parents=True, exist_ok=True)
    summary.write(out, comments)
    sections = [_section(summary, source, task, told, unit) for source, task in _tasks(summary.points)]
    metrics = [
        section
        for source in dict.fromkeys(p.source for p in summary.points)
        for section in _metrics(summary, source, unit)
    ]
    _plots(out / "plots", summary, told, unit)
    shown, missing = ([], []) if sounds else _pictures(results, rows, decode, pictures, progress)
    _write(out / "tables.md", _markdown(summary, sections, told, unit))
    script = _part("page.js")
    codecs = list(dict.fromkeys(row.codec for row in rows if row.codec != IDENTITY))
    data = {
        "unit": {"label": unit.label, "short": unit.short, "scale": unit.scale},
        "codecs": codecs,
        "colours": ["currentColor" if colour == "#000000" else colour for colour in COLOURS],
        "figures": [figure for section in (*sections, *metrics) for figure in section.figures],
        "pictures": [picture.facts for picture in shown],
    }
    jinja = extra("jinja2")
    template = jinja.Environment(autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    safe = extra("markupsafe").Markup
    page = template.from_string(_part("page.html")).render(
        policy=_policy(script),
        style=safe(_part("page.css")),
        script=safe(script),
        data=safe(_json(data)),
        images=[safe(_json(picture.images)) for picture in shown],
        title=f"What compression costs networks: {', '.join(dict.fromkeys(row.source for row in rows)) or 'no items'}",
        noun="sounds" if sounds else "pictures",
        sounds=sounds,
        items=len({(row.source, row.item) for row in rows}),
        files=sum(row.codec != IDENTITY for row in rows),
        codecs=codecs,
        told=told,
        notes=summary.notes,
        resamples=summary.resamples,
        overview=tables.overview(summary),
        correlations=tables.correlations(summary.correlations),
        sections=sections,
        metrics=metrics,
        shown=[(number, picture.facts["name"]) for number, picture in enumerate(shown)],
        missing=missing,
        spread=len(gallery.choose(rows, 0)),
    )
    _write(out / "index.html", page)
    return out / "index.html"


def _tasks(points: Sequence[Point]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((point.source, point.task) for point in points))


def _slug(source: str, task: str) -> str:
    """A name of a file and of a place on the page."""
    return re.sub("[^A-Za-z0-9_-]+", "-", f"{source}-{task}").strip("-") or "task"


def _told(comments: Sequence[str], rows: Sequence[Coded]) -> _Told:
    def described(kind: str, names: Sequence[str]) -> list[tuple[str, str]]:
        return [
            (name, next((c[len(head) :] for c in comments if c.startswith(head := f"{kind} {name}: ")), ""))
            for name in names
        ]

    left_out = [c.removeprefix("left out ") for c in comments if c.startswith("left out ")]
    return _Told(
        sources=described("source", list(dict.fromkeys(row.source for row in rows))),
        tasks=described("task", list(dict.fromkeys(name for row in rows for name in row.answers))),
        codecs=described("codec", list(dict.fromkeys(row.codec for row in rows))),
        left_out=left_out,
        environment=[c for c in comments if not re.match("(source|task|codec|left out) ", c)],
    )


def _measure(told: _Told, task: str) -> tuple[str, str]:
    """(what a mean score is called, the rest of the description) of a task."""
    measure, _, about = dict(told.tasks).get(task, "").partition("; ")
    return measure or "accuracy", about


def _section(summary: Summary, source: str, task: str, told: _Told, unit: Unit) -> _Section:
    def own(rows: Sequence[Any]) -> list[Any]:
        return [row for row in rows if (row.source, row.task) == (source, task)]

    points = own(summary.points)
    kind, slug = points[0].kind, _slug(source, task)
    measure, about = _measure(told, task)
    label = measure if kind == "score" else f"agreement with the uncompressed ({measure})"
    figures = [_figure(f"{slug}-accuracy", f"{label}, %", points, lambda p: p.accuracy, percent=True)]
    if kind == "score":
        triple = lambda p: (p.agreement, p.agreement_low, p.agreement_high)  # noqa: E731
        figures.append(_figure(f"{slug}-agreement", "agreement with the uncompressed, %", points, triple, percent=True))
    shown = [
        tables.at_equal_rate(own(summary.at_rates), own(summary.pairs), unit),
        tables.against_anchor(own(summary.comparisons), unit),
    ]
    folded = [tables.pairs_apart(own(summary.pairs), unit), tables.points_table(points, unit)]
    about = f"{about}{'. ' if about else ''}{points[0].items} items of {source}."
    return _Section(slug, task, about, figures, shown, folded)


def _metrics(summary: Summary, source: str, unit: Unit) -> list[_Section]:
    """The metrics of a source's items: those of the task that asked about most of them."""
    points = [point for point in summary.points if point.source == source]
    most = max(points, key=lambda point: point.items)
    points = [point for point in points if point.task == most.task]
    figures = []
    for name in dict.fromkeys(name for point in points for name in point.metrics):
        triple = lambda p, name=name: (p.metrics.get(name, math.nan), math.nan, math.nan)  # noqa: E731
        figures.append(_figure(f"{_slug(source, 'metric')}-{name}", metric_label(name), points, triple, percent=False))
    return (
        [_Section(_slug(source, "metrics"), source, f"Means over {most.items} items.", figures, [], [])]
        if figures
        else []
    )


def _figure(
    name: str, label: str, points: Sequence[Point], of: Callable[[Point], tuple[float, float, float]], percent: bool
) -> dict[str, Any]:
    """id, label, percent, flat (the uncompressed items: [value, low, high]), series: codec -> [rate, value, low, high,
    setting] by rate.
    """
    scale = 100 if percent else 1
    flat, series = None, {}
    for point in sorted(points, key=lambda point: point.rate):
        values = [_finite(scale * value) for value in of(point)]
        if point.codec == IDENTITY:
            flat = values if percent else None
        elif values[0] is not None and point.rate > 0:
            series.setdefault(point.codec, []).append([point.rate, *values, point.setting])
    return {"id": name, "label": label, "percent": percent, "flat": flat, "series": series}


def _plots(folder: Path, summary: Summary, told: _Told, unit: Unit) -> None:
    for source, task in _tasks(summary.points):
        points = [point for point in summary.points if (point.source, point.task) == (source, task)]
        measure, _ = _measure(told, task)
        plot_task(
            folder / f"{_slug(source, task)}.png", f"{task}, {points[0].items} items of {source}", measure, points, unit
        )
    for source in dict.fromkeys(point.source for point in summary.points):
        points = [point for point in summary.points if point.source == source]
        most = max(points, key=lambda point: point.items).task
        points = [point for point in points if point.task == most]
        plot_metrics(
            folder / f"{_slug(source, 'metrics')}.png", f"metrics, {points[0].items} items of {source}", points, unit
        )


def _pictures(
    results: Path, rows: Sequence[Coded], decode: Decode, count: int, progress: Callable[[int, int], None] | None
) -> tuple[list[Picture], list[str]]:
    """Pictures for the page, and a sentence for each codec or picture that cannot be shown."""
    wanted = gallery.choose(rows, count)
    own: dict[tuple[str, str], list[Coded]] = {place: [] for place in wanted}
    for row in rows:
        if (row.source, row.item) in own:
            own[row.source, row.item].append(row)
    total, done = sum(map(len, own.values())), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    shown: list[Picture] = []
    missing: dict[str, list[str]] = {}
    for place in wanted:
        try:
            picture = gallery.embed(results, own[place], decode, tick)
        except (CodecError, OSError) as error:
            missing.setdefault("original", []).append(str(error))
            continue
        shown.append(picture)
        for codec, why in picture.left_out.items():
            missing.setdefault(codec, []).append(why)
    sentences = [f"{why[0]}{f' (and {len(why) - 1} more like it)' if len(why) > 1 else ''}" for why in missing.values()]
    return shown, sentences


def _markdown(summary: Summary, sections: Sequence[_Section], told: _Told, unit: Unit) -> str:
    parts = ["# What compression costs networks\n"]
    parts += [
        f"- {note}" for note in (*told.environment, f"intervals: 95%, {summary.resamples} resamples", *summary.notes)
    ]
    parts += [f"- left out {text}" for text in told.left_out]
    parts += ["", tables.markdown(tables.overview(summary), 2)]
    for section in sections:
        parts += [f"## {section.title}\n", f"{section.about}\n"]
        parts += [f"![{figure}](plots/{section.id}.png)\n" for figure in [f"{section.title} over {unit.label}"]]
        parts += [tables.markdown(table) for table in (*section.tables, *section.folded)]
    parts.append(tables.markdown(tables.correlations(summary.correlations), 2))
    return "\n".join(parts)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _json(value: Any) -> str:
    """JSON that no HTML parser takes for anything else. Raises ValueError for what is not a number."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    with atomic_write(path, overwrite=True) as file:
        file.write(text.encode("utf-8", errors="replace"))  # names may hold bytes that are no text
