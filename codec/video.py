"""The video codec: clips to `.lec` files and back.

    frames -> Encoder -> groups -> container        container -> groups -> FrameCoding -> y_hat -> g_s -> frames

A video model is the entropy model of frames given others; transforms, z and the entropy model of frames that are coded
alone are those of the image model that it names. Every group can be decoded with the first frame of the next one alone.

Guarantees. Latents are integers computed by integers from latents: identical on every machine, and checked against the
digests of each frame and group, so that a mismatch is a CorruptFile that names the group, and no error builds up.
Pixels come from the float synthesis and may differ by a rounding between machines. Encoding holds the latents of one
group, decoding as well. A codec holds no state between calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..bitstream import Header, LecFile, VideoLayout, pack
from ..bitstream.groups import Group, Step, pack_group, unpack_group
from ..entropy.context_coding import ContextCoding
from ..entropy.guard import guarded
from ..entropy.spatiotemporal_coding import SpatiotemporalCoding
from ..errors import CorruptFile, InputError, ModelError, UnknownModel
from . import targets
from .codec import EFFORTS, Codec, Target
from .image import ImageCodec, fixed_quality
from .media.part import Frames, Part
from .media.signal import Signal
from .media.video_signal import VideoFrame, VideoSignal, clip_signal, video_signal
from .model_file import check_digest, parse_tensors
from .video_coding import Decoded, FrameCoding
from .video_encoder import Encoder, group_digest
from .video_frames import FrameTransform

__all__ = ["VideoCodec"]


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
        self.coding = FrameCoding(base.entropy, self.temporal, base.transform.device)

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
        size: int | None = None,
        fps: float = 25.0,
    ) -> bytes:
        """A clip, uint8 [N, H, W, 3] -> the bytes of a `.lec` file. At most one of: quality, 1 to 100, 60 by default;
        bpp, bits a pixel of a frame, met within 1.5% or 4 bytes a frame; size, the most bytes. The last two take
        several encodings. Raises InputError, LimitExceeded.
        """
        target = Target.of({"quality": quality, "bpp": bpp, "size": size})
        return self.encode_signals([clip_signal(samples, fps)], target)[0]

    @guarded
    def encode_signals(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        return [self._encode(signal, target) for signal in signals]

    def _encode(self, signal: Signal, target: Target) -> bytes:
        if not isinstance(signal, VideoSignal):
            raise InputError(f"{self.card.get('name')} codes videos, and this is none")
        if target.effort != EFFORTS[0]:
            raise InputError("effort is of pictures: videos are coded without")
        if target.kind == "quality":
            return self._encode_at(signal, fixed_quality(target.value))
        if target.kind not in ("bpp", "size"):
            raise InputError(f"videos are coded to a quality, bpp or size: {target.kind} is no target of theirs")
        at = cache(partial(self._encode_at, signal))

        def size(q: int) -> float:
            return len(at(q))

        if target.kind == "size":
            return targets.encode_to_size(size, at, target.value)
        layout = LecFile.open(at(targets.START)).layout
        assert isinstance(layout, VideoLayout)
        return targets.encode_to_rate(size, at, target.value, layout.pixels / 8, 4 * layout.frames, "bpp")

    def _encode_at(self, signal: VideoSignal, quality: int) -> bytes:
        """The file at a fixed-point index."""
        layout = signal.video_layout
        encoder = Encoder(self.coding, self._transform(layout), signal, quality)
        coded = list(encoder.groups())
        groups = tuple((len(each.group.frames), each.ticks) for each in coded)
        every = {ticks for each in coded for ticks in each.group.durations}
        duration = every.pop() if len(every) == 1 else 0
        header = Header(
            version=2,
            layout=replace(layout, groups=groups, duration=duration),
            quality=quality,
            parse_digest=self.parse_digest,
            synthesis_digest=self.synthesis_digest,
        )
        plain = [replace(each.group, durations=() if duration else each.group.durations) for each in coded]
        data = [(each.digest, pack_group(group)) for each, group in zip(coded, plain, strict=True)]
        return pack(header, data, (), signal.metadata)

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
        first, stop = frame_range(layout, part or Frames())
        return video_signal(lambda: self.frames(file, first, stop), layout)

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
        return torch.from_numpy(self.decode(data)).permute(0, 3, 1, 2)

    def frames(self, file: LecFile, first: int = 0, stop: int | None = None) -> Iterator[VideoFrame]:
        """The frames from `first` to the one before `stop`, in the order in which they are shown. Only the groups that
        they need are read, if the source can seek, and of these only the frames are decoded that they depend on.

        Raises InputError for numbers outside, otherwise a CodecError.
        """
        layout = _layout_of(file)
        transform = self._transform(layout)
        for number, group, decoded, wanted in self._decoded(file, first, layout.frames if stop is None else stop):
            ticks = group.durations or (layout.duration,) * layout.groups[number][0]
            for frame in wanted:
                found = decoded[frame]
                samples = self._synthesised(transform, found, group.quality)
                yield VideoFrame(samples, ticks[frame])

    @guarded
    def _synthesised(self, transform: FrameTransform, found: Decoded, quality: int) -> np.ndarray:
        return transform.synthesise(found.latents.y_hat, found.rate, quality)

    def test(self, data: bytes | LecFile) -> None:
        """Decode latents and compare their digests, without making frames. Raises a CodecError."""
        file = LecFile.open(data)
        file.load()
        self._check_model(file.header)
        for _ in self._decoded(file, 0, _layout_of(file).frames):
            pass

    def latents(self, data: bytes | LecFile) -> Iterator[Decoded]:
        """The latents of all frames, in the order in which they are shown: the part that is the same on every
        machine.
        """
        file = LecFile.open(data)
        self._check_model(file.header)
        for _, _, decoded, wanted in self._decoded(file, 0, _layout_of(file).frames):
            yield from (decoded[frame] for frame in wanted)

    def _decoded(self, file: LecFile, first: int, stop: int) -> Iterator[tuple[int, Group, dict[int, Decoded], range]]:
        """Of each group that shows frames of a range: its number, what it says, the latents of these frames and of
        those that they depend on, and the numbers in the group of these frames.
        """
        layout = _layout_of(file)
        starts, begun = layout.starts, None
        groups: dict[int, tuple[Group, bytes]] = {}

        def group_at(number: int) -> tuple[Group, bytes]:
            if number not in groups:
                ((chunk, _),) = file.read([number])
                frames, last = layout.groups[number][0], number == layout.units - 1
                group = unpack_group(chunk.payload, chunk.offset, frames, not layout.duration, last)
                if group.durations and sum(group.durations) != layout.groups[number][1]:
                    raise CorruptFile(f"group {number}: its frames do not last as long as it")
                groups[number] = group, chunk.digest
            return groups[number]

        if stop > first:
            for number in range(layout.group_of(first), layout.group_of(stop - 1) + 1):
                group, digest = group_at(number)
                count = layout.groups[number][0]
                wanted = range(max(0, first - starts[number]), min(count, stop - starts[number]))
                needed = _needed(group.order, wanted)
                after = group_at(number + 1)[0] if not group.closed and count in needed else None
                try:
                    decoded, begun = self._decode_group(layout, group, digest, needed, begun, after)
                except CorruptFile as error:
                    raise CorruptFile(f"group {number} of {layout.units}: {error}") from None
                groups = {n: g for n, g in groups.items() if n > number}
                yield number, group, decoded, wanted

    @guarded
    def _decode_group(
        self,
        layout: VideoLayout,
        group: Group,
        digest: bytes,
        needed: frozenset[int],
        begun: Decoded | None,
        after: Group | None,
    ) -> tuple[dict[int, Decoded], Decoded | None]:
        """begun: its first frame, if it is decoded already; after: the next group, if its first frame is needed
        -> the latents of the frames that are needed, and the next group's first frame.
        """
        size, count = self._transform(layout).size, len(group.frames)
        decoded: dict[int, Decoded] = {}
        following = None
        if after is not None:
            following = self.coding.decode(after.frames[0], size, after.rates[0], after.order[0], None)
            decoded[count] = replace(following, number=count)
        for step, frame in zip(group.order, group.frames, strict=True):
            if step.frame not in needed:
                continue
            if step.left is None or step.right is None:
                decoded[0] = begun or self.coding.decode(frame, size, group.rates[0], step, None)
            else:
                references = decoded[step.left], decoded[step.right]
                rate = group.rates[step.level]
                decoded[step.frame] = self.coding.decode(frame, size, rate, step, references)
        if len(decoded) - (after is not None) == count:
            found = group_digest([decoded[step.frame].latents.digest() for step in group.order])
            if found != digest:
                raise CorruptFile("it does not decode to what was encoded")
        return decoded, following

    def _check_model(self, header: Header) -> None:
        if not isinstance(header.layout, VideoLayout):
            raise UnknownModel(f"the file holds no video, this is {self.card.get('name')}, a video model")
        check_digest(header, self.parse_digest, self.card)


def _layout_of(file: LecFile) -> VideoLayout:
    assert isinstance(file.layout, VideoLayout)
    return file.layout


def _needed(order: Sequence[Step], wanted: range) -> frozenset[int]:
    """The frames of a group that are wanted, and those that they depend on."""
    needed = set(wanted)
    for step in reversed(order):
        if step.frame in needed and step.left is not None and step.right is not None:
            needed |= {step.left, step.right}
    return frozenset(needed)


def frame_range(layout: VideoLayout, part: Frames) -> tuple[int, int]:
    """The numbers of the first frame of a part and of the one after its last. Raises InputError for a part that the
    video does not have, and for seconds where frames do not all last as long.
    """
    first, stop = part.first, layout.frames if part.stop is None else part.stop
    if part.in_seconds:
        if not layout.duration:
            raise InputError("its frames do not all last as long: ask for frames by their numbers")
        each = layout.duration * layout.clock_step / layout.clock
        first = int(part.first / each + 1e-9)
        stop = layout.frames if part.stop is None else min(layout.frames, int(-(-(part.stop / each - 1e-9) // 1)))
    if not 0 <= first < stop <= layout.frames:
        has = f"the video has frames 0 to {layout.frames - 1}, {float(layout.seconds):.3f} seconds"
        raise InputError(f"{part.asked('frames')}: {has}")
    return int(first), int(stop)
