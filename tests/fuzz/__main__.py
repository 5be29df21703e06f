"""Try damaged files by the million: `python -m tests.fuzz FOLDER`, in the root of the repository; it goes on where it
was stopped.

    FOLDER/state.json: how far each kind is, and what came of the cases; FOLDER/found-KIND-NUMBER: what was found

Ctrl-C keeps what was done. A crash, or a case that takes two minutes, ends the process; FOLDER/now says which one it
was, FOLDER/trace where; the next run passes it over and counts it as found. Exit code 1 if anything was found.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from .cases import KINDS, LIMITS, SECONDS, Cases, Finding  # noqa: E402

DEFAULTS = {"file": 850_000, "input": 150_000, "model": 10_000}


def main() -> int:
    """Run, or go on. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=180)
    for kind, count in DEFAULTS.items():
        parser.add_argument(f"--{kind}s", type=int, default=count, help=f"cases; {count} by default")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(LIMITS)
    state_path, now_path = asked.folder / "state.json", asked.folder / "now"
    state = {
        "seed": asked.seed,
        "done": dict.fromkeys(KINDS, 0),
        "seconds": 0,
        "slowest": 0,
        "outcomes": {},
        "found": [],
    }
    if state_path.exists():
        state = json.loads(state_path.read_text())
        if state["seed"] != asked.seed:
            parser.error(f"{state_path} is of seed {state['seed']}")
    skipped = set()
    if now_path.exists() and (now := now_path.read_text().split()):
        skipped.add((now[0], int(now[1])))
        state["found"].append(f"{now[0]} {now[1]}: the process ended, or took more than {SECONDS} s")
    cases = Cases(asked.seed, asked.folder)
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries print of damaged files
    counts, begun, told = Counter(state["outcomes"]), time.monotonic(), time.monotonic()
    before = state["seconds"]

    def keep() -> None:
        state.update(outcomes=dict(counts), seconds=round(before + time.monotonic() - begun), slowest=cases.slowest)
        temporary = state_path.with_suffix(".part")
        temporary.write_text(json.dumps(state, indent=1))
        temporary.replace(state_path)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = {kind: getattr(asked, f"{kind}s") for kind in KINDS}
    with open(now_path, "w") as now_file, open(asked.folder / "trace", "a") as trace:
        faulthandler.enable(trace)
        while time.monotonic() - begun < 60 * asked.minutes:
            shares = {kind: state["done"][kind] / max(1, wanted[kind]) for kind in KINDS}
            kind = min(KINDS, key=lambda kind: shares[kind])  # all kinds come along together
            if shares[kind] >= 1:
                break
            for number in range(state["done"][kind], min(wanted[kind], state["done"][kind] + 50)):
                if (kind, number) not in skipped:
                    os.pwrite(now_file.fileno(), f"{kind} {number:<12}\n".encode(), 0)
                    faulthandler.dump_traceback_later(2 * SECONDS, exit=True, file=trace)
                    try:
                        counts[f"{kind}: {cases.run(kind, number)}"] += 1
                    except KeyboardInterrupt:
                        keep()
                        now_path.unlink()
                        return 130
                    except Finding as finding:
                        counts[f"{kind}: found"] += 1
                        state["found"].append(f"{kind} {number}: {finding}"[:500])
                        (asked.folder / f"found-{kind}-{number}").write_bytes(finding.data)
                        print(state["found"][-1], flush=True)
                state["done"][kind] = number + 1
            keep()
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(state["done"], f"{len(state['found'])} found, {state['seconds']} s", flush=True)
    faulthandler.cancel_dump_traceback_later()
    keep()
    now_path.unlink()
    print(json.dumps(state, indent=1))
    return 1 if state["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
