"""The training loop: checkpoints of older versions go on, and nothing that is broken ends a run with a traceback."""

from __future__ import annotations

import csv
import errno
import io
import lzma
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lecodec.cli.main import main
from lecodec.codec.kinds import TRAINED
from lecodec.codec.media.named import named
from lecodec.errors import CodecError, InputError
from lecodec.train import image
from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.image import ImageExperiment
from lecodec.train.recipe import CircuitRecipe, Recipe
from lecodec.train.run import Run, train
from lecodec.train.schedule import phase_at, warm_up
from lecodec.train.schema import load_as
from lecodec.train.team import Team

RECIPES = {
    "image": """
name: old-image
train: [pictures]
validation: [pictures]
steps: 6
phases: [{fraction: 1, crop: 64, batch: 2}]
transform: {width8: 4, width16: 4, latent: 4, analysis8: 1, analysis16: 1, synthesis8: 1, synthesis16: 1}
hyper: {width: 4, middle: 4, hyper: 2}
warmup_steps: 2
precision: 32-true
""",
    "photo": """
kind: photo
name: old-photo
sources: [{folder: pictures, share: 1, hold_out: 1}]
network: {context: 2, width: 4, middle: 4, head: 4, components: 2, groups: 2}
crop: 32
batch: 1
levels: 2
warmup_steps: 2
steps: 6
""",
    "circuit": """
kind: circuit
name: old-circuit
data: items.npy
held_out: 0.2
states: 2
structure_samples: 100
neighbours: 4
epochs: 4
phases:
  - {fraction: 0.5, batch: 60, step: [0.5, 0.1]}
  - {fraction: 0.5, batch: 60, step: [0.2, 0.05], keep: 0.5, grow: true}
""",
}
"""Of runs so small that a checkpoint of each is in golden/checkpoints, as the first loops wrote it."""


def material(folder: Path) -> None:
    """What these recipes train on: the same on every machine."""
    (folder / "pictures").mkdir(exist_ok=True)
    y, x = np.mgrid[:256, :264]
    for n in range(2):
        samples = np.stack([x + n * y, 2 * y, (x * y) >> (4 + n)], -1).astype(np.uint8)
        Image.fromarray(samples).save(folder / "pictures" / f"{n}.png")
    rows = np.arange(400)[:, None, None]
    np.save(folder / "items.npy", ((rows * 7 + np.arange(3)[:, None] * 5 + np.arange(2)) % 16).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of these recipes."""
    monkeypatch.chdir(tmp_path)
    material(tmp_path)
    for kind, text in RECIPES.items():
        (tmp_path / f"{kind}.yaml").write_text(text)
    return tmp_path


def run(kind: str, resume: bool = False, **overrides: object) -> tuple[Path, list[str]]:
    lines: list[str] = []
    return train(f"{kind}.yaml", resume, overrides, accelerator="cpu", progress=lines.append), lines


def metrics(folder: Path) -> dict[str, float]:
    """The last value of each name in a run's metrics.csv."""
    with (folder / "metrics.csv").open(newline="") as file:
        return {name: float(value) for _, _, name, value in csv.reader(file)}


OLD = Path(__file__).parents[1] / "golden" / "checkpoints"


@pytest.mark.parametrize(
    ("kind", "steps", "more", "figure"),
    [
        ("image", 6, {"steps": 9}, ("validation", 16.3007)),
        ("photo", 6, {"steps": 9}, ("validation", 3.2709)),
        ("circuit", 22, {"epochs": 6}, ("held out", 3.5801)),
    ],
)
def test_a_checkpoint_of_the_first_version_goes_on(folder, kind, steps, more, figure):
    at = folder / "runs" / f"old-{kind}"
    at.mkdir(parents=True)
    (at / "checkpoint.pt").write_bytes(lzma.decompress((OLD / f"{kind}.pt.xz").read_bytes()))
    before = load_checkpoint(at / "checkpoint.pt")
    _, lines = run(kind, resume=True)
    assert f"resumed at step {steps}, 0.0 minutes" in lines
    assert metrics(at)[figure[0]] == pytest.approx(figure[1], abs=2e-3)  # as the loop that wrote it says of it
    same = load_checkpoint(at / "checkpoint.pt")
    assert set(same) >= set(before) and (same["step"], same["seconds"]) == (before["step"], before["seconds"])

    run(kind, resume=True, **more)
    after = load_checkpoint(at / "checkpoint.pt")
    assert after["step"] > steps and after["seconds"] > before["seconds"]
    assert set(after) >= set(before)
    schema = named(TRAINED[kind].recipe)
    assert schema(**after["recipe"]) == schema(**{**before["recipe"], **more})


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("image", {"recipe", "step", "seconds", "network", "ema", "optimisers"}),
        ("photo", {"recipe", "step", "seconds", "network", "ema", "optimiser"}),
        ("circuit", {"recipe", "step", "seconds", "parent", "item_shape", "levels", "counts", "mask", "phase", "seen"}),
    ],
)
def test_checkpoints_without_their_parts_are_refused(folder, kind, needed):
    """Fault B6: `--resume` of a file without `step` or `network` ended with a traceback."""
    state = load_checkpoint(io.BytesIO(lzma.decompress((OLD / f"{kind}.pt.xz").read_bytes())))  # type: ignore[arg-type]
    experiment_of = named(TRAINED[kind].train)
    with experiment_of.circumstances():
        recipe = load_as(named(TRAINED[kind].recipe), f"{kind}.yaml", {})
        going_on = Run(experiment_of(recipe, lambda _: None, Team("cpu"), True), folder)

        def refused(changed: dict) -> bool:
            torch.save(changed, folder / "checkpoint.pt")
            try:
                going_on.restore()
            except CodecError as error:  # anything else fails the test
                assert "checkpoint.pt" in str(error) and "\n" not in str(error)
                return True
            return False

        for part in state:
            less = {name: value for name, value in state.items() if name != part}
            assert refused(less) or part not in needed, part
            for odd in (None, "x"):
                assert refused({**state, part: odd}) or part not in needed - {"mask"}, (part, odd)
        assert refused({}) and refused({**state, "recipe": {**state["recipe"], "kind": "sculpture"}})
        assert not refused(state)


