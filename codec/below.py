"""Where the scale of a model's quality is better coded by another model: pictures of low quality go to that one.

    quality >= own -> the model's file, from its `start` on        quality < own -> the other's, at its quality there
    target -> the model's file, if its quality is at least `own`, or else the other's

The card of a model names the other one by its digests, as `below`, and says where they meet: one scale leads over both,
up to `own` the other's from 1 to `its`, from there on the model's from `start` (from `own` where the card has none) to
100; `its` and `start` give pictures that are as good. Files are those of one model or the other: nothing in them says
more, and each decodes with the model that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..bitstream import LecFile
from ..errors import InputError, ModelError
from .codec import EFFORTS, Target

if TYPE_CHECKING:
    from .media.signal import Signal

__all__ = ["Below"]


@dataclass
class Below:
    """own, its, start: see the module's text; parse_digest: of the other model; load: gives its codec, an
    `ImageCodec`.
    """

    own: float
    its: float
    start: float
    parse_digest: bytes
    load: Callable[[], Any]

    @classmethod
    def of(cls, card: Mapping[str, Any], load: Callable[[], Any]) -> Below | None:
        """What a model's card says; None if it codes all qualities itself. Raises ModelError."""
        try:
            entry = card.get("below")
            if entry is None:
                return None
            own, its = float(entry["own"]), float(entry["its"])
            start = float(entry.get("start", own))
            digest = bytes.fromhex(entry["parse_digest"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ModelError("the model's card does not say where the model below it begins") from None
        if not (1 < own < 100 and 1 < its <= 100 and 1 <= start < 100) or digest.hex() == card.get("parse_digest"):
            raise ModelError("the model's card has a model below it that cannot be one")
        return cls(own, its, start, digest, load)

    @cached_property
    def codec(self) -> Any:
        """The other model's, loaded when it is first needed. Raises as `registry.load`."""
        return self.load()

    def at(self, quality: float) -> float | None:
        """The other model's quality for one of the scale, None where the model itself codes. Raises InputError."""
        quality = Target("quality", quality).value
        return 1 + (quality - 1) * (self.its - 1) / (self.own - 1) if quality < self.own else None

    def mine(self, quality: float) -> float:
        """The model's own quality for one of the scale, `start` for those that are left to the other one."""
        return self.start + max(0.0, quality - self.own) * (100 - self.start) / (100 - self.own)

    def encode(
        self,
        itself: Callable[[Sequence[Signal], Target], list[bytes]],
        signals: Sequence[Signal],
        target: Target,
        least: int,
    ) -> list[bytes]:
        """Files of pictures. itself: encodes with the model itself; least: the header's index of `start`. Raises as
        `ImageCodec.encode`.
        """
        if target.kind != "quality":
            return [self._met(itself, signal, target, least) for signal in signals]
        quality = self.at(target.value)
        if quality is None:
            return itself(signals, target)
        return self.codec.encode_signals(signals, replace(target, value=quality))

    def _met(
        self, itself: Callable[[Sequence[Signal], Target], list[bytes]], signal: Signal, target: Target, least: int
    ) -> bytes:
        quick = replace(target, effort=EFFORTS[0])  # enough to tell whose quality it is
        try:
            data = itself([signal], quick)[0]
        except InputError as refused:
            try:
                return self.codec.encode_signals([signal], target)[0]
            except InputError:
                raise refused from None
        header = LecFile.open(data).header
        if not header.lossless and header.quality < least:
            with suppress(InputError):  # between the two: out of reach there
                return self.codec.encode_signals([signal], target)[0]
        return data if quick == target else itself([signal], target)[0]
