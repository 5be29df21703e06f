"""A process that was forked from one which has used the codec: torch's threads do not come with it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lecodec.entropy.guard import Guard

SCRIPT = """
import io, multiprocessing, sys
from pathlib import Path
import numpy as np
from PIL import Image
import lecodec

used, model, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
picture = np.random.default_rng(0).integers(0, 256, (200, 250, 3), dtype=np.uint8)
calls = {
    "encode": lambda: lecodec.encode(picture, model=model),
    "decode": lambda: lecodec.decode((folder / "x.lec").read_bytes(), model=model).tobytes(),
    "lossless": lambda: lecodec.encode(picture[:40, :60], lossless=True),
    "pillow": lambda: np.asarray(Image.open(folder / "x.lec")).tobytes(),
    "dataset": lambda: np.asarray(lecodec.LecDataset(folder)[0]).tobytes(),
}

def call(name):
    return calls[name]()

if __name__ == "__main__":
    alone = {"x.lec": None}
    if used == "all":
        (folder / "x.lec").write_bytes(calls["encode"]())
        alone = {name: call(name) for name in calls}
    else:
        lecodec.load(model=model)
    import torch
    before = torch.get_num_threads()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = dict(zip(calls, pool.map_async(call, calls).get(100)))
    if used == "all":
        assert found == alone
    assert torch.get_num_threads() == before
    print(sorted(found))
"""
forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")


@forks
@pytest.mark.parametrize("used", ["all", "load"])
def test_forked_processes_do_what_their_parent_did(used: str, tiny_model: Path, tmp_path: Path) -> None:
    """They waited for ever, even after `load` alone."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "LECODEC_MODELS": str(tiny_model)}
    command = [sys.executable, "-c", SCRIPT, used, str(tiny_model), str(tmp_path)]
    if used == "load":
        make = (
            "import sys; exec(sys.stdin.read().split('if __name__')[0]); (folder / 'x.lec').write_bytes(call('encode'))"
        )
        subprocess.run([sys.executable, "-c", make, *command[3:]], input=SCRIPT, text=True, env=environment, check=True)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == "['dataset', 'decode', 'encode', 'lossless', 'pillow']".split()


@forks
def test_a_fork_in_the_middle_of_a_call_of_another_thread_leaves_no_switches_set() -> None:
    """The thread that would have put them back is not there in the child."""
    import threading

    import torch

    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with Guard():
            inside.set()
            go_on.wait(60)

    torch.use_deterministic_algorithms(True)
    thread = threading.Thread(target=work)
    try:
        thread.start()
        assert inside.wait(60) and not torch.are_deterministic_algorithms_enabled()
        child = os.fork()
        if not child:
            good = torch.are_deterministic_algorithms_enabled() and not Guard._inside and Guard._lock.acquire(timeout=1)
            os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        go_on.set()
        thread.join()
        torch.use_deterministic_algorithms(False)
