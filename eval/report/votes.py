"""The page to vote in: two crops without names, the original behind a key, and the sum of all votes.

    trials -> data in a template (votes.html, page.css, votes.css, votes.js) -> one HTML file

A trial is two decoded crops of equal bytes. Which of them is left, and the order of trials, are drawn by chance when
the page is opened. The sum is shown when it is asked for; which codec was which only when all votes are in. Votes stay
in the page and, where the browser allows it, in its storage for this page; they can be saved as a table.

Guarantees: those of `self_contained`. What the reader sees before the end names no codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

from ...bitstream import atomic_write
from ..quality._extras import extra
from .self_contained import json_in_html, part, policy_of, template_of

__all__ = ["Side", "Trial", "write_votes"]


@dataclass(frozen=True)
class Side:
    """codec: its name; bytes: of the whole file; image: data: URI of the crop."""

    codec: str
    bytes: int
    image: str


@dataclass(frozen=True)
class Trial:
    """name: of the file; rate: bits a pixel that were asked for; place: column and row of the crop; ours, rival: the
    two; original: data: URI; width, height: of the crop.
    """

    name: str
    rate: float
    place: tuple[int, int]
    ours: Side
    rival: Side
    original: str = ""
    width: int = 0
    height: int = 0

    def of(self, original: str, width: int, height: int) -> Trial:
        return replace(self, original=original, width=width, height=height)

    def sides(self) -> dict[str, Side]:
        return {"ours": self.ours, "rival": self.rival}


def write_votes(path: Path, trials: Sequence[Trial], codecs: Sequence[tuple[str, str]], *, overwrite: bool) -> None:
    """Write the page. codecs: name and description of each, the one under test first. Raises OutputExists, OSError."""
    images: dict[str, int] = {}  # each once: the codec under test often has one file for several rivals

    def placed(image: str) -> int:
        return images.setdefault(image, len(images))

    rows = []
    for trial in trials:
        sides = {name: {**asdict(side), "image": placed(side.image)} for name, side in trial.sides().items()}
        rows.append({**asdict(trial), **sides, "original": placed(trial.original)})
    script = f'"use strict";\n(() => {{\n{part("votes.js")}}})();\n'
    data = {"trials": rows, "images": list(images)}
    text = json_in_html(data)
    # Votes that a browser kept are of this page alone.
    text = json_in_html({**data, "key": f"votes-{blake2b(text.encode(), digest_size=8).hexdigest()}"})
    safe = extra("markupsafe").Markup
    page = template_of("votes.html").render(
        policy=policy_of(script),
        style=safe(part("page.css") + part("votes.css")),
        script=safe(script),
        data=safe(text),
        trials=len(trials),
        crops=len({(trial.name, trial.place) for trial in trials}),
        rates=[f"{rate:g}" for rate in sorted({trial.rate for trial in trials})],
        codecs=codecs,
    )
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(page.encode("utf-8", errors="replace"))  # names may hold bytes that are no text
