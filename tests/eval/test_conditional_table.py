"""scripts/conditional.py: what stays in its table, and weights without a quarter of a dictionary's entries."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import conditional
import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.train.checkpoint import load_checkpoint, save_checkpoint

ROOT = Path(lecodec.__file__).resolve().parent
GOLDEN = ROOT / "tests" / "golden"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["conditional.py", *arguments])
    conditional.main()


def test_rows_that_are_kept_and_rows_that_are_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, picture: np.ndarray
) -> None:
    folder, table = tmp_path / "pictures", tmp_path / "table.tsv"
    folder.mkdir()
    Image.fromarray(picture).save(folder / "p.png")

    def rows() -> dict[str, dict[str, str]]:
        lines = [line for line in table.read_text().splitlines() if not line.startswith("#")]
        return {row["variant"]: row for row in csv.DictReader(lines, delimiter="\t")}

    control, dictionary = (f"{kind}={GOLDEN / f'tiny-{kind}.safetensors'}" for kind in ("control", "dictionary"))
    asked = "--append", "-o", str(table), "--pictures", str(folder), "--models", control
    run(monkeypatch, *asked, dictionary, "--zeroed", "dictionary")
    first = rows()
    assert set(first) == {
        "control",
        "dictionary",
        "dictionary, a quarter zeroed",
        "dictionary, an eighth zeroed",
    }
    assert first["dictionary"]["anchor"] == "control" and first["control"]["bd_rate_percent"] in ("0", "0.0")
    assert first["dictionary, a quarter zeroed"]["anchor"] == "dictionary"
    plain = GOLDEN / "tiny-context.safetensors"
    run(monkeypatch, *asked, f"plain={plain}", "--keep", "control")
    second = rows()
    assert {name: second.pop(name) for name in first} == first and set(second) == {"plain"}
    assert second["plain"]["anchor"] == "control" and float(second["plain"]["bpp@60"]) > 0


def test_every_fourth_entry_is_pruned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"a.keys": torch.arange(24.0).view(2, 6, 2), "a.values": torch.arange(12.0).view(2, 6), "b": torch.ones(4)}
    save_checkpoint({"ema": given, "step": 3}, tmp_path / "weights.pt")
    run(monkeypatch, "--prune", str(tmp_path / "weights.pt"), str(tmp_path / "pruned.pt"))
    found = load_checkpoint(tmp_path / "pruned.pt")
    left = [1, 2, 3, 5]
    assert found["step"] == 3 and torch.equal(found["ema"]["a.keys"], given["a.keys"][:, left])
    assert torch.equal(found["ema"]["a.values"], given["a.values"][:, left]) and torch.equal(
        found["ema"]["b"], given["b"]
    )
