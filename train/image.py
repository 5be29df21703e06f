"""Training image models: `lecodec train image`.

    crops -> ImageNetwork at random quality indices -> R + lambda D -> AdamW/Muon -> average -> checkpoints -> freeze

It takes one GPU if there is one (several when asked to: see team.py), and keeps all pictures in memory.
bfloat16 autocast is used outside the exact layers only, where the processor has it; these compute in float64 in
training too. weights.pt holds what freezing needs of a checkpoint.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..codec.transforms import DOWN
from ..codec.transforms.network import ImageNetwork, decoding_macs, start_from_statistics
from ..entropy.conditional import ConditionalHyperprior
from ..errors import InputError
from .checkpoint import contents_of, load_checkpoint
from .compiled import compile_network
from .data import CropStream, load_pictures
from .features import distance_of
from .grow import grow
from .latents import drawn_from, kept_latents, key_of
from .objectives import balance_weight, distortion_of, draw_indices, lagrangian, quality_lambda
from .recipe import Recipe
from .references import chosen_references
from .run import Experiment, Place
from .schedule import Average, load_weights, phase_at, warm_up
from .team import Team

__all__ = ["ImageExperiment", "learning_rate", "weights_of"]

ANEW = tuple(f"hyperprior.{name}" for name in ("context.", "above.", "h_a.above.", "references", "unit"))
"""What `start_from` may lack."""
TOP = "hyperprior.prior."
"""What it may have in vain: the levels of a nest end in tables of their own."""
POOL = 2048
"""Latents that are kept for training an entropy model."""
VALIDATION_INDICES = (0, 16, 32, 48, 63)
SAMPLED = 20
"""Every so many steps the loss is looked at: that makes a GPU wait."""
LINEAR_SHARE = 0.05
"""Linear paths learn this share as fast as the rest: what a step adds to a weight is multiplied by y, which is a
thousand times larger than the error that the highest rates allow."""


def weights_of(state: dict) -> dict:
    """A checkpoint without what only resuming needs: the averaged weights in float16. An eighth of its size; what
    `start_from` and `freeze` take as well.
    """
    kept = {key: state[key] for key in ("recipe", "step", "seconds")}
    return {**kept, "ema": {name: value.half() for name, value in state["ema"].items()}}


class _Objective(nn.Module):
    """The network and its loss in one forward(), which is what data-parallel wrappers synchronise."""

    def __init__(self, network: ImageNetwork, recipe: Recipe):
        super().__init__()
        self.network, self.recipe = network, recipe
        self.features = distance_of(recipe.features) if recipe.features else None

    def forward(self, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x: pictures, or in training with objective rate latents -> the loss, and for each picture bits a pixel,
        distortion and (0 without a feature term) feature distance.
        """
        r = self.recipe
        lam = quality_lambda(index, r.lambda_low, r.lambda_high)
        weight = balance_weight(lam, r.lambda_low, r.lambda_high, r.balance)
        if r.objective == "rate" and self.training:  # x is y
            likelihood = self.network.hyperprior(x, index, rounded=True)
            bpp = (likelihood.bits_y + likelihood.bits_z) / (DOWN * DOWN * x.shape[-1] * x.shape[-2])
            zero = torch.zeros_like(bpp)
            return lagrangian(bpp, zero, lam, weight), bpp, zero, zero
        x_hat, bits = self.network(x, index)
        if not self.training:
            x_hat = x_hat.clamp(0, 1)
        bpp = bits / (x.shape[-1] * x.shape[-2])
        distortion = distortion_of(r.distortion, x, x_hat)
        features = torch.zeros_like(bpp) if self.features is None else self.features(x, x_hat)
        total = distortion + (r.features.weight if r.features else 0) * features
        return lagrangian(bpp, total, lam, weight), bpp, distortion, features


