"""FORMAT.md read by an independent reader (`reader`), beside the package: both must say the same of every file.

The reader finds the latents, alpha, metadata and index of golden files and of fresh ones, and refuses the bad ones by
the same names, so the specification, the container, the coder and the integer networks must all agree.
"""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec.bitstream import LOSSLESS, SIGNATURE, Metadata, SetLayout, frame, pack, parse
from lecodec.codec.model_file import load_tensors
from lecodec.codec.registry import find_by_digest, load_for
from lecodec.errors import CodecError

from .. import reader
from ..codebook_reader import codebook_latents
from ..codec.test_golden import difference, load_expected
from ..container_examples import box_of
from ..context_reader import context_latents
from ..fuzz.mutations import candidate
from ..nested_reader import nested_latents
from ..replica_reader import Replica

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> reader.Model:
    return reader.Model(tiny_model)


def agree_on_container(data: bytes) -> reader.LecFile:
    """Hold everything that the reader finds in a file against what the package finds, but for what is coded."""
    file, parsed = reader.read_file(data), parse(data)
    header = parsed.header
    layout = header.layout
    assert file.header == {name: getattr(header if hasattr(header, name) else layout, name) for name in file.header}
    if header.media == 0:
        assert file.boxes == [box_of(header, n) for n in range(layout.units)]
    assert file.data == [(c.digest, c.payload) for c in parsed.data]
    assert file.alpha == [(c.digest, c.payload) for c in parsed.alpha]
    assert file.private == list(parsed.ancillary)
    metadata = parsed.metadata
    found = [file.metadata.get(kind, b"") for kind in reader.METADATA]
    assert found == [getattr(metadata, name) for name in ("icc", "exif", "xmp", "streams", "tags", "cover")]
    assert (metadata.primaries, metadata.transfer) == (file.header["colour_primaries"], file.header["transfer"])
    if file.index is not None:
        assert file.exact == {n for n, c in enumerate(parsed.data) if c.exact}
        kinds = (b"LDAT", b"LALP")[: 1 + layout.alpha]
        chunks = [c for tile in zip(file.data, file.alpha or file.data, strict=True) for c in tile[: len(kinds)]]
        for n, (digest, payload) in enumerate(chunks):
            tile, part = divmod(n, len(kinds))
            kind = b"LEXT" if tile in file.exact and part == 0 else kinds[part]
            assert reader.indexed_chunk(data, n) == (kind, digest + payload)
    assert (file.shape, file.count, file.block) == (
        (layout.shape, layout.count, layout.block) if isinstance(layout, SetLayout) else (None, 0, 0)
    )
    return file


def agree_without_loss(data: bytes) -> np.ndarray:
    """The same of a file without loss and without a model; the reader's picture or set."""
    file = agree_on_container(data)
    samples = reader.lossless_samples(file)
    alpha = reader.alpha_plane(file)
    samples = samples if alpha is None else np.dstack([samples, alpha])
    decoded = load_for(parse(data).header).decode(data)
    assert samples.dtype == decoded.dtype
    np.testing.assert_array_equal(samples, decoded)
    return samples


def agree_on_latents(model: reader.Model, codec, data: bytes) -> reader.LecFile:
    """The same of the latents of each tile, with context or without."""
    file = agree_on_container(data)
    tile_latents = context_latents if "context.widen" in model.tensors else reader.tile_latents
    for tile in set(range(len(file.boxes))) - file.exact:
        z, y_hat = tile_latents(model, file, tile)
        latents = codec.latents(data, tile)
        np.testing.assert_array_equal(z, latents.z)
        np.testing.assert_array_equal(y_hat, latents.y_hat)
    return file


def agree(model: reader.Model, codec, data: bytes) -> np.ndarray:
    """The same of a file with loss; the reader's picture."""
    file = agree_on_latents(model, codec, data)
    y_hat = reader.picture_latents(model, file)
    if file.samples:
        picture = exact(y_hat, file)
        np.testing.assert_array_equal(picture, codec.decode(data))
        return picture
    with torch.inference_mode():
        index = torch.tensor([file.header["quality"] / 256])
        x_hat = codec.transform.g_s(torch.from_numpy(y_hat / 64)[None].float(), index)[0].numpy()
    picture = reader.finish(x_hat, file)
    assert difference(picture, codec.decode(data)) <= 1
    return picture


def exact(y_hat: np.ndarray, file: reader.LecFile) -> np.ndarray:
    """The reader's picture, by integers, of the tiny model."""
    h = file.header
    replica = Replica(load_tensors(GOLDEN / "tiny.safetensors"), linear=False)
    samples = replica.synthesis(y_hat, h["quality"], 2 ** h["bit_depth"] - 1, h["channels"] == 1)
    return reader.exact_picture(samples, file)


