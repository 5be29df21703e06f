"""A model beside rows of the published table: the same photographs only, and only if the originals agree."""

from __future__ import annotations

from dataclasses import replace

import machine_eye
import pytest

from lecodec.errors import InputError
from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.tasks.task import Answer, ItemRow


def _row(item: str, codec: str, setting: float = 20, source: str = "photos", task: str = "embedding") -> ItemRow:
    return ItemRow(source, item, codec, setting, 900, 4096.0, {"psnr": 30.0}, {task: Answer(float("nan"), 0.75, "c")})


OLD = [
    *(_row(item, codec) for item in "ab" for codec in (IDENTITY, "jpeg", "webp", "lecodec", "lecodec:machine-1")),
    _row("a", "jpeg", source="text", task="text"),
]


def test_the_same_items_of_the_codecs_compared() -> None:
    new = [_row("b", IDENTITY), replace(_row("b", "lecodec"), metrics={"psnr": 28.0})]
    rows = machine_eye.beside(new, OLD)
    assert [(row.item, row.codec) for row in rows] == [
        ("b", name) for name in (IDENTITY, "lecodec", "jpeg", "lecodec:psnr", "lecodec:machine-1")
    ]
    assert [row.metrics["psnr"] for row in rows] == [30, 28, 30, 30, 30]


def test_other_originals_are_refused() -> None:
    new = [replace(_row("a", IDENTITY), bytes=901), _row("a", "lecodec")]
    with pytest.raises(InputError, match="^a: the published row says something else of the original"):
        machine_eye.beside(new, OLD)
    with pytest.raises(InputError, match="^c: "):
        machine_eye.beside([_row("c", IDENTITY)], OLD)