def _optimisers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Each group of parameters has a `share` of the recipe's learning rate."""
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    linear = [p for n, p in named if ".linear." in n]
    named = [(n, p) for n, p in named if ".linear." not in n]
    fine = [{"params": linear, "share": LINEAR_SHARE}] if linear else []
    matrix = [p for n, p in named if p.ndim == 2 and n.startswith(("g_a", "g_s")) and "gain" not in n]
    if recipe.optimiser == "adamw" or not matrix:
        return [_adamw([{"params": [p for _, p in named]}, *fine], recipe)]
    if not hasattr(torch.optim, "Muon"):
        raise InputError(f"optimiser muon needs torch 2.9 or later, this is {torch.__version__}")
    chosen = {id(p) for p in matrix}
    rest = [p for _, p in named if id(p) not in chosen]
    muon = torch.optim.Muon(matrix, lr=recipe.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return [muon, _adamw([{"params": rest}, *fine], recipe)]


def _adamw(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=0.0, fused=True)


def learning_rate(recipe: Recipe, at: Place) -> float:
    """It rises, and falls along a half cosine to a thousandth."""
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, at.share)))
    return recipe.learning_rate * warm_up(at.step, at.share, recipe.warmup_steps) * max(falling, 1e-3)


class ImageExperiment(Experiment[Recipe]):
    """The network, its average, its optimisers and the crops."""

    noun = "an image model"

    @staticmethod
    def precision(recipe: Recipe, team: Team) -> str:
        if recipe.precision != "auto":
            return recipe.precision
        return "bf16-mixed" if _has_bfloat16(gpu=team.gpus > 0) else "32-true"

    def __init__(self, recipe: Recipe, say: Callable[[str], None], team: Team, resumes: bool) -> None:
        super().__init__(recipe, say, team, resumes)
        if team.size > 1 and recipe.cache is not None and not recipe.cache.exists():
            raise InputError(f"{recipe.cache} is not there yet: one process makes it, so begin with --devices 1")
        self.fabric = fabric = team.fabric
        torch.manual_seed(recipe.seed + team.rank)
        seed = recipe.seed + 1000 * team.rank + 7919 * int(time.time() if resumes else 0)
        # Of its own, as the crops' is: runs with one seed see the same crops at the same indices, whatever they train.
        self.indices = torch.Generator().manual_seed(seed)
        self.network = ImageNetwork(recipe.network())
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.crops = None
        if recipe.cache is None or not recipe.cache.exists():
            pictures = load_pictures(recipe.train, say=self.say)
            self.say(f"{len(pictures)} pictures, {sum(p.size for p in pictures) / 3e6:.0f} megapixels")
            self.crops = CropStream(pictures, recipe.downscale, seed, recipe.workers, recipe.synthetic)
        if not resumes and recipe.cache is None:
            assert self.crops is not None
            self.crops.batch = 64
            if recipe.grow_from is None:
                start_from_statistics(self.network, next(iter(self.crops)))
            else:
                self._grow(recipe.grow_from, next(iter(self.crops)))
        if recipe.start_from is not None:
            state = load_checkpoint(recipe.start_from)
            own = self.network.state_dict()
            anew = {n: p for n, p in own.items() if n.startswith(ANEW)}
            again = {n: p for n, p in own.items() if recipe.begin_anew and n.startswith(tuple(recipe.begin_anew))}
            nested = self.network.config.hyper.levels > 1
            with contents_of(recipe.start_from, self.noun):
                kept = {n: p for n, p in state["ema"].items() if not (nested and n.startswith(TOP))}
                load_weights(self.network, {**anew, **kept, **again}, recipe.name)
        if recipe.references and not resumes:
            self._refer()
        if recipe.train_only:
            for name, p in self.network.named_parameters():
                p.requires_grad_(p.requires_grad and name.startswith(tuple(recipe.train_only)))
        self.objective = _Objective(self.network, recipe)
        self.optimisers = _optimisers(self.network, recipe)
        stepped = self.objective
        if recipe.compile:
            stepped = compile_network(self.objective, fabric.device)
        wrapped = fabric.setup(stepped, *self.optimisers)
        self.model, self.optimisers = wrapped[0], list(wrapped[1:])
        self.average = Average(self.network, recipe.ema)
        self.fresh = recipe.reuse if recipe.objective == "rate" else 1
        self.held_out = _centre_crops(recipe.validation, self.say)
        self.at = Place(0, 0.0)
        self.stream = self._latents() if recipe.objective == "rate" else self._pictures()
        if recipe.cache is not None:
            self.stream = self._kept(recipe.cache, seed)
        self.objective.train()
        self.say(f"to decode takes {decoding_macs(self.network) / 1e3:.1f} thousand multiplications a pixel")

    def _refer(self) -> None:
        """Choose the crops that the memory is of."""
        hyperprior, recipe = self.network.hyperprior, self.recipe
        assert isinstance(hyperprior, ConditionalHyperprior)
        pictures = load_pictures(recipe.references, smallest=256, say=self.say)
        found = chosen_references(self.network.g_a, pictures, hyperprior.memory.entries, recipe.seed)
        with torch.no_grad():
            hyperprior.references.copy_(found[0])
            hyperprior.unit.copy_(found[1])

    def _grow(self, path: Path, crops: Tensor) -> None:
        state = load_checkpoint(path)
        with contents_of(path, self.noun):
            origin = Recipe(**state["recipe"])
            old = ImageNetwork(origin.network())
            load_weights(old, state["ema"], origin.name)
        before = origin.lambda_low, origin.lambda_high
        after = self.recipe.lambda_low, self.recipe.lambda_high
        if (part := self.recipe.grow_range) is not None:
            low, high = quality_lambda(torch.tensor(part), *before).tolist()
            after = low, high
        grow(old, self.network, before, after, crops)

    # -- state on disk

    def restore(self, state: dict[str, Any]) -> None:
        load_weights(self.network, state["ema"], self.recipe.name)
        self.average = Average(self.network, self.recipe.ema)
        load_weights(self.network, state["network"], self.recipe.name)
        saved = state["optimisers"]
        try:
            for optimiser, own in zip(self.optimisers, saved, strict=True):
                optimiser.load_state_dict(own)
        except (ValueError, KeyError):
            raise InputError("it was written with another optimiser; start_from takes its weights") from None

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "ema": self.average.weights,
            "optimisers": [o.state_dict() for o in self.optimisers],
        }

    def extracts(self, state: dict[str, Any]) -> Mapping[str, dict[str, Any]]:
        return {"weights.pt": weights_of(state)}

    # -- the loop

    def _kept(self, path: Path, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of latents that are kept in a file, which is made first if it is not there."""
        recipe = self.recipe
        says = recipe.model_dump(mode="json", include={"train", "downscale", "synthetic", "cached"})
        key = key_of(self.network.g_a, {**says, "crop": recipe.phases[0].crop})
        make = None
        if self.crops is not None:
            self.crops.crop, self.crops.batch = recipe.phases[0].crop, 1
            made = ((self._analysed(x, index), index) for x, index in self._pictures())
            make = itertools.islice(made, recipe.cached)
        for y, index in drawn_from(kept_latents(path, key, make), recipe.phases[0].batch, seed):
            yield y.to(self.fabric.device), index.to(self.fabric.device)

    def _analysed(self, x: Tensor, index: Tensor) -> Tensor:
        with torch.no_grad(), self.fabric.autocast():
            return self.network.g_a(x, index)

    def _pictures(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of crops with random quality indices."""
        assert self.crops is not None
        for x in self.crops:
            x = x.to(self.fabric.device, non_blocking=True)
            yield x, draw_indices(len(x), self.indices).to(x.device)

    def _latents(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of latents of crops at random quality indices, each of them `reuse` times on average: what the frozen
        analysis makes of a few new crops goes into a pool of the latest latents, from which a batch is drawn.
        """
        pool: deque[tuple[Tensor, Tensor]] = deque(maxlen=POOL)
        for x, index in self._pictures():
            pool.extend(zip(self._analysed(x, index), index, strict=True))
            if pool[0][0].shape != pool[-1][0].shape:  # a new phase
                pool = deque((item for item in pool if item[0].shape == pool[-1][0].shape), POOL)
            if len(pool) < self.recipe.reuse * len(x):
                continue
            chosen = random.Random(self.at.step).sample(range(len(pool)), self.recipe.reuse * len(x))
            yield torch.stack([pool[n][0] for n in chosen]), torch.stack([pool[n][1] for n in chosen])

    def done(self, step: int) -> float:
        return step / self.recipe.steps

    def step(self, at: Place) -> dict[str, float]:
        recipe, fabric, self.at = self.recipe, self.fabric, at
        _, phase, _ = phase_at(recipe.phases, at.share)
        if self.crops is not None and recipe.cache is None:
            self.crops.crop, self.crops.batch = phase.crop, max(1, phase.batch // self.fresh)
        x, index = next(self.stream)
        rate = learning_rate(recipe, at)
        for group in itertools.chain.from_iterable(o.param_groups for o in self.optimisers):
            group["lr"] = rate * group.get("share", 1)
        loss, _, _, _ = self.model(x, index)
        fabric.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        if torch.isfinite(norm):
            for optimiser in self.optimisers:
                optimiser.step()
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        self.average.update(at.step)
        if (at.step + 1) % SAMPLED:
            return {}
        return {"loss": float(loss.detach()), "gradient": float(norm), "lr": rate}

    def line(self, figures: Mapping[str, float]) -> str:
        return (
            f"loss {figures['loss']:.4f}  |g| {figures['gradient']:.2f}  lr {figures['lr']:.1e}  "
            f"{figures['steps_per_s']:.2f} steps/s"
        )

    @contextlib.contextmanager
    def averaged(self) -> Iterator[_Objective]:
        """The objective with the network's averaged weights, for the time of a `with`."""
        self.objective.eval()
        try:
            with self.average.applied():
                yield self.objective
        finally:
            self.objective.train()

    def validate(self, at: Place) -> dict[str, float]:
        if self.held_out is None:
            return {}
        with self.averaged() as objective:
            return _validate(objective, self.held_out.to(self.fabric.device))


def _has_bfloat16(gpu: bool) -> bool:
    """Whether the GPU, or this CPU, multiplies in bfloat16 by instructions of its own."""
    if gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _centre_crops(folders: list[Path], say: Callable[[str], None], side: int = 256, most: int = 16) -> Tensor | None:
    """[N, 3, side, side] in [0, 1] from the middles of up to `most` validation pictures, or None."""
    if not folders:
        return None
    crops = []
    for picture in load_pictures(folders, smallest=side, say=say)[:most]:
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        crops.append(torch.from_numpy(picture[top : top + side, left : left + side].copy()).permute(2, 0, 1))
    return torch.stack(crops).float().div_(255)


@torch.no_grad()
def _validate(objective: _Objective, x: Tensor) -> dict[str, float]:
    """Rate and distortion of the held-out crops at a few quality indices, with real rounding, and their mean loss."""
    row, total = {}, 0.0
    for q in VALIDATION_INDICES:
        loss, bpp, distortion, features = objective(x, torch.full((len(x),), q, device=x.device))
        total += float(loss) / len(VALIDATION_INDICES)
        row[f"bpp@{q}"] = float(bpp.mean())
        mean = float(distortion.mean())
        if objective.recipe.distortion == "mse":
            row[f"dB@{q}"] = -10 * math.log10(mean)
        else:
            row[f"D@{q}"] = mean
        if objective.features is not None:
            row[f"F@{q}"] = float(features.mean())
    return {"validation": total, **row}
