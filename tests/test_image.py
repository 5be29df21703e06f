"""The image codec: round trips, exactness on every path, corruption, and the estimate against real bytes."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lecodec
from lecodec import bitstream
from lecodec.bitstream import frame, parse, read_header
from lecodec.codec.image import ImageCodec, fixed_quality
from lecodec.codec.registry import load_tensors, read_card
from lecodec.entropy import exact, hyperprior_coding
from lecodec.entropy.hyperprior_coding import HyperpriorCoding
from lecodec.errors import CodecError, CorruptFile, InputError, LimitExceeded, ModelError, UnknownModel


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A smooth picture with an edge and a little noise: [H, W] or [H, W, 3] uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = 128 + 60 * np.sin(x / 9 + seed) + 50 * np.cos(y / 13) + 30 * (x > y)
    out = base[..., None] + rng.normal(0, 6, (height, width, channels)) + np.arange(channels) * 12
    out = out.clip(0, 255).astype(np.uint8)
    return out[..., 0] if channels == 1 else out


@pytest.fixture(scope="module")
def codec(tiny_model) -> ImageCodec:
    return lecodec.load(model=tiny_model)


SIZES = [(1, 1), (1, 200), (77, 1), (15, 17), (16, 16), (64, 64), (65, 63), (130, 201)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_round_trip_of_every_shape(codec, size, channels):
    samples = picture(*size, channels)
    data = codec.encode(samples, 80)
    back = codec.decode(data)
    assert back.shape == samples.shape and back.dtype == np.uint8
    codec.test(data)
    header = read_header(data)
    assert (header.height, header.width, header.channels) == (*size, channels)


@pytest.mark.parametrize("value", [0, 255, 130])
def test_constant_pictures_come_back_close(codec, value):
    samples = np.full((48, 80, 3), value, np.uint8)
    assert np.abs(codec.decode(codec.encode(samples, 100)).astype(int) - value).mean() < 12


def test_noise_and_extremes(codec):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    for samples in (noise, checks):
        for quality in (1, 100):
            assert codec.decode(codec.encode(samples, quality)).shape == samples.shape


@settings(max_examples=40, deadline=None)
@given(
    samples=st.one_of(
        hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)),
        hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    ),
    quality=st.floats(1, 100),
)
def test_round_trip_of_anything(codec, samples, quality):
    data = codec.encode(samples, quality)
    assert codec.decode(data).shape == samples.shape


def test_quality_orders_rate_and_distortion(codec):
    samples = picture(160, 160)
    sizes, errors = [], []
    for quality in (1, 33.3, 66, 100):
        data = codec.encode(samples, quality)
        sizes.append(len(data))
        errors.append(np.square(codec.decode(data).astype(float) - samples).mean())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)
    assert sizes[-1] > 2 * sizes[0]


def test_quality_is_checked():
    assert bitstream.QUALITY_ONE == hyperprior_coding.QUALITY_ONE  # two packages that know nothing of each other
    assert (fixed_quality(1), fixed_quality(100)) == (0, 63 * 256)
    for bad in (0, 0.99, 100.01, float("nan")):
        with pytest.raises(InputError, match="quality"):
            fixed_quality(bad)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(7, np.uint8),
        [[0]],
    ],
)
def test_samples_are_checked(codec, samples):
    with pytest.raises(InputError, match="samples"):
        codec.encode(samples)


# -- exact by construction


def same(a, b) -> bool:
    return np.array_equal(a.z, b.z) and np.array_equal(a.y_hat, b.y_hat)


@pytest.fixture(scope="module")
def files(codec) -> list[bytes]:
    return [codec.encode(picture(96, 112, 3, seed), 40 + 5 * seed) for seed in range(4)]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("onednn", [True, False])
def test_latents_do_not_depend_on_threads_or_kernels(codec, files, threads, onednn):
    reference = [codec.latents(data) for data in files]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.backends.mkldnn.flags(enabled=onednn):
            assert all(same(codec.latents(d), r) for d, r in zip(files, reference, strict=True))
    finally:
        torch.set_num_threads(before)


def test_latents_do_not_depend_on_the_batch(codec):
    """NNPACK and others change kernels at a batch of 16: encode 32 at once, decode one by one, and the reverse."""
    pictures = [picture(48, 64, 3, seed) for seed in range(32)]
    together = codec.encode_batch(pictures, 70)
    alone = [codec.encode(p, 70) for p in pictures]
    for batch in (together, alone):
        decoded = codec._read_latents([parse(d) for d in batch])
        assert all(same(a, codec.latents(d)) for a, d in zip(decoded, batch, strict=True))
    assert len(codec.decode_batch(together)) == 32


def test_mixed_batches_keep_their_order(codec):
    pictures = [picture(20, 30), picture(20, 30, 1), picture(9, 5), picture(20, 30)]
    back = codec.decode_batch(codec.encode_batch(pictures, 50))
    assert [b.shape for b in back] == [p.shape for p in pictures]


def test_latents_do_not_depend_on_the_carrier(tiny_model):
    """Weights small enough for float32 sums: the same integers from float32 and float64 layers."""
    tensors = {n[6:]: a for n, a in load_tensors(tiny_model).items() if n.startswith("parse.")}
    for n in range(5):
        for part in ("weight", "bias"):
            name = f"h_s.{n}.{part}"
            tensors[name] = (tensors[name] // 1024 + 1).astype(tensors[name].dtype)
    narrow, wide = HyperpriorCoding(tensors), HyperpriorCoding(tensors)
    assert torch.float32 in {layer.carrier for layer in narrow.layers("cpu")}
    wide._on["cpu"] = tuple(layer.to("cpu", torch.float64) for layer in wide._layers)
    z = np.random.default_rng(0).integers(-300, 300, (20, 8, 5, 6)).astype(np.int32)
    quality = list(range(0, 20 * 800, 800))
    for a, b in zip(narrow.parameters(z, quality, (19, 23)), wide.parameters(z, quality, (19, 23)), strict=True):
        assert np.array_equal(a, b) and len(np.unique(a)) > 8


def test_noise_on_every_float_changes_no_latent(codec, files, tiny_model):
    """A few ulp on the output of every float layer: what it encodes decodes elsewhere, what it decodes is the same."""
    noisy = ImageCodec(load_tensors(tiny_model), read_card(tiny_model).card)
    generator = torch.Generator().manual_seed(0)

    def disturb(_module, _inputs, output):
        ulp = torch.randint(-4, 5, output.shape, generator=generator) * torch.finfo(torch.float32).eps
        return output * (1 + ulp)

    for network in (noisy.g_a, noisy.h_a, noisy.g_s):
        for module in network.modules():
            module.register_forward_hook(disturb)
    for data in files:
        assert same(noisy.latents(data), codec.latents(data))
    for seed in range(4):
        data = noisy.encode(picture(96, 112, 3, seed), 60)
        codec.test(data)  # the digest was taken by the noisy encoder
        assert np.abs(noisy.decode(data).astype(int) - codec.decode(data)).max() <= 1


def test_a_machine_with_wrong_sums_is_noticed(codec, files, monkeypatch):
    """Were the arithmetic off by one, the digest says so: an error, never a wrong picture."""
    sums = exact.exact_sums
    monkeypatch.setattr(exact, "exact_sums", lambda *a: sums(*a) + 4000)
    with pytest.raises(CorruptFile):
        codec.decode(files[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_gpu_decode_each_other(codec, files, tiny_model):
    gpu = lecodec.load(model=tiny_model, device="cuda")
    assert all(same(gpu.latents(d), codec.latents(d)) for d in files)
    for data in gpu.encode_batch([picture(96, 112, 3, seed) for seed in range(32)], 55):
        codec.test(data)


# -- files


def test_bytes_are_the_estimate(codec):
    samples = picture(256, 384)
    for quality in (20, 90):
        bits = 8 * len(codec.encode(samples, quality))
        estimate = codec.estimate_bits(samples, quality)
        assert estimate <= bits <= 1.01 * estimate + 96 * 8


def test_every_bit_flip_and_truncation_is_noticed(codec):
    data = codec.encode(picture(12, 9), 1)
    original = codec.decode(data)
    damaged = [data[:n] for n in range(len(data))]
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        damaged.append(bytes(flipped))
    for bad in damaged:
        try:
            assert np.array_equal(codec.decode(bad), original)
        except CodecError:
            pass


def test_payload_damage_with_a_right_crc_is_noticed(codec):
    """Damage the coder's bytes and re-stamp the CRC: only the digest of the latents can tell."""
    data = codec.encode(picture(40, 56), 60)
    payload = bytearray(parse(data).data[0].payload)
    start = data.index(bytes(payload))
    rng = np.random.default_rng(0)
    for position in rng.choice(len(payload) - 4, 60, replace=False):
        changed = payload.copy()
        changed[position] ^= 1 << int(rng.integers(8))
        body = data[start - 8 : start] + bytes(changed)
        bad = data[: start - 16] + frame(b"LDAT", body) + data[start + len(payload) + 4 :]
        assert zlib.crc32(b"LDAT" + body).to_bytes(4, "little") in bad
        with pytest.raises(CorruptFile):
            codec.decode(bad)


