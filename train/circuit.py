"""The training loop of probabilistic circuits: `lecodec train RECIPE.yaml` with `kind: circuit`.

    items -> Chow-Liu tree, states from k-means -> mini-batch EM, its step falling (phases may prune and grow)
          -> checkpoints -> freeze

One resumable command: it finds a GPU by itself, keeps all items in memory, and writes a checkpoint every few minutes,
from which `--resume` goes on. A checkpoint can be frozen at any time. Figures are bits per dimension: bits a variable.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..entropy.chow_liu import mutual_information, quantiles, spanning_tree, tree_of
from ..entropy.circuit import Circuit, Counts
from ..errors import InputError
from .checkpoint import load_checkpoint, log_metrics, save_checkpoint
from .circuit_data import Items, augmented, load_items
from .circuit_em import Maximiser, Smoothing, grow, narrow, prune
from .circuit_start import starting_counts
from .recipe import CircuitPhase, CircuitRecipe

__all__ = ["CircuitRun", "bits_per_dimension", "train_circuit"]

REFRESH = 10
"""Steps for which a prior of the emissions is good."""


def train_circuit(
    recipe: CircuitRecipe, folder: Path, say: Callable[[str], None], *, resume: bool = False, accelerator: str = "auto"
) -> Path:
    """Run a recipe in a folder that exists; returns the folder, with checkpoint.pt and metrics.csv.

    resume: go on from the folder's checkpoint (start anew when there is none). accelerator: 'auto', 'cpu' or 'cuda'.
    """
    use_gpu = accelerator != "cpu" and torch.cuda.is_available()
    products: Any = getattr(torch.backends.mkldnn, "matmul", None)
    before = getattr(products, "fp32_precision", None)
    if before is not None:  # oneDNN's products: twice as fast as the default on some CPUs
        products.fp32_precision = "bf16"
    for kind in ("float32", "float64"):
        np.finfo(np.dtype(kind)).smallest_subnormal  # noqa: B018 - numpy keeps the answer, and complains if it is zero by then
    torch.set_flush_denormal(True)  # counts of what is never seen fade away; denormal numbers are slow
    try:
        with torch.no_grad():
            CircuitRun(recipe, folder, say, torch.device("cuda" if use_gpu else "cpu"), resume).go()
    finally:
        torch.set_flush_denormal(False)
        if before is not None:
            products.fp32_precision = before
    return folder


def bits_per_dimension(circuit: Circuit, items: torch.Tensor) -> float:
    """The mean over items [N, V] of -log2 p(item) / V."""
    return float(-circuit.log_likelihood(items).mean()) / (math.log(2) * items.shape[1])


class CircuitRun:
    """The state of one run: counts, the circuit made of them, what is pruned, counters."""

    def __init__(
        self, recipe: CircuitRecipe, folder: Path, say: Callable[[str], None], device: torch.device, resume: bool
    ):
        self.recipe, self.folder, self.say, self.device = recipe, folder, say, device
        try:
            smoothing = Smoothing(**recipe.smoothing)
        except TypeError:
            known = ", ".join(Smoothing.__dataclass_fields__)
            raise InputError(
                f"recipe {recipe.name}: smoothing takes {known}, not all of {list(recipe.smoothing)}"
            ) from None
        self.items: Items = load_items(recipe, say)
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
        self.step, self.seconds, self.phase, self.mask = 0, 0.0, 0, None
        self.block = 1024 if device.type == "cpu" else 1 << 14  # messages stay in cache, or kernels have enough to do
        self.seen = 0.0
        """Items so far, augmented ones counted as new."""
        say(f"{len(self.train)} items of {self.train.shape[1]} variables, {len(self.items.held_out)} held out")
        if resume and (folder / "checkpoint.pt").exists():
            self._restore()
        else:
            self._start()
        self._rebuild()

    def _start(self) -> None:
        recipe, items, begun = self.recipe, self.items, time.monotonic()
        order = torch.randperm(len(self.train), generator=self.generator)[: recipe.structure_samples]
        seen, bins, levels = self.train[order].numpy(), recipe.structure_bins, items.levels
        if recipe.structure_ranges == "quantile":
            seen, levels = quantiles(seen, bins), bins
        information = mutual_information(seen, levels, bins)
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
        self.phase = -1
        self.seconds = time.monotonic() - begun

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
        """What a checkpoint holds: parameters for freezing, counts for going on, and where the run stands."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "item_shape": list(self.items.shape),
            "levels": self.items.levels,
            "parent": torch.from_numpy(self.parent),
            "group": torch.from_numpy(self.items.group),
            "transition": self.circuit.transition,
            "emission": self.circuit.emission.contiguous(),
            "counts": {"transition": self.counts.transition, "emission": self.counts.emission},
            "mask": self.mask,
            "phase": self.phase,
            "step": self.step,
            "seen": self.seen,
            "epochs": self.seen / len(self.train),
            "seconds": self.seconds,
            "held_out_bpd": self.held_out_bpd,
        }

    def _restore(self) -> None:
        path = self.folder / "checkpoint.pt"
        state = load_checkpoint(path)
        try:
            self.parent = state["parent"].numpy()
            if state["item_shape"] != list(self.items.shape) or state["levels"] != self.items.levels:
                raise InputError(f"{path}: its items are {state['item_shape']}, not {list(self.items.shape)}")
            counts = state["counts"]
            self.counts = Counts(
                counts["transition"].to(self.device), counts["emission"].to(self.device), len(self.train)
            )
            self.mask = None if state["mask"] is None else state["mask"].to(self.device)
            self.phase, self.step, self.seen, self.seconds = (state[k] for k in ("phase", "step", "seen", "seconds"))
        except (KeyError, AttributeError, TypeError):
            raise InputError(f"{path} is not a checkpoint of a circuit") from None
        self.say(f"resumed at step {self.step}, {self.seconds / 60:.1f} minutes")

    def save(self) -> None:
        save_checkpoint(self.state(), self.folder / "checkpoint.pt")

    # -- the loop

    @property
    def done(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        time_used = self.seconds / 60 / self.recipe.minutes if self.recipe.minutes else 0.0
        return min(1.0, max(self.seen / (len(self.train) * self.recipe.epochs), time_used))

    def _place(self) -> tuple[int, float]:
        """The number of the phase, and the share of it that is done."""
        edge = 0.0
        for number, phase in enumerate(self.recipe.phases):
            if self.done < edge + phase.fraction or number == len(self.recipe.phases) - 1:
                return number, min(1.0, (self.done - edge) / phase.fraction)
            edge += phase.fraction
        raise AssertionError("a recipe has phases")

    def _enter(self, number: int, phase: CircuitPhase) -> None:
        self.phase = number
        if phase.narrow:
            self.mask = narrow(self.counts, self.mask, self.circuit, phase.narrow)
            self._rebuild()
            self._report(f"phase {number + 1}: narrowed to {int(self.mask.sum())} edges")
        if phase.keep is not None:
            self.mask = prune(self.counts, phase.keep, self.circuit.root, self.mask)
            self._rebuild()
            self._report(f"phase {number + 1}: pruned to {int(self.mask.sum())} edges")
        if phase.grow:
            self.counts, self.mask = grow(self.counts, self.mask, self.recipe.growing_noise, self.generator)
            self._rebuild()
            self._report(f"phase {number + 1}: grown to {self.circuit.states} states")

    def go(self) -> None:
        recipe, variables = self.recipe, self.train.shape[1]
        bits, said = [], time.monotonic()
        saved = said
        self._report("start" if self.step == 0 else f"step {self.step}")
        while self.done < 1:
            begun = time.monotonic()
            number, share = self._place()
            phase = recipe.phases[number]
            if number > self.phase:
                self._enter(number, phase)
            rng = np.random.default_rng([recipe.seed, 3, self.step])
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
            rate = phase.step[0] * (phase.step[1] / phase.step[0]) ** share
            self.counts.scale_(1 - rate).add_(self.batch, rate * len(self.train) / len(batch))
            self._maximise(refresh=self.step % REFRESH == 0)
            bits.append(float(-logs.mean()) / (math.log(2) * variables))
            self.step += 1
            self.seen += len(batch)
            now = time.monotonic()
            self.seconds += now - begun
            if now - said > 10:
                eta = self.seconds * (1 - self.done) / max(self.done, 1e-9)
                self.say(
                    f"step {self.step}  {100 * self.done:.1f}%  epoch {self.seen / len(self.train):.2f}  "
                    f"rate {rate:.3f}  training {np.mean(bits):.4f} bpd  ETA {eta / 60:.0f} min"
                )
                self._log({"training": float(np.mean(bits)), "rate": rate})
                bits, said = [], now
            if now - saved > 60 * recipe.checkpoint_minutes:
                self._report(f"step {self.step}")
                self.save()
                saved = time.monotonic()
        self._report(f"step {self.step}, done")
        self.save()

    def _report(self, where: str) -> None:
        """Say how well held-out items are predicted."""
        self.held_out_bpd = None
        if len(self.items.held_out):
            self.held_out_bpd = bits_per_dimension(self.circuit, self.items.held_out[:3000])
            self._log({"held out": self.held_out_bpd})
            self.say(f"{where}: held out {self.held_out_bpd:.4f} bpd, {self.seconds / 60:.1f} minutes")

    def _log(self, row: dict[str, float]) -> None:
        log_metrics(self.folder, self.step, self.seconds, row)
