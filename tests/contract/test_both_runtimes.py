"""numpy and torch: what one of them encodes the other decodes, to the same integers; see `entropy.place`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec.bitstream import parse
from lecodec.codec.codec import Codec
from lecodec.codec.latent_coding import LatentCoding
from lecodec.entropy.latents import Latents
from lecodec.entropy.parallel import threads
from lecodec.errors import InputError

from .subjects import GOLDEN, SUBJECTS, Subject, samples_of

OURS = [subject for subject in SUBJECTS if not subject.model.startswith("compressai")]
RUNTIMES = ("numpy", "torch")
GOOD = json.loads((GOLDEN / "expected.json").read_text())["good"]


def codec_in(runtime: str, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> Codec:
    monkeypatch.setenv("LECODEC_RUNTIME", runtime)
    return subject.codec()


@contextmanager
def in_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        assert threads() == count
        yield
    finally:
        torch.set_num_threads(before)


def near(found: np.ndarray, wanted: np.ndarray, lossy: bool) -> bool:
    """Within one grey level, or as much of a sound's range; without loss equal."""
    if not lossy:
        return found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()
    most = 2**-12 if wanted.dtype == np.float32 else 1 if wanted.dtype == np.uint8 else 257
    same = found.shape == wanted.shape and found.dtype == wanted.dtype
    return same and float(np.abs(found.astype(np.float64) - wanted).max(initial=0)) <= most


@pytest.mark.parametrize("subject", OURS, ids=[subject.name for subject in OURS])
def test_each_decodes_what_the_other_encodes(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 1 to 4 threads, alone and 32 together; numpy also where the program around makes its warnings errors."""
    codecs = {runtime: codec_in(runtime, subject, monkeypatch) for runtime in RUNTIMES}
    if subject.lossy and subject.name not in ("sound", "video"):
        places = {runtime: codec.place for runtime, codec in codecs.items() if isinstance(codec, LatentCoding)}
        assert places == {"numpy": "numpy", "torch": "cpu"}
    for n, signal in enumerate(subject.signals()):
        for encoder in RUNTIMES:
            monkeypatch.setenv("LECODEC_RUNTIME", encoder)
            with np.errstate(all="raise"):
                (data,) = codecs[encoder].encode_signals([signal], subject.target)
            found, latents = {}, {}
            for decoder in RUNTIMES:
                monkeypatch.setenv("LECODEC_RUNTIME", decoder)
                with in_threads(1 + n % 4), np.errstate(all="raise"):
                    codecs[decoder].test(data)
                    found[decoder], latents[decoder] = (
                        codecs[decoder].decode(data),
                        subject.latents(codecs[decoder], data),
                    )
            assert latents["numpy"] == latents["torch"]
            assert near(found["numpy"], found["torch"], subject.lossy)
            assert subject.lossy or np.array_equal(found["numpy"], samples_of(signal))
    monkeypatch.setenv("LECODEC_RUNTIME", "numpy")
    small = codecs["torch"].encode_signals([subject.small()], subject.target)[0]
    many = codecs["numpy"].decode_batch([small] * 32)
    assert all(near(each, codecs["numpy"].decode(small), subject.lossy) for each in many)


@pytest.mark.parametrize("count", [1, 3])
def test_golden_files_decode_alike(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of our own models: the latents that they had when they were made, whatever library there is."""

    def digest(latents: Latents) -> bytes:
        return latents.digest()

    checked = 0
    for name, entry in GOOD.items():
        if "latents" not in entry or name.startswith("released"):
            continue
        path = GOLDEN / f"{entry.get('model', 'tiny')}.safetensors"
        data, found = (GOLDEN / name).read_bytes(), {}
        for runtime in RUNTIMES:
            monkeypatch.setenv("LECODEC_RUNTIME", runtime)
            codec = lecodec.load(model=path, of=lecodec.ImageCodec)
            with in_threads(count):
                tiles = [n for n, chunk in enumerate(parse(data).data) if not chunk.exact]
                found[runtime] = codec.decode(data), [digest(codec.latents(data, n)) for n in tiles]
        assert found["numpy"][1] == found["torch"][1]
        assert near(found["numpy"][0], found["torch"][0], True)
        checked += 1
    assert checked >= 20


def test_a_model_keeps_its_library(tmp_path: Path, tiny_model: Path) -> None:
    """numpy where torch is not imported; the model stays as it is when the program imports torch later. Asked for torch
    by name, it is torch that computes.
    """
    code = f"""
import sys, lecodec
codec = lecodec.load(model={str(tiny_model)!r})
assert codec.place == "numpy" and "torch" not in sys.modules
data = codec.encode(__import__("numpy").zeros((20, 30, 3), "uint8"))
import torch
assert lecodec.load(model={str(tiny_model)!r}) is codec and codec.decode(data).shape == (20, 30, 3)
"""
    chosen = f"import lecodec, sys; assert lecodec.load(model={str(tiny_model)!r}).place == 'cpu'"
    environment = {k: v for k, v in os.environ.items() if k != "LECODEC_RUNTIME"}
    for script, more in ((code, {}), (chosen, {"LECODEC_RUNTIME": "torch"})):
        subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env={**environment, **more})


def test_a_library_that_there_is_not(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setenv("LECODEC_RUNTIME", "onnx")
    with pytest.raises(InputError, match="LECODEC_RUNTIME is 'onnx', expected torch or numpy"):
        lecodec.load(model=tiny_model)
