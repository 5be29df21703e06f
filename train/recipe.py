"""What a training run does: the fields of each kind of recipe, checked before anything is loaded.

`lecodec train --fields KIND` prints them with the texts below them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..codec.transforms.image import TransformConfig
from ..codec.transforms.network import NetworkConfig
from ..codec.transforms.sound import SoundConfig
from ..entropy.conditional import ConditionalConfig
from ..entropy.context import ContextConfig
from ..entropy.context_coding import GROUPS
from ..entropy.envelope import EnvelopeConfig
from ..entropy.hyperprior import HyperConfig
from ..entropy.interpolation_layers import InterpolationConfig
from ..entropy.rate import QUALITY_LEVELS
from ..entropy.spatiotemporal import SpatiotemporalConfig
from ..errors import InputError
from .circuit_em import Smoothing
from .schema import Name, Strict, load_as

__all__ = [
    "CircuitPhase",
    "CircuitRecipe",
    "FeatureTerm",
    "Phase",
    "PhotoRecipe",
    "PhotoSource",
    "Recipe",
    "SoundRecipe",
    "SoundSource",
    "VideoRecipe",
    "load_recipe",
]


class Phase(Strict):
    """A stretch of the run with its own crop and batch size."""

    fraction: float = Field(gt=0, le=1)
    """Share of the whole run; those of all phases sum to 1."""
    crop: int = Field(ge=64, multiple_of=64)
    """Side of the square crops, pixels."""
    batch: int = Field(ge=1)
    """Crops a step, on each device."""


class FeatureTerm(Strict):
    """A frozen network whose features of picture and reconstruction shall agree (see codec/feature_distance.py)."""

    network: str
    """`mobilenetv2` or `efficientnet-lite0` with the weights of `eval task`, or MODULE:CALLABLE that makes any
    torch.nn.Module on pictures [B, 3, H, W]."""
    arguments: dict[str, Any] = {}
    """Arguments of the callable."""
    weights: Path | None = None
    """A state dict for what the callable returns; without it the callable brings its own weights."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """See `std`."""
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

    sizes: ClassVar = {
        "transform": TransformConfig,
        "hyper": HyperConfig,
        "context": ContextConfig,
        "conditional": ConditionalConfig,
    }
    gone: ClassVar = {"rounding": "noise", "indices": "uniform", "tail": 0.0}
    kind: Literal["image"] = "image"
    name: Name
    """Name of the model and of the run's folder."""
    seed: int = 1
    """The seed of all that is random."""
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
    begin_anew: list[str] = []
    """Prefixes of parameters that `start_from` does not give: they begin as in a run from scratch."""
    grow_from: Path | None = None
    """A checkpoint of a narrower model that the run's network grows from (see train/grow.py)."""
    grow_range: tuple[float, float] | None = None
    """The quality indices of that model which the lowest and highest of this one begin as; none: at equal lambda. For a
    distortion that is another one than the model's, whose lambda means something else."""
    train_only: list[str] = []
    """Prefixes of the parameters to train, the others frozen; empty: all."""

    transform: dict[str, int | str] = {}
    """Sizes of g_a and g_s that differ from the usual ones."""
    hyper: dict[str, int] = {}
    """Sizes of h_a and h_s likewise; `latent` is that of `transform`."""
    context: dict[str, int] | None = None
    """Sizes of the networks of passes with context ({}: the usual ones); none: a hyperprior without. A run may start
    from weights without them: they begin anew."""
    conditional: dict[str, int | str] | None = None
    """What the passes with context ask besides, and its sizes ({}: the usual ones, a dictionary); none: nothing. It
    begins anew where the weights that a run starts from are without it."""

    references: list[Path] = []
    """conditional.kind retrieved or both: folders of the pictures that the crops of the memory are chosen from."""

    objective: Literal["rd", "rate"] = "rd"
    """rd: bpp + lambda * distortion; rate: the bits of y alone, for an entropy model on frozen transforms. That runs no
    synthesis: y_hat differs from y by a rounding, whatever the entropy model."""
    reuse: int = Field(4, ge=1)
    """objective rate: in how many steps, on average, a crop's latent is used. Latents are kept in memory only: after
    `--resume` they are collected anew, from new crops, before the first step."""
    cache: Path | None = None
    """objective rate: a file that latents are kept in, of `cached` crops at random quality indices. The first run makes
    it, later ones with the same transforms and crops read it: then no picture is read but for validation. All phases
    are then as the first."""
    cached: int = Field(800, ge=1)
    """Crops whose latents are kept there."""
    distortion: Literal["mse", "ms-ssim", "ssimulacra2", "yuv420"] = "mse"
    """mse: mean squared error of samples in [0, 1]; ms-ssim: 1 - MS-SSIM; ssimulacra2: the error behind this score,
    with some plain error (see codec/perception.py); yuv420: that of the planes of a video (see codec/objective.py)."""
    features: FeatureTerm | None = None
    """What is added to the distortion for the sake of machines that look at the pictures."""
    lambda_low: float = Field(20.0, gt=0)
    """lambda of quality index 0; loss = bpp + lambda * distortion."""
    lambda_high: float = Field(8000.0, gt=0)
    """lambda of quality index 63, the others spaced geometrically."""
    balance: float = Field(0.5, ge=0, le=1)
    """Each sample's loss is divided by lambda ** balance, or the high rates would dominate the gradient."""

    steps: int = Field(ge=1)
    """The run ends after so many steps, or after `minutes` if that comes first."""
    minutes: float | None = Field(None, gt=0)
    """The schedule follows the share that is done, of steps or of minutes, whichever is larger."""
    phases: list[Phase]
    """Stretches of the run, in order."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """muon: matrices with Muon (Jordan et al. 2024), the rest with AdamW."""
    learning_rate: float = 1e-3
    """The highest: it rises over `warmup_steps` and falls along a half cosine, to a thousandth."""
    warmup_steps: int = Field(300, ge=0)
    """Steps in which the learning rate rises; never more than 5% of the run."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = Field(0.999, ge=0, lt=1)
    """What the average of the weights, which is frozen, keeps of itself at each step; less at first."""
    precision: Literal["auto", "bf16-mixed", "32-true"] = "auto"
    """Precision of everything but the exact layers. auto: bfloat16 where the GPU or the CPU has instructions for it (an
    imitation of them is seven times slower than float32)."""
    devices: int = Field(1, ge=1)
    """GPUs to train on (lecodec train --devices); each takes its own batch."""
    compile: bool = False
    """Compile the step with torch.compile: a third less time, after some minutes of compiling for each size of crop. It
    needs a C++ compiler on a CPU."""
    workers: int = 1
    """Threads that prepare crops."""
    checkpoint_minutes: float = 5.0
    """Between checkpoints, each with a validation."""

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if abs(sum(p.fraction for p in self.phases) - 1) > 1e-6:
            raise ValueError("the fractions of the phases must sum to 1")
        if self.distortion == "ms-ssim" and min(p.crop for p in self.phases) < 192:
            raise ValueError("ms-ssim needs crops of at least 192 pixels")
        if self.distortion == "ssimulacra2" and min(p.crop for p in self.phases) < 128:
            raise ValueError("ssimulacra2 needs crops of at least 128 pixels")
        if self.grow_range is not None:
            if self.grow_from is None:
                raise ValueError("grow_range says which rates of the model in grow_from are gone on with")
            if not 0 <= self.grow_range[0] < self.grow_range[1] <= QUALITY_LEVELS - 1:
                raise ValueError(f"grow_range is two quality indices in 0 to {QUALITY_LEVELS - 1}, the lower one first")
        whole = [name for name in self.train_only or ["all"] if not f"{name}.".startswith("hyperprior.")]
        if self.objective == "rate" and whole:
            raise ValueError(
                "objective rate needs train_only: [hyperprior], or parts of that: it knows of no distortion"
            )
        if self.cache is not None and (self.objective != "rate" or self.start_from is None):
            raise ValueError("cache keeps latents: it needs objective: rate, and transforms to start_from")
        if self.grow_from is not None and self.start_from is not None:
            raise ValueError("a run starts from a checkpoint or grows from one, not both")
        if self.conditional is not None and self.context is None:
            raise ValueError("conditional is asked by the passes of context: it needs context: {}")
        if bool(self.references) != ((self.conditional or {}).get("kind") in ("retrieved", "both")):
            raise ValueError("conditional.kind retrieved or both goes with references, and nothing else does")
        if self.references and self.start_from is None:
            raise ValueError("references are chosen by their latents: a run with them needs transforms to start_from")
        if self.context is not None and self.network().transform.latent % GROUPS:
            raise ValueError(f"with context, the channels of the latent are a multiple of {GROUPS}")
        self.network()
        return self

    def network(self) -> NetworkConfig:
        """The sizes of the network that this recipe trains."""
        try:
            transform = TransformConfig(**self.transform)  # pyright: ignore[reportArgumentType]
            hyper = HyperConfig(**{**self.hyper, "latent": transform.latent, "knots": transform.knots})
            context = None if self.context is None else ContextConfig(**self.context)
            memory = None if self.conditional is None else ConditionalConfig(**self.conditional)  # pyright: ignore[reportArgumentType]
        except TypeError as e:
            raise ValueError(str(e).replace("__init__() got an", "has an")) from None
        return NetworkConfig(transform, hyper, context, memory)


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
    undo: float | None = Field(None, ge=0)
    """Take all three back at half of the phase if held-out bits are then larger by more than this share."""

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

    sizes: ClassVar = {"smoothing": Smoothing}
    gone: ClassVar = {
        "pictures": [],
        "halved": [],
        "patch": [16, 16],
        "patches": 100_000,
        "structure_ranges": "equal",
        "share_emissions": True,
    }
    kind: Literal["circuit"]
    name: Name
    """Name of the model and of the run's folder."""
    seed: int = 1
    """The seed of all that is random."""
    data: Path
    """A set of equal-shaped samples: .npy, .npz, idx, idx.gz, or a folder of pictures."""
    licence: str | None = None
    """Licence of the training data, for the model's card."""
    held_out: float = Field(0.05, ge=0, lt=1)
    """Share of the items that is never trained on: progress is reported on it."""
    start_from: Path | None = None
    """A circuit, by its name or its file, whose tree and parameters the run goes on from; its states are `states`."""
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
    """How far the two states that one becomes are apart."""

    epochs: float = Field(gt=0)
    """The run ends after so many passes over the items, or after `minutes` if that comes first."""
    minutes: float | None = Field(None, gt=0)
    """The schedule follows the share that is done, of epochs or of minutes, whichever is larger."""
    phases: list[CircuitPhase]
    """Stretches of the run, in order."""
    checkpoint_minutes: float = 5.0
    """Between checkpoints, each with a validation."""

    @model_validator(mode="after")
    def _consistent(self) -> CircuitRecipe:
        if abs(sum(p.fraction for p in self.phases) - 1) > 1e-6:
            raise ValueError("the fractions of the phases must sum to 1")
        if self.states << sum(p.grow for p in self.phases) > 512:
            raise ValueError("a circuit has at most 512 states, after growing too")
        return self


