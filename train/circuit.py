"""Training probabilistic circuits: `lecodec train mnist`.

    items -> Chow-Liu tree, states from k-means -> mini-batch EM, its step falling (phases may prune and grow)
          -> checkpoints -> freeze

A GPU is used if there is one; all items are kept in memory. A checkpoint can be frozen at any time. Figures are bits
per dimension: bits a variable.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..codec.model_file import load_tensors, parse_tensors
from ..codec.registry import find_model
from ..entropy.chow_liu import mutual_information, spanning_tree, tree_of
from ..entropy.circuit import Circuit, Counts
from ..entropy.circuit_coding import CircuitCoding
from ..errors import InputError
from .circuit_data import Items, augmented, load_items
from .circuit_em import Maximiser, Smoothing, grow, narrow, prune
from .circuit_start import counts_of_model, starting_counts
from .recipe import CircuitPhase, CircuitRecipe
from .run import Experiment, Place
from .schedule import phase_at
from .team import Team

__all__ = ["CircuitExperiment", "bits_per_dimension"]

REFRESH = 10
"""Steps for which a prior of the emissions is good."""


def bits_per_dimension(circuit: Circuit, items: torch.Tensor) -> float:
    """The mean over items [N, V] of -log2 p(item) / V."""
    return float(-circuit.log_likelihood(items).mean()) / (math.log(2) * items.shape[1])


class CircuitExperiment(Experiment[CircuitRecipe]):
    """Counts, the circuit made of them, and what is pruned."""

    noun = "a circuit"
    validates_first = True

    def __init__(self, recipe: CircuitRecipe, say: Callable[[str], None], team: Team, resumes: bool) -> None:
        super().__init__(recipe, say, team, resumes)
        device = team.device
        try:
            smoothing = Smoothing(**recipe.smoothing)
        except TypeError:
            known = ", ".join(Smoothing.__dataclass_fields__)
            raise InputError(
                f"recipe {recipe.name}: smoothing takes {known}, not all of {list(recipe.smoothing)}"
            ) from None
        self.device = device
        self.items: Items = load_items(recipe, self.say)
        self.train = self.items.train
        levels, group = self.items.levels, self.items.group
        histogram = torch.zeros((int(group.max()) + 1) * levels, dtype=torch.int64)
        for part in self.train.split(4096):
            flat = torch.from_numpy(group) * levels + part
            histogram += torch.bincount(flat.flatten(), minlength=len(histogram))
        histogram = histogram.view(-1, levels)
        self.maximiser = Maximiser(histogram.to(device), smoothing)
        self.common = self.maximiser.common.cpu().numpy()[group]
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.phase, self.mask, self.held_out_bpd = -1, None, None
        self.trial: dict[str, Any] | None = None
        """What stood before the phase, until it is settled that the phase stays: counts, mask, held-out bits."""
        self.block = 1024 if device.type == "cpu" else 1 << 14  # messages stay in cache, or kernels have enough to do
        self.seen = 0.0
        """Items so far, augmented ones counted as new."""
        self.say(f"{len(self.train)} items of {self.train.shape[1]} variables, {len(self.items.held_out)} held out")

    @staticmethod
    @contextlib.contextmanager
    def circumstances() -> Iterator[None]:
        """Without gradients, with products and small numbers that are quick."""
        products: Any = getattr(torch.backends.mkldnn, "matmul", None)
        before = getattr(products, "fp32_precision", None)
        if before is not None:  # oneDNN's products: twice as fast as the default on some CPUs
            products.fp32_precision = "bf16"
        for kind in ("float32", "float64"):
            np.finfo(np.dtype(kind)).smallest_subnormal  # noqa: B018 - numpy keeps the answer, and complains if it is zero by then
        torch.set_flush_denormal(True)  # counts of what is never seen fade away; denormal numbers are slow
        try:
            with torch.no_grad():
                yield
        finally:
            torch.set_flush_denormal(False)
            if before is not None:
                products.fp32_precision = before

    def start(self) -> None:
        recipe, items, begun = self.recipe, self.items, time.monotonic()
        if recipe.start_from is not None:
            return self._go_on_from(recipe.start_from)
        order = torch.randperm(len(self.train), generator=self.generator)[: recipe.structure_samples]
        seen, bins = self.train[order].numpy(), recipe.structure_bins
        information = mutual_information(seen, items.levels, bins)
        self.parent = tree_of(spanning_tree(information), len(items.group))
        self.say(f"tree of {len(self.parent)} variables, {time.monotonic() - begun:.0f} s")
        self.counts = starting_counts(
            self.train.to(self.device),
            information,
            self.parent,
            items.group,
            recipe.states,
            items.levels,
            neighbours=recipe.neighbours,
            sample=recipe.start_samples,
            generator=self.generator,
            say=self.say,
        )
        self._rebuild()

    def _go_on_from(self, model: Path) -> None:
        """Begin with the tree and the parameters of a model."""
        card = find_model(model)
        tensors, found = load_tensors(card.path), card.card
        if found.get("kind") != "circuit":
            raise InputError(f"{model} is no circuit")
        if found.get("item_shape") != list(self.items.shape) or found.get("levels") != self.items.levels:
            raise InputError(f"{model} is for items of {found.get('item_shape')}, not {list(self.items.shape)}")
        circuit = CircuitCoding(parse_tensors(tensors))
        if circuit.states != self.recipe.states:
            raise InputError(f"{model} has {circuit.states} states, the recipe {self.recipe.states}")
        if not np.array_equal(circuit.group, self.items.group):
            raise InputError(f"{model} has variables that share their emissions, which is not trained")
        self.parent = circuit.parent
        counts, mask = counts_of_model(circuit, len(self.train))
        self.counts = Counts(counts.transition.to(self.device), counts.emission.to(self.device), counts.items)
        self.mask = mask.to(self.device)
        self._rebuild()

    def _rebuild(self) -> None:
        """Memory and parameters for the counts as they are."""
        groups, levels, states = self.counts.emission.shape
        transition = torch.empty_like(self.counts.transition)
        emission = torch.empty((groups, states, levels), device=self.device)
        self.circuit = Circuit(self.parent, self.items.group, transition, emission, self.common, self.mask)
        self.batch = self.circuit.no_counts()
        self._maximise(refresh=True)

    def _maximise(self, refresh: bool) -> None:
        if refresh:
            self.maximiser.refresh(self.counts.emission)
        self.maximiser.maximise(self.counts, self.circuit, self.mask)

    # -- state on disk

    def state(self) -> dict[str, Any]:
        """Parameters for freezing, counts for going on, and where the run stands."""
        return {
            "item_shape": list(self.items.shape),
            "levels": self.items.levels,
            "parent": torch.from_numpy(self.parent),
            "group": torch.from_numpy(self.items.group),
            "transition": self.circuit.transition,
            "emission": self.circuit.emission.contiguous(),
            "counts": {"transition": self.counts.transition, "emission": self.counts.emission},
            "mask": self.mask,
            "phase": self.phase,
            "seen": self.seen,
            "epochs": self.seen / len(self.train),
            "held_out_bpd": self.held_out_bpd,
            "trial": self.trial,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.parent = state["parent"].numpy()
        if state["item_shape"] != list(self.items.shape) or state["levels"] != self.items.levels:
            raise InputError(f"its items are {state['item_shape']}, not {list(self.items.shape)}")
        counts = state["counts"]
        self.counts = Counts(counts["transition"].to(self.device), counts["emission"].to(self.device), len(self.train))
        self.mask = None if state["mask"] is None else state["mask"].to(self.device)
        self.phase, self.seen = int(state["phase"]), float(state["seen"])
        if (trial := state.get("trial")) is not None:  # checkpoints of older versions have none
            self.trial = {n: v.to(self.device) if isinstance(v, torch.Tensor) else v for n, v in trial.items()}
        self._rebuild()

    # -- the loop

    def done(self, step: int) -> float:
        return self.seen / (len(self.train) * self.recipe.epochs)

    def _enter(self, number: int, phase: CircuitPhase) -> None:
        self.phase, self.trial = number, None
        if phase.undo is not None and len(self.items.held_out):
            self.trial = {
                "bpd": self.team.agreed(self._held_out()),
                "transition": self.counts.transition.clone(),
                "emission": self.counts.emission.clone(),
                "mask": None if self.mask is None else self.mask.clone(),
            }
        if phase.narrow:
            self.mask = narrow(self.counts, self.mask, self.circuit, phase.narrow)
            self._rebuild()
            self.report(f"phase {number + 1}: narrowed to {int(self.mask.sum())} edges")
        if phase.keep is not None:
            self.mask = prune(self.counts, phase.keep, self.circuit.root, self.mask)
            self._rebuild()
            self.report(f"phase {number + 1}: pruned to {int(self.mask.sum())} edges")
        if phase.grow:
            self.counts, self.mask = grow(self.counts, self.mask, self.recipe.growing_noise, self.generator)
            self._rebuild()
            self.report(f"phase {number + 1}: grown to {self.circuit.states} states")

    def _settle(self, phase: CircuitPhase) -> None:
        """Take back what the phase began with if held-out items have become larger by it."""
        trial, self.trial = self.trial, None
        assert trial is not None and phase.undo is not None
        before, after = trial["bpd"], self.team.agreed(self._held_out())
        if after <= before * (1 + phase.undo):
            return
        self.counts = Counts(trial["transition"], trial["emission"], len(self.train))
        self.mask = trial["mask"]
        self._rebuild()
        self.say(
            f"phase {self.phase + 1}: undone, held-out bits grew from {before:.4f} to {after:.4f} bpd; it goes on "
            "without its narrowing, pruning and growing"
        )

    def step(self, at: Place) -> dict[str, float]:
        recipe = self.recipe
        number, phase, share = phase_at(recipe.phases, at.share)
        if number > self.phase:
            self._enter(number, phase)
        if self.trial is not None and share >= 0.5:
            self._settle(phase)
        rng = np.random.default_rng([recipe.seed, 3, at.step, *([self.team.rank] if self.team.rank else [])])
        chosen = np.sort(rng.choice(len(self.train), min(phase.batch, len(self.train)), replace=False))
        batch = augmented(
            self.train[torch.from_numpy(chosen)],
            self.items.shape,
            recipe.shift * phase.augment,
            recipe.stretch * phase.augment,
            rng,
        )
        self.batch.scale_(0.0)
        logs = self.circuit.count(batch, self.batch, block=self.block)
        self.team.add([self.batch.transition, self.batch.emission])
        counted = len(batch) * self.team.size
        rate = phase.step[0] * (phase.step[1] / phase.step[0]) ** share
        self.counts.scale_(1 - rate).add_(self.batch, rate * len(self.train) / counted)
        self._maximise(refresh=at.step % REFRESH == 0)
        self.seen += counted
        return {"training": float(-logs.mean()) / (math.log(2) * self.train.shape[1]), "rate": rate}

    def line(self, figures: Mapping[str, float]) -> str:
        epoch = self.seen / len(self.train)
        return f"epoch {epoch:.2f}  rate {figures['rate']:.3f}  training {figures['training']:.4f} bpd"

    def validate(self, at: Place) -> dict[str, float]:
        """How well held-out items are predicted."""
        self.held_out_bpd = None
        if not len(self.items.held_out):
            return {}
        self.held_out_bpd = self._held_out()
        return {"held out": self.held_out_bpd}

    def _held_out(self) -> float:
        return bits_per_dimension(self.circuit, self.items.held_out[:3000])

    def sentence(self, row: Mapping[str, float], where: str, minutes: float) -> str:
        return f"{where}: held out {row['held out']:.4f} bpd, {minutes:.1f} minutes"
