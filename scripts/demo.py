"""The demonstration: one real photograph through lecodec, JPEG and WebP at about the same size, and a picture of it.

    photograph -> lecodec at two qualities -> JPEG and WebP at the nearest size not above -> table, side-by-side.png

The photograph is `coffee.png` of scikit-image (600 x 400, by Rachel Michetti, CC0 1.0), which its wheel ships. Rates
are the sizes of files really written, to `demo/`; quality is measured on what was decoded from those bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lecodec.bitstream import atomic_write
from lecodec.codec.media.picture_write import write_picture
from lecodec.errors import CodecError
from lecodec.eval.codecs.codec import Codec
from lecodec.eval.codecs.peers import LecodecCodec, codec_by_name
from lecodec.eval.measure.coding import Original, coded
from lecodec.eval.quality.metrics import ms_ssim, psnr
from lecodec.eval.tasks.pictures import bundled, read_rgb

__all__ = ["Result", "demonstrate", "main"]

QUALITIES = (30.0, 60.0)
PEERS = ("jpeg", "webp")
SUFFIXES = {"lecodec": ".lec", "jpeg": ".jpg", "webp": ".webp"}
CROP = (335, 225, 150, 110)
"""Left, top, width, height of what is enlarged: the spoon, the saucer's rim and the wood beyond it."""
ENLARGE = 3
LABEL_HEIGHT = 44


@dataclass(frozen=True)
class Result:
    """One codec at one setting. seconds: of wall time, on this machine, everything between samples and bytes."""

    codec: str
    setting: float
    data: bytes
    decoded: np.ndarray
    psnr: float
    ms_ssim: float
    encode_s: float
    decode_s: float


def measure(codec: Codec, setting: float, samples: np.ndarray) -> Result:
    """Encode and decode samples, uint8 [H, W, 3], once."""
    found = coded(codec, Original(samples), setting)
    quality = psnr(samples, found.decoded), ms_ssim(samples, found.decoded)
    return Result(codec.name, setting, found.data, found.decoded, *quality, found.encode_s, found.decode_s)


def nearest_not_above(codec: Codec, samples: np.ndarray, size: int) -> Result:
    """The largest file of a peer that is not above `size` bytes, over its qualities 0 to 100 (else its smallest).

    Sizes grow with quality but for small steps back, so bisection ends at the quality or next to it.
    """
    low, high = 0, 100
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(codec.encode(samples, middle)) <= size else (low, middle - 1)
    return measure(codec, low, samples)


def demonstrate(folder: Path, picture: Path | None = None, model: str | Path | None = None) -> list[list[Result]]:
    """Run the demonstration into a folder, which is made if needed; older outputs there are replaced.

    Returns a group for each of QUALITIES: lecodec first, then each of PEERS. Raises CodecError, OSError.
    """
    samples = read_rgb(picture or bundled("coffee.png"))
    folder.mkdir(parents=True, exist_ok=True)
    ours, peers = LecodecCodec(model), [codec_by_name(name) for name in PEERS]
    for codec in (ours, *peers):
        measure(codec, QUALITIES[0], samples[:64, :64])  # first calls load libraries and belong to no picture
    groups = []
    for quality in QUALITIES:
        result = measure(ours, quality, samples)
        group = [result, *(nearest_not_above(peer, samples, len(result.data)) for peer in peers)]
        for item in group:
            name = item.codec.partition(":")[0].partition("@")[0]
            stem = f"q{quality:g}-{name}"
            with atomic_write(folder / (stem + SUFFIXES[name]), overwrite=True) as file:
                file.write(item.data)
            if name == "lecodec":
                write_picture(item.decoded, folder / f"{stem}-decoded.png", overwrite=True)
        groups.append(group)
    write_picture(samples, folder / "original.png", overwrite=True)
    write_picture(side_by_side(samples, groups), folder / "side-by-side.png", overwrite=True)
    return groups


def side_by_side(samples: np.ndarray, groups: Sequence[Sequence[Result]]) -> np.ndarray:
    """A row for each group: the crop of the original, then of each result, enlarged, a label under each.

    samples: uint8 [H, W, 3]. Returns uint8 [H', W', 3].
    """
    left, top, width, height = CROP
    if left + width > samples.shape[1] or top + height > samples.shape[0]:  # another picture than the demo's own
        left = top = 0
    font = ImageFont.load_default(15)
    cell_width, cell_height, gap = width * ENLARGE, height * ENLARGE + LABEL_HEIGHT, 6
    columns = 1 + max(len(group) for group in groups)
    sheet = Image.new("RGB", (columns * (cell_width + gap) - gap, len(groups) * (cell_height + gap) - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for row, group in enumerate(groups):
        cells = [(samples, "original", f"{samples.shape[1]} x {samples.shape[0]}, {samples.size} bytes raw")]
        cells += [
            (
                r.decoded,
                f"{r.codec}, {len(r.data)} bytes",
                f"{_bpp(r):.3f} bpp, {r.psnr:.2f} dB, MS-SSIM {r.ms_ssim:.4f}",
            )
            for r in group
        ]
        for column, (picture, title, detail) in enumerate(cells):
            x, y = column * (cell_width + gap), row * (cell_height + gap)
            crop = Image.fromarray(np.ascontiguousarray(picture[top : top + height, left : left + width]))
            sheet.paste(crop.resize((cell_width, height * ENLARGE), Image.Resampling.NEAREST), (x, y))
            draw.text((x + 4, y + height * ENLARGE + 3), title, fill="black", font=font)
            draw.text((x + 4, y + height * ENLARGE + 22), detail, fill="black", font=font)
    return np.array(sheet, dtype=np.uint8)


def main() -> int:
    """Run the demonstration into ./demo and print its table. Returns the exit code."""
    folder = Path("demo")
    try:
        groups = demonstrate(folder)
    except (CodecError, OSError) as error:
        print(f"lecodec: demo: {error}", file=sys.stderr)
        return 1
    height, width = groups[0][0].decoded.shape[:2]
    print(f"coffee.png of scikit-image, {width} x {height} (Rachel Michetti, CC0 1.0)")
    print()
    print("codec    quality   bytes     bpp  PSNR dB  MS-SSIM  encode s  decode s")
    for group in groups:
        for r in group:
            print(
                f"{r.codec:<8} {r.setting:7g} {len(r.data):7d} {_bpp(r):7.3f} {r.psnr:8.2f} {r.ms_ssim:8.4f} "
                f"{r.encode_s:9.3f} {r.decode_s:9.3f}"
            )
        print()
    print(f"The files and {folder / 'side-by-side.png'} are in {folder}/.")
    return 0


def _bpp(result: Result) -> float:
    return 8 * len(result.data) / (result.decoded.shape[0] * result.decoded.shape[1])


if __name__ == "__main__":
    sys.exit(main())
