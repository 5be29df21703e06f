"""Many files: which inputs and outputs, bunches, workers, order, failures, and a folder of two hundred."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import manual
import numpy as np
import pytest
import typer.main
from PIL import Image

import lecodec
from lecodec.bitstream import LecFile, parse
from lecodec.cli.jobs import Job, Record, run
from lecodec.cli.main import app, main
from lecodec.cli.paths import PICTURES, Input, collect, decoded_name, encoded_name, plan
from lecodec.cli.tasks import open_lec
from lecodec.codec.codec import Target
from lecodec.codec.media.picture import read_picture
from lecodec.codec.media.picture_write import write_picture
from lecodec.codec.workers.pool import Threads
from lecodec.errors import InputError, OutputExists


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(tiny_default: Path, capfd: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line -> its exit code, standard output, standard error."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(exit.value.code or 0), out, err

    return call


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def small(seed: int = 0, height: int = 9, width: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def files(folder: Path | str = ".") -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


# -- inputs


def sources(*arguments: str, recursive: bool = False) -> list[str]:
    return [input.source for input in collect(arguments, PICTURES, recursive)]


def test_a_folder_stands_for_its_pictures() -> None:
    touch(
        "in/b.png", "in/a.JPG", "in/notes.txt", "in/.hidden.png", "in/.git/x.png", "in/sub/c.webp", "in/sub.png/d.tif"
    )
    assert sources("in", recursive=True) == ["in/a.JPG", "in/b.png", "in/sub/c.webp", "in/sub.png/d.tif"]
    assert [i.below for i in collect(["in/"], PICTURES, True)] == ["a.JPG", "b.png", "sub/c.webp", "sub.png/d.tif"]
    assert sources("in/notes.txt", recursive=True) == ["in/notes.txt"]  # named: taken, whatever it is


def test_a_folder_needs_r_and_something_in_it() -> None:
    touch("in/b.png", "empty/x.txt")
    (found,) = collect(["in"], PICTURES)
    assert isinstance(found.error, InputError) and "-r" in str(found.error)
    (found,) = collect(["empty"], PICTURES, True)
    assert found.source == "empty" and ".png" in str(found.error)


def test_walking_ends_whatever_the_links() -> None:
    touch("in/sub/a.png")
    os.symlink("..", "in/sub/up")
    os.symlink("loop.png", "in/loop.png")
    os.symlink("nowhere", "in/lost.png")
    os.symlink("sub/a.png", "in/link.png")
    os.symlink("in", "linked")
    os.mkfifo("in/pipe.png")
    assert sources("in", recursive=True) == ["in/link.png", "in/loop.png", "in/lost.png", "in/sub/a.png"]
    assert sources("linked", recursive=True)[0] == "linked/link.png"


def test_a_folder_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("in/a.png", "in/shut/b.png", "in/z/c.png")
    real = os.scandir

    def refuse(path: str) -> Any:  # simulated, because root may read everything
        if path.endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {input.source: input.error for input in collect(["in"], PICTURES, True)}
    assert found.keys() == {"in/a.png", "in/shut", "in/z/c.png"}
    assert isinstance(found["in/shut"], PermissionError)


def test_patterns_are_expanded_unless_a_file_has_the_name() -> None:
    touch("a1.png", "a2.png", "b[1].png", "b1.png", "in/c.png")
    assert sources("a?.png", "b[1].png", "z*.png") == ["a1.png", "a2.png", "b[1].png", "z*.png"]
    assert sources("i*", recursive=True) == ["in/c.png"]


# -- outputs


def outputs(*arguments: str, to: str | None = None, recursive: bool = False) -> list[str]:
    jobs = plan(collect(arguments, PICTURES, recursive), to, False, encoded_name, recursive)
    return [str(job.destination) for job in jobs]


def test_the_tree_is_mirrored_or_written_beside_the_sources() -> None:
    touch("in/a.png", "in/sub/deep/b.png")
    assert outputs("in", recursive=True) == ["in/a.png.lec", "in/sub/deep/b.png.lec"]
    assert outputs("in", to="out", recursive=True) == ["out/a.png.lec", "out/sub/deep/b.png.lec"]
    assert outputs("in/a.png", "in/sub/deep/b.png", to="out/") == ["out/a.png.lec", "out/b.png.lec"]


def test_two_inputs_with_one_output() -> None:
    touch("x/a.png", "y/a.png")
    first, second = plan(collect(["x", "y"], PICTURES, True), "out/", False, encoded_name, True)
    assert first.error is None and isinstance(second.error, OutputExists)
    assert "another input" in str(second.error)
    first, second = plan([Input("p.jpg.lec", "p.jpg.lec"), Input("p.png.lec", "p.png.lec")], None, False, decoded_name)
    assert first.error is None and isinstance(second.error, OutputExists)


def test_files_that_differ_in_their_suffix_alone_are_decoded_side_by_side(cli: Callable) -> None:
    """a.jpg and a.png could be encoded into one folder, but not decoded into one."""
    for number, name in enumerate(("a.jpg", "a.png", "b.webp", "b.bmp", "c.jpg")):
        write_picture(small(number), name)
    names = ["a.jpg", "a.png", "b.webp", "b.bmp", "c.jpg"]
    assert cli("encode", *names, "-o", "coded/")[0] == 0
    assert cli("decode", "-r", "coded", "-o", "back")[0] == 0
    assert files("back") == {"a.jpg.png", "a.png", "b.webp.png", "b.bmp.png", "c.png"}
    assert np.array_equal(read_picture("back/a.png"), lecodec.decode("coded/a.png.lec"))
    assert cli("decode", "coded/a.jpg.lec", "coded/a.png.lec", "-o", "two/")[0] == 0
    assert files("two") == {"a.jpg.png", "a.png"}
    assert cli("decode", "-r", "coded", "-o", "webp", "--format", "webp")[0] == 0
    assert files("webp") == {"a.jpg.webp", "a.png.webp", "b.webp", "b.bmp.webp", "c.webp"}
    assert Path("webp/b.webp").read_bytes()[8:12] == b"WEBP"
    for wrong in ("", "a/b", "xyzxyz", "."):
        assert cli("decode", "coded/c.jpg.lec", "--format", wrong)[0] == 2
    code, _, err = cli("decode", "coded/c.jpg.lec", "--format", "gif")
    assert code == 1 and ".gif" in err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions_and_times_are_kept(cli: Callable) -> None:
    """What was private became readable by all."""
    write_picture(small(), "p.png")
    np.save("x.npy", np.zeros((3, 4, 5), np.uint8))
    moment = 1_234_567_890_123_456_000
    for name in ("p.png", "x.npy"):
        os.chmod(name, 0o600)
        os.utime(name, ns=(moment, moment))
    touch("q.png.lec")
    assert cli("encode", "p.png", "x.npy")[0] == 0 and cli("encode", "p.png", "-o", "q.png.lec", "-f")[0] == 0
    assert cli("decode", "p.png.lec", "-o", "back.png")[0] == 0 and cli("decode", "x.npy.lec", "-o", "items/")[0] == 0
    for name in ("p.png.lec", "x.npy.lec", "q.png.lec", "back.png", "items/00000.png"):
        found = os.stat(name)
        assert (found.st_mode & 0o777, found.st_mtime_ns) == (0o600, moment), name
    os.mkdir("set")
    write_picture(small(), "set/0.png")
    assert cli("encode", "--set", "set", "-o", "set.lec")[0] == 0
    assert not os.stat("set.lec").st_mode & 0o111  # a folder has other permissions than a file


# -- bunches, workers, order


class Fake:
    """A task on names. "3x" has the kind "x" and 3 pixels; "bad" in a name is a failure, "bug" is a bug, "slow" takes
    its time, and "meet" waits until four are at work.
    """

    bunch_pixels = 9

    def __init__(self) -> None:
        self.bunches: list[list[str]] = []
        self.most_held = self.held = 0
        self.lock = threading.Lock()
        self.four = threading.Barrier(4, timeout=30)

    def kind(self, job: Job) -> tuple[str, int] | None:
        return (job.source[1], int(job.source[0])) if job.source[0].isdigit() else None

    def read(self, job: Job) -> str:
        with self.lock:
            self.held += 1
            self.most_held = max(self.held, self.most_held)
        if "unreadable" in job.source:
            raise OSError("unreadable")
        return job.source

    def prepare(self, inputs: Sequence[str]) -> None:
        pass

    def code(self, inputs: Sequence[str]) -> list[str]:
        with self.lock:
            self.bunches.append(list(inputs))
        if any("bug" in name for name in inputs):
            raise ZeroDivisionError("a bug")
        if any("bad" in name for name in inputs):
            raise InputError("bad")
        if "slow" in inputs[0]:
            time.sleep(0.1)
        if inputs[0] == "meet":
            self.four.wait()
        return [name.upper() for name in inputs]

    def finish(self, job: Job, input: str, result: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        with self.lock:
            self.held -= 1
        return {"result": result}, ()


def perform(names: str, workers: int = 1, keep_going: bool = True) -> tuple[Fake, list[str]]:
    """Run a Fake -> it, and the records in the order they were reported: a result, or `-name` for a failure."""
    task, told = Fake(), []

    def report(record: Record) -> None:
        told.append(f"-{record.job.source}" if record.error else record.facts["result"])

    run([Job(name) for name in names.split()], task, report, pool=Threads(workers), keep_going=keep_going)
    return task, told


def test_small_neighbours_of_one_kind_go_together() -> None:
    task, told = perform("3a 3a 3b 3b 3b 3b lone 3a 9a 9a")
    assert task.bunches == [["3a", "3a"], ["3b", "3b", "3b"], ["3b"], ["lone"], ["3a"], ["9a"], ["9a"]]
    assert told == ["3A", "3A", "3B", "3B", "3B", "3B", "LONE", "3A", "9A", "9A"]


def test_bunches_do_not_depend_on_the_workers() -> None:
    names = "3a 3a 3b 3b 3b 3b slow 3a 9a 9a " * 5
    alone, shared = perform(names)[0], perform(names, workers=4)[0]
    assert sorted(alone.bunches) == sorted(shared.bunches)


def test_only_the_bad_one_of_a_bunch_fails() -> None:
    task, told = perform("1a 1abad 1a 1aunreadable 1a")
    assert told == ["1A", "-1abad", "1A", "-1aunreadable", "1A"]
    assert task.bunches[0] == ["1a", "1abad", "1a", "1a"] and task.bunches[1:] == [["1a"], ["1abad"], ["1a"], ["1a"]]


@pytest.mark.parametrize("workers", [1, 3])
def test_reports_come_in_the_order_of_the_inputs(workers: int) -> None:
    names = " ".join(["slow0", *(f"n{i}" for i in range(20)), "slow1", "bad", "end"])
    _, told = perform(names, workers)
    assert told == [f"-{name}" if name == "bad" else name.upper() for name in names.split()]


def test_workers_hold_one_bunch_each() -> None:
    task, _ = perform(" ".join(f"slow{i}" for i in range(12)), workers=3)
    assert task.most_held <= 3


def test_workers_work_at_the_same_time() -> None:
    _, told = perform(" ".join(["meet"] * 8), workers=4)  # a worker alone would wait for the others in vain
    assert told == ["MEET"] * 8


def test_no_keep_going_ends_with_the_first_failure() -> None:
    task, told = perform("1a 1abad 1a 1a", keep_going=False)
    assert told == ["1A", "-1abad"] and task.bunches == [["1a"], ["1abad"]]
    task, told = perform("slow0 bad " + "slow " * 20, workers=2, keep_going=False)
    assert told[:2] == ["SLOW0", "-bad"] and len(told) <= 4  # what had been begun is finished, and told


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bug_ends_the_run_and_comes_out(workers: int) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        perform("1a bug 1b " + "slow " * 10, workers)
    assert not any("_work" in thread.name for thread in threading.enumerate())


# -- the command line with many files


def test_recursion_and_the_summary(cli: Callable) -> None:
    Path("in/deep").mkdir(parents=True)
    for name in ("in/a.png", "in/deep/b.ppm", "in/deep/c d é.bmp"):
        write_picture(small(), name)
    for name in ("in/notes.txt", "in/deep/raw.CR2", "in/x.cr2", "in/.hidden.cr2", "in/old.lec"):
        touch(name)
    code, out, err = cli("encode", "-r", "in", "-o", "out", "-j", "2")
    note = "3 files passed over, no pictures by their names: .cr2 (2), .txt (1)"
    assert (code, err) == (0, f"lecodec: in: note: {note}\n")
    assert files("out") == {"a.png.lec", "deep/b.ppm.lec", "deep/c d é.bmp.lec"}
    *lines, summary = out.splitlines()
    assert [line.split(" -> ")[0] for line in lines] == ["in/a.png", "in/deep/b.ppm", "in/deep/c d é.bmp"]
    assert summary.startswith("3 files: 3 ok, 0 failed; ") and " bpp, " in summary

    assert cli("test", "-r", "out", "-j", "0")[0] == 0
    code, out, _ = cli("info", "-r", "out")
    assert code == 0 and out.count("  bpp ") == 3
    assert cli("decode", "-r", "out", "-o", "back")[0] == 0
    assert files("back") == {"a.png", "deep/b.png", "deep/c d é.png"}
    assert cli("decode", "-r", "out", "--quiet")[:2] == (0, "")
    assert "deep/b.png" in files("out")
    code, _, err = cli("encode", "in")
    assert code == 1 and err == "lecodec: in: Is a directory; -r takes the files in it\n"


def test_existing_outputs_are_skipped_where_that_is_asked_for(cli: Callable) -> None:
    """Run again after an interrupt, what was done was refused file by file, and counted as failed."""
    for number in range(3):
        write_picture(small(number), f"{number}.png")
    names = [f"{number}.png" for number in range(3)]
    cli("encode", *names[:2])
    before = Path("0.png.lec").read_bytes(), os.stat("0.png.lec").st_mtime_ns
    touch("bad.png")
    code, out, err = cli("encode", *names)
    assert code == 1 and len(err.splitlines()) == 2
    assert "3 files: 1 ok, 2 failed (2 because the output exists: --skip-existing or -f); " in out
    Path("2.png.lec").unlink()
    code, out, err = cli("encode", *names, "bad.png", "--skip-existing")
    assert code == 1 and len(err.splitlines()) == 1 and err.startswith("lecodec: bad.png: ")
    assert out.splitlines()[0].startswith("2.png -> 2.png.lec") and "\n4 files: 1 ok, 2 skipped, 1 failed; " in out
    assert (Path("0.png.lec").read_bytes(), os.stat("0.png.lec").st_mtime_ns) == before
    code, out, err = cli("encode", *names, "--skip-existing", "--json")
    *lines, last = map(json.loads, out.splitlines())
    assert (code, err) == (0, "") and [line["status"] for line in lines] == ["skipped"] * 3
    assert (last["summary"]["skipped"], last["summary"]["failed"], last["summary"]["not_begun"]) == (3, 0, 0)
    assert cli("encode", *names, "--skip-existing", "-f")[0] == 2
    code, out, _ = cli("decode", "0.png.lec", "1.png.lec", "--skip-existing")
    assert code == 0 and out.startswith("2 files: 0 ok, 2 skipped, 0 failed")


def test_inputs_from_a_list(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a.png", "with space é.png", "-.png"]
    for number, name in enumerate(names):
        write_picture(small(number), name)
    Path("list").write_bytes("\r\n".join([*names, ""]).encode())
    assert cli("encode", "--files-from", "list", "-o", "one/")[0] == 0
    assert files("one") == {f"{name}.lec" for name in names}
    for data, to in ((b"\0".join(map(os.fsencode, names)) + b"\0", "two/"), (b"a.png\n", "three/")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert cli("encode", "with space é.png", "--files-from", "-", "-o", to)[0] in (0, 1)
    assert files("two/") == files("one") and files("three/") == {"a.png.lec", "with space é.png.lec"}
    Path("lecs").write_text("\n".join(sorted(map(str, Path("one").iterdir()))))
    assert cli("test", "--files-from", "lecs")[1].startswith("one/")
    assert cli("info", "--files-from", "lecs", "--json")[1].count('"ok"') == 3
    assert cli("decode", "--files-from", "lecs", "-o", "back/")[0] == 0 and files("back") == set(names)
    touch("nothing")
    for wrong in (("--files-from", "nothing"), ("--files-from", "missing"), (), ("-", "--files-from", "-")):
        for command in ("encode", "decode", "info", "test"):
            code, _, err = cli(command, *wrong)
            assert code == 2 and err.strip(), (command, wrong)


def test_every_command_has_examples_that_parse(cli: Callable) -> None:
    known = dict(manual.commands(typer.main.get_command(app)))
    assert len(known) > 12
    for words, declared in known.items():
        code, out, _ = cli(*words[1:], "--help")
        lines = out.partition("Examples:\n")[2].splitlines()
        assert code == 0 and (lines or hasattr(declared, "commands")), words
        for line in lines:
            name, *arguments = shlex.split(line, comments=True)
            assert name == "lecodec"
            told = next(word for n in (2, 1) if (word := ("lecodec", *arguments[:n])) in known)
            help = cli(*told[1:], "--help")[1].partition("Examples:")[0]
            # Every option that it shows is one that the help lists.
            for option in (word for word in arguments if word.startswith("-")):
                assert re.search(rf"(^|[\s,]){option}\b", help), option
            assert not re.search(r"<(str|int|float|path|list)", help), "types of Python are none of the user's business"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str, tmp_path: Path) -> None:
    words = {"bash": "COMP_WORDS", "zsh": "_TYPER_COMPLETE_ARGS", "fish": "_TYPER_COMPLETE_ARGS"}[shell]
    for typed, wanted in (("lecodec en", "encode"), ("lecodec encode --loss", "--lossless")):
        environment = {words: typed, "COMP_CWORD": str(typed.count(" ")), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        done = subprocess.run(
            [sys.executable, "-m", "lecodec"],
            capture_output=True,
            text=True,
            env={**os.environ, **environment, "_LECODEC_COMPLETE": f"complete_{shell}"},
            check=False,
        )
        assert wanted in done.stdout, done


def test_json_lines(cli: Callable) -> None:
    write_picture(small(), "a.png")
    touch("bad.png")
    code, out, err = cli("encode", "a.png", "bad.png", "-q", "30", "--verify", "--json")
    good, bad, last = map(json.loads, out.splitlines())
    assert code == 1 and len(err.splitlines()) == 1
    assert (good["file"], good["output"], good["status"]) == ("a.png", "a.png.lec", "ok")
    assert good["bytes_in"] == os.path.getsize("a.png") and good["bytes_out"] == os.path.getsize("a.png.lec")
    assert good["bpp"] == 8 * good["bytes_out"] / 81 and (good["width"], good["height"]) == (9, 9)
    assert good["quality"] == lecodec.info("a.png.lec")["quality"] and abs(good["user_quality"] - 30) < 0.01
    assert (good["channels"], good["bit_depth"], good["notes"]) == (3, 8, [])
    error = np.mean((small().astype(float) - lecodec.decode("a.png.lec")) ** 2)
    assert good["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-4)
    assert (bad["status"], bad["kind"], bad["output"]) == ("error", "InputError", "bad.png.lec")
    assert bad["error"] in err
    summary = last["summary"]
    assert (summary["files"], summary["ok"], summary["failed"], summary["not_begun"]) == (2, 1, 1, 0)
    assert summary["seconds"] > 0

    for command in (["test"], ["decode", "-o", "back.png"]):
        record = json.loads(cli(*command, "a.png.lec", "--json")[1].splitlines()[0])
        assert record["bytes_in"] == good["bytes_out"] and record["quality"] == good["quality"]
    assert cli("encode", "a.png", "-c", "--json")[0] == 2


def test_info_says_what_is_carried(cli: Callable) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    Image.fromarray(small(0, 70, 70)).save("a.png", exif=exif)
    cli("encode", "a.png", "--tile", "64", "--quiet")
    lines = dict(line.split(maxsplit=1) for line in cli("info", "a.png.lec")[1].splitlines()[1:])
    assert (lines["tiles"], lines["icc_bytes"], lines["alpha"]) == ("4", "0", "0 (none)")
    assert int(lines["exif_bytes"]) > 13
    code, out, err = cli("info", "--json", "a.png.lec", ".", "missing.lec")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and records[0]["tiles"] == 4
    assert [record["status"] for record in records] == ["ok", "error", "error"]
    assert [line.split(": ")[1] for line in err.splitlines()] == [".", "missing.lec"]


def test_no_keep_going(cli: Callable) -> None:
    touch("bad.png")
    write_picture(small(), "a.png")
    code, out, err = cli("encode", "bad.png", "a.png", "--no-keep-going")
    assert code == 1 and len(err.splitlines()) == 1 and not Path("a.png.lec").exists()
    assert out.startswith("2 files: 0 ok, 1 failed, 1 not done")
    assert cli("encode", "bad.png", "a.png", "--keep-going")[0] == 1 and Path("a.png.lec").exists()


def test_equal_pictures_are_coded_in_batches(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from lecodec.codec.image import ImageCodec

    for number in range(5):
        write_picture(small(number), f"{number}.png")
    batches = []
    for name in ("encode_signals", "decode_files"):
        real = getattr(ImageCodec, name)

        def spy(self: ImageCodec, batch: Any, *arguments: Any, real: Any = real, **options: Any) -> Any:
            batches.append(len(batch))
            return real(self, batch, *arguments, **options)

        monkeypatch.setattr(ImageCodec, name, spy)
    assert cli("encode", "*.png")[0] == 0 and max(batches) == 5
    del batches[:]
    Path("2.png.lec").write_bytes(b"\x00" + Path("2.png.lec").read_bytes()[1:])
    flipped = bytearray(Path("3.png.lec").read_bytes())
    flipped[-30] ^= 1
    Path("3.png.lec").write_bytes(flipped)
    code, _, err = cli("decode", "*.lec", "-o", "out/")
    assert code == 1 and [line.split(": ")[1] for line in err.splitlines()] == ["2.png.lec", "3.png.lec"]
    assert files("out") == {"0.png", "1.png", "4.png"}
    del batches[:]
    assert cli("encode", "*.png", "--size", "5000", "-o", "size/")[0] == 0 and max(batches, default=1) == 1
    assert len(files("size")) == 5


def test_batches_and_workers_change_nothing(cli: Callable) -> None:
    """The latents of a file do not depend on its neighbours' failures, on -j, or on the order of finishing."""
    for number in range(6):
        write_picture(small(number, 9, 9 + number // 3), f"{number}.png")
    cli("encode", "*.png", "-o", "one/")
    cli("encode", "*.png", "-o", "two/", "-j", "3")
    assert all(Path("one", name).read_bytes() == Path("two", name).read_bytes() for name in files("one"))
    assert len(files("one")) == 6


# -- targets, tiles, regions, depth, metadata, verification


def test_rate_targets(cli: Callable) -> None:
    grain = np.random.default_rng(0).integers(0, 12, (192, 192, 3))  # or it would be taken for drawn, and coded exactly
    blocks = np.kron(small(1, 16, 16), np.ones((12, 12, 1), np.uint8))
    write_picture((blocks * 0.9 + grain).astype(np.uint8), "a.png")
    cli("encode", "a.png", "-q", "50", "-o", "q.lec")
    size = os.path.getsize("q.lec")
    code, _, err = cli("encode", "a.png", "--size", str(size), "-o", "s.lec")
    assert code == 0, err
    assert 0.97 * size <= os.path.getsize("s.lec") <= size
    bpp = 8 * size / 192**2
    code, _, err = cli("encode", "a.png", "--bpp", f"{bpp:.4f}", "-o", "b.lec")
    assert code == 0, err
    assert abs(os.path.getsize("b.lec") - size) <= max(8, 0.015 * size)
    code, _, err = cli("encode", "a.png", "--size", "10", "-o", "small.lec")
    assert code == 1 and len(err.splitlines()) == 1 and not Path("small.lec").exists()
    code, _, err = cli("encode", "a.png", "--psnr", "90", "-o", "good.lec")
    assert code == 1 and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "size"), [("50000", 50000), ("50kB", 50000), ("50KiB", 51200), ("1.5MB", 1500000), ("2k", 2000)]
)
def test_sizes(text: str, size: int, cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("lecodec.cli.run.run_command", lambda label, todo, task, *_, **__: asked.append(task.target))
    main_code = cli("encode", "a.png", "--size", text)[0]
    assert (main_code, asked) == (0, [Target("size", size)])


@pytest.mark.parametrize(
    "options",
    [
        ("-q", "50", "--bpp", "0.5"),
        ("--size", "50kB", "--psnr", "30"),
        ("--size", "0"),
        ("--size", "large"),
        ("--size", "9" * 400),
        ("--size", "٥٠"),  # digits, but not ours
        ("--size", "50\u212aB"),  # the sign for Kelvin
        ("--bpp", "0"),
        ("--psnr", "nan"),
        ("--tile", "100"),
        ("--tile", "-64"),
        ("--tile", "65536"),
        ("-j", "-1"),
    ],
)
def test_wrong_options_of_encode(cli: Callable, options: tuple[str, ...]) -> None:
    touch("a.png")
    assert cli("encode", "a.png", *options)[0] == 2


@pytest.mark.parametrize("options", [("--region", "1,2,3"), ("--region", "0,0,0,5"), ("--depth", "12")])
def test_wrong_options_of_decode(cli: Callable, options: tuple[str, ...]) -> None:
    touch("a.lec")
    assert cli("decode", "a.lec", *options)[0] == 2


def test_tiles_and_regions(cli: Callable) -> None:
    picture = np.kron(small(2, 20, 25), np.ones((8, 8, 1), np.uint8))
    write_picture(picture, "a.png")
    assert cli("encode", "a.png", "--tile", "64")[0] == 0
    assert "tile_width        64" in cli("info", "a.png.lec")[1]
    assert cli("decode", "a.png.lec", "-o", "whole.png")[0] == 0
    assert cli("decode", "a.png.lec", "--region", "70,30,60,100", "-o", "part.png")[0] == 0
    whole, part = read_picture("whole.png"), read_picture("part.png")
    assert part.shape == (100, 60, 3)
    assert np.abs(whole[30:130, 70:130].astype(int) - part).max() <= 1
    code, _, err = cli("decode", "a.png.lec", "--region", "190,0,60,10", "-o", "beyond.png")
    assert code == 1 and len(err.splitlines()) == 1 and not Path("beyond.png").exists()


class Endless:
    """A pipe that goes on with zeroes after what it holds, and cannot be read to its end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.taken = data, 0

    def read(self, count: int) -> bytes:
        assert count >= 0, "nobody reads this to its end"
        piece = self.data[self.taken : self.taken + count].ljust(count, b"\0")
        self.taken += count
        return piece


def test_reading_ends_at_the_first_thing_that_is_wrong(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(small(), "a.png")
    cli("encode", "a.png")
    whole = Path("a.png.lec").read_bytes()
    at = whole.index(b"LDAT")
    commands = (
        ["test", "-"],
        ["info", "-"],
        ["decode", "-", "-o", "b.png"],
        ["decode", "-", "-c", "--region", "0,0,1,1"],
    )
    for data, needed, says in (
        (b"", 8, "not a .lec file"),
        (whole, len(whole) + 1, "after LEND"),
        (whole[: at - 4] + b"\xff\xff\xff\x7f" + whole[at:], at + 4, "LDAT of 2147483647 bytes"),
        (whole[:at], at + 4, "four letters"),
    ):
        for command in commands:
            pipe = Endless(data)
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe, isatty=lambda: False))
            code, out, err = cli(*command)
            assert (code, out) == (1, "") and says in err and len(err.splitlines()) == 1
            assert pipe.taken == needed
    assert not Path("b.png").exists()


def test_a_pipe_is_read_whole_and_as_it_is(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(np.dstack([small(2, 20, 70), small(3, 20, 70)[:, :, :1]]), "a.png")
    cli("encode", "a.png", "--tile", "64")
    whole = Path("a.png.lec").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(whole)))
    piped, named = open_lec("-"), open_lec("a.png.lec")
    assert piped.load() == named.load() == parse(whole) and piped.size == named.size == len(whole)
    assert piped.read([1, 0]) == named.read([1, 0]) == LecFile.open(whole).read([1, 0])


def test_a_region_reads_only_its_chunks(cli: Callable) -> None:
    write_picture(np.kron(small(2, 20, 25), np.ones((8, 8, 1), np.uint8)), "a.png")
    cli("encode", "a.png", "--tile", "64")
    damaged = bytearray(Path("a.png.lec").read_bytes())
    at = damaged.index(b"LDAT")
    damaged[at + 20] ^= 1  # the first tile
    Path("b.lec").write_bytes(damaged)
    assert cli("decode", "b.lec", "-o", "whole.png")[0] == 1
    assert cli("decode", "b.lec", "--region", "140,100,20,20", "-o", "part.png")[0] == 0
    assert cli("decode", "b.lec", "--region", "0,0,20,20", "-o", "part.png", "-f")[0] == 1


def test_depth_and_alpha(cli: Callable) -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (12, 14, 4)).astype(np.uint16)
    write_picture(deep, "a.png")
    code, out, err = cli("encode", "a.png", "--verify", "--json")
    assert code == 0, err
    assert (json.loads(out.splitlines()[0])["bit_depth"], json.loads(out.splitlines()[0])["alpha"]) == (16, 1)
    assert cli("decode", "a.png.lec", "-o", "b.png")[0] == 0
    assert cli("decode", "a.png.lec", "-o", "c.png", "--depth", "8")[0] == 0
    back = read_picture("b.png")
    assert back.dtype == np.uint16 and np.array_equal(back[..., 3], deep[..., 3])
    assert read_picture("c.png").dtype == np.uint8


def test_metadata_is_carried_unless_stripped(cli: Callable) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    Image.fromarray(small()).save("a.png", exif=exif)
    assert cli("encode", "a.png")[0] == 0
    assert cli("decode", "a.png.lec", "-o", "b.png")[0] == 0
    assert cli("decode", "a.png.lec", "-o", "c.png", "--strip")[0] == 0
    code, _, err = cli("decode", "a.png.lec", "-o", "d.bmp")
    assert code == 0 and err == "lecodec: a.png.lec: note: BMP does not hold its EXIF\n"
    assert cli("encode", "a.png", "--strip", "-o", "s.lec")[0] == 0
    assert cli("decode", "s.lec", "-o", "e.png")[0] == 0
    said = {name: Image.open(name).getexif().get(0x010E) for name in ("b.png", "c.png", "e.png")}
    assert said == {"b.png": "a description", "c.png": None, "e.png": None}


def test_verification_catches_what_does_not_come_back(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from lecodec.codec.image import ImageCodec

    picture = np.dstack([small(), np.arange(81, dtype=np.uint8).reshape(9, 9)])
    write_picture(picture, "a.png")
    real = ImageCodec.decode
    for spoil in (lambda x: x + np.uint8([0, 0, 0, 1]), lambda x: x[:, :, :3], lambda x: x[1:]):
        monkeypatch.setattr(ImageCodec, "decode", lambda self, data, spoil=spoil: spoil(real(self, data)))
        code, _, err = cli("encode", "a.png", "--verify")
        assert code == 1 and "verification" in err and not Path("a.png.lec").exists()
    monkeypatch.setattr(ImageCodec, "decode", real)
    code, out, _ = cli("encode", "a.png", "--verify")
    assert code == 0 and " dB, " in out


# -- two hundred files, ten of them broken


def mixed_pictures(folder: Path, count: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Small pictures of every kind, in subfolders, some with odd names -> (name, (height, width))."""
    rng = np.random.default_rng(11)
    kinds = "png-rgb jpg webp tif ppm bmp gif png-grey png-rgba png-16 png-la pgm-16 png-1 tif-16 webp-alpha".split()
    for number in range(count):
        kind = kinds[number % len(kinds)]
        height, width = (16, 24) if number % 3 == 0 else (1 + number % 23, 1 + number % 31)
        place = folder / ("", "sub", "sub/deep er", "größe")[number % 4]
        place.mkdir(parents=True, exist_ok=True)
        rgb = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        grey, alpha = rgb[:, :, 0], rgb[:, :, 1]
        suffix = kind.split("-")[0]
        path = place / f"picture {number} ü.{suffix}"
        if kind in ("png-16", "tif-16", "pgm-16"):
            write_picture(grey.astype(np.uint16) * 250 + 7, path)
        elif kind == "png-rgba" or kind == "webp-alpha":
            write_picture(np.dstack([rgb, alpha]), path)
        elif kind == "png-la":
            write_picture(np.dstack([grey, alpha]), path)
        elif kind == "png-grey":
            write_picture(grey, path)
        elif kind == "png-1":
            Image.fromarray(grey).convert("1").save(path)
        elif kind == "gif":
            Image.fromarray(rgb).quantize(16).save(path)
        else:
            Image.fromarray(rgb).save(path)
        yield path.relative_to(folder).as_posix(), (height, width)


def break_ten(folder: Path) -> dict[str, str]:
    """Ten broken pictures -> their names with a word of the reason that is due."""
    rgb = np.random.default_rng(5).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    whole = folder / "whole.png"
    Image.fromarray(rgb).save(whole)
    png = whole.read_bytes()
    Image.fromarray(rgb).save(whole, "JPEG")
    jpeg = whole.read_bytes()
    whole.unlink()
    broken = {"empty.png": b"", "cut.png": png[:2000], "cut.jpg": jpeg[: len(jpeg) // 2], "text.png": b"hello, world"}
    broken["crc.png"] = png[:-14] + bytes([png[-14] ^ 1]) + png[-13:]
    huge = bytearray(png)
    huge[16:24] = (200_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    broken["bomb.png"] = bytes(huge)
    for name, data in broken.items():
        (folder / name).write_bytes(data)
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (0, 99, 200)]
    frames[0].save(folder / "film.png", save_all=True, append_images=frames[1:])
    Image.fromarray(rgb[:, :, 0].astype(np.float32)).save(folder / "float.tif")
    with zipfile.ZipFile(folder / "archive.png", "w") as archive:
        archive.writestr("notes.txt", "text")
    (folder / "lost.png").symlink_to("nowhere")
    return {
        "archive.png": "not a picture",
        "bomb.png": "pixels",
        "crc.png": "damaged",
        "cut.jpg": "damaged",
        "cut.png": "damaged",
        "empty.png": "empty",
        "film.png": "3 ",
        "float.tif": "float",
        "lost.png": "No such file",
        "text.png": "not a picture",
    }


def test_two_hundred_files_ten_of_them_broken(cli: Callable) -> None:
    folder = Path("in")
    sizes = dict(mixed_pictures(folder, 190))
    Path(folder, "folder.png").mkdir()  # a folder all the same
    reasons = break_ten(folder)
    assert len(sizes) == 190
    code, out, err = cli("encode", "-r", "in", "-o", "out/", "-j", "2")
    assert code == 1
    failures = dict(
        line.removeprefix("lecodec: in/").split(": ", 1) for line in err.splitlines() if ": note: " not in line
    )
    assert failures.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in failures[name], failures[name]
    assert files("out") == {f"{name}.lec" for name in sizes}
    assert out.splitlines()[-1].startswith("200 files: 190 ok, 10 failed; ")

    code, out, err = cli("decode", "-r", "out", "-o", "back/", "-j", "2")
    assert code == 0, err
    assert len(files("back")) == 190
    for name, size in sizes.items():
        with Image.open(Path("back", decoded_name(f"{name}.lec"))) as image:
            assert (image.height, image.width) == size, name


# -- interruption


@pytest.fixture
def command(tmp_path: Path, tiny_default: Path) -> list[str]:
    """A `lecodec` in a process of its own whose default model is the tiny one, and whose outputs take their time."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import time\n"
        "from contextlib import contextmanager\n"
        "from lecodec.cli import encoding\n"
        "from lecodec.codec import registry\n"
        "from lecodec.cli.main import program\n"
        "registry.ALIASES['image'] = 'tiny'\n"
        "real = encoding.atomic_write\n"
        "@contextmanager\n"
        "def slow(*a, **k):\n"
        "    with real(*a, **k) as file:\n"
        "        yield file\n"
        "        file.flush()\n"
        "        time.sleep(0.2)\n"
        "encoding.atomic_write = slow\n"
        "program()\n"
    )
    return [sys.executable, str(script)]


def begun(command: list[str], tmp_path: Path, *, old: str, outputs: int) -> subprocess.Popen:
    """`encode -r in -o out -f -j 2` of 30 pictures, as far as `outputs` new files and a temporary one."""
    (tmp_path / "in").mkdir()
    for number in range(30):
        write_picture(small(number, 20, 20 + number), tmp_path / "in" / f"{number:02}.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "29.png.lec").write_text(old)
    process = subprocess.Popen(
        [*command, "encode", "-r", "in", "-o", "out", "-f", "-j", "2"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(3000):
        names = files(tmp_path / "out")
        if len(names) > outputs and any(name.endswith(".part") for name in names):
            return process
        time.sleep(0.01)
    raise AssertionError(process.communicate())


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupts_leave_no_temporaries(command: list[str], tmp_path: Path, sent: signal.Signals, code: int) -> None:
    process = begun(command, tmp_path, old="old", outputs=3)
    process.send_signal(sent)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    assert re.search(r"^30 files: (0 ok, 0 failed, 30 not done, |[1-9]\d* ok, 0 failed, \d+ not done; )", out, re.M)
    names = files(tmp_path / "out")
    assert not any(name.endswith(".part") for name in names) and len(names) < 30
    assert (tmp_path / "out" / "29.png.lec").read_text() == "old"
    for name in names - {"29.png.lec"}:
        lecodec.decode(tmp_path / "out" / name)


def test_a_kill_leaves_whole_outputs_and_old_files(command: list[str], tmp_path: Path, cli: Callable) -> None:
    process = begun(command, tmp_path, old="old", outputs=4)
    process.kill()
    process.communicate(timeout=30)
    whole = {name for name in files(tmp_path / "out") if name.endswith(".lec")}
    assert len(whole) >= 3
    assert (tmp_path / "out" / "29.png.lec").read_text() == "old"
    assert cli("test", *(tmp_path / "out" / name for name in sorted(whole - {"29.png.lec"})))[0] == 0


def test_an_interrupt_does_not_wait_for_a_computation(tmp_path: Path) -> None:
    """A worker in C code that would take a minute, the interpreter's lock released, as in a convolution."""
    code = (
        "import os, time\n"
        "from lecodec.cli.jobs import Job, promptly_interrupted, run\n"
        "from lecodec.codec.workers.pool import Threads\n"
        "class Slow:\n"
        "    bunch_pixels = 0\n"
        "    def kind(self, job): return None\n"
        "    def read(self, job): os.write(1, b'reading\\n'); time.sleep(60)\n"
        "with promptly_interrupted():\n"
        "    run([Job('a'), Job('b')], Slow(), print, pool=Threads(2))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "reading\n"
    started = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and time.perf_counter() - started < 5 and err == ""
