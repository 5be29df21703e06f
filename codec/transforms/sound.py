"""The transform of sound: a fixed lapped cosine transform, the network that makes z, and the one behind the decoder.

    samples --MDCT--> spectrum --levels of bands--> h_a --> z            (the encoder's, float)
    y, envelope, features --post-net--> gains of bins, noise where y is 0 --> spectrum --inverse MDCT--> samples
    samples of each stripe of the spectrum --shaper--> gains every 1.25 ms --> their sum

The MDCT of a hop of N samples: frame j of x is the spectrum

    X[k] = sqrt(2 REFERENCE) / N  sum_n  w(n) x(N j + n - N) cos(pi / N (n + 1/2 + N / 2) (k + 1/2)),   0 <= n < 2 N

with w(n) = sin(pi / (2 N) (n + 1/2)), of which `bins` <= N are kept. N is 20 ms; a tone has the same coefficients at
every sample rate, up to its phase, because of the factor. Frames overlap by half: what frames j and j + 1 leave of the
samples N j to N (j + 1) adds up to them (Princen and Bradley 1986). A signal of S samples has ceil(S / N) + 1 frames,
the first of which reaches N samples back.

The post-net sees one signal and nothing around it, with zeros beyond its ends, as in training; so does the shaper,
which a model may do without. All of this is float; nothing that is decoded later depends on it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...entropy.bands import BANDS, BINS, bands_of, interpolation, means
from ...entropy.envelope import Envelope, EnvelopeConfig, levels_basis, z_unit
from ...entropy.rate import QUALITY_LEVELS
from .sound_sizes import (
    FLOOR,
    LEAST_LEVEL,
    MOMENTS,
    MOST_SHAPE,
    NOISE_CEILING,
    NOISE_START,
    REFERENCE,
    SHAPED,
    SoundConfig,
    basis_of,
    between,
    hop_of,
    middle_names,
    moments,
    noise,
    stripes_of,
)

__all__ = [
    "REFERENCE",
    "Mdct",
    "PostNet",
    "Shaper",
    "SoundAnalysis",
    "SoundConfig",
    "SoundNetwork",
    "hop_of",
    "levels",
    "noise",
    "valid_bands",
]


@lru_cache(maxsize=8)
def _basis(hop: int, bins: int) -> Tensor:
    """[2 N, bins] float32, for the transform and its inverse of REFERENCE."""
    with torch.inference_mode(False):
        return torch.from_numpy(basis_of(hop, bins))


class Mdct:
    """Of a hop and a number of bins; see the module's text. Threads may share one."""

    def __init__(self, hop: int, bins: int, device: torch.device | str = "cpu"):
        self.hop, self.bins = hop, bins
        self._matrix = _basis(hop, bins).to(device)

    def __call__(self, x: Tensor) -> Tensor:
        """x [B, (t + 1) N], N samples before the signal first -> [B, bins, t]."""
        frames = x.unfold(1, 2 * self.hop, self.hop)
        return (frames @ (self._matrix * (math.sqrt(2 * REFERENCE) / self.hop))).transpose(1, 2)

    def inverse(self, spectrum: Tensor) -> Tensor:
        """[B, bins, t] -> samples [B, (t - 1) N], from where the second frame begins."""
        return self.blocks(spectrum, slice(0, self.bins)).flatten(1)

    def blocks(self, spectrum: Tensor, part: slice) -> Tensor:
        """[B, bins of the part, t] -> what these bins alone are in time, [B, t - 1, N]."""
        frames = spectrum.transpose(1, 2) @ (self._matrix.t()[part] * math.sqrt(2 / REFERENCE))
        return frames[:, :-1, self.hop :] + frames[:, 1:, : self.hop]


@lru_cache(maxsize=32)
def _means(bins: int) -> Tensor:
    with torch.inference_mode(False):
        return torch.from_numpy(means(bins).astype(np.float32))


