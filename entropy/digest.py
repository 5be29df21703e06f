"""The parse digest: what a file names the integer part of its model by.

constants as JSON, keys sorted; then for each tensor by name: "\\n" name type shape "\\n" bytes  ->  BLAKE2b-64
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["parse_digest"]


def parse_digest(constants: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> bytes:
    """8 bytes over everything integer that decoding depends on; the same on every machine (little-endian, C order)."""
    h = hashlib.blake2b(digest_size=8)
    h.update(json.dumps(constants, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        h.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        h.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)  # a large circuit is not copied
    return h.digest()
