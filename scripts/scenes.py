"""Twenty scenes for `lecodec eval vote`, chosen by hand: faces, skin, foliage, skies, text, night.

    Kodak, the validation pictures of BSDS500, scikit-image's -> FOLDER/pictures, FOLDER/places.tsv

    python scripts/scenes.py KODAK BSDS -o scenes/
    lecodec eval vote scenes/pictures --places scenes/places.tsv --codecs lecodec,avif,jxl,webp -o vote.html

KODAK and BSDS are folders with kodim01.png to kodim24.png and with the test pictures of BSDS500 by number. No shipped
model was trained on any of them. Whole pictures are coded; the places say which part of each is shown.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

from lecodec.eval.tasks.pictures import bundled

SCENES = (
    ("face", "kodim04", 100, 190),
    ("face", "kodim15", 380, 120),
    ("face", "189096", 60, 0),
    ("face", "14092", 110, 20),
    ("face", "astronaut", 100, 0),
    ("skin", "kodim18", 140, 100),
    ("skin", "kodim12", 200, 80),
    ("foliage", "kodim13", 0, 150),
    ("foliage", "kodim22", 60, 220),
    ("foliage", "108004", 100, 20),
    ("foliage", "268048", 100, 0),
    ("sky", "kodim16", 400, 40),
    ("sky", "kodim20", 40, 20),
    ("sky", "179084", 80, 0),
    ("sky", "201080", 40, 0),
    ("text", "kodim08", 480, 180),
    ("text", "kodim03", 60, 60),
    ("text", "kodim14", 430, 220),
    ("night", "5096", 0, 0),
    ("night", "rocket", 180, 60),
)
"""What it shows, the picture, the left and the top edge of what is shown, in pixels."""
SHIPPED = {"astronaut": "astronaut.png", "rocket": "rocket.jpg"}
"""Of scikit-image: NASA, in the public domain."""


def main() -> None:
    """Collect the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("kodak", type=Path)
    parser.add_argument("bsds", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    pictures = asked.output / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    lines = ["picture\tx\ty"]
    for number, (what, name, x, y) in enumerate(SCENES, 1):
        if name in SHIPPED:
            source = bundled(SHIPPED[name])
        elif name.startswith("kodim"):
            source = asked.kodak / f"{name}.png"
        else:
            source = asked.bsds / f"{name}.jpg"
        if not source.is_file():
            sys.exit(f"{source}: there is no such picture")
        wanted = pictures / f"{number:02}-{what}-{name}.png"
        Image.open(source).convert("RGB").save(wanted)
        lines.append(f"{wanted.name}\t{x}\t{y}")
    (asked.output / "places.tsv").write_text("\n".join(lines) + "\n")
    print(f"{len(SCENES)} pictures in {pictures}")


if __name__ == "__main__":
    main()
