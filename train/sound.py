"""Training a model of sound: `lecodec train sound`.

    clips -> MDCT -> levels -> h_a -> z -> envelope, steps -> y        all of it on rate and the envelope's error
    then, with these frozen: y -> post-net -> inverse MDCT -> distances of spectra

First what is coded is trained, on rate, by likelihood, and on how well the envelope says the levels of the bands; there
is no gradient through the steps, and none is needed (see `entropy.envelope`). In a share of these steps the post-net
takes part, so that envelope and features are of use to it. Then the post-net, alone: what was trained before stays,
with its averaged weights, so that no bit changes. A clip is a segment of its own: contexts and
post-net begin anew at its edges, as they do in a file. An item is a channel; two of them are a stereo clip's.

Distances: logarithms of spectra (see `eval.quality.spectra`), the error of what is coded, weighted by the levels around
it, and, if the recipe names a network, what that hears (see `codec.feature_distance`).
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..codec.transforms.sound import Mdct, SoundNetwork, hop_of, levels, valid_bands
from ..entropy.envelope import SoundLikelihood
from ..entropy.rate import QUALITY_LEVELS
from ..eval.quality.spectra import log_distances
from .checkpoint import load_checkpoint
from .features import distance_of
from .recipe import SoundRecipe
from .run import Experiment, Place
from .schedule import Average, load_weights, warm_up
from .sounds import Sounds
from .team import Team

__all__ = ["SoundExperiment"]

NARROWED = {320: ((320, 0.75), (160, 0.18), (240, 0.07)), 882: ((882, 0.75), (441, 0.15), (640, 0.1))}
"""By hop: numbers of bins that are kept, with their shares; others keep all."""
LOUDNESS = -38.0, -10.0
"""Most clips are brought to a level between these, in dB."""
FLOOR_KBPS = 1.0
RATE_WEIGHT = 0.25
MEL_WEIGHT, ERROR_WEIGHT = 1.5, 20.0
SHORT, SHORT_WEIGHT = (0.004, 0.008), 0.5
"""Windows, in seconds, in which a shaper is to be right too."""
SPEECH = 8, 40
"""From which index on, and before which one, speech is coded: 2 to 25 kbps."""
VALIDATED = (4, 16, 32, 48)
"""Indices of the held-out clips' figures."""


@dataclass(frozen=True)
class _Batch:
    """spectrum [B, bins, t]; index, partner [B]: see `Envelope`; rate: in Hz."""

    spectrum: Tensor
    index: Tensor
    partner: Tensor
    rate: int
    mdct: Mdct


