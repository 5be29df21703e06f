"""Checkpoints of CompressAI: which names and which tensors are taken. CompressAI itself is not needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lecodec.codec.compressai_checkpoint import read_checkpoint
from lecodec.codec.compressai_import import NETWORKS, import_compressai
from lecodec.errors import InputError

from ..compressai_states import state_of


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ["h_s.7.weight", "attention.0.weight", "Gain", "g_a.1.scale", "g_s.7.bias", "x.g_a.0"])
def test_weights_that_a_network_does_not_have_are_refused_by_name(tmp_path: Path, network: str, name: str) -> None:
    """They were left out, and the model was another network than the checkpoint's."""
    torch.save({**state_of(network), name: torch.zeros(3)}, tmp_path / "c.pth")
    with pytest.raises(InputError, match=f"c.pth: not a checkpoint of {network}, which has no weight {name}$"):
        import_compressai(f"compressai:{network}", tmp_path / "c.pth", tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("prefix", ["module.", "model.", "net.", "model.module._orig_mod."])
def test_prefixes_of_modules_around_a_network_are_taken_off(tmp_path: Path, prefix: str) -> None:
    state = state_of("mbt2018-mean")
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in state.items()}}, tmp_path / "c.pth")
    found = read_checkpoint(tmp_path / "c.pth").state
    assert list(found) == list(state) and all(torch.equal(found[name], state[name]) for name in state)
    torch.save({**state, prefix + "g_a.0.bias": torch.zeros(6)}, tmp_path / "twice.pth")
    with pytest.raises(InputError, match="g_a.0.bias is there twice"):
        read_checkpoint(tmp_path / "twice.pth")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: torch.zeros(1).expand(1 << 18, 1 << 18), "claims 68719476736 numbers"),
        (lambda: torch.zeros(3, 3).to_sparse(), "layout sparse_coo"),
        (lambda: torch.zeros(3, dtype=torch.complex64), "complex"),
        (lambda: torch.zeros(1 << 18, 1 << 18, device="meta"), "device is meta"),
        (lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8), "plain numbers|not a checkpoint"),
    ],
)
def test_tensors_that_are_no_weights_are_refused_before_memory_is_taken(
    tmp_path: Path, made: Callable[[], torch.Tensor], says: str
) -> None:
    """A kilobyte asked for 275 GB; the others ended in a traceback."""
    torch.save({**state_of("mbt2018-mean"), "h_a.0.bias": made()}, tmp_path / "c.pth")
    with pytest.raises(InputError, match=says):
        read_checkpoint(tmp_path / "c.pth")
