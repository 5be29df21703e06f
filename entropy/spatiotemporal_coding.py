"""The spatiotemporal entropy model, frozen for coding: y of a frame given the latents of two others. Integers only.

    [z_hat --model above--> coder]   z_hat --h_s--> features, (mu_i, t_i)
    r_0, r_1, mu_i --temporal network--> gates, (d, dt), more features --> (mu_0, t_0)
    four times:   features, y_hat so far --c_k--> (mu, t)     s --table t--> coder     y_hat = s + mu

    blend = r_1 + g (r_0 - r_1)     mu_0 = mu_i + k (blend - mu_i) + d unit     t_0 = t_i + dt

h_s, z and the tables are those of an image model, the passes start as its passes (see `context_coding`); what is new is
the network between them, which decides at each place and channel how much comes from the references. One autoencoder
for every frame and all temporal redundancy in the entropy model: Sun et al., "Spatiotemporal Entropy Model is All You
Need for Learned Video Compression" (arXiv 2104.06083). Gates: MaskCRT (arXiv 2312.15829). z is optional: a model
`without_z` codes none and runs h_s on zeros.

Steps. A frame is coded at a rate of its own, and `magnitude` says how large each channel of y is at each rate: y of a
finer rate, divided by the ratio of magnitudes, is what a coarser rate codes. References of another rate are brought to
that of the frame by `at_rate`, with integer ratios. So y_hat of a coarsely coded frame inherits through mu what was
finer in its references.

All of it is integer arithmetic on latents that are decoded already: what is decoded is the same on every machine, and
no error can build up from frame to frame.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import ModelError
from .coder import Coder
from .context_coding import ContextCoding, blocks_of, folded
from .latents import MEAN_BITS, NEAREST, Choice, EntropyModel, Latents, Size
from .layers import ACTIVATION_BITS, ACTIVATION_MAX, GAIN_BITS, GAIN_MAX, WEIGHT_BITS, ExactLayer
from .program import Builder, Program
from .rate import QUALITY_LEVELS, QUALITY_ONE, rows_at
from .runtime import Runtime, run_in_bands, runtime_of

__all__ = ["DEPTH", "FACTS", "Reference", "SpatiotemporalCoding", "facts_of", "ratio_of", "rescaled"]

DEPTH = 2
"""Residual 3 x 3 layers of the temporal network."""
FACTS = 7
"""Numbers that the temporal network knows of a frame and its references, see `facts_of`."""
FAR = 2**12
"""Frames between two that count as no further apart."""
GATE_BITS = 10
"""Fractional bits of the gates g and k."""
CHANGE_BITS = 10
"""Fractional bits of d, in units of a channel's deviation."""
CHANGE_RANGE = -(2**15), 2**15 - 1
NARROW_BITS = 14
"""Fractional bits of 1 / deviation."""
NARROW_SHIFT = NARROW_BITS + MEAN_BITS - ACTIVATION_BITS
GAP_BITS = 2
"""|r_0 - r_1| is seen in units finer by so many bits."""
UNIT_MAX = 2**22
"""Tables of deviations, of their inverses and of magnitudes stay within it."""
RATIO_BITS = 16
"""Fractional bits of the ratio of two magnitudes."""
RATIO_MAX = 2**24
REFERENCE_MAX = 2**22
"""y_hat of a reference is clamped to +-REFERENCE_MAX before it is brought to another rate."""
SIGNED = (-ACTIVATION_MAX, ACTIVATION_MAX)
BAND = 2**9
"""Blocks of y that the temporal network works on at a time."""
TABLES = ("magnitude", "unit", "narrow")
LAYERS = ("enter", *(f"look.{n}" for n in range(DEPTH)), "gates", "change", "scale", "features")


