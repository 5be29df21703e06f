"""Integer networks carried in float tensors: the only networks whose output may reach the arithmetic coder.

    a (integers) -> clamp -> sum_k w_k a_k + b -> * m -> floor(/ 2^shift) -> clamp -> integers

Every term is an integer. As long as sum |w| |a| + |b| stays below 2^21 in float32, or 2^51 in float64, every partial
sum is representable, so the sum is exact *in any order*: on any thread count, BLAS or GPU. `ExactLayer` recomputes
that bound from its weights when it is made, clamps its input to the range the bound assumes (hostile files can hold any
value) and takes the cheapest carrier for which it holds. Requantisation multiplies by an integer and shifts, in
float64, where both are exact below 2^53. The idea is Ballé, Johnston, Minnen, "Integer Networks for Data Compression
with Latent-Variable Models" (ICLR 2019).

Only kernels that are plain sums are used: k x k layers are unfold + matmul, never a convolution routine that may
transform its operands (Winograd is not exact). `verify_arithmetic` checks the machine against a known answer once in
each process and device.

Training uses the same function: `TrainableExact` computes the integers of `ExactLayer` in float32, where a rare last
bit does no harm, with the gradient of the real-valued layer (straight-through), so that what is trained is what is
coded. In evaluation it computes what is frozen, bit for bit.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError

__all__ = ["ExactLayer", "TrainableExact", "clamp_inward", "no_tf32", "verify_arithmetic"]

FLOAT32_BOUND = 2.0**21
FLOAT64_BOUND = 2.0**51
ACTIVATION_BITS = 8
"""Fractional bits of hidden activations."""
ACTIVATION_MAX = 2**13 - 1
"""Hidden activations are integers in [0, ACTIVATION_MAX]."""
WEIGHT_BITS = 12
"""Fractional bits of weights, which are stored as int16."""
GAIN_BITS = 10
"""Fractional bits of the integer multipliers."""
GAIN_MAX = 2**14 - 1


@dataclass(frozen=True)
class ExactLayer:
    """One frozen integer layer. Immutable; its tensors are shared by all threads.

    weight: [cout, cin * k * k] integers, |w| < 2^15; bias: [cout] integers; input_low/high and output_low/high: the
    clamps; shift: bits dropped after the multiplier; kernel: k (odd; borders are replicated).
    carrier: the float type in which the sum is exact. Raises ModelError when none is.
    """

    weight: Tensor
    bias: Tensor
    kernel: int
    shift: int
    input_low: int
    input_high: int
    output_low: int
    output_high: int
    carrier: torch.dtype = torch.float64

    @classmethod
    def build(
        cls,
        weight: Tensor,
        bias: Tensor,
        *,
        kernel: int,
        shift: int,
        input_range: tuple[int, int],
        output_range: tuple[int, int],
    ) -> ExactLayer:
        """Check the bound and choose the carrier; the fields' meanings are those of the class."""
        w, b = weight.double(), bias.double()
        reach = max(abs(input_range[0]), abs(input_range[1]))
        bound = float((w.abs().sum(1) * reach + b.abs()).max())
        if not math.isfinite(bound) or bound * (GAIN_MAX + 1) + 2.0**shift >= FLOAT64_BOUND:
            raise ModelError(f"an exact layer can reach {bound:.4g}: beyond what float64 sums exactly")
        carrier = torch.float32 if bound < FLOAT32_BOUND else torch.float64
        return cls(w.to(carrier), b.to(carrier), kernel, shift, *input_range, *output_range, carrier)

    def to(self, device: torch.device | str, carrier: torch.dtype | None = None) -> ExactLayer:
        """The same layer on another device, or in a wider carrier."""
        c = carrier or self.carrier
        moved = {**self.__dict__, "weight": self.weight.to(device, c), "bias": self.bias.to(device, c), "carrier": c}
        return ExactLayer(**moved)

    def __call__(self, a: Tensor, gain: Tensor | None = None, offset: Tensor | None = None) -> Tensor:
        """a: [B, cin, H, W] integers in float64; gain: [B, cout] integers in [0, GAIN_MAX], 2^GAIN_BITS standing for 1
        (None: 1); offset: [B, cout] integers added after the shift -> [B, cout, H, W] integers in float64.
        """
        with torch.autocast(a.device.type, enabled=False):
            out = exact_sums(a.clamp(self.input_low, self.input_high), self.weight, self.bias, self.kernel)
            # In place: a pass over fresh memory costs more than the arithmetic.
            out.mul_(2.0**GAIN_BITS if gain is None else gain.double()[:, :, None, None])
            out.add_(2.0 ** (self.shift - 1)).mul_(2.0**-self.shift).floor_()
            if offset is not None:
                out.add_(offset.double()[:, :, None, None])
            return out.clamp_(self.output_low, self.output_high)


