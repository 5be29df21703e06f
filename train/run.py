"""The training loop of every kind: `lecodec train RECIPE`.

    recipe -> Experiment (data, network, step) -> Run: clock -> steps -> log -> validation, checkpoint -> runs/NAME

A `Run` knows how far a run is, when a line, a validation and a checkpoint are due, and what is on disk; an `Experiment`
(image.py, photo.py, circuit.py, video.py, sound.py, adapt.py) knows what is trained, on what, and by which step. Every
run is one command that can be stopped at any time: it writes a checkpoint every few minutes, from which `--resume` goes
on.

runs/NAME holds checkpoint.pt, metrics.csv (step, seconds, name, value) and the same figures for TensorBoard. Guarantee:
a checkpoint is whole or the last one; what is not one ends in one sentence.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from ..codec.kinds import TRAINED
from ..codec.media.named import named
from ..errors import InputError
from .adapt_recipe import AdaptRecipe
from .checkpoint import contents_of, load_checkpoint, log_metrics, save_checkpoint
from .codebook_recipe import CodebookRecipe
from .recipe import CircuitRecipe, PhotoRecipe, Recipe, SoundRecipe, VideoRecipe
from .schema import find_recipe, load_as, recipe_kind
from .team import Team

__all__ = ["Experiment", "Place", "Run", "print_line", "train"]

_R = TypeVar("_R", Recipe, CircuitRecipe, PhotoRecipe, VideoRecipe, SoundRecipe, AdaptRecipe, CodebookRecipe)


@dataclass(frozen=True)
class Place:
    """How far a run is. step: steps that are done; share: of the run, in [0, 1]."""

    step: int
    share: float


class Experiment(Generic[_R]):
    """What a kind of model trains: the base class of the experiments, with what most of them have in common.

    recipe: what to do. say: takes a line for the user. team: the processes of the run. resumes: whether `restore`
    comes next (and not `start`). Raises InputError, ModelError.
    """

    noun: ClassVar[str]
    """What a checkpoint of it is of, with its article."""
    every: ClassVar[float] = 10.0
    """Seconds between lines."""
    validates_first: ClassVar[bool] = False
    """Whether there is a validation before the first step."""
    alone: ClassVar[bool] = False
    """Whether no more than one process can train it."""

    def __init__(self, recipe: _R, say: Callable[[str], None], team: Team, resumes: bool) -> None:
        if self.alone and team.size > 1:
            raise InputError(f"{self.noun}: one process trains that, --devices and --nodes do not go with it")
        team.join(self.precision(recipe, team))
        if team.agreed(resumes) != resumes:
            raise InputError(f"runs/{recipe.name} is not the same for all processes: they have to share the folder")
        self.recipe, self.team = recipe, team
        self.say = say if team.leads else lambda _: None
        self.report: Callable[[str], None] = lambda where: None
        """Set by the run: validate now; `where` says when that is."""

    @staticmethod
    def precision(recipe: _R, team: Team) -> str | None:
        """lightning Fabric's name of what it computes with, where it is Fabric that sees to that."""
        return None

    @staticmethod
    def circumstances() -> AbstractContextManager[None]:
        """What is set for the time of a whole run."""
        return contextlib.nullcontext()

    def start(self) -> None:
        """Begin anew. The time that it takes is part of the run."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; raises as `contents_of` expects it if it did not."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds besides recipe, step and seconds: tensors and plain values."""
        raise NotImplementedError

    def extracts(self, state: dict[str, Any]) -> Mapping[str, dict[str, Any]]:
        """File name -> what of a whole checkpoint's state is written there too."""
        return {}

    def done(self, step: int) -> float:
        """Share of what the recipe counts, steps or epochs, that is done after `step` steps."""
        raise NotImplementedError

    def step(self, at: Place) -> dict[str, float]:
        """Train for one step -> figures of it, which are averaged until the next line (or none, to save time)."""
        raise NotImplementedError

    def line(self, figures: Mapping[str, float]) -> str:
        """The middle of a progress line. figures: means since the last line, and steps_per_s."""
        raise NotImplementedError

    def validate(self, at: Place) -> dict[str, float]:
        """Figures of held-out data; none where nothing is held out."""
        raise NotImplementedError

    def sentence(self, row: Mapping[str, float], where: str, minutes: float) -> str:
        """How the figures of `validate` are said."""
        return "validation  " + "  ".join(f"{name} {value:.4f}" for name, value in row.items())


