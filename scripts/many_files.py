"""Many small files: how fast by which workers, where the time goes, and a run that is killed and gone on with.

    python scripts/many_files.py rate PICTURES [-o many-files.tsv] [--count 2000]
    python scripts/many_files.py profile PICTURES [--count 64]
    python scripts/many_files.py stop [-o many-files-stop.tsv] [--count 20000]

`rate` makes JPEGs as ImageNet's at 256 pixels: photographs shrunk to a short side of 256, cut to long sides of 256 to
384. They are encoded and decoded by the command itself, with each kind of workers in turn. Wall time holds start,
import and loading of the model; processor time, which what else runs on the machine moves little, is that of the
command and all that it began and waited for; `others` is how many cores the rest of the machine used meanwhile.

`profile` codes them in one thread, pictures of one size first together, then one by one: which shares of the processor
time go to reading, the transform, entropy coding and writing, and what a batch saves.

`stop` encodes pictures of 16 x 16 pixels, ends the command with SIGKILL when some share is done, and begins it again
with --skip-existing until a run comes to its end; memory is that of the command and its workers, watched all the time.
At the end every file is tested, and what is there is compared with what there was to do.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

WAYS = (
    ("threads", 1, ()),
    ("threads", 2, ()),
    ("processes", 2, ("--processes",)),
    ("ray", 1, ("--ray", "local")),
    ("ray", 2, ("--ray", "local")),
)
SHARES = 0.25, 0.6
"""Of the files that are done when the run is killed."""


def pictures(folder: Path, out: Path, count: int, side: int = 256, seed: int = 0) -> float:
    """Write `count` JPEGs, cut from the photographs of a folder -> megapixels in all."""
    from PIL import Image

    rng = random.Random(seed)
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    out.mkdir(parents=True)
    pixels, made = 0, 0
    while made < count:
        path = rng.choice(paths)
        with Image.open(path) as whole:
            whole.draft("RGB", (side * 3, side * 3))
            photo = whole.convert("RGB")
        factor = side / min(photo.size)
        photo = photo.resize((max(side, round(photo.width * factor)), max(side, round(photo.height * factor))))
        for _ in range(min(8, count - made)):  # several cuts of one: reading it is what takes the time here
            width, height = (
                min(photo.width, 256 + 8 * rng.randrange(17)),
                min(photo.height, 256 + 8 * rng.randrange(17)),
            )
            left, top = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
            photo.crop((left, top, left + width, top + height)).save(out / f"{made:05d}.jpg", quality=92)
            pixels, made = pixels + width * height, made + 1
    return pixels / 1e6


def busy() -> float:
    """Seconds that all cores of this machine have worked."""
    numbers = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(numbers) - numbers[3] - numbers[4]) / os.sysconf("SC_CLK_TCK")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "lecodec", *map(str, words)]


def timed(words: list[str]) -> tuple[float, float, float]:
    """Run a command -> seconds of wall time, of processor time, cores that others used."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    wall, processor, all_cores = time.perf_counter(), used(), busy()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    wall, processor = time.perf_counter() - wall, used() - processor
    return wall, processor, max(0.0, busy() - all_cores - processor) / wall


def rate(folder: Path, count: int, work: Path) -> Iterator[dict[str, Any]]:
    source = work / "in"
    megapixels = pictures(folder, source, count)
    for name, workers, options in WAYS:
        coded, back = work / "coded", work / "back"
        for way, where, to in (("encode", source, coded), ("decode", coded, back)):
            wall, processor, others = timed(
                command(way, "-r", where, "-o", f"{to}/", "-j", workers, "--quiet", *options)
            )
            yield {
                "workers": f"{workers} {name}",
                "way": way,
                "files": count,
                "megapixels": round(megapixels, 2),
                "bytes_in": sum(path.stat().st_size for path in where.rglob("*") if path.is_file()),
                "bytes_out": sum(path.stat().st_size for path in to.rglob("*") if path.is_file()),
                "wall_s": round(wall, 1),
                "processor_s": round(processor, 1),
                "mpx_per_s": round(megapixels / wall, 3),
                "mpx_per_processor_s": round(megapixels / processor, 3),
                "others": round(others, 2),
            }
        for path in (coded, back):
            shutil.rmtree(path)


