"""CompressAI's networks as codecs, for their time and memory only: their weights are random.

    picture -> pad to multiples of 64 -> compress() -> two strings -> decompress() -> crop

The two networks are those of Ballé et al. 2018 (scale hyperprior) and Minnen et al. 2018 (mean and scale hyperprior, no
autoregression), as the package's own zoo builds them at its quality 4 (N = 128, M = 192), run as its own evaluation
does: `update()` first, then `compress` and `decompress` with real strings. The time of the networks does not depend on
their weights. That of the entropy coder depends on the symbols, which random weights make unlike those of a trained
model; how much of the whole it is, is measured (`coding_share`), so that one can see how little that could change.

CompressAI takes 5 to 9 s to import, and only with numpy below 2: it is imported when a codec is made.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import CodecError, InputError
from ._extras import extra

__all__ = ["CompressaiCodec"]

NETWORKS = ("bmshj2018-hyperprior", "mbt2018-mean")
QUALITY = 4
"""Of the zoo's 1 to 8: its rate on photographs is the one that the other codecs are set to (about 0.5 bpp)."""
_HEAD = struct.Struct("<HHHHI")


class CompressaiCodec:
    """A `Codec` (see `peers`); `encode` and `decode` raise `CodecError` for what is not theirs."""

    ladder: tuple[float, ...] = (float(QUALITY),)

    def __init__(self, network: str, device: str = "cpu") -> None:
        """network: one of NETWORKS. Raises InputError: unknown, CompressAI is missing, or the device is."""
        if network not in NETWORKS:
            raise InputError(f"unknown network {network!r}; there are {', '.join('compressai:' + n for n in NETWORKS)}")
        zoo = extra("compressai.zoo", "compressai", "compressai")
        import torch
        from compressai import __version__  # pyright: ignore[reportMissingImports]

        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError):
            raise InputError(f"device {device!r} is not available here") from None
        self.name = f"compressai:{network}"
        self.description = (
            f"CompressAI {__version__} on {device}, zoo quality {QUALITY}, random weights: time and memory only"
        )
        self._device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net: Any = zoo.image_models[network](QUALITY, pretrained=False)
        net.eval().requires_grad_(False)
        net.update()
        self._net = net.to(device)
        self._seconds = self._coding_seconds = 0.0
        for part in (net.entropy_bottleneck, net.gaussian_conditional):
            part.compress, part.decompress = self._timed(part.compress), self._timed(part.decompress)

    @property
    def coding_share(self) -> float:
        """The part of all encoding and decoding so far that was entropy coding: 0 to 1."""
        return self._coding_seconds / self._seconds if self._seconds else 0.0

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """Sizes and both strings, for rgb: uint8 [H, W, 3]; the setting is the one of `ladder`."""
        import torch
        import torch.nn.functional as F

        if setting != QUALITY:
            raise CodecError(f"{self.name} has the setting {QUALITY} only, not {setting:g}")
        started = perf_counter()
        height, width = rgb.shape[:2]
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._device).permute(2, 0, 1)[None].float() / 255
            coded = self._net.compress(F.pad(x, (0, -width % 64, 0, -height % 64)))
        (y,), (z,) = coded["strings"]
        data = _HEAD.pack(height, width, *coded["shape"], len(y)) + y + z
        self._seconds += perf_counter() - started
        return data

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]."""
        import torch

        if len(data) < _HEAD.size:
            raise CodecError(f"{self.name}: {len(data)} bytes hold no picture")
        started = perf_counter()
        height, width, rows, columns, length = _HEAD.unpack_from(data)
        y, z = data[_HEAD.size : _HEAD.size + length], data[_HEAD.size + length :]
        with torch.inference_mode():
            x_hat = self._net.decompress([[y], [z]], (rows, columns))["x_hat"][0, :, :height, :width]
            samples = x_hat.permute(1, 2, 0).mul(255).round().to(torch.uint8).cpu().contiguous().numpy()
        self._seconds += perf_counter() - started
        return samples

    def estimate(self, rgb: np.ndarray, setting: float) -> float:
        """`nan`: an estimate under random weights says nothing."""
        return math.nan

    def _timed(self, coder: Callable[..., Any]) -> Callable[..., Any]:
        """The coder's function with a clock around it; what a GPU still has to compute before is not counted."""
        import torch

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._device != "cpu":
                torch.cuda.synchronize()
            started = perf_counter()
            result = coder(*args, **kwargs)
            self._coding_seconds += perf_counter() - started
            return result

        return timed
