"""FORMAT.md, section 35, read by itself: vectors, and references moved by them. As independent as `reader`."""

from __future__ import annotations

import numpy as np

from .reader import RangeDecoder, demand
from .replica_reader import Replica

TAPS = (1, -5, 20, 20, -5, 1)


def adapted(weights: list[int]) -> list[int]:
    """Section 14: counts of a row."""
    total = sum(weights)
    up = 29 - total.bit_length()
    running = np.cumsum([w << up for w in weights]).tolist()
    m, whole = len(weights), running[-1]
    edges = [0, *(r * (2**24 - m) // whole for r in running)]
    return [1 + b - a for a, b in zip(edges, edges[1:], strict=False)]


def read_vectors(coder: RangeDecoder, fields: int, rows: int, columns: int) -> list[np.ndarray]:
    counts = {(part, same): [1] * 10 for part in (0, 1) for same in (False, True)}
    found = []
    for _ in range(fields):
        v = np.zeros((rows, columns, 2), int)
        for i in range(rows):
            for j in range(columns):
                left = v[i, j - 1] if j else v[i - 1, 0] if i else np.zeros(2, int)
                above = v[i - 1, j] if i else left
                k = j + 1 if j + 1 < columns else max(j - 1, 0)
                corner = v[i - 1, k] if i else left
                same = bool((left == above).all())
                for part in (0, 1):
                    weights = counts[part, same]
                    n = coder.symbol(adapted(weights))
                    weights[n] += 24
                    d = 0
                    if n:
                        u = coder.uniform(n)
                        d = 2 ** (n - 1) + u // 2
                        d = -d if u % 2 else d
                    v[i, j, part] = int(np.median([left[part], above[part], corner[part]])) + d
                    demand(abs(v[i, j, part]) <= 128, "a vector")
        found.append(v)
    return found


def moved_picture(picture: np.ndarray, v: np.ndarray) -> np.ndarray:
    """picture [H, W, 3] -> each block of 32 x 32 from where its vector says, pixel by pixel."""
    h, w = picture.shape[:2]
    out = picture.copy()
    for i in range(v.shape[0]):
        for j in range(v.shape[1]):
            down, right = (int(n) for n in v[i, j])
            if not (down or right):
                continue
            y = np.arange(32 * i, min(32 * i + 32, h)) + down // 2
            x = np.arange(32 * j, min(32 * j + 32, w)) + right // 2

            def at(dy: int, dx: int, y=y, x=x) -> np.ndarray:
                return picture[np.clip(y + dy, 0, h - 1)[:, None], np.clip(x + dx, 0, w - 1)]

            def across(dx: int, at=at, down=down) -> np.ndarray:
                if down % 2 == 0:
                    return at(0, dx)
                return np.clip((sum(t * at(n - 2, dx) for n, t in enumerate(TAPS)) + 16) >> 5, 0, 255)

            if right % 2 == 0:
                part = across(0)
            else:
                part = np.clip((sum(t * across(n - 2) for n, t in enumerate(TAPS)) + 16) >> 5, 0, 255)
            out[32 * i : 32 * i + 32, 32 * j : 32 * j + 32] = part
    return out


def moved_reference(replica: Replica, fine: np.ndarray, quality: int, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """fine: y_hat of a reference at the group's quality -> y of the moved picture, and where it counts, [h, w]."""
    picture = replica.synthesis(fine, quality, 255, False)
    h, w = fine.shape[1:]
    where = (v != 0).any(-1).repeat(2, 0).repeat(2, 1)[:h, :w]
    return replica.analysis(moved_picture(picture, v), quality), where
