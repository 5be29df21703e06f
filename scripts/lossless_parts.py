"""What each part of adaptive coding without loss is worth: pictures coded with one part after the other left out.

    python scripts/lossless_parts.py FOLDER TABLE [EVERY [PART ...]]        ->        TABLE: bytes of all files, by part
                                                                                      left out

Of the pictures, in the order of their names, every EVERY-th is coded (1 by default). PARTS are some of the names below,
all by default. Bytes are those of the body of method 7 alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np

from lecodec.codec import adaptive_rows
from lecodec.codec.media.picture import read_picture
from lecodec.codec.media.samples import split
from lecodec.entropy import adaptive
from lecodec.errors import CodecError
from lecodec.eval.measure.tsv import write_tsv

__all__ = ["PARTS", "measured_parts"]


def _nothing(*_: object) -> None:
    return None


def _plain(rows: np.ndarray, jpeg: bool) -> tuple[int, np.ndarray]:
    return adaptive_rows.PLAIN, adaptive_rows._planes(rows, adaptive_rows.PLAIN)


JPEG, QUARTER = (adaptive_rows, "to_jpeg", _nothing), (adaptive_rows, "to_quarter_chroma", _nothing)
PARTS: dict[str, list[tuple[object, str, Callable[..., object]]]] = {
    "nothing": [],
    "weights fitted while decoding": [(adaptive._Squares, "learn", _nothing)],
    "classes learned while decoding": [(adaptive._Classes, "learn", _nothing)],
    "a quarter of the chroma": [QUARTER],
    "colours of former JPEG files and Photo CDs": [JPEG, QUARTER],
    "values that do not occur": [(adaptive_rows, "_numbered", _nothing)],
    "all transforms of colour": [(adaptive_rows, "_best", _plain), QUARTER],
}


def measured_parts(pictures: list[np.ndarray], parts: list[str]) -> list[dict[str, str]]:
    """uint8 or uint16 [h, w, 3] each; parts: names -> rows of the table."""
    rows: list[dict[str, str]] = []
    samples = sum(picture.size for picture in pictures)
    whole = 0
    for name in ["nothing", *parts]:
        with ExitStack() as without:
            for part in PARTS[name]:
                without.enter_context(patch.object(*part))
            size = sum(len(adaptive_rows.adaptive_body(picture)) for picture in pictures)
        whole = whole or size
        more = f"{100 * size / whole - 100:.1f}"
        rows.append(
            {"left_out": name, "bytes": str(size), "bits_per_sample": f"{8 * size / samples:.4f}", "more": more}
        )
    return rows


def main() -> None:
    folder, table, every = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
    parts = sys.argv[4:] or [name for name, part in PARTS.items() if part]
    paths = sorted(path for path in folder.iterdir() if path.is_file())[::every]
    pictures = [split(read_picture(path))[0] for path in paths]
    head = [f"{len(pictures)} pictures; more: percent of bytes"]
    write_tsv(table, head, measured_parts(pictures, parts), ("left_out", "bytes", "bits_per_sample", "more"))


if __name__ == "__main__":
    try:
        main()
    except (CodecError, OSError, IndexError, KeyError, ValueError) as error:
        sys.exit(f"lecodec: lossless parts: {error}")
