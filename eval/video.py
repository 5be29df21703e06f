"""Rates and qualities of video codecs from real files: `lecodec eval video`.

    clip -> PyAV, shrunk -> 8-bit 4:2:0 frames, the originals -> codec at each setting -> bytes -> frames -> PSNR
         -> points.tsv (every file), bd.tsv (BD-rates of each clip)

Sizes are those of whole files, container and index included. PSNR of Y' is taken in the originals' own format, each
frame by itself, and is the mean over the frames; that of RGB is taken after both have been converted. A codec that
fails on a clip is left out there, and named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import InputError
from .codecs.codec import unique_name
from .codecs.video import Clip, video_codec_by_name
from .figures.rates import compare
from .measure.metrics import metrics_by_name
from .measure.runner import Progress, contestants, first_of, measured, provenance
from .measure.tsv import rounded, writable, write_tsv
from .tasks.clips import read_clip
from .tasks.task import ItemRow

__all__ = ["OUTPUTS", "VideoResult", "run_video"]

OUTPUTS = ("points.tsv", "bd.tsv")
RANGE = (20.0, 50.0)
"""The PSNR of Y' in dB over which BD-rates are taken, where both curves have it."""


@dataclass
class VideoResult:
    """points: a row for each clip, codec and setting; comparisons: of BD-rates; skipped: what could not be measured,
    and why.
    """

    points: list[dict[str, Any]] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def run_video(
    clips: Sequence[Path],
    codecs: Sequence[str],
    output: Path,
    *,
    frames: int = 96,
    start: int = 0,
    width: int = 640,
    anchors: Sequence[str] = ("x264",),
    settings: Mapping[str, Sequence[float]] | None = None,
    progress: Progress | None = None,
) -> VideoResult:
    """Measure codecs (specs as in `codecs.video`) on clips, `frames` frames of each from number `start` on, shrunk to
    `width` pixels a row at most (clips that were lossy before should be shrunk to half or less). settings: by spec,
    instead of a codec's own ladder. Writes the files of OUTPUTS into the folder `output`.

    Raises InputError (an unknown codec, nothing that could be measured), and as `load`.
    """
    named = contestants(codecs, video_codec_by_name, settings)
    for anchor in anchors:
        if anchor not in named:
            video_codec_by_name(anchor)
    writable(output, OUTPUTS)
    rates: dict[str, Fraction] = {}
    files: dict[str, Path] = {}
    for path in clips:
        files[unique_name(path.stem, files)] = path

    def read(name: str) -> Clip:
        clip = read_clip(files[name], frames, start, width)
        rates[name] = clip.fps
        return clip

    run = measured(
        {name: lambda name=name: read(name) for name in files},
        named.values(),
        metrics_by_name("video"),
        units=lambda clip: float(len(clip.samples) * clip.width * clip.height),
        progress=progress,
    )
    skipped = [(f"{f.codec} on {f.item}" if f.codec else f.item, f.reason) for f in run.failures]
    if not run.rows:
        raise InputError(f"nothing could be measured ({first_of(skipped)})")
    result = VideoResult([_point(row, rates[row.item]) for row in run.rows], skipped=skipped)
    for name in rates:
        own = [row for row in run.rows if row.item == name]
        for anchor in (anchor for anchor in anchors if anchor in named):
            for codec in (codec for codec in named if codec != anchor):
                found = compare(own, codec, anchor, "psnr_y", *RANGE)
                if math.isnan(found.bd_rate):
                    result.skipped.append((f"{name} {codec} against {anchor}", found.note.partition(";")[0]))
                    continue
                row = {"clip": name, "anchor": anchor, "codec": codec, "bd_rate": round(found.bd_rate, 1)}
                result.comparisons.append({**row, "psnr_y": f"{found.low_used:.1f}..{found.high_used:.1f}"})
    comments = [
        f"{', '.join(rates)}: {frames} frames at most from number {start} on, {width} pixels a row at most",
        *provenance(named, result.skipped),
    ]
    write_tsv(output / OUTPUTS[0], comments, result.points)
    write_tsv(output / OUTPUTS[1], comments, result.comparisons, ("clip", "anchor", "codec", "bd_rate", "psnr_y"))
    return result


def _point(row: ItemRow, fps: Fraction) -> dict[str, Any]:
    """A row of points.tsv."""
    count, rows, width = row.shape
    facts = {"clip": row.item, "width": width, "height": rows * 2 // 3, "frames": count, "codec": row.codec}
    facts |= {"setting": row.setting, "bytes": row.bytes, "bpp": row.rate}
    facts |= {"kbps": float(8 * row.bytes * fps / count / 1000), **row.metrics}
    facts |= {"encode_fps": count / row.encode_s, "decode_fps": count / row.decode_s}
    return rounded(facts, 3, bpp=5, kbps=2, encode_fps=2, decode_fps=2)
