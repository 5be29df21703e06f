"""FORMAT.md sections 9 to 13 read by an independent decoder: Python integers and numpy int64, not the package's code.

It finds the latents of `.lec` files and compares their digest, so the specification, the coder and the integer networks
must all agree. Only the container's parser (which has tests of its own) is borrowed.
"""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import parse


class RangeDecoder:
    """Section 11."""

    def __init__(self, data: bytes):
        self.words = list(struct.unpack(f"<{len(data) // 4}I", data))[::-1]
        self.lower, self.range = 0, 2**64 - 1
        self.point = (self._word() << 32) | self._word()

    def _word(self) -> int:
        return self.words.pop() if self.words else 0

    def _quantile(self) -> int:
        return ((self.point - self.lower) % 2**64) // (self.range >> 24)

    def _take(self, before: int, count: int) -> None:
        scale = self.range >> 24
        self.lower = (self.lower + scale * before) % 2**64
        self.range = scale * count
        if self.range < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.range <<= 32
            self.point = ((self.point << 32) | self._word()) % 2**64

    def symbol(self, counts: list[int]) -> int:
        quantile, k, before = self._quantile(), 0, 0
        while quantile >= before + counts[k]:
            before += counts[k]
            k += 1
        self._take(before, counts[k])
        return k

    def uniform(self, bits: int) -> int:
        share = 2 ** (24 - bits)
        value = self._quantile() // share
        self._take(value * share, share)
        return value


LENGTHS = [2 ** (24 - min(n + 1, 15)) for n in range(16)]


def read_group(coder: RangeDecoder, tables: list[tuple[int, list[int]]], numbers: np.ndarray) -> np.ndarray:
    """Section 10."""
    out = np.zeros(len(numbers), np.int64)
    for number in sorted(set(numbers.tolist())):
        where = np.flatnonzero(numbers == number)
        low, counts = tables[number]
        symbols = [coder.symbol(counts) for _ in where]
        escaped = [p for p, k in zip(where, symbols, strict=True) if k == len(counts) - 1]
        out[where] = [low + k for k in symbols]
        lengths = [coder.symbol(LENGTHS) for _ in escaped]
        for length in sorted(set(lengths)):
            for place, own in zip(escaped, lengths, strict=True):
                if own == length:
                    value = coder.uniform(length + 1)
                    distance = (value >> 1) + 2**length
                    out[place] = low - distance if value & 1 else low + len(counts) - 2 + distance
    return out


