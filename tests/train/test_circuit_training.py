"""Circuits against brute force: the tree, the likelihood, expected counts, EM; runs learn, stop, resume and freeze."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec.codec.model_file import read_card
from lecodec.entropy.chow_liu import centre, mutual_information, spanning_tree, tree_of
from lecodec.entropy.circuit import Circuit, Counts
from lecodec.entropy.circuit_coding import CircuitCoding
from lecodec.errors import CodecError, InputError, ModelError
from lecodec.train.checkpoint import load_checkpoint, save_checkpoint
from lecodec.train.circuit import bits_per_dimension
from lecodec.train.circuit_data import augmented
from lecodec.train.circuit_em import Maximiser, Smoothing, grow, narrow, prune
from lecodec.train.circuit_freeze import GRID, coarse, trimmed
from lecodec.train.circuit_start import counts_of_model, k_means, starting_counts
from lecodec.train.freeze import freeze
from lecodec.train.recipe import load_recipe
from lecodec.train.run import train
from lecodec.train.schema import recipe_kind

PARENT = np.array([1, -1, 1, 2, 1, 4])
GROUP = np.array([0, 1, 0, 2, 1, 2])


def random_circuit(states=3, levels=4, seed=0, zeros=False, common=None) -> Circuit:
    rng = torch.Generator().manual_seed(seed)
    transition = torch.rand(len(PARENT), states, states, generator=rng, dtype=torch.float64)
    emission = torch.rand(GROUP.max() + 1, states, levels, generator=rng, dtype=torch.float64)
    if zeros:
        transition[:, 0, 1] = 0
        emission[0, 2, 3] = 0
    transition[1] = transition[1, 0].clone()
    transition /= transition.sum(2, keepdim=True)
    emission /= emission.sum(2, keepdim=True)
    return Circuit(PARENT, GROUP, transition, emission, common)


def every_item(levels=4) -> np.ndarray:
    return np.array(list(itertools.product(range(levels), repeat=len(PARENT))), np.int16)


def brute_force(circuit: Circuit, item: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """p(item) and its expected counts, by summing over all assignments of states."""
    a, e = circuit.transition.numpy(), circuit.emission.numpy()
    states = circuit.states
    edges, values, total = np.zeros(a.shape), np.zeros(circuit.by_level.shape), 0.0
    for z in itertools.product(range(states), repeat=len(PARENT)):
        p = 1.0
        for v, above in enumerate(PARENT):
            p *= a[v][z[above] if above >= 0 else 0, z[v]] * e[GROUP[v]][z[v], item[v]]
        total += p
        for v, above in enumerate(PARENT):
            edges[v][z[above] if above >= 0 else 0, z[v]] += p
            values[GROUP[v]][item[v], z[v]] += p
    return total, edges / total, values / total


def maximiser_of(items: np.ndarray, levels=4, **smoothing) -> Maximiser:
    histogram = np.stack([np.bincount(items[:, GROUP == g].ravel(), minlength=levels) for g in range(GROUP.max() + 1)])
    return Maximiser(torch.from_numpy(histogram), Smoothing(**smoothing))


# -- the tree


def test_mutual_information_of_known_variables():
    rng = np.random.default_rng(0)
    a, b = rng.integers(4, size=(2, 4000))
    found = mutual_information(np.stack([a * 64, a * 64 + 3, b * 64], 1), 256, bins=4)
    assert np.allclose(found, found.T) and not found.diagonal().any()
    assert found[0, 1] == pytest.approx(np.log(4), abs=0.01) and found[0, 2] < 0.01
    assert np.allclose(found, mutual_information(np.stack([a, a, b], 1), 4, block=4), atol=1e-6)
    with pytest.raises(InputError, match="shape"):
        mutual_information(np.zeros(3, int), 2)


def test_the_spanning_tree_is_the_largest():
    rng = np.random.default_rng(1)
    pairs = list(itertools.combinations(range(5), 2))
    for _ in range(20):
        weight = rng.random((5, 5))
        weight += weight.T
        best = 0.0
        for edges in itertools.combinations(pairs, 4):
            joined = set(edges[0])
            for _ in edges:
                joined |= {v for e in edges if joined & set(e) for v in e}
            if len(joined) == 5:
                best = max(best, sum(weight[e] for e in edges))
        found = spanning_tree(weight)
        assert found.shape == (4, 2) and sum(weight[tuple(e)] for e in found) == pytest.approx(best)


def test_the_root_is_the_centre():
    path = np.array([[3, 0], [0, 4], [4, 1], [1, 2]])
    assert centre(path, 5) == 4
    assert tree_of(path, 5).tolist() == [4, 4, 1, 0, -1]
    assert tree_of(np.empty((0, 2), int), 1).tolist() == [-1]


# -- likelihood and counts


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("common", [None, np.array([1, 3, 0, 2, 2, 1])])
def test_likelihood_and_counts_are_those_of_brute_force(zeros, common):
    circuit = random_circuit(zeros=zeros, common=common)
    items = every_item()[:: 61 if zeros else 41]
    counts = circuit.no_counts()
    logs = circuit.count(torch.from_numpy(items), counts, block=37)
    assert torch.allclose(logs, circuit.log_likelihood(torch.from_numpy(items), block=11), atol=1e-12)
    edges, values = 0.0, 0.0
    for item, log in zip(items, logs.tolist(), strict=True):
        p, e, v = brute_force(circuit, item)
        assert log == pytest.approx(np.log(p), abs=1e-10)
        edges, values = edges + e, values + v
    assert np.allclose(counts.transition.numpy(), edges, atol=1e-9)
    assert np.allclose(counts.emission.numpy(), values, atol=1e-9)
    assert counts.items == len(items)


def test_states_that_are_not_reached_are_left_out():
    circuit = random_circuit()
    mask = torch.ones(6, 3, 3, dtype=torch.bool)
    mask[0, :, 1] = mask[2, :, :2] = mask[3, 2, 0] = mask[1, :, 2] = False
    circuit.transition *= mask
    circuit.transition /= circuit.transition.sum(2, keepdim=True)
    small = Circuit(PARENT, GROUP, circuit.transition, circuit.emission, mask=mask)
    assert [None if r is None else r.tolist() for r in small.reached] == [[0, 2], [0, 1], [2], [1, 2], None, None]
    items = torch.from_numpy(every_item()[::7])
    a, b = circuit.no_counts(), small.no_counts()
    assert torch.allclose(circuit.count(items, a), small.count(items, b), atol=1e-12)
    assert torch.allclose(a.transition, b.transition) and torch.allclose(a.emission, b.emission)


def test_probabilities_sum_to_one():
    circuit = random_circuit()
    assert float(circuit.log_likelihood(torch.from_numpy(every_item())).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_float32_is_close_and_survives_many_children():
    circuit = random_circuit()
    single = Circuit(PARENT, GROUP, circuit.transition.float(), circuit.emission.float())
    items = torch.from_numpy(every_item())
    assert torch.allclose(single.log_likelihood(items), circuit.log_likelihood(items), atol=2e-6)
    star = Circuit(
        np.array([-1] + [0] * 400), np.zeros(401, int), torch.full((401, 8, 8), 1 / 8), torch.full((1, 8, 4), 0.25)
    )
    found = star.log_likelihood(torch.zeros(3, 401, dtype=torch.uint8))
    assert torch.allclose(found, torch.full((3,), -401 * np.log(4), dtype=torch.float64), rtol=1e-5)


def test_circuits_are_checked():
    good = random_circuit()
    with pytest.raises(InputError, match="fit"):
        Circuit(PARENT, GROUP, good.transition[:-1], good.emission)
    with pytest.raises(InputError, match="groups"):
        Circuit(PARENT, GROUP + 1, good.transition, good.emission)
    with pytest.raises(ModelError, match="tree"):
        Circuit(np.array([1, 0, 1, 2, 1, 4]), GROUP, good.transition, good.emission)


# -- EM


def learn(items: np.ndarray, steps: int, **smoothing) -> tuple[list[float], Circuit, Counts]:
    circuit, maximiser = random_circuit(seed=5), maximiser_of(items, **smoothing)
    circuit = Circuit(
        PARENT, GROUP, circuit.transition.float(), circuit.emission.float(), maximiser.common.numpy()[GROUP]
    )
    logs, counts = [], circuit.no_counts()
    for _ in range(steps):
        counts = circuit.no_counts()
        logs.append(float(circuit.count(torch.from_numpy(items), counts).sum()))
        maximiser.refresh(counts.emission)
        maximiser.maximise(counts, circuit)
    return logs, circuit, counts


@pytest.fixture(scope="module")
def correlated() -> np.ndarray:
    rng = np.random.default_rng(3)
    base = rng.integers(4, size=(500, 1))
    return ((base + (rng.random((500, len(PARENT))) < 0.3)) % 4).astype(np.int16)


def test_a_full_step_never_lowers_the_likelihood(correlated):
    logs, circuit, _ = learn(correlated, 25, transition=0.0, emission=0.0)
    assert all(b >= a - 1e-2 for a, b in itertools.pairwise(logs))
    assert logs[-1] > logs[0] + 100
    assert torch.allclose(circuit.transition.sum(2), torch.tensor(1.0), atol=1e-5)
    assert torch.allclose(circuit.emission.sum(2), torch.tensor(1.0), atol=1e-5)


def test_smoothing_leaves_no_zeros(correlated):
    few = np.zeros_like(correlated)
    few[:3] = correlated[:3]
    _, circuit, _ = learn(few, 5)
    assert float(circuit.emission.min()) > 0 and float(circuit.transition.min()) > 0
    assert float(circuit.log_likelihood(torch.from_numpy(every_item())).exp().sum()) == pytest.approx(1, abs=1e-4)


def test_pruning_keeps_a_distribution(correlated):
    _, circuit, counts = learn(correlated, 10)
    maximiser = maximiser_of(correlated)
    mask = prune(counts, 0.4, circuit.root)
    assert 0.35 < float(mask.float().mean()) < 0.7 and bool(mask.any(2).all()) and bool(mask[circuit.root].all())
    before = bits_per_dimension(circuit, torch.from_numpy(correlated))
    maximiser.maximise(counts, circuit, mask)
    assert bool((circuit.transition[~mask] == 0).all())
    assert torch.allclose(circuit.transition.sum(2), torch.tensor(1.0), atol=1e-5)
    assert bits_per_dimension(circuit, torch.from_numpy(correlated)) < before + 0.1
    assert float(circuit.log_likelihood(torch.from_numpy(every_item())).exp().sum()) == pytest.approx(1, abs=1e-4)


def test_growing_hardly_changes_the_distribution(correlated):
    _, circuit, counts = learn(correlated, 10)
    items = torch.from_numpy(correlated)
    mask = prune(counts, 0.5, circuit.root)
    generator = torch.Generator().manual_seed(0)
    grown, mask = grow(counts, mask, 0.05, generator)
    assert mask is not None and grown.transition.shape == mask.shape == (6, 6, 6)
    assert float(grown.transition.sum()) == pytest.approx(float(counts.transition.sum()), rel=0.02)
    larger = Circuit(PARENT, GROUP, torch.empty_like(grown.transition), torch.empty(3, 6, 4))
    maximiser_of(correlated, transition=0, emission=0).maximise(grown, larger, mask)
    maximiser_of(correlated, transition=0, emission=0).maximise(counts, circuit, mask[:, ::2, ::2])
    assert bits_per_dimension(larger, items) == pytest.approx(bits_per_dimension(circuit, items), abs=0.01)
    a, b = larger.transition[:, ::2], larger.transition[:, 1::2]
    assert float((a - b)[torch.arange(6) != larger.root].abs().max()) > 1e-4


def test_narrowing_merges_states_that_are_alike(correlated):
    _, circuit, counts = learn(correlated, 10)
    own = np.arange(6)  # narrowing merges emissions where variables have their own
    counts.emission = counts.emission[circuit.group].contiguous()
    items = torch.from_numpy(correlated)
    histogram = torch.stack([torch.bincount(items[:, v].long(), minlength=4) for v in range(6)])
    maximiser = Maximiser(histogram, Smoothing(transition=0, emission=0))
    before = Circuit(PARENT, own, torch.empty(6, 3, 3), torch.empty(6, 3, 4))
    maximiser.maximise(counts, before)
    grown, _ = grow(counts, None, 1e-4, torch.Generator().manual_seed(0))
    after = Circuit(PARENT, own, torch.empty(6, 6, 6), torch.empty(6, 6, 4))
    mask = narrow(grown, None, after, [(0.5, 3), (1.0, 2)])
    used = (grown.transition.sum(1) > 0).sum(1)
    assert sorted(used.tolist()) == [2, 2, 2, 3, 3, 3] and torch.equal(mask.any(1).sum(1), used)
    assert float(grown.transition.sum()) == pytest.approx(500 * 6, rel=1e-3)
    grown, _ = grow(counts, None, 1e-4, torch.Generator().manual_seed(0))
    mask = narrow(grown, None, after, [(1.0, 3)])
    mask = prune(grown, 1.0, after.root, mask)
    narrowed = Circuit(PARENT, own, after.transition, after.emission, mask=mask)
    maximiser.refresh(grown.emission)
    maximiser.maximise(grown, narrowed, mask)
    assert all(r is not None and len(r) == 3 for r in narrowed.reached)
    assert bits_per_dimension(narrowed, items) == pytest.approx(bits_per_dimension(before, items), abs=1e-3)


def test_the_start_is_better_than_chance(correlated):
    items, generator = torch.from_numpy(correlated), torch.Generator().manual_seed(0)
    information = mutual_information(correlated, 4)
    counts = starting_counts(items, information, PARENT, GROUP, 3, 4, neighbours=3, sample=400, generator=generator)
    assert torch.allclose(counts.transition.sum((1, 2)), torch.tensor(500.0), atol=1e-2)
    assert float(counts.emission.sum()) == 500 * len(PARENT)
    circuit = random_circuit()
    circuit = Circuit(PARENT, GROUP, circuit.transition.float(), circuit.emission.float())
    chance = bits_per_dimension(circuit, items)
    maximiser_of(correlated).maximise(counts, circuit)
    assert bits_per_dimension(circuit, items) < chance - 0.2


def test_counts_of_a_model_are_what_it_expects():
    given = random_circuit()
    coding = CircuitCoding.from_parameters(PARENT, GROUP, given.transition.numpy(), given.emission.numpy())
    transition, emission = (torch.from_numpy(table) for table in coding.probabilities())
    assert torch.allclose(transition, given.transition.float(), atol=0.02)
    assert torch.allclose(emission, given.emission.float(), atol=0.02)
    counts, mask = counts_of_model(coding, 1000)
    assert bool(mask.all())
    assert torch.allclose(counts.transition.sum((1, 2)), torch.tensor(1000.0), rtol=1e-4)
    assert float(counts.emission.sum()) == pytest.approx(1000 * len(PARENT), rel=1e-4)
    again = Circuit(PARENT, GROUP, torch.empty(6, 3, 3), torch.empty(3, 3, 4))
    maximiser_of(every_item(), transition=0, emission=0).maximise(counts, again, mask)
    assert torch.allclose(again.transition[mask], transition[mask], atol=1e-4)
    items = torch.from_numpy(every_item())
    same = Circuit(PARENT, GROUP, transition, emission)
    of_items = [circuit.log_likelihood(items) for circuit in (again, same)]
    assert not torch.equal(of_items[0], of_items[1])  # variables of a group share emissions, whoever says what of them
    assert float((of_items[0] - of_items[1]).abs().mean()) < 0.2
    given = random_circuit(zeros=True)
    coding = CircuitCoding.from_parameters(PARENT, GROUP, given.transition.numpy(), given.emission.numpy())
    counts, mask = counts_of_model(coding, 10)
    assert not mask[:, 0, 1].any() and not counts.transition[~mask].any()


def test_k_means_finds_clusters_and_fills_empty_ones():
    generator = torch.Generator().manual_seed(0)
    points = torch.tensor([[0.0], [0.1], [5.0], [5.1]]).repeat(10, 1)
    assert k_means(points, 2, generator).flatten().sort().values.tolist() == pytest.approx([0.05, 5.05])
    assert k_means(points[:2], 5, generator).shape == (5, 1)


# -- runs


@pytest.fixture
def recipe(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    centre = rng.uniform(1, 4, (600, 2))
    y, x = np.mgrid[:6, :5]
    items = 40 * np.exp(-((y - centre[:, :1, None]) ** 2 + (x - centre[:, 1:, None]) ** 2) / 2)
    np.save(tmp_path / "blobs.npy", items.round().astype(np.uint8))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"""