def _patches(a: Tensor, kernel: int) -> Tensor:
    """[B, C, H, W] -> [B, H*W, C*k*k], borders replicated."""
    if kernel == 1:
        return a.flatten(2).transpose(1, 2)
    r = kernel // 2
    return F.unfold(F.pad(a, (r, r, r, r), mode="replicate"), kernel).transpose(1, 2)


def exact_sums(a: Tensor, weight: Tensor, bias: Tensor, kernel: int) -> Tensor:
    """The plain sums of one layer: a [B, C, H, W] -> [B, cout, H, W] float64 integers. No clamp, no requantisation.

    `round` absorbs a last bit, should a routine reassociate beyond plain sums within the margin of the bound.
    """
    with no_tf32(a.device):
        sums = F.linear(_patches(a.to(weight.dtype), kernel), weight, bias)
    return sums.double().round_().transpose(1, 2).unflatten(2, a.shape[2:])


class no_tf32:
    """Inside, products of float32 are products of float32: recent GPUs round operands to 10 bits (TF32) and oneDNN on
    CPUs to 8 (bfloat16) where a program has allowed it. The switches belong to the whole process, so they are set by
    the first thread that comes in and put back by the last one that goes out.
    """

    _lock = threading.Lock()
    _inside: dict[str, int] = {}
    _before: dict[str, Any] = {}

    def __init__(self, device: torch.device):
        self.kind = device.type

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside.get(self.kind):
                self._before[self.kind] = _reduced(self.kind)
                _reduce(self.kind, False if self.kind == "cuda" else "ieee")
            self._inside[self.kind] = self._inside.get(self.kind, 0) + 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside[self.kind] -= 1
            if not self._inside[self.kind]:
                _reduce(self.kind, self._before.pop(self.kind))


def _reduced(kind: str) -> Any:
    """What the switch of a kind of device says; None where there is none (older torch has none for CPUs)."""
    if kind == "cuda":
        return torch.backends.cuda.matmul.allow_tf32
    products = getattr(torch.backends.mkldnn, "matmul", None)
    return getattr(products, "fp32_precision", None)


def _reduce(kind: str, value: Any) -> None:
    if _reduced(kind) is None or value is None:
        return
    if kind == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = value
    else:
        torch.backends.mkldnn.matmul.fp32_precision = value  # pyright: ignore[reportAttributeAccessIssue]


@cache
def verify_arithmetic(device: str) -> frozenset[torch.dtype]:
    """The carriers that sum exactly on `device`, by a known-answer test at the edge of their bounds.

    Run once in each process and device. The expected sums are computed with Python integers. Raises ModelError when
    not even float64 is exact: coding there would lose files.
    """
    good = set()
    for dtype, bound in ((torch.float32, FLOAT32_BOUND), (torch.float64, FLOAT64_BOUND)):
        if all(_known_answer(device, dtype, bound, batch, kernel) for batch in (1, 17) for kernel in (1, 3)):
            good.add(dtype)
    if torch.float64 not in good:
        raise ModelError(f"sums of integers in float64 are not exact on {device}: this device cannot code")
    return frozenset(good)


