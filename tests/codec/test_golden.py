"""Files that every later version must decode, written by the tiny model beside them, and files that must be refused.

`python -m tests.make_golden` (from the repository's root) wrote them; they are not to be written again.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.bitstream import LecFile, SetLayout, parse
from lecodec.codec.registry import load_for
from lecodec.errors import CodecError

FOLDER = Path(__file__).parents[1] / "golden"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def load_expected(name: str) -> np.ndarray:
    """The samples that a file decoded to when it was made: PNG for 8 bits, numpy's own format for 16."""
    path = FOLDER / name
    return np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two pictures in grey levels of 8 bits, alpha included; they must be of one kind."""
    assert a.dtype == b.dtype and a.shape == b.shape
    return np.abs(a.astype(int) - b).max() * 255 / np.iinfo(a.dtype).max


def latents_digest(codec, data: bytes) -> str:
    """SHA-256 of z and y_hat of all tiles that are not exact."""
    digest, chunks = hashlib.sha256(), parse(data).data
    for tile in range(len(chunks)):
        if chunks[tile].exact:
            continue
        latents = codec.latents(data, tile)
        digest.update(b"".join(level.astype("<i4").tobytes() for level in latents.levels))
    return digest.hexdigest()


def is_set(data: bytes) -> bool:
    return isinstance(LecFile.open(data).layout, SetLayout)


LOSSY = sorted(name for name, entry in EXPECTED["good"].items() if "latents" in entry)
EXACT = sorted(set(EXPECTED["good"]) - set(LOSSY))
PICTURES = sorted(name for name in EXPECTED["good"] if not is_set((FOLDER / name).read_bytes()))


def test_every_golden_file_is_expected_to_do_something():
    assert {path.name for path in FOLDER.glob("*.lec")} == {*EXPECTED["good"], *EXPECTED["bad"]}


@pytest.mark.parametrize("name", LOSSY)
def test_good_files_decode_as_they_did(name):
    """Latents and alpha to the bit; colour too if the file has its digest, else within one grey level, since the
    synthesis is float.
    """
    expected, data = EXPECTED["good"][name], (FOLDER / name).read_bytes()
    if name.startswith("released"):
        codec = load_for(parse(data).header)
        assert name == f"released-{codec.card['name']}.lec"
    else:
        codec = lecodec.load(model=FOLDER / f"{expected.get('model', 'tiny')}.safetensors")
    assert latents_digest(codec, data) == expected["latents"]
    decoded, picture = codec.decode(data), load_expected(expected["picture"])
    assert difference(decoded, picture) <= (0 if parse(data).samples else 1)
    if parse(data).header.layout.alpha:
        np.testing.assert_array_equal(decoded[:, :, -1], picture[:, :, -1])


@pytest.fixture
def tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models beside the golden files at hand."""
    monkeypatch.setenv("LECODEC_MODELS", str(FOLDER))


@pytest.mark.parametrize("name", EXACT)
def test_good_files_without_loss_decode_to_what_was_encoded(name, tiny_models):
    data = (FOLDER / name).read_bytes()
    decoded, expected = lecodec.decode(data), load_expected(EXPECTED["good"][name]["picture"])
    assert decoded.dtype == expected.dtype
    np.testing.assert_array_equal(decoded, expected)
    load_for(parse(data).header).test(data)
    if is_set(data):
        numbers = [len(expected) - 1, 0, len(expected) // 2]
        np.testing.assert_array_equal(lecodec.decode(data, items=numbers), expected[numbers])


@pytest.mark.parametrize("name", PICTURES)
def test_regions_of_good_files(tiny_models, name):
    data = (FOLDER / name).read_bytes()
    codec = load_for(parse(data).header)
    whole = codec.decode(data)
    height, width = whole.shape[:2]
    x, y, w, h = width // 3, height // 2, -(-width // 2), -(-height // 3)
    assert difference(codec.decode_region(io.BytesIO(data), (x, y, w, h)), whole[y : y + h, x : x + w]) <= 1
    assert LecFile.open(data).metadata == parse(data).metadata


@pytest.mark.parametrize("name", sorted(EXPECTED["bad"]))
def test_bad_files_are_refused_by_name(tiny_model, tiny_models, name):
    data = (FOLDER / name).read_bytes()
    with pytest.raises(CodecError) as error:
        if name.startswith("bad-model"):
            load_for(parse(data).header).decode(data)
        lossless = name.startswith(("bad-lossless", "unsupported-lossless"))
        (lecodec.LosslessCodec() if lossless else lecodec.load(model=tiny_model)).decode(data)
    assert type(error.value).__name__ == EXPECTED["bad"][name]