kind: circuit
name: small
data: {tmp_path / "blobs.npy"}
held_out: 0.2
shift: 0.2
stretch: 0.1
smoothing: {{emission: 5}}
states: 4
structure_samples: 100
neighbours: 4
epochs: 30
phases:
  - {{fraction: 0.5, batch: 60, step: [0.5, 0.1]}}
  - {{fraction: 0.5, batch: 60, step: [0.2, 0.05], keep: 0.5, grow: true}}
licence: CC0
trim: 0.01
"""
    )
    return path


def run(recipe: Path, tmp_path: Path, resume: bool = False, **overrides) -> tuple[Path, list[str]]:
    lines: list[str] = []
    folder = train(recipe, resume, overrides, runs=tmp_path / "runs", accelerator="cpu", progress=lines.append)
    return folder, lines


def test_a_run_learns_resumes_and_freezes(recipe, tmp_path):
    folder, lines = run(recipe, tmp_path, epochs=1, phases=[{"fraction": 1, "batch": 60}])
    start = next(float(line.split()[3]) for line in lines if "held out" in line and "bpd" in line)
    with pytest.raises(InputError, match="--resume"):
        run(recipe, tmp_path)
    folder, lines = run(recipe, tmp_path, resume=True)
    assert any("resumed at step 8" in line for line in lines) and any("grown to 8 states" in line for line in lines)
    state = load_checkpoint(folder / "checkpoint.pt")
    assert state["step"] == 240 and state["held_out_bpd"] < start
    assert "held out" in (folder / "metrics.csv").read_text() and not list(folder.glob("*.part"))

    out = freeze(folder, tmp_path / "mine.safetensors")
    card = read_card(out)
    assert card.name == "mine" and card.card["kind"] == "circuit" and card.synthesis_digest == "0" * 16
    assert card.card["item_shape"] == [6, 5] and card.card["levels"] == 256 and card.card["licence"] == "CC0"
    assert str(tmp_path) not in str(card.card)
    items = np.load(tmp_path / "blobs.npy")[:50]
    codec = lecodec.load(model=out)
    data = codec.encode_set(items)  # type: ignore[union-attr]
    assert np.array_equal(codec.decode(data), items)
    assert 8 * len(data) < 4 * items.size


def test_a_run_goes_on_from_a_model(recipe, tmp_path):
    first, _ = run(recipe, tmp_path, epochs=8)
    model = freeze(first, tmp_path / "first.safetensors")
    phases = [{"fraction": 1, "batch": 60, "step": [0.05, 0.02], "narrow": [[1.0, 6]]}]
    more = {"name": "more", "states": 8, "epochs": 1, "phases": phases}
    folder, lines = run(recipe, tmp_path, start_from=model, **more)
    assert not any("tree of" in line for line in lines)
    start = next(float(line.split()[3]) for line in lines if line.startswith("start"))
    assert start == pytest.approx(read_card(model).card["held_out_bpd"], abs=0.05)
    state = load_checkpoint(folder / "checkpoint.pt")
    assert np.array_equal(state["parent"].numpy(), load_checkpoint(first / "checkpoint.pt")["parent"].numpy())
    assert int((state["counts"]["transition"].sum(1) > 0).sum(1).max()) <= 6
    card = read_card(freeze(folder, tmp_path / "second.safetensors")).card
    assert "first" not in str(card) and str(tmp_path) not in str(card)
    for change, message in (
        ({"states": 4}, "has 8 states, the recipe 4"),
        ({"start_from": "photo-1"}, "photo-1 is no circuit"),
        ({"start_from": "mnist-2", "states": 256}, r"is for items of \[28, 28\], not \[6, 5\]"),
        ({"start_from": "nobody"}, "no model 'nobody'"),
    ):
        with pytest.raises(CodecError, match=message):
            run(recipe, tmp_path, **{**more, "name": "other", "start_from": model, **change})


@pytest.mark.parametrize("undo", [0.02, 100.0])
def test_a_phase_that_makes_held_out_items_larger_is_undone(recipe, tmp_path, undo):
    """Narrowing to one state costs most of what was learned, and was kept."""
    first = {"fraction": 0.5, "batch": 60}
    second = {"fraction": 0.5, "batch": 60, "narrow": [[1.0, 1]], "keep": 0.1, "undo": undo}
    folder, _ = run(recipe, tmp_path, phases=[first, {**first, "step": [0.06, 0.02]}], name="plain")
    plain = load_checkpoint(folder / "checkpoint.pt")["held_out_bpd"]
    folder, lines = run(recipe, tmp_path, phases=[first, second], name="narrowed")
    state = load_checkpoint(folder / "checkpoint.pt")
    sentences = [line for line in lines if "undone, held-out bits grew from" in line]
    assert len(sentences) == (undo < 1) and state["trial"] is None
    if undo < 1:
        assert state["mask"] is None and state["held_out_bpd"] < 1.1 * plain
    else:
        assert state["mask"] is not None and state["held_out_bpd"] > 1.1 * plain


def test_a_run_that_stops_before_a_phase_is_settled_goes_on_to_it(recipe, tmp_path):
    first = {"fraction": 0.5, "batch": 60}
    second = {"fraction": 0.5, "batch": 60, "narrow": [[1.0, 1]], "undo": 0.02}
    folder, _ = run(recipe, tmp_path, phases=[first, second])
    path = folder / "checkpoint.pt"
    state = load_checkpoint(path)
    counts = state["counts"]
    state |= {
        "trial": {"bpd": 0.1, **counts, "mask": None},
        "seen": state["seen"] * 0.6,
        "mask": counts["transition"] > 0,
    }
    save_checkpoint(state, path)
    folder, lines = run(recipe, tmp_path, resume=True, phases=[first, second])
    assert any("undone" in line for line in lines)
    assert load_checkpoint(path)["mask"] is None


def test_a_run_does_not_resume_with_other_items(recipe, tmp_path):
    run(recipe, tmp_path, epochs=1)
    np.save(tmp_path / "blobs.npy", np.zeros((20, 3, 3), np.uint8))
    with pytest.raises(InputError, match="its items are"):
        run(recipe, tmp_path, resume=True)


def test_augmented_items_stay_where_their_values_were():
    items = torch.arange(30, dtype=torch.int16).repeat(400, 1)
    moved = augmented(items, (6, 5), 1.0, 0.0, np.random.default_rng(0)).view(-1, 6, 5)
    kinds = {tuple(m.flatten().tolist()) for m in moved}
    assert len(kinds) == 9 and tuple(range(30)) in kinds
    stretched = augmented(items, (6, 5), 0.0, 1.0, np.random.default_rng(0))
    assert set(np.abs(stretched.numpy() - items.numpy()).ravel().tolist()) <= {0, 1, 4, 5, 6}
    assert augmented(items, (6, 5), 0.0, 0.0, np.random.default_rng(0)) is items


def test_items_of_one_dimension_are_trained_on(recipe, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "blobs.npy", (rng.integers(0, 4, (80, 1)) + rng.integers(0, 2, (80, 7))).astype(np.uint8))
    folder, _ = run(recipe, tmp_path, epochs=2, held_out=0)
    state = load_checkpoint(folder / "checkpoint.pt")
    assert state["item_shape"] == [7] and state["held_out_bpd"] is None
    assert read_card(freeze(folder, tmp_path / "x.safetensors")).card["held_out_bpd"] is None


@pytest.mark.parametrize(
    "items, message",
    [
        (np.zeros((1, 5, 5), np.uint8), "too few"),
        (np.zeros((50,), np.uint8), "too few"),
        (np.zeros((9, 4), np.uint16), "16 bits"),
        (np.zeros((9, 8193), np.uint8), "at most 8192"),
    ],
)
def test_items_that_no_circuit_takes_are_refused(recipe, tmp_path, items, message):
    np.save(tmp_path / "blobs.npy", items)
    with pytest.raises(InputError, match=message):
        run(recipe, tmp_path)


def test_trimming_drops_what_is_hardly_ever_expected():
    emission = torch.tensor([[[0.999, 0.001], [0.5, 0.5]]])
    found = trimmed(emission, emission * torch.tensor([[[10.0], [2.0]]]), 0.1)
    assert found[0, 0, 1] == pytest.approx(2.0**-19, rel=1e-3) and found[0, 1].tolist() == [0.5, 0.5]
    assert torch.allclose(found.sum(2), torch.tensor(1.0))


def test_coarse_parameters_are_still_distributions():
    table = torch.rand(50, 8, generator=torch.Generator().manual_seed(0)) ** 8
    table[:, 3] = 0
    table /= table.sum(1, keepdim=True)
    found = coarse(table, 1000 * table, 30)
    assert torch.allclose(found.sum(1), torch.ones(50, dtype=torch.float64), atol=1e-6)
    rare = (table < 0.029) & (table > 3e-6)
    steps = torch.log2(found[rare]) / GRID
    assert torch.allclose(steps, steps.round(), atol=1e-5) and not found[:, 3].any()
    assert float((found[rare] / table[rare]).log2().abs().max()) <= GRID / 2 + 1e-5
    assert torch.equal(coarse(table, 0 * table, 30), table.double()) and coarse(table, table, 0) is table


@pytest.mark.parametrize(
    "change, message",
    [
        ("epochs: 0", "epochs"),
        ("phases: [{fraction: 0.5}]", "sum to 1"),
        ("phases: [{fraction: 1, step: [2, 1]}]", "steps"),
        ("states: 300", "512"),
        ("pictures: [somewhere]", "pictures: Extra inputs"),
        ("smoothing: {nonsense: 4}", "nonsense"),
        ("colour: red", "colour"),
        ("kind: nonsense", "kind"),
    ],
)
def test_recipes_are_checked(recipe, tmp_path, change, message):
    key = change.split(":")[0]
    lines = [
        line
        for line in recipe.read_text().splitlines()
        if not line.startswith((f"{key}:", *["  -"] * (key == "phases")))
    ]
    recipe.write_text("\n".join([*lines, change]))
    with pytest.raises(InputError, match=message):
        run(recipe, tmp_path)


def test_kinds_of_recipes_are_told_apart(recipe, tmp_path):
    assert recipe_kind(recipe) == "circuit"
    with pytest.raises(InputError, match="kind"):
        load_recipe(recipe)
    with pytest.raises(InputError, match="not a checkpoint of a circuit"):
        torch.save({"recipe": {"kind": "circuit"}}, tmp_path / "bad.pt")
        freeze(tmp_path / "bad.pt", tmp_path / "out.safetensors")
