"""The lossless codec: every sample comes back, nothing grows, damage is found, models get blocks in portions."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import lecodec
from lecodec import LosslessCodec
from lecodec.bitstream import LecFile, Metadata, frame, parse
from lecodec.cli.main import main
from lecodec.codec import block_coding, choice, registry
from lecodec.codec.blocks import ADAPTIVE, DEFLATED, encode_block, samples_digest
from lecodec.codec.media import png_rows
from lecodec.codec.media.png_rows import best_rows, deflate_rows, inflate_rows
from lecodec.errors import CorruptFile, InputError, LimitExceeded, ModelError, UnknownModel, UnsupportedFile

from ..bitstream.test_random_access import Counted
from ..block_coders import DeltaCoder
from ..container_examples import contents_of

SHAPES = [
    (1, 1),
    (1, 7),
    (9, 1),
    (5, 3),
    (70, 65),
    (3, 5, 2),
    (8, 9, 3),
    (66, 70, 3),
    (1, 1, 3),
    (7, 6, 4),
    (65, 64, 4),
]
SET_SHAPES = [
    (1,),
    (5,),
    (4, 7),
    (9, 28, 28),
    (3, 5, 6, 3),
    (3, 5, 6, 1),
    (2, 5, 6, 4),
    (5, 2, 3, 4, 5),
    (1, 1, 1, 1, 1),
]
CONTENTS = ["noise", "zeros", "peak", "ramp"]


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is shipped plays no part here."""
    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "no models")
    monkeypatch.delenv("LECODEC_MODELS", raising=False)


