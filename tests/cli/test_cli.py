"""The command line: conventions of files and pipes, one sentence a failure, exit codes, the README's examples."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import SIGNATURE, frame
from lecodec.bitstream.layouts import LAYOUTS
from lecodec.cli import console
from lecodec.cli import main as cli
from lecodec.cli.console import escaped, print_table, tell
from lecodec.cli.jobs import Job, Record
from lecodec.cli.main import main
from lecodec.codec.media.picture import read_picture
from lecodec.codec.media.picture_write import write_picture
from lecodec.codec.model_file import load_tensors, read_card, save_model

ROOT = Path(lecodec.__file__).parent
GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(
    tmp_path: Path,
    picture: np.ndarray,
    tiny_default: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> Run:
    """Runs the command line in a folder with a.png, b.png (grey) and c.jpg, the tiny model being the default."""
    monkeypatch.chdir(tmp_path)
    write_picture(picture, "a.png")
    write_picture(picture[:, :, 1], "b.png")
    write_picture(picture, "c.jpg")

    def call(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Ran(int(exit.value.code or 0), captured.out, captured.err)

    return call


def names(folder: Path | str = ".") -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def sentences(ran: Ran) -> list[str]:
    """The lines on stderr, each checked to be one sentence of the form that is promised."""
    lines = ran.err.splitlines()
    assert all(re.fullmatch(r"lecodec: .+: .+", line) for line in lines), ran.err
    return lines


# -- the way there and back


def test_encode_and_decode(run: Run) -> None:
    ran = run("encode", "a.png")
    assert ran.code == 0 and ran.err == ""
    size = Path("a.png.lec").stat().st_size
    assert ran.out.startswith(f"a.png -> a.png.lec: {Path('a.png').stat().st_size} -> {size} bytes, ")
    assert f"{8 * size / (50 * 70):.3f} bpp" in ran.out

    assert run("decode", "a.png.lec", "-o", "back.png").code == 0
    back = read_picture("back.png")
    assert back.shape == (50, 70, 3)
    assert np.array_equal(back, lecodec.decode("a.png.lec"))


def test_grey_stays_grey(run: Run) -> None:
    run("encode", "b.png")
    run("decode", "b.png.lec", "-o", "back.pgm")
    assert read_picture("back.pgm").shape == (50, 70)


def test_many_into_a_folder(run: Run) -> None:
    assert run("encode", "a.png", "b.png", "c.jpg", "-o", "new/folder/").code == 0
    assert names("new/folder") == {"a.png.lec", "b.png.lec", "c.jpg.lec"}
    assert run("decode", "new/folder/a.png.lec", "new/folder/c.jpg.lec", "-o", "new").code == 0
    assert names("new") == {"folder", "a.png", "c.png"}


def test_quality_changes_the_size(run: Run) -> None:
    run("encode", "a.png", "-q", "5", "-o", "low.lec")
    run("encode", "a.png", "-q", "95.5", "-o", "high.lec")
    assert Path("low.lec").stat().st_size < Path("high.lec").stat().st_size


def test_model_by_name_and_path(run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LECODEC_MODELS")
    assert run("encode", "a.png", "--model", tiny_model).code == 0
    assert run("decode", "a.png.lec", "--model", tiny_model, "-o", "back.png").code == 0
    assert run("test", "a.png.lec", "--model", tiny_model).code == 0


def test_quiet_is_quiet(run: Run) -> None:
    for command in (["encode", "a.png"], ["test", "a.png.lec"], ["decode", "a.png.lec", "-o", "x.png"]):
        assert run(*command, "--quiet") == Ran(0, "", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.png.lec", "photo.png"),
        ("photo.PNG.LEC", "photo.PNG"),
        ("photo.jpg.lec", "photo.png"),
        ("photo.lec", "photo.png"),
        ("holiday.2024.lec", "holiday.2024.png"),
        ("strange.bin", "strange.bin.png"),
    ],
)
def test_names_to_decode_to(run: Run, name: str, expected: str) -> None:
    run("encode", "a.png", "-o", name)
    Path("out").mkdir()
    assert run("decode", name, "-o", "out/").code == 0
    assert names("out") == {expected}


def test_info(run: Run) -> None:
    run("encode", "a.png", "b.png")
    ran = run("info", "a.png.lec")
    assert ran.code == 0
    assert re.search(r"width +70\n", ran.out) and re.search(r"model +tiny\n", ran.out)

    ran = run("info", "--json", "a.png.lec", "b.png.lec")
    facts = [json.loads(line) for line in ran.out.splitlines()]
    assert [f["channels"] for f in facts] == [3, 1]
    assert facts[0]["bytes"] == Path("a.png.lec").stat().st_size
    assert {"file": "a.png.lec", "status": "ok", **lecodec.info("a.png.lec")} == facts[0]
    assert facts[0]["user_quality"] == 60

    ran = run("info", "--json", "a.png", "a.png.lec")
    bad, good = (json.loads(line) for line in ran.out.splitlines())
    assert (ran.code, bad["status"], bad["kind"], good["status"]) == (1, "error", "NotLecFile", "ok")


def test_a_later_version_with_a_longer_header_is_named(run: Run) -> None:
    later = SIGNATURE + frame(b"LHDR", b"\x07" + bytes(200)) + frame(b"LEND", b"")
    Path("later.lec").write_bytes(later)
    for arguments in (("info",), ("decode", "-o", "x.png"), ("test",)):
        ran = run(*arguments, "later.lec")
        assert ran.code == 1 and "version is 7" in sentences(ran)[0]


def test_info_without_the_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("encode", "a.png")
    monkeypatch.delenv("LECODEC_MODELS")
    assert json.loads(run("info", "--json", "a.png.lec").out)["model"] is None


def test_models(run: Run) -> None:
    assert "tiny" in run("models").out
    cards = [json.loads(line) for line in run("models", "--json").out.splitlines()]
    assert any(card["name"] == "tiny" and len(card["parse_digest"]) == 16 for card in cards)


def test_version_and_help(run: Run) -> None:
    assert run("--version").out == f"lecodec {lecodec.__version__}\n"
    for command in ([], ["encode"], ["eval", "rd"], ["eval", "bench"], ["train"], ["freeze"]):
        assert run(*command, "--help").code == 0


# -- bad input: one sentence, exit code 1, the others still done, nothing half-written


def test_bad_pictures(run: Run) -> None:
    Path("notes.png").write_text("not a picture")
    Path("cut.png").write_bytes(Path("a.png").read_bytes()[:900])
    Path("empty.png").touch()
    Path("folder").mkdir()
    before = names()
    ran = run("encode", "notes.png", "cut.png", "a.png", "folder", "empty.png", "missing.png", "b.png")
    assert ran.code == 1
    lines = sentences(ran)
    assert [line.split(": ")[1] for line in lines] == ["notes.png", "cut.png", "folder", "empty.png", "missing.png"]
    for line, reason in zip(
        lines, ["not a picture", "damaged", "Is a directory", "empty", "No such file"], strict=True
    ):
        assert reason in line
    assert names() - before == {"a.png.lec", "b.png.lec"}


def test_bad_files(run: Run) -> None:
    run("encode", "a.png", "b.png")
    whole = Path("a.png.lec").read_bytes()
    Path("cut.lec").write_bytes(whole[:-20])
    Path("flipped.lec").write_bytes(whole[:120] + bytes([whole[120] ^ 8]) + whole[121:])
    Path("empty.lec").touch()
    Path("folder.lec").mkdir()
    Path("out").mkdir()
    bad = ["a.png", "cut.lec", "flipped.lec", "empty.lec", "folder.lec", "missing.lec"]
    for command in (["decode", "-o", "out/"], ["test"], ["info"]):
        ran = run(*command, *bad, "b.png.lec")
        assert ran.code == 1
        assert [line.split(": ")[1] for line in sentences(ran)] == bad
        assert "b.png.lec" in ran.out
    assert names("out") == {"b.png"}


def test_no_permission_to_write(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access

    def refuse(path: str, mode: int, **options: bool) -> bool:  # simulated, because root may write everywhere
        return not (mode & os.W_OK and os.path.basename(path) == "shut") and real(path, mode, **options)

    monkeypatch.setattr(os, "access", refuse)
    Path("shut").mkdir()
    ran = run("encode", "a.png", "-o", "shut/")
    assert ran.code == 1 and "Permission denied" in sentences(ran)[0]
    assert names("shut") == set()


def test_unknown_model_digest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("encode", "a.png")
    digest = lecodec.info("a.png.lec")["parse_digest"]
    monkeypatch.delenv("LECODEC_MODELS")
    ran = run("decode", "a.png.lec", "-o", "back.png")
    assert ran.code == 1 and digest in sentences(ran)[0]
    assert not Path("back.png").exists()


def test_unusable_models_are_told_once(run: Run) -> None:
    Path("not.safetensors").write_text("no model")
    for model in ("nowhere", "not.safetensors", "."):
        ran = run("encode", "a.png", "b.png", "--model", model)
        assert ran.code == 1 and len(sentences(ran)) == 1 and model in ran.err
    assert run("encode", "a.png", "--device", "abacus").code == 1


def test_existing_outputs_are_kept(run: Run) -> None:
    Path("a.png.lec").write_text("precious")
    ran = run("encode", "a.png", "b.png")
    assert ran.code == 1 and "exists" in sentences(ran)[0]
    assert Path("a.png.lec").read_text() == "precious"
    assert Path("b.png.lec").exists()
    assert run("encode", "a.png", "-f").code == 0
    assert lecodec.info("a.png.lec")["width"] == 70

    before = Path("a.png").read_bytes()
    assert run("decode", "a.png.lec").code == 1
    assert Path("a.png").read_bytes() == before


def test_an_input_is_never_overwritten(run: Run) -> None:
    before = Path("a.png").read_bytes()
    ran = run("encode", "a.png", "-f", "-o", "a.png")
    assert ran.code == 1 and "the input itself" in sentences(ran)[0]
    Path("link.png").symlink_to("a.png")
    assert run("encode", "a.png", "-f", "-o", "link.png").code == 1
    assert Path("a.png").read_bytes() == before


def test_outputs_of_one_command_do_not_collide(run: Run) -> None:
    Path("other").mkdir()
    write_picture(np.zeros((9, 9), np.uint8), "other/a.png")
    ran = run("encode", "a.png", "other/a.png", "-f", "-o", "out/")
    assert ran.code == 1 and "another input" in sentences(ran)[0]
    assert lecodec.info("out/a.png.lec")["width"] == 70


def test_unknown_suffix_is_refused_before_decoding(run: Run) -> None:
    ran = run("decode", "missing.lec", "-o", "x.xyz")
    assert ran.code == 1 and ".xyz" in sentences(ran)[0]


def test_a_write_that_fails_half_way_leaves_nothing(run: Run) -> None:
    Path("a.png.lec").write_text("precious")
    before = names()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # as a full disk would, but for the reason given
    try:
        ran = run("encode", "a.png", "-f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ran.code == 1 and sentences(ran) == ["lecodec: a.png: File too large"]
    assert names() == before and Path("a.png.lec").read_text() == "precious"


def test_names_cannot_break_the_line(run: Run) -> None:
    ran = run("encode", "two\nlines\x1b[31m.png")
    assert sentences(ran) == ["lecodec: two\\nlines\\x1b[31m.png: No such file or directory"]


def test_running_out_of_memory_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("lecodec.codec.image.ImageCodec.encode_signals", exhausted)
    ran = run("encode", "a.png")
    assert ran.code == 1 and "memory" in sentences(ran)[0]


def test_a_bug_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("lecodec.codec.image.ImageCodec.encode_signals", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        main(["encode", "a.png"])


# -- usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode"],
        ["encode", "a.png", "b.png", "-o", "one.lec"],
        ["encode", "a.png", "b.png", "-c"],
        ["encode", "a.png", "-c", "-o", "x.lec"],
        ["encode", "a.png", "-o", ""],
        ["encode", "-", "a.png"],
        ["encode", "a.png", "-q", "0"],
        ["encode", "a.png", "-q", "101"],
        ["encode", "a.png", "-q", "nan"],
        ["encode", "a.png", "-q", "good"],
        ["encode", "a.png", "--no-such-option"],
        ["train", "recipe.yaml", "--set", "novalue"],
        ["train", "recipe.yaml", "--set", "steps=["],
        ["train", "--fields", "sculpture"],
        ["freeze", "run"],
        ["nosuchcommand"],
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    before = names()
    ran = run(*arguments)
    assert ran.code == 2
    assert names() == before


def test_terminals_get_no_binary_and_give_no_picture(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    ran = run("encode", "a.png", "-c")
    assert ran.code == 2 and "terminal" in ran.err and ran.out == ""
    assert run("decode", "-").code == 2


def test_errors_of_training_and_measuring_are_sentences(run: Run) -> None:
    assert "recipe.yaml" in sentences(run("train", "recipe.yaml"))[0]
    assert "there are ablation, adapt, best, codebook, image" in sentences(run("train", "imgae"))[0]
    assert "cannot name a folder" in sentences(run("train", "image", "--set", "name=../../x"))[0]
    assert "transform.width8 = 160 " in run("train", "--fields", "image").out
    assert len(sentences(run("freeze", "norun", "-o", "m.safetensors"))) == 1
    Path("void").mkdir()
    assert len(sentences(run("eval", "rd", "void", "-o", "out"))) == 1
    assert len(sentences(run("eval", "rd", ".", "--codecs", "nosuch", "-o", "out"))) == 1


def test_eval_rd(run: Run) -> None:
    pytest.importorskip("matplotlib")
    Path("photos").mkdir()
    rng = np.random.default_rng(1)
    write_picture(rng.integers(0, 255, (170, 170, 3)).astype(np.uint8) // 4 + 80, "photos/p.png")
    ran = run("eval", "rd", "photos", "--codecs", "jpeg,webp", "-o", "out", "--low", "20", "--high", "40")
    assert ran.code == 0, ran.err
    header, first, *_ = ran.out.splitlines()
    assert header.split()[0] == "codec" and first.split()[0] == "jpeg"
    assert any(name.endswith(".tsv") for name in names("out"))


def test_eval_bench(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options reach `run_bench`, and what it found is printed; test_bench.py measures."""
    from lecodec.eval import bench

    class Result:
        skipped = (("nosuch", "not here"),)

        def table(self) -> list[dict[str, object]]:
            return [{"codec": "jpeg", "bpp": 1.5}]

    asked = []

    def fake(folder: Path | None, codecs: list[str], out: Path, **options: object) -> Result:
        asked.append((folder, codecs, out, options))
        return Result()

    monkeypatch.setattr(bench, "run_bench", fake)
    few = "--repeats", "2", "--limit", "4", "--bpp", "1.5"
    ran = run("eval", "bench", "photos", "--codecs", "jpeg, nosuch", "-o", "b.tsv", *few)
    assert callable(asked[0][3].pop("progress"))  # stderr is no terminal here: lines, now and then
    options = {"device": "cpu", "repeats": 2, "limit": 4, "bpp": 1.5}
    assert asked == [(Path("photos"), ["jpeg", "nosuch"], Path("b.tsv"), options)]
    assert ran.code == 1 and ran.out.split() == ["codec", "bpp", "jpeg", "1.5"]
    assert sentences(ran) == ["lecodec: nosuch: left out: not here"]
    run("eval", "bench")
    assert asked[1][0] is None and "compressai:mbt2018-mean" in asked[1][1] and asked[1][2] == Path("bench.tsv")
    assert asked[1][3]["bpp"] == 0.5