@dataclass(frozen=True)
class Reference(Latents):
    """Latents of a frame as something to predict another from. levels: y_hat alone, at the rate of the frame that is
    coded (see `SpatiotemporalCoding.at_rate`); rate: the fixed-point index at which it was coded itself; distance:
    frames between the two, negative for a frame that is shown before.
    """

    rate: int = 0
    distance: int = 1


def facts_of(rates: Sequence[int], given: Sequence[Sequence[Reference]], has_z: bool) -> np.ndarray:
    """[B, FACTS] integers in units of 2^-ACTIVATION_BITS: by how many indices each reference is finer, in 64ths; the
    index; log2 of 1 + each distance; whether both references are one frame; whether there is a z.
    """
    rows = []
    for rate, (first, second) in zip(rates, given, strict=True):
        finer = [(r.rate - rate) * 2**ACTIVATION_BITS // (QUALITY_ONE * QUALITY_LEVELS) for r in (first, second)]
        index = rate * 2**ACTIVATION_BITS // (QUALITY_ONE * QUALITY_LEVELS)
        far = [_logarithm(1 + min(abs(r.distance), FAR)) for r in (first, second)]
        same = first.distance == second.distance
        rows.append([*finer, index, *far, same << ACTIVATION_BITS, has_z << ACTIVATION_BITS])
    return np.array(rows, np.int64).clip(*SIGNED)


def _logarithm(n: int) -> int:
    """log2(n), linear between powers of two, in quarters and units of 2^-ACTIVATION_BITS: an integer everywhere."""
    below = n.bit_length() - 1
    return 64 * below + (64 * (n - (1 << below)) >> below)


def ratio_of(magnitude: np.ndarray, rates: Sequence[int], wanted: Sequence[int]) -> np.ndarray:
    """magnitude: [QUALITY_LEVELS, M] -> what brings y from `rates` to `wanted`, [B, M] in units of 2^-RATIO_BITS."""
    before, after = rows_at(magnitude, rates), rows_at(magnitude, wanted)
    return (((after << RATIO_BITS) + before // 2) // before).clip(0, RATIO_MAX)


def rescaled(y_hat: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """y_hat [M, h, w] int32 by a ratio [M], rounded -> int32."""
    product = y_hat.clip(-REFERENCE_MAX, REFERENCE_MAX).astype(np.int64) * ratio[:, None, None]
    return ((product + (1 << RATIO_BITS - 1)) >> RATIO_BITS).clip(-(2**30), 2**30).astype(np.int32)


class SpatiotemporalCoding(ContextCoding):
    """tensors: those of the image model's `ContextCoding`, its passes replaced by those of this model, and those of the
    temporal network: what `Spatiotemporal.frozen` returns, beside the image model's. above: as there. Raises ModelError
    when they do not make a model. Threads may share one object.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], above: EntropyModel | None = None):
        super().__init__(tensors, above)
        self.has_z = True
        """Whether z is coded."""
        self._check_temporal()
        t = self._tensors
        self._tables = {name: t[f"temporal.{name}"].astype(np.int64) for name in TABLES}
        self._enter_gain = t["temporal.enter.gain"].astype(np.int64)
        self._temporal = self._temporal_program()

    @property
    def features(self) -> int:
        """Those of h_s, and those of the temporal network."""
        return super().features + len(self._tensors["temporal.features.weight"])

    @property
    def magnitude(self) -> np.ndarray:
        """[QUALITY_LEVELS, M] int64: how large each channel of y is at each index."""
        return self._tables["magnitude"]

    def without_z(self) -> Self:
        """The same model for frames that have no z."""
        other = copy.copy(self)
        other.has_z = False
        return other

    def at_rate(self, y_hat: np.ndarray, rate: int, wanted: int, distance: int) -> Reference:
        """y_hat [M, h, w] of a frame that was coded at a rate -> a reference for a frame of the rate `wanted`."""
        ratio = ratio_of(self.magnitude, [rate], [wanted])[0]
        return Reference((rescaled(y_hat, ratio),), rate, distance)

    def least_bits(self, size: Size, rate: int) -> float:
        return super().least_bits(size, rate) if self.has_z else 0.0

    def _constants(self) -> dict[str, Any]:
        bits = [GATE_BITS, CHANGE_BITS, NARROW_BITS, GAP_BITS, RATIO_BITS, REFERENCE_MAX]
        return {**super()._constants(), "model": "spatiotemporal 0", "temporal": [DEPTH, FACTS, *bits]}

    @staticmethod
    def _names() -> list[str]:
        layers = [f"temporal.{name}.{part}" for name in LAYERS for part in ("weight", "bias")]
        return [
            *ContextCoding._names(),
            *layers,
            "temporal.facts.weight",
            "temporal.enter.gain",
            *(f"temporal.{name}" for name in TABLES),
        ]

    def _check_temporal(self) -> None:
        """Raises ModelError when the temporal network does not fit the others."""
        t, m = self._tensors, self.latent
        width, more = (len(t[f"temporal.{name}.weight"]) for name in ("enter", "features"))
        wanted = {
            "enter.weight": (width, 4 * m),
            "facts.weight": (width, FACTS),
            "enter.gain": (QUALITY_LEVELS, width),
            **{f"look.{n}.weight": (width, 9 * width) for n in range(DEPTH)},
            "gates.weight": (2 * m, width),
            "change.weight": (m, width),
            "scale.weight": (m, width),
            "features.weight": (more, 4 * width),
            **{name: (QUALITY_LEVELS, m) for name in TABLES},
        }
        wanted |= {f"{name}.bias": wanted[f"{name}.weight"][:1] for name in LAYERS}
        for name, shape in wanted.items():
            if t[f"temporal.{name}"].shape != shape or 0 in shape:
                raise ModelError(f"the model's temporal.{name} has shape {t[f'temporal.{name}'].shape}, not {shape}")
        if t["temporal.enter.gain"].min() < 0 or t["temporal.enter.gain"].max() > GAIN_MAX:
            raise ModelError("the model's integer gains are out of range")
        if any(t[f"temporal.{name}"].min() < 1 or t[f"temporal.{name}"].max() > UNIT_MAX for name in TABLES):
            raise ModelError("the model's tables of deviations are out of range")

    # -- the temporal network

    def _layer_of(self, name: str, kernel: int, bits: int, output_range: tuple[int, int]) -> ExactLayer:
        return ExactLayer(
            self._tensors[f"temporal.{name}.weight"],
            self._tensors[f"temporal.{name}.bias"],
            kernel=kernel,
            shift=WEIGHT_BITS + ACTIVATION_BITS - bits + GAIN_BITS,
            output_range=output_range,
        )

    def _temporal_program(self) -> Program:
        """References and (mu_i, t_i), all folded to blocks [4 M] -> features, mu_0 and t_0 [4 M], in blocks."""
        b, m, most = Builder(), self.latent, self.mean_range
        r0, r1, mu, t = (b.spread(b.input(name, 4 * m, *most), 2) for name in ("r0", "r1", "mu", "t"))
        narrow, unit = (b.input(name, m, 1, UNIT_MAX, row=True) for name in ("narrow", "unit"))
        facts, enter = b.input("facts", FACTS, *SIGNED, row=True), self._layer_of("enter", 1, ACTIVATION_BITS, SIGNED)
        gain = b.input("gain", len(enter.weight), 0, GAIN_MAX, row=True)

        def seen(a: int, bits: int = 0) -> int:
            return b.clamp(b.shift(b.multiply(a, narrow), NARROW_SHIFT - bits), *SIGNED)

        difference = b.add(r0, b.multiply(r1, b.constant([-1])))
        joined = b.join(seen(r0), seen(r1), seen(b.absolute(difference), GAP_BITS), seen(mu))
        sums = b.matmul(joined, enter.weight, enter.bias)
        weight = self._tensors["temporal.facts.weight"]
        sums = b.add(sums, b.matmul(facts, weight, np.zeros(len(weight), np.int64)))
        a = b.clamp(b.shift(b.multiply(sums, gain), enter.shift), 0, ACTIVATION_MAX)
        for n in range(DEPTH):
            look = self._layer_of(f"look.{n}", 3, ACTIVATION_BITS, SIGNED)
            a = b.clamp(b.add(a, look.steps(b, a)), 0, ACTIVATION_MAX)
        gates = self._layer_of("gates", 1, GATE_BITS, (0, 1 << GATE_BITS)).steps(b, a)
        g, k = b.select(gates, range(m)), b.select(gates, range(m, 2 * m))
        d = self._layer_of("change", 1, CHANGE_BITS, CHANGE_RANGE).steps(b, a)
        dt = self._layer_of("scale", 1, MEAN_BITS, most).steps(b, a)
        blend = b.add(r1, b.shift(b.multiply(g, difference), GATE_BITS))
        kept = b.shift(b.multiply(k, b.add(blend, b.multiply(mu, b.constant([-1])))), GATE_BITS)
        change = b.shift(b.multiply(d, unit), CHANGE_BITS)
        mu_0 = b.clamp(b.add(b.add(mu, kept), change), *most)
        features = self._layer_of("features", 1, ACTIVATION_BITS, (0, ACTIVATION_MAX)).steps(b, b.fold(a, 2))
        return b.program(features=features, mu=b.fold(mu_0, 2), t=b.fold(b.clamp(b.add(t, dt), *most), 2))

    def start_of(
        self,
        z: np.ndarray | None,
        rates: Sequence[int],
        given: Sequence[Sequence[Reference]],
        size: Size,
        runtime: Runtime,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """h_s and the temporal network -> what `_pass_by_pass` starts from. z: [B, Z, h', w'], None for none."""
        blocks = blocks_of(size)
        seen, mu, t = self.start(z, rates, blocks, runtime)
        references = [np.stack([pair[n].y_hat for pair in given]) for n in range(2)]
        even = [(0, 2 * n - s) for n, s in zip(blocks, size, strict=True)]
        r0, r1 = (folded(np.pad(r, [(0, 0), (0, 0), *even], "edge"), blocks) for r in references)
        own = ContextCoding.features.fget(self)  # pyright: ignore[reportOptionalCall]
        inputs = {"r0": r0, "r1": r1, "mu": mu, "t": t, "facts": facts_of(rates, given, z is not None)}
        inputs |= {"gain": rows_at(self._enter_gain, rates)}
        inputs |= {name: rows_at(self._tables[name], rates) for name in ("narrow", "unit")}
        features = seen[:, own : self.features]
        found = run_in_bands(runtime, self._temporal, inputs, BAND, into={"features": features})
        return seen, found["mu"], found["t"]

    # -- the traversal, one for both directions

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
        """See `EntropyModel.traverse`. given: of each frame two `Reference`s of the same size; source: as that of
        `HyperpriorCoding`, or y alone for a model without z, whose latents have one level.
        """
        pairs = [[r for r in pair if isinstance(r, Reference)] for pair in given]
        if len(pairs) != len(coders) or any([r.y_hat.shape[1:] for r in p] != [size] * 2 for p in pairs):
            raise ModelError("the entropy model codes a frame given two others of its size")
        runtime = runtime_of(device)
        above, z = [Latents(())] * len(coders), None
        if self.has_z:
            above, z = self.code_above(coders, size, rates, source, runtime)
        start = choice.once("seen, mu, t", lambda: self.start_of(z, rates, pairs, size, runtime))
        y = None if source is None else source[-1]
        whole = self._pass_by_pass(coders, size, rates, start, y, runtime, choice)
        return [Latents((*a.levels, np.ascontiguousarray(y))) for a, y in zip(above, whole, strict=True)]