def samples(shape: tuple[int, ...], dtype: Any, content: str) -> np.ndarray:
    peak = np.iinfo(dtype).max
    if content == "noise":
        return np.random.default_rng(3).integers(0, peak + 1, shape, dtype=dtype)
    if content == "ramp":
        return (np.arange(np.prod(shape)).reshape(shape) * 11 // 7).astype(dtype)
    return np.full(shape, 0 if content == "zeros" else peak, dtype)


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.dtype == expected.dtype and found.shape == expected.shape and bool((found == expected).all())


# -- round trips


@pytest.mark.parametrize("coder", [None, DeltaCoder()], ids=["plain", "model"])
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pictures_come_back(shape, dtype, content, coder):
    picture, codec = samples(shape, dtype, content), LosslessCodec(coder)
    for tile in (None, 64):
        data = codec.encode(picture, tile=tile)
        assert same(codec.decode(data), picture)
        codec.test(data)
        header = parse(data).header
        colour = picture.size // (shape[2] if len(shape) == 3 else 1) * header.layout.channels * picture.itemsize
        alpha = sum(12 + 8 + len(chunk.payload) for chunk in parse(data).alpha)
        assert len(data) <= colour + alpha + 140 + (25 + 4 * header.layout.alpha) * header.layout.units
        assert header.lossless and header.quality == 0


@pytest.mark.parametrize("coder", [None, DeltaCoder()], ids=["plain", "model"])
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", SET_SHAPES, ids=str)
def test_sets_come_back(shape, dtype, content, coder):
    given, codec = samples(shape, dtype, content), LosslessCodec(coder)
    for items in (None, 1, 2, 100):
        data = codec.encode_set(given, items)
        assert same(codec.decode(data), given)
        codec.test(data)
        header = parse(data).header
        assert len(data) <= given.nbytes + 140 + 25 * header.layout.units
        numbers = [len(given) - 1, 0, len(given) // 2, 0]
        assert same(codec.decode_items(data, numbers), given[numbers])
    assert codec.decode_items(data, []).shape == (0, *shape[1:])


def test_samples_of_other_layouts_are_taken_as_they_are():
    base = np.random.default_rng(0).integers(0, 65536, (40, 30), dtype=np.uint16)
    codec = LosslessCodec()
    for view in (base.T, base[::2, ::3], base.astype(">u2"), np.asfortranarray(base)):
        assert (codec.decode(codec.encode(view)) == view).all()
        assert (codec.decode(codec.encode_set(view)) == view).all()


def test_several_files_at_once():
    codec = LosslessCodec(DeltaCoder())
    batch = [samples(shape, dtype, "ramp") for shape in SHAPES for dtype in (np.uint8, np.uint16)]
    files = codec.encode_batch(batch, tile=64)
    assert files == [codec.encode(picture, tile=64) for picture in batch]
    assert all(same(a, b) for a, b in zip(codec.decode_batch(files), batch, strict=True))
    mixed = [files[3], codec.encode_set(batch[5]), files[0]]
    found = codec.decode_batch(mixed)
    assert same(found[0], batch[3]) and same(found[1], batch[5]) and same(found[2], batch[0])


def test_metadata_is_carried():
    metadata = Metadata(icc=b"profile", exif=b"II*\0", xmp=b"<x/>", primaries=9, transfer=16)
    assert parse(LosslessCodec().encode(samples((4, 5, 3), np.uint8, "ramp"), metadata=metadata)).metadata == metadata


def test_large_pictures_are_cut_by_themselves(monkeypatch):
    from lecodec.codec.media import samples as layouts

    monkeypatch.setattr(layouts, "UNTILED", 1000)
    noise = np.random.default_rng(0).integers(0, 256, (10, 1100), dtype=np.uint8)
    header = parse(LosslessCodec().encode(noise)).header
    assert (header.layout.tile_width, header.layout.units) == (1024, 2)
    assert parse(LosslessCodec().encode(np.zeros((10, 1100), np.uint8), tile=0)).header.layout.units == 1


def test_tiny_items_make_large_blocks_and_large_ones_small_blocks():
    assert parse(LosslessCodec().encode_set(np.zeros((600, 128), np.uint8))).header.layout.block == 512
    assert parse(LosslessCodec().encode_set(np.zeros((70000,), np.uint8))).header.layout.block == 2**16
    assert parse(LosslessCodec().encode_set(np.zeros((5, 1500, 1500), np.uint8))).header.layout.block == 1


# -- methods


def methods(data: bytes) -> dict[str, int] | None:
    return LecFile.open(data).methods()


def test_each_block_is_coded_by_what_is_smallest_for_it(monkeypatch):
    monkeypatch.setattr("lecodec.codec.lossless.looks_drawn", lambda samples: False)  # WebP would win twice
    noise, flat = samples((64, 64), np.uint8, "noise"), np.zeros((64, 64), np.uint8)
    steps = np.cumsum(np.random.default_rng(1).integers(0, 3, (64, 64)), axis=None).astype(np.uint8).reshape(64, 64)
    picture = np.hstack([noise, flat, steps])
    data = LosslessCodec(DeltaCoder()).encode(picture, tile=64)
    assert [chunk.payload[0] for chunk in parse(data).data] in ([0, 1, 2], [0, 2, 2])
    assert methods(LosslessCodec().encode(picture, tile=64)) == {"stored": 1, "deflated": 2}
    assert lecodec.info(data)["methods"] == methods(data)


def test_a_file_names_the_model_only_if_it_needs_it():
    codec, noise = LosslessCodec(DeltaCoder()), samples((9, 9), np.uint8, "noise")
    assert parse(codec.encode(noise)).header.parse_digest == bytes(8)
    assert same(LosslessCodec().decode(codec.encode(noise)), noise)
    ramp = samples((90, 90), np.uint8, "ramp")
    assert parse(codec.encode(ramp)).header.parse_digest == b"deltas 1"
    for use in (LosslessCodec().decode, LosslessCodec().test, lambda d: LosslessCodec().decode_region(d, (0, 0, 1, 1))):
        with pytest.raises(UnknownModel, match="parse digest 64656c7461732031"):
            use(codec.encode(ramp))


def test_a_coder_gets_many_blocks_at_once_but_not_too_many(monkeypatch):
    monkeypatch.setattr(block_coding, "PORTION", 1000)
    coder = DeltaCoder()
    codec = LosslessCodec(coder)
    given = samples((100, 7, 9), np.uint8, "ramp")
    data = codec.encode_set(given, 5, verify=False)
    assert [size for _, size in coder.calls] == [945] * 6 + [630]
    assert set(coder.shapes) == {(5, 7, 9)}
    coder.calls.clear()
    assert same(codec.decode(data), given)
    assert [size for kind, size in coder.calls if kind == "decode"] == [945] * 6 + [630]
    coder.calls.clear()
    codec.encode_batch([given[0], given[1].astype(np.uint16), given[2]], verify=False)  # one dtype a call
    assert [size for _, size in coder.calls] == [63, 63, 63]
    coder.calls.clear()
    codec.encode(samples((40, 40), np.uint8, "ramp"), verify=False)  # a block that is larger comes alone
    assert [size for _, size in coder.calls] == [1600]


def test_model_gets_tiles_as_they_lie():
    coder = DeltaCoder()
    LosslessCodec(coder).encode(samples((70, 100, 3), np.uint8, "ramp"), tile=64)
    assert coder.shapes == [(64, 64, 3), (64, 36, 3), (6, 64, 3), (6, 36, 3)]


# -- rows of PNG


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 1, 3), (9, 7), (9, 7, 3), (300, 70, 3)])
def test_rows_come_back(shape, dtype, filtered):
    for content in CONTENTS:
        given = samples(shape, dtype, content)
        for data in (b"".join(deflate_rows(given, 6, filtered)), best_rows(given), best_rows(given, 1)):
            assert same(inflate_rows(data, shape, np.dtype(dtype), "here"), given)


