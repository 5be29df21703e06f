"""What a training run does, read from a YAML file and checked before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..codec.network import NetworkConfig
from ..codec.transforms import TransformConfig
from ..entropy.hyperprior import HyperConfig
from ..errors import InputError

__all__ = ["Phase", "Recipe", "load_recipe"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Phase(_Strict):
    """A stretch of the run with its own crop and batch size."""

    fraction: float = Field(gt=0, le=1)
    """Share of the whole run; those of all phases sum to 1."""
    crop: int = Field(ge=64, multiple_of=64)
    """Side of the square crops, pixels."""
    batch: int = Field(ge=1)
    """Crops a step, on each device."""


class Recipe(_Strict):
    """The schema of a recipe. Paths are relative to the working directory."""

    name: str
    """Name of the model and of the run's folder."""
    seed: int = 1
    train: list[Path]
    """Folders of training pictures, searched recursively."""
    validation: list[Path] = []
    """Folders of validation pictures; never the ones that results are reported on."""
    downscale: tuple[float, float] = (1.0, 2.0)
    """Each crop is taken from the picture shrunk by a random factor in this range."""
    synthetic: float = Field(0.0, ge=0, le=1)
    """Share of the crops that get noise, patterns, dither or text (see train/synthetic.py)."""
    start_from: Path | None = None
    """A checkpoint whose weights (not whose optimiser) the run starts with."""
    train_only: list[str] = []
    """Prefixes of the parameters to train, the others frozen; empty: all."""

    transform: dict[str, int] = {}
    hyper: dict[str, int] = {}

    distortion: Literal["mse", "ms-ssim"] = "mse"
    lambda_low: float = Field(20.0, gt=0)
    lambda_high: float = Field(8000.0, gt=0)
    """lambda of quality index 0 and 63, the others spaced geometrically; loss = bpp + lambda * distortion."""
    balance: float = Field(0.5, ge=0, le=1)
    """Each sample's loss is divided by lambda ** balance, or the high rates would dominate the gradient."""

    steps: int = Field(ge=1)
    minutes: float | None = Field(None, gt=0)
    """The run ends after `steps` or `minutes`, whichever comes first; the schedule follows the share that is done."""
    phases: list[Phase]
    optimiser: Literal["adamw", "muon"] = "adamw"
    """muon: matrices with Muon (Jordan et al. 2024), the rest with AdamW."""
    learning_rate: float = 1e-3
    warmup_steps: int = 300
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = Field(0.999, ge=0, lt=1)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    workers: int = 1
    """Threads that prepare crops."""
    checkpoint_minutes: float = 5.0

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if abs(sum(p.fraction for p in self.phases) - 1) > 1e-6:
            raise ValueError("the fractions of the phases must sum to 1")
        if self.distortion == "ms-ssim" and min(p.crop for p in self.phases) < 192:
            raise ValueError("ms-ssim needs crops of at least 192 pixels")
        self.network()
        return self

    def network(self) -> NetworkConfig:
        """The sizes of the network that this recipe trains."""
        try:
            transform = TransformConfig(**self.transform)
            hyper = HyperConfig(**{**asdict(HyperConfig()), **self.hyper, "latent": transform.latent})
        except TypeError as e:
            raise ValueError(str(e).replace("__init__() got an", "has an")) from None
        return NetworkConfig(transform, hyper)


def load_recipe(path: Path | str, **overrides: object) -> Recipe:
    """Read and check a recipe. Raises InputError with one sentence a fault."""
    try:
        text = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise InputError(f"{path}: cannot read the recipe: {e}") from None
    if not isinstance(text, dict):
        raise InputError(f"{path}: a recipe is a mapping of names to values")
    try:
        return Recipe(**{**text, **overrides})
    except ValidationError as e:
        faults = "; ".join(f"{'.'.join(map(str, x['loc'])) or 'recipe'}: {x['msg']}" for x in e.errors())
        raise InputError(f"{path}: {faults}") from None