def shuffle(a: np.ndarray) -> np.ndarray:
    c, h, w = a.shape
    return a.reshape(c // 4, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(c // 4, 2 * h, 2 * w)


def layer(a: np.ndarray, weight, bias, kernel, low, high, shift, gain, offset, out_low, out_high) -> np.ndarray:
    """Section 12, one layer."""
    r = kernel // 2
    a = np.pad(np.clip(a, low, high), ((0, 0), (r, r), (r, r)), mode="edge")
    h, w = a.shape[1] - 2 * r, a.shape[2] - 2 * r
    taps = weight.astype(np.int64).reshape(len(weight), -1, kernel, kernel)
    sums = np.tile(bias.astype(np.int64)[:, None, None], (1, h, w))
    for di in range(kernel):
        for dj in range(kernel):
            sums += np.einsum("oc,cij->oij", taps[:, :, di, dj], a[:, di : di + h, dj : dj + w])
    out = ((sums * gain[:, None, None] + 2 ** (shift - 1)) >> shift) + offset[:, None, None]
    return np.clip(out, out_low, out_high)


def tensors_of(path) -> dict[str, np.ndarray]:
    """A safetensors file by hand."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + size])
    out = {}
    for name, entry in head.items():
        if name.startswith("parse."):
            begin, end = entry["data_offsets"]
            kind = {"I16": "<i2", "I32": "<i4"}[entry["dtype"]]
            out[name[6:]] = np.frombuffer(data[8 + size + begin : 8 + size + end], kind).reshape(entry["shape"])
    return out


def table_list(t: dict[str, np.ndarray], name: str) -> list[tuple[int, list[int]]]:
    ends = np.cumsum(t[f"{name}.length"])
    starts = ends - t[f"{name}.length"]
    return [
        (int(low), t[f"{name}.counts"][a:b].tolist()) for low, a, b in zip(t[f"{name}.low"], starts, ends, strict=True)
    ]


def latents(path, data: bytes) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Sections 9 to 12: z, y_hat and their digest."""
    t = tensors_of(path)
    file = parse(data)
    header, q = file.header, file.header.quality
    h, w = -(-header.height // 16), -(-header.width // 16)
    count_z, m = t["h_s.0.weight"].shape[1] // 9, t["h_s.4.weight"].shape[0] // 2
    shape_z = (count_z, -(-h // 4), -(-w // 4))
    coder = RangeDecoder(file.data[0].payload)

    bank = (q // 256) * 8 // 64
    numbers = np.repeat(bank * count_z + np.arange(count_z), shape_z[1] * shape_z[2])
    z = read_group(coder, table_list(t, "z"), numbers).reshape(shape_z)

    r = min(q // 256, 62)
    e = q - 256 * r

    def row(name):
        v = t[name].astype(np.int64)
        return (v[r] * (256 - e) + v[r + 1] * e + 128) // 256

    a = z
    for n in range(5):
        weight = t[f"h_s.{n}.weight"]
        gain = row(f"gain.{n // 2}") if n % 2 == 0 else np.full(len(weight), 1024)
        offset = row("offset") if n == 4 else np.zeros(len(weight), np.int64)
        span = (-255, 255) if n == 0 else (0, 8191)
        out_span = (-32768, 32767) if n == 4 else (0, 8191)
        shift = (14, 22, 22, 22, 24)[n]
        a = layer(a, weight, t[f"h_s.{n}.bias"], (3, 1, 3, 1, 1)[n], *span, shift, gain, offset, *out_span)
        if n in (1, 3):
            a = shuffle(a)
    mu, v = a[:m, :h, :w], a[m:, :h, :w]
    number = np.clip((v + 32) >> 6, 0, 63).reshape(-1)
    y_hat = mu.reshape(-1).copy()
    coded = np.flatnonzero(number)
    y_hat[coded] += 64 * read_group(coder, table_list(t, "y"), number[coded])
    y_hat = y_hat.reshape(mu.shape)
    digest = hashlib.blake2b(z.astype("<i4").tobytes() + y_hat.astype("<i4").tobytes(), digest_size=8).digest()
    return z, y_hat, digest


def pictures():
    rng = np.random.default_rng(3)
    ramp = np.indices((40, 52)).sum(0)
    yield np.stack([ramp * 2, 255 - ramp, ramp], -1).astype(np.uint8), 37.3
    yield rng.integers(0, 256, (33, 18, 3), dtype=np.uint8), 100
    yield (np.indices((20, 70)).sum(0) % 2 * 255).astype(np.uint8), 1


@pytest.mark.parametrize("number", range(3))
def test_independent_decoder_finds_the_same_latents(tiny_model, number):
    samples, quality = list(pictures())[number]
    codec = lecodec.load(model=tiny_model)
    data = codec.encode(samples, quality)
    z, y_hat, digest = latents(tiny_model, data)
    found = codec.latents(data)
    np.testing.assert_array_equal(z, found.z)
    np.testing.assert_array_equal(y_hat, found.y_hat)
    assert digest == parse(data).data[0].digest


def test_parse_digest_is_as_specified(tiny_model):
    t = tensors_of(tiny_model)
    constants = (
        '{"activation": [8, 8191], "banks": 8, "gain": [10, 16383], "kernels": [3, 1, 3, 1, 1], '
        '"mean": [6, -32768, 32767], "model": "mean-scale hyperprior 0", "weight": 12, "z": [-255, 255]}'
    )
    h = hashlib.blake2b(constants.encode(), digest_size=8)
    for name in sorted(t):
        h.update(f"\n{name} {t[name].dtype.str} {t[name].shape}\n".encode() + t[name].tobytes())
    assert h.digest() == lecodec.load(model=tiny_model).parse_digest
