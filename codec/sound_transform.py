"""The transform of sound as files are coded with it: segments to latents and back, float.

    samples -> mean and difference -> MDCT -> levels -> h_a -> z          z -> envelope -> steps -> y
    y, envelope, features -> post-net, noise -> inverse MDCT -> left and right

See `transforms.sound` for the parts. The envelope that steps follow from is that of the entropy model, integers, so
that encoder and decoder have the same steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..entropy.bands import DEADZONE, OCTAVE, interpolation
from ..entropy.envelope_coding import Z_LIMIT, EnvelopeCoding, SoundLatents
from ..entropy.layers import ACTIVATION_BITS
from ..entropy.place import NUMPY
from ..entropy.rate import QUALITY_ONE
from ..errors import ModelError
from .latent_model import check_shapes, floats
from .transforms.plain_sound import PlainSoundNetworks
from .transforms.sound_sizes import SoundConfig, bins_of, hop_of, noise

__all__ = ["SoundTransform"]


class SoundTransform:
    """Segments to latents and back: all that is float in the codec. tensors: `h_a.*` and `g_s.*` of a model file; card:
    its card; coding: its entropy model; place: see `entropy.place`. Raises ModelError when they do not fit.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], coding: EnvelopeCoding, place: str):
        try:
            config = SoundConfig(**card["transform"])
        except (KeyError, TypeError, ValueError):
            raise ModelError("the model's card does not say the sizes of its networks") from None
        self.coding = coding
        check_shapes(tensors, config.shapes(coding.hyper, coding.features))
        weights = floats(tensors, "h_a", "g_s")
        if place == NUMPY:
            self._networks: Any = PlainSoundNetworks(weights, config)
        else:
            from .transforms.torch_sound import TorchSoundNetworks

            self._networks = TorchSoundNetworks(weights, config, coding.hyper, coding.features, place)
        self._interpolation = np.ascontiguousarray(interpolation().T, np.float32)

    def analyse(self, samples: np.ndarray, sample_rate: int, rate: int, runtime: Any) -> tuple[np.ndarray, np.ndarray]:
        """samples: of segments, float32 [B, channels, (t + 1) N], a hop before them first; rate: the fixed-point index
        -> z [B, channels Z, ceil(t / 2)] and y [B, channels bins, t], whole numbers.
        """
        batch, channels, length = samples.shape
        x = _turned(samples).reshape(batch * channels, length)
        index = _index(rate, len(x))
        spectrum, real = self._networks.analyse(x, hop_of(sample_rate), bins_of(sample_rate), index)
        z = np.rint(real).clip(-Z_LIMIT, Z_LIMIT).astype(np.int32)
        frames = spectrum.shape[-1]
        envelope, _ = self.coding.envelope_of(z, [rate] * len(z), frames, runtime)
        step = self._by_bins(self.coding.steps.log_step(envelope, rate), spectrum.shape[1])
        y = spectrum * np.exp2(-step)
        y = np.copysign(np.floor(np.abs(y) + np.float32(0.5 - DEADZONE)), y)
        return z.reshape(batch, -1, z.shape[-1]), y.reshape(batch, -1, frames)

    def _by_bins(self, values: np.ndarray, bins: int) -> np.ndarray:
        """Of bands [B, BANDS, t], OCTAVE an octave -> of bins [B, bins, t], octaves."""
        return np.matmul(self._interpolation[:bins], values.astype(np.float32) / np.float32(OCTAVE))

    def synthesise(self, latents: SoundLatents, sample_rate: int, rate: int) -> np.ndarray:
        """The latents of a segment of t frames -> float32 [(t - 1) N, channels], in [-1, 1]."""
        bins, (channels, _, frames) = bins_of(sample_rate), latents.envelope.shape
        steps = self.coding.steps.log_step(latents.envelope, rate)
        x = self._networks.synthesise(
            latents.levels[1].reshape(channels, bins, frames).astype(np.float32),
            steps.astype(np.float32) / np.float32(OCTAVE),
            latents.envelope.astype(np.float32) / np.float32(OCTAVE),
            latents.features.astype(np.float32) / np.float32(2**ACTIVATION_BITS),
            _index(rate, channels),
            np.stack([noise(c, bins, frames) for c in range(channels)]),
            hop_of(sample_rate),
        )
        if not np.isfinite(x).all():
            raise ModelError("the model's synthesis gave a number that is not finite")
        return np.ascontiguousarray(_back(x).T).clip(-1, 1)


def _index(rate: int, count: int) -> np.ndarray:
    return np.full(count, rate / QUALITY_ONE, np.float32)


def _turned(samples: np.ndarray) -> np.ndarray:
    """[B, 2, n] left and right -> their mean and half of their difference; [B, 1, n] as it is."""
    if samples.shape[1] == 1:
        return samples
    left, right = samples[:, 0], samples[:, 1]
    return np.stack([(left + right) / 2, (left - right) / 2], 1)


def _back(samples: np.ndarray) -> np.ndarray:
    """The inverse, of [channels, n]."""
    return samples if len(samples) == 1 else np.stack([samples[0] + samples[1], samples[0] - samples[1]])
