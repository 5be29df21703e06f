"""The entropy model of sound: training and coding agree, latents are the same on every path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lecodec.entropy.bands import BANDS, BINS, EDGES, GROUPS, StepRule, bands_of, interpolation, means
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.envelope import Envelope, EnvelopeConfig
from lecodec.entropy.envelope_coding import EnvelopeCoding, SoundLatents
from lecodec.entropy.latents import Meter, NullCoder
from lecodec.entropy.run_numpy import IntegerRuntime, NumpyRuntime
from lecodec.entropy.run_torch import TorchRuntime
from lecodec.entropy.tables import TableSet
from lecodec.errors import CorruptFile, ModelError

SIZES = EnvelopeConfig(hyper=8, features=4, prior=8, width=12, context=10)
OWN_RULE = replace(SIZES, slope=100, floor=-155, tilt=75)
RATES = [40 * 256, 12 * 256]


def lively(seed: int = 3, sizes: EnvelopeConfig = SIZES) -> Envelope:
    """A model all of whose parts matter."""
    torch.manual_seed(seed)
    model = Envelope(sizes)
    with torch.no_grad():
        for layer in (model.prior_out, model.envelope_out, *model.context_out):
            layer.weight.mul_(8)
        for layer in (model.prior_in, model.direct, model.envelope_in, *model.context_in):
            layer.gain.value.add_(0.2 * torch.randn_like(layer.gain.value))
            layer.offset.value.add_(0.1 * torch.randn_like(layer.offset.value))
    return model.eval()


@pytest.fixture(scope="module")
def coding() -> EnvelopeCoding:
    return EnvelopeCoding(lively().frozen())


def levels(batch: int, bins: int, channels: int, frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """z [B, channels * Z, t'] and y [B, channels * bins, t] of signals."""
    rng = np.random.default_rng(seed)
    z = rng.integers(-9, 10, (batch, channels * SIZES.hyper, -(-frames // 2)))
    y = np.rint(rng.laplace(0, 2, (batch, channels * bins, frames)))
    return z.astype(np.int32), y.astype(np.float32)


class Recorder:
    """A coder that keeps what it is given."""

    def __init__(self) -> None:
        self.index: list[np.ndarray] = []
        self.values: list[np.ndarray] = []

    def code(self, tables: TableSet, index: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        assert values is not None
        self.index.append(index.copy())
        self.values.append(values.copy())
        return values


def same(a: SoundLatents, b: SoundLatents) -> bool:
    return all(
        np.array_equal(x, y)
        for x, y in zip((*a.levels, a.envelope, a.features), (*b.levels, b.envelope, b.features), strict=True)
    )


def test_bands_cover_all_bins_and_means_are_means():
    assert EDGES[-1] == BINS and bands_of(BINS) == BANDS and bands_of(1) == 1
    for bins in (1, 5, 160, 441, 960):
        assert np.allclose(means(bins).sum(0), 1)
    assert np.allclose(interpolation().sum(0), 1)


@pytest.mark.parametrize(
    ("bins", "channels", "sizes"), [(320, 1, SIZES), (441, 2, SIZES), (960, 2, SIZES), (441, 2, OWN_RULE)]
)
def test_training_and_coding_share_one_function(bins, channels, sizes):
    """Envelope, features, steps and table numbers of training's evaluation are those of the frozen model."""
    model, frames = lively(sizes=sizes), 6
    coding = EnvelopeCoding(model.frozen())
    z, y = levels(2, bins, channels, frames)
    recorders = [Recorder(), Recorder()]
    latents = coding.of(bins, channels).traverse(recorders, (frames,), RATES, (z, y))
    # Items: both signals' first channels, then their second ones.
    items = [(b, c) for c in range(channels) for b in range(2)]
    real_z, real_y = (
        torch.from_numpy(np.stack([a[b].reshape(channels, -1, a.shape[-1])[c] for b, c in items])).float()
        for a in (z, y)
    )
    index = torch.tensor([RATES[b] / 256 for b, _ in items])
    partner = torch.tensor([-1 if c == 0 else b for b, c in items])
    with torch.no_grad():
        envelope, features = model.envelope(real_z, index)
        step = model.log_step(envelope, index)
        mean, t_z = model.prior(real_z, index, partner)
        scales = model.scales(real_y, envelope, features, step, index, partner)
    for n, (b, c) in enumerate(items):
        np.testing.assert_array_equal(latents[b].envelope[c], (envelope[n] * 256).numpy())
        np.testing.assert_array_equal(latents[b].features[c], (features[n] * 256).numpy())
        found = coding.steps.log_step(latents[b].envelope[c], RATES[b])
        np.testing.assert_array_equal(found, (step[n] * 256).numpy())
    for b, recorder in enumerate(recorders):
        own = [n for n, (signal, _) in enumerate(items) if signal == b]
        wanted = [(t_z[n, :, j] + 0.5).floor() for n in own for j in range(z.shape[-1])]
        coded = [real_z[n, :, j] - mean[n, :, j] for n in own for j in range(z.shape[-1])]
        wanted += [t[n, : bins - GROUPS[g], f] for n in own for f in range(frames) for g, t in scales]
        for found, t in zip(recorder.index, wanted, strict=True):
            np.testing.assert_array_equal(found, t.clamp(0, 63).numpy())
        for found, s in zip(recorder.values, coded, strict=False):
            np.testing.assert_array_equal(found, s.numpy())
        spread = np.concatenate(recorder.index)
        assert len(np.unique(spread)) > 10


@pytest.mark.parametrize(("bins", "channels", "frames"), [(1, 1, 1), (160, 1, 7), (330, 2, 5), (960, 2, 4)])
def test_what_is_written_is_read(coding, bins, channels, frames):
    model = coding.of(bins, channels)
    z, y = levels(2, bins, channels, frames)
    writers = [Writer(), Writer()]
    written = model.traverse(writers, (frames,), RATES, (z, y))
    readers = [Reader(writer.finish()) for writer in writers]
    read = model.traverse(readers, (frames,), RATES)
    assert all(same(a, b) and r.exhausted() for a, b, r in zip(written, read, readers, strict=True))
    assert written[0].digest() == read[0].digest()
    np.testing.assert_array_equal(written[0].levels[1], y[0].astype(np.int32))


def test_latents_do_not_depend_on_batch_threads_or_runtime(coding):
    model = coding.of(400, 2)
    z, y = levels(3, 400, 2, 6)
    rates = [0, 16128, 5000]
    writers = [Writer() for _ in rates]
    together = model.traverse(writers, (6,), rates, (z, y))
    data = [w.finish() for w in writers]
    for b, rate in enumerate(rates):
        assert same(together[b], model.traverse([Reader(data[b])], (6,), [rate])[0])
    before = torch.get_num_threads()
    for runtime, threads in ((NumpyRuntime(), 1), (TorchRuntime("cpu", wide=True), 2), (TorchRuntime("cpu"), 2)):
        try:
            torch.set_num_threads(threads)
            again = model.traverse([Reader(d) for d in data], (6,), rates, device=runtime)
        finally:
            torch.set_num_threads(before)
        assert all(same(a, b) for a, b in zip(together, again, strict=True))


def test_context_and_the_other_channel_save_bits_or_cost_them(coding):
    """y of a frame depends on the frames before, and the second channel on the first."""
    z, y = levels(1, 320, 2, 4)
    quiet = y.copy()
    quiet[:, :320, 0] = 0
    bits = []
    for one in (y, quiet):
        meter = Meter()
        coding.of(320, 2).traverse([meter], (4,), [RATES[0]], (z, one))
        alone = Meter()
        coding.of(320, 2).traverse([alone], (4,), [RATES[0]], (z, np.where(np.arange(640)[:, None] < 320, 0, one)))
        bits.append((meter.bits, alone.bits))
    assert bits[0] != bits[1]


def extreme(seed: int) -> dict[str, np.ndarray]:
    """The tensors of a model whose contexts go to the ends of their ranges."""
    rng, tensors = np.random.default_rng(seed), lively().frozen()
    for g in range(len(GROUPS) - 1):
        for n in (0, 1):
            weight = tensors[f"context.{g}.{n}.weight"]
            tensors[f"context.{g}.{n}.weight"] = rng.integers(-1500, 1500, weight.shape).astype(np.int16)
            bias = tensors[f"context.{g}.{n}.bias"]
            tensors[f"context.{g}.{n}.bias"] = rng.integers(-(2**30), 2**30, bias.shape).astype(np.int32)
        gain, offset = tensors[f"context.{g}.0.gain"], tensors[f"context.{g}.0.offset"]
        tensors[f"context.{g}.0.gain"] = rng.integers(0, 2**14, gain.shape).astype(np.int16)
        tensors[f"context.{g}.0.offset"] = rng.integers(-3000, 3000, offset.shape).astype(np.int32)
    return tensors


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_steps_are_exact_wherever_contexts_go(batch):
    """Read in steps of few calls is what the programs of whole networks wrote, in integers: products for each segment
    and for all, frames beyond those that are prepared together, escapes in the middle, bins that end inside a group.
    """
    model, frames = EnvelopeCoding(extreme(batch)).of(90, 2), 70
    z, y = levels(batch, 90, 2, frames)
    y[:, ::7] *= 300
    y[:, 5] = -(2.0**15) + 1
    writers = [Writer() for _ in range(batch)]
    written = model.traverse(writers, (frames,), [9000] * batch, (z, y), device=IntegerRuntime())
    readers = [Reader(writer.finish()) for writer in writers]
    read = model.traverse(readers, (frames,), [9000] * batch, device=NumpyRuntime())
    assert all(same(a, b) and r.exhausted() for a, b, r in zip(written, read, readers, strict=True))


def test_hostile_data_decodes_to_something_or_an_error(coding):
    rng = np.random.default_rng(0)
    for _ in range(4):
        data = rng.bytes(400)
        try:
            found = coding.of(200, 2).traverse([Reader(data)], (5,), [9000])[0]
            assert np.abs(found.levels[0]).max() <= 127 and np.abs(found.levels[1]).max() < 2**15
        except CorruptFile:
            pass


def test_a_models_own_steps_are_in_its_file_and_its_digest():
    usual, own = lively().frozen(), lively(sizes=OWN_RULE).frozen()
    assert set(own) - set(usual) == {"steps"}
    assert own["steps"].tolist()[:2] == [100, round(-1.55 * 256)] and len(own["steps"]) == 1 + BANDS
    assert EnvelopeCoding(own).steps == StepRule.of(100, -155, 75)
    same_rule = {**usual, "steps": np.array([166, *StepRule.of(166, 10, 70).floor], np.int32)}
    assert len({EnvelopeCoding(t).digest() for t in (usual, own, same_rule)}) == 3
    assert EnvelopeCoding(same_rule).steps == EnvelopeCoding(usual).steps


@pytest.mark.parametrize("steps", [[257] + [0] * BANDS, [-1] + [0] * BANDS, [100] + [5000] * BANDS, [100], []])
def test_steps_that_cannot_be_are_refused(steps):
    with pytest.raises(ModelError, match="the model's steps"):
        EnvelopeCoding({**lively().frozen(), "steps": np.array(steps, np.int32)})
    with pytest.raises(ModelError, match="int32"):
        EnvelopeCoding({**lively().frozen(), "steps": np.array(steps, np.int16)})


def test_models_that_do_not_fit_are_refused():
    tensors = lively().frozen()
    for name, array in (
        ("direct.weight", tensors["direct.weight"][:-1]),
        ("line.weight", tensors["line.weight"].astype(np.int32)),
        ("context.3.0.gain", tensors["context.3.0.gain"] - np.int16(20000)),
        ("y.length", tensors["y.length"][:-1]),
        ("line.bias", tensors["line.bias"] + np.int32(30000)),
    ):
        with pytest.raises(ModelError):
            EnvelopeCoding({**tensors, name: array})
    with pytest.raises(ModelError, match="lacks"):
        EnvelopeCoding({k: v for k, v in tensors.items() if k != "prior.1.bias"})
    with pytest.raises(ModelError):
        z, y = levels(1, 160, 1, 2)
        coding = EnvelopeCoding(tensors).of(160, 1)
        given = coding.traverse([NullCoder()], (2,), [0], (z, y))
        coding.traverse([NullCoder()], (2,), [0], (z, y), given=[given])
