"""What a Photo CD held, from the colours that were made of it.

Where no channel is clamped a pixel has one Y, C1, C2 or none, and a picture in which many have none was not made this
way. Which rows and columns have chroma is what the chroma between them says. Where R, G or B was clamped many values
are possible: chroma is chosen there, place by place, so that all pixels around have a luma, then changed where some
have none. Pixels that are left without are listed. A picture cut out of another may begin between chromas.
"""

from __future__ import annotations

import itertools

import numpy as np

from .photo_cd import BLUE, C_HIGH, C_LOW, GREEN, LISTED, LUMA, RED, PhotoCd, between, offsets

__all__ = ["to_photo_cd"]

SAMPLED = 2**12
"""Pixels that are tried first."""
FITTING = 0.95
"""Share of those that are not clamped that must have a Y, C1, C2."""
FREE = 0.05
"""Share that must not be clamped."""
SAYING = 32
"""Pixels that must say where chroma is."""
FAR = 64
"""A pixel without a luma counts by how far it is from one, up to here."""
ROUNDS = 6
KEPT = 48
"""Chromas that fit their own pixel best, of which one is chosen by the pixels around."""
VISITED = (0, -1), (-1, -1), (-1, 0), (-1, 1)
"""Places before each in the order in which they are chosen."""
AROUND = tuple(step for step in itertools.product((-1, 0, 1), repeat=2) if any(step))


def _nearest_first(line: range | tuple[int, ...]) -> np.ndarray:
    """Steps of both chromas: [2, n]."""
    return np.array(sorted(itertools.product(line, repeat=2), key=lambda step: step[0] ** 2 + step[1] ** 2)).T


CHOICES = _nearest_first(range(-9, 10))
CHANGES = _nearest_first((0, -1, 1, -2, 2, -5, 5, -12, 12))


