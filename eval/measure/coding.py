"""One signal through one codec, with a clock: what every measurement of codecs begins with.

samples -> encode -> a whole file -> decode -> samples of the same shape and type, or a CodecError
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from ...errors import CodecError

__all__ = ["Coding", "check_alike", "coded"]


@dataclass(frozen=True, eq=False)
class Coding:
    """data: the file; decoded: what it holds; encode_s, decode_s: seconds of wall time, one call each."""

    data: bytes
    decoded: np.ndarray
    encode_s: float
    decode_s: float


def coded(
    name: str,
    samples: np.ndarray,
    encode: Callable[[], bytes],
    decode: Callable[[bytes], np.ndarray],
    clock: Callable[[], float] = perf_counter,
) -> Coding:
    """Encode and decode once. name: the codec's, for messages. Raises CodecError, also for a result of another shape or
    type than `samples`.
    """
    start = clock()
    data = encode()
    middle = clock()
    decoded = decode(data)
    end = clock()
    check_alike(name, samples, decoded)
    return Coding(data, decoded, middle - start, end - middle)


def check_alike(name: str, samples: np.ndarray, decoded: np.ndarray) -> None:
    """Raise CodecError unless what was decoded has the shape and type of what was encoded."""
    if decoded.shape != samples.shape or decoded.dtype != samples.dtype:
        found, wanted = (f"{x.dtype} {list(x.shape)}" for x in (decoded, samples))
        raise CodecError(f"{name} decodes to {found}, not to {wanted}")
