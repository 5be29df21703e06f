"""Training the entropy model of video: `lecodec train video`.

    clips -> g_a of the frozen image model -> latents in memory (float16)
    a frame and two others, each at a rate of its own -> Spatiotemporal -> bits -> AdamW -> average

The loss is the rate alone: transforms are frozen, and y_hat differs from y by a rounding, whatever the entropy model.
References are rounded at their own rates at first; later in the run half of them are what the network itself makes of a
frame, from which coarser frames inherit. A sample is a frame between two others at equal distances (or after one), its
rate from that of the latents down to steps eight times as large; references are never coarser than the frame. A run that
starts from a model takes a share of its samples, `coded`, from groups that this model has coded: references, rates and
moves are those of files (see `coded`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..codec.image import ImageCodec
from ..codec.registry import load
from ..codec.transforms.transform import WindowedTransform
from ..codec.video import VideoCodec
from ..codec.video_encoder import indices_of
from ..entropy.context_coding import ContextCoding
from ..entropy.latents import MEAN_BITS, Meter
from ..entropy.layers import ACTIVATION_BITS
from ..entropy.rate import QUALITY_LEVELS, QUALITY_ONE
from ..entropy.runtime import runtime_of
from ..entropy.spatiotemporal import Spatiotemporal, magnitude_tables
from ..entropy.spatiotemporal_coding import TABLES, Reference, SpatiotemporalCoding, facts_of
from ..errors import InputError
from .checkpoint import contents_of, load_checkpoint
from .coded import CodedFrame
from .compiled import compile_network
from .recipe import VideoRecipe
from .run import Experiment, Place
from .schedule import Average, load_weights, warm_up
from .team import Team
from .thaw_video import thaw_video
from .video_latents import Clips, collected
from .video_samples import Batch, batch_of, cut, cut_coded, places

__all__ = ["VideoExperiment", "image_codec", "log_gains"]

COARSEST = 8.0
"""By how much the steps of a frame may be larger than those of the finest of its group, see `codec.video_steps`."""
PASSES_SHARE = 0.25
"""What the passes, which are trained already, learn against the rest."""
FLOOR = 0.02
"""Bits a pixel: a sample's loss is divided by the root of its rate, of at least this."""
DISTANCES = (1, 1, 2, 2, 4, 4, 8, 16)
BEHIND = (-3, -1), (-4, -2)
"""Where the two references of a frame of a chain are, seen from it (see `bitstream.groups`), the first one finer."""
MOVED = 0.75
"""Share of the samples of frames as files have them whose references are moved, where anything moves."""
DEVIATION_AT = 48
"""The quality index at which it is measured how large y is."""
VALIDATED = ((1, 30.0, False), (4, 14.0, False), (1, 0.0, False), (1, 0.0, True))
"""Of the held-out samples: distance, indices coarser, whether there is one reference."""


def image_codec(base: str) -> ImageCodec:
    """The image model that a recipe names. Raises InputError for one without context, or with more than that."""
    codec = load(model=base, of=ImageCodec)
    if type(codec.entropy) is not ContextCoding or codec.entropy.nested:
        raise InputError(f"{base}: video is trained on an image model with context, and with nothing else")
    return codec


def log_gains(codec: ImageCodec) -> np.ndarray:
    """By how much y is scaled at each index: [QUALITY_LEVELS, M], logarithms."""
    transform = codec.transform
    assert isinstance(transform, WindowedTransform)
    return transform.log_gains(np.arange(QUALITY_LEVELS, dtype=np.float32)).astype(np.float64)


