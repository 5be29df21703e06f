"""The codecs of a run: each loaded once, by the first thread that needs it, and shared by all.

    option --model, header, signal and target -> Codecs -> Codec

Heavy modules are imported where they are first needed. What needs no model needs no torch either.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..bitstream import LOSSLESS, NO_DIGEST, Header, SetLayout

if TYPE_CHECKING:
    from ..codec.codec import Codec, Target
    from ..codec.media.signal import Signal

__all__ = ["Codecs", "ModelUnavailable"]


class ModelUnavailable(Exception):
    """The model or the device that was asked for cannot be used: no input can be done. cause: says why."""

    def __init__(self, name: str, cause: Exception):
        super().__init__(name, cause)  # both, so that it comes out of another process as it was
        self.name, self.cause = name, cause


@dataclass
class Codecs:
    """model: the one that the user asked for, or None. workers: threads that share the codecs, and torch's threads."""

    model: str | None = None
    device: str = "cpu"
    workers: int = 1
    _loaded: dict[Hashable, Codec] = field(default_factory=dict)
    _share: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which loads for itself."""
        return {"model": self.model, "device": self.device, "workers": self.workers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def to_encode(self, signal: Signal, target: Target) -> Codec:
        """The codec that encodes a signal: that of the user's model, or what suits the signal best. Raises
        ModelUnavailable for the model or the device that the user asked for, otherwise as `choice.codec_for`.
        """
        from ..codec.choice import codec_for

        def load() -> Codec:
            return codec_for(signal, target, self.device, model=self.model)

        if self._depends(signal) and target.lossless:
            codec = load()
            self._limit_threads(codec)
            return codec
        if target.lossless:
            return self._users((signal.layout.name, "lossless", 8 * signal.samples.itemsize), load)
        return self._users((signal.layout.name, "lossy"), load)

    def prepare(self, signal: Signal, target: Target) -> None:
        """Load what `to_encode` chooses from. Raises as it does."""
        from ..codec.choice import models_for_set

        if self._depends(signal) and target.lossless:
            models_for_set(signal.samples, self.device)
        else:
            self.to_encode(signal, target)

    def tried(self, signal: Signal) -> list[str]:
        """The names of the models that a set was, or may have been, encoded with."""
        from ..codec.choice import models_for_set

        codecs = models_for_set(signal.samples, self.device) if self.model is None else list(self._loaded.values())
        return [str(codec.card["name"]) for codec in codecs if "name" in getattr(codec, "card", {})]

    def _depends(self, signal: Signal) -> bool:
        """Whether the best codec depends on the very samples."""
        return self.model is None and isinstance(signal.layout, SetLayout)

    def for_file(self, header: Header) -> Codec:
        """The codec that a file needs. Raises ModelUnavailable (the user's model), UnknownModel, ModelError."""
        from ..codec.registry import find_by_digest, load_for

        if header.codec == LOSSLESS and header.parse_digest == NO_DIGEST:
            return load_for(header, self.device)
        if self.model is not None:
            return self._users("named", lambda: load_for(header, self.device, model=self.model))
        path = str(find_by_digest(header.parse_digest, header.synthesis_digest).path)
        return self._load(path, lambda: load_for(header, self.device, model=path))

    def _users(self, key: Hashable, load: Callable[[], Codec]) -> Codec:
        """What comes from the user's model or device, so that no other input could be done either."""
        try:
            return self._load(key, load)
        except (OSError, RuntimeError) as error:
            raise ModelUnavailable(self.model or "model", error) from error

    def _load(self, key: Hashable, load: Callable[[], Codec]) -> Codec:
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load()
            self._limit_threads(self._loaded[key])
            return self._loaded[key]

    def _limit_threads(self, codec: Codec) -> None:
        """Give the thread that calls its share of the threads, of torch's if the codec uses torch and that is there."""
        torch = sys.modules.get("torch")
        if self.workers == 1:
            return
        if torch is None:
            from ..codec.codec import share_threads

            share_threads(self.workers)
        if not codec.uses_torch or torch is None:
            return
        with self._lock:
            self._share = self._share or max(1, torch.get_num_threads() // self.workers)
        if torch.get_num_threads() != self._share:  # every thread has a number of its own
            torch.set_num_threads(self._share)
