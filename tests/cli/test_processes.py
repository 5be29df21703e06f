"""Worker processes: the same records as threads, what is lost with one, what is left when the parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lecodec.cli.codecs import ModelUnavailable
from lecodec.cli.jobs import Job, Record, run
from lecodec.cli.main import main
from lecodec.codec.workers.processes import Processes
from lecodec.errors import InputError


class Numbers:
    """A task without a codec: what it does with a job is in the job's source."""

    bunch_pixels = 10

    def __init__(self, folder: Path):
        self.folder = folder

    def kind(self, job: Job) -> tuple[str, int]:
        return ("one", 1)

    def read(self, job: Job) -> str:
        if job.source == "bad":
            (self.folder / "bad").touch()
            raise InputError("no number")
        return job.source

    def prepare(self, inputs: Any) -> None:
        if "nothing" in inputs:
            raise ModelUnavailable("mine", InputError("is not there"))

    def code(self, inputs: Any) -> list[Any]:
        return [self.one(text) for text in inputs]

    def one(self, text: str) -> str:
        if text == "dies" or (text == "dies once" and not (self.folder / "died").exists()):
            (self.folder / "died").touch()
            os._exit(9)
        if text == "fault":
            raise ZeroDivisionError
        if text.startswith("after"):
            time.sleep(0.01)
            while not (self.folder / "bad").exists():
                time.sleep(0.01)
        return text * 2

    def finish(self, job: Job, input: Any, result: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        return {"result": result, "process": os.getpid()}, (f"note on {input}",)


def records_of(tmp_path: Path, sources: list[str], **how: Any) -> list[Record]:
    found: list[Record] = []
    run([Job(s) for s in sources], Numbers(tmp_path), found.append, pool=Processes(2), **how)
    return found


def test_records_come_in_order_from_other_processes(tmp_path):
    sources = [str(n) for n in range(25)]
    sources[7] = "bad"
    ticked: list[Record] = []
    found = records_of(tmp_path, sources, tick=ticked.append)
    assert [r.job.source for r in found] == sources and len(ticked) == 25
    assert [r.facts.get("result") for r in found] == [None if s == "bad" else s * 2 for s in sources]
    assert isinstance(found[7].error, InputError) and str(found[7].error) == "no number"
    assert found[3].notes == ("note on 3",)
    assert os.getpid() not in {r.facts.get("process") for r in found}


def test_what_is_lost_with_a_process_is_done_again_alone(tmp_path):
    sources = ["1", "dies once", "3", *map(str, range(12))]
    found = records_of(tmp_path, sources)
    assert [r.facts.get("result") for r in found] == [s * 2 for s in sources]


def test_an_input_that_ends_its_process_fails_alone(tmp_path):
    found = records_of(tmp_path, ["1", "2", "dies", "4", "5"])
    assert [r.error is None for r in found] == [True, True, False, True, True]
    assert "ended abruptly" in str(found[2].error)


def test_faults_come_out(tmp_path):
    with pytest.raises(ZeroDivisionError):
        records_of(tmp_path, ["1", "fault", "2"])
    with pytest.raises(ModelUnavailable) as error:
        records_of(tmp_path, ["nothing", "1"])
    assert (error.value.name, str(error.value.cause)) == ("mine", "is not there")


def test_without_keep_going_the_rest_is_not_begun(tmp_path):
    found = records_of(tmp_path, ["bad", *(f"after {n}" for n in range(200))], keep_going=False)
    assert found[0].error is not None and len(found) < 200


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(5):
        Image.fromarray(np.full((20, 30 + n % 2, 3), 40 * n, np.uint8)).save(folder / f"{n}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


def test_the_command_writes_what_it_writes_with_threads(folder, tmp_path, tiny_model, capsys):
    model = "--model", tiny_model  # what a test changes in this process, others do not know
    assert command("encode", "-r", folder, "-o", f"{tmp_path}/a/", "-j", 2, *model) == 1
    one = capsys.readouterr()
    assert command("encode", "-r", folder, "-o", f"{tmp_path}/b/", "-j", 2, "--processes", *model) == 1
    two = capsys.readouterr()
    assert one.err == two.err and one.out.count("\n") == two.out.count("\n")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_processes_end_with_their_parent_and_leave_nothing(tmp_path, folder):
    """SIGKILL, which nobody can handle, in the middle of many files."""
    for n in range(5, 300):
        (folder / f"{n}.png").write_bytes((folder / f"{n % 5}.png").read_bytes())
    code = "import sys; from lecodec.cli.main import main; main(sys.argv[1:])"
    words = ["encode", "-r", str(folder), "-o", f"{tmp_path}/out/", "-j", "2", "--processes", "--effort", "9"]
    environment = {**os.environ, "LECODEC_RUNTIME": ""}
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, env=environment) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not list(tmp_path.glob("out/*.lec")):
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = children.read_text().split() if children.exists() else []
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.glob("out/*.lec"))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(Path(f"/proc/{w}").exists() for w in workers):
        time.sleep(0.05)
    assert not any(Path(f"/proc/{w}").exists() for w in workers)
    assert not list(tmp_path.glob("out/.*.part"))


def test_much_work_is_torchs_and_little_is_numpys(folder, tmp_path, monkeypatch):
    """Of two cores. What the process has imported already is what it takes, so others are asked."""
    code = (
        "import sys; from lecodec.cli import tasks, jobs; tasks.cores = lambda: 2; tasks.ENOUGH = int(sys.argv[1])\n"
        "from lecodec.cli.main import main\n"
        "try: main(sys.argv[2:])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "LECODEC_RUNTIME"}

    def used(enough: int, *words: object) -> bool:
        command = [sys.executable, "-c", code, str(enough), *map(str, words), "--quiet"]
        said = subprocess.run(command, capture_output=True, text=True, env=environment).stdout
        return said.strip().splitlines()[-1] == "True"

    (folder / "bad.png").unlink()
    assert not used(5 * 620 + 2 * 620, "encode", "-r", folder, "-o", f"{tmp_path}/a/")
    assert used(5 * 600, "encode", "-r", folder, "-o", f"{tmp_path}/b/")
    assert not used(10**6, "decode", "-r", tmp_path / "a", "-o", f"{tmp_path}/c/")
    assert used(2000, "decode", "-r", tmp_path / "a", "-o", f"{tmp_path}/d/")
