"""Entropy models of any number of levels: a hyperprior over a hyperprior over a factorised prior, and its parts."""

from __future__ import annotations

import numpy as np
import pytest

from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.factorized_coding import FactorizedCoding
from lecodec.entropy.hyperprior_coding import HyperpriorCoding, laplace_tables, table_tensors
from lecodec.entropy.latents import ONE, Choice, EntropyModel, Latents, Meter, deadzone_of
from lecodec.entropy.rate import BANKS
from lecodec.entropy.tables import TableSet
from lecodec.errors import CorruptFile, ModelError

RATES = [300, 62 * 256 + 100]
CHANNELS = 4, 6, 8
"""Of the three levels, coarsest first."""


def bottom(channels: int) -> FactorizedCoding:
    """A factorised prior whose banks differ."""
    rng = np.random.default_rng(0)
    return FactorizedCoding(
        TableSet.from_probabilities([(-3, rng.random(8) + 0.1) for _ in range(BANKS * channels)]), BANKS
    )


def hyperprior(latent: int, hyper: int, seed: int) -> dict[str, np.ndarray]:
    """The tensors of a small hyperprior with random weights, without tables of z."""
    rng = np.random.default_rng(seed)
    width, middle = 5, 7
    sizes = (width, 9 * hyper), (4 * width, width), (middle, 9 * width), (4 * width, middle), (2 * latent, width)
    t = {name: a for name, a in table_tensors(laplace_tables(), laplace_tables()).items() if name.startswith("y.")}
    for n, size in enumerate(sizes):
        t[f"h_s.{n}.weight"] = rng.integers(-3000, 3001, size).astype(np.int16)
        t[f"h_s.{n}.bias"] = rng.integers(-3000, 3001, size[:1]).astype(np.int32)
    for n, channels in enumerate((width, middle, 2 * latent)):
        t[f"gain.{n}"] = rng.integers(500, 2000, (64, channels)).astype(np.int16)
    t["offset"] = rng.integers(20 * ONE, 40 * ONE, (64, 2 * latent)).astype(np.int32)
    return t


def nest() -> HyperpriorCoding:
    top, middle, low = CHANNELS
    return HyperpriorCoding(hyperprior(low, middle, 1), HyperpriorCoding(hyperprior(middle, top, 2), bottom(top)))


def levels(size: tuple[int, int]) -> list[np.ndarray]:
    """A source of two signals: real numbers, the coarsest level whole ones."""
    rng = np.random.default_rng(3)
    sizes = [tuple(-(-n // down) for n in size) for down in (16, 4, 1)]
    out = [rng.laplace(20, 8, (2, c, *s)).astype(np.float32) for c, s in zip(CHANNELS, sizes, strict=True)]
    return [out[0].round() - 20, *out[1:]]


def written(model: EntropyModel, source: list[np.ndarray], **how) -> tuple[list[Latents], list[bytes]]:
    writers = [Writer(), Writer()]
    latents = model.traverse(writers, source[-1].shape[2:], RATES, source, **how)
    return latents, [writer.finish() for writer in writers]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 16), (33, 20)])
def test_three_levels_come_back(size):
    model, source = nest(), levels(size)
    latents, data = written(model, source)
    readers = [Reader(d) for d in data]
    for a, b, reader in zip(latents, model.traverse(readers, size, RATES), readers, strict=True):
        assert len(a.levels) == 3 and all(map(np.array_equal, a.levels, b.levels)) and reader.exhausted()
        assert a.digest() == b.digest() and a.y_hat is a.levels[2] and a.z is a.levels[1]
    for n, unit in enumerate((1, ONE, ONE)):
        found = np.stack([a.levels[n] for a in latents])
        assert found.shape == source[n].shape and found.dtype == np.int32
        assert (np.abs(found / unit - source[n]) <= 0.5 + 1e-3).mean() > 0.95  # but for elements of table 0


def test_a_level_depends_on_the_one_above_it_to_its_last_bit():
    """The unit of a level above is that of its entropy model: h_s is not given it in whole numbers."""
    model, source = nest(), levels((16, 16))
    z = model.above.traverse([Meter(), Meter()], (4, 4), RATES, source[:2])
    one = np.stack([latents.y_hat for latents in z])
    assert (one % ONE).any()
    mu, _ = model.parameters(one, RATES, (16, 16))
    assert not np.array_equal(mu, model.parameters(one // ONE * ONE, RATES, (16, 16))[0])


def test_every_level_counts_in_the_digest_and_in_the_least_bits():
    model = nest()
    other = HyperpriorCoding(hyperprior(8, 6, 1), HyperpriorCoding(hyperprior(6, 4, 4), bottom(4)))
    assert model.digest() == nest().digest() != other.digest()
    assert model.least_bits((64, 64), 0) == bottom(4).least_bits((4, 4), 0) > 0
    latents = written(model, levels((16, 16)))[0][0]
    for n in range(3):
        changed = Latents(tuple(level + (k == n) for k, level in enumerate(latents.levels)))
        assert changed.digest() != latents.digest()


def test_models_above_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="probability tables does not fit"):
        HyperpriorCoding(hyperprior(8, 6, 1), bottom(5))
    with pytest.raises(ModelError, match="probability tables does not fit"):
        FactorizedCoding(laplace_tables(), 7)


@pytest.mark.parametrize("size", [(9,), (2, 3), (2, 3, 4)])
def test_a_factorised_level_has_any_number_of_axes(size):
    rng = np.random.default_rng(0)
    for mean in (None, np.array([5, -70, 0, 1000], np.int32)):
        model = FactorizedCoding(
            bottom(4).y_tables if mean is None else laplace_tables(4), BANKS if mean is None else 1, mean
        )
        source = [rng.normal(0, 4, (2, 4, *size)).astype(np.float32)]
        latents, data = written(model, source)
        again = model.traverse([Reader(d) for d in data], size, RATES)
        assert all(
            a.digest() == b.digest() and a.y_hat.shape == (4, *size) for a, b in zip(latents, again, strict=True)
        )
        error = np.stack([a.y_hat for a in latents]) * 2.0**-model.fraction - source[0]
        assert np.abs(error).max() <= 0.5 + 1e-6


def test_what_is_given_is_refused_by_models_that_take_nothing():
    model, source = nest(), levels((4, 4))
    latents, data = written(model, source, given=[[], []])
    for which in (model, bottom(4)):
        with pytest.raises(ModelError, match="has no use for what is given"):
            which.traverse([Reader(d) for d in data], (4, 4), RATES, given=[latents[:1], []])


def test_a_choice_concerns_the_finest_level_alone():
    model, source = nest(), levels((16, 16))
    plain, kept = written(model, source)[0], {}
    deadzone = deadzone_of(model.y_tables, 15.5, 1.0)
    for _ in range(2):
        leaner = written(model, source, choice=Choice(deadzone, kept))[0]
        assert len(kept) == 1
        for a, b in zip(plain, leaner, strict=True):
            assert all(map(np.array_equal, a.levels[:2], b.levels[:2])) and not np.array_equal(a.y_hat, b.y_hat)


def test_damage_to_a_nest_is_noticed_or_changes_the_digest():
    model, source = nest(), levels((4, 4))
    latents, data = written(model, source)
    for position in range(0, 8 * len(data[0]), max(1, len(data[0]) // 4)):
        bad = bytearray(data[0])
        bad[position // 8] ^= 1 << position % 8
        reader = Reader(bytes(bad))
        try:
            (found,) = model.traverse([reader], (4, 4), RATES[:1])
        except CorruptFile:
            continue
        assert found.digest() != latents[0].digest() or not reader.exhausted()
