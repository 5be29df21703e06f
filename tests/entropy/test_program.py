"""Exact networks as data: each operation is its definition in integers, at the edges of its range, in every runtime."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from lecodec.entropy import runtime as runtimes
from lecodec.entropy.layers import ACTIVATION_MAX, GAIN_BITS, ExactLayer
from lecodec.entropy.program import FLOAT32_BOUND, FLOAT64_BOUND, Builder, Program, Step
from lecodec.entropy.run_numpy import IntegerRuntime, NumpyRuntime
from lecodec.entropy.run_torch import TorchRuntime
from lecodec.entropy.runtime import run_in_bands, runtime_of, verified
from lecodec.errors import ModelError

RUNTIMES = {
    "integers": IntegerRuntime(),
    "numpy": NumpyRuntime(),
    "numpy, wide": NumpyRuntime(wide=True),
    "torch": TorchRuntime("cpu"),
    "torch, wide": TorchRuntime("cpu", wide=True),
}
everywhere = pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=list(RUNTIMES))


def edges(low: int, high: int, count: int = 64, seed: int = 0) -> np.ndarray:
    """Integers of a range: its ends, those next to zero, and others; int64 [1, 1, 1, n]."""
    rng = np.random.default_rng(seed)
    some = rng.integers(low, high, count, endpoint=True)
    near = np.array([low, low + 1, high - 1, high, -2, -1, 0, 1, 2])
    return np.concatenate([near, some]).clip(low, high)[None, None, None]


def run(runtime, make, **planes: tuple[np.ndarray, int, int]) -> np.ndarray:
    """The output of make(builder, *registers). planes: values and the range of each input."""
    b = Builder()
    inputs = [b.input(name, a.shape[1], low, high) for name, (a, low, high) in planes.items()]
    program = b.program(out=make(b, *inputs))
    return runtime.run(program, {name: a for name, (a, _, _) in planes.items()})["out"]


# -- each operation


RANGES = [(-(2**23), 2**23), (-(2**49), 2**49 - 1), (0, 255), (-5, -1), (7, 9)]


@everywhere
@pytest.mark.parametrize("low, high", RANGES)
def test_inputs_are_clamped(runtime, low, high):
    a = edges(-(2**62), 2**62)
    a = np.concatenate([a, edges(low - 1, high + 1)], 3)
    np.testing.assert_array_equal(run(runtime, lambda b, x: x, x=(a, low, high)), a.clip(low, high))


@everywhere
@pytest.mark.parametrize("low, high", RANGES)
def test_elementwise_operations(runtime, low, high):
    a = edges(low, high)
    c = edges(low, high, seed=1)
    given = {"x": (a, low, high), "y": (c, low, high)}
    np.testing.assert_array_equal(run(runtime, lambda b, x, y: b.add(x, y), **given), a + c)
    np.testing.assert_array_equal(run(runtime, lambda b, x, y: b.add(x, x), **given), a + a)
    np.testing.assert_array_equal(run(runtime, lambda b, x, y: b.absolute(x), **given), np.abs(a))
    for n in (low, (low + high) // 2, high):
        np.testing.assert_array_equal(
            run(runtime, lambda b, x, y, n=n: b.clamp(x, n, n + 3), **given), a.clip(n, n + 3)
        )
    np.testing.assert_array_equal(run(runtime, lambda b, x, y: b.add(x, b.constant([low])), **given), a + low)


@everywhere
@pytest.mark.parametrize("bits", [0, 1, 2, 7, 22, 23, 24, 46, 50, -1, -3])
@pytest.mark.parametrize("rounds", [True, False])
def test_shifts(runtime, bits, rounds):
    for low, high in ((-(2**22), 2**22), (-(2**47), 2**47)):
        if high << max(-bits, 0) >= 2**51 or high + (1 << max(bits, 0)) >= 2**51:
            continue
        halves = np.arange(-8, 9)[None, None, None] * ((1 << max(bits, 0)) // 2 or 1)  # where rounding turns
        a = np.concatenate([edges(low, high), halves, halves + 1, halves - 1], 3).clip(low, high)
        expected = a << -bits if bits < 0 else (a + ((1 << bits) // 2 if rounds else 0)) >> bits
        np.testing.assert_array_equal(run(runtime, lambda b, x: b.shift(x, bits, rounds), x=(a, low, high)), expected)


@everywhere
def test_shifts_differ_between_channels(runtime):
    a, bits = np.arange(-40, 40).reshape(1, 4, 4, 5), [0, 1, 3, -2]
    found = run(runtime, lambda b, x: b.shift(x, bits), x=(a, -40, 40))
    for c, n in enumerate(bits):
        np.testing.assert_array_equal(found[0, c], a[0, c] << 2 if n < 0 else (a[0, c] + (1 << n) // 2) >> n)


@everywhere
def test_products_and_quotients(runtime):
    for high, other in ((2**12, 2**11), (2**25, 2**25), (2**50, 1)):
        a, c = edges(-high, high), edges(-other, other, seed=1)
        given = {"x": (a, -high, high), "y": (c, -other, other)}
        np.testing.assert_array_equal(run(runtime, lambda b, x, y: b.multiply(x, y), **given), a * c)
    for high, other in ((2**23, 2**20), (2**50, 2**50), (2**50, 3)):
        c = edges(1, other, seed=1)
        # Quotients next to whole numbers, which is where a rounded one could be wrong.
        near = c * edges(-high // other, high // other) + np.arange(c.size) % 3 - 1
        a = near.clip(-high, high)
        found = run(runtime, lambda b, x, y: b.divide(x, y), x=(a, -high, high), y=(c, 1, other))
        np.testing.assert_array_equal(found, a // c)


@everywhere
def test_tables_and_channels(runtime):
    a = np.random.default_rng(0).integers(0, 300, (2, 6, 3, 4))
    values = np.random.default_rng(1).integers(-(2**40), 2**40, 300)
    np.testing.assert_array_equal(run(runtime, lambda b, x: b.table(x, values), x=(a, 0, 299)), values[a])
    np.testing.assert_array_equal(run(runtime, lambda b, x: b.select(x, [5, 0, 0]), x=(a, 0, 299)), a[:, [5, 0, 0]])
    both = run(runtime, lambda b, x, y: b.join(x, y, x), x=(a, 0, 299), y=(a[:, :1] + 7, 0, 999))
    np.testing.assert_array_equal(both, np.concatenate([a, a[:, :1] + 7, a], 1))


@everywhere
@pytest.mark.parametrize("kernel", [(1, 1), (1, 3), (3, 1), (3, 3), (5, 3)])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 5)])
def test_windows(runtime, kernel, size):
    a = np.random.default_rng(0).integers(-99, 99, (2, 3, *size))
    for edge in (True, False):
        found = run(runtime, lambda b, x, edge=edge: b.window(x, *kernel, edge=edge), x=(a, -99, 99))
        assert found.shape == (2, 3 * kernel[0] * kernel[1], *size)
        for (c, i, j), y, x in product(np.ndindex(3, *kernel), range(size[0]), range(size[1])):
            row, column = y + i - kernel[0] // 2, x + j - kernel[1] // 2
            inside = 0 <= row < size[0] and 0 <= column < size[1]
            expected = a[:, c, min(max(row, 0), size[0] - 1), min(max(column, 0), size[1] - 1)]
            n = (c * kernel[0] + i) * kernel[1] + j
            np.testing.assert_array_equal(found[:, n, y, x], expected if inside or edge else 0)


@everywhere
@pytest.mark.parametrize("kernel, size", [((3, 3), (5, 7)), ((3, 3), (1, 1)), ((1, 5), (4, 6)), ((5, 1), (2, 3))])
def test_channels_by_themselves(runtime, kernel, size):
    rng = np.random.default_rng(3)
    a, weight = rng.integers(-99, 100, (2, 3, *size)), rng.integers(-(2**30), 2**30, (3, *kernel))
    bias = np.array([5, -7, 2**40])
    found = run(runtime, lambda b, x: b.depthwise(x, weight, bias), x=(a, -99, 99))
    r, c = kernel[0] // 2, kernel[1] // 2
    padded = np.pad(a, ((0, 0), (0, 0), (r, r), (c, c)))
    for y, x in np.ndindex(*size):
        seen = padded[:, :, y : y + kernel[0], x : x + kernel[1]]
        np.testing.assert_array_equal(found[:, :, y, x], (seen * weight).sum((2, 3)) + bias)


@everywhere
def test_positions(runtime):
    a = np.random.default_rng(0).integers(-99, 99, (2, 12, 2, 3))
    spread = run(runtime, lambda b, x: b.spread(x, 2), x=(a, -99, 99))
    for c, i, j in np.ndindex(3, 2, 2):
        np.testing.assert_array_equal(spread[:, c, i::2, j::2], a[:, 4 * c + 2 * i + j])
    np.testing.assert_array_equal(run(runtime, lambda b, x: b.fold(b.spread(x, 2), 2), x=(a, -99, 99)), a)
    dy, dx = np.random.default_rng(1).integers(-4, 5, (2, 2, 1, 2, 3))
    given = {"x": (a, -99, 99), "dy": (dy, -4, 4), "dx": (dx, -4, 4)}
    moved = run(runtime, lambda b, x, dy, dx: b.move(x, dy, dx), **given)
    for n, y, x in np.ndindex(2, 2, 3):
        row, column = min(max(y + dy[n, 0, y, x], 0), 1), min(max(x + dx[n, 0, y, x], 0), 2)
        np.testing.assert_array_equal(moved[n, :, y, x], a[n, :, row, column])


@everywhere
@pytest.mark.parametrize("bound", [FLOAT32_BOUND, FLOAT64_BOUND])
def test_sums_at_the_edge_of_their_bound(runtime, bound):
    """All terms of one sign and as large as they may be, and alternating ones; in Python's integers."""
    terms = 1728
    top = bound // terms // 8 - 1
    weight = np.array([[top] * terms, [top, -top] * (terms // 2), [-top] * terms])
    a = np.stack([np.full(terms, 8), np.tile([8, -8], terms // 2), np.arange(terms) % 17 - 8], 1)[None, :, None]
    found = run(runtime, lambda b, x: b.matmul(x, weight, [1, -1, 0]), x=(a, -8, 8))
    expected = [[sum(w * x for w, x in zip(row, column.tolist(), strict=True)) + bias for column in a[0, :, 0].T]
                for row, bias in zip(weight.tolist(), (1, -1, 0), strict=True)]  # fmt: skip
    np.testing.assert_array_equal(found[0, :, 0], expected)


@everywhere
@pytest.mark.parametrize("kernel, gain", [(1, None), (3, None), (1, [0, 1, 1024, 16383]), (3, [0, 1, 1024, 16383])])
def test_a_layer_is_its_integer_definition(runtime, kernel, gain):
    rng = np.random.default_rng(1)
    weight, bias = rng.integers(-200, 201, (4, 5 * kernel * kernel)), rng.integers(-9999, 9999, 4)
    layer, b = ExactLayer(weight, bias, kernel, 18, (0, ACTIVATION_MAX)), Builder()
    a = b.input("a", 5, 0, 255)
    program = b.program(out=layer.steps(b, a, None if gain is None else b.input("gain", 4, 0, 16383, row=True)))
    plane = rng.integers(-300, 600, (1, 5, 4, 6))  # beyond the input's range on both sides: clamped
    found = runtime.run(program, {"a": plane, "gain": np.array([gain or [0] * 4])})["out"][0]
    r = kernel // 2
    padded = np.pad(plane[0].clip(0, 255), ((0, 0), (r, r), (r, r)), mode="edge").tolist()
    for o, y, x in np.ndindex(*found.shape):
        around = [padded[c][y + i][x + j] for c, i, j in np.ndindex(5, kernel, kernel)]
        total = sum(w * v for w, v in zip(weight[o].tolist(), around, strict=True)) + int(bias[o])
        total *= 1 << GAIN_BITS if gain is None else gain[o]
        assert found[o, y, x] == min(max((total + (1 << 17)) >> 18, 0), ACTIVATION_MAX)


# -- what follows from a program's data


def test_carriers_follow_the_bound():
    def carrier(top: int) -> type:
        b = Builder()
        program = b.program(out=b.matmul(b.input("a", 8, -255, 255), np.full((1, 8), top), [0]))
        return program.facts[-1].carrier

    assert carrier(FLOAT32_BOUND // 8 // 255) is np.float32
    assert carrier(FLOAT32_BOUND // 8 // 255 + 1) is np.float64
    assert carrier(FLOAT64_BOUND // 8 // 255) is np.float64
    with pytest.raises(ModelError, match="beyond what float64"):
        carrier(FLOAT64_BOUND // 8 // 255 + 1)


def test_every_step_has_a_bound():
    b = Builder()
    a = b.input("a", 1, -(2**30), 2**30)
    with pytest.raises(ModelError, match="beyond"):
        b.program(out=b.multiply(a, a))
    b = Builder()
    with pytest.raises(ModelError, match="beyond"):
        b.program(out=b.shift(b.input("a", 1, 0, 2**30), -21))
    b = Builder()
    with pytest.raises(ModelError, match="table of 5"):
        b.program(out=b.table(b.input("a", 1, 0, 5), range(5)))
    b = Builder()
    a = b.input("a", 1, 0, 5)
    with pytest.raises(ModelError, match="zero"):
        b.program(out=b.divide(a, a))


@pytest.mark.parametrize(
    "step",
    [
        Step("matmul", (0,), (), (np.ones((2, 4), np.int64), np.zeros(2, np.int64))),
        Step("matmul", (0,), (), (np.ones((2, 3), np.int64), np.zeros(3, np.int64))),
        Step("matmul", (0,)),
        Step("select", (0,), (), (np.array([3]),)),
        Step("shift", (0,), (1,), (np.array([51]),)),
        Step("window", (0,), (2, 3, 1)),
        Step("depthwise", (0,), (), (np.ones((2, 2, 3), np.int64), np.zeros(2, np.int64))),
        Step("spread", (0,), (2,)),
        Step("clamp", (0,), (3, 2)),
        Step("add", (0,)),
        Step("add", (0, 1)),
        Step("logarithm", (0,)),
    ],
    ids=lambda step: step.op,
)
def test_steps_that_do_not_fit_are_refused(step):
    with pytest.raises(ModelError, match="program"):
        Program((Step("input", (), (3, 0, 9, 0)), step), {"a": 0}, {"out": 1})


def test_bands_give_the_whole():
    """A program that looks around at three resolutions, in parts of every size."""
    rng, b = np.random.default_rng(0), Builder()
    z = b.input("z", 3, -9, 9)
    h = b.matmul(b.window(z, 3, 3, edge=True), rng.integers(-3, 4, (8, 27)), [0] * 8)
    h = b.spread(b.multiply(h, b.input("gain", 8, 0, 5, row=True)), 2)
    middle = b.matmul(b.window(h, 3, 3, edge=False), rng.integers(-3, 4, (4, 18)), [1] * 4)
    fine = b.absolute(b.window(b.spread(middle, 2), 3, 3, edge=True))
    program = b.program(middle=middle, fine=fine)
    assert (program.reach, program.scale("middle"), program.scale("fine")) == (2, 2, 4)  # 1 + 1/2 + 1/4
    inputs = {"z": rng.integers(-9, 10, (2, 3, 11, 7)), "gain": rng.integers(0, 5, (2, 8))}
    for runtime in RUNTIMES.values():
        whole = runtime.run(program, inputs)
        for positions, columns in ((1, None), (1, 1), (30, 3), (10**6, 2), (10**6, None)):
            parts = run_in_bands(runtime, program, inputs, positions, columns)
            assert all(np.array_equal(parts[name], whole[name]) for name in whole)
    cut = {"fine": np.empty((2, 9, 43, 25), np.int32)}
    run_in_bands(runtime_of("numpy"), program, inputs, 1, into=cut)
    np.testing.assert_array_equal(cut["fine"], whole["fine"][:, :, :43, :25])


def test_inputs_and_outputs_stay_as_they_are():
    """Nothing is computed in the memory of an input or a constant, or of an output that is used further on."""
    b = Builder()
    a = b.input("a", 2, -99, 99)
    first = b.add(a, b.constant([1, 2]))
    program = b.program(a=a, first=first, second=b.clamp(b.shift(first, 1), 0, 9), third=b.absolute(first))
    plane = np.arange(-6, 6).reshape(1, 2, 2, 3).astype(np.float64)
    before = plane.copy()
    for runtime in RUNTIMES.values():
        once, again = (runtime.run(program, {"a": plane}) for _ in range(2))
        assert np.array_equal(plane, before) and all(np.array_equal(once[n], again[n]) for n in once)
        np.testing.assert_array_equal(once["a"], before)
        np.testing.assert_array_equal(once["third"], np.abs(once["first"]))


# -- the machine


def test_known_answers_pass_here_and_float32_is_used():
    for name in ("numpy", "cpu"):
        runtime = verified(name)
        assert isinstance(runtime, runtimes.Interpreter) and not runtime.wide
    assert isinstance(runtime_of("cpu"), TorchRuntime) and isinstance(runtime_of("numpy"), NumpyRuntime)
    assert runtime_of(RUNTIMES["integers"]) is RUNTIMES["integers"]


@pytest.mark.parametrize("name, kind", [("numpy", NumpyRuntime), ("cpu", TorchRuntime)])
def test_a_machine_that_cannot_add_is_refused(monkeypatch, name, kind):
    """A kernel off by one in float32 costs that carrier; off by one in float64 as well, the machine cannot code."""
    sums = kind.matmul

    def wrong(carriers):
        def matmul(self, of, mine, numbers, constants):
            out = sums(self, of, mine, numbers, constants)
            return out + (str(out.dtype).removeprefix("torch.") in carriers)

        return matmul

    monkeypatch.setattr(kind, "matmul", wrong({"float32"}))
    runtime = verified.__wrapped__(name)
    assert isinstance(runtime, runtimes.Interpreter) and runtime.wide
    monkeypatch.setattr(kind, "matmul", wrong({"float32", "float64"}))
    with pytest.raises(ModelError, match="cannot code"):
        verified.__wrapped__(name)


def test_other_operations_are_verified_too(monkeypatch):
    monkeypatch.setattr(NumpyRuntime, "divide", lambda self, of, *_: np.rint(of[0] / of[1]))
    monkeypatch.setattr(IntegerRuntime, "divide", lambda self, of, *_: of[0] // of[1])
    with pytest.raises(ModelError, match="cannot code"):
        verified.__wrapped__("numpy")


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_nothing(threads):
    program, inputs = runtimes._known_answer(FLOAT64_BOUND, 17, 3)
    expected, before = IntegerRuntime().run(program, inputs), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = TorchRuntime("cpu").run(program, inputs)
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
