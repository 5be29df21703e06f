"""What videos cost: processor time beside pictures, memory, and the way to a single frame.

    python scripts/video_cost.py speed CLIP [CLIP …] [--frames 9] [--start 100] [--width 640] [-o FILE]
    python scripts/video_cost.py memory CLIP [--frames 66] [--start 200] [-o FILE]
    python scripts/video_cost.py seek CLIP [--frames 900] [--width 128] [-o FILE]

`speed` codes the frames of a clip as pictures, by the video model's image model, and as a video, with vectors and
without, in turns in one process. Times are of the processor, the less of two passes; ratios are times of the pictures
over those of the video.

`memory` encodes and decodes a clip at its own size, each in a process of its own. The runtime is the largest resident
memory after a few small frames have been coded; what comes on top of it is what the clip took.

`seek` opens a file of so many frames (those of the clip, forwards and backwards over and over) and asks for single ones
all over it. In the table is how many frames were decoded for each and how long it took, counted in frames: times what
one takes when all are decoded in a row.

LECODEC_RUNTIME=torch or numpy says what computes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import av
import numpy as np

import lecodec
from lecodec.bitstream import LecFile, VideoLayout, parse
from lecodec.bitstream.groups import VECTORS, unpack_group
from lecodec.codec.codec import Target
from lecodec.codec.media.video_signal import VideoFrame, VideoSignal, clip_signal
from lecodec.codec.registry import load
from lecodec.codec.video import VideoCodec
from lecodec.eval.measure.tsv import environment, write_tsv
from lecodec.eval.quality.clips import to_rgb
from lecodec.eval.tasks.clips import read_clip

SHOWN = 32
"""Single frames that are asked for."""


def signal_of(path: Path, frames: int, start: int, width: int) -> VideoSignal:
    clip = read_clip(path, frames, start, width)
    return clip_signal(np.stack([to_rgb(frame) for frame in clip.samples]), float(clip.fps))


def timed(work: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """The result, and the processor time that it took."""
    start = time.process_time()
    return work(*given), time.process_time() - start


def moved_share(data: bytes) -> float:
    """Of the frames of a file, those that have vectors."""
    file = parse(data)
    layout = file.header.layout
    assert isinstance(layout, VideoLayout)
    groups = zip(file.data, layout.groups, strict=True)
    found = [unpack_group(chunk.payload, 0, frames, not layout.duration, False) for chunk, (frames, _) in groups]
    modes = [frame.mode for group in found for frame in group.frames]
    return sum(mode & VECTORS > 0 for mode in modes) / len(modes)


def speed(path: Path, frames: int, start: int, width: int, quality: float) -> Iterator[dict[str, Any]]:
    codec = load("video", of=VideoCodec)
    signal = signal_of(path, frames, start, width)
    pictures = [frame.samples for frame in signal.frames()]

    def images() -> list[bytes]:
        return [codec.base.encode(picture, quality) for picture in pictures]

    def video(moves: bool) -> list[bytes]:
        return codec.encode_signals([replace(signal, moves=moves)], Target("quality", quality))

    def shown(files: list[bytes]) -> None:
        for _ in chain.from_iterable(codec.frames(LecFile.open(data)) for data in files):
            pass

    ways = {"pictures": images, "no vectors": partial(video, False), "vectors": partial(video, True)}
    decoders = {"pictures": lambda files: [codec.base.decode(data) for data in files]}
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    made: dict[str, list[bytes]] = {}
    for _ in range(2):
        for way, encode in ways.items():
            made[way], encoding = timed(encode)
            took[way].append((encoding, timed(decoders.get(way, shown), made[way])[1]))
    least = {way: [min(column) for column in zip(*times, strict=True)] for way, times in took.items()}
    count, (height, wide) = len(pictures), pictures[0].shape[:2]
    for way, times in least.items():
        row = {"clip": path.stem, "width": wide, "height": height, "frames": count, "way": way}
        row |= {"bytes": sum(map(len, made[way]))}
        row |= {"moved": 0.0 if way == "pictures" else round(moved_share(made[way][0]), 2)}
        for what, seconds, pictured in zip(("encode", "decode"), times, least["pictures"], strict=True):
            row |= {f"{what}_fps": round(count / seconds, 2), f"{what}_ratio": round(pictured / seconds, 3)}
            row |= {f"{what}_mpx_s": round(count * wide * height / seconds / 1e6, 3)}
        yield row


def resident() -> float:
    """The most that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def coded(what: str, path: Path, frames: int, start: int, quality: float, data: bytes) -> Any:
    """Encode the clip, or decode the file that came of it -> the file, and the row."""
    codec = load("video", of=VideoCodec)
    target = Target("quality", quality)
    small = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    codec.decode(codec.encode_signals([clip_signal(small)], target)[0])
    before = resident()
    if what == "encode":
        signal = streamed(path, frames, start)
        before = max(before, resident())
        (data,), took = timed(lambda: codec.encode_signals([signal], target))
    else:
        _, took = timed(lambda: [None for _ in codec.frames(LecFile.open(data))])
    layout = LecFile.open(data).layout
    assert isinstance(layout, VideoLayout)
    row = {"clip": path.stem, "width": layout.width, "height": layout.height, "frames": layout.frames, "what": what}
    row |= {"longest_group": max(n for n, _ in layout.groups), "runtime_mb": round(before)}
    return data, row | {"beyond_mb": round(resident() - before), "processor_s": round(took, 1)}


