"""Which codec encodes, if the user names no model.

    a picture and a target with loss -> ALIASES["image"] -> ImageCodec
    a picture -> ALIASES["photo"] if it codes its depth -> LosslessCodec
    a video -> ALIASES["video"] -> VideoCodec
    a sound -> ALIASES["sound"] -> SoundCodec, or without loss LosslessSoundCodec
    a set -> circuits for items of its shape, models of pictures -> each codes a few items -> the best LosslessCodec

Without a model that fits, blocks are stored or deflated: nothing fails for want of one.
"""

from __future__ import annotations

import os

import numpy as np

from ..bitstream import PictureLayout, SetLayout, SoundLayout, VideoLayout
from ..errors import ModelError, UnknownModel
from .codec import Codec, Target
from .domain import domain_of
from .lossless import LosslessCodec
from .media.signal import BLOCK, Signal, checked_set
from .model_file import ModelCard
from .registry import find_model, list_models, load, pass_over

__all__ = ["codec_for", "lossless_for_pictures", "lossless_for_set", "models_for_set"]

TRIED = 2**15
"""Samples of a set, about, on which models of pictures are tried: they take seconds a megapixel."""


def codec_for(
    signal: Signal, target: Target, device: str = "cpu", *, model: str | os.PathLike[str] | None = None
) -> Codec:
    """The codec that encodes a signal to a target. model: name or path. Raises as `load`, and InputError for a model
    that codes otherwise.
    """
    if isinstance(signal.layout, VideoLayout):
        from .video import VideoCodec

        return load("video", device, model=model, of=VideoCodec)
    if isinstance(signal.layout, SoundLayout) and target.lossless:
        from .sound_lossless import LosslessSoundCodec

        if model is not None:
            raise LosslessSoundCodec.refusal(find_model(model).card)
        return LosslessSoundCodec(device)
    if isinstance(signal.layout, SoundLayout):
        from .sound import SoundCodec

        return load("sound", device, model=model, of=SoundCodec)
    if not target.lossless:
        from .image import ImageCodec

        return load(device=device, model=model, of=ImageCodec)
    if isinstance(signal.layout, SetLayout):
        return lossless_for_set(signal.samples, device, model=model)
    return lossless_for_pictures(8 * signal.samples.itemsize, device, model=model)


def lossless_for_pictures(
    bit_depth: int, device: str = "cpu", *, model: str | os.PathLike[str] | None = None
) -> LosslessCodec:
    """The codec for pictures of 8 or 16 bits. model: name or path; tiles are coded by it then, not
    adaptively. Raises as `load` where one is named.
    """
    if model is not None:
        found = load(device=device, model=model, of=LosslessCodec)
        return LosslessCodec(found.coder, found.card, found.device, adaptive=False)
    try:
        card = find_model("photo")
    except UnknownModel:
        card = None
    if card is not None and _fits(card, PictureLayout(width=1, height=1, channels=3, bit_depth=bit_depth)):
        return load(device=device, model=card.path, of=LosslessCodec)
    return LosslessCodec(device=device)


def lossless_for_set(
    samples: np.ndarray, device: str = "cpu", *, model: str | os.PathLike[str] | None = None
) -> LosslessCodec:
    """The codec for a set, uint8 or uint16 [N, ...]: that of `model`, or of what `models_for_set` finds, and of none,
    what makes the fewest bytes of a few of the items, evenly spread. Raises InputError, and as `load` where a model is
    named.
    """
    if model is not None:
        return load(device=device, model=model, of=LosslessCodec)
    codecs, plain = models_for_set(samples, device), LosslessCodec(device=device)
    quick = all(_is_circuit(codec) for codec in codecs)
    if len(codecs) < 2 and quick:
        return codecs[0] if codecs else plain
    most = BLOCK if quick else max(1, min(BLOCK, TRIED // max(1, samples[0].size)))
    few = samples[:: -(-len(samples) // most)]
    return min([*codecs, *([] if quick else [plain])], key=lambda codec: len(codec.encode_set(few, verify=False)))


def models_for_set(samples: np.ndarray, device: str = "cpu") -> list[LosslessCodec]:
    """The codecs of all models found that code the items of a set [N, ...]: circuits for their shape, and models of
    pictures if the items are small ones; what is damaged is passed over. Raises InputError (no set).
    """
    samples = checked_set(samples)
    layout = SetLayout.of(samples.shape[1:], len(samples), 1, bit_depth=8 * samples.itemsize)
    codecs = []
    for card in list_models():
        if _fits(card, layout):
            try:
                codecs.append(load(device=device, model=card.path, of=LosslessCodec))
            except ModelError as error:
                pass_over(card.path, error)
    return codecs


def _is_circuit(codec: LosslessCodec) -> bool:
    domain = domain_of(codec.card)
    return domain is not None and domain.item_shape is not None


def _fits(card: ModelCard, layout: PictureLayout | SetLayout) -> bool:
    domain = domain_of(card.card)
    return domain is not None and domain.fits(layout)
