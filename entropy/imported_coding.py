"""The entropy models of imported image models, frozen for coding: integers only, immutable.

    hyperprior:  z --bottleneck tables--> coder    z_hat = z + median --h_s--> (scale, mu)
                 scale --thresholds--> t           s --Gaussian table t--> coder    y_hat = s + mu
    factorised:  s --bottleneck tables--> coder    y_hat = s + median

The scale hyperprior of Ballé, Minnen, Singh, Hwang, Johnston, "Variational Image Compression with a Scale Hyperprior"
(ICLR 2018), whose mu is 0; the mean and scale hyperprior of Minnen, Ballé, Toderici, "Joint Autoregressive and
Hierarchical Priors" (NeurIPS 2018), without the autoregression; and the factorised prior of the first. h_s has two
transposed 5 x 5 convolutions and one of 3 x 3, as integers (see `imported_layers`). If an activation of the trained
network leaves the range of the integers, that costs rate, never correctness.

`traverse` walks z and y, or y, once for both directions, as that of `hyperprior_coding` does, and what it decodes is
the same on every machine, thread count, batch size and device. There is one rate, so tables have one bank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from .coder import Coder
from .digest import parse_digest
from .factorized_coding import FactorizedCoding
from .imported_layers import ACTIVATION_BITS, LIMIT, SLOPE_BITS, ImportedLayer, leaky
from .latents import MEAN_BITS, NEAREST, ONE, Choice, Latents, Size, refuse_given, rounded
from .program import Builder, Program
from .runtime import run_in_bands, runtime_of
from .tables import TableSet, scale_levels

__all__ = ["ImportedFactorized", "ImportedHyperprior", "imported_model", "thresholds"]

MEDIAN_MAX = LIMIT >> (ACTIVATION_BITS - MEAN_BITS)
LAYERS = 3
BAND, COLUMNS = 2**8, 2**5
"""Positions of z, and columns of them, that h_s works on at a time: unfolded, the 16 positions of y of one take 300 to
550 kB."""
LEVELS = scale_levels(64, 0.11, 256.0)
"""The scales of the 64 Gaussians. A scale takes the table of the first level that is not below it, or the last."""
Z_MAX = 2 * LIMIT >> ACTIVATION_BITS
"""z is clamped to +-Z_MAX: with any median, beyond LIMIT."""


def thresholds() -> np.ndarray:
    """[63] int32 in the units of h_s: a scale v has the table number of thresholds below v."""
    return np.floor(LEVELS[:-1] * 2**ACTIVATION_BITS).astype(np.int32)


def imported_model(tensors: Mapping[str, np.ndarray]) -> ImportedFactorized | ImportedHyperprior:
    """The entropy model that the integers of a model file make (FORMAT.md, section 18). Raises ModelError."""
    return (ImportedHyperprior if "h_s.0.weight" in tensors else ImportedFactorized)(tensors)


class ImportedFactorized(FactorizedCoding):
    """An entropy model of one level, y. Raises ModelError when the tensors do not make one."""

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        self._tensors = t = _checked(tensors, ["y.counts", "y.length", "y.low", "y.median"])
        if _largest(t["y.median"]) > MEDIAN_MAX:
            raise ModelError("the model's medians are out of range")
        super().__init__(_tables(t, "y"), mean=t["y.median"])

    def digest(self) -> bytes:
        return _digest("imported factorised prior 0", self._tensors)


class ImportedHyperprior:
    """An entropy model of two levels, z and y. latent: M, channels of y; hyper: Z, of z; has_means: whether mu is
    anything but 0.

    Raises ModelError when the tensors do not make one.
    """

    fraction = MEAN_BITS

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        self._tensors = t = _checked(tensors, _names())
        self.y_tables = _tables(t, "y")
        self.hyper, outputs = len(t["z.median"]), len(t["h_s.2.weight"])
        self.has_means, self._slope = bool(t["means"][0]), int(t["slope"][0])
        self.latent = outputs // (1 + self.has_means)
        self.above = FactorizedCoding(_tables(t, "z"))
        self._check(outputs)
        self._program = self._make_program()

    def _check(self, outputs: int) -> None:
        """Raises ModelError when sizes or ranges of a hyperprior do not fit together."""
        t, channels = self._tensors, self.hyper
        for n in range(LAYERS):
            rows, columns = t[f"h_s.{n}.weight"].shape
            fits = columns == 9 * channels and t[f"h_s.{n}.bias"].shape == t[f"h_s.{n}.shift"].shape == (rows,)
            if not fits or (n < 2 and rows % 4):
                raise ModelError(f"the model's h_s.{n} does not fit what goes into it or comes out of it")
            channels = rows // 4
        if self.above.latent != self.hyper or len(self.y_tables) != len(t["y.threshold"]) + 1 > 256:
            raise ModelError("the model's number of probability tables does not fit its networks")
        if t["means"].tolist() not in ([0], [1]) or outputs % (1 + self.has_means):
            raise ModelError("the model does not say whether it has means")
        if not 0 <= self._slope <= 1 << SLOPE_BITS or len(t["slope"]) != 1 or _largest(t["z.median"]) > LIMIT:
            raise ModelError("the model's slope or medians are out of range")
        if (np.diff(t["y.threshold"].astype(np.int64)) <= 0).any():
            raise ModelError("the model's thresholds do not go up")

    def digest(self) -> bytes:
        return _digest("imported hyperprior 0", self._tensors)

    @property
    def z_median(self) -> np.ndarray:
        """[Z] int32 in units of 2^-ACTIVATION_BITS, what an encoder subtracts before it rounds z."""
        return self._tensors["z.median"]

    # -- the integer hyper-decoder

    def _make_program(self) -> Program:
        """h_s: z -> the scale [M] in units of 2^-ACTIVATION_BITS, and mu [M] in units of 2^-MEAN_BITS if there is
        one.
        """
        t, b, m = self._tensors, Builder(), self.latent
        e1, e2, e3 = (ImportedLayer(*(t[f"h_s.{n}.{p}"] for p in ("weight", "bias", "shift"))) for n in range(LAYERS))
        z = b.add(b.shift(b.input("z", self.hyper, -Z_MAX, Z_MAX), -ACTIVATION_BITS), b.constant(t["z.median"]))
        h = e1.steps(b, b.clamp(z, -LIMIT, LIMIT))
        h = e2.steps(b, leaky(b, b.spread(h, 2), self._slope))
        h = e3.steps(b, leaky(b, b.spread(h, 2), self._slope))
        if not self.has_means:
            return b.program(scale=h)
        mu = b.shift(b.select(h, range(m, 2 * m)), ACTIVATION_BITS - MEAN_BITS)
        return b.program(scale=b.select(h, range(m)), mu=mu)

    def parameters(self, z: np.ndarray, size: Size, device: Any = "cpu") -> tuple[np.ndarray, np.ndarray]:
        """z [B, Z, h', w'] int32, size: (h, w) of y -> mu [B, M, h, w] int32 in units of 2^-MEAN_BITS, t [B, M, h, w]
        table numbers. A large plane in parts.
        """
        shape = (len(z), self.latent, *size)
        found = {name: np.zeros(shape, np.int32) for name in self._program.outputs}
        run_in_bands(runtime_of(device), self._program, {"z": z}, BAND, COLUMNS, found)
        t = np.empty(shape, np.uint8)
        for numbers, scale in zip(t, found["scale"], strict=True):
            numbers[:] = np.searchsorted(self._tensors["y.threshold"], scale)
        return found["mu"] if self.has_means else np.zeros(shape, np.int32), t

    # -- the traversal, one for both directions

    def z_size(self, size: Size) -> Size:
        """Size of y -> size of z."""
        return tuple(-(-n // 4) for n in size)

    def least_bits(self, size: Size, rate: int) -> float:
        """Those of z."""
        return self.above.least_bits(self.z_size(size), rate)

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
        """See `EntropyModel.traverse`. source: z less its medians, y. There is one rate: all are the same."""
        refuse_given(given)
        coarser = None if source is None else source[:-1]
        above = self.above.traverse(coders, self.z_size(size), rates, coarser, device=device)
        z = np.stack([latents.levels[-1] for latents in above])
        mu, t = choice.once("mu, t", lambda: self.parameters(z, size, device))
        if source is not None:
            s = rounded(source[-1] - mu * np.float32(1 / ONE), t, choice.deadzone)
        latents = []
        for b, coder in enumerate(coders):
            values = coder.code(self.y_tables, t[b].reshape(-1), None if source is None else s[b].reshape(-1))
            y_hat = mu[b] + values.reshape(mu[b].shape) * np.int32(ONE)
            latents.append(Latents((*above[b].levels, y_hat)))
        return latents


def _tables(t: Mapping[str, np.ndarray], name: str) -> TableSet:
    start = np.concatenate([[0], np.cumsum(t[f"{name}.length"].astype(np.int64))])
    return TableSet(t[f"{name}.counts"], start, t[f"{name}.low"])


def _largest(array: np.ndarray) -> int:
    return int(np.abs(array.astype(np.int64)).max())


def _names() -> list[str]:
    """The tensors of a hyperprior."""
    layers = [f"h_s.{n}.{part}" for n in range(LAYERS) for part in ("weight", "bias", "shift")]
    tables = [f"{name}.{part}" for name in "zy" for part in ("counts", "length", "low")]
    return [*tables, "z.median", "y.threshold", *layers, "slope", "means"]


def _checked(tensors: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """These tensors, of the types that they have to be. Raises ModelError."""
    try:
        t = {name: np.ascontiguousarray(tensors[name]) for name in names}
    except KeyError as e:
        raise ModelError(f"the model lacks {e.args[0]}") from None
    for name, array in t.items():
        if array.dtype != _dtype(name) or array.ndim != (2 if name.endswith("weight") else 1) or not array.size:
            raise ModelError(f"the model's {name} is {array.dtype} {array.shape}, not what it has to be")
    return t


def _digest(model: str, tensors: Mapping[str, np.ndarray]) -> bytes:
    """The parse digest of both models."""
    constants = {"activation": [ACTIVATION_BITS, LIMIT], "mean": MEAN_BITS, "model": model, "slope": SLOPE_BITS}
    return parse_digest(constants, tensors)


def _dtype(name: str) -> np.dtype:
    kinds = {"weight": np.int16, "shift": np.int16, "bias": np.int64}
    return np.dtype(kinds.get(name.rpartition(".")[2], np.int32))
