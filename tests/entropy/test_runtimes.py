"""Latents are the same whatever library runs the exact networks, and coding them needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lecodec.bitstream import Parsed, SetLayout, parse
from lecodec.codec.adapted import changed
from lecodec.codec.blocks import MODEL
from lecodec.codec.image_transform import entropy_model_of
from lecodec.codec.lossless import LosslessCodec
from lecodec.codec.model_file import load_tensors, parse_tensors, read_card
from lecodec.codec.registry import find_by_digest, load
from lecodec.codec.tiles import boxes_of
from lecodec.entropy.circuit_coding import CircuitCoding
from lecodec.entropy.codebook_coding import CodebookCoding
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.hyperprior_coding import HyperpriorCoding
from lecodec.entropy.imported_coding import imported_model
from lecodec.entropy.retrieved_coding import BothCoding, RetrievedCoding
from lecodec.entropy.run_numpy import NumpyRuntime
from lecodec.entropy.run_torch import TorchRuntime

FOLDER = Path(__file__).parents[1] / "golden"
OWN = json.loads((FOLDER / "expected.json").read_text())["good"]
IMPORTED = json.loads((FOLDER / "compressai" / "expected.json").read_text())
LOSSY = [name for name, entry in OWN.items() if "latents" in entry] + [f"compressai/{name}" for name in IMPORTED]
RUNTIMES: dict[str, Any] = {
    "torch": TorchRuntime("cpu"),
    "torch, wide": TorchRuntime("cpu", wide=True),
    "numpy": NumpyRuntime(),
    "numpy, wide": NumpyRuntime(wide=True),
}
MODELS: dict[Path, Any] = {}


def opened(name: str) -> tuple[Any, Parsed]:
    """A golden file, and its entropy model."""
    file = parse((FOLDER / name).read_bytes())
    if name.startswith("compressai/"):
        path = (FOLDER / name.split("-")[0]).with_suffix(".safetensors")
    elif name.startswith("released"):
        path = find_by_digest(file.header.parse_digest).path
    else:
        path = FOLDER / f"{OWN[name].get('model', 'tiny')}.safetensors"
    if path not in MODELS:
        tensors, card = load_tensors(path), read_card(path).card
        if card["kind"] == "adapted":
            base = FOLDER / f"{card['base']['name']}.safetensors"
            tensors, card = changed(tensors, card, load_tensors(base), read_card(base).card)
        kind = imported_model if name.startswith("compressai/") else entropy_model_of(card)
        kind = CodebookCoding if card["kind"] == "codebook" else kind
        MODELS[path] = kind(parse_tensors(tensors))
    return MODELS[path], file


@pytest.mark.parametrize("name", LOSSY)
def test_golden_files_have_the_same_latents_in_every_runtime(name):
    """Read, one by one and together, and written again: the digests in the file, and its bytes."""
    entropy, file = opened(name)
    boxes, q = [box for box in boxes_of(file.header, 0) if not file.data[box.tile].exact], file.header.quality
    written: dict[int, bytes] = {}
    for runtime in RUNTIMES.values():
        whole = sha256()
        for box in boxes:
            chunk = file.data[box.tile]
            readers = [Reader(chunk.payload) for _ in range(2)]
            found = entropy.traverse(readers, box.size, [q, q], device=runtime)
            assert found[0].digest() == found[1].digest() == chunk.digest
            whole.update(b"".join(level.astype("<i4").tobytes() for level in found[0].levels))
            y = found[0].y_hat[None].astype(np.float32) / 64  # whatever mu is, s is what it was: y_hat = s + mu
            if isinstance(entropy, CodebookCoding):
                continue  # other words of a cascade may come as near, for fewer bits
            writer = Writer()
            source, model = [y], entropy
            for level in reversed(found[0].levels[:-1]):  # of a nest, in units of 2^-fraction but for the coarsest
                model = model.above if isinstance(model, HyperpriorCoding) else model
                own = isinstance(model, HyperpriorCoding)
                source.insert(0, level[None] * np.float32(2.0**-model.fraction) if own else level[None])
            source = source[1:] if isinstance(entropy, RetrievedCoding) else source  # the encoder chooses crops itself
            again = entropy.traverse([writer], box.size, [q], source, device=runtime)
            payload = writer.finish()
            if isinstance(entropy, BothCoding):
                # The crops that are likest to y_hat may be other ones than those likest to y; they are so everywhere.
                assert written.setdefault(box.tile, payload) == payload
                read = entropy.traverse([Reader(payload)], box.size, [q], device=runtime)
                assert read[0].digest() == again[0].digest()
            else:
                assert again[0].digest() == chunk.digest and payload == chunk.payload
        if name in OWN:
            assert whole.hexdigest() == OWN[name]["latents"]


@pytest.mark.parametrize("name", ["tiled.lec", "model-context-tiled.lec", "compressai/mean-colour.lec"])
def test_latents_depend_neither_on_threads_nor_on_the_batch(name):
    entropy, file = opened(name)
    box, before = next(iter(boxes_of(file.header, 0))), torch.get_num_threads()
    chunk = file.data[box.tile]
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            for batch in (1, 17):
                for runtime in (RUNTIMES["torch"], RUNTIMES["numpy"]):
                    readers = [Reader(chunk.payload) for _ in range(batch)]
                    found = entropy.traverse(readers, box.size, [file.header.quality] * batch, device=runtime)
                    assert {latents.digest() for latents in found} == {chunk.digest}
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["cpu", "numpy"])
def test_circuits_code_the_same_in_every_library(device):
    """Blocks of a golden file are read, and written again, in numpy and in torch."""
    circuit = CircuitCoding(parse_tensors(load_tensors(FOLDER / "tiny-circuit.safetensors")), device)
    file, items = parse((FOLDER / "model-circuit.lec").read_bytes()), np.load(FOLDER / "model-circuit.npy")
    layout = file.header.layout
    assert isinstance(layout, SetLayout)
    for n, chunk in enumerate(file.data):
        (span,) = layout.unit(n)
        first, last = span.start, span.stop
        if chunk.payload[0] == MODEL:
            expected = items[first:last].reshape(last - first, -1)
            found = circuit.traverse([Reader(chunk.payload[1:])], [last - first], None)
            np.testing.assert_array_equal(found, expected)
            writer = Writer()
            circuit.traverse([writer], [last - first], expected)
            assert writer.finish() == chunk.payload[1:]
    assert MODEL in {chunk.payload[0] for chunk in file.data}
    rng = np.random.default_rng(0)
    many = rng.integers(0, circuit.levels, (50, circuit.variables))  # unlikely items, and symbols of several blocks
    writers = Writer(), Writer()
    circuit.traverse(writers, [20, 30], many)
    data = [writer.finish() for writer in writers]
    np.testing.assert_array_equal(circuit.traverse([Reader(d) for d in data], [20, 30], None), many)
    assert sha256(b"".join(data)).hexdigest()[:16] == "2b25edd6c6903e64"


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # importing it fails from here on
from importlib import import_module
from pathlib import Path
from lecodec.bitstream import parse
from lecodec.codec.model_file import load_tensors, parse_tensors
from lecodec.codec.tiles import boxes_of
from lecodec.entropy.coder import Reader
count = 0
for file, model, module, name in {cases!r}:
    make = getattr(import_module("lecodec.entropy." + module), name)
    entropy = make(parse_tensors(load_tensors(Path({folder!r}, model + ".safetensors"))))
    file = parse(Path({folder!r}, file).read_bytes())
    for box in boxes_of(file.header, 0):
        chunk = file.data[box.tile]
        (found,) = entropy.traverse([Reader(chunk.payload)], box.size, [file.header.quality])
        assert found.digest() == chunk.digest
        count += 1
print(count)
"""


