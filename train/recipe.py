"""What a training run does, read from a YAML file and checked before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..codec.network import NetworkConfig
from ..codec.transforms import TransformConfig
from ..entropy.context import ContextConfig
from ..entropy.context_coding import GROUPS
from ..entropy.hyperprior import HyperConfig
from ..errors import InputError

__all__ = [
    "CircuitPhase",
    "CircuitRecipe",
    "FeatureTerm",
    "Phase",
    "Recipe",
    "Strict",
    "load_as",
    "load_recipe",
    "recipe_kind",
]

_R = TypeVar("_R", bound=BaseModel)


class Strict(BaseModel):
    """What all recipes and their parts are: immutable, without fields that are not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Phase(Strict):
    """A stretch of the run with its own crop and batch size."""

    fraction: float = Field(gt=0, le=1)
    """Share of the whole run; those of all phases sum to 1."""
    crop: int = Field(ge=64, multiple_of=64)
    """Side of the square crops, pixels."""
    batch: int = Field(ge=1)
    """Crops a step, on each device."""


class FeatureTerm(Strict):
    """A frozen network whose features of picture and reconstruction shall agree (see train/features.py)."""

    network: str
    """`mobilenetv2` or `efficientnet-lite0` with the weights of `eval task`, or MODULE:CALLABLE that makes any
    torch.nn.Module on pictures [B, 3, H, W]."""
    arguments: dict[str, Any] = {}
    """Of the callable."""
    weights: Path | None = None
    """A state dict for what the callable returns; without it the callable brings its own weights."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """The network sees (x - mean) / std of x in [0, 1]; networks of `eval task` have their own."""
    layers: list[str] = []
    """Names of submodules whose outputs count; empty: the network's own output."""
    weight: float = Field(gt=0)
    """D = distortion + weight * F, F being the features' relative squared distance."""

    @model_validator(mode="after")
    def _consistent(self) -> FeatureTerm:
        if min(self.std) <= 0:
            raise ValueError("the standard deviations of a normalisation are above 0")
        return self


class Recipe(Strict):
    """The schema of a recipe. Paths are relative to the working directory."""

    kind: Literal["image"] = "image"
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

    transform: dict[str, int | str] = {}
    hyper: dict[str, int] = {}
    context: dict[str, int] | None = None
    """Sizes of the networks of passes with context ({}: the usual ones); none: a hyperprior without. A run may start
    from weights without them: they begin anew."""

    objective: Literal["rd", "rate"] = "rd"
    """rd: bpp + lambda * distortion; rate: the bits of y alone, for an entropy model on frozen transforms. That runs no
    synthesis: y_hat differs from y by a rounding, whatever the entropy model."""
    reuse: int = Field(4, ge=1)
    """objective rate: in how many steps, on average, a crop's latent is used. Latents are kept in memory only: after
    `--resume` they are collected anew, from new crops, before the first step."""
    rounding: Literal["noise", "straight-through", "soft"] = "noise"
    """What training puts in the place of rounding the latent (see train/rounding.py)."""
    indices: Literal["uniform", "stratified"] = "uniform"
    """How the quality indices of a batch are drawn: each by itself, or one from each of as many equal ranges."""
    distortion: Literal["mse", "ms-ssim"] = "mse"
    features: FeatureTerm | None = None
    """What is added to the distortion for the sake of machines that look at the pictures."""
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
    """The highest: it rises over `warmup_steps` and falls along a half cosine, to a thousandth."""
    warmup_steps: int = 300
    tail: float = Field(0.0, ge=0, lt=1)
    """Share of the run, at its end, with a constant learning rate of 3% of the highest; the cosine ends before."""
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
        if self.objective == "rate" and self.train_only != ["hyperprior"]:
            raise ValueError("objective rate needs train_only: [hyperprior]: it knows of no distortion")
        if self.objective == "rate" and self.rounding != "noise":
            raise ValueError("objective rate counts rounded latents: `rounding` is of objective rd")
        if self.context is not None and self.network().transform.latent % GROUPS:
            raise ValueError(f"with context, the channels of the latent are a multiple of {GROUPS}")
        self.network()
        return self

    def network(self) -> NetworkConfig:
        """The sizes of the network that this recipe trains."""
        try:
            transform = TransformConfig(**self.transform)  # pyright: ignore[reportArgumentType]
            hyper = HyperConfig(**{**asdict(HyperConfig()), **self.hyper, "latent": transform.latent})
            context = None if self.context is None else ContextConfig(**self.context)
        except TypeError as e:
            raise ValueError(str(e).replace("__init__() got an", "has an")) from None
        return NetworkConfig(transform, hyper, context)


