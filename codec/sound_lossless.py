"""The lossless codec of sounds: samples to `.lec` files and back, every sample as it was.

    samples -> segments -> FLAC, deflate, LZMA -> the smallest for each -> container
    container -> samples of each segment, their digests compared, end to end

Integers of 8, 16, 24 and 32 bits and floats of 32 and 64, one to 255 channels. Most segments are FLAC frames; silence,
patterns that repeat, and floats that no integers are behind are the bytes of their samples by weight (see
`media.flac_rows`), deflated, packed by LZMA or stored. No model and no torch is needed, in either direction.

Guarantees. What is decoded is what was encoded, to the bit: each segment carries a digest. A file is never longer than
FLAC's by more than 30 bytes a segment and 100 bytes, nor than the samples by more. Of a long sound one segment is in
memory at a time, beside the file. A codec holds no state between calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..bitstream import LOSSLESS, NO_DIGEST, DataChunk, Header, LecFile, SoundLayout, pack
from ..entropy.guard import guarded
from ..entropy.place import load_torch
from ..errors import CorruptFile, InputError, UnknownModel
from .blocks import DEFLATED, FLAC, LZMA, STORED, decode_plain, encode_block, samples_digest
from .codec import Codec, Target
from .media.flac_rows import flac_body, flac_samples, from_rows, rows_of
from .media.part import Frames, Part
from .media.signal import Signal
from .media.sound_signal import SoundSignal, array_signal, real, sound_signal, source_dtype
from .sound_range import SHORT, sample_range
from .workers.told import told

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LosslessSoundCodec"]

USUAL = 0.1, 0.9
"""Of the samples' bytes FLAC leaves so many of music and speech; where it is below or above, other methods are tried.
"""
PLAIN = STORED, DEFLATED, LZMA


class LosslessSoundCodec(Codec):
    """Needs no model. device: where `decode_tensor` puts its results."""

    lossless: ClassVar[bool] = True

    def __init__(self, device: str = "cpu") -> None:
        self.card: dict[str, Any] = {}
        self.device = device

    @property
    def uses_torch(self) -> bool:
        return False

    @staticmethod
    def refusal(card: Mapping[str, Any]) -> InputError:
        """What is raised where this codec is wanted, for the card of a model."""
        return InputError(f"sounds without loss need no model: {card.get('name')} has no part in it")

    # -- encoding

    @guarded
    def encode(self, samples: np.ndarray, sample_rate: int, *, segment: float | None = None, effort: int = 1) -> bytes:
        """A sound, an array [n] or [n, channels] or a tensor [n] or [channels, n], integers of 8, 16 or 32 bits or
        floats, at a rate in Hz -> the bytes of a `.lec` file. segment: seconds of each segment, 10 by default; effort:
        above 1 FLAC takes longer and is a little smaller. Raises InputError, LimitExceeded.
        """
        target = Target("lossless", effort=effort)
        return self.encode_signals([array_signal(samples, sample_rate, segment)], target)[0]

    @guarded
    def encode_signals(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        assert target.lossless
        return [self._encode(signal, target.effort) for signal in signals]

    @guarded
    def encode_verified(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        files = self.encode_signals(signals, target)
        for file in files:
            self.test(file)  # digests are of the samples, taken before they are coded
        return files

    def _encode(self, signal: Signal, effort: int) -> bytes:
        if not isinstance(signal, SoundSignal):
            raise InputError("a codec of sounds, and this is none")
        if signal.exact is None:
            raise InputError("a sound that was decoded with loss: there is nothing exact to keep")
        layout = signal.sound_layout
        header = Header(
            version=2,
            layout=layout,
            codec=LOSSLESS,
            parse_digest=NO_DIGEST,
            synthesis_digest=NO_DIGEST,
            quality=0,
        )
        data = [coded(segment, layout, effort) for segment in told("coding", _segments(signal), layout.units)]
        return pack(header, data, (), signal.metadata)

    # -- decoding

    @guarded
    def decode_files(self, files: Sequence[LecFile], part: Part | None = None) -> list[Signal]:
        """See `Codec.decode_files`; part: `Frames` in seconds, or of samples. A long result is decoded when it is asked
        for.
        """
        return [self._opened(file, part) for file in files]

    def _opened(self, file: LecFile, part: Part | None) -> SoundSignal:
        layout = _checked(file)
        if part is not None and not isinstance(part, Frames):
            raise InputError("a sound: regions and items are not decoded from it, seconds are")
        if part is None and not file.seeks:  # as it comes

            def as_it_comes() -> Iterator[np.ndarray]:
                return self.samples(file)

            return sound_signal(lambda: map(real, as_it_comes()), layout, exact=as_it_comes, metadata=file.metadata)
        if part is None:
            file.load()  # what is wrong behind the data is noticed too
        first, stop = sample_range(layout, part or Frames())

        def exact() -> Iterator[np.ndarray]:
            return self.samples(file, first, stop)

        return sound_signal(
            lambda: map(real, exact()),
            layout,
            stop - first,
            exact=exact,
            in_memory=(stop - first) * layout.channels <= SHORT,
            metadata=file.metadata,
        )

    @guarded
    def decode_batch(self, batch: Sequence[bytes | LecFile]) -> list[np.ndarray]:
        """Several files -> their samples, [n, channels] of the source's type: all of them in memory."""
        opened = [LecFile.open(data) for data in batch]
        for file in opened:
            file.load()
        return [np.concatenate(list(self.samples(file))) for file in opened]

    def decode_tensor(self, data: bytes | LecFile) -> Tensor:
        """A whole sound, [channels, n], as torchaudio has them; integers stay integers."""
        torch = load_torch("decode_tensor")
        return torch.from_numpy(self.decode(data).T.copy()).to(self.device)

    def samples(self, file: LecFile, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """The samples from `first` to the one before `stop`, [n, channels] of the source's type (see `source_dtype`), a
        segment at a time. Only the segments that they need are read, if the source can seek.

        Raises InputError for numbers outside, otherwise a CodecError.
        """
        layout = _checked(file)
        if not file.seeks:
            if first or stop is not None:
                raise InputError("a part of a sound that comes through a pipe: load the file")
            for number, chunk in file.segments():
                yield decoded(chunk, number, _checked(file))
            return
        stop = layout.samples if stop is None else stop
        numbers = range(first // layout.step, -(-stop // layout.step))
        for number in told("decoding", numbers, len(numbers)):
            (where,) = layout.unit(number)
            ((chunk, _),) = file.read([number])
            yield decoded(chunk, number, layout)[max(0, first - where.start) : min(where.stop, stop) - where.start]

    def test(self, data: bytes | LecFile) -> None:
        """Decode everything and compare the digests. Raises a CodecError."""
        file = LecFile.open(data)
        file.load()  # of a pipe nothing comes twice
        for _ in self.samples(file):
            pass


def coded(segment: np.ndarray, layout: SoundLayout, effort: int = 1) -> tuple[bytes, bytes]:
    """A segment [n, channels] -> the digest of its samples, and the method with the smallest body."""
    rows = rows_of(segment, layout.bit_depth)
    body = flac_body(segment, effort > 1)
    if body is not None and USUAL[0] * rows.nbytes < len(body) < USUAL[1] * rows.nbytes:
        return samples_digest(rows), bytes([FLAC]) + body
    return encode_block(rows, {} if body is None else {FLAC: body}, far=True)


def decoded(chunk: DataChunk, number: int, layout: SoundLayout) -> np.ndarray:
    """A segment's samples [n, channels], their digest compared. Raises CorruptFile, UnsupportedFile."""
    (where,) = (layout if layout.samples else layout.endless).unit(number)
    shape, dtype = (where.stop - where.start, layout.channels), source_dtype(layout)
    method = chunk.payload[0]
    what = f"segment {number} of {layout.units}"
    if method == FLAC:
        samples = flac_samples(bytes(chunk.payload[1:]), shape, dtype, what)
        rows = rows_of(samples, layout.bit_depth)
    else:
        height = layout.channels * layout.bit_depth // 8
        rows = decode_plain(chunk, (height, shape[0]), np.dtype(np.uint8)) if method in PLAIN else None
        if rows is None:
            decode_plain(chunk, (1, 1), np.dtype(np.uint16))  # raises for methods that nobody knows
            raise CorruptFile(f"byte {chunk.offset}: coding method {method}, which sounds do not have")
        samples = from_rows(rows, layout.channels, dtype)
    if samples_digest(rows) != chunk.digest:
        raise CorruptFile(f"{what}: it does not decode to what was encoded")
    return samples


def _segments(signal: SoundSignal) -> Iterator[np.ndarray]:
    """The segments of a sound, [n, channels]. Raises InputError when the samples are not as many as the layout says."""
    assert signal.exact is not None
    layout, kept, seen = signal.sound_layout, list[np.ndarray](), 0
    for block in signal.exact():
        seen += len(block)
        if seen > layout.samples:
            break
        while len(block):
            room = layout.step - sum(map(len, kept))
            kept.append(block[:room])
            block = block[room:]
            if len(kept[-1]) == room:
                yield np.concatenate(kept)
                kept = []
    if seen != layout.samples:
        raise InputError(f"the sound has other than the {layout.samples} samples that it had when it was looked at")
    if kept:
        yield np.concatenate(kept)


def _checked(file: LecFile) -> SoundLayout:
    """The layout of a file that this codec reads. Raises UnknownModel."""
    if not isinstance(file.layout, SoundLayout):
        raise UnknownModel(f"the file holds a {file.layout.name}, no sound")
    if not file.header.lossless:
        raise UnknownModel("the sound was coded with loss: the model that the file names decodes it")
    if file.header.parse_digest != NO_DIGEST:
        raise UnknownModel("a sound without loss that names a model, which a newer version of lecodec may know")
    return file.layout
