"""Shards of `.lec` files for training."""

from __future__ import annotations

import functools
import http.server
import io
import pickle
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import lecodec
from lecodec import CodecError, InputError, LecStream


def picture(n: int) -> np.ndarray:
    return np.full((8, 8 + 8 * (n % 2), 3), n, np.uint8)


def tar_of(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def sample(n: int) -> dict[str, bytes]:
    return {f"s/{n:03d}.png.lec": lecodec.encode(picture(n), lossless=True), f"s/{n:03d}.cls": b"%d\n" % (n % 7)}


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> list[str]:
    """Three shards of 5, 6 and 7 samples; the brightness of a picture is its number."""
    folder = tmp_path_factory.mktemp("shards")
    bounds = [(0, 5), (5, 11), (11, 18)]
    made = []
    for k, (begin, end) in enumerate(bounds):
        members = {"readme.txt": b"no picture"}
        for n in range(begin, end):
            members |= sample(n)
        made.append(tar_of(folder / f"x-{k}.tar", members))
    return made


def numbers(stream) -> list[int]:
    return [int(item[0, 0, 0]) for item in stream]


def test_samples_come_in_order_with_their_fields(shards):
    found = list(LecStream(shards, fields=["cls"], together=4))
    assert [int(x[0, 0, 0]) for x, _ in found] == list(range(18))
    assert [label for _, label in found] == [n % 7 for n in range(18)]
    assert all(np.array_equal(x.permute(1, 2, 0).numpy(), picture(n)) for n, (x, _) in enumerate(found))
    assert numbers(LecStream(shards[1])) == list(range(5, 11))


def test_shuffling_is_by_seed_and_epoch(shards):
    stream = LecStream(shards, shuffle=6, seed=3)
    first = numbers(stream)
    assert sorted(first) == list(range(18)) and first != list(range(18))
    assert numbers(stream) == first
    stream.set_epoch(1)
    assert numbers(stream) != first
    assert numbers(LecStream(shards, shuffle=6, seed=4)) != first


def test_going_on_within_an_epoch(shards):
    stream = LecStream(shards, shuffle=4)
    whole = numbers(stream)
    stream.set_epoch(0, done=7)
    assert numbers(stream) == whole[7:]


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_share_what_there_is(shards, workers):
    loader = DataLoader(LecStream(shards, shuffle=3), batch_size=None, num_workers=workers)
    assert sorted(numbers(loader)) == list(range(18))


def test_processes_share_what_there_is(shards, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    seen = []
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        seen.append(numbers(LecStream(shards)))
    assert sorted(seen[0] + seen[1]) == list(range(18)) and seen[0] and seen[1]


def test_urls(shards):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/shards/x-0.tar", Path(shards[0]).read_bytes())
    assert numbers(LecStream("memory://shards/x-0.tar")) == list(range(5))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(Path(shards[0]).parent))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert numbers(LecStream(f"http://127.0.0.1:{server.server_port}/x-1.tar")) == list(range(5, 11))
        server.shutdown()


def test_what_an_encoder_made_of_a_shard_is_read(tmp_path, tiny_default):
    from PIL import Image

    from lecodec.cli.main import main

    members = {}
    for n in range(3):
        file = io.BytesIO()
        Image.fromarray(picture(40 * n + 60)).save(file, "PNG")
        members |= {f"{n}.png": file.getvalue(), f"{n}.txt": f"number {n}".encode()}
    source = tar_of(tmp_path / "x.tar", members)
    with pytest.raises(SystemExit):
        main(["encode", source, "--quiet"])
    found = list(LecStream(tmp_path / "x.lec.tar", fields=["txt"]))
    assert [text for _, text in found] == ["number 0", "number 1", "number 2"]
    for (x, _), content in zip(found, [members[f"{n}.png"] for n in range(3)], strict=True):
        wanted = lecodec.decode(lecodec.encode(np.asarray(Image.open(io.BytesIO(content)))))
        assert np.array_equal(x.permute(1, 2, 0).numpy(), wanted)


def test_faults_are_named(shards, tmp_path):
    damaged = dict(sample(1))
    damaged["s/001.png.lec"] = damaged["s/001.png.lec"][:-20]
    path = tar_of(tmp_path / "bad.tar", {**sample(0), **damaged})
    with pytest.raises(CodecError, match=r"bad\.tar:s/001\.png\.lec: "):
        list(LecStream(path))
    with pytest.raises(InputError, match="no member .json"):
        list(LecStream(shards[0], fields=["json"]))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(Path(shards[0]).read_bytes()[:2100])
    with pytest.raises(InputError, match=r"cut\.tar: is not a whole tar file"):
        list(LecStream(cut))
    with pytest.raises(OSError, match=r"none\.tar"):
        list(LecStream(tmp_path / "none.tar"))
    with pytest.raises(InputError, match="nothing://x"):
        list(LecStream("nothing://x.tar"))
    with pytest.raises(InputError, match="cls"):
        list(LecStream(tar_of(tmp_path / "odd.tar", {**sample(0), "s/000.cls": b"seven"}), fields=["cls"]))
    for wrong in ({"shards": []}, {"shards": shards, "together": 0}, {"shards": shards, "fields": "cls"}):
        with pytest.raises(InputError):
            LecStream(**wrong)


def test_it_pickles(shards):
    assert numbers(pickle.loads(pickle.dumps(LecStream(shards, shuffle=2)))) == numbers(LecStream(shards, shuffle=2))
