"""Luma and a quarter of the chroma, from the colours that were made of them.

Where no channel is clamped a pixel has one Y, C1, C2 or none, and a picture in which many have none was not made this
way. Chroma is what gives that of the pixels around: of a Photo CD that of some pixels is known as it is; that of JPEG
files was smoothed (`unsmoothing`). Where R, G or B was clamped many values are possible: chroma is chosen there
place by place, so that all pixels around have a luma, then changed where some have none. Pixels that are left without
are listed. Pictures cut out of others may begin with the second row, the second column of a pair: what lists fewest of
a small part says.
"""

from __future__ import annotations

import itertools

import numpy as np

from .quarter_chroma import JPEG_420, LISTED, PHOTO_CD, Kind, QuarterChroma
from .unsmoothing import unsmoothed

__all__ = ["to_quarter_chroma"]

SAMPLED = 2**12
"""Pixels that are tried first."""
FITTING = 0.95
"""Share of those that are not clamped that must have a Y, C1, C2."""
FREE = 0.05
"""Share that must not be clamped."""
TRIED = 64
"""Side of the part that says where the picture begins."""
EDGED = 16
"""Side up to which the edges of that part count."""
FEW, WRONG = 0.1, 0.25
"""Shares of its pixels: with so few that have no luma at first nothing else is tried; more must not have none."""
FAR = 64
"""A pixel without a luma counts by how far it is from one, up to here."""
ROUNDS = 4
TOGETHER = 2**9
"""Places whose chroma is changed at a time."""
KEPT = 24
"""Chromas that fit their own pixel best, of which one is chosen by the pixels around."""
VISITED = (0, -1), (-1, -1), (-1, 0), (-1, 1)
"""Places before each in the order in which they are chosen."""
AROUND: tuple[tuple[int, int], ...] = tuple((a, b) for a, b in itertools.product((-1, 0, 1), repeat=2) if a or b)


def _nearest_first(line: range | tuple[int, ...]) -> np.ndarray:
    """Steps of both chromas: [2, n]."""
    return np.array(sorted(itertools.product(line, repeat=2), key=lambda step: step[0] ** 2 + step[1] ** 2)).T


CHOICES = _nearest_first(range(-6, 7))
CHANGES = _nearest_first((0, -1, 1, -2, 2, -5, 5, -12, 12))
FEWER = _nearest_first(range(-2, 3))


