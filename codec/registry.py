"""Where models are: the shipped ones, a path, and the folders of LECODEC_MODELS. No numpy until a model is loaded.

    name, path or parse digest -> ModelCard -> load_tensors -> codec of the card's kind

A shipped model is never removed or renamed: files in the world name its parse digest.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, overload

from ..bitstream import LOSSLESS, NO_DIGEST, Header, SoundLayout
from ..entropy.guard import guarded
from ..entropy.place import device_of, load_torch, place_for, said
from ..errors import InputError, ModelError, ModelWarning, UnknownModel
from .codec import Codec
from .kinds import kind_of
from .media.named import named
from .model_file import ModelCard, load_tensors, read_card

_C = TypeVar("_C", bound=Codec)

__all__ = ["ALIASES", "find_by_digest", "find_model", "list_models", "load", "load_for", "pass_over", "whole_model"]

SHIPPED = Path(__file__).parent / "models"
ALIASES = {
    "image": "eye-1",
    "eye": "eye-1",
    "psnr": "image-5",
    "photo": "photo-1",
    "video": "video-3",
    "sound": "sound-4",
}
"""What a short name stands for: the best model of its kind that is shipped, if one is."""


def _folders() -> list[Path]:
    extra = [Path(p) for p in os.environ.get("LECODEC_MODELS", "").split(os.pathsep) if p]
    return [SHIPPED, *extra]


def _files() -> Iterator[Path]:
    for place in _folders():
        if os.path.isdir(place):
            yield from sorted(place.glob("*.safetensors"))
        elif os.path.lexists(place):
            yield place


def _cards() -> Iterator[ModelCard]:
    """Those of `list_models`, each read when it is asked for: what is found among the shipped ones needs no others."""
    for path in _files():
        try:
            yield read_card(path)
        except OSError as error:  # ModelError is one: a foreign or unreadable file in the folder
            pass_over(path, error)


def list_models() -> list[ModelCard]:
    """Every model that is found: the shipped ones, then those of LECODEC_MODELS (folders or files). What is no model is
    passed over.
    """
    return list(_cards())


_passed_over: set[tuple[Path, str]] = set()


def pass_over(path: Path, error: OSError) -> None:
    """Say with a ModelWarning, once in a process, that a model that was found cannot be used."""
    reason = str(error) if isinstance(error, ModelError) else f"{path}: {error.strerror}"
    if (path, reason) not in _passed_over:
        _passed_over.add((path, reason))
        warnings.warn(f"{reason}; it is passed over", ModelWarning, stacklevel=2)


def find_model(name: str | os.PathLike[str] | None = None) -> ModelCard:
    """name: of a model, a short name ("image", the default), or the path of a model file.

    Raises UnknownModel when nothing has that name, ModelError when the path is no model.
    """
    if not isinstance(name, str | os.PathLike | None):
        raise InputError(f"a model is a name or a path, not {type(name).__name__}")
    name = os.fspath(name or "image")
    wanted = ALIASES.get(name, name)
    names: set[str] = set()
    for card in _cards():
        if card.name == wanted:
            return card
        names.add(card.name)
    if os.path.isfile(name):
        return read_card(name)
    raise UnknownModel(
        f"no model {name!r}: it is neither a file nor one of those at hand ({', '.join(sorted(names)) or 'none'})"
    )


def find_by_digest(parse_digest: bytes, synthesis_digest: bytes | None = None) -> ModelCard:
    """The model that decodes files with this parse digest; of several, the one with the synthesis digest too.

    Raises UnknownModel.
    """
    first = None
    for card in _cards():
        if card.parse_digest == parse_digest.hex():
            if synthesis_digest is None or card.synthesis_digest == synthesis_digest.hex():
                return card
            first = first or card
    if first is None:
        raise UnknownModel(
            f"no model with parse digest {parse_digest.hex()} is at hand: name its file with --model, "
            "or its folder in LECODEC_MODELS"
        )
    return first


@overload
def load(
    name: str = ..., device: str = ..., *, model: str | os.PathLike[str] | None = ..., of: None = ...
) -> Codec: ...


@overload
def load(name: str = ..., device: str = ..., *, model: str | os.PathLike[str] | None = ..., of: type[_C]) -> _C: ...


@guarded
def load(
    name: str = "image",
    device: str = "cpu",
    *,
    model: str | os.PathLike[str] | None = None,
    of: type[Codec] | None = None,
) -> Codec:
    """The codec of a model: by name or path (`model` overrides `name`), on "cpu" or "cuda". An `ImageCodec` or, of the
    kinds "circuit" and "photo", a `LosslessCodec`; of: the one of the two that is wanted.

    It computes in numpy, or in torch where that is imported already (see `entropy.place`). Loading the same file again
    gives the same object. Raises UnknownModel, ModelError, InputError (device), and what
    `of.refusal` says for a model of the other class.
    """
    path = find_model(model or name).path
    codec = _load(path, os.stat(path).st_mtime_ns, device, said())
    if of is not None and not isinstance(codec, of):
        raise of.refusal(codec.card)
    return codec


@guarded
def load_for(header: Header, device: str = "cpu", *, model: str | os.PathLike[str] | None = None) -> Codec:
    """The codec that a file with this header needs: one without a model if none is needed, otherwise that of `model` if
    given, or else of the model found that has the file's digests. Raises as `load`.
    """
    if header.codec == LOSSLESS and header.parse_digest == NO_DIGEST:
        if isinstance(header.layout, SoundLayout):
            from .sound_lossless import LosslessSoundCodec

            return LosslessSoundCodec(device)
        from .lossless import LosslessCodec

        return LosslessCodec(device=device)
    path = find_by_digest(header.parse_digest, header.synthesis_digest).path if model is None else model
    return load(device=device, model=path)


def whole_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and the card of a model, by name or path: of one that changes another one, those of the whole. Raises
    as `load`.
    """
    found = find_model(path)
    tensors, kind = load_tensors(found.path), kind_of(found.card)
    if kind is None or not kind.change:
        return tensors, found.card
    base = _base_of(found.card, found.path.parent)
    return named(kind.change)(tensors, found.card, load_tensors(base), read_card(base).card)


