"""The report of a run: one HTML page that needs nothing else, PNG plots, tables in Markdown and TSV.

    items.tsv -> summarise -> tables, curves -> page.html (page.css, page.js, slider.js inside) -> index.html
    files/ -> gallery ------------------------> data: URIs ----------------------------^

Guarantees: the page asks for nothing from anywhere, and its Content-Security-Policy forbids it to; only the one script
whose digest stands in that policy runs, so that no name of an item or answer of a network ever becomes code. Names are
escaped, in the text by jinja2, in the data by JSON without `<`, `>` and `&`. What is not a number is `null` there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...bitstream import atomic_write
from ...errors import CodecError
from ..codecs.codec import IDENTITY
from ..figures.rows import Summary
from ..figures.summary import summarise
from ..measure.items import read_items
from ..quality._extras import extra
from ..tasks.task import ItemRow
from . import gallery, tables
from .cells import BITS_A_PIXEL, KBITS_A_SECOND, escaped, markdown
from .gallery import Decode, Picture
from .plots import COLOURS, plot_metrics, plot_task
from .sections import Provenance, Section, metric_sections, task_sections, told_by
from .self_contained import json_in_html, part, policy_of, template_of

__all__ = ["write_report"]


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
    unit, noun = (KBITS_A_SECOND, "sounds") if sounds else (BITS_A_PIXEL, "pictures")
    items = len({(row.source, row.item) for row in rows})
    told = told_by(comments, rows)
    sections = task_sections(summary, told, unit)
    metrics = metric_sections(summary, sections)
    (out / "plots").mkdir(parents=True, exist_ok=True)
    summary.write(out, comments)
    for section in sections:
        title = f"{section.title}, {section.points[0].items} items of {section.points[0].source}"
        plot_task(out / "plots" / f"{section.id}.png", title, section.measure, section.points, unit)
    for section in metrics:
        plot_metrics(out / "plots" / f"{section.id}.png", section.title, section.points, unit)
    shown, missing = ([], []) if sounds else _pictures(results, rows, decode, pictures, progress)
    _write(out / "tables.md", _markdown(summary, sections, metrics, told))
    script = f'"use strict";\n(() => {{\n{part("page.js")}\n{part("slider.js")}}})();\n'
    codecs = list(dict.fromkeys(row.codec for row in rows if row.codec != IDENTITY))
    data = {
        "unit": {"label": unit.label, "short": unit.short, "scale": unit.scale},
        "codecs": codecs,
        "colours": ["currentColor" if colour == "#000000" else colour for colour in COLOURS],
        "figures": [figure for section in (*sections, *metrics) for figure in section.figures],
        "pictures": [picture.facts for picture in shown],
    }
    safe = extra("markupsafe").Markup
    page = template_of("page.html").render(
        policy=policy_of(script),
        style=safe(part("page.css")),
        script=safe(script),
        data=safe(json_in_html(data)),
        images=[safe(json_in_html(picture.images)) for picture in shown],
        title=f"What compression costs networks: {items or 'no'} {noun}",
        noun=noun,
        sounds=sounds,
        items=items,
        files=sum(row.codec != IDENTITY for row in rows),
        codecs=codecs,
        told=told,
        notes=summary.notes,
        resamples=summary.resamples,
        overview=tables.overview(summary),
        correlations=[tables.correlations(summary.correlations, within) for within in (False, True)],
        sections=sections,
        metrics=metrics,
        shown=[(n, picture.facts["source"], picture.facts["name"]) for n, picture in enumerate(shown)],
        missing=missing,
        spread=len(gallery.choose(rows, 0)),
    )
    _write(out / "index.html", page)
    return out / "index.html"


def _pictures(
    results: Path, rows: Sequence[ItemRow], decode: Decode, count: int, progress: Callable[[int, int], None] | None
) -> tuple[list[Picture], list[str]]:
    """Pictures for the page, and a sentence for each codec or picture that cannot be shown."""
    wanted = gallery.choose(rows, count)
    own: dict[tuple[str, str], list[ItemRow]] = {place: [] for place in wanted}
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


def _markdown(summary: Summary, sections: Sequence[Section], metrics: Sequence[Section], told: Provenance) -> str:
    lines = [*told.environment, f"intervals: 95%, {summary.resamples} resamples of items", *summary.notes]
    parts = ["# What compression costs networks\n"]
    parts += [f"- {escaped(line)}" for line in [*lines, *(f"left out {text}" for text in told.left_out)]]
    parts += ["", markdown(tables.overview(summary), 2)]
    for section in (*sections, *metrics):
        parts += [
            f"## {escaped(section.title)}\n",
            f"{escaped(section.about)}\n",
            f"![curves](plots/{section.id}.png)\n",
        ]
        parts += [markdown(table) for table in (*section.tables, *section.folded)]
    parts += [markdown(tables.correlations(summary.correlations, within), 2) for within in (False, True)]
    return "\n".join(parts)


def _write(path: Path, text: str) -> None:
    with atomic_write(path, overwrite=True) as file:
        file.write(text.encode("utf-8", errors="replace"))  # names may hold bytes that are no text
