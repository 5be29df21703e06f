"""The layout of a sound: media 3. Its units are segments, each decoded alone, that meet without a gap.

    LSND (rate, channels, length, how the source had its samples, frames of a segment) -> SoundLayout -> segments

Only version 2 of the format has it: LHDR has the identity alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Final

from ...errors import LimitExceeded
from ..fields import check_values, declare, declared
from ..layout import Layout
from ..limits import MAX_CHUNK, MAX_SEGMENT, MAX_SEGMENT_SAMPLES, max_lossless_bytes

__all__ = ["SoundLayout"]

_DEPTHS: Final = {8: "8", 16: "16", 24: "24", 32: "32", 64: "64"}
MIXED: Final = 2
"""Channels at most of a sound with loss."""


@dataclass(frozen=True, kw_only=True)
class SoundLayout(Layout):
    """Raises InputError for a value that no file may have, LimitExceeded for one beyond the limits."""

    media: ClassVar[int] = 3
    name: ClassVar[str] = "sound"
    noun: ClassVar[str] = "segment"
    chunk: ClassVar[bytes | None] = b"LSND"

    sample_rate: int = declare("u32", "Samples a second.", low=1000, high=192000, too_high=LimitExceeded)
    channels: int = declare("u8", "Channels: mono, left and right, or more without loss.", low=1, high=255)
    bit_depth: int = declare("u8", "Bits of the source's samples.", names=_DEPTHS, default=16)
    floating: int = declare("u8", "Whether they were floats.", names={0: "integers", 1: "floats"}, default=0)
    segment: int = declare(
        "u16", "Frames of 20 ms in a segment.", low=1, high=MAX_SEGMENT, default=500, too_high=LimitExceeded
    )
    samples: int = declare("u32", "Samples of each channel.", low=1, high=2**32 - 1)

    def __post_init__(self) -> None:
        check_values(declared(type(self)), vars(self))
        if self.step * self.channels > MAX_SEGMENT_SAMPLES:
            raise LimitExceeded(
                f"a segment of {self.step} samples of {self.channels} channels: the limit is {MAX_SEGMENT_SAMPLES}, "
                "segments may have fewer frames"
            )

    @classmethod
    def contradictions(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        depth, floating = values["bit_depth"], values["floating"]
        if not values["codec"] and values["channels"] > MIXED:
            yield "channels", f"channels is {values['channels']} with loss, expected 1 or {MIXED}"
        if depth == 64 and not floating:
            yield "bit_depth", "bit_depth is 64 of integers, expected at most 32"
        if values["codec"] and floating and depth < 32:
            yield "bit_depth", f"bit_depth is {depth} of floats without loss, expected 32 or 64"

    @property
    def hop(self) -> int:
        """Samples of a frame: 20 ms, rounded."""
        return (2 * self.sample_rate + 50) // 100

    @property
    def step(self) -> int:
        """Samples of a segment but the last."""
        return self.hop * self.segment

    @property
    def units(self) -> int:
        return -(-self.samples // self.step)

    @property
    def seconds(self) -> Fraction:
        """How long all of it lasts."""
        return Fraction(self.samples, self.sample_rate)

    def unit(self, number: int) -> tuple[slice]:
        """The samples of a segment."""
        self.check_number(number)
        return (slice(number * self.step, min((number + 1) * self.step, self.samples)),)

    @property
    def pixels(self) -> int:
        return self.samples * self.channels

    def limit(self, number: int, part: bytes, lossless: bool) -> int:
        (where,) = self.unit(number)
        if lossless:
            return max_lossless_bytes((where.stop - where.start) * self.channels * self.bit_depth // 8)
        return min(MAX_CHUNK, 4096 + 8 * self.channels * (where.stop - where.start + self.hop))

    def facts(self, size: int) -> dict[str, Any]:
        """bpp: bits a sample, as bpd; kbps: thousand bits a second; length: seconds. items, item_shape, block_items: a
        sound has none.
        """
        bpp = 8 * size / self.pixels
        return {
            "items": None,
            "item_shape": None,
            "block_items": None,
            "samples": self.samples,
            "segments": self.units,
            "length": float(self.seconds),
            "bpp": bpp,
            "bpd": bpp,
            "kbps": size / 125 / float(self.seconds),
        }

    @classmethod
    def amount(cls, facts: Mapping[str, Any]) -> int:
        return facts["samples"] * facts["channels"]

    @classmethod
    def extent_text(cls, facts: Mapping[str, Any]) -> str:
        """`12.34 s of 44100 Hz, stereo`"""
        channels = {1: "mono", 2: "stereo"}.get(facts["channels"], f"{facts['channels']} channels")
        return f"{facts['samples'] / facts['sample_rate']:.2f} s of {facts['sample_rate']} Hz, {channels}"

    @classmethod
    def rate_text(cls, facts: Mapping[str, Any]) -> str:
        """`12.0 kbps`"""
        return f"{facts['kbps']:.1f} kbps"
