"""FORMAT.md, sections 20, 21 and 31, read by themselves: latents of models with context, and with a memory. As
independent as `reader`.
"""

from __future__ import annotations

import numpy as np

from .reader import LecFile, Model, RangeDecoder, blake, demand, layer, read_group, shuffle

__all__ = ["context_digest", "context_latents"]

PLACES = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))


def memory_of(model: Model) -> str:
    if "references" in model.tensors:
        return "both" if "context.1.keys" in model.tensors else "retrieved"
    if "context.exponentials" in model.tensors:
        return "dictionary"
    return "control" if "context.1.gate.weight" in model.tensors else ""


def context_digest(model: Model) -> bytes:
    edge, memory = 2**model.reach, memory_of(model)
    answer = f'"answer": ["{memory}", [2047, 7, 5, 384, 10]], ' if memory else ""
    name = "conditional context 0" if memory else "context hyperprior 0"
    constants = (
        '{"activation": [8, 8191], '
        + answer
        + '"banks": 8, "context": [[1, 3, 1], [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], '
        f'[1, 0, 3, 2]], [{edge - 1}, 14, 10]], "gain": [10, 16383], "kernels": [3, 1, 3, 1, 1], '
        f'"mean": [6, {-edge}, {edge - 1}], "model": "{name}", "weight": 12, "z": [-255, 255]}}'
    )
    text = constants.encode()
    for name, tensor in sorted(model.tensors.items()):
        text += f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode() + tensor.tobytes()
    return blake(text)


