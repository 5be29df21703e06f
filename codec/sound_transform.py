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
import torch
from torch import Tensor

from ..entropy.bands import OCTAVE, interpolation, log_step
from ..entropy.envelope import DEADZONE
from ..entropy.envelope_coding import Z_LIMIT, EnvelopeCoding, SoundLatents
from ..entropy.layers import ACTIVATION_BITS
from ..entropy.rate import QUALITY_ONE
from ..errors import ModelError
from .latent_model import check_shapes, filled
from .transforms.sound import Mdct, PostNet, SoundAnalysis, SoundConfig, bins_of, hop_of, levels, noise

__all__ = ["SoundTransform"]


class SoundTransform:
    """Segments to latents and back: all that is float in the codec. tensors: `h_a.*` and `g_s.*` of a model file; card:
    its card; coding: its entropy model. Raises ModelError when they do not fit.
    """

    def __init__(
        self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], coding: EnvelopeCoding, device: torch.device
    ):
        try:
            config = SoundConfig(**card["transform"])
        except (KeyError, TypeError, ValueError):
            raise ModelError("the model's card does not say the sizes of its networks") from None
        self.coding, self.device = coding, device
        check_shapes(tensors, config.shapes(coding.hyper, coding.features))
        self.h_a = filled(SoundAnalysis(config, coding.hyper), "h_a", tensors, device)
        self.g_s = filled(PostNet(config, coding.features), "g_s", tensors, device)
        self._interpolation = torch.from_numpy(interpolation().astype(np.float32)).to(device)

    @torch.inference_mode()
    def analyse(self, samples: np.ndarray, sample_rate: int, rate: int, runtime: Any) -> tuple[np.ndarray, np.ndarray]:
        """samples: of segments, float32 [B, channels, (t + 1) N], a hop before them first; rate: the fixed-point index
        -> z [B, channels Z, ceil(t / 2)] and y [B, channels bins, t], whole numbers.
        """
        batch, channels = samples.shape[:2]
        x = torch.from_numpy(_turned(samples)).to(self.device).flatten(0, 1)
        spectrum = Mdct(hop_of(sample_rate), bins_of(sample_rate), self.device)(x)
        frames = spectrum.shape[-1]
        seen = levels(spectrum)
        seen = torch.cat([seen, seen[..., -1:]], -1) if frames % 2 else seen
        index = torch.full((len(x),), rate / QUALITY_ONE, dtype=torch.float32, device=self.device)
        z = self.h_a(seen, index).round().clamp(-Z_LIMIT, Z_LIMIT).to(torch.int32).cpu().numpy()
        envelope, _ = self.coding.envelope_of(z, [rate] * len(z), frames, runtime)
        step = self._by_bins(np.stack([log_step(e, rate) for e in envelope]), spectrum.shape[1])
        y = spectrum * torch.exp2(-step)
        y = torch.sign(y) * (y.abs() + (0.5 - DEADZONE)).floor()
        return z.reshape(batch, -1, z.shape[-1]), y.cpu().numpy().reshape(batch, -1, frames)

    def _by_bins(self, values: np.ndarray, bins: int) -> Tensor:
        """Of bands [B, BANDS, t], OCTAVE an octave -> of bins [B, bins, t], octaves."""
        real = torch.from_numpy(values.astype(np.float32)).to(self.device) / OCTAVE
        return torch.einsum("bnt,nk->bkt", real, self._interpolation[:, :bins])

    @torch.inference_mode()
    def synthesise(self, latents: SoundLatents, sample_rate: int, rate: int) -> np.ndarray:
        """The latents of a segment of t frames -> float32 [(t - 1) N, channels], in [-1, 1]."""
        bins, (channels, _, frames) = bins_of(sample_rate), latents.envelope.shape
        y = torch.from_numpy(latents.levels[1].reshape(channels, bins, frames).astype(np.float32)).to(self.device)
        steps = np.stack([log_step(e, rate) for e in latents.envelope])
        step, envelope = (
            torch.from_numpy(a.astype(np.float32)).to(self.device) / OCTAVE for a in (steps, latents.envelope)
        )
        features = torch.from_numpy(latents.features.astype(np.float32)).to(self.device) / 2**ACTIVATION_BITS
        index = torch.full((channels,), rate / QUALITY_ONE, dtype=torch.float32, device=self.device)
        filling = torch.from_numpy(np.stack([noise(c, bins, frames) for c in range(channels)])).to(self.device)
        decoded, filled_in = self.g_s(y, step, envelope, features, index, filling)
        x = Mdct(hop_of(sample_rate), bins, self.device).inverse(decoded + filled_in)
        if not bool(torch.isfinite(x).all()):
            raise ModelError("the model's synthesis gave a number that is not finite")
        return np.ascontiguousarray(_back(x.cpu().numpy()).T).clip(-1, 1)


def _turned(samples: np.ndarray) -> np.ndarray:
    """[B, 2, n] left and right -> their mean and half of their difference; [B, 1, n] as it is."""
    if samples.shape[1] == 1:
        return samples
    left, right = samples[:, 0], samples[:, 1]
    return np.stack([(left + right) / 2, (left - right) / 2], 1)


def _back(samples: np.ndarray) -> np.ndarray:
    """The inverse, of [channels, n]."""
    return samples if len(samples) == 1 else np.stack([samples[0] + samples[1], samples[0] - samples[1]])
