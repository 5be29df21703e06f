"""Training the lossless photo model: `lecodec train train/recipes/photo.yaml`.

    pictures -> crops (shrunk, softened, noisy) -> YCoCg-R -> InterpolationNetwork -> bits a sample -> AdamW -> average

The loss is the code length itself. Most of the run multiplies in bfloat16; its last part (`exact_from`) computes with
the rounding of the frozen integer layers, so that freezing changes next to nothing. One resumable command; it finds its
GPU by itself and keeps all pictures in memory.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from ..codec.colour import to_ycocg
from ..entropy.interpolation import CHANNELS
from ..entropy.interpolation_network import InterpolationNetwork
from ..errors import InputError, ModelError
from .checkpoint import load_checkpoint, log_metrics, save_checkpoint
from .data import load_pictures
from .recipe import PhotoRecipe, PhotoSource

__all__ = ["train_photo"]


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


def train_photo(
    recipe: PhotoRecipe, folder: Path, say: Callable[[str], None], *, resume: bool = False, accelerator: str = "auto"
) -> Path:
    """Run a recipe in a folder that exists; returns the folder, with checkpoint.pt and metrics.csv.

    resume: go on from the folder's checkpoint (start anew when there is none). accelerator: 'auto', 'cpu' or 'cuda'.
    Raises InputError, ModelError.
    """
    device = torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")
    _Run(recipe, folder, resume and (folder / "checkpoint.pt").exists(), say, device).go()
    return folder


class _Run:
    def __init__(
        self, recipe: PhotoRecipe, folder: Path, resumes: bool, say: Callable[[str], None], device: torch.device
    ):
        self.recipe, self.folder, self.say, self.device = recipe, folder, say, device
        self.step, self.seconds = 0, 0.0
        torch.manual_seed(recipe.seed)
        self.network = InterpolationNetwork(recipe.config()).to(device)
        self.average = InterpolationNetwork(recipe.config()).to(device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), recipe.learning_rate, betas=(0.9, 0.98), weight_decay=1e-4, fused=True
        )
        if recipe.start_from is not None and not resumes:
            self._load(self.network, _read(recipe.start_from)["ema"], recipe.start_from)
        self.average.load_state_dict(self.network.state_dict())
        if resumes:
            state = _read(folder / "checkpoint.pt")
            self._load(self.network, state["network"], folder)
            self._load(self.average, state["ema"], folder)
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]
            say(f"resumed at step {self.step}, {self.seconds / 60:.1f} minutes")
        self.crops = PhotoCrops(recipe, recipe.seed + 7919 * self.step, say)

    def _load(self, network: InterpolationNetwork, weights: dict[str, Tensor], origin: Path) -> None:
        try:
            network.load_state_dict(weights)
        except (RuntimeError, AttributeError):
            raise ModelError(f"{origin}: its weights do not fit the network of recipe {self.recipe.name}") from None

    @property
    def done(self) -> float:
        used = self.seconds / 60 / self.recipe.minutes if self.recipe.minutes else 0.0
        return min(1.0, max(self.step / self.recipe.steps, used))

    def go(self) -> None:
        recipe, stream = self.recipe, iter(self.crops)
        started, losses = time.monotonic() - self.seconds, []
        said, due, said_step = time.monotonic(), time.monotonic() + 60 * recipe.checkpoint_minutes, self.step
        while self.done < 1:
            self.network.exact = self.average.exact = self.done >= recipe.exact_from
            rate = recipe.learning_rate * min(1, (self.step + 1) / recipe.warmup_steps) * max(1 - self.done, 0.01)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            crops = next(stream)
            x = torch.from_numpy(to_ycocg(crops)).to(self.device).float()
            loss = self.network(x, recipe.levels, crops.dtype == np.uint16).sum() / x.numel()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0))
            if math.isfinite(norm):
                self.optimiser.step()
            self.step += 1
            with torch.no_grad():
                decay = min(recipe.ema, (1 + self.step) / (10 + self.step))
                torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)
            losses.append(float(loss.detach()))
            now = time.monotonic()
            self.seconds = now - started
            if now - said > 60:
                eta = self.seconds * (1 - self.done) / max(self.done, 1e-9) / 60
                speed = (self.step - said_step) / (now - said)
                mean = sum(losses) / len(losses)
                self.say(
                    f"step {self.step}  {100 * self.done:.1f}%  {mean:.4f} bits a sample  |g| {norm:.2f}  "
                    f"lr {rate:.1e}  {speed:.2f} steps/s  ETA {eta:.0f} min"
                )
                self._log({"bits": mean, "steps_per_s": speed})
                losses, said, said_step = [], now, self.step
            if now > due:
                self._checkpoint()
                due = time.monotonic() + 60 * recipe.checkpoint_minutes
        self.network.exact = self.average.exact = True
        self._checkpoint()

    def _checkpoint(self) -> None:
        state: dict[str, Any] = {
            "recipe": self.recipe.model_dump(mode="json"),
            "config": asdict(self.recipe.config()),
            "network": self.network.state_dict(),
            "ema": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        save_checkpoint(state, self.folder / "checkpoint.pt")
        if self.crops.held_out:
            row = self._validate()
            self._log(row)
            self.say("validation  " + "  ".join(f"{name} {value:.4f}" for name, value in row.items()))

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Bits a sample of the held-out pictures, all levels but the coarsest: of each channel, and in all."""
        bits, samples = torch.zeros(CHANNELS), 0
        for picture in self.crops.held_out:
            x = torch.from_numpy(to_ycocg(picture)).to(self.device).float()[None]
            bits += self.average(x, 5).sum(0).cpu()
            samples += x.numel()
        row = {name: float(b) / samples for name, b in zip(("y", "co", "cg"), bits, strict=True)}
        return {"validation": sum(row.values()), **row}

    def _log(self, row: dict[str, float]) -> None:
        log_metrics(self.folder, self.step, self.seconds, row)


def _read(path: Path) -> dict[str, Any]:
    state = load_checkpoint(path)
    if not isinstance(state.get("recipe"), dict) or state["recipe"].get("kind") != "photo":
        raise InputError(f"{path} is not a checkpoint of a photo model")
    return state
