"""Training the lossless photo model: `lecodec train photo`.

    pictures -> crops (shrunk, softened, noisy) -> YCoCg-R -> InterpolationNetwork -> bits a sample -> AdamW -> average

The loss is the code length itself. Most of the run multiplies in bfloat16; its last part (`exact_from`) computes with
the rounding of the frozen integer layers, so that freezing changes next to nothing. A GPU is used if there is one; all
pictures are kept in memory.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from ..codec.colour import to_ycocg
from ..entropy.interpolation import CHANNELS
from ..entropy.interpolation_network import InterpolationNetwork
from ..errors import InputError
from .checkpoint import contents_of, load_checkpoint
from .data import load_pictures
from .recipe import PhotoRecipe, PhotoSource
from .run import Experiment, Place
from .schedule import Average, load_weights, warm_up
from .team import Team

__all__ = ["PhotoCrops", "PhotoExperiment"]


_KERNELS = tuple(Image.Resampling[name] for name in ("BICUBIC", "LANCZOS", "BOX", "BILINEAR"))


class PhotoCrops:
    """An endless stream of batches, uint8 or uint16 [batch, crop, crop, 3], made ahead of the training step."""

    def __init__(self, recipe: PhotoRecipe, seed: int, say: Callable[[str], None] | None = None):
        self._recipe, self._random = recipe, random.Random(seed)
        self._sources: list[tuple[PhotoSource, list[np.ndarray], list[float]]] = []
        self.held_out: list[np.ndarray] = []
        for source in recipe.sources:
            pictures = load_pictures([source.folder], smallest=64, say=say)
            if source.hold_out >= len(pictures):
                raise InputError(
                    f"{source.folder} holds {len(pictures)} pictures, not the {source.hold_out} to hold out"
                )
            chosen = {(2 * n + 1) * len(pictures) // (2 * source.hold_out) for n in range(source.hold_out)}
            self.held_out += [_middle(pictures[n], source.downscale) for n in sorted(chosen)]
            kept = [p for n, p in enumerate(pictures) if n not in chosen]
            weights = np.cumsum([float(p.shape[0] * p.shape[1]) ** 0.5 for p in kept]).tolist()
            self._sources.append((source, kept, weights))
        self._pool = ThreadPoolExecutor(recipe.workers)

    def seed(self, seed: int) -> None:
        """Draw other crops from now on. To be called before the first batch."""
        self._random.seed(seed)

    def __iter__(self) -> Iterator[np.ndarray]:
        shares = [source.share for source, _, _ in self._sources]
        ahead: list[list[Future[np.ndarray]]] = []
        while True:
            while len(ahead) < 4:
                cut, batch = self._cut_deep if self._random.random() < self._recipe.deep else self._cut, []
                for _ in range(self._recipe.batch):
                    (source, pictures, weights) = self._random.choices(self._sources, shares)[0]
                    (picture,) = self._random.choices(pictures, cum_weights=weights)
                    batch.append(self._pool.submit(cut, source, picture, self._random.getrandbits(63)))
                ahead.append(batch)
            yield np.stack([crop.result() for crop in ahead.pop(0)])

    def _cut_deep(self, source: PhotoSource, picture: np.ndarray, seed: int) -> np.ndarray:
        """A crop of 16 bits: resampled without rounding to 8, some enlarged, as a camera's interpolated colours are."""
        rng, size = random.Random(seed), self._recipe.crop
        factor = rng.uniform(0.7, 2.2)
        side = min(round(size * factor), *picture.shape[:2])
        top, left = (rng.randint(0, n - side) for n in picture.shape[:2])
        crop = picture[top : top + side, left : left + side].astype(np.float32)
        if rng.random() < self._recipe.noise:
            crop += np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0.1, 3), crop.shape)
        kind = rng.choice(_KERNELS)
        planes = [Image.fromarray(crop[..., c]).resize((size, size), kind) for c in range(3)]
        exposure = 257 * rng.choice((1.0, rng.uniform(0.1, 1.0)))
        return _turned(
            (np.stack([np.asarray(plane) for plane in planes], -1) * exposure).round().clip(0, 65535).astype(np.uint16),
            rng,
        )

    def _cut(self, source: PhotoSource, picture: np.ndarray, seed: int) -> np.ndarray:
        rng, size = random.Random(seed), self._recipe.crop
        factor = 1.0 if rng.random() < source.native else rng.uniform(*source.downscale)
        side = min(max(1, round(size * factor)), *picture.shape[:2])
        top, left = (rng.randint(0, n - side) for n in picture.shape[:2])
        crop = picture[top : top + side, left : left + side]
        if side != size:
            crop = np.asarray(Image.fromarray(crop).resize((size, size), rng.choice(_KERNELS)))
        if rng.random() < self._recipe.blur:
            crop = np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7))))
        if rng.random() < self._recipe.noise:
            crop = _noisy(crop, rng)
        if rng.random() < 0.06:
            crop = np.repeat(crop[:, :, 1:2], 3, 2)  # grey
        return _turned(crop, rng)


