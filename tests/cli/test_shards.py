"""Tar files of many small files, coded member by member."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.cli import shards
from lecodec.cli.main import main


def png(seed: int, height: int = 20, width: int = 28) -> bytes:
    rng = np.random.default_rng(seed)
    samples = np.kron(rng.integers(0, 256, (height // 4, width // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG")
    return file.getvalue()


def wav(seed: int) -> bytes:
    import wave

    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes((1000 * np.random.default_rng(seed).normal(size=800)).astype("<i2").tobytes())
    return file.getvalue()


def shard(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        folder = tarfile.TarInfo("set")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(content), 1_600_000_000, 0o640
            tar.addfile(info, io.BytesIO(content))
    return path


def members_of(path: Path) -> dict[str, bytes]:
    """The regular members, in their order."""
    with tarfile.open(path, "r:") as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}  # type: ignore[union-attr]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


LONG = "deep/" * 30 + "name:of a müller.png"
MEMBERS = {
    "set/0001.png": png(1),
    "set/0001.cls": b"7",
    "set/0002.png": png(2),
    "set/0002.json": b"{}",
    LONG: png(3, 8, 8),
    "0003.npy": b"labels, not pictures",
}


@pytest.fixture
def source(tmp_path, tiny_default) -> Path:
    return shard(tmp_path / "train-000.tar", MEMBERS)


def test_members_are_coded_in_their_order_and_come_back(source, tmp_path, capsys):
    assert run("encode", source, "-o", f"{tmp_path}/out/", "-q", 70) == 0
    said = capsys.readouterr().out
    coded = members_of(tmp_path / "out/train-000.lec.tar")
    assert list(coded) == [n + ".lec" if n.endswith(".png") else n for n in MEMBERS]
    assert f"{source}:set/0001.png: " in said and said.count("\n") == 4 and "3 files: 3 ok" in said
    for name, content in MEMBERS.items():
        if not name.endswith(".png"):
            assert coded[name] == content
            continue
        samples = np.asarray(Image.open(io.BytesIO(content)))
        assert coded[f"{name}.lec"] == lecodec.encode(samples, quality=70)
    with tarfile.open(tmp_path / "out/train-000.lec.tar") as tar:
        infos = tar.getmembers()
    assert infos[0].isdir() and all((i.mtime, i.mode) == (1_600_000_000, 0o640) for i in infos if i.isreg())
    assert run("test", tmp_path / "out/train-000.lec.tar") == 0
    assert run("decode", tmp_path / "out/train-000.lec.tar", "-o", f"{tmp_path}/back/", "-j", 2) == 0
    back = members_of(tmp_path / "back/train-000.tar")
    assert list(back) == list(MEMBERS)
    for name, content in back.items():
        if name.endswith(".png"):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), lecodec.decode(coded[f"{name}.lec"]))
        else:
            assert content == MEMBERS[name]


def test_windows_and_workers_change_nothing(source, tmp_path, monkeypatch):
    assert run("encode", source, "-o", tmp_path / "a.tar") == 0
    monkeypatch.setattr(shards, "MOST", 2)
    assert run("encode", source, "-o", tmp_path / "b.tar", "-j", 3) == 0
    monkeypatch.setattr(shards, "WINDOW", 1)
    assert run("encode", source, "-o", tmp_path / "c.tar") == 0
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes() == (tmp_path / "c.tar").read_bytes()


def test_a_compressed_shard_is_read(source, tmp_path):
    packed = shard(tmp_path / "train-001.tar.gz", MEMBERS, "w:gz")
    assert run("encode", source, packed, "-o", f"{tmp_path}/out/") == 0
    one, two = (members_of(tmp_path / f"out/train-00{n}.lec.tar") for n in (0, 1))
    assert one == two


def test_without_loss_and_sounds(tmp_path, tiny_default):
    source = shard(tmp_path / "x.tar", {"a.png": png(1), "in/b.wav": wav(2)})
    assert run("encode", source, "--lossless") == 0
    assert run("decode", tmp_path / "x.lec.tar", "-o", tmp_path / "y.tar") == 0
    back = members_of(tmp_path / "y.tar")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(back["a.png"]))), np.asarray(Image.open(io.BytesIO(png(1)))))
    assert back["in/b.wav"][-1600:] == wav(2)[-1600:]


def test_a_bad_member_stays_as_it_is_and_is_named(tmp_path, tiny_default, capsys):
    source = shard(tmp_path / "x.tar", {"a.png": png(1), "bad.png": b"no picture", "c.png": png(2)})
    assert run("encode", source, "--json") == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in rows[:-1]] == ["ok", "error", "ok"]
    assert rows[-1]["summary"] | {"seconds": 0} == rows[-1]["summary"] | {
        "files": 3,
        "ok": 2,
        "failed": 1,
        "seconds": 0,
    }
    assert f"{source}:bad.png: " in err and err.count("\n") == 1
    assert members_of(tmp_path / "x.lec.tar")["bad.png"] == b"no picture"
    damaged = members_of(tmp_path / "x.lec.tar")
    damaged["a.png.lec"] = damaged["a.png.lec"][:-9]
    again = shard(tmp_path / "y.lec.tar", damaged)
    assert run("test", again) == 1
    assert run("decode", again) == 1
    assert list(members_of(tmp_path / "y.tar")) == ["a.png.lec", "bad.png", "c.png"]


def test_the_first_failure_ends_it_if_that_is_asked_for(tmp_path, tiny_default):
    source = shard(tmp_path / "x.tar", {"bad.png": b"no picture", "c.png": png(2)})
    assert run("encode", source, "--no-keep-going") == 1
    assert [path.name for path in tmp_path.glob("*.tar")] == ["x.tar"]


@pytest.mark.parametrize("end", [0, 300, 512, 700, 1100, 1536, 2000])
def test_what_is_no_whole_tar_leaves_nothing(source, tmp_path, capsys, end):
    path = tmp_path / "bad.tar"
    path.write_bytes(source.read_bytes()[:end])
    assert run("encode", path) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"lecodec: {path}: ") and "Traceback" not in err
    assert not (tmp_path / "bad.lec.tar").exists() and not list(tmp_path.glob(".*"))


def test_what_is_no_tar_is_refused(tmp_path, tiny_default, capsys):
    (tmp_path / "bad.tar").write_bytes(b"no tar" * 300)
    assert run("encode", tmp_path / "bad.tar") == 1
    assert "is not a whole tar file" in capsys.readouterr().err


def test_outputs_are_kept_and_go_on(source, tmp_path, capsys):
    done = tmp_path / "train-000.lec.tar"
    done.write_bytes(b"mine")
    assert run("encode", source) == 1 and done.read_bytes() == b"mine"
    assert run("encode", source, "--skip-existing") == 0 and done.read_bytes() == b"mine"
    assert run("encode", source, "-f") == 0 and len(members_of(done)) == len(MEMBERS)
    assert run("encode", source, "-c") == 2
    assert "shard" in capsys.readouterr().err


def test_a_huge_member_is_refused_before_it_is_read(tmp_path, tiny_default, capsys):
    info = tarfile.TarInfo("huge.png")
    info.size = 1 << 40
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert run("encode", tmp_path / "x.tar") == 1
    assert "1099511627776 bytes" in capsys.readouterr().err


def test_shards_in_processes_are_the_same(source, tmp_path, tiny_model, capsys):
    other = shard(tmp_path / "train-001.tar", {"a.png": png(5), "bad.png": b"no picture"})
    model = "--model", tiny_model
    assert run("encode", source, other, "-o", f"{tmp_path}/a/", *model) == 1
    one = capsys.readouterr()
    assert run("encode", source, other, "-o", f"{tmp_path}/b/", *model, "-j", 2, "--processes") == 1
    two = capsys.readouterr()
    assert one.err == two.err and one.out.count("\n") == two.out.count("\n") == 5
    for name in ("train-000.lec.tar", "train-001.lec.tar"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
