"""The demonstration: photographs and a page of text through lecodec and what else there is, at equal bytes.

    picture -> AVIF near a rate -> the other codecs at its size -> lecodec just below all of them -> table, demo.jpg

The pictures are in scikit-image's wheel: `coffee.png` (Rachel Michetti), `astronaut.png` (NASA), `chelsea.png` (Stefan
van der Walt), all CC0 or in the public domain, and `page.png`, of a printed book. AVIF's settings are the coarsest, so
the others follow it. Files of lecodec are never the larger ones, and every other one is at most 2% larger. Rates are
the sizes of files really written, to `demo/`; quality is measured on what was decoded from those bytes.
"""

from __future__ import annotations

import io
import sys
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lecodec.bitstream import atomic_write
from lecodec.codec.media.picture_write import write_picture
from lecodec.errors import CodecError
from lecodec.eval.codecs.codec import Codec
from lecodec.eval.codecs.peers import LecodecCodec, PillowCodec, codec_by_name
from lecodec.eval.measure.coding import Original, coded
from lecodec.eval.quality.metrics import ms_ssim, psnr, ssimulacra2
from lecodec.eval.tasks.pictures import bundled, read_rgb

__all__ = ["OURS", "PICTURES", "SPREAD", "Picture", "Result", "at_equal_bytes", "demonstrate", "main", "peers"]

OURS = (None, "psnr")
"""Models: the default one, for what an eye sees, and the one for squared error."""
PEERS = ("avif", "jxl", "webp", "jpeg")
TITLES = {
    "lecodec": "lecodec",
    "lecodec:psnr": "lecodec --model psnr",
    "avif": "AVIF",
    "jxl": "JPEG XL",
    "webp": "WebP",
    "jpeg": "JPEG",
}
SPREAD = 1.02
"""The largest file of a group, over the smallest, at most."""
CROP_WIDTH, CROP_HEIGHT, ENLARGE = 128, 96, 2
LABEL_HEIGHT = 40


@dataclass(frozen=True)
class Picture:
    """name: of scikit-image's; bpp: bits a pixel to look near; left, top: in pixels, of the part that is shown."""

    name: str
    bpp: float
    left: int
    top: int


PICTURES = (
    Picture("coffee.png", 0.25, 335, 225),
    Picture("astronaut.png", 0.27, 170, 60),
    Picture("chelsea.png", 0.25, 130, 60),
    Picture("page.png", 0.42, 16, 42),
)


@dataclass(frozen=True, eq=False)
class Result:
    """One codec at one setting. seconds: of wall time, on this machine, everything between samples and bytes."""

    picture: str
    codec: str
    setting: float
    data: bytes
    decoded: np.ndarray
    psnr: float
    ms_ssim: float
    ssimulacra2: float
    encode_s: float
    decode_s: float

    @property
    def bpp(self) -> float:
        return 8 * len(self.data) / (self.decoded.shape[0] * self.decoded.shape[1])


def measure(name: str, codec: Codec, setting: float, samples: np.ndarray) -> Result:
    """Encode and decode samples, uint8 [H, W, 3], once."""
    found = coded(codec, Original(samples), setting)
    decoded = found.decoded
    quality = psnr(samples, decoded), ms_ssim(samples, decoded), ssimulacra2(samples, decoded)
    return Result(name, codec.name, setting, found.data, decoded, *quality, found.encode_s, found.decode_s)


def peers() -> list[PillowCodec]:
    """The others, as `eval rd` runs them, but with fractions of a quality where a format can have them: AVIF has 64
    quantisers. JPEG's tables are those of the standard, scaled as libjpeg scales them.
    """
    arguments = {"jpeg": _jpeg_tables, "webp": _fraction, "jxl": _fraction}
    found = []
    for name in PEERS:
        codec = codec_by_name(name)
        assert isinstance(codec, PillowCodec)
        found.append(replace(codec, arguments=arguments[name]) if name in arguments else codec)
    return found


def _fraction(setting: float) -> dict[str, Any]:
    return {"quality": setting}


def _jpeg_tables(setting: float) -> dict[str, Any]:
    """Quality 50 has the standard's tables, and quality q a multiple of them: 50/q below 50, (100 - q)/50 above."""
    scale = 5000 / max(setting, 1) if setting < 50 else 200 - 2 * setting
    return {"qtables": [[min(255, max(1, int((n * scale + 50) / 100))) for n in table] for table in _standard_tables()]}


