"""Packages that only measuring needs: imported where they are used, and a sentence, not a traceback, if missing."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import InputError

__all__ = ["extra"]


def extra(module: str, package: str | None = None, group: str = "eval") -> Any:
    """The imported module. Raises `InputError` that names the package (default: the module's name) and the extra,
    `lecodec[group]`, that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = package or module.partition(".")[0]
        raise InputError(f"this needs the package {name}: pip install 'lecodec[{group}]' ({error})") from error
