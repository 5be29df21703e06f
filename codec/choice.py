"""Which codec codes without loss, if the user names no model.

    a picture -> ALIASES["photo"] if it codes its depth -> LosslessCodec
    a set -> the circuits at hand for items of its shape -> each codes a few items -> the best LosslessCodec

Without a model that fits, blocks are stored or deflated: nothing fails for want of one, and no torch is imported.
"""

from __future__ import annotations

import os

import numpy as np

from ..bitstream import LOSSLESS, NO_DIGEST, SET, Header, ItemSet, geometry
from ..errors import InputError, UnknownModel
from .block_coding import codes
from .lossless import BLOCK, LosslessCodec, checked_set
from .registry import find_model, list_models, load

__all__ = ["circuits_for", "lossless_for_pictures", "lossless_for_set", "named_lossless"]


def named_lossless(model: str | os.PathLike[str], device: str = "cpu") -> LosslessCodec:
    """The codec of a model that the user names. Raises InputError if it codes with loss, otherwise as `load`."""
    codec = load(device=device, model=model)
    if not isinstance(codec, LosslessCodec):
        raise InputError(f"{codec.card.get('name')} is a model that codes with loss, not without")
    return codec


def lossless_for_pictures(
    bit_depth: int, device: str = "cpu", *, model: str | os.PathLike[str] | None = None
) -> LosslessCodec:
    """The codec for pictures of 8 or 16 bits. model: name or path. Raises as `named_lossless` where one is named."""
    if model is not None:
        return named_lossless(model, device)
    try:
        card = find_model("photo")
    except UnknownModel:
        card = None
    if card is not None and codes(card.card, _header(width=1, height=1, channels=3, bit_depth=bit_depth)):
        return named_lossless(card.path, device)
    return LosslessCodec(device=device)


def lossless_for_set(
    samples: np.ndarray, device: str = "cpu", *, model: str | os.PathLike[str] | None = None
) -> LosslessCodec:
    """The codec for a set, uint8 or uint16 [N, ...]: that of `model`, or of the circuits at hand that code such items
    the one that makes the fewest bytes of at most 512 of them, evenly spread. Raises InputError, and as
    `named_lossless` where a model is named.
    """
    if model is not None:
        return named_lossless(model, device)
    codecs = circuits_for(samples, device)
    if len(codecs) < 2:
        return codecs[0] if codecs else LosslessCodec(device=device)
    few = samples[:: -(-len(samples) // BLOCK)]
    return min(codecs, key=lambda codec: len(codec.encode_set(few, verify=False)))


def circuits_for(samples: np.ndarray, device: str = "cpu") -> list[LosslessCodec]:
    """The codecs of all circuits at hand that code the items of a set [N, ...]. Raises InputError (no set)."""
    samples = checked_set(samples)
    width, height, channels = geometry(samples.shape[1:])
    header = _header(
        media=SET,
        width=width,
        height=height,
        channels=channels,
        bit_depth=8 * samples.itemsize,
        items=ItemSet(samples.shape[1:], len(samples), 1),
    )
    cards = [card for card in list_models() if card.card.get("kind") == "circuit"]
    return [named_lossless(card.path, device) for card in cards if codes(card.card, header)]


def _header(**fields: int | ItemSet) -> Header:
    return Header(codec=LOSSLESS, parse_digest=NO_DIGEST, synthesis_digest=NO_DIGEST, quality=0, **fields)  # type: ignore[arg-type]