# -- pipes and signals, in processes of their own


@pytest.fixture
def command(tmp_path: Path, tiny_default: Path) -> Path:
    """An executable `lecodec`, as it is installed but for its default model, the tiny one; its folder goes in front of
    PATH.
    """
    script = tmp_path / "bin" / "lecodec"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\n"
        "from lecodec.codec import registry\n"
        "registry.ALIASES['image'] = 'tiny'\n"
        "from lecodec.cli.main import program\n"
        "program()\n"
    )
    script.chmod(0o755)
    return script


def test_closed_streams(command: Path, tmp_path: Path, picture: np.ndarray) -> None:
    """As a daemon's are: no traceback, and what can be done is done."""
    write_picture(picture, tmp_path / "a.png")
    for line, code in (
        (f"'{command}' encode a.png -o b.lec 2> errors >&-", 0),
        (f"'{command}' encode - -o c.lec 2> errors <&-", 1),
        (f"'{command}' info b.lec 2>&- > said", 0),
    ):
        assert subprocess.run(["bash", "-c", line], cwd=tmp_path).returncode == code
        assert "Traceback" not in (tmp_path / "errors").read_text()
    assert lecodec.decode(tmp_path / "b.lec").shape == picture.shape
    assert "width" in (tmp_path / "said").read_text()


