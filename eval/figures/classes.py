"""What becomes of single classes: how often each is still recognised, and what it is taken for.

    rows of a task with classes -> ByClass (class, codec, setting), Confusion (class, taken for, codec, setting)

The class of an item is the right one where it is known, else the one that the network sees in the uncompressed item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..codecs.codec import IDENTITY
from ..tasks.task import ItemRow
from .grid import Grid
from .rows import ByClass, Confusion, Point

__all__ = ["by_class", "enough"]


def by_class(grid: Grid, rows: Iterable[ItemRow]) -> tuple[list[ByClass], list[Confusion]]:
    """The rows of a task, at every point; none of a task without classes. rows: those that the grid was made of."""
    kept = set(grid.items)
    own = [row for row in rows if row.source == grid.source and row.item in kept and grid.task in row.answers]
    classes = {
        row.item: row.answers[grid.task].truth or row.answers[grid.task].found for row in own if row.codec == IDENTITY
    }
    if not all(classes.values()):
        return [], []
    counts = Counter((row.codec, row.setting, classes[row.item], row.answers[grid.task].found) for row in own)
    sizes = Counter(classes.values())
    identity = grid.points[grid.identity]
    shares, confusions = [], []
    for codec, setting in grid.points:
        for name, size in sorted(sizes.items()):
            accuracy, before = (counts[(*point, name, name)] / size for point in ((codec, setting), identity))
            shares.append(ByClass(grid.source, grid.task, codec, setting, name, size, accuracy, before))
    order = {point: number for number, point in enumerate(grid.points)}
    for codec, setting, truth, found in sorted(counts, key=lambda key: (order[key[:2]], key[2:])):
        number = counts[codec, setting, truth, found]
        confusions.append(Confusion(grid.source, grid.task, codec, setting, truth, found, number))
    return shares, confusions


def enough(points: Sequence[Point], most: float = 0.01) -> list[Point]:
    """The smallest files of each codec that lose at most so much accuracy, as do all larger ones of it. A codec of
    which even the largest lose more has none. points: of one task; most: 0.01 is one percent point.
    """
    found: dict[str, Point] = {}
    for codec in dict.fromkeys(point.codec for point in points if point.codec != IDENTITY):
        for point in sorted((p for p in points if p.codec == codec), key=lambda p: -p.rate):
            if not point.drop <= most:
                break
            found[codec] = point
    return list(found.values())