def _turned(crop: np.ndarray, rng: random.Random) -> np.ndarray:
    """One of the eight ways to turn and mirror a square."""
    if rng.random() < 0.5:
        crop = crop[::-1]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return crop.transpose(1, 0, 2) if rng.random() < 0.5 else crop


def _noisy(crop: np.ndarray, rng: random.Random) -> np.ndarray:
    """Gaussian noise, of each channel or of grey, white or with neighbours alike, as sensors leave it."""
    generator = np.random.default_rng(rng.getrandbits(32))
    noise = generator.normal(0, rng.uniform(0.2, 3), (*crop.shape[:2], 3 if rng.random() < 0.7 else 1))
    if rng.random() < 0.5:
        noise = (noise + 0.6 * np.roll(noise, 1, 0) + 0.6 * np.roll(noise, 1, 1)) / 1.3
    return (crop + noise).round().clip(0, 255).astype(np.uint8)


def _middle(picture: np.ndarray, downscale: tuple[float, float], most: int = 512) -> np.ndarray:
    factor = 1.0 if downscale[0] == 1 else sum(downscale) / 2
    if factor > 1:
        size = round(picture.shape[1] / factor), round(picture.shape[0] / factor)
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    height, width = (min(n, most) for n in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


class PhotoExperiment(Experiment[PhotoRecipe]):
    """The network, its average, its optimiser and the crops."""

    noun = "a photo model"
    every = 60.0

    def __init__(self, recipe: PhotoRecipe, say: Callable[[str], None], team: Team, resumes: bool) -> None:
        super().__init__(recipe, say, team, resumes)
        self.device, self.seed = team.device, recipe.seed + 1000 * team.rank
        torch.manual_seed(recipe.seed)
        self.network = InterpolationNetwork(recipe.config()).to(self.device)
        if recipe.start_from is not None and not resumes:
            state = load_checkpoint(recipe.start_from)
            with contents_of(recipe.start_from, self.noun):
                load_weights(self.network, state["ema"], recipe.name)
        team.same(self.network)
        self.average = Average(self.network, recipe.ema)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), recipe.learning_rate, betas=(0.9, 0.98), weight_decay=1e-4, fused=True
        )
        self.crops = PhotoCrops(recipe, self.seed, self.say)
        self.stream = iter(self.crops)

    def restore(self, state: dict[str, Any]) -> None:
        load_weights(self.network, state["ema"], self.recipe.name)
        self.average = Average(self.network, self.recipe.ema)
        load_weights(self.network, state["network"], self.recipe.name)
        self.optimiser.load_state_dict(state["optimiser"])
        self.crops.seed(self.seed + 7919 * state["step"])

    def state(self) -> dict[str, Any]:
        return {
            "config": asdict(self.recipe.config()),
            "network": self.network.state_dict(),
            "ema": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
        }

    def done(self, step: int) -> float:
        return step / self.recipe.steps

    def step(self, at: Place) -> dict[str, float]:
        recipe = self.recipe
        self.network.exact = at.share >= recipe.exact_from
        rate = recipe.learning_rate * warm_up(at.step, at.share, recipe.warmup_steps) * max(1 - at.share, 0.01)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        crops = next(self.stream)
        x = torch.from_numpy(to_ycocg(crops)).to(self.device).float()
        loss = self.network(x, recipe.levels, crops.dtype == np.uint16).sum() / x.numel()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.team.average(self.network.parameters())
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0))
        if math.isfinite(norm):
            self.optimiser.step()
        self.average.update(at.step + 1)
        return {"bits": float(loss.detach()), "gradient": norm, "lr": rate}

    def line(self, figures: Mapping[str, float]) -> str:
        return (
            f"{figures['bits']:.4f} bits a sample  |g| {figures['gradient']:.2f}  lr {figures['lr']:.1e}  "
            f"{figures['steps_per_s']:.2f} steps/s"
        )

    @torch.no_grad()
    def validate(self, at: Place) -> dict[str, float]:
        """Bits a sample of the held-out pictures, all levels but the coarsest: of each channel, and in all."""
        if not self.crops.held_out:
            return {}
        self.network.exact = at.share >= self.recipe.exact_from
        bits, samples = torch.zeros(CHANNELS), 0
        with self.average.applied():
            for picture in self.crops.held_out:
                x = torch.from_numpy(to_ycocg(picture)).to(self.device).float()[None]
                bits += self.network(x, 5).sum(0).cpu()
                samples += x.numel()
        row = {name: float(b) / samples for name, b in zip(("y", "co", "cg"), bits, strict=True)}
        return {"validation": sum(row.values()), **row}