@cache
def _standard_tables() -> tuple[tuple[int, ...], ...]:
    """Of luma and chroma, as libjpeg writes them at quality 50."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=50)
    tables: Any = Image.open(buffer).quantization  # pyright: ignore[reportAttributeAccessIssue]
    return tuple(tuple(tables[n]) for n in (0, 1))


def closest(codec: Codec, samples: np.ndarray, size: int) -> float:
    """The setting whose file is nearest to `size`; of those within half a percent the one with the highest PSNR.

    Sizes grow with settings, but for JPEG XL's, which fall back once where its encoder changes its ways: so every step
    of one that may pass `size` is looked at more closely.
    """
    steps = [0]
    while steps[-1] < 1.6 * size and len(steps) < 100:
        steps.append(len(codec.encode(samples, len(steps))))
    whole = min(range(1, len(steps)), key=lambda setting: abs(steps[setting] - size))
    near = {float(whole): (abs(steps[whole] / size - 1), 0.0)}
    for setting, (below, above) in enumerate(pairwise(steps[1:]), 1):
        if below <= 1.02 * size and above >= 0.98 * size:
            for n in range(16):
                data = codec.encode(samples, setting + n / 16)
                near[setting + n / 16] = (abs(len(data) / size - 1), -psnr(samples, codec.decode(data)))
    return min(near, key=lambda setting: (max(near[setting][0], 0.005), near[setting][1]))


def just_below(codec: Codec, samples: np.ndarray, size: int) -> float:
    """The highest quality of lecodec, to a fiftieth, whose file is not above `size` bytes."""
    low, high = 50, 5000
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(codec.encode(samples, middle / 50)) <= size else (low, middle - 1)
    return low / 50


def at_equal_bytes(
    name: str, samples: np.ndarray, bpp: float, ours: Sequence[Codec], others: Sequence[Codec]
) -> list[Result]:
    """Those of lecodec first, then each of the others, of which the first is the coarsest. Raises CodecError if sizes
    differ by more than SPREAD.
    """
    size = bpp * samples.shape[0] * samples.shape[1] / 8
    coarse = bisect_left(range(101), size, lo=1, hi=100, key=lambda setting: len(others[0].encode(samples, setting)))
    theirs = [measure(name, others[0], coarse, samples)]
    for other in others[1:]:
        theirs.append(measure(name, other, closest(other, samples, len(theirs[0].data)), samples))
    lengths = [len(result.data) for result in theirs]
    own = [measure(name, codec, just_below(codec, samples, min(lengths)), samples) for codec in ours]
    for result in own:
        if not max(lengths) / SPREAD <= len(result.data) <= min(lengths):
            raise CodecError(f"{name}: files of {len(result.data)} and {lengths} bytes are not of one size")
    return [*own, *theirs]


def demonstrate(
    folder: Path, pictures: Sequence[Picture] = PICTURES, models: Sequence[str | Path | None] = OURS
) -> list[list[Result]]:
    """Run the demonstration into a folder, which is made if needed; older outputs there are replaced.

    Returns a group for each picture: the models first, then each of PEERS. Raises CodecError, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ours, others = [LecodecCodec(model) for model in models], peers()
    originals, groups = [], []
    for picture in pictures:
        samples = read_rgb(bundled(picture.name))
        originals.append(samples)
        stem = Path(picture.name).stem
        write_picture(samples, folder / f"{stem}-original.png", overwrite=True)
        groups.append(at_equal_bytes(picture.name, samples, picture.bpp, ours, others))
        for result, codec in zip(groups[-1], (*ours, *others), strict=True):
            kind = result.codec.replace(":", "-")
            with atomic_write(folder / f"{stem}-{kind}{codec.suffix}", overwrite=True) as file:
                file.write(result.data)
            write_picture(result.decoded, folder / f"{stem}-{kind}-decoded.png", overwrite=True)
    sheet = side_by_side(pictures, originals, groups)
    with atomic_write(folder / "demo.jpg", overwrite=True) as file:
        sheet.save(file, "JPEG", quality=80, subsampling="4:4:4", optimize=True)
    return groups


def side_by_side(
    pictures: Sequence[Picture], originals: Sequence[np.ndarray], groups: Sequence[Sequence[Result]]
) -> Image.Image:
    """A row for each picture: a part of the original, then of each result, enlarged, with its figures below."""
    title, small = ImageFont.load_default(17), ImageFont.load_default(14)
    width, height, gap, top = CROP_WIDTH * ENLARGE, CROP_HEIGHT * ENLARGE, 6, 28
    columns = 1 + max(len(group) for group in groups)
    sheet = Image.new(
        "RGB", (columns * (width + gap) - gap, top + len(groups) * (height + LABEL_HEIGHT + gap)), "white"
    )
    draw = ImageDraw.Draw(sheet)
    heads = ["original", *(TITLES.get(r.codec, r.codec) for r in groups[0])]
    for column, head in enumerate(heads):
        draw.text((column * (width + gap) + 4, 4), head, fill="black", font=title)
    for row, (picture, samples, group) in enumerate(zip(pictures, originals, groups, strict=True)):
        y = top + row * (height + LABEL_HEIGHT + gap)
        cells = [
            (samples, f"{picture.name}, {samples.shape[1]} x {samples.shape[0]}", f"{samples.size:,} bytes as RGB")
        ]
        for r in group:
            text = f"{r.psnr:.1f} dB, SSIMULACRA2 {r.ssimulacra2:.0f}"
            cells.append((r.decoded, f"{len(r.data):,} bytes, {r.bpp:.2f} bpp", text))
        for column, (pixels, first, second) in enumerate(cells):
            x = column * (width + gap)
            left, up = picture.left, picture.top
            crop = Image.fromarray(np.ascontiguousarray(pixels[up : up + CROP_HEIGHT, left : left + CROP_WIDTH]))
            sheet.paste(crop.resize((width, height), Image.Resampling.NEAREST), (x, y))
            draw.text((x + 4, y + height + 2), first, fill="black", font=small)
            draw.text((x + 4, y + height + 19), second, fill="black", font=small)
    return sheet


def main() -> int:
    """Run the demonstration into ./demo and print its table. Returns the exit code."""
    folder = Path("demo")
    try:
        groups = demonstrate(folder)
    except (CodecError, OSError) as error:
        print(f"lecodec: demo: {error}", file=sys.stderr)
        return 1
    print("picture        codec       setting   bytes    bpp  PSNR dB  MS-SSIM  SSIMULACRA2  encode s  decode s")
    for group in groups:
        for r in group:
            print(
                f"{r.picture:<14} {r.codec:<11} {r.setting:7.4g} {len(r.data):7d} {r.bpp:6.3f} {r.psnr:8.2f} "
                f"{r.ms_ssim:8.4f} {r.ssimulacra2:12.1f} {r.encode_s:9.3f} {r.decode_s:9.3f}"
            )
        print()
    print(f"Parts of the pictures side by side are in {folder / 'demo.jpg'}, files and whole pictures in {folder}/.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
