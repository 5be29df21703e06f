"""Section 36 of bitstream/FORMAT.md: bodies of method 7, sample by sample, in plain Python. See `reader`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

import numpy as np

from . import reader

ROOTS = 1048576, 1143480, 1246974, 1359835, 1482910, 1617125, 1763488, 1923097
SEEN = (1, 0), (3, 1), (1, 1), (2, 0), (4, 2), (3, 2), (4, 1), (5, 2)
LEVELS = [ROOTS[2 * (i % 4)] << i // 4 >> 15 for i in range(95)]
SIZES = [(ROOTS[i % 8] << i // 8) >> 12 for i in range(1, 176)]


def clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


class Stack:
    def __init__(self, words: list[int]):
        self.words, self.state = list(words), 0
        self.fill()

    def fill(self) -> None:
        while self.state < 2**32 and self.words:
            self.state = (self.state << 32) + self.words.pop()

    def out(self, count: int) -> int:
        q, p = self.state % 2**24, 2**24 // count
        value = min(q // p, count - 1)
        own = p if value < count - 1 else 2**24 - p * (count - 1)
        self.state = own * (self.state >> 24) + q - p * value
        if self.state < 2**32 and self.words:
            self.state = (self.state << 32) + self.words.pop()
        return value

    def back(self, value: int, count: int) -> None:
        p = 2**24 // count
        own = p if value < count - 1 else 2**24 - p * (count - 1)
        if self.state >> 40 >= own:
            self.words.append(self.state % 2**32)
            self.state >>= 32
        self.state = (self.state // own << 24) + p * value + self.state % own


@cache
def table(size: int, fraction: int) -> list[int]:
    """Slots before each symbol."""
    scale = ROOTS[size % 8] << size // 8
    reach = (10 * scale >> 24) + 5
    count = 2 * reach + 3

    def part(x: int, thousandths: int) -> int:
        n = min(abs(x) * 1000 * 2**29 // (thousandths * scale), len(logistic()) - 1)
        return logistic()[n] if x >= 0 else 2**30 - logistic()[n]

    found = [0]
    for j in range(1, count):
        x = 8 * (j - 1 - reach) - 4 - fraction
        found.append(2 * j + ((3 * part(x, 640) + part(x, 1100)) * (2**16 - 2 * count) >> 32))
    found.append(2**16)
    for j in range(reach + 1, count - 1):
        found[j + 1] = found[j] + evened(found[j + 1] - found[j])
    for j in range(reach, 0, -1):
        found[j] = found[j + 1] - evened(found[j + 1] - found[j])
    return found


def evened(n: int) -> int:
    return 2**24 // -(-(2**24) // n) if 2**11 <= n < 65500 else n


@cache
def logistic() -> list[int]:
    powers = [2**48]
    while powers[-1] >= 2**16:
        powers.append(powers[-1] * 280377609773054 >> 48)
    return [2**78 // (2**48 + p) for p in powers]


def adaptive_samples(body: bytes, height: int, width: int, channels: int, bits: int) -> np.ndarray:
    """[height, width, channels]."""
    demand = reader.demand
    demand(len(body) > 0, "way")
    way, at, peak = body[0], 1, 2**bits - 1
    colour = way & 3
    demand(way < 128 and (colour == 0 or channels == 3) and (colour < 3 or (bits == 8 and not way & 8)), "way")
    if way & 4:
        height, width = width, height
    demand(width > 1, "columns")
    if way & 16:
        fits = way & 11 in (0, 3) and bits == 8 and channels == 3 and min(height, width) > 3
        demand(fits, "quarter")
        return quarter(body, height, width, way >> 5 & 1, way >> 6, colour, bool(way & 4))
    demand(way < 32, "down and right")
    values = None
    if way & 8:
        demand(len(body) >= 5, "values")
        end = 5 + struct.unpack("<I", body[1:5])[0]
        demand(end <= len(body), "values")
        size = channels * 2**bits // 8
        found = reader.inflate(body[5:end], size, "values", "CorruptFile")
        demand(len(found) == size, "values")
        flags = [found[n // 8] >> (7 - n % 8) & 1 for n in range(8 * size)]
        values = [[v for v in range(2**bits) if flags[(c << bits) + v]] for c in range(channels)]
        demand(all(values), "values")
        at = end
    ranges = [(-peak if c and colour in (1, 2) else 0, peak) for c in range(channels)]
    (planes,) = decoded(body, at, ranges, [(channels, height, width)])
    if channels == 3:
        planes = np.stack(colours(planes, colour))
    planes %= 2**bits
    if values is not None:
        planes = np.stack([np.array(v)[np.minimum(p, len(v) - 1)] for v, p in zip(values, planes, strict=True)])
    return planes.transpose(2, 1, 0) if way & 4 else planes.transpose(1, 2, 0)


def decoded(body: bytes, at: int, ranges: list[tuple[int, int]], sizes: list[tuple[int, int, int]]) -> list[np.ndarray]:
    """ranges: of each plane what low and high lie between; sizes: [C, H, W] of the planes that are coded together."""
    demand, channels = reader.demand, len(ranges)
    demand(len(body) >= at + 8 * channels + 2, "length")
    ends = struct.unpack(f"<{2 * channels}i", body[at : at + 8 * channels])
    low, high = ends[:channels], ends[channels:]
    for (least, peak), a, b in zip(ranges, low, high, strict=True):
        demand(least <= a <= b <= peak, "low and high")
    at += 8 * channels
    (k,) = struct.unpack("<H", body[at : at + 2])
    demand(k > 0 and len(body) > at + 2 and (len(body) - at - 2) % 4 == 0, "words")
    words = list(struct.unpack(f"<{(len(body) - at - 2) // 4}I", body[at + 2 :]))
    demand(words[-1] != 0, "words")
    stack, out, first = Stack(words), [], 0
    for count, height, width in sizes:
        part = slice(first, first + count)
        out.append(Planes(stack, height, width, low[part], high[part]).decoded())
        first += count
    seed = Stack([2**31 + n for n in range(k)])
    demand((stack.state, stack.words) == (seed.state, seed.words), "end of the stack")
    return out


def quarter(body: bytes, height: int, width: int, down: int, right: int, colour: int, turned: bool) -> np.ndarray:
    """height, width: of the planes as they are coded."""
    demand = reader.demand
    demand(len(body) >= 5, "listed pixels")
    end = 5 + struct.unpack("<I", body[1:5])[0]
    demand(end <= len(body), "listed pixels")
    most = 7 * (height * width // 16)
    listed = reader.inflate(body[5:end], most, "listed pixels", "CorruptFile")
    demand(len(listed) % 7 == 0, "listed pixels")
    count, numbers = len(listed) // 7, []
    for n in range(count):
        ahead = sum(listed[n + part * count] << 8 * part for part in range(4))
        demand(ahead > 0 or n == 0, "listed pixels")
        numbers.append(ahead + (numbers[-1] if n else 0))
        demand(numbers[-1] < height * width, "listed pixels")
    size = height, width
    if turned:
        height, width = width, height
    rows, columns = (height + down + 1) // 2, (width + right + 1) // 2
    half = (columns, rows) if turned else (rows, columns)
    ranges = [(0, 255), (-128, 127), (-128, 127)] if colour else [(0, 255), (-156, 99), (-137, 118)]
    (luma,), chroma = decoded(body, end, ranges, [(1, *size), (2, *half)])
    if turned:
        luma, chroma = luma.T, chroma.transpose(0, 2, 1)
    out = np.zeros((height * width, 3), np.int64)

    def mean(plane: np.ndarray, i: int, j: int) -> int:
        around = [
            int(plane[min(p, rows - 1), min(q, columns - 1)])
            for p in range(i // 2, i // 2 + i % 2 + 1)
            for q in range(j // 2, j // 2 + j % 2 + 1)
        ]
        return (sum(around) + len(around) // 2) // len(around)

    def smoothed(plane: np.ndarray, i: int, j: int) -> int:
        def line(q: int) -> int:
            q = clamp(q, 0, columns - 1)
            return 3 * int(plane[i // 2, q]) + int(plane[clamp(i // 2 + 2 * (i % 2) - 1, 0, rows - 1), q])

        return (3 * line(j // 2) + line(j // 2 + 2 * (j % 2) - 1) + 8 - j % 2) >> 4

    for r in range(height):
        for x in range(width):
            of_pixel = smoothed if colour else mean
            u, v = (of_pixel(plane, r + down, x + right) for plane in chroma)
            a = int(luma[r, x])
            if colour:
                parts = np.array([[a], [u + 128], [v + 128]])
                out[r * width + x] = [int(part[0]) for part in colours(parts, 3)]
                continue
            blue, red, a = 145352 * u, 119374 * v, 89024 * a
            green = -12714 * (blue >> 16) - 33358 * (red >> 16)
            out[r * width + x] = [clamp(part >> 16, 0, 255) for part in (a + red, a + green, a + blue)]
    for n, number in enumerate(numbers):
        out[number] = (out[number] + [listed[(4 + c) * count + n] for c in range(3)]) % 256
    return out.reshape(height, width, 3)


def colours(planes: np.ndarray, colour: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, c = planes
    if colour == 0:
        return b, a, c
    if colour == 2:
        return a + b, a, a + c
    if colour == 1:  # section 16
        t = a - (c >> 1)
        blue = t - (b >> 1)
        return blue + b, c + t, blue
    u, v = b - 128, c - 128
    red, blue = a + (91881 * v + 2**15 >> 16), a + (116130 * u + 2**15 >> 16)
    green = a + (-22554 * u - 46802 * v + 2**15 >> 16)
    return tuple(p.clip(0, 255) for p in (red, green, blue))  # pyright: ignore[reportReturnType]


class Planes:
    def __init__(self, stack: Stack, height: int, width: int, low: tuple[int, ...], high: tuple[int, ...]):
        self.stack, self.height, self.width, self.low, self.high = stack, height, width, low, high
        channels = len(low)
        self.doubled: dict[tuple[int, int, int], int] = {}
        """(plane, step, lane) -> 2 s."""
        self.errors: dict[tuple[int, int, int], int] = {}
        self.d: dict[tuple[int, int, int], int] = {}
        self.fares: dict[tuple[int, int, int], int] = {}
        self.weights: dict[tuple[int, int], list[int]] = {}
        self.own: dict[tuple[int, int], np.ndarray] = {}
        self.above: dict[tuple[int, int], np.ndarray] = {}
        begin = [16, *LEVELS]
        self.inverse = [2**24 // (g // 48 + 16) for g in begin]
        self.sum = {
            (c, q, f): 4 * (g // 56 + 1) for c in range(channels) for q, g in enumerate(begin) for f in range(3)
        }
        self.count = dict.fromkeys(self.sum, 4)
        self.size = self.sizes()

    def sizes(self) -> dict[tuple[int, int, int], int]:
        return {kind: sum(256 * total // self.count[kind] >= end for end in SIZES) for kind, total in self.sum.items()}

    def lanes(self, c: int, t: int) -> list[int]:
        return [r + c for r in range(self.height) if 0 <= t - 2 * (r + c) < self.width]

    def there(self, kept: dict[tuple[int, int, int], int], c: int, t: int, lane: int, otherwise: int) -> int:
        known = self.lanes(c, t) if t >= 0 else []
        return kept[c, t, min(max(lane, known[0]), known[-1])] if known else otherwise

    def around(self, c: int, t: int, lane: int) -> tuple[Callable[[int, int], int], Callable[[int, int], int]]:
        """2 s[i, j] and e[i, j]."""
        middle = self.low[c] + self.high[c]
        return (
            lambda i, j: self.there(self.doubled, c, t - i, lane - j, middle),
            lambda i, j: self.there(self.errors, c, t - i, lane - j, 16),
        )

    def decoded(self) -> np.ndarray:
        channels = len(self.low)
        out = np.zeros((channels, self.height, self.width), np.int64)
        zeros = np.zeros((10, 10), np.int64)
        recent = []
        for t in range(self.width + 2 * (self.height + channels - 2)):
            where = [(c, lane) for c in range(channels) for lane in self.lanes(c, t)]
            facts = []
            for c, lane in where:
                s, e = self.around(c, t, lane)

                mean = (s(1, 0) + s(2, 1)) >> 1
                z = [s(i, j) - mean for i, j in SEEN]
                before = c - 1, t - 2, lane - 1
                z.append(self.d[before] if c else s(2, 2) - mean)
                expected = 5 * (2 * (e(1, 0) + e(2, 1)) + e(1, 1) + e(2, 0) + e(4, 2))
                expected += 3 * (e(3, 0) + e(3, 1) + e(4, 1) + e(3, 2) + e(6, 3)) + 40 * max(abs(z[0]), abs(z[1]))
                q = sum(expected >= end for end in LEVELS)
                if t % 2 == 0:
                    sums = self.own.get((c, lane), zeros)
                    if lane > c:
                        sums = sums + self.above[c, lane - 1]
                    self.weights[c, lane] = solved(sums)
                w = self.weights[c, lane]
                m = 8 * mean + (sum(a * b for a, b in zip(w, z, strict=True)) >> 9)
                m = clamp(m, 16 * self.low[c], 16 * self.high[c])
                kind = c, q, self.fares[before] if c else 0
                facts.append((mean, z, expected, q, m, kind))
            kinds = [(m, self.size[kind]) for *_, m, kind in facts]
            samples = self.coded([(*k, self.low[c], self.high[c]) for (c, _), k in zip(where, kinds, strict=True)])
            above = {key: sums.copy() for key, sums in self.above.items()}
            for (c, lane), (mean, z, expected, q, m, kind), sample in zip(where, facts, samples, strict=True):
                out[c, lane - c, t - 2 * lane] = sample
                key = c, t, lane
                self.doubled[key], self.d[key] = 2 * sample, 2 * sample - mean
                error = self.errors[key] = abs(16 * sample - m)
                self.fares[key] = (error > expected >> 7) + (error > expected >> 5)
                u = np.array([clamp(n * self.inverse[q] >> 17, -2047, 2047) for n in [*z, self.d[key]]])
                own = self.own.get((c, lane), zeros)
                own = self.own[c, lane] = own - (own >> 4) + np.outer(u, u)
                total = own + (above[c, lane - 1] if lane > c else zeros)
                self.above[c, lane] = total - (total >> 2)
                recent.append((kind, error))
            if (t + 1) % 8 == 0:
                for kind, error in recent:
                    self.sum[kind] += error
                    self.count[kind] += 1
                recent = []
                for kind in [kind for kind, count in self.count.items() if count > 512]:
                    self.sum[kind] >>= 1
                    self.count[kind] >>= 1
                self.size = self.sizes()
        return out

    def coded(self, cases: list[tuple[int, int, int, int]]) -> list[int]:
        """(m, size, low, high) of the samples of a step -> the samples."""
        slots = [self.stack.out(2**16) for _ in cases]
        rests, found, escaped, low_bits = [], [], [], []
        for n, ((m, size, low, high), slot) in enumerate(zip(cases, slots, strict=True)):
            h = max(0, (size - 56) // 8)
            m = (m - 8 * (2**h - 1)) >> h
            sums = table(size - 8 * h, m // 2 % 8)
            last = len(sums) - 2
            o = (m >> 4) - last // 2
            least, most = max(0, (low >> h) - o), min(last, (high >> h) - o)
            j = max(least, min(most, next(j for j in range(last + 1) if slot < sums[j + 1])))
            start, end = (0 if j == least else sums[j]), (2**16 if j == most else sums[j + 1])
            rests.append((slot - start, end - start))
            found.append(o + j)
            if j in (0, last):
                escaped.append((n, -1 if j == 0 else 1))
            if h:
                low_bits.append((n, h))
        for rest, count in reversed(rests):
            self.stack.back(rest, count)
        lengths = [min(20, self.stack.out(32)) for _ in escaped]
        for (n, sign), length in zip(escaped, lengths, strict=True):
            found[n] += sign * (2**length + (self.stack.out(2**length) if length else 0) - 1)
        for value, (_, size, low, high) in zip(found, cases, strict=True):
            h = max(0, (size - 56) // 8)
            reader.demand(low >> h <= value <= high >> h, "a sample out of range")
        for n, h in low_bits:
            found[n] = (found[n] << h) + self.stack.out(2**h)
        return found


def solved(sums: np.ndarray) -> list[int]:
    a = [[float(sums[max(i, j), min(i, j)]) + (256.0 if i == j else 0.0) for j in range(10)] for i in range(9)]
    for k in range(8):
        for i in range(k + 1, 9):
            share = a[i][k] / a[k][k]
            for j in range(k + 1, 10):
                a[i][j] -= share * a[k][j]

    def weights(count: int) -> list[float]:
        y = [row[9] for row in a[:count]]
        for k in reversed(range(count)):
            y[k] /= a[k][k]
            for i in range(k):
                y[i] -= a[i][k] * y[k]
        return y

    three = [*weights(3), *[0.0] * 6]
    return [clamp(round(3072 * y) + round(1024 * x), -32767, 32767) for y, x in zip(weights(9), three, strict=True)]
