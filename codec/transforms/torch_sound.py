"""The networks of sound in torch, as files are coded with them: arrays in, arrays out. See `sound` for the parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from .sound import Mdct, PostNet, SoundAnalysis, levels
from .sound_sizes import SoundConfig
from .torch_transform import filled

__all__ = ["TorchSoundNetworks"]


class TorchSoundNetworks:
    """weights: of h_a and g_s, float32 by name; hyper, features: sizes of the entropy model."""

    def __init__(self, weights: Mapping[str, np.ndarray], config: SoundConfig, hyper: int, features: int, device: str):
        self.device = device
        self.h_a = filled(SoundAnalysis(config, hyper), "h_a", weights, device)
        self.g_s = filled(PostNet(config, features), "g_s", weights, device)

    @torch.inference_mode()
    def analyse(self, x: np.ndarray, hop: int, bins: int, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x [B, (t + 1) N], N samples before the signal first; index [B] -> spectrum [B, bins, t] and z [B, Z, t'] to
        be rounded, t' = t / 2 rounded up.
        """
        spectrum = Mdct(hop, bins, self.device)(self._here(x))
        seen = levels(spectrum)
        seen = torch.cat([seen, seen[..., -1:]], -1) if seen.shape[-1] % 2 else seen
        return spectrum.cpu().numpy(), self.h_a(seen, self._here(index)).cpu().numpy()

    @torch.inference_mode()
    def synthesise(
        self,
        y: np.ndarray,
        log_step: np.ndarray,
        envelope: np.ndarray,
        features: np.ndarray,
        index: np.ndarray,
        noise: np.ndarray,
        hop: int,
    ) -> np.ndarray:
        """The arguments of `sound.PostNet`, and the hop -> samples [B, (t - 1) N]."""
        given = (self._here(a) for a in (y, log_step, envelope, features, index, noise))
        shown = self.g_s(*given)
        return self.g_s.samples(shown[0], shown[1], shown[2], Mdct(hop, y.shape[1], self.device)).cpu().numpy()

    def _here(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)