def test_appended_words_are_noticed(codec):
    data = codec.encode(picture(40, 56), 60)
    chunk = parse(data).data[0]
    longer = data[:60] + frame(b"LDAT", chunk.digest + chunk.payload + b"\x55" * 400) + frame(b"LEND", b"")
    with pytest.raises(CorruptFile):
        codec.decode(longer)


def test_a_header_of_2_to_the_40_pixels_is_refused_first(codec):
    data = codec.encode(picture(8, 8), 1)
    header = bytearray(data[16:56])
    header[2:10] = (1 << 20).to_bytes(4, "little") * 2
    with pytest.raises(LimitExceeded):
        codec.decode(data[:8] + frame(b"LHDR", bytes(header)) + data[60:])


def test_a_file_of_another_model_is_refused(codec, tiny_model):
    other = ImageCodec(load_tensors(tiny_model), read_card(tiny_model).card)
    other.parse_digest = bytes(8)
    with pytest.raises(UnknownModel, match="needs the model with parse digest 00"):
        codec.decode(other.encode(picture(8, 8)))


# -- models


@pytest.mark.parametrize("name", ["parse.h_s.2.weight", "parse.y.counts", "g_s.head.weight", "parse.gain.0"])
def test_a_changed_model_does_not_load(tiny_model, name):
    tensors = dict(load_tensors(tiny_model))
    changed = tensors[name].copy()
    changed.flat[1] += 1
    with pytest.raises(ModelError):
        ImageCodec({**tensors, name: changed}, read_card(tiny_model).card)


def test_a_model_that_lacks_or_misfits_a_tensor_does_not_load(tiny_model):
    tensors, card = dict(load_tensors(tiny_model)), read_card(tiny_model).card
    for name in ("parse.z.low", "g_a.stem.weight", "h_a.head.bias"):
        with pytest.raises(ModelError):
            ImageCodec({n: a for n, a in tensors.items() if n != name}, card)
        with pytest.raises(ModelError):
            ImageCodec({**tensors, name: tensors[name][:-1]}, card)
    with pytest.raises(ModelError, match="sizes"):
        ImageCodec(tensors, {**card, "transform": {"nonsense": 1}})


def test_damaged_model_files_are_refused(tiny_model, tmp_path):
    data = tiny_model.read_bytes()
    for cut in (0, 5, 100, len(data) // 2, len(data) - 1):
        path = tmp_path / "m.safetensors"
        path.write_bytes(data[:cut])
        with pytest.raises(CodecError):
            lecodec.load(model=path)


def test_the_tiny_model_is_tiny(tiny_model):
    assert tiny_model.stat().st_size <= 200_000
