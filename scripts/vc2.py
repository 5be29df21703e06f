"""Photographs of 16 bits to measure on: the middles of the three that the package vc2-conformance-data brings.

    python scripts/vc2.py FOLDER        ->        berries.png, kingswood.png, trees.png

They are 4256 x 2832, planes G, B, R of 16 bits, little-endian; 1024 x 1024 of each are written.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lecodec.codec.media.picture_write import write_picture
from lecodec.errors import CodecError, InputError

__all__ = ["NAMES", "write_crops"]

NAMES = ("berries", "kingswood", "trees")
WIDTH, HEIGHT, SIDE = 4256, 2832, 1024


def write_crops(folder: Path) -> list[Path]:
    """Write the crops as PNG into a folder, which is made if needed; files there are replaced. Raises InputError."""
    spec = find_spec("vc2_conformance_data")
    if spec is None or spec.origin is None:
        raise InputError("this needs the package vc2-conformance-data: pip install vc2-conformance-data")
    folder.mkdir(parents=True, exist_ok=True)
    top, left, written = (HEIGHT - SIDE) // 2, (WIDTH - SIDE) // 2, []
    for name in NAMES:
        planes = np.memmap(Path(spec.origin).with_name(f"{name}.raw"), "<u2", "r", shape=(3, HEIGHT, WIDTH))
        green, blue, red = planes[:, top : top + SIDE, left : left + SIDE].astype(np.uint16)
        written.append(folder / f"{name}.png")
        write_picture(np.stack([red, green, blue], -1), written[-1], overwrite=True)
    return written


if __name__ == "__main__":
    try:
        write_crops(Path(sys.argv[1] if len(sys.argv) > 1 else "vc2"))
    except (CodecError, OSError) as error:
        sys.exit(f"lecodec: vc2: {error}")
