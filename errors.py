"""The one tree of errors: a class for each cause that a user can act on.

Every error of this package is a `CodecError`, and a `CodecError` is an `OSError`, so that programs which already
handle unreadable pictures (`except OSError`) handle `.lec` files too. Messages name what was expected, what was
found and, for a damaged file, the byte offset. Any bytes at all, given to a decoder, end in a result or in one of
these.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "CodecError",
    "CorruptFile",
    "InputError",
    "LimitExceeded",
    "MissingExtra",
    "ModelError",
    "ModelWarning",
    "NotLecFile",
    "OutputExists",
    "TruncatedFile",
    "UnknownModel",
    "UnsupportedFile",
    "needed",
]


class CodecError(OSError):
    """Root of the tree. Catch this to catch everything that a file, a model or an option can do wrong."""


class NotLecFile(CodecError):
    """The data does not begin with the `.lec` signature (or a text-mode transfer has damaged it)."""


class CorruptFile(CodecError):
    """A checksum, a digest or a field is wrong: the file was damaged. Get it again from its source."""


class TruncatedFile(CorruptFile):
    """The data ends before the file does."""


class UnsupportedFile(CodecError):
    """A valid file that needs a newer version, or a feature that this version lacks."""


class LimitExceeded(CodecError):
    """A length or a size is beyond its limit; refused before memory is taken."""


class UnknownModel(CodecError):
    """No model with the digest (or name) asked for was found: point `--model` or `LECODEC_MODELS` at it."""


class ModelError(CodecError):
    """A model file is unreadable, inconsistent, or breaks the bounds that make its arithmetic exact."""


class InputError(CodecError):
    """The input cannot be encoded: not a picture, an unsupported kind, a wrong shape, an option out of range."""


class MissingExtra(InputError):
    """What was asked for needs a package that is not installed: the message names the extra that brings it."""


class OutputExists(CodecError):
    """The output exists and overwriting was not asked for."""


class ModelWarning(UserWarning):
    """A model file that was found cannot be used and is passed over: no error, since another may do."""


def needed(module: str, extra: str, what: str) -> Any:
    """A module of a package that only an extra of this one brings, imported. what: needs it, for the message.

    Raises MissingExtra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtra(f"{what} needs {package}: pip install 'lecodec[{extra}]' ({error})") from None
