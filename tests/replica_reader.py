"""The integer synthesis and analysis of FORMAT.md, section 34, from the specification alone: plain numpy int64."""

from __future__ import annotations

from functools import cache

import numpy as np


def rounded(weight: np.ndarray, scale: float) -> np.ndarray:
    return np.rint(weight.astype(np.float64) * scale).astype(np.int64)


def exponential(x: int, bits: int) -> int:
    x = min(max(x, -(2**25)), 2**25)
    k, r = divmod(x << 12, 2977044472)
    t = 2**30
    for n in range(12, 0, -1):
        t = 2**30 + ((t * r) >> 32) // n
    s = 30 - bits - k
    s = min(max(s, -17), 62)
    return t << -s if s <= 0 else (t + 2 ** (s - 1)) >> s


def gain(table: np.ndarray, q: int, bits: int) -> np.ndarray:
    v = rounded(table, 2.0**20)
    last = len(v) - 1
    if last == 0:
        logs = v[0]
    else:
        k = min(q * last // 16128, last - 1)
        e = q * last - 16128 * k
        logs = v[k] + ((v[k + 1] - v[k]) * e + 8064) // 16128
    return np.array([min(exponential(int(x), bits), 2**26) for x in logs])


@cache
def silu_values() -> np.ndarray:
    """At 0, …, 2^15 in units of 2^-11."""
    sigma = [2**60 // (2**30 + exponential(-(x << 9), 30)) for x in range(2**15 + 1)]
    return np.array([(x * s + 2**29) >> 30 for x, s in enumerate(sigma)])


def silu(v: np.ndarray) -> np.ndarray:
    """For -2^15 <= v < 2^15."""
    above = silu_values()[np.abs(v)]
    return np.where(v >= 0, above, above - np.abs(v))


def layer(a, weight, bias, n: int, m: int, low: int, high: int) -> np.ndarray:
    """A pointwise layer of weights 2^-14: input in units of 2^-n, output in those of 2^-m, rounded and clamped."""
    sums = np.einsum("oc,chw->ohw", rounded(weight, 2.0**14), a) + rounded(bias, 2.0 ** (14 + n))[:, None, None]
    s = 14 + n - m
    return np.clip((sums + 2 ** (s - 1)) >> s, low, high)


class Replica:
    """w: the float tensors of a model by name; linear: of its card."""

    def __init__(self, w: dict[str, np.ndarray], linear: bool):
        self.w, self.linear = {name: a.astype(np.float32) for name, a in w.items()}, linear

    def of(self, name: str, a, n: int, m: int, low: int, high: int, rows=slice(None)) -> np.ndarray:
        return layer(a, self.w[f"{name}.weight"][rows], self.w[f"{name}.bias"][rows], n, m, low, high)

    def blocks(self, name: str, x: np.ndarray) -> np.ndarray:
        n = 0
        while f"{name}.{n}.project_in.weight" in self.w:
            x = self.block(f"{name}.{n}", x)
            n += 1
        return x

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        c, h, w = x.shape
        a = self.of(f"{name}.project_in", x, 11, 11, -(2**16), 2**16, slice(c))
        b = self.of(f"{name}.project_in", x, 11, 11, -(2**15), 2**15 - 1, slice(c, None))
        kernel = rounded(self.w[f"{name}.depthwise.weight"][:, 0], 2.0**14)
        sums = np.tile(rounded(self.w[f"{name}.depthwise.bias"], 2.0**25)[:, None, None], (1, h, w))
        padded = np.pad(a, ((0, 0), (1, 1), (1, 1)))
        for i in range(3):
            for j in range(3):
                sums += kernel[:, i, j, None, None] * padded[:, i : i + h, j : j + w]
        d = (sums + 2**13) >> 14
        p = np.clip((d * silu(b) + 2**10) >> 11, -(2**17), 2**17)
        out = self.of(f"{name}.project_out", p, 11, 11, -(2**62), 2**62)
        return np.clip(x + out, -(2**15), 2**15)

    def synthesis(self, y_hat: np.ndarray, q: int, peak: int, grey: bool) -> np.ndarray:
        """y_hat [M, h, w] -> samples [16 h, 16 w, C]."""
        g = gain(self.w["g_s.gain_y.value"], q, 24)[:, None, None]
        y = np.clip((np.clip(y_hat, -(2**22), 2**22) * g + 2**15) >> 16, -(2**21), 2**21)
        x = self.blocks("g_s.blocks16", self.of("g_s.stem", y, 14, 11, -(2**15), 2**15))
        x = shuffled(self.of("g_s.up", x, 11, 11, -(2**17), 2**17), 2)
        g = gain(self.w["g_s.gain8.value"], q, 16)[:, None, None]
        x = self.blocks("g_s.blocks8", np.clip((x * g + 2**15) >> 16, -(2**15), 2**15))
        weight, bias = (
            rounded(self.w["g_s.head.weight"], peak * 2.0**14),
            rounded(self.w["g_s.head.bias"], peak * 2.0**25),
        )
        sums = np.einsum("oc,chw->ohw", weight, x) + bias[:, None, None] + peak * 2**24
        if self.linear:
            beside = shuffled(self.of("g_s.linear", y, 14, 14, -(2**21), 2**21), 2)
            sums = sums + beside * peak * 2**11
        sums = sums.reshape(-1, 64, *sums.shape[1:])
        if grey:
            shown = (sums.sum(0, keepdims=True) + len(sums) * 2**24) // len(sums) >> 25
        else:
            shown = (sums + 2**24) >> 25
        shown = np.clip(shown, 0, peak)
        c, _, h, w = shown.shape
        return shown.reshape(c, 8, 8, h, w).transpose(3, 1, 4, 2, 0).reshape(8 * h, 8 * w, c)

    def analysis(self, samples: np.ndarray, q: int) -> np.ndarray:
        """samples [16 h, 16 w, 3] -> y [M, h, w] in units of 1/64."""
        h, w, c = samples.shape
        s = (
            samples.astype(np.int64)
            .reshape(h // 8, 8, w // 8, 8, c)
            .transpose(4, 1, 3, 0, 2)
            .reshape(64 * c, h // 8, w // 8)
        )
        x = self.blocks("g_a.blocks8", np.clip(self.centred("g_a.stem", s, 11), -(2**15), 2**15))
        g = gain(self.w["g_a.gain8.value"], q, 16)[:, None, None]
        x = np.clip((x * g + 2**15) >> 16, -(2**17), 2**17)
        x = self.blocks("g_a.blocks16", self.of("g_a.down", folded(x), 11, 11, -(2**15), 2**15))
        y = self.of("g_a.head", x, 11, 14, -(2**62), 2**62)
        if self.linear:
            y = y + self.centred("g_a.linear", folded(s), 14)
        g = gain(self.w["g_a.gain_y.value"], q, 16)[:, None, None]
        return np.clip((np.clip(y, -(2**21), 2**21) * g + 2**23) >> 24, -(2**22), 2**22)

    def centred(self, name: str, s: np.ndarray, m: int) -> np.ndarray:
        weight = rounded(self.w[f"{name}.weight"], 2.0**25 / 255)
        bias = rounded(self.w[f"{name}.bias"], 2.0**25) - 255 * weight.sum(1) // 2
        return (np.einsum("oc,chw->ohw", weight, s) + bias[:, None, None] + 2 ** (24 - m)) >> (25 - m)


def shuffled(a: np.ndarray, n: int) -> np.ndarray:
    c, h, w = a.shape
    return a.reshape(c // n**2, n, n, h, w).transpose(0, 3, 1, 4, 2).reshape(c // n**2, n * h, n * w)


def folded(a: np.ndarray) -> np.ndarray:
    c, h, w = a.shape
    return a.reshape(c, h // 2, 2, w // 2, 2).transpose(0, 2, 4, 1, 3).reshape(4 * c, h // 2, w // 2)