class PhotoSource(Strict):
    """A folder of pictures."""

    folder: Path
    """Searched recursively."""
    share: float = Field(gt=0)
    """Share of the crops."""
    downscale: tuple[float, float] = (1.0, 1.0)
    """Each crop is taken from the picture shrunk by a random factor in this range."""
    native: float = Field(0.0, ge=0, le=1)
    """Share of the source's crops that are not shrunk."""
    hold_out: int = Field(0, ge=0)
    """Pictures, evenly spread over the folder, that are kept for validation (and shrunk by the middle of the range)."""


class PhotoRecipe(Strict):
    """The schema of a recipe of kind `photo`. Paths are relative to the working directory."""

    sizes: ClassVar = {"network": InterpolationConfig}
    kind: Literal["photo"]
    name: Name
    """Name of the model and of the run's folder."""
    seed: int = 1
    """The seed of all that is random."""
    sources: list[PhotoSource] = Field(min_length=1)
    """Folders of pictures."""
    blur: float = Field(0.3, ge=0, le=1)
    """Share of the crops that are softened a little, as film and lenses do."""
    noise: float = Field(0.3, ge=0, le=1)
    """Share of the crops that get noise of a deviation up to 3."""
    deep: float = Field(0.15, ge=0, le=1)
    """Share of the batches whose crops have 16 bits."""
    start_from: Path | None = None
    """A checkpoint whose averaged weights the run starts with."""
    network: dict[str, int] = {}
    """Sizes of the network that differ from the usual ones."""
    crop: int = Field(128, ge=32, multiple_of=16)
    """Side of the square crops, pixels."""
    batch: int = Field(4, ge=1)
    """Crops a step."""
    levels: int = Field(4, ge=1)
    """Levels of the interpolation, from the finest, whose code length is the loss."""
    steps: int = Field(ge=1)
    """The run ends after so many steps, or after `minutes` if that comes first."""
    minutes: float | None = Field(None, gt=0)
    """The schedule follows the share that is done, of steps or of minutes, whichever is larger."""
    learning_rate: float = 2e-3
    """The highest: it rises over `warmup_steps` and falls in a straight line, to a hundredth."""
    warmup_steps: int = Field(200, ge=0)
    """Steps in which the learning rate rises; never more than 5% of the run."""
    exact_from: float = Field(0.85, ge=0, le=1)
    """Share of the run after which the integer layers' rounding is applied."""
    ema: float = Field(0.998, ge=0, lt=1)
    """What the average of the weights, which is frozen, keeps of itself at each step; less at first."""
    workers: int = Field(1, ge=1)
    """Threads that prepare crops."""
    checkpoint_minutes: float = 5.0
    """Between checkpoints, each with a validation."""

    def config(self) -> InterpolationConfig:
        try:
            return InterpolationConfig(**self.network)
        except TypeError as e:
            raise InputError(f"network: {str(e).replace('InterpolationConfig.__init__() got an', 'has an')}") from None


