"""Files that every later version must decode, written by the tiny model beside them, and files that must be refused.

`python -m tests.make_golden` (from the repository's root) wrote them; they are not to be written again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec.codec.media import read_picture
from lecodec.errors import CodecError

FOLDER = Path(__file__).parent / "golden"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


@pytest.mark.parametrize("name", sorted(EXPECTED["good"]))
def test_good_files_decode_as_they_did(tiny_model, name):
    """The latents to the bit; the pixels within one grey level, since the synthesis is float."""
    codec = lecodec.load(model=tiny_model)
    data = (FOLDER / name).read_bytes()
    latents = codec.latents(data)
    digest = hashlib.sha256(latents.z.astype("<i4").tobytes() + latents.y_hat.astype("<i4").tobytes()).hexdigest()
    assert digest == EXPECTED["good"][name]["latents"]
    picture = read_picture(FOLDER / EXPECTED["good"][name]["picture"])
    assert np.abs(codec.decode(data).astype(int) - picture).max() <= 1


@pytest.mark.parametrize("name", sorted(EXPECTED["bad"]))
def test_bad_files_are_refused_by_name(tiny_model, name):
    with pytest.raises(CodecError) as error:
        lecodec.load(model=tiny_model).decode((FOLDER / name).read_bytes())
    assert type(error.value).__name__ == EXPECTED["bad"][name]
