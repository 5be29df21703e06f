"""The interpolation model: what is seen, exact layers, mixtures, both directions, hostile models and data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecodec.codec.colour import from_ycocg, to_ycocg
from lecodec.codec.photo import PhotoCoder
from lecodec.entropy.arrays import doubled, single
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.interpolation import ALL, PHASES, View, chroma_inputs, differences, luma_inputs, split_phases
from lecodec.entropy.interpolation_coding import InterpolationCoding
from lecodec.entropy.interpolation_layers import FrozenLayer, InterpolationConfig, layers_of
from lecodec.entropy.interpolation_network import InterpolationNetwork, ShiftLayer, frozen_weights
from lecodec.entropy.mixture import SCALES, Leaves
from lecodec.entropy.mixture_tables import leaf_tables, mixture_bits
from lecodec.entropy.packing import pack
from lecodec.errors import CorruptFile, ModelError

SMALL = InterpolationConfig(context=4, width=8, middle=8, head=8, components=2, groups=2)


@pytest.fixture(scope="module")
def network() -> InterpolationNetwork:
    torch.manual_seed(0)
    network = InterpolationNetwork(SMALL)
    with torch.no_grad():  # skip connections begin at zero: let them matter
        for name, p in network.named_parameters():
            if "skip" in name and "weight" in name:
                p.normal_(0, 0.5)
    network.exact = True
    return network


@pytest.fixture(scope="module")
def tensors(network: InterpolationNetwork) -> dict[str, np.ndarray]:
    return InterpolationCoding.freeze(network)


@pytest.fixture(scope="module")
def coder(tensors: dict[str, np.ndarray]) -> PhotoCoder:
    return PhotoCoder({f"parse.{name}": a for name, a in tensors.items()}, {})


@pytest.fixture(scope="module")
def leaves() -> Leaves:
    return Leaves(leaf_tables(), "cpu")


@pytest.fixture(scope="module")
def codings(tensors: dict[str, np.ndarray]) -> dict[str, InterpolationCoding]:
    """In torch and in numpy."""
    return {device: InterpolationCoding(tensors, device) for device in ("cpu", "numpy")}


def some_picture(kind: str, shape: tuple[int, ...], dtype: type, seed: int = 0) -> np.ndarray:
    rng, most = np.random.default_rng(seed), np.iinfo(dtype).max
    if kind == "noise":
        return rng.integers(0, most + 1, shape).astype(dtype)
    if kind == "extremes":
        return (rng.integers(0, 2, shape) * most).astype(dtype)
    if kind == "constant":
        return np.full(shape, rng.integers(0, most + 1), dtype)
    y, x = np.indices(shape[:2])
    smooth = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4 * most
    smooth = smooth if len(shape) == 2 else np.stack([smooth, smooth / 2, most - smooth], -1)
    return (smooth + rng.normal(0, most / 100, shape)).clip(0, most).astype(dtype)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.booleans(),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(["noise", "extremes", "constant", "smooth"]),
)
def test_pictures_come_back_as_they_were(coder, height, width, colour, dtype, kind):
    picture = some_picture(kind, (height, width, 3) if colour else (height, width), dtype, height * width)
    (body,) = coder.encode([picture])
    (back,) = coder.decode([body], [picture.shape], picture.dtype)
    assert back.dtype == picture.dtype and np.array_equal(back, picture)


def test_long_thin_pictures(coder):
    for shape in ((1, 3000), (3000, 1), (1, 700, 3), (2, 1, 3)):
        picture = some_picture("smooth", shape, np.uint8)
        assert np.array_equal(coder.decode(coder.encode([picture]), [shape], picture.dtype)[0], picture)


def test_strips_of_rows_reach_over_wide_pictures(coder, monkeypatch):
    """With several strips to a phase, windows reach into neighbouring strips' known samples."""
    from lecodec.entropy import interpolation_coding

    picture = some_picture("smooth", (40, 30, 3), np.uint8)
    monkeypatch.setattr(interpolation_coding, "STRIP", 50)
    assert np.array_equal(coder.decode(coder.encode([picture]), [picture.shape], picture.dtype)[0], picture)


def test_the_bytes_do_not_depend_on_threads(coder):
    picture = some_picture("smooth", (60, 50, 3), np.uint8)
    before, bodies = torch.get_num_threads(), set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            bodies.add(coder.encode([picture])[0])
    finally:
        torch.set_num_threads(before)
    assert len(bodies) == 1


@pytest.mark.parametrize("device", ["cpu", "numpy"])
def test_layers_give_the_same_integers_in_float64(tensors, device):
    """Sums are exact, so a wider carrier changes nothing."""

    class Wide(FrozenLayer):
        def __call__(self, a, exact=True, wide=False):
            return single(super().__call__(doubled(a), exact, wide))

    picture = to_ycocg(some_picture("smooth", (33, 30, 3), np.uint8))
    written = []
    for wide in (False, True):
        coding = InterpolationCoding(tensors, device)
        if wide:
            for layer in coding._network.layers.values():
                layer.weight, layer.bias, layer.__class__ = doubled(layer.weight), doubled(layer.bias), Wide
        writer = Writer()
        coding.traverse(writer, 33, 30, 3, 8, picture)
        written.append(writer.finish())
    assert written[0] == written[1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["noise", "extremes", "constant", "smooth"])