def test_large_rows_are_judged_by_their_middle():
    smooth = (np.add.outer(np.arange(1500), np.arange(1500)) // 3).astype(np.uint8)
    assert len(best_rows(smooth)) == len(b"".join(deflate_rows(smooth, 6)))


def test_deflate_is_hopeless_where_stripes_say_that_it_is_far_behind():
    noise = np.random.default_rng(0).integers(0, 256, (1000, 500), np.uint8)
    for noisy, rival, hopeless in (
        (1000, 300_000, True),
        (1000, 400_000, False),
        (500, 150_000, True),
        (0, 3000, False),
    ):
        given = noise.copy()
        given[noisy:] = 7
        assert png_rows.hopeless(given, rival) == hopeless, (noisy, rival)
        chunk, payload = encode_block(given, {ADAPTIVE: bytes(rival)}, drawn=False)
        assert payload[0] == (ADAPTIVE if rival < len(best_rows(given)) else DEFLATED) and chunk == samples_digest(
            given
        )
    assert not png_rows.hopeless(noise[:300], 1)  # of small ones all is tried


# -- parts


def test_regions_read_only_their_tiles():
    picture = samples((200, 260, 4), np.uint16, "noise")
    codec = LosslessCodec()
    data = codec.encode(picture, tile=64)
    source = Counted(data)
    assert same(codec.decode_region(source, (70, 66, 50, 60)), picture[66:126, 70:120])
    assert source.taken < len(data) // 8
    for region in ((0, 0, 260, 200), (259, 199, 1, 1), (60, 60, 10, 10), (0, 130, 3, 70)):
        x, y, w, h = region
        assert same(codec.decode_region(data, region), picture[y : y + h, x : x + w])
    for region in ((0, 0, 261, 1), (-1, 0, 5, 5), (0, 0, 0, 5)):
        with pytest.raises(InputError, match="is not inside the picture of 260 x 200"):
            codec.decode_region(data, region)


def test_items_read_only_their_blocks():
    given = samples((100, 10, 10), np.uint8, "noise")
    codec = LosslessCodec()
    data = codec.encode_set(given, 5)
    source = Counted(data)
    assert same(codec.decode_items(source, [52, 53, 7]), given[[52, 53, 7]])
    assert source.taken < len(data) // 5
    for number in (-1, 100):
        with pytest.raises(InputError, match=f"item {number}, expected 0 to 99"):
            codec.decode_items(data, [3, number])


def test_what_a_picture_and_a_set_have_not():
    codec, picture = LosslessCodec(), samples((5, 6), np.uint8, "ramp")
    with pytest.raises(InputError, match="no items"):
        codec.decode_items(codec.encode(picture), [0])
    with pytest.raises(InputError, match="no regions"):
        codec.decode_region(codec.encode_set(picture), (0, 0, 1, 1))
    with pytest.raises(InputError, match="not a picture"):
        codec.decode_tensor(codec.encode_set(picture))


def test_tensors():
    for shape in ((5, 6), (5, 6, 4)):
        for dtype in (np.uint8, np.uint16):
            picture = samples(shape, dtype, "ramp")
            tensor = LosslessCodec().decode_tensor(LosslessCodec().encode(picture))
            assert same(tensor.permute(1, 2, 0).numpy().reshape(shape), picture)


# -- damage


@pytest.mark.parametrize("coder", [None, DeltaCoder()], ids=["plain", "model"])
@pytest.mark.parametrize("content", ["noise", "zeros", "ramp"])
def test_every_bit_flip_in_a_block_with_a_right_crc_is_found(content, coder):
    codec = LosslessCodec(coder)
    data = codec.encode_set(samples((12, 9, 2), np.uint16, content))
    start, chunks = data[:8], contents_of(data)
    place = next(n for n, (kind, _) in enumerate(chunks) if kind == b"LDAT")
    payload = chunks[place][1]
    harmless = 0
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        chunks[place] = b"LDAT", bytes(damaged)
        changed = start + b"".join(frame(*chunk) for chunk in chunks)
        try:  # some bits of deflate mean nothing; what is decoded is right then
            assert same(codec.decode(changed), codec.decode(data))
            harmless += 1
        except (CorruptFile, UnsupportedFile):
            pass
    assert harmless <= 24


def with_payload(data: bytes, payload: bytes) -> bytes:
    chunks = [(type, payload if type == b"LDAT" else old) for type, old in contents_of(data)]
    return data[:8] + b"".join(frame(*chunk) for chunk in chunks)


def test_bodies_of_a_wrong_length_and_unknown_methods():
    codec = LosslessCodec()
    data = codec.encode(samples((4, 4), np.uint8, "noise"))
    payload = parse(data).data[0].digest + parse(data).data[0].payload
    assert payload[8] == 0
    for changed, error, says in (
        (payload[:-1], CorruptFile, "15 bytes of stored samples, expected 16"),
        (payload + b"x", CorruptFile, "17 bytes of stored samples, expected 16"),
        (payload[:8] + b"\x03abc", UnsupportedFile, "coding method 3, expected 0 .stored., 1 .deflated., 2 .model."),
        (payload[:8] + b"\x02abc", CorruptFile, "the header names no model"),
        (payload[:8] + b"\x01abc", CorruptFile, "does not inflate to the 20 bytes of its rows"),
        (bytes(8) + payload[8:], CorruptFile, "a block does not decode to what was encoded"),
    ):
        with pytest.raises(error, match=says):
            codec.decode(with_payload(data, changed))


def test_a_file_with_loss_is_not_for_this_codec(tiny_default, picture):
    data = lecodec.encode(picture)
    with pytest.raises(UnknownModel, match="coded with loss"):
        LosslessCodec().decode(data)
    exact = lecodec.encode(picture, lossless=True)
    assert same(lecodec.load().decode(exact), picture)  # as it decodes what it coded exactly itself
    assert same(lecodec.decode(exact, model=tiny_default), picture)  # no model is needed, whatever is named


# -- input


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((3, 2), bool), r"bool: .astype\(np.uint8\)"),
        (np.zeros((3, 2), np.float32), "float32"),
        (np.zeros((3, 2), np.int16), "int16"),
        (np.array(["x"], object), "object"),
        (np.zeros((0, 2), np.uint8), r"\[0, 2\]"),
        (np.zeros((2, 0), np.uint8), r"\[2, 0\]"),
        (np.uint8(3), "not uint8"),
        (np.zeros((), np.uint8), r"\[\]"),
        ([1, 2], "not list"),
        (np.zeros((1,) * 10, np.uint8), "9 dimensions, expected at most 8"),
    ],
)
def test_what_is_no_set(given, says):
    with pytest.raises(InputError, match=says):
        LosslessCodec().encode_set(given)
    with pytest.raises(InputError, match=says):
        lecodec.encode_set(given)