def test_a_full_disk_at_a_checkpoint_is_one_sentence(folder, monkeypatch):
    run("photo")
    kept = (folder / "runs" / "old-photo" / "checkpoint.pt").read_bytes()

    def full(state: object, file) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CodecError, match=r"cannot write .*checkpoint\.pt: No space left on device"):
        run("photo", True, steps=8)
    at = folder / "runs" / "old-photo"
    assert (at / "checkpoint.pt").read_bytes() == kept and not list(at.glob("*.part"))


NUMBER = r"-?[\d.]+(e-?\d+)?"


@pytest.mark.parametrize(
    ("kind", "line", "names", "last"),
    [
        ("image", rf"loss {NUMBER}  \|g\| {NUMBER}  lr {NUMBER}  {NUMBER} steps/s", "loss gradient lr steps_per_s", ""),
        (
            "photo",
            rf"{NUMBER} bits a sample  \|g\| {NUMBER}  lr {NUMBER}  {NUMBER} steps/s",
            "bits steps_per_s validation y co cg",
            rf"validation  validation {NUMBER}  y {NUMBER}  co {NUMBER}  cg {NUMBER}",
        ),
        (
            "circuit",
            rf"epoch {NUMBER}  rate {NUMBER}  training {NUMBER} bpd",
            "training rate",
            rf"step \d+, done: held out {NUMBER} bpd, 0\.0 minutes",
        ),
    ],
)
def test_lines_and_figures_are_those_that_they_were(folder, monkeypatch, kind, line, names, last):
    monkeypatch.setattr(named(TRAINED[kind].train), "every", -1.0)
    monkeypatch.setattr(image, "SAMPLED", 1)
    at, lines = run(kind)
    progress = re.compile(rf"step \d+  {NUMBER}%  {line}  ETA \d+ min")
    assert any(progress.fullmatch(text) for text in lines), lines
    assert re.fullmatch(last or "validation  validation .*", lines[-1])
    assert set(names.split()) <= set(metrics(at)) and list(at.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("kind", ["image", "photo"])
def test_broken_pictures_are_named_and_end_no_run(folder, kind, capsys):
    (folder / "pictures" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    at, lines = run(kind, steps=1)
    assert any(re.match(r"1 passed over: pictures/broken\.png \(", line) for line in lines)
    if kind == "image":  # calibration reads pictures too
        with pytest.raises(SystemExit) as exit:
            main(["freeze", str(at), "-o", "x.safetensors", "--calibrate", "1"])
        assert exit.value.code == 0
        said = capsys.readouterr()
        assert "runs/old-image: 1 passed over: pictures/broken.png (" in said.err
        assert said.out.startswith("runs/old-image -> x.safetensors: model x (image, ")


def test_several_gpus_are_taken_only_when_asked_for(folder, monkeypatch):
    with pytest.raises(InputError, match="2 GPUs are asked for, there are 0"):
        train("image.yaml", overrides={"devices": 2}, progress=lambda _: None)
    asked = []

    class Fabric:
        def __init__(self, **options: object) -> None:
            asked.append(options["devices"])
            raise InputError("far enough")

    fabric = pytest.importorskip("lightning.fabric")
    monkeypatch.setattr(fabric, "Fabric", Fabric)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    for more in ({}, {"devices": 4}):
        with pytest.raises(InputError, match="far enough"):
            train("image.yaml", overrides=more, progress=lambda _: None)
    assert asked == [1, 4]


@pytest.mark.parametrize("instructions, precision", [({}, "32-true"), ({"avx512_bf16": True}, "bf16-mixed")])
def test_bfloat16_is_for_processors_that_have_it(folder, monkeypatch, instructions, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    (folder / "recipe.yaml").write_text(RECIPES["image"].replace("precision: 32-true", ""))
    recipe = load_as(Recipe, folder / "recipe.yaml", {})
    taken = [recipe, recipe.model_copy(update={"precision": "32-true"})]
    assert [ImageExperiment.precision(one, Team("cpu")) for one in taken] == [precision, "32-true"]


def test_the_learning_rate_rises_in_at_most_a_twentieth_of_the_run():
    """Fault C8: with `warmup_steps: 300` a run of five minutes never left the rise."""
    assert warm_up(0, 0.0, 300) == pytest.approx(1 / 300)
    assert warm_up(10, 0.025, 300) == pytest.approx(0.5) and warm_up(20, 0.05, 300) == 1
    assert warm_up(149, 0.001, 300) == pytest.approx(0.5) and warm_up(0, 0.0, 0) == 1


def test_phases_follow_each_other(folder):
    recipe = load_as(CircuitRecipe, "circuit.yaml", {})
    assert [phase_at(recipe.phases, share)[0] for share in (0, 0.49, 0.5, 1)] == [0, 0, 1, 1]
    assert phase_at(recipe.phases, 0.75)[2] == pytest.approx(0.5) and phase_at(recipe.phases, 1)[2] == 1