def test_numpy_and_torch_write_the_same_bytes(codings, kind, dtype):
    """And read them again, each what the other wrote."""
    for shape in ((33, 30, 3), (21, 40), (1, 9), (7, 1, 3)):
        picture = some_picture(kind, shape, dtype)
        planes = picture.astype(np.int32)[..., None] if len(shape) == 2 else to_ycocg(picture)
        size = (*planes.shape, 8 * picture.itemsize)
        written = {}
        for device, coding in codings.items():
            writer = Writer()
            np.testing.assert_array_equal(coding.traverse(writer, *size, planes), planes)
            written[device] = writer.finish()
        assert written["cpu"] == written["numpy"]
        for coding in codings.values():
            np.testing.assert_array_equal(coding.traverse(Reader(written["cpu"]), *size, None), planes)


def test_the_layers_of_a_model_are_those_that_are_trained(network):
    trained = {name: module for name, module in network.named_modules() if isinstance(module, ShiftLayer)}
    layers = layers_of(SMALL)
    assert set(layers) == set(trained)
    for name, layer in layers.items():
        module = trained[name]
        assert module.weight.shape == (layer.outputs, layer.inputs)
        assert (module.low, module.high) == (layer.low, layer.high)


def test_the_training_loss_is_the_length_of_the_file(network, tensors):
    picture = to_ycocg(some_picture("smooth", (64, 64, 3), np.uint8))
    writer = Writer()
    InterpolationCoding(tensors).traverse(writer, 64, 64, 3, 8, picture)
    with torch.no_grad():
        bits = float(network(torch.from_numpy(picture).float()[None], 6).sum())
    assert 8 * len(writer.finish()) == pytest.approx(bits, rel=0.03)  # an untrained network's far tails cost more


def test_code_length_is_that_of_the_counts(tensors):
    """Within 0.1% and 64 bits of -log2 of the probabilities that the coder was given."""

    class Meter:
        bits = 0.0

        def code_rows(self, counts, symbols):
            self.bits += float(np.log2(2**24 / counts[np.arange(len(counts)), symbols]).sum())
            return symbols

    picture, meter, writer = to_ycocg(some_picture("smooth", (60, 70, 3), np.uint8)), Meter(), Writer()
    coding = InterpolationCoding(tensors)
    coding.traverse(meter, 60, 70, 3, 8, picture)
    coding.traverse(writer, 60, 70, 3, 8, picture)
    assert abs(8 * len(writer.finish()) - meter.bits) <= 0.001 * meter.bits + 64


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("number", range(3))
def test_nothing_is_seen_that_is_not_known(number, deep):
    phase, rng = PHASES[number], np.random.default_rng(number)
    picture = torch.from_numpy(rng.integers(0, 256, (3, 1, 14, 13))).float()
    poisoned = picture.clone()
    unknown = [p for p in ALL if p not in phase.known]
    for r, c in unknown:
        poisoned[:, :, r::2, c::2] = 1e6
    views = []
    for source in (picture, poisoned):
        planes = [split_phases(channel) for channel in source]
        _, h, w = planes[0][phase.target].shape
        views.append((View(phase, planes, h, w, deep), h))
    for found, wanted in zip(*(view.luma(slice(0, h))[:2] for view, h in views), strict=True):
        assert torch.equal(found, wanted)
    assert views[0][0].luma(slice(0, 5))[0].shape[1] == luma_inputs(phase)
    # Chroma sees all of luma, and of chroma what is known.
    poisoned[0] = picture[0]
    planes = [split_phases(channel) for channel in poisoned]
    found = View(phase, planes, *planes[0][phase.target].shape[1:], deep).chroma(slice(0, views[0][1]))
    wanted = views[0][0].chroma(slice(0, views[0][1]))
    assert found[0].shape[1] == chroma_inputs(phase)
    assert torch.equal(found[0], wanted[0]) and all(torch.equal(a, b) for a, b in zip(found[1], wanted[1], strict=True))


