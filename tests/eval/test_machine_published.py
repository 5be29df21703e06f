"""The published table: made by one command, its page computed from its rows."""

from __future__ import annotations

import re
from pathlib import Path

import findings
import published
import pytest

from lecodec.errors import InputError
from lecodec.eval.figures.summary import summarise
from lecodec.eval.measure.items import read_items

from .. import machine_examples as examples

HERE = examples.__file__
ROOT = Path(examples.__file__).parent.parent


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One task, three codecs; `slow` in the place of the model for machines, `steps` in that of its parent."""
    monkeypatch.delenv("BROKEN", raising=False)
    monkeypatch.setattr(published, "TASKS", (f"{HERE}:BrightQuarter",))
    monkeypatch.setattr(
        published,
        "CODECS",
        {"jpeg": (1, 5, 20, 50, 90), f"{HERE}:Steps": (128, 64, 16, 4), f"{HERE}:Slow": (128, 64, 16, 4)},
    )
    monkeypatch.setattr(published, "RATES", (8.0, 12.0))
    for module in (published, findings):
        monkeypatch.setattr(module, "PARENT", "steps")
        monkeypatch.setattr(module, "MACHINE", "slow")


def test_tables_and_page_come_from_the_rows(small: None, tmp_path: Path) -> None:
    run = published.publish(tmp_path, tmp_path / "run", tmp_path, workers=1, resamples=200)
    assert run.measured == 4 * examples.COUNT
    results = tmp_path / "eval" / "results"
    names = {path.name for path in (results / "machine").iterdir()}
    assert names == {"items.tsv", "comparisons.tsv", "at-rate.tsv", "pairs.tsv", "correlations.tsv", "machine-2.tsv"}
    _, rows = read_items(results / "machine" / "items.tsv")
    assert [(row.item, row.bytes) for row in rows] == [(row.item, row.bytes) for row in run.rows]
    page = (tmp_path / "docs" / "machine-perception.md").read_text(encoding="utf-8")
    rows = [row for row in rows if row.codec != "steps"]
    for row in summarise(rows, "jpeg", (8.0, 12.0), 200, run.classes).at_rates:
        if row.accuracy == row.accuracy:
            assert f"{100 * row.accuracy:.1f} ({100 * row.accuracy_low:.1f} to {100 * row.accuracy_high:.1f})" in page
    assert "nan" not in page
    assert "**`slow` against `steps`**" in page


def test_a_warm_run_measures_nothing_and_writes_the_same(small: None, tmp_path: Path) -> None:
    published.publish(tmp_path, tmp_path / "run", tmp_path, workers=1, resamples=200)
    written = {path: path.read_bytes() for path in (tmp_path / "eval").rglob("*.tsv")}
    page = tmp_path / "docs" / "machine-perception.md"
    written[page] = page.read_bytes()
    again = published.publish(tmp_path, tmp_path / "run", tmp_path, workers=1, resamples=200)
    assert again.measured == 0 and {path: path.read_bytes() for path in written} == written


def test_a_missing_folder_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    arguments = ["--data", str(tmp_path / "none"), "--runs", str(tmp_path / "run"), "--root", str(tmp_path), "-j", "1"]
    assert published.main(arguments) == 1
    err = capfd.readouterr().err
    assert err.startswith("machine-table: ") and err.count("\n") == 1
    assert not (tmp_path / "docs").exists()


def test_the_page_in_the_repository_says_what_its_tables_say() -> None:
    """Every accuracy and every loss with its interval in the page stands in a row of the tables beside it."""
    page = (ROOT / "docs" / "machine-perception.md").read_text(encoding="utf-8")
    results = ROOT / "eval" / "results"
    known = set()
    for table, names in (("machine/at-rate.tsv", ("accuracy", "drop")), ("machine.tsv", ("score", "agreement"))):
        lines = (results / table).read_text(encoding="utf-8").splitlines()
        heads, *rows = (line.split("\t") for line in lines if not line.startswith("#"))
        for name in names:
            places = [heads.index(column) for column in (name, f"{name}_low", f"{name}_high")]
            known |= {"{:.1f} ({:.1f} to {:.1f})".format(*(100 * float(row[p]) for p in places)) for row in rows}
    told = re.findall(r"\d+\.\d \(\d+\.\d to \d+\.\d\)", " ".join(page.split()))
    assert len(told) > 150 and set(told) <= known


def test_rows_of_codecs_that_have_not_changed_are_taken(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are found by what they are, not by what they were called; other originals are refused."""
    first = published.publish(tmp_path, tmp_path / "run", tmp_path, workers=1, resamples=200)
    kept = tmp_path / "kept.tsv"
    text = (tmp_path / "eval" / "results" / "machine" / "items.tsv").read_text(encoding="utf-8")
    kept.write_text(text.replace("\tsteps\t", "\tolder\t").replace("codec steps: ", "codec older: "), encoding="utf-8")
    monkeypatch.setattr(published, "CODECS", {**published.CODECS, f"{HERE}:Slow": (128, 64, 32, 16, 4)})
    again = published.publish(tmp_path, tmp_path / "other", tmp_path, workers=1, resamples=200, kept=kept)
    assert again.measured == 2 * examples.COUNT  # of the originals, and of the codec with another setting
    for run in (first, again):
        assert [row.codec for row in run.rows[:6]] == ["identity", *5 * ["jpeg"]]
    found, before = (
        [(r.item, r.codec, r.setting, r.bytes) for r in run.rows if r.codec != "slow"] for run in (again, first)
    )
    assert found == before
    assert {row.setting for row in again.rows if row.codec == "slow"} == {128, 64, 32, 16, 4}
    assert any(line.startswith("rows of jpeg, steps are those of an earlier run") for line in again.comments)
    bytes_of = next(row.bytes for row in first.rows if row.codec == "identity")
    kept.write_text(
        kept.read_text(encoding="utf-8").replace(f"\t{bytes_of}\t", f"\t{bytes_of + 1}\t"), encoding="utf-8"
    )
    with pytest.raises(InputError, match="the earlier table says something else of the original"):
        published.publish(tmp_path, tmp_path / "other", tmp_path, workers=1, resamples=200, kept=kept)
