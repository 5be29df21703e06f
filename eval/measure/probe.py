"""One codec in a process of its own: how long until it is ready, and how much memory it takes.

    parent: start a process, wait for "ready"      child: import, load, encode 64 x 64 -> "ready" -> encode, decode

Start-up is the wall time from starting the process to the end of its first encode, so it holds the interpreter's own
start and every import. Memory is the peak of the process's resident set as Linux reports it (VmHWM; `getrusage` would
not do: a child inherits that peak from the process that started it), `nan` elsewhere. The picture is in memory, once,
before the first figure is taken, so that the difference of the two belongs to the codec.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ...errors import CodecError
from ..codecs.peers import codec_by_name

__all__ = ["BARE_TORCH", "UNKNOWN", "Probe", "probe"]

BARE_TORCH = "torch"
"""Instead of a codec: `import torch` and nothing else, to compare learned codecs with."""


class Probe(NamedTuple):
    """startup_s: seconds; loaded_mb, peak_mb: the peak resident set before and after the picture, in 10^6 bytes."""

    startup_s: float
    loaded_mb: float
    peak_mb: float


UNKNOWN = Probe(math.nan, math.nan, math.nan)


def probe(spec: str, setting: float = 0, picture: Path | None = None, device: str = "cpu") -> Probe:
    """Start the codec of a spec (see `peers`) in a fresh process and code a picture there.

    picture: a .npy file with uint8 [H, W, 3]; None: nothing is coded after the start. Raises CodecError when the
    process fails, with its last words.
    """
    command = [sys.executable, "-m", f"{__package__}.probe", spec, device, repr(float(setting))]
    with tempfile.TemporaryFile() as errors:
        started = perf_counter()
        with subprocess.Popen(
            [*command, *([str(picture)] if picture else [])], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as child:
            assert child.stdout is not None
            ready = child.stdout.readline()
            startup = perf_counter() - started
            figures = child.stdout.read()
        if child.returncode or ready != "ready\n":
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"]
            raise CodecError(f"{spec} failed in a process of its own: {words[-1]}")
    return Probe(startup, *json.loads(figures))


def _child(spec: str, device: str, setting: str, picture: str | None = None) -> None:
    if spec == BARE_TORCH:
        import torch  # noqa: F401
    else:
        codec = codec_by_name(spec, device, allow_untrained=True)
        codec.encode((np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(64, 64, 3), float(setting))
    print("ready", flush=True)
    rgb = np.load(picture) if picture else None
    loaded = _peak_mb()
    if rgb is not None and spec != BARE_TORCH:
        codec.decode(codec.encode(rgb, float(setting)))
    print(json.dumps([loaded, _peak_mb()]), flush=True)


def _peak_mb() -> float:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return math.nan


if __name__ == "__main__":
    _child(*sys.argv[1:])
