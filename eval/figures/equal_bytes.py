"""Files of equal size: what two codecs make of one picture for the same bytes.

    picture, bytes -> settings between the ends of a codec's ladder -> the largest file that is no larger

A codec's files grow along its ladder, but for a few bytes, so that halving finds the setting. Guarantee: a file that is
returned has at most the bytes that were asked for.
"""

from __future__ import annotations

import numpy as np

from ..codecs.codec import Codec

__all__ = ["Fitted"]

_HALVINGS = 11


class Fitted:
    """One codec on one picture, uint8 [H, W, 3]; files are made once for each setting."""

    def __init__(self, codec: Codec, rgb: np.ndarray) -> None:
        self._codec, self._rgb = codec, rgb
        self._files: dict[float, bytes] = {}

    def _file(self, setting: float) -> bytes:
        if setting not in self._files:
            self._files[setting] = self._codec.encode(self._rgb, setting)
        return self._files[setting]

    def within(self, most: int) -> bytes | None:
        """The largest file found of at most `most` bytes; None when the lowest setting has more. Raises CodecError."""
        low, high = self._codec.ladder[0], self._codec.ladder[-1]
        if len(self._file(low)) > most:
            return None
        if len(self._file(high)) > most:
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                if len(self._file(middle)) > most:
                    high = middle
                else:
                    low = middle
        return max((file for file in self._files.values() if len(file) <= most), key=len)
