"""What options of the command line say: texts and numbers checked, and made into what the codecs take.

    "--size 50kB", "--region 0,0,64,64" -> a number, a `Region` -> commands

Each refuses what it cannot take with a `typer.BadParameter`, which ends in exit code 2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import typer

from ..bitstream import MAX_PIXELS, MAX_TILE, TILE_STEP
from ..codec.codec import EFFORTS, RATES, Conflict, Target
from ..codec.media.part import Frames, Region

__all__ = [
    "bytes_of",
    "check_depth",
    "check_positive",
    "check_quality",
    "check_score",
    "check_suffix",
    "check_tile",
    "frames_of",
    "numbers_of",
    "option_names",
    "region_of",
    "target_of",
]


def check_quality(value: float | None) -> float | None:
    if value is not None and not 1 <= value <= 100:  # written so that nan is refused too
        raise typer.BadParameter(f"{value:g} is not in 1 to 100")
    return value


def check_positive(value: float | None) -> float | None:
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value:g} is not a number above 0")
    return value


def check_score(value: float | None) -> float | None:
    if value is not None and not 0 < value <= 100:
        raise typer.BadParameter(f"{value:g} is not above 0 and up to 100")
    return value


def check_tile(value: int | None) -> int | None:
    if value is not None and (value % TILE_STEP or not 0 <= value <= MAX_TILE):
        raise typer.BadParameter(f"{value} is not a multiple of {TILE_STEP} from 0 to {MAX_TILE}")
    return value


def check_suffix(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"\.?[A-Za-z0-9]{1,5}", value):
        raise typer.BadParameter(f"{value} is no suffix such as png, jpg, webp or tiff")
    return None if value is None else value.removeprefix(".").lower()


def check_depth(value: int | None) -> int | None:
    if value not in (None, 8, 16):
        raise typer.BadParameter(f"{value} is neither 8 nor 16")
    return value


def bytes_of(text: str) -> int:
    """A size: 50000, 50kB (a kB is 1000), 50KiB (a KiB is 1024), 1.5MB."""
    pattern = r"(\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})\s*(?:([kmg])(i?))?b?"
    found = re.fullmatch(pattern, text.strip(), re.I | re.A)
    number, prefix, binary = found.groups() if found else ("0", "", "")
    size = int(float(number) * (1024 if binary else 1000) ** (" kmg".index(prefix.lower()) if prefix else 0))
    if not size:
        raise typer.BadParameter(f"--size {text}: expected a size such as 50000, 50kB, 50KiB or 1.5MB")
    return size


def target_of(
    wanted: Mapping[str, float | None], lossless: bool, effort: int | None, exact_pixels: bool = False
) -> Target:
    """The target that the options ask for."""
    effort = EFFORTS[0] if effort is None else effort
    try:
        return Target.of(wanted, lossless=lossless, effort=effort, exact_pixels=exact_pixels)
    except Conflict:
        options = option_names(*RATES)
        if lossless:
            raise typer.BadParameter(f"--lossless keeps every sample: {options} do not go with it") from None
        raise typer.BadParameter(f"{options} exclude each other") from None


def option_names(*names: str) -> str:
    """`-q, --bpp and --size`"""
    options = ["-q" if name == "quality" else f"--{name}" for name in names]
    return f"{', '.join(options[:-1])} and {options[-1]}"


def region_of(text: str) -> Region:
    """X,Y,WIDTH,HEIGHT, the last two above 0."""
    if not re.fullmatch(r"\d{1,9},\d{1,9},0*[1-9]\d{0,8},0*[1-9]\d{0,8}", text, re.A):
        raise typer.BadParameter(f"--region {text}: expected X,Y,WIDTH,HEIGHT in pixels")
    return Region(*map(int, text.split(",")))


def numbers_of(texts: Sequence[str]) -> list[int]:
    """Numbers of items, single ones and ranges, both ends included: 5, 3-10."""
    numbers: list[int] = []
    for text in texts:
        found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", text.strip(), re.A)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last - first + len(numbers) >= MAX_PIXELS:
            raise typer.BadParameter(f"--item {text}: expected a number or a range such as 3-10")
        numbers += range(first, last + 1)
    return numbers


def frames_of(text: str) -> Frames:
    """Numbers of frames, both ends included: 5, 3-10."""
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text.strip(), re.A)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise typer.BadParameter(f"--frames {text}: expected a number or a range such as 3-10")
    return Frames(first, last + 1)