class VideoRecipe(Strict):
    """The schema of a recipe for the entropy model of video. Paths are relative to the working directory."""

    sizes: ClassVar = {"temporal": SpatiotemporalConfig}
    kind: Literal["video"]
    name: Name
    """Name of the model and of the run's folder."""
    seed: int = 1
    """The seed of all that is random."""
    base: str = "psnr"
    """The image model, by name or path, whose transforms and entropy model video is coded with."""
    clips: list[Path] = []
    """Video files, and folders of them, searched recursively."""
    pictures: list[Path] = []
    """Folders of photographs that clips with synthetic motion are made of."""
    synthetic: int = Field(240, ge=0)
    """How many such clips, of 9 frames each."""
    real: int = Field(1500, ge=0)
    """Frames of real clips, at most, all files together; as many of each."""
    side: int = Field(480, ge=64)
    """The longer side of the frames of real clips is shrunk to this many pixels at most."""
    indices: list[int] = [24, 36, 48, 60]
    """Quality indices that latents are made at: a few neighbouring frames at one of them."""
    share: float = Field(0.5, ge=0, le=1)
    """Share of the samples that come from real clips."""
    low_delay: float = Field(0.15, ge=0, le=1)
    """Share of the samples with past frames alone: one as both references, or two as frames of chains have them."""
    with_z: float = Field(0.35, ge=0, le=1)
    """Share of the samples that have a z."""
    closed_from: float = Field(0.6, ge=0, le=1)
    """Share of the run after which half of the samples' references are what the network itself codes."""
    temporal: dict[str, int] = {}
    """Sizes of the temporal network that differ from the usual ones."""

    crop: int = Field(12, ge=4, multiple_of=4)
    """Side of the crops of latents."""
    batch: int = Field(6, ge=1)
    """Samples a step."""
    start_from: Path | None = None
    """A checkpoint (.pt) whose weights (not whose optimiser) the run starts with, or a model, by path or name."""
    coded: float = Field(0.0, ge=0, le=1)
    """Share of the samples that are frames of groups which the model that the run starts from has coded, with its
    references, moved where things move."""
    cache: Path | None = None
    """A file that keeps the latents of clips. It is written where it is not there yet."""
    steps: int = Field(ge=1)
    """The run ends after so many steps, or after `minutes` if that comes first."""
    minutes: float | None = Field(None, gt=0)
    """The schedule follows the share that is done, of steps or of minutes, whichever is larger."""
    learning_rate: float = 1e-3
    """The highest: it rises over `warmup_steps` and falls along a half cosine. The passes learn a quarter as fast."""
    warmup_steps: int = Field(100, ge=0)
    """Steps in which the learning rate rises; never more than 5% of the run."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = Field(0.998, ge=0, lt=1)
    """What the average of the weights, which is frozen, keeps of itself at each step; less at first."""
    checkpoint_minutes: float = 5.0
    """Between checkpoints, each with a validation."""
    compile: bool = False
    """Compile the network with torch.compile, which takes some minutes. It needs a C++ compiler."""

    @model_validator(mode="after")
    def _consistent(self) -> VideoRecipe:
        if not (self.clips and self.real) and not (self.pictures and self.synthetic):
            raise ValueError("video is trained on `clips`, on `pictures` or on both")
        if not self.indices or min(self.indices) < 1 or max(self.indices) > 63:
            raise ValueError("indices are whole numbers from 1 to 63")
        if self.coded and self.start_from is None:
            raise ValueError("frames as files have them (coded) need a model to start_from")
        self.network()
        return self

    def network(self) -> SpatiotemporalConfig:
        """The sizes of the temporal network."""
        try:
            return SpatiotemporalConfig(**self.temporal)
        except TypeError as e:
            raise ValueError(str(e).replace("__init__() got an", "has an")) from None


class SoundSource(Strict):
    """A folder of sounds."""

    folder: Path
    """Searched recursively."""
    share: float = Field(1.0, gt=0)
    """Of the clips, against the other sources'."""


