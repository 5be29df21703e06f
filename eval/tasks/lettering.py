"""Photographs with lines of known text on them: what text recognition is measured on.

    photograph -> three lines of words and numbers, drawn at known places -> Item, whose truth are the lines

Words come from a fixed list, numbers from 10 to 9999; which ones, and the colours, is decided by the picture's name
alone, so that the same folder gives the same items everywhere (up to the last bit of a glyph's edge: Pillow's FreeType
draws them). The font is DejaVu Sans, which matplotlib brings. Each line is light or dark, whichever is farther from
what is behind it. Where the lines are follows from the picture's size (`layout`), so a recogniser needs no detector:
what is measured is reading, not finding.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...errors import InputError
from ..quality._extras import extra
from .sources import Photographs
from .task import Item

__all__ = ["SIZES", "Line", "TextOnPhotographs", "layout"]

SIZES = (14, 18, 24)
"""Sizes of the three lines' letters, pixels."""
_CHARACTERS = 24  # at most, of a line
_LEAST = 128  # pixels of a picture's sides
_LIGHT = ((255, 255, 255), (255, 255, 140), (190, 255, 255), (255, 225, 235))
_DARK = ((0, 0, 0), (0, 0, 110), (95, 0, 0), (0, 60, 0))

_WORDS = (
    "able acid afternoon air album amber anchor apple arrow autumn bakery balance bamboo banner basket beach "
    "bicycle bird blanket blue boat bottle branch bread breeze bridge bright brook brown butter button cabin "
    "camera candle canvas carbon carpet castle cellar chair chalk cherry circle city clay cliff cloud coast "
    "coffee copper corner cotton country cream crystal daily dance desert dinner direct distant dolphin door "
    "double dragon early earth east echo edge eight elbow empty engine evening exit fabric factory falcon family "
    "farm feather fence field finger fire flag flower forest fresh friend frost fruit garden gate gentle giant "
    "glass gold grain grape grass gravel green guitar hammer harbour harvest heavy helmet hidden hill honey "
    "horse hotel house hundred island ivory jacket journey juice jungle kettle kitchen ladder lake lamp large "
    "leather lemon letter level library light linen little lunch machine maple marble market meadow melon metal "
    "middle mirror modern monday moon morning mountain museum music narrow needle north notice number ocean "
    "office olive onion open orange orbit oven paper parade park pencil pepper piano pigeon pillow planet plastic "
    "platform pocket police pond powder prince purple quarter quiet rabbit railway rain random record ribbon river "
    "road rocket roof round sailor salt sand school season second shadow shell shoulder silver simple sister "
    "smooth snow south spring square station steam stone storm street sugar summer sunday table tailor temple "
    "thunder ticket tiger timber tower train travel tunnel umbrella valley velvet village violet wagon water "
    "weather west wheel white window winter wolf wonder yellow young"
).split()


@dataclass(frozen=True)
class Line:
    """Where a line is: its box in pixels, and the size of its letters."""

    left: int
    top: int
    width: int
    height: int
    size: int

    def cut(self, samples: np.ndarray) -> np.ndarray:
        """The box's part of a picture, [height, width, 3]."""
        return samples[self.top : self.top + self.height, self.left : self.left + self.width]


def layout(height: int, width: int) -> tuple[Line, ...]:
    """The lines of a picture of this size: at a sixth, half and five sixths of its height; left, middle, right.

    Raises InputError for a picture with a side below 128 pixels.
    """
    if min(height, width) < _LEAST:
        raise InputError(f"lines of text need sides of {_LEAST} pixels or more, found {width} x {height}")
    lines = []
    for place, size in enumerate(SIZES):
        box_width, box_height = min(width - 8, round(0.58 * _CHARACTERS * size)), round(1.6 * size)
        left = (4, (width - box_width) // 2, width - 4 - box_width)[place]
        lines.append(Line(left, height * (2 * place + 1) // 6 - box_height // 2, box_width, box_height, size))
    return tuple(lines)


@dataclass(frozen=True)
class TextOnPhotographs:
    """The pictures of a folder with text on them; a `Source`. Truths are tuples of the lines' texts.

    short_side: see `Photographs`. Raises InputError: no folder, no files, or matplotlib is not installed.
    """

    folder: Path
    name: str = "text"
    short_side: int | None = 256
    media: str = field(default="image", init=False)
    sample_rate: int = field(default=0, init=False)
    _photographs: Photographs = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_photographs", Photographs(self.folder, self.name, self.short_side, "none"))
        _font(SIZES[0])

    @property
    def description(self) -> str:
        """How the pictures were made."""
        size = f"short side {self.short_side} (Pillow LANCZOS)" if self.short_side else "as they are"
        letters = ", ".join(map(str, SIZES))
        return f"RGB pictures, {size}, with lines of text in DejaVu Sans of {letters} pixels"

    def names(self) -> tuple[str, ...]:
        """Files, by name."""
        return self._photographs.names()

    def item(self, name: str) -> Item:
        """A picture, uint8 [H, W, 3], and its lines. Raises CodecError as `Photographs.item`, or for a tiny picture."""
        samples = self._photographs.item(name).samples
        chance = random.Random(hashlib.blake2b(name.encode("utf-8", "surrogatepass")).digest())
        picture = Image.fromarray(samples)
        draw = ImageDraw.Draw(picture)
        texts = []
        try:
            lines = layout(*samples.shape[:2])
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        for line in lines:
            text = _text(chance, line)
            behind = line.cut(samples).reshape(-1, 3) @ (0.299, 0.587, 0.114)
            low, high = np.percentile(behind, (5, 95))
            colours = _LIGHT if 255 - high >= low else _DARK
            # Anchored at the middle of the line, whatever its letters' heights: left, middle.
            middle = (line.left + 2, line.top + line.height // 2)
            draw.text(middle, text, font=_font(line.size), fill=chance.choice(colours), anchor="lm")
            texts.append(text)
        return Item(name, np.array(picture), tuple(texts))


def _text(chance: random.Random, line: Line) -> str:
    """Words and numbers, as many as fit into a line."""
    parts: list[str] = []
    for _ in range(40):
        word = chance.choice(_WORDS) if chance.random() < 0.7 else str(chance.randint(10, 9999))
        word = word.capitalize() if chance.random() < 0.3 else word
        longer = " ".join([*parts, word])
        if len(longer) <= _CHARACTERS and _font(line.size).getlength(longer) <= line.width - 4:
            parts.append(word)
    return " ".join(parts)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    folder = Path(extra("matplotlib").get_data_path()) / "fonts" / "ttf"
    # The basic layout: another one would depend on whether Pillow finds a library for it.
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), size, layout_engine=ImageFont.Layout.BASIC)
