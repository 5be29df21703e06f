"""Butteraugli: a judge of pictures that took no part in training any model here.

    uint8 original, decoded -> PPM files -> `butteraugli_main` of libjxl -> map of differences -> 3-norm, times -1

Alakuijala et al., "Guetzli" (2017), as libjxl has it. Its program is asked where it is installed (Debian: `apt install
libjxl-devtools`); there is no package of it that could be pinned, so that a result names the program by its digest. The
p-norm of 3 weighs the worst places most, as libjxl does where it compares encoders; the largest difference alone, its
other figure, is that of one place.

Guarantees: higher is better, as for all measures here, so a distance of 1 (hardly visible at arm's length) is -1 and
equal pictures have 0. Samples are taken as sRGB, seen at 80 candelas a square metre.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...errors import CodecError, InputError
from .metrics import check_pictures

__all__ = ["MIN_SIDE", "butteraugli", "describe", "program"]

MIN_SIDE = 8
"""Pixels: the program takes no smaller pictures."""
_PROGRAM = "butteraugli_main"
_NORM = re.compile(r"^3-norm: ([0-9.eE+-]+)\s*$", re.MULTILINE)
_SECONDS = 600


def program() -> str:
    """Where the program is. Raises InputError where it is not installed."""
    found = shutil.which(_PROGRAM)
    if found is None:
        raise InputError(f"this needs the program {_PROGRAM} of libjxl (Debian: apt install libjxl-devtools)")
    return found


def describe() -> str:
    """Measure, program and its digest: one line, no paths. Raises InputError where it is not installed."""
    return f"butteraugli of libjxl, minus its 3-norm, {_PROGRAM} {_digest(program())}"


@lru_cache(4)
def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def butteraugli(original: np.ndarray, decoded: np.ndarray) -> float:
    """Minus the distance of two uint8 pictures [H, W, 3], 0 for equal ones; `nan` when a side is below 8 pixels.

    Raises InputError for other shapes or types and where the program is missing, CodecError when it fails.
    """
    check_pictures(original, decoded)
    path = program()
    if min(original.shape[:2]) < MIN_SIDE:
        return math.nan
    if np.array_equal(original, decoded):
        return 0.0
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("a.ppm", "b.ppm")]
        for file, samples in zip(files, (original, decoded), strict=True):
            height, width = samples.shape[:2]
            file.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + samples.tobytes())
        command = [path, *map(str, files), "--intensity_target", "80", "--pnorm", "3"]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CodecError(f"{_PROGRAM} did not answer: {error}") from None
    found = _NORM.search(run.stdout)
    if run.returncode or found is None:
        said = " ".join((run.stderr or run.stdout).split())[:200]
        raise CodecError(f"{_PROGRAM} ended with code {run.returncode}: {said or 'it said nothing'}")
    return -float(found[1])