def levels(spectrum: Tensor) -> Tensor:
    """[B, bins, t] -> levels of bands in octaves, log2 of their root mean squares: [B, BANDS, t]."""
    power = torch.einsum("bkt,kn->bnt", spectrum**2, _means(spectrum.shape[1]).to(spectrum.device))
    return (0.5 * torch.log2(power + FLOOR)).clamp_min(LEAST_LEVEL)


class SoundAnalysis(nn.Module):
    """h_a: levels [B, BANDS, t], t even; index [B] -> z [B, Z, t / 2], to be rounded."""

    def __init__(self, config: SoundConfig, hyper: int):
        super().__init__()
        width, self.coarse = config.analysis, config.coarse
        self.enter = nn.Conv1d(BANDS + 1, width, 5, padding=2)
        self.down = nn.Conv1d(width, width, 4, stride=2, padding=1)
        self.head = nn.Conv1d(width, hyper, 1)
        self.linear = nn.Parameter(levels_basis(hyper))
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            assert self.head.bias is not None
            self.head.bias.zero_()

    def forward(self, levels: Tensor, index: Tensor) -> Tensor:
        centred = levels + 8
        q = _rate_plane(index, levels.shape[-1])
        h = self.down(F.relu(self.enter(torch.cat([centred / 4, q], 1))))
        whole = self.head(F.relu(h)) + torch.einsum("bnt,nz->bzt", F.avg_pool1d(centred, 2), self.linear)
        return whole / z_unit(index, whole.shape[1], self.coarse)[:, :, None]


class Shaper(nn.Module):
    """Gains in time. A frame lasts 40 ms, and its errors and its noise are spread over all of them: between the pulses
    of a voice, and before an attack. Here the levels of stripes of the spectrum are seen every 1.25 ms, and changed;
    what is coded and what is noise have stripes of their own. Temporal noise shaping (Herre and Johnston 1996) does
    this with side information; here there is none.

    forward: what is coded, and noise, spectra [B, bins, t]; h [B, P, t] of the post-net -> samples [B, (t - 1) N].
    """

    def __init__(self, width: int, post: int):
        super().__init__()
        self.enter = nn.Conv1d(SHAPED, width, 1)
        self.given = nn.Conv1d(post, width, 2)
        self.middle = nn.Conv1d(width, width, 3, padding=1)
        self.head = nn.Conv1d(width, SHAPED, 1)
        with torch.no_grad():
            self.head.weight.zero_()
            assert self.head.bias is not None
            self.head.bias.zero_()

    def forward(self, decoded: Tensor, filled: Tensor, h: Tensor, mdct: Mdct) -> Tensor:
        stripes = stripes_of(decoded.shape[1])
        # [B, S, t - 1, N]
        parts = torch.stack([mdct.blocks(a[:, s], s) for a in (decoded, filled) for s in stripes], 1)
        means = torch.from_numpy(moments(mdct.hop)).to(h.device)
        seen = (0.5 * torch.log2(parts.square() @ means + FLOOR)).clamp_min(LEAST_LEVEL)
        seen = (seen.permute(0, 1, 3, 2).flatten(1, 2) + 8) / 4  # [B, S MOMENTS, t - 1]
        half, own = SHAPED // 2, len(stripes) * MOMENTS
        rows = torch.cat([torch.arange(own), torch.arange(half, half + own)]).to(h.device)
        weight = self.enter.weight if own == half else self.enter.weight[:, rows]
        a = F.relu(F.conv1d(seen, weight, self.enter.bias) + self.given(h))
        a = a + F.relu(self.middle(a))
        assert self.head.bias is not None
        gains = F.conv1d(a, self.head.weight[rows], self.head.bias[rows])
        gains = torch.exp2(MOST_SHAPE * torch.tanh(gains / MOST_SHAPE)).unflatten(1, (-1, MOMENTS)).transpose(2, 3)
        before = torch.cat([gains[:, :, :1, :1], gains[:, :, :-1, -1:]], 2)
        behind = torch.cat([gains[:, :, 1:, :1], gains[:, :, -1:, -1:]], 2)
        lines = torch.from_numpy(between(mdct.hop)).to(h.device)
        return (parts * (torch.cat([before, gains, behind], 3) @ lines)).sum(1).flatten(1)


