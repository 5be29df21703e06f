"""Which files below a folder are pictures, by their names alone: nothing is opened, and numpy is not imported.

    folder -> [here] -> paths -> media.load_picture

Guarantees: the walk ends, whatever links are in the folder (links to folders are not followed), and meets its files in
one order everywhere.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator

__all__ = ["PICTURES", "walk"]

PICTURES = frozenset(
    ".apng .avif .bmp .dib .gif .j2k .jfif .jp2 .jpe .jpeg .jpf .jpg .jpx .mpo "
    ".pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)
"""Suffixes of pictures that can be read."""


def walk(
    folder: str | os.PathLike[str], suffixes: Collection[str], others: Counter[str] | None = None
) -> Iterator[str | OSError]:
    """The paths of the files below a folder that have one of the suffixes (lower case), in any case. others: counts the
    suffixes of those that have another one.

    Hidden files and folders, pipes and devices are left out. A folder that cannot be read gives its error, which has
    its name.
    """
    unreadable: list[OSError] = []
    for at, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(at, name)
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith(".") or _special(path):
                continue
            if suffix in suffixes:
                yield path
            elif others is not None:
                others[suffix] += 1
        while unreadable:  # of folders that are met between two readable ones
            yield unreadable.pop(0)
    yield from unreadable


def _special(path: str) -> bool:
    """Whether a path leads to a pipe or a device, which would make its reader wait. A link to nothing does not."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
