"""Runs of tasks over codecs: what is measured, what is kept, what is left out, what survives a kill."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lecodec.errors import InputError
from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.measure import worker
from lecodec.eval.measure.cache import Cache, key_of
from lecodec.eval.measure.items import read_items
from lecodec.eval.measure.run import TaskRun, run_tasks
from lecodec.eval.tasks.task import ItemRow

from .. import machine_examples as examples

HERE = examples.__file__
TASK, STEPS, SLOW = f"{HERE}:BrightQuarter", f"{HERE}:Steps", f"{HERE}:Slow"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKEN", "COUNTER"):
        monkeypatch.delenv(name, raising=False)


def measured(tmp_path: Path, *codecs, tasks=(TASK,), **options) -> TaskRun:
    return run_tasks(tasks, codecs, tmp_path / "run", metrics=("psnr",), **options)


def rows_of(run: TaskRun, codec: str) -> list[ItemRow]:
    return [row for row in run.rows if row.codec == codec]


def accuracy(rows: list[ItemRow], task: str = "bright-quarter") -> float:
    return float(np.mean([row.answers[task].score for row in rows]))


def test_ssimulacra2_is_a_metric_by_name(tmp_path: Path) -> None:
    pytest.importorskip("ssimulacra2")
    run = run_tasks(
        (TASK,), ("jpeg",), tmp_path / "run", metrics=("ssimulacra2",), settings={"jpeg": [10, 90]}, limit=2
    )
    low, high = (
        np.mean([row.metrics["ssimulacra2"] for row in rows_of(run, "jpeg") if row.setting == s]) for s in (10, 90)
    )
    assert low < high <= 100 and all(row.metrics["ssimulacra2"] == 100 for row in rows_of(run, IDENTITY))


def test_the_identity_row_is_the_networks_own_accuracy(tmp_path: Path) -> None:
    run = measured(tmp_path)
    task = examples.BrightQuarter()
    own = []
    for name in task.source.names():
        item = task.source.item(name)
        own.append(float(np.argmax(task.predict(item.samples)) == item.truth))
    rows = rows_of(run, IDENTITY)
    assert [row.answers["bright-quarter"].score for row in rows] == own
    assert accuracy(rows) == (examples.COUNT - len(examples.MISTAKEN)) / examples.COUNT
    assert {row.answers["bright-quarter"].agreement for row in rows} == {1.0}
    assert all(row.metrics["psnr"] == np.inf for row in rows)


def test_a_codec_that_destroys_pictures_scores_at_chance(tmp_path: Path) -> None:
    run = measured(tmp_path, f"{HERE}:Destroyer", STEPS)
    assert abs(accuracy(rows_of(run, "destroyer")) - 0.25) <= 0.1
    finest = [row for row in rows_of(run, "steps") if row.setting == 1]
    assert accuracy(finest) == accuracy(rows_of(run, IDENTITY))


def test_shuffled_labels_are_noticed(tmp_path: Path) -> None:
    from lecodec.eval.figures.summary import summarise

    run = measured(tmp_path, STEPS, tasks=(f"{HERE}:Shuffled",))
    notes = summarise(run.rows, anchor="steps", resamples=200).notes
    assert any("shuffled" in note and "chance" in note for note in notes), notes
    right = run_tasks((TASK,), (STEPS,), tmp_path / "right", metrics=("psnr",))
    assert not any("chance" in note for note in summarise(right.rows, anchor="steps", resamples=200).notes)


def test_sizes_are_those_of_the_files_in_the_directory(tmp_path: Path) -> None:
    run = measured(tmp_path, STEPS, "jpeg", settings={"jpeg": [10, 80]})
    files = {path: path.stat().st_size for path in (tmp_path / "run" / "files").rglob("*") if path.is_file()}
    assert len(files) == len(run.rows) == examples.COUNT * (1 + 3 + 2)
    sums: dict[tuple[str, str], int] = {}
    for path, size in files.items():
        place = path.parent.parent.name, path.parent.name
        sums[place] = sums.get(place, 0) + size
    for codec, setting in sums:
        told = [row.bytes for row in run.rows if row.codec == codec and f"{row.setting:g}" == setting]
        assert sum(told) == sums[codec, setting] and len(told) == examples.COUNT
    _, read = read_items(tmp_path / "run" / "items.tsv")
    assert [row.bytes for row in read] == [row.bytes for row in run.rows]
    assert read[0].rate == 8 * read[0].bytes / (examples.SIDE**2)


def test_a_warm_run_measures_nothing_and_changes_nothing(tmp_path: Path) -> None:
    first = measured(tmp_path, STEPS)
    table = (tmp_path / "run" / "items.tsv").read_bytes()
    again = measured(tmp_path, STEPS)
    assert first.measured == 2 * examples.COUNT and again.measured == 0
    assert again.rows == first.rows and (tmp_path / "run" / "items.tsv").read_bytes() == table


@pytest.mark.parametrize("value", ["{}", "[]", "null", '"x"', '{"bytes": "many"}'])
def test_values_of_another_version_in_the_cache_are_measured_anew(tmp_path: Path, value: str) -> None:
    """They ended in a KeyError."""
    first = measured(tmp_path, STEPS)
    for kept in ("1", "key IN (SELECT key FROM results LIMIT 7 OFFSET 3)"):
        with sqlite3.connect(tmp_path / "run" / "cache.sqlite") as file:
            file.execute(f"UPDATE results SET value = ? WHERE {kept}", (value,))
        file.close()
        again = measured(tmp_path, STEPS)
        assert again.rows == first.rows and again.measured > 0


def test_a_cache_of_another_version_is_to_be_removed(tmp_path: Path) -> None:
    """It said "run again", which never helped."""
    file = sqlite3.connect(tmp_path / "c.sqlite")
    file.execute("CREATE TABLE results (item TEXT, setting REAL)")
    file.commit()
    file.close()
    with pytest.raises(InputError, match="of another version .columns item, setting, expected key, value.: remove it"):
        Cache(tmp_path / "c.sqlite")


def test_only_what_is_new_is_measured(tmp_path: Path) -> None:
    measured(tmp_path, STEPS)
    more = measured(tmp_path, STEPS, "jpeg", settings={"jpeg": [50]})
    assert more.measured == examples.COUNT  # one more codec
    metric = run_tasks((TASK,), (STEPS, "jpeg"), tmp_path / "run", metrics=("psnr", "psnr_y"), settings={"jpeg": [50]})
    assert metric.measured == 3 * examples.COUNT and set(metric.rows[0].metrics) == {"psnr", "psnr_y"}


def test_a_file_that_is_gone_or_cut_is_made_again(tmp_path: Path) -> None:
    first = measured(tmp_path, STEPS)
    folder = tmp_path / "run" / "files" / "quarters" / "steps" / "16"
    whole = (folder / "03.z").read_bytes()
    (folder / "03.z").write_bytes(whole[:20])
    (folder / "04.z").unlink()
    again = measured(tmp_path, STEPS)
    assert again.measured == 2 and again.rows == first.rows
    assert (folder / "03.z").read_bytes() == whole and (folder / "04.z").exists()


def test_a_file_that_was_damaged_is_made_again_when_it_is_needed(tmp_path: Path) -> None:
    first = measured(tmp_path, STEPS)
    file = tmp_path / "run" / "files" / "quarters" / "steps" / "16" / "03.z"
    whole = file.read_bytes()
    file.write_bytes(bytes(len(whole)))  # of the same size
    more = run_tasks((TASK,), (STEPS,), tmp_path / "run", metrics=("psnr", "psnr_y"))
    assert not more.skipped and file.read_bytes() == whole
    assert [row.bytes for row in more.rows] == [row.bytes for row in first.rows]


def test_a_full_disk_stops_the_run_and_blames_no_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, overwrite: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(worker, "atomic_write", full)
        with pytest.raises(OSError, match="No space left") as caught:
            measured(tmp_path, STEPS)
    assert not isinstance(caught.value, InputError)
    assert not measured(tmp_path, STEPS).skipped


def test_a_cache_that_cannot_be_written_is_not_to_be_removed(tmp_path: Path) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    with Cache(tmp_path / "c.sqlite") as cache:
        text = str(cache._unusable(error))
    assert "disk is full" in text and "remove" not in text


def test_processes_find_what_one_finds(tmp_path: Path) -> None:
    one = measured(tmp_path / "one", STEPS)
    two = measured(tmp_path / "two", STEPS, workers=2)
    assert one.rows == two.rows


def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL, with two processes at work: nothing that was written is measured again, and no orphan goes on."""
    counter = tmp_path / "counter"
    monkeypatch.setenv("COUNTER", str(counter))
    code = (
        "from pathlib import Path\nfrom lecodec.eval.measure.run import run_tasks\n"
        "if __name__ == '__main__':\n"
        f"    run_tasks(({TASK!r},), ({SLOW!r},), Path({str(tmp_path / 'run')!r}), "
        "metrics=('psnr',), workers=2)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script)])
    deadline = time.monotonic() + 60
    while (not counter.exists() or counter.stat().st_size < 24) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)
    encoded = counter.stat().st_size
    time.sleep(0.5)
    assert counter.stat().st_size == encoded, "workers go on without their parent"
    assert 24 <= encoded < 3 * examples.COUNT
    resumed = measured(tmp_path, SLOW)
    assert resumed.measured < 2 * examples.COUNT
    # Of what was encoded before, only the units that were in flight are encoded again.
    assert counter.stat().st_size - encoded <= 3 * (examples.COUNT - encoded // 3 + 6)
    monkeypatch.delenv("COUNTER")
    fresh = run_tasks((TASK,), (SLOW,), tmp_path / "fresh", metrics=("psnr",))
    assert fresh.rows == resumed.rows


def test_one_bad_item_is_reported_and_left_out_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "1")
    run = measured(tmp_path, STEPS, f"{HERE}:Picky")
    told = dict(run.skipped)
    assert told["quarters/broken"] == "is not a picture"
    assert "picky" in told["quarters/07"] and "not to my taste" in told["quarters/07"]
    for codec in (IDENTITY, "steps", "picky"):
        assert {row.item for row in rows_of(run, codec)} == {f"{n:02d}" for n in range(24) if n != 7}


