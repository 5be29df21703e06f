"""The video codec: clips to `.lec` files and back.

    frames -> Encoder -> groups -> container        container -> groups -> FrameCoding -> y_hat -> g_s -> frames

A video model is the entropy model of frames given others; transforms, z and the entropy model of frames that are coded
alone are those of the image model that it names. Every group can be decoded with the first frame of the next one alone.

Guarantees. Latents are integers computed by integers from latents: identical on every machine, and checked against the
digests of each frame and group, so that a mismatch is a CorruptFile that names the group, and no error builds up.
Pixels come from the float synthesis and may differ by a rounding between machines. Encoding holds the latents of one
group, of 2^27 pixels or less, decoding those of a frame's references. A codec holds no state between calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ..bitstream import Header, LecFile, VideoLayout
from ..bitstream.announced import PACKED_END, pack_announced
from ..bitstream.container import pack_front
from ..bitstream.groups import pack_group
from ..bitstream.packets import pack_packets, unpack_packets
from ..entropy.context_coding import ContextCoding
from ..entropy.guard import guarded
from ..entropy.place import load_torch
from ..entropy.spatiotemporal_coding import SpatiotemporalCoding
from ..errors import InputError, ModelError, UnknownModel
from .codec import EFFORTS, Codec, Target
from .image import ImageCodec, fixed_quality
from .media.part import Frames, Part
from .media.signal import Signal
from .media.video_signal import VideoFrame, VideoSignal, clip_signal, video_signal
from .model_file import check_digest, parse_tensors
from .transforms.replica import Replica
from .video_coding import Decoded, FrameCoding
from .video_decoder import GroupDecoder
from .video_encoder import CodedGroup, Encoder
from .video_frames import FrameTransform
from .video_groups_read import GroupSource, Place
from .video_parts import Wanted, check_part
from .video_refine import Refiner
from .video_targets import TARGETS, encode_to_target

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EncodedVideo", "VideoCodec"]


class _Piece(NamedTuple):
    """A part of a file; group: the frames and ticks of the group in it, and error: the squared errors of that."""

    data: bytes
    group: tuple[int, int] | None = None
    error: float = 0.0


class EncodedVideo:
    """A file in pieces, given out once, each as soon as it is there. error: the sum of the squared errors of the
    samples so far, if they are measured.
    """

    def __init__(self, header: Header, pieces: Iterator[_Piece]) -> None:
        self._header, self._pieces, self.error = header, pieces, 0.0
        self._groups: list[tuple[int, int]] = []

    @classmethod
    def of(cls, data: bytes) -> EncodedVideo:
        """A whole file in one piece."""
        return cls(LecFile.open(data).header, iter([_Piece(data)]))

    @property
    def header(self) -> Header:
        """The header, which knows the groups that were given out."""
        layout = _layout_of(self._header)
        return replace(self._header, layout=replace(layout, groups=tuple(self._groups) or layout.groups))

    def __iter__(self) -> Iterator[bytes]:
        for data, group, error in self._pieces:
            self._groups += [] if group is None else [group]
            self.error += error
            yield data


class VideoCodec(Codec):
    """tensors: of a model file: `parse.*` (integers); card: its card; base: the codec of the image model that the card
    names. Raises ModelError when they do not make a codec, or are not what the card's digests say. Usually made by
    `load`.
    """

    lossless: ClassVar[bool] = False

    def __init__(
        self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu", base: Any = None
    ):
        self.card = dict(card)
        if not isinstance(base, ImageCodec) or not isinstance(base.entropy, ContextCoding):
            raise ModelError("the model names no image model with context")
        self.base = base
        self.temporal = SpatiotemporalCoding({**base.entropy.tensors, **parse_tensors(tensors)})
        self.parse_digest, self.synthesis_digest = self.temporal.digest(), base.synthesis_digest
        for kind in ("parse", "synthesis"):
            found, said = getattr(self, f"{kind}_digest").hex(), card.get(f"{kind}_digest")
            if said != found:
                raise ModelError(f"the model's {kind} digest is {found}, but its card says {said}")
        self.coding = FrameCoding(base.entropy, self.temporal, base.transform.place)

    @property
    def replica(self) -> Replica:
        """That of the image model, which moves references."""
        found = self.base.replica
        assert isinstance(found, Replica)
        return found

    @staticmethod
    def refusal(card: Mapping[str, Any]) -> ModelError:
        """What is raised where a video codec is wanted, for the card of another model."""
        return ModelError(f"{card.get('name')} is a model of the kind {card.get('kind')}, not video")

    # -- encoding

    @guarded
    def encode(
        self,
        samples: np.ndarray,
        quality: float | None = None,
        *,
        bpp: float | None = None,
        kbps: float | None = None,
        psnr: float | None = None,
        size: int | None = None,
        fps: float = 25.0,
        effort: int = EFFORTS[0],
    ) -> bytes:
        """A clip, uint8 [N, H, W, 3] -> the bytes of a `.lec` file. At most one of: quality, 1 to 100, 60 by default;
        bpp, bits a pixel of a frame, and kbps, thousand bits a second, met within 1.5% or 4 bytes a frame; psnr, in dB
        over all samples of all frames, met within 0.1; size, the most bytes. All but the first take several encodings.
        effort: 1 to 9; above 1 encoding takes longer and the file is smaller for what it shows (see `video_refine`).
        Raises InputError, LimitExceeded.
        """
        target = Target.of({"quality": quality, "bpp": bpp, "kbps": kbps, "psnr": psnr, "size": size}, effort=effort)
        return self.encode_signals([clip_signal(samples, fps)], target)[0]

    @guarded
    def encode_signals(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        return [self._encode(signal, target) for signal in signals]

    def _encode(self, signal: Signal, target: Target) -> bytes:
        return b"".join(self.encoded_pieces(signal, target))

    def encoded_pieces(self, signal: Signal, target: Target) -> EncodedVideo:
        """The file of a video in pieces: as each group is coded, if a quality is asked for. The frames are asked for
        once then, otherwise several times. Raises as `encode`, at any piece.
        """
        if not isinstance(signal, VideoSignal):
            raise InputError(f"{self.card.get('name')} codes videos, and this is none")
        if target.exact_pixels:
            raise InputError("exact pixels are of pictures: those of videos may differ by a rounding")
        refiner = None
        if steps := target.effort - EFFORTS[0]:
            refiner = Refiner(self.base.card, self.base.transform, steps)
        if target.kind == "quality":
            return self._pieces(signal, fixed_quality(target.value), refiner=refiner)
        if target.kind not in TARGETS:
            names = ", ".join(TARGETS)
            raise InputError(f"videos are coded to a quality, {names}: {target.kind} is no target of theirs")
        transform = self._transform(signal.video_layout)
        trial = self._trial if refiner is None else partial(self._trial, refiner=refiner)
        return EncodedVideo.of(encode_to_target(trial, transform, signal, target))

    @guarded
    def _trial(
        self,
        signal: VideoSignal,
        quality: int,
        transform: FrameTransform | None,
        measured: bool,
        refiner: Refiner | None = None,
    ) -> tuple[bytes, float]:
        """A whole file at a fixed-point index, and the sum of the squared errors of its samples, if that is asked for.
        transform: instead of the model's own.
        """
        encoded = self._pieces(signal, quality, transform, measured, refiner)
        return b"".join(encoded), encoded.error

    def _pieces(
        self,
        signal: VideoSignal,
        quality: int,
        transform: FrameTransform | None = None,
        measured: bool = False,
        refiner: Refiner | None = None,
    ) -> EncodedVideo:
        """The file at a fixed-point index, as each group is coded."""
        layout = replace(signal.video_layout, groups=(), announced=True)
        header = Header(
            version=2,
            layout=layout,
            quality=quality,
            parse_digest=self.parse_digest,
            synthesis_digest=self.synthesis_digest,
        )
        transform = transform or self._transform(layout)
        encoder = Encoder(self.coding, transform, signal, quality, measured, lambda: self.replica, refiner)
        return EncodedVideo(header, self._groups(header, signal, encoder.groups()))

    def _groups(self, header: Header, signal: VideoSignal, groups: Iterator[CodedGroup]) -> Iterator[_Piece]:
        """What stands before the data comes with the first group."""
        layout, front = _layout_of(header), pack_front(header, signal.metadata)
        while (coded := self._next(groups)) is not None:
            group = coded.group
            if layout.duration:
                if set(group.durations) != {layout.duration}:
                    raise InputError("its frames do not all last as long as its header says")
                group = replace(group, durations=())
            said, packets = (len(group.frames), coded.ticks), pack_packets(coded.packets)
            piece = front + pack_announced(layout, said, coded.digest, pack_group(group), packets)
            yield _Piece(piece, said, coded.error)
            front = b""
        yield _Piece(PACKED_END)

    @guarded
    def _next(self, groups: Iterator[CodedGroup]) -> CodedGroup | None:
        return next(groups, None)

    def _transform(self, layout: VideoLayout) -> FrameTransform:
        return FrameTransform(self.base.transform, self.temporal, layout.width, layout.height)

    # -- decoding

    @guarded
    def decode_files(self, files: Sequence[LecFile], part: Part | None = None) -> list[Signal]:
        """See `Codec.decode_files`; frames are decoded when they are asked for."""
        return [self._opened(file, part) for file in files]

    def _opened(self, file: LecFile, part: Part | None) -> VideoSignal:
        self._check_model(file.header)
        layout = _layout_of(file)
        if part is not None and not isinstance(part, Frames):
            raise InputError("a video: regions and items are not decoded from it, frames are")
        if layout.groups:
            check_part(part, layout)
        return video_signal(lambda: self.frames(file, part), layout, metadata=file.metadata)

    @guarded
    def decode_batch(self, batch: Sequence[bytes | LecFile]) -> list[np.ndarray]:
        """Several files -> their frames, uint8 [N, H, W, 3] each: all of them in memory."""
        files = [LecFile.open(data) for data in batch]
        for file in files:
            file.load()
        signals = [self._opened(file, None) for file in files]
        return [np.stack([frame.samples for frame in signal.frames()]) for signal in signals]

    def decode_tensor(self, data: bytes | LecFile) -> Tensor:
        """A whole clip, uint8 [N, 3, H, W]."""
        torch = load_torch("decode_tensor")
        return torch.from_numpy(self.decode(data)).permute(0, 3, 1, 2)

    def frames(self, file: LecFile, part: Frames | None = None) -> Iterator[VideoFrame]:
        """The frames of a part, or all of them, in the order in which they are shown, with the packets of sound and
        subtitles of their time, which begin at the first frame of the part.

        Of a part only the groups that it needs are read, if the source can seek, and of these only the frames are
        decoded that they depend on. A pipe is read no further than each frame needs. Raises InputError for a part that
        the video does not have, otherwise a CodecError.
        """
        layout = _layout_of(file)
        transform, began, number = self._transform(layout), None, -1
        times: list[int] = []
        for place, wanted, found in self._decoded(file, part):
            packets, frame = (), found.number
            if place.number != number:
                number, times = place.number, place.times(layout)
                if began is None:
                    began = 0 if part is None else times[wanted.start]
                packets = place.packets(times, wanted, began, part is not None)
            samples = self._synthesised(transform, found, place.read.group.quality)
            ticks, tick = place.read.durations[frame], place.tick + sum(place.read.durations[:frame])
            yield VideoFrame(samples, ticks, packets, place.start + frame, tick)

    @guarded
    def _synthesised(self, transform: FrameTransform, found: Decoded, quality: int) -> np.ndarray:
        return transform.synthesise(found.latents.y_hat, found.rate, quality)

    def test(self, data: bytes | LecFile) -> None:
        """Decode latents and compare their digests, without making frames. Raises a CodecError."""
        file = LecFile.open(data)
        self._check_model(file.header)
        for place, _, found in self._decoded(file):
            for _ in unpack_packets(place.read.chunks.packets if not found.number else ()):
                pass

    def latents(self, data: bytes | LecFile) -> Iterator[Decoded]:
        """The latents of all frames, in the order in which they are shown: the part that is the same on every
        machine.
        """
        file = LecFile.open(data)
        self._check_model(file.header)
        for _, _, found in self._decoded(file):
            yield found

    def _decoded(self, file: LecFile, part: Frames | None = None) -> Iterator[tuple[Place, range, Decoded]]:
        """The frames of a part in the order in which they are shown. Of each: where its group is, the numbers in it of
        the frames that are wanted, and the frame.
        """
        layout = _layout_of(file)
        asked, begun, found = Wanted(part, layout), None, False
        source, size = GroupSource(file, asked.everything), self._transform(layout).size
        groups = GroupDecoder(self.coding, self.temporal, size, lambda: self.replica)
        number, start, tick = asked.begins(layout.groups if file.seeks else ())
        while not asked.passed(start, tick) and (read := source.get(number)) is not None:
            count, place = read.chunks.frames, Place(number, start, tick, read)
            wanted = asked.of_group(start, tick, read.durations)
            found, first, begun = found or len(wanted) > 0, begun, None
            for decoded in groups.frames(place, wanted, first, partial(source.get, number + 1)):
                if decoded.number == count:
                    begun = replace(decoded, number=0)
                else:
                    yield place, wanted, decoded
            source.forget(number)
            number, start, tick = number + 1, start + count, tick + read.chunks.ticks
        source.finish()
        if not found or (not asked.part.in_seconds and asked.part.stop is not None and start < asked.part.stop):
            has = f"the video has frames 0 to {start - 1}, {float(tick * asked.clock):.3f} seconds"
            raise InputError(f"{asked.part.asked('frames')}: {has}")

    def _check_model(self, header: Header) -> None:
        if not isinstance(header.layout, VideoLayout):
            raise UnknownModel(f"the file holds no video, this is {self.card.get('name')}, a video model")
        check_digest(header, self.parse_digest, self.card)


def _layout_of(file: LecFile | Header) -> VideoLayout:
    assert isinstance(file.layout, VideoLayout)
    return file.layout
