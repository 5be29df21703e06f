"""Pictures that are drawn, not photographed: what WebP's lossless coding is for. All are made with Pillow."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from lecodec.eval.tasks.pictures import bundled

WORDS = "the quick brown fox jumps over a lazy dog while seven wizards pack five dozen liquor jugs into boxes".split()


def _text(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words))


def page(width: int = 480, height: int = 360, seed: int = 1) -> Image.Image:
    """A page of text, antialiased: grey."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for y in range(12, height - 16, 18):
        draw.text((14, y), _text(rng, width // 45), font=font, fill=0)
    return image


def screenshot(width: int = 480, height: int = 360) -> Image.Image:
    """Windows with bars, buttons and text."""
    rng = np.random.default_rng(2)
    image = Image.new("RGB", (width, height), (46, 52, 64))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for n, (x, y) in enumerate(((20, 20), (width // 3, height // 3))):
        right, bottom = x + width // 2, y + height // 2
        draw.rectangle((x, y, right, bottom), (245, 245, 246), (120, 120, 130))
        draw.rectangle((x, y, right, y + 20), (61 + 60 * n, 120, 200))
        draw.text((x + 6, y + 3), _text(rng, 3), font=font, fill="white")
        for line in range(y + 26, bottom - 30, 16):
            draw.text((x + 8, line), _text(rng, width // 80), font=font, fill=(30, 30, 30))
        draw.rounded_rectangle((right - 70, bottom - 24, right - 8, bottom - 6), 5, (80, 160, 90))
        draw.text((right - 50, bottom - 22), "OK", font=font, fill="white")
    return image


def scan(width: int = 480, height: int = 360) -> Image.Image:
    """A page as a scanner sees it: soft, uneven, a little noise."""
    rng = np.random.default_rng(3)
    soft = np.asarray(page(width, height).filter(ImageFilter.GaussianBlur(0.8)), np.float64)
    shade = 8 * np.linspace(0, 1, width)[None] + 4 * np.linspace(0, 1, height)[:, None]
    return Image.fromarray(np.clip(0.9 * soft + shade + rng.normal(0, 1.5, soft.shape), 0, 255).astype(np.uint8))


def clean_scan(width: int = 480, height: int = 360) -> Image.Image:
    """A scan whose paper was made white and whose ink was made black."""
    rows = np.asarray(scan(width, height), np.float64)
    return Image.fromarray(np.clip((rows - 60) * 255 / (205 - 60), 0, 255).astype(np.uint8))


def chart(width: int = 480, height: int = 360) -> Image.Image:
    """Curves and bars on a grid, drawn large and reduced: smooth edges."""
    image = Image.new("RGB", (3 * width, 3 * height), "white")
    draw = ImageDraw.Draw(image)
    for n in range(1, 9):
        draw.line((0, n * height // 3, 3 * width, n * height // 3), (225, 225, 225), 3)
    for n, colour in enumerate(((0, 114, 178), (213, 94, 0), (0, 158, 115))):
        points = [(x, height * (1.5 + (n + 1) / 3 * math.sin(x / (90 + 40 * n)))) for x in range(0, 3 * width, 6)]
        draw.line(points, colour, 6, joint="curve")
        draw.rectangle((60 + 150 * n, 3 * height - 90 * (n + 2), 150 + 150 * n, 3 * height - 30), colour)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def sixteen(width: int = 480, height: int = 360, dithered: bool = False) -> Image.Image:
    """A drawing in 16 colours, dithered or in flat areas."""
    y, x = np.mgrid[:height, :width]
    planes = [127 + 120 * np.sin(x / 60), 127 + 120 * np.cos(y / 50), (x + y) % 256]
    smooth = Image.fromarray(np.stack(planes, 2).astype(np.uint8))
    if not dithered:
        return smooth.quantize(16).convert("RGB")
    return smooth.quantize(palette=smooth.quantize(16), dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")


def line_art(width: int = 480, height: int = 360) -> Image.Image:
    """Black strokes on white, not smoothed."""
    rng = np.random.default_rng(5)
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, r = rng.integers(0, width), rng.integers(0, height), rng.integers(4, 60)
        draw.ellipse((int(x - r), int(y - r), int(x + r), int(y + r // 2)), outline=0, width=int(rng.integers(1, 4)))
        draw.line((*map(int, rng.integers(0, width, 2)), *map(int, rng.integers(0, height, 2))), 0, 2)
    return image


DRAWINGS = {
    "page": page,
    "screenshot": screenshot,
    "scan": scan,
    "clean scan": clean_scan,
    "chart": chart,
    "sixteen": sixteen,
    "sixteen dithered": lambda width=480, height=360: sixteen(width, height, dithered=True),
    "line art": line_art,
}
"""By name: functions of width and height."""


COLLECTED = "color", "horse", "page", "text"
"""Pictures of scikit-image that are no photographs: a chart of colours, a silhouette, two scanned pages."""


def main(folder: str) -> None:
    """`python -m tests.drawings FOLDER`: all of them, of 1280 x 800 pixels, and COLLECTED, as FOLDER/NAME/NAME.png."""
    pictures = {name.replace(" ", "-"): draw(1280, 800) for name, draw in DRAWINGS.items()}
    pictures |= {f"skimage-{name}": Image.open(bundled(f"{name}.png")) for name in COLLECTED}
    for name, picture in pictures.items():
        (Path(folder) / name).mkdir(parents=True, exist_ok=True)
        picture.save(Path(folder) / name / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1])