class PostNet(nn.Module):
    """forward: y [B, bins, t] whole numbers; log_step and envelope [B, BANDS, t] in octaves; features [B, F, t]; index
    [B]; noise [B, bins, t] of deviation 1 -> (what y stands for, the noise where it is 0), spectra [B, bins, t] each,
    and h [B, P, t] for the shaper.
    """

    def __init__(self, config: SoundConfig, features: int):
        super().__init__()
        width, side = config.post, 2 * BANDS + features + 1
        self.config = config
        self.enter = nn.Conv1d(BINS + side, width, 3, padding=1)
        self.inner = middle_names(config.blocks)
        for n, name in enumerate(self.inner, 1):
            self.add_module(name, nn.Conv1d(width, width, 3, padding=n, dilation=n))
        self.head = nn.Conv1d(width, 2 * BINS, 1)
        self.shaper = Shaper(config.shaper, width) if config.shaper else None
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            assert self.head.bias is not None
            self.head.bias.zero_()

    @torch.no_grad()
    def scale_noise(self, factor: float) -> None:
        """Make the noise so many times as large, where its limits let it."""
        assert self.head.bias is not None
        self.head.bias[BINS:] += 0.5 * math.log2(factor)

    def forward(
        self, y: Tensor, log_step: Tensor, envelope: Tensor, features: Tensor, index: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        bins = y.shape[1]
        by_bins = torch.from_numpy(interpolation()[:, :bins].astype(np.float32)).to(y.device)
        step, level = (torch.exp2(torch.einsum("bnt,nk->bkt", a, by_bins)) for a in (log_step, envelope))
        decoded = y * step
        seen = torch.log2(1 + 4 * (decoded / level).abs()) / 2
        side = [log_step - envelope, (envelope + 8) / 4, features, _rate_plane(index, y.shape[-1])]
        # Of the weights for all bins those that this signal has.
        weight = torch.cat([self.enter.weight[:, :bins], self.enter.weight[:, BINS:]], 1)
        h = F.relu(F.conv1d(torch.cat([seen, *side], 1), weight, self.enter.bias, padding=1))
        for name in self.inner:
            h = h + F.relu(self.get_submodule(name)(h))
        assert self.head.bias is not None
        gain, loudness = (
            F.conv1d(h, self.head.weight[first : first + bins], self.head.bias[first : first + bins])
            for first in (0, BINS)
        )
        gain = 1.5 * torch.sigmoid(gain + math.log(2))  # 0 to 1.5, 1 at the start
        loudness = torch.exp2((2 * loudness).clamp(-12, 2) + NOISE_START)
        filled = torch.where(y == 0, loudness * torch.minimum(level, NOISE_CEILING * step) * noise, 0)
        return decoded * gain, filled, h

    def samples(self, decoded: Tensor, filled: Tensor, h: Tensor, mdct: Mdct) -> Tensor:
        """What `forward` gives -> samples [B, (t - 1) N]."""
        if self.shaper is None:
            return mdct.inverse(decoded + filled)
        return self.shaper(decoded, filled, h, mdct)


class SoundNetwork(nn.Module):
    """All that is trained: h_a, the entropy model, the post-net."""

    def __init__(self, config: SoundConfig, coding: EnvelopeConfig):
        super().__init__()
        self.config = config
        self.h_a = SoundAnalysis(config, coding.hyper)
        self.envelope = Envelope(coding, config.coarse)
        self.g_s = PostNet(config, coding.features)


def _rate_plane(index: Tensor, frames: int) -> Tensor:
    """[B, 1, t]: the index, from -1/2 to 1/2."""
    return (index.float() / (QUALITY_LEVELS - 1) - 0.5)[:, None, None].expand(-1, 1, frames)


def valid_bands(bins: int, device: torch.device | str = "cpu") -> Tensor:
    """[BANDS] float32: 1 for the bands that a sound of so many bins has."""
    return (torch.arange(BANDS, device=device) < bands_of(bins)).float()
