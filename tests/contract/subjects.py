"""The codecs that keep the contract: one line each in SUBJECTS. A new kind of model joins with a line of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import lecodec
from lecodec import LosslessCodec
from lecodec.bitstream import Layout, VideoLayout, parse
from lecodec.codec.codec import Codec, Target
from lecodec.codec.media.part import Frames, Items, Part, Region
from lecodec.codec.media.signal import Signal, picture_signal, set_signal
from lecodec.codec.media.sound_signal import array_signal
from lecodec.codec.media.video_signal import VideoSignal, clip_signal, in_groups
from lecodec.codec.sound_lossless import LosslessSoundCodec

__all__ = ["GOLDEN", "SUBJECTS", "Subject", "same_layout", "samples_of"]

GOLDEN = Path(__file__).parents[1] / "golden"


def picture(height: int, width: int, channels: int = 3, seed: int = 0, deep: bool = False) -> np.ndarray:
    """Waves, an edge and a little noise: [H, W] or [H, W, channels] uint8, or uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = 128 + 60 * np.sin(x / 9 + seed) + 40 * np.cos(y / 13) + 20 * (x > y)
    out = (base[..., None] + rng.normal(0, 3, (height, width, channels)) + np.arange(channels) * 9).clip(0, 255)
    out = (out * 257).astype(np.uint16) if deep else out.astype(np.uint8)
    return out[..., 0] if channels == 1 else out


def pictures() -> list[Signal]:
    """Of odd sizes, grey and in colour, with alpha, of 16 bits, and cut into tiles."""
    shapes = [(17, 15, 3), (1, 1, 3), (1, 70, 1), (33, 1, 2), (20, 36, 4)]
    signals = [picture_signal(picture(*shape, seed=n)) for n, shape in enumerate(shapes)]
    return [*signals, picture_signal(picture(12, 19, deep=True)), picture_signal(picture(66, 70), tile=64)]


def sets(items: np.ndarray) -> list[Signal]:
    """Several items, one, and blocks of three."""
    return [set_signal(items[:5]), set_signal(items[:1]), set_signal(items[:11], 3)]


