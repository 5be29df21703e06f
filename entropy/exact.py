"""Integer layers in training: the forward pass is that of the frozen network, so that what is trained is coded.

    a (integers) -> clamp -> sum_k w_k a_k + b -> * m -> floor(/ 2^shift) -> clamp -> integers

The integers are carried in float tensors, within the bounds of `program` that make their sums exact in any order.
`TrainableExact` computes in training what `layers.ExactLayer` gives, in float32, where a rare last bit does no harm,
and takes the gradient of the real-valued layer (straight-through). In evaluation it computes what is frozen, bit for
bit: only kernels that are plain sums are used, k x k layers are unfold + matmul, not a convolution that may transform
its operands (Winograd is not exact).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .guard import Guard
from .layers import ACTIVATION_BITS, ACTIVATION_MAX, GAIN_BITS, GAIN_MAX, WEIGHT_BITS, ExactLayer
from .program import FLOAT64_BOUND

__all__ = ["TrainableExact", "clamp_inward", "exact_sums", "integer_gain"]


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
    with Guard():
        sums = F.linear(_patches(a.to(weight.dtype), kernel), weight, bias)
    return sums.double().round_().transpose(1, 2).unflatten(2, a.shape[2:])


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
        weight, bias = (integers.cpu().numpy().astype(np.int64) for integers in self._integers())
        return ExactLayer(weight, bias, self.kernel, self.shift, self.output_range)

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