def to_quarter_chroma(rgb: np.ndarray) -> QuarterChroma | None:
    """uint8 [h, w, 3] -> what it was made from; None: it was not."""
    colours = rgb.reshape(-1, 3)
    sample = colours[:: max(1, len(colours) // SAMPLED)].astype(np.int32)
    sample, free = sample[_free(sample)], _free(sample).mean()
    if min(rgb.shape[:2]) < 4 or free < FREE:
        return None
    for search in (_PhotoCdSearch, _JpegSearch):
        if _chroma(search.kind, sample)[1].mean() >= FITTING:
            begin, wrong = _begin(search, _part(rgb))
            if wrong <= WRONG:
                found = search(rgb, *begin).found()
                if found is not None and len(found.listed) <= found.luma.size // LISTED:
                    found.changes = (colours - found.rgb().reshape(-1, 3))[found.listed]
                    return found
    return None


def _begin(search: type[_Search], part: np.ndarray) -> tuple[tuple[int, int], float]:
    """down and right, and the share of the part's pixels that have no luma at first; most pictures begin with 0, 0.
    Pixels at its edges do not count: they know of chroma beyond.
    """
    edge = 2 if min(part.shape[:2]) > EDGED else 0
    inside = slice(edge, part.shape[0] - edge), slice(edge, part.shape[1] - edge)
    wrong: dict[tuple[int, int], float] = {}
    for down, right in itertools.product((0, 1), repeat=2):
        wrong[down, right] = search(part, down, right).wrong()[inside].mean()
        if wrong[down, right] < FEW:
            break
    best = min(wrong, key=lambda begin: wrong[begin])
    return best, wrong[best]


def _part(rgb: np.ndarray) -> np.ndarray:
    """The one of a few parts whose colours change most where they are not clamped: smooth chroma might be anything. It
    begins with an even row and an even column.
    """
    height, width = rgb.shape[:2]
    rows, columns = ({max(0, size - TRIED) * n // 4 & ~1 for n in range(5)} for size in (height, width))
    parts = [rgb[y : y + TRIED, x : x + TRIED] for y in sorted(rows) for x in sorted(columns)]
    return max(parts, key=_changes)


def _changes(part: np.ndarray) -> int:
    """How much R - G and B - G differ from pixel to pixel, of those that are not clamped."""
    free, green = _free(part), part[..., 1].astype(np.int32)
    away = sum(np.abs(np.diff(part[..., c] - green, axis=1)) for c in (0, 2))
    return int((away * (free[:, 1:] & free[:, :-1])).sum())


def _free(colours: np.ndarray) -> np.ndarray:
    return ((colours > 0) & (colours < 255)).all(-1)


def _chroma(kind: Kind, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers [n, 3], not clamped -> chroma, int32 [2, n], and whether there is any."""
    none = kind.offsets(np.zeros(2, np.int32))
    unit = (kind.offsets(256 * np.eye(2, dtype=np.int32)) - none) / 256
    away = np.column_stack([np.full(3, kind.luma), unit.T]) / 65536  # of R, G, B by Y, C1, C2
    middle = np.rint(np.linalg.inv(away)[1:] @ (colours + 0.5 - none / 65536).T)
    middle = middle.astype(np.int32)
    found, has = middle.copy(), np.zeros(len(colours), bool)
    left = np.arange(len(colours))
    for step in itertools.product((0, 1, -1), repeat=2):
        tried = middle[:, left] + np.array(step)[:, None]
        fits = _away(kind, colours[left], tried) == 0
        found[:, left[fits]] = tried[:, fits]
        has[left[fits]] = True
        left = left[~fits]
    return found, has


def _lumas(kind: Kind, rgb: np.ndarray, chroma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """rgb: int32 [..., 3]; chroma: [2, ...] -> the least and the largest luma that gives it; none: least is larger."""
    added = kind.offsets(chroma) - (rgb << 16)
    low = np.where(rgb == 0, 0, -(added // kind.luma))
    high = np.where(rgb == 255, 255, (65535 - added) // kind.luma)
    # One by one: numpy is slow where it reduces three at a time.
    least = np.maximum(np.maximum(low[..., 0], low[..., 1]), np.maximum(low[..., 2], 0))
    return least, np.minimum(np.minimum(high[..., 0], high[..., 1]), np.minimum(high[..., 2], 255))


def _away(kind: Kind, rgb: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """How far a pixel is from having a luma: 0, it has one, to FAR."""
    low, high = _lumas(kind, rgb, chroma)
    return (low - high).clip(0, FAR)


class _Search:
    """chroma: int32 [2, rows, columns], of the places that have it. pixels: which of them a place has a share in: how
    many rows and columns from its own, and from the place to the others that have a share. changes: what is tried.
    at_first: the share of pixels that may have no luma before.
    """

    kind: Kind
    pixels: tuple[tuple[int, int, int, int], ...]
    changes: np.ndarray
    at_first: float

    def __init__(self, rgb: np.ndarray, down: int, right: int):
        height, width = rgb.shape[0] + down, rgb.shape[1] + right
        rows, columns = -(-height // 2), -(-width // 2)
        self._begin, self._size = (down, right), (height, width)
        # A pixel more before the first row and column, two behind the last.
        self._rgb = np.zeros((2 * rows + 3, 2 * columns + 3, 3), np.int32)
        self._exists = np.zeros(self._rgb.shape[:2], bool)
        inside = slice(1 + down, 1 + height), slice(1 + right, 1 + width)
        self._rgb[inside], self._exists[inside] = rgb, True
        self._sure = _free(self._rgb) & self._exists
        self._of_pixels = np.zeros((2, *self._sure.shape), np.int32)
        self._of_pixels[:, self._sure], has = _chroma(self.kind, self._rgb[self._sure])
        self._sure[self._sure] = has
        self._known = np.zeros((rows, columns), bool)
        self.chroma = self._started()

    def _started(self) -> np.ndarray:
        """Chroma to begin with."""
        raise NotImplementedError

    @staticmethod
    def mean(pixel: tuple[int, int, int, int], own: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
        """The chroma of a pixel. others: of the places below (or above), beside, and both."""
        raise NotImplementedError

    def wrong(self) -> np.ndarray:
        """Which pixels have no luma so far: bool [h, w]."""
        low, high = self._luma()
        return low > high

    def _choose(self) -> None:
        """Make chroma that is not known better by a first look at it."""

    def found(self) -> QuarterChroma | None:
        """Without the changes of what is listed; None: too many pixels have no luma at first."""
        if self.wrong().mean() > self.at_first:
            return None
        self._choose()
        self._change()
        low, high = self._luma()
        listed = np.flatnonzero(low > high)
        changes = np.zeros((len(listed), 3), np.uint8)
        return QuarterChroma(self.kind, _smooth(low.clip(0, 255), high), self.chroma, *self._begin, listed, changes)

    def _luma(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest of the pixels that exist."""
        inside = tuple(slice(first, size) for first, size in zip(self._begin, self._size, strict=True))
        own = self._rgb[1:-2, 1:-2][inside]
        return _lumas(self.kind, own, self.kind.between(self.chroma)[:, *inside])

    def _doubtful(self) -> np.ndarray:
        """[rows, columns] bool: what is not known where a pixel around has no luma."""
        wrong = np.zeros(self._exists.shape, bool)
        wrong[self._exists] = self.wrong().ravel()
        rows, columns = self._known.shape
        near = np.zeros((rows, columns), bool)
        for y, x in {pixel[:2] for pixel in self.pixels}:
            near |= wrong[1 + y : 1 + y + 2 * rows : 2, 1 + x : 1 + x + 2 * columns : 2]
        return near & ~self._known

    def _change(self) -> None:
        """Change what is not known around pixels without a luma, the nearest values first, while that helps."""
        doubtful = self._doubtful()
        for _ in range(ROUNDS):
            changed = np.zeros(doubtful.shape, np.int32)
            for first in itertools.product((0, 1), repeat=2):
                part = np.zeros_like(doubtful)
                part[first[0] :: 2, first[1] :: 2] = True
                rows, columns = np.nonzero(doubtful & part)
                if len(rows):
                    self._change_some(rows, columns, changed)
            if not changed.any():
                return
            doubtful = (_sums(changed[None])[0] > 0) & ~self._known

    def _change_some(self, rows: np.ndarray, columns: np.ndarray, changed: np.ndarray) -> None:
        """Of places of which no two have a share in one pixel; 1 is put into `changed` where something is."""
        wide = np.pad(self.chroma, ((0, 0), (1, 1), (1, 1)))
        near = {step: wide[:, rows + 1 + step[0], columns + 1 + step[1]] for step in ((0, 0), *AROUND)}
        ends = ((rows == 0, rows == self.chroma.shape[1] - 1), (columns == 0, columns == self.chroma.shape[2] - 1))

        def costs(steps: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            tried = _bounded(self.kind, near[0, 0][:, None, some] + steps[:, :, None])
            cost = np.zeros(tried.shape[1:], np.int32)
            for pixel in self.pixels:
                y, x, a, b = pixel
                # Beyond the edges there is no chroma: pixels have what is before.
                no_row, no_column = (at[step > 0][some] & bool(step) for at, step in zip(ends, (a, b), strict=True))
                below, beside, across = (near[at][:, None, some] for at in ((a, 0), (0, b), (a, b)))
                if no_row.any() or no_column.any():
                    across = np.where(no_row, np.where(no_column, tried, beside), np.where(no_column, below, across))
                    below, beside = np.where(no_row, tried, below), np.where(no_column, tried, beside)
                place = 2 * rows[some] + 1 + y, 2 * columns[some] + 1 + x
                mean = self.mean(pixel, tried, [below, beside, across])
                cost += _away(self.kind, self._rgb[place], mean) * self._exists[place]
            return tried, cost

        bad = np.flatnonzero(costs(self.changes[:, :1], np.arange(len(rows)))[1][0])
        for some in np.array_split(bad, len(bad) // TOGETHER + 1):
            if len(some):
                tried, cost = costs(self.changes, some)
                best = cost.argmin(0)
                self.chroma[:, rows[some], columns[some]] = tried[:, best, np.arange(len(some))]
                changed[rows[some], columns[some]] = best > 0


class _PhotoCdSearch(_Search):
    """The first pixel of four has the chroma of its place."""

    kind = PHOTO_CD
    pixels = tuple((a, b, a, b) for a, b in ((0, 0), *AROUND))
    changes, at_first = CHANGES, 0.5

    @staticmethod
    def mean(pixel: tuple[int, int, int, int], own: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
        below, beside, across = others
        _, _, a, b = pixel
        if a and b:
            return own + below + beside + across + 2 >> 2
        return own + (below if a else beside) + 1 >> 1 if a or b else own

    def _started(self) -> np.ndarray:
        self._known = self._sure[1:-2:2, 1:-2:2]
        return _spread(self._of_pixels[:, 1:-2:2, 1:-2:2], self._known)

    def _choose(self) -> None:
        """From the left to the right and from above, what fits all pixels around whose chroma is chosen."""
        near = self._doubtful().astype(np.int32)[None]
        doubtful = (_sums(_sums(near))[0] > 0) & ~self._known
        decided = np.pad(~doubtful, 1)
        chroma = np.pad(self.chroma, ((0, 0), (1, 1), (1, 1)))
        rows, columns = np.nonzero(doubtful)
        wave = columns + 2 * rows
        order = np.argsort(wave, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(wave[order])) + 1):
            if len(some):
                self._choose_some(chroma, decided, rows[some], columns[some])
        self.chroma = chroma[:, 1:-1, 1:-1].copy()

    def _choose_some(self, chroma: np.ndarray, decided: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
        """Choose those of places of which no two have a share in one pixel. chroma, decided: one more on all sides."""

        def at(kept: np.ndarray, step: tuple[int, int]) -> np.ndarray:
            return kept[..., rows + 1 + step[0], columns + 1 + step[1]]

        count = sum(at(decided, step).astype(np.int32) for step in VISITED)
        total = sum(at(chroma, step) * at(decided, step) for step in VISITED)
        about = np.where(count > 0, total // np.maximum(count, 1), at(chroma, (0, 0)))
        for a, b in AROUND:
            if a == 0 or b == 0:  # a pixel between this place and another that is decided
                y, x = 2 * rows + 1 + a, 2 * columns + 1 + b
                says = self._sure[y, x] & at(decided, (a, b))
                about = np.where(says, 2 * self._of_pixels[:, y, x] - at(chroma, (a, b)), about)
        tried = _bounded(self.kind, about[:, None] + CHOICES[:, :, None])
        own = 2 * rows + 1, 2 * columns + 1
        cost = _away(self.kind, self._rgb[own], tried) * self._exists[own]
        kept = cost.argsort(0, kind="stable")[:KEPT]
        cost = np.take_along_axis(cost, kept, 0)
        tried = np.take_along_axis(tried, kept[None], 1)
        near = {step: at(chroma, step)[:, None] for step in AROUND}
        known = {step: at(decided, step) for step in AROUND}
        means, counts, places = [], [], []
        for pixel in self.pixels[1:]:
            y, x, a, b = pixel
            place = own[0] + y, own[1] + x
            others = [step for step in ((a, 0), (0, b), (a, b)) if any(step)]
            counted = self._exists[place] & np.logical_and.reduce([known[step] for step in others])
            if counted.any():
                means.append(self.mean(pixel, tried, [near.get(step, tried) for step in ((a, 0), (0, b), (a, b))]))
                counts.append(counted)
                places.append(self._rgb[place])
        if means:
            away = _away(self.kind, np.stack(places)[:, None], np.stack(means, 1))
            cost = cost + (away * np.stack(counts)[:, None]).sum(0)
        best = cost.argmin(0)
        chroma[:, rows + 1, columns + 1] = tried[:, best, np.arange(len(rows))]
        decided[rows + 1, columns + 1] = True


class _JpegSearch(_Search):
    """A pixel has nine parts of its own place's chroma, three of the next ones below and beside, one of that across."""

    kind = JPEG_420
    changes, at_first = FEWER, 0.12
    pixels = tuple((y, x, a, b) for (y, a), (x, b) in itertools.product(((0, -1), (1, 1), (-1, -1), (2, 1)), repeat=2))

    @staticmethod
    def mean(pixel: tuple[int, int, int, int], own: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
        below, beside, across = others
        y, x, _, _ = pixel
        here, there = (3, 1) if y in (0, 1) else (1, 3)
        left, right = here * own + there * below, here * beside + there * across
        return (3 * left + right if x in (0, 1) else left + 3 * right) + (7 if x % 2 else 8) >> 4

    def _started(self) -> np.ndarray:
        sure = self._sure[1:-2, 1:-2]
        rows, columns = self._known.shape
        self._known = np.ones((rows, columns), bool)
        for y, x in {pixel[:2] for pixel in self.pixels}:
            self._known &= self._sure[1 + y : 1 + y + 2 * rows : 2, 1 + x : 1 + x + 2 * columns : 2]
        return _bounded(self.kind, unsmoothed(_spread(self._of_pixels[:, 1:-2, 1:-2], sure), sure))


def _spread(chroma: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What is not known gets the mean of what is known around it, ring by ring."""
    sure, chroma = known.copy(), chroma * known
    while sure.any() and not sure.all():
        weight, total = _sums(sure[None].astype(np.int32))[0], _sums(chroma)
        new = ~sure & (weight > 0)
        chroma[:, new] = total[:, new] // weight[new]
        sure |= new
    return chroma


def _bounded(kind: Kind, chroma: np.ndarray) -> np.ndarray:
    shape = (2,) + (1,) * (chroma.ndim - 1)
    return chroma.clip(np.reshape(kind.low, shape), np.reshape(kind.high, shape))


def _sums(values: np.ndarray) -> np.ndarray:
    """[C, h, w] -> of each with the eight around it."""
    wide = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


def _smooth(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Luma from low to high, int32 [h, w], that changes as seldom as possible."""
    luma = low.astype(np.int32)
    high = np.maximum(low, high)
    for y in range(1, len(luma)):
        luma[y, 0] = min(max(luma[y - 1, 0], low[y, 0]), high[y, 0])
    for x in range(1, luma.shape[1]):
        luma[:, x] = np.minimum(np.maximum(luma[:, x - 1], low[:, x]), high[:, x])
    return luma