class SoundExperiment(Experiment[SoundRecipe]):
    """The networks, their average, their optimiser and the sounds."""

    noun = "a sound model"
    every = 20.0

    def __init__(self, recipe: SoundRecipe, say: Callable[[str], None], team: Team, resumes: bool) -> None:
        super().__init__(recipe, say, team, resumes)
        torch.manual_seed(recipe.seed)
        self.device, self.seed = team.device, recipe.seed + 1000 * team.rank
        self.features = distance_of(recipe.features).to(self.device) if recipe.features else None
        self.random = random.Random(self.seed)
        self.sources = [
            Sounds(source.folder, tuple(recipe.rates), recipe.seconds, recipe.hold_out, self.say)
            for source in recipe.sources
        ]
        self._make()
        if recipe.start_from is not None and not resumes:
            state = load_checkpoint(recipe.start_from)
            # A shaper that is new begins without effect.
            own = {n: p for n, p in self.network.state_dict().items() if n.startswith("g_s.shaper.")}
            load_weights(self.network, {**own, **{n: p.float() for n, p in state["ema"].items()}}, recipe.name)
            self.average = Average(self.network, recipe.ema)

    @staticmethod
    @contextlib.contextmanager
    def circumstances() -> Iterator[None]:
        """One thread: the steps are small, and threads would wait for each other."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _make(self) -> None:
        transform, coding = self.recipe.networks()
        self.network = SoundNetwork(transform, coding).to(self.device)
        self.team.same(self.network)
        self.average = Average(self.network, self.recipe.ema)
        self.posted = False
        """Whether the post-net is what is trained."""
        self.optimiser = self._optimiser(False)

    def _optimiser(self, posted: bool) -> torch.optim.Optimizer:
        both = not posted and self.recipe.joint > 0
        parameters = [p for n, p in self.network.named_parameters() if both or n.startswith("g_s.") == posted]
        return torch.optim.Adam(parameters, self.recipe.learning_rate, betas=(0.9, 0.98))

    # -- clips

    def _batch(self, rng: random.Random, index: int | None = None, kept_out: bool = False) -> _Batch | None:
        """index: of all items; None: one at random for each clip. None where no source has a clip of this kind."""
        recipe = self.recipe
        rate = rng.choices(list(recipe.rates), list(recipe.rates.values()))[0]
        hop = hop_of(rate)
        choices = NARROWED.get(hop, ((hop, 1.0),))
        bins = rng.choices([n for n, _ in choices], [share for _, share in choices])[0] if index is None else hop
        samples = (recipe.frames + 1) * hop
        fitting = [n for n, s in enumerate(self.sources) if s.has(rate, samples, kept_out)]
        if not fitting:
            return None
        channels, numbers, partners = [], [], []
        while len(channels) < recipe.batch:
            source = self.sources[rng.choices(fitting, [recipe.sources[n].share for n in fitting])[0]]
            clip = _levelled(source.clip(rng, rate, samples, kept_out), rng)
            number = self._number(rng) if index is None else index
            if len(clip) == 2 and rng.random() < recipe.stereo and len(channels) + 2 <= recipe.batch:
                partners += [-1, len(channels)]
                channels += [(clip[0] + clip[1]) / 2, (clip[0] - clip[1]) / 2]
                numbers += [number, number]
            else:
                partners.append(-1)
                channels.append(clip.mean(0))
                numbers.append(number)
        mdct = Mdct(hop, bins, self.device)
        spectrum = mdct(torch.from_numpy(np.stack(channels)).to(self.device))
        return _Batch(
            spectrum, torch.tensor(numbers, device=self.device), torch.tensor(partners, device=self.device), rate, mdct
        )

    def _number(self, rng: random.Random) -> int:
        """An index for a clip."""
        if self.recipe.speech and rng.random() < self.recipe.speech:
            return rng.randrange(*SPEECH)
        return rng.randrange(QUALITY_LEVELS)

    def _code(self, batch: _Batch, coded: bool = True) -> tuple[SoundLikelihood, Tensor]:
        """What the entropy model makes of a batch, and the levels that its envelope is to say."""
        wanted = levels(batch.spectrum)
        z = self.network.h_a(wanted, batch.index)
        return self.network.envelope(z, batch.spectrum, batch.index, batch.partner, coded), wanted

    def _kbps(self, found: SoundLikelihood, batch: _Batch) -> Tensor:
        seconds = batch.spectrum.shape[-1] * batch.mdct.hop / batch.rate
        return (found.bits_z + found.bits_y) / (1000 * seconds)

    # -- the run

    def restore(self, state: dict[str, Any]) -> None:
        load_weights(self.network, state["ema"], self.recipe.name)
        self.average = Average(self.network, self.recipe.ema)
        load_weights(self.network, state["network"], self.recipe.name)
        self.posted = bool(state["posted"])
        self.optimiser = self._optimiser(self.posted)
        self.optimiser.load_state_dict(state["optimiser"])
        self.random.seed(self.seed + 7919 * state["step"])

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "ema": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
            "posted": self.posted,
        }

    def extracts(self, state: dict[str, Any]) -> Mapping[str, dict[str, Any]]:
        """weights.pt: what `freeze` and `start_from` need, in half the bytes."""
        kept = {key: state[key] for key in ("recipe", "step", "seconds")}
        return {"weights.pt": {**kept, "ema": {name: value.half() for name, value in state["ema"].items()}}}

    def done(self, step: int) -> float:
        return step / self.recipe.steps

    def step(self, at: Place) -> dict[str, float]:
        recipe, change = self.recipe, self.recipe.post_from
        if at.share >= change and not self.posted:
            self._begin_post()
        share = (at.share - change) / (1 - change) if self.posted else at.share / change
        fall = max(0.5 * (1 + math.cos(math.pi * min(1.0, share))), 0.01)
        rate = recipe.learning_rate * warm_up(at.step, at.share, recipe.warmup_steps) * fall
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = self._batch(self.random)
        assert batch is not None
        loss, figures = self._post_loss(batch) if self.posted else self._coding_loss(batch, self._joins(at.step))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.team.average(trained)
        norm = float(nn.utils.clip_grad_norm_(trained, recipe.clip))
        if math.isfinite(norm):
            self.optimiser.step()
        self.average.update(at.step + 1)
        return {**figures, "loss": float(loss.detach()), "gradient": norm, "lr": rate}

    def _begin_post(self) -> None:
        """From here on the post-net alone, behind the averaged weights of the rest."""
        load_weights(self.network, self.average.weights, self.recipe.name)
        self.posted = True
        self.optimiser = self._optimiser(True)
        self.say("the post-net is trained from here on")

    def _joins(self, step: int) -> bool:
        """Whether the post-net takes part in this step of the first part; in all processes the same."""
        return math.floor((step + 1) * self.recipe.joint) > math.floor(step * self.recipe.joint)

    def _coding_loss(self, batch: _Batch, joint: bool) -> tuple[Tensor, dict[str, float]]:
        self.network.train()
        found, wanted = self._code(batch)
        kbps, error = self._kbps(found, batch), self._envelope_error(found, wanted)
        weighted = (kbps / (kbps.detach() + FLOOR_KBPS).sqrt()).mean()
        loss = RATE_WEIGHT * weighted + self.recipe.envelope_weight * error
        z = float((found.bits_z / (found.bits_z + found.bits_y)).detach().mean())
        figures = {"kbps": float(kbps.detach().mean()), "z": z, "envelope": float(error.detach())}
        if joint:
            further, more = self._sound_loss(batch, found, wanted)
            loss, figures = loss + further, {**figures, **more}
        return loss, figures

    @staticmethod
    def _envelope_error(found: SoundLikelihood, wanted: Tensor) -> Tensor:
        """Mean error of the levels of the bands that there are, octaves."""
        valid = valid_bands(found.y.shape[1], wanted.device)[:, None]
        return ((found.envelope - wanted).abs() * valid).mean() * len(valid) / valid.sum()

    def _post_loss(self, batch: _Batch) -> tuple[Tensor, dict[str, float]]:
        self.network.eval()
        with torch.no_grad():
            found, wanted = self._code(batch, coded=False)
        return self._sound_loss(batch, found, wanted)

    def _sound_loss(self, batch: _Batch, found: SoundLikelihood, wanted: Tensor) -> tuple[Tensor, dict[str, float]]:
        """How far what the post-net makes of a batch is from its sounds."""
        shown = self._decoded(found, batch.index)
        sounds = self._sounds(batch, shown)
        distance, mel = log_distances(*sounds, batch.rate)
        error = self._weighted_error(batch.spectrum, shown[0], wanted)
        loss = distance + MEL_WEIGHT * mel + ERROR_WEIGHT * error
        figures = {"log-STFT": float(distance.detach()), "mel": float(mel.detach()), "error": float(error.detach())}
        if self.network.config.shaper:
            short, _ = log_distances(*sounds, batch.rate, SHORT)
            loss, figures["short"] = loss + SHORT_WEIGHT * short, float(short.detach())
        if self.features is not None and self.recipe.features and batch.rate == self.recipe.features.rate:
            heard = self.features(*sounds).mean()
            loss, figures["features"] = loss + self.recipe.features.weight * heard, float(heard.detach())
        return loss, figures

    def _decoded(self, found: SoundLikelihood, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        noise = (torch.rand_like(found.y) - 0.5) * math.sqrt(12)
        return self.network.g_s(found.y, found.log_step, found.envelope, found.features, index, noise)

    def _sounds(self, batch: _Batch, shown: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The clips of a batch and what is made of them, [B, T]. shown: what the post-net gives."""
        return batch.mdct.inverse(batch.spectrum), self.network.g_s.samples(*shown, batch.mdct)

    def _weighted_error(self, spectrum: Tensor, decoded: Tensor, level: Tensor) -> Tensor:
        """Squared error of what is coded, against the levels around it to the power of 3/4."""
        around = F.avg_pool1d(level, 3, 1, 1, count_include_pad=False)
        weight = torch.exp2(-1.5 * self.network.envelope.by_bins(around, spectrum.shape[1]))
        return ((spectrum - decoded) ** 2 * weight).mean()

    def line(self, figures: Mapping[str, float]) -> str:
        names = ("kbps", "z", "envelope", "log-STFT", "mel", "short", "error", "features")
        said = "  ".join(f"{name} {figures[name]:.3f}" for name in names if name in figures)
        return f"{said}  loss {figures['loss']:.4f}  lr {figures['lr']:.1e}  {figures['steps_per_s']:.2f} steps/s"

    @torch.no_grad()
    def validate(self, place: Place) -> dict[str, float]:
        """Of held-out clips, at each of VALIDATED: kbps a channel, the share of z in it, log-STFT distance."""
        row: dict[str, float] = {}
        self.network.eval()
        with self.average.applied():
            for index in VALIDATED:
                rng, sums = random.Random(0), np.zeros(3)
                torch.manual_seed(0)
                batches = [batch for _ in range(6) if (batch := self._batch(rng, index, True)) is not None]
                for batch in batches:
                    found, _ = self._code(batch)
                    sounds = self._sounds(batch, self._decoded(found, batch.index))
                    distance, _ = log_distances(*sounds, batch.rate)
                    z = (found.bits_z / (found.bits_z + found.bits_y)).mean()
                    sums += [float(self._kbps(found, batch).mean()), float(z), float(distance)]
                if batches:
                    for name, value in zip(("kbps", "z", "log-STFT"), sums / len(batches), strict=True):
                        row[f"{name}-{index}"] = value
        self.network.train()
        torch.manual_seed(self.recipe.seed + place.step)
        return row


def _levelled(clip: np.ndarray, rng: random.Random) -> np.ndarray:
    """Most clips at another level, none of them clipped by that."""
    if rng.random() < 0.2:
        return clip
    wanted = 10 ** (rng.uniform(*LOUDNESS) / 20) / max(1e-6, float(np.sqrt((clip**2).mean())))
    return clip * np.float32(min(wanted, 1 / max(1e-6, float(np.abs(clip).max()))))
