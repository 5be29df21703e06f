"""Objects by their names, imported when they are used: a table of names costs no import."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["named"]


def named(what: str) -> Any:
    """The object of a "module:name"."""
    module, _, name = what.partition(":")
    return getattr(import_module(f"...{module}", __package__), name)