def profile(folder: Path, count: int, work: Path) -> None:
    import cProfile
    import pstats

    from lecodec.cli import jobs
    from lecodec.cli.codecs import Codecs
    from lecodec.cli.encoding import Encoding
    from lecodec.codec.codec import Target

    pictures(folder, work / "in", count)
    from PIL import Image

    for path in (work / "in").iterdir():  # of one size, so that they may go together
        with Image.open(path) as picture:
            cut = picture.crop((0, 0, 256, 256))
        cut.save(path, quality=92)
    task = Encoding(Codecs(), Target.of({}, lossless=False, effort=1), force=True)
    for most in (jobs.MAX_BUNCH, 1, jobs.MAX_BUNCH, 1):
        todo = [jobs.Job(str(path), work / f"{path.name}.lec") for path in sorted((work / "in").iterdir())]
        jobs._performed(task, [(0, todo[0])])  # loads
        profiler, begun = cProfile.Profile(), time.process_time()
        profiler.enable()
        for bunch in jobs._bunches(todo, task, most):
            jobs._performed(task, bunch)
        profiler.disable()
        print(f"at most {most} together: {1000 * (time.process_time() - begun) / count:.1f} ms a picture")
        stats: Any = pstats.Stats(profiler).stats  # pyright: ignore[reportAttributeAccessIssue]
        whole = sum(entry[2] for entry in stats.values())
        rows = sorted(((entry[3], key) for key, entry in stats.items()), key=lambda row: -row[0])
        for seconds, (file, line, name) in rows[:45]:
            print(f"  {seconds / whole:6.1%}  {Path(file).name}:{line} {name}")


def memory_of(process: int) -> float:
    """MB of a process and of all below it; what they share counts once for each."""
    total, left = 0, [process]
    while left:
        number = left.pop()
        try:
            status = Path(f"/proc/{number}/statm").read_text().split()
            total += (int(status[1]) - int(status[2])) * os.sysconf("SC_PAGE_SIZE")
            left += [int(n) for n in Path(f"/proc/{number}/task/{number}/children").read_text().split()]
        except OSError:
            continue
    return total / 1e6


def stop(count: int, work: Path, options: Sequence[str]) -> Iterator[dict[str, Any]]:
    import numpy as np
    from PIL import Image

    source, coded = work / "in", work / "coded"
    rng = np.random.default_rng(0)
    for n in range(count):
        folder = source / f"{n // 1000:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{n:05d}.png")

    def finished() -> int:
        return sum(name.endswith(".lec") for _, _, names in os.walk(coded) for name in names)

    def left_over() -> int:
        return sum(name.endswith(".part") for _, _, names in os.walk(coded) for name in names)

    words = command("encode", "-r", source, "-o", f"{coded}/", "--skip-existing", "--quiet", *options)
    for number, share in enumerate((*SHARES, 2.0)):
        begun, seen, before = time.perf_counter(), [], finished() if coded.exists() else 0
        process = subprocess.Popen(words)
        while process.poll() is None:
            time.sleep(0.5)
            done = finished() if coded.exists() else 0
            if done > before:
                seen.append((done, memory_of(process.pid)))
            if done >= share * count:
                process.send_signal(signal.SIGKILL)
                process.wait()
        time.sleep(2)  # workers whose parent is gone end by themselves
        parts = max(1, len(seen) // 4)
        yield {
            "run": number + 1,
            "ended_by": "SIGKILL" if process.returncode < 0 else f"exit {process.returncode}",
            "files_before": before,
            "files_after": finished(),
            "wall_s": round(time.perf_counter() - begun, 1),
            "mb_in_first_quarter": round(max((m for _, m in seen[:parts]), default=0.0)),
            "mb_in_last_quarter": round(max((m for _, m in seen[-parts:]), default=0.0)),
            "temporaries_left": left_over(),
        }
        if share > 1:
            break
    subprocess.run(command("test", "-r", coded, "--quiet", *options), check=True)
    names = {path.relative_to(source).as_posix() + ".lec" for path in source.rglob("*.png")}
    assert {path.relative_to(coded).as_posix() for path in coded.rglob("*.lec")} == names, "lost or doubled"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("rate", "profile", "stop"))
    parser.add_argument("folder", nargs="?", type=Path, help="of photographs")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--options", default="-j 2 --processes", help="of the command, for `stop`")
    asked = parser.parse_args()
    from lecodec.eval.measure.tsv import environment, write_tsv

    counts = {"rate": 2000, "profile": 64, "stop": 20000}
    count = asked.count or counts[asked.what]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if asked.what == "profile":
            profile(asked.folder, count, work)
            return
        make: Callable[[], Iterator[dict[str, Any]]] = (
            (lambda: rate(asked.folder, count, work))
            if asked.what == "rate"
            else (lambda: stop(count, work, asked.options.split()))
        )
        rows = []
        for row in make():
            rows.append(row)
            print(row, flush=True)
        if asked.output is not None:
            line = f"scripts/many_files.py {asked.what}, --count {count}"
            line += f": lecodec encode {asked.options}" if asked.what == "stop" else ""
            write_tsv(asked.output, [line, *environment()], rows)


if __name__ == "__main__":
    main()
