"""The network that shapes bands in time: what its gains do, at every hop, in torch and in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lecodec.codec.transforms.plain_sound import PlainSoundNetworks
from lecodec.codec.transforms.sound import Mdct, PostNet, Shaper, SoundConfig
from lecodec.codec.transforms.sound_sizes import (
    MOMENTS,
    MOST_SHAPE,
    SHAPED,
    STRIPES,
    basis_of,
    between,
    bins_of,
    hop_of,
    moments,
    stripes_of,
)
from lecodec.entropy.bands import BANDS, BINS

RATES = 8000, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 1000
FEATURES = 3


def given(bins: int, frames: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """y, steps, envelope, features, index and noise of two signals."""
    make = torch.Generator().manual_seed(seed)

    def normal(channels: int) -> torch.Tensor:
        return torch.randn(2, channels, frames, generator=make)

    y = normal(bins).mul(1.5).round()
    return y, normal(BANDS) - 4, normal(BANDS) - 3, normal(FEATURES), torch.tensor([10.0, 50.0]), normal(bins)


def net(seed: int = 1) -> PostNet:
    torch.manual_seed(seed)
    made = PostNet(SoundConfig(post=8, shaper=6), FEATURES).eval()
    assert made.shaper is not None
    with torch.no_grad():
        made.shaper.head.weight.normal_(0, 1)
    return made


@pytest.mark.parametrize("rate", RATES)
def test_moments_and_lines_of_every_hop(rate: int) -> None:
    hop = hop_of(rate)
    assert moments(hop).shape == (hop, MOMENTS) and between(hop).shape == (MOMENTS + 2, hop)
    np.testing.assert_allclose(between(hop).sum(0), 1, atol=1e-6)
    if hop >= MOMENTS:  # every sample is of one moment
        np.testing.assert_allclose(moments(hop).sum(0), 1, atol=1e-6)
        assert ((moments(hop) > 0).sum(1) == 1).all()
    line = np.arange(-1, MOMENTS + 1) @ between(hop)  # gains on a line stay on it
    np.testing.assert_allclose(line, MOMENTS * (np.arange(hop) + 0.5) / hop - 0.5, atol=1e-4)


def test_stripes_are_all_bins_once() -> None:
    for bins in (1, 20, 21, 320, BINS):
        assert [k for s in stripes_of(bins) for k in range(s.start, s.stop)] == list(range(bins))
    assert SHAPED == 2 * MOMENTS * (len(STRIPES) - 1)


@pytest.mark.parametrize("rate", RATES)
def test_a_new_shaper_changes_nothing(rate: int) -> None:
    hop, bins = hop_of(rate), bins_of(rate)
    shown = PostNet(SoundConfig(post=8, shaper=6), FEATURES)
    with torch.no_grad():
        decoded, filled, h = shown(*given(bins, 5))
        mdct = Mdct(hop, bins)
        plain = mdct.inverse(decoded + filled)
        assert torch.allclose(shown.samples(decoded, filled, h, mdct), plain, atol=1e-5 * float(plain.abs().max()))
        assert torch.equal(PostNet(SoundConfig(post=8), FEATURES).samples(decoded, filled, h, mdct), plain)


def test_gains_are_of_their_stripe_moment_and_part() -> None:
    """One gain is raised: the sound differs near its moment alone, by what its stripe has there, and in one of two."""
    hop, bins, frames = 320, 320, 6
    torch.manual_seed(3)
    decoded, filled, h = torch.randn(1, bins, frames), torch.randn(1, bins, frames), torch.randn(1, 8, frames)
    shaper, mdct = Shaper(4, 8), Mdct(hop, bins)
    stripe, moment = 2, 5
    for part, spectrum in enumerate((decoded, filled)):
        with torch.no_grad():
            shaper.head.bias.zero_()
            shaper.head.bias[part * SHAPED // 2 + stripe * MOMENTS + moment] = 100.0  # as far as it goes
            found = shaper(decoded, filled, h, mdct) - mdct.inverse(decoded + filled)
            alone = torch.zeros_like(spectrum)
            alone[:, slice(*STRIPES[stripe : stripe + 2])] = spectrum[:, slice(*STRIPES[stripe : stripe + 2])]
            shape = torch.from_numpy(between(hop)[moment + 1]) * (2**MOST_SHAPE - 1)
            wanted = mdct.inverse(alone) * shape.repeat(frames - 1)
        assert torch.allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("rate", RATES)
def test_numpy_makes_of_it_what_torch_makes(rate: int) -> None:
    hop, bins, shown = hop_of(rate), bins_of(rate), net()
    inputs = given(bins, 7)
    with torch.no_grad():
        wanted = shown.samples(*shown(*inputs), Mdct(hop, bins)).numpy()
    weights = {f"g_s.{name}": value.numpy() for name, value in shown.state_dict().items()}
    found = PlainSoundNetworks(weights, shown.config).synthesise(*(a.numpy() for a in inputs), hop)
    assert found.shape == wanted.shape == (2, 6 * hop)
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())
    assert basis_of(hop, bins).shape == (2 * hop, bins)


def test_levels_that_are_smeared_come_back_sharp() -> None:
    """What the shaper is for: trained on it for some steps, noise before a click goes away."""
    torch.manual_seed(0)
    hop, frames = 320, 8
    mdct, sound = Mdct(hop, hop), torch.zeros(1, (frames + 1) * hop)
    sound[:, 4 * hop + 200 : 4 * hop + 230] = torch.randn(1, 30)
    spectrum = mdct(sound)
    smeared = spectrum + 0.2 * spectrum.abs().mean() * torch.randn_like(spectrum)
    wanted, shaper, h = mdct.inverse(spectrum), Shaper(16, 4), torch.zeros(1, 4, frames)
    before = slice(3 * hop, 3 * hop + 150)
    optimiser = torch.optim.Adam(shaper.parameters(), 3e-3)
    for _ in range(60):
        loss = (shaper(smeared, torch.zeros_like(smeared), h, mdct) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = shaper(smeared, torch.zeros_like(smeared), h, mdct)
        plain = mdct.inverse(smeared)
    assert found[:, before].square().mean() < 0.2 * plain[:, before].square().mean()


def test_sizes_that_cannot_be_are_refused() -> None:
    assert SoundConfig(shaper=0).shaper == 0
    for wrong in ({"shaper": -1}, {"shaper": True}, {"post": 0}):
        with pytest.raises(ValueError, match="whole number"):
            SoundConfig(**wrong)