def _known_answer(device: str, dtype: torch.dtype, bound: float, batch: int, kernel: int) -> bool:
    cin, cout, size = 24, 8, 5
    k = cin * kernel * kernel
    top = math.isqrt(int(bound / k)) - 1  # so that sum |w| |a| stays just below the bound
    # A fixed linear congruential sequence: the same integers everywhere, whatever the random generators do.
    state, values = 1, []
    for _ in range(cin * size * size + cout * k):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append((state >> 20) % (2 * top + 1) - top)
    plane = torch.tensor(values[: cin * size * size], dtype=torch.float64).view(1, cin, size, size)
    weight = torch.tensor(values[cin * size * size :], dtype=torch.int64).view(cout, k)
    zero = torch.zeros(cout, device=device, dtype=dtype)
    found = exact_sums(plane.expand(batch, -1, -1, -1).to(device), weight.to(device, dtype), zero, kernel)
    expected = (_patches(plane, kernel).long().unsqueeze(2) * weight).sum(3)  # int64: exact by definition
    expected = expected.transpose(1, 2).unflatten(2, (size, size)).expand(batch, -1, -1, -1)
    return torch.equal(found.cpu().long(), expected)


class _ClampInward(torch.autograd.Function):
    """clamp whose gradient still passes where it would move the value back into the range. What backward needs is the
    output, which the next layer keeps as well.
    """

    @staticmethod
    def forward(ctx, x: Tensor, low: float, high: float) -> Tensor:  # type: ignore[override]
        out = x.clamp(low, high)
        ctx.save_for_backward(out)
        ctx.range = (low, high)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        (out,) = ctx.saved_tensors
        low, high = ctx.range
        return torch.where(((out > low) | (grad < 0)) & ((out < high) | (grad > 0)), grad, 0), None, None


def clamp_inward(x: Tensor, low: float, high: float) -> Tensor:
    """x clamped to [low, high]; the gradient is kept wherever a step along it leads towards the range."""
    return _ClampInward.apply(x, low, high)


