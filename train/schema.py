"""How recipes are found, read, changed and described, whatever they train; what they may say is in recipe.py.

    name or path -> file -> YAML -> settings in place of its own -> checked by the kind's schema -> recipe

Guarantee: whatever a file or a setting holds, reading ends in a recipe or in an InputError of one sentence.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from ..errors import InputError

__all__ = ["Name", "Strict", "described", "find_recipe", "load_as", "parse_value", "recipe_kind", "recipe_names"]

_R = TypeVar("_R", bound="Strict")
_SHIPPED = Path(__file__).parent / "recipes"


class Strict(BaseModel):
    """What all recipes and their parts are: immutable, without fields that are not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sizes: ClassVar[Mapping[str, type]] = {}
    """Fields that are mappings -> the dataclass whose fields these may name."""
    gone: ClassVar[Mapping[str, object]] = {}
    """Fields that recipes in older checkpoints have, with the only value of theirs that is still what is done."""

    @model_validator(mode="before")
    @classmethod
    def _without_gone(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in content.items()}
        return {key: content[key] for key in content if key not in cls.gone or plain[key] != cls.gone[key]}


def _plain(name: str) -> str:
    if name in ("", ".", "..") or not name.isprintable() or "/" in name or "\\" in name or len(name.encode()) > 200:
        raise ValueError(f"{name!r} cannot name a folder: expected up to 200 bytes without slashes")
    return name


Name = Annotated[str, AfterValidator(_plain)]
"""The name of a model and of its run's folder: never a path to another one."""


def recipe_names() -> list[str]:
    """The recipes that are installed with this package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def find_recipe(recipe: Path | str) -> Path:
    """A recipe's file: a path, or one of `recipe_names` where no such file exists. Raises InputError."""
    path, shipped = Path(recipe), _SHIPPED / f"{recipe}.yaml"
    if path.is_file() or str(recipe) not in recipe_names():
        if not path.suffix and not path.is_file():
            raise InputError(f"{recipe}: no recipe of this name; there are {', '.join(recipe_names())}, or give a file")
        return path
    return shipped


def recipe_kind(path: Path | str) -> str:
    """What a recipe trains: 'image' unless it says otherwise. Raises InputError when it cannot be read."""
    return str(_read(path).get("kind", "image"))


def parse_value(text: str) -> Any:
    """A setting's value as YAML reads it (so that 1e-4 and true are not text). Raises InputError."""
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise InputError("is nested too deeply") from None
    except (ValueError, yaml.YAMLError) as e:  # ValueError: dates that there are not, bytes that are no text
        raise InputError(" ".join(str(e).split())) from None


def _read(path: Path | str) -> dict[str, Any]:
    try:
        content = parse_value(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{path}: cannot read the recipe: {e}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: a recipe is a mapping of names to values")
    return content


def load_as(schema: type[_R], path: Path | str, settings: Mapping[str, object]) -> _R:
    """Read and check a recipe of any kind. settings: fields, or parts of fields (`transform.width8`, `phases.0.batch`),
    and their values. Raises InputError with one sentence a fault.
    """
    content = _read(path)
    for key, value in settings.items():
        _set(content, key, deepcopy(value))
    try:
        return schema.model_validate(content)
    except ValidationError as e:
        faults = "; ".join(f"{'.'.join(map(str, x['loc'])) or 'recipe'}: {x['msg']}" for x in e.errors())
        hint = f"lecodec train --fields {content.get('kind', 'image')} lists what there is"
        raise InputError(f"{path}: {faults} ({hint})") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None


def _set(content: dict[str, Any], key: str, value: object) -> None:
    """Put a value in the place that a key such as `transform.width8` names; mappings on the way come into being."""
    *way, last = key.split(".")
    at: Any = content
    for number, part in enumerate([*way, last]):
        if isinstance(at, list) and part.isdecimal() and int(part) < len(at):
            place: Any = int(part)
        elif isinstance(at, dict):
            place = part
        else:
            holder = ".".join(key.split(".")[:number])
            raise InputError(f"setting {key}: {holder} is {at!r:.60}, which has no {part!r}")
        if number == len(way):
            at[place] = value
        else:
            if isinstance(at, dict) and at.get(place) is None:
                at[place] = {}
            at = at[place]


def described(schema: type[Strict], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Each field of a recipe and of its parts: name (`phases.N.crop`), default ('' for what has to be given), text."""
    texts = _texts(schema)
    for name, field in schema.model_fields.items():
        default = "".join(get_args(field.annotation)) if name == "kind" else ""
        if not field.is_required():
            default = _shown(field.default)
        yield f"{above}{name}", default, texts.get(name, "")
        listed = ".N." if "list[" in str(field.annotation) else "."
        for part in _parts(field.annotation):
            yield from described(part, f"{above}{name}{listed}")
        if part := schema.sizes.get(name):
            texts_of_part = _texts(part)
            for size in fields(part) if is_dataclass(part) else ():
                yield f"{above}{name}.{size.name}", _shown(size.default), texts_of_part.get(size.name, "")


def _shown(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _parts(annotation: Any) -> Iterator[type[Strict]]:
    """The schemas in a field's type."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)


def _texts(owner: type) -> dict[str, str]:
    """The docstrings below a class's fields."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body  # pyright: ignore[reportAttributeAccessIssue]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in zip(body, body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
