"""Where models are: the shipped ones, a path, and the folders of LECODEC_MODELS. No torch until a model is loaded.

    name, path or parse digest -> ModelCard -> load_tensors -> codec of the card's kind

A shipped model is never removed or renamed: files in the world name its parse digest.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..bitstream import LOSSLESS, NO_DIGEST, Header
from ..errors import ModelError, UnknownModel
from ..kinds import kind_of, named
from .model_file import ModelCard, load_tensors, read_card

if TYPE_CHECKING:
    from .image import ImageCodec
    from .lossless import LosslessCodec

    Codec = TypeVar("Codec", ImageCodec, LosslessCodec)

__all__ = ["ALIASES", "find_by_digest", "find_model", "list_models", "load", "load_for"]

SHIPPED = Path(__file__).parent / "models"
ALIASES = {"image": "image-3", "photo": "photo-1"}
"""What a short name stands for: the best model of its kind that is shipped, if one is."""


def _folders() -> list[Path]:
    extra = [Path(p) for p in os.environ.get("LECODEC_MODELS", "").split(os.pathsep) if p]
    return [SHIPPED, *extra]


def _files() -> list[Path]:
    files = []
    for place in _folders():
        files += [place] if place.is_file() else sorted(place.glob("*.safetensors"))
    return files


def list_models() -> list[ModelCard]:
    """Every model at hand: the shipped ones, then those of LECODEC_MODELS (folders or files). No model: passed over."""
    cards = []
    for path in _files():
        try:
            cards.append(read_card(path))
        except OSError:  # ModelError is one: a foreign or unreadable file in the folder
            continue
    return cards


def find_model(name: str | os.PathLike[str] | None = None) -> ModelCard:
    """name: of a model, a short name ("image", the default), or the path of a model file.

    Raises UnknownModel when nothing has that name, ModelError when the path is no model.
    """
    name = os.fspath(name or "image")
    wanted = ALIASES.get(name, name)
    cards = list_models()
    for card in cards:
        if card.name == wanted:
            return card
    if os.path.isfile(name):
        return read_card(name)
    names = ", ".join(sorted({c.name for c in cards})) or "none"
    raise UnknownModel(f"no model {name!r}: it is neither a file nor one of those at hand ({names})")


def find_by_digest(parse_digest: bytes, synthesis_digest: bytes | None = None) -> ModelCard:
    """The model that decodes files with this parse digest; of several, the one with the synthesis digest too.

    Raises UnknownModel.
    """
    found = [c for c in list_models() if c.parse_digest == parse_digest.hex()]
    if not found:
        raise UnknownModel(
            f"no model with parse digest {parse_digest.hex()} is at hand: name its file with --model, "
            "or its folder in LECODEC_MODELS"
        )
    exact = [c for c in found if synthesis_digest is not None and c.synthesis_digest == synthesis_digest.hex()]
    return (exact or found)[0]


@overload
def load(
    name: str = ..., device: str = ..., *, model: str | os.PathLike[str] | None = ..., of: None = ...
) -> ImageCodec | LosslessCodec: ...


@overload
def load(
    name: str = ..., device: str = ..., *, model: str | os.PathLike[str] | None = ..., of: type[Codec]
) -> Codec: ...


def load(
    name: str = "image",
    device: str = "cpu",
    *,
    model: str | os.PathLike[str] | None = None,
    of: type[ImageCodec | LosslessCodec] | None = None,
) -> ImageCodec | LosslessCodec:
    """The codec of a model: by name or path (`model` overrides `name`), on "cpu" or "cuda". An `ImageCodec` or, of the
    kinds "circuit" and "photo", a `LosslessCodec`; of: the one of the two that is wanted.

    Loading the same file again gives the same object. Raises UnknownModel, ModelError, InputError (device), and what
    `of.refusal` says for a model of the other class.
    """
    path = find_model(model or name).path
    codec = _load(path, os.stat(path).st_mtime_ns, device)
    if of is not None and not isinstance(codec, of):
        raise of.refusal(codec.card)
    return codec


def load_for(
    header: Header, device: str = "cpu", *, model: str | os.PathLike[str] | None = None
) -> ImageCodec | LosslessCodec:
    """The codec that a file with this header needs: one without a model if none is needed, otherwise that of `model` if
    given, or else of the model at hand that has the file's digests. Raises as `load`.
    """
    if header.codec == LOSSLESS and header.parse_digest == NO_DIGEST:
        from .lossless import LosslessCodec

        return LosslessCodec(device=device)
    path = find_by_digest(header.parse_digest, header.synthesis_digest).path if model is None else model
    return load(device=device, model=path)


@lru_cache(maxsize=8)
def _load(path: Path, _changed: int, device: str) -> ImageCodec | LosslessCodec:
    try:
        return _codec_of(load_tensors(path), read_card(path).card, device)
    except ModelError as e:
        raise ModelError(f"{path}: {e}") from None


def _codec_of(tensors: dict[str, Any], card: dict[str, Any], device: str) -> ImageCodec | LosslessCodec:
    kind = kind_of(card)
    if kind is None:
        raise ModelError(f"a model of the kind {card['kind']!r}, which a newer version of lecodec may know")
    made = named(kind.load)(tensors, card, device)
    if not kind.domain:
        return made
    from .lossless import LosslessCodec

    return LosslessCodec(made, card, device)
