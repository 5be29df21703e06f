"""What pixels that are the same on every machine cost: the table eval/results/exact-pixels.tsv.

pictures, noise -> y_hat at a quality -> g_s in floats, in integers -> PSNR, pixels that differ, processor time
                -> g_a in floats, in integers -> how far y is apart

OMP_NUM_THREADS=1 python scripts/exact_pixels.py PHOTOS -o eval/results/exact-pixels.tsv
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lecodec.bitstream import PictureLayout
from lecodec.codec.image import ImageCodec, fixed_quality
from lecodec.codec.media.samples import psnr_of
from lecodec.codec.registry import load
from lecodec.eval.measure.tsv import environment, write_tsv

QUALITIES = (20.0, 60.0, 95.0)
SIDE = 512


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the processor time that it took, the least of two."""
    took = []
    for _ in range(2):
        start = time.process_time()
        out = work()
        took.append(time.process_time() - start)
    return out, min(took)


def measured(codec: ImageCodec, picture: np.ndarray, quality: float) -> dict[str, float]:
    rate, (height, width, _) = [fixed_quality(quality)], picture.shape
    layout = PictureLayout(width=width, height=height, channels=3)
    y, analysis = timed(lambda: codec.transform.analyse([picture], rate))
    near, analysis_exact = timed(lambda: codec.replica.analyse([picture], rate))
    found = codec.latents(codec.encode(picture, quality, tile=0)).y_hat[None]
    shown, synthesis = timed(lambda: codec.transform.synthesise(found, rate, layout)[0])
    exact, synthesis_exact = timed(lambda: codec.replica.synthesise(found, rate, layout)[0])
    apart = np.abs(exact.astype(int) - shown)
    return {
        "psnr": psnr_of(picture, shown),
        "psnr_exact": psnr_of(picture, exact),
        "differ": float((apart > 0).mean()),
        "most": int(apart.max()),
        "y_rms": float(np.sqrt(np.square(near - y).mean())),
        "synthesis_ratio": synthesis_exact / synthesis,
        "analysis_ratio": analysis_exact / analysis,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What exact pixels cost.")
    parser.add_argument("photos", type=Path, help="a folder of pictures")
    parser.add_argument("--models", nargs="+", default=["image-3", "eye-1"])
    parser.add_argument("--count", type=int, default=12, help="pictures at most")
    parser.add_argument("-o", "--output", type=Path, default=Path("eval/results/exact-pixels.tsv"))
    options = parser.parse_args()
    pictures = {"photos": [], "noise": [np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)]}
    for path in sorted(options.photos.iterdir())[: options.count]:
        side = np.asarray(Image.open(path).convert("RGB"))[:SIDE, :SIDE]
        pictures["photos"].append(side[: len(side) // 16 * 16, : side.shape[1] // 16 * 16])
    rows = []
    for name in options.models:
        codec = load(model=name, of=ImageCodec)
        for kind, some in pictures.items():
            for quality in QUALITIES:
                found = [measured(codec, picture, quality) for picture in some]
                mean = {key: round(float(np.mean([f[key] for f in found])), 4) for key in found[0]}
                mean["most"] = max(f["most"] for f in found)
                rows.append({"model": name, "pictures": kind, "quality": quality, "count": len(some), **mean})
                print(rows[-1], flush=True)
    comments = [f"{options.photos.name}: the first {options.count} pictures, their first {SIDE} rows and columns"]
    write_tsv(options.output, [*comments, *environment()], rows)


if __name__ == "__main__":
    main()