@lru_cache(maxsize=8)
def _load(path: Path, _changed: int, device: str, _said: str) -> Codec:
    try:
        return _codec_of(load_tensors(path), read_card(path).card, device, path.parent)
    except ModelError as e:
        raise ModelError(f"{path}: {e}") from None


def _codec_of(tensors: dict[str, Any], card: dict[str, Any], device: str, folder: Path) -> Codec:
    kind = kind_of(card)
    if kind is None:
        raise ModelError(f"a model of the kind {card['kind']!r}, which a newer version of lecodec may know")
    if kind.change:
        return _adapted(tensors, card, device, folder, kind.change)
    if kind.needs_torch:
        load_torch(f"a model of the kind {card['kind']!r}")
    place = place_for(device)
    if kind.based:
        return named(kind.load)(tensors, card, place, load(model=_base_of(card, folder), device=device))
    made = named(kind.load)(tensors, card, place)
    if kind.whole:
        return made
    if not kind.domain:
        return _image_codec(made, card, device, folder)
    from .lossless import LosslessCodec

    return LosslessCodec(made, card, device_of(place))


def _image_codec(model: Any, card: dict[str, Any], device: str, folder: Path) -> Codec:
    """The codec of an image model, which knows the one that low qualities are left to."""
    from .below import Below
    from .image import ImageCodec

    def lower() -> ImageCodec:
        other = load(model=_base_of(card, folder, "below"), device=device, of=ImageCodec)
        if other.below is not None:
            raise ModelError("the model below it has one below itself")
        return other

    codec = ImageCodec(model)
    codec.below = Below.of(card, lower)
    return codec


def _adapted(tensors: dict[str, Any], card: dict[str, Any], device: str, folder: Path, change: str) -> Codec:
    """The codec of a model that changes another one, which knows that one too."""
    from .image import ImageCodec

    path = _base_of(card, folder)
    base = load(model=path, device=device)
    if not isinstance(base, ImageCodec) or base.base is not None:
        raise ModelError("it changes a model of another kind than image")
    whole, its_card = named(change)(tensors, card, load_tensors(path), base.card)
    codec = _codec_of(whole, its_card, device, folder)
    assert isinstance(codec, ImageCodec)
    codec.base, codec.below = base, None  # what lies below the base is the base's to know
    return codec


def _base_of(card: dict[str, Any], folder: Path, entry: str = "base") -> Path:
    """The file of the model that another one is built on, or which is `below` it, which the card names by its digests:
    one at hand, or one in the same folder. Raises UnknownModel, ModelError.
    """
    kind, how = kind_of(card), "below it is" if entry == "below" else "it is built on"
    try:
        name = str(card[entry]["name"])
        parse, synthesis = (str(card[entry][f"{which}_digest"]) for which in ("parse", "synthesis"))
    except (KeyError, TypeError):
        raise ModelError(f"the model's card does not say which model {how}") from None
    for path in [*_files(), *sorted(folder.glob("*.safetensors"))]:
        with suppress(OSError):
            found = read_card(path)
            its = kind_of(found.card)
            if its is None or its.based or (its.change and kind and kind.change):
                continue  # nothing is built on those, so that no model is built on itself
            if (found.parse_digest, found.synthesis_digest) == (parse, synthesis):
                return found.path
    raise UnknownModel(
        f"{how} {name}, parse digest {parse} and synthesis digest {synthesis}, which is not at hand: put both "
        "files into one folder, or name the folder of that one in LECODEC_MODELS"
    )