def to_photo_cd(rgb: np.ndarray) -> PhotoCd | None:
    """uint8 [h, w, 3] -> what it was made from; None: it was not."""
    colours = rgb.reshape(-1, 3)
    sample = colours[:: max(1, len(colours) // SAMPLED)]
    free = _free(sample)
    if min(rgb.shape[:2]) < 4 or free.mean() < FREE or _chroma(sample[free])[1].mean() < FITTING:
        return None
    begins = itertools.product(*(_begins(np.moveaxis(rgb, axis, 0)) for axis in (0, 1)))
    found = min((_begun(rgb, *begin) for begin in begins), key=lambda found: len(found.listed))
    if len(found.listed) > found.luma.size // LISTED:
        return None
    found.changes = (colours - found.rgb().reshape(-1, 3))[found.listed]
    return found


def _begun(rgb: np.ndarray, down: int, right: int) -> PhotoCd:
    """What it was made from, if it begins there, without changes."""
    search = _Search(rgb, down, right)
    search.choose()
    search.change()
    low, high = (end[down:, right:] for end in search.luma())
    luma = _smooth(low.clip(0, 255), high)
    listed = np.flatnonzero(low > high)
    return PhotoCd(luma, search.chroma, down, right, listed, np.zeros((len(listed), 3), np.uint8))


def _free(colours: np.ndarray) -> np.ndarray:
    return ((colours > 0) & (colours < 255)).all(-1)


def _chroma(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers [n, 3], not clamped -> chroma, int32 [2, n], and whether there is any."""
    red, green, blue = ((colours[:, c] + 0.5) for c in range(3))
    first, second = (part / 65536 for part in GREEN)
    luma = (green + first * blue + second * red) / (1 + first + second)
    middle = np.rint(np.stack([(blue - luma) * (65536 / BLUE), (red - luma) * (65536 / RED)])).astype(np.int32)
    found, has = middle.copy(), np.zeros(len(colours), bool)
    left = np.arange(len(colours))
    for step in itertools.product((0, 1, -1), repeat=2):
        tried = middle[:, left] + np.array(step)[:, None]
        fits = _away(colours[left].astype(np.int32), tried) == 0
        found[:, left[fits]] = tried[:, fits]
        has[left[fits]] = True
        left = left[~fits]
    return found, has


def _lumas(rgb: np.ndarray, chroma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """rgb: int32 [..., 3]; chroma: [2, ...] -> the least and the largest luma that gives it; none: least is larger."""
    added = offsets(chroma) - (rgb << 16)
    low = np.where(rgb == 0, 0, -(added // LUMA)).max(-1)
    high = np.where(rgb == 255, 255, (65535 - added) // LUMA).min(-1)
    return np.maximum(low, 0), np.minimum(high, 255)


def _away(rgb: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """How far a pixel is from having a luma: 0, it has one, to FAR."""
    low, high = _lumas(rgb, chroma)
    return (low - high).clip(0, FAR)


def _begins(lines: np.ndarray) -> tuple[int, ...]:
    """uint8 [n, m, 3] -> 0 if lines 0, 2, ... have chroma, 1 if 1, 3, ..., as those between say; both if few do."""
    lines = lines[:, :: max(1, lines.shape[0] * lines.shape[1] // (16 * SAMPLED)) | 1]
    found, has = _chroma(lines.reshape(-1, 3))
    known = (has & _free(lines.reshape(-1, 3))).reshape(lines.shape[:2])
    found = found.reshape(2, *known.shape)
    mean = (found[:, :-2] + found[:, 2:] + 1 >> 1 == found[:, 1:-1]).all(0)
    counted = known[:-2] & known[1:-1] & known[2:] & (np.abs(found[:, :-2] - found[:, 2:]).sum(0) > 1)
    say = [int((mean & counted)[at::2].sum()) for at in (0, 1)]
    share = [say[at] / max(1, counted[at::2].sum()) for at in (0, 1)]
    return (0, 1) if max(say) < SAYING else (int(share[1] > share[0]),)


class _Search:
    """chroma: int32 [2, rows, columns], of the places that have it."""

    def __init__(self, rgb: np.ndarray, down: int, right: int):
        # One pixel more on all sides, of which a place has eight around it.
        height, width = rgb.shape[0] + down, rgb.shape[1] + right
        rows, columns = -(-height // 2), -(-width // 2)
        self._size = height, width
        self._rgb = np.zeros((2 * rows + 1, 2 * columns + 1, 3), np.int32)
        self._exists = np.zeros(self._rgb.shape[:2], bool)
        inside = slice(1 + down, 1 + height), slice(1 + right, 1 + width)
        self._rgb[inside], self._exists[inside] = rgb, True
        self._sure = _free(self._rgb) & self._exists
        self._of_pixels = np.zeros((2, *self._sure.shape), np.int32)
        self._of_pixels[:, self._sure], has = _chroma(self._rgb[self._sure])
        self._sure[self._sure] = has
        self._known = self._sure[1::2, 1::2]
        self.chroma = self._of_pixels[:, 1::2, 1::2].copy()
        self._spread()

    def luma(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest of all pixels."""
        height, width = self._size
        return _lumas(self._rgb[1 : 1 + height, 1 : 1 + width], between(self.chroma, height, width))

    def _spread(self) -> None:
        """Give what is not known the mean of what is known around it, ring by ring."""
        sure = self._known.copy()
        self.chroma *= sure
        while sure.any() and not sure.all():
            weight, total = _sums(sure[None].astype(np.int32))[0], _sums(self.chroma)
            new = ~sure & (weight > 0)
            self.chroma[:, new] = total[:, new] // weight[new]
            sure |= new

    def _doubtful(self) -> np.ndarray:
        """[rows, columns] bool: what is not known where a pixel around has no luma."""
        low, high = self.luma()
        wrong = np.zeros(self._exists.shape, np.int32)
        wrong[1 : 1 + low.shape[0], 1 : 1 + low.shape[1]] = low > high
        return (_sums((wrong * self._exists)[None])[0, 1::2, 1::2] > 0) & ~self._known

    def choose(self) -> None:
        """From the left to the right and from above, what fits all pixels around of which the chroma is chosen."""
        near = self._doubtful().astype(np.int32)[None]
        doubtful = (_sums(_sums(near))[0] > 0) & ~self._known
        decided = np.pad(~doubtful, 1)
        chroma = np.pad(self.chroma, ((0, 0), (1, 1), (1, 1)))
        rows, columns = np.nonzero(doubtful)
        wave = columns + 2 * rows
        order = np.argsort(wave, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(wave[order])) + 1):
            if len(some):
                self._choose(chroma, decided, rows[some], columns[some])
        self.chroma = chroma[:, 1:-1, 1:-1].copy()

    def _choose(self, chroma: np.ndarray, decided: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
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
        tried = _bounded(about[:, None] + CHOICES[:, :, None])
        cost = _away(self._rgb[2 * rows + 1, 2 * columns + 1], tried) * self._exists[2 * rows + 1, 2 * columns + 1]
        kept = cost.argsort(0, kind="stable")[:KEPT]
        cost = np.take_along_axis(cost, kept, 0)
        tried = np.take_along_axis(tried, kept[None], 1)
        for a, b in AROUND:
            counted = at(decided, (a, b)) & self._exists[2 * rows + 1 + a, 2 * columns + 1 + b]
            if a and b:
                counted &= at(decided, (a, 0)) & at(decided, (0, b))
            if counted.any():
                pixel = _mean(
                    tried, at(chroma, (a, 0))[:, None], at(chroma, (0, b))[:, None], at(chroma, (a, b))[:, None], a, b
                )
                cost = cost + _away(self._rgb[2 * rows + 1 + a, 2 * columns + 1 + b], pixel) * counted
        best = cost.argmin(0)
        chroma[:, rows + 1, columns + 1] = tried[:, best, np.arange(len(rows))]
        decided[rows + 1, columns + 1] = True

    def change(self) -> None:
        """Change what is not known around pixels without a luma, the nearest values first, while that helps."""
        doubtful = self._doubtful()
        for _ in range(ROUNDS):
            changed = np.zeros(doubtful.shape, np.int32)
            for first in itertools.product((0, 1), repeat=2):
                part = np.zeros_like(doubtful)
                part[first[0] :: 2, first[1] :: 2] = True
                rows, columns = np.nonzero(doubtful & part)
                if len(rows):
                    self._change(rows, columns, changed)
            if not changed.any():
                return
            doubtful = (_sums(changed[None])[0] > 0) & ~self._known

    def _change(self, rows: np.ndarray, columns: np.ndarray, changed: np.ndarray) -> None:
        """Of places of which no two have a share in one pixel; 1 is put into `changed` where something is."""
        wide = np.pad(self.chroma, ((0, 0), (1, 1), (1, 1)), "edge")
        near = {step: wide[:, rows + 1 + step[0], columns + 1 + step[1]] for step in ((0, 0), *AROUND)}
        last = rows == self.chroma.shape[1] - 1, columns == self.chroma.shape[2] - 1
        best, chosen = np.full(len(rows), 2**30), near[0, 0].copy()
        left = np.arange(len(rows))
        for step in CHANGES.T:
            tried = _bounded(near[0, 0][:, left] + step[:, None])
            y, x = 2 * rows[left] + 1, 2 * columns[left] + 1
            cost = _away(self._rgb[y, x], tried) * self._exists[y, x]
            for a, b in AROUND:
                # Beyond the last row and column there is no chroma: pixels have what is before.
                below, beside, across = (near[at][:, left] for at in ((a, 0), (0, b), (a, b)))
                no_row, no_column = last[0][left] & (a == 1), last[1][left] & (b == 1)
                across = np.where(
                    no_row & no_column, tried, np.where(no_row, beside, np.where(no_column, below, across))
                )
                below, beside = np.where(no_row, tried, below), np.where(no_column, tried, beside)
                pixel = _mean(tried, below, beside, across, a, b)
                cost += _away(self._rgb[y + a, x + b], pixel) * self._exists[y + a, x + b]
            better = cost < best[left]
            best[left[better]] = cost[better]
            chosen[:, left[better]] = tried[:, better]
            left = left[best[left] > 0]
            if not len(left):
                break
        changed[rows, columns] = (chosen != near[0, 0]).any(0)
        self.chroma[:, rows, columns] = chosen


def _mean(own: np.ndarray, below: np.ndarray, beside: np.ndarray, across: np.ndarray, a: int, b: int) -> np.ndarray:
    """The chroma of the pixel that lies a rows and b columns (-1, 0, 1) from a place with chroma `own`."""
    if a and b:
        return own + below + beside + across + 2 >> 2
    return own + (below if a else beside) + 1 >> 1


def _bounded(chroma: np.ndarray) -> np.ndarray:
    shape = (2,) + (1,) * (chroma.ndim - 1)
    return chroma.clip(np.reshape(C_LOW, shape), np.reshape(C_HIGH, shape))


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
