"""The sound codec: samples to `.lec` files and back.

    samples -> segments -> SoundTransform -> z, y -> EnvelopeCoding -> container
    container -> EnvelopeCoding -> z, y, envelope -> SoundTransform -> samples of each segment, end to end

A segment is decoded alone: the frame at its edge is coded in both of its neighbours, so that nothing is missing between
them. Of a long sound some segments are in memory at a time, in both directions.

Guarantees. Latents are integers, identical on every machine and checked against the digest of each segment; a mismatch
is a CorruptFile that names it. Samples come from the float synthesis and may differ by a rounding between machines. A
codec holds no state between calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..bitstream import DataChunk, Header, LecFile, SoundLayout, pack
from ..entropy.coder import Reader, Writer
from ..entropy.envelope_coding import EnvelopeCoding, SoundLatents
from ..entropy.guard import guarded
from ..entropy.latents import Meter
from ..entropy.place import NUMPY, device_of, load_torch, place_for
from ..entropy.runtime import runtime_of
from ..errors import CorruptFile, InputError, ModelError, UnknownModel
from .codec import EFFORTS, Codec, Target
from .image import fixed_quality
from .latent_model import checked_digests
from .media.part import Frames, Part
from .media.signal import Signal
from .media.sound_signal import SoundSignal, array_signal, in_stereo, sound_signal
from .model_file import check_digest, parse_tensors
from .sound_range import SHORT, sample_range
from .sound_segments import segments
from .sound_transform import SoundTransform
from .targets import encode_to_rate, encode_to_size
from .transforms.sound_sizes import bins_of
from .workers.told import told

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SoundCodec"]

TOGETHER = 2**23
"""Samples of all channels that are worked on at a time."""
MOST = 16
"""Segments that are."""
TRIED = 6
"""Segments whose bits are estimated in the search for a rate."""


class SoundCodec(Codec):
    """tensors: of a model file: `parse.*` (integers), `h_a.*`, `g_s.*` (floats); card: its card. Raises ModelError when
    they do not make a codec, or are not what the card's digests say, InputError for a device that there is not. Usually
    made by `load`.
    """

    lossless: ClassVar[bool] = False

    def __init__(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu"):
        self.card = dict(card)
        place = place_for(device)
        self.device = device_of(place)
        self.entropy = EnvelopeCoding(parse_tensors(tensors))
        self.parse_digest, self.synthesis_digest = checked_digests(tensors, card, self.entropy)
        self.transform = SoundTransform(tensors, card, self.entropy, place)
        self.runtime = runtime_of(place)
        self.stepwise = runtime_of(NUMPY) if self.device == "cpu" else self.runtime
        """What runs networks a frame at a time: numpy has the least to do beside the arithmetic."""

    @staticmethod
    def refusal(card: Mapping[str, Any]) -> ModelError:
        """What is raised where a sound codec is wanted, for the card of another model."""
        return ModelError(f"{card.get('name')} is a model of the kind {card.get('kind')}, not sound")

    # -- encoding

    @guarded
    def encode(
        self,
        samples: np.ndarray | Tensor,
        sample_rate: int,
        quality: float | None = None,
        *,
        kbps: float | None = None,
        size: int | None = None,
        segment: float | None = None,
    ) -> bytes:
        """A sound, an array [n] or [n, channels] or a tensor [n] or [channels, n], floats in [-1, 1] or integers, at a
        rate in Hz -> the bytes of a `.lec` file.

        At most one of quality, 1 to 100, 60 by default; kbps, thousand bits a second, met within 1.5%; size, the most
        bytes. segment: seconds of each segment, 10 by default. Raises InputError, LimitExceeded.
        """
        target = Target.of({"quality": quality, "kbps": kbps, "size": size})
        return self.encode_signals([array_signal(samples, sample_rate, segment)], target)[0]

    @guarded
    def encode_signals(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        return [self._encode(signal, target) for signal in signals]

    def _encode(self, signal: Signal, target: Target) -> bytes:
        if not isinstance(signal, SoundSignal):
            raise InputError(f"{self.card.get('name')} codes sounds, and this is none")
        signal = in_stereo(signal)
        if target.kind in ("kbps", "size"):  # the rate is that of the sound
            signal = replace(signal, metadata=replace(signal.metadata, cover=b""))
        layout = signal.sound_layout
        if layout.streamed:
            raise InputError("a sound whose length nobody knows is coded in pieces: see SoundEncoder")
        if target.effort != EFFORTS[0]:
            raise InputError("effort is of pictures: sounds are coded without")
        if target.kind == "quality":
            return self._coded(signal, fixed_quality(target.value))
        if target.kind not in ("kbps", "size"):
            raise InputError(f"sounds are coded to a quality, to kbps or to a size, not to {target.kind}")

        def estimate(rate: int) -> float:
            return self._estimate(signal, rate)

        def encode(rate: int) -> bytes:
            return self._coded(signal, rate)

        if target.kind == "size":
            return encode_to_size(estimate, encode, target.value)
        return encode_to_rate(estimate, encode, target.value, 125 * float(layout.seconds), 4 * layout.units, "kbps")

    def _coded(self, signal: SoundSignal, rate: int) -> bytes:
        """The file at a fixed-point index."""
        layout, data = signal.sound_layout, []
        for batch in _batches(told("coding", segments(signal), layout.units), layout):
            writers = [Writer() for _ in batch]
            for writer, found in zip(writers, self.write_segments(writers, batch, layout, rate), strict=True):
                data.append((found.digest(), writer.finish()))
        header = Header(
            version=2,
            layout=layout,
            quality=rate,
            parse_digest=self.parse_digest,
            synthesis_digest=self.synthesis_digest,
        )
        return pack(header, data, (), signal.metadata)

    def write_segments(
        self, coders: Sequence[Any], batch: Sequence[np.ndarray], layout: SoundLayout, rate: int
    ) -> list[SoundLatents]:
        """Segments of one length, each [channels, (frames + 1) hop], coded."""
        coding = self.entropy.of(bins_of(layout.sample_rate), layout.channels)
        z, y = self.transform.analyse(np.stack(batch), layout.sample_rate, rate, self.runtime)
        return coding.traverse(coders, (y.shape[-1],), [rate] * len(batch), (z, y), device=self.runtime)

    def _estimate(self, signal: SoundSignal, rate: int) -> float:
        """Bytes at an index, from some of the segments."""
        layout = signal.sound_layout
        every, bits, seen = max(1, -(-layout.units // TRIED)), 0.0, 0
        chosen = (s for n, s in enumerate(segments(signal)) if n % every == 0)
        for batch in _batches(chosen, layout):
            meters = [Meter() for _ in batch]
            self.write_segments(meters, batch, layout, rate)
            bits += sum(meter.bits for meter in meters)
            seen += sum(a.shape[-1] - layout.hop for a in batch)
        whole = layout.units * layout.hop + layout.samples
        return 110 + 26 * layout.units + bits / 8 * whole / max(1, seen)

    # -- decoding

    @guarded
    def decode_files(self, files: Sequence[LecFile], part: Part | None = None) -> list[Signal]:
        """See `Codec.decode_files`; part: `Frames` in seconds, or of samples. A long result is decoded when it is asked
        for.
        """
        return [self._opened(file, part) for file in files]

    def _opened(self, file: LecFile, part: Part | None) -> SoundSignal:
        self._check_model(file.header)
        layout = _layout_of(file)
        if part is not None and not isinstance(part, Frames):
            raise InputError("a sound: regions and items are not decoded from it, seconds are")
        if part is None and not file.seeks:  # as it comes
            return sound_signal(lambda: self.samples(file), layout, metadata=file.metadata)
        if part is None:
            file.load()  # what is wrong behind the data is noticed too
        first, stop = sample_range(layout, part or Frames())
        short = (stop - first) * layout.channels <= SHORT
        return sound_signal(
            lambda: self.samples(file, first, stop),
            layout,
            stop - first,
            in_memory=short,
            metadata=file.metadata,
        )

    @guarded
    def decode_batch(self, batch: Sequence[bytes | LecFile]) -> list[np.ndarray]:
        """Several files -> their samples, float32 [n, channels] each: all of them in memory."""
        signals = [self._opened(LecFile.open(data), None) for data in batch]
        return [np.concatenate(list(signal.blocks())) for signal in signals]

    def decode_tensor(self, data: bytes | LecFile) -> Tensor:
        """A whole sound, float32 [channels, n], as torchaudio has them."""
        torch = load_torch("decode_tensor")
        return torch.from_numpy(self.decode(data).T.copy())

    def samples(self, file: LecFile, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """The samples from `first` to the one before `stop`, float32 [n, channels] in [-1, 1], a segment at a time.
        Only the segments that they need are read, if the source can seek, and decoded.

        Raises InputError for numbers outside, otherwise a CodecError.
        """
        if not file.seeks:
            if first or stop is not None:
                raise InputError("a part of a sound that comes through a pipe: load the file")
            yield from self._as_they_come(file)
            return
        layout = _layout_of(file)
        stop = layout.samples if stop is None else stop
        for number, found in self._decoded(file, first, stop):
            (where,) = layout.unit(number)
            samples = self._synthesised(found, layout, file.header.quality)
            samples = samples[max(0, first - where.start) : min(where.stop, stop) - where.start]
            yield samples

    def _as_they_come(self, file: LecFile) -> Iterator[np.ndarray]:
        """All samples, each segment's as soon as it is there."""
        self._check_model(file.header)
        for number, chunk in file.segments():
            layout = _layout_of(file)
            (where,) = (layout if layout.samples else layout.endless).unit(number)
            (found,) = self._read(file, [number], [chunk], where.stop - where.start)
            yield self._synthesised(found, layout, file.header.quality)[: where.stop - where.start]

    @guarded
    def _synthesised(self, found: SoundLatents, layout: SoundLayout, rate: int) -> np.ndarray:
        """A segment's samples [n, channels]; beyond the end of the sound too."""
        return self.transform.synthesise(found, layout.sample_rate, rate)

    def test(self, data: bytes | LecFile) -> None:
        """Decode latents and compare their digests, without making samples. Raises a CodecError."""
        file = LecFile.open(data)
        self._check_model(file.header)
        file.load()  # of a pipe nothing comes twice
        for _ in self._decoded(file, 0, _layout_of(file).samples):
            pass

    @guarded
    def degrade(self, sounds: Tensor, sample_rate: int, quality: Sequence[float]) -> Tensor:
        """Sounds as they would come back from files: [B, channels, n], floats in [-1, 1], each at a quality of its own
        -> the same, float32, on the CPU. Nothing is coded. Raises InputError.
        """
        import torch

        out = torch.empty(sounds.shape, dtype=torch.float32, device="cpu")
        for n, (sound, wanted) in enumerate(zip(sounds, quality, strict=True)):
            signal, rate = in_stereo(array_signal(sound, sample_rate)), fixed_quality(wanted)
            layout = signal.sound_layout
            coding = self.entropy.of(bins_of(sample_rate), layout.channels)
            parts = []
            for segment in segments(signal):
                z, y = self.transform.analyse(segment[None], sample_rate, rate, self.runtime)
                frames = y.shape[-1]
                halves = z[0].reshape(layout.channels, -1, z.shape[-1])
                envelope, features = coding.envelope_of(halves, [rate] * layout.channels, frames, self.runtime)
                latents = SoundLatents((z[0], y[0].astype(np.int32)), envelope, features)
                parts.append(self._synthesised(latents, layout, rate))
            out[n] = torch.from_numpy(np.concatenate(parts)[: layout.samples].T.copy())
        return out

    def latents(self, data: bytes | LecFile, number: int) -> SoundLatents:
        """The latents of a segment: the part that is the same on every machine."""
        file = LecFile.open(data)
        self._check_model(file.header)
        layout = _layout_of(file)
        (where,) = layout.unit(number)
        return next(found for n, found in self._decoded(file, where.start, where.stop) if n == number)

    def _decoded(self, file: LecFile, first: int, stop: int) -> Iterator[tuple[int, SoundLatents]]:
        """Numbers and latents of the segments that hold these samples, checked."""
        layout = _layout_of(file)
        numbers = range(first // layout.step, -(-stop // layout.step))
        together = max(1, min(MOST, TOGETHER // (layout.step * layout.channels)))
        begins = range(numbers.start, numbers.stop, together)
        for begin in told("decoding", begins, len(begins)):
            part = list(range(begin, min(begin + together, numbers.stop)))
            (last,) = layout.unit(part[-1])
            cut = len(part) - (last.stop - last.start < layout.step)  # a shorter one is read alone
            for same in (part[:cut], part[cut:]):
                if same:
                    (where,) = layout.unit(same[0])
                    chunks = [chunk for chunk, _ in file.read(same)]
                    yield from zip(same, self._read(file, same, chunks, where.stop - where.start), strict=True)

    @guarded
    def _read(
        self, file: LecFile, numbers: Sequence[int], chunks: Sequence[DataChunk], length: int
    ) -> list[SoundLatents]:
        """The latents of segments of one length. Raises CorruptFile."""
        layout, rate = _layout_of(file), file.header.quality
        frames = -(-length // layout.hop) + 1
        coding = self.entropy.of(bins_of(layout.sample_rate), layout.channels)
        for number, chunk in zip(numbers, chunks, strict=True):
            if 8 * len(chunk.payload) + 64 < coding.least_bits((frames,), rate):
                raise CorruptFile(f"segment {number}: {len(chunk.payload)} bytes cannot hold {frames} frames")
        readers = []
        for number, chunk in zip(numbers, chunks, strict=True):
            try:
                readers.append(Reader(chunk.payload))
            except CorruptFile as error:
                raise CorruptFile(f"{_which(layout, number)}: {error}") from None
        try:
            found = coding.traverse(readers, (frames,), [rate] * len(numbers), device=self.stepwise)
        except CorruptFile as error:
            last = f" to {numbers[-1]}" if len(numbers) > 1 else ""
            which = _which(layout, numbers[0]) + last
            raise CorruptFile(f"{which}: {error}") from None
        for number, reader, latents, chunk in zip(numbers, readers, found, chunks, strict=True):
            if not reader.exhausted() or latents.digest() != chunk.digest:
                raise CorruptFile(f"{_which(layout, number)}: it does not decode to what was encoded")
        return found

    def _check_model(self, header: Header) -> None:
        if not isinstance(header.layout, SoundLayout):
            raise UnknownModel(f"the file holds no sound, this is {self.card.get('name')}, a sound model")
        check_digest(header, self.parse_digest, self.card)


def _which(layout: SoundLayout, number: int) -> str:
    return f"segment {number} of {layout.units}" if layout.samples else f"segment {number}"


def _layout_of(file: LecFile) -> SoundLayout:
    assert isinstance(file.layout, SoundLayout)
    return file.layout


def _batches(segments: Iterator[np.ndarray], layout: SoundLayout) -> Iterator[list[np.ndarray]]:
    """Segments of one length, some at a time."""
    together = max(1, min(MOST, TOGETHER // (layout.step * layout.channels)))
    batch: list[np.ndarray] = []
    for segment in segments:
        if batch and (len(batch) == together or batch[0].shape != segment.shape):
            yield batch
            batch = []
        batch.append(segment)
    if batch:
        yield batch