class VideoExperiment(Experiment[VideoRecipe]):
    """The network, its average, its optimiser and the latents."""

    noun = "a video model"
    every = 30.0
    validates_first = True

    def __init__(self, recipe: VideoRecipe, say: Callable[[str], None], team: Team, resumes: bool) -> None:
        super().__init__(recipe, say, team, resumes)
        torch.manual_seed(recipe.seed)
        self.seed = recipe.seed + 1000 * team.rank
        self.random = random.Random(self.seed)
        self.codec = image_codec(recipe.base)
        entropy = self.codec.entropy
        assert isinstance(entropy, ContextCoding)
        self.entropy, self.runtime = entropy, runtime_of("cpu")
        self.log_gain = torch.from_numpy(log_gains(self.codec)).float()
        self.coarsest = indices_of(self.log_gain.exp().numpy(), COARSEST) / QUALITY_ONE
        temporal = None
        if recipe.start_from is not None:
            self._begin_as(recipe.start_from)
            if recipe.coded:
                temporal = SpatiotemporalCoding({**entropy.tensors, **self.network.frozen()})
        self.real, self.synthetic = collected(recipe, self.codec, temporal, self.say)
        if recipe.start_from is None:
            self._make(magnitude_tables(self.log_gain.double().numpy(), self._deviation(), DEVIATION_AT))

    def _begin_as(self, path: Path) -> None:
        """Make the network with the weights of a checkpoint or of a model file, or of a model by name. A checkpoint may
        be one on another image model whose latents are alike, such as an earlier state of this one.
        """
        if path.suffix == ".pt":
            state = load_checkpoint(path)
            with contents_of(path, self.noun):
                tables = {name: table.numpy() for name, table in state["tables"].items()}
                if state["recipe"]["base"] != self.recipe.base:
                    deviation = tables["unit"][DEVIATION_AT] * 2.0**-MEAN_BITS
                    tables = magnitude_tables(self.log_gain.double().numpy(), deviation, DEVIATION_AT)
                self._make(tables)
                load_weights(self.network, state["ema"], self.recipe.name)
        else:
            codec = load(model=str(path), of=VideoCodec)
            if codec.base.parse_digest != self.codec.parse_digest:
                raise InputError(f"{path} is built on {codec.card['base']['name']}, not on {self.recipe.base}")
            tensors = codec.temporal.tensors
            self._make({name: tensors[f"temporal.{name}"] for name in TABLES})
            thaw_video(self.network, tensors)
        self.average = Average(self.network, self.recipe.ema)

    def _make(self, tables: Mapping[str, np.ndarray]) -> None:
        recipe = self.recipe
        self.tables = dict(tables)
        self.network = Spatiotemporal(recipe.network(), self.entropy.tensors, self.tables)
        self.compiled = self.network
        if recipe.compile:
            self.compiled = compile_network(self.network, torch.device("cpu"))
        self.team.same(self.network)
        self.average = Average(self.network, recipe.ema)
        slow = [p for n, p in self.network.named_parameters() if n.startswith("passes.")]
        rest = [p for n, p in self.network.named_parameters() if not n.startswith("passes.")]
        groups: list[dict[str, Any]] = [{"params": rest, "share": 1.0}, {"params": slow, "share": PASSES_SHARE}]
        self.optimiser = torch.optim.AdamW(
            groups, recipe.learning_rate, betas=(0.9, 0.98), weight_decay=1e-4, fused=True
        )

    # -- latents

    def _deviation(self) -> np.ndarray:
        """Of each channel at index DEVIATION_AT, over all latents [M]."""
        total, count = torch.zeros(self.entropy.latent, dtype=torch.float64), 0
        for made in (*self.real.trained, *self.synthetic.trained):
            y = made.y[::4].float()
            scale = (self.log_gain[DEVIATION_AT] - self.log_gain[made.index]).exp()
            total += ((y**2).sum((0, 2, 3)) * scale**2).double()
            count += y[:, 0].numel()
        return (total / max(1, count)).sqrt().numpy()

    # -- samples

    def _source(self, rng: random.Random) -> Clips:
        """Real clips or synthetic ones, as the recipe shares them out, or those that there are."""
        if not (self.real.trained and self.synthetic.trained):
            return self.real if self.real.trained else self.synthetic
        return self.real if rng.random() < self.recipe.share else self.synthetic

    def _coded_sample(self, rng: random.Random) -> dict[str, Any]:
        """A frame as files have it; where things move, its references are mostly moved."""
        frame = rng.choice(self._source(rng).coded)
        return cut_coded(frame, rng.random() < MOVED, self._box(rng, frame.y.shape[1:]))

    def _box(self, rng: random.Random, size: Sequence[int]) -> tuple[slice, ...]:
        """Where a crop is. size: positions of y that there are."""
        c = min(self.recipe.crop, *(n // 4 * 4 for n in size))
        return tuple(slice(at, at + c) for at in (rng.randrange(n - c + 1) for n in size))

    def _sample(self, rng: random.Random, closed: bool) -> dict[str, Any]:
        """A frame and its references; closed: and what the second reference is to be coded from."""
        recipe = self.recipe
        sources = self._source(rng).trained
        while True:
            made = rng.choice(sources)
            single, distance = rng.random() < recipe.low_delay, rng.choice(DISTANCES)
            at = places(distance, single, closed)
            if single and not closed and rng.random() < 0.5:
                at = rng.choice(BEHIND)
            span = max(0, *at) - min(0, *at)
            if span < len(made.y):
                break
        if rng.random() < 0.5 and not single:  # time runs both ways
            at = tuple(-n for n in at)
        number = rng.randrange(len(made.y) - span) - min(0, *at)
        drop = min(rng.uniform(0, self.coarsest) if rng.random() < 0.8 else 0.0, made.index - 1.0)
        finer = [0 if rng.random() < 0.5 else rng.randint(0, round(drop)) for _ in range(2)]
        box = self._box(rng, made.y.shape[2:])
        if at[0] == at[1]:
            finer[0] = finer[1]
        elif single:
            finer.sort()
        return cut(made, number, at, box, round(drop), (finer[0], finer[1]))

    def _ratio(self, before: Tensor, after: Tensor) -> Tensor:
        return (self.log_gain[after] - self.log_gain[before]).exp()[:, :, None, None]

    def _said(self, y: Tensor, index: Tensor, with_z: bool) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """What the image model says of y at these indices: features, mu_i and t_i; bits of z [B]."""
        rates = [int(q) * QUALITY_ONE for q in index]
        bits, z = torch.zeros(len(y)), None
        if with_z:
            z = np.rint(self.codec.transform.above(y.numpy(), rates)[0]).astype(np.int32)
            meters = [Meter() for _ in rates]
            self.entropy.above.traverse(meters, z.shape[2:], rates, (z,), device=self.runtime)
            bits = torch.tensor([m.bits for m in meters], dtype=torch.float32)
        blocks = y.shape[2] // 2, y.shape[3] // 2
        seen, mu, t = self.entropy.start(z, rates, blocks, self.runtime)
        features = torch.from_numpy(seen[:, : self.entropy.features].astype(np.float32)) * 2.0**-ACTIVATION_BITS
        said = [nn.functional.pixel_shuffle(torch.from_numpy(a.astype(np.float32)), 2) / 64 for a in (mu, t)]
        return (features, said[0], said[1]), bits

    def _forward(self, batch: Batch, with_z: bool, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Bits [B], and y_hat in units of each sample's index. own: see `_own_references`."""
        references = list(batch.references) if batch.ready else []
        for n in () if batch.ready else (0, 1):
            finer = batch.finer[n]
            y_hat = (batch.references[n] * self._ratio(batch.made, finer)).round()
            if own is not None:
                single = torch.tensor([a == b for a, b in batch.distances])[:, None, None, None]
                y_hat = own if n == 1 else torch.where(single, own, y_hat)
            there = y_hat * self._ratio(finer, batch.index)
            references.append((there * 64).round() / 64)
        y = batch.y * self._ratio(batch.made, batch.index)
        said, bits_z = self._said(y, batch.index, with_z)
        rates = [int(q) * QUALITY_ONE for q in batch.index]
        empty = (np.zeros((1, 1, 1), np.int32),)
        given = [
            [Reference(empty, int(batch.finer[n][b]) * QUALITY_ONE, batch.distances[b][n]) for n in (0, 1)]
            for b in range(len(rates))
        ]
        facts = torch.from_numpy(facts_of(rates, given, with_z)).float() * 2.0**-ACTIVATION_BITS
        network = self.compiled if torch.is_grad_enabled() else self.network
        found = network(y, (references[0], references[1]), said, facts, batch.index)
        return found.bits_y + bits_z, found.y_hat

    # -- the run

    def restore(self, state: dict[str, Any]) -> None:
        self._make({name: table.numpy() for name, table in state["tables"].items()})
        load_weights(self.network, state["ema"], self.recipe.name)
        self.average = Average(self.network, self.recipe.ema)
        load_weights(self.network, state["network"], self.recipe.name)
        self.optimiser.load_state_dict(state["optimiser"])
        self.random.seed(self.seed + 7919 * state["step"])

    def state(self) -> dict[str, Any]:
        return {
            "tables": {name: torch.from_numpy(table) for name, table in self.tables.items()},
            "network": self.network.state_dict(),
            "ema": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
        }

    def extracts(self, state: dict[str, Any]) -> Mapping[str, dict[str, Any]]:
        """weights.pt: what `freeze` and `start_from` need, in half the bytes."""
        kept = {key: state[key] for key in ("recipe", "step", "seconds", "tables")}
        return {"weights.pt": {**kept, "ema": {name: value.half() for name, value in state["ema"].items()}}}

    def done(self, step: int) -> float:
        return step / self.recipe.steps

    def step(self, at: Place) -> dict[str, float]:
        recipe, rng = self.recipe, self.random
        fall = max(0.5 * (1 + math.cos(math.pi * at.share)), 0.01)
        rate = recipe.learning_rate * warm_up(at.step, at.share, recipe.warmup_steps) * fall
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.network.train()
        coded = rng.random() < recipe.coded
        closed = not coded and at.share >= recipe.closed_from and rng.random() < 0.5
        samples = [self._coded_sample(rng) if coded else self._sample(rng, closed) for _ in range(recipe.batch)]
        batch = batch_of(samples)
        own = self._own_references(batch) if closed else None
        with_z = rng.random() < recipe.with_z
        bits, _ = self._forward(batch, with_z, own)
        bpp = bits / (256 * batch.y.shape[2] * batch.y.shape[3])
        loss = (bpp / (bpp.detach() + FLOOR).sqrt()).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.team.average(self.network.parameters())
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip))
        if math.isfinite(norm):
            self.optimiser.step()
        self.average.update(at.step + 1)
        return {"bpp": float(bpp.detach().mean()), "loss": float(loss.detach()), "gradient": norm, "lr": rate}

    @torch.no_grad()
    def _own_references(self, batch: Batch) -> Tensor:
        """What the network makes of second references: y_hat in units of their indices."""
        assert batch.outer is not None
        single = torch.tensor([a == b for a, b in batch.distances])[:, None, None, None]
        inner = Batch(
            batch.references[1],
            (torch.where(single, batch.outer, batch.references[0]), batch.outer),
            batch.made,
            batch.finer[1],
            (torch.maximum(batch.finer[0], batch.finer[1]), batch.made),
            [(a, b) if a == b else (2 * a, 2 * b) for a, b in batch.distances],
        )
        return self._forward(inner, False)[1]

    def line(self, figures: Mapping[str, float]) -> str:
        return (
            f"{figures['bpp']:.4f} bpp  loss {figures['loss']:.4f}  |g| {figures['gradient']:.2f}  "
            f"lr {figures['lr']:.1e}  {figures['steps_per_s']:.2f} steps/s"
        )

    @torch.no_grad()
    def validate(self, place: Place) -> dict[str, float]:
        """Bits a pixel of held-out frames, real clips and synthetic ones: as frames between two others, one or four
        frames away and coarser, at the same rate, and after one; I: what the image model takes at that rate; coded: as
        files have them, references moved.
        """
        row: dict[str, float] = {}
        self.network.eval()
        with self.average.applied():
            for name, clips in (("real", self.real), ("synthetic", self.synthetic)):
                if clips.coded_held_out:
                    row[f"{name} coded"] = self._rate_of(clips.coded_held_out)
                sources = clips.held_out
                for distance, drop, single in VALIDATED:
                    bits, intra, pixels = 0.0, 0.0, 0
                    for made in sources:
                        if len(made.y) <= 2 * distance:
                            continue
                        at = places(distance, single, False)
                        box = tuple(slice(0, n // 4 * 4) for n in made.y.shape[2:])
                        down = min(round(drop), made.index - 1)
                        batch = batch_of([cut(made, -min(at), at, box, down, (0, 0))])
                        found, _ = self._forward(batch, False)
                        bits += float(found.sum())
                        pixels += 256 * batch.y.shape[2] * batch.y.shape[3]
                        meter = Meter()
                        y = batch.y * self._ratio(batch.made, batch.index)
                        rates = [int(q) * QUALITY_ONE for q in batch.index]
                        z = self.codec.transform.above(y.numpy(), rates)[0]
                        self.entropy.traverse([meter], tuple(y.shape[2:]), rates, (z, y.numpy()))
                        intra += meter.bits
                    if pixels:
                        what = "P" if single else f"B{distance}"
                        row[f"{name} {what}-{drop:.0f}"] = bits / pixels
                        row[f"{name} I-{drop:.0f}"] = intra / pixels
        self.network.train()
        return {"validation": sum(v for k, v in row.items() if " I-" not in k), **row}

    def _rate_of(self, frames: Sequence[CodedFrame]) -> float:
        """Bits a pixel of frames as files have them."""
        bits, pixels = 0.0, 0
        for frame in frames:
            size = frame.y.shape[1:]
            sample = cut_coded(frame, True, tuple(slice(0, n // 4 * 4) for n in size))
            found, _ = self._forward(batch_of([sample]), False)
            bits, pixels = bits + float(found.sum()), pixels + 256 * sample["y"][0].numel()
        return bits / pixels
