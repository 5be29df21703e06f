"""The training loop: `lecodec train RECIPE.yaml`.

    crops -> ImageNetwork at random quality indices -> R + lambda D -> AdamW/Muon -> EMA -> checkpoints -> freeze

One resumable command: it finds its GPUs by itself (lightning Fabric), keeps all pictures in memory, and writes a
checkpoint every few minutes, from which `--resume` goes on with new crops. bfloat16 autocast is used outside the exact
layers only; these compute in float64 in training too.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..codec.network import ImageNetwork, decoding_macs, start_from_statistics
from ..codec.tiles import DOWN
from ..errors import InputError, ModelError
from ..kinds import KINDS, named
from .checkpoint import load_checkpoint, log_metrics, save_checkpoint
from .data import CropStream, load_pictures
from .features import FeatureDistance
from .objectives import balance_weight, distortion_of, draw_indices, lagrangian, quality_lambda
from .recipe import Phase, Recipe, load_as, recipe_kind
from .rounding import rounding_of

__all__ = ["load_checkpoint", "train", "train_image", "weights_of"]

ANEW = "hyperprior.context."
"""What `start_from` may lack."""
POOL = 2048
"""Latents that are kept for training an entropy model."""
VALIDATION_INDICES = (0, 16, 32, 48, 63)
TAIL_RATE = 0.03
"""The learning rate of a recipe's `tail`, against the highest."""


