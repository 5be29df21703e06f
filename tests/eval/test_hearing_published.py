"""The published table of sounds: its error rates, its promises and its page, from rows that are known by heart."""

from __future__ import annotations

import math
from pathlib import Path

import hearing
import hearing_findings
import pytest
from hearing_points import Promise, due, due_rows, points_of

from lecodec.eval.figures.summary import summarise
from lecodec.eval.measure.items import read_items
from lecodec.eval.tasks.listening import LISTENING
from lecodec.eval.tasks.task import Answer, ItemRow

from .. import machine_examples

ROOT = Path(machine_examples.__file__).parent.parent
WORDS = "one two three four five six seven eight nine ten".split()


def heard(wrong: int, item: int) -> str:
    """A clip's words, as many of them wrong; odd clips are half as long."""
    words = WORDS if item % 2 == 0 else WORDS[:5]
    return " ".join(["other"] * wrong + words[wrong:])


def rows(items: int = 12) -> list[ItemRow]:
    """lecodec gets one word more right than Opus at the same setting, in every clip, and better scores."""
    found = []
    for n in range(items):
        for codec, setting, wrong in (
            ("identity", 0.0, 0),
            *(("lecodec", float(k), w) for k, w in ((4, 3), (6, 2), (8, 1), (12, 0))),
            *(("opus", float(k), w) for k, w in ((6, 3), (8, 2), (9, 2), (12, 1))),
        ):
            score = 4.5 - wrong + 0.01 * (n % 3)
            metrics = {
                "pesq": score,
                "stoi": 1 - wrong / 10,
                "si_sdr": 20.0 - wrong,
                "log_stft": 0.1 * wrong + 0.001 * n,
            }
            metrics["dnsmos"] = 3.0
            text = heard(wrong, n)
            answers = {
                "words": Answer(math.nan, 1 - wrong / (10 if n % 2 == 0 else 5), text),
                "phonemes": Answer(math.nan, 1 - wrong / (10 if n % 2 == 0 else 5), text),
                "speech-quality": Answer(0.5 - wrong / 100, 1 - wrong / 100, "MOS 3.00"),
            }
            size = 4000 + 10 * n if codec == "identity" else int(125 * setting) + n
            found.append(ItemRow("sounds", f"{n:02}.wav", codec, setting, size, 1.0, metrics, answers))
    return found


def test_error_rates_are_edits_of_all_clips_by_words_of_all_clips() -> None:
    point = points_of(rows(), 100)["lecodec", 4.0]
    assert point["words"].value == pytest.approx(6 * (3 + 3) / (6 * (10 + 5)))  # not the mean of 3/10 and 3/5
    assert point["words"].ends.low <= point["words"].value <= point["words"].ends.high
    assert points_of(rows(), 100)["identity", 0.0]["phonemes"].value == 0
    assert point["pesq"].value == pytest.approx(1.51)
    assert point["speech-quality"].value == pytest.approx(0.47)


def test_promises_are_kept_or_not() -> None:
    better = Promise("better", "words", ("lecodec", 6.0), ("opus", 6.0))
    level = Promise("level", "words", ("lecodec", 6.0), ("opus", 8.0), 0.02)
    worse = Promise("worse", "pesq", ("lecodec", 4.0), ("opus", 8.0))
    nearer = Promise("distance", "log_stft", ("lecodec", 8.0), ("opus", 8.0))
    gone = Promise("no such point", "pesq", ("lecodec", 5.0), ("opus", 8.0))
    found = due(rows(), 200, (better, level, worse, nearer, gone))
    assert [row.kept for row in found] == [True, True, False, True]
    assert found[0].worse.value == pytest.approx(-2 / 15) and found[0].worse.ends.high < 0
    assert found[1].worse.value == 0 and found[2].worse.value == pytest.approx(1)
    assert found[3].worse.value == pytest.approx(-0.1)
    few = due(rows(3), 200, (better,))
    assert math.isnan(few[0].worse.ends.high) and not few[0].kept  # nothing is promised on three clips


def test_the_page_says_what_its_rows_say() -> None:
    found = rows()
    summary = summarise(found, "opus", hearing.RATES, 200)
    page = hearing_findings.page(summary, found, ["task words: word accuracy; made up", "versions: none"], 200)
    assert "nan" not in page and "made up" in page
    assert "**words (PocketSphinx)**, 8 kbit a second: `lecodec` keeps most" in page
    assert "| opus | 9.04 |" in page or "| opus | 9.05 |" in page
    (row,) = (row for row in due_rows(found, 200) if row["what"] == "PESQ at 6 kbps above Opus at 8")
    assert row["worse"] == pytest.approx(0, abs=1e-9) and not row["kept"]
    assert "Not kept: " in page and "PESQ at 6 kbps above Opus at 8" in page.split("Not kept: ")[1]
    assert "log\\_stft" in page


def test_what_is_asked_is_built_in() -> None:
    assert set(hearing.TASKS) == set(LISTENING) and set(hearing.TASKS) <= set(hearing_findings.TITLES)
    assert set(hearing_findings.TITLES) == set(LISTENING)


def test_a_missing_folder_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    arguments = ["--data", str(tmp_path / "none"), "--runs", str(tmp_path / "run"), "--root", str(tmp_path)]
    assert hearing.main(arguments) == 1
    err = capfd.readouterr().err
    assert err.startswith("hearing-table: ") and err.count("\n") == 1
    assert not (tmp_path / "docs").exists()


def test_the_page_in_the_repository_says_what_its_tables_say() -> None:
    """The promises of the page are those of due.tsv, and both come from items.tsv."""
    results, page = ROOT / "eval" / "results" / "hearing", ROOT / "docs" / "machine-hearing.md"
    if not page.exists():
        pytest.skip("not measured yet")
    _, measured = read_items(results / "items.tsv")
    lines = [line for line in (results / "due.tsv").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    heads, *cells = (line.split("\t") for line in lines)
    text = page.read_text(encoding="utf-8")
    again = due_rows(measured, 2000)
    assert [row["what"] for row in again] == [row[heads.index("what")] for row in cells]
    for row, told in zip(again, cells, strict=True):
        assert float(told[heads.index("worse")]) == pytest.approx(row["worse"], rel=1e-5, abs=1e-9)
        assert told[heads.index("kept")] == str(row["kept"]) and row["what"] in _plain(text)


def _plain(text: str) -> str:
    return text.replace("\\", "")