class TrainableExact(nn.Module):
    """The trainable form of an ExactLayer: real weights, integer forward pass, straight-through gradient.

    forward: a [B, cin, H, W] reals that are multiples of 2^-input_bits -> reals that are multiples of 2^-output_bits,
    equal to the frozen layer's integers divided by 2^output_bits. gain: [B, cout] reals; offset: [B, cout] reals in
    units of the output. `relu` layers clamp to [0, ACTIVATION_MAX], others to `output_range`. `scale`: of the weights
    against the parameters, for outputs whose units are large against one.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int = 1,
        *,
        input_bits: int = ACTIVATION_BITS,
        output_bits: int = ACTIVATION_BITS,
        input_range: tuple[int, int] = (0, ACTIVATION_MAX),
        output_range: tuple[int, int] = (0, ACTIVATION_MAX),
        relu: bool = True,
        scale: float = 1.0,
    ):
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(cout, cin * kernel * kernel) * (2 / (cin * kernel * kernel)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(cout))
        self.kernel, self.relu = kernel, relu
        self.input_bits, self.output_bits = input_bits, output_bits
        self.input_range, self.output_range = input_range, output_range

    def _integers(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the integer layer, float64. Weights are clamped, here as in training, to int16 and to what
        keeps the bound if all of a row had that size: freezing cannot fail after hours.
        """
        reach = max(abs(self.input_range[0]), abs(self.input_range[1])) * self.weight.shape[1]
        top = min(2**15 - 1, int((FLOAT64_BOUND / (GAIN_MAX + 1) - 2**32) / reach))
        weight = (self.weight.detach().float() * (self.scale * 2**WEIGHT_BITS)).round_().clamp_(-top, top)
        bias = self.bias.detach().double() * self.scale * 2 ** (WEIGHT_BITS + self.input_bits)
        return weight.double(), bias.round_().clamp_(-(2**31), 2**31 - 1)

    def freeze(self) -> ExactLayer:
        """The integer layer that forward() computes with."""
        return ExactLayer.build(
            *self._integers(),
            kernel=self.kernel,
            shift=self.shift,
            input_range=self.input_range,
            output_range=self.output_range,
        )

    @property
    def shift(self) -> int:
        """Bits that requantising drops after the multiplier."""
        return WEIGHT_BITS + self.input_bits - self.output_bits + GAIN_BITS

    def forward(self, a: Tensor, gain: Tensor | None = None, offset: Tensor | None = None) -> Tensor:
        with torch.autocast(a.device.type, enabled=False):
            return (self._in_float32 if self.training else self._in_integers)(a.float(), gain, offset)

    @torch.no_grad()
    def _in_integers(self, a: Tensor, gain: Tensor | None, offset: Tensor | None) -> Tensor:
        """What the frozen layer computes."""
        integers = (a.double() * 2.0**self.input_bits).round_().clamp_(*self.input_range)
        out = exact_sums(integers, *self._integers(), self.kernel)
        out.mul_(2.0**GAIN_BITS if gain is None else integer_gain(gain)[:, :, None, None])
        out.add_(2.0 ** (self.shift - 1)).mul_(2.0**-self.shift).floor_()
        if offset is not None:
            out.add_((offset.double() * 2.0**self.output_bits).round()[:, :, None, None])
        return out.clamp_(*self.output_range).mul_(2.0**-self.output_bits).float()

    def _in_float32(self, a: Tensor, gain: Tensor | None, offset: Tensor | None) -> Tensor:
        """The same but for a rare last bit, with the gradient of the real-valued layer; nothing that a compiler cannot
        see through.
        """
        one_weight, one_out = self.scale * 2.0**WEIGHT_BITS, 2.0**self.output_bits
        weight = straight_through(self.weight, (self.weight * one_weight).round() * (1 / one_weight))
        rows = _patch_rows(a.permute(0, 2, 3, 1), self.kernel)
        out = F.linear(rows, weight, self.bias)
        factor = None if gain is None else straight_through(gain, (gain * 2.0**GAIN_BITS).round() * 2.0**-GAIN_BITS)
        if factor is not None:
            out = out * (factor * self.scale)[:, None, None]
        elif self.scale != 1:
            out = out * self.scale
        if offset is not None:
            out = out + straight_through(offset, (offset * one_out).round() * (1 / one_out))[:, None, None]
        low, high = (end / one_out for end in self.output_range)
        if self.relu:
            out = F.relu(out)
        out = straight_through(out, (out * one_out + 0.5).floor() * (1 / one_out))
        return clamp_inward(out, low, high).permute(0, 3, 1, 2)


def straight_through(real: Tensor, value: Tensor) -> Tensor:
    """`value` with the gradient of `real`."""
    return real + (value - real).detach()


def _patch_rows(a: Tensor, kernel: int) -> Tensor:
    """[B, H, W, C] -> [B, H, W, C*k*k], borders replicated, in the order of `_patches`."""
    if kernel == 1:
        return a
    r, (h, w) = kernel // 2, a.shape[1:3]
    a = torch.cat([a[:, :1]] * r + [a] + [a[:, -1:]] * r, 1)
    a = torch.cat([a[:, :, :1]] * r + [a] + [a[:, :, -1:]] * r, 2)
    return torch.stack([a[:, i : i + h, j : j + w] for i in range(kernel) for j in range(kernel)], 4).flatten(3)


def integer_gain(gain: Tensor) -> Tensor:
    """Real gains -> integer multipliers in [0, GAIN_MAX], float64."""
    return (gain.detach().double() * 2**GAIN_BITS).round().clamp(0, GAIN_MAX)
