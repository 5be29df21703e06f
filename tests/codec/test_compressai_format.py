"""Sections 18 and 19 of FORMAT.md, read by an independent reader; and the golden files of imported models.

The reader is plain numpy int64 on top of `reader`, which has the container, the tables and the arithmetic coder from
the other sections. It shares no code with the package.
"""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import parse

from .. import reader
from .test_golden import difference, latents_digest

GOLDEN = Path(__file__).parents[1] / "golden" / "compressai"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
TOP = 2**23


class Model(reader.Model):
    """Section 19: also int64."""

    def __init__(self, path: Path):
        data = path.read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        self.tensors = {}
        for name, entry in json.loads(data[8 : 8 + size]).items():
            if name.startswith("parse."):
                begin, end = (8 + size + at for at in entry["data_offsets"])
                kind = {"I16": "<i2", "I32": "<i4", "I64": "<i8"}[entry["dtype"]]
                self.tensors[name[6:]] = np.frombuffer(data[begin:end], kind).reshape(entry["shape"])

    def parse_digest(self) -> bytes:
        sort = "hyperprior" if "z.median" in self.tensors else "factorised prior"
        text = f'{{"activation": [12, 8388608], "mean": 6, "model": "imported {sort} 0", "slope": 16}}'.encode()
        for name, tensor in sorted(self.tensors.items()):
            text += f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode() + tensor.tobytes()
        return reader.blake(text)


def layer(t: dict[str, np.ndarray], n: int, a: np.ndarray) -> np.ndarray:
    """Section 18, one layer."""
    h, w = a.shape[1:]
    padded = np.pad(np.clip(a, -TOP, TOP), ((0, 0), (1, 1), (1, 1)))
    weight = t[f"h_s.{n}.weight"].astype(np.int64)
    sums = np.tile(t[f"h_s.{n}.bias"].astype(np.int64)[:, None, None], (1, h, w))
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            taps = weight[:, 3 * di + dj + 4 :: 9]
            sums += np.einsum("oc,cij->oij", taps, padded[:, 1 + di : 1 + di + h, 1 + dj : 1 + dj + w])
    shift = t[f"h_s.{n}.shift"].astype(np.int64)[:, None, None]
    return np.clip((sums + ((1 << shift) >> 1)) >> shift, -TOP, TOP)


def leaky(x: np.ndarray, slope: int) -> np.ndarray:
    return np.where(x >= 0, x, (x * slope) >> 16)


def tile_latents(model: Model, file: reader.LecFile, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """Section 18: z and y_hat of a tile, their digest compared."""
    t = model.tensors
    _, _, width, height = file.boxes[tile]
    h, w = -(-height // 16), -(-width // 16)
    digest, coded = file.data[tile]
    coder = reader.RangeDecoder(coded)
    if "z.median" in t:
        count, slope = len(t["z.median"]), int(t["slope"][0])
        shape = count, -(-h // 4), -(-w // 4)
        numbers = np.repeat(np.arange(count), shape[1] * shape[2])
        z = reader.read_group(coder, model.tables("z"), numbers).reshape(shape)
        a = 4096 * z + t["z.median"].astype(np.int64)[:, None, None]
        a = leaky(reader.shuffle(layer(t, 0, a)), slope)
        a = leaky(reader.shuffle(layer(t, 1, a)), slope)
        v = layer(t, 2, a)[:, :h, :w]
        m = len(v) // 2 if t["means"][0] else len(v)
        number = (v[:m, :, :, None] > t["y.threshold"]).sum(3)
        mu = (v[m:] + 32) >> 6 if t["means"][0] else np.zeros((m, h, w), np.int64)
    else:
        m, z = len(t["y.median"]), np.zeros(0, np.int64)
        number = np.tile(np.arange(m)[:, None, None], (1, h, w))
        mu = np.tile(t["y.median"].astype(np.int64)[:, None, None], (1, h, w))
    s = reader.read_group(coder, model.tables("y"), number.reshape(-1)).reshape(number.shape)
    y_hat = 64 * s + mu
    reader.demand(reader.blake(z.astype("<i4").tobytes() + y_hat.astype("<i4").tobytes()) == digest, "digest")
    reader.demand(not coder.words, "data left over")
    return z, y_hat


def agree(model: Model, codec: lecodec.ImageCodec, data: bytes) -> None:
    """Hold the reader's latents against the package's."""
    file = reader.read_file(data)
    assert file.header["parse_digest"] == model.parse_digest() == codec.parse_digest
    assert file.header["codec"] == file.header["quality"] == 0
    for tile in range(len(file.boxes)):
        z, y_hat = tile_latents(model, file, tile)
        latents = codec.latents(data, tile)
        assert len(latents.levels) == (2 if z.size else 1)
        if z.size:
            np.testing.assert_array_equal(z, latents.z)
        np.testing.assert_array_equal(y_hat, latents.y_hat)


def test_every_golden_file_is_expected_to_do_something():
    assert {path.name for path in GOLDEN.glob("*.lec")} == set(EXPECTED)
    assert all(path.stat().st_size <= 200_000 for path in GOLDEN.iterdir())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_golden_files_decode_as_they_did(name, monkeypatch):
    """Latents to the bit, from the package and from the specification; colour within one grey level."""
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    data, expected = (GOLDEN / name).read_bytes(), EXPECTED[name]
    codec = lecodec.load(model=GOLDEN / expected["model"])
    assert latents_digest(codec, data) == expected["latents"]
    agree(Model(GOLDEN / expected["model"]), codec, data)
    path = GOLDEN / expected["picture"]
    if path.suffix == ".npy":
        picture = np.load(path)
    else:
        from PIL import Image

        picture = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
    decoded = lecodec.decode(data)
    assert difference(decoded, picture) <= 1
    if parse(data).header.layout.alpha:
        np.testing.assert_array_equal(decoded[:, :, -1], picture[:, :, -1])


@pytest.mark.parametrize("model", ["mean", "hyperprior", "factorized"])
def test_fresh_files_read_from_the_specification(model):
    codec = lecodec.load(model=GOLDEN / f"{model}.safetensors")
    rng = np.random.default_rng(5)
    for shape, tile in (((70, 90, 3), 64), ((83, 50), 0), ((1, 4099, 3), 0)):
        # Noise and black blocks: latents far outside the tables, too.
        samples = (rng.integers(0, 256, shape) * (rng.random(shape) > 0.3)).astype(np.uint8)
        agree(Model(GOLDEN / f"{model}.safetensors"), codec, codec.encode(samples, tile=tile))
