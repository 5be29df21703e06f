"""The training loop: checkpoints of older versions go on, and nothing that is broken ends a run with a traceback."""

from __future__ import annotations

import csv
import lzma
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.image import train

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


OLD = Path(__file__).parent / "golden" / "checkpoints"


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
    assert {name: after["recipe"][name] for name in before["recipe"]} == {**before["recipe"], **more}
