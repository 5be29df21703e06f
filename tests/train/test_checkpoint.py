"""Checkpoints: what cannot be written or read is said in one sentence, and nothing half-written stays."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from lecodec.errors import CodecError, InputError
from lecodec.train.checkpoint import load_checkpoint, save_checkpoint


@pytest.mark.parametrize("size", [100, 100_000])  # the limit is met when the file is closed, or before
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path, size: int) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint({"step": 1}, path)
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, most))
    try:
        with pytest.raises(CodecError, match=r"cannot write .*checkpoint\.pt: File too large") as error:
            save_checkpoint({"step": 2, "weights": torch.zeros(size)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
    assert "\n" not in str(error.value)
    assert load_checkpoint(path)["step"] == 1 and [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_folder_that_is_gone_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match="No such file or directory"):
        save_checkpoint({"step": 2}, tmp_path / "gone" / "checkpoint.pt")


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="it holds a list"):
        load_checkpoint(tmp_path / "list.pt")
