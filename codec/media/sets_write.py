"""Sets of samples to files (reading: sets.py).

    .lec -> LosslessCodec -> uint8 or uint16 [N, ...] -> [here] -> .npy, .npz, idx, idx.gz, a folder of pictures

Guarantee: a file is written whole or not at all, each picture of a folder by itself.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...bitstream import atomic_write, check_writable
from ...errors import InputError, OutputExists
from .part import Items, Part
from .picture_files import PICTURES
from .picture_write import picture_format, write_picture
from .signal import Signal

__all__ = [
    "as_picture",
    "check_part_output",
    "check_set_output",
    "write_item_pictures",
    "write_set",
    "write_set_signal",
]


def check_set_output(path: str | os.PathLike[str]) -> None:
    """Whether the suffix is one in which sets are written: .npy, .npz, .idx, -ubyte, the last two also with .gz.

    Raises InputError.
    """
    name = os.path.basename(os.fspath(path)).lower()
    if not name.endswith((".npy", ".npz", ".idx", "-ubyte", ".idx.gz", "-ubyte.gz")):
        raise InputError(
            "a set is written as .npy, .npz, .idx, -ubyte (both also .gz), or as pictures into a folder (DIR/)"
        )


def check_part_output(destination: Path, part: Part | None = None) -> None:
    """Raise InputError for a suffix that neither a set nor, if one item is asked for, a picture is written as."""
    if _is_picture(destination, part):
        picture_format(destination)
    else:
        check_set_output(destination)


def write_set_signal(
    signal: Signal,
    destination: Path | BinaryIO,
    part: Part | None = None,
    *,
    folder: bool = False,
    overwrite: bool = False,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `Medium.write` does for sets: a folder gets a picture for each item, a stream becomes .npy, and a single
    item that was asked for is a picture if its suffix says so.
    """
    samples, facts = signal.samples, {"items": len(signal.samples)}
    if not isinstance(destination, Path):
        write_set(samples, destination)
        return facts, ()
    if folder:
        numbers = part.numbers if isinstance(part, Items) else None
        return facts | {"bytes_out": write_item_pictures(samples, destination, numbers, overwrite=overwrite)}, ()
    if _is_picture(destination, part):
        write_picture(as_picture(samples[0]), destination, overwrite=overwrite)
    else:
        write_set(samples, destination, overwrite=overwrite)
    return facts | {"bytes_out": os.path.getsize(destination)}, ()


def _is_picture(destination: Path, part: Part | None) -> bool:
    single = isinstance(part, Items) and len(part.numbers) == 1
    return single and destination.suffix.lower() in PICTURES


def write_set(samples: np.ndarray, destination: str | os.PathLike[str] | BinaryIO, *, overwrite: bool = False) -> None:
    """Write uint8 or uint16 [N, ...] to a path, whose suffix says how (see `check_set_output`), or to a stream as .npy.

    Raises InputError (the suffix; 16 bits, which idx does not hold), OutputExists, OSError.
    """
    if not isinstance(destination, (str, os.PathLike)):
        # Not numpy's own way, which asks for the place in the file: a pipe has none.
        header = {"descr": np.lib.format.dtype_to_descr(samples.dtype), "fortran_order": False, "shape": samples.shape}
        np.lib.format.write_array_header_1_0(destination, header)
        destination.write(np.ascontiguousarray(samples).data)
        return
    check_set_output(destination)
    name = os.fspath(destination).lower()
    if not name.endswith((".npy", ".npz")) and samples.dtype != np.uint8:
        raise InputError("idx holds 8 bits a sample, these have 16: write .npy")
    with atomic_write(destination, overwrite=overwrite) as file:
        if name.endswith(".npy"):
            write_set(samples, file)
        elif name.endswith(".npz"):
            np.savez_compressed(file, samples)
        elif name.endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as inside:
                _write_idx(samples, inside)
        else:
            _write_idx(samples, file)


def _write_idx(samples: np.ndarray, file: BinaryIO | gzip.GzipFile) -> None:
    file.write(bytes([0, 0, 8, samples.ndim]) + np.array(samples.shape, ">u4").tobytes())
    file.write(np.ascontiguousarray(samples).data)


def write_item_pictures(
    samples: np.ndarray,
    folder: str | os.PathLike[str],
    numbers: Sequence[int] | None = None,
    *,
    overwrite: bool = False,
) -> int:
    """Write each item of uint8 or uint16 [N, ...] as a PNG into a folder, which is made: 00000.png, 00001.png, ….

    numbers: of the items, if they are not 0 to N - 1; repeated ones are written once. Returns the bytes written. Each
    picture is written whole or not at all. Raises InputError (items that are no pictures), OutputExists before anything
    is written, OSError.
    """
    as_picture(samples[0])
    folder = Path(folder)
    names = [folder / f"{number:05d}.png" for number in (range(len(samples)) if numbers is None else numbers)]
    if folder.is_dir():
        for name in names:
            if not overwrite and os.path.lexists(name):
                raise OutputExists(f"output {name} exists")
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(names[0], overwrite)
    size = 0
    for name, picture in dict(zip(names, samples, strict=True)).items():
        write_picture(as_picture(picture), name, overwrite=overwrite)
        size += os.path.getsize(name)
    return size


def as_picture(item: np.ndarray) -> np.ndarray:
    """An item as the samples of a picture, [H, W] or [H, W, 2 to 4]. Raises InputError if it is none."""
    if not (item.ndim == 2 or (item.ndim == 3 and item.shape[2] <= 4)):
        raise InputError(f"items of the shape {list(item.shape)} are no pictures: write .npy")
    return np.ascontiguousarray(item[:, :, 0] if item.ndim == 3 and item.shape[2] == 1 else item)