def context_latents(model: Model, file: LecFile, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """z and y_hat of a tile, their digest compared."""
    t, q = model.tensors, file.header["quality"]
    _, _, width, height = file.boxes[tile]
    h, w = -(-height // 16), -(-width // 16)
    hb, wb = -(-h // 2), -(-w // 2)
    count_z, m = t["h_s.0.weight"].shape[1] // 9, t["h_s.4.weight"].shape[0] // 2
    shape_z = (count_z, -(-h // 4), -(-w // 4))
    edge, last = 2**model.reach, model.last_table
    digest, coded = file.data[tile]
    coder = RangeDecoder(coded)
    chosen = np.zeros(0, np.int64)
    if "references" in t:
        count = len(t["references"])
        counts = [(2**24 - 1) // count + (n < (2**24 - 1) % count) for n in range(count)]
        chosen = read_group(coder, [(0, [*counts, 1])], np.zeros(2, np.int64))
        demand(all(0 <= n < count for n in chosen), "number of a crop")
    numbers = np.repeat((q // 256) * 8 // 64 * count_z + np.arange(count_z), shape_z[1] * shape_z[2])
    z = read_group(coder, model.tables("z"), numbers).reshape(shape_z)

    r = min(q // 256, 62)
    e = q - 256 * r

    def row(name: str) -> np.ndarray:
        v = t[name].astype(np.int64)
        return (v[r] * (256 - e) + v[r + 1] * e + 128) // 256

    def run(name: str, a: np.ndarray, kernel: int, low: int, shift: int, gain=None, offset=None, wide=(0, 8191)):
        n = len(t[f"{name}.weight"])
        gain = np.full(n, 1024) if gain is None else gain
        offset = np.zeros(n, np.int64) if offset is None else offset
        span, out = (low, {-255: 255, -2047: 2047}.get(low, 8191)), ((-edge, edge - 1) if wide is True else wide)
        return layer(a, t[f"{name}.weight"], t[f"{name}.bias"], kernel, *span, shift, gain, offset, *out)

    a = shuffle(run("h_s.1", run("h_s.0", z, 3, -255, 14, row("gain.0")), 1, 0, 22))
    features = run("h_s.2", a, 3, 0, 22, row("gain.1"))
    a = shuffle(run("h_s.3", features, 1, 0, 22))
    v0 = run("h_s.4", a, 1, 0, 24, row("gain.2"), row("offset"), wide=True)

    def answer(name: str, asked: np.ndarray) -> np.ndarray:
        if memory == "control":
            value = run(f"{name}.value", asked, 1, -2047, 22, wide=(-8191, 8191))
            return (value * run(f"{name}.gate", asked, 1, -2047, 20, wide=(0, 1024)) + 512) >> 10
        out, found = [], [t.get(f"{name}.keys", np.zeros(0)), t.get(f"{name}.values", np.zeros(0))]
        if "references" in t:
            seen = np.concatenate(list(t["references"][chosen].astype(np.int64)), 2)  # crops side by side
            places = [
                run(f"{name}.{part}", seen, 1, -8191, shift, wide=wide).reshape(t["heads"][0], -1, seen[0].size)
                for part, shift, wide in (("key", 23, (-127, 127)), ("value", 22, (-8191, 8191)))
            ]
            places = [a.swapaxes(1, 2) for a in places]
            own = found if memory == "both" else [a[:, :0] for a in places]
            found = [np.concatenate(pair, 1) for pair in zip(own, places, strict=True)]
        for head, (keys, values) in enumerate(zip(*found, strict=True)):
            q = asked[head * keys.shape[1] : (head + 1) * keys.shape[1]].astype(np.int64)
            logits = (np.einsum("nd,dij->nij", keys.astype(np.int64), q) + 512) >> 10
            w = t["context.exponentials"].astype(np.int64)[np.clip(logits, -192, 191) + 192]
            above = np.einsum("nij,nd->dij", w, values.astype(np.int64))
            out.append(np.clip(above // w.sum(0), -8191, 8191))
        return np.concatenate(out)

    memory, state = memory_of(model), []
    y_hat = np.zeros((m, 2 * hb, 2 * wb), np.int64)
    seen = [features[:, :hb, :wb]]
    for k in range(4):
        if k:
            name = f"context.{k}"
            a = run(f"{name}.0", np.concatenate(seen), 1, -8191, 22, row(f"{name}.gain"))
            b = run(f"{name}.1", a, 3, 0, 22)
            change = run(f"{name}.2", np.concatenate([a, b]), 1, 0, 24, wide=True)
            if memory:
                asked = run(f"{name}.ask", np.concatenate([a, b, *state]), 1, -8191, 22, wide=(-2047, 2047))
                state = [answer(name, asked)]
                told = run(f"{name}.tell", state[0], 1, -8191, 24, wide=True)
                change = np.clip(change + told, -edge, edge - 1)
        mu, mu_0, number, spread = (np.zeros((m, hb, wb), np.int64) for _ in range(4))
        for c in range(m):
            i, j = PLACES[k][c % 4] // 2, PLACES[k][c % 4] % 2
            mu_0[c] = mu[c] = v0[c, i : 2 * hb : 2, j : 2 * wb : 2]
            table = v0[m + c, i : 2 * hb : 2, j : 2 * wb : 2]
            spread[c] = np.clip((table + 32) >> 6, 0, last)
            if k:
                moved = mu[c] + ((change[c] * t["context.widen"].astype(np.int64)[spread[c]] + 512) >> 10)
                mu[c] = np.clip(moved, -edge, edge - 1)
                table = table + change[m + c]
            number[c] = np.clip((table + 32) >> 6, 0, last)
            number[c, (h - i + 1) // 2 :] = 0
            number[c, :, (w - j + 1) // 2 :] = 0
        found = np.flatnonzero(number)
        decoded = mu.copy()
        decoded.reshape(-1)[found] += 64 * read_group(coder, model.tables("y"), number.reshape(-1)[found])
        for c in range(m):
            y_hat[c, PLACES[k][c % 4] // 2 :: 2, PLACES[k][c % 4] % 2 :: 2] = decoded[c]
        narrow = t["context.narrow"].astype(np.int64)[spread]
        residual = np.clip((np.clip(decoded - mu_0, 1 - edge, edge - 1) * narrow + 2048) >> 12, -8191, 8191)
        seen += [residual, abs(residual)]
    y_hat = y_hat[:, :h, :w]
    levels = (chosen, z, y_hat)
    demand(blake(b"".join(a.astype("<i4").tobytes() for a in levels)) == digest, "digest of latents")
    demand(not coder.words, "data left over")
    return z, y_hat
