"""FORMAT.md, sections 23 to 25, read by themselves: latents of videos. As independent as `reader`."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from .moved_reader import moved_reference, read_vectors
from .reader import LecFile, Model, RangeDecoder, blake, demand, layer, read_group, shuffle
from .replica_reader import Replica

__all__ = ["VideoModel", "group_latents", "packets_of", "video_digest"]

PLACES = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))


class VideoModel:
    """image: the image model; own: the video model's tensors, without their prefix; replica: of the image model, for
    moved references.
    """

    def __init__(self, image: Model, own: dict[str, np.ndarray], replica: Replica | None = None):
        self.image, self.replica = image, replica
        self.tensors = {**image.tensors, **own}


def video_digest(model: VideoModel) -> bytes:
    """Section 25."""
    edge = 2**model.image.reach
    text = (
        '{"activation": [8, 8191], "banks": 8, "context": [[1, 3, 1], [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], '
        f'[1, 0, 3, 2]], [{edge - 1}, 14, 10]], "gain": [10, 16383], "kernels": [3, 1, 3, 1, 1], '
        f'"mean": [6, {-edge}, {edge - 1}], "model": "spatiotemporal 0", "temporal": [2, 7, 10, 10, 14, 2, 16, '
        '4194304], "weight": 12, "z": [-255, 255]}'
    ).encode()
    for name, tensor in sorted(model.tensors.items()):
        text += f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode() + tensor.tobytes()
    return blake(text)


def varint(payload: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        demand(at < len(payload) and shift < 35, "a varint")
        byte = payload[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            demand(byte > 0 or shift == 7, "a varint with a zero too many")
            return value, at


def order_of(frames: int, closed: bool, chain: bool) -> list[tuple[int, int, int, int]]:
    """Frame, references (-1: none), level."""
    if chain:
        order = [(0, -1, -1, 0)]
        for n in range(1, frames):
            back = {0: (4, 2, 1), 1: (1, 1, 3), 2: (2, 2, 2), 3: (3, 1, 3)}[n % 4]
            order.append((n, n - back[0], n - back[1], back[2]))
        return order
    e = frames - closed
    order = [(0, -1, -1, 0)] + [(e, 0, 0, 0)] * (closed and frames > 1)
    spans = [(0, e)]
    while spans:
        made = []
        for left, right in spans:
            if right - left > 1:
                m = (left + right) // 2
                order.append((m, left, right, 1 + int(np.floor(np.log2(min(m - left, right - m))))))
                made += [(left, m), (m, right)]
        spans = made
    return order


def read_group_chunk(file: LecFile, number: int) -> dict:
    """Section 23: the data chunk of a group."""
    payload, frames = file.data[number][1], file.groups[number][0]
    demand(len(payload) >= 4, "a group")
    flags, quality, n = struct.unpack("<BHB", payload[:4])
    moves, flags = flags // 4, flags % 4
    demand(moves < 2 and flags in (0, 1, 3) and 1 <= n <= 8 and len(payload) >= 4 + 2 * n, "a group")
    demand(flags > 0 or number + 1 < len(file.groups) or file.announced, "the last group")
    rates, at = struct.unpack(f"<{n}H", payload[4 : 4 + 2 * n]), 4 + 2 * n
    demand(max(quality, *rates) <= 16128, "a rate")
    order = order_of(frames, flags > 0, flags == 3)
    demand(max(step[3] for step in order) < n, "levels")
    if not file.header["duration"]:
        total = 0
        for _ in range(frames):
            ticks, at = varint(payload, at)
            total += ticks
        demand(total == file.groups[number][1], "ticks of a group")
    coded = []
    for step in order:
        head, at = varint(payload, at)
        mode, end = head % (4 + 4 * moves), at + 4 + head // (4 + 4 * moves)
        demand(mode in (0, 1, 2, 5, 6) and (step[1] >= 0 or mode == 0) and end <= len(payload), "a frame")
        coded.append((mode, payload[at : at + 4], payload[at + 4 : end]))
        at = end
    demand(at == len(payload), "the end of a group")
    return {"closed": flags > 0, "rates": rates, "order": order, "coded": coded, "quality": quality}


def packets_of(file: LecFile, number: int) -> list[tuple[int, int, int, bool, bytes]]:
    """Section 23: the packets of a group: stream, when it begins and how long it lasts in microseconds, key, bytes."""
    found = []
    for payload in file.packets[number]:
        ends, lasted, at = {}, {}, 0
        while at < len(payload):
            head, at = varint(payload, at)
            stream = head // 4
            late, at = varint(payload, at)
            if not head & 2:
                lasted[stream], at = varint(payload, at)
            size, at = varint(payload, at)
            demand(stream < 64 and stream in lasted and at + size <= len(payload), "a packet")
            begins = ends.get(stream, 0) + (late // 2 if late % 2 == 0 else -(late + 1) // 2)
            found.append((stream, begins, lasted[stream], head & 1 > 0, payload[at : at + size]))
            ends[stream], at = begins + lasted[stream], at + size
    return found


def group_latents(model: VideoModel, file: LecFile, number: int) -> list[np.ndarray]:
    """y_hat of the frames that a group shows, at their own rates, all digests compared."""
    group = read_group_chunk(file, number)
    known: dict[int, tuple[np.ndarray, int]] = {}
    if not group["closed"]:
        after = read_group_chunk(file, number + 1)
        y_hat, _ = frame_latents(model, file, after["rates"][0], after["coded"][0], None, 0)
        known[len(group["order"])] = y_hat, after["rates"][0]
    digests = b""
    for (frame, left, right, level), coded in zip(group["order"], group["coded"], strict=True):
        rate = group["rates"][level]
        references = None if left < 0 else [(*known[n], n - frame) for n in (left, right)]
        y_hat, digest = frame_latents(model, file, rate, coded, references, frame, group["quality"])
        known[frame] = y_hat, rate
        digests += digest
    demand(hashlib.blake2b(digests, digest_size=8).digest() == file.data[number][0], "digest of a group")
    return [known[n][0] for n in range(len(group["order"]))]


def row_at(table: np.ndarray, q: int) -> np.ndarray:
    """Section 12: a row between two whole indices."""
    v, r = table.astype(np.int64), min(q // 256, 62)
    e = q - 256 * r
    return (v[r] * (256 - e) + v[r + 1] * e + 128) // 256


def rescaled(table: np.ndarray, y: np.ndarray, a: int, b: int) -> np.ndarray:
    before, after = row_at(table, a), row_at(table, b)
    ratio = np.clip(((after << 16) + before // 2) // before, 0, 2**24)[:, None, None]
    return np.clip((np.clip(y, -(2**22), 2**22) * ratio + 2**15) >> 16, -(2**30), 2**30)


def logarithm(distance: int) -> int:
    n = 1 + min(abs(distance), 4096)
    k = n.bit_length() - 1
    return 64 * k + (64 * (n - 2**k) >> k)


def frame_latents(
    model: VideoModel, file: LecFile, q: int, coded, references, frame: int, quality: int = 0
) -> tuple[np.ndarray, bytes]:
    """y_hat of a frame, and the 8 bytes of the digest of its latents."""
    mode, digest, payload = coded
    t = model.image.tensors if mode == 0 else model.tensors
    image = model.image
    h, w = (-(-file.header[side] // 16) for side in ("height", "width"))
    hb, wb = -(-h // 2), -(-w // 2)
    count_z, m = t["h_s.0.weight"].shape[1] // 9, t["h_s.4.weight"].shape[0] // 2
    shape_z = (count_z, -(-h // 4), -(-w // 4))
    edge, last = 2**image.reach, image.last_table
    coder = RangeDecoder(payload)
    if mode:
        fields = [None, None]
        if mode > 4:
            mode -= 4
            one = references[0][2] == references[1][2]
            fields = read_vectors(coder, 1 if one else 2, hb, wb) * (2 if one else 1)
        references = [
            (given(model, y, rate, q, quality, v), rate, d) for (y, rate, d), v in zip(references, fields, strict=True)
        ]
    z = np.zeros((count_z, 1, 1), np.int64)
    if mode != 1:
        numbers = np.repeat((q // 256) * 8 // 64 * count_z + np.arange(count_z), shape_z[1] * shape_z[2])
        z = read_group(coder, image.tables("z"), numbers).reshape(shape_z)

    def run(name, a, kernel, low, shift, gain=None, offset=None, out=(0, 8191), high=8191):
        n = len(t[f"{name}.weight"])
        gain = np.full(n, 1024) if gain is None else gain
        offset = np.zeros(n, np.int64) if offset is None else offset
        return layer(a, t[f"{name}.weight"], t[f"{name}.bias"], kernel, low, high, shift, gain, offset, *out)

    def row(name: str) -> np.ndarray:
        return row_at(t[name], q)

    wide = (-edge, edge - 1)
    a = shuffle(run("h_s.1", run("h_s.0", z, 3, -255, 14, row("gain.0"), high=255), 1, 0, 22))
    features = run("h_s.2", a, 3, 0, 22, row("gain.1"))
    a = shuffle(run("h_s.3", features, 1, 0, 22))
    v0 = run("h_s.4", a, 1, 0, 24, row("gain.2"), row("offset"), out=wide)
    if mode == 1:
        rows, columns = np.arange(2 * hb), np.arange(2 * wb)
        features = features[:, (rows[:hb] % 2)[:, None], columns[:wb] % 2]
        v0 = v0[:, (rows % 4)[:, None], columns % 4]
    features, v0 = features[:, :hb, :wb], v0[:, : 2 * hb, : 2 * wb]
    if mode:
        features, v0 = temporal(model, q, mode, references, features, v0, run, wide)

    y_hat = np.zeros((m, 2 * hb, 2 * wb), np.int64)
    seen = [features]
    for k in range(4):
        if k:
            name = f"context.{k}"
            a = run(f"{name}.0", np.concatenate(seen), 1, -8191, 22, row(f"{name}.gain"))
            b = run(f"{name}.1", a, 3, 0, 22)
            change = run(f"{name}.2", np.concatenate([a, b]), 1, 0, 24, out=wide)
        mu, mu_0, number, spread = (np.zeros((m, hb, wb), np.int64) for _ in range(4))
        for c in range(m):
            i, j = PLACES[k][c % 4] // 2, PLACES[k][c % 4] % 2
            mu_0[c] = mu[c] = v0[c, i::2, j::2]
            table = v0[m + c, i::2, j::2]
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
        decoded.reshape(-1)[found] += 64 * read_group(coder, image.tables("y"), number.reshape(-1)[found])
        for c in range(m):
            y_hat[c, PLACES[k][c % 4] // 2 :: 2, PLACES[k][c % 4] % 2 :: 2] = decoded[c]
        narrow = t["context.narrow"].astype(np.int64)[spread]
        residual = np.clip((np.clip(decoded - mu_0, 1 - edge, edge - 1) * narrow + 2048) >> 12, -8191, 8191)
        seen += [residual, abs(residual)]
    y_hat = y_hat[:, :h, :w]
    latents = b"" if mode == 1 else z.astype("<i4").tobytes()
    whole = blake(latents + y_hat.astype("<i4").tobytes())
    demand(whole[:4] == digest, f"digest of frame {frame}")
    demand(not coder.words, "data left over")
    return y_hat, whole


def given(model: VideoModel, y: np.ndarray, rate: int, q: int, quality: int, v: np.ndarray | None) -> np.ndarray:
    """A reference at the rate q of the frame, moved if there are vectors."""
    magnitude = model.tensors["temporal.magnitude"]
    plain = rescaled(magnitude, y, rate, q)
    if v is None or not v.any():
        return plain
    assert model.replica is not None
    moved, where = moved_reference(model.replica, rescaled(magnitude, y, rate, quality), quality, v)
    return np.where(where, rescaled(magnitude, moved, quality, q), plain)


def temporal(model, q, mode, references, features, v0, run, wide) -> tuple[np.ndarray, np.ndarray]:
    """Section 24: what takes the place of F and v0."""
    t, m = model.tensors, len(v0) // 2
    mu, table = v0[:m], v0[m:]
    size, known = v0.shape[1:], []
    for y, _, _ in references:
        r = np.clip(y, *wide)
        known.append(np.pad(r, [(0, 0), *((0, n - s) for n, s in zip(size, r.shape[1:], strict=True))], "edge"))
    n = row_at(t["temporal.narrow"], q)[:, None, None]
    unit = row_at(t["temporal.unit"], q)[:, None, None]

    def seen(x: np.ndarray, shift: int) -> np.ndarray:
        return np.clip((x * n + 2 ** (shift - 1)) >> shift, -8191, 8191)

    r0, r1 = known
    planes = np.concatenate([seen(r0, 12), seen(r1, 12), seen(abs(r0 - r1), 10), seen(mu, 12)])
    (_, rate_0, d_0), (_, rate_1, d_1) = references
    facts = [(rate_0 - q) // 64, (rate_1 - q) // 64, q // 64, logarithm(d_0), logarithm(d_1)]
    facts = np.clip([*facts, 256 * (d_0 == d_1), 256 * (mode == 2)], -8191, 8191)
    sums = np.einsum("oi,ihw->ohw", t["temporal.enter.weight"].astype(np.int64), planes)
    sums += (t["temporal.enter.bias"].astype(np.int64) + t["temporal.facts.weight"].astype(np.int64) @ facts)[
        :, None, None
    ]
    gain = row_at(t["temporal.enter.gain"], q)[:, None, None]
    a = np.clip((sums * gain + 2**21) >> 22, 0, 8191)
    for k in range(2):
        a = np.clip(a + run(f"temporal.look.{k}", a, 3, 0, 22, out=(-8191, 8191)), 0, 8191)
    gates = run("temporal.gates", a, 1, 0, 20, out=(0, 1024))
    d = run("temporal.change", a, 1, 0, 20, out=(-(2**15), 2**15 - 1))
    e = run("temporal.scale", a, 1, 0, 24, out=wide)
    blend = r1 + ((gates[:m] * (r0 - r1) + 512) >> 10)
    mu_0 = np.clip(mu + ((gates[m:] * (blend - mu) + 512) >> 10) + ((d * unit + 512) >> 10), *wide)
    folded = np.stack([a[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1).reshape(-1, size[0] // 2, size[1] // 2)
    more = run("temporal.features", folded, 1, 0, 22)
    return np.concatenate([features, more]), np.concatenate([mu_0, np.clip(table + e, *wide)])
