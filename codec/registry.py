"""Where models are: the shipped ones, a path, and the folders of LECODEC_MODELS. No torch until a model is loaded.

    name, path or parse digest -> ModelCard -> load_tensors -> codec of the card's kind

A model is one safetensors file. Its metadata holds the card, a JSON object under "card": name, kind, digests, sizes of
the networks, training data and recipe, measured rate-distortion line, receptive field, licence. Cards are read without
reading the weights, and are no part of either digest. Nothing is ever unpickled. A released model is never removed or
renamed: files in the world name its parse digest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bitstream import LOSSLESS, NO_DIGEST, Header, atomic_write
from ..entropy.guard import guarded
from ..errors import ModelError, UnknownModel

if TYPE_CHECKING:
    from .image import ImageCodec
    from .lossless import LosslessCodec

__all__ = [
    "ALIASES",
    "ModelCard",
    "check_digest",
    "find_by_digest",
    "find_model",
    "list_models",
    "load",
    "load_for",
    "load_tensors",
    "parse_tensors",
    "read_card",
    "save_model",
]

SHIPPED = Path(__file__).parent / "models"
ALIASES = {"image": "image-3", "photo": "photo-1"}
"""What a short name stands for: the best model of its kind that is shipped, if one is."""
MAX_CARD = 1 << 20
MAX_MODEL = 1 << 30


@dataclass(frozen=True)
class ModelCard:
    """name: as the card has it; path: of the file; digests: 16 hexadecimal digits each; card: the whole card."""

    name: str
    path: Path
    parse_digest: str
    synthesis_digest: str
    card: dict[str, Any]


def read_card(path: Path | str) -> ModelCard:
    """The card of a model file, its weights left unread. Raises ModelError for a file that is not a model."""
    path = Path(path)
    stat = os.stat(path)
    return _read_card(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _read_card(path: Path, _changed: int, size: int) -> ModelCard:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_CARD, size):
            raise ModelError(f"{path} is not a model: it does not begin as a safetensors file")
        header = file.read(length)
    try:
        card = json.loads(json.loads(header)["__metadata__"]["card"])
        digests = card["parse_digest"], card["synthesis_digest"]
        if any(len(bytes.fromhex(d)) != 8 for d in digests):
            raise ValueError
        return ModelCard(str(card["name"]), path, *digests, card)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{path} is not a lecodec model: it holds no model card") from None


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


def load_tensors(path: Path | str) -> dict[str, Any]:
    """All tensors of a model file as numpy arrays. Raises ModelError when it is damaged or beyond 1 GiB."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if os.path.getsize(path) > MAX_MODEL:
        raise ModelError(f"{path} is larger than any model")
    try:
        return load(Path(path).read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise ModelError(f"{path} is damaged: {e}") from None


def parse_tensors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The integer part of a model file's tensors, which its parse digest is over: `parse.*`, without that prefix."""
    return {name.removeprefix("parse."): array for name, array in tensors.items() if name.startswith("parse.")}


def save_model(tensors: Mapping[str, Any], card: Mapping[str, Any], out: Path, overwrite: bool = False) -> Path:
    """Write a model file: numpy arrays and a card that JSON can hold. Raises ModelError (too large), OutputExists."""
    import numpy as np
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    data = save(contiguous, {"card": json.dumps(card, sort_keys=True)})
    if len(data) > MAX_MODEL:
        raise ModelError(f"the model would take {len(data)} bytes")
    with atomic_write(out, overwrite=overwrite) as file:
        file.write(data)
    return out


def check_digest(header: Header, parse_digest: bytes, card: Mapping[str, Any]) -> None:
    """Whether a file was coded with a model. Raises UnknownModel."""
    if header.parse_digest != parse_digest:
        raise UnknownModel(
            f"the file needs the model with parse digest {header.parse_digest.hex()}, "
            f"this is {card.get('name')} with {parse_digest.hex()}"
        )


@guarded
def load(
    name: str = "image", device: str = "cpu", *, model: str | os.PathLike[str] | None = None
) -> ImageCodec | LosslessCodec:
    """The codec of a model: by name or path (`model` overrides `name`), on "cpu" or "cuda". An `ImageCodec` or, of the
    kinds "circuit" and "photo", a `LosslessCodec`.

    Loading the same file again gives the same object. Raises UnknownModel, ModelError, InputError (device).
    """
    path = find_model(model or name).path
    return _load(path, os.stat(path).st_mtime_ns, device)


@guarded
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
    kind = card.get("kind", "image")
    if kind == "image":
        from .image import ImageCodec

        return ImageCodec(tensors, card, device)
    if kind == "compressai":
        from .compressai_codec import ImportedCodec

        return ImportedCodec(tensors, card, device)
    if kind == "circuit":
        from .circuit import CircuitCoder as Coder
    elif kind == "photo":
        from .photo import PhotoCoder as Coder
    else:
        raise ModelError(f"a model of the kind {kind!r}, which a newer version of lecodec may know")
    from .lossless import LosslessCodec

    return LosslessCodec(Coder(tensors, card, device), card, device)
