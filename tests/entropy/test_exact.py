"""Integer layers in training: the forward pass of what is frozen, and a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lecodec.entropy import exact
from lecodec.entropy.exact import TrainableExact, clamp_inward
from lecodec.entropy.guard import Guard
from lecodec.entropy.layers import ACTIVATION_MAX, GAIN_MAX
from lecodec.entropy.program import Builder
from lecodec.entropy.run_torch import TorchRuntime


@pytest.mark.parametrize("kernel", [1, 3])
def test_training_computes_what_is_frozen(kernel):
    torch.manual_seed(0)
    layer = TrainableExact(6, 8, kernel)
    a = torch.randint(0, ACTIVATION_MAX + 1, (2, 6, 5, 4)).double()
    gain = torch.rand(2, 8) * 3
    trained = layer((a / 256).float(), gain)
    b = Builder()
    inputs = b.input("a", 6, 0, ACTIVATION_MAX), b.input("gain", 8, 0, GAIN_MAX, row=True)
    program = b.program(out=layer.freeze().steps(b, *inputs))
    frozen = TorchRuntime("cpu").run(program, {"a": a.numpy(), "gain": exact.integer_gain(gain).numpy()})["out"]
    np.testing.assert_array_equal((trained.detach() * 256).numpy(), frozen)


def test_gradient_is_that_of_the_real_layer():
    torch.manual_seed(0)
    layer = TrainableExact(6, 8, relu=False, output_bits=6, output_range=(-(2**20), 2**20))
    a = (torch.randint(0, 500, (1, 6, 3, 3)) / 256).requires_grad_()
    layer(a).sum().backward()
    weight = (layer.weight.detach() * 2**exact.WEIGHT_BITS).round() / 2**exact.WEIGHT_BITS
    expected = weight.sum(0)[None, :, None, None].expand_as(a)
    torch.testing.assert_close(a.grad, expected)
    assert layer.weight.grad.abs().sum() > 0


def test_autocast_does_not_reach_the_layer():
    layer = TrainableExact(6, 8)
    a = torch.randint(0, ACTIVATION_MAX + 1, (1, 6, 4, 4)) / 256
    with torch.autocast("cpu", torch.bfloat16):
        inside = layer(a)
    assert torch.equal(inside, layer(a))


def test_clamp_inward_lets_values_back():
    x = torch.tensor([-2.0, 0.5, 3.0], requires_grad=True)
    clamp_inward(x, 0, 1).sum().backward()
    assert x.grad.tolist() == [0, 1, 1]  # a descent step lowers all: blocked below, welcome above


def test_freezing_cannot_fail():
    """However far training drives the weights, they stay where the sums are exact."""
    layer = TrainableExact(192, 8, 3)
    with torch.no_grad():
        layer.weight.fill_(1e6)
        layer.bias.fill_(-1e9)
    frozen, b = layer.freeze(), Builder()
    program = b.program(out=frozen.steps(b, b.input("a", 192, 0, ACTIVATION_MAX)))
    assert np.float64 in {facts.carrier for facts in program.facts} and frozen.weight.max() < 2**15


def test_reduced_precision_that_a_program_allows_does_not_reach_exact_sums():
    """`torch.set_float32_matmul_precision("medium")` lets oneDNN round float32 operands to bfloat16."""
    rng = torch.Generator().manual_seed(0)
    a = torch.randint(-1500, 1501, (1, 64, 40, 40), generator=rng).double()
    w = torch.randint(-20, 21, (96, 64), generator=rng)
    expected = torch.einsum("bchw,oc->bohw", a.long(), w).double()
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found = exact.exact_sums(a, w.float(), torch.zeros(96), 1)
        switch = torch.backends.mkldnn.matmul
        allowed = switch.fp32_precision
        with Guard(), Guard():
            assert switch.fp32_precision == "ieee"
        assert switch.fp32_precision == allowed == "bf16"
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found, expected)
