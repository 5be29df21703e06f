"""The shipped lossless models: their cards and sizes, what they save on real content, exactness at their real width."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.bitstream import LecFile
from lecodec.codec.choice import lossless_for_pictures
from lecodec.codec.circuit import CircuitCoder
from lecodec.codec.lossless import LosslessCodec
from lecodec.codec.media.picture import read_picture
from lecodec.codec.registry import ALIASES, find_model, load
from lecodec.eval.tasks.pictures import bundled


@pytest.fixture(scope="module")
def coffee() -> np.ndarray:
    return read_picture(bundled("coffee.png"))


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """Samples of the model itself: uint8 [40, 28, 28]."""
    coder = load("mnist-2", of=LosslessCodec).coder
    assert isinstance(coder, CircuitCoder)
    circuit, count, generator = coder._circuit, 40, torch.Generator().manual_seed(0)
    states: dict[int, torch.Tensor] = {-1: torch.zeros(count, dtype=torch.int64)}
    values = np.zeros((count, circuit.variables), np.uint8)
    for i in circuit.order.tolist():
        table = circuit._tables[i]
        rows = table.transition[states[int(circuit.parent[i])]]
        states[i] = torch.multinomial(rows, 1, generator=generator)[:, 0]
        likelihood = table.likelihood[: circuit.levels, states[i]].T.double()
        values[:, i] = torch.multinomial(likelihood, 1, generator=generator)[:, 0].numpy()
    return values.reshape(count, 28, 28)


@pytest.mark.parametrize("name", ["photo", "mnist-2"])
def test_the_cards_say_where_the_models_are_from(name):
    card = find_model(name)
    assert card.name == ALIASES.get(name, name)
    assert card.path.stat().st_size <= 12_000_000
    for entry in ("training", "training_data", "licence"):
        assert card.card[entry], entry


def test_a_photograph_takes_less_than_webp(coffee):
    data = lecodec.encode(coffee, lossless=True)
    assert np.array_equal(lecodec.decode(data), coffee)
    assert LecFile.open(data).methods() == {"adaptive": 1} and lecodec.info(data)["model"] is None
    part = lecodec.encode(coffee[:180, :200], lossless=True)  # of small ones the model is tried as well
    assert LecFile.open(part).methods().keys() <= {"adaptive", "model"}
    webp = io.BytesIO()
    Image.fromarray(coffee).save(webp, "WEBP", lossless=True, quality=100, method=6)
    assert len(data) < 0.95 * len(webp.getvalue())


def test_every_kind_of_picture_goes_through_the_photo_model(coffee):
    codec = lossless_for_pictures(8, model="photo")
    part = coffee[100:165, 200:281]
    alpha = np.dstack([part, part[:, :, 0]])
    deep = part.astype(np.uint16) * 257 - np.uint16(3)
    for samples, tile in ((part, None), (part[:, :, 1], None), (alpha, 64), (deep, 64), (part[:1, :1], None)):
        data = codec.encode(samples, tile=tile)
        back = codec.decode(data)
        assert back.dtype == samples.dtype and np.array_equal(back, samples)
    assert "model" in LecFile.open(codec.encode(part)).methods()


def test_digits_cost_what_the_circuit_says(digits):
    codec = load("mnist-2", of=LosslessCodec)
    assert isinstance(codec.coder, CircuitCoder)
    data = lecodec.encode_set(digits)
    assert lecodec.info(data)["model"] == "mnist-2"
    (body,) = codec.coder.encode([digits])
    bits = codec.coder.bits([digits])[0]
    assert abs(8 * len(body) - bits) <= 0.001 * bits + 64
    assert bits / digits.size < 2
    assert np.array_equal(lecodec.decode(data), digits)
    assert np.array_equal(lecodec.decode(data, items=[39, 3]), digits[[39, 3]])


def test_bodies_do_not_depend_on_threads_or_on_company(digits, coffee):
    circuit, photo = (load(name, of=LosslessCodec).coder for name in ("mnist-2", "photo"))
    assert circuit is not None and photo is not None
    tile, before = coffee[:40, :30], torch.get_num_threads()
    found = set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            alone = [circuit.encode([digits[n : n + 4]])[0] for n in (0, 4)]
            assert circuit.encode([digits[:4], digits[4:8]]) == alone
            found.add((*alone, *photo.encode([tile, tile[:24]])))
            assert np.array_equal(photo.decode(photo.encode([tile]), [tile.shape], tile.dtype)[0], tile)
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


def test_what_the_models_do_not_know_falls_back():
    noise = np.random.default_rng(1).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    data = lecodec.encode_set(noise)
    assert LecFile.open(data).methods() == {"stored": 1} and len(data) <= noise.size + 165
    flat = np.full((40, 40, 3), 7, np.uint8)
    assert len(lecodec.encode(flat, lossless=True)) < 200


def test_sets_of_small_pictures_are_coded_by_the_photo_model(coffee):
    tiles = np.ascontiguousarray(coffee[:96, :128].reshape(6, 16, 8, 16, 3).swapaxes(1, 2).reshape(48, 16, 16, 3))
    data = lecodec.encode_set(tiles)
    assert LecFile.open(data).methods() == {"model": 1}
    assert len(data) < 0.8 * len(LosslessCodec().encode_set(tiles))
    assert np.array_equal(lecodec.decode(data), tiles)
    noise = np.random.default_rng(0).integers(0, 256, (40, 6, 7), dtype=np.uint8)
    assert "model" not in LecFile.open(lecodec.encode_set(noise)).methods()
    rows = np.ascontiguousarray(tiles.reshape(48, -1))  # no pictures
    assert np.array_equal(lecodec.decode(lecodec.encode_set(rows)), rows)