def train(
    recipe_path: Path | str,
    resume: bool = False,
    overrides: dict[str, object] | None = None,
    *,
    runs: Path | str = "runs",
    accelerator: str = "auto",
    devices: int | None = None,
    nodes: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Run a recipe; returns the folder `runs/NAME` (see the module's text).

    recipe_path: a file, or the name of a shipped recipe. resume: go on from the folder's checkpoint (start anew when
    there is none). overrides: recipe fields, or parts of them, that replace the file's. accelerator: 'auto', 'cpu' or
    'cuda'. devices, nodes: processes on each machine, and machines; more than one begin this program again (see
    team.py); None: what the recipe says. progress: takes the lines that are otherwise printed. Raises InputError for a
    bad recipe, folder or checkpoint, for GPUs that are not there, and when the folder holds a run and `resume` is off;
    CodecError when a checkpoint cannot be written.
    """
    path = find_recipe(recipe_path)
    if (name := recipe_kind(path)) not in TRAINED:
        raise InputError(f"{path}: kind {name!r}; there are {', '.join(TRAINED)}")
    kind = TRAINED[name]
    recipe = load_as(named(kind.recipe), path, overrides or {})
    folder = Path(runs) / recipe.name
    resumes = (folder / "checkpoint.pt").exists()
    if resumes and not resume:
        raise InputError(f"{folder} holds a run already: --resume goes on with it, another name starts anew")
    experiment_of = named(kind.train)
    team = Team(accelerator, getattr(recipe, "devices", 1) if devices is None else devices, nodes)
    with experiment_of.circumstances():
        experiment = experiment_of(recipe, progress or print_line, team, resumes)
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(experiment, folder)
        run.restore() if resumes else run.start()
        run.go()
        team.leave()
    return folder


def print_line(text: str) -> None:
    """A line on standard error, in place of the last one on a terminal, without control characters."""
    text = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    end = "\r" if sys.stderr.isatty() else "\n"
    print(text, end=end, file=sys.stderr, flush=True)


class Run(Generic[_R]):
    """An experiment in time and on disk. folder: exists."""

    def __init__(self, experiment: Experiment[_R], folder: Path) -> None:
        self.experiment, self.folder = experiment, folder
        self.step, self.seconds = 0, 0.0
        experiment.report = self.validate
        self._board: Any = None

    def start(self) -> None:
        begun = time.monotonic()
        self.experiment.start()
        self.seconds = self.experiment.team.agreed(time.monotonic() - begun)

    def restore(self) -> None:
        path, experiment = self.folder / "checkpoint.pt", self.experiment
        state = load_checkpoint(path)
        with contents_of(path, experiment.noun):
            if state["recipe"].get("kind", "image") != experiment.recipe.kind:
                raise ValueError("another kind")
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            experiment.restore(state)
        experiment.say(f"resumed at step {self.step}, {self.seconds / 60:.1f} minutes")

    @property
    def place(self) -> Place:
        minutes = self.experiment.recipe.minutes
        time_used = self.seconds / 60 / minutes if minutes else 0.0
        return Place(self.step, min(1.0, max(self.experiment.done(self.step), time_used)))

    def go(self) -> None:
        experiment, between = self.experiment, 60 * self.experiment.recipe.checkpoint_minutes
        if experiment.validates_first:
            self.validate("start" if self.step == 0 else f"step {self.step}")
        said = time.monotonic()
        due, said_step, seen = said + between, self.step, defaultdict(list)
        while (place := self.place).share < 1:
            begun = time.monotonic()
            for name, value in experiment.step(place).items():
                seen[name].append(value)
            self.step += 1
            self.seconds += experiment.team.agreed(time.monotonic() - begun)
            now = time.monotonic()
            if seen and now - said > experiment.every:
                figures = {name: sum(values) / len(values) for name, values in seen.items()}
                self._tell({**figures, "steps_per_s": (self.step - said_step) / (now - said)})
                said, said_step, seen = now, self.step, defaultdict(list)
            if now > due:
                self.checkpoint(f"step {self.step}")
                due = time.monotonic() + between
        self.checkpoint(f"step {self.step}, done")
        if self._board is not None:
            self._board.close()

    def _tell(self, figures: dict[str, float]) -> None:
        share = self.place.share
        left = self.seconds * (1 - share) / max(share, 1e-9) / 60
        self.experiment.say(
            f"step {self.step}  {100 * share:.1f}%  {self.experiment.line(figures)}  ETA {left:.0f} min"
        )
        self._log(figures)

    def checkpoint(self, where: str) -> None:
        """Validate, then write checkpoint.pt and what is extracted from it."""
        self.validate(where)
        if not self.experiment.team.leads:
            return
        recipe = self.experiment.recipe.model_dump(mode="json")
        state = {"recipe": recipe, **self.experiment.state(), "step": self.step, "seconds": self.seconds}
        for name, content in {"checkpoint.pt": state, **self.experiment.extracts(state)}.items():
            save_checkpoint(content, self.folder / name)
        if self._board is not None:
            self._board.flush()

    def validate(self, where: str) -> None:
        if self.experiment.team.leads and (row := self.experiment.validate(self.place)):
            self._log(row)
            self.experiment.say(self.experiment.sentence(row, where, self.seconds / 60))

    def _log(self, row: Mapping[str, float]) -> None:
        if not self.experiment.team.leads:
            return
        log_metrics(self.folder, self.step, self.seconds, row)
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(self.folder)
        for name, value in row.items():
            self._board.add_scalar(name, value, self.step)