def train(
    recipe_path: Path | str,
    resume: bool = False,
    overrides: dict[str, object] | None = None,
    *,
    runs: Path | str = "runs",
    accelerator: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Run a recipe; returns the folder `runs/NAME` with checkpoint.pt, weights.pt, metrics.csv and TensorBoard logs.

    resume: go on from the folder's checkpoint (start anew when there is none). overrides: recipe fields that replace
    the file's. accelerator: 'auto', 'cpu' or 'cuda'. Raises InputError for a bad recipe, folder or checkpoint, and when
    the folder holds a run and `resume` is off.
    """
    trained = {name: kind for name, kind in KINDS.items() if kind.train}
    kind = trained.get(name := recipe_kind(recipe_path))
    if kind is None:
        raise InputError(f"{recipe_path}: kind {name!r}; there are {', '.join(trained)}")
    recipe = load_as(named(kind.recipe), recipe_path, overrides or {})
    folder = Path(runs) / recipe.name
    if (folder / "checkpoint.pt").exists() and not resume:
        raise InputError(f"{folder} holds a run already: --resume goes on with it, another name starts anew")
    folder.mkdir(parents=True, exist_ok=True)
    how = {"resume": resume, "accelerator": accelerator}
    return named(kind.train)(recipe, folder, progress or _print_line, **how)


def train_image(recipe: Recipe, folder: Path, say: Callable[[str], None], *, resume: bool, accelerator: str) -> Path:
    """Run the recipe of an image model in a folder, from its checkpoint if there is one. See `train`."""
    from lightning.fabric import Fabric
    from lightning.fabric.loggers import TensorBoardLogger

    fabric = Fabric(
        accelerator=accelerator,
        devices="auto" if accelerator != "cpu" and torch.cuda.is_available() else 1,
        precision=recipe.precision,
        loggers=TensorBoardLogger(folder, name="", version=""),
    )
    fabric.launch()
    _Run(fabric, recipe, folder, say if fabric.is_global_zero else lambda _: None).go()
    return folder


def weights_of(state: dict) -> dict:
    """A checkpoint without what only resuming needs: the averaged weights in float16. An eighth of its size; what
    `start_from` and `freeze` take as well.
    """
    kept = {key: state[key] for key in ("recipe", "step", "seconds")}
    return {**kept, "ema": {name: value.half() for name, value in state["ema"].items()}}


def _print_line(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(text, end=end, file=sys.stderr, flush=True)


class _Objective(nn.Module):
    """The network and its loss in one forward(), which is what data-parallel wrappers synchronise."""

    def __init__(self, network: ImageNetwork, recipe: Recipe):
        super().__init__()
        self.network, self.recipe = network, recipe
        self.features = FeatureDistance(recipe.features) if recipe.features else None

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
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    matrix = [p for n, p in named if p.ndim == 2 and n.startswith(("g_a", "g_s")) and "gain" not in n]
    if recipe.optimiser == "adamw" or not matrix:
        return [torch.optim.AdamW([p for _, p in named], lr=recipe.learning_rate, weight_decay=0.0, fused=True)]
    if not hasattr(torch.optim, "Muon"):
        raise InputError(f"optimiser muon needs torch 2.9 or later, this is {torch.__version__}")
    chosen = {id(p) for p in matrix}
    rest = [p for _, p in named if id(p) not in chosen]
    muon = torch.optim.Muon(matrix, lr=recipe.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(rest, lr=recipe.learning_rate, weight_decay=0.0, fused=True)]


class _Run:
    """The state of one run: network, average, optimisers, counters."""

    def __init__(self, fabric, recipe: Recipe, folder: Path, say: Callable[[str], None]):
        self.fabric, self.recipe, self.folder, self.say = fabric, recipe, folder, say
        self.rank = fabric.global_rank
        self.resumes = (folder / "checkpoint.pt").exists()
        torch.manual_seed(recipe.seed + self.rank)
        seed = recipe.seed + 1000 * self.rank + 7919 * int(time.time() if self.resumes else 0)
        self.crops = CropStream(load_pictures(recipe.train), recipe.downscale, seed, recipe.workers, recipe.synthetic)
        # Of its own, as the crops' is: runs with one seed see the same crops at the same indices, whatever they train.
        self.indices = torch.Generator().manual_seed(seed)
        self.network = ImageNetwork(recipe.network())
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if not self.resumes:
            self.crops.batch = 64
            start_from_statistics(self.network, next(iter(self.crops)))
        if recipe.start_from is not None:
            weights = load_checkpoint(recipe.start_from).get("ema", {})
            anew = {n: p for n, p in self.network.state_dict().items() if n.startswith(ANEW)}
            self._load_weights(self.network, {**anew, **weights}, recipe.start_from)
        if recipe.train_only:
            for name, p in self.network.named_parameters():
                p.requires_grad_(name.startswith(tuple(recipe.train_only)))
        self.objective = _Objective(self.network, recipe)
        self.optimisers = _optimisers(self.network, recipe)
        wrapped = fabric.setup(self.objective, *self.optimisers)
        self.model, self.optimisers = wrapped[0], list(wrapped[1:])
        self.ema = {n: p.detach().clone() for n, p in self.network.named_parameters()}
        self.step, self.seconds = 0, 0.0
        self.fresh = recipe.reuse if recipe.objective == "rate" else 1
        if self.resumes:
            self._restore()
        self.held_out = _centre_crops(recipe.validation)
        pictures = self.crops.pictures
        self.say(
            f"{len(pictures)} pictures, {sum(p.size for p in pictures) / 3e6:.0f} megapixels; to decode takes "
            f"{decoding_macs(self.network) / 1e3:.1f} thousand multiplications a pixel"
        )

    # -- state on disk

    def _load_weights(self, network: nn.Module, weights: dict, origin: object) -> None:
        try:
            network.load_state_dict(weights)
        except (RuntimeError, AttributeError):
            raise ModelError(f"{origin}: its weights do not fit the network of recipe {self.recipe.name}") from None

    def _restore(self) -> None:
        path = self.folder / "checkpoint.pt"
        state = load_checkpoint(path)
        self._load_weights(self.network, state["network"], path)
        self.ema = {n: state["ema"][n].to(p.device) for n, p in self.network.named_parameters()}
        try:
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
        except (ValueError, KeyError):
            raise InputError(f"{path}: it was written with another optimiser; start_from takes its weights") from None
        self.step, self.seconds = state["step"], state["seconds"]
        self.say(f"resumed at step {self.step}, {self.seconds / 60:.1f} minutes")

    def save(self) -> None:
        """Write checkpoint.pt and weights.pt: to temporary files first, so that a kill leaves the old ones."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "recipe": self.recipe.model_dump(mode="json"),
            "network": self.network.state_dict(),
            "ema": self.ema,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
        }
        for name, content in (("checkpoint.pt", state), ("weights.pt", weights_of(state))):
            save_checkpoint(content, self.folder / name)

    # -- the loop

    def _pictures(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of crops with random quality indices."""
        for x in self.crops:
            x = x.to(self.fabric.device, non_blocking=True)
            yield x, draw_indices(self.recipe.indices, len(x), self.indices).to(x.device)

    def _latents(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of latents of crops at random quality indices, each of them `reuse` times on average: what the frozen
        analysis makes of a few new crops goes into a pool of the latest latents, from which a batch is drawn.
        """
        pool: deque[tuple[Tensor, Tensor]] = deque(maxlen=POOL)
        for x, index in self._pictures():
            with torch.no_grad(), self.fabric.autocast():
                pool.extend(zip(self.network.g_a(x, index), index, strict=True))
            if pool[0][0].shape != pool[-1][0].shape:  # a new phase
                pool = deque((item for item in pool if item[0].shape == pool[-1][0].shape), POOL)
            if len(pool) < self.recipe.reuse * len(x):
                continue
            chosen = random.Random(self.step).sample(range(len(pool)), self.recipe.reuse * len(x))
            yield torch.stack([pool[n][0] for n in chosen]), torch.stack([pool[n][1] for n in chosen])

    @property
    def done(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        time_used = self.seconds / 60 / self.recipe.minutes if self.recipe.minutes else 0.0
        return min(1.0, max(self.step / self.recipe.steps, time_used))

    def phase(self) -> Phase:
        edge = 0.0
        for phase in self.recipe.phases:
            edge += phase.fraction
            if self.done < edge:
                return phase
        return self.recipe.phases[-1]

    def learning_rate(self) -> float:
        r = self.recipe
        warm = min(1.0, (self.step + 1) / r.warmup_steps)
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, self.done / (1 - r.tail))))
        return r.learning_rate * warm * max(falling, TAIL_RATE if r.tail else 1e-3)

    def go(self) -> None:
        recipe, fabric = self.recipe, self.fabric
        checkpoint_due = time.monotonic() + 60 * recipe.checkpoint_minutes
        losses, said = [], time.monotonic()
        mark, mark_step = time.monotonic(), self.step
        self.objective.train()
        stream = self._latents() if recipe.objective == "rate" else self._pictures()
        while self.done < 1:
            begun = time.monotonic()
            phase = self.phase()
            self.crops.crop, self.crops.batch = phase.crop, max(1, phase.batch // self.fresh)
            x, index = next(stream)
            rate = self.learning_rate()
            for group in itertools.chain.from_iterable(o.param_groups for o in self.optimisers):
                group["lr"] = rate
            self.network.hyperprior.rounding = rounding_of(recipe.rounding, self.done)
            loss, _, _, _ = self.model(x, index)
            fabric.backward(loss)
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
            if torch.isfinite(norm):
                for optimiser in self.optimisers:
                    optimiser.step()
            for optimiser in self.optimisers:
                optimiser.zero_grad()
            self._average()
            self.step += 1
            self.seconds += self._agree(time.monotonic() - begun)
            if self.step % 20 == 0:
                losses.append((float(loss.detach()), float(norm)))
            if losses and time.monotonic() - said > 10:
                now = time.monotonic()
                speed = (self.step - mark_step) / (now - mark)
                mean = [sum(c) / len(c) for c in zip(*losses, strict=True)]
                eta = self.seconds * (1 - self.done) / max(self.done, 1e-9)
                self.say(
                    f"step {self.step}  {100 * self.done:.1f}%  loss {mean[0]:.4f}  |g| {mean[1]:.2f}  lr {rate:.1e}  "
                    f"{speed:.2f} steps/s  ETA {eta / 60:.0f} min"
                )
                self._log({"loss": mean[0], "gradient": mean[1], "lr": rate, "steps_per_s": speed})
                losses, said, mark, mark_step = [], now, now, self.step
            if time.monotonic() > checkpoint_due:
                self._checkpoint()
                checkpoint_due = time.monotonic() + 60 * recipe.checkpoint_minutes
        self._checkpoint()

    def _agree(self, seconds: float) -> float:
        """One duration for all ranks, so that they leave the loop together."""
        if self.fabric.world_size == 1:
            return seconds
        return float(self.fabric.broadcast(torch.tensor(seconds, dtype=torch.float64)))

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        parameters = [p.detach() for p in self.network.parameters()]
        torch._foreach_lerp_(list(self.ema.values()), parameters, 1 - decay)

    @contextlib.contextmanager
    def averaged(self):
        """The objective with the network's averaged weights, for the time of a `with`."""
        own = {n: p.detach().clone() for n, p in self.network.named_parameters()}
        self.network.load_state_dict(self.ema)
        self.objective.eval()
        try:
            yield self.objective
        finally:
            self.network.load_state_dict(own)
            self.objective.train()

    def _checkpoint(self) -> None:
        self.save()
        if self.held_out is not None and self.fabric.is_global_zero:
            with self.averaged() as objective:
                row = _validate(objective, self.held_out.to(self.fabric.device))
            self._log(row)
            self.say("validation  " + "  ".join(f"{k} {v:.4f}" for k, v in row.items()))

    def _log(self, row: dict[str, float]) -> None:
        self.fabric.log_dict(row, step=self.step)
        if self.fabric.is_global_zero:
            log_metrics(self.folder, self.step, self.seconds, row)


def _centre_crops(folders: list[Path], side: int = 256, most: int = 16) -> Tensor | None:
    """[N, 3, side, side] in [0, 1] from the middles of up to `most` validation pictures, or None."""
    if not folders:
        return None
    crops = []
    for picture in load_pictures(folders, smallest=side)[:most]:
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
        row[f"dB@{q}"] = -10 * math.log10(float(distortion.mean()))
        if objective.features is not None:
            row[f"F@{q}"] = float(features.mean())
    return {"validation": total, **row}