@pytest.mark.parametrize("name", sorted(EXPECTED["good"]))
def test_golden_files_read_from_the_specification(tiny_model, model, name):
    data = (GOLDEN / name).read_bytes()
    if name.startswith(("model-context", "model-dictionary", "model-control", "model-retrieved", "model-both")):
        with_context = GOLDEN / f"{EXPECTED['good'][name]['model']}.safetensors"
        agree_on_latents(reader.Model(with_context), lecodec.load(model=with_context), data)
        return
    if name.startswith("model-codebook"):
        path, file = GOLDEN / "tiny-codebook.safetensors", agree_on_container(data)
        for tile in range(len(file.boxes)):
            found = codebook_latents(reader.Model(path), file, tile)
            for ours, theirs in zip(lecodec.load(model=path).latents(data, tile).levels, found, strict=True):
                np.testing.assert_array_equal(ours, theirs)
        return
    if name.startswith("model-nested"):
        nested, file = GOLDEN / "tiny-nested.safetensors", agree_on_container(data)
        for tile in range(len(file.boxes)):
            found = nested_latents(nested, file, tile)
            levels = lecodec.load(model=nested).latents(data, tile).levels
            assert len(found) == len(levels) == 4
            for ours, theirs in zip(levels, found, strict=True):
                np.testing.assert_array_equal(ours, theirs)
        return
    if name == "model-adapted.lec":
        changes = GOLDEN / "tiny-adapted.safetensors"
        whole = reader.Model(GOLDEN / "tiny-context.safetensors", changes)
        agree_on_latents(whole, lecodec.load(model=changes), data)
        return
    if name.startswith("model-"):
        agree_on_container(data)  # what models make is read from the specification in test_circuit_coding
        return
    header = parse(data).header
    if header.codec == LOSSLESS:
        np.testing.assert_array_equal(agree_without_loss(data), load_expected(EXPECTED["good"][name]["picture"]))
        return
    if name.startswith("released-"):
        agree_on_latents(reader.Model(find_by_digest(header.parse_digest).path), load_for(header), data)
        return
    picture = agree(model, lecodec.load(model=tiny_model), data)
    assert difference(picture, load_expected(EXPECTED["good"][name]["picture"])) <= 1


# (The containers of bad-model-* are whole: a model is needed to tell.)
@pytest.mark.parametrize("name", sorted(name for name in EXPECTED["bad"] if not name.startswith("bad-model-")))
def test_bad_golden_files_are_refused_by_the_specification_too(model, name):
    with pytest.raises(reader.Refused) as refused:
        file = reader.read_file((GOLDEN / name).read_bytes())
        if file.header["codec"] == LOSSLESS:
            reader.lossless_samples(file)
        else:
            y_hat = reader.picture_latents(model, file)
            if file.samples:
                exact(y_hat, file)
            for tile in file.exact:
                reader.exact_tile(file, tile)
        reader.alpha_plane(file)
    assert refused.value.name == EXPECTED["bad"][name]


def samples(shape: tuple[int, ...], dtype: type, seed: int) -> np.ndarray:
    """Ramps and noise; alpha, where there is one, is opaque but for a corner."""
    rng, peak = np.random.default_rng(seed), np.iinfo(dtype).max
    y, x = np.mgrid[: shape[0], : shape[1]]
    ramp = (x + 2 * y) / (shape[1] + 2 * shape[0])
    out = np.empty(shape, dtype)
    planes = out.reshape(*shape[:2], -1)
    for c in range(planes.shape[2]):
        planes[:, :, c] = np.clip(ramp * (1 - 0.2 * c) + rng.normal(0, 0.02, shape[:2]), 0, 1) * peak
    if len(shape) == 3 and shape[2] in (2, 4):
        planes[:, :, -1] = np.where((x < 30) & (y < 20), planes[:, :, -1], peak)
    return out


