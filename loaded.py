"""The codecs of a run: each loaded once, by the first thread that needs it, and shared by all.

    option --model, header, samples -> Codecs -> ImageCodec or LosslessCodec

Heavy modules are imported where they are first needed. What needs no model needs no torch either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .bitstream import LOSSLESS, NO_DIGEST, Header

if TYPE_CHECKING:
    import numpy as np

    from .codec.image import ImageCodec
    from .codec.lossless import LosslessCodec

__all__ = ["Codecs", "NoCodec"]


class NoCodec(Exception):
    """The model or the device that was asked for cannot be used: no input can be done. `__cause__` says why."""


@dataclass
class Codecs:
    """model: the one that the user asked for, or None. workers: threads that share the codecs, and torch's threads."""

    model: str | None = None
    device: str = "cpu"
    workers: int = 1
    _loaded: dict[Hashable, ImageCodec | LosslessCodec] = field(default_factory=dict)
    _share: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def lossy(self) -> ImageCodec:
        """The image codec of the model that the user asked for, or else of the best one. Raises NoCodec."""
        from .codec.image import ImageCodec
        from .codec.registry import load

        codec = self._users("lossy", lambda: load(device=self.device, model=self.model, of=ImageCodec))
        assert isinstance(codec, ImageCodec)
        return codec

    def lossless(self, bit_depth: int) -> LosslessCodec:
        """The codec without loss for pictures of 8 or 16 bits. Raises NoCodec."""
        from .codec.choice import lossless_for_pictures
        from .codec.lossless import LosslessCodec

        codec = self._users(
            ("lossless", bit_depth), lambda: lossless_for_pictures(bit_depth, self.device, model=self.model)
        )
        assert isinstance(codec, LosslessCodec)
        return codec

    def lossless_set(self, samples: np.ndarray) -> LosslessCodec:
        """The codec for a set [N, ...]: the user's model, or what codes it best. Raises NoCodec for the user's model,
        InputError (no set).
        """
        from .codec.choice import lossless_for_set

        if self.model is not None:
            return self.lossless(8 * samples.itemsize)
        codec = lossless_for_set(samples, self.device)
        self._limit_threads(codec)
        return codec

    def prepare_set(self, samples: np.ndarray) -> None:
        """Load what `lossless_set` chooses from. Raises as it does."""
        from .codec.choice import circuits_for

        if self.model is not None:
            self.lossless_set(samples)
        else:
            circuits_for(samples, self.device)

    def named_by(self, header: Header) -> ImageCodec | LosslessCodec:
        """The codec that a file needs. Raises NoCodec for the user's model, otherwise UnknownModel, ModelError."""
        from .codec.registry import find_by_digest, load_for

        if header.codec == LOSSLESS and header.parse_digest == NO_DIGEST:
            return load_for(header, self.device)
        if self.model is not None:
            return self._users("named", lambda: load_for(header, self.device, model=self.model))
        path = str(find_by_digest(header.parse_digest, header.synthesis_digest).path)
        return self._load(path, lambda: load_for(header, self.device, model=path))

    def _users(self, key: Hashable, load: Callable[[], ImageCodec | LosslessCodec]) -> ImageCodec | LosslessCodec:
        """What comes from the user's model or device, so that no other input could be done either."""
        try:
            return self._load(key, load)
        except (OSError, RuntimeError) as error:
            raise NoCodec(self.model or "model") from error

    def _load(self, key: Hashable, load: Callable[[], ImageCodec | LosslessCodec]) -> ImageCodec | LosslessCodec:
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load()
            self._limit_threads(self._loaded[key])
            return self._loaded[key]

    def _limit_threads(self, codec: ImageCodec | LosslessCodec) -> None:
        """Give the thread that calls its share of torch's threads, if the codec uses torch."""
        if self.workers == 1 or getattr(codec, "coder", codec) is None:
            return
        import torch

        with self._lock:
            self._share = self._share or max(1, torch.get_num_threads() // self.workers)
        if torch.get_num_threads() != self._share:  # every thread has a number of its own
            torch.set_num_threads(self._share)
