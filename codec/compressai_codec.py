"""The codec of imported CompressAI models: `ImageCodec` with other transforms and another entropy model.

    tensors, card -> an imported entropy model, g_a, h_a, g_s of 2018 -> ImageCodec's way to `.lec` files and back

Files are like those of this package's own models: the same container, the same exactness, tiles, regions, digests of
the latents. A model has one rate, that of the checkpoint it was made from. So every quality from 1 to 100 gives the
same file, whose header says 0, and a target is met or refused. CompressAI itself is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..entropy.imported_coding import ImportedHyperprior, imported_model
from ..errors import InputError, ModelError
from .compressai_networks import (
    REACH,
    HyperAnalysis,
    ImportedAnalysis,
    ImportedSynthesis,
    TransformSizes,
)
from .image import MEASURES, ImageCodec
from .latent_coding import Parts, check_shapes
from .model_file import parse_tensors
from .targets import BPP_TOLERANCE, FIDELITIES
from .tiles import layout_of

__all__ = ["ImportedCodec"]

WINDOW = {"cpu": 2**11, "cuda": 2**14}
"""Positions of y that a transform works on at a time. At half the resolution N channels of one position are 64 N
numbers, and three such planes at a time 100 to 150 kB: 200 to 300 MB on a CPU."""


class ImportedCodec(ImageCodec):
    """As `ImageCodec`, for models of the kind "compressai"; quality makes no difference.

    Raises ModelError when tensors and card do not make a codec.
    """

    one_rate = True

    def _parts(self, tensors: Mapping[str, np.ndarray]) -> Parts:
        try:
            sizes = TransformSizes(**self.card["transform"])
        except (KeyError, TypeError):
            raise ModelError("the model's card does not give the sizes of its networks") from None
        entropy, h_a = imported_model(parse_tensors(tensors)), None
        hyper = entropy if isinstance(entropy, ImportedHyperprior) else None
        if entropy.latent != sizes.latent or (hyper and hyper.hyper != sizes.features):
            raise ModelError("the model's entropy model does not fit its transforms")
        check_shapes(tensors, sizes.shapes(hyper is not None))
        if hyper:
            h_a = HyperAnalysis(sizes, hyper.z_median, hyper.has_means, self.device)
        return Parts(entropy, ImportedAnalysis(sizes), h_a, ImportedSynthesis(sizes), REACH, REACH, WINDOW)

    def _encode_run(self, pictures: list[Any], q: int) -> list[bytes]:
        return super()._encode_run(pictures, 0)

    def _encode_to(self, kind: str, target: float, picture: Any) -> bytes:
        """The one file that there is, if it meets the target: bits a pixel within 1.5% or 4 bytes a tile, PSNR within
        0.1 dB, SSIMULACRA2 within 0.5, size at most. Raises InputError with what it has instead.
        """
        data = self._encode_run([picture], 0)[0]
        layout = layout_of(picture.header)
        pixels = layout.width * layout.height
        bpp = 8 * len(data) / pixels
        if kind == "size":
            met, wanted, found = len(data) <= target, f"at most {target:.0f} bytes", f"{len(data)} bytes"
        elif kind == "bpp":
            slack = max(BPP_TOLERANCE * target, 32 * layout.units / pixels)
            met, wanted, found = abs(bpp - target) <= slack, f"{target:g} bpp", f"{bpp:.4f} bpp"
        else:
            value, scale = MEASURES[kind](picture.colour, self._decoded(picture, 0)), FIDELITIES[kind]
            met = abs(value - target) <= scale.tolerance or value == target
            wanted, found = scale.wanted.format(target), scale.found.format(value)
        if not met:
            raise InputError(
                f"{wanted} cannot be had: {self.card.get('name')} has one rate, at which this picture has {found}"
            )
        return data