def test_wrong_options():
    with pytest.raises(InputError, match="0 items a block"):
        LosslessCodec().encode_set(np.zeros(5, np.uint8), 0)
    with pytest.raises(InputError, match="multiple of 64"):
        LosslessCodec().encode(np.zeros((5, 5), np.uint8), tile=65)
    for wrong in ({"quality": 50}, {"bpp": 1}, {"psnr": 40}, {"size": 1000}):
        with pytest.raises(InputError, match="do not go with it"):
            lecodec.encode(np.zeros((5, 5), np.uint8), lossless=True, **wrong)
    with pytest.raises(InputError, match="ask for one of them"):
        lecodec.decode(LosslessCodec().encode_set(np.zeros(5, np.uint8)), items=[0], region=(0, 0, 1, 1))


def test_limits(monkeypatch):
    monkeypatch.setenv("LECODEC_MAX_PIXELS", "100")
    LosslessCodec().encode_set(np.zeros((10, 10), np.uint8))
    with pytest.raises(LimitExceeded, match="LECODEC_MAX_PIXELS"):
        LosslessCodec().encode_set(np.zeros((101,), np.uint8))
    with pytest.raises(LimitExceeded, match="LECODEC_MAX_PIXELS"):
        lecodec.encode(np.zeros((11, 10), np.uint8), lossless=True)