class SoundFeatureTerm(Strict):
    """A frozen network whose features of sound and reconstruction shall agree (see codec/feature_distance.py)."""

    network: str = Field(pattern=r"^[\w.]+:\w+$")
    """MODULE:CALLABLE that makes any torch.nn.Module on sounds [B, T]."""
    arguments: dict[str, Any] = {}
    """Arguments of the callable."""
    weights: Path | None = None
    """A state dict for what the callable returns; without it the callable brings its own weights."""
    layers: list[str] = []
    """Names of submodules whose outputs count; empty: the network's own output."""
    rate: int = 16000
    """What it takes, in Hz: clips of other rates have no such term."""
    weight: float = Field(gt=0)
    """Against the other distances: weight * F, F being the features' relative squared distance."""


class SoundRecipe(Strict):
    """The schema of a recipe for a model of sound. Paths are relative to the working directory."""

    sizes: ClassVar = {"coding": EnvelopeConfig, "transform": SoundConfig}
    kind: Literal["sound"]
    name: Name
    """Name of the model and of the run's folder."""
    seed: int = 1
    """Of all that is random."""
    sources: list[SoundSource] = Field(min_length=1)
    """Folders of sounds."""
    seconds: float = Field(120.0, gt=0)
    """What is read of each file, at most."""
    hold_out: int = Field(25, ge=2)
    """Every so many files one is kept for validation."""
    rates: dict[int, float] = {16000: 0.65, 44100: 0.35}
    """Sample rates of the clips and their shares. Lower rates are had by leaving bins out."""
    stereo: float = Field(0.5, ge=0, le=1)
    """Share of the clips with two channels that are coded as such; of the others the mean is taken."""
    coding: dict[str, int] = {}
    """Sizes of the entropy model that differ from the usual ones."""
    transform: dict[str, int] = {}
    """Sizes of the other networks that differ from the usual ones."""

    frames: int = Field(64, ge=8, multiple_of=2)
    """Frames of 20 ms in a clip."""
    batch: int = Field(8, ge=1)
    """Channels a step."""
    post_from: float = Field(0.6, ge=0, le=1)
    """Share of the run after which the post-net is trained, and it alone: no bit changes any more."""
    joint: float = Field(0.0, ge=0, le=1)
    """Share of the steps before in which the post-net is trained too, and envelope and features for what comes out."""
    speech: float = Field(0.0, ge=0, le=1)
    """Share of the clips that get one of the indices where speech is coded; others get any."""
    noise: float = Field(1.0, gt=0, le=2)
    """What freezing leaves of the noise in bins of which nothing is coded. Training on distances of spectra asks for 1;
    less is nearer to the sound, by PESQ and to recognisers."""
    features: SoundFeatureTerm | None = None
    """What a network hears, beside the distances of spectra."""
    envelope_weight: float = Field(0.7, gt=0)
    """Weight of the envelope's error, in octaves, against the rate."""
    start_from: Path | None = None
    """A checkpoint whose weights (not whose optimiser) the run starts with."""
    steps: int = Field(ge=1)
    """The run ends after so many steps, or after `minutes` if that comes first."""
    minutes: float | None = Field(None, gt=0)
    """The schedule follows the share that is done, of steps or of minutes, whichever is larger."""
    learning_rate: float = 2e-3
    """The highest: it rises over `warmup_steps` and falls along a half cosine, in both parts of the run."""
    warmup_steps: int = Field(100, ge=0)
    """Steps in which the learning rate rises; never more than 5% of the run."""
    clip: float = 2.0
    """Largest norm of the gradient."""
    ema: float = Field(0.998, ge=0, lt=1)
    """What the average of the weights, which is frozen, keeps of itself at each step; less at first."""
    checkpoint_minutes: float = 5.0
    """Between checkpoints, each with a validation."""

    @model_validator(mode="after")
    def _consistent(self) -> SoundRecipe:
        if self.features is not None and self.features.rate not in self.rates:
            raise ValueError(f"features are heard at {self.features.rate} Hz, which is not one of the rates")
        if not self.rates or any(not 8000 <= r <= 48000 or s <= 0 for r, s in self.rates.items()):
            raise ValueError("rates are sample rates of 8000 to 48000 Hz, each with a share above 0")
        self.networks()
        return self

    def networks(self) -> tuple[SoundConfig, EnvelopeConfig]:
        """The sizes of the networks."""
        try:
            return SoundConfig(**self.transform), EnvelopeConfig(**self.coding)
        except TypeError as e:
            raise ValueError(str(e).replace("__init__() got an", "has an")) from None


def load_recipe(path: Path | str, **overrides: object) -> Recipe:
    """Read and check the recipe of an image model. Raises InputError with one sentence a fault."""
    return load_as(Recipe, path, overrides)