class CircuitPhase(Strict):
    """A stretch of a circuit's training. What it begins with, narrowing, pruning and growing, is done once."""

    fraction: float = Field(gt=0, le=1)
    """Share of the whole run; those of all phases sum to 1."""
    batch: int = Field(2000, ge=1)
    """Items a step."""
    step: tuple[float, float] = (0.5, 0.02)
    """How much of the counts each batch replaces, at the beginning and at the end; geometric between them."""
    augment: float = Field(1.0, ge=0)
    """What the recipe's `shift` and `stretch` are multiplied by."""
    narrow: list[tuple[float, int]] = []
    """Narrow first: (share, states): variables in order of how much they say; those up to `share` keep `states`."""
    keep: float | None = Field(None, gt=0, le=1)
    """Prune then: the share of all transitions that stays."""
    grow: bool = False
    """Then let every state become two."""

    @model_validator(mode="after")
    def _steps(self) -> CircuitPhase:
        if not all(0 < s <= 1 for s in self.step):
            raise ValueError("steps are above 0 and at most 1")
        shares = [share for share, _ in self.narrow]
        if shares and (shares != sorted(shares) or shares[-1] != 1 or min(n for _, n in self.narrow) < 1):
            raise ValueError("narrow: shares increase up to 1, and all states are at least 1")
        return self


class CircuitRecipe(Strict):
    """The schema of a recipe for a probabilistic circuit. Paths are relative to the working directory."""

    kind: Literal["circuit"]
    name: str
    """Name of the model and of the run's folder."""
    seed: int = 1
    data: Path | None = None
    """A set of equal-shaped samples: .npy, .npz, idx, idx.gz, or a folder of pictures."""
    pictures: list[Path] = []
    halved: list[Path] = []
    """Instead of a set: folders of photographs to take patches from, searched recursively; at full or at half size."""
    patch: tuple[int, int] = (16, 16)
    """Height and width of the patches."""
    patches: int = Field(100_000, ge=2)
    licence: str | None = None
    """Of the training data, for the model's card."""
    held_out: float = Field(0.05, ge=0, lt=1)
    """Share of the items that is never trained on: progress is reported on it."""
    shift: float = Field(0.0, ge=0, le=1)
    """Share of the items that is moved by up to one sample, along each of the first two axes, drawn anew each time."""
    stretch: float = Field(0.0, ge=0, le=1)
    """Share of the items that is made longer or shorter by one sample, likewise."""

    states: int = Field(64, ge=1, le=512)
    """Hidden states of each variable, before any growing."""
    structure_samples: int = Field(4000, ge=2)
    """Items that the tree is learned from."""
    structure_bins: int = Field(16, ge=2)
    """Ranges of levels that count as one value there."""
    structure_ranges: Literal["equal", "quantile"] = "equal"
    """equal: ranges of as many levels; quantile: of as many samples of each variable."""
    share_emissions: bool = True
    """Whether all variables of a channel of patches have one table of emissions; those of a set have their own."""
    neighbours: int = Field(40, ge=1)
    """Variables that each variable's first states are clusters of."""
    start_samples: int = Field(8000, ge=2)
    """Items that these clusters are found with."""
    smoothing: dict[str, float] = {}
    """Fields of train.circuit_em.Smoothing that differ from its defaults."""
    trim: float = Field(0.02, ge=0)
    """Emissions expected fewer times than this in all the training data become the smallest that a file can hold."""
    coarse_below: float = Field(30.0, ge=0)
    """Parameters expected fewer times than this are stored with fewer digits."""
    growing_noise: float = Field(0.3, gt=0)

    epochs: float = Field(gt=0)
    minutes: float | None = Field(None, gt=0)
    """The run ends after `epochs` or `minutes`, whichever comes first; the schedule follows the share that is done."""
    phases: list[CircuitPhase]
    checkpoint_minutes: float = 5.0

    @model_validator(mode="after")
    def _consistent(self) -> CircuitRecipe:
        if abs(sum(p.fraction for p in self.phases) - 1) > 1e-6:
            raise ValueError("the fractions of the phases must sum to 1")
        if (self.data is None) == (not self.pictures and not self.halved):
            raise ValueError("a circuit is trained on `data` or on `pictures` and `halved`, on one of the two")
        if min(self.patch) < 1 or self.patch[0] * self.patch[1] > 1 << 14:
            raise ValueError("a patch has 1 to 16384 pixels")
        if self.states << sum(p.grow for p in self.phases) > 512:
            raise ValueError("a circuit has at most 512 states, after growing too")
        return self


def recipe_kind(path: Path | str) -> str:
    """What a recipe trains: 'image' unless it says otherwise. Raises InputError when it cannot be read."""
    return str(_read(path).get("kind", "image"))


def load_recipe(path: Path | str, **overrides: object) -> Recipe:
    """Read and check the recipe of an image model. Raises InputError with one sentence a fault."""
    return load_as(Recipe, path, overrides)


def _read(path: Path | str) -> dict[str, Any]:
    try:
        text = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise InputError(f"{path}: cannot read the recipe: {e}") from None
    if not isinstance(text, dict):
        raise InputError(f"{path}: a recipe is a mapping of names to values")
    return text


def load_as(schema: type[_R], path: Path | str, overrides: dict[str, object]) -> _R:
    """Read and check a recipe of any kind. Raises InputError with one sentence a fault."""
    try:
        return schema(**{**_read(path), **overrides})
    except ValidationError as e:
        faults = "; ".join(f"{'.'.join(map(str, x['loc'])) or 'recipe'}: {x['msg']}" for x in e.errors())
        raise InputError(f"{path}: {faults}") from None