# -- the one-liners


def test_one_liners(tmp_path, picture):
    data = lecodec.encode(picture, lossless=True)
    assert same(lecodec.decode(data), picture)
    assert same(lecodec.decode(data, region=(3, 4, 5, 6)), picture[4:10, 3:8])
    given = samples((20, 3, 4), np.uint16, "ramp")
    (tmp_path / "x.lec").write_bytes(lecodec.encode_set(given, items=6))
    assert same(lecodec.decode(tmp_path / "x.lec"), given)
    assert same(lecodec.decode(tmp_path / "x.lec", items=[19, 2]), given[[19, 2]])
    np.save(tmp_path / "x.npy", given)
    assert lecodec.encode_set(tmp_path / "x.npy", 6) == (tmp_path / "x.lec").read_bytes()
    facts = lecodec.info(tmp_path / "x.lec")
    assert (facts["items"], facts["item_shape"], facts["block_items"]) == (20, [3, 4], 6)
    assert facts["bpd"] == facts["bpp"] == 8 * facts["bytes"] / given.size
    assert (facts["lossless"], facts["user_quality"], facts["model"], facts["tiles"]) == (True, None, None, 4)
    with pytest.raises(InputError, match="a picture, not a set"):
        lecodec.decode(data, items=[0])
    json.dumps(facts)


