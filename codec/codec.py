"""What every codec is, whatever the medium: signals in, bytes of files out, and back.

    signals, Target -> Codec.encode_signals -> bytes of .lec files
    LecFile, Part -> Codec.decode_files -> signals

The command line, Pillow, the data set and the evaluator know codecs by this type only. The public methods that take
and give plain samples are thin: they are here where they are the same for all codecs. Importing this costs no numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol

from ..bitstream import LecFile
from ..entropy.guard import guarded
from ..errors import CodecError, InputError
from .media.part import Items, Part, Region

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from .media.signal import Signal

__all__ = ["EFFORTS", "RATES", "Codec", "Conflict", "Target", "share_threads"]

QUALITY = 60.0
"""Where nothing is asked for."""
EFFORTS = range(1, 10)
RATES = ("quality", "bpp", "kbps", "psnr", "ssimulacra2", "size")
"""What may be asked for, one at a time: quality, 1 (small) to 100 (good); bpp, bits a pixel; kbps, thousand bits a
second; psnr, in dB; ssimulacra2, a score up to 100; size, the most bytes. The arguments of `encode` and the options of
the command line have these names.
"""


def share_threads(workers: int) -> None:
    """Give the calling thread its share, of so many, of the threads that networks run in without torch."""
    from ..entropy.parallel import share

    share(workers)


class Conflict(InputError):
    """Wishes that exclude each other. names: those that were expressed, in the order of `RATES`."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        super().__init__(text)
        self.names = tuple(names)


@dataclass(frozen=True)
class Target:
    """What a file is to reach. kind: one of `RATES`, or "lossless": every sample is kept. effort: 1, as fast as it
    goes, to 9. exact_pixels: whether the samples of a picture with loss are to be the same on every machine. Whether
    other values are in reach is said by the codec.

    Raises InputError for a quality outside 1 to 100 and for an effort that is none.
    """

    kind: str = "quality"
    value: float = QUALITY
    effort: int = EFFORTS[0]
    exact_pixels: bool = False

    def __post_init__(self) -> None:
        if self.kind not in (*RATES, "lossless"):
            raise InputError(f"a target of the kind {self.kind!r}, expected one of {', '.join(RATES)}, lossless")
        if isinstance(self.value, bool) or not isinstance(self.value, Real):
            raise InputError(f"{self.kind} {self.value!r:.40} is not a number")
        if self.kind == "quality" and not 1 <= self.value <= 100:  # written so that nan is refused too
            raise InputError(f"quality {self.value} is outside 1 to 100")
        if isinstance(self.effort, bool) or not isinstance(self.effort, Integral) or self.effort not in EFFORTS:
            raise InputError(f"effort {self.effort} is not a whole number from {EFFORTS[0]} to {EFFORTS[-1]}")

    @classmethod
    def of(
        cls,
        wanted: Mapping[str, float | None],
        *,
        lossless: bool = False,
        effort: int = EFFORTS[0],
        exact_pixels: bool = False,
    ) -> Target:
        """The target that is asked for. wanted: by the names of `RATES`, None or missing where nothing is.

        Raises Conflict for two of them, and for lossless with one of them; further as the class does.
        """
        given = {name: wanted[name] for name in RATES if wanted.get(name) is not None}
        if lossless:
            if given:
                raise Conflict(f"lossless keeps every sample: {_and(RATES)} do not go with it", list(given))
            return cls("lossless", effort=effort, exact_pixels=exact_pixels)
        if len(given) > 1:
            raise Conflict(f"only one of {_and(RATES)} can be asked for, not {' and '.join(given)}", list(given))
        for kind, value in given.items():
            assert value is not None
            return cls(kind, value, effort, exact_pixels)
        return cls(effort=effort, exact_pixels=exact_pixels)

    @property
    def lossless(self) -> bool:
        return self.kind == "lossless"


class Codec(Protocol):
    """card: of the model, empty without one. A codec holds no state between calls: threads may share one."""

    card: dict[str, Any]
    lossless: ClassVar[bool]
    """Whether it is for the target of that kind, or else for all others."""

    @property
    def uses_torch(self) -> bool:
        return True

    def encode_signals(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        """The files of several signals, each cut into units as its layout says. What they have in common is computed
        together. Raises InputError, LimitExceeded.
        """
        ...

    def encode_verified(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        """As `encode_signals`; files without loss are decoded and compared before they are returned. Raises CorruptFile
        too: this machine does not compute what it should.
        """
        return self.encode_signals(signals, target)

    def decode_files(self, files: Sequence[LecFile], part: Part | None = None) -> list[Signal]:
        """What files hold, or a part of each. Of a part only the units that it needs are read, if the source can seek.
        The layout of a result is its file's, also that of a part.

        Raises a CodecError for a damaged file, UnknownModel for one of another codec, InputError for a part that it
        does not have.
        """
        ...

    def test(self, data: bytes | LecFile) -> None:
        """Decode as far as digests reach and compare them. Raises a CodecError."""
        ...

    def encode(self, samples: np.ndarray) -> bytes:
        """The bytes of a `.lec` file for a picture. Each codec adds the arguments of the targets that it knows."""
        ...

    def decode_tensor(self, data: bytes | LecFile) -> Tensor:
        """A picture as a tensor on the codec's device: [C, H, W] (C = 1 to 4) of uint8 or uint16. Same errors as
        `decode`.
        """
        ...

    @staticmethod
    def refusal(card: Mapping[str, Any]) -> CodecError:
        """What is raised where this class of codecs is wanted, for the card of another model."""
        ...

    @guarded
    def decode(self, data: bytes | LecFile) -> np.ndarray:
        """A `.lec` file, its bytes or opened -> the samples of the picture, or of the set [N, ...]. Raises a CodecError
        for anything else.
        """
        return self.decode_batch([data])[0]

    @guarded
    def decode_batch(self, batch: Sequence[bytes | LecFile]) -> list[np.ndarray]:
        """Several files together. Same results and errors as `decode`."""
        return [signal.samples for signal in self.decode_files([LecFile.open(data) for data in batch])]

    @guarded
    def decode_region(self, source: bytes | BinaryIO | LecFile, region: tuple[int, int, int, int]) -> np.ndarray:
        """A part of a picture: the samples at region = (x, y, width, height) in pixels; with loss they are within one
        grey level of those of the whole. Only the tiles that it needs are read, if the source can seek, and decoded.

        Raises InputError for a set and for a region that is not inside the picture, otherwise as `decode`.
        """
        return self.decode_files([LecFile.open(source)], Region.of(region))[0].samples

    @guarded
    def decode_items(self, source: bytes | BinaryIO | LecFile, numbers: Sequence[int]) -> np.ndarray:
        """Items of a set: [len(numbers), ...], in the order of `numbers`, which count from 0 and may repeat. Only the
        blocks that hold them are read, if the source can seek, and decoded.

        Raises InputError for a picture and for a number that is not in the set, otherwise as `decode`.
        """
        return self.decode_files([LecFile.open(source)], Items.of(numbers))[0].samples


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
