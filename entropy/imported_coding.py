"""The entropy models of imported image models, frozen for coding: integers only, immutable.

    hyperprior:  z --bottleneck tables--> coder    z_hat = z + median --h_s--> (scale, mu)
                 scale --thresholds--> t           s --Gaussian table t--> coder    y_hat = s + mu
    factorised:  s --bottleneck tables--> coder    y_hat = s + median

The scale hyperprior of Ballé, Minnen, Singh, Hwang, Johnston, "Variational Image Compression with a Scale Hyperprior"
(ICLR 2018), whose mu is 0; the mean and scale hyperprior of Minnen, Ballé, Toderici, "Joint Autoregressive and
Hierarchical Priors" (NeurIPS 2018), without the autoregression; and the factorised prior of the first. h_s has two
transposed 5 x 5 convolutions and one of 3 x 3, as integers (see `imported_layers`). If an activation of the trained
network leaves the range of the integers, that costs rate, never correctness.

`traverse` walks z and y once for both directions, as that of `hyperprior_coding` does, and what it decodes is the same
on every machine, thread count, batch size and device. There is one rate: quality indices are taken and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import ModelError
from .coder import Coder
from .digest import parse_digest
from .exact import verify_arithmetic
from .hyperprior import MEAN_BITS
from .hyperprior_coding import Y_LIMIT, Latents
from .imported_layers import ACTIVATION_BITS, LIMIT, SLOPE_BITS, ImportedLayer, leaky
from .imported_tables import LEVELS
from .tables import TOTAL, TableSet

__all__ = ["ImportedCoding", "thresholds"]

ONE = 1 << MEAN_BITS
MEDIAN_MAX = LIMIT >> (ACTIVATION_BITS - MEAN_BITS)
LAYERS = 3
BAND, COLUMNS = 2**8, 2**5
"""Positions of z, and columns of them, that h_s works on at a time: unfolded, the 16 positions of y of one take 300 to
550 kB."""
REACH = 2
"""Positions of z on each side that h_s looks at: one, half of one and a quarter, rounded up."""


def thresholds() -> np.ndarray:
    """[63] int32 in the units of h_s: a scale v has the table number of thresholds below v."""
    return np.floor(LEVELS[:-1] * 2**ACTIVATION_BITS).astype(np.int32)


class ImportedCoding:
    """tensors: the integers of a model file (FORMAT.md, section 18). latent: M, channels of y; hyper: Z, of z, or 0;
    has_means: whether mu is anything but 0 (or the medians).

    Raises ModelError when they do not make an entropy model. Threads may share one object.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        factorised = "h_s.0.weight" not in tensors
        try:
            t = {name: np.ascontiguousarray(tensors[name]) for name in _names(factorised)}
        except KeyError as e:
            raise ModelError(f"the model lacks {e.args[0]}") from None
        for name, array in t.items():
            if array.dtype != _dtype(name) or array.ndim != (2 if name.endswith("weight") else 1) or not array.size:
                raise ModelError(f"the model's {name} is {array.dtype} {array.shape}, not what it has to be")
        self._tensors = t
        self.y_tables = _tables(t, "y")
        self._layers: tuple[ImportedLayer, ...] = ()
        self._on: dict[str, tuple[ImportedLayer, ...]] = {}
        if factorised:
            self.hyper, self.latent, self.has_means = 0, len(t["y.median"]), False
            self.z_tables = self.y_tables  # none of them is used
            if len(self.y_tables) != self.latent or _largest(t["y.median"]) > MEDIAN_MAX:
                raise ModelError("the model's tables and medians do not fit together")
            return
        self.hyper, outputs = len(t["z.median"]), len(t["h_s.2.weight"])
        self.has_means, self._slope = bool(t["means"][0]), int(t["slope"][0])
        self.latent = outputs // (1 + self.has_means)
        self.z_tables = _tables(t, "z")
        self._check(outputs)
        self._layers = tuple(
            ImportedLayer.build(*(t[f"h_s.{n}.{part}"] for part in ("weight", "bias", "shift"))) for n in range(LAYERS)
        )

    def _check(self, outputs: int) -> None:
        """Raises ModelError when sizes or ranges of a hyperprior do not fit together."""
        t, channels = self._tensors, self.hyper
        for n in range(LAYERS):
            rows, columns = t[f"h_s.{n}.weight"].shape
            fits = columns == 9 * channels and t[f"h_s.{n}.bias"].shape == t[f"h_s.{n}.shift"].shape == (rows,)
            if not fits or (n < 2 and rows % 4):
                raise ModelError(f"the model's h_s.{n} does not fit what goes into it or comes out of it")
            channels = rows // 4
        if len(self.z_tables) != self.hyper or len(self.y_tables) != len(t["y.threshold"]) + 1 > 256:
            raise ModelError("the model's number of probability tables does not fit its networks")
        if t["means"].tolist() not in ([0], [1]) or outputs % (1 + self.has_means):
            raise ModelError("the model does not say whether it has means")
        if not 0 <= self._slope <= 1 << SLOPE_BITS or len(t["slope"]) != 1 or _largest(t["z.median"]) > LIMIT:
            raise ModelError("the model's slope or medians are out of range")
        if (np.diff(t["y.threshold"].astype(np.int64)) <= 0).any():
            raise ModelError("the model's thresholds do not go up")

    def digest(self) -> bytes:
        """The parse digest: 8 bytes over everything integer that decoding latents depends on."""
        constants = {
            "activation": [ACTIVATION_BITS, LIMIT],
            "mean": MEAN_BITS,
            "model": "imported factorised prior 0" if not self.hyper else "imported hyperprior 0",
            "slope": SLOPE_BITS,
        }
        return parse_digest(constants, self._tensors)

    @property
    def z_median(self) -> np.ndarray:
        """[Z] int32 in units of 2^-ACTIVATION_BITS, what an encoder subtracts before it rounds z."""
        return self._tensors["z.median"] if self.hyper else np.zeros(0, np.int32)

    # -- the integer hyper-decoder

    def layers(self, device: torch.device | str) -> tuple[ImportedLayer, ...]:
        """h_s on a device, after its arithmetic has passed the known-answer test."""
        key = str(device)
        if key not in self._on:
            verify_arithmetic(key)
            self._on[key] = tuple(layer.to(device) for layer in self._layers)
        return self._on[key]

    @torch.inference_mode()
    def parameters(
        self, z: np.ndarray, size: tuple[int, int], device: torch.device | str = "cpu"
    ) -> tuple[np.ndarray, np.ndarray]:
        """z [B, Z, h', w'] int32, size: (h, w) of y -> mu [B, M, h, w] int32 in units of 2^-MEAN_BITS, t [B, M, h, w]
        table numbers.
        """
        shape = (len(z), self.latent, *size)
        if not self.hyper:
            median, channel = self._tensors["y.median"], np.arange(self.latent, dtype=np.int16)
            return np.broadcast_to(median[:, None, None], shape), np.broadcast_to(channel[:, None, None], shape)
        mu, t = np.zeros(shape, np.int32), np.empty(shape, np.uint8)
        e1, e2, e3 = self.layers(device)
        median = torch.from_numpy(self._tensors["z.median"].astype(np.float64))[:, None, None].to(device)
        columns = min(COLUMNS, z.shape[3])
        rows = max(BAND // (len(z) * columns), 2 * REACH)
        # A large plane in parts that see REACH beyond themselves: the same integers, less memory.
        for top, left in product(range(0, z.shape[2], rows), range(0, z.shape[3], columns)):
            r, c = max(top - REACH, 0), max(left - REACH, 0)
            part = z[:, :, r : top + rows + REACH, c : left + columns + REACH]
            h = torch.from_numpy(part.astype(np.float64)).to(device)
            h = e1(h.mul_(2.0**ACTIVATION_BITS).add_(median))
            h = e2(leaky(F.pixel_shuffle(h, 2), self._slope))
            h = e3(leaky(F.pixel_shuffle(h, 2), self._slope))
            own = slice(4 * top, min(4 * (top + rows), size[0])), slice(4 * left, min(4 * (left + columns), size[1]))
            h = h[:, :, own[0].start - 4 * r : own[0].stop - 4 * r, own[1].start - 4 * c : own[1].stop - 4 * c]
            out = h.to(torch.int32).cpu().numpy()
            t[:, :, *own] = np.searchsorted(self._tensors["y.threshold"], out[:, : self.latent])
            if self.has_means:
                drop = ACTIVATION_BITS - MEAN_BITS
                mu[:, :, *own] = (out[:, self.latent :] + (1 << (drop - 1))) >> drop
        return mu, t

    # -- the traversal, one for both directions

    def z_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Size of y -> size of z."""
        return -(-size[0] // 4), -(-size[1] // 4)

    def least_bits(self, quality: int, size: tuple[int, int]) -> float:
        """No picture with y of this size is coded in fewer bits: what has a bottleneck at each table's cheapest symbol.

        Lets a decoder refuse a small file that claims to be huge before it takes memory for the latents.
        """
        tables = self.z_tables
        height, width = self.z_size(size) if self.hyper else size
        most = np.maximum.reduceat(tables.counts, tables.start[:-1])
        return float(-np.log2(most / TOTAL).sum()) * height * width

    def traverse(
        self,
        coders: Sequence[Coder],
        quality: Sequence[int],
        size: tuple[int, int],
        source: tuple[np.ndarray, np.ndarray] | None = None,
        device: torch.device | str = "cpu",
    ) -> list[Latents]:
        """Code the latents of B pictures of one size, each with its own coder. Arguments and result are those of
        `HyperpriorCoding.traverse`; source has z less its medians, and of a factorised prior no channels of it.
        """
        z = np.empty((len(coders), self.hyper, *self.z_size(size)), np.int32)
        index = np.repeat(np.arange(self.hyper), z[0, :1].size)
        for b, coder in enumerate(coders):
            if self.hyper:
                values = None if source is None else source[1][b].reshape(-1).clip(-Y_LIMIT, Y_LIMIT)
                z[b] = coder.code(self.z_tables, index, values).reshape(z[b].shape)
        mu, t = self.parameters(z, size, device)
        if source is not None:
            s = np.rint(source[0] - mu * np.float32(1 / ONE)).clip(-Y_LIMIT, Y_LIMIT).astype(np.int32)
        latents = []
        for b, coder in enumerate(coders):
            values = coder.code(self.y_tables, t[b].reshape(-1), None if source is None else s[b].reshape(-1))
            latents.append(Latents(z[b], mu[b] + values.reshape(mu[b].shape) * np.int32(ONE)))
        return latents


def _tables(t: Mapping[str, np.ndarray], name: str) -> TableSet:
    start = np.concatenate([[0], np.cumsum(t[f"{name}.length"].astype(np.int64))])
    return TableSet(t[f"{name}.counts"], start, t[f"{name}.low"])


def _largest(array: np.ndarray) -> int:
    return int(np.abs(array.astype(np.int64)).max())


def _names(factorised: bool) -> list[str]:
    if factorised:
        return ["y.counts", "y.length", "y.low", "y.median"]
    layers = [f"h_s.{n}.{part}" for n in range(LAYERS) for part in ("weight", "bias", "shift")]
    tables = [f"{name}.{part}" for name in "zy" for part in ("counts", "length", "low")]
    return [*tables, "z.median", "y.threshold", *layers, "slope", "means"]


def _dtype(name: str) -> np.dtype:
    kinds = {"weight": np.int16, "shift": np.int16, "bias": np.int64}
    return np.dtype(kinds.get(name.rpartition(".")[2], np.int32))