def test_no_torch_without_a_model():
    code = (
        "import sys, numpy as np, lecodec; x = np.arange(600, dtype=np.uint8).reshape(6, 10, 10); "
        "assert (lecodec.decode(lecodec.encode_set(x)) == x).all(); "
        "assert (lecodec.decode(lecodec.LosslessCodec().encode(x[0])) == x[0]).all(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- models


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of model files whose coders are DeltaCoders; the circuit named "bad" makes everything long."""

    class Coder(DeltaCoder):
        def __init__(self, tensors: dict[str, np.ndarray], card: dict[str, Any], device: str) -> None:
            super().__init__()
            assert device == "cpu" and "parse.x" in tensors
            self.name, self.parse_digest = card["name"], bytes.fromhex(card["parse_digest"])

        def encode(self, blocks: Any) -> list[bytes]:
            made = super().encode(blocks)
            return [body + bytes(5000) for body in made] if self.name == "bad" else made

    for name, coder in (("circuit", "CircuitCoder"), ("photo", "PhotoCoder")):
        module = types.ModuleType(f"lecodec.codec.{name}")
        setattr(module, coder, Coder)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(registry, "SHIPPED", folder)
    monkeypatch.setitem(registry.ALIASES, "photo", "photos")
    return folder


def model(folder: Path, name: str, kind: str, **card: Any) -> Path:
    digest = name.encode().ljust(8, b"\0")[:8].hex()
    whole = {"name": name, "kind": kind, "parse_digest": digest, "synthesis_digest": "0" * 16, **card}
    path = folder / f"{name}.safetensors"
    save_file({"parse.x": np.zeros(1, np.int32)}, path, {"card": json.dumps(whole)})
    return path


def used(data: bytes) -> str:
    """The name of the model in a file's header."""
    return parse(data).header.parse_digest.rstrip(b"\0").decode()


def test_sets_are_coded_by_the_best_circuit_for_their_shape(models):
    given = samples((40, 8, 9), np.uint8, "ramp")
    assert used(lecodec.encode_set(given)) == ""
    model(models, "bad", "circuit", item_shape=[8, 9])
    assert used(lecodec.encode_set(given)) == ""  # deflate is better
    model(models, "good", "circuit", item_shape=[8, 9], levels=256)
    model(models, "other", "circuit", item_shape=[9, 8])
    model(models, "deep", "circuit", item_shape=[8, 9], levels=65536)
    model(models, "nonsense", "circuit", item_shape=5, levels="many")
    model(models, "nothing", "circuit")
    data = lecodec.encode_set(given)
    assert used(data) == "good" and same(lecodec.decode(data), given)
    assert same(lecodec.decode(data, items=[39]), given[[39]])
    assert used(lecodec.encode_set(given.astype(np.uint16))) == "deep"
    assert used(lecodec.encode_set(given[..., None])) == "good"  # [8, 9, 1] are the same items
    assert same(lecodec.decode(lecodec.encode_set(given[..., None])), given[..., None])
    assert used(lecodec.encode_set(given.reshape(40, 72))) == ""
    assert lecodec.info(data)["model"] == "good"


def test_pictures_are_coded_by_the_photo_model_if_there_is_one(models):
    picture = samples((90, 80, 3), np.uint8, "ramp")
    assert used(lecodec.encode(picture, lossless=True)) == ""
    model(models, "photos", "photo", levels="many")
    assert used(lecodec.encode(picture, lossless=True)) == ""
    model(models, "photos", "photo", levels=256)
    data = lecodec.encode(picture, lossless=True)
    assert used(data) == "photos" and same(lecodec.decode(data), picture)
    assert used(lecodec.encode(picture.astype(np.uint16), lossless=True)) == ""  # not of its levels
    model(models, "photos", "photo")  # of any
    assert used(lecodec.encode(picture.astype(np.uint16), lossless=True)) == "photos"


def test_a_model_that_is_named_is_used_or_refused(models, tiny_model):
    circuit = model(models, "circuit8", "circuit", item_shape=[8, 9])
    photos = model(models, "photo8", "photo", levels=256)
    given, picture = samples((40, 8, 9), np.uint8, "ramp"), samples((90, 80, 3), np.uint8, "ramp")
    assert used(lecodec.encode_set(given, model=circuit)) == "circuit8"
    assert used(lecodec.encode(picture, lossless=True, model="photo8")) == "photo8"
    for call, says in (
        (lambda: lecodec.encode_set(given[:, :4], model=circuit), r"circuit8 codes items of the shape \[8, 9\] of 256"),
        (lambda: lecodec.encode_set(given.astype(np.uint16), model=circuit), "not items of the shape .* of 16 bits"),
        (
            lambda: lecodec.encode_set(given.reshape(40, 4, 2, 9), model=photos),
            "photo8 codes pictures of 256 levels, not items",
        ),
        (lambda: lecodec.encode(picture, lossless=True, model=circuit), "not pictures of 8 bits"),
        (lambda: lecodec.encode(picture, lossless=True, model=tiny_model), "tiny is a model that codes with loss"),
    ):
        with pytest.raises(InputError, match=says):
            call()
    with pytest.raises(
        ModelError, match="circuit8 is a model of the kind circuit, which codes without loss, not image"
    ):
        lecodec.encode(picture, model=circuit)
    with pytest.raises(UnknownModel, match="this is photo8"):
        lecodec.decode(lecodec.encode_set(given, model=circuit), model=photos)


def test_a_file_that_claims_a_model_for_what_it_does_not_code(models):
    model(models, "circuit8", "circuit", item_shape=[8, 9])
    given = samples((40, 8, 9), np.uint8, "ramp")
    header = parse(lecodec.encode_set(given)).header
    other = parse(LosslessCodec(DeltaCoder()).encode_set(given.reshape(40, 72)))
    from dataclasses import replace

    from lecodec.bitstream import pack

    data = pack(replace(other.header, parse_digest=header.parse_digest), [(c.digest, c.payload) for c in other.data])
    with pytest.raises(CorruptFile, match=r"items of the shape \[72\] of 8 bits, but circuit8 codes items"):
        lecodec.decode(data)


def test_a_model_that_was_tried_on_a_set_and_lost_is_noted(models, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", samples((40, 8, 9), np.uint8, "ramp"))
    for name, noted in (("bad", True), ("good", False)):
        model(models, name, "circuit", item_shape=[8, 9], levels=256)
        with pytest.raises(SystemExit) as exit:
            main(["encode", "x.npy", "-f"])
        assert not exit.value.code
        assert ("note: bad tried, but of no use: " in capfd.readouterr().err) == noted


def test_loading_by_kind(models, tiny_model):
    assert isinstance(lecodec.load(model=model(models, "a", "circuit", item_shape=[2])), LosslessCodec)
    assert isinstance(lecodec.load(model=model(models, "b", "photo")), LosslessCodec)
    assert isinstance(lecodec.load(model=tiny_model), lecodec.ImageCodec)
    with pytest.raises(ModelError, match="of the kind 'sculpture'"):
        lecodec.load(model=model(models, "c", "sculpture"))
    assert choice.models_for_set(np.zeros((3, 2), np.uint8))[0] is lecodec.load("a")


def test_lossless_files_in_a_pipe_of_parts():
    codec = LosslessCodec()
    data = codec.encode_set(samples((9, 4), np.uint8, "noise"), 2)
    assert same(codec.decode_items(io.BytesIO(data), [8, 1]), samples((9, 4), np.uint8, "noise")[[8, 1]])


def test_datasets_take_lossless_pictures(tmp_path, picture, tiny_default):
    (tmp_path / "a.lec").write_bytes(lecodec.encode(picture, lossless=True))
    (tmp_path / "b.lec").write_bytes(lecodec.encode(picture))
    (tmp_path / "c.lec").write_bytes(lecodec.encode_set(picture))
    items = lecodec.LecDataset(tmp_path)
    assert same(items[0].permute(1, 2, 0).numpy(), picture)
    assert items[1].shape == items[0].shape == (3, 50, 70)
    with pytest.raises(InputError, match="c.lec: a set of samples, not a picture"):
        items[2]
