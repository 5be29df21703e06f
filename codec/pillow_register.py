"""The plug-in of Pillow, registered as soon as Pillow is there: now, or when somebody imports it.

Importing Pillow takes as long as all else that `lecodec info` does: only who uses it pays for it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

__all__ = ["register"]

_IMAGE = "PIL.Image"


def register() -> None:
    """Have `codec.pillow` imported behind Pillow, once."""
    if _IMAGE in sys.modules:
        _import_plugin()
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _import_plugin() -> None:
    import_module(".pillow", __package__)


class _Finder:
    """Finds Pillow as the finders behind it do."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _IMAGE:
            return None
        sys.meta_path.remove(self)  # pyright: ignore[reportArgumentType]
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)  # pyright: ignore[reportAttributeAccessIssue]
                return spec
        return None


class _Loader:
    """Loads Pillow as its own loader does, and the plug-in after it."""

    def __init__(self, loader: Any):
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _import_plugin()
