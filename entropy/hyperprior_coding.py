"""The mean-scale hyperprior frozen for coding: integers only, immutable.

    z_hat --model above--> coder    z_hat --h_s--> (mu, t)    s --table t--> coder    y_hat = s + mu

The model above codes z, and the levels above it: a factorised prior, or a hyperprior again. `HyperpriorCoding` is made
once, by `freeze` after training or from a model file, and checks itself then: its tables are tables, its layers fit
together and keep the bound that makes their sums exact. `traverse` walks the levels once for both directions; the coder
it is given either writes or reads. Everything in it is integer arithmetic, so what it decodes is the same on every
machine, thread count, batch size and device (see `exact`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from .coder import Coder
from .digest import parse_digest
from .factorized_coding import FactorizedCoding
from .latents import MEAN_BITS, NEAREST, ONE, Choice, EntropyModel, Latents, Size, refuse_given, rounded
from .layers import ACTIVATION_BITS, ACTIVATION_MAX, GAIN_BITS, GAIN_MAX, WEIGHT_BITS, ExactLayer
from .program import Builder, Program
from .rate import BANKS, QUALITY_LEVELS, rows_at
from .runtime import run_in_bands, runtime_of
from .tables import TableSet

__all__ = ["HyperpriorCoding", "laplace_tables", "layer_tensors", "table_tensors"]

SCALES, SCALE_LOW, SCALE_HIGH = 64, 0.05, 100.0
"""The Laplacian tables: number, smallest and largest scale. Table 0 means: not coded, zero. A model may have more
tables, up to MAX_TABLES, which go on in the same ratio."""
SCALE_STEP = math.log(SCALE_HIGH / SCALE_LOW) / (SCALES - 1)
"""The logarithm of that ratio."""
MAX_TABLES = 255
USUAL_REACH, MAX_REACH = 15, 20
"""Means are within +-2^reach, in units of 2^-MEAN_BITS: the reach of a model that does not say, and the most it can."""
Z_RANGE = (-255, 255)
"""h_s clamps its input to this range, whatever the unit of the level above."""
OFFSET_MAX = 2**24
_KERNELS = (3, 1, 3, 1, 1)
BAND = 2**10
"""Positions of z that h_s works on at a time."""
_TABLES = ("gain.0", "gain.1", "gain.2", "offset")


class HyperpriorCoding:
    """An entropy model of y and of what the model above it codes (see `EntropyModel`).

    tensors: what `Hyperprior.frozen` returns and a model file holds: int16 weights, int32 biases and tables. above: the
    entropy model of z; None: the factorised prior of the tables of z among the tensors.

    Raises ModelError when they do not make a hyperprior. Threads may share one object.
    """

    fraction = MEAN_BITS

    def __init__(self, tensors: Mapping[str, np.ndarray], above: EntropyModel | None = None):
        try:
            names = [name for name in self._names() if above is None or not name.startswith("z.")]
            names += ["reach"] if "reach" in tensors else []
            self._tensors = {name: np.ascontiguousarray(tensors[name]) for name in names}
        except KeyError as e:
            raise ModelError(f"the model lacks {e.args[0]}") from None
        t = self._tensors
        for name, array in t.items():
            wanted = _dtype(name)
            if array.dtype != wanted:
                raise ModelError(f"the model's {name} is {array.dtype}, not {wanted}")
        self._nested = above is not None
        if above is None:
            above = FactorizedCoding(TableSet(t["z.counts"], _starts(t["z.length"]), t["z.low"]), BANKS)
        self.above = above
        self.y_tables = TableSet(t["y.counts"], _starts(t["y.length"]), t["y.low"])
        self.hyper = t["h_s.0.weight"].shape[-1] // 9
        self.latent = t["h_s.4.weight"].shape[0] // 2
        self.top = len(self.y_tables) - 1
        """The last table of y."""
        if "reach" in t and t["reach"].shape != (1,):
            raise ModelError(f"the model's reach has shape {t['reach'].shape}, not (1,)")
        self.reach = int(t["reach"][0]) if "reach" in t else USUAL_REACH
        """Means are within +-2^reach, in units of 2^-MEAN_BITS."""
        self._check_shapes()
        self._rates = {name: t[name].astype(np.int64) for name in _TABLES}
        self._program = self._make_program()

    def digest(self) -> bytes:
        """The parse digest: 8 bytes over everything integer that decoding latents depends on."""
        return parse_digest(self._constants(), self._tensors)

    def _constants(self) -> dict[str, Any]:
        above = {"above": self.above.digest().hex()} if self._nested else {"banks": BANKS}
        return {
            **above,
            "activation": [ACTIVATION_BITS, ACTIVATION_MAX],
            "gain": [GAIN_BITS, GAIN_MAX],
            "kernels": _KERNELS,
            "mean": [MEAN_BITS, *self.mean_range],
            "model": "mean-scale hyperprior 0",
            "weight": WEIGHT_BITS,
            "z": Z_RANGE,
        }

    @staticmethod
    def _names() -> list[str]:
        """The tensors that the parse digest is over."""
        tables = [f"{name}.{part}" for name in "zy" for part in ("counts", "length", "low")]
        return [*tables, *(f"h_s.{n}.{part}" for n in range(5) for part in ("weight", "bias")), *_TABLES]

    def _check_shapes(self) -> None:
        t, z, m = self._tensors, self.hyper, self.latent
        if not USUAL_REACH <= self.reach <= MAX_REACH:
            raise ModelError(f"the model's means reach to 2^{self.reach}, not from 2^{USUAL_REACH} to 2^{MAX_REACH}")
        w = t["h_s.0.weight"].shape[0]
        middle = t["h_s.2.weight"].shape[0]
        wanted = {
            "h_s.0.weight": (w, 9 * z),
            "h_s.1.weight": (4 * w, w),
            "h_s.2.weight": (middle, 9 * w),
            "h_s.3.weight": (4 * w, middle),
            "h_s.4.weight": (2 * m, w),
            "gain.0": (QUALITY_LEVELS, w),
            "gain.1": (QUALITY_LEVELS, middle),
            "gain.2": (QUALITY_LEVELS, 2 * m),
            "offset": (QUALITY_LEVELS, 2 * m),
            **{f"h_s.{n}.bias": (t[f"h_s.{n}.weight"].shape[0],) for n in range(5)},
        }
        for name, shape in wanted.items():
            if t[name].shape != shape or 0 in shape:
                raise ModelError(f"the model's {name} has shape {t[name].shape}, not {shape}")
        if self.above.latent != z or not 2 <= len(self.y_tables) <= MAX_TABLES:
            raise ModelError("the model's number of probability tables does not fit its networks")
        if any(t[f"gain.{n}"].min() < 0 or t[f"gain.{n}"].max() > GAIN_MAX for n in range(3)):
            raise ModelError("the model's integer gains are out of range")
        if np.abs(t["offset"].astype(np.int64)).max() > OFFSET_MAX:
            raise ModelError("the model's offsets are out of range")

    @property
    def nested(self) -> bool:
        """Whether z has a hyperprior of its own."""
        return self._nested

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """What it was made of, by name: what the parse digest is over."""
        return dict(self._tensors)

    @property
    def z_tables(self) -> TableSet:
        """The tables of z."""
        return self.above.y_tables

    @property
    def mean_range(self) -> tuple[int, int]:
        """The range of mu, in units of 2^-MEAN_BITS."""
        return -(2**self.reach), 2**self.reach - 1

    # -- the integer hyper-decoder

    def _layer(self, n: int) -> ExactLayer:
        last, first = n == 4, n == 0
        input_bits, output_bits = (
            (self.above.fraction if first else ACTIVATION_BITS),
            (MEAN_BITS if last else ACTIVATION_BITS),
        )
        return ExactLayer(
            self._tensors[f"h_s.{n}.weight"],
            self._tensors[f"h_s.{n}.bias"],
            kernel=_KERNELS[n],
            shift=WEIGHT_BITS + input_bits - output_bits + GAIN_BITS,
            output_range=self.mean_range if last else (0, ACTIVATION_MAX),
        )

    def _hyper_steps(self, b: Builder) -> tuple[int, int]:
        """h_s: z -> the features at twice its resolution [F], and what the last layer makes of them at four times [2
        M], in units of 2^-MEAN_BITS: mu, then t.
        """
        e1, e2, e3, e4, e5 = (self._layer(n) for n in range(5))
        low, high = (limit << self.above.fraction for limit in Z_RANGE)
        z = b.input("z", self.hyper, low, high)
        g1, g3, g5 = (b.input(n, self._rates[n].shape[1], 0, GAIN_MAX, row=True) for n in _TABLES[:3])
        offset = b.input("offset", 2 * self.latent, -OFFSET_MAX, OFFSET_MAX, row=True)
        features = e3.steps(b, b.spread(e2.steps(b, e1.steps(b, z, g1)), 2), g3)
        return features, e5.steps(b, b.spread(e4.steps(b, features), 2), g5, offset)

    def _make_program(self) -> Program:
        b = Builder()
        _, out = self._hyper_steps(b)
        mu, t = b.select(out, range(self.latent)), b.select(out, range(self.latent, 2 * self.latent))
        return b.program(mu=mu, t=table_steps(b, t, self.top))

    def _run_hyper(self, z: np.ndarray, quality: Sequence[int], device: Any, **into: np.ndarray) -> None:
        """Run h_s, a tall plane in bands. into: arrays for its outputs."""
        inputs = {"z": z, **{name: rows_at(table, quality) for name, table in self._rates.items()}}
        run_in_bands(runtime_of(device), self._program, inputs, BAND, into=into)

    def parameters(
        self, z: np.ndarray, quality: Sequence[int], size: Size, device: Any = "cpu"
    ) -> tuple[np.ndarray, np.ndarray]:
        """h_s: z [B, Z, h', w'] int32, quality: B fixed-point indices, size: (h, w) of y
        -> mu [B, M, h, w] int32 in units of 2^-MEAN_BITS, t [B, M, h, w] uint8 table numbers.
        """
        mu = np.empty((len(z), self.latent, *size), np.int32)
        t = np.empty(mu.shape, np.uint8)
        self._run_hyper(z, quality, device, mu=mu, t=t)
        return mu, t

    # -- the traversal, one for both directions

    def z_size(self, size: Size) -> Size:
        """Size of y -> size of z."""
        return tuple(-(-n // 4) for n in size)

    def least_bits(self, size: Size, rate: int) -> float:
        """Those of z: of y, what table 0 stands for takes none."""
        return self.above.least_bits(self.z_size(size), rate)

    def code_above(
        self,
        coders: Sequence[Coder],
        size: Size,
        rates: Sequence[int],
        source: Sequence[np.ndarray] | None,
        device: Any,
    ) -> tuple[list[Latents], np.ndarray]:
        """The first part of `traverse`: the levels above y, and the last of them as z [B, Z, h', w'] int32."""
        coarser = None if source is None else source[:-1]
        above = self.above.traverse(coders, self.z_size(size), rates, coarser, device=device)
        return above, np.stack([latents.levels[-1] for latents in above])

    def traverse(
        self,
        coders: Sequence[Coder],
        size: Size,
        rates: Sequence[int],
        source: Sequence[np.ndarray] | None = None,
        *,
        given: Sequence[Sequence[Latents]] = (),
        device: Any = "cpu",
        choice: Choice = NEAREST,
    ) -> list[Latents]:
        """See `EntropyModel.traverse`. size: (h, w) of y; source: those of the model above, then y [B, M, h, w]."""
        refuse_given(given)
        above, z = self.code_above(coders, size, rates, source, device)
        mu, t = choice.once("mu, t", lambda: self.parameters(z, rates, size, device))
        if source is not None:
            s = rounded(source[-1] - mu * np.float32(1 / ONE), t, choice.deadzone)
        latents = []
        for b, coder in enumerate(coders):
            coded = np.flatnonzero(t[b])  # table 0 stands for s = 0: nothing is coded, on either side
            index = t[b].reshape(-1)[coded]
            values = coder.code(self.y_tables, index, None if source is None else s[b].reshape(-1)[coded])
            y_hat = mu[b].copy()
            y_hat.reshape(-1)[coded] += values * ONE
            latents.append(Latents((*above[b].levels, y_hat)))
        return latents


def laplace_tables(count: int = SCALES) -> TableSet:
    """The discretised zero-mean Laplacians of the first `count` scales, one scale's table after the other."""
    tables = []
    for scale in SCALE_LOW * np.exp(np.arange(count) * SCALE_STEP):
        reach = max(1, math.ceil(9 * scale))
        tail = 0.5 * np.exp((0.5 - np.arange(1, reach + 2)) / scale)  # beyond 1/2, 3/2, ...
        side = tail[:-1] - tail[1:]
        p = np.concatenate([side[::-1], [1 - 2 * tail[0]], side])
        tables.append((-reach, np.append(p, max(2 * tail[-1], 2.0**-20))))
    return TableSet.from_probabilities(tables)


def table_steps(b: Builder, t: int, top: int) -> int:
    """Table numbers in units of 2^-MEAN_BITS -> integers in [0, top]."""
    return b.clamp(b.shift(t, MEAN_BITS), 0, top)


def layer_tensors(name: str, layer: ExactLayer) -> dict[str, np.ndarray]:
    """A frozen layer as the tensors of a model file."""
    return {f"{name}.weight": layer.weight.astype(np.int16), f"{name}.bias": layer.bias.astype(np.int32)}


def table_tensors(z: TableSet, y: TableSet) -> dict[str, np.ndarray]:
    """The tables of z and y as the tensors of a model file."""
    out = {}
    for name, tables in (("z", z), ("y", y)):
        out[f"{name}.counts"] = tables.counts.astype(np.int32)
        out[f"{name}.length"] = np.diff(tables.start).astype(np.int32)
        out[f"{name}.low"] = tables.low
    return out


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths.astype(np.int64))])


def _dtype(name: str) -> np.dtype:
    short = name.endswith(("weight", "keys", "values")) or "gain" in name or name == "references"
    return np.dtype(np.int16 if short else np.int32)
