"""Integer layers in training: the forward pass is that of the frozen network, so that what is trained is coded.

    a (integers) -> clamp -> sum_k w_k a_k + b -> * m -> floor(/ 2^shift) -> clamp -> integers

The integers are carried in float tensors, within the bounds of `program` that make their sums exact in any order.
`TrainableExact` computes its output with the arithmetic of `layers.ExactLayer` and takes the gradient of the
real-valued layer (straight-through). Only kernels that are plain sums are used: k x k layers are unfold + matmul, not
a convolution that may transform its operands (Winograd is not exact).
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
    """clamp whose gradient still passes where it would move the value back into the range."""

    @staticmethod
    def forward(ctx, x: Tensor, low: float, high: float) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        ctx.range = (low, high)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        (x,) = ctx.saved_tensors
        low, high = ctx.range
        blocked = ((x < low) & (grad > 0)) | ((x > high) & (grad < 0))
        return grad.masked_fill(blocked, 0), None, None


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
        shift = WEIGHT_BITS + self.input_bits - self.output_bits + GAIN_BITS
        weight, bias = (integers.cpu().numpy().astype(np.int64) for integers in self._integers())
        return ExactLayer(weight, bias, self.kernel, shift, self.output_range)

    def forward(self, a: Tensor, gain: Tensor | None = None, offset: Tensor | None = None) -> Tensor:
        with torch.autocast(a.device.type, enabled=False):
            return _Straight.apply(a.float(), self.weight, self.bias, gain, offset, self)


class _Straight(torch.autograd.Function):
    """The integer layer's output, with the gradient of the real-valued one at the integer layer's sums."""

    @staticmethod
    def forward(ctx, a, weight, bias, gain, offset, layer: TrainableExact):  # type: ignore[override]
        w, b = layer._integers()
        in_scale, out_scale = 2.0**layer.input_bits, 2.0**layer.output_bits
        integers = (a.double() * in_scale).round_().clamp_(*layer.input_range)
        sums = exact_sums(integers, w, b, layer.kernel)
        real = (sums * (1 / (in_scale * 2**WEIGHT_BITS))).float()
        shift = WEIGHT_BITS + layer.input_bits - layer.output_bits + GAIN_BITS
        sums = sums.mul_(2.0**GAIN_BITS if gain is None else integer_gain(gain)[:, :, None, None])
        sums = sums.add_(2.0 ** (shift - 1)).mul_(2.0**-shift).floor_()
        if offset is not None:
            sums.add_((offset.detach().double() * out_scale).round()[:, :, None, None])
        out = sums.clamp_(*layer.output_range).mul_(1 / out_scale).float()
        ctx.save_for_backward(a, weight, gain, offset, real)
        ctx.layer = layer
        return out

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        a, weight, gain, offset, real = ctx.saved_tensors
        layer: TrainableExact = ctx.layer
        value = real if gain is None else real * gain[:, :, None, None]
        value = value if offset is None else value + offset[:, :, None, None]
        low, high = (end / 2**layer.output_bits for end in layer.output_range)
        below = value <= 0 if layer.relu else (value < low) & (grad > 0)
        grad = grad.float().masked_fill(below | ((value > high) & (grad < 0)), 0)  # as clamp_inward
        to_offset = None if offset is None else grad.sum((2, 3))
        to_gain = None if gain is None else (grad * real).sum((2, 3))
        grad = grad * (layer.scale if gain is None else (gain * layer.scale)[:, :, None, None])
        rows = grad.flatten(2).transpose(1, 2)  # [B, H W, cout]
        with torch.enable_grad():
            inputs = a.detach().requires_grad_(ctx.needs_input_grad[0])
            patches = _patches(inputs, layer.kernel)
        flat = rows.reshape(-1, rows.shape[2])
        to_weight = flat.t() @ patches.detach().reshape(flat.shape[0], -1)
        to_a = None
        if ctx.needs_input_grad[0]:
            (to_a,) = torch.autograd.grad(patches, inputs, rows @ weight)
        return to_a, to_weight, flat.sum(0), to_gain, to_offset, None


def integer_gain(gain: Tensor) -> Tensor:
    """Real gains -> integer multipliers in [0, GAIN_MAX], float64."""
    return (gain.detach().double() * 2**GAIN_BITS).round().clamp(0, GAIN_MAX)