def test_views_of_deep_samples_are_those_of_shallow_ones_where_both_fit():
    """A smooth picture of 16 bits needs no shift: it is seen like one of 8 bits."""
    rng = np.random.default_rng(1)
    picture = torch.from_numpy(rng.integers(0, 6, (3, 1, 12, 12))).float()
    planes = [split_phases(channel) for channel in picture]
    shallow, deep = (View(PHASES[0], planes, 6, 6, d).luma(slice(0, 6)) for d in (False, True))
    assert deep[2] is not None and not deep[2].any() and torch.equal(shallow[0], deep[0])
    rough = View(PHASES[0], [split_phases(300 * channel) for channel in picture], 6, 6, True).luma(slice(0, 6))
    assert rough[2] is not None and rough[2].max() > 0 and rough[0].abs().max() <= 255
    assert differences([p[0, 0] * 1000 for p in planes], True).abs().max() <= 255


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from([(0, 255), (-255, 255), (-65535, 65535)]))
def test_mixtures_code_every_value(leaves, seed, components, limits):
    rng, n = np.random.default_rng(seed), 60
    logit = torch.from_numpy(rng.integers(-127, 128, (n, components))).float()
    mean = torch.from_numpy(rng.integers(-16383, 16384, (n, components))).float()
    scale = torch.from_numpy(rng.integers(0, SCALES, (n, components))).float()
    low, high = (torch.full((n,), v) for v in limits)
    x = torch.from_numpy(rng.integers(limits[0], limits[1] + 1, n))
    x[:2], x[2:4] = low[:2], high[:2]
    writer = Writer()
    leaves.code(writer, logit, mean, scale, low, high, x)
    found = leaves.code(Reader(writer.finish()), logit, mean, scale, low, high, None)
    assert torch.equal(found, x)


def test_mixtures_cost_what_training_thinks(leaves):
    rng, n = np.random.default_rng(2), 4000
    logit = torch.from_numpy(rng.integers(-20, 20, (n, 3))).float()
    mean = torch.from_numpy(rng.integers(-200, 200, (n, 3))).float()
    scale = torch.from_numpy(rng.integers(20, 45, (n, 3))).float()
    low, high = torch.full((n,), -100), torch.full((n,), 155)
    x = torch.from_numpy(np.clip(rng.normal(0, 6, n).round(), -100, 155)).long()
    writer = Writer()
    leaves.code(writer, logit, mean, scale, low, high, x)
    bits = float(mixture_bits(x.float(), logit, mean, scale, low.float(), high.float()).sum())
    assert 8 * len(writer.finish()) == pytest.approx(bits, rel=0.006)  # what is improbable costs more


def test_trained_and_frozen_layers_agree_bit_for_bit():
    torch.manual_seed(3)
    layer = ShiftLayer(70, 9, -500, 500)
    weight, bias, bits = (t.numpy() for t in frozen_weights(layer))
    frozen = FrozenLayer(weight.astype(np.int16), bias.astype(np.int32), bits.astype(np.int8), -500, 500)
    a = torch.randint(-255, 256, (50, 70)).float()
    assert torch.equal(layer(a, True), frozen(a))
    expected = (a.long() @ torch.from_numpy(weight).long().T + torch.from_numpy(bias).long()).double()
    expected = torch.floor(expected / 2.0 ** torch.from_numpy(bits).double() + 0.5).clamp(-500, 500)
    assert torch.equal(frozen(a).double(), expected)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_decode_to_a_picture_or_to_an_error(coder, data):
    for shape, dtype in (((7, 9, 3), np.uint8), ((5, 4), np.uint16)):
        try:
            (picture,) = coder.decode([data], [shape], np.dtype(dtype))
        except CorruptFile:
            continue
        assert picture.shape == shape and picture.dtype == dtype


@pytest.mark.parametrize(
    "name, change",
    [
        ("config", lambda a: a + 1),
        ("config", lambda a: a[:-1]),
        ("config", lambda a: a * 100000),
        ("leaves", lambda a: a[:-9]),
        ("leaves", lambda a: pack(np.full((64, 4097), 2**12, np.int32))),
        ("leaves", lambda a: pack(np.full((64, 4097), -1, np.int32))),
        ("leaves", lambda a: pack(np.zeros((64, 4098), np.int32))),
        ("leaves", lambda a: a.astype(np.int32)),
        ("weights", lambda a: a * 0),
        ("spans", lambda a: a - 1000),
        ("spans", lambda a: a.astype(np.int64)),
        ("luma.0.1.first.weight", lambda a: np.full_like(a, 30000)),
        ("luma.0.1.first.weight", lambda a: a[1:]),
        ("luma.0.1.first.bits", lambda a: a + 100),
        ("chroma.1.2.skip.1.bias", lambda a: a.astype(np.int64)),
    ],
)
def test_damaged_models_are_refused(tensors, name, change):
    with pytest.raises(ModelError):
        InterpolationCoding({**tensors, name: change(tensors[name])})
    with pytest.raises(ModelError):
        InterpolationCoding({n: a for n, a in tensors.items() if n != name})


def test_colour_is_reversible():
    rng = np.random.default_rng(0)
    for dtype in (np.uint8, np.uint16):
        rgb = np.concatenate([rng.integers(0, np.iinfo(dtype).max + 1, (500, 3)), np.eye(3) * np.iinfo(dtype).max])
        assert np.array_equal(from_ycocg(to_ycocg(rgb.astype(dtype)), dtype), rgb)
