"""Integer networks: exact sums whatever the machine does, bounds for every input, one function for both uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lecodec.entropy import exact
from lecodec.entropy.exact import ACTIVATION_MAX, GAIN_BITS, ExactLayer, TrainableExact, clamp_inward, verify_arithmetic
from lecodec.errors import ModelError


def _layer(cin=5, cout=4, kernel=3, top=200, high=255, shift=18) -> ExactLayer:
    rng = np.random.default_rng(1)
    weight = torch.from_numpy(rng.integers(-top, top + 1, (cout, cin * kernel * kernel)).astype(np.float64))
    bias = torch.from_numpy(rng.integers(-9999, 9999, cout).astype(np.float64))
    return ExactLayer.build(
        weight, bias, kernel=kernel, shift=shift, input_range=(0, high), output_range=(0, ACTIVATION_MAX)
    )


def _by_python_integers(layer: ExactLayer, a: np.ndarray, gain: list[int] | None) -> np.ndarray:
    """The layer's definition in Python's unbounded integers, one output at a time."""
    cin, height, width = a.shape
    r = layer.kernel // 2
    weight = layer.weight.long().tolist()
    out = np.zeros((len(weight), height, width), np.int64)
    for o, row in enumerate(weight):
        for y in range(height):
            for x in range(width):
                total, k = int(layer.bias[o]), 0
                for c in range(cin):
                    for dy in range(-r, r + 1):
                        for dx in range(-r, r + 1):
                            value = int(a[c, min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)])
                            total += row[k] * min(max(value, layer.input_low), layer.input_high)
                            k += 1
                total *= 1 << GAIN_BITS if gain is None else gain[o]
                total = (total + (1 << (layer.shift - 1))) >> layer.shift
                out[o, y, x] = min(max(total, layer.output_low), layer.output_high)
    return out


@pytest.mark.parametrize("gain", [None, [0, 1, 1024, 16383]])
@pytest.mark.parametrize("kernel", [1, 3])
def test_layer_is_its_integer_definition(kernel, gain):
    layer = _layer(kernel=kernel)
    a = np.random.default_rng(2).integers(-300, 600, (5, 4, 6))  # beyond the input range on both sides: clamped
    g = None if gain is None else torch.tensor([gain])
    found = layer(torch.from_numpy(a[None].astype(np.float64)), g)[0].numpy()
    np.testing.assert_array_equal(found, _by_python_integers(layer, a, gain))


def test_carrier_follows_the_bound():
    assert _layer(top=100, high=255).carrier == torch.float32
    assert _layer(top=32767, high=ACTIVATION_MAX).carrier == torch.float64
    with pytest.raises(ModelError, match="beyond what float64"):
        _layer(top=2**30, high=2**20)


def test_both_carriers_give_the_same_integers():
    layer = _layer(top=100)
    a = torch.randint(0, 256, (3, 5, 9, 7)).double()
    assert layer.carrier == torch.float32
    assert torch.equal(layer(a), layer.to("cpu", torch.float64)(a))


def test_hostile_inputs_are_clamped():
    layer = _layer()
    huge = torch.full((1, 5, 3, 3), 2.0**31)
    assert torch.equal(layer(huge), layer(torch.full((1, 5, 3, 3), 255.0)))


@pytest.mark.parametrize("kernel", [1, 3])
def test_training_computes_what_is_frozen(kernel):
    torch.manual_seed(0)
    layer = TrainableExact(6, 8, kernel)
    a = torch.randint(0, ACTIVATION_MAX + 1, (2, 6, 5, 4)).double()
    gain = torch.rand(2, 8) * 3
    trained = layer((a / 256).float(), gain)
    frozen = layer.freeze()(a, exact.integer_gain(gain))
    assert torch.equal((trained * 256).double(), frozen)


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


def test_known_answer_passes_here_and_float32_is_used():
    assert verify_arithmetic("cpu") == {torch.float32, torch.float64}


def test_a_machine_that_cannot_add_is_refused(monkeypatch):
    """A kernel off by one in float32 costs that carrier; off by one in float64 as well, the machine cannot code."""
    sums = exact.exact_sums

    def wrong(dtypes):
        def run(a, weight, bias, kernel):
            return sums(a, weight, bias, kernel) + (weight.dtype in dtypes)

        return run

    monkeypatch.setattr(exact, "exact_sums", wrong({torch.float32}))
    assert exact.verify_arithmetic.__wrapped__("cpu") == {torch.float64}
    monkeypatch.setattr(exact, "exact_sums", wrong({torch.float32, torch.float64}))
    with pytest.raises(ModelError, match="cannot code"):
        exact.verify_arithmetic.__wrapped__("cpu")


def test_freezing_cannot_fail():
    """However far training drives the weights, they stay where the sums are exact."""
    layer = TrainableExact(192, 8, 3)
    with torch.no_grad():
        layer.weight.fill_(1e6)
        layer.bias.fill_(-1e9)
    frozen = layer.freeze()
    assert frozen.carrier == torch.float64 and float(frozen.weight.max()) < 2**15


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
        with exact.no_tf32(torch.device("cpu")), exact.no_tf32(torch.device("cpu")):
            assert switch.fp32_precision == "ieee"
        assert switch.fp32_precision == allowed == "bf16"
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found, expected)
