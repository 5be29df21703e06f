"""Adapting an image model to pictures of one kind: small changes to a model that is trained already.

    model file -> thawed network;   weights + u v, all else + a difference -> R + lambda D -> AdamW -> average

Matrices of weights change by products of low rank (Hu et al., "LoRA", 2021), everything else that is learned by a
difference of its own. So the changes are a small file (see codec/adapted.py), and little can be learned by heart from
few pictures. Rates, distortion and their weights are those that the model was trained with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from ..codec.model_file import load_tensors
from ..codec.objective import Objective, objective_of
from ..codec.registry import find_model
from ..errors import InputError
from .adapt_recipe import AdaptRecipe
from .data import CropStream, load_pictures
from .objectives import balance_weight, draw_indices, lagrangian, quality_lambda
from .run import Experiment, Place
from .schedule import Average, load_weights, warm_up
from .team import Team
from .thaw import Origin, origins, thawed

__all__ = ["FEWEST", "AdaptExperiment", "Changes", "base_of", "split_pictures"]

FEWEST = 25
"""Pictures without which nothing is adapted."""
VALIDATED = 8
"""Crops of held-out pictures that a validation looks at."""
VALIDATION_INDICES = (8, 32, 55)
SIDE = 256
"""Pixels of a side of these."""
LINEAR_SHARE = 0.05
"""What linear paths learn against the rest (see train/image.py)."""


class Changes(nn.Module):
    """The changes to a network: forward() gives its parameters by name, changed. rank: of the products."""

    def __init__(self, network: nn.Module, places: Mapping[str, Origin], rank: int):
        super().__init__()
        self.names = list(places)
        self.fixed = {name: p.detach() for name, p in network.named_parameters() if name in places}
        self.u, self.v, self.add = (nn.ParameterDict() for _ in range(3))
        for name, p in self.fixed.items():
            rows, columns = len(p), p[0].numel()
            key = name.replace(".", "/")
            if places[name].table or p.ndim < 2 or min(rows, columns) <= 4 * rank:
                self.add[key] = nn.Parameter(torch.zeros_like(p))
            else:
                size = p.std().clamp_min(1e-6)
                self.u[key] = nn.Parameter(torch.zeros(rank, rows))
                self.v[key] = nn.Parameter(torch.randn(rank, columns) * size)

    def forward(self) -> dict[str, Tensor]:
        out = {}
        for name, p in self.fixed.items():
            key = name.replace(".", "/")
            if key in self.add:
                out[name] = p + self.add[key]
            else:
                out[name] = p + (self.u[key].t() @ self.v[key]).view_as(p)
        return out


def base_of(recipe: AdaptRecipe) -> tuple[dict[str, Any], dict[str, Any], Objective]:
    """Tensors and card of the model that is changed, and what it was trained for. Raises InputError for a model of
    another kind, or of which that is not known; UnknownModel, ModelError.
    """
    found = find_model(recipe.base)
    trained = None
    if found.card.get("kind") == "image":
        with suppress(InputError):  # which would speak of effort
            trained = objective_of(found.card)
    if trained is None or trained.network is not None:
        raise InputError(
            f"{found.name} cannot be adapted: image models can that were trained here, without a network's features"
        )
    return load_tensors(found.path), found.card, trained


def split_pictures(recipe: AdaptRecipe, say: Callable[[str], None] | None = None) -> tuple[list, list]:
    """The pictures to train on and those held out: uint8 [H, W, 3] each. Raises InputError for fewer than FEWEST."""
    pictures = load_pictures(recipe.pictures, say=say)
    if len(pictures) < FEWEST:
        raise InputError(f"{len(pictures)} pictures are too few to adapt to: at least {FEWEST} are needed")
    held_out = pictures[recipe.hold_out - 1 :: recipe.hold_out]
    kept = [p for n, p in enumerate(pictures) if n % recipe.hold_out != recipe.hold_out - 1]
    return kept, held_out


class AdaptExperiment(Experiment[AdaptRecipe]):
    """The frozen network, its changes, their average and the crops."""

    noun = "an adapted model"
    alone = True
    validates_first = True

    def __init__(self, recipe: AdaptRecipe, say: Callable[[str], None], team: Team, resumes: bool) -> None:
        super().__init__(recipe, say, team, resumes)
        torch.manual_seed(recipe.seed)
        tensors, card, self.trained = base_of(recipe)
        self.balance = float(card["training"]["recipe"].get("balance", 0.5))
        self.base = {key: card[key] for key in ("parse_digest", "synthesis_digest")}
        pictures, held_out = split_pictures(recipe, say)
        self.network = thawed(tensors, card)
        self.changes = Changes(self.network, origins(self.network), recipe.rank)
        self.network.requires_grad_(False)
        linear = [p for n, p in self.changes.named_parameters() if "/linear/" in n]
        rest = [p for n, p in self.changes.named_parameters() if "/linear/" not in n]
        groups = [{"params": rest}, *([{"params": linear, "share": LINEAR_SHARE}] if linear else [])]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=0.0)
        self.average = Average(self.changes, recipe.ema)
        seed = recipe.seed + (1 if resumes else 0)
        self.crops = CropStream(pictures, (1.0, 1.0), seed)
        self.crops.crop, self.crops.batch = recipe.crop, recipe.batch
        self.stream = iter(self.crops)
        self.indices = torch.Generator().manual_seed(seed)
        self.held_out = [_middle(p) for p in held_out[:VALIDATED]]
        self.first: float | None = None
        say(
            f"{len(pictures)} pictures to train on, {len(held_out)} held out; "
            f"{sum(p.numel() for p in self.changes.parameters()) / 1e3:.0f} thousand numbers change"
        )

    def restore(self, state: dict[str, Any]) -> None:
        if state["base"] != self.base:
            raise InputError("it changes another model")
        load_weights(self.changes, state["ema"], self.recipe.name)
        self.average = Average(self.changes, self.recipe.ema)
        load_weights(self.changes, state["changes"], self.recipe.name)
        self.optimiser.load_state_dict(state["optimiser"])
        self.first = state["first"]

    def state(self) -> dict[str, Any]:
        return {
            "base": self.base,
            "changes": self.changes.state_dict(),
            "ema": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
            "first": self.first,
        }

    def done(self, step: int) -> float:
        return step / self.recipe.steps

    def step(self, at: Place) -> dict[str, float]:
        recipe, x = self.recipe, next(self.stream)
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, at.share)))
        rate = recipe.learning_rate * warm_up(at.step, at.share, recipe.warmup_steps) * max(falling, 1e-3)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("share", 1)
        loss = self._loss(x, draw_indices(len(x), self.indices))
        self.optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.changes.parameters(), recipe.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.average.update(at.step)
        return {"loss": float(loss.detach()), "gradient": float(norm), "lr": rate}

    def _loss(self, x: Tensor, index: Tensor) -> Tensor:
        r = self.trained
        lam = quality_lambda(index, r.low, r.high)
        x_hat, bits = torch.func.functional_call(self.network, self.changes(), (x, index))
        if not self.network.training:
            x_hat = x_hat.clamp(0, 1)
        bpp = bits / (x.shape[-1] * x.shape[-2])
        weight = balance_weight(lam, r.low, r.high, self.balance)
        return lagrangian(bpp, r.error(x, x_hat.float()), lam, weight)

    def line(self, figures: Mapping[str, float]) -> str:
        return (
            f"loss {figures['loss']:.4f}  |g| {figures['gradient']:.2f}  lr {figures['lr']:.1e}  "
            f"{figures['steps_per_s']:.2f} steps/s"
        )

    @torch.no_grad()
    def validate(self, at: Place) -> dict[str, float]:
        self.network.eval()
        with self.average.applied():
            losses = [float(self._loss(x, torch.full((1,), q))) for x in self.held_out for q in VALIDATION_INDICES]
        self.network.train()
        loss = sum(losses) / len(losses)
        if self.first is None:
            self.first = loss
        return {"validation": loss, "change": loss / self.first - 1}

    def sentence(self, row: Mapping[str, float], where: str, minutes: float) -> str:
        return f"held out  loss {row['validation']:.4f}, {row['change']:+.1%} against the model as it was  ({where})"


def _middle(picture: Any) -> Tensor:
    """[1, 3, h, w] in [0, 1] from the middle of a picture: SIDE pixels a side, or what multiples of 64 it has."""
    rows, columns = (min(SIDE, n // 64 * 64) for n in picture.shape[:2])
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    crop = torch.from_numpy(picture[top : top + rows, left : left + columns].copy())
    return crop.permute(2, 0, 1)[None].float().div_(255)
