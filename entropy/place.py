"""Which library computes here: numpy, which is always there, or torch, an extra.

    device, LECODEC_RUNTIME -> place_for -> "numpy", or a device of torch -> `runtime`, `arrays`, transforms

On the CPU it is torch where the process has it loaded already, numpy elsewhere: importing torch takes longer than
coding a picture, and both decode the same integers. LECODEC_RUNTIME=torch or numpy chooses. Other devices are torch's.
A model keeps the library that it was loaded with.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from ..errors import InputError, needed

__all__ = ["NUMPY", "RUNTIMES", "SPINS", "device_of", "load_torch", "place_for", "place_of", "said"]

NUMPY = "numpy"
RUNTIMES = ("torch", NUMPY)
"""What LECODEC_RUNTIME may say."""
SPINS = "3000"
"""How often a waiting thread of OpenMP looks before it sleeps: as fast as the default on an idle machine."""


def said() -> str:
    """What LECODEC_RUNTIME says, "" for nothing. Raises InputError for what there is not."""
    found = os.environ.get("LECODEC_RUNTIME", "")
    if found and found not in RUNTIMES:
        raise InputError(f"LECODEC_RUNTIME is {found!r}, expected {' or '.join(RUNTIMES)}")
    return found


def place_of(device: Any) -> str:
    """Where arrays for a device are: NUMPY, or one of torch's; see the module's text for "cpu"."""
    name = str(device)
    if name != "cpu":
        return name
    return NUMPY if (said() or ("torch" if sys.modules.get("torch") else NUMPY)) == NUMPY else name


def device_of(place: str) -> str:
    """The device that a place is on: NUMPY is on the CPU."""
    return "cpu" if place == NUMPY else place


def place_for(device: Any) -> str:
    """The same, with torch loaded where it is needed. Raises InputError for a device that is not there, and where torch
    is needed and not installed.
    """
    place = place_of(device)
    if place == NUMPY:
        return place
    torch = load_torch("LECODEC_RUNTIME=torch" if place == "cpu" else f"device {place!r}")
    try:
        torch.empty(1, dtype=torch.float32, device=torch.device(place))
        return place
    except (RuntimeError, AssertionError, TypeError):
        said_so = device if device is None or isinstance(device, str) else place
        raise InputError(f"device {said_so!r} is not available here") from None


def load_torch(what: str) -> Any:
    """torch, imported. what: needs it, for the message. Raises MissingExtra where it is not installed.

    Where it is imported here, its threads spin for a short time only while they wait for each other (GNU's OpenMP reads
    GOMP_SPINCOUNT once, when it is loaded), unless the environment says otherwise: on a machine whose cores are busy
    the default costs a multiple of the work. The environment is left as it was.
    """
    kept = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if "torch" not in sys.modules and not kept:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        return needed("torch", "torch", what)
    finally:
        if not kept:
            with contextlib.suppress(KeyError):
                del os.environ["GOMP_SPINCOUNT"]
