"""One item through one codec, with a clock: what every measurement is made of.

samples -> encode -> a whole file -> decode -> samples of the same shape and type, or a CodecError -> metrics
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from ...errors import CodecError
from ..codecs.codec import Codec

__all__ = ["Coding", "Metric", "Original", "array_of", "coded"]


class Original:
    """What is coded, as a codec takes it, with what metrics and tasks say of it, each computed when first asked for."""

    def __init__(self, samples: Any):
        self.samples, self._kept = samples, {}

    @property
    def array(self) -> np.ndarray:
        return array_of(self.samples)

    def of(self, name: str, compute: Callable[[np.ndarray], Any]) -> Any:
        """compute(array), once for each name."""
        if name not in self._kept:
            self._kept[name] = compute(self.array)
        return self._kept[name]


@dataclass(frozen=True, eq=False)
class Coding:
    """data: the file; decoded: what it holds; encode_s, decode_s: seconds of wall time, one call each."""

    codec: Codec
    setting: float
    original: Original
    data: bytes
    decoded: np.ndarray
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class Metric:
    """identity: what a kept value depends on besides the two items; measure: what was coded -> value."""

    identity: str
    measure: Callable[[Coding], float]


def coded(
    codec: Codec,
    original: Original,
    setting: float,
    *,
    name: str | None = None,
    data: bytes | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Coding:
    """Encode and decode once. name: for messages, the codec's if it is None; data: the file, where there is one
    already. Raises CodecError, also for a result of another shape or type than the original's.
    """
    start = clock()
    data = codec.encode(original.samples, setting) if data is None else data
    middle = clock()
    decoded = codec.decode(data)
    end = clock()
    wanted = original.array
    if decoded.shape != wanted.shape or decoded.dtype != wanted.dtype:
        shown = (f"{x.dtype} {list(x.shape)}" for x in (decoded, wanted))
        raise CodecError("{} decodes to {}, not to {}".format(name or codec.name, *shown))
    return Coding(codec, setting, original, data, decoded, middle - start, end - middle)


def array_of(samples: Any) -> np.ndarray:
    """The samples themselves of what a codec takes: an array, or a clip or a signal, whose `samples` they are."""
    return samples if isinstance(samples, np.ndarray) else samples.samples
