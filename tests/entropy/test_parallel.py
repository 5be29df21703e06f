"""Threads that work is shared by."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from lecodec.entropy import parallel


@pytest.mark.parametrize(("told", "workers", "found"), [("6", 2, 3), ("3", 8, 1), ("4", 1, 4)])
def test_workers_share_the_threads(told: str, workers: int, found: int) -> None:
    """Each thread for itself, where torch is not loaded."""
    code = f"""
import threading
from lecodec.entropy import parallel
seen = []
def work():
    parallel.share({workers})
    seen.append(parallel.threads())
thread = threading.Thread(target=work)
thread.start(); thread.join()
print(seen[0], parallel.threads())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": told}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(found), told]


def test_the_order_stays_and_errors_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "threads", lambda: 3)
    names = set()

    def work(n: int) -> int:
        names.add(threading.current_thread().name)
        if n == 99:
            raise ValueError("ninety-nine")
        return n * n

    assert parallel.parallel_map(work, range(20)) == [n * n for n in range(20)]
    assert all(name.startswith("ThreadPool") for name in names)
    with pytest.raises(ValueError, match="ninety-nine"):
        parallel.parallel_map(work, [1, 99, 2])
    with parallel.pooled(4) as mapped:
        assert mapped(work, [3]) == [9] and mapped(work, [1, 2]) == [1, 4]


def test_products_of_numpy_stay_in_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the last one is out, whatever comes out of it; what the program had chosen is back then."""
    monkeypatch.setattr(parallel, "threads", lambda: 2)
    products, first = parallel._threads_of_products, parallel._threads_of_products()
    alone = [1] * len(first)
    assert first and parallel.parallel_map(lambda _: products(), range(4)) == [alone] * 4
    assert products() == first
    try:
        parallel._set_threads_of_products([2] * len(first))
        chosen = products()
        outer = parallel.pooled(2)
        outer.__enter__()
        with pytest.raises(ZeroDivisionError), parallel.pooled(3) as mapped:
            mapped(lambda n: 1 // n, [1, 0])
        assert products() == alone
        outer.__exit__(None, None, None)
        assert products() == chosen
    finally:
        parallel._set_threads_of_products(first)


def test_workers_share_the_threads_of_products() -> None:
    """Also where one of them is at work."""
    code = """
from lecodec.entropy import parallel
products = parallel._threads_of_products
parallel.share(1)
print(products())
if {inside}:
    with parallel.pooled(2):
        parallel.share(2)
        print(products())
else:
    parallel.share(2)
    print(products())
print(products())
"""
    for inside in (True, False):
        environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
        asked = [sys.executable, "-c", code.replace("{inside}", str(inside))]
        ran = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout.split() == ["[2]", "[1]", "[1]"]
