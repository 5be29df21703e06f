"""The layout of a sound: media 3. Its units are segments, each decoded alone, that meet without a gap.

    LSND (rate, channels, length, how the source had its samples, frames of a segment) -> SoundLayout -> segments

Only version 2 of the format has it: LHDR has the identity alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ...errors import CorruptFile, InputError, LimitExceeded
from ..fields import check_values, declare, declared, unpack_values
from ..layout import Layout
from ..limits import MAX_CHUNK, MAX_SEGMENT, MAX_SEGMENT_SAMPLES, max_lossless_bytes

if TYPE_CHECKING:  # a twentieth of what `lecodec info` takes to start
    from fractions import Fraction

__all__ = ["SoundLayout"]

_DEPTHS: Final = {8: "8", 16: "16", 24: "24", 32: "32", 64: "64"}
MIXED: Final = 2
"""Channels at most of a sound with loss."""


@dataclass(frozen=True, kw_only=True)
class SoundLayout(Layout):
    """streamed: the file was begun when nobody knew its length, which a second LSND before the last segment says (see
    `bitstream.streamed`); samples: 0 until that is known. Raises InputError for a value that no file may have,
    LimitExceeded for one beyond the limits.
    """

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
    samples: int = declare("u32", "Samples of each channel; 0: not known yet.", high=2**32 - 1)
    streamed: bool = False

    def __post_init__(self) -> None:
        check_values(declared(type(self)), vars(self))
        if not self.samples and not self.streamed:
            raise InputError("header: samples is 0 of a sound whose length is known")
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
        from fractions import Fraction

        return Fraction(self.samples, self.sample_rate)

    @property
    def endless(self) -> SoundLayout:
        """The same, as long as can be: what is read of a sound before its length is known is judged by this."""
        return replace(self, samples=2**32 - 1)

    def pack(self) -> bytes:
        return replace(self, samples=0)._packed() if self.streamed else self._packed()

    def _packed(self) -> bytes:
        """With the length, as far as it is known."""
        return super().pack()

    @classmethod
    def unpack(cls, values: Mapping[str, Any], payload: bytes, offset: int) -> SoundLayout:
        fields = declared(cls)
        found = unpack_values(fields, payload, offset, "LSND")
        for name, wrong in cls.contradictions({**values, **found}):
            at = next(field.offset for field in fields if field.name == name)
            raise CorruptFile(f"byte {offset + at}: {wrong}")
        return cls(**found, streamed=not found["samples"])

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
        bpp = 8 * size / max(1, self.pixels)
        return {
            "items": None,
            "item_shape": None,
            "block_items": None,
            "samples": self.samples,
            "segments": self.units,
            "length": float(self.seconds),
            "bpp": bpp,
            "bpd": bpp,
            "kbps": size / 125 / float(self.seconds) if self.samples else None,
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
        return "of unknown length" if facts["kbps"] is None else f"{facts['kbps']:.1f} kbps"
