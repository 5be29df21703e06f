"""Any bytes at all give a result or a CodecError: the first cases of each kind. `make fuzz` goes on with a million."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from ..fuzz.cases import KINDS, LIMITS, Cases

SEED = int(os.environ.get("FUZZ_SEED", "0"))
COUNTS = {"file": 1600, "input": 300, "model": 100}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LIMITS.items():
            patch.setenv(name, value)
        yield Cases(SEED, tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_gives_a_result_or_a_codec_error(cases: Cases, kind: str) -> None:
    outcomes = Counter(cases.run(kind, number) for number in range(COUNTS[kind]))
    assert outcomes.total() == COUNTS[kind]
    good = sum(count for outcome, count in outcomes.items() if outcome in ("decoded", "read") or "loaded" in outcome)
    assert COUNTS[kind] // 20 < good < COUNTS[kind], outcomes