LOSSLESS = [name for name, entry in OWN.items() if "latents" not in entry]
LOSSLESS_WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from PIL import Image
import lecodec
from lecodec.codec.registry import load
folder, out, count = Path({folder!r}), Path({out!r}), 0
for name, expected in {files!r}.items():
    expected = folder / expected
    samples = np.load(expected) if expected.suffix == ".npy" else np.asarray(Image.open(expected))
    found = lecodec.decode(folder / name)
    assert found.dtype == samples.dtype and np.array_equal(found, samples), name
    count += 1
for name, blocks in np.load({blocks!r}).items():
    (out / name).write_bytes(load(model=name.partition("-")[2]).coder.encode([blocks])[0])
print(count)
"""


def run_alone(code: str) -> int:
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=FOLDER.parent)
    assert found.returncode == 0, found.stderr
    return int(found.stdout)


def test_what_is_lossless_is_coded_where_torch_cannot_be_imported(tmp_path, monkeypatch, picture):
    """All golden files of the photo model, of circuits and of no model decode; what is encoded has the same bytes."""
    monkeypatch.setenv("LECODEC_MODELS", str(FOLDER))
    items = np.load(FOLDER / "model-circuit.npy")
    names = {kind: read_card(FOLDER / f"tiny-{kind}.safetensors").name for kind in ("photo", "circuit")}
    blocks = {
        f"0-{names['photo']}": picture,
        f"1-{names['photo']}": picture[:, :, 0].astype(np.uint16) * 250,
        f"2-{names['circuit']}": items,
        "3-photo": picture[:30, :40],
    }
    np.savez(tmp_path / "blocks.npz", **blocks)
    files = {name: OWN[name]["picture"] for name in LOSSLESS}
    assert {"model-photo.lec", "model-photo16.lec", "model-photo-alpha.lec", "model-circuit.lec"} <= set(files)
    code = LOSSLESS_WITHOUT_TORCH.format(
        folder=str(FOLDER), out=str(tmp_path), files=files, blocks=str(tmp_path / "blocks.npz")
    )
    assert run_alone(code) == len(files)
    for name, block in blocks.items():
        codec = load(model=name.partition("-")[2], of=LosslessCodec)
        assert codec.coder is not None
        assert codec.coder.encode([block])[0] == (tmp_path / name).read_bytes()


def test_latents_are_coded_where_torch_cannot_be_imported():
    cases = [
        ("tiled.lec", "tiny", "hyperprior_coding", "HyperpriorCoding"),
        ("model-context-tiled.lec", "tiny-context", "context_coding", "ContextCoding"),
        ("compressai/mean-colour.lec", "compressai/mean", "imported_coding", "imported_model"),
    ]
    tiles = sum(len(parse((FOLDER / file).read_bytes()).data) for file, *_ in cases)
    assert run_alone(WITHOUT_TORCH.format(cases=cases, folder=str(FOLDER))) == tiles >= len(cases)


@pytest.mark.parametrize("said", [None, "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "torch"])
def test_threads_spin_shortly_where_torch_is_imported_here(said: str | None) -> None:
    """Only the command did so: `lecodec.encode` took 13.5 s beside other work, and 0.39 s with it."""
    script = f"""
import os, sys
seen = []
class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name == "torch":
            seen.append(os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Finder)
if {said!r} == "torch":
    import torch
import lecodec
before = dict(os.environ)
lecodec.load("image")
import torch
print(seen, dict(os.environ) == before)
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment["LECODEC_RUNTIME"] = "torch"
    if said not in (None, "torch"):
        environment[said] = "77"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    expected = {None: "3000", "GOMP_SPINCOUNT": "77"}.get(said)
    assert done.stdout == f"{[expected]} True\n", done.stderr