def test_a_codec_that_always_fails_is_left_out_itself(tmp_path: Path) -> None:
    run = measured(tmp_path, STEPS, f"{HERE}:Hopeless")
    assert {row.codec for row in run.rows} == {IDENTITY, "steps"}
    assert len(rows_of(run, "steps")) == 3 * examples.COUNT
    assert dict(run.skipped)["hopeless"].startswith("failed on every item")


@pytest.mark.parametrize(
    ("tasks", "codecs", "options", "sentence"),
    [
        ((f"{HERE}:Misfit",), (STEPS,), {}, r"misfit fails on the uncompressed 00: .*returned \[2\]"),
        (("no-such-task",), (STEPS,), {}, "no-such-task"),
        ((TASK,), ("no-such-codec",), {}, "unknown codec 'no-such-codec'"),
        ((TASK,), (STEPS,), {"metrics": ("beauty",)}, "unknown metric 'beauty'; there are psnr"),
        ((TASK,), (STEPS,), {"settings": {"webp": [1]}}, "settings are given for 'webp'"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, tasks, codecs, options, sentence) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        run_tasks(tasks, codecs, tmp_path / "run", **{"metrics": ("psnr",), **options})
    assert "\n" not in str(caught.value)


def test_a_damaged_cache_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "cache.sqlite").write_text("this is no data base, whatever its name says" * 99)
    with pytest.raises(InputError, match="remove it to measure anew"):
        measured(tmp_path, STEPS)


def test_cache_gives_back_what_was_put(tmp_path: Path) -> None:
    values = {key_of("a", n): {"n": n, "nan": float("nan"), "text": "ü\ud800"} for n in range(1200)}
    with Cache(tmp_path / "c.sqlite") as cache:
        cache.put(values)
    with Cache(tmp_path / "c.sqlite") as cache:
        found = cache.get([*values, key_of("b")])
    assert found.keys() == values.keys()
    assert found[key_of("a", 7)]["n"] == 7 and found[key_of("a", 7)]["text"] == "ü\ud800"
    assert key_of("a", 1) != key_of("a", "1") and key_of("ab", "c") != key_of("a", "bc")


def test_progress_counts_coded_items(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    measured(tmp_path, STEPS, progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, 4 * examples.COUNT) and calls[-1] == (4 * examples.COUNT,) * 2
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_objects_that_cannot_be_sent_to_a_process_are_one_sentence(tmp_path: Path) -> None:
    codec = examples.Steps()
    codec.lock = (n for n in range(3))  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match="cannot be sent to processes: use one"):
        measured(tmp_path, codec, workers=2)
    assert rows_of(measured(tmp_path, codec), "steps")
