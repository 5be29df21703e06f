"""ColorVideoVDP as a metric: what is said where its package is missing, and its scores where it is there."""

from __future__ import annotations

import io
import math
import sys

import numpy as np
import pytest
from PIL import Image

from lecodec.errors import InputError
from lecodec.eval.measure.metrics import metrics_by_name, slow_metrics
from lecodec.eval.quality import cvvdp as module
from lecodec.eval.quality.cvvdp import cvvdp


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycvvdp", None)
    module._metric.cache_clear()
    with pytest.raises(InputError, match="pip install cvvdp"):
        metrics_by_name("image", ["cvvdp"])
    module._metric.cache_clear()


def test_what_is_measured_by_default_is_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from lecodec.eval.measure import metrics

    for there in (True, False):
        monkeypatch.setattr(metrics, "find_spec", lambda name, there=there: object() if there else None)
        assert slow_metrics() == (("ssimulacra2",) if there else ())


def test_better_pictures_have_higher_scores() -> None:
    pytest.importorskip("pycvvdp")
    rng = np.random.default_rng(0)
    picture = np.asarray(Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((96, 64)))
    scores = []
    for quality in (5, 30, 95):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        scores.append(cvvdp(picture, np.asarray(Image.open(file))))
    assert scores == sorted(scores) and scores[-1] < 10 and cvvdp(picture, picture) == 10
    assert math.isnan(cvvdp(picture[:7], picture[:7]))
    (metric,) = metrics_by_name("image", ["cvvdp"]).values()
    assert metric.identity.startswith("ColorVideoVDP in JOD, cvvdp 0.")
