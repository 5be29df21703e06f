"""Circuits frozen for coding: against brute force, both directions, any grouping, hostile parameters and data."""

from __future__ import annotations

import itertools
import lzma

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecodec.entropy.circuit_codes import ONE, parameters_of
from lecodec.entropy.circuit_coding import CircuitCoding, depth_first
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.counts import counts_of
from lecodec.entropy.tables import TOTAL
from lecodec.errors import CorruptFile, ModelError


def make(seed: int, variables: int, states: int, levels: int, *, peaked: float = 0.3, shared: bool = False):
    """Parameters (parent, group, transition, emission) of a random circuit, and the circuit."""
    rng = np.random.default_rng(seed)
    parent = np.array([-1, *(int(rng.integers(0, i)) for i in range(1, variables))])
    group = np.arange(variables) % 2 if shared and variables > 1 else np.arange(variables)
    transition = rng.dirichlet(np.full(states, peaked), (variables, states))
    transition[0] = transition[0, 0]
    emission = rng.dirichlet(np.full(levels, peaked), (int(group.max()) + 1, states))
    parameters = parent, group, transition, emission
    return parameters, CircuitCoding.from_parameters(*parameters)


def integers_of(circuit: CircuitCoding) -> tuple[np.ndarray, np.ndarray]:
    """The frozen probabilities: transition [V, K, K], emission [G, K, L]."""
    k, tensors = circuit.states, circuit.tensors()
    codes = (np.frombuffer(lzma.decompress(tensors[name].tobytes()), np.uint8) for name in ("transition", "emission"))
    transition, emission = (
        (parameters_of(c.reshape(-1, n)) / ONE).reshape(-1, k, n)
        for c, n in zip(codes, (k, circuit.levels), strict=True)
    )
    return transition, emission


def brute_force(circuit: CircuitCoding, x: np.ndarray) -> float:
    """p(x), summed over all states of all variables."""
    transition, emission = integers_of(circuit)
    root, total = int(circuit.order[0]), 0.0
    for z in itertools.product(range(circuit.states), repeat=circuit.variables):
        p = transition[root][0, z[root]]
        for i in range(circuit.variables):
            p *= emission[circuit.group[i]][z[i], x[i]]
            if i != root:
                p *= transition[i][z[circuit.parent[i]], z[i]]
        total += p
    return total


def round_trip(circuit: CircuitCoding, x: np.ndarray, sizes: list[int]) -> list[bytes]:
    writers = [Writer() for _ in sizes]
    circuit.traverse(writers, sizes, x)
    bodies = [w.finish() for w in writers]
    assert np.array_equal(circuit.traverse([Reader(b) for b in bodies], sizes, None), x)
    return bodies


@pytest.mark.parametrize("shared", [False, True])
def test_the_sweep_computes_the_probability_that_brute_force_computes(shared):
    _, circuit = make(1, 5, 3, 4, shared=shared)
    everything = np.array(list(itertools.product(range(4), repeat=5)))
    p = 2.0 ** -circuit.bits(everything)
    assert p.sum() == pytest.approx(1, abs=1e-4)
    for n in range(0, len(everything), 37):
        assert p[n] == pytest.approx(brute_force(circuit, everything[n]), rel=2e-4, abs=2.0**-22)


def test_freezing_keeps_probabilities_within_a_code_and_rows_exact():
    (_, _, transition, emission), circuit = make(2, 6, 8, 50)
    for found, wanted in zip(integers_of(circuit), (transition, emission), strict=True):
        assert (found.sum(-1) == 1).all()
        large = wanted > 1e-3
        assert np.abs(np.log2(found[large] / wanted[large])).max() < 0.09


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(2, 70),
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
)
def test_what_is_written_is_read(seed, variables, states, levels, sizes):
    _, circuit = make(seed, variables, states, levels, shared=bool(seed % 2))
    x = np.random.default_rng(seed).integers(0, levels, (sum(sizes), variables))
    round_trip(circuit, x, sizes)


def test_a_chunk_does_not_depend_on_its_neighbours_or_on_threads():
    _, circuit = make(3, 15, 16, 256, peaked=0.05)
    x = np.random.default_rng(3).integers(0, 256, (60, 15))
    together = round_trip(circuit, x, [20, 30, 10])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            alone = [round_trip(circuit, part, [len(part)])[0] for part in np.split(x, [20, 50])]
            assert alone == together
            assert np.array_equal(circuit.bits(x[:5]), np.concatenate([circuit.bits(row[None]) for row in x[:5]]))
    finally:
        torch.set_num_threads(before)


def test_code_length_is_that_of_the_model():
    _, circuit = make(4, 60, 8, 256, peaked=0.02)
    rng = np.random.default_rng(4)
    x = rng.integers(0, 256, (500, 60)) * (rng.random((500, 60)) < 0.1)
    bits = circuit.bits(x).sum()
    (body,) = round_trip(circuit, x, [500])
    assert abs(8 * len(body) - bits) <= 0.001 * bits + 64


