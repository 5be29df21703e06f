"""Ray actors on a cluster of several nodes (on this machine): order, failures, a node that is killed, the commands."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lecodec.bitstream import atomic_write
from lecodec.cli.jobs import Job, Record, run
from lecodec.cli.main import main
from lecodec.codec.workers.pool import WorkerLost
from lecodec.codec.workers.ray_actors import Ray
from lecodec.errors import InputError, OutputExists

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'lecodec[ray]'")
STORE = 80 << 20


class Copies:
    """A task without a codec: writes the name of the job's source, and notes that in a log, with the node."""

    bunch_pixels = 2

    def __init__(self, folder: Path):
        self.folder = folder

    def kind(self, job: Job) -> tuple[str, int]:
        return "one", 1

    def read(self, job: Job) -> str:
        if job.source == "bad":
            raise InputError("no number")
        return job.source

    def prepare(self, inputs: Any) -> None:
        pass

    def code(self, inputs: Any) -> list[Any]:
        return list(inputs)

    def finish(self, job: Job, input: Any, result: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        import ray

        if input == "dies":
            os._exit(9)
        node = ray.get_runtime_context().get_node_id()
        if input == "fault":
            raise ZeroDivisionError
        if input.startswith("waits"):
            (self.folder / f"waiting-{node}").touch()
            while not (self.folder / f"go-{node}").exists():
                time.sleep(0.02)
        assert job.destination is not None
        with atomic_write(job.destination, overwrite=job.again) as file:
            file.write(input.encode())
        with (self.folder / "log").open("a") as log:
            log.write(f"{input}\n")
        return {"node": node}, ()


@pytest.fixture(scope="module")
def cluster() -> Any:
    """A head without processors and two nodes with one each; given with the nodes by their ids."""
    from ray.cluster_utils import Cluster

    ray.cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["_"]))
    small = {"object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster, {node.node_id: node for node in nodes}
    ray.shutdown()
    cluster.shutdown()


def perform(cluster: Any, folder: Path, sources: list[str], **how: Any) -> list[Record]:
    (folder / "out").mkdir(exist_ok=True)
    jobs = [Job(source, folder / "out" / f"{n}") for n, source in enumerate(sources)]
    found: list[Record] = []
    run(jobs, Copies(folder), found.append, pool=Ray(cluster[0].address), **how)
    assert [record.job.source for record in found] == sources
    return found


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def waiting(folder: Path, nodes: int) -> list[str]:
    """The ids of nodes on which a job waits, once there are so many."""
    deadline = time.monotonic() + 120
    while len(found := list(folder.glob("waiting-*"))) < nodes and time.monotonic() < deadline:
        time.sleep(0.02)
    return [path.name.removeprefix("waiting-") for path in found]


def test_records_come_in_order_from_all_nodes(cluster, tmp_path: Path) -> None:
    sources = [f"{n}" for n in range(9)] + ["bad"] + ["waits"] * 6  # so that each node has begun
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "3").write_text("old")

    def go() -> None:
        for node in waiting(tmp_path, 2):
            (tmp_path / f"go-{node}").touch()

    threading.Thread(target=go).start()
    said: list[str] = []
    found = perform(cluster, tmp_path, sources, say=said.append)
    kinds = {n: type(record.error) for n, record in enumerate(found) if record.error is not None}
    assert kinds == {3: OutputExists, 9: InputError} and (tmp_path / "out" / "3").read_text() == "old"
    assert {record.facts["node"] for record in found if record.error is None} == cluster[1].keys()
    assert said == ["2 workers on 3 nodes"]


def test_what_ends_its_actor_fails_alone_and_faults_come_out(cluster, tmp_path: Path) -> None:
    found = perform(cluster, tmp_path, ["1", "2", "dies", "3", "4", "5"])
    assert [record.error is None for record in found] == [True, True, False, True, True, True]
    assert isinstance(found[2].error, WorkerLost)
    with pytest.raises(ZeroDivisionError):
        perform(cluster, tmp_path / "out", ["fault"])


def test_the_commands_do_what_they_do_with_threads(cluster, tmp_path: Path, tiny_model: Path, capsys) -> None:
    (tmp_path / "in").mkdir()
    for n in range(4):
        Image.fromarray(np.full((20, 30, 3), 50 * n, np.uint8)).save(tmp_path / "in" / f"{n}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    words = "encode", "-r", tmp_path / "in", "--model", tiny_model
    assert command(*words, "-o", f"{tmp_path}/a/") == 1
    one = capsys.readouterr()
    assert command(*words, "-o", f"{tmp_path}/b/", "--ray", cluster[0].address) == 1
    two = capsys.readouterr()
    assert two.err.replace("lecodec: encoding: note: 2 workers on 3 nodes\n", "") == one.err
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert command(*words, "-o", f"{tmp_path}/b/", "--ray", cluster[0].address, "--skip-existing") == 1
    assert "4 skipped, 1 failed" in capsys.readouterr().out
    assert command("encode", "-", "-c", "--ray", "local") == 2


def test_a_cluster_that_does_not_come_up_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray raises the base class of exceptions where its processes take too long on a busy machine."""

    def late(*_: Any, **__: Any) -> None:
        raise Exception("The current node\ntimed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(InputError, match="no Ray cluster at local: The current node timed out"):
        Ray("local").open()


def test_rates_are_measured_by_actors(cluster, tmp_path: Path) -> None:
    from lecodec.eval.rd import run_rd

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    how = {"settings": {"jpeg": (30, 60)}}
    one = run_rd(tmp_path, ["jpeg"], tmp_path / "one", **how)
    two = run_rd(tmp_path, ["jpeg"], tmp_path / "two", ray=cluster[0].address, workers=0, **how)
    assert [(r.item, r.bytes, r.metrics["psnr"]) for r in one.items] == [
        (r.item, r.bytes, r.metrics["psnr"]) for r in two.items
    ]


def test_a_node_that_is_killed_loses_and_doubles_nothing(cluster, tmp_path: Path) -> None:
    """The last of the tests of this cluster. What the node held is done again, once, on the other one, also what it had
    written already.
    """
    sources = [f"waits-{n}" if n % 2 else f"{n}" for n in range(24)]  # two go together: one is written, one waits
    killed: list[str] = []

    def kill() -> None:
        first, *others = waiting(tmp_path, 2)
        killed.append(first)
        cluster[0].remove_node(cluster[1][first], allow_graceful=False)
        for node in others:
            (tmp_path / f"go-{node}").touch()

    threading.Thread(target=kill).start()
    said: list[str] = []
    found = perform(cluster, tmp_path, sources, say=said.append)
    assert len(killed) == 1 and [record.error for record in found] == [None] * 24
    assert [(tmp_path / "out" / f"{n}").read_text() for n in range(24)] == sources
    assert not list(tmp_path.glob("out/.*"))
    log = (tmp_path / "log").read_text().split()
    assert sorted(set(log)) == sorted(sources)
    assert len(log) == 25  # what was written, but not reported yet
    assert said[1:] == ["a worker was lost: 2 of its files are done again"] * 2
    assert killed[0] not in {record.facts["node"] for record in found}
