"""Transforms of pictures whose networks run in torch: on a GPU, for gradients, and where the program has torch already.

samples -> tensors on the device -> networks -> arrays
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ...bitstream import QUALITY_ONE, PictureLayout
from ...entropy.latents import MEAN_BITS
from ...errors import ModelError
from .transform import WindowedTransform

__all__ = ["TorchTransform", "centred", "filled"]

_N = TypeVar("_N", bound=nn.Module)
_DTYPES = {8: torch.uint8, 16: torch.uint16}


class TorchTransform(WindowedTransform):
    """g_a, g_s: networks; h_a: from y and index to the one level above, or None. The other arguments are those of
    `WindowedTransform`.
    """

    def __init__(
        self, g_a: Any, h_a: Any, g_s: Any, *, reach_a: int, reach_s: int, window: Mapping[str, int], place: str
    ):
        super().__init__(reach_a=reach_a, reach_s=reach_s, window=window, place=place)
        self.g_a, self.h_a, self.g_s = g_a, h_a, g_s

    def _analysed(self, samples: Tensor, index: Tensor) -> Tensor:
        """Samples [B, 16 h, 16 w, 3], or [.., 1] for grey, as integers -> y [B, M, h, w]."""
        raise NotImplementedError

    def _shown(self, y_hat: Tensor, index: Tensor) -> Tensor:
        """y_hat [B, M, h, w] -> samples - 1/2 [..., 3] float32, in an arrangement of its own."""
        raise NotImplementedError

    def _arranged(self, samples: Tensor) -> Tensor:
        """What `_shown` gives, of any type and number of colours -> [B, 16 h, 16 w, C]."""
        raise NotImplementedError

    @torch.inference_mode()
    def _y(self, samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        return self._analysed(self._here(samples), self._here(index)).float().cpu().numpy()

    @torch.inference_mode()
    def _above(self, y: np.ndarray, index: np.ndarray, n: int) -> np.ndarray | None:
        h_a = self.h_a
        for _ in range(n):
            h_a = h_a.above
        return None if h_a is None else h_a(self._here(y), self._here(index)).cpu().numpy()

    @torch.inference_mode()
    def _samples(self, y_hat: np.ndarray, index: np.ndarray, layout: PictureLayout) -> np.ndarray:
        peak = 2**layout.bit_depth - 1
        shown = self._shown(self._here(y_hat).float().mul_(2.0**-MEAN_BITS), self._here(index))
        if not all(map(isfinite, torch.stack(shown.aminmax()).tolist())):
            raise ModelError("the model's synthesis gave a number that is not finite")
        shown = _coloured(shown, layout.channels).add_(0.5).mul_(peak).round_().clamp_(0, peak)
        return self._arranged(shown.to(_DTYPES[layout.bit_depth])).cpu().numpy()

    def shown(self, y_hat: Tensor, rates: Sequence[int], channels: int) -> Tensor:
        """See `Transform`."""
        index = torch.tensor(rates, dtype=torch.float32, device=self.device) / QUALITY_ONE
        return self._arranged(_coloured(self._shown(y_hat, index), channels))

    def _here(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


@torch.inference_mode(False)  # whoever loads a model: the encoder takes gradients through it
def filled(network: _N, prefix: str, tensors: Mapping[str, np.ndarray], device: str) -> _N:
    """The network with its weights, float32 by name, which have its shapes."""
    state = {
        name[len(prefix) + 1 :]: torch.from_numpy(array).to(device)
        for name, array in tensors.items()
        if name.startswith(prefix + ".")
    }
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def centred(samples: Tensor) -> Tensor:
    """uint8 or uint16, of any shape -> x - 1/2 as float32, x in [0, 1]."""
    return samples.float().mul_(1 / (255 if samples.element_size() == 1 else 65535)).sub_(0.5)


def _coloured(shown: Tensor, channels: int) -> Tensor:
    """Grey is the mean of three colours."""
    return shown.mean(-1, keepdim=True) if channels == 1 else shown
