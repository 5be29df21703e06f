"""What each part of the video codec is worth: the tables eval/results/video-ablations.tsv and video-frames.tsv.

    clip -> codec with a part switched off -> bytes, PSNR of Y' -> BD-rate against the whole codec
    clip -> the whole codec -> PSNR of Y' of each frame -> table, plot

    python scripts/video_ablations.py CLIP [CLIP …] --frames 33 --start 240 --width 208 -o eval/results

Switched off in turn are the coarser steps of frames between others (all frames at one step), that they follow from
what is inherited (all videos have those of the least), these frames themselves (each is coded from earlier ones, at
one step), z beside the references, the dead zone, and vectors (references are taken as they are). A negative figure
would mean that the codec is better without.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lecodec.bitstream import LecFile, VideoLayout
from lecodec.bitstream.groups import levels_of
from lecodec.codec import video_coding, video_encoder
from lecodec.eval.codecs.video import Clip, LecodecVideo
from lecodec.eval.figures.bd import Curve, bd_rate
from lecodec.eval.measure.tsv import environment, write_tsv
from lecodec.eval.tasks.clips import read_clip

QUALITIES = (20.0, 40.0, 60.0)
ONE_STEP = (1.0,) * len(video_encoder.CHAIN_STEPS)
NO_ZONE = (0.0,) * len(video_encoder.DEAD)
PARTS: dict[str, tuple[tuple[object, str, object], ...]] = {
    "nothing": (),
    "steps": ((video_encoder, "steps_of", lambda shares: (1.0,) * (1 + len(shares))),),
    "steps by content": ((video_encoder, "shares_of", lambda y, steps: [0.0] * (levels_of(steps) - 1)),),
    "frames between others": ((video_encoder, "CHAIN_STEPS", ONE_STEP),),
    "z beside references": ((video_coding, "Z_SHARE", math.inf),),
    "dead zone": ((video_encoder, "DEAD", NO_ZONE),),
    "vectors": (),
}
"""What is switched off -> module, name and value of what does it; frames between others go with a chain, too, and
vectors are an option of the codec.
"""


@contextmanager
def without(part: str) -> Iterator[LecodecVideo]:
    """The codec with a part switched off."""
    before = [(module, name, getattr(module, name)) for module, name, _ in PARTS[part]]
    for module, name, value in PARTS[part]:
        setattr(module, name, value)
    try:
        yield LecodecVideo("lecodec", 0, part == "frames between others", part != "vectors", None)
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def psnr(clip: Clip, decoded: np.ndarray) -> list[float]:
    """Of Y' of each frame."""
    errors = (clip.samples[:, : clip.height].astype(np.float32) - decoded[:, : clip.height]) ** 2
    return [10 * math.log10(255**2 / max(float(error.mean()), 1e-3)) for error in errors]


def groups_of(data: bytes) -> list[range]:
    layout = LecFile.open(data).layout
    assert isinstance(layout, VideoLayout)
    starts = layout.starts
    return [range(a, b) for a, b in zip(starts, starts[1:], strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description="What each part of the video codec is worth.")
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--parts", nargs="+", default=list(PARTS)[1:], choices=list(PARTS)[1:], help="what is tried")
    parser.add_argument("--name", default="video-ablations", help="of the table")
    parser.add_argument("-o", "--output", type=Path, default=Path("eval/results"))
    options = parser.parse_args()
    rows, shown = [], []
    for path in options.clips:
        clip = read_clip(path, options.frames, options.start, options.width)
        pixels = clip.samples.shape[0] * clip.width * clip.height
        curves: dict[str, Curve] = {}
        for part in ("nothing", *options.parts):
            points = []
            with without(part) as codec:
                for quality in QUALITIES:
                    data = codec.encode(clip, quality)
                    each = psnr(clip, codec.decode(data))
                    points.append((8 * len(data) / pixels, float(np.mean(each))))
                    worst = min(float(np.mean([each[n] for n in group])) for group in groups_of(data))
                    facts = {"clip": path.stem, "off": part, "quality": quality, "bytes": len(data)}
                    facts |= {"psnr_y": round(points[-1][1], 3), "worst_group": round(worst, 3)}
                    rows.append(facts)
                    if part == "nothing":
                        shown += [
                            {"clip": path.stem, "quality": quality, "frame": n, "psnr_y": round(value, 3)}
                            for n, value in enumerate(each)
                        ]
            curves[part] = Curve.of(points)
            worth = bd_rate(curves["nothing"], curves[part], 10.0, 60.0).percent if part != "nothing" else 0.0
            for row in rows[-len(QUALITIES) :]:
                row["bd_rate"] = round(worth, 1)
            print(path.stem, part, round(worth, 1), flush=True)
    names = ", ".join(path.stem for path in options.clips)
    comments = [
        f"{names}: {options.frames} frames from number {options.start} on, {options.width} pixels a row at most"
    ]
    comments += environment()
    write_tsv(options.output / f"{options.name}.tsv", comments, rows)
    if set(options.parts) != set(list(PARTS)[1:]):
        return
    write_tsv(options.output / "video-frames.tsv", comments, shown)
    plot(shown, options.output / "video-frames.png")


def plot(rows: list[dict], path: Path) -> None:
    """PSNR over frames, a panel for each clip."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    clips = list(dict.fromkeys(row["clip"] for row in rows))
    figure, panels = plt.subplots(1, len(clips), figsize=(4.5 * len(clips), 3.2), squeeze=False)
    for panel, clip in zip(panels[0], clips, strict=True):
        for quality in QUALITIES:
            values = [row["psnr_y"] for row in rows if (row["clip"], row["quality"]) == (clip, quality)]
            panel.plot(values, label=f"quality {quality:g}", linewidth=1)
        panel.set(title=clip, xlabel="frame", ylabel="PSNR of Y', dB")
        panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
