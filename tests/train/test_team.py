"""Two processes that train one model: as one process with twice the batch, written once, gone on with."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lecodec.errors import InputError
from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.run import train
from lecodec.train.team import Team

IMAGE = """
name: NAME
train: [pictures]
validation: [pictures]
steps: 40
phases: [{fraction: 1, crop: 64, batch: BATCH}]
transform: {width8: 4, width16: 4, latent: 4, analysis8: 1, analysis16: 1, synthesis8: 1, synthesis16: 1}
hyper: {width: 4, middle: 4, hyper: 2}
learning_rate: 3e-3
ema: 0.8
warmup_steps: 2
precision: 32-true
"""
PHOTO = """
kind: photo
name: NAME
sources: [{folder: pictures, share: 1, hold_out: 1}]
network: {context: 2, width: 4, middle: 4, head: 4, components: 2, groups: 2}
crop: 32
batch: BATCH
levels: 2
warmup_steps: 2
steps: 10
ema: 0.8
"""
CIRCUIT = """
kind: circuit
name: NAME
data: items.npy
held_out: 0.2
states: 2
structure_samples: 100
neighbours: 4
epochs: 4
phases: [{fraction: 1, batch: BATCH}]
"""
KINDS = {"image": (IMAGE, 2), "photo": (PHOTO, 2), "circuit": (CIRCUIT, 20)}
SCRIPT = """
import sys
from lecodec.cli.main import main
from lecodec.errors import InputError
from lecodec.train.run import train

try:
    main(["train", "image.yaml", "--device", "cpu", "--devices", "2"])
except SystemExit as end:
    assert not end.code
for kind in ("photo", "circuit"):
    train(f"{kind}.yaml", accelerator="cpu", devices=2)
try:
    train("circuit.yaml", True, accelerator="cpu", devices=3)
    raise AssertionError("another number of processes")
except InputError as error:
    assert str(error) == "3 processes are asked for, this program has 2: they stay the same", error
train("image.yaml", True, {"steps": 50}, accelerator="cpu", devices=2)
"""


def figures(run: str, name: str) -> list[tuple[int, float]]:
    """Step and value of each line of a figure in a run's metrics."""
    with open(f"runs/{run}/metrics.csv", newline="") as file:
        return [(int(row[0]), float(row[3])) for row in csv.reader(file) if row[2] == name]


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("pictures").mkdir()
    for n in range(3):
        rough = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
        rough.resize((300, 300), Image.Resampling.BICUBIC).save(f"pictures/{n}.png")
    np.save("items.npy", (rng.integers(0, 2, (100, 1)) * 3 + rng.integers(0, 2, (100, 12))).astype(np.uint8))
    for kind, (text, batch) in KINDS.items():
        Path(f"{kind}.yaml").write_text(text.replace("NAME", f"two-{kind}").replace("BATCH", str(batch)))
        Path(f"one-{kind}.yaml").write_text(text.replace("NAME", f"one-{kind}").replace("BATCH", str(2 * batch)))
    Path("script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sum("resumed at step 40" in line for line in done.stderr.splitlines()) == 1  # one process speaks
    for kind, name in (("image", "validation"), ("photo", "validation"), ("circuit", "held out")):
        train(f"one-{kind}.yaml", accelerator="cpu", progress=lambda _: None)
        two, one = figures(f"two-{kind}", name), figures(f"one-{kind}", name)
        assert len({step for step, _ in two}) == len(two)  # and one writes
        last = dict(two)[one[-1][0]]
        assert last == pytest.approx(one[-1][1], rel=0.05), kind
    state = load_checkpoint("runs/two-image/checkpoint.pt")
    assert state["step"] == 50 and figures("two-image", "validation")[-1][0] == 50


def test_what_one_process_trains_refuses_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = {"name": "x", "pictures": ["pictures"], "minutes": 1}
    with pytest.raises(InputError, match="an adapted model: one process trains that"):
        train("adapt", False, overrides, accelerator="cpu", devices=2)


def test_teams_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="expected auto, cpu or cuda"):
        Team("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="there is no GPU"):
        Team("cuda").join(None)
    with pytest.raises(InputError, match="2 GPUs are asked for, there are 0"):
        Team("auto", 2).join(None)
    alone = Team("cpu")
    alone.join(None)
    assert alone.leads and alone.agreed(1.5) == 1.5 and alone.device.type == "cpu"
