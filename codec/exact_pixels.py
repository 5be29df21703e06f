"""Pixels that are the same on every machine: files with a digest of their samples, decoded by the integer replica.

    file of a picture -> latents -> replica -> samples -> digest -> the file with sAMP
    file with sAMP -> latents -> replica -> samples, compared with the digest

Without it samples are the float synthesis's and may differ by a rounding. A file is made as usual first: bits, latents
and quality are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..bitstream import Header, LecFile
from ..bitstream.samples import SAMPLES_BYTES, with_samples
from ..errors import CorruptFile
from .codec import Target
from .media.signal import Signal

__all__ = ["HasReplica", "check_samples", "digest_of", "made_exact", "target_within"]


class HasReplica(Protocol):
    """A codec that can decode by integers."""

    def exact_colour(self, data: bytes | LecFile) -> np.ndarray:
        """The colour samples of a file, [H, W, C], the same on every machine. Raises InputError, a CodecError."""
        ...


def digest_of(samples: np.ndarray) -> bytes:
    """8 bytes over colour samples [H, W, C], of 1 or 2 bytes each, little-endian."""
    return hashlib.blake2b(samples.astype(samples.dtype.newbyteorder("<")).tobytes(), digest_size=8).digest()


def check_samples(samples: np.ndarray, digest: bytes) -> None:
    """Raise CorruptFile for samples that are not those of the file; a file without a digest has none to compare."""
    if digest and digest_of(samples) != digest:
        raise CorruptFile("the picture's samples are not those that were encoded")


def target_within(target: Target, signal: Signal) -> Target:
    """What a file has to reach before the digest is added to it."""
    value = target.value
    if target.kind == "size":
        value = max(1, value - SAMPLES_BYTES)
    elif target.kind == "bpp":
        value = max(1e-9, value - 8 * SAMPLES_BYTES / (signal.samples.shape[0] * signal.samples.shape[1]))
    return replace(target, value=value, exact_pixels=False)


def made_exact(made_by: Callable[[Header], HasReplica | None], data: bytes) -> bytes:
    """A file of a picture, with the digest of its samples. made_by: the codec of a file; None for one without loss,
    whose samples are exact as it is.
    """
    file = LecFile.open(data)
    codec = made_by(file.header)
    return data if codec is None else with_samples(data, digest_of(codec.exact_colour(file)))
