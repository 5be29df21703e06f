"""Atomic files: the output is whole or absent, nothing is left behind, nothing is lost."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lecodec.bitstream import atomic, atomic_write, check_writable, discard_temporaries
from lecodec.errors import CodecError, InputError, OutputExists


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_output_appears_whole_at_the_end(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x.lec") as file:
        file.write(b"half")
        file.flush()
        (temporary,) = names(tmp_path)
        assert temporary.startswith(".x.lec.") and temporary.endswith(".part")
        file.write(b" and half")
    assert names(tmp_path) == ["x.lec"]
    assert (tmp_path / "x.lec").read_bytes() == b"half and half"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, OSError])
@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_half_written_after_an_exception(tmp_path: Path, error: type[BaseException], overwrite: bool) -> None:
    if overwrite:
        (tmp_path / "x.lec").write_bytes(b"old")
    with pytest.raises(error), atomic_write(tmp_path / "x.lec", overwrite) as file:
        file.write(b"half")
        raise error
    assert names(tmp_path) == (["x.lec"] if overwrite else [])
    if overwrite:
        assert (tmp_path / "x.lec").read_bytes() == b"old"


def test_failing_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(os, "link", fail)
    for overwrite in (False, True):
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), atomic_write(tmp_path / "x", overwrite) as file:
            file.write(b"data")
        assert names(tmp_path) == []


def test_existing_output_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "x.lec"
    path.write_bytes(b"old")
    with pytest.raises(OutputExists, match="x.lec exists"):
        check_writable(path, overwrite=False)
    with pytest.raises(OutputExists), atomic_write(path):
        pytest.fail("the block must not run")
    assert path.read_bytes() == b"old"
    check_writable(path, overwrite=True)


@pytest.mark.parametrize("hard_links", [True, False])
def test_output_that_appears_meanwhile_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    if not hard_links:
        monkeypatch.setattr(os, "link", no_hard_links)
    path = tmp_path / "x.lec"
    with pytest.raises(OutputExists), atomic_write(path) as file:
        file.write(b"ours")
        path.write_bytes(b"theirs")
    assert names(tmp_path) == ["x.lec"]
    assert path.read_bytes() == b"theirs"


def no_hard_links(*args: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_hard_links)
    with atomic_write(tmp_path / "x.lec") as file:
        file.write(b"data")
    assert names(tmp_path) == ["x.lec"]
    assert (tmp_path / "x.lec").read_bytes() == b"data"


def test_overwrite_replaces_or_creates(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        with atomic_write(tmp_path / "x.lec", overwrite=True) as file:
            file.write(content)
        assert (tmp_path / "x.lec").read_bytes() == content
    assert names(tmp_path) == ["x.lec"]


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("overwrite", [False, True])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, overwrite: bool) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "x.lec", overwrite) as file:
            file.write(b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.lec").stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(OutputExists):
            check_writable(tmp_path / name, overwrite=False)
    with atomic_write(tmp_path / "link", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_folders_are_refused(tmp_path: Path) -> None:
    for overwrite in (False, True):
        with pytest.raises(IsADirectoryError):
            check_writable(tmp_path, overwrite)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no /dev/null")
def test_devices_are_not_replaced_by_files() -> None:
    with pytest.raises(InputError, match="not a regular file"):
        check_writable("/dev/null", overwrite=True)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        check_writable(tmp_path / "missing" / "x.lec", overwrite=False)
    assert caught.value.filename == str(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        check_writable(tmp_path / "file" / "x.lec", overwrite=False)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is allowed")
def test_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            check_writable(tmp_path / "x.lec", overwrite=False)
    finally:
        tmp_path.chmod(0o755)


def test_long_and_foreign_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ü" * 120, "😀" * 60, "a" * 255):
        with atomic_write(name) as file:
            file.write(b"data")
        assert (tmp_path / name).read_bytes() == b"data"
    assert len(names(tmp_path)) == 3


# --- giving up ---------------------------------------------------------------------------------------------------


@pytest.fixture
def not_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that give up: afterwards this process goes on."""
    monkeypatch.setattr(atomic, "_ending", False)