def test_the_golden_body_pins_the_arithmetic():
    """Parameters without randomness: these bytes must never change."""
    codes = {"transition": np.arange(4 * 3 * 3) * 37 % 256, "emission": np.arange(4 * 3 * 20) * 91 % 255}
    numbers = {"parent": [-1, 0, 0, 1], "group": [0, 1, 2, 3], "states": [3], "levels": [20]}
    circuit = CircuitCoding(
        {name: packed(c.astype(np.uint8).tobytes()) for name, c in codes.items()}
        | {name: np.array(n, np.int32) for name, n in numbers.items()}
    )
    x = (np.arange(40).reshape(10, 4) ** 2) % 20
    (body,) = round_trip(circuit, x, [10])
    assert (circuit.digest().hex(), body.hex()) == GOLDEN


GOLDEN = (
    "8d9cb6a401797160",
    "1d0dd4c1b918100fce20346e055811d8b2afc429a20ad215999b14d4e2509c5d86395ce96b91224a51787e0e7dfe0d93bc610ae6",
)


def test_degenerate_circuits_code_anything():
    """Rows of a single one, transitions that are zero, data of probability zero: all symbols keep their count."""
    parent = np.array([-1, 0, 1, 1])
    transition = np.tile(np.eye(4)[[1, 2, 3, 0]], (4, 1, 1))
    transition[0] = np.eye(4)[0]
    emission = np.zeros((4, 4, 33))
    emission[:, np.arange(4), np.arange(4) * 8] = 1
    circuit = CircuitCoding.from_parameters(parent, np.arange(4), transition, emission)
    x = np.array([[0, 8, 16, 16], [32, 32, 32, 32], [5, 0, 31, 7]])
    round_trip(circuit, x, [2, 1])
    assert circuit.bits(x)[0] < 0.1 < 30 < circuit.bits(x)[1]


def test_all_zero_rows_become_uniform_when_frozen():
    circuit = CircuitCoding.from_parameters(np.array([-1]), np.array([0]), np.zeros((1, 2, 2)), np.zeros((1, 2, 4)))
    assert circuit.bits(np.array([[3]]))[0] == pytest.approx(2, abs=1e-4)