def test_pipes(command: Path, tmp_path: Path, picture: np.ndarray) -> None:
    write_picture(picture, tmp_path / "a.png")
    line = f"'{command}' encode - < a.png | tee a.lec | '{command}' decode - 2> errors"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=True)
    assert np.array_equal(read_picture(io.BytesIO(done.stdout)), lecodec.decode(tmp_path / "a.lec"))

    done = subprocess.run([command, "encode", "a.png", "-o", "-"], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == (tmp_path / "a.lec").read_bytes()
    assert b"a.png -> -" in done.stderr

    line = (
        f"'{command}' decode a.lec -c | true; exit ${{PIPESTATUS[0]}}"  # `true` is gone long before the picture comes
    )
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "lecodec: a.lec: Broken pipe\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout(command: Path, tmp_path: Path, picture: np.ndarray) -> None:
    write_picture(picture, tmp_path / "a.png")
    for arguments, subject in (
        ("models", "standard output"),
        ("encode a.png", "standard output"),
        ("encode -c a.png", "a.png"),
    ):
        line = f"'{command}' {arguments} > /dev/full"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == f"lecodec: {subject}: No space left on device\n"


def test_exit_codes_of_the_program(command: Path, tmp_path: Path, tiny_model: Path, picture: np.ndarray) -> None:
    """Of processes that have loaded torch, and so end without its teardown; everything that was printed arrives."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"lecodec": "lecodec.cli.main:program"}  # what `command` and `python -m lecodec` run
    write_picture(picture, tmp_path / "a.png")
    module = [sys.executable, "-m", "lecodec"]
    for arguments, code, lines, errors in (
        ([command, "encode", "a.png", "missing.png"], 1, 2, 1),
        ([*module, "decode", "a.png.lec", "--model", tiny_model, "-o", "b.png", "--json"], 0, 2, 0),
    ):
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, len(done.stdout.splitlines()), len(done.stderr.splitlines())) == (code, lines, errors)
    assert subprocess.run([*module, "encode"], cwd=tmp_path, capture_output=True).returncode == 2
    assert {"a.png.lec", "b.png"} <= names(tmp_path)


class Ended(BaseException):
    """What `os._exit` raises in the test below, which goes on."""


@pytest.mark.parametrize("spins", [None, "7"])
@pytest.mark.parametrize("code", [None, 0, 1, 130])
def test_the_program_ends_at_once_unless_it_trained(
    monkeypatch: pytest.MonkeyPatch, spins: str | None, code: int | None
) -> None:
    def leave(_: object = None) -> None:
        raise SystemExit(code)

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(cli, "main", leave)
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setenv("GOMP_SPINCOUNT", spins or "")  # so that it is restored afterwards
    if spins is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.delitem(sys.modules, "lecodec.train.run", raising=False)
    with pytest.raises(Ended) as ended:
        cli.program()
    assert ended.value.args == (code or 0,) and os.environ["GOMP_SPINCOUNT"] == (spins or "3000")

    monkeypatch.setitem(sys.modules, "lecodec.train.run", sys)
    with pytest.raises(SystemExit) as exit:
        cli.program()
    assert exit.value.code == code


def test_ctrl_c_leaves_nothing(command: Path, tmp_path: Path, picture: np.ndarray) -> None:
    """Interrupted while the output is half-written: the temporary file is there, then it is gone."""
    write_picture(picture, tmp_path / "a.png")
    slow = "import lecodec.cli.encoding as c, time\nreal = c.atomic_write\nfrom contextlib import contextmanager\n"
    slow += "@contextmanager\ndef slow(*a, **k):\n    with real(*a, **k) as f:\n        f.write(b'half')\n"
    slow += "        f.flush(); open('ready', 'w').close(); time.sleep(60)\n        yield f\nc.atomic_write = slow\n"
    script = command.read_text().replace("from lecodec.cli.main", slow + "from lecodec.cli.main")
    command.write_text(script)
    process = subprocess.Popen([command, "encode", "a.png"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "ready").exists():
            break
        time.sleep(0.1)
    assert any(name.endswith(".part") for name in names(tmp_path))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert names(tmp_path) == {"bin", "a.png", "ready"}


def test_info_is_quick(command: Path, tmp_path: Path, picture: np.ndarray) -> None:
    """`lecodec info` imports none of the heavy modules, which is what keeps it below 0.3 s."""
    (tmp_path / "a.lec").write_bytes(lecodec.encode(picture))
    code = (
        "import sys\nfrom lecodec.cli.main import main\n"
        "try:\n    main(['info', 'a.lec'])\nexcept SystemExit as e:\n    assert not e.code\n"
        "heavy = {'torch', 'numpy', 'rich', 'constriction', 'yaml', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    assert time.perf_counter() - started < 2  # a bound for loaded machines; the modules are the real test


def test_readme_shell_examples_run(command: Path, tmp_path: Path, picture: np.ndarray) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert blocks
    write_picture(np.tile(picture, (4, 4, 1)), tmp_path / "photo.png")  # large enough for the regions shown
    (tmp_path / "photos" / "2024").mkdir(parents=True)
    write_picture(picture, tmp_path / "photos" / "first.png")
    write_picture(picture, tmp_path / "photos" / "2024" / "second.png")
    environment = {**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert {"photo.png.lec", "back.png", "piped.png"} <= names(tmp_path)
    assert (tmp_path / "coded" / "2024" / "second.png.lec").exists()


def test_readme_python_examples_run(run: Run) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert blocks
    Path("a.png").rename("photo.png")
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_a_medium_says_itself_how_it_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here knows the media: a layout that is new brings its own words."""

    class Sound:
        media, name = 9, "sound"

        @staticmethod
        def amount(facts: dict) -> int:
            return facts["seconds_long"] * 1000

        @staticmethod
        def extent_text(facts: dict) -> str:
            return f"{facts['seconds_long']} s of sound"

        @staticmethod
        def rate_text(facts: dict) -> str:
            return f"{facts['kbps']} kb/s"

    monkeypatch.setitem(LAYOUTS, 9, Sound)
    facts = {"medium": "sound", "bytes_in": 9000, "bytes_out": 900, "seconds": 0.1, "seconds_long": 3, "kbps": 64}
    assert console.encoded_line(facts) == "9000 -> 900 bytes, 64 kb/s, 10.0:1, 0.10 s"
    assert console.decoded_line(facts) == "3 s of sound, 0.10 s"
    sums = console.Sums()
    sums.add(Record(Job("a"), facts=facts | {"bpp": 2.0}))
    picture = {"medium": "image", "bytes_in": 10, "width": 50, "height": 60, "bpp": 4.0, "seconds": 0, "bpd": 4.0 / 3}
    sums.add(Record(Job("b"), facts=picture))
    assert (sums.pixels, sums.bits) == (6000, 18000)
    items = picture | {"medium": "set", "items": 7, "item_shape": [60, 50], "bytes_out": 5}
    assert console.decoded_line(items) == "7 items of [60, 50], 0.00 s"
    assert console.encoded_line(items) == "10 -> 5 bytes, 1.333 bits a sample, 2.0:1, 0.00 s"
    assert console.encoded_line(picture | {"bytes_out": 5}) == "10 -> 5 bytes, 4.000 bpp, 2.0:1, 0.00 s"


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_bar_is_for_terminals(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: terminal, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    facts = {"medium": "image", "bytes_in": 2000, "bytes_out": 100, "width": 10, "height": 10, "bpp": 8.0}
    done = Record(Job("a.png"), facts=facts)
    with console.progress("working", 2, quiet=False) as tick:
        tick(done)
        tick(Record(Job("b.png"), OSError("bad")))
    err = capsys.readouterr().err
    assert ("working" in err and "2/2" in err and "20.0:1" in err) if terminal else err == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_one_file_that_takes_long_shows_the_time(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: terminal, raising=False)
    monkeypatch.setattr(console, "PATIENCE", 0.05)
    with console.progress("encoding", 1, quiet=False) as tick:
        time.sleep(0.4)
        tick(Record(Job("a.png")))
        print("a line", file=sys.stderr)
    err = capsys.readouterr().err
    assert err == ("\rencoding: 0 s\r             \ra line\n" if terminal else "a line\n")


def test_long_runs_say_how_far_they_are_in_a_file_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.counting("measuring", quiet=False) as tick:
        assert tick is not None
        for done in range(1, 101):
            now[0] += 1
            tick(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"lecodec: measuring: {done} of 100" for done in (30, 60, 90)]
    with console.counting("measuring", quiet=True) as tick:
        assert tick is None


def test_a_quality_that_changes_nothing_is_noted(run: Run) -> None:
    model = ("--model", GOLDEN / "compressai" / "mean.safetensors")
    for quality, noted in (("30", True), ("60", False)):
        ran = run("encode", "a.png", "-q", quality, "-f", *model)
        assert ran.code == 0
        assert ("quality 30 changes nothing: mean has one rate" in ran.err) == noted


def test_import_and_freeze_say_what_they_wrote(run: Run) -> None:
    import torch

    from ..compressai_states import state_of

    torch.save(state_of("mbt2018-mean"), "c.pth")
    ran = run("models", "import", "compressai:mbt2018-mean", "c.pth", "-o", "m.safetensors")
    assert ran.code == 0 and ran.out.startswith("c.pth -> m.safetensors: model m (compressai, ")


def test_no_escape_codes_reach_the_terminal(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    """B4: texts from outside, of names, members, cards and usage, are told as Python writes them."""
    code = "\x1b[31m"
    np.savez(tmp_path / "x.npz", **{f"a{code}": np.zeros((4, 4, 4), np.uint8), "b": np.zeros((4, 4, 4), np.uint8)})
    tensors, card = load_tensors(GOLDEN / "tiny.safetensors"), read_card(GOLDEN / "tiny.safetensors").card
    save_model(tensors, {**card, "name": f"red{code}"}, tmp_path / "red.safetensors")
    monkeypatch.setenv("LECODEC_MODELS", str(tmp_path / "red.safetensors"))
    Path(f"out{code}").mkdir()
    tiny = ("--model", GOLDEN / "tiny.safetensors")
    assert run("encode", "a.png", *tiny, "-o", f"out{code}/").code == 0
    runs = [
        run("encode", "x.npz"),
        run("encode", "a.png", *tiny, "-o", f"out{code}/"),  # is there already
        run("models"),
        run("info", f"out{code}/a.png.lec"),
        run("encode", "a.png", f"--{code}"),
        run("encode", "a.png", "--size", code),
        run("encode", "a.png", "--model", f"none{code}"),
    ]
    for ran in runs:
        assert "\x1b" not in ran.out + ran.err and r"\x1b[31m" in ran.out + ran.err, ran
    print_table([{"item": f"name{code}"}])
    tell("note", f"left out {code}")
    assert "\x1b" not in "".join(capfd.readouterr())
    assert escaped("für a\nb \x9b \u202e \udc80") == r"für a\nb \x9b \u202e \udc80"