@pytest.mark.usefixtures("not_ending")
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("hard_links", [True, False])
def test_discarded_outputs_do_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool, hard_links: bool
) -> None:
    """Threads in the middle of writing: their temporaries go at once, and their blocks end in an error."""
    if not hard_links:
        monkeypatch.setattr(os, "link", no_hard_links)
    if overwrite:
        for n in range(4):
            (tmp_path / f"{n}.lec").write_bytes(b"old")
    before = names(tmp_path)
    written, go_on = threading.Barrier(5), threading.Event()
    errors: list[BaseException] = []

    def work(n: int) -> None:
        try:
            with atomic_write(tmp_path / f"{n}.lec", overwrite) as file:
                file.write(b"new")
                file.flush()
                written.wait(10)
                go_on.wait(10)
        except CodecError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    written.wait(10)
    assert len(names(tmp_path)) == len(before) + 4
    discard_temporaries()
    assert names(tmp_path) == before
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(str(error) for error in errors) == [
        f"output {tmp_path / f'{n}.lec'} was given up: the program is ending" for n in range(4)
    ]
    assert names(tmp_path) == before
    assert all((tmp_path / name).read_bytes() == b"old" for name in before)

    with pytest.raises(CodecError, match="given up"), atomic_write(tmp_path / "later.lec", overwrite):
        pytest.fail("nothing would remove its temporary file")
    assert names(tmp_path) == before


@pytest.mark.usefixtures("not_ending")
def test_a_signal_handler_may_discard_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in the thread that it interrupts, which may hold the lock already."""
    link = os.link

    def interrupted(*args: str) -> None:
        discard_temporaries()
        link(*args)

    monkeypatch.setattr(os, "link", interrupted)
    with pytest.raises(OSError), atomic_write(tmp_path / "x") as file:
        file.write(b"data")
    assert names(tmp_path) == []


WRITER = """
import sys, time
from lecodec.bitstream import atomic_write
with atomic_write(sys.argv[1], overwrite=True) as file:
    file.write(b"new" * 100_000)
    file.flush()
    print("written", flush=True)
    time.sleep(60)
"""


def test_killed_in_the_middle_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "old.lec").write_bytes(b"old")
    for name in ("old.lec", "new.lec"):
        with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / name], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"written\n"
            process.kill()
    assert (tmp_path / "old.lec").read_bytes() == b"old"
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["old.lec"]


FULL = """
import resource, sys
from lecodec.bitstream import atomic_write
if sys.argv[2] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
for size in (50_000, 500_000):  # within the file's buffer on its way out, and beyond
    try:
        with atomic_write(sys.argv[1], overwrite=True) as file:
            file.write(bytes(size))
    except OSError as error:
        print(error.errno)
"""


def full_disk(path: Path, limit: int) -> list[int]:
    """What went wrong with writing twice where there is no room."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, path, str(limit)], capture_output=True, text=True, check=True, timeout=60
    )
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(os.name == "nt", reason="no RLIMIT_FSIZE")
def test_output_that_may_not_grow_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "x.lec").write_bytes(b"old")
    assert full_disk(tmp_path / "x.lec", 10_000) == [errno.EFBIG] * 2
    assert names(tmp_path) == ["x.lec"]
    assert (tmp_path / "x.lec").read_bytes() == b"old"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount")
def test_full_disk_leaves_the_old_one(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "lecodec", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    try:
        (tmp_path / "x.lec").write_bytes(b"old")
        assert full_disk(tmp_path / "x.lec", 0) == [errno.ENOSPC] * 2
        assert names(tmp_path) == ["x.lec"]
        assert (tmp_path / "x.lec").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    (tmp_path / "x").chmod(0o600)
    with atomic_write(tmp_path / "x", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_program_left_is_found_by_the_name_of_its_output(tmp_path):
    long = "x" * 41
    kept = [".b.png.0123456789abcdef.part", ".a.png.0123.part", "a.png", f".{long[:40]}.0123456789abcdef.part"]
    for name in (*kept, ".a.png.0123456789abcdef.part", ".a.png.fedcba9876543210.part"):
        (tmp_path / name).touch()
    for path in (tmp_path / "a.png", tmp_path / long, tmp_path / "absent" / "a.png"):
        atomic.discard_left(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
