"""FORMAT.md, section 32, read by itself: latents of models with levels above z. As independent as `reader`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .reader import LecFile, Model, RangeDecoder, blake, demand, layer, read_group, shuffle

__all__ = ["nested_digest", "nested_latents"]


class _Level(Model):
    """A level of a nest: its own tensors, and those of the level above."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        self.tensors = {name: a for name, a in tensors.items() if not name.startswith("above.")}
        rest = {name[6:]: a for name, a in tensors.items() if name.startswith("above.")}
        self.above = _Level(rest) if rest else None

    def parse_digest(self) -> bytes:
        if self.above is None:
            return super().parse_digest()
        edge = 2**self.reach
        text = (
            f'{{"above": "{self.above.parse_digest().hex()}", "activation": [8, 8191], "gain": [10, 16383], '
            f'"kernels": [3, 1, 3, 1, 1], "mean": [6, {-edge}, {edge - 1}], "model": "mean-scale hyperprior 0", '
            '"weight": 12, "z": [-255, 255]}'
        ).encode()
        for name, tensor in sorted(self.tensors.items()):
            text += f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode() + tensor.tobytes()
        return blake(text)

    def read(self, coder: RangeDecoder, q: int, h: int, w: int) -> list[np.ndarray]:
        """The levels, coarsest first, of a last one of h x w."""
        t, edge = self.tensors, 2**self.reach
        count, m = t["h_s.0.weight"].shape[1] // 9, t["h_s.4.weight"].shape[0] // 2
        size = -(-h // 4), -(-w // 4)
        if self.above is not None:
            levels, fraction = self.above.read(coder, q, *size), 6
        else:
            numbers = np.repeat((q // 256) * 8 // 64 * count + np.arange(count), size[0] * size[1])
            levels, fraction = [read_group(coder, self.tables("z"), numbers).reshape(count, *size)], 0

        r = min(q // 256, 62)
        e = q - 256 * r

        def row(name: str) -> np.ndarray:
            v = t[name].astype(np.int64)
            return (v[r] * (256 - e) + v[r + 1] * e + 128) // 256

        def run(n: int, a: np.ndarray, kernel: int, span: tuple[int, int], shift: int, gain: str = "") -> np.ndarray:
            weight = t[f"h_s.{n}.weight"]
            g = row(gain) if gain else np.full(len(weight), 1024)
            f = row("offset") if n == 4 else np.zeros(len(weight), np.int64)
            out = (-edge, edge - 1) if n == 4 else (0, 8191)
            return layer(a, weight, t[f"h_s.{n}.bias"], kernel, *span, shift, g, f, *out)

        limits, hidden = (-255 * 2**fraction, 255 * 2**fraction), (0, 8191)
        a = shuffle(run(1, run(0, levels[-1], 3, limits, 14 + fraction, "gain.0"), 1, hidden, 22))
        a = shuffle(run(3, run(2, a, 3, hidden, 22, "gain.1"), 1, hidden, 22))
        a = run(4, a, 1, hidden, 24, "gain.2")
        value, number = a[:m, :h, :w].copy(), np.clip((a[m:, :h, :w] + 32) >> 6, 0, self.last_table).reshape(-1)
        found = np.flatnonzero(number)
        flat = value.reshape(-1)
        flat[found] += 64 * read_group(coder, self.tables("y"), number[found])
        return [*levels, flat.reshape(m, h, w)]


def nested_digest(path: Path) -> bytes:
    return _Level(Model(path).tensors).parse_digest()


def nested_latents(path: Path, file: LecFile, tile: int) -> list[np.ndarray]:
    """All levels of a tile, coarsest first, their digest compared."""
    _, _, width, height = file.boxes[tile]
    digest, coded = file.data[tile]
    coder = RangeDecoder(coded)
    levels = _Level(Model(path).tensors).read(coder, file.header["quality"], -(-height // 16), -(-width // 16))
    demand(blake(b"".join(level.astype("<i4").tobytes() for level in levels)) == digest, "digest of latents")
    demand(not coder.words, "data left over")
    return levels