def test_a_long_chain_needs_no_recursion():
    n = 1500
    transition = np.tile(np.array([[0.9, 0.1], [0.2, 0.8]]), (n, 1, 1))
    emission = np.array([[[0.8, 0.2], [0.3, 0.7]]])
    circuit = CircuitCoding.from_parameters(np.arange(n) - 1, np.zeros(n, int), transition, emission)
    round_trip(circuit, np.random.default_rng(0).integers(0, 2, (3, n)), [3])


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=60).map(lambda b: b[: len(b) // 4 * 4]))
def test_any_bytes_decode_to_something_or_to_an_error(data):
    _, circuit = make(5, 12, 4, 40, peaked=0.1)
    try:
        x = circuit.traverse([Reader(data)], [3], None)
    except CorruptFile:
        return
    assert x.min() >= 0 and x.max() < 40


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**49), min_size=2, max_size=16), st.integers(0, 40))
def test_counts_are_what_integers_give(weights, shift):
    weights = [w >> shift for w in weights]
    found = counts_of(torch.tensor([weights], dtype=torch.float64))[0].astype(np.int64).tolist()
    total, m = sum(weights), len(weights)
    cut = [w * 2**29 // 2 ** total.bit_length() for w in weights]
    running = list(itertools.accumulate(cut)) if any(cut) else list(range(1, m + 1))
    edges = [0, *(r * (TOTAL - m) // running[-1] for r in running)]
    assert found == [1 + b - a for a, b in itertools.pairwise(edges)]
    assert sum(found) == TOTAL and min(found) >= 1


@pytest.mark.parametrize(
    "parent, why",
    [
        ([-1, -1], "two roots"),
        ([1, 0], "a cycle, no root"),
        ([-1, 2, 1], "a cycle beside"),
        ([-1, 5], "no such parent"),
    ],
)
def test_what_is_no_tree_is_refused(parent, why):
    with pytest.raises(ModelError):
        depth_first(np.array(parent))


def packed(codes: bytes) -> np.ndarray:
    return np.frombuffer(lzma.compress(codes), np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        {"transition": packed(b"\xff" * 8)},  # rows of zeros
        {"transition": packed(bytes(7))},
        {"transition": packed(bytes(9))},
        {"emission": packed(bytes(2**24))},  # far more than the circuit has
        {"emission": np.zeros(20, np.uint8)},
        {"emission": np.zeros(20, np.int32)},
        {"states": np.array([0], np.int32)},
        {"states": np.array([100000], np.int32)},
        {"levels": np.array([1], np.int32)},
        {"group": np.array([0, 5], np.int32)},
        {"group": np.array([0], np.int32)},
        {"parent": np.array([0, 0], np.int32)},
        {"parent": np.zeros(0, np.int32)},
    ],
)
def test_damaged_models_are_refused(change):
    _, circuit = make(6, 2, 2, 3)
    tensors = circuit.tensors()
    assert CircuitCoding(tensors).digest() == circuit.digest()
    with pytest.raises(ModelError):
        CircuitCoding({**tensors, **change})
    with pytest.raises(ModelError, match="lacks"):
        CircuitCoding({name: a for name, a in tensors.items() if name not in change})


def test_the_digest_is_over_the_parameters_not_over_their_packing():
    _, circuit = make(7, 3, 2, 5)
    tensors = circuit.tensors()
    codes = lzma.decompress(tensors["emission"].tobytes())
    again = {**tensors, "emission": np.frombuffer(lzma.compress(codes, preset=0), np.uint8)}
    assert CircuitCoding(again).digest() == circuit.digest()
    other = bytes([codes[0] ^ 1]) + codes[1:]
    assert CircuitCoding({**tensors, "emission": packed(other)}).digest() != circuit.digest()


# -- a decoder written from the specification alone (FORMAT.md, sections 11, 14 and 15), in Python's integers


class SpecifiedCoder:
    def __init__(self, body: bytes):
        self.words = [int.from_bytes(body[n : n + 4], "little") for n in range(0, len(body), 4)]
        self.lower, self.range, self.point = 0, 2**64 - 1, (self.word() << 32) | self.word()

    def word(self) -> int:
        return self.words.pop(0) if self.words else 0

    def symbol(self, weights: list[int]) -> int:
        m, bits = len(weights), sum(weights).bit_length()
        w = [x * 2**29 // 2**bits for x in weights]
        running = [0, *itertools.accumulate(w if any(w) else [1] * m)]
        edges = [x * (2**24 - m) // running[-1] + n for n, x in enumerate(running)]
        scale = self.range >> 24
        at = (self.point - self.lower) % 2**64 // scale
        found = next(n for n in range(m) if at < edges[n + 1])
        self.lower = (self.lower + scale * edges[found]) % 2**64
        self.range = scale * (edges[found + 1] - edges[found])
        if self.range < 2**32:
            self.lower, self.range = (self.lower << 32) % 2**64, self.range << 32
            self.point = (self.point << 32) % 2**64 | self.word()
        return found


def specified_decode(body: bytes, parent: list[int], a: list, e: list, items: int) -> list[list[int]]:
    """a: codes [V][K][K]; e: codes [V][K][levels], every variable its own -> items [n][V]."""

    def row(codes: list[int]) -> list[int]:
        v = [0 if c == 255 else round(2**20 * 2 ** (-20 * c / 254)) for c in codes]
        p = [x * 2**20 // sum(v) for x in v]
        p[v.index(max(v))] += 2**20 - sum(p)
        return p

    def norm(m: list[int]) -> list[int]:
        bits = max(m).bit_length()
        return [x * 2**24 // 2**bits for x in m] if bits else [2**23] * len(m)

    states, levels = range(len(a[0])), len(e[0][0])
    transition, emission = ([[row(r) for r in table] for table in tables] for tables in (a, e))
    coder, out = SpecifiedCoder(body), [[0] * len(parent) for _ in range(items)]

    def code(i: int, messages: list[list[int]]) -> list[list[int]]:
        blocks = [
            coder.symbol([sum(m[k] * sum(emission[i][k][b : b + 16]) for k in states) for b in range(0, levels, 16)])
            for m in messages
        ]
        for n, m in enumerate(messages):
            part = [emission[i][k][16 * blocks[n] :][:16] for k in states]
            part = [p + [0] * (16 - len(p)) for p in part]
            out[n][i] = 16 * blocks[n] + coder.symbol([sum(m[k] * part[k][d] for k in states) for d in range(16)])
        like = [[emission[i][k][x[i]] for k in states] for x in out]
        messages = [norm([p * q for p, q in zip(m, s, strict=True)]) for m, s in zip(messages, like, strict=True)]
        for c in [c for c, p in enumerate(parent) if p == i]:
            t = transition[c]
            below = code(c, [norm([sum(m[j] * t[j][k] for j in states) for k in states]) for m in messages])
            up = [norm([sum(t[j][k] * s[k] for k in states) for j in states]) for s in below]
            messages = [norm([p * q for p, q in zip(m, u, strict=True)]) for m, u in zip(messages, up, strict=True)]
            like = [norm([p * q for p, q in zip(s, u, strict=True)]) for s, u in zip(like, up, strict=True)]
        return like

    root = parent.index(-1)
    code(root, [norm(transition[root][0])] * items)
    return out


@pytest.mark.parametrize("seed", range(4))
def test_a_decoder_written_from_the_specification_reads_it(seed):
    (parent, _, _, _), circuit = make(seed, 7, 3, 40, peaked=0.2)
    x = np.random.default_rng(seed).integers(0, 40, (6, 7))
    (body,) = round_trip(circuit, x, [6])
    packed_codes = (circuit.tensors()[name].tobytes() for name in ("transition", "emission"))
    a, e = (np.frombuffer(lzma.decompress(p), np.uint8).reshape(7, 3, -1).tolist() for p in packed_codes)
    assert specified_decode(body, parent.tolist(), a, e, 6) == x.tolist()