@pytest.mark.parametrize(
    ("shape", "dtype", "quality", "tile", "metadata"),
    [
        ((40, 52, 3), np.uint8, 37.3, None, Metadata()),
        ((33, 18, 3), np.uint8, 100, 0, Metadata(icc=b"profile", primaries=2, transfer=2)),
        ((20, 70), np.uint8, 1, 64, Metadata(exif=b"II*\0")),
        ((70, 130, 4), np.uint8, 50, 64, Metadata(xmp=b"<x/>", primaries=12)),
        ((67, 65, 2), np.uint16, 80, 64, Metadata()),
        ((30, 30, 3), np.uint16, 60, None, Metadata(primaries=9, transfer=16)),
    ],
)
def test_fresh_files_read_from_the_specification(tiny_model, model, shape, dtype, quality, tile, metadata):
    picture = samples(shape, dtype, 3)
    codec = lecodec.load(model=tiny_model)
    decoded = agree(model, codec, codec.encode(picture, quality, tile=tile, metadata=metadata))
    assert decoded.shape == shape and decoded.dtype == dtype
    if len(shape) == 3 and shape[2] in (2, 4):
        np.testing.assert_array_equal(decoded[:, :, -1], picture[:, :, -1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("shape", "tile"), [((1, 1), None), ((33, 18), 0), ((40, 70, 2), 64), ((70, 9, 3), 64), ((20, 30, 4), None)]
)
def test_pictures_without_loss_read_from_the_specification(shape, tile, dtype):
    picture = samples(shape, dtype, 3)
    data = lecodec.LosslessCodec().encode(picture, tile=tile)
    np.testing.assert_array_equal(agree_without_loss(data), picture)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "shape", [(7,), (9, 4), (5, 6, 7), (6, 8, 9, 3), (4, 8, 9, 2), (3, 2, 3, 4, 3), (2, 3, 8, 9, 1)]
)
@pytest.mark.parametrize("smooth", [False, True])
def test_sets_read_from_the_specification(shape, dtype, smooth):
    rng = np.random.default_rng(1)
    given = rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)
    if smooth:
        given = (np.arange(given.size).reshape(shape) // 5).astype(dtype)
    codec = lecodec.LosslessCodec()
    np.testing.assert_array_equal(agree_without_loss(codec.encode_set(given, 2)), given)
    agree_without_loss(codec.encode_set(given))


def test_every_filter_is_read_from_the_specification():
    """The five filter types of PNG, each for some row, of 8 and 16 bits, grey and RGB."""
    for shape, dtype in (((10, 7), np.uint8), ((10, 7), np.uint16), ((10, 7, 3), np.uint8), ((10, 7, 3), np.uint16)):
        picture = np.random.default_rng(5).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)
        step = picture.itemsize * (picture.size // 70)
        length = 7 * step
        raw = np.random.default_rng(6).integers(0, 256, (10, length), dtype=np.uint8)
        body = zlib.compress(b"".join(bytes([n % 5]) + row.tobytes() for n, row in enumerate(raw)))
        plain = reader.unfiltered(zlib.decompress(body), 10, length, step)
        little = np.frombuffer(plain, np.dtype(dtype).newbyteorder(">")).astype(dtype)
        header = parse(lecodec.LosslessCodec().encode(picture)).header
        data = pack(header, [(reader.blake(little.tobytes()), b"\1" + body)])
        np.testing.assert_array_equal(agree_without_loss(data), little.reshape(shape))


def test_escapes_are_read_from_the_specification(tiny_model, model):
    """Noise at the highest quality has values outside the tables."""
    picture = np.random.default_rng(3).integers(0, 256, (33, 18, 3), dtype=np.uint8)
    codec = lecodec.load(model=tiny_model)
    agree(model, codec, codec.encode(picture, 100))


def test_parse_digest_is_as_specified(tiny_model, model):
    assert model.parse_digest() == lecodec.load(model=tiny_model).parse_digest


@pytest.mark.parametrize("name", ["colour", "lossless-colour", "lossless-set", "lossless-set-colour"])
def test_one_field_at_a_time_is_judged_alike(name):
    """Every byte of a header set to some values, with a right CRC: the same verdict, by name."""
    data = (GOLDEN / f"{name}.lec").read_bytes()
    header = data[16:56]
    for at in range(40):
        for value in (0, 1, 2, 3, 7, 64, 128, 255):
            changed = SIGNATURE + frame(b"LHDR", header[:at] + bytes([value]) + header[at + 1 :]) + data[60:]
            assert verdict(reader.read_file, changed) == verdict(parse, changed), (at, value)


def test_one_byte_of_lset_at_a_time_is_judged_alike():
    data = (GOLDEN / "lossless-set-colour.lec").read_bytes()
    length = int.from_bytes(data[60:64], "little")
    payload, rest = data[68 : 68 + length], data[72 + length :]
    for at in range(length):
        for value in (0, 1, 2, 3, 4, 8, 9, 64, 128, 255):
            changed = data[:60] + frame(b"LSET", payload[:at] + bytes([value]) + payload[at + 1 :]) + rest
            assert verdict(reader.read_file, changed) == verdict(parse, changed), (at, value)


def verdict(read, data: bytes) -> str:
    """The name of the error with which a file is refused, if it is."""
    try:
        read(data)
        return "fine"
    except reader.Refused as refused:
        return refused.name
    except CodecError as error:
        return type(error).__name__


def test_mutated_files_are_accepted_or_refused_alike():
    """Which name a file with several faults is refused by may differ; whether it is may not."""
    rng = random.Random(0)
    seeds = [(GOLDEN / name).read_bytes() for name in sorted(EXPECTED["good"])]
    accepted = 0
    for _ in range(3000):
        data = candidate(rng, seeds)
        try:
            file = reader.read_file(data)
        except reader.Refused:
            with pytest.raises(CodecError):
                parse(data)
            continue
        assert [(c.digest, c.payload) for c in parse(data).data] == file.data
        accepted += 1
    assert 100 < accepted < 2900
