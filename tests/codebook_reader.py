"""FORMAT.md, section 33, read by itself: latents of codebooks. As independent as `reader`."""

from __future__ import annotations

import numpy as np

from .reader import LecFile, Model, RangeDecoder, blake, demand, read_group

__all__ = ["codebook_digest", "codebook_latents"]


def codebook_digest(model: Model) -> bytes:
    text = b'{"bits": [10, 10, 6], "model": "codebooks 0", "sizes": 4}'
    for name, tensor in sorted(model.tensors.items()):
        text += f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode() + tensor.tobytes()
    return blake(text)


def codebook_latents(model: Model, file: LecFile, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers and y_hat of a tile, their digest compared."""
    t, q = model.tensors, file.header["quality"]
    _, _, width, height = file.boxes[tile]
    h, w = -(-height // 16), -(-width // 16)
    digest, coded = file.data[tile]
    coder, tables = RangeDecoder(coded), model.tables("y")
    groups = sum(name.startswith("words.") for name in t)
    stages = t["words.0"].shape[0]
    each = 20 + 4 * (stages - 1)
    numbers = np.full((groups * stages, h, w), -1, np.int64)
    planes, before = [], np.zeros((h, w), np.int64)
    for g in range(groups):
        words, size = t[f"words.{g}"].astype(np.int64), t[f"size.{g}"].astype(np.int64)
        total, first, last = np.zeros((words.shape[2], h, w), np.int64), np.zeros((h, w), np.int64), None
        for s in range(int(t["stages"][min(q // 256, 63), g])):
            k = np.zeros((h, w), np.int64)
            for side in (0, 1) if s == 0 else (2,):
                places = [(i, j) for i in range(h) for j in range(w) if side == 2 or (i + j) % 2 == side]
                table = []
                for i, j in places:
                    around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
                    near = [int(first[a]) for a in around if 0 <= a[0] < h and 0 <= a[1] < w]
                    mean = (2 * sum(near) + len(near)) // (2 * len(near)) if near else 0
                    own = {0: before[i, j], 1: 4 + 4 * before[i, j] + mean}
                    table.append(g * each + (own[side] if s == 0 else 16 + 4 * s + last[i, j]))
                found = read_group(coder, tables, np.array(table, np.int64))
                demand(all(0 <= n < words.shape[1] for n in found), "number of a word")
                for (i, j), n in zip(places, found, strict=True):
                    k[i, j] = n
                    if s == 0:
                        first[i, j] = size[0, n]
            numbers[g * stages + s] = k
            last = size[s][k]
            total += words[s][k].transpose(2, 0, 1)
        planes.append(total)
        before = first
    r = min(q // 256, 62)
    e = q - 256 * r
    v = t["gain"].astype(np.int64)
    gain = (v[r] * (256 - e) + v[r + 1] * e + 128) // 256
    y_hat = np.clip((np.concatenate(planes) * gain[:, None, None] + 2**13) >> 14, -(2**24), 2**24)
    demand(blake(numbers.astype("<i4").tobytes() + y_hat.astype("<i4").tobytes()) == digest, "digest of latents")
    demand(not coder.words, "data left over")
    return numbers, y_hat