def regions(signal: Signal) -> list[tuple[Part, np.ndarray]]:
    """Parts of a picture, and what is in them."""
    x = signal.samples
    height, width = x.shape[:2]
    boxes = {(0, 0, width, height), (width // 3, height // 2, 1, 1), (0, height // 3, width, max(1, height // 4))}
    return [(Region(*box), x[box[1] : box[1] + box[3], box[0] : box[0] + box[2]]) for box in sorted(boxes)]


def items_of(signal: Signal) -> list[tuple[Part, np.ndarray]]:
    """Items of a set, in any order and twice."""
    last = len(signal.samples) - 1
    return [(Items(numbers), signal.samples[list(numbers)]) for numbers in ((0,), (last, 0, last))]


def sound(n: int, channels: int = 1, rate: int = 16000, segment: float | None = None) -> Signal:
    """Two partials and a little noise."""
    rng, t = np.random.default_rng(n), np.arange(n)[:, None] / rate
    x = 0.3 * np.sin(1300 * t + np.arange(channels)) + 0.1 * np.sin(5200 * t) + 0.01 * rng.normal(size=(n, channels))
    return array_signal(x.astype(np.float32), rate, segment)


def sounds() -> list[Signal]:
    """Of odd lengths, one and two channels, several rates, and cut into segments."""
    return [sound(1), sound(801, 2, 8000), sound(1999, 1, 44100), sound(1500, 2, 12000, 0.04)]


def seconds_of(signal: Signal) -> list[tuple[Part, np.ndarray]]:
    """Parts of a sound, by samples, and what is in them."""
    n = len(signal.samples)
    return [(Frames(a, b), signal.samples[a:b]) for a, b in ((0, n), (n // 3, n // 3 + 1), (n // 2, n))]


def exact_sounds() -> list[Signal]:
    """Of all depths, one to nine channels, cut into segments; floats that integers are behind, and others."""
    rng, t = np.random.default_rng(3), np.arange(1501)[:, None] / 8000
    x = 0.3 * np.sin(1300 * t + np.arange(9)) + 0.01 * rng.normal(size=(1501, 9))
    deep = np.rint(x * 2**31).astype(np.int32)
    return [
        array_signal((deep >> 16).astype(np.int16)[:, :2], 8000, 0.04),
        array_signal(((deep >> 24) + 128).astype(np.uint8)[:700], 44100),
        array_signal(deep[:, :1], 1000),
        array_signal(np.zeros((900, 1), np.int16), 16000),
        array_signal((deep[:800, :3] >> 16).astype(np.float32) / 2**15, 48000),
        array_signal(np.concatenate([x[:300, :1], [[np.inf], [-0.0]]]), 96000),
    ]


def small_exact_sound() -> Signal:
    return array_signal((900 * np.sin(np.arange(120) / 6) + np.arange(120) % 3).astype(np.int16), 8000)


@dataclass(frozen=True)
class Subject:
    """A codec with what it is tried on. model: of tests/golden, or "" for none. lossy: whether samples come back close
    and not as they were; latents are compared then. small: a signal whose every bit can be damaged. latents: digests of
    what is decoded exactly; without loss the samples say it all. head: bytes at the beginning of a unit's chunk that
    say how it is coded, as the file's header does for all units. modelless: the codec without a model.
    """

    name: str
    model: str
    signals: Callable[[], list[Signal]]
    parts: Callable[[Signal], Sequence[tuple[Part, np.ndarray]]]
    small: Callable[[], Signal]
    lossy: bool = False
    latents: Callable[[Any, bytes], list[bytes]] = lambda codec, data: []
    head: Callable[[bytes], int] = lambda chunk: 0
    modelless: Callable[[], Codec] = LosslessCodec

    @property
    def path(self) -> Path:
        return GOLDEN / f"{self.model}.safetensors"

    def codec(self) -> Codec:
        return lecodec.load(model=self.path) if self.model else self.modelless()

    @property
    def target(self) -> Target:
        return Target() if self.lossy else Target("lossless")


def samples_of(signal: Signal) -> np.ndarray:
    """What a signal holds, of a video [N, H, W, 3]."""
    if isinstance(signal, VideoSignal):
        return np.stack([frame.samples for frame in signal.frames()])
    return signal.samples


def same_layout(wanted: Layout, found: Layout) -> bool:
    """Groups of a video are chosen by its encoder, and announce themselves."""
    if isinstance(wanted, VideoLayout) and isinstance(found, VideoLayout):
        return replace(found, groups=(), announced=False) == wanted
    return found == wanted


def of_tiles(codec: Any, data: bytes) -> list[bytes]:
    parsed = parse(data)
    if parsed.header.lossless:  # a small picture that takes fewer bytes so
        return [chunk.digest for chunk in parsed.data]
    return [codec.latents(data, n).digest() for n in range(parsed.header.layout.units)]


def of_frames(codec: Any, data: bytes) -> list[bytes]:
    return [frame.latents.digest() for frame in codec.latents(data)]


def head_of_group(chunk: bytes) -> int:
    """Digest, flags, quality and rates (FORMAT.md, section 22)."""
    return 12 + 2 * chunk[11]


def lossy(name: str, model: str) -> Subject:
    return Subject(name, model, pictures, regions, lambda: picture_signal(picture(12, 9)), True, of_tiles)


def clip(frames: int, height: int, width: int) -> np.ndarray:
    """A picture that moves by two pixels a frame: uint8 [N, H, W, 3]."""
    whole = picture(height, width + 2 * frames)
    return np.stack([whole[:, 2 * n : 2 * n + width] for n in range(frames)])


def clips() -> list[Signal]:
    """Odd sizes, a single frame, a group in order and one as a chain."""
    signals = [clip_signal(clip(3, 17, 33)), clip_signal(clip(1, 1, 5)), clip_signal(clip(5, 20, 36))]
    return [*signals, in_groups(clip_signal(clip(5, 18, 20)), 2, True)]


def small_clip() -> Signal:
    return clip_signal(clip(2, 8, 8))


def frames_of(signal: Signal) -> list[tuple[Part, np.ndarray]]:
    """Frames from the middle on, and the first."""
    frames = samples_of(signal)
    middle = len(frames) // 2
    return [(Frames(middle), frames[middle:]), (Frames(0, 1), frames[:1])]


def blobs() -> np.ndarray:
    return np.load(GOLDEN / "model-circuit.npy")


SUBJECTS = [
    lossy("hyperprior", "tiny"),
    lossy("context", "tiny-context"),
    lossy("wide", "tiny-wide"),
    lossy("control", "tiny-control"),
    lossy("dictionary", "tiny-dictionary"),
    lossy("retrieved", "tiny-retrieved"),
    lossy("both", "tiny-both"),
    lossy("nested", "tiny-nested"),
    lossy("codebook", "tiny-codebook"),
    lossy("adapted", "tiny-adapted"),
    lossy("compressai mean", "compressai/mean"),
    lossy("compressai hyperprior", "compressai/hyperprior"),
    lossy("compressai factorized", "compressai/factorized"),
    Subject("no model", "", pictures, regions, lambda: picture_signal(picture(6, 5, 4))),
    Subject("photo", "tiny-photo", pictures, regions, lambda: picture_signal(picture(8, 8))),
    Subject("sound", "tiny-sound", sounds, seconds_of, lambda: sound(90, 1, 2000), True, of_tiles),
    Subject("sound, no model", "", exact_sounds, seconds_of, small_exact_sound, modelless=LosslessSoundCodec),
    Subject("circuit", "tiny-circuit", lambda: sets(blobs()), items_of, lambda: set_signal(blobs()[:3])),
    Subject(
        "video", "tiny-video", clips, frames_of, lambda: clip_signal(clip(2, 8, 8)), True, of_frames, head_of_group
    ),
]