def streamed(path: Path, frames: int, start: int) -> VideoSignal:
    """Frames of a clip at their own size, read as they are asked for."""

    def found() -> Iterator[VideoFrame]:
        with av.open(str(path)) as container:
            for frame in islice(container.decode(container.streams.video[0]), start, start + frames):
                yield VideoFrame(frame.to_ndarray(format="rgb24"), 1000)

    first = next(found()).samples
    return replace(clip_signal(first[None]), frames=found, count=frames)


def memory(path: Path, frames: int, start: int, width: int, quality: float) -> Iterator[dict[str, Any]]:
    """width: is not asked."""
    data = b""
    for what in ("encode", "decode"):
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            data, row = alone.apply(coded, (what, path, frames, start, quality, data))
        yield row


def seek(path: Path, frames: int, start: int, width: int, quality: float) -> Iterator[dict[str, Any]]:
    codec = load("video", of=VideoCodec)
    shown = [frame.samples for frame in signal_of(path, frames, start, width).frames()]
    there_and_back = shown + shown[-2:0:-1]
    samples = np.stack([there_and_back[n % len(there_and_back)] for n in range(frames)])
    data = codec.encode_signals([clip_signal(samples)], Target("quality", quality))[0]
    video = lecodec.Video(data)
    coding = video._codec.coding
    _, whole = timed(lambda: [None for _ in video])
    counts, times = [], []
    for number in np.linspace(0, frames - 1, SHOWN).astype(int).tolist():
        with patch.object(coding, "decode", wraps=coding.decode) as decode:
            times.append(timed(video.__getitem__, number)[1] * frames / whole)
        counts.append(decode.call_count)
    row = {"clip": path.stem, "width": video.width, "height": video.height, "frames": len(video), "asked": SHOWN}
    row |= {"most_decoded": max(counts), "mean_decoded": round(sum(counts) / SHOWN, 1)}
    yield row | {"longest_in_frames": round(max(times), 1), "median_in_frames": round(median(times), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("speed", "memory", "seek"))
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--start", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--quality", type=float, default=40)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    usual = {"speed": (9, 100, 640), "memory": (66, 200, 1920), "seek": (900, 0, 128)}[asked.what]
    given = (asked.frames, asked.start, asked.width)
    frames, start, width = (n if own is None else own for own, n in zip(given, usual, strict=True))
    rest = frames, start, width, asked.quality
    rows, way = [], {"speed": speed, "memory": memory, "seek": seek}[asked.what]
    for row in chain.from_iterable(way(path, *rest) for path in asked.clips):
        print(row, flush=True)
        rows.append(row)
    if asked.output:
        place = load("video", of=VideoCodec).base.transform.place
        names = ", ".join(path.stem for path in asked.clips)
        said = f"{names}: {frames} frames at most from number {start} on, {width} pixels a row at most"
        write_tsv(asked.output, [f"{said}, quality {asked.quality:g}, in {place}", *environment()], rows)


if __name__ == "__main__":
    main()
